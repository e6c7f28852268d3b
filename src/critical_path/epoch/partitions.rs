//! Sources with several partitions: each opens epochs for itself, on a worker of its own, and an
//! epoch completes only after all of them have gone past it.
//!
//! Every worker that opened an epoch says when it saw it complete, and the records of workers come
//! independently of each other: the first completion counts, and an opening may follow it.

// Only looked up by key; the order of epochs is kept in a list.
#![allow(clippy::disallowed_types)]

use std::collections::{BTreeMap, VecDeque};

use rustc_hash::FxHashSet;

use crate::activity::{Activity, ActivityKind, Lane};
use crate::id::{InstanceId, OperatorId};
use crate::time::{Epoch, Timestamp};

/// The most epochs that are remembered as complete, and as opened by one partition.
const MOST_EPOCHS: usize = 1 << 16;
/// The most partitions that are followed.
const MOST_PARTITIONS: usize = 1 << 10;

/// What one partition of a source emitted of an epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Emission {
    pub(super) source: InstanceId,
    pub(super) at: Timestamp,
    pub(super) due: Timestamp,
    /// The latest time at which it should have emitted it.
    pub(super) expected: Option<Timestamp>,
}

/// The emissions of an epoch.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    /// The earliest of them.
    pub(super) at: Timestamp,
    /// The one that was due first.
    pub(super) first: Emission,
    /// All of them, where a source has several partitions; else empty.
    parts: Vec<Emission>,
}

impl Opened {
    pub(super) fn by(emission: Emission) -> Opened {
        Opened { at: emission.at, first: emission, parts: Vec::new() }
    }

    /// When the last of it was emitted.
    pub(super) fn latest(&self) -> Timestamp {
        self.parts.iter().map(|part| part.at).fold(self.at, Timestamp::max)
    }

    /// Adds an emission.
    pub(super) fn and(&mut self, emission: Emission, of_partitions: bool) {
        if of_partitions {
            if self.parts.is_empty() {
                self.parts.push(self.first);
            }
            self.parts.push(emission);
        }
        if emission.due < self.first.due {
            self.first = emission;
        }
        self.at = self.at.min(emission.at);
    }

    /// The emission from which the records came that a path leads back to, made by `source`; the
    /// first one due if that is not known.
    pub(super) fn emission(&self, source: Option<InstanceId>) -> Emission {
        match self.parts.iter().find(|part| Some(part.source) == source) {
            Some(part) => *part,
            // Of several sources the earliest emission counts.
            None => Emission { at: if self.parts.is_empty() { self.at } else { self.first.at }, ..self.first },
        }
    }
}

/// The partition that was the last to go past an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeldOpen {
    pub(super) source: InstanceId,
    /// Where it emits.
    pub(super) lane: Lane,
    /// When it emitted something of the epoch or of a later one.
    pub(super) at: u64,
}

/// What is known of the partitions of sources.
#[derive(Clone, Debug, Default)]
pub(super) struct Partitions {
    /// Whether any source has several.
    is_any: bool,
    lanes: BTreeMap<InstanceId, Lane>,
    /// Epochs that a partition opened, in order, and when.
    opened: BTreeMap<InstanceId, VecDeque<(Epoch, u64)>>,
    /// Epochs that are complete, the latest last.
    complete: VecDeque<Epoch>,
    known_complete: FxHashSet<Epoch>,
}

impl Partitions {
    /// Whether any source has several.
    pub(super) fn is_any(&self) -> bool {
        self.is_any
    }

    /// A source was active.
    pub(super) fn active(&mut self, activity: &Activity) {
        if activity.kind == ActivityKind::Source && self.lanes.len() < MOST_PARTITIONS {
            self.lanes.entry(activity.instance).or_insert(activity.lane);
        }
    }

