//! Records of activity and messages, written by hand for tests of the graph.

use std::time::Duration;

use thalweg::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
use thalweg::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use thalweg::pag::GraphConfig;
use thalweg::time::{Epoch, Timestamp};

/// An activity of an operator's instance on a worker, in epoch 0.
pub fn activity(kind: ActivityKind, worker: u32, operator: u32, start: u64, end: u64) -> Activity {
    Activity {
        lane: Lane::Worker(WorkerId(worker)),
        kind,
        instance: InstanceId::new(OperatorId(operator), worker),
        epoch: Epoch(0),
        start: Timestamp(start),
        end: Timestamp(end),
        records_in: 1,
        records_out: 1,
    }
}

/// The record of such an activity that processes records.
pub fn processing(worker: u32, operator: u32, start: u64, end: u64) -> Record {
    Record::Activity(activity(ActivityKind::Processing, worker, operator, start, end))
}

/// A message to a worker, in the channel with the worker's number.
pub fn message(from: u32, to: u32, sequence: u64, at: u64) -> Message {
    Message {
        at: Timestamp(at),
        kind: MessageKind::Data,
        channel: ChannelId(to),
        sequence,
        from: WorkerId(from),
        from_lane: Lane::Worker(WorkerId(from)),
        to_lane: Lane::Worker(WorkerId(to)),
        epoch: Epoch(0),
        records: 1,
    }
}

/// Windows of this length in nanoseconds, in which every wait of two or more counts.
pub fn config(window: u64) -> GraphConfig {
    GraphConfig { least_wait: Duration::from_nanos(2), ..GraphConfig::new(Duration::from_nanos(window)) }
}
