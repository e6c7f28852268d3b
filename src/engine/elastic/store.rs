//! What is in the bins of one worker: keys, their states, timers; and what the user's function does with them.
//!
//! Queues, events and timers of bins are the same whatever is in them, and so is a migration. All of that is compiled once
//! (`keyed.rs`, `bins.rs`, `migrate.rs`, `transfer.rs`) and meets what depends on types in [`Contents`]: never for a record, except where a
//! worker's share has to be divided further.

use std::any::Any;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::marker::PhantomData;
use std::rc::Rc;
use std::vec::IntoIter;

use serde::{Deserialize, Serialize};
use timely::ExchangeData;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;

use super::batch::{Batch, BatchBuilder};
use super::bin::Bin;
use super::due::DueTimers;
use super::erased::Sealed;
use super::fault::{Fault, seeded};
use super::key_space::{KeySpace, hash_of};
use super::servers::{Caps, Stations, Work};
use super::session::{Logic, Session};
use super::table::IntoEntries;
use super::timers::Timers;
use crate::activity::Lane;
use crate::engine::Time;
use crate::engine::host::Context;
use crate::id::BinId;

/// A record's place in memory is asked for when so many records before it are still to be applied: more than a processor has fetches under
/// way, few enough that what they find is still in its nearest cache.
const AHEAD: usize = 16;

/// A bin that is on no worker, or is being put together.
pub(super) type Loose = Box<dyn Any + Send>;

/// The queues whose complete records a store applies, and what it needs for that.
pub(super) struct Input<'a> {
    /// Which bin a key is in.
    pub(super) space: &'a KeySpace,
    /// Owners of the bins.
    pub(super) owners: &'a [u32],
    /// Queues of the instances on this worker.
    pub(super) stations: &'a mut Stations,
    /// Timers of all bins.
    pub(super) timers: &'a mut DueTimers,
    /// By bin, how many records were applied; missing if nobody records it here.
    pub(super) arrivals: Option<&'a mut [u32]>,
}

/// What is in the bins of one worker.
pub(super) trait Contents {
    /// Applies what is complete by now. Results of timers that are called on the way are kept.
    fn serve(&mut self, input: Input<'_>);

    /// Calls the timers of a bin and its owner up to `until`, and keeps the results. False if there are none, or the bin is not here.
    fn call(&mut self, bin: (BinId, u32), until: Time, timers: &mut DueTimers) -> bool;

    /// Times and owners of which results of timers are kept.
    fn called(&self) -> Vec<(Time, u32)>;

    /// Gives out what is kept of a time and an owner, by a right of that time or before; says how many results there are.
    fn give(&mut self, called: (Time, u32), lane: Lane, cap: Option<&Capability<Time>>) -> u64;

    /// Gives each record to the share that `share_of` says for its bin.
    fn divide(&self, work: Work, space: &KeySpace, share_of: &mut dyn FnMut(BinId) -> usize) -> Vec<Work>;

    /// The bin of each record.
    fn bins_of(&self, work: &Work, space: &KeySpace, see: &mut dyn FnMut(BinId));

    /// Splits a bin into that of number `first` and the next. False if it is not here.
    fn split(&mut self, bin: BinId, first: BinId, space: &KeySpace, timers: &mut DueTimers) -> bool;

    /// Puts a bin here that has come.
    fn put(&mut self, bin: BinId, state: Sealed);

    /// Takes a bin that leaves, after its timers before `until`: nothing is left that could come before them. Says when the next is.
    fn depart(&mut self, bin: (BinId, u32), until: Time, timers: &mut DueTimers) -> (Sealed, Time);

    /// Packs records that leave with their bin.
    fn pack(&self, work: Work) -> Sealed;

    /// Records that came with their bin.
    fn unpack(&self, caps: &Rc<Caps>, records: Sealed) -> Work;

    /// Cuts a bin into parts of so many bytes; says how many keys it has.
    fn cut(&self, state: Sealed, part_bytes: usize) -> (u64, Box<dyn Parts>);

    /// An empty bin for so many keys.
    fn empty(&self, keys: u64) -> Loose;

    /// Adds a part of its entries or timers to a bin.
    fn join(&self, bin: &mut Loose, part: Sealed);

    /// A bin that has all its parts.
    fn complete(&self, bin: Loose) -> Sealed;

    /// Bytes that an entry of a bin owns beside its place in the table, judged by a few. Nothing if the bin is not here.
    fn outside(&self, bin: usize) -> Option<usize>;

    /// Keys of a bin, and the bytes they take if each owns `outside` bytes beside its place in the table.
    fn size(&self, bin: usize, outside: usize) -> (u64, u64);
}

/// A bin that is cut into parts.
pub(super) trait Parts {
    /// Some of the entries that are left, then some of the timers; nothing once none is.
    fn next(&mut self) -> Option<Sealed>;

