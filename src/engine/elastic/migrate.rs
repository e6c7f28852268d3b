//! Bins in motion: what has to happen to each before its next records may be queued, and how it happens.
//!
//! A bin in motion has a list of events that is taken strictly in order, however many moves overtake each other.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use timely::dataflow::operators::Capability;

use super::bins::Bins;
use super::fault::{Fault, seeded};
use super::servers::{Caps, Work};
use super::store::Contents;
use super::transfer::{Cargo, Event, Outgoing, Ship, Shipments, Waiting};
use crate::activity::{Activity, ActivityKind, Lane, Record};
use crate::engine::Time;
use crate::engine::host::Ack;
use crate::id::{BinId, InstanceId};
use crate::time::{Epoch, Timestamp};

impl Bins {
    /// Takes state that has come; `cap` gives the right to give out results of an epoch.
    pub(super) fn receive(&mut self, ship: Ship, cap: &dyn Fn(Time) -> Capability<Time>, contents: &dyn Contents) {
        let work = |(epoch, records)| contents.unpack(&Rc::new(Caps { results: cap(epoch), ship: None }), records);
        let works = |waiting: Waiting| waiting.into_iter().map(work).collect();
        let along = |next: Time, waiting: Waiting| (works(waiting), (next < Time::MAX).then(|| cap(next)));
        let Ship { bin, at, cargo, .. } = ship;
        match cargo {
            Cargo::Whole(state, next, waiting) => {
                self.arrived.insert((bin, at), (state, next, along(next, waiting)));
            }
            Cargo::Part(keys, part) => self.inbox.part((bin, at), (keys, part), cap(at), contents),
            Cargo::Along(waiting) => self.inbox.along((bin, at), works(waiting), cap(at), contents),
            Cargo::Last(next, waiting) => self.inbox.last((bin, at), (next, along(next, waiting)), cap(at), contents),
        }
    }

    /// Whether state is being sent to other processes or put together from parts.
    pub(super) fn is_transferring(&self) -> bool {
        !self.outbox.is_empty() || !self.inbox.is_empty()
    }

