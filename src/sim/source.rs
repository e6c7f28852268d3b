//! Open-loop source in virtual time: what is due is emitted in the next tick, unless the queue of
//! an instance is above its mark.

use crate::activity::{Activity, ActivityKind, Lane, Record};
use crate::id::{InstanceId, OperatorId, WorkerId};
use crate::rate::Rate;
use crate::time::{Epoch, Timestamp};
use crate::workload::RateSchedule;

/// A source.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) id: OperatorId,
    schedule: RateSchedule,
    /// Records per second that it may emit at most.
    most_per_s: f64,
    /// Records it may emit in this tick at most.
    most: u64,
    pub(super) emitted: u64,
    /// Time of its worker in a record, in ns; 0 if it takes none.
    work_ns: f64,
    /// Records that it is to make in this tick, those that it has made, and since when (ns).
    wanted: u64,
    made: u64,
    began: u64,
    /// The part of the next record that is done.
    done: f64,
}

impl Source {
    pub(super) fn new(id: OperatorId, schedule: &RateSchedule, catch_up: f64) -> Source {
        let most_per_s = catch_up * schedule.highest().as_per_second();
        Source { id, schedule: schedule.clone(), most_per_s, most: 0, emitted: 0, work_ns: 0.0, wanted: 0, made: 0, began: 0, done: 0.0 }
    }

    /// The same source on a shared worker, which makes so many records per second if it does
    /// nothing else.
    pub(super) fn limited(self, rate: Rate) -> Source {
        Source { work_ns: 1e9 / rate.as_per_second(), ..self }
    }

    /// Whether it takes time of its worker.
    pub(super) fn is_limited(&self) -> bool {
        self.work_ns > 0.0
    }

    /// Begins a tick of so many seconds.
    pub(super) fn begin(&mut self, tick_s: f64) {
        self.most = (self.most_per_s * tick_s).ceil() as u64;
    }

    /// Whether all that is due at `at` has been emitted.
    pub(super) fn keeps_up(&self, at: Timestamp) -> bool {
        self.schedule.due(at) - (self.emitted as f64) < 1.0
    }

    /// Looks, at the start of a tick, how many records are due.
    pub(super) fn want(&mut self, at: Timestamp, paused: bool) {
        let due = (self.schedule.due(at) + 1e-9) as u64;
        self.wanted = if paused { 0 } else { due.saturating_sub(self.emitted).min(self.most) };
    }

    /// Whether it has something to do in this tick.
    pub(super) fn has_work(&self) -> bool {
        self.made < self.wanted
    }

    /// Makes records of `epoch` from `at` until `until` (ns) with the part `speed` of its worker's
    /// core, or until there are as many as are wanted; returns when it stops.
    pub(super) fn work(&mut self, (at, until): (f64, f64), speed: f64, epoch: u64, records: &mut Vec<Record>) -> f64 {
        let (each, left) = (self.work_ns / speed, self.wanted - self.made);
        let whole = self.done + (until - at) / each;
        let count = ((whole + 1e-9) as u64).min(left);
        let end = if count == left { (at + (count as f64 - self.done) * each).clamp(at, until) } else { until };
        self.done = if count == left { 0.0 } else { (whole - count as f64).max(0.0) };
        if self.made == 0 {
            self.began = at.round() as u64;
        }
        self.made += count;
        let (start, end_at) = (Timestamp(at.round() as u64), Timestamp(end.round() as u64));
        records.push(self.activity(epoch, start, end_at, count));
        end
    }

    fn activity(&self, epoch: u64, start: Timestamp, end: Timestamp, count: u64) -> Record {
        Record::Activity(Activity {
            lane: Lane::Worker(WorkerId(0)),
            kind: ActivityKind::Source,
            instance: InstanceId::new(self.id, 0),
            epoch: Epoch(epoch),
            start,
            end,
            records_in: count,
            records_out: count,
        })
    }

    /// Emits what it has made as `epoch`; returns how many records that is.
    fn emit_made(&mut self, epoch: u64, records: &mut Vec<Record>) -> u64 {
        let (count, at) = (std::mem::take(&mut self.made), Timestamp(self.began));
        if count > 0 {
            let due = self.schedule.time_of(self.emitted + 1).unwrap_or(at).min(at);
            self.emitted += count;
            records.push(Record::EpochOpened { at, source: InstanceId::new(self.id, 0), epoch: Epoch(epoch), due, records: count });
        }
        count
    }

    /// Emits what is due as `epoch`; returns how many records that is.
    pub(super) fn emit(&mut self, epoch: u64, now: Timestamp, paused: bool, records: &mut Vec<Record>) -> u64 {
        if self.is_limited() {
            return self.emit_made(epoch, records);
        }
        // A record that is due only by the last bit of a sum is due.
        let due = (self.schedule.due(now) + 1e-9) as u64;
        let count = due.saturating_sub(self.emitted).min(self.most);
        if count == 0 || paused {
            return 0;
        }
        let earliest = self.schedule.time_of(self.emitted + 1).unwrap_or(now).min(now);
        self.emitted += count;
        records.push(Record::EpochOpened {
            at: now,
            source: InstanceId::new(self.id, 0),
            epoch: Epoch(epoch),
            due: earliest,
            records: count,
        });
        records.push(self.activity(epoch, now, now, count));
        count
    }

    /// Its progress.
    pub(super) fn sample(&self, at: Timestamp) -> Record {
        Record::Source { source: InstanceId::new(self.id, 0), at, due: self.schedule.due(at), emitted: self.emitted }
    }
}
