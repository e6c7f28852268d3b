//! Time as values: instants of the run's clock, epochs of the dataflow, half-open windows.
//!
//! Nothing here reads a clock. A host adds timestamps to what it records; everything after that
//! works on these values, so that recorded, simulated and live runs are the same to the core.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant of the run: nanoseconds since the run's start on one process-wide monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

/// A logical timestamp of the dataflow. It is complete when the output frontier has passed it.
///
/// The timely host numbers epochs by the millisecond of the run in which their records were
/// emitted, or by a shorter time where a source closes them sooner; so epochs are increasing but
/// not consecutive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// A half-open interval `[start, end)` of the run over which an observation is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// First instant that belongs to the window.
    pub start: Timestamp,
    /// First instant after the window.
    pub end: Timestamp,
}

impl Epoch {
    /// For records whose logical time is unknown: timely's own log does not contain it.
    pub const UNKNOWN: Epoch = Epoch(u64::MAX);
}

impl Timestamp {
    /// The start of the run.
    pub const ZERO: Timestamp = Timestamp(0);

    /// The time `seconds` after the start of the run; negative values and NaN are the start.
    pub fn from_secs_f64(seconds: f64) -> Self {
        Timestamp((seconds * 1e9).round() as u64)
    }

    /// Seconds since the start of the run.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Window {
    /// The window from `start` that lasts `length`.
    pub fn starting(start: Timestamp, length: Duration) -> Self {
        Window { start, end: start + length }
    }

    /// Length of the window.
    pub fn length(&self) -> Duration {
        self.end.since(self.start)
    }

    /// Whether `at` lies in `[start, end)`.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    /// How much of `[from, to)` lies in the window.
    pub fn overlap(&self, from: Timestamp, to: Timestamp) -> Duration {
        to.min(self.end).since(from.max(self.start))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;
    fn add(self, length: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(length.as_nanos() as u64))
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, length: Duration) {
        *self = *self + length;
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;
    fn sub(self, length: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(length.as_nanos() as u64))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.as_secs_f64())
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_half_open_and_clip_what_sticks_out() {
        let window = Window::starting(Timestamp(100), Duration::from_nanos(50));
        assert!(window.contains(Timestamp(100)) && !window.contains(Timestamp(150)));
        assert_eq!(window.overlap(Timestamp(90), Timestamp(120)), Duration::from_nanos(20));
        assert_eq!(window.overlap(Timestamp(140), Timestamp(200)), Duration::from_nanos(10));
        assert_eq!(window.overlap(Timestamp(150), Timestamp(200)), Duration::ZERO);
    }
}