    /// Whether nothing is left.
    fn is_empty(&self) -> bool;
}

/// Contents of given types, and where results go.
pub(super) struct Keyed<K, V, S, R: 'static, L> {
    /// State of the bins that are here.
    states: Vec<Option<Bin<K, S>>>,
    logic: L,
    called: Called<R>,
    output: OutputBuilder<Time, BatchBuilder<R>>,
    values: PhantomData<V>,
}

/// Results of timers, by time and instance.
struct Called<R> {
    places: BTreeMap<(Time, u32), usize>,
    results: Vec<Vec<R>>,
}

impl<R> Called<R> {
    fn of(&mut self, called: (Time, u32)) -> &mut Vec<R> {
        let place = *self.places.entry(called).or_insert(self.results.len());
        if place == self.results.len() {
            self.results.push(Vec::new());
        }
        &mut self.results[place]
    }

    fn take(&mut self, called: (Time, u32)) -> Vec<R> {
        let results = self.places.remove(&called).map(|place| std::mem::take(&mut self.results[place]));
        if self.places.is_empty() {
            self.results.clear();
        }
        results.unwrap_or_default()
    }
}

impl<K: Hash + Eq, V, S, R: 'static, L> Keyed<K, V, S, R, L> {
    /// The bins that `owners` gives to instances on this worker, without any state.
    pub(super) fn new(context: &Context, owners: &[u32], logic: L, output: OutputBuilder<Time, BatchBuilder<R>>) -> Self {
        let states = owners.iter().map(|&owner| context.hosts(owner).then(Bin::default)).collect();
        let called = Called { places: BTreeMap::new(), results: Vec::new() };
        Keyed { states, logic, called, output, values: PhantomData }
    }
}

