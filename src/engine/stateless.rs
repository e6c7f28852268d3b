//! An elastic operator without state: any instance may take any record.
//!
//! The router gives each record to the instance with the fewest waiting. Rescaling changes how many instances it chooses
//! from; nothing moves.

use timely::ExchangeData;
use timely::dataflow::channels::pact::DistributorPact;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::batch::{BatchBuilder, BatchStream, ByHeader};
use super::router::{Origin, Partition, route};
use super::serve::{Caps, Stations, Work};
use super::{Ack, Batch, Command, Context, ControlStream, OperatorSpec, Time};
use crate::id::InstanceId;
use crate::time::Timestamp;
use std::rc::Rc;

/// Elastic operators without state on a stream of batches.
pub trait ElasticStateless<'s, D> {
    /// Turns each record into any number of results with `apply`, on `instances` instances at first.
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    ///
    /// use thalweg::dataflow::Capacity;
    /// use thalweg::engine::{Context, DrainToSink, ElasticStateless, IntoBatches, OperatorSpec};
    /// use thalweg::id::OperatorId;
    /// use timely::dataflow::InputHandleVec;
    /// use timely::dataflow::operators::Input;
    ///
    /// let (sink, words) = channel();
    /// timely::execute_directly(move |worker| {
    ///     let (context, split) = (Context::alone(), OperatorSpec::new(OperatorId(1), "Split", Capacity::Cpu, 4));
    ///     let (mut sentences, mut control) = (InputHandleVec::new(), InputHandleVec::new());
    ///     worker.dataflow(|scope| {
    ///         let commands = control.to_stream(scope);
    ///         let sentences = sentences.to_stream(scope).into_batches();
    ///         sentences
    ///             .elastic_flat_map(commands, &context, &split, 4, |sentence: String, words| {
    ///                 words.extend(sentence.split(' ').map(str::to_owned));
    ///             })
    ///             .drain_to_sink(&context, OperatorId(2), move |_, words| words.into_iter().for_each(|word| sink.send(word).unwrap()));
    ///     });
    ///     sentences.send("quid est tempus".to_owned());
    /// });
    /// assert_eq!(words.iter().collect::<Vec<_>>(), ["quid", "est", "tempus"]);
    /// ```
    fn elastic_flat_map<R: ExchangeData, F: FnMut(D, &mut Vec<R>) + 'static>(
        self,
        control: ControlStream<'s>,
        context: &Context,
        spec: &OperatorSpec,
        instances: u32,
        apply: F,
    ) -> BatchStream<'s, R>;
}

impl<'s, D: ExchangeData> ElasticStateless<'s, D> for BatchStream<'s, D> {
    fn elastic_flat_map<R: ExchangeData, F: FnMut(D, &mut Vec<R>) + 'static>(
        self,
        control: ControlStream<'s>,
        context: &Context,
        spec: &OperatorSpec,
        instances: u32,
        mut apply: F,
    ) -> BatchStream<'s, R> {
        let scope = self.scope();
        let routed = route(self, control, context, spec, instances, LeastWaiting { spec: spec.clone() });
        let mut builder = OperatorBuilder::new(spec.name.clone(), scope);
        let activator = scope.activator_for(builder.operator_info().address);
        let mut input = builder.new_input(routed, DistributorPact(|_| ByHeader));
        let (output, results) = builder.new_output::<Batch<R>>();
        let mut output = OutputBuilder::<Time, BatchBuilder<R>>::from(output);
        let (context, spec) = (context.clone(), spec.clone());
        builder.build(move |_| {
            let mut stations = Stations::new(&context, &spec);
            move |frontiers| {
                input.for_each(|cap, batch| {
                    let results = cap.retain_least(0).expect("records have a time");
                    let (now, lane) = (context.clock.now(), context.lane(InstanceId::new(spec.id, batch.to), spec.capacity));
                    Origin::of(batch).reached(&context, spec.id, *results.time(), lane, now, batch.count);
                    let caps = Rc::new(Caps { results, ship: None });
                    let records: Vec<D> = std::mem::take(&mut batch.records).open();
                    stations.station(batch.to).arrive(Work::new(&caps, records), now);
                });
                stations.serve(&mut output.activate(), |_, _, records, results| records.for_each(|record| apply(record, results)));
                stations.sample();
                if !frontiers[0].is_empty() || !stations.is_empty() {
                    stations.arm(&activator);
                }
            }
        });
        results
    }
}

/// Gives each record to the instance with the fewest waiting records.
struct LeastWaiting {
    spec: OperatorSpec,
}

impl<D: 'static> Partition<D> for LeastWaiting {
    type Table = u32;

    fn next(&self, table: &u32, command: &Command) -> (u32, Option<Ack>) {
        (command.parallelism.unwrap_or(*table), Some(Ack::Rerouted(self.spec.id)))
    }

    fn divide(&mut self, &instances: &u32, batches: Vec<Vec<D>>, now: Timestamp, send: &mut dyn FnMut(u32, Vec<D>)) {
        let gauges = &self.spec.gauges;
        for mut records in batches {
            let waiting: Vec<u64> = (0..instances).map(|index| gauges.waiting(index)).collect();
            let shares = shares(&waiting, records.len() as u64);
            // From the end: what is taken off moves, the rest stays where it is.
            for (index, share) in (0..instances).zip(shares).rev().filter(|(_, share)| *share > 0) {
                let rest = records.len() - share as usize;
                let taken = if rest == 0 { std::mem::take(&mut records) } else { records.split_off(rest) };
                gauges.add(index, share, now);
                send(index, taken);
            }
        }
    }
}

/// How many of `records` each instance gets if one after the other goes to the instance with the fewest waiting, the first of them.
fn shares(waiting: &[u64], records: u64) -> Vec<u64> {
    let mut order: Vec<usize> = (0..waiting.len()).collect();
    order.sort_by_key(|&index| waiting[index]);
    // Those that get any end up with the same number waiting, or one more: as many as that number is above what they have now.
    let (mut all, mut filled) = (records, 0);
    for &index in &order {
        if filled > 0 && all <= waiting[index] * filled {
            break;
        }
        (all, filled) = (all + waiting[index], filled + 1);
    }
    let mut those = order[..filled as usize].to_vec();
    those.sort_unstable();
    let (level, mut more) = (all / filled, all % filled);
    let mut shares = vec![0; waiting.len()];
    for index in those {
        let one = u64::from(more > 0);
        more -= one;
        shares[index] = level + one - waiting[index];
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_are_those_of_one_record_after_the_other(waiting in prop::collection::vec(0u64..40, 1..8), records in 0u64..200) {
            let mut levels = waiting.clone();
            for _ in 0..records {
                let least = (0..levels.len()).min_by_key(|&index| levels[index]).unwrap();
                levels[least] += 1;
            }
            let one_by_one: Vec<u64> = levels.iter().zip(&waiting).map(|(after, before)| after - before).collect();
            prop_assert_eq!(shares(&waiting, records), one_by_one);
        }
    }
}
