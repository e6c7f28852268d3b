//! Elastic operator without state: any instance may process any record.
//!
//! The router sends each record to the instance with the shortest queue. Rescaling changes the
//! number of instances it chooses from; no state moves. Where a plan declares some instances
//! slower, each gets a weighted share of the records regardless of queue lengths. `Cpu` instances
//! are chosen among those on the record's own worker as long as all workers have equally many
//! instances and records: what is local is in the cache, and remote instances would gain nothing.

use timely::ExchangeData;
use timely::dataflow::channels::pact::DistributorPact;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::batch::{Batch, BatchBuilder, BatchStream, ByHeader};
use super::router::{Origin, Partition, Receiver, route};
use super::servers::{Caps, QueuedBatch, Servers};
use crate::dataflow::Capacity;
use crate::engine::Time;
use crate::engine::host::{Ack, Command, Context, ControlStream, OperatorSpec, Places};
use crate::id::InstanceId;
use crate::migration::Turns;
use crate::time::Timestamp;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Elastic operators without state on a stream of batches.
pub trait ElasticStateless<'s, D> {
    /// Turns each record into any number of results with `apply`, on `instances` instances at
    /// first. Records come to an instance in batches, and `apply` sees what it has made of those
    /// before in the same batch, to which it may add: results that are sums, for example.
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
        let mut servers = Servers::new(context, spec);
        let dealing = Dealing::new(context, spec, Rc::clone(&servers.places));
        let routed = route(self, control, context, spec, Among::new(instances, None, spec.places.clone(), context.peers), dealing);
        let mut builder = OperatorBuilder::new(spec.name.clone(), scope);
        let activator = scope.activator_for(builder.operator_info().address);
        let mut input = builder.new_input(routed, DistributorPact(|_| ByHeader));
        let (output, results) = builder.new_output::<Batch<R>>();
        let mut output = OutputBuilder::<Time, BatchBuilder<R>>::from(output);
        let (context, spec) = (context.clone(), spec.clone());
        builder.build(move |_| {
            move |frontiers| {
                input.for_each(|cap, batch| {
                    let results = cap.retain_least(0).expect("records have a time");
                    let (now, lane) = (context.clock.now(), context.lane(InstanceId::new(spec.id, batch.to), spec.capacity));
                    Origin::of(batch).reached(&context, spec.id, *results.time(), lane, now, batch.count);
                    let caps = Rc::new(Caps { results, state: None });
                    let records: Vec<D> = std::mem::take(&mut batch.records).open();
                    servers.server(batch.to).arrive(QueuedBatch::new(&caps, records), now);
                });
                servers.serve(&mut output.activate(), |_, _, records, count, results| {
                    for record in records.take(count) {
                        apply(record, results);
                    }
                });
                servers.sample();
                servers.weigh();
                if !frontiers[0].is_empty() || !servers.is_empty() {
                    servers.arm(&activator);
                }
            }
        });
        results
    }
}

/// Whether records stay near is thought over this often.
const LOOK: Duration = Duration::from_millis(20);
/// A worker that has more than its share of the records by this factor gives some away.
const UNEVEN: f64 = 1.25;
/// A worker on which this many times as much waits as was processed since the last look gives some
/// away.
const BEHIND: u64 = 2;

/// Instances that records go to from some time on.
struct Among {
    instances: u32,
    /// How they share records; nothing where each gets as many as it processes. What they are owed
    /// is this router's own business, and every router is exact by itself, so that all of them
    /// together are.
    turns: Option<RefCell<Turns>>,
    /// Their workers.
    places: Places,
    /// Whether each worker has as many of them.
    even: bool,
}

impl Among {
    fn new(instances: u32, turns: Option<RefCell<Turns>>, places: Places, peers: u32) -> Among {
        let even = places.are_even(instances, peers);
        Among { instances, turns, places, even }
    }
}

/// Sends each record to an instance: by weight where there are weights, else to the one with the
/// fewest waiting records, of all or of those that are near.
struct Dealing {
    context: Context,
    spec: OperatorSpec,
    /// Where this worker's operator learns of the newest places.
    newest: Rc<RefCell<Places>>,
    /// Whether records stay near.
    stay: bool,
    next_look: Timestamp,
    /// Records that have come here.
    came: u64,
    /// What the last look saw: records that had come here, that all routers had sent, and that near
    /// instances had processed.
    last: [u64; 3],
    /// Among how many instances, and where they were.
    among: (u32, Places),
}

impl Dealing {
    fn new(context: &Context, spec: &OperatorSpec, newest: Rc<RefCell<Places>>) -> Dealing {
        let (context, spec) = (context.clone(), spec.clone());
        Dealing { context, spec, newest, stay: true, next_look: Timestamp::ZERO, came: 0, last: [0; 3], among: (0, Places::default()) }
    }

