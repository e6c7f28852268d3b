//! Online critical paths: the paths of the epochs that completed in a window, for its observation.
//!
//! ```text
//!  records ─► PathObserver::push ─► GraphBuilder, EpochPaths ─► settled paths ─┐
//!                               └─► TrafficMeter (arrivals, service times) ────┴─► close ─► WindowPaths
//! ```
//!
//! An epoch belongs to the window in which its path is settled. Its pieces are summed by kind and
//! operator, over all epochs and over the slowest of them. Epochs under way when the configuration
//! changed are kept apart: they crossed a migration. Invariants: synchronous and deterministic (the
//! same records and calls give the same answer); memory is bounded by [`HISTORY`] and by the number
//! of instances, whatever the length of the run.
// papers/snailtrail-nsdi18.md#epoch-critical-path

mod group;
mod shares;
mod traffic;

use std::collections::BTreeMap;
use std::time::Duration;

pub use group::{OperatorSlack, PathGroup, PathPiece};
use serde::{Deserialize, Serialize};
use traffic::TrafficMeter;
pub use traffic::{Arrival, InputTraffic, OperatorTraffic};

use super::epoch::{EpochPath, EpochPaths};
use crate::activity::Record;
use crate::pag::{GraphBuilder, GraphConfig};
use crate::time::{Epoch, Timestamp};

/// Histories of lanes are kept this long for epochs that are still open: a piece of a path that lies
/// further back is unknown.
const HISTORY: Duration = Duration::from_secs(10);
/// ... and at least this long: the cause of a source's delay precedes the epochs that it emits late.
const LEAST_HISTORY: Duration = Duration::from_secs(2);
/// Histories settle in steps of at least and at most this length...
const STEPS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));
/// ... this many per window...
const STEPS_IN_WINDOW: u32 = 20;
/// ... when the log reaches this much further: waits that end later count as silence.
const LOOKAHEAD: Duration = Duration::from_millis(50);
/// The slowest epochs are this part of all of them...
const SLOWEST_PART: f64 = 0.01;
/// ... and at least this many.
const LEAST_SLOWEST: usize = 5;
/// The most paths that wait for the end of a window; later ones are skipped and counted.
const MOST_PATHS: usize = 1 << 14;

/// The paths of the epochs that completed in a window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowPaths {
    /// All epochs that were due under the current configuration.
    pub all: PathGroup,
    /// The slowest of them: one percent, and at least five.
    pub slowest: PathGroup,
    /// Epochs that were in flight when the configuration changed.
    pub migrating: PathGroup,
    /// Epochs that are open at the end of the window.
    pub open_epochs: u64,
    /// How long the oldest of them has been due, in ns; 0 without any.
    pub oldest_open_ns: u64,
    /// Epochs whose paths were skipped because there were too many.
    pub left_out: u64,
    /// Arrivals and service times by operator, in their order, from which another configuration can
    /// be simulated.
    pub traffic: Vec<OperatorTraffic>,
}

/// Follows the paths of a running job.
#[derive(Clone, Debug)]
pub struct PathObserver {
    graph: GraphBuilder,
    epochs: EpochPaths,
    traffic: TrafficMeter,
    /// Records of epochs that are open.
    records: BTreeMap<Epoch, (Timestamp, u64)>,
    settled: Vec<(EpochPath, u64)>,
    left_out: u64,
    /// Epochs that were due before this time crossed a change of the configuration.
    since: Timestamp,
}

impl PathObserver {
    /// An observer of a job with `operators` operators whose first window starts at `start` and
    /// lasts `length`.
    pub fn new(operators: usize, start: Timestamp, length: Duration) -> PathObserver {
        let step = (length / STEPS_IN_WINDOW).clamp(STEPS.0, STEPS.1);
        let config = GraphConfig { history: HISTORY, lookahead: LOOKAHEAD, ..GraphConfig::new(step) };
        PathObserver {
            graph: GraphBuilder::new(config),
            epochs: EpochPaths::default().with_slack(),
            traffic: TrafficMeter::new(operators, start, length),
            records: BTreeMap::new(),
            settled: Vec::new(),
            left_out: 0,
            since: start,
        }
    }

    /// Adds a record.
    pub fn push(&mut self, record: &Record) {
        match record {
            Record::EpochOpened { epoch, due, records, .. } => {
                let opened = self.records.entry(*epoch).or_insert((*due, 0));
                *opened = (opened.0.min(*due), opened.1 + records);
            }
            Record::Queue { .. } | Record::Bins { .. } | Record::Arrangement { .. } => return,
            _ => {}
        }
        self.traffic.push(record);
        self.graph.push(record);
        self.epochs.push(record);
        if matches!(record, Record::UpTo { .. }) {
            self.settle();
        }
    }

    /// Walks the paths that have settled.
    fn settle(&mut self) {
        loop {
            let known = self.graph.known();
            let Some(window) = self.graph.pass(known, self.epochs.oldest_due().min(known - LEAST_HISTORY)) else { break };
            for path in self.epochs.walk(&self.graph, window.end) {
                let records = self.records.remove(&path.epoch).map_or(1, |(_, records)| records.max(1));
                if self.settled.len() < MOST_PATHS { self.settled.push((path, records)) } else { self.left_out += 1 }
            }
        }
    }

    /// Closes the window at `end`; the next one lasts `length`.
    pub fn close(&mut self, end: Timestamp, length: Duration) -> WindowPaths {
        let (mut paths, crossed): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.settled).into_iter().partition(|(path, _)| path.due >= self.since);
        // The slowest first; of equal ones the earliest.
        paths.sort_by(|(a, _), (b, _)| b.latency().cmp(&a.latency()).then(a.epoch.cmp(&b.epoch)));
        let slowest = ((paths.len() as f64 * SLOWEST_PART) as usize).max(LEAST_SLOWEST).min(paths.len());
        let oldest = self.records.values().map(|(due, _)| *due).min();
        let observed = WindowPaths {
            all: PathGroup::of(&paths),
            slowest: PathGroup::of(&paths[..slowest]),
            migrating: PathGroup::of(&crossed),
            open_epochs: self.records.len() as u64,
            oldest_open_ns: oldest.map_or(0, |due| end.since(due).as_nanos() as u64),
            left_out: std::mem::take(&mut self.left_out),
            traffic: self.traffic.close(end, length),
        };
        self.forget(end);
        observed
    }

    /// Discards the current window and opens one at `start`, since when another configuration has
    /// been in effect.
    pub fn restart(&mut self, start: Timestamp, length: Duration) {
        self.since = start;
        self.traffic.restart(start, length);
    }

    /// Opened epochs that will have no path: their completion was dropped, or they were.
    fn forget(&mut self, end: Timestamp) {
        const MOST_OPEN: usize = 1 << 16;
        while self.records.len() > MOST_OPEN {
            self.records.pop_first();
        }
        let _ = end;
    }
}
