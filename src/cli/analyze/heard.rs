//! Of whom the files have told how far they have come.
//!
//! Until some worker of each file has, no window is complete; what is read until then stays in memory.

use std::collections::BTreeSet;

use crate::activity::Record;
use crate::id::WorkerId;

/// From so many records on, it is said that they are held.
const MANY_HELD: usize = 1 << 18;

/// Workers that have said how far they have come, as far as they are waited for.
pub(super) struct Heard {
    awaited: usize,
    workers: BTreeSet<WorkerId>,
    held: usize,
}

impl Heard {
    /// Waits for `awaited` workers.
    pub(super) fn new(awaited: usize) -> Heard {
        Heard { awaited, workers: BTreeSet::new(), held: 0 }
    }

    pub(super) fn all(&self) -> bool {
        self.workers.len() >= self.awaited
    }

    /// Takes records into account; gives a note once many are held.
    pub(super) fn take(&mut self, records: &[Record]) -> Option<&'static str> {
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
            "not every file says how far its workers have come, so no window is complete before the end: all records stay in memory",
        )
    }
}
