//! How far commands run ahead of the data.
//!
//! A command takes effect at an epoch to come. If that epoch's records reach a router before every
//! worker has said that it has no other command for it, they wait there; if it is far away, each
//! step of a migration waits for it. So it is as far away as the commands before it took until they
//! were final, and half as much again: on the worker that gives them, which hears of all others. That
//! takes several turns of the slowest worker, so it grows with their length.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::engine::Time;
use crate::time::Timestamp;

/// The horizon at the beginning, and the longest.
const LONGEST: Duration = Duration::from_millis(30);
/// The shortest: workers learn of progress within a few turns to their operators.
const SHORTEST: Duration = Duration::from_millis(3);
/// The horizon is as long as the longest of the last times that commands took, times this...
const SPARE: f64 = 1.5;
/// ... of so many: a migration of many steps soon has them.
const REMEMBERED: usize = 32;

/// Times that commands took on one worker; clones share them.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Horizon(Rc<RefCell<Rounds>>);

#[derive(Debug)]
struct Rounds {
    /// What the number of an epoch counts.
    unit: Duration,
    /// Commands that are not final, by their epoch, with the time at which they were given.
    given: VecDeque<(Time, Timestamp)>,
    /// How long the last ones took.
    took: VecDeque<Duration>,
}

impl Default for Rounds {
    fn default() -> Rounds {
        Rounds { unit: Duration::from_millis(1), given: VecDeque::new(), took: VecDeque::new() }
    }
}

impl Horizon {
    /// The numbers of epochs count times of this length, instead of milliseconds.
    pub(in crate::engine) fn count_in(&self, unit: Duration) {
        self.0.borrow_mut().unit = unit;
    }

    /// The first epoch that commands may still be for at `now`.
    pub(super) fn epoch(&self, now: Timestamp) -> Time {
        (now + self.length()).0 / self.0.borrow().unit.as_nanos() as u64
    }

    /// Commands for `epoch` were given at `now`; epochs increase.
    pub(super) fn gave(&self, epoch: Time, now: Timestamp) {
        self.0.borrow_mut().given.push_back((epoch, now));
    }

    /// A router of this worker heard at `now` that a command for `epoch` is final.
    pub(in crate::engine) fn is_final(&self, epoch: Time, now: Timestamp) {
        let mut rounds = self.0.borrow_mut();
        while let Some(&(given, at)) = rounds.given.front().filter(|(given, _)| *given <= epoch) {
            rounds.given.pop_front();
            if given == epoch {
                rounds.took.push_back(now.since(at));
            }
        }
        if rounds.took.len() > REMEMBERED {
            rounds.took.pop_front();
        }
    }

    /// How many commands were heard to be final, of those that are remembered.
    #[cfg(test)]
    pub(super) fn heard(&self) -> usize {
        self.0.borrow().took.len()
    }

    /// How far commands are to run ahead.
    fn length(&self) -> Duration {
        let longest = self.0.borrow().took.iter().max().map(|took| took.mul_f64(SPARE));
        longest.map_or(LONGEST, |longest| longest.clamp(SHORTEST, LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_long_as_commands_take_lately() {
        let horizon = Horizon::default();
        assert_eq!(horizon.length(), LONGEST);
        let round = |epoch: Time, took_ms: u64| {
            let at = Timestamp(epoch * 1_000_000);
            horizon.gave(epoch, at);
            horizon.is_final(epoch, at + Duration::from_millis(took_ms));
        };
        round(100, 8);
        assert_eq!(horizon.length(), Duration::from_millis(12));
        // One that takes long counts at once, and for a while.
        round(200, 500);
        assert_eq!(horizon.length(), LONGEST);
        (0..REMEMBERED as u64).for_each(|n| round(300 + n, 1));
        assert_eq!(horizon.length(), SHORTEST);
    }

    #[test]
    fn epochs_are_counted_in_milliseconds_or_as_the_source_says() {
        let (horizon, now) = (Horizon::default(), Timestamp::from_secs_f64(2.0));
        assert_eq!(horizon.epoch(now), 2030);
        horizon.count_in(Duration::from_micros(100));
        assert_eq!(horizon.epoch(now), 20_300);
    }

    #[test]
    fn what_was_not_given_here_does_not_count() {
        let horizon = Horizon::default();
        horizon.is_final(7, Timestamp(1));
        horizon.gave(8, Timestamp(2));
        horizon.is_final(9, Timestamp(3));
        assert_eq!(horizon.length(), LONGEST);
    }
}
