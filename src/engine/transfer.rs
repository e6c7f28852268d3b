//! State on its way to another worker.
//!
//! Inside a process a bin travels as it is: a pointer, whatever it holds. Between processes it is cut into parts of bounded size;
//! a worker sends one part and takes up two each time it is scheduled, so that records of other bins are never held up by
//! more than that, and no message makes timely's buffers grow. Parts of a bin come in order, because messages between two workers do.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;

use serde::{Deserialize, Serialize};
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilderSession;

use super::Time;
use super::bin::Bin;
use super::fault::{Fault, seeded};
use super::table::IntoEntries;
use super::timers::Timers;
use crate::id::BinId;

/// Parts that are taken up in one go: more than are sent in one, so that they do not pile up.
const PARTS_TAKEN_UP: usize = 2;

/// Records by epoch that wait for a bin.
pub(super) type Waiting<K, V> = Vec<(Time, Vec<(K, V)>)>;

/// A bin, or a part of it, on its way to a new owner.
#[derive(Serialize, Deserialize)]
#[serde(bound = "K: ExchangeData + Hash + Eq, V: ExchangeData, S: ExchangeData")]
pub(super) struct Ship<K: Hash + Eq, V, S> {
    pub(super) bin: BinId,
    /// Time of the command.
    pub(super) at: Time,
    /// Instance that receives it.
    pub(super) to: u32,
    pub(super) cargo: Cargo<K, V, S>,
}

/// What a shipment carries.
#[derive(Serialize, Deserialize)]
#[serde(bound = "K: ExchangeData + Hash + Eq, V: ExchangeData, S: ExchangeData")]
pub(super) enum Cargo<K: Hash + Eq, V, S> {
    /// The bin with the records that were waiting for it.
    Whole(Bin<K, S>, Waiting<K, V>),
    /// Some entries of a bin of so many keys; more will come.
    Part(u64, Vec<(K, S)>),
    /// The rest of it.
    Last(Timers<K>, Waiting<K, V>),
}

/// Where bins on their way to other workers are put.
pub(super) type Shipments<'a, K, V, S> = OutputBuilderSession<'a, Time, CapacityContainerBuilder<Vec<Ship<K, V, S>>>>;

/// A bin that is being sent in parts.
struct Outgoing<K: Hash + Eq, V, S> {
    bin: BinId,
    at: Time,
    to: u32,
    keys: u64,
    keys_per_part: usize,
    entries: IntoEntries<(K, S)>,
    timers: Timers<K>,
    works: Waiting<K, V>,
    cap: Capability<Time>,
}

/// Bins that are being sent in parts, first come, first served.
pub(super) struct Outbox<K: Hash + Eq, V, S> {
    bins: VecDeque<Outgoing<K, V, S>>,
}

impl<K: Hash + Eq, V, S> Default for Outbox<K, V, S> {
    fn default() -> Self {
        Outbox { bins: VecDeque::new() }
    }
}

impl<K: ExchangeData + Hash + Eq, V: ExchangeData, S: ExchangeData> Outbox<K, V, S> {
    pub(super) fn is_empty(&self) -> bool {
        self.bins.is_empty()
    }

    /// Begins to send a bin that leaves the process; `cap` gives the right to send.
    pub(super) fn put(
        &mut self,
        (bin, at, to): (BinId, Time, u32),
        state: Bin<K, S>,
        works: Waiting<K, V>,
        cap: Capability<Time>,
        part_bytes: usize,
    ) {
        let (keys, keys_per_part) = (state.keys() as u64, (part_bytes / state.bytes_per_key()).max(1));
        let (entries, timers) = state.into_parts();
        self.bins.push_back(Outgoing { bin, at, to, keys, keys_per_part, entries, timers, works, cap });
    }

    /// Sends one part.
    pub(super) fn send(&mut self, shipments: &mut Shipments<'_, K, V, S>) {
        let Some(first) = self.bins.front_mut() else { return };
        let (bin, at, to) = (first.bin, first.at, first.to);
        let mut entries: Vec<(K, S)> = first.entries.by_ref().take(first.keys_per_part).collect();
        if seeded(Fault::CutPart) {
            entries.pop();
        }
        let mut session = shipments.session(&first.cap);
        if !entries.is_empty() {
            session.give(Ship { bin, at, to, cargo: Cargo::Part(first.keys, entries) });
        }
        if first.entries.len() == 0 {
            let cargo = Cargo::Last(std::mem::take(&mut first.timers), std::mem::take(&mut first.works));
            session.give(Ship { bin, at, to, cargo });
            drop(session);
            self.bins.pop_front();
        }
    }
}

/// A bin whose parts are being put together.
struct Incoming<K, S, T> {
    bin: Bin<K, S>,
    parts: VecDeque<Vec<(K, S)>>,
    /// What came with the last part.
    rest: Option<(Timers<K>, T)>,
    /// While it is held the dataflow goes on, even if nothing else happens in it any more.
    _held: Capability<Time>,
}

/// Bins that come in parts, by bin and time of the command; `T` is what comes along with a whole bin.
pub(super) struct Inbox<K, S, T> {
    bins: BTreeMap<(BinId, Time), Incoming<K, S, T>>,
    /// Whose turn it is: one entry a part.
    order: VecDeque<(BinId, Time)>,
}

impl<K, S, T> Default for Inbox<K, S, T> {
    fn default() -> Self {
        Inbox { bins: BTreeMap::new(), order: VecDeque::new() }
    }
}

impl<K: Hash + Eq, S, T> Inbox<K, S, T> {
    /// Whether no part waits to be taken up.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn incoming(&mut self, from: (BinId, Time), keys: u64, held: Capability<Time>) -> &mut Incoming<K, S, T> {
        let empty = || Incoming { bin: Bin::with_capacity(keys as usize), parts: VecDeque::new(), rest: None, _held: held };
        self.order.push_back(from);
        self.bins.entry(from).or_insert_with(empty)
    }

    /// Takes a part of the bin that moves by a command; `held` is kept until the bin is whole.
    pub(super) fn part(&mut self, from: (BinId, Time), keys: u64, entries: Vec<(K, S)>, held: Capability<Time>) {
        self.incoming(from, keys, held).parts.push_back(entries);
    }

    /// Takes the last part.
    pub(super) fn last(&mut self, from: (BinId, Time), timers: Timers<K>, along: T, held: Capability<Time>) {
        self.incoming(from, 0, held).rest = Some((timers, along));
    }

    /// Puts some parts together; `whole` gets each bin that is complete with it.
    pub(super) fn take_up(&mut self, mut whole: impl FnMut((BinId, Time), Bin<K, S>, T)) {
        for _ in 0..PARTS_TAKEN_UP {
            let Some(from) = self.order.pop_front() else { return };
            let incoming = self.bins.get_mut(&from).expect("a bin is there until its last part");
            let done = seeded(Fault::LastFirst) && incoming.rest.is_some();
            if let Some(entries) = incoming.parts.pop_front().filter(|_| !done) {
                incoming.bin.extend(entries);
            } else {
                let Incoming { mut bin, rest, .. } = self.bins.remove(&from).expect("just seen");
                let (timers, along) = rest.expect("the last part comes last");
                bin.put_timers(timers);
                whole(from, bin, along);
            }
        }
    }
}
