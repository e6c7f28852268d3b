//! Slows virtual time down to a multiple of real time, so that a simulation can be watched.

use std::str::FromStr;
use std::sync::mpsc;
use std::time::Duration;

use crate::engine::Clock;
use crate::experiment::interrupt;
use crate::time::Timestamp;

/// The longest wait before Ctrl-C is looked for again.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// How many times faster than real time a simulation goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace(f64);

impl FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Pace, String> {
        let number = text.strip_suffix('x').unwrap_or(text);
        match number.parse() {
            Ok(factor) if (0.01..=1e6).contains(&factor) => Ok(Pace(factor)),
            _ => Err(format!("expected a factor from 0.01 to 1000000 with or without 'x', such as 10x, found '{text}'")),
        }
    }
}

/// A simulation that keeps a pace.
pub(super) struct Paced {
    pace: Pace,
    clock: Clock,
}

impl Paced {
    /// From now on.
    pub(super) fn start(pace: Pace) -> Paced {
        Paced { pace, clock: Clock::start() }
    }

    /// Returns once it is time for `at`, or there has been a Ctrl-C.
    pub(super) fn wait(&self, at: Timestamp) {
        let due = Duration::from_secs_f64(at.as_secs_f64() / self.pace.0);
        // Nothing is ever sent: this is a wait with a timeout.
        let (_open, never) = mpsc::channel::<()>();
        loop {
            let passed = self.clock.now().since(Timestamp::ZERO);
            if passed >= due || interrupt::asked() {
                return;
            }
            let _ = never.recv_timeout((due - passed).min(LONGEST_WAIT));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_a_factor() {
        assert_eq!("10x".parse(), Ok(Pace(10.0)));
        assert_eq!("0.5".parse(), Ok(Pace(0.5)));
        for wrong in ["", "x", "0", "-1x", "nan", "infx", "1e9", "ten", "10xx"] {
            assert!(wrong.parse::<Pace>().is_err_and(|why| why.contains(wrong)), "{wrong}");
        }
    }
}
