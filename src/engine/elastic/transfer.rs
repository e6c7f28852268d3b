//! State in transit to another worker.
//!
//! Inside a process a bin travels as a pointer, whatever its size. Between processes it is cut into
//! parts of bounded size; a worker sends as many bytes as a part has, and installs twice as many,
//! each time it is scheduled, so that records of other bins are delayed by no more than that, and no
//! message makes timely's buffers grow. Small bins go many at a time: an overloaded worker is
//! scheduled so rarely that one at a time would take as long as the backlog. Parts of a bin arrive in
//! order, because messages between two workers do.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilderSession;

use super::erased::Erased;
use super::fault::{Fault, seeded};
use super::servers::QueuedBatch;
use super::store::{PartialBin, StateParts, StateStore};
use crate::engine::Time;
use crate::id::{BinId, WorkerId};

/// So many times the bytes that are sent at a time are installed at a time, so that parts do not pile
/// up.
const INSTALLED: usize = 2;
/// What a message counts beside its content, in bytes: bins without state are not sent all at once.
const MESSAGE_BYTES: usize = 256;
/// What a record that goes along counts, in bytes.
const RECORD_BYTES: usize = 64;

/// Batches of records that go along with a bin in one message, each a part of what one worker sent
/// at once.
const BATCHES_AT_ONCE: usize = 8;

/// A step of a bin's migration, to be taken before its next records may be enqueued.
pub(super) enum BinEvent {
    /// Its state arrives from another worker.
    Arrive { at: Time, to: u32 },
    /// Its state goes to another worker.
    Depart { at: Time, from: u32, to: u32, worker: WorkerId, cap: Rc<Capability<Time>> },
    /// Its state stays on this worker but belongs to another instance.
    HandOver { at: Time, from: u32, to: u32 },
    /// These records come next.
    Records { instance: u32, work: QueuedBatch },
}

/// Records that travelled with a bin, and a capability for its timers if it has any.
pub(super) type InFlight = (Vec<QueuedBatch>, Option<Capability<Time>>);
/// State of a bin that has arrived, with the time of its next timer.
pub(super) type StateArrived = (Erased, Time, InFlight);

/// Records by epoch that wait for a bin.
pub(super) type Waiting = Vec<(Time, Erased)>;

/// A bin, or a part of it, in transit to a new owner.
#[derive(Serialize, Deserialize)]
pub(super) struct StateMessage {
    pub(super) bin: BinId,
    /// Time of the command.
    pub(super) at: Time,
    /// Worker that receives it.
    pub(super) to: WorkerId,
    pub(super) payload: Payload,
}

/// Content of a state message.
#[derive(Serialize, Deserialize)]
pub(super) enum Payload {
    /// The whole bin, the time of its next timer, and its queued records.
    Whole(Erased, Time, Waiting),
    /// Some entries or timers of a bin with that many keys; more will follow.
    Part(u64, Erased),
    /// After all parts: some of the records that waited for the bin, in order.
    Records(Waiting),
    /// The end of the transfer: the last records, and the time of the bin's next timer.
    Last(Time, Waiting),
}

/// Output for bins that move to other workers.
pub(super) type StateOutput<'a> = OutputBuilderSession<'a, Time, CapacityContainerBuilder<Vec<StateMessage>>>;

/// A bin that is being sent in parts.
pub(super) struct Outgoing {
    pub(super) bin: BinId,
    pub(super) at: Time,
    pub(super) to: WorkerId,
    pub(super) keys: u64,
    pub(super) parts: Box<dyn StateParts>,
    /// Time of the next timer.
    pub(super) next: Time,
    pub(super) works: Waiting,
    /// Records in these.
    pub(super) records: usize,
    /// The capability to send.
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

    /// Sends parts of `most` bytes together, and at least one.
    pub(super) fn send(&mut self, most: usize, state_out: &mut StateOutput<'_>) {
        let mut sent = 0;
        while sent < most {
            let Some(bytes) = self.send_some(state_out) else { return };
            sent += bytes;
        }
    }

