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
mod predictor;
mod server;
mod sojourns;
mod ways;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use calibration::Calibration;
use kept::Kept;
pub use predictor::{Predictor, WorkedOut};
use server::{Server, pace};
use ways::Hop;

use crate::critical_path::{Arrival, EpochPieceKind, PathGroup, WindowPaths};
use crate::dataflow::{Operator, Role, Topology};
use crate::id::{ChannelId, OperatorId};
use crate::observation::LatencySummary;

/// What a new window adds to what was known of variations and fixed delays.
const NEW: f64 = 0.3;
/// An operator busier than this tells nothing of how good predictions are.
const MOST_CALIBRATED: f64 = 0.9;
/// Arrivals that are kept of each operator: of less than this, older ones are kept beside the new.
const ENOUGH_ARRIVALS: usize = 256;

/// How one operator would work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Station {
    /// Its instances; at least 1.
    pub instances: u32,
    /// Seconds that one instance takes for a record, waits for something outside included.
    pub service_s: f64,
    /// Records per second that all of them are to process.
    pub demand_per_s: f64,
    /// Load of the fullest instance over an even share; at least 1.
    pub fullest: f64,
}

impl Station {
    /// Busy part of the fullest instance.
    pub fn utilisation(&self) -> f64 {
        self.demand_per_s * self.service_s * self.fullest / f64::from(self.instances.max(1))
    }
}

/// A predicted distribution of latency.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Latencies of records at the sink where they are the longest, in seconds, in no order; never empty.
    latencies_s: Vec<f32>,
    /// Relative error to be expected: the logarithm of measured over predicted has about this standard deviation.
    pub error: f64,
    /// Mean seconds that the slowest records, one in a hundred, wait for an instance, by operator.
    pub waits_s: Vec<f64>,
}

impl Prediction {
    /// The latency that a part `quantile` (0 to 1) of the records does not exceed, in seconds.
    pub fn quantile_s(&self, quantile: f64) -> f64 {
        let index = (quantile.clamp(0.0, 1.0) * self.latencies_s.len() as f64) as usize;
        let mut sorted = self.latencies_s.clone();
        f64::from(*sorted.select_nth_unstable_by(index.min(self.latencies_s.len() - 1), f32::total_cmp).1)
    }

    /// Whether latencies are at most `factor` times as long as those of `other`: the median and what is slower.
    pub fn is_no_longer_than(&self, other: &Prediction, factor: f64) -> bool {
        [0.5, 0.75, 0.9, 0.99].iter().all(|&quantile| self.quantile_s(quantile) <= other.quantile_s(quantile) * factor)
    }

    /// Part of the records that take longer than `seconds`.
    pub fn beyond(&self, seconds: f64) -> f64 {
        let beyond = self.latencies_s.iter().filter(|latency| f64::from(**latency) > seconds).count();
        beyond as f64 / self.latencies_s.len() as f64
    }
}

/// What was measured of one operator.
#[derive(Clone, Debug, Default, PartialEq)]
struct Measured {
    runs: Vec<Vec<Arrival>>,
    /// See [`pace`].
    pace: (f64, f64),
    /// Operators whose records reach it, with the channel and how many records came that way.
    inputs: BTreeMap<OperatorId, (ChannelId, f64)>,
    dispersion: Option<f64>,
    variation: Option<f64>,
    /// Seconds that results wait for their release.
    release_s: f64,
}

/// Learns from windows and predicts.
#[derive(Clone, Debug)]
pub struct WhatIf {
    operators: Vec<Measured>,
    /// Seconds on each channel.
    network_s: BTreeMap<ChannelId, f64>,
    /// Seconds from when records are due to when their source emits them.
    source_s: Option<f64>,
    calibration: Calibration,
    kept: RefCell<Kept>,
}

impl WhatIf {
    /// Of a job of which nothing is known.
    pub fn new(topology: &Topology) -> WhatIf {
        WhatIf {
            operators: vec![Measured::default(); topology.operators().len()],
            network_s: BTreeMap::new(),
            source_s: None,
            calibration: Calibration::default(),
            kept: RefCell::default(),
        }
    }

