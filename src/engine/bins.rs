//! One worker's bins of an elastic operator with state: their state, their queues, and what happens to them in motion.
//!
//! The operator (`keyed.rs`) calls in the order of times: [`command`](Bins::command), [`arrive`](Bins::arrive), then
//! [`settle`](Bins::settle) and [`serve`](Bins::serve). Invariants: a bin's state is on one worker or on its way to one, never
//! both; a bin in motion has a list of events that is taken strictly in order; a record is queued only where its bin's state is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hash;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilderSession;
use timely::scheduling::Activator;

use super::batch::BatchBuilder;
use super::bin::{Bin, bin_of, bin_of_hash, hash_of};
use super::router::Origin;
use super::serve::{Caps, Stations, Work};
use super::{Ack, Command, Context, OperatorSpec, Time};
use crate::activity::{Activity, ActivityKind, BinLoad, Lane, Record};
use crate::dataflow::Capacity;
use crate::id::{BinId, InstanceId};
use crate::migration::Assignment;
use crate::time::{Epoch, Timestamp};

/// State of a bin on its way to a new owner, with the records that were waiting for it.
#[derive(Serialize, Deserialize)]
#[serde(bound = "K: ExchangeData + Hash + Eq, V: ExchangeData, S: ExchangeData")]
pub(super) struct Ship<K: Hash + Eq, V, S> {
    bin: BinId,
    /// Time of the command.
    at: Time,
    /// Instance that receives it.
    pub(super) to: u32,
    state: Bin<K, S>,
    works: Vec<(Time, Vec<(K, V)>)>,
}

/// What has to happen to a bin before its next records may be queued.
enum Event<K, V> {
    /// Its state comes from another worker.
    Arrive { at: Time, to: u32 },
    /// Its state goes to another worker.
    Depart { at: Time, from: u32, to: u32, cap: Rc<Capability<Time>> },
    /// Its state stays on this worker but belongs to another instance.
    HandOver { at: Time, from: u32, to: u32 },
    /// These records come next.
    Records { instance: u32, work: Work<(K, V)> },
}

/// One worker's part of the operator.
pub(super) struct Bins<K: Hash + Eq, V, S> {
    context: Context,
    spec: OperatorSpec,
    owners: Vec<u32>,
    /// State of the bins that are here.
    states: Vec<Option<Bin<K, S>>>,
    /// Bins in motion.
    events: BTreeMap<BinId, VecDeque<Event<K, V>>>,
    /// State that has come, by bin and time of the command; it may come before this worker has seen the command.
    arrived: BTreeMap<(BinId, Time), Arrived<K, V, S>>,
    stations: Stations<(K, V)>,
    /// Records taken up since the last sample, by bin.
    arrivals: Vec<u32>,
    /// The instance that owns every bin on this worker, if there is just one.
    sole: Option<u32>,
}

type Arrived<K, V, S> = (Bin<K, S>, Vec<Work<(K, V)>>);
/// Bins that leave under one right to ship.
type Leaving<K, V, S> = (Capability<Time>, Vec<Ship<K, V, S>>);
/// Where bins on their way to other workers are put.
pub(super) type Shipments<'a, K, V, S> = OutputBuilderSession<'a, Time, CapacityContainerBuilder<Vec<Ship<K, V, S>>>>;

