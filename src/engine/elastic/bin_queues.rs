//! Queues and timers of one worker's bins of a keyed operator; their state is in the
//! [`StateStore`].
//!
//! The operator (`keyed.rs`) calls [`command`](BinQueues::command) and
//! [`arrive`](BinQueues::arrive) in order of time, then [`settle`](BinQueues::settle) and
//! [`serve`](StateStore::serve). Bins that are migrating are handled in `migrate.rs`. Invariants: a
//! bin's state is either on one worker or in transit to one; a record is queued only where the
//! state of its bin is; a timer fires after all records of its key from earlier epochs and before
//! those of its own epoch, whichever worker has the bin by then.
//!
//! Timers fire in two situations. Before a record of epoch e is applied, the timers of its bin up
//! to e fire, so that records in a long queue are interleaved with them correctly. And once the
//! frontiers have reached a timer's time and nothing older is queued at its instance, it fires
//! without any record.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use timely::dataflow::operators::Capability;
use timely::scheduling::Activator;

use super::fault::{Fault, seeded};
use super::key_space::KeySpace;
use super::router::Origin;
use super::servers::{QueuedBatch, Servers};
use super::store::{StateStore, StoreInput};
use super::timer_queue::TimerQueue;
use super::transfer::{BinEvent, Inbox, Outbox, StateArrived};
use crate::activity::{Activity, BinLoad, Lane, Record};
use crate::dataflow::Capacity;
use crate::engine::Time;
use crate::engine::host::{Command, Context, OperatorSpec};
use crate::id::{BinId, InstanceId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// One worker's part of the operator.
pub(super) struct BinQueues {
    pub(super) context: Context,
    pub(super) spec: OperatorSpec,
    pub(super) space: KeySpace,
    pub(super) owners: Vec<u32>,
    /// The workers that have the bins, or will have once they have arrived.
    workers: Vec<WorkerId>,
    /// Bins that are migrating.
    pub(super) events: BTreeMap<BinId, VecDeque<BinEvent>>,
    /// State that has arrived, by bin and time of the command; it may arrive before this worker has
    /// seen the command.
    pub(super) arrived: BTreeMap<(BinId, Time), StateArrived>,
    /// Bins that are being sent to other processes.
    pub(super) outbox: Outbox,
    /// Bins that are coming from other processes.
    pub(super) inbox: Inbox,
    pub(super) servers: Servers,
    pub(super) timers: TimerQueue,
    /// Records received since the last sample, by bin.
    pub(super) arrivals: Vec<u32>,
    /// The instance that owns every bin on this worker, if there is just one.
    single_instance: Option<u32>,
    /// Whether time ran out before all timers that are due had fired.
    timers_left: bool,
}

impl BinQueues {
    /// The bins of an operator with these owners.
    pub(super) fn new(context: &Context, spec: &OperatorSpec, owners: &[u32]) -> Self {
        let mut bins = BinQueues {
            context: context.clone(),
            spec: spec.clone(),
            space: KeySpace::new(owners.len() as u32),
            owners: owners.to_vec(),
            workers: owners.iter().map(|&owner| context.place(&spec.places, owner)).collect(),
            events: BTreeMap::new(),
            arrived: BTreeMap::new(),
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            servers: Servers::new(context, spec),
            timers: TimerQueue::default(),
            arrivals: vec![0; owners.len()],
            single_instance: None,
            timers_left: false,
        };
        bins.find_single_instance();
        bins
    }

    fn find_single_instance(&mut self) {
        let here = self.owners.iter().zip(&self.workers).filter(|(_, worker)| **worker == self.context.worker);
        let mut local = here.map(|(&owner, _)| owner);
        let first = local.next();
        self.single_instance = first.filter(|first| local.all(|owner| owner == *first));
    }

    /// Applies a command once everything older has arrived.
    pub(super) fn command(&mut self, cap: &Rc<Capability<Time>>, command: &Command, store: &mut dyn StateStore) {
        let at = *cap.time();
        if let Some(places) = &command.places {
            let places = self.servers.places.borrow().updated(places);
            self.servers.places.replace(places);
        }
        for &(bin, to) in &command.moves {
            if seeded(Fault::OverlookMove) && self.events.contains_key(&bin) {
                continue;
            }
            let from = std::mem::replace(&mut self.owners[bin.0 as usize], to);
            let (here, worker) = (self.context.worker, self.context.place(&self.servers.places.borrow(), to));
            let event = match (std::mem::replace(&mut self.workers[bin.0 as usize], worker) == here, worker == here) {
                (true, true) => BinEvent::HandOver { at, from, to },
                (true, false) => BinEvent::Depart { at, from, to, worker, cap: Rc::clone(cap) },
                (false, true) => BinEvent::Arrive { at, to },
                (false, false) => continue,
            };
            self.events.entry(bin).or_default().push_back(event);
        }
        for &bin in &command.splits {
            self.split(bin, store);
        }
        self.find_single_instance();
    }

    /// Splits a bin in two where it is. No bin of the operator is migrating, and queued records are
    /// assigned to a half when they are applied.
    fn split(&mut self, bin: BinId, store: &mut dyn StateStore) {
        assert!(self.events.is_empty(), "{bin} is split while bins are in motion");
        let (first, owner) = (self.space.split(bin), self.owners[bin.0 as usize]);
        self.owners.extend([owner; 2]);
        self.workers.extend([self.workers[bin.0 as usize]; 2]);
        self.arrivals.extend([0; 2]);
        if store.split(bin, first, &self.space, &mut self.timers) {
            self.report(1);
        }
    }

    /// What the store needs to apply records.
    pub(super) fn input(&mut self) -> StoreInput<'_> {
        let BinQueues { context, spec, space, owners, servers, timers, arrivals, .. } = self;
        let counts = spec.capacity == Capacity::Cpu && context.recorder.is_on();
        StoreInput { space, owners, servers, timers, arrivals: counts.then_some(arrivals.as_mut_slice()) }
    }

    /// Queues records of one epoch at their instances, or behind the events of their bin.
    pub(super) fn arrive(&mut self, origin: Origin, work: QueuedBatch, store: &dyn StateStore) {
        let now = self.context.clock.now();
        let (id, epoch) = (self.spec.id, work.epoch());
        if self.spec.capacity == Capacity::Cpu {
            origin.reached(&self.context, id, epoch, Lane::Worker(self.context.worker), now, work.len() as u64);
        }
        if let (Some(single_instance), Capacity::Cpu, true) = (self.single_instance, self.spec.capacity, self.events.is_empty()) {
            self.servers.server(single_instance).arrive(work, now);
            return;
        }
        // A share for each instance, and one for each bin that has to wait.
        let BinQueues { owners, events, arrivals, space, spec, .. } = self;
        let mut shares: BTreeMap<(Option<BinId>, u32), usize> = BTreeMap::new();
        let works = store.divide(work, space, &mut |bin| {
            // Measured instances count when they apply: see `serve`.
            if spec.capacity != Capacity::Cpu {
                arrivals[bin.0 as usize] += 1;
            }
            let waits = events.contains_key(&bin) && !seeded(Fault::DoNotWait);
            let share = shares.len();
            *shares.entry((waits.then_some(bin), owners[bin.0 as usize])).or_insert(share)
        });
        let mut works: Vec<Option<QueuedBatch>> = works.into_iter().map(Some).collect();
        if self.spec.capacity != Capacity::Cpu {
            let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
            for (&(_, instance), &share) in &shares {
                *counts.entry(instance).or_default() += works[share].as_ref().map_or(0, QueuedBatch::len) as u64;
            }
            for (instance, count) in counts {
                let lane = Lane::Instance(InstanceId::new(id, instance));
                origin.reached(&self.context, id, epoch, lane, now, count);
            }
        }
        for ((waits, instance), share) in shares {
            let work = works[share].take().expect("each share is given once");
            match waits {
                None => self.servers.server(instance).arrive(work, now),
                Some(bin) => self.events.get_mut(&bin).expect("just seen").push_back(BinEvent::Records { instance, work }),
            }
        }
    }

    /// Whether no record waits, no timer is listed and no bin is migrating.
    pub(super) fn is_done(&self) -> bool {
        self.servers.is_empty() && self.events.is_empty() && self.timers.is_empty() && !self.is_transferring()
    }

    /// Schedules the operator for when the next work completes or the next sample is due, at once
    /// while state is being sent or installed, or while timers are due.
    pub(super) fn arm(&mut self, activator: &Activator) {
        if self.is_transferring() || self.timers_left {
            activator.activate();
        }
        self.servers.arm(activator);
    }

    /// Fires the timers up to `until` of bins that are not migrating, unless something older waits
    /// for their instance; `until` is as far as the frontiers allow. Those that time runs out for
    /// stay listed, and are still called before any record of their time. Then emits the results of
    /// those that were fired on the way.
    pub(super) fn fire_due(&mut self, until: Time, store: &mut dyn StateStore) {
        let mut oldest: BTreeMap<u32, Time> = BTreeMap::new();
        let mut passed = None;
        let mut end = None;
        self.timers_left = false;
        // In order of time. Calls may set further timers, always later ones.
        while !self.timers_left
            && let Some(at) = self.timers.after(passed).filter(|&at| at <= until)
        {
            passed = Some(at);
            let mut due: Vec<(u32, BinId)> = self.timers.take(at).into_iter().map(|id| (self.owners[id.0 as usize], id)).collect();
            due.sort_unstable();
            due.dedup();
            let BinQueues { servers, events, timers, .. } = self;
            let mut is_next = |owner| seeded(Fault::FireEarly) || at <= *oldest.entry(owner).or_insert_with(|| servers.oldest(owner));
            due.retain(|&(owner, id)| {
                let now = !events.contains_key(&id) && is_next(owner);
                if !now {
                    timers.set(id, at);
                }
                now
            });
            // Results of an instance go out together.
            for bins in due.chunk_by(|(one, _), (next, _)| one == next) {
                let start = self.begin_firing(at, bins[0].0);
                let end = *end.get_or_insert(start + self.context.budget);
                let mut fired = 0;
                for &(owner, id) in bins {
                    if self.timers_left {
                        self.timers.set(id, if seeded(Fault::RestForgotten) { Time::MAX } else { at });
                    } else if store.fire((id, owner), at, &mut self.timers) {
                        fired += 1;
                        self.timers_left = self.context.clock.now() >= end;
                    }
                }
                // From where on it is still to be recorded, if they waited for something outside.
                let start = self.context.waits.end().unwrap_or(start);
                if fired > 0 {
                    self.emit((at, bins[0].0), start, store);
                }
            }
        }
        let fired = store.fired();
        if !fired.is_empty() {
            let now = self.context.clock.now();
            fired.into_iter().for_each(|fired| self.emit(fired, now, store));
        }
        self.timers.downgrade();
    }

    /// Timers of an instance are fired from now on.
    fn begin_firing(&self, at: Time, owner: u32) -> Timestamp {
        let (context, start) = (&self.context, self.context.clock.now());
        if self.spec.capacity == Capacity::Cpu && context.recorder.is_on() {
            let (lane, kind, instance, epoch) =
                (Lane::Worker(context.worker), self.spec.work, InstanceId::new(self.spec.id, owner), Epoch(at));
            context.waits.begin(Activity { lane, kind, instance, epoch, start, end: start, records_in: 0, records_out: 0 });
        }
        start
    }

    /// Emits the results of timers.
    fn emit(&mut self, (at, owner): (Time, u32), start: Timestamp, store: &mut dyn StateStore) {
        let instance = InstanceId::new(self.spec.id, owner);
        let lane = self.context.lane(instance, self.spec.capacity);
        // A limited instance's time is imposed, and calls take none of it.
        let end = if lane == Lane::Instance(instance) { start } else { self.context.clock.now() };
        let records_out = store.emit((at, owner), lane, self.timers.cap.as_ref());
        let (kind, epoch) = (self.spec.work, Epoch(at));
        self.context.recorder.log(Record::Activity(Activity { lane, kind, instance, epoch, start, end, records_in: 0, records_out }));
    }

    /// Records queues and bins when a sample is due.
    pub(super) fn sample(&mut self, store: &dyn StateStore) {
        let Some(at) = self.servers.sample() else { return };
        // One bin's entries stand for all: looking into each table would take milliseconds where
        // there are thousands.
        let mut used = self.arrivals.iter().enumerate().filter(|(_, arrivals)| **arrivals > 0);
        let outside = used.find_map(|(bin, _)| store.outside(bin)).unwrap_or_default();
        let mut loads: BTreeMap<u32, Vec<BinLoad>> = BTreeMap::new();
        for (bin, arrivals) in self.arrivals.iter_mut().enumerate().filter(|(_, arrivals)| **arrivals > 0) {
            // The instance of a bin that has left or is about to is sampled where it is; what the
            // bin did here last is forgotten, because nobody reports what it holds.
            if self.workers[bin] != self.context.worker {
                *arrivals = 0;
                continue;
            }
            let (keys, bytes) = store.size(bin, outside);
            let arrivals = u64::from(std::mem::take(arrivals));
            let useful = std::time::Duration::ZERO;
            loads.entry(self.owners[bin]).or_default().push(BinLoad { bin: BinId(bin as u32), arrivals, useful, keys, bytes });
        }
        for (instance, mut loads) in loads {
            let server = self.servers.server(instance);
            // Useful time is measured by the batch; a bin's part of it is its part of the records.
            let (processed, useful) = (std::mem::take(&mut server.processed), std::mem::take(&mut server.useful));
            for load in loads.iter_mut().filter(|_| processed > 0) {
                load.useful = useful.mul_f64(load.arrivals as f64 / processed as f64);
            }
            self.context.recorder.log(Record::Bins { instance: InstanceId::new(self.spec.id, instance), at, loads });
        }
    }
}
