//! Activity records of one worker, built from timely's log while it runs.
//!
//! Activities: timely logs when an operator starts and stops, nested inside its scopes. An activity
//! is the time between two such events, so activities of a worker never overlap. An activation that
//! moved no message and saw no progress is *spinning*: it leaves no record, and its time is a gap,
//! like that of a driver that polls. The same holds for short pieces of a scope's own time: see
//! [`SCOPE_PIECE`].

use std::time::Duration;

use timely::logging::{MessagesEvent, StartStop, TimelyEvent};

use super::structure::{Dataflow, Structure};
use crate::activity::{Activity, ActivityKind, ArrangementEvent, Lane, Message, MessageKind, Record};
use crate::engine::host::{Buffer, Link};
use crate::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// A scope's own time between two of its operators is recorded from this length on. Measured on
/// `examples/instrument_*`: nine in ten pieces are shorter, the scope's way from one operator to
/// the next, and together they hold 5 % (one flat dataflow) to 22 % (differential, nested) of the
/// scopes' own time. The rest is progress tracking.
const SCOPE_PIECE: Duration = Duration::from_micros(2);

/// What is known of the operator or channel with a given number.
#[derive(Clone, Copy, Default)]
struct Part {
    is_scope: bool,
    /// What is sent on the channel is counted as emitted.
    counts_out: bool,
    /// What is received from the channel is counted as taken in.
    counts_in: bool,
}

/// An operator that has started and not stopped.
struct Frame {
    operator: OperatorId,
    is_scope: bool,
    /// When it started, or the last of the operators in it stopped.
    since: Timestamp,
    /// Whether there is a reason to record it.
    moved: bool,
    records_in: u64,
    records_out: u64,
}

/// Conversion of a worker's log to activity records.
pub(super) struct WorkerLog {
    worker: WorkerId,
    peers: u64,
    /// Whether this worker records what is the same on all: names and channels.
    describes: bool,
    buffer: Buffer,
    structure: Structure,
    /// By number; timely numbers operators and channels together, from zero on.
    parts: Vec<Part>,
    dataflows: Vec<OperatorId>,
    stack: Vec<Frame>,
    /// The operator that progress was just reported to.
    told: Option<usize>,
    /// For each stream of timely's log, before which instant nothing will follow.
    bounds: Vec<Timestamp>,
    /// Streams that have reported this since the last hand-over was considered.
    flushed: u64,
}

impl WorkerLog {
    pub(super) fn new(worker: WorkerId, peers: usize, describes: bool, link: Link) -> WorkerLog {
        WorkerLog {
            worker,
            peers: peers as u64,
            describes,
            buffer: Buffer::new(worker, Duration::ZERO, link),
            structure: Structure::default(),
            parts: Vec::new(),
            dataflows: Vec::new(),
            stack: Vec::new(),
            told: None,
            bounds: Vec::new(),
            flushed: 0,
        }
    }

    /// A further stream of timely's log, by its index.
    pub(super) fn stream(&mut self) -> usize {
        self.bounds.push(Timestamp::ZERO);
        self.bounds.len() - 1
    }

    /// Reports that nothing from before `bound` will follow on a stream. When all streams have
    /// reported, a hand-over may be due.
    pub(super) fn flushed(&mut self, stream: usize, bound: Timestamp) {
        self.bounds[stream] = bound;
        self.flushed |= 1 << stream;
        if self.flushed.count_ones() as usize == self.bounds.len() {
            self.flushed = 0;
            let up_to = self.up_to();
            self.buffer.hand_over(up_to);
        }
    }

    fn up_to(&self) -> Timestamp {
        self.bounds.iter().copied().min().unwrap_or_default()
    }

    /// Whether names and channels are this worker's to record.
    pub(super) fn describes(&self) -> bool {
        self.describes
    }

    /// Adds a record.
    pub(super) fn push(&mut self, record: Record) {
        self.buffer.push(record);
    }

    /// Whether `operator` is a dataflow, not something in one.
    pub(super) fn is_dataflow(&self, operator: OperatorId) -> bool {
        self.dataflows.contains(&operator)
    }

    /// Takes an event of the stream `timely`.
    #[inline]
    pub(super) fn event(&mut self, at: Timestamp, event: TimelyEvent) {
        match event {
            TimelyEvent::Schedule(schedule) => match schedule.start_stop {
                StartStop::Start => self.start(at, schedule.id),
                StartStop::Stop => self.stop(at),
            },
            TimelyEvent::Messages(message) => self.message(at, &message),
            TimelyEvent::PushProgress(push) => self.told = Some(push.op_id),
            TimelyEvent::Channels(channel) => self.structure.channel(channel),
            TimelyEvent::Operates(operator) => {
                if let Some(dataflow) = self.structure.operator(&operator) {
                    let number = self.number(operator.id).map(OperatorId);
                    self.dataflows.extend(number);
                    self.built(&dataflow);
                }
                if self.describes
                    && let Some(id) = self.number(operator.id)
                {
                    self.buffer.push(Record::Operator { operator: OperatorId(id), name: operator.name });
                }
            }
            TimelyEvent::Shutdown(shutdown) => self.dataflows.retain(|dataflow| dataflow.0 as usize != shutdown.id),
            TimelyEvent::CommChannels(_) | TimelyEvent::Park(_) | TimelyEvent::Text(_) => {}
        }
    }

    /// The number as our records have it. What does not fit is counted as lost.
    pub(super) fn number(&mut self, timely: usize) -> Option<u32> {
        let number = u32::try_from(timely).ok();
        self.buffer.lose(u64::from(number.is_none()));
        number
    }

