//! What is known of the epochs of a trace while they are open: when they were due, and what each lane has of them.

// Looked up by key; the order of epochs is kept in a list.
#![allow(clippy::disallowed_types)]

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::id::InstanceId;
use crate::time::Epoch;

/// The most open epochs; beyond, the oldest is forgotten.
const MOST_OPEN: usize = 1 << 13;

/// A mark as the trace has it: when the last work ended and the one before, and when the last input arrived.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recorded {
    pub(super) work: u64,
    pub(super) before: u64,
    pub(super) receipt: u64,
}

impl Recorded {
    /// Whether the lane has anything of the epoch.
    pub(super) fn is_any(&self) -> bool {
        self.work.max(self.receipt) > 0
    }
}

/// One epoch.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenEpoch {
    /// Sources that emitted it, each partition for itself: when, and when its earliest record was due.
    pub(super) opened: Vec<(InstanceId, u64, u64)>,
    pub(super) records: u64,
    /// Its marks, the first that it had first.
    pub(super) marks: Vec<u32>,
    /// The last of it that happened.
    pub(super) end: u64,
    /// By number of partition, by how much later than it need have been a source emitted it, once that has been seen.
    pub(super) late: Vec<(u32, u64)>,
    lanes: Vec<u32>,
}

impl OpenEpoch {
    /// When its earliest record was due.
    pub(super) fn due(&self) -> Option<u64> {
        self.opened.iter().map(|(_, _, due)| *due).min()
    }
}

/// All open epochs and the marks of lanes.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenEpochs {
    epochs: FxHashMap<Epoch, OpenEpoch>,
    order: VecDeque<Epoch>,
    marks: FxHashMap<(u32, Epoch), u32>,
    recorded: Vec<Recorded>,
    free: Vec<u32>,
    /// Epochs that were forgotten because too many were open.
    pub(super) given_up: u64,
}

impl OpenEpochs {
    pub(super) fn epoch(&mut self, epoch: Epoch) -> &mut OpenEpoch {
        if !self.epochs.contains_key(&epoch) {
            self.order.push_back(epoch);
            while self.epochs.len() >= MOST_OPEN || self.order.len() > 2 * MOST_OPEN {
                let Some(oldest) = self.order.pop_front() else { break };
                if let Some(given_up) = self.close(oldest) {
                    self.given_up += u64::from(!given_up.opened.is_empty());
                }
            }
        }
        self.epochs.entry(epoch).or_default()
    }

    /// The mark of a lane for an epoch, and whether it is new.
    pub(super) fn mark(&mut self, lane: u32, epoch: Epoch) -> (u32, bool) {
        if let Some(&mark) = self.marks.get(&(lane, epoch)) {
            return (mark, false);
        }
        let mark = self.new_mark();
        let open = self.epoch(epoch);
        open.marks.push(mark);
        open.lanes.push(lane);
        self.marks.insert((lane, epoch), mark);
        (mark, true)
    }

    /// A mark that belongs to no epoch.
    pub(super) fn new_mark(&mut self) -> u32 {
        let mark = self.free.pop().unwrap_or_else(|| {
            self.recorded.push(Recorded::default());
            (self.recorded.len() - 1) as u32
        });
        self.recorded[mark as usize] = Recorded::default();
        mark
    }

    pub(super) fn recorded(&mut self, mark: u32) -> &mut Recorded {
        &mut self.recorded[mark as usize]
    }

    /// How many marks there are.
    pub(super) fn marks(&self) -> usize {
        self.recorded.len()
    }

    /// Forgets an epoch. Its marks are used again.
    pub(super) fn close(&mut self, epoch: Epoch) -> Option<OpenEpoch> {
        let open = self.epochs.remove(&epoch)?;
        for &lane in &open.lanes {
            self.marks.remove(&(lane, epoch));
        }
        self.free.extend(&open.marks);
        Some(open)
    }
}
