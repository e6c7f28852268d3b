//! Follows epochs from the records that open and complete them to their paths.
//!
//! Memory is bounded: the newest open epochs are kept, and those dropped are counted in
//! [`EpochOddities`].

// Looked up by key; the order of epochs is kept in a list.
#![allow(clippy::disallowed_types)]

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::index::Index;
use super::ledger::{LagLedger, SourceLag};
use super::moves::Moves;
use super::partitions::{Emission, Opened, Partitions};
use super::path::{EpochPath, EpochPieceKind, Gains};
use super::slack::OwnGraph;
use super::walk::{Completed, Known, Walk};
use crate::activity::Record;
use crate::pag::GraphBuilder;
use crate::time::{Epoch, Timestamp};

/// The most open epochs; beyond, the oldest is dropped.
const MOST_OPEN: usize = 1 << 16;
/// The most epochs that wait for [`EpochPaths::walk`]; further ones are dropped.
const MOST_COMPLETED: usize = 1 << 20;

/// The most steps that are followed for slack in one [`EpochPaths::walk`]; the slack of further
/// epochs is unknown.
const MOST_SLACK_STEPS: u32 = 1 << 14;

/// The delay, in ns, within which hosts report spans of backpressure: how far the ledger stays
/// behind what is settled, unless an epoch needs more.
const TOLD_LATE: u64 = 1_000_000_000;

/// What had to be skipped so far. All zero for a log that is complete from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EpochOddities {
    /// Epochs dropped because too many were open.
    pub given_up: u64,
    /// Completions of epochs that were not open: their opening is missing, or they had completed
    /// before.
    pub not_open: u64,
    /// Epochs that began before what is kept of the lanes' timelines: the beginning of their paths
    /// is unknown, and no gain is counted for them.
    pub begun_too_early: u64,
}

/// Follows epochs and returns the path of each one that completes.
///
/// Give it the same records as the [`GraphBuilder`], whose
/// [`history`](crate::pag::GraphConfig::history) has to be at least the longest latency that is to
/// be explained, and call [`walk`](Self::walk) whenever the builder has closed a window:
///
/// ```
/// use std::time::Duration;
/// use thalweg::critical_path::EpochPaths;
/// use thalweg::pag::{GraphBuilder, GraphConfig};
///
/// let config = GraphConfig { history: Duration::from_secs(10), ..GraphConfig::new(Duration::from_secs(1)) };
/// let (mut graph, mut epochs) = (GraphBuilder::new(config), EpochPaths::default());
/// # let records: Vec<thalweg::activity::Record> = Vec::new();
/// for record in &records {
///     graph.push(record);
///     epochs.push(record);
///     while let Some(window) = graph.close(graph.known()) {
///         for path in epochs.walk(&graph, window.window.end) {
///             assert_eq!(path.latency(), path.pieces.iter().map(|piece| piece.length()).sum());
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct EpochPaths {
    open: FxHashMap<Epoch, Opened>,
    /// Epochs in the order in which they were opened; may contain some that are no longer open.
    order: VecDeque<Epoch>,
    /// Complete and not walked yet.
    completed: Vec<Completed>,
    index: Index,
    ledger: LagLedger,
    moves: Moves,
    partitions: Partitions,
    /// Due time of the epoch that was opened last; those to come are due later.
    last_due: Timestamp,
    oldest_due: Timestamp,
    oddities: EpochOddities,
    /// Steps that one walk may look at for slack.
    slack_steps: u32,
}

impl EpochPaths {
    /// Also computes the [slack](EpochPath::slack) of each path.
    pub fn with_slack(self) -> EpochPaths {
        EpochPaths { slack_steps: MOST_SLACK_STEPS, ..self }
    }

    /// Adds a record.
    #[inline]
    pub fn push(&mut self, record: &Record) {
        match *record {
            Record::EpochOpened { at, source, epoch, due, records } => {
                let expected = self.ledger.opened(source, at, due, records);
                self.opened(epoch, Emission { source, at, due, expected });
            }
            Record::EpochCompleted { at, worker, epoch } => match self.open.remove(&epoch) {
                Some(_) if self.completed.len() >= MOST_COMPLETED => {
                    self.index.close(epoch);
                    self.oddities.given_up += 1;
                }
                Some(opened) => {
                    self.partitions.completed(epoch);
                    self.completed.push(Completed { epoch, opened, at, worker, held_open: None });
                }
                None if self.partitions.is_complete(epoch) => {
                    // Another worker has seen it as well; the first counts.
                    if let Some(known) = self.pending(epoch).filter(|known| at < known.at) {
                        (known.at, known.worker) = (at, worker);
                    }
                }
                None => self.oddities.not_open += 1,
            },
            Record::Activity(ref activity) => {
                self.partitions.active(activity);
                self.moves.push(activity);
            }
            _ => self.ledger.push(record),
        }
    }

