//! Index of the activities and receipts of each open epoch in the lanes' histories.
//!
//! Each step of a history is indexed once, when it is settled. Memory is bounded by the open epochs
//! and the kept histories: positions whose step has been forgotten are dropped whenever the list of
//! an epoch has doubled.

// Only looked up by key; results are sorted.
#![allow(clippy::disallowed_types)]

use rustc_hash::FxHashMap;

use crate::activity::{ActivityKind, Lane, MessageKind};
use crate::pag::{GraphBuilder, SentMessage, Step, StepKind};
use crate::time::Epoch;

/// A step of a lane's history, counted from the first step the lane ever had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) lane: u32,
    pub(super) step: u64,
}

impl Place {
    /// The first step of a lane that ended after `at`, or the one still to come.
    pub(super) fn first_after(graph: &GraphBuilder, lane: u32, at: u64) -> Place {
        let ended = graph.story(lane).partition_point(|step| step.end <= at) as u64;
        Place { lane, step: graph.forgotten(lane) + ended }
    }

    /// The step, if it exists and has not been forgotten.
    #[inline]
    pub(super) fn of(self, graph: &GraphBuilder) -> Option<&Step> {
        let index = self.step.checked_sub(graph.forgotten(self.lane))?;
        graph.story(self.lane).get(usize::try_from(index).ok()?)
    }
}

/// Positions by lane, then time.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    places: Vec<Place>,
    prune_at: usize,
}

impl Places {
    fn push(&mut self, place: Place, graph: &GraphBuilder) {
        if self.places.len() >= self.prune_at.max(64) {
            self.places.retain(|place| place.step >= graph.forgotten(place.lane));
            self.prune_at = 2 * self.places.len();
        }
        self.places.push(place);
    }

    /// Number of positions.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// All positions, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Place> {
        self.places.iter().copied()
    }

    fn sort(&mut self) {
        // It consists of sorted runs, which a stable sort exploits.
        self.places.sort();
    }

    /// The last one on `lane` before step `before`.
    #[inline]
    pub(super) fn before(&self, lane: u32, before: u64) -> Option<Place> {
        let index = self.places.partition_point(|place| *place < Place { lane, step: before });
        index.checked_sub(1).map(|index| self.places[index]).filter(|place| place.lane == lane)
    }

    /// The first one on `lane` from step `from` on.
    #[inline]
    pub(super) fn from(&self, lane: u32, from: u64) -> Option<Place> {
        let index = self.places.partition_point(|place| *place < Place { lane, step: from });
        self.places.get(index).copied().filter(|place| place.lane == lane)
    }

    /// On each lane the first position that satisfies `holds`.
    pub(super) fn first_by_lane(&self, holds: impl Fn(Place) -> bool) -> impl Iterator<Item = Place> {
        self.places.chunk_by(|a, b| a.lane == b.lane).filter_map(move |lane| lane.iter().copied().find(|&place| holds(place)))
    }

    /// On each lane the last position that satisfies `holds`.
    pub(super) fn last_by_lane(&self, holds: impl Fn(Place) -> bool) -> impl Iterator<Item = Place> {
        self.places.chunk_by(|a, b| a.lane == b.lane).filter_map(move |lane| lane.iter().rev().copied().find(|&place| holds(place)))
    }
}

/// Positions of an epoch's steps.
#[derive(Clone, Debug, Default)]
pub(super) struct EpochPlaces {
    /// Activities on its records.
    pub(super) works: Places,
    /// Receipts of its records.
    pub(super) receipts: Places,
}

impl EpochPlaces {
    /// The epoch's activity that produced what was sent, or the receipt that was forwarded
    /// without any.
    pub(super) fn producer(&self, graph: &GraphBuilder, sent: &SentMessage) -> Option<Place> {
        let lane = sent.from_lane;
        let ended = Place::first_after(graph, lane, sent.at.0).step;
        let Some(last) = self.works.before(lane, ended) else {
            return self.receipts.before(lane, ended);
        };
        if matches!(graph.lanes()[lane as usize], Lane::Worker(_)) {
            return Some(last);
        }
        // An activity that continues after that time has not emitted anything yet, unless it is
        // the only one.
        let next = self.works.from(lane, ended).and_then(|next| next.of(graph));
        if !next.is_some_and(|next| next.goes_on && next.start == sent.at.0) {
            return Some(last);
        }
        let mut begin = last;
        while begin.of(graph)?.goes_on {
            let Some(earlier) = self.works.before(lane, begin.step) else { return Some(last) };
            begin = earlier;
        }
        Some(self.works.before(lane, begin.step).unwrap_or(last))
    }
}

/// The positions of all open epochs.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    epochs: FxHashMap<Epoch, EpochPlaces>,
    /// The first step that has not been indexed, by lane.
    cursors: Vec<u64>,
}

impl Index {
    /// Starts indexing the steps of `epoch`.
    pub(super) fn open(&mut self, epoch: Epoch) {
        self.epochs.entry(epoch).or_default();
    }

    /// Removes an epoch; returns its positions in order.
    pub(super) fn close(&mut self, epoch: Epoch) -> EpochPlaces {
        let mut places = self.epochs.remove(&epoch).unwrap_or_default();
        places.works.sort();
        places.receipts.sort();
        places
    }

    /// Indexes what has been settled since the last call.
    pub(super) fn advance(&mut self, graph: &GraphBuilder) {
        self.cursors.resize(graph.lanes().len(), 0);
        for (lane, cursor) in (0..).zip(&mut self.cursors) {
            let (story, forgotten) = (graph.story(lane), graph.forgotten(lane));
            let first = usize::try_from((*cursor).saturating_sub(forgotten)).unwrap_or(usize::MAX).min(story.len());
            for (step, at) in story[first..].iter().zip(forgotten + first as u64..) {
                let work = match step.kind {
                    // The epoch of a migration is that of its command.
                    StepKind::Work(ActivityKind::Migration) => continue,
                    StepKind::Work(_) => true,
                    // Operators do not process progress updates.
                    StepKind::Received { .. } if graph.message(step).is_some_and(|sent| sent.kind == MessageKind::Progress) => continue,
                    StepKind::Received { .. } => false,
                    _ => continue,
                };
                if step.epoch == Epoch::UNKNOWN {
                    continue;
                }
                if let Some(places) = self.epochs.get_mut(&step.epoch) {
                    let places = if work { &mut places.works } else { &mut places.receipts };
                    places.push(Place { lane, step: at }, graph);
                }
            }
            *cursor = forgotten + story.len() as u64;
        }
    }
}
