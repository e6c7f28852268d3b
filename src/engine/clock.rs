//! The one clock of a run.
//!
//! All workers share its base instant. With timely's own per-worker clocks one receive in six precedes its send.

// The one place of the library that reads a clock for anything but the date of a run.
#![allow(clippy::disallowed_methods)]

use std::time::Instant;

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
    pub(super) fn base(&self) -> Instant {
        self.base
    }
}