    fn built(&mut self, dataflow: &Dataflow) {
        for &scope in &dataflow.scopes {
            if let Some(part) = self.part(scope) {
                part.is_scope = true;
            }
        }
        for channel in &dataflow.channels {
            if let Some(part) = self.part(channel.id) {
                part.counts_out = channel.counts_out;
                part.counts_in = channel.ends.is_some();
            }
            if let Some((source, target)) = channel.ends.filter(|_| self.describes)
                && let (Some(id), Some(source), Some(target)) = (self.number(channel.id), self.number(source), self.number(target))
            {
                self.buffer.push(Record::Channel { channel: ChannelId(id), source: OperatorId(source), target: OperatorId(target) });
            }
        }
    }

    fn part(&mut self, id: usize) -> Option<&mut Part> {
        let id = self.number(id)? as usize;
        if self.parts.len() <= id {
            self.parts.resize(id + 1, Part::default());
        }
        Some(&mut self.parts[id])
    }

    fn start(&mut self, at: Timestamp, id: usize) {
        let told = self.told.take() == Some(id);
        if let Some(scope) = self.stack.last() {
            let (since, operator) = (scope.since, scope.operator);
            self.scope_piece(operator, since, at);
        }
        // A number that does not fit keeps its place on the stack, or the stops would not match the
        // starts.
        let operator = OperatorId(self.number(id).unwrap_or(u32::MAX));
        let is_scope = self.parts.get(id).is_some_and(|part| part.is_scope);
        self.stack.push(Frame { operator, is_scope, since: at, moved: told, records_in: 0, records_out: 0 });
    }

    fn stop(&mut self, at: Timestamp) {
        let Some(frame) = self.stack.pop() else { return };
        if frame.is_scope {
            self.scope_piece(frame.operator, frame.since, at);
        } else if frame.moved {
            let (records_in, records_out) = (frame.records_in, frame.records_out);
            self.activity(ActivityKind::Processing, frame.operator, frame.since, at, records_in, records_out);
        }
        if let Some(scope) = self.stack.last_mut() {
            scope.since = at;
        }
    }

    fn scope_piece(&mut self, scope: OperatorId, start: Timestamp, end: Timestamp) {
        if end.since(start) >= SCOPE_PIECE {
            self.activity(ActivityKind::Scheduling, scope, start, end, 0, 0);
        }
    }

    fn activity(&mut self, kind: ActivityKind, operator: OperatorId, start: Timestamp, end: Timestamp, records_in: u64, records_out: u64) {
        if operator.0 == u32::MAX {
            return;
        }
        self.buffer.push(Record::Activity(Activity {
            lane: Lane::Worker(self.worker),
            kind,
            instance: InstanceId { operator, index: self.worker.0 },
            epoch: Epoch::UNKNOWN,
            start,
            end,
            records_in,
            records_out,
        }));
    }

    fn message(&mut self, at: Timestamp, message: &MessagesEvent) {
        let records = u64::try_from(message.record_count).unwrap_or(0);
        if let Some(frame) = self.stack.last_mut() {
            let part = self.parts.get(message.channel).copied().unwrap_or_default();
            frame.moved = true;
            if message.is_send && part.counts_out {
                frame.records_out += records;
            } else if !message.is_send && part.counts_in {
                frame.records_in += records;
            }
        }
        if message.source == message.target {
            return;
        }
        // Timely counts messages for each pair of workers.
        let sequence = message.seq_no as u64 * self.peers + message.target as u64;
        self.crossing(at, message.is_send, MessageKind::Data, message.channel, sequence, message.source, message.target, records);
    }

    /// A progress message, sent to all workers or received from another.
    pub(super) fn progress(&mut self, at: Timestamp, is_send: bool, channel: usize, sequence: usize, from: usize, changes: usize) {
        let me = self.worker.0 as usize;
        if self.peers > 1 && (is_send || from != me) {
            self.crossing(at, is_send, MessageKind::Progress, channel, sequence as u64, from, me, changes as u64);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what timely says of a message, in its order")]
    fn crossing(
        &mut self,
        at: Timestamp,
        is_send: bool,
        kind: MessageKind,
        channel: usize,
        sequence: u64,
        from: usize,
        to: usize,
        records: u64,
    ) {
        let (Ok(channel), Ok(from), Ok(to)) = (u32::try_from(channel), u32::try_from(from), u32::try_from(to)) else {
            return self.buffer.lose(1);
        };
        let lane = |worker| Lane::Worker(WorkerId(worker));
        let message = Message {
            at,
            kind,
            channel: ChannelId(channel),
            sequence,
            from: WorkerId(from),
            from_lane: lane(from),
            to_lane: lane(to),
            epoch: Epoch::UNKNOWN,
            records,
        };
        self.buffer.push(if is_send { Record::Sent(message) } else { Record::Received(message) });
    }

    /// What differential dataflow did to an arrangement.
    pub(super) fn arrangement(&mut self, at: Timestamp, operator: usize, event: ArrangementEvent, updates: usize) {
        if let Some(operator) = self.number(operator) {
            let instance = InstanceId { operator: OperatorId(operator), index: self.worker.0 };
            self.buffer.push(Record::Arrangement { at, instance, event, updates: updates as u64 });
        }
    }
}

/// Timely drops its log when the worker has ended.
impl Drop for WorkerLog {
    fn drop(&mut self) {
        let up_to = self.up_to();
        self.buffer.send(up_to);
    }
}
