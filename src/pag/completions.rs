//! Infers which message told a worker that an epoch was complete.
//!
//! A host logs when its frontier passed an epoch, but not which message advanced it. The last one
//! comes from the lane on which the epoch's last records reached a sink, so a message from there to
//! the worker that saw the completion is inferred.

use std::collections::BTreeMap;

use crate::activity::{Activity, Lane, Message, MessageKind};
use crate::id::{ChannelId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// Epochs whose last sink is remembered, at most; of older ones no completion is inferred.
const MOST_EPOCHS: usize = 1 << 16;

/// What reached sinks, and what was seen complete.
#[derive(Clone, Debug, Default)]
pub(super) struct Completions {
    /// The latest arrival at a sink, by epoch.
    sunk: BTreeMap<Epoch, (Timestamp, Lane)>,
    /// Seen and not yet inferred from.
    seen: Vec<(Timestamp, WorkerId, Epoch)>,
    inferred: u64,
}

impl Completions {
    pub(super) fn sunk(&mut self, activity: &Activity) {
        let last = self.sunk.entry(activity.epoch).or_insert((activity.end, activity.lane));
        if activity.end >= last.0 {
            *last = (activity.end, activity.lane);
        }
        while self.sunk.len() > MOST_EPOCHS {
            self.sunk.pop_first();
        }
    }

    pub(super) fn completed(&mut self, at: Timestamp, worker: WorkerId, epoch: Epoch) {
        self.seen.push((at, worker, epoch));
    }

    /// Both sides of the messages that tell of completions before `before`; everything before it is
    /// known.
    pub(super) fn take(&mut self, before: Timestamp) -> Vec<(Message, Message)> {
        let (ripe, rest) = std::mem::take(&mut self.seen).into_iter().partition(|(at, _, _)| *at < before);
        self.seen = rest;
        let ripe: Vec<(Timestamp, WorkerId, Epoch)> = ripe;
        ripe.into_iter().filter_map(|(at, worker, epoch)| self.infer(at, worker, epoch)).collect()
    }

    fn infer(&mut self, at: Timestamp, worker: WorkerId, epoch: Epoch) -> Option<(Message, Message)> {
        let (end, lane) = *self.sunk.get(&epoch)?;
        // What a lane tells itself needs no message.
        let Lane::Worker(from) = lane else { return None };
        if from == worker || end > at {
            return None;
        }
        self.inferred += 1;
        let sent = Message {
            at: end,
            kind: MessageKind::Progress,
            channel: ChannelId::COMPLETION,
            sequence: self.inferred,
            from,
            from_lane: lane,
            to_lane: Lane::Worker(worker),
            epoch,
            records: 0,
        };
        Some((sent, Message { at, ..sent }))
    }
}
