//! The clock of a run, common to all workers.
//!
//! All workers share its base instant; with timely's own clock per worker, one receive in six
//! precedes its send. Processes cannot share an instant: each sets its clock by that of process 0
//! ([`Comparison`]) before the run starts.

// The one place of the library that reads a clock for anything but the date of a run.
#![allow(clippy::disallowed_methods)]

use std::time::{Duration, Instant, SystemTime};

use crate::time::Timestamp;

/// Nanoseconds since the start of the run, the same on every worker of the process.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Clock {
        Clock { base: Instant::now() }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.base.elapsed().as_nanos() as u64)
    }

    /// What it counts from, for logs of timely's own.
    pub(in crate::engine) fn base(&self) -> Instant {
        self.base
    }

    /// A clock that shows 0 when this one shows `at`.
    pub(in crate::engine) fn from(self, at: Timestamp) -> Clock {
        Clock { base: self.base + Duration::from_nanos(at.0) }
    }

    /// A clock that is `nanoseconds` ahead of this one.
    fn ahead(self, nanoseconds: i64) -> Clock {
        let by = Duration::from_nanos(nanoseconds.unsigned_abs());
        // A machine's clock may have begun after the base; then the clock cannot be set and stays.
        let base = if nanoseconds < 0 { self.base.checked_add(by) } else { self.base.checked_sub(by) };
        Clock { base: base.unwrap_or(self.base) }
    }

    /// The system's time of day when this clock showed 0, in nanoseconds since 1970.
    pub(in crate::engine) fn wall(&self) -> i64 {
        // The two clocks are read one after the other; the attempt with the least between them is
        // the one to believe.
        let attempts = (0..16).map(|_| {
            let before = Instant::now();
            let wall = SystemTime::now();
            (before.elapsed(), wall, before)
        });
        let (between, wall, before) = attempts.min_by_key(|attempt| attempt.0).expect("there are attempts");
        let since_1970 = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        since_1970.as_nanos() as i64 - (before.duration_since(self.base) + between / 2).as_nanos() as i64
    }
}

/// Offset of another process's clock, from timed requests to it.
///
/// A response was sent between our request and its arrival, which bounds the offset from both
/// sides. If the difference by the time of day is within these bounds, as on one machine or where
/// time is kept well, it is the finer of the two.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Comparison {
    least: i64,
    most: i64,
}

impl Comparison {
    /// Nothing is known.
    pub(in crate::engine) fn new() -> Comparison {
        Comparison { least: i64::MIN, most: i64::MAX }
    }

    /// The request was sent at `asked`, the other clock showed `answer`, and the response arrived
    /// at `came`.
    pub(in crate::engine) fn answered(&mut self, asked: Timestamp, answer: Timestamp, came: Timestamp) {
        self.least = self.least.max(answer.0 as i64 - came.0 as i64);
        self.most = self.most.min(answer.0 as i64 - asked.0 as i64);
    }

    /// `ours` set by the other clock, and by how much it may still be wrong; `by_wall`: the
    /// difference by the time of day.
    pub(in crate::engine) fn set(&self, ours: Clock, by_wall: i64) -> (Clock, Duration) {
        let ahead = if (self.least..=self.most).contains(&by_wall) { by_wall } else { self.least + (self.most - self.least) / 2 };
        let error = ahead.abs_diff(self.least).max(ahead.abs_diff(self.most));
        (ours.ahead(ahead), Duration::from_nanos(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_set_within_the_bounds_of_the_answers() {
        let mut comparison = Comparison::new();
        comparison.answered(Timestamp(1000), Timestamp(9_000), Timestamp(3000));
        comparison.answered(Timestamp(5000), Timestamp(12_500), Timestamp(5400));
        // Between 7100 and 7500 ahead.
        let ours = Clock::start();
        let (set, error) = comparison.set(ours, 7450);
        assert_eq!((ours.base - set.base, error), (Duration::from_nanos(7450), Duration::from_nanos(350)));
        let (set, error) = comparison.set(ours, 90_000);
        assert_eq!((ours.base - set.base, error), (Duration::from_nanos(7300), Duration::from_nanos(200)));
    }

    #[test]
    fn two_clocks_of_a_machine_agree_by_the_time_of_day() {
        let one = Clock::start();
        let other = one.ahead(5_000_000_000);
        let difference = one.wall() - other.wall();
        assert!(difference.abs_diff(5_000_000_000) < 50_000_000, "{difference}");
    }
}