    /// Whether records are to stay on this worker: each worker has as many instances, and this one
    /// neither more records nor less time for them than others.
    fn look(&mut self, Among { instances, places, .. }: &Among, now: Timestamp) {
        let instances = *instances;
        let queues = &self.spec.queues;
        let (mut sent, mut waiting, mut worked_off) = (0, 0, 0);
        for index in 0..instances {
            let (added, removed) = queues.totals(index);
            sent += added;
            if self.context.hosts(places, index) {
                waiting += added.saturating_sub(removed);
                worked_off += removed;
            }
        }
        let seen = [self.came, sent, worked_off];
        // What other instances were sent before says nothing of these, nor what others had near did
        // of those that are near now: it is as it was until the next look, and at first as if all
        // were even.
        if self.among.0 == instances && self.among.1 == *places {
            let [came, sent, worked_off] = std::array::from_fn(|index| seen[index] - self.last[index]);
            let even = came as f64 * f64::from(self.context.peers) <= sent as f64 * UNEVEN;
            self.stay = even && waiting <= worked_off * BEHIND;
        }
        (self.last, self.among, self.next_look) = (seen, (instances, places.clone()), now + LOOK);
    }

    /// The instances that records may go to.
    fn candidates(&mut self, among: &Among, now: Timestamp) -> Vec<u32> {
        let (instances, places) = (among.instances, &among.places);
        let possible = self.spec.capacity == Capacity::Cpu && among.even;
        if possible && now >= self.next_look {
            self.look(among, now);
        }
        (0..instances).filter(|&index| !(possible && self.stay) || self.context.hosts(places, index)).collect()
    }
}

impl<D: ExchangeData> Partition<D> for Dealing {
    type Table = Among;
    type Routed = D;

    fn next(&self, table: &Among, command: &Command) -> (Among, Option<Ack>) {
        let instances = command.parallelism.unwrap_or(table.instances);
        let turns = command.weights.as_ref().map(|weights| RefCell::new(Turns::new(weights)));
        let places = command.places.as_ref().map_or_else(|| table.places.clone(), |new| table.places.updated(new));
        self.newest.replace(places.clone());
        (Among::new(instances, turns, places, self.context.peers), Some(Ack::Rerouted(self.spec.id)))
    }

    fn divide(&mut self, among: &Among, batches: Vec<Vec<D>>, now: Timestamp, send: &mut dyn FnMut(Receiver, Vec<D>)) {
        let candidates = if among.turns.is_none() { self.candidates(among, now) } else { Vec::new() };
        let (queues, came, context) = (&self.spec.queues, &mut self.came, &self.context);
        let mut send = |index, records: Vec<D>| {
            queues.add(index, records.len() as u64, now);
            send(Receiver { instance: index, worker: context.place(&among.places, index) }, records);
        };
        for records in batches {
            *came += records.len() as u64;
            if let Some(turns) = &among.turns {
                let mut turns = turns.borrow_mut();
                let parts = turns.deal(records.len() as u64);
                hand_out(records, (0..among.instances).zip(parts.iter().copied()).rev(), &mut send);
            } else {
                let waiting: Vec<u64> = candidates.iter().map(|&index| queues.waiting(index)).collect();
                let shares = shares(&waiting, records.len() as u64);
                hand_out(records, candidates.iter().copied().zip(shares).rev(), &mut send);
            }
        }
    }
}

/// Sends each instance its number of `records`; `parts`, which sum to all of them, are in the
/// reverse order of the records.
fn hand_out<D>(mut records: Vec<D>, parts: impl Iterator<Item = (u32, u64)>, send: &mut impl FnMut(u32, Vec<D>)) {
    // From the end: what is taken off moves, the rest stays where it is.
    for (index, part) in parts.filter(|(_, part)| *part > 0) {
        let rest = records.len() - part as usize;
        let taken = if rest == 0 { std::mem::take(&mut records) } else { records.split_off(rest) };
        send(index, taken);
    }
}

