//! Records as keyed operators take them, made of events where they are.

use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use crate::engine::batch::BatchBuilder;
use crate::engine::{Batch, BatchStream, Time};

/// What `record` makes of each record, on the worker where it is: a step between two operators that is none itself.
pub(super) fn mapped<'s, D: 'static, R: 'static>(
    batches: BatchStream<'s, D>,
    mut record: impl FnMut(D) -> R + 'static,
) -> BatchStream<'s, R> {
    let mut builder = OperatorBuilder::new("Records".to_owned(), batches.scope());
    let mut input = builder.new_input(batches, Pipeline);
    let (output, records) = builder.new_output::<Batch<R>>();
    let mut output = OutputBuilder::<Time, BatchBuilder<R>>::from(output);
    builder.build(move |_| {
        move |_| {
            let mut output = output.activate();
            input.for_each(|cap, batch| {
                if let Some(cap) = cap.retain_least(0) {
                    let mut records = Vec::with_capacity(batch.records.len());
                    records.extend(std::mem::take(&mut batch.records).into_iter().map(&mut record));
                    output.session_with_builder(&cap).give_container(&mut Batch::new(batch.from, records));
                }
            });
        }
    });
    records
}
