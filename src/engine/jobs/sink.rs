//! Sink: where records leave the dataflow.
//!
//! It logs when each batch of an epoch's records arrived. With the epoch's due time in the same
//! log, latency needs no timestamp in any record.

use std::collections::BTreeMap;

use timely::ExchangeData;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use crate::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
use crate::engine::Time;
use crate::engine::elastic::BatchStream;
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
        let mut builder = OperatorBuilder::new("Sink".to_owned(), self.scope());
        let mut input = builder.new_input(self, Pipeline);
        let (_output, done) = builder.new_output::<Vec<()>>();
        let context = context.clone();
        let mut sequence = 0;
        builder.build(move |_| {
            move |_| {
                let mut arrived: BTreeMap<Time, u64> = BTreeMap::new();
                let here = Lane::Worker(context.worker);
                let start = context.clock.now();
                input.for_each(|cap, batch| {
                    let epoch = *cap.least().expect("records have a time");
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
                    take(Epoch(epoch), std::mem::take(&mut batch.records));
                });
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