    /// A partition opened an epoch.
    pub(super) fn opened(&mut self, epoch: Epoch, emission: Emission) {
        self.is_any |= emission.source.index > 0;
        if !self.is_any || self.opened.len() >= MOST_PARTITIONS && !self.opened.contains_key(&emission.source) {
            return;
        }
        let opened = self.opened.entry(emission.source).or_default();
        if opened.back().is_none_or(|(last, _)| *last < epoch) {
            opened.push_back((epoch, emission.at.0));
        }
        if opened.len() > MOST_EPOCHS {
            opened.pop_front();
        }
    }

    /// An epoch completed.
    pub(super) fn completed(&mut self, epoch: Epoch) {
        if self.known_complete.insert(epoch) {
            self.complete.push_back(epoch);
            if self.complete.len() > MOST_EPOCHS
                && let Some(oldest) = self.complete.pop_front()
            {
                self.known_complete.remove(&oldest);
            }
        }
    }

    /// Whether an epoch is known to have completed, of a source with several partitions.
    pub(super) fn is_complete(&self, epoch: Epoch) -> bool {
        self.is_any && self.known_complete.contains(&epoch)
    }

    /// The partition of `source` that went past `epoch` last, of those that emitted anything since
    /// until `until`.
    pub(super) fn last_past(&self, source: OperatorId, epoch: Epoch, until: Timestamp) -> Option<HeldOpen> {
        let all = InstanceId::new(source, 0)..=InstanceId::new(source, u32::MAX);
        let past = self.opened.range(all).filter_map(|(partition, opened)| {
            let (_, at) = *opened.get(opened.partition_point(|(known, _)| *known < epoch))?;
            let lane = *self.lanes.get(partition)?;
            (at <= until.0).then_some(HeldOpen { source: *partition, lane, at })
        });
        past.max_by_key(|held| held.at)
    }

