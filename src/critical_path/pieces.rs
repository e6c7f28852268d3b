//! Whole pieces of work by instance, counted straight from the log.
//!
//! Windows cut a long piece into many; what is said of numbers and lengths of pieces must not depend
//! on them. Also how long each instance was there: instances come and go, and are compared over the
//! time they were there. Memory depends on the number of instances, not on the length of the log; those
//! of operators that are no longer kept apart become one a lane.

// Sums are looked up by key and sorted before they are returned.
#![allow(clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use crate::activity::{Activity, ActivityKind, Lane, Record};
use crate::id::{InstanceId, OperatorId, WorkerId};
use crate::time::{Timestamp, Window};

/// With fewer instances nothing is merged.
const MOST_INSTANCES: usize = 1 << 14;

/// The work of one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstanceWork {
    /// Pieces of work on records: activities of an operator's own, not of its host.
    pub pieces: u64,
    /// Their length, in ns.
    pub pieces_ns: u64,
    /// Their records; what they consumed, at a source what they produced.
    pub records: u64,
    /// The longest of them, in ns, and its records.
    pub longest_ns: u64,
    /// Records of the longest.
    pub longest_records: u64,
    /// Everything the instance did, in ns, except waiting for something outside and work in vain.
    pub busy_ns: u64,
    /// Work in vain, in ns.
    pub lost_ns: u64,
    /// How long the instance was there, in ns.
    pub present_ns: u64,
}

/// The work of an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorWork {
    /// Its instances that did anything.
    pub instances: BTreeMap<InstanceId, InstanceWork>,
    /// Number of the workers that worked for it and left before the last activity.
    pub left: usize,
}

/// The work of a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneWork {
    /// What its instances did, in ns, as in [`InstanceWork::busy_ns`].
    pub busy_ns: u64,
    /// How long the lane was there, in ns.
    pub present_ns: u64,
}

/// When something was first and last seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    first: Timestamp,
    last: Timestamp,
}

impl Seen {
    fn see(seen: &mut Option<Seen>, from: Timestamp, until: Timestamp) {
        let known = seen.get_or_insert(Seen { first: from, last: until });
        *known = Seen { first: known.first.min(from), last: known.last.max(until) };
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    work: InstanceWork,
    lane: Option<Lane>,
    seen: Option<Seen>,
}

impl Sum {
    /// Adds what an instance did on `lane`, as far as it matters to that.
    fn add(&mut self, lane: Lane, sum: &Sum) {
        self.lane = Some(lane);
        self.work.pieces += sum.work.pieces;
        self.work.busy_ns = self.work.busy_ns.saturating_add(sum.work.busy_ns);
        if let Some(seen) = sum.seen {
            Seen::see(&mut self.seen, seen.first, seen.last);
        }
    }
}

/// Pieces of work of all instances of a trace.
#[derive(Clone, Debug)]
pub struct Pieces {
    /// Only what ends in it counts.
    stretch: Window,
    instances: FxHashMap<InstanceId, Sum>,
    /// What is no longer kept apart, by lane.
    further: BTreeMap<Lane, Sum>,
    /// How many instances were left when some were merged last.
    left_apart: usize,
    joined: BTreeMap<WorkerId, Timestamp>,
    left: BTreeMap<WorkerId, Timestamp>,
    /// The stretch of all activities.
    all: Option<Seen>,
}

impl Pieces {
    /// No piece yet; those that end outside of `stretch` will be left out.
    pub fn new(stretch: Window) -> Pieces {
        Pieces {
            stretch,
            instances: FxHashMap::default(),
            further: BTreeMap::new(),
            left_apart: 0,
            joined: BTreeMap::new(),
            left: BTreeMap::new(),
            all: None,
        }
    }

    /// Adds a record.
    pub fn push(&mut self, record: &Record) {
        match *record {
            Record::Activity(ref activity) => self.worked(activity),
            Record::Queue { instance, at, .. } | Record::Bins { instance, at, .. } => {
                let sum = self.instances.entry(instance).or_default();
                Seen::see(&mut sum.seen, at, at);
            }
            Record::WorkerJoined { worker, at, .. } => {
                self.joined.entry(worker).or_insert(at);
                self.left.remove(&worker);
            }
            Record::WorkerLeft { worker, at } => drop(self.left.insert(worker, at)),
            _ => {}
        }
    }