    fn opened(&mut self, epoch: Epoch, emission: Emission) {
        self.partitions.opened(epoch, emission);
        // Several sources may open an epoch: it is due when the first of them is.
        let of_partitions = self.partitions.is_any();
        if let Some(known) = self.open.get_mut(&epoch) {
            known.and(emission, of_partitions);
            return;
        }
        if self.partitions.is_complete(epoch) {
            // Another worker's record of its completion came first.
            if let Some(known) = self.pending(epoch) {
                known.opened.and(emission, of_partitions);
            }
            return;
        }
        self.last_due = emission.due;
        self.open.insert(epoch, Opened::by(emission));
        self.index.open(epoch);
        self.order.push_back(epoch);
        if self.open.len() > MOST_OPEN || self.order.len() > 2 * MOST_OPEN {
            self.give_up();
        }
    }

    /// An epoch that is complete and has not been walked: one of the last.
    fn pending(&mut self, epoch: Epoch) -> Option<&mut Completed> {
        self.completed.iter_mut().rev().find(|completed| completed.epoch == epoch)
    }

    /// Drops the oldest epochs while too many are open.
    fn give_up(&mut self) {
        while self.open.len() > MOST_OPEN {
            let Some(oldest) = self.order.pop_front() else { break };
            if self.open.remove(&oldest).is_some() {
                self.index.close(oldest);
                self.oddities.given_up += 1;
            }
        }
        self.order.retain(|epoch| self.open.contains_key(epoch));
    }

    /// The lag of each source by who made it, as of a second before the last instant to which
    /// epochs were [walked](Self::walk), or later.
    pub fn lags(&self) -> Vec<SourceLag> {
        self.ledger.lags()
    }

    /// Epochs that are open, or complete and not walked.
    pub fn open_epochs(&self) -> usize {
        self.open.len() + self.completed.len()
    }

    /// What had to be skipped so far.
    pub fn oddities(&self) -> EpochOddities {
        self.oddities
    }

    /// The paths of epochs that were completed by `settled_until`, in order of completion; up to
    /// there the lanes' stories have to be settled, which holds for the end of any window that
    /// `graph` has closed, and for `Timestamp(u64::MAX)` when it has closed the last.
    pub fn walk(&mut self, graph: &GraphBuilder, settled_until: Timestamp) -> Vec<EpochPath> {
        self.index.advance(graph);
        let (mut ready, waiting) =
            std::mem::take(&mut self.completed).into_iter().partition::<Vec<_>, _>(|epoch| epoch.at <= settled_until);
        self.completed = waiting;
        ready.sort_by_key(|completed| (completed.at, completed.epoch));
        let opened = ready.iter().map(|completed| completed.opened.latest().0).max().unwrap_or(0);
        self.ledger.advance(Timestamp(opened.max(settled_until.0.saturating_sub(TOLD_LATE))));
        let (mut fuel, mut begun_too_early) = (self.slack_steps, 0);
        let walk = |mut completed: Completed| {
            let Completed { epoch, at, ref opened, .. } = completed;
            let (places, due) = (self.index.close(epoch), opened.first.due);
            completed.held_open = self.partitions.last_past(opened.first.source.operator, epoch, at);
            let mut path = Walk::path(Known { graph, places: &places, ledger: &self.ledger, moves: &self.moves }, &completed);
            if due < graph.kept_from() && path.pieces.iter().any(|piece| piece.kind == EpochPieceKind::Unknown) {
                begun_too_early += 1;
                path.gains = Gains::default();
            }
            EpochPath { slack: OwnGraph::slack(graph, &places, at.0, &mut fuel), ..path }
        };
        let paths = ready.into_iter().map(walk).collect();
        self.oddities.begun_too_early += begun_too_early;
        while self.order.front().is_some_and(|epoch| !self.open.contains_key(epoch)) {
            self.order.pop_front();
        }
        let oldest = self.order.front().and_then(|epoch| self.open.get(epoch)).map(|opened| opened.first.due);
        let oldest = self.completed.iter().map(|completed| completed.opened.first.due).chain(oldest).min();
        if self.partitions.is_any()
            && let Some(&epoch) = self.completed.iter().map(|completed| &completed.epoch).chain(self.order.front()).min()
        {
            self.partitions.forget(epoch);
        }
        self.oldest_due = oldest.unwrap_or(self.last_due).min(self.last_due);
        self.ledger.forget(self.oldest_due.0);
        paths
    }

    /// A lower bound on the due time of all epochs without a path, as of the last
    /// [`walk`](Self::walk): no earlier event belongs to any of them.
    pub fn oldest_due(&self) -> Timestamp {
        self.oldest_due
    }
}
