//! Keyed state and timers of one worker's bins, and the calls to the user's function.
//!
//! Queues, events, timers and migration do not depend on the types of keys and state. They are
//! compiled once (`keyed.rs`, `bin_queues.rs`, `migrate.rs`, `transfer.rs`) and reach what depends
//! on types through [`StateStore`], never once per record except where a worker's share of a batch
//! has to be divided further.

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
use super::erased::Erased;
use super::fault::{Fault, seeded};
use super::key_space::{KeySpace, hash_of};
use super::servers::{Caps, QueuedBatch, Servers};
use super::session::{Logic, Session};
use super::table::IntoEntries;
use super::timer_queue::TimerQueue;
use super::timers::Timers;
use crate::activity::Lane;
use crate::engine::Time;
use crate::id::BinId;

/// How many records ahead of the current one the state of a key is prefetched: more than a
/// processor has memory accesses in flight, few enough that the results are still in its nearest
/// cache.
const AHEAD: usize = 16;

/// An incomplete bin, while its parts arrive.
pub(super) type PartialBin = Box<dyn Any + Send>;

/// The queues whose complete records a store applies, and what it needs for that.
pub(super) struct StoreInput<'a> {
    /// Which bin a key is in.
    pub(super) space: &'a KeySpace,
    /// Owners of the bins.
    pub(super) owners: &'a [u32],
    /// Queues of the instances on this worker.
    pub(super) servers: &'a mut Servers,
    /// Timers of all bins.
    pub(super) timers: &'a mut TimerQueue,
    /// By bin, how many records were applied; missing if nobody records it here.
    pub(super) arrivals: Option<&'a mut [u32]>,
}

/// Keyed state and timers of one worker's bins, whatever their types.
pub(super) trait StateStore {
    /// Applies what is complete by now. Results of timers that are fired on the way are kept.
    fn serve(&mut self, input: StoreInput<'_>);

    /// Fires the timers of a bin and its owner up to `until`, and keeps the results. False if there
    /// are none, or the bin is not here.
    fn fire(&mut self, bin: (BinId, u32), until: Time, timers: &mut TimerQueue) -> bool;

    /// Times and owners for which results of fired timers are kept.
    fn fired(&self) -> Vec<(Time, u32)>;

    /// Emits what is kept of a time and an owner, with a capability of that time or before; returns
    /// how many results there are.
    fn emit(&mut self, fired: (Time, u32), lane: Lane, cap: Option<&Capability<Time>>) -> u64;

    /// Puts each record into the share that `share_of` says for its bin.
    fn divide(&self, work: QueuedBatch, space: &KeySpace, share_of: &mut dyn FnMut(BinId) -> usize) -> Vec<QueuedBatch>;

    /// The bin of each record.
    fn bins_of(&self, work: &QueuedBatch, space: &KeySpace, see: &mut dyn FnMut(BinId));

    /// Splits a bin into that of number `first` and the next. False if it is not here.
    fn split(&mut self, bin: BinId, first: BinId, space: &KeySpace, timers: &mut TimerQueue) -> bool;

    /// Puts a bin here that has come.
    fn put(&mut self, bin: BinId, state: Erased);

    /// Takes a bin that leaves, after its timers before `until`: nothing is left that could come
    /// before them. Returns when the next timer is due.
    fn depart(&mut self, bin: (BinId, u32), until: Time, timers: &mut TimerQueue) -> (Erased, Time);

    /// Packs records that leave with their bin.
    fn pack(&self, work: QueuedBatch) -> Erased;

    /// Records that came with their bin.
    fn unpack(&self, caps: &Rc<Caps>, records: Erased) -> QueuedBatch;

    /// Cuts a bin into parts of `part_bytes` bytes; returns how many keys it has.
    fn cut(&self, state: Erased, part_bytes: usize) -> (u64, Box<dyn StateParts>);

    /// An empty bin with room for `keys` keys.
    fn empty(&self, keys: u64) -> PartialBin;

    /// Adds a part of its entries or timers to a bin.
    fn join(&self, bin: &mut PartialBin, part: Erased);

    /// A bin that has all its parts.
    fn complete(&self, bin: PartialBin) -> Erased;

    /// Bytes that an entry of a bin owns beside its place in the table, judged by a few. Nothing if
    /// the bin is not here.
    fn outside(&self, bin: usize) -> Option<usize>;

    /// Keys of a bin, and the bytes they take if each owns `outside` bytes beside its place in the
    /// table.
    fn size(&self, bin: usize, outside: usize) -> (u64, u64);
}

/// A bin that is cut into parts.
pub(super) trait StateParts {
    /// Some of the entries that are left, then some of the timers; nothing once none is.
    fn next(&mut self) -> Option<Erased>;