    fn worked(&mut self, activity: &Activity) {
        if !(self.stretch.start < activity.end && activity.end <= self.stretch.end) {
            return;
        }
        let sum = self.instances.entry(activity.instance).or_default();
        let ns = activity.end.0.saturating_sub(activity.start.0);
        let Sum { work, lane, seen } = sum;
        *lane = Some(activity.lane);
        Seen::see(seen, activity.start, activity.end);
        Seen::see(&mut self.all, activity.start, activity.end);
        match activity.kind {
            ActivityKind::ExternalWait => {}
            ActivityKind::Lost => work.lost_ns = work.lost_ns.saturating_add(ns),
            ActivityKind::Processing | ActivityKind::Source | ActivityKind::Sink | ActivityKind::Speculative => {
                let records = if activity.records_in > 0 { activity.records_in } else { activity.records_out };
                work.pieces += 1;
                work.pieces_ns = work.pieces_ns.saturating_add(ns);
                work.records = work.records.saturating_add(records);
                work.busy_ns = work.busy_ns.saturating_add(ns);
                if ns > work.longest_ns {
                    (work.longest_ns, work.longest_records) = (ns, records);
                }
            }
            ActivityKind::Scheduling | ActivityKind::Serialization | ActivityKind::Deserialization | ActivityKind::Migration => {
                work.busy_ns = work.busy_ns.saturating_add(ns);
            }
        }
    }

    /// Whether there are so many instances that some should be [merged](Self::merge).
    pub fn is_crowded(&self) -> bool {
        self.instances.len() > MOST_INSTANCES.max(2 * self.left_apart)
    }

    /// Merges the instances of operators that are not among `kept` and that were not seen from `since` on: of them only what their
    /// lanes did stays known.
    pub fn merge(&mut self, kept: &BTreeSet<OperatorId>, since: Timestamp) {
        let Pieces { instances, further, .. } = self;
        instances.retain(|instance, sum| {
            let stays = kept.contains(&instance.operator) || sum.seen.is_some_and(|seen| seen.last >= since);
            if let (false, Some(lane)) = (stays, sum.lane) {
                further.entry(lane).or_default().add(lane, sum);
            }
            stays
        });
        instances.shrink_to(2 * instances.len());
        self.left_apart = self.instances.len();
    }

    /// The instances of an operator that did anything.
    pub fn of(&self, operator: OperatorId) -> BTreeMap<InstanceId, InstanceWork> {
        self.by_operator(&BTreeSet::from([operator])).remove(&operator).unwrap_or_default().instances
    }

    /// The lane that an instance worked on last.
    pub fn lane(&self, instance: InstanceId) -> Option<Lane> {
        self.instances.get(&instance)?.lane
    }

    /// The work of some operators, those left out that did nothing.
    pub fn by_operator(&self, operators: &BTreeSet<OperatorId>) -> BTreeMap<OperatorId, OperatorWork> {
        let mut works: BTreeMap<OperatorId, OperatorWork> = BTreeMap::new();
        let mut left: BTreeMap<OperatorId, BTreeSet<WorkerId>> = BTreeMap::new();
        for (&instance, sum) in &self.instances {
            let Some(lane) = sum.lane.filter(|_| operators.contains(&instance.operator)) else { continue };
            let work = InstanceWork { present_ns: self.present_ns(sum), ..sum.work };
            works.entry(instance.operator).or_default().instances.insert(instance, work);
            if let (Lane::Worker(worker), Some(all)) = (lane, self.all)
                && self.left.get(&worker).is_some_and(|at| *at < all.last)
            {
                left.entry(instance.operator).or_default().insert(worker);
            }
        }
        left.into_iter().for_each(|(operator, workers)| works.entry(operator).or_default().left = workers.len());
        works
    }

    /// The lanes that worked on records.
    pub fn lanes(&self) -> BTreeMap<Lane, LaneWork> {
        let mut lanes: BTreeMap<Lane, Sum> = self.further.clone();
        for sum in self.instances.values() {
            if let Some(lane) = sum.lane {
                lanes.entry(lane).or_default().add(lane, sum);
            }
        }
        let worked = lanes.into_iter().filter(|(_, sum)| sum.work.pieces > 0);
        worked.map(|(lane, sum)| (lane, LaneWork { busy_ns: sum.work.busy_ns, present_ns: self.present_ns(&sum) })).collect()
    }

