//! What latency records would have under another configuration: measured arrivals and service times, timed anew.
//!
//! An instance is a first-in-first-out server. Its arrivals are its part of the operator's measured arrivals, scaled to the
//! predicted demand; its service times have the measured mean and variation; each batch starts at the later of its arrival and
//! the end of the one before it:
//!
//! ```text
//! start(k) = max(arrival(k), end(k - 1))      end(k) = start(k) + service(k)
//! ```
//!
//! That gives the distribution of the time that a record spends at each operator. A record's latency is the sum over the way it
//! takes, so ways are drawn backwards from each sink, with the probabilities that records were measured to take them, and times
//! are drawn from the distributions on the way. What another number of instances does not change stays as it was measured on the
//! epochs' critical paths: the way from one lane to the next, results that wait for their release, the source's own delay.
//!
//! The model is calibrated by the latency that the present configuration was measured to have. Invariants: the same
//! measurements give the same prediction; nothing is predicted of a configuration that would not keep up.
// papers/snailtrail-nsdi18.md#epoch-what-if

mod calibration;
mod draw;
mod kept;
mod learned;
mod prediction;
mod predictor;
mod server;
mod sojourns;
mod station;
mod ways;

use std::rc::Rc;

use learned::Learned;
pub use prediction::Prediction;
pub use predictor::{Predictor, WorkedOut};
pub use station::Station;

use crate::critical_path::WindowPaths;
use crate::dataflow::Topology;
use crate::observation::LatencySummary;

/// An operator busier than this tells nothing of how good predictions are.
const MOST_CALIBRATED: f64 = 0.9;

/// Learns from windows and predicts.
#[derive(Clone, Debug)]
pub struct WhatIf {
    learned: Learned,
}

impl WhatIf {
    /// Of a job of which nothing is known.
    pub fn new(topology: &Topology) -> WhatIf {
        WhatIf { learned: Learned::new(topology) }
    }

    /// Learns from the paths of a window in which the job was on time.
    pub fn observe(&mut self, paths: &WindowPaths) {
        self.learned.observe(paths);
    }

    /// Whether anything was learned.
    pub fn is_known(&self) -> bool {
        self.learned.is_known()
    }

    /// Compares what is predicted of the present configuration with what it was measured to have in a window.
    pub fn calibrate(&mut self, topology: &Topology, present: &[Option<Station>], latency: &LatencySummary) {
        self.calibrate_with(topology, Rc::default(), present, latency);
    }

    /// As [`calibrate`](Self::calibrate), with what was worked out since this was last [taught](Self::observe).
    pub fn calibrate_with(
        &mut self,
        topology: &Topology,
        worked_out: Rc<WorkedOut>,
        present: &[Option<Station>],
        latency: &LatencySummary,
    ) {
        let (Some(p50), Some(p99)) = (latency.ns_p50, latency.ns_p99) else { return };
        // Close to its limit a job's latency is that of its past, and no prediction of what it will be holds for a window.
        if present.iter().flatten().any(|station| station.utilisation() > MOST_CALIBRATED) {
            return;
        }
        if let Some(predicted) = self.predictor_with(topology, worked_out).uncalibrated_s(present) {
            self.learned.calibration.observe(predicted, (p50 as f64 / 1e9, p99 as f64 / 1e9), latency.records);
        }
    }

    /// The distribution of latency if operators work as `stations` say, those without an entry in no time; nothing if one of them
    /// would not keep up, or nothing was measured yet.
    ///
    /// # Panics
    /// If there is not one entry an operator.
    pub fn predict(&self, topology: &Topology, stations: &[Option<Station>]) -> Option<Prediction> {
        self.predictor(topology).predict(stations)
    }

    /// Predicts several configurations of one job: what they have in common is worked out once.
    pub fn predictor<'a>(&'a self, topology: &'a Topology) -> Predictor<'a> {
        self.predictor_with(topology, Rc::default())
    }

    /// As [`predictor`](Self::predictor), with what was worked out before since this was last [taught](Self::observe).
    pub fn predictor_with<'a>(&'a self, topology: &'a Topology, worked_out: Rc<WorkedOut>) -> Predictor<'a> {
        Predictor::new(&self.learned, topology, worked_out)
    }
}
