//! The lane of Spark's driver: the tasks it launches, the results it receives, and its work in
//! between.
//!
//! The driver is not instrumented. It is assumed to work from the last event that reached it (a
//! job, a result, a submitted stage) to its next action; the time from there to the next event is
//! waiting. The launch of a stage therefore depends on the last result of the stage before it.
//!
//! Invariant: events of the log, which are roughly in order, are sorted by time; the records of
//! this lane never go back in time.

use std::collections::BTreeMap;

use crate::activity::{Activity, ActivityKind, Lane, Message, Record};
use crate::id::{InstanceId, OperatorId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// The driver's worker and operator.
pub(super) const DRIVER: WorkerId = WorkerId(0);
pub(super) const DRIVER_OPERATOR: OperatorId = OperatorId(0);
/// Number of events buffered for sorting.
const MOST_EVENTS: usize = 1 << 16;

/// An event on the driver. Simultaneous events are in the order of this list.
#[derive(Clone, Copy, Debug)]
pub(super) enum Happens {
    /// A result arrives.
    Received(Message),
    /// A job is submitted.
    JobStart(Epoch),
    /// A stage is submitted.
    Submitted(Epoch),
    /// A task is sent.
    Sent(Message),
    /// A job is complete.
    JobEnd(Epoch),
}

impl Happens {
    fn rank(self) -> u8 {
        match self {
            Happens::Received(_) => 0,
            Happens::JobStart(_) => 1,
            Happens::Submitted(_) => 2,
            Happens::Sent(_) => 3,
            Happens::JobEnd(_) => 4,
        }
    }
}

/// The driver's activity, reconstructed from the log.
#[derive(Debug, Default)]
pub(super) struct Driver {
    events: BTreeMap<(u64, u8, u64), Happens>,
    sequence: u64,
    /// Start of its current work; `None` while it waits.
    busy_since: Option<u64>,
    last: u64,
    told: u64,
}

impl Driver {
    /// Records an event at `at`, in ns.
    pub(super) fn note(&mut self, at: u64, what: Happens) {
        self.sequence += 1;
        self.events.insert((at, what.rank(), self.sequence), what);
    }

    /// Returns what happened before `horizon`, in ns, before which nothing else will arrive. Also
    /// returns the number of events that arrived too late to be sorted, and were moved to the
    /// latest time.
    pub(super) fn advance(&mut self, horizon: u64, out: &mut Vec<Record>) -> u64 {
        let mut late = 0;
        while let Some(first) = self.events.first_entry() {
            let at = first.key().0;
            if at >= horizon && self.events.len() < MOST_EVENTS {
                break;
            }
            let what = self.events.pop_first().expect("it has a first").1;
            late += u64::from(at < self.last);
            self.last = self.last.max(at);
            self.happen(self.last, what, out);
        }
        self.last = self.last.max(horizon);
        late
    }

    fn happen(&mut self, at: u64, what: Happens, out: &mut Vec<Record>) {
        let instant = Timestamp(at);
        match what {
            Happens::Received(message) => {
                out.push(Record::Received(Message { at: instant, ..message }));
                self.busy_since = Some(at);
            }
            Happens::JobStart(epoch) => {
                out.push(Record::EpochOpened { at: instant, source: InstanceId::new(DRIVER_OPERATOR, 0), epoch, due: instant, records: 1 });
                self.busy_since = Some(at);
            }
            Happens::Submitted(epoch) => {
                self.work(at, epoch, out);
                self.busy_since = Some(at);
            }
            Happens::Sent(message) => {
                self.work(at, message.epoch, out);
                out.push(Record::Sent(Message { at: instant, ..message }));
                self.busy_since = Some(at);
            }
            Happens::JobEnd(epoch) => {
                self.work(at, epoch, out);
                out.push(Record::EpochCompleted { at: instant, worker: DRIVER, epoch });
                self.busy_since = None;
            }
        }
    }

    fn work(&self, end: u64, epoch: Epoch, out: &mut Vec<Record>) {
        let Some(start) = self.busy_since.filter(|&start| start < end) else { return };
        out.push(Record::Activity(Activity {
            lane: Lane::Worker(DRIVER),
            kind: ActivityKind::Scheduling,
            instance: InstanceId::new(DRIVER_OPERATOR, 0),
            epoch,
            start: Timestamp(start),
            end: Timestamp(end),
            records_in: 0,
            records_out: 0,
        }));
    }

    /// Reports the driver's progress up to `horizon`, or to the start of its current work.
    pub(super) fn tell(&mut self, horizon: u64, out: &mut Vec<Record>) {
        let up_to = self.busy_since.map_or(horizon, |since| since.min(horizon));
        if up_to > self.told {
            self.told = up_to;
            out.push(Record::UpTo { worker: DRIVER, at: Timestamp(up_to) });
        }
    }

    /// Returns everything, at the end of the log. Also returns the number of events that arrived
    /// too late to be sorted.
    pub(super) fn close(&mut self, out: &mut Vec<Record>) -> u64 {
        let late = self.advance(u64::MAX, out);
        self.busy_since = None;
        late
    }
}
