//! What was learned of a job from the paths of its windows.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::calibration::Calibration;
use super::kept::Kept;
use super::server::{Server, pace};
use super::ways::Hop;
use crate::critical_path::{Arrival, EpochPieceKind, PathGroup, WindowPaths};
use crate::dataflow::{Operator, Role, Topology};
use crate::id::{ChannelId, OperatorId};

/// What a new window adds to what was known of variations and fixed delays.
const NEW: f64 = 0.3;
/// Arrivals that are kept of each operator: of less than this, older ones are kept beside the new.
const ENOUGH_ARRIVALS: usize = 256;

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

/// What is known of a job.
#[derive(Clone, Debug)]
pub(super) struct Learned {
    operators: Vec<Measured>,
    /// Seconds on each channel.
    network_s: BTreeMap<ChannelId, f64>,
    /// Seconds from when records are due to when their source emits them.
    source_s: Option<f64>,
    pub(super) calibration: Calibration,
    pub(super) kept: RefCell<Kept>,
}

impl Learned {
    /// Of a job of which nothing is known.
    pub(super) fn new(topology: &Topology) -> Learned {
        Learned {
            operators: vec![Measured::default(); topology.operators().len()],
            network_s: BTreeMap::new(),
            source_s: None,
            calibration: Calibration::default(),
            kept: RefCell::default(),
        }
    }

    /// Learns from the paths of a window in which the job was on time.
    pub(super) fn observe(&mut self, paths: &WindowPaths) {
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
    pub(super) fn is_known(&self) -> bool {
        self.operators.iter().any(|known| !known.runs.is_empty())
    }

    /// By operator, where its records come from.
    pub(super) fn hops(&self, topology: &Topology) -> Vec<Vec<Hop>> {
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
    pub(super) fn server(&self, operator: &Operator) -> Server<'_> {
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
