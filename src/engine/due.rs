//! Which bins of a worker have timers, and the right to give out results at the earliest of them.

use std::collections::BTreeSet;

use timely::dataflow::operators::Capability;

use super::Time;
use crate::id::BinId;

/// The timers of all bins that are here.
#[derive(Default)]
pub(super) struct DueTimers {
    /// The next timer of each bin that has one.
    pub(super) next: BTreeSet<(Time, BinId)>,
    /// The right to give out results at the earliest of them.
    pub(super) cap: Option<Capability<Time>>,
    /// Timers that one call of a function asks for.
    pub(super) asked: Vec<Time>,
}

impl DueTimers {
    /// A bin's next timer is another one now.
    pub(super) fn moved(&mut self, id: BinId, before: Time, next: Time) {
        if before != next {
            self.next.remove(&(before, id));
            if next < Time::MAX {
                self.next.insert((next, id));
            }
        }
    }

    /// A timer at `next` was set, by whoever has the right `cap` to answer it.
    pub(super) fn answered_by(&mut self, cap: &Capability<Time>, next: Time) {
        if self.cap.as_ref().is_none_or(|held| *held.time() > next) {
            self.cap = Some(cap.delayed(&next));
        }
    }

    /// A bin has come, with the right to answer its timers if it has any.
    pub(super) fn come(&mut self, id: BinId, next: Time, cap: Option<Capability<Time>>) {
        self.moved(id, Time::MAX, next);
        if let Some(cap) = cap
            && self.cap.as_ref().is_none_or(|held| held.time() > cap.time())
        {
            self.cap = Some(cap);
        }
    }

    /// A bin whose next timer was at `next` is not here any more.
    pub(super) fn gone(&mut self, id: BinId, next: Time) {
        self.moved(id, next, Time::MAX);
    }

    /// Keeps no more rights than the timers need.
    pub(super) fn downgrade(&mut self) {
        match self.next.first() {
            None => self.cap = None,
            Some((next, _)) => self.cap.as_mut().expect("there is a right to answer timers").downgrade(next),
        }
    }
}
