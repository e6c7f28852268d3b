//! How far the log of each worker has come.
//!
//! A worker that has left, and has told everything up to then, is not waited for any longer, but for the last one.

use std::collections::BTreeMap;

use super::clocks::Clocks;
use crate::id::WorkerId;
use crate::time::Timestamp;

/// The progress of all workers.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    up_to: BTreeMap<WorkerId, Timestamp>,
    /// When those left that did.
    left: BTreeMap<WorkerId, Timestamp>,
}

impl Progress {
    /// A worker has told everything before `at`.
    pub(super) fn told(&mut self, worker: WorkerId, at: Timestamp) {
        let up_to = self.up_to.entry(worker).or_default();
        *up_to = (*up_to).max(at);
        if !self.left.is_empty() {
            self.forget(worker);
        }
    }

    /// A worker left at `at`.
    pub(super) fn left(&mut self, worker: WorkerId, at: Timestamp) {
        self.left.insert(worker, at);
        self.forget(worker);
    }

    /// A worker joined, possibly once more.
    pub(super) fn joined(&mut self, worker: WorkerId) {
        self.left.remove(&worker);
    }

    /// Forgets a worker that has left and has told everything, and the one that was the only one until now if the same holds of it.
    fn forget(&mut self, worker: WorkerId) {
        let has_told = |worker: &WorkerId, up_to: &Timestamp| self.left.get(worker).is_some_and(|at| up_to >= at);
        if self.up_to.len() > 1 && self.up_to.get(&worker).is_some_and(|up_to| has_told(&worker, up_to)) {
            self.up_to.remove(&worker);
        } else if let (2, Some(&other)) = (self.up_to.len(), self.up_to.keys().find(|other| **other != worker))
            && has_told(&other, &self.up_to[&other])
        {
            self.up_to.remove(&other);
        }
    }

    /// Whether no worker has told anything.
    pub(super) fn is_empty(&self) -> bool {
        self.up_to.is_empty()
    }

    /// The instant before which everything is known by the corrected clocks; zero if no worker has told anything.
    pub(super) fn known(&self, clocks: &Clocks) -> Timestamp {
        let corrected = |(worker, at): (&WorkerId, &Timestamp)| Timestamp(at.0.saturating_add_signed(clocks.offset(worker.0)));
        self.up_to.iter().map(corrected).min().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_left_is_waited_for_until_it_has_told_everything() {
        let (mut progress, clocks) = (Progress::default(), Clocks::default());
        for worker in 0..3 {
            progress.told(WorkerId(worker), Timestamp(10));
        }
        progress.left(WorkerId(1), Timestamp(20));
        progress.told(WorkerId(0), Timestamp(30));
        progress.told(WorkerId(2), Timestamp(30));
        assert_eq!(progress.known(&clocks), Timestamp(10));
        progress.told(WorkerId(1), Timestamp(20));
        assert_eq!((progress.known(&clocks), progress.up_to.len()), (Timestamp(30), 2));
        // What it tells after that changes nothing.
        progress.told(WorkerId(1), Timestamp(25));
        assert_eq!((progress.known(&clocks), progress.up_to.len()), (Timestamp(30), 2));
        progress.left(WorkerId(0), Timestamp(25));
        progress.left(WorkerId(2), Timestamp(25));
        assert_eq!(progress.known(&clocks), Timestamp(30), "the last one stays");
        progress.told(WorkerId(3), Timestamp(40));
        assert_eq!(progress.known(&clocks), Timestamp(40), "until there is another");
    }
}
