//! Sink: where records leave the dataflow.
//!
//! It logs when each batch of an epoch's records arrived. With the epoch's due time in the same
//! log, latency needs no timestamp in any record. It works within its worker's budget, like the
//! operators.

use std::collections::{BTreeMap, VecDeque};

use timely::ExchangeData;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use crate::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
use crate::engine::Time;
use crate::engine::elastic::{Batch, BatchStream};
use crate::engine::host::Context;
use crate::id::{ChannelId, InstanceId, OperatorId};
use crate::time::Epoch;

/// Sinks on a stream of batches.
pub trait DrainToSink<'s, R> {
    /// Passes each batch to `take` with its epoch, on the worker that produced it, and records its
    /// arrival at sink `id`.
    ///
    /// The returned stream carries no data, only a frontier to probe for completion.
    fn drain_to_sink<F: FnMut(Epoch, Vec<R>) + 'static>(self, context: &Context, id: OperatorId, take: F) -> StreamVec<'s, Time, ()>;
}

impl<'s, R: ExchangeData> DrainToSink<'s, R> for BatchStream<'s, R> {
    fn drain_to_sink<F: FnMut(Epoch, Vec<R>) + 'static>(self, context: &Context, id: OperatorId, mut take: F) -> StreamVec<'s, Time, ()> {
        let scope = self.scope();
        let mut builder = OperatorBuilder::new("Sink".to_owned(), scope);
        let activator = scope.activator_for(builder.operator_info().address);
        let mut input = builder.new_input(self, Pipeline);
        let (_output, done) = builder.new_output::<Vec<()>>();
        let context = context.clone();
        let mut sequence = 0;
        builder.build(move |_| {
            let mut waiting: VecDeque<(Capability<Time>, Batch<R>)> = VecDeque::new();
            move |_| {
                let here = Lane::Worker(context.worker);
                let start = context.clock.now();
                input.for_each(|cap, batch| {
                    waiting.push_back((cap.retain_least(0).expect("records have a time"), std::mem::take(batch)));
                });
                let mut arrived: BTreeMap<Time, u64> = BTreeMap::new();
                // What time runs out for waits; its epochs are open until it is taken.
                while let Some((cap, batch)) = waiting.pop_front() {
                    let epoch = *cap.time();
                    let records = batch.records.len() as u64;
                    *arrived.entry(epoch).or_default() += records;
                    // The batch came on this thread, but not from its lane: the lanes meet here.
                    if batch.from != here {
                        let message = Message {
                            at: start,
                            kind: MessageKind::Data,
                            channel: ChannelId(id.0),
                            sequence,
                            from: context.worker,
                            from_lane: batch.from,
                            to_lane: here,
                            epoch: Epoch(epoch),
                            records,
                        };
                        context.recorder.log(Record::Sent(message));
                        context.recorder.log(Record::Received(message));
                        sequence += 1;
                    }
                    take(Epoch(epoch), batch.records);
                    if !waiting.is_empty() && context.clock.now() >= start + context.budget {
                        activator.activate();
                        break;
                    }
                }
                for (epoch, records) in arrived {
                    context.recorder.log(Record::Activity(Activity {
                        lane: here,
                        kind: ActivityKind::Sink,
                        instance: InstanceId::new(id, context.worker.0),
                        epoch: Epoch(epoch),
                        start,
                        end: start,
                        records_in: records,
                        records_out: 0,
                    }));
                }
            }
        });
        done
    }
}
