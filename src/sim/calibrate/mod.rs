//! Derives the parameters of a simulated job from the activity log of a run.
//!
//! It reads records one by one and returns [`Measured`]: service times, selectivities, schedules of
//! sources, network delays and the cost of migrations. It assumes nothing: what the log does not
//! show is missing.

mod bins;
mod measured;
mod messages;
mod schedule;
mod service;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::bins::MoveSamples;
pub use self::bins::{MoveFit, StateFit};
pub use self::measured::{Measured, OperatorMeasured, ServiceFit, WaitFit};
use self::messages::Messages;
pub use self::messages::{DelayFit, MOST_UNPAIRED};
use self::schedule::ScheduleSamples;
use self::service::ServiceSamples;
use crate::activity::{Activity, ActivityKind, Record};
use crate::id::{InstanceId, OperatorId};
use crate::time::Timestamp;

/// Measures a run from its records.
#[derive(Debug, Default)]
pub struct Calibrator {
    operators: BTreeMap<OperatorId, ServiceSamples>,
    /// Records that wait for an instance, when it was last looked at.
    waiting: BTreeMap<InstanceId, u64>,
    sources: BTreeMap<OperatorId, ScheduleSamples>,
    messages: Messages,
    moving: MoveSamples,
    records: u64,
}

impl Calibrator {
    /// Processes a record; they may come in any order.
    pub fn push(&mut self, record: &Record) {
        self.records += 1;
        match record {
            Record::Activity(activity) => self.activity(activity),
            Record::Sent(message) => self.messages.sent(message),
            Record::Received(message) => self.messages.received(message),
            Record::Queue { instance, length, .. } => _ = self.waiting.insert(*instance, *length),
            Record::Bins { instance, loads, .. } => self.moving.sample(instance.operator, loads),
            Record::Source { source, at, due, .. } => self.sources.entry(source.operator).or_default().sample(source.index, *at, *due),
            _ => {}
        }
    }

    fn activity(&mut self, activity: &Activity) {
        let operator = activity.instance.operator;
        match activity.kind {
            ActivityKind::Migration => self.moving.moved(activity),
            ActivityKind::Processing | ActivityKind::ExternalWait | ActivityKind::Source | ActivityKind::Sink => {
                self.operators.entry(operator).or_default().take(activity);
            }
            _ => {}
        }
    }

    /// The measurements of a run whose sources emitted until `until`.
    pub fn finish(self, until: Timestamp) -> Measured {
        let mut operators: BTreeMap<OperatorId, OperatorMeasured> = BTreeMap::new();
        for (id, worked) in self.operators {
            operators.insert(id, worked.finish());
        }
        for (id, due) in self.sources {
            let measured = operators.entry(id).or_default();
            (measured.schedule, measured.schedule_samples) = due.finish(until);
        }
        for (instance, length) in self.waiting {
            let waiting = &mut operators.entry(instance.operator).or_default().waiting;
            *waiting = waiting.saturating_add(length);
        }
        let (states, moves) = self.moving.finish();
        for (id, state) in states {
            operators.entry(id).or_default().state = Some(state);
        }
        Measured { operators, delay: self.messages.finish(), moves, records: self.records }
    }
}
