//! State machine of a bin's migration: the steps before its next records may be enqueued.
//!
//! A migrating bin has a list of events that is taken strictly in order, even when several moves of
//! it overlap.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use timely::dataflow::operators::Capability;

use super::bin_queues::BinQueues;
use super::fault::{Fault, seeded};
use super::servers::{Caps, QueuedBatch};
use super::store::StateStore;
use super::transfer::{BinEvent, Outgoing, Payload, StateMessage, StateOutput, Waiting};
use crate::activity::{Activity, ActivityKind, Lane, Record};
use crate::engine::Time;
use crate::engine::host::Ack;
use crate::id::{BinId, InstanceId};
use crate::time::{Epoch, Timestamp};

impl BinQueues {
    /// Accepts a state message; `cap` gives the capability to emit results of an epoch.
    pub(super) fn receive(&mut self, message: StateMessage, cap: &dyn Fn(Time) -> Capability<Time>, store: &dyn StateStore) {
        let work = |(epoch, records)| store.unpack(&Rc::new(Caps { results: cap(epoch), state: None }), records);
        let works = |waiting: Waiting| waiting.into_iter().map(work).collect();
        let in_flight = |next: Time, waiting: Waiting| (works(waiting), (next < Time::MAX).then(|| cap(next)));
        let StateMessage { bin, at, payload, .. } = message;
        match payload {
            Payload::Whole(state, next, waiting) => {
                self.arrived.insert((bin, at), (state, next, in_flight(next, waiting)));
            }
            Payload::Part(keys, part) => self.inbox.part((bin, at), (keys, part), cap(at), store),
            Payload::Records(waiting) => self.inbox.records((bin, at), works(waiting), cap(at), store),
            Payload::Last(next, waiting) => self.inbox.last((bin, at), (next, in_flight(next, waiting)), cap(at), store),
        }
    }

    /// Whether state is being sent to other processes or put together from parts.
    pub(super) fn is_transferring(&self) -> bool {
        !self.outbox.is_empty() || !self.inbox.is_empty()
    }

    /// Sends and installs a bounded number of parts of bins that move between processes.
    pub(super) fn transfer(&mut self, state_out: &mut StateOutput<'_>, store: &dyn StateStore) {
        if !self.is_transferring() {
            return;
        }
        let arrived = &mut self.arrived;
        let start = self.context.clock.now();
        self.inbox.take_up(self.spec.part_bytes, store, |from, bin| {
            arrived.insert(from, bin);
        });
        let between = self.context.clock.now();
        self.outbox.send(self.spec.part_bytes, state_out);
        let end = self.context.clock.now();
        for (kind, start, end) in [(ActivityKind::Deserialization, start, between), (ActivityKind::Serialization, between, end)] {
            let (lane, instance) = (Lane::Worker(self.context.worker), InstanceId::new(self.spec.id, self.servers.first_here()));
            let epoch = Epoch::UNKNOWN;
            self.context.recorder.log(Record::Activity(Activity {
                lane,
                kind,
                instance,
                epoch,
                start,
                end,
                records_in: 0,
                records_out: 0,
            }));
        }
    }

    /// Takes every migration step that can be taken now.
    pub(super) fn settle(&mut self, state_out: &mut StateOutput<'_>, store: &mut dyn StateStore) {
        while !self.events.is_empty() {
            let leaving = self.take_in(store);
            let carried = if leaving.is_empty() { BTreeSet::new() } else { self.carried(store) };
            let stays = |bin: &BinId| matches!(self.events[bin].front(), Some(BinEvent::Depart { .. })) && carried.contains(bin);
            let leaving: BTreeSet<BinId> = leaving.into_iter().filter(|bin| !stays(bin)).collect();
            if leaving.is_empty() {
                break;
            }
            self.let_go(&leaving, state_out, store);
        }
    }

