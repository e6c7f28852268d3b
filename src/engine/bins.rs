//! One worker's bins of an elastic operator with state: their state, their queues, their timers.
//!
//! The operator (`keyed.rs`) calls in the order of times: [`command`](Bins::command), [`arrive`](Bins::arrive), then
//! [`settle`](Bins::settle) and [`serve`](Bins::serve). What happens to bins in motion is in `motion.rs`. Invariants: a bin's state
//! is on one worker or on its way to one, never both; a record is queued only where its bin's state is; a timer is called after all
//! records of its key of earlier epochs and before those of its own time, wherever the bin is by then.
//!
//! Timers are looked at twice. Before a record of epoch e is applied, the timers of its bin up to e are called: so records that lie
//! in a long queue see the calls that belong between them. And once the frontiers have reached a timer's time and nothing older
//! waits for its instance, it is called without any record.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hash;
use std::hint::black_box;
use std::ops::Bound;
use std::rc::Rc;

use timely::ExchangeData;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilderSession;
use timely::scheduling::Activator;

use super::batch::{Batch, BatchBuilder};
use super::bin::{Bin, hash_of};
use super::fault::{Fault, seeded};
use super::motion::{Along, Arrived, Event};
use super::router::Origin;
use super::serve::{Caps, Stations, Work};
use super::session::{Logic, Session};
use super::space::KeySpace;
use super::table::Home;
use super::transfer::{Inbox, Outbox};
use super::{Command, Context, OperatorSpec, Time};
use crate::activity::{Activity, BinLoad, Lane, Record};
use crate::dataflow::Capacity;
use crate::id::{BinId, InstanceId};
use crate::migration::Assignment;
use crate::time::{Epoch, Timestamp};

/// Records that are looked up before the first of them is applied: more than a processor has fetches under way, few enough that what
/// they find is still in its nearest cache.
const LOOKED_UP_AHEAD: usize = 32;

/// One worker's part of the operator.
pub(super) struct Bins<K: Hash + Eq, V, S> {
    pub(super) context: Context,
    pub(super) spec: OperatorSpec,
    pub(super) space: KeySpace,
    pub(super) owners: Vec<u32>,
    /// State of the bins that are here.
    pub(super) states: Vec<Option<Bin<K, S>>>,
    /// Bins in motion.
    pub(super) events: BTreeMap<BinId, VecDeque<Event<K, V>>>,
    /// State that has come, by bin and time of the command; it may come before this worker has seen the command.
    pub(super) arrived: BTreeMap<(BinId, Time), Arrived<K, V, S>>,
    /// Bins that are being sent to other processes.
    pub(super) outbox: Outbox<K, V, S>,
    /// Bins that are coming from other processes.
    pub(super) inbox: Inbox<K, S, Along<K, V>>,
    pub(super) stations: Stations<(K, V)>,
    pub(super) timers: DueTimers,
    /// Records taken up since the last sample, by bin.
    arrivals: Vec<u32>,
    /// The instance that owns every bin on this worker, if there is just one.
    sole: Option<u32>,
}

/// The timers of all bins that are here.
#[derive(Default)]
pub(super) struct DueTimers {
    /// The next timer of each bin that has one.
    next: BTreeSet<(Time, BinId)>,
    /// The right to give out results at the earliest of them.
    cap: Option<Capability<Time>>,
    /// Timers that one call of a function asks for.
    asked: Vec<Time>,
}

/// Results of timers that were called on the way, by time and instance.
pub(super) type Called<R> = BTreeMap<(Time, u32), Vec<R>>;

/// Results of an operator.
type Output<'a, R> = OutputBuilderSession<'a, Time, BatchBuilder<R>>;

