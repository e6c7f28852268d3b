//! Detects silence: spans of a window in which nothing was recorded, so that records must be
//! missing.
//!
//! Time is divided into slots. A record marks the slot of its time; work on a worker's lane marks
//! its whole span, because a busy worker records nothing else. Work of an instance with its own
//! capacity says nothing about the time before it: its host keeps recording meanwhile.

use std::time::Duration;

use crate::activity::{Activity, Lane, Record};
use crate::time::{Timestamp, Window};

/// Length of a slot: a quarter of the sampling interval of our hosts, so that a missing sample is
/// noticed.
const SLOT: Duration = Duration::from_millis(25);
/// The most slots of a window; in longer windows slots are longer.
const MOST_SLOTS: u64 = 1 << 14;

/// The slots of a window in which something was recorded.
#[derive(Clone, Debug)]
pub(super) struct RecordedSlots {
    window: Window,
    slot_ns: u64,
    slots: Vec<bool>,
    /// The slot that was marked last, from and until: most records are of the same as the one
    /// before.
    last: (u64, u64),
}

impl RecordedSlots {
    /// Nothing yet.
    pub(super) fn new(window: Window) -> RecordedSlots {
        let mut slots = RecordedSlots { window, slot_ns: 0, slots: Vec::new(), last: (0, 0) };
        slots.begin(window);
        slots
    }

    /// The same for another window, of which nothing is recorded yet.
    pub(super) fn begin(&mut self, window: Window) {
        let length_ns = window.length().as_nanos() as u64;
        (self.window, self.last) = (window, (0, 0));
        self.slot_ns = (SLOT.as_nanos() as u64).max(length_ns.div_ceil(MOST_SLOTS));
        self.slots.clear();
        self.slots.resize(length_ns.div_ceil(self.slot_ns) as usize, false);
    }

    /// Marks the slots of a record.
    pub(super) fn mark(&mut self, record: &Record) {
        match record {
            Record::Activity(Activity { lane: Lane::Worker(_), start, end, .. }) => self.span(*start, *end),
            Record::Operator { .. } | Record::Channel { .. } => {}
            other => self.instant(other.at()),
        }
    }

    /// The slot of a time that is not before the window.
    fn slot(&self, at: Timestamp) -> usize {
        ((at.0 - self.window.start.0) / self.slot_ns) as usize
    }

    fn instant(&mut self, at: Timestamp) {
        if (self.last.0..self.last.1).contains(&at.0) {
            return;
        }
        if at >= self.window.start && at < self.window.end {
            let slot = self.slot(at);
            self.slots[slot] = true;
            let from = self.window.start.0 + slot as u64 * self.slot_ns;
            self.last = (from, (from + self.slot_ns).min(self.window.end.0));
        }
    }

    fn span(&mut self, from: Timestamp, to: Timestamp) {
        if self.slots.is_empty() || to < self.window.start || from >= self.window.end {
            return;
        }
        let (first, last) = (self.slot(from.max(self.window.start)), self.slot(to).min(self.slots.len() - 1));
        self.slots[first..=last].fill(true);
    }

    /// Whether nothing was recorded for longer than `longest` at some point in the window.
    pub(super) fn is_silent_for(&self, longest: Duration) -> bool {
        let run = self.slots.split(|heard| *heard).map(<[bool]>::len).max().unwrap_or(0);
        run as u64 * self.slot_ns > longest.as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::ActivityKind;
    use crate::id::{InstanceId, OperatorId, WorkerId};
    use crate::time::Epoch;

    fn ms(ms: u64) -> Timestamp {
        Timestamp(ms * 1_000_000)
    }

    fn heard(lane: Lane, spans: &[(u64, u64)]) -> RecordedSlots {
        let mut heard = RecordedSlots::new(Window::starting(ms(1000), Duration::from_secs(1)));
        let instance = InstanceId::new(OperatorId(1), 0);
        for &(start, end) in spans {
            let (start, end) = (ms(start), ms(end));
            let kind = ActivityKind::Processing;
            heard.mark(&Record::Activity(Activity { lane, kind, instance, epoch: Epoch(0), start, end, records_in: 1, records_out: 1 }));
        }
        heard
    }

    #[test]
    fn a_worker_at_work_is_not_silent_but_an_instance_of_its_own_says_nothing_of_the_time_before() {
        let spans = [(1000, 1100), (1200, 1900), (1910, 1990)];
        assert!(!heard(Lane::Worker(WorkerId(0)), &spans).is_silent_for(Duration::from_millis(100)));
        let instance = heard(Lane::Instance(InstanceId::new(OperatorId(1), 0)), &spans);
        assert!(instance.is_silent_for(Duration::from_millis(700)) && !instance.is_silent_for(Duration::from_millis(800)));
        assert!(heard(Lane::Worker(WorkerId(0)), &[]).is_silent_for(Duration::from_millis(999)), "nothing at all");
        assert!(heard(Lane::Worker(WorkerId(0)), &[(1000, 1700)]).is_silent_for(Duration::from_millis(200)), "nothing at the end");
        assert!(!heard(Lane::Worker(WorkerId(0)), &[(0, 5000)]).is_silent_for(Duration::ZERO), "work beyond both ends");
    }
}
