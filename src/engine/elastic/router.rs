//! Routes each record to the instance that owns its bin at the record's epoch.
//!
//! One routing operator precedes each elastic operator. It holds back records of epochs for which
//! commands may still arrive; the control frontier runs ahead of the data, so in a healthy job no
//! record waits here.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use timely::ExchangeData;
use timely::container::NoopBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::frontier::MutableAntichain;

use super::batch::{BatchStream, Routed};
use super::delay::held_back;
use super::erased::Erased;
use super::fault::{Fault, seeded};
use crate::activity::{Lane, Message, MessageKind, Record};
use crate::engine::Time;
use crate::engine::host::{Ack, Command, Context, ControlStream, OperatorSpec, Versions};
use crate::id::{ChannelId, OperatorId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// How records are divided among instances.
pub(super) trait Partition<D>: 'static {
    /// What determines it: a routing table, or a number of instances.
    type Table: 'static;
    /// A record as it is sent.
    type Routed: ExchangeData;

    /// The table after `command`, and whether this router reports that it took it.
    fn next(&self, table: &Self::Table, command: &Command) -> (Self::Table, Option<Ack>);

    /// Divides the records of `batches`, in their order; calls `send` with the records for each
    /// receiver.
    fn divide(&mut self, table: &Self::Table, batches: Vec<Vec<D>>, now: Timestamp, send: &mut dyn FnMut(Receiver, Vec<Self::Routed>));
}

/// Where records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receiver {
    /// The instance; of no account when instances are determined on arrival.
    pub(super) instance: u32,
    /// The worker that hosts it.
    pub(super) worker: WorkerId,
}

/// Puts the routing operator of `spec` behind `data`.
pub(super) fn route<'s, D, P>(
    data: BatchStream<'s, D>,
    control: ControlStream<'s>,
    context: &Context,
    spec: &OperatorSpec,
    first: P::Table,
    mut partition: P,
) -> Stream<'s, Time, Routed>
where
    D: 'static,
    P: Partition<D>,
{
    let scope = data.scope();
    let mut builder = OperatorBuilder::new(format!("{}: route", spec.name), scope);
    let activator = scope.activator_for(builder.operator_info().address);
    let mut data = builder.new_input(data, Pipeline);
    let mut control = builder.new_input(control, Pipeline);
    let (output, routed) = builder.new_output::<Routed>();
    let mut output = OutputBuilder::<Time, NoopBuilder<Routed>>::from(output);
    let (context, clock, id) = (context.clone(), context.clock, spec.id);
    builder.build(move |_| {
        let mut tables = Versions::new(Rc::new(first));
        let mut waiting = HeldBack { context, id, commands: BTreeMap::new(), early: BTreeMap::new(), sequence: 0 };
        move |frontiers| {
            let (data_frontier, control_frontier) = (&frontiers[0], &frontiers[1]);
            control.for_each(|cap, sent| waiting.take_commands(*cap.least().expect("commands have a time"), sent));
            while let Some((time, command)) = waiting.next_command(control_frontier) {
                waiting.context.horizon.is_final(time, clock.now());
                let (table, ack) = partition.next(tables.newest(), &command);
                tables.push(time, Rc::new(table));
                // The receiver may be gone at the end of a run.
                ack.map(|ack| waiting.context.acks.send(ack));
            }
            data.for_each(|cap, batch| {
                waiting.take_batch(
                    cap.retain_least(0).expect("records have a time"),
                    batch.from,
                    Box::new(std::mem::take(&mut batch.records)),
                );
            });
            let mut output = output.activate();
            let mut until = None;
            while let Some((cap, from, batches)) = waiting.next_batches(control_frontier) {
                let time = *cap.time();
                let table = Rc::clone(tables.at(time - Time::from(seeded(Fault::OldTable) && time > 0)));
                let now = waiting.context.clock.now();
                // The others have their turn; what has come so far is taken and not sent on yet.
                if now >= *until.get_or_insert(now + waiting.context.budget.max(Duration::from_nanos(1))) {
                    waiting.put_back(cap, from, batches);
                    activator.activate();
                    break;
                }
                let mut session = output.session_with_builder(&cap);
                let batches = batches.into_iter().map(|batch| *batch.downcast().expect("records that this router took")).collect();
                partition.divide(&table, batches, now, &mut |Receiver { instance: to, worker }, records| {
                    let count = records.len() as u64;
                    let sequence = waiting.sent(from, worker, time, now, count);
                    let sender = waiting.context.worker;
                    session.give_container(&mut Routed { from, sender, to, worker, sequence, count, records: Erased::value(records) });
                });
            }
            tables.retire(waiting.oldest(data_frontier));
        }
    });
    held_back(routed, spec.delay, &clock)
}