    /// Whether nothing is left.
    fn is_empty(&self) -> bool;
}

/// A [`StateStore`] of given types, and where results go.
pub(super) struct KeyedStore<K, V, S, R: 'static, L> {
    /// State of the bins that are here.
    states: Vec<Option<Bin<K, S>>>,
    logic: L,
    fired: Fired<R>,
    output: OutputBuilder<Time, BatchBuilder<R>>,
    values: PhantomData<V>,
}

/// Results of timers, by time and instance.
struct Fired<R> {
    places: BTreeMap<(Time, u32), usize>,
    results: Vec<Vec<R>>,
}

impl<R> Fired<R> {
    fn of(&mut self, fired: (Time, u32)) -> &mut Vec<R> {
        let place = *self.places.entry(fired).or_insert(self.results.len());
        if place == self.results.len() {
            self.results.push(Vec::new());
        }
        &mut self.results[place]
    }

    fn take(&mut self, fired: (Time, u32)) -> Vec<R> {
        let results = self.places.remove(&fired).map(|place| std::mem::take(&mut self.results[place]));
        if self.places.is_empty() {
            self.results.clear();
        }
        results.unwrap_or_default()
    }
}

impl<K: Hash + Eq, V, S, R: 'static, L> KeyedStore<K, V, S, R, L> {
    /// The bins that are on this worker, by bin, without any state.
    pub(super) fn new(here: impl Iterator<Item = bool>, logic: L, output: OutputBuilder<Time, BatchBuilder<R>>) -> Self {
        let states = here.map(|here| here.then(Bin::default)).collect();
        let fired = Fired { places: BTreeMap::new(), results: Vec::new() };
        KeyedStore { states, logic, fired, output, values: PhantomData }
    }
}

