//! Timers of all bins of a worker by time, and the capability to emit at the earliest of them.

use std::collections::BTreeMap;
use std::ops::Bound;

use timely::dataflow::operators::Capability;

use crate::engine::Time;
use crate::id::BinId;

/// The timers of all bins that are here.
#[derive(Default)]
pub(super) struct TimerQueue {
    /// Bins whose next timer was at a time when it was set. Some may have fired since, be gone, or
    /// be listed several times: the bins of a time are inspected anyway, so no entry is ever
    /// searched for and removed.
    next: BTreeMap<Time, Vec<BinId>>,
    /// The capability to emit results at the earliest of them.
    pub(super) cap: Option<Capability<Time>>,
    /// Timers that one call of a function sets.
    pub(super) asked: Vec<Time>,
}

impl TimerQueue {
    /// Whether no timer is set, and none was that is still listed.
    pub(super) fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// Whether there may be a timer at `at` or before.
    pub(super) fn is_due(&self, at: Time) -> bool {
        self.next.first_key_value().is_some_and(|(first, _)| *first <= at)
    }

    /// The earliest time after `passed` at which bins may have their next timer.
    pub(super) fn after(&self, passed: Option<Time>) -> Option<Time> {
        let from = passed.map_or(Bound::Unbounded, Bound::Excluded);
        self.next.range((from, Bound::Unbounded)).next().map(|(&at, _)| at)
    }

    /// Takes the bins that may have their next timer at `at`.
    pub(super) fn take(&mut self, at: Time) -> Vec<BinId> {
        self.next.remove(&at).unwrap_or_default()
    }

    /// A bin's next timer is at `next` now.
    pub(super) fn set(&mut self, id: BinId, next: Time) {
        if next < Time::MAX {
            let bins = self.next.entry(next).or_default();
            if bins.len() == bins.capacity() {
                // Twice the room for those that are different, so that they are not sorted for each
                // that comes.
                bins.sort_unstable();
                bins.dedup();
                bins.reserve(bins.len().max(4));
            }
            bins.push(id);
        }
    }

    /// A timer at `next` was set; `cap` is a capability from which it can be served.
    pub(super) fn answered_by(&mut self, cap: &Capability<Time>, next: Time) {
        if self.cap.as_ref().is_none_or(|held| *held.time() > next) {
            self.cap = Some(cap.delayed(&next));
        }
    }

    /// A bin has come, with a capability for its timers if it has any.
    pub(super) fn come(&mut self, id: BinId, next: Time, cap: Option<Capability<Time>>) {
        self.set(id, next);
        if let Some(cap) = cap
            && self.cap.as_ref().is_none_or(|held| held.time() > cap.time())
        {
            self.cap = Some(cap);
        }
    }

    /// Downgrades the capability to what the timers need.
    pub(super) fn downgrade(&mut self) {
        match self.next.first_key_value() {
            None => self.cap = None,
            Some((next, _)) => {
                let cap = self.cap.as_mut().expect("there is a right to answer timers");
                // Avoids a needless change of timely's counts.
                if cap.time() != next {
                    cap.downgrade(next);
                }
            }
        }
    }
}
