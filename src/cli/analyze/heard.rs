//! Tracks which workers have reported progress.
//!
//! No window is complete until a worker of each file has reported progress; records read until then
//! stay in memory.

use std::collections::BTreeSet;

use crate::activity::Record;
use crate::id::WorkerId;

/// Number of records held in memory at which a note is printed.
const MANY_HELD: usize = 1 << 18;

/// The workers that have reported progress, until as many have as are expected.
pub(super) struct Heard {
    awaited: usize,
    workers: BTreeSet<WorkerId>,
    held: usize,
}

impl Heard {
    /// Expects progress from `awaited` workers.
    pub(super) fn new(awaited: usize) -> Heard {
        Heard { awaited, workers: BTreeSet::new(), held: 0 }
    }

    pub(super) fn all(&self) -> bool {
        self.workers.len() >= self.awaited
    }

    /// Takes records into account; returns a note once many are held in memory.
    pub(super) fn take(&mut self, records: &[Record]) -> Option<&'static str> {
        if self.all() {
            return None;
        }
        for record in records {
            if let Record::UpTo { worker, .. } = record
                && !self.all()
            {
                self.workers.insert(*worker);
            }
        }
        if self.all() {
            return None;
        }
        let before = self.held;
        self.held += records.len();
        (before < MANY_HELD && self.held >= MANY_HELD).then_some(
            "not every file reports progress of its workers, so no window is complete before the end: all records stay in memory",
        )
    }
}