    /// Learns from the paths of a window in which the job was on time.
    pub fn observe(&mut self, paths: &WindowPaths) {
        self.kept.get_mut().next_window();
        for (known, traffic) in self.operators.iter_mut().zip(&paths.traffic) {
            known.observe_runs(&traffic.runs);
            for input in &traffic.inputs {
                let sum = known.inputs.entry(input.from).or_insert((input.channel, 0.0));
                *sum = (input.channel, sum.1 * (1.0 - NEW) + input.records as f64);
            }
            blend(&mut known.dispersion, traffic.dispersion);
            blend(&mut known.variation, traffic.service_variation);
        }
        let all = &paths.all;
        if all.epochs == 0 {
            return;
        }
        for piece in &all.pieces {
            let seconds = piece.mean_ns * all.epochs as f64 / piece.epochs.max(1) as f64 / 1e9;
            match (piece.part.kind, piece.part.channel, piece.part.operator) {
                (EpochPieceKind::Network, Some(channel), _) => {
                    let known = self.network_s.entry(channel).or_insert(seconds);
                    *known += NEW * (seconds - *known);
                }
                (EpochPieceKind::Release | EpochPieceKind::Scheduling, _, Some(operator)) => {
                    if let Some(known) = self.operators.get_mut(operator.0 as usize) {
                        known.release_s += NEW * (seconds - known.release_s);
                    }
                }
                _ => {}
            }
        }
        // What is late because sources were paused is no delay of the source itself.
        let delay_s = source_delay_s(all);
        self.source_s = Some(self.source_s.map_or(delay_s, |known| delay_s.min(known + NEW * (delay_s - known))));
    }

    /// Whether anything was learned.
    pub fn is_known(&self) -> bool {
        self.operators.iter().any(|known| !known.runs.is_empty())
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
            self.calibration.observe(predicted, (p50 as f64 / 1e9, p99 as f64 / 1e9), latency.records);
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
        Predictor::new(self, topology, worked_out)
    }

    /// By operator, where its records come from.
    fn hops(&self, topology: &Topology) -> Vec<Vec<Hop>> {
        let hops = |operator: &Operator| {
            let known = &self.operators[operator.id.0 as usize].inputs;
            let mut sum = 0.0;
            let hop = |input: OperatorId| {
                // What stays on one lane is no message: nobody counts it, and it takes no time.
                let (network_s, records) = known
                    .get(&input)
                    .map_or((0.0, 0.0), |(channel, records)| (self.network_s.get(channel).copied().unwrap_or(0.0), *records));
                let before = topology.operator(input);
                let is_source = before.role == Role::Source;
                let more_s = if is_source { self.source_s.unwrap_or(0.0) } else { self.operators[input.0 as usize].release_s };
                sum += records;
                Hop { from: input.0 as usize, is_source, fixed_s: network_s + more_s, until: sum }
            };
            topology.inputs(operator.id).map(hop).collect()
        };
        topology.operators().iter().map(hops).collect()
    }

    /// The instances of one operator.
    fn server(&self, operator: &Operator) -> Server<'_> {
        let known = &self.operators[operator.id.0 as usize];
        // Records of a stateless operator take turns; where keys go was not seen yet, they go at random.
        let dispersion = known.dispersion.unwrap_or(if operator.is_keyed() { 1.0 } else { 0.0 });
        Server::new(&known.runs, known.pace, dispersion, known.variation.unwrap_or(0.0))
    }
}

impl Measured {
    /// Takes the arrivals of a window, and keeps of those before it what makes them enough.
    fn observe_runs(&mut self, runs: &[Vec<Arrival>]) {
        let count = |runs: &[Vec<Arrival>]| runs.iter().map(Vec::len).sum::<usize>();
        if count(runs) == 0 {
            return;
        }
        self.runs.extend(runs.iter().filter(|run| !run.is_empty()).cloned());
        let mut all = count(&self.runs);
        let mut first = 0;
        while all - self.runs[first].len() >= ENOUGH_ARRIVALS.max(count(runs)) {
            all -= self.runs[first].len();
            first += 1;
        }
        self.runs.drain(..first);
        self.pace = pace(&self.runs);
    }
}

/// Moves what is known towards what a window tells, if it tells anything.
fn blend(known: &mut Option<f64>, new: Option<f64>) {
    if let Some(new) = new.filter(|new| new.is_finite()) {
        *known = Some(known.map_or(new, |known| known + NEW * (new - known)));
    }
}

/// Mean delay of the source itself, in seconds.
fn source_delay_s(all: &PathGroup) -> f64 {
    all.mean_ns(|piece| piece.part.kind == EpochPieceKind::SourceDelay) / 1e9
}