impl<K, V, S> Bins<K, V, S>
where
    K: ExchangeData + Hash + Eq + Clone,
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
        let mut bins = Bins {
            context,
            spec,
            space: KeySpace::new(owners.len() as u32),
            owners,
            states,
            events: BTreeMap::new(),
            arrived: BTreeMap::new(),
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            stations,
            timers: DueTimers::default(),
            arrivals,
            sole: None,
        };
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
            if seeded(Fault::OverlookMove) && self.events.contains_key(&bin) {
                continue;
            }
            let from = std::mem::replace(&mut self.owners[bin.0 as usize], to);
            let event = match (self.context.hosts(from), self.context.hosts(to)) {
                (true, true) => Event::HandOver { at, from, to },
                (true, false) => Event::Depart { at, from, to, cap: Rc::clone(cap) },
                (false, true) => Event::Arrive { at, to },
                (false, false) => continue,
            };
            self.events.entry(bin).or_default().push_back(event);
        }
        for &bin in &command.splits {
            self.split(bin);
        }
        self.find_sole();
    }

    /// Splits a bin in two where it is. Nothing of the operator is in motion, and what is queued finds its half when its turn comes.
    fn split(&mut self, bin: BinId) {
        assert!(self.events.is_empty(), "{bin} is split while bins are in motion");
        let (first, owner) = (self.space.split(bin), self.owners[bin.0 as usize]);
        self.owners.extend([owner; 2]);
        self.arrivals.extend([0; 2]);
        let whole = self.states[bin.0 as usize].as_mut().map(std::mem::take);
        let Some(whole) = whole else {
            self.states.extend([None, None]);
            return;
        };
        self.timers.gone(bin, &whole);
        let mut halves = [Bin::default(), Bin::default()];
        whole.divide(&mut halves, |hash| (self.space.bin(hash).0 - first.0) as usize);
        if seeded(Fault::SwapHalves) {
            halves.swap(0, 1);
        }
        for (id, half) in (first.0..).map(BinId).zip(halves) {
            self.timers.come(id, &half, None);
            self.states.push(Some(half));
        }
        self.report(1);
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
            if self.events.contains_key(&bin) && !seeded(Fault::DoNotWait) {
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
        self.space.bin(hash_of(key))
    }

    /// Whether no record waits, no timer is set and no bin is in motion.
    pub(super) fn is_done(&self) -> bool {
        self.stations.is_empty() && self.events.is_empty() && self.timers.next.is_empty() && !self.is_transferring()
    }

    /// Asks to be scheduled when the next work completes or the next sample is due, at once while state is being sent or taken up.
    pub(super) fn arm(&mut self, activator: &Activator) {
        if self.is_transferring() {
            activator.activate();
        }
        self.stations.arm(activator);
    }

    /// Applies what is complete by now. Results of timers that are called on the way go to `called`.
    ///
    /// Where states do not fit in the processor's cache, most of the time goes into waiting for the places of keys in memory. A processor
    /// fetches several at once, the more the less there is to do between them. So a few records are looked up ahead, without
    /// changing anything, and find everything near when they are applied.
    pub(super) fn serve<R: 'static, L: Logic<K, V, S, R>>(&mut self, output: &mut Output<'_, R>, logic: &mut L, called: &mut Called<R>) {
        let Bins { states, stations, arrivals, spec, timers, owners, context, space, .. } = self;
        let counts = spec.capacity == Capacity::Cpu && context.recorder.is_on();
        stations.serve(output, |caps, epoch, mut records, results| {
            let mut places = [(BinId(0), Home::default()); LOOKED_UP_AHEAD];
            while !records.as_slice().is_empty() {
                let mut fetched = 0;
                for (place, (key, _)) in places.iter_mut().zip(records.as_slice()) {
                    let hash = hash_of(key);
                    let id = space.bin(hash);
                    let bin = states[id.0 as usize].as_ref().expect("records are queued where their bin is");
                    *place = (id, bin.home(hash));
                    fetched |= bin.fetch(place.1);
                }
                // Nobody asks, which the compiler must not notice.
                black_box(fetched);
                if counts {
                    places.iter().take(records.len()).for_each(|(id, _)| arrivals[id.0 as usize] += 1);
                }
                let mut added = false;
                for (&(id, mut home), (key, value)) in places.iter().zip(records.by_ref()) {
                    let bin = states[id.0 as usize].as_mut().expect("just seen");
                    if !L::PLAIN && bin.next_timer() <= epoch && !seeded(Fault::CallLate) {
                        added = true;
                        timers.call(bin, (id, owners[id.0 as usize]), epoch, logic, called);
                    }
                    if added {
                        home = bin.home(hash_of(&key));
                    }
                    let mut session = Session::new(epoch, results, &mut timers.asked);
                    match bin.find(home, &key) {
                        Some(state) => {
                            logic.apply(&key, value, state, &mut session);
                            if !L::PLAIN {
                                if session.forgets() {
                                    bin.remove(hash_of(&key), &key);
                                }
                                timers.set(bin, id, &key, &caps.results);
                            }
                        }
                        None => {
                            let mut fresh = S::default();
                            logic.apply(&key, value, &mut fresh, &mut session);
                            let keeps = !session.forgets();
                            timers.set(bin, id, &key, &caps.results);
                            if keeps {
                                added = true;
                                bin.insert(hash_of(&key), key, fresh);
                            }
                        }
                    }
                }
            }
        });
    }

    /// Calls the timers up to `until` of bins that are at rest, unless something older waits for their instance; `until` is as far as
    /// the frontiers allow. Then gives out what was `called` on the way.
    pub(super) fn call_due<R: 'static>(
        &mut self,
        until: Time,
        output: &mut Output<'_, R>,
        logic: &mut impl Logic<K, V, S, R>,
        called: &mut Called<R>,
    ) {
        let mut oldest: BTreeMap<u32, Time> = BTreeMap::new();
        let mut passed = None;
        // In order of time. Calls may set further timers, always later ones.
        let after = |passed: Option<(Time, BinId)>| (passed.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        while let Some(&(at, id)) = self.timers.next.range(after(passed)).next() {
            if at > until {
                break;
            }
            passed = Some((at, id));
            let owner = self.owners[id.0 as usize];
            let stations = &mut self.stations;
            if self.events.contains_key(&id)
                || !seeded(Fault::CallEarly) && at > *oldest.entry(owner).or_insert_with(|| stations.oldest(owner))
            {
                continue;
            }
            let start = self.context.clock.now();
            let bin = self.states[id.0 as usize].as_mut().expect("timers are known of bins that are here");
            self.timers.call(bin, (id, owner), at, logic, called);
            let results = called.remove(&(at, owner)).unwrap_or_default();
            self.give(at, owner, start, results, output);
        }
        let now = self.context.clock.now();
        for ((at, owner), results) in std::mem::take(called) {
            self.give(at, owner, now, results, output);
        }
        self.timers.downgrade();
    }

    /// Gives out the results of timers.
    fn give<R: 'static>(&mut self, at: Time, owner: u32, start: Timestamp, results: Vec<R>, output: &mut Output<'_, R>) {
        let instance = InstanceId::new(self.spec.id, owner);
        let lane = self.context.lane(instance, self.spec.capacity);
        // A limited instance's time is imposed, and calls take none of it.
        let end = if lane == Lane::Instance(instance) { start } else { self.context.clock.now() };
        let (kind, epoch, records_out) = (self.spec.work, Epoch(at), results.len() as u64);
        self.context.recorder.log(Record::Activity(Activity { lane, kind, instance, epoch, start, end, records_in: 0, records_out }));
        if !results.is_empty() {
            let cap = self.timers.cap.as_ref().expect("there is a right to answer timers");
            let cap = if seeded(Fault::AnswerEarly) { cap.clone() } else { cap.delayed(&at) };
            output.session_with_builder(&cap).give_container(&mut Batch::new(lane, results));
        }
    }

    /// Records queues and bins when a sample is due.
    pub(super) fn sample(&mut self) {
        if !self.stations.sample() || !self.context.recorder.is_on() {
            return;
        }
        let at = self.context.clock.now();
        // One bin's entries stand for all: looking into each table would take milliseconds where there are thousands.
        let used = self.arrivals.iter().zip(&self.states).find_map(|(&arrivals, state)| state.as_ref().filter(|_| arrivals > 0));
        let outside = used.map_or(0, |bin| bin.bytes_per_key() - size_of::<(K, S)>());
        let mut loads: BTreeMap<u32, Vec<BinLoad>> = BTreeMap::new();
        for (bin, arrivals) in self.arrivals.iter_mut().enumerate().filter(|(_, arrivals)| **arrivals > 0) {
            // The instance of a bin that has left or is about to is sampled where it is; what the bin did here last is
            // forgotten, because nobody reports what it holds.
            if !self.context.hosts(self.owners[bin]) {
                *arrivals = 0;
                continue;
            }
            let (keys, bytes) = self.states[bin].as_ref().map_or((0, 0), |state| (state.keys() as u64, state.bytes(outside)));
            let arrivals = u64::from(std::mem::take(arrivals));
            let useful = std::time::Duration::ZERO;
            loads.entry(self.owners[bin]).or_default().push(BinLoad { bin: BinId(bin as u32), arrivals, useful, keys, bytes });
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

impl DueTimers {
    /// Sets the timers that the last call asked for, about `key`; `cap` is the right to answer it.
    #[inline]
    fn set<K: Hash + Eq + Clone, S>(&mut self, bin: &mut Bin<K, S>, id: BinId, key: &K, cap: &Capability<Time>) {
        if !self.asked.is_empty() {
            self.set_asked(bin, id, key, Some(cap));
        }
    }

    #[cold]
    fn set_asked<K: Hash + Eq + Clone, S>(&mut self, bin: &mut Bin<K, S>, id: BinId, key: &K, cap: Option<&Capability<Time>>) {
        let before = bin.next_timer();
        for at in self.asked.drain(..) {
            bin.set_timer(at, key.clone());
        }
        let next = bin.next_timer();
        if let Some(cap) = cap
            && self.cap.as_ref().is_none_or(|held| *held.time() > next)
        {
            self.cap = Some(cap.delayed(&next));
        }
        self.moved(id, before, next);
    }

    /// Calls the timers of a bin and its owner up to `until`.
    fn call<K, V, S, R>(
        &mut self,
        bin: &mut Bin<K, S>,
        (id, owner): (BinId, u32),
        until: Time,
        logic: &mut impl Logic<K, V, S, R>,
        called: &mut Called<R>,
    ) where
        K: Hash + Eq + Clone,
        S: Default,
    {
        while bin.next_timer() <= until {
            let before = bin.next_timer();
            let (at, keys) = bin.take_timer().expect("there is a timer");
            self.moved(id, before, bin.next_timer());
            let results = called.entry((at, owner)).or_default();
            for key in keys.into_entries() {
                let hash = hash_of(&key);
                let mut session = Session::new(at, results, &mut self.asked);
                match bin.get_mut(hash, &key) {
                    Some(state) => {
                        logic.call(&key, state, &mut session);
                        if session.forgets() {
                            bin.remove(hash, &key);
                        }
                        self.set_asked(bin, id, &key, None);
                    }
                    None => {
                        let mut fresh = S::default();
                        logic.call(&key, &mut fresh, &mut session);
                        let keeps = !session.forgets();
                        self.set_asked(bin, id, &key, None);
                        if keeps {
                            bin.insert(hash, key, fresh);
                        }
                    }
                }
            }
        }
    }

    /// A bin's next timer is another one now.
    fn moved(&mut self, id: BinId, before: Time, next: Time) {
        if before != next {
            self.next.remove(&(before, id));
            if next < Time::MAX {
                self.next.insert((next, id));
            }
        }
    }

    /// A bin has come, with the right to answer its timers if it has any.
    pub(super) fn come<K: Hash + Eq, S>(&mut self, id: BinId, bin: &Bin<K, S>, cap: Option<Capability<Time>>) {
        self.moved(id, Time::MAX, bin.next_timer());
        if let Some(cap) = cap
            && self.cap.as_ref().is_none_or(|held| held.time() > cap.time())
        {
            self.cap = Some(cap);
        }
    }

    /// A bin leaves; its timers before `until` are called first, because nothing is left that could come before them.
    pub(super) fn leave<K, V, S, R>(
        &mut self,
        id: BinId,
        bin: &mut Bin<K, S>,
        owner: u32,
        until: Time,
        logic: &mut impl Logic<K, V, S, R>,
        called: &mut Called<R>,
    ) where
        K: Hash + Eq + Clone,
        S: Default,
    {
        if let Some(last) = until.checked_sub(1) {
            self.call(bin, (id, owner), last, logic, called);
        }
        self.gone(id, bin);
    }

    /// A bin is not here any more.
    fn gone<K: Hash + Eq, S>(&mut self, id: BinId, bin: &Bin<K, S>) {
        self.moved(id, bin.next_timer(), Time::MAX);
    }

    /// Keeps no more rights than the timers need.
    fn downgrade(&mut self) {
        match self.next.first() {
            None => self.cap = None,
            Some((next, _)) => self.cap.as_mut().expect("there is a right to answer timers").downgrade(next),
        }
    }
}