impl<K, V, S, R, L> Contents for Keyed<K, V, S, R, L>
where
    K: ExchangeData + Hash + Eq + Clone,
    V: ExchangeData,
    S: ExchangeData + Default,
    R: ExchangeData,
    L: Logic<K, V, S, R>,
{
    /// Where states do not fit in the processor's cache, most of the time would go into waiting for the places of keys in memory. So
    /// each is asked for some records before it is needed.
    fn serve(&mut self, input: Input<'_>) {
        let Input { space, owners, stations, timers, mut arrivals } = input;
        let Keyed { states, logic, called, output, .. } = self;
        stations.serve(&mut output.activate(), |caps, epoch, records: &mut IntoIter<(K, V)>, count, results| {
            // Hardly ever: whoever asks for a call is called later, and what is due has been called if nothing older waits.
            let due = !L::PLAIN && timers.is_due(epoch) && !seeded(Fault::CallLate);
            let mut ahead = [(BinId(0), 0); AHEAD];
            for (place, (key, _)) in ahead.iter_mut().zip(&records.as_slice()[..count.min(AHEAD)]) {
                *place = look_up(states, space, key);
            }
            for n in 0..count {
                let (id, hash) = ahead[n % AHEAD];
                if n + AHEAD < count {
                    ahead[n % AHEAD] = look_up(states, space, &records.as_slice()[AHEAD].0);
                }
                if let Some(arrivals) = &mut arrivals {
                    arrivals[id.0 as usize] += 1;
                }
                let (key, value) = records.next().expect("there are as many records as were announced");
                let bin = states[id.0 as usize].as_mut().expect("records are queued where their bin is");
                if due && bin.next_timer() <= epoch {
                    call(bin, (id, owners[id.0 as usize]), epoch, timers, logic, called);
                }
                let mut session = Session::new(epoch, results, &mut timers.asked);
                let mut fresh = None;
                let state = bin.get_mut(hash, &key).unwrap_or_else(|| fresh.get_or_insert_default());
                logic.apply(&key, value, state, &mut session);
                let forgets = !L::PLAIN && session.forgets();
                if !L::PLAIN && !timers.asked.is_empty() {
                    set(timers, bin, id, &key, Some(&caps.results));
                }
                // Most often neither, and then there is nothing to pass on.
                if forgets || fresh.is_some() {
                    keep(bin, hash, key, fresh, forgets);
                }
            }
        });
    }

    fn call(&mut self, bin: (BinId, u32), until: Time, timers: &mut DueTimers) -> bool {
        let state = self.states[bin.0.0 as usize].as_mut().filter(|state| state.next_timer() <= until);
        state.map(|state| call(state, bin, until, timers, &mut self.logic, &mut self.called)).is_some()
    }

    fn called(&self) -> Vec<(Time, u32)> {
        self.called.places.keys().copied().collect()
    }

    fn give(&mut self, called: (Time, u32), lane: Lane, cap: Option<&Capability<Time>>) -> u64 {
        let results = self.called.take(called);
        let count = results.len() as u64;
        if count > 0 {
            let cap = cap.expect("there is a right to answer timers");
            let cap = if seeded(Fault::AnswerEarly) { cap.clone() } else { cap.delayed(&called.0) };
            self.output.activate().session_with_builder(&cap).give_container(&mut Batch::new(lane, results));
        }
        count
    }

    fn divide(&self, work: Work, space: &KeySpace, share_of: &mut dyn FnMut(BinId) -> usize) -> Vec<Work> {
        let (caps, mut shares) = (Rc::clone(&work.caps), Vec::new());
        for record in work.into_records::<(K, V)>() {
            let share = share_of(space.bin(hash_of(&record.0)));
            if share >= shares.len() {
                shares.resize_with(share + 1, Vec::new);
            }
            shares[share].push(record);
        }
        shares.into_iter().map(|share| Work::new(&caps, share)).collect()
    }

    fn bins_of(&self, work: &Work, space: &KeySpace, see: &mut dyn FnMut(BinId)) {
        work.records::<(K, V)>().iter().for_each(|(key, _)| see(space.bin(hash_of(key))));
    }

    fn split(&mut self, bin: BinId, first: BinId, space: &KeySpace, timers: &mut DueTimers) -> bool {
        let Some(whole) = self.states[bin.0 as usize].as_mut().map(std::mem::take) else {
            self.states.extend([None, None]);
            return false;
        };
        let mut halves = [Bin::default(), Bin::default()];
        whole.divide(&mut halves, |hash| (space.bin(hash).0 - first.0) as usize);
        if seeded(Fault::SwapHalves) {
            halves.swap(0, 1);
        }
        for (id, half) in (first.0..).map(BinId).zip(halves) {
            timers.come(id, half.next_timer(), None);
            self.states.push(Some(half));
        }
        true
    }

    fn put(&mut self, bin: BinId, state: Sealed) {
        assert!(self.states[bin.0 as usize].replace(state.open()).is_none(), "{bin} has one owner");
    }

    fn depart(&mut self, bin: (BinId, u32), until: Time, timers: &mut DueTimers) -> (Sealed, Time) {
        let mut state = self.states[bin.0.0 as usize].take().expect("a bin that departs is here");
        if seeded(Fault::DropBin) {
            state = Bin::default();
        }
        if seeded(Fault::ForgetTimers) {
            state.put_timers(Timers::default());
        }
        if let Some(last) = until.checked_sub(1) {
            call(&mut state, bin, last, timers, &mut self.logic, &mut self.called);
        }
        let next = state.next_timer();
        (Sealed::value(state), next)
    }

    fn pack(&self, work: Work) -> Sealed {
        Sealed::value(work.into_records::<(K, V)>().collect::<Vec<_>>())
    }

    fn unpack(&self, caps: &Rc<Caps>, records: Sealed) -> Work {
        Work::new(caps, records.open::<Vec<(K, V)>>())
    }

    fn cut(&self, state: Sealed, part_bytes: usize) -> (u64, Box<dyn Parts>) {
        let state: Bin<K, S> = state.open();
        let (keys, keys_per_part) = (state.keys() as u64, (part_bytes / state.bytes_per_key()).max(1));
        let (entries, timers) = state.into_parts();
        (keys, Box::new(Cut { entries, timers, keys_per_part }))
    }

    fn empty(&self, keys: u64) -> Loose {
        Box::new(Bin::<K, S>::with_capacity(keys as usize))
    }

    fn join(&self, bin: &mut Loose, part: Sealed) {
        let bin = bin.downcast_mut::<Bin<K, S>>().expect("a bin of the operator's types");
        match part.open() {
            Part::Entries(entries) => bin.extend(entries),
            Part::Timers(timers) => timers.into_iter().for_each(|(at, keys)| keys.into_iter().for_each(|key| bin.set_timer(at, key))),
        }
    }

    fn complete(&self, bin: Loose) -> Sealed {
        Sealed::value(*bin.downcast::<Bin<K, S>>().expect("a bin of the operator's types"))
    }

    fn outside(&self, bin: usize) -> Option<usize> {
        self.states[bin].as_ref().map(|state| state.bytes_per_key() - size_of::<(K, S)>())
    }

    fn size(&self, bin: usize, outside: usize) -> (u64, u64) {
        self.states[bin].as_ref().map_or((0, 0), |state| (state.keys() as u64, state.bytes(outside)))
    }
}

