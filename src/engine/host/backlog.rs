//! Work that waits for a worker, measured in time.
//!
//! The operators of a worker share its time, so what waits for one of them is in front of what
//! comes to the others. Each says how long its own queues take; the sum says how far the worker is
//! behind, however long the chain of operators is and whatever a record costs.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// A worker is late with more work than this: sources pause.
///
/// It is the time that a migration waits for what is in front of a moving bin, beside the horizon
/// of commands. Much longer than a worker needs to turn to its operators once, so that it does not
/// run out of work while sources wait.
const LATE: Duration = Duration::from_millis(10);

/// Work of all operators of a worker; clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Backlog(Rc<Cell<Duration>>);

impl Backlog {
    /// An operator's work has changed from `before` to `after`.
    pub(in crate::engine) fn change(&self, before: Duration, after: Duration) {
        self.0.set((self.0.get() + after).saturating_sub(before));
    }

    /// Whether sources are to pause for an instance with so much work, if they do already or if
    /// they do not yet. Of several instances those count that have a good part of the work; they
    /// resume when half of it is done, so that they do not pause for each record.
    pub(in crate::engine) fn is_late(&self, work: Duration, pauses: bool) -> bool {
        let all = self.0.get();
        if pauses { all > LATE / 2 && work > LATE / 8 } else { all > LATE && work > LATE / 4 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn who_has_a_part_of_too_much_work_is_late_until_half_is_done() {
        let backlog = Backlog::default();
        let (one, other) = (backlog.clone(), backlog.clone());
        one.change(Duration::ZERO, 8 * MS);
        assert!(!backlog.is_late(8 * MS, false), "not too much");
        other.change(Duration::ZERO, 4 * MS);
        assert!(backlog.is_late(8 * MS, false) && backlog.is_late(4 * MS, false));
        assert!(!backlog.is_late(2 * MS, false), "a small part");
        one.change(8 * MS, 2 * MS);
        assert!(!backlog.is_late(4 * MS, false) && backlog.is_late(4 * MS, true), "it resumes later than it pauses");
        other.change(4 * MS, 2 * MS);
        assert!(!backlog.is_late(2 * MS, true));
    }
}