    /// Sends and takes up a part or two of what travels between processes.
    pub(super) fn transfer(&mut self, shipments: &mut Shipments<'_>, contents: &dyn Contents) {
        if !self.is_transferring() {
            return;
        }
        let arrived = &mut self.arrived;
        let start = self.context.clock.now();
        self.inbox.take_up(contents, |from, bin| {
            arrived.insert(from, bin);
        });
        let between = self.context.clock.now();
        self.outbox.send(shipments);
        let end = self.context.clock.now();
        for (kind, start, end) in [(ActivityKind::Deserialization, start, between), (ActivityKind::Serialization, between, end)] {
            let (lane, instance) = (Lane::Worker(self.context.worker), InstanceId::new(self.spec.id, self.context.worker.0));
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

    /// Takes every event that can be taken now.
    pub(super) fn settle(&mut self, shipments: &mut Shipments<'_>, contents: &mut dyn Contents) {
        while !self.events.is_empty() {
            let leaving = self.take_in(contents);
            let carried = if leaving.is_empty() { BTreeSet::new() } else { self.carried(contents) };
            let stays = |bin: &BinId| matches!(self.events[bin].front(), Some(Event::Depart { .. })) && carried.contains(bin);
            let leaving: BTreeSet<BinId> = leaving.into_iter().filter(|bin| !stays(bin)).collect();
            if leaving.is_empty() {
                break;
            }
            self.let_go(&leaving, shipments, contents);
        }
    }

    /// Takes arrivals and records at the head of each list; gives the bins that are here and have to leave next.
    fn take_in(&mut self, contents: &mut dyn Contents) -> Vec<BinId> {
        let now = self.context.clock.now();
        let mut leaving = Vec::new();
        let mut installed = 0;
        self.events.retain(|&bin, events| {
            loop {
                match events.pop_front() {
                    None => return false,
                    Some(Event::Records { instance, work }) => self.stations.station(instance).arrive(work, now),
                    Some(Event::Arrive { at, to }) => match self.arrived.remove(&(bin, at)) {
                        Some((state, next, (mut works, right))) => {
                            self.timers.come(bin, next, right);
                            contents.put(bin, state);
                            if seeded(Fault::ArriveReversed) {
                                works.reverse();
                            }
                            self.stations.station(to).overtake(works.into_iter(), now);
                            installed += 1 + usize::from(seeded(Fault::ReportTwice));
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

    pub(super) fn report(&self, installed: usize) {
        if installed > 0 {
            // Nobody listens any more at the end of a run.
            let _ = self.context.acks.send(Ack::Installed(self.spec.id, installed));
        }
    }

    /// Bins with records in the queue that came along with their state: these cannot be shipped on, they must be applied first.
    fn carried(&mut self, contents: &dyn Contents) -> BTreeSet<BinId> {
        let mut carried = BTreeSet::new();
        let works = self.stations.iter_mut().flat_map(|(_, station)| station.queue.iter()).filter(|work| work.caps.ship.is_none());
        works.for_each(|work| contents.bins_of(work, &self.space, &mut |bin| _ = carried.insert(bin)));
        carried
    }

    /// Hands the state of `leaving` bins to their next owners, with what waits for them in the queues.
    fn let_go(&mut self, leaving: &BTreeSet<BinId>, shipments: &mut Shipments<'_>, contents: &mut dyn Contents) {
        let start = self.context.clock.now();
        let mut queued = self.take_from_queues(leaving, start, contents);
        let mut by_time: BTreeMap<Time, (Capability<Time>, Vec<Ship>)> = BTreeMap::new();
        let mut handed_over = 0;
        let (mut giver, mut latest) = (0, 0);
        for &bin in leaving {
            let works = queued.remove(&bin).filter(|_| !seeded(Fault::DropQueue)).unwrap_or_default();
            let waiting = works.iter().map(|work| work.len() as u64).sum();
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
                    // Epochs in a queue do not decrease except where a bin overtook, so the oldest is searched for.
                    let oldest = works.iter().min_by_key(|work| work.epoch());
                    let cap = oldest.map_or(&*cap, |work| work.caps.ship.as_ref().expect("carried records are not shipped")).clone();
                    // Timers from the right's time on travel with the bin.
                    let (state, next) = contents.depart((bin, from), *cap.time(), &mut self.timers);
                    let works = works.into_iter().map(|work| (work.epoch(), contents.pack(work))).collect();
                    if self.context.is_near(to) {
                        let ship = Ship { bin, at, to, cargo: Cargo::Whole(state, next, works) };
                        by_time.entry(*cap.time()).or_insert_with(|| (cap, Vec::new())).1.push(ship);
                    } else {
                        let (keys, parts) = contents.cut(state, self.spec.part_bytes);
                        self.outbox.put(Outgoing { bin, at, to, keys, parts, next, works, cap });
                    }
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
            self.spec.gauges.add(if seeded(Fault::CountAtOld) { from } else { to }, records, now);
            if let Some((start, end)) = self.spec.gauges.remove(from, records, now) {
                self.context.recorder.log(Record::Backpressure { instance: InstanceId::new(self.spec.id, from), start, end });
            }
        }
    }

    /// Takes the records of `leaving` bins out of the queues of the instances that give them, in order.
    fn take_from_queues(&mut self, leaving: &BTreeSet<BinId>, now: Timestamp, contents: &dyn Contents) -> BTreeMap<BinId, Vec<Work>> {
        let mut taken: BTreeMap<BinId, Vec<Work>> = BTreeMap::new();
        let mut leaves = vec![false; self.owners.len()];
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
                // The first share stays, then comes one for each bin that leaves, in the order in which they are found.
                let (mut nobody_stays, mut shares, mut going) = (true, BTreeMap::new(), Vec::new());
                let works = contents.divide(work, &self.space, &mut |bin| {
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
                station.queue.extend(works.next().filter(|stays| stays.len() > 0));
                for (bin, work) in going.into_iter().zip(works) {
                    taken.entry(bin).or_default().push(work);
                }
            }
            station.wake(now);
        }
        taken
    }
}
