//! The epochs that the texts of a program open and complete.
//!
//! Invariant: an epoch that is opened is recorded once, with the records that its worker sends outside
//! of any activation before anything else happens.

use std::collections::{BTreeMap, BTreeSet};

use super::super::error::Oddities;
use super::limits::room;
use super::rest::Refused;
use crate::activity::Record;
use crate::id::{InstanceId, OperatorId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// An epoch whose records are being emitted.
#[derive(Debug)]
struct Opening {
    at: u64,
    due: u64,
    epoch: u64,
    records: u64,
}

/// The epochs of a worker.
#[derive(Debug, Default)]
struct OfWorker {
    open: BTreeSet<u64>,
    opening: Option<Opening>,
}

/// The epochs of each worker that are open.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    workers: BTreeMap<u32, OfWorker>,
}

impl Epochs {
    /// The open epoch on a worker, if there is exactly one.
    pub(super) fn current(&self, worker: u32) -> Epoch {
        let open = self.workers.get(&worker).map(|epochs| &epochs.open).filter(|open| open.len() == 1);
        open.and_then(BTreeSet::first).map_or(Epoch::UNKNOWN, |&epoch| Epoch(epoch))
    }

    /// Counts records that a worker sent for the epoch that it has opened, if it has.
    pub(super) fn sent(&mut self, worker: u32, at: u64, length: u64) {
        if let Some(opening) = self.workers.get_mut(&worker).and_then(|epochs| epochs.opening.as_mut()) {
            if opening.records == 0 {
                opening.at = at;
            }
            opening.records = opening.records.saturating_add(length);
        }
    }

    /// A text opens an epoch, or completes those before one.
    pub(super) fn text(
        &mut self,
        worker: u32,
        at: u64,
        text: &str,
        source: OperatorId,
        out: &mut Vec<Record>,
        oddities: &mut Oddities,
    ) -> Result<(), Refused> {
        let number = |mark: &str| text.split_once(mark).map(|(_, number)| number.trim().parse::<u64>());
        match (number("begin computation at epoch:"), number("closed times before:")) {
            (Some(Ok(epoch)), _) => {
                self.give(worker, source, out);
                room(self.workers.values().map(|epochs| epochs.open.len()).sum(), "open epochs")?;
                let epochs = self.workers.entry(worker).or_default();
                epochs.open.insert(epoch);
                epochs.opening = Some(Opening { at, due: at, epoch, records: 0 });
            }
            (_, Some(Ok(before))) => {
                self.give(worker, source, out);
                let epochs = self.workers.entry(worker).or_default();
                let still_open = epochs.open.split_off(&before);
                for epoch in std::mem::replace(&mut epochs.open, still_open) {
                    out.push(Record::EpochCompleted { at: Timestamp(at), worker: WorkerId(worker), epoch: Epoch(epoch) });
                }
            }
            (None, None) => {}
            _ => oddities.count("texts that name no epoch where one is expected"),
        }
        Ok(())
    }

    /// Records the epoch that a worker has opened, once all its records are counted.
    pub(super) fn give(&mut self, worker: u32, source: OperatorId, out: &mut Vec<Record>) {
        let opening = self.workers.get_mut(&worker).and_then(|epochs| epochs.opening.take());
        out.extend(opening.map(|opening| opening.record(source)));
    }

    /// Records the epochs that any workers have opened.
    pub(super) fn give_all(&mut self, source: OperatorId, out: &mut Vec<Record>) {
        out.extend(self.workers.values_mut().filter_map(|epochs| epochs.opening.take()).map(|opening| opening.record(source)));
    }
}

impl Opening {
    fn record(self, source: OperatorId) -> Record {
        let Opening { at, due, epoch, records } = self;
        Record::EpochOpened { at: Timestamp(at), source: InstanceId::new(source, 0), epoch: Epoch(epoch), due: Timestamp(due), records }
    }
}
