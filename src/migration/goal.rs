//! A latency goal for a migration, such as `50ms`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A latency goal; more than 0 and at most an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Goal(Duration);

/// A text that is no goal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a latency such as 50ms or 1.5s, more than 0 and at most an hour, found '{0}'")]
pub struct GoalError(pub String);

/// Units with their nanoseconds; the longest names first, because all of them end with `s`.
const UNITS: [(&str, u64); 4] = [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
const MOST: Duration = Duration::from_secs(3600);

impl Goal {
    /// A goal of `latency`; `None` if that is 0 or more than an hour.
    pub fn of(latency: Duration) -> Option<Goal> {
        (!latency.is_zero() && latency <= MOST).then_some(Goal(latency))
    }

    /// The latency.
    pub fn latency(self) -> Duration {
        self.0
    }
}

impl Default for Goal {
    /// A tenth of a second, which people perceive as instantaneous.
    fn default() -> Goal {
        Goal(Duration::from_millis(100))
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.as_nanos() as u64;
        let (unit, length) = UNITS.iter().rev().find(|(_, length)| ns.is_multiple_of(*length)).expect("nanoseconds are whole");
        write!(f, "{}{unit}", ns / length)
    }
}

impl FromStr for Goal {
    type Err = GoalError;

    fn from_str(text: &str) -> Result<Goal, GoalError> {
        let read = || {
            let (digits, length) = UNITS.iter().find_map(|(unit, length)| Some((text.trim().strip_suffix(unit)?, *length)))?;
            let value: f64 = digits.trim_end().parse().ok()?;
            let ns = (value * length as f64).round();
            (ns >= 1.0 && ns <= MOST.as_nanos() as f64).then(|| Goal(Duration::from_nanos(ns as u64)))
        };
        read().ok_or_else(|| GoalError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_read_back_as_they_are_written() {
        for text in ["50ms", "2s", "1500us", "7ns"] {
            assert_eq!(text.parse::<Goal>().unwrap().to_string(), text);
        }
        assert_eq!("1.5 s".parse::<Goal>().unwrap().to_string(), "1500ms");
        for wrong in ["", "50", "ms", "0ms", "-1ms", "NaNms", "2h", "3601s", "0.1ns"] {
            assert_eq!(wrong.parse::<Goal>(), Err(GoalError(wrong.to_owned())));
        }
    }
}
