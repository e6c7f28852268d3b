//! Workers whose time the instances of a simulated job share: how many, and when one of them does
//! not have its core.

use serde::{Deserialize, Serialize};

use crate::id::WorkerId;

/// Workers of a simulated job. Without them, every instance has a processor of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkersModel {
    /// Number of workers, at least 1.
    pub count: u32,
    /// Milliseconds for which a worker serves an instance before the next one has its turn.
    #[serde(default = "turn_ms")]
    pub turn_ms: f64,
    /// Milliseconds after which a worker reports what it recorded.
    #[serde(default)]
    pub late_ms: f64,
    /// When workers do not have their cores. A worker without any reports nothing until it has one
    /// again.
    #[serde(default)]
    pub lost: Vec<LostCore>,
}

/// A time in which a worker does not have its core, or only a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LostCore {
    /// The worker, from 0.
    pub worker: u32,
    /// The part of its core's time that it does not get, above 0 to 1.
    #[serde(default = "all")]
    pub share: f64,
    /// From when on, in seconds.
    pub from_s: f64,
    /// Until when; the end of the run when missing.
    pub until_s: Option<f64>,
}

fn turn_ms() -> f64 {
    2.0
}

fn all() -> f64 {
    1.0
}

impl WorkersModel {
    /// Workers that always have their cores and report at once.
    pub fn new(count: u32) -> WorkersModel {
        WorkersModel { count, turn_ms: turn_ms(), late_ms: 0.0, lost: Vec::new() }
    }

    /// The part of its core that `worker` has at `at` (ns), and until when (ns).
    pub(super) fn speed(&self, worker: WorkerId, at: f64) -> (f64, f64) {
        let (mut speed, mut until) = (1.0_f64, f64::INFINITY);
        for lost in self.lost.iter().filter(|lost| lost.worker == worker.0) {
            let (from, to) = (lost.from_s * 1e9, lost.until_s.map_or(f64::INFINITY, |until_s| until_s * 1e9));
            if (from..to).contains(&at) {
                (speed, until) = (speed.min(1.0 - lost.share), until.min(to));
            } else if at < from {
                until = until.min(from);
            }
        }
        (speed, until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_lost_and_comes_back() {
        let lost = |share, from_s, until_s| LostCore { worker: 1, share, from_s, until_s };
        let model = WorkersModel { lost: vec![lost(0.75, 1.0, Some(4.0)), lost(1.0, 2.0, Some(3.0))], ..WorkersModel::new(2) };
        let speed = |worker, seconds: f64| model.speed(WorkerId(worker), seconds * 1e9);
        assert_eq!(speed(0, 2.5), (1.0, f64::INFINITY));
        assert_eq!([0.0, 1.0, 2.0, 3.0, 4.0].map(|at| speed(1, at).0), [1.0, 0.25, 0.0, 0.25, 1.0]);
        assert_eq!([0.0, 1.0, 2.0, 3.0].map(|at| speed(1, at).1 / 1e9), [1.0, 2.0, 3.0, 4.0]);
    }
}
