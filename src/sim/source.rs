//! Open-loop source in virtual time: what is due is emitted in the next tick, unless the queue of
//! an instance is above its mark.

use crate::activity::{Activity, ActivityKind, Lane, Record};
use crate::id::{InstanceId, OperatorId, WorkerId};
use crate::time::{Epoch, Timestamp};
use crate::workload::RateSchedule;

/// A source.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) id: OperatorId,
    schedule: RateSchedule,
    /// Records it may emit in a tick at most.
    most: u64,
    pub(super) emitted: u64,
}

impl Source {
    pub(super) fn new(id: OperatorId, schedule: &RateSchedule, catch_up: f64, tick_s: f64) -> Source {
        let most = (catch_up * schedule.highest().as_per_second() * tick_s).ceil() as u64;
        Source { id, schedule: schedule.clone(), most, emitted: 0 }
    }

    /// Emits what is due as `epoch`; returns how many records that is.
    pub(super) fn emit(&mut self, epoch: u64, now: Timestamp, paused: bool, records: &mut Vec<Record>) -> u64 {
        // A record that is due only by the last bit of a sum is due.
        let due = (self.schedule.due(now) + 1e-9) as u64;
        let count = due.saturating_sub(self.emitted).min(self.most);
        if count == 0 || paused {
            return 0;
        }
        let earliest = self.schedule.time_of(self.emitted + 1).unwrap_or(now).min(now);
        self.emitted += count;
        let (source, epoch) = (self.id, Epoch(epoch));
        records.push(Record::EpochOpened { at: now, source, epoch, due: earliest, records: count });
        records.push(Record::Activity(Activity {
            lane: Lane::Worker(WorkerId(0)),
            kind: ActivityKind::Source,
            instance: InstanceId::new(source, 0),
            epoch,
            start: now,
            end: now,
            records_in: count,
            records_out: count,
        }));
        count
    }

    /// Its progress.
    pub(super) fn sample(&self, at: Timestamp) -> Record {
        Record::Source { source: self.id, at, due: self.schedule.due(at), emitted: self.emitted }
    }
}