    /// Sends one part, or the last records of a bin, or both; returns about how many bytes these are, and nothing if there is no bin.
    fn send_some(&mut self, state_out: &mut StateOutput<'_>) -> Option<usize> {
        let first = self.bins.front_mut()?;
        let (bin, at, to) = (first.bin, first.at, first.to);
        let batch = first.records * RECORD_BYTES / first.works.len().max(1);
        let mut bytes = MESSAGE_BYTES;
        let mut session = state_out.session(&first.cap);
        if let Some(part) = first.parts.next() {
            bytes += part.encoded_len();
            session.give(StateMessage { bin, at, to, payload: Payload::Part(first.keys, part) });
        } else if first.works.len() > BATCHES_AT_ONCE {
            let rest = first.works.split_off(BATCHES_AT_ONCE);
            bytes += BATCHES_AT_ONCE * batch;
            first.records = first.records.saturating_sub(BATCHES_AT_ONCE * batch / RECORD_BYTES);
            session.give(StateMessage { bin, at, to, payload: Payload::Records(std::mem::replace(&mut first.works, rest)) });
        }
        if first.parts.is_empty() && first.works.len() <= BATCHES_AT_ONCE {
            bytes += first.works.len() * batch;
            session.give(StateMessage { bin, at, to, payload: Payload::Last(first.next, std::mem::take(&mut first.works)) });
            drop(session);
            self.bins.pop_front();
        }
        Some(bytes)
    }
}

/// A bin whose parts are arriving.
struct Incoming {
    bin: PartialBin,
    parts: VecDeque<Erased>,
    /// Records that travelled with it.
    works: Vec<QueuedBatch>,
    /// Once everything is here: the time of the next timer, the capability for it.
    last: Option<(Time, Option<Capability<Time>>)>,
    /// Keeps the dataflow alive until the bin is complete.
    _held: Capability<Time>,
}

/// Bins that arrive in parts, by bin and time of the command.
#[derive(Default)]
pub(super) struct Inbox {
    bins: BTreeMap<(BinId, Time), Incoming>,
    /// Order of installation: one entry per part.
    order: VecDeque<(BinId, Time)>,
}

impl Inbox {
    /// Whether no part waits to be installed.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn incoming(&mut self, from: (BinId, Time), keys: u64, held: Capability<Time>, store: &dyn StateStore) -> &mut Incoming {
        let empty = || Incoming { bin: store.empty(keys), parts: VecDeque::new(), works: Vec::new(), last: None, _held: held };
        self.bins.entry(from).or_insert_with(empty)
    }

    /// Accepts a part of the bin that a command moves; `held` is kept until the bin is complete.
    pub(super) fn part(&mut self, from: (BinId, Time), (keys, part): (u64, Erased), held: Capability<Time>, store: &dyn StateStore) {
        self.order.push_back(from);
        self.incoming(from, keys, held, store).parts.push_back(part);
    }

    /// Accepts records that travel with it.
    pub(super) fn records(&mut self, from: (BinId, Time), works: Vec<QueuedBatch>, held: Capability<Time>, store: &dyn StateStore) {
        self.incoming(from, 0, held, store).works.extend(works);
    }

    /// Accepts the end of the transfer.
    pub(super) fn last(
        &mut self,
        from: (BinId, Time),
        (next, (works, right)): (Time, InFlight),
        held: Capability<Time>,
        store: &dyn StateStore,
    ) {
        self.order.push_back(from);
        let incoming = self.incoming(from, 0, held, store);
        incoming.works.extend(works);
        incoming.last = Some((next, right));
    }

    /// Installs parts of twice `sent` bytes together, and at least one; `whole` receives each bin that is thereby complete.
    pub(super) fn take_up(&mut self, sent: usize, store: &dyn StateStore, mut whole: impl FnMut((BinId, Time), StateArrived)) {
        let mut installed = 0;
        while installed < INSTALLED * sent {
            let Some(from) = self.order.pop_front() else { return };
            installed += MESSAGE_BYTES;
            let incoming = self.bins.get_mut(&from).expect("a bin is there until its last part");
            let done = seeded(Fault::LastFirst) && incoming.last.is_some();
            if let Some(part) = incoming.parts.pop_front().filter(|_| !done) {
                installed += part.encoded_len();
                store.join(&mut incoming.bin, part);
            } else {
                let Incoming { bin, works, last, .. } = self.bins.remove(&from).expect("just seen");
                let (next, right) = last.expect("the last comes last");
                whole(from, (store.complete(bin), next, (works, right)));
            }
        }
    }
}