    /// How long an instance was there: as long as its worker, if the log says so; otherwise from
    /// when it was first seen until it was last seen.
    fn present_ns(&self, sum: &Sum) -> u64 {
        let (Some(seen), Some(all)) = (sum.seen, self.all) else { return 0 };
        let worker = sum.lane.and_then(|lane| if let Lane::Worker(worker) = lane { Some(worker) } else { None });
        let (mut from, mut until) = (seen.first, seen.last);
        if let Some((joined, left)) = worker.and_then(|worker| Some((*self.joined.get(&worker)?, self.left.get(&worker)))) {
            (from, until) = (from.min(joined), until.max(left.copied().unwrap_or(all.last)));
        }
        until.min(all.last).since(from.max(all.first)).as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Epoch;

    fn work(worker: u32, kind: ActivityKind, start: u64, end: u64, records_in: u64) -> Record {
        Record::Activity(Activity {
            lane: Lane::Worker(WorkerId(worker)),
            kind,
            instance: InstanceId::new(OperatorId(7), worker),
            epoch: Epoch(0),
            start: Timestamp(start),
            end: Timestamp(end),
            records_in,
            records_out: 0,
        })
    }

    #[test]
    fn what_is_merged_stays_known_of_lanes_and_what_was_seen_lately_stays_apart() {
        let mut pieces = Pieces::new(Window { start: Timestamp(0), end: Timestamp(1_000_000) });
        for round in 0..5 {
            for worker in 0..3 {
                let start = 100 * round + 1;
                let operator = OperatorId(round as u32);
                let record = work(worker, ActivityKind::Processing, start, start + 50 + u64::from(worker), 5);
                let Record::Activity(activity) = record else { panic!("{record:?}") };
                let instance = InstanceId::new(operator, worker);
                pieces.push(&Record::Activity(Activity { instance, ..activity }));
            }
        }
        let before = pieces.lanes();
        pieces.merge(&BTreeSet::from([OperatorId(1)]), Timestamp(401));
        assert_eq!(pieces.lanes(), before);
        let apart = |operator| pieces.of(OperatorId(operator)).len();
        assert_eq!([apart(0), apart(1), apart(2), apart(3), apart(4)], [0, 3, 0, 0, 3]);
    }

    #[test]
    fn pieces_are_whole_and_instances_count_while_they_were_there() {
        let mut pieces = Pieces::new(Window { start: Timestamp(0), end: Timestamp(1000) });
        for worker in 0..2 {
            pieces.push(&Record::WorkerJoined { worker: WorkerId(worker), at: Timestamp(0), name: String::new() });
        }
        for record in [
            work(0, ActivityKind::Processing, 10, 110, 5),
            work(0, ActivityKind::Processing, 110, 410, 6),
            work(0, ActivityKind::Serialization, 410, 420, 0),
            work(1, ActivityKind::Lost, 10, 60, 0),
            work(2, ActivityKind::Processing, 300, 400, 1),
            work(2, ActivityKind::Processing, 900, 1010, 1),
        ] {
            pieces.push(&record);
        }
        pieces.push(&Record::WorkerLeft { worker: WorkerId(1), at: Timestamp(100) });
        let of = |worker| pieces.of(OperatorId(7))[&InstanceId::new(OperatorId(7), worker)];
        let expected = InstanceWork {
            pieces: 2,
            pieces_ns: 400,
            records: 11,
            longest_ns: 300,
            longest_records: 6,
            busy_ns: 410,
            lost_ns: 0,
            present_ns: 410,
        };
        assert_eq!(of(0), expected);
        assert_eq!((of(1).pieces, of(1).lost_ns, of(1).present_ns), (0, 50, 90));
        assert_eq!((of(2).pieces, of(2).present_ns), (1, 100), "the last piece ends after the stretch");
        let lane = |busy_ns, present_ns| LaneWork { busy_ns, present_ns };
        assert_eq!(pieces.lanes().into_values().collect::<Vec<_>>(), [lane(410, 410), lane(100, 100)], "without the one that only lost");
        let works = pieces.by_operator(&BTreeSet::from([OperatorId(7), OperatorId(8)]));
        assert_eq!(works.iter().map(|(operator, work)| (operator.0, work.instances.len(), work.left)).collect::<Vec<_>>(), [(7, 3, 1)]);
    }
}
