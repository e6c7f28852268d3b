//! Messages, completed epochs and names for the activity graph, derived from the counts of the
//! simulation.
//!
//! Records are counted, not followed, so their routes are those of a first come, first served
//! exchange: what lanes emit goes, in the order of their numbers, to the receivers in the order of
//! theirs. Each record has one sender and one receiver, the sizes of all messages add up to the
//! counts, and there are no more messages than batches and receivers together.
//!
//! A message is sent once, when a tick emits what a lane has completed in it, and received by each
//! lane that takes a part of it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::activity::{Lane, Message, MessageKind, Record};
use crate::dataflow::Topology;
use crate::id::{ChannelId, OperatorId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// The worker of sources and sinks, where epochs are seen complete; the only one unless workers are
/// shared.
pub(super) const WORKER: WorkerId = WorkerId(0);

/// A batch that was sent and not yet received as a whole.
#[derive(Clone, Copy, Debug)]
struct Parcel {
    message: Message,
    /// When it arrives, in ns.
    arrives: u64,
    /// Records that have not been received yet.
    left: u64,
}

/// Where and when records go from one operator to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// Number of the edge.
    pub(super) edge: u32,
    /// Number of the operator.
    pub(super) to: usize,
    /// It is a sink.
    pub(super) to_sink: bool,
    /// Now, in ns.
    pub(super) now: u64,
    /// Their delay.
    pub(super) delay: Duration,
}

/// Messages in transit and epochs that are not complete.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    /// By receiving operator, in the order in which they were sent.
    parcels: Vec<Vec<Parcel>>,
    /// What lanes of the operator that is visited emitted in this tick, by epoch.
    given: Vec<(Lane, u64, u64)>,
    /// Epochs that were opened and are not complete, in order.
    open: VecDeque<u64>,
    sent: u64,
    /// Names that are not recorded yet.
    names: Vec<Record>,
}

impl Graph {
    /// Of a job whose edges are the channels, by number.
    pub(super) fn new(topology: &Topology) -> Graph {
        let operators = topology.operators().iter().map(|operator| Record::Operator { operator: operator.id, name: operator.name.clone() });
        let edges = (0..).zip(topology.edges().iter().chain(topology.feedback()));
        let channels = edges.map(|(number, edge)| Record::Channel { channel: ChannelId(number), source: edge.from, target: edge.to });
        let parcels = vec![Vec::new(); topology.operators().len()];
        Graph { parcels, given: Vec::new(), open: VecDeque::new(), sent: 0, names: operators.chain(channels).collect() }
    }

    /// Emits the names, the first time.
    pub(super) fn describe(&mut self, records: &mut Vec<Record>) {
        records.append(&mut self.names);
    }

    /// A source emits an epoch.
    pub(super) fn opened(&mut self, epoch: u64) {
        if self.open.back() != Some(&epoch) {
            self.open.push_back(epoch);
        }
    }

    /// `lane` emitted records of `epoch`.
    pub(super) fn gave(&mut self, lane: Lane, epoch: u64, records: u64) {
        match self.given.iter_mut().rev().find(|(known, of, _)| (*known, *of) == (lane, epoch)) {
            Some((_, _, sum)) => *sum += records,
            None => self.given.push((lane, epoch, records)),
        }
    }

    /// Of the `count` records of `epoch` that were emitted, `passed` go that way.
    pub(super) fn send(&mut self, way: Way, epoch: u64, count: u64, passed: u64, records: &mut Vec<Record>) {
        // Cut so that the parts add up to what passes.
        let part = |before: u64| (u128::from(before) * u128::from(passed) / u128::from(count.max(1))) as u64;
        let mut before = 0;
        for &(lane, _, given) in self.given.iter().filter(|(_, of, _)| *of == epoch) {
            let sent = part(before + given) - part(before);
            before += given;
            // What stays on one lane needs no message.
            let to_lane = Lane::Worker(WORKER);
            if sent == 0 || way.to_sink && lane == to_lane {
                continue;
            }
            let (kind, channel, epoch) = (MessageKind::Data, ChannelId(way.edge), Epoch(epoch));
            let from = if let Lane::Worker(worker) = lane { worker } else { WORKER };
            let message = Message {
                at: Timestamp(way.now),
                kind,
                channel,
                sequence: self.sent,
                from,
                from_lane: lane,
                to_lane,
                epoch,
                records: sent,
            };
            self.sent += 1;
            records.push(Record::Sent(message));
            self.parcels[way.to].push(Parcel { message, arrives: way.now + way.delay.as_nanos() as u64, left: sent });
        }
    }

    /// All edges have taken what was emitted.
    pub(super) fn all_sent(&mut self) {
        self.given.clear();
    }

    /// `lane` of operator `at` takes `count` records of `epoch` out of what has arrived.
    pub(super) fn reached(&mut self, at: OperatorId, lane: Lane, epoch: u64, count: u64, now: u64, records: &mut Vec<Record>) {
        let mut wanted = count;
        let arrived = self.parcels[at.0 as usize].iter_mut().filter(|parcel| parcel.message.epoch.0 == epoch && parcel.arrives <= now);
        for parcel in arrived {
            let taken = parcel.left.min(wanted);
            if taken > 0 {
                parcel.left -= taken;
                wanted -= taken;
                records.push(Record::Received(Message { at: Timestamp(now), to_lane: lane, records: taken, ..parcel.message }));
            }
            if wanted == 0 {
                break;
            }
        }
    }

    /// Operator `at` has taken what has arrived.
    pub(super) fn all_taken(&mut self, at: OperatorId) {
        self.parcels[at.0 as usize].retain(|parcel| parcel.left > 0);
    }

    /// Everything before epoch `oldest` has left the job by `now`.
    pub(super) fn reached_epoch(&mut self, oldest: u64, now: u64, records: &mut Vec<Record>) {
        while let Some(&epoch) = self.open.front().filter(|epoch| **epoch < oldest) {
            self.open.pop_front();
            records.push(Record::EpochCompleted { at: Timestamp(now), worker: WORKER, epoch: Epoch(epoch) });
        }
    }
}
