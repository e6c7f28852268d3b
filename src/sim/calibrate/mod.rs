//! From the activity log of a run to the numbers of a model of it.
//!
//! Records go in one by one, [`Measured`] comes out: how long a record takes at each operator, what it gives out, when records were due,
//! how long messages travelled, what moving bins took. Nothing is assumed: what the log does not show is missing.

mod bins;
mod messages;
mod schedule;
mod service;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::bins::Moving;
pub use self::bins::{MoveFit, StateFit};
use self::messages::Messages;
pub use self::messages::{DelayFit, MOST_UNPAIRED};
use self::schedule::Due;
use self::service::Worked;
pub use self::service::{ServiceFit, WaitFit};
use crate::activity::{Activity, ActivityKind, Record};
use crate::id::{InstanceId, OperatorId};
use crate::time::Timestamp;
use crate::workload::Phase;

/// Takes records of a run and measures it.
#[derive(Debug, Default)]
pub struct Calibrator {
    operators: BTreeMap<OperatorId, Worked>,
    /// Records that wait for an instance, when it was last looked at.
    waiting: BTreeMap<InstanceId, u64>,
    sources: BTreeMap<OperatorId, Due>,
    messages: Messages,
    moving: Moving,
    records: u64,
}

/// What a log shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// What each operator did.
    pub operators: BTreeMap<OperatorId, OperatorMeasured>,
    /// How long messages with records travelled; nothing where none was paired.
    pub delay: Option<DelayFit>,
    /// What moving bins took; nothing where none moved or the log does not say how long it took.
    pub moves: Option<MoveFit>,
    /// Records of the log.
    pub records: u64,
}

/// What an operator did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OperatorMeasured {
    /// Records taken in.
    pub taken: u64,
    /// Records given out; of a source, emitted.
    pub given: u64,
    /// Records that waited when it was last looked at.
    pub waiting: u64,
    /// How long its work takes; nothing where it took no time.
    pub service: Option<ServiceFit>,
    /// How long it waits for something outside; nothing where it does not.
    pub wait: Option<WaitFit>,
    /// When records were due; sources only.
    pub schedule: Vec<Phase>,
    /// Looks at the source that the schedule rests on.
    pub schedule_samples: u64,
    /// Its state at the end; keyed operators only.
    pub state: Option<StateFit>,
}

impl OperatorMeasured {
    /// Records given out per record taken in; nothing if none was taken in.
    pub fn selectivity(&self) -> Option<f64> {
        (self.taken > 0).then(|| self.given as f64 / self.taken as f64)
    }
}

impl Calibrator {
    /// Takes a record, in whatever order they come.
    pub fn push(&mut self, record: &Record) {
        self.records += 1;
        match record {
            Record::Activity(activity) => self.activity(activity),
            Record::Sent(message) => self.messages.sent(message),
            Record::Received(message) => self.messages.received(message),
            Record::Queue { instance, length, .. } => _ = self.waiting.insert(*instance, *length),
            Record::Bins { instance, loads, .. } => self.moving.sample(instance.operator, loads),
            Record::Source { source, at, due, .. } => self.sources.entry(*source).or_default().sample(*at, *due),
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

    /// What was measured in a run whose sources emitted until `until`.
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
