//! State on its way to another worker.
//!
//! Inside a process a bin travels as it is: a pointer, whatever it holds. Between processes it is cut into parts of bounded size;
//! a worker sends one part and takes up two each time it is scheduled, so that records of other bins are never held up by
//! more than that, and no message makes timely's buffers grow. Parts of a bin come in order, because messages between two workers do.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilderSession;

use super::Time;
use super::contents::{Contents, Loose, Parts};
use super::fault::{Fault, seeded};
use super::motion::Along;
use super::seal::Sealed;
use crate::id::BinId;

/// Parts that are taken up in one go: more than are sent in one, so that they do not pile up.
const PARTS_TAKEN_UP: usize = 2;

/// Records by epoch that wait for a bin.
pub(super) type Waiting = Vec<(Time, Sealed)>;

/// A bin, or a part of it, on its way to a new owner.
#[derive(Serialize, Deserialize)]
pub(super) struct Ship {
    pub(super) bin: BinId,
    /// Time of the command.
    pub(super) at: Time,
    /// Instance that receives it.
    pub(super) to: u32,
    pub(super) cargo: Cargo,
}

/// What a shipment carries.
#[derive(Serialize, Deserialize)]
pub(super) enum Cargo {
    /// The bin with the time of its next timer, and the records that were waiting for it.
    Whole(Sealed, Time, Waiting),
    /// Some entries of a bin of so many keys; more will come.
    Part(u64, Sealed),
    /// The rest of it: timers, the time of the next of them, records.
    Last(Sealed, Time, Waiting),
}

/// Where bins on their way to other workers are put.
pub(super) type Shipments<'a> = OutputBuilderSession<'a, Time, CapacityContainerBuilder<Vec<Ship>>>;

/// A bin that is being sent in parts.
pub(super) struct Outgoing {
    pub(super) bin: BinId,
    pub(super) at: Time,
    pub(super) to: u32,
    pub(super) keys: u64,
    pub(super) parts: Box<dyn Parts>,
    /// Time of the next timer.
    pub(super) next: Time,
    pub(super) works: Waiting,
    /// The right to send.
    pub(super) cap: Capability<Time>,
}

/// Bins that are being sent in parts, first come, first served.
#[derive(Default)]
pub(super) struct Outbox {
    bins: VecDeque<Outgoing>,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.bins.is_empty()
    }

    /// Begins to send a bin that leaves the process.
    pub(super) fn put(&mut self, bin: Outgoing) {
        self.bins.push_back(bin);
    }

    /// Sends one part.
    pub(super) fn send(&mut self, shipments: &mut Shipments<'_>) {
        let Some(first) = self.bins.front_mut() else { return };
        let (bin, at, to) = (first.bin, first.at, first.to);
        let part = first.parts.next();
        let mut session = shipments.session(&first.cap);
        if let Some(entries) = part {
            session.give(Ship { bin, at, to, cargo: Cargo::Part(first.keys, entries) });
        }
        if first.parts.is_empty() {
            let cargo = Cargo::Last(first.parts.timers(), first.next, std::mem::take(&mut first.works));
            session.give(Ship { bin, at, to, cargo });
            drop(session);
            self.bins.pop_front();
        }
    }
}

/// A bin whose parts are being put together.
struct Incoming {
    bin: Loose,
    parts: VecDeque<Sealed>,
    /// What came with the last part: timers, the time of the next, what comes along.
    rest: Option<(Sealed, Time, Along)>,
    /// While it is held the dataflow goes on, even if nothing else happens in it any more.
    _held: Capability<Time>,
}

/// Bins that come in parts, by bin and time of the command.
#[derive(Default)]
pub(super) struct Inbox {
    bins: BTreeMap<(BinId, Time), Incoming>,
    /// Whose turn it is: one entry a part.
    order: VecDeque<(BinId, Time)>,
}

impl Inbox {
    /// Whether no part waits to be taken up.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn incoming(&mut self, from: (BinId, Time), keys: u64, held: Capability<Time>, contents: &dyn Contents) -> &mut Incoming {
        let empty = || Incoming { bin: contents.empty(keys), parts: VecDeque::new(), rest: None, _held: held };
        self.order.push_back(from);
        self.bins.entry(from).or_insert_with(empty)
    }

    /// Takes a part of the bin that moves by a command; `held` is kept until the bin is whole.
    pub(super) fn part(&mut self, from: (BinId, Time), (keys, entries): (u64, Sealed), held: Capability<Time>, contents: &dyn Contents) {
        self.incoming(from, keys, held, contents).parts.push_back(entries);
    }

    /// Takes the last part.
    pub(super) fn last(&mut self, from: (BinId, Time), rest: (Sealed, Time, Along), held: Capability<Time>, contents: &dyn Contents) {
        self.incoming(from, 0, held, contents).rest = Some(rest);
    }

    /// Puts some parts together; `whole` gets each bin that is complete with it.
    pub(super) fn take_up(&mut self, contents: &dyn Contents, mut whole: impl FnMut((BinId, Time), (Sealed, Time, Along))) {
        for _ in 0..PARTS_TAKEN_UP {
            let Some(from) = self.order.pop_front() else { return };
            let incoming = self.bins.get_mut(&from).expect("a bin is there until its last part");
            let done = seeded(Fault::LastFirst) && incoming.rest.is_some();
            if let Some(entries) = incoming.parts.pop_front().filter(|_| !done) {
                contents.join(&mut incoming.bin, entries);
            } else {
                let Incoming { bin, rest, .. } = self.bins.remove(&from).expect("just seen");
                let (timers, next, along) = rest.expect("the last part comes last");
                whole(from, (contents.complete(bin, timers), next, along));
            }
        }
    }
}
