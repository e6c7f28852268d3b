//! State on its way to another worker.
//!
//! Inside a process a bin travels as it is: a pointer, whatever it holds. Between processes it is cut into parts of bounded size;
//! a worker sends one part and takes up two each time it is scheduled, so that records of other bins are never held up by
//! more than that, and no message makes timely's buffers grow. Parts of a bin come in order, because messages between two workers do.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilderSession;

use super::erased::Sealed;
use super::fault::{Fault, seeded};
use super::servers::Work;
use super::store::{Contents, Loose, Parts};
use crate::engine::Time;
use crate::id::BinId;

/// Parts that are taken up in one go: more than are sent in one, so that they do not pile up.
const PARTS_TAKEN_UP: usize = 2;

/// Batches of records that go along with a bin in one message, each a part of what one worker sent at once.
const BATCHES_AT_ONCE: usize = 8;

/// What has to happen to a bin before its next records may be queued.
pub(super) enum Event {
    /// Its state comes from another worker.
    Arrive { at: Time, to: u32 },
    /// Its state goes to another worker.
    Depart { at: Time, from: u32, to: u32, cap: Rc<Capability<Time>> },
    /// Its state stays on this worker but belongs to another instance.
    HandOver { at: Time, from: u32, to: u32 },
    /// These records come next.
    Records { instance: u32, work: Work },
}

/// Records that come with a bin, and the right to answer its timers if it has any.
pub(super) type Along = (Vec<Work>, Option<Capability<Time>>);
/// A bin that has come, with the time of its next timer.
pub(super) type Arrived = (Sealed, Time, Along);

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
    /// Some entries or timers of a bin of so many keys; more will come.
    Part(u64, Sealed),
    /// After all parts: some of the records that were waiting for it, in order.
    Along(Waiting),
    /// That was all but these records; and the time of its next timer.
    Last(Time, Waiting),
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
        let mut session = shipments.session(&first.cap);
        if let Some(part) = first.parts.next() {
            session.give(Ship { bin, at, to, cargo: Cargo::Part(first.keys, part) });
        } else if first.works.len() > BATCHES_AT_ONCE {
            let rest = first.works.split_off(BATCHES_AT_ONCE);
            session.give(Ship { bin, at, to, cargo: Cargo::Along(std::mem::replace(&mut first.works, rest)) });
        }
        if first.parts.is_empty() && first.works.len() <= BATCHES_AT_ONCE {
            session.give(Ship { bin, at, to, cargo: Cargo::Last(first.next, std::mem::take(&mut first.works)) });
            drop(session);
            self.bins.pop_front();
        }
    }
}

/// A bin whose parts are being put together.
struct Incoming {
    bin: Loose,
    parts: VecDeque<Sealed>,
    /// Records that come along.
    works: Vec<Work>,
    /// Once everything is here: the time of the next timer, the right to answer it.
    last: Option<(Time, Option<Capability<Time>>)>,
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
        let empty = || Incoming { bin: contents.empty(keys), parts: VecDeque::new(), works: Vec::new(), last: None, _held: held };
        self.bins.entry(from).or_insert_with(empty)
    }

    /// Takes a part of the bin that moves by a command; `held` is kept until the bin is whole.
    pub(super) fn part(&mut self, from: (BinId, Time), (keys, part): (u64, Sealed), held: Capability<Time>, contents: &dyn Contents) {
        self.order.push_back(from);
        self.incoming(from, keys, held, contents).parts.push_back(part);
    }

    /// Takes records that come along with it.
    pub(super) fn along(&mut self, from: (BinId, Time), works: Vec<Work>, held: Capability<Time>, contents: &dyn Contents) {
        self.incoming(from, 0, held, contents).works.extend(works);
    }

    /// Takes what comes last.
    pub(super) fn last(
        &mut self,
        from: (BinId, Time),
        (next, (works, right)): (Time, Along),
        held: Capability<Time>,
        contents: &dyn Contents,
    ) {
        self.order.push_back(from);
        let incoming = self.incoming(from, 0, held, contents);
        incoming.works.extend(works);
        incoming.last = Some((next, right));
    }

    /// Puts some parts together; `whole` gets each bin that is complete with it.
    pub(super) fn take_up(&mut self, contents: &dyn Contents, mut whole: impl FnMut((BinId, Time), Arrived)) {
        for _ in 0..PARTS_TAKEN_UP {
            let Some(from) = self.order.pop_front() else { return };
            let incoming = self.bins.get_mut(&from).expect("a bin is there until its last part");
            let done = seeded(Fault::LastFirst) && incoming.last.is_some();
            if let Some(part) = incoming.parts.pop_front().filter(|_| !done) {
                contents.join(&mut incoming.bin, part);
            } else {
                let Incoming { bin, works, last, .. } = self.bins.remove(&from).expect("just seen");
                let (next, right) = last.expect("the last comes last");
                whole(from, (contents.complete(bin), next, (works, right)));
            }
        }
    }
}
