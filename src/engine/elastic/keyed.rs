//! Elastic operator with keyed state, whose bins can move between instances while it runs.
//!
//! What it does with a record is a [`Logic`]; the public forms are in `unary.rs`, `binary.rs`,
//! `window.rs` and `state_machine.rs`.
//!
//! Contract: the records of each bin are applied in the order of their epochs, each at exactly one
//! instance, as in a run without migration (after `papers/megaphone-vldb19.md#correctness`). Why it
//! holds:
//!
//! 1. *One owner per epoch.* A command at time t is final once the control frontier has passed t.
//!    Router and operator both derive the owner of a bin at an epoch from the commands up to that
//!    epoch, so they agree.
//! 2. *Nothing is left behind.* A bin departs once the data frontier has reached t: everything
//!    older has arrived and has either been applied or is in the queue, and what is in the queue
//!    departs with the state.
//! 3. *Nothing overtakes.* At the new owner, records of a bin whose state has not arrived wait in
//!    that bin's list of events, in time order; records that travelled with the state go first.
//!    Records of all other bins proceed.
//! 4. *Timers keep their place.* They are part of the bin and fire between the records of their key
//!    (`store.rs`).
//!
//! A bin that has to move on before it has arrived has several events in its list, which are taken
//! strictly in order.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::marker::PhantomData;
use std::rc::Rc;

use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{DistributorPact, Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, ConnectLoop, Feedback};
use timely::progress::Antichain;
use timely::progress::frontier::MutableAntichain;

use super::batch::{Batch, BatchBuilder, BatchStream, ByHeader, Routed, at_once};
use super::bin_queues::BinQueues;
use super::fault::{Fault, seeded};
use super::key_by::KeyedStream;
use super::key_space::{KeySpace, hash_of};
use super::router::{Origin, Partition, Receiver, route};
use super::servers::{Caps, QueuedBatch};
use super::session::Logic;
use super::store::{KeyedStore, StateStore};
use super::transfer::StateMessage;
use crate::engine::Time;
use crate::engine::host::{Ack, Command, Context, ControlStream, OperatorSpec, Places};
use crate::id::WorkerId;
use crate::migration::Assignment;
use crate::time::Timestamp;

/// Puts the operator of `spec` behind `data`, with its bins at the instances of `first`.
pub(super) fn keyed<'s, K, V, S, R, I, L>(
    data: I,
    control: ControlStream<'s>,
    context: &Context,
    spec: &OperatorSpec,
    first: &Assignment,
    logic: L,
) -> BatchStream<'s, R>
where
    K: ExchangeData + Hash + Eq + Clone,
    V: ExchangeData,
    S: ExchangeData + Default,
    R: ExchangeData,
    I: KeyedStream<'s, K, V>,
    L: Logic<K, V, S, R>,
{
    let (data, record) = data.into_parts();
    let owners = Owners::first(context, &spec.places, first.owners());
    let by_owner = ByOwner { context: context.clone(), spec: spec.clone(), record, types: PhantomData };
    let routed = route(data, control.clone(), context, spec, owners, by_owner);
    let mut builder = OperatorBuilder::new(spec.name.clone(), routed.scope());
    let (output, results) = builder.new_output::<Batch<R>>();
    let store: KeyedStore<K, V, S, R, L> = KeyedStore::new(
        first.owners().iter().map(|&owner| context.hosts(&spec.places, owner)),
        logic,
        OutputBuilder::<Time, BatchBuilder<R>>::from(output),
    );
    operate(builder, routed, control, BinQueues::new(context, spec, first.owners()), Box::new(store));
    results
}

/// Records that have arrived, by time.
type Early = ByTime<Caps, (Origin, QueuedBatch)>;

/// Input by time, with a capability for that time.
type ByTime<C, T> = BTreeMap<Time, (Rc<C>, Vec<T>)>;

