//! Channel with a configurable delay, to imitate a slow network.

use std::collections::VecDeque;
use std::time::Duration;

use timely::container::NoopBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::batch::Routed;
use crate::engine::Time;
use crate::engine::host::Clock;

/// `batches`, each `delay` later and in the same order; the stream itself if there is no delay.
pub(super) fn held_back<'s>(batches: Stream<'s, Time, Routed>, delay: Duration, clock: &Clock) -> Stream<'s, Time, Routed> {
    if delay == Duration::ZERO {
        return batches;
    }
    let clock = *clock;
    let scope = batches.scope();
    let mut builder = OperatorBuilder::new("Delay".to_owned(), scope);
    let activator = scope.activator_for(builder.operator_info().address);
    let mut input = builder.new_input(batches, Pipeline);
    let (output, delayed) = builder.new_output::<Routed>();
    let mut output = OutputBuilder::<Time, NoopBuilder<Routed>>::from(output);
    builder.build(move |_| {
        let mut held: VecDeque<(_, Capability<Time>, Routed)> = VecDeque::new();
        move |_| {
            input.for_each(|cap, batch| {
                let cap = cap.retain_least(0).expect("records have a time");
                held.push_back((clock.now() + delay, cap, std::mem::take(batch)));
            });
            let mut output = output.activate();
            while held.front().is_some_and(|(due, _, _)| *due <= clock.now()) {
                let (_, cap, mut batch) = held.pop_front().expect("just seen");
                output.session_with_builder(&cap).give_container(&mut batch);
            }
            if let Some((due, _, _)) = held.front() {
                activator.activate_after(due.since(clock.now()));
            }
        }
    });
    delayed
}