/// The records of a batch.
type Records = Box<dyn Any>;

/// Batches of one epoch with the lanes they came from, and the capability to send them on.
type Waiting = (Capability<Time>, VecDeque<(Lane, Records)>);

/// Pending input of a router, whatever the type of its records: commands that are not final yet,
/// and batches for which commands may still arrive.
struct HeldBack {
    context: Context,
    id: OperatorId,
    commands: BTreeMap<Time, VecDeque<Command>>,
    early: BTreeMap<Time, Waiting>,
    /// Batches that were sent.
    sequence: u64,
}

impl HeldBack {
    fn take_commands(&mut self, time: Time, sent: &mut Vec<Command>) {
        let mine = sent.drain(..).filter(|command| command.operator == self.id);
        self.commands.entry(time).or_default().extend(mine);
    }

    /// The next command that is final.
    fn next_command(&mut self, control: &MutableAntichain<Time>) -> Option<(Time, Command)> {
        loop {
            let mut first = self.commands.first_entry().filter(|first| !control.less_equal(first.key()))?;
            match first.get_mut().pop_front() {
                Some(command) => return Some((*first.key(), command)),
                None => _ = first.remove(),
            }
        }
    }

    fn take_batch(&mut self, cap: Capability<Time>, from: Lane, records: Records) {
        self.early.entry(*cap.time()).or_insert_with(|| (cap, VecDeque::new())).1.push_back((from, records));
    }

    /// The next batches for which no command can come any more. What came from one lane goes on
    /// together: fewer and larger batches than if each were divided by itself.
    fn next_batches(&mut self, control: &MutableAntichain<Time>) -> Option<(Capability<Time>, Lane, Vec<Records>)> {
        let mut first = self.early.first_entry().filter(|first| !control.less_equal(first.key()))?;
        let (cap, batches) = first.get_mut();
        let from = batches.front().expect("a time has batches").0;
        let others = batches.iter().position(|(other, _)| *other != from).unwrap_or(batches.len());
        let together = batches.drain(..others).map(|(_, records)| records).collect();
        let cap = if batches.is_empty() { first.remove().0 } else { cap.clone() };
        Some((cap, from, together))
    }

    /// Puts back what was taken last.
    fn put_back(&mut self, cap: Capability<Time>, from: Lane, batches: Vec<Records>) {
        let (_, waiting) = self.early.entry(*cap.time()).or_insert_with(|| (cap, VecDeque::new()));
        batches.into_iter().rev().for_each(|records| waiting.push_front((from, records)));
    }

    /// Records that records of an epoch go from a lane to a worker; returns the number of their
    /// batch.
    fn sent(&mut self, from: Lane, to: WorkerId, epoch: Time, at: Timestamp, records: u64) -> u64 {
        let sequence = self.sequence;
        self.sequence += 1;
        self.context.recorder.log(Record::Sent(Message {
            at,
            kind: MessageKind::Data,
            channel: ChannelId(self.id.0),
            sequence,
            from: self.context.worker,
            from_lane: from,
            to_lane: Lane::Worker(to),
            epoch: Epoch(epoch),
            records,
        }));
        sequence
    }

    /// The oldest epoch of which records wait or may come.
    fn oldest(&self, data: &MutableAntichain<Time>) -> Option<Time> {
        data.frontier().first().copied().into_iter().chain(self.early.keys().next().copied()).min()
    }
}

/// Where a batch came from, so that its arrival can be recorded at each lane that takes a part of
/// it.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    from: WorkerId,
    from_lane: Lane,
    sequence: u64,
}

impl Origin {
    pub(super) fn of(batch: &Routed) -> Origin {
        Origin { from: batch.sender, from_lane: batch.from, sequence: batch.sequence }
    }

    /// Records that `records` records of `epoch` on `channel` have reached `to_lane`.
    pub(super) fn reached(&self, context: &Context, channel: OperatorId, epoch: Time, to_lane: Lane, at: Timestamp, records: u64) {
        context.recorder.log(Record::Received(Message {
            at,
            kind: MessageKind::Data,
            channel: ChannelId(channel.0),
            sequence: self.sequence,
            from: self.from,
            from_lane: self.from_lane,
            to_lane,
            epoch: Epoch(epoch),
            records,
        }));
    }
}