    /// Forgets what only concerns epochs before `epoch`.
    pub(super) fn forget(&mut self, epoch: Epoch) {
        for opened in self.opened.values_mut() {
            while opened.front().is_some_and(|(known, _)| *known < epoch) {
                opened.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::activity::{Message, MessageKind, Record};
    use crate::critical_path::epoch::{EpochOddities, EpochPaths, EpochPiece};
    use crate::id::{ChannelId, WorkerId};
    use crate::pag::{GraphBuilder, GraphConfig};

    const SOURCE: OperatorId = OperatorId(0);

    fn emission(partition: u32, at: u64, due: u64) -> Emission {
        Emission { source: InstanceId::new(SOURCE, partition), at: Timestamp(at), due: Timestamp(due), expected: None }
    }

    #[test]
    fn an_epoch_is_due_with_its_earliest_record_and_each_partition_keeps_its_own() {
        let mut opened = Opened::by(emission(0, 10, 9));
        opened.and(emission(1, 12, 3), true);
        assert_eq!((opened.at, opened.first.due, opened.first.source.index), (Timestamp(10), Timestamp(3), 1));
        let of = |index| opened.emission(Some(InstanceId::new(SOURCE, index)));
        assert_eq!((of(0).due, of(1).due, of(7).due), (Timestamp(9), Timestamp(3), Timestamp(3)));
        // Of several sources that are no partitions, the earliest emission stands for all.
        let mut opened = Opened::by(emission(0, 10, 3));
        opened.and(emission(0, 8, 5), false);
        assert_eq!((opened.emission(None).at, opened.emission(None).due), (Timestamp(8), Timestamp(3)));
    }

    #[test]
    fn who_went_past_an_epoch_last_is_known_but_of_one_partition_alone() {
        let mut alone = Partitions::default();
        alone.opened(Epoch(1), emission(0, 10, 9));
        alone.completed(Epoch(1));
        assert!(!alone.is_any() && !alone.is_complete(Epoch(1)) && alone.opened.is_empty());
        let mut all = Partitions::default();
        for partition in 0..2 {
            let (instance, lane) = (InstanceId::new(SOURCE, partition), Lane::Worker(WorkerId(partition)));
            let (epoch, start, end) = (Epoch(1), Timestamp(0), Timestamp(1));
            let (records_in, records_out) = (1, 1);
            all.active(&Activity { lane, kind: ActivityKind::Source, instance, epoch, start, end, records_in, records_out });
        }
        for (epoch, partition, at) in [(1, 1, 10), (1, 0, 11), (2, 0, 20), (3, 0, 30), (3, 1, 36)] {
            all.opened(Epoch(epoch), emission(partition, at, at));
        }
        let past = |epoch, until| all.last_past(SOURCE, Epoch(epoch), Timestamp(until)).map(|held| (held.source.index, held.at));
        assert_eq!((past(1, 50), past(2, 50), past(3, 50)), (Some((0, 11)), Some((1, 36)), Some((1, 36))));
        // What one has not told of until then is not known.
        assert_eq!((past(2, 35), past(4, 50)), (Some((0, 20)), None));
        all.completed(Epoch(1));
        all.forget(Epoch(2));
        assert!(all.is_complete(Epoch(1)) && !all.is_complete(Epoch(2)));
        assert_eq!(all.opened.values().map(VecDeque::len).sum::<usize>(), 3);
    }

    /// Records of two workers, each with a partition; op2 counts on the second, op3 is the sink on the first.
    #[derive(Default)]
    struct Drawn(Vec<Record>);

    impl Drawn {
        fn work(mut self, worker: u32, kind: ActivityKind, operator: u32, epoch: u64, (start, end): (u64, u64)) -> Drawn {
            let index = if kind == ActivityKind::Source { worker } else { 0 };
            self.0.push(Record::Activity(Activity {
                lane: Lane::Worker(WorkerId(worker)),
                kind,
                instance: InstanceId::new(OperatorId(operator), index),
                epoch: Epoch(epoch),
                start: Timestamp(start),
                end: Timestamp(end),
                records_in: 1,
                records_out: 1,
            }));
            self
        }

        /// What was due at `due` is emitted from `at` on, by the partition of that worker.
        fn emits(mut self, partition: u32, epoch: u64, due: u64, (at, end): (u64, u64)) -> Drawn {
            let source = InstanceId::new(SOURCE, partition);
            let (at_time, due) = (Timestamp(at), Timestamp(due));
            self.0.push(Record::EpochOpened { at: at_time, source, epoch: Epoch(epoch), due, records: 1 });
            self.work(partition, ActivityKind::Source, SOURCE.0, epoch, (at, end))
        }

        /// A message to the sink's worker.
        fn message(mut self, epoch: u64, (sent, received): (u64, u64)) -> Drawn {
            let side = |at| Message {
                at: Timestamp(at),
                kind: MessageKind::Data,
                channel: ChannelId(3),
                sequence: epoch,
                from: WorkerId(1),
                from_lane: Lane::Worker(WorkerId(1)),
                to_lane: Lane::Worker(WorkerId(0)),
                epoch: Epoch(epoch),
                records: 1,
            };
            self.0.extend([Record::Sent(side(sent)), Record::Received(side(received))]);
            self
        }

        fn completes(mut self, worker: u32, epoch: u64, at: u64) -> Drawn {
            self.0.push(Record::EpochCompleted { at: Timestamp(at), worker: WorkerId(worker), epoch: Epoch(epoch) });
            self
        }

        /// The pieces of the path of `epoch`, and how many paths there are.
        fn path(&self, epoch: u64) -> (Vec<String>, usize) {
            let config = GraphConfig { history: Duration::from_secs(1), ..GraphConfig::new(Duration::from_nanos(1000)) };
            let (mut graph, mut epochs) = (GraphBuilder::new(config), EpochPaths::default());
            for record in &self.0 {
                graph.push(record);
                epochs.push(record);
            }
            while graph.close(Timestamp(u64::MAX)).is_some() {}
            let paths = epochs.walk(&graph, Timestamp(u64::MAX));
            assert_eq!(epochs.oddities(), EpochOddities::default());
            let path = paths.iter().find(|path| path.epoch == Epoch(epoch)).unwrap();
            let ns: u64 = path.pieces.iter().map(|piece| piece.length().as_nanos() as u64).sum();
            assert_eq!(ns, path.latency().as_nanos() as u64);
            let name = |instance: Option<InstanceId>| instance.map_or(String::new(), |instance| format!(" {instance}"));
            let piece = |piece: &EpochPiece| {
                let behind = name(piece.behind.map(|behind| behind.instance)).replace(' ', " behind ");
                format!("{}-{} {:?}{}{behind}", piece.start.0, piece.end.0, piece.kind, name(piece.instance))
            };
            (path.pieces.iter().map(piece).collect(), paths.len())
        }
    }

    #[test]
    fn an_epoch_that_is_done_waits_for_the_partition_whose_worker_is_busy() {
        let drawn = Drawn::default().emits(1, 0, 4, (5, 6)).emits(0, 1, 9, (10, 12)).work(0, ActivityKind::Sink, 3, 1, (12, 15));
        // The second worker is busy with what the first epoch made.
        let drawn = drawn.work(1, ActivityKind::Processing, 2, 0, (8, 40)).emits(1, 2, 20, (40, 41));
        let drawn = drawn.completes(0, 1, 42).completes(1, 0, 43).completes(1, 2, 50);
        let (pieces, paths) = drawn.path(1);
        let expected = [
            "9-10 SourceDelay op0[0]",
            "10-12 Processing op0[0]",
            "12-15 Processing op3[0]",
            "15-40 Queueing op0[1] behind op2[0]",
            "40-42 Progress",
        ];
        assert_eq!((pieces, paths), (expected.map(str::to_owned).to_vec(), 3));
    }

    #[test]
    fn the_partition_that_lags_is_charged_with_its_lag_whoever_was_last() {
        // The records of the second partition were due long before.
        let begun = || Drawn::default().emits(0, 7, 99, (100, 101)).emits(1, 7, 20, (102, 104)).message(7, (104, 106));
        let last = begun().work(0, ActivityKind::Sink, 3, 7, (106, 108)).completes(0, 7, 110).completes(1, 7, 111);
        let expected =
            ["20-102 SourceDelay op0[1]", "102-104 Processing op0[1]", "104-106 Network", "106-108 Processing op3[0]", "108-110 Progress"];
        assert_eq!(last.path(7), (expected.map(str::to_owned).to_vec(), 1));
        // Those of the first are the last: before they were due it is the second that was late.
        let drawn = Drawn::default().emits(1, 7, 20, (98, 99)).emits(0, 7, 97, (100, 101)).work(0, ActivityKind::Sink, 3, 7, (101, 108));
        let (pieces, _) = drawn.completes(0, 7, 110).path(7);
        let expected = ["20-97 SourceDelay op0[1]", "97-100 SourceDelay op0[0]"];
        assert_eq!(pieces[..2], expected.map(str::to_owned), "{pieces:?}");
    }

    #[test]
    fn workers_may_be_heard_of_in_any_order() {
        let in_order = Drawn::default().emits(0, 7, 99, (100, 101)).emits(1, 7, 20, (102, 104)).message(7, (104, 106));
        let in_order = in_order.work(0, ActivityKind::Sink, 3, 7, (106, 108)).completes(1, 7, 110).completes(0, 7, 111);
        let mut first_worker_first = Drawn(in_order.0.clone());
        first_worker_first.0.sort_by_key(|record| match record {
            Record::EpochOpened { source, .. } => source.index,
            Record::EpochCompleted { worker, .. } => worker.0,
            Record::Activity(Activity { lane: Lane::Worker(worker), .. }) => worker.0,
            Record::Sent(_) => 1,
            _ => 0,
        });
        assert_ne!(in_order.0, first_worker_first.0);
        assert_eq!(in_order.path(7), first_worker_first.path(7));
    }
}