/// Builds the operator, independently of the types of its records. `builder` has the output of
/// results, which `store` emits.
fn operate<'s>(
    mut builder: OperatorBuilder<'s, Time>,
    routed: Stream<'s, Time, Routed>,
    control: ControlStream<'s>,
    mut bins: BinQueues,
    mut store: Box<dyn StateStore>,
) {
    let scope = control.scope();
    let activator = scope.activator_for(builder.operator_info().address);
    let (loop_end, loop_stream) = scope.feedback::<Vec<StateMessage>>(Default::default());
    // Results depend on every input. StateOutput depend on data and control only, so the loop
    // closes no cycle and a step of a migration needs no round of progress beyond the one that
    // completes the data before it.
    let same = || Antichain::from_elem(Default::default());
    let mut data = builder.new_input(routed, DistributorPact(|_| ByHeader));
    let mut control = builder.new_input(control, Pipeline);
    let (state_out, sent_state) = builder.new_output_connection::<Vec<StateMessage>, _>([(0, same()), (1, same())]);
    let by_receiver = Exchange::new(|message: &StateMessage| u64::from(message.to.0));
    let mut state = builder.new_input_connection(loop_stream, by_receiver, [(0, same())]);
    let mut state_out = OutputBuilder::<Time, CapacityContainerBuilder<Vec<StateMessage>>>::from(state_out);
    let id = bins.spec.id;
    builder.build(move |_| {
        let mut commands: ByTime<Capability<Time>, Command> = BTreeMap::new();
        let mut early: Early = BTreeMap::new();
        move |frontiers| {
            let (data_frontier, control_frontier) = (&frontiers[0], &frontiers[1]);
            control.for_each(|cap, sent| {
                let mine: Vec<_> = sent.drain(..).filter(|command| command.operator == id).collect();
                let cap = cap.retain_least(1).expect("commands have a time");
                if !mine.is_empty() {
                    commands.entry(*cap.time()).or_insert_with(|| (Rc::new(cap), Vec::new())).1.extend(mine);
                }
            });
            data.for_each(|cap, batch| {
                let results = cap.retain_least(0).expect("records have a time");
                let (caps, arrived) = early.entry(*results.time()).or_insert_with(|| {
                    let state = cap.retain_least(1);
                    (Rc::new(Caps { results, state }), Vec::new())
                });
                arrived.push((Origin::of(batch), store.unpack(caps, std::mem::take(&mut batch.records))));
            });
            state.for_each(|cap, messages| {
                messages.drain(..).for_each(|message| bins.receive(message, &|epoch| cap.delayed(&epoch, 0), &*store));
            });
            // Commands and records in the order of their times, as far as the frontiers allow; see
            // the top of the file.
            loop {
                let time = match (commands.keys().next(), early.keys().next()) {
                    (None, None) => break,
                    (Some(&time), None) | (None, Some(&time)) => time,
                    (Some(&command), Some(&records)) => command.min(records),
                };
                if control_frontier.less_equal(&time) || data_frontier.less_than(&time) && !seeded(Fault::LeaveEarly) {
                    break;
                }
                if let Some((cap, commands)) = commands.remove(&time) {
                    commands.iter().for_each(|command| bins.command(&cap, command, &mut *store));
                }
                // Everything older has arrived. More records of the same epoch may follow; their
                // order does not matter.
                if let Some((_, arrived)) = early.remove(&time) {
                    arrived.into_iter().for_each(|(origin, work)| bins.arrive(origin, work, &*store));
                }
            }
            let mut state_out = state_out.activate();
            bins.transfer(&mut state_out, &*store);
            bins.settle(&mut state_out, &mut *store);
            store.serve(bins.input());
            // Records that came along with a bin may just have been applied, which frees the bin to
            // move on.
            bins.settle(&mut state_out, &mut *store);
            // Timers are due like commands: once everything older has arrived and no command of
            // that time can still come.
            let until = |frontier: &MutableAntichain<Time>| frontier.frontier().first().copied();
            let data_until = until(data_frontier).unwrap_or(Time::MAX);
            let control_until = until(control_frontier).map_or(Some(Time::MAX), |time| time.checked_sub(1));
            if let Some(control_until) = control_until {
                bins.fire_due(data_until.min(control_until), &mut *store);
            }
            bins.sample(&*store);
            bins.servers.weigh();
            if !data_frontier.is_empty() || !bins.is_done() {
                bins.arm(&activator);
            }
        }
    });
    sent_state.connect_loop(loop_end);
}

/// Owners by bin, and what is derived from them once instead of for each record.
struct Owners {
    space: KeySpace,
    owners: Vec<u32>,
    /// The workers that have the bins: those of their owners, except for bins that are still to
    /// follow an owner that has moved.
    workers: Vec<WorkerId>,
    /// The workers of the instances.
    places: Places,
    /// How many instances there may be.
    instances: u32,
    /// The only owner, if there is only one, and its worker.
    single_instance: Option<Receiver>,
    /// Each worker's only instance, if none has more.
    one_per_worker: Option<Vec<u32>>,
}

impl Owners {
    /// At the start of a job.
    fn first(context: &Context, places: &Places, owners: &[u32]) -> Owners {
        let workers = owners.iter().map(|&owner| context.place(places, owner)).collect();
        Owners::new(context, KeySpace::new(owners.len() as u32), owners.to_vec(), workers, places.clone())
    }