impl<K, V, S, R, L> StateStore for KeyedStore<K, V, S, R, L>
where
    K: ExchangeData + Hash + Eq + Clone,
    V: ExchangeData,
    S: ExchangeData + Default,
    R: ExchangeData,
    L: Logic<K, V, S, R>,
{
    /// Where states exceed the processor's cache, most of the time would be spent waiting for
    /// memory. So the state of each key is prefetched some records before it is needed.
    fn serve(&mut self, input: StoreInput<'_>) {
        let StoreInput { space, owners, servers, timers, mut arrivals } = input;
        let KeyedStore { states, logic, fired, output, .. } = self;
        servers.serve(&mut output.activate(), |caps, epoch, records: &mut IntoIter<(K, V)>, count, results| {
            // Hardly ever: a timer is set for a later time, and what is due has been fired if
            // nothing older waits.
            let due = !L::PLAIN && timers.is_due(epoch) && !seeded(Fault::FireLate);
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
                    fire(bin, (id, owners[id.0 as usize]), epoch, timers, logic, fired);
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

    fn fire(&mut self, bin: (BinId, u32), until: Time, timers: &mut TimerQueue) -> bool {
        let state = self.states[bin.0.0 as usize].as_mut().filter(|state| state.next_timer() <= until);
        state.map(|state| fire(state, bin, until, timers, &mut self.logic, &mut self.fired)).is_some()
    }

    fn fired(&self) -> Vec<(Time, u32)> {
        self.fired.places.keys().copied().collect()
    }

    fn emit(&mut self, fired: (Time, u32), lane: Lane, cap: Option<&Capability<Time>>) -> u64 {
        let results = self.fired.take(fired);
        let count = results.len() as u64;
        if count > 0 {
            let cap = cap.expect("there is a right to answer timers");
            let cap = if seeded(Fault::EmitEarly) { cap.clone() } else { cap.delayed(&fired.0) };
            self.output.activate().session_with_builder(&cap).give_container(&mut Batch::new(lane, results));
        }
        count
    }

    fn divide(&self, work: QueuedBatch, space: &KeySpace, share_of: &mut dyn FnMut(BinId) -> usize) -> Vec<QueuedBatch> {
        let (caps, mut shares) = (Rc::clone(&work.caps), Vec::new());
        for record in work.into_records::<(K, V)>() {
            let share = share_of(space.bin(hash_of(&record.0)));
            if share >= shares.len() {
                shares.resize_with(share + 1, Vec::new);
            }
            shares[share].push(record);
        }
        shares.into_iter().map(|share| QueuedBatch::new(&caps, share)).collect()
    }

    fn bins_of(&self, work: &QueuedBatch, space: &KeySpace, see: &mut dyn FnMut(BinId)) {
        work.records::<(K, V)>().iter().for_each(|(key, _)| see(space.bin(hash_of(key))));
    }

    fn split(&mut self, bin: BinId, first: BinId, space: &KeySpace, timers: &mut TimerQueue) -> bool {
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

    fn put(&mut self, bin: BinId, state: Erased) {
        assert!(self.states[bin.0 as usize].replace(state.open()).is_none(), "{bin} has one owner");
    }

    fn depart(&mut self, bin: (BinId, u32), until: Time, timers: &mut TimerQueue) -> (Erased, Time) {
        let mut state = self.states[bin.0.0 as usize].take().expect("a bin that departs is here");
        if seeded(Fault::DropBin) {
            state = Bin::default();
        }
        if seeded(Fault::ForgetTimers) {
            state.put_timers(Timers::default());
        }
        if let Some(last) = until.checked_sub(1) {
            fire(&mut state, bin, last, timers, &mut self.logic, &mut self.fired);
        }
        let next = state.next_timer();
        (Erased::value(state), next)
    }

    fn pack(&self, work: QueuedBatch) -> Erased {
        Erased::value(work.into_records::<(K, V)>().collect::<Vec<_>>())
    }

    fn unpack(&self, caps: &Rc<Caps>, records: Erased) -> QueuedBatch {
        QueuedBatch::new(caps, records.open::<Vec<(K, V)>>())
    }

    fn cut(&self, state: Erased, part_bytes: usize) -> (u64, Box<dyn StateParts>) {
        let state: Bin<K, S> = state.open();
        let (keys, keys_per_part) = (state.keys() as u64, (part_bytes / state.bytes_per_key()).max(1));
        let (entries, timers) = state.into_parts();
        (keys, Box::new(Cut { entries, timers, keys_per_part }))
    }

    fn empty(&self, keys: u64) -> PartialBin {
        Box::new(Bin::<K, S>::with_capacity(keys as usize))
    }

    fn join(&self, bin: &mut PartialBin, part: Erased) {
        let bin = bin.downcast_mut::<Bin<K, S>>().expect("a bin of the operator's types");
        match part.open() {
            StatePart::Entries(entries) => bin.extend(entries),
            StatePart::Timers(timers) => timers.into_iter().for_each(|(at, keys)| keys.into_iter().for_each(|key| bin.set_timer(at, key))),
        }
    }

    fn complete(&self, bin: PartialBin) -> Erased {
        Erased::value(*bin.downcast::<Bin<K, S>>().expect("a bin of the operator's types"))
    }

    fn outside(&self, bin: usize) -> Option<usize> {
        self.states[bin].as_ref().map(|state| state.bytes_per_key() - size_of::<(K, S)>())
    }

    fn size(&self, bin: usize, outside: usize) -> (u64, u64) {
        self.states[bin].as_ref().map_or((0, 0), |state| (state.keys() as u64, state.bytes(outside)))
    }
}

/// The bin of a key and its hash; prefetches its state.
#[inline]
fn look_up<K: Hash + Eq, S>(states: &[Option<Bin<K, S>>], space: &KeySpace, key: &K) -> (BinId, u64) {
    let hash = hash_of(key);
    let id = space.bin(hash);
    if let Some(bin) = &states[id.0 as usize] {
        bin.prefetch(hash);
    }
    (id, hash)
}

/// After a call for `key`: drops an existing state if it was forgotten, and keeps a `fresh` one if
/// it was not.
fn keep<K: Hash + Eq, S>(bin: &mut Bin<K, S>, hash: u64, key: K, fresh: Option<S>, forgets: bool) {
    match (fresh, forgets) {
        (Some(fresh), false) => bin.insert(hash, key, fresh),
        (None, true) => bin.remove(hash, &key),
        _ => {}
    }
}

/// Sets the timers that the last call requested for `key`; `cap` is a capability for them, none if
/// one is held already.
#[inline(never)]
fn set<K: Hash + Eq + Clone, S>(timers: &mut TimerQueue, bin: &mut Bin<K, S>, id: BinId, key: &K, cap: Option<&Capability<Time>>) {
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

/// Fires the timers of a bin and its owner up to `until`.
fn fire<K, V, S, R>(
    bin: &mut Bin<K, S>,
    (id, owner): (BinId, u32),
    until: Time,
    timers: &mut TimerQueue,
    logic: &mut impl Logic<K, V, S, R>,
    fired: &mut Fired<R>,
) where
    K: Hash + Eq + Clone,
    S: Default,
{
    while bin.next_timer() <= until {
        let (at, mut keys) = bin.take_timer().expect("there is a timer");
        timers.set(id, bin.next_timer());
        let results = fired.of((at, owner));
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
            logic.on_timer(&key, state, &mut session);
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
enum StatePart<K, S> {
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

impl<K: ExchangeData + Hash + Eq, S: ExchangeData> StateParts for Cut<K, S> {
    fn next(&mut self) -> Option<Erased> {
        let mut entries: Vec<(K, S)> = self.entries.by_ref().take(self.keys_per_part).collect();
        if seeded(Fault::CutPart) {
            entries.pop();
        }
        if !entries.is_empty() {
            return Some(Erased::bytes(&StatePart::Entries(entries)));
        }
        let timers = self.timers.take_some(self.keys_per_part);
        (!timers.is_empty()).then(|| Erased::bytes(&StatePart::<K, S>::Timers(timers)))
    }

    fn is_empty(&self) -> bool {
        self.entries.len() == 0 && self.timers.next() == Time::MAX
    }
}