/// How many of `records` each instance gets if one after the other goes to the instance with the
/// fewest waiting, the first of them.
fn shares(waiting: &[u64], records: u64) -> Vec<u64> {
    let mut order: Vec<usize> = (0..waiting.len()).collect();
    order.sort_by_key(|&index| waiting[index]);
    // Those that get any end up with the same number waiting, or one more: as many as that number
    // is above what they have now.
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
    use std::sync::mpsc::channel;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::host::{Clock, Recorder};
    use crate::id::{OperatorId, WorkerId};
    use crate::migration::Weights;

    /// How many of 1000 records that come to each of two routers go to the other's instance, once
    /// it has been looked at who has how many: `weights` of thousands at a time come to each, and
    /// `works` of those that are sent to an instance are processed at once.
    fn sent_away(weights: [usize; 2], works: [u64; 2]) -> [u64; 2] {
        let spec = OperatorSpec::new(OperatorId(1), "Map", Capacity::Cpu, 2);
        let context = |worker| Context::new(WorkerId(worker), 2, Clock::start(), Recorder::off(), channel().0);
        let mut routers = [0, 1].map(|worker| Dealing::new(&context(worker), &spec, Rc::default()));
        let mut away = [0; 2];
        for round in 0..10 {
            let now = Timestamp::ZERO + LOOK * round;
            for (worker, router) in routers.iter_mut().enumerate() {
                away[worker] = 0;
                let batches = vec![vec![(); 1000]; weights[worker]];
                let mut sent = [0; 2];
                router.divide(&Among::new(2, None, Places::default(), 2), batches, now, &mut |to, records| {
                    sent[to.instance as usize] += records.len() as u64
                });
                for (instance, &records) in sent.iter().enumerate() {
                    away[worker] += if instance == worker { 0 } else { records };
                    spec.queues.remove(instance as u32, records * works[instance] / 10, now);
                }
            }
        }
        away
    }

    #[test]
    fn records_stay_near_while_workers_have_as_many_and_keep_up() {
        assert_eq!(sent_away([1, 1], [10, 10]), [0, 0]);
        let [from_first, _] = sent_away([2, 0], [10, 10]);
        assert_eq!(from_first, 1000, "half of what comes to one alone");
        let [from_first, from_second] = sent_away([1, 1], [1, 10]);
        assert!(from_first > 900 && from_second == 0, "the first does not keep up: {from_first} and {from_second}");
    }

    #[test]
    fn what_instances_did_before_they_moved_is_not_compared_with_what_others_did() {
        let spec = OperatorSpec::new(OperatorId(1), "Map", Capacity::Cpu, 2);
        let mut router = Dealing::new(&Context::new(WorkerId(0), 2, Clock::start(), Recorder::off(), channel().0), &spec, Rc::default());
        let at = |workers: [u32; 2]| Among::new(2, None, Places::new(workers.map(WorkerId).to_vec()), 2);
        let mut divide =
            |among: &Among, round: u32| router.divide(among, vec![vec![(); 1000]], Timestamp::ZERO + LOOK * round, &mut |_, _| {});
        divide(&at([0, 1]), 0);
        // The instance that was here did all, the one that comes nothing.
        spec.queues.remove(0, 1000, Timestamp::ZERO);
        divide(&at([0, 1]), 1);
        divide(&at([1, 0]), 2);
        divide(&at([1, 0]), 3);
        assert_eq!([0, 1].map(|index| spec.queues.totals(index).0).iter().sum::<u64>(), 4000);
    }

    #[test]
    fn by_weight_every_router_is_exact_whatever_waits() {
        let spec = OperatorSpec::new(OperatorId(1), "Map", Capacity::Cpu, 4);
        let mut router = Dealing::new(&Context::new(WorkerId(0), 2, Clock::start(), Recorder::off(), channel().0), &spec, Rc::default());
        let command = Command { parallelism: Some(3), weights: Weights::of(&[1.0, 0.3, 0.7]), ..Command::new(OperatorId(1)) };
        let (among, ack) = Partition::<u64>::next(&router, &Among::new(4, None, Places::default(), 2), &command);
        assert_eq!(ack, Some(Ack::Rerouted(OperatorId(1))));
        let mut came = vec![Vec::new(); 3];
        // 2000 records one after the other, in batches of 0 to 12.
        let mut next = 0..2000u64;
        for size in (0..13).cycle() {
            let batch: Vec<u64> = next.by_ref().take(size).collect();
            if size > 0 && batch.is_empty() {
                break;
            }
            router.divide(&among, vec![batch], Timestamp::ZERO, &mut |to, records| came[to.instance as usize].extend(records));
        }
        assert_eq!([&came[0], &came[1], &came[2]].map(Vec::len), [1000, 300, 700]);
        assert_eq!([0, 1, 2, 3].map(|index| spec.queues.waiting(index)), [1000, 300, 700, 0]);
        let mut all = came.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..2000), "each record once");
        // Without weights from now on, of those on this worker the ones with the fewest waiting get
        // what comes.
        let (among, _) = Partition::<u64>::next(&router, &among, &Command { parallelism: Some(4), ..Command::new(OperatorId(1)) });
        router.divide(&among, vec![vec![0; 500]], Timestamp::ZERO, &mut |_, _| {});
        assert_eq!([0, 1, 2, 3].map(|index| spec.queues.waiting(index)), [1100, 300, 1100, 0]);
    }

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