    fn new(context: &Context, space: KeySpace, owners: Vec<u32>, workers: Vec<WorkerId>, places: Places) -> Owners {
        let instances = owners.iter().max().map_or(0, |last| last + 1);
        let at = |(&instance, &worker): (&u32, &WorkerId)| Receiver { instance, worker };
        let mut all = owners.iter().zip(&workers).map(at);
        let single_instance = all.next().filter(|first| all.all(|other| other == *first));
        let mut hosted: Vec<Option<u32>> = vec![None; context.peers as usize];
        let is_only = |(&owner, worker): (&u32, &WorkerId)| *hosted[worker.0 as usize].get_or_insert(owner) == owner;
        let one_per_worker = owners.iter().zip(&workers).all(is_only);
        let one_per_worker = one_per_worker.then(|| hosted.into_iter().map(Option::unwrap_or_default).collect());
        Owners { space, owners, workers, places, instances, single_instance, one_per_worker }
    }
}

/// Sends each record to the worker that hosts the owner of its bin.
struct ByOwner<F, K, V> {
    context: Context,
    spec: OperatorSpec,
    /// Makes key and value of a record.
    record: F,
    types: PhantomData<(K, V)>,
}

impl<D, K: ExchangeData + Hash, V: ExchangeData, F: FnMut(D) -> (K, V) + 'static> Partition<D> for ByOwner<F, K, V> {
    type Table = Owners;
    type Routed = (K, V);

    fn next(&self, table: &Owners, command: &Command) -> (Owners, Option<Ack>) {
        let (mut owners, mut workers) = (table.owners.clone(), table.workers.clone());
        let mut space = table.space.clone();
        let places = command.places.as_ref().map_or_else(|| table.places.clone(), |new| table.places.updated(new));
        for &(bin, to) in &command.moves {
            owners[bin.0 as usize] = to;
            workers[bin.0 as usize] = self.context.place(&places, to);
        }
        for &bin in &command.splits {
            space.split(bin);
            owners.extend([owners[bin.0 as usize]; 2]);
            workers.extend([workers[bin.0 as usize]; 2]);
        }
        (Owners::new(&self.context, space, owners, workers, places), None)
    }

    fn divide(&mut self, table: &Owners, batches: Vec<Vec<D>>, now: Timestamp, send: &mut dyn FnMut(Receiver, Vec<(K, V)>)) {
        let queues = &self.spec.queues;
        if let Some(single_instance) = table.single_instance {
            queues.add(single_instance.instance, batches.iter().map(|records| records.len() as u64).sum(), now);
            return batches.into_iter().for_each(|records| send(single_instance, records.into_iter().map(&mut self.record).collect()));
        }
        let peers = self.context.peers as usize;
        let most = at_once::<(K, V)>();
        let records: usize = batches.iter().map(Vec::len).sum();
        let room = (records * 5 / (4 * peers) + 4).min(most);
        let mut full: Vec<(WorkerId, Vec<(K, V)>)> = Vec::new();
        let mut shares: Vec<Vec<(K, V)>> = (0..peers).map(|_| Vec::with_capacity(room)).collect();
        let mut counts: Vec<u64> = vec![0; table.instances as usize];
        for batch in batches {
            for record in batch.into_iter().map(&mut self.record) {
                let bin = table.space.bin(hash_of(&record.0)).0 as usize;
                if table.one_per_worker.is_none() {
                    counts[table.owners[bin] as usize] += 1;
                }
                let place = table.workers[bin];
                let share = &mut shares[place.0 as usize];
                if share.len() == most {
                    full.push((place, std::mem::replace(share, Vec::with_capacity(room))));
                }
                share.push(record);
            }
        }
        if let Some(one_per_worker) = &table.one_per_worker {
            let sent = full.iter().map(|(place, share)| (place.0 as usize, share)).chain(shares.iter().enumerate());
            sent.filter(|(_, share)| !share.is_empty())
                .for_each(|(place, share)| counts[one_per_worker[place] as usize] += share.len() as u64);
        }
        // All are counted before any is sent: the instance counts down.
        for (instance, &count) in (0..).zip(&counts) {
            if count > 0 {
                queues.add(instance, count, now);
            }
        }
        for (worker, share) in full.into_iter().chain((0..).map(WorkerId).zip(shares)) {
            if !share.is_empty() {
                send(Receiver { instance: 0, worker }, share);
            }
        }
    }
}