    /// Takes arrivals and records at the head of each list of steps; returns the bins that are here
    /// and have to leave next.
    fn take_in(&mut self, store: &mut dyn StateStore) -> Vec<BinId> {
        let now = self.context.clock.now();
        let mut leaving = Vec::new();
        let mut installed = 0;
        self.events.retain(|&bin, events| {
            loop {
                match events.pop_front() {
                    None => return false,
                    Some(BinEvent::Records { instance, work }) => self.servers.server(instance).arrive(work, now),
                    Some(BinEvent::Arrive { at, to }) => match self.arrived.remove(&(bin, at)) {
                        Some((state, next, (mut works, right))) => {
                            self.timers.come(bin, next, right);
                            store.put(bin, state);
                            if seeded(Fault::ArriveReversed) {
                                works.reverse();
                            }
                            self.servers.server(to).overtake(works.into_iter(), now);
                            installed += 1 + usize::from(seeded(Fault::ReportTwice));
                        }
                        None => {
                            events.push_front(BinEvent::Arrive { at, to });
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

    pub(super) fn report(&self, installed: usize) {
        if installed > 0 {
            // The receiver may be gone at the end of a run.
            let _ = self.context.acks.send(Ack::Installed(self.spec.id, installed));
        }
    }

    /// Bins with queued records that travelled with their state: these cannot be sent on and must
    /// be applied first.
    fn carried(&mut self, store: &dyn StateStore) -> BTreeSet<BinId> {
        let mut carried = BTreeSet::new();
        let works = self.servers.iter_mut().flat_map(|(_, server)| server.queue.iter()).filter(|work| work.caps.state.is_none());
        works.for_each(|work| store.bins_of(work, &self.space, &mut |bin| _ = carried.insert(bin)));
        carried
    }

    /// Sends the state of `leaving` bins to their next owners, with their queued records.
    fn let_go(&mut self, leaving: &BTreeSet<BinId>, state_out: &mut StateOutput<'_>, store: &mut dyn StateStore) {
        let start = self.context.clock.now();
        let mut queued = self.take_from_queues(leaving, start, store);
        let mut by_time: BTreeMap<Time, (Capability<Time>, Vec<StateMessage>)> = BTreeMap::new();
        let mut handed_over = 0;
        let (mut giver, mut latest) = (0, 0);
        for &bin in leaving {
            let works = queued.remove(&bin).filter(|_| !seeded(Fault::DropQueue)).unwrap_or_default();
            let waiting: u64 = works.iter().map(|work| work.len() as u64).sum();
            let events = self.events.get_mut(&bin).expect("a bin that leaves has events");
            match events.pop_front() {
                Some(BinEvent::HandOver { at, from, to }) => {
                    (giver, latest, handed_over) = (from, at.max(latest), handed_over + 1);
                    self.moved(from, to, waiting, start);
                    self.servers.server(to).overtake(works.into_iter(), start);
                }
                Some(BinEvent::Depart { at, from, to, worker, cap }) => {
                    (giver, latest) = (from, at.max(latest));
                    self.moved(from, to, waiting, start);
                    // Epochs in a queue do not decrease except where a bin overtook, so the oldest
                    // is searched for.
                    let oldest = works.iter().min_by_key(|work| work.epoch());
                    let cap = oldest.map_or(&*cap, |work| work.caps.state.as_ref().expect("carried records are not sent_state")).clone();
                    // Timers from the right's time on travel with the bin.
                    let (state, next) = store.depart((bin, from), *cap.time(), &mut self.timers);
                    let works = works.into_iter().map(|work| (work.epoch(), store.pack(work))).collect();
                    if self.context.is_near(worker) {
                        let message = StateMessage { bin, at, to: worker, payload: Payload::Whole(state, next, works) };
                        by_time.entry(*cap.time()).or_insert_with(|| (cap, Vec::new())).1.push(message);
                    } else {
                        let (keys, parts) = store.cut(state, self.spec.part_bytes);
                        self.outbox.put(Outgoing { bin, at, to: worker, keys, parts, next, works, records: waiting as usize, cap });
                    }
                }
                _ => unreachable!("only bins about to leave are let go"),
            }
        }
        self.events.retain(|_, events| !events.is_empty());
        for (cap, messages) in by_time.into_values() {
            state_out.session(&cap).give_iterator(messages.into_iter());
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

    /// Moves the count of records that wait for a bin to another instance.
    fn moved(&self, from: u32, to: u32, records: u64, now: Timestamp) {
        if records > 0 {
            self.spec.queues.add(if seeded(Fault::CountAtOld) { from } else { to }, records, now);
            if let Some((start, end)) = self.spec.queues.remove(from, records, now) {
                self.context.recorder.log(Record::Backpressure { instance: InstanceId::new(self.spec.id, from), start, end });
            }
        }
    }

    /// Takes the records of `leaving` bins out of the queues of their previous owners, in order.
    fn take_from_queues(&mut self, leaving: &BTreeSet<BinId>, now: Timestamp, store: &dyn StateStore) -> BTreeMap<BinId, Vec<QueuedBatch>> {
        let mut taken: BTreeMap<BinId, Vec<QueuedBatch>> = BTreeMap::new();
        let mut leaves = vec![false; self.owners.len()];
        let mut givers: BTreeSet<u32> = BTreeSet::new();
        for bin in leaving {
            leaves[bin.0 as usize] = true;
            match self.events[bin].front() {
                Some(BinEvent::Depart { from, .. } | BinEvent::HandOver { from, .. }) => givers.insert(*from),
                _ => unreachable!("only bins about to leave are let go"),
            };
        }
        for (_, server) in self.servers.iter_mut().filter(|(index, _)| givers.contains(index)) {
            for work in std::mem::take(&mut server.queue) {
                // The first share stays, then comes one for each bin that leaves, in the order in
                // which they are found.
                let (mut nobody_stays, mut shares, mut going) = (true, BTreeMap::new(), Vec::new());
                let works = store.divide(work, &self.space, &mut |bin| {
                    if !leaves[bin.0 as usize] || seeded(Fault::LeaveOne) && nobody_stays {
                        nobody_stays = false;
                        return 0;
                    }
                    *shares.entry(bin).or_insert_with(|| {
                        going.push(bin);
                        going.len()
                    })
                });
                let mut works = works.into_iter();
                server.queue.extend(works.next().filter(|stays| stays.len() > 0));
                for (bin, work) in going.into_iter().zip(works) {
                    taken.entry(bin).or_default().push(work);
                }
            }
            server.wake(now);
        }
        taken
    }
}