/// The bin of a key and its hash; has the processor fetch where its state is.
#[inline]
fn look_up<K: Hash + Eq, S>(states: &[Option<Bin<K, S>>], space: &KeySpace, key: &K) -> (BinId, u64) {
    let hash = hash_of(key);
    let id = space.bin(hash);
    if let Some(bin) = &states[id.0 as usize] {
        bin.prefetch(hash);
    }
    (id, hash)
}

/// After a call about `key`: a state that was there goes if it is to be forgotten, and a `fresh` one stays if it is not.
fn keep<K: Hash + Eq, S>(bin: &mut Bin<K, S>, hash: u64, key: K, fresh: Option<S>, forgets: bool) {
    match (fresh, forgets) {
        (Some(fresh), false) => bin.insert(hash, key, fresh),
        (None, true) => bin.remove(hash, &key),
        _ => {}
    }
}

/// Sets the timers that the last call asked for, about `key`; `cap` is the right to answer it, none if such a right is held already.
#[inline(never)]
fn set<K: Hash + Eq + Clone, S>(timers: &mut DueTimers, bin: &mut Bin<K, S>, id: BinId, key: &K, cap: Option<&Capability<Time>>) {
    let before = bin.next_timer();
    for at in timers.asked.drain(..) {
        bin.set_timer(at, key.clone());
    }
    let next = bin.next_timer();
    if let Some(cap) = cap {
        timers.answered_by(cap, next);
    }
    if next != before {
        timers.set(id, next);
    }
}

/// Calls the timers of a bin and its owner up to `until`.
fn call<K, V, S, R>(
    bin: &mut Bin<K, S>,
    (id, owner): (BinId, u32),
    until: Time,
    timers: &mut DueTimers,
    logic: &mut impl Logic<K, V, S, R>,
    called: &mut Called<R>,
) where
    K: Hash + Eq + Clone,
    S: Default,
{
    while bin.next_timer() <= until {
        let (at, mut keys) = bin.take_timer().expect("there is a timer");
        timers.set(id, bin.next_timer());
        let results = called.of((at, owner));
        keys.iter().take(AHEAD).for_each(|key| bin.prefetch(hash_of(key)));
        let mut rest = keys.drain(..);
        while let Some(key) = rest.next() {
            if let Some(ahead) = rest.as_slice().get(AHEAD - 1) {
                bin.prefetch(hash_of(ahead));
            }
            let hash = hash_of(&key);
            let mut session = Session::new(at, results, &mut timers.asked);
            let mut fresh = None;
            let state = bin.get_mut(hash, &key).unwrap_or_else(|| fresh.get_or_insert_default());
            logic.call(&key, state, &mut session);
            let forgets = session.forgets();
            if !timers.asked.is_empty() {
                set(timers, bin, id, &key, None);
            }
            if forgets || fresh.is_some() {
                keep(bin, hash, key, fresh, forgets);
            }
        }
        drop(rest);
        bin.reuse(keys);
    }
}

/// A part of a bin.
#[derive(Serialize, Deserialize)]
enum Part<K, S> {
    Entries(Vec<(K, S)>),
    /// Keys by time.
    Timers(Vec<(Time, Vec<K>)>),
}

/// A bin that is cut into parts.
struct Cut<K, S> {
    entries: IntoEntries<(K, S)>,
    timers: Timers<K>,
    keys_per_part: usize,
}

impl<K: ExchangeData + Hash + Eq, S: ExchangeData> Parts for Cut<K, S> {
    fn next(&mut self) -> Option<Sealed> {
        let mut entries: Vec<(K, S)> = self.entries.by_ref().take(self.keys_per_part).collect();
        if seeded(Fault::CutPart) {
            entries.pop();
        }
        if !entries.is_empty() {
            return Some(Sealed::bytes(&Part::Entries(entries)));
        }
        let timers = self.timers.take_some(self.keys_per_part);
        (!timers.is_empty()).then(|| Sealed::bytes(&Part::<K, S>::Timers(timers)))
    }

    fn is_empty(&self) -> bool {
        self.entries.len() == 0 && self.timers.next() == Time::MAX
    }
}