impl<K, V, S> Bins<K, V, S>
where
    K: ExchangeData + Hash + Eq,
    V: ExchangeData,
    S: ExchangeData + Default,
{
    /// The bins that `first` gives to instances on this worker, without any state.
    pub(super) fn new(context: &Context, spec: &OperatorSpec, first: &Assignment) -> Self {
        let owners = first.owners().to_vec();
        let states = owners.iter().map(|&owner| context.hosts(owner).then(Bin::default)).collect();
        let arrivals = vec![0; owners.len()];
        let stations = Stations::new(context, spec);
        let (context, spec) = (context.clone(), spec.clone());
        let mut bins =
            Bins { context, spec, owners, states, events: BTreeMap::new(), arrived: BTreeMap::new(), stations, arrivals, sole: None };
        bins.find_sole();
        bins
    }

    fn find_sole(&mut self) {
        let mut local = self.owners.iter().copied().filter(|&owner| self.context.hosts(owner));
        let first = local.next();
        self.sole = first.filter(|first| local.all(|owner| owner == *first));
    }

    /// Takes note of a command whose time everything older has reached.
    pub(super) fn command(&mut self, cap: &Rc<Capability<Time>>, command: &Command) {
        let at = *cap.time();
        for &(bin, to) in &command.moves {
            let from = std::mem::replace(&mut self.owners[bin.0 as usize], to);
            let event = match (self.context.hosts(from), self.context.hosts(to)) {
                (true, true) => Event::HandOver { at, from, to },
                (true, false) => Event::Depart { at, from, to, cap: Rc::clone(cap) },
                (false, true) => Event::Arrive { at, to },
                (false, false) => continue,
            };
            self.events.entry(bin).or_default().push_back(event);
        }
        self.find_sole();
    }

    /// Queues records of one epoch at their instances, or behind the events of their bin.
    pub(super) fn arrive(&mut self, caps: &Rc<Caps>, origin: Origin, records: Vec<(K, V)>) {
        let now = self.context.clock.now();
        let (id, epoch, count) = (self.spec.id, *caps.results.time(), records.len() as u64);
        if self.spec.capacity == Capacity::Cpu {
            origin.reached(&self.context, id, epoch, Lane::Worker(self.context.worker), now, count);
        }
        if let (Some(sole), Capacity::Cpu, true) = (self.sole, self.spec.capacity, self.events.is_empty()) {
            self.stations.station(sole).arrive(Work::new(caps, records), now);
            return;
        }
        let mut shares: BTreeMap<u32, Vec<(K, V)>> = BTreeMap::new();
        let mut waiting: BTreeMap<BinId, Vec<(K, V)>> = BTreeMap::new();
        for record in records {
            let bin = self.bin(&record.0);
            // Measured instances count when they apply: see `serve`.
            if self.spec.capacity != Capacity::Cpu {
                self.arrivals[bin.0 as usize] += 1;
            }
            if self.events.contains_key(&bin) {
                waiting.entry(bin).or_default().push(record);
            } else {
                shares.entry(self.owners[bin.0 as usize]).or_default().push(record);
            }
        }
        if self.spec.capacity != Capacity::Cpu {
            let mut counts: BTreeMap<u32, u64> = shares.iter().map(|(&instance, share)| (instance, share.len() as u64)).collect();
            for (bin, records) in &waiting {
                *counts.entry(self.owners[bin.0 as usize]).or_default() += records.len() as u64;
            }
            for (instance, count) in counts {
                let lane = Lane::Instance(InstanceId::new(id, instance));
                origin.reached(&self.context, id, epoch, lane, now, count);
            }
        }
        for (instance, share) in shares {
            self.stations.station(instance).arrive(Work::new(caps, share), now);
        }
        for (bin, records) in waiting {
            let event = Event::Records { instance: self.owners[bin.0 as usize], work: Work::new(caps, records) };
            self.events.get_mut(&bin).expect("just seen").push_back(event);
        }
    }

    fn bin(&self, key: &K) -> BinId {
        bin_of(key, self.owners.len() as u32)
    }

    /// Takes state that has come; `cap` gives the right to give out results of an epoch.
    pub(super) fn receive(&mut self, ship: Ship<K, V, S>, cap: impl Fn(Time) -> Capability<Time>) {
        let work = |(epoch, records)| Work::new(&Rc::new(Caps { results: cap(epoch), ship: None }), records);
        self.arrived.insert((ship.bin, ship.at), (ship.state, ship.works.into_iter().map(work).collect()));
    }

    /// Whether no record waits and no bin is in motion.
    pub(super) fn is_done(&self) -> bool {
        self.stations.is_empty() && self.events.is_empty()
    }

    /// Asks to be scheduled when the next work completes or the next sample is due.
    pub(super) fn arm(&mut self, activator: &Activator) {
        self.stations.arm(activator);
    }

    /// Takes every event that can be taken now.
    pub(super) fn settle(&mut self, shipments: &mut Shipments<'_, K, V, S>) {
        while !self.events.is_empty() {
            let leaving = self.take_in();
            let carried = if leaving.is_empty() { BTreeSet::new() } else { self.carried() };
            let stays = |bin: &BinId| matches!(self.events[bin].front(), Some(Event::Depart { .. })) && carried.contains(bin);
            let leaving: BTreeSet<BinId> = leaving.into_iter().filter(|bin| !stays(bin)).collect();
            if leaving.is_empty() {
                break;
            }
            self.let_go(&leaving, shipments);
        }
    }

    /// Takes arrivals and records at the head of each list; gives the bins that are here and have to leave next.
    fn take_in(&mut self) -> Vec<BinId> {
        let now = self.context.clock.now();
        let mut leaving = Vec::new();
        let mut installed = 0;
        self.events.retain(|&bin, events| {
            loop {
                match events.pop_front() {
                    None => return false,
                    Some(Event::Records { instance, work }) => self.stations.station(instance).arrive(work, now),
                    Some(Event::Arrive { at, to }) => match self.arrived.remove(&(bin, at)) {
                        Some((state, works)) => {
                            assert!(self.states[bin.0 as usize].replace(state).is_none(), "{bin} has one owner");
                            self.stations.station(to).overtake(works.into_iter(), now);
                            installed += 1;
                        }
                        None => {
                            events.push_front(Event::Arrive { at, to });
                            return true;
                        }
                    },
                    Some(event) => {
                        events.push_front(event);
                        leaving.push(bin);
                        return true;
                    }
                }
            }
        });
        self.report(installed);
        leaving
    }

    fn report(&self, installed: usize) {
        if installed > 0 {
            // Nobody listens any more at the end of a run.
            let _ = self.context.acks.send(Ack::Installed(self.spec.id, installed));
        }
    }

    /// Bins with records in the queue that came along with their state: these cannot be shipped on, they must be applied first.
    fn carried(&mut self) -> BTreeSet<BinId> {
        let bins = self.owners.len() as u32;
        let works = self.stations.iter_mut().flat_map(|(_, station)| station.queue.iter()).filter(|work| work.caps.ship.is_none());
        works.flat_map(|work| work.records.as_slice()).map(|(key, _)| bin_of(key, bins)).collect()
    }

    /// Hands the state of `leaving` bins to their next owners, with what waits for them in the queues.
    fn let_go(&mut self, leaving: &BTreeSet<BinId>, shipments: &mut Shipments<'_, K, V, S>) {
        let start = self.context.clock.now();
        let mut queued = self.take_from_queues(leaving, start);
        let mut by_time: BTreeMap<Time, Leaving<K, V, S>> = BTreeMap::new();
        let mut handed_over = 0;
        let (mut giver, mut latest) = (0, 0);
        for &bin in leaving {
            let works = queued.remove(&bin).unwrap_or_default();
            let waiting = works.iter().map(|work| work.records.len() as u64).sum();
            let events = self.events.get_mut(&bin).expect("a bin that leaves has events");
            match events.pop_front() {
                Some(Event::HandOver { at, from, to }) => {
                    (giver, latest, handed_over) = (from, at.max(latest), handed_over + 1);
                    self.moved(from, to, waiting, start);
                    self.stations.station(to).overtake(works.into_iter(), start);
                }
                Some(Event::Depart { at, from, to, cap }) => {
                    (giver, latest) = (from, at.max(latest));
                    self.moved(from, to, waiting, start);
                    let state = self.states[bin.0 as usize].take().expect("a bin that departs is here");
                    // Epochs in a queue do not decrease except where a bin overtook, so the oldest is searched for.
                    let oldest = works.iter().min_by_key(|work| work.epoch());
                    let cap = oldest.map_or(&*cap, |work| work.caps.ship.as_ref().expect("carried records are not shipped")).clone();
                    let works = works.into_iter().map(|work| (work.epoch(), work.records.collect())).collect();
                    by_time.entry(*cap.time()).or_insert_with(|| (cap, Vec::new())).1.push(Ship { bin, at, to, state, works });
                }
                _ => unreachable!("only bins about to leave are let go"),
            }
        }
        self.events.retain(|_, events| !events.is_empty());
        for (cap, ships) in by_time.into_values() {
            shipments.session(&cap).give_iterator(ships.into_iter());
        }
        self.report(handed_over);
        self.context.recorder.log(Record::Activity(Activity {
            lane: Lane::Worker(self.context.worker),
            kind: ActivityKind::Migration,
            instance: InstanceId::new(self.spec.id, giver),
            epoch: Epoch(latest),
            start,
            end: self.context.clock.now(),
            records_in: leaving.len() as u64,
            records_out: 0,
        }));
    }

    /// Records that wait for a bin wait at another instance from now on.
    fn moved(&self, from: u32, to: u32, records: u64, now: Timestamp) {
        if records > 0 {
            self.spec.gauges.add(to, records, now);
            if let Some((start, end)) = self.spec.gauges.remove(from, records, now) {
                self.context.recorder.log(Record::Backpressure { instance: InstanceId::new(self.spec.id, from), start, end });
            }
        }
    }

    /// Takes the records of `leaving` bins out of the queues of the instances that give them, in order.
    fn take_from_queues(&mut self, leaving: &BTreeSet<BinId>, now: Timestamp) -> BTreeMap<BinId, Vec<Work<(K, V)>>> {
        let mut taken: BTreeMap<BinId, Vec<Work<(K, V)>>> = BTreeMap::new();
        let bins = self.owners.len() as u32;
        let mut leaves = vec![false; bins as usize];
        let mut givers: BTreeSet<u32> = BTreeSet::new();
        for bin in leaving {
            leaves[bin.0 as usize] = true;
            match self.events[bin].front() {
                Some(Event::Depart { from, .. } | Event::HandOver { from, .. }) => givers.insert(*from),
                _ => unreachable!("only bins about to leave are let go"),
            };
        }
        for (_, station) in self.stations.iter_mut().filter(|(index, _)| givers.contains(index)) {
            for work in std::mem::take(&mut station.queue) {
                let mut stay = Vec::with_capacity(work.records.len());
                let mut go: BTreeMap<BinId, Vec<(K, V)>> = BTreeMap::new();
                for record in work.records {
                    let bin = bin_of(&record.0, bins);
                    if leaves[bin.0 as usize] { go.entry(bin).or_default().push(record) } else { stay.push(record) }
                }
                for (bin, records) in go {
                    taken.entry(bin).or_default().push(Work::new(&work.caps, records));
                }
                if !stay.is_empty() {
                    station.queue.push_back(Work::new(&work.caps, stay));
                }
            }
            station.wake(now);
        }
        taken
    }

    /// Applies what is complete by now.
    pub(super) fn serve<R: 'static>(
        &mut self,
        output: &mut OutputBuilderSession<'_, Time, BatchBuilder<R>>,
        fold: &mut impl FnMut(&K, V, &mut S, &mut Vec<R>),
    ) {
        let Bins { states, stations, arrivals, spec, .. } = self;
        let (bins, counts) = (states.len() as u32, spec.capacity == Capacity::Cpu);
        stations.serve(output, |_, (key, value), results| {
            let hash = hash_of(&key);
            let bin = bin_of_hash(hash, bins).0 as usize;
            if counts {
                arrivals[bin] += 1;
            }
            let states = states[bin].as_mut().expect("records are queued where their bin is");
            match states.get_mut(hash, &key) {
                Some(state) => fold(&key, value, state, results),
                None => {
                    let mut fresh = S::default();
                    fold(&key, value, &mut fresh, results);
                    states.insert(hash, key, fresh);
                }
            }
        });
    }

    /// Records queues and bins when a sample is due.
    pub(super) fn sample(&mut self) {
        if !self.stations.sample() || !self.context.recorder.is_on() {
            return;
        }
        let at = self.context.clock.now();
        let mut loads: BTreeMap<u32, Vec<BinLoad>> = BTreeMap::new();
        for (bin, arrivals) in self.arrivals.iter_mut().enumerate().filter(|(_, arrivals)| **arrivals > 0) {
            // The instance of a bin that has left or is about to is sampled where it is; what the bin did here last is
            // forgotten, because nobody reports what it holds.
            if !self.context.hosts(self.owners[bin]) {
                *arrivals = 0;
                continue;
            }
            let keys = self.states[bin].as_ref().map_or(0, |state| state.keys() as u64);
            let arrivals = u64::from(std::mem::take(arrivals));
            let useful = std::time::Duration::ZERO;
            loads.entry(self.owners[bin]).or_default().push(BinLoad { bin: BinId(bin as u32), arrivals, useful, keys });
        }
        for (instance, mut loads) in loads {
            let station = self.stations.station(instance);
            // Useful time is measured by the batch; a bin's part of it is its part of the records.
            let (processed, useful) = (std::mem::take(&mut station.processed), std::mem::take(&mut station.useful));
            for load in loads.iter_mut().filter(|_| processed > 0) {
                load.useful = useful.mul_f64(load.arrivals as f64 / processed as f64);
            }
            self.context.recorder.log(Record::Bins { instance: InstanceId::new(self.spec.id, instance), at, loads });
        }
    }
}
