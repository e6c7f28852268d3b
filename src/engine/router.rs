//! Sends each record to an owner that is right for its epoch.
//!
//! One routing operator precedes each elastic operator. It holds back records of epochs for which commands may still come;
//! the control frontier runs ahead of the data, so in a healthy job none ever wait here.

use std::collections::BTreeMap;
use std::rc::Rc;

use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::batch::{Batch, BatchBuilder, BatchStream};
use super::control::{Ack, Command, ControlStream, Versions};
use super::delay::held_back;
use super::fault::{Fault, seeded};
use super::{Context, OperatorSpec, Time};
use crate::activity::{Lane, Message, MessageKind, Record};
use crate::id::{ChannelId, OperatorId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// How records are shared out among instances.
pub(super) trait Partition<D>: 'static {
    /// What decides it: a routing table, or a number of instances.
    type Table: 'static;

    /// The table after `command`, and whether this router reports that it took it.
    fn next(&self, table: &Self::Table, command: &Command) -> (Self::Table, Option<Ack>);

    /// Divides the records of `batches`, in their order; calls `send` with the header's `to` and the records for it.
    fn divide(&mut self, table: &Self::Table, batches: Vec<Vec<D>>, now: Timestamp, send: &mut dyn FnMut(u32, Vec<D>));
}

/// Puts the routing operator of `spec` behind `data`.
pub(super) fn route<'s, D, P>(
    data: BatchStream<'s, D>,
    control: ControlStream<'s>,
    context: &Context,
    spec: &OperatorSpec,
    first: P::Table,
    mut partition: P,
) -> BatchStream<'s, D>
where
    D: 'static,
    P: Partition<D>,
{
    let mut builder = OperatorBuilder::new(format!("{}: route", spec.name), data.scope());
    let mut data = builder.new_input(data, Pipeline);
    let mut control = builder.new_input(control, Pipeline);
    let (output, routed) = builder.new_output::<Batch<D>>();
    let mut output = OutputBuilder::<Time, BatchBuilder<D>>::from(output);
    let (context, clock, id) = (context.clone(), context.clock, spec.id);
    builder.build(move |_| {
        let mut tables = Versions::new(Rc::new(first));
        let mut commands: BTreeMap<Time, Vec<Command>> = BTreeMap::new();
        let mut early: BTreeMap<Time, (Capability<Time>, Vec<Batch<D>>)> = BTreeMap::new();
        let mut sequence = 0;
        move |frontiers| {
            let (data_frontier, control_frontier) = (&frontiers[0], &frontiers[1]);
            control.for_each(|cap, sent| {
                let mine = sent.drain(..).filter(|command| command.operator == id);
                commands.entry(*cap.least().expect("commands have a time")).or_default().extend(mine);
            });
            while let Some(entry) = commands.first_entry() {
                if control_frontier.less_equal(entry.key()) {
                    break;
                }
                let (time, commands) = entry.remove_entry();
                for command in commands {
                    let (table, ack) = partition.next(tables.newest(), &command);
                    tables.push(time, Rc::new(table));
                    // Nobody listens any more at the end of a run.
                    ack.map(|ack| context.acks.send(ack));
                }
            }
            data.for_each(|cap, batch| {
                let cap = cap.retain_least(0).expect("records have a time");
                early.entry(*cap.time()).or_insert_with(|| (cap, Vec::new())).1.push(std::mem::take(batch));
            });
            let mut output = output.activate();
            while let Some(entry) = early.first_entry() {
                if control_frontier.less_equal(entry.key()) {
                    break;
                }
                let (time, (cap, batches)) = entry.remove_entry();
                let table = Rc::clone(tables.at(time - Time::from(seeded(Fault::OldTable) && time > 0)));
                let now = context.clock.now();
                let mut session = output.session_with_builder(&cap);
                let mut batches = batches.into_iter().peekable();
                // What came from one lane goes on together: fewer and larger batches than if each were divided by itself.
                while let Some(Batch { from, records, .. }) = batches.next() {
                    let mut together = vec![records];
                    together.extend(std::iter::from_fn(|| batches.next_if(|batch| batch.from == from)).map(|batch| batch.records));
                    partition.divide(&table, together, now, &mut |to, records| {
                        let count = records.len() as u64;
                        session.give_container(&mut Batch { from, to, sequence, records });
                        let message = Message {
                            at: now,
                            kind: MessageKind::Data,
                            channel: ChannelId(id.0),
                            sequence,
                            from: context.worker,
                            from_lane: from,
                            to_lane: Lane::Worker(WorkerId(context.place(to))),
                            epoch: Epoch(time),
                            records: count,
                        };
                        context.recorder.log(Record::Sent(message));
                        sequence += 1;
                    });
                }
            }
            let oldest = data_frontier.frontier().first().copied().into_iter().chain(early.keys().next().copied()).min();
            tables.retire(oldest);
        }
    });
    held_back(routed, spec.delay, &clock)
}

/// Where a batch came from, so that its arrival can be recorded at each lane that takes a part of it.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    from_lane: Lane,
    sequence: u64,
}

impl Origin {
    pub(super) fn of<D>(batch: &Batch<D>) -> Origin {
        Origin { from_lane: batch.from, sequence: batch.sequence }
    }

    /// Records that `records` records of `epoch` on `channel` have reached `to_lane`.
    pub(super) fn reached(&self, context: &Context, channel: OperatorId, epoch: Time, to_lane: Lane, at: Timestamp, records: u64) {
        let from = match self.from_lane {
            Lane::Worker(worker) => worker,
            Lane::Instance(instance) => WorkerId(context.place(instance.index)),
        };
        context.recorder.log(Record::Received(Message {
            at,
            kind: MessageKind::Data,
            channel: ChannelId(channel.0),
            sequence: self.sequence,
            from,
            from_lane: self.from_lane,
            to_lane,
            epoch: Epoch(epoch),
            records,
        }));
    }
}
