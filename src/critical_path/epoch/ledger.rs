//! Attributes the lag of each source to the instances because of which the sources paused.
//!
//! Samples of sources say how many records were due and emitted, openings of epochs when they were
//! emitted, and spans of backpressure which instances paused the sources. During a pause, records
//! that become due and are not emitted are attributed to these instances, evenly if there are
//! several; if the lag of a source grows without a pause, the source itself is the cause. Records
//! emitted beyond those that become due meanwhile leave the ledger first in, first out. Each
//! partition of a source has its own ledger.
//!
//! The delay of an epoch that is emitted late is attributed, for the time of pauses, to the
//! instances that caused them, and for the rest to the owners of the lag ahead of it when the epoch
//! was due, in proportion. Invariants: the owners' parts and the source's own add up to the lag;
//! pieces tile the time; memory is bounded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::backpressure::Pauses;
use super::lag::{Lag, LagOwner, Parts, add};
use super::path::{EpochPieceKind, Label, Tiles};
use crate::activity::Record;
use crate::id::{InstanceId, OperatorId};
use crate::time::Timestamp;

/// The most partitions of sources; further ones have no ledger.
const MOST_SOURCES: usize = 1 << 10;

/// The lag of a source by owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceLag {
    /// The source.
    pub source: OperatorId,
    /// The time.
    pub at: Timestamp,
    /// Owners in their order, and how many records of the lag are attributed to them (possibly
    /// fractions). They add up to the records due but not emitted.
    pub owners: Vec<(LagOwner, f64)>,
}

impl SourceLag {
    /// The whole lag in records.
    pub fn records(&self) -> f64 {
        self.owners.iter().map(|(_, records)| records).sum()
    }

    /// Number of records attributed to the owner.
    pub fn of(&self, owner: LagOwner) -> f64 {
        self.owners.iter().filter(|(known, _)| *known == owner).map(|(_, records)| records).sum()
    }
}

/// The ledgers of all sources.
///
/// It needs [`Record::Source`], [`Record::EpochOpened`] and [`Record::Backpressure`]; without
/// samples of a source it knows of no lag.
///
/// ```
/// use thalweg::activity::Record;
/// use thalweg::critical_path::{LagLedger, LagOwner};
/// use thalweg::id::{InstanceId, OperatorId};
/// use thalweg::time::Timestamp;
///
/// let (source, slow) = (InstanceId::new(OperatorId(0), 0), InstanceId::new(OperatorId(1), 3));
/// let mut ledger = LagLedger::default();
/// ledger.push(&Record::Source { source, at: Timestamp(100), due: 100.0, emitted: 100 });
/// ledger.push(&Record::Backpressure { instance: slow, start: Timestamp(100), end: Timestamp(150) });
/// ledger.push(&Record::Source { source, at: Timestamp(200), due: 200.0, emitted: 150 });
/// ledger.advance(Timestamp(150));
/// assert_eq!(ledger.lags()[0].owners, [(LagOwner::Instance(slow), 50.0)]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct LagLedger {
    pauses: Pauses,
    sources: BTreeMap<InstanceId, Lag>,
    /// Instant of the latest record.
    latest: u64,
}

impl LagLedger {
    /// Adds a record.
    #[inline]
    pub fn push(&mut self, record: &Record) {
        match *record {
            Record::EpochOpened { at, source, due, records, .. } => {
                self.opened(source, at, due, records);
            }
            Record::Source { source, at, due, emitted } => {
                self.latest = self.latest.max(at.0);
                if let Some(lag) = self.source(source) {
                    lag.sample(at.0, due, emitted);
                }
            }
            Record::Backpressure { instance, start, end } => {
                self.latest = self.latest.max(end.0);
                self.pauses.push(instance, start, end);
            }
            _ => {}
        }
    }

    /// A source emitted the first records of an epoch; returns the latest time at which it should
    /// have done so, if known.
    pub(super) fn opened(&mut self, source: InstanceId, at: Timestamp, due: Timestamp, records: u64) -> Option<Timestamp> {
        self.latest = self.latest.max(at.0);
        self.source(source)?.emitted(at.0, due.0, records).map(Timestamp)
    }

    fn source(&mut self, source: InstanceId) -> Option<&mut Lag> {
        if self.sources.len() >= MOST_SOURCES && !self.sources.contains_key(&source) {
            return None;
        }
        Some(self.sources.entry(source).or_default())
    }

    /// Processes what happened until `until`, but not beyond the latest record. Earlier spans of
    /// backpressure that arrive later are ignored, so `until` should lie behind by the delay with
    /// which hosts report them: usually a tenth of a second.
    pub fn advance(&mut self, until: Timestamp) {
        let until = until.0.min(self.latest);
        self.pauses.merge(until);
        for lag in self.sources.values_mut() {
            lag.advance(until, &self.pauses);
        }
    }

    /// The lag of every source whose samples the log has, of all its partitions together, as of the
    /// instant to which it has [advanced](Self::advance).
    pub fn lags(&self) -> Vec<SourceLag> {
        let mut lags: Vec<SourceLag> = Vec::new();
        for (partition, lag) in &self.sources {
            let Some(at) = lag.at().map(Timestamp) else { continue };
            let (source, owners) = (partition.operator, lag.parts());
            match lags.last_mut().filter(|last| last.source == source) {
                Some(all) => {
                    all.at = all.at.max(at);
                    owners.into_iter().for_each(|(owner, records)| add(&mut all.owners, owner, records));
                }
                None => lags.push(SourceLag { source, at, owners }),
            }
        }
        lags
    }

    /// Forgets what no epoch needs that was due at `oldest` or later.
    pub(super) fn forget(&mut self, oldest: u64) {
        for lag in self.sources.values_mut() {
            lag.forget(oldest.min(lag.last_due()));
        }
        self.pauses.forget(self.sources.values().map(Lag::last_due).fold(oldest, u64::min));
    }

    /// Whether sources were paused at any time between `from` and `until`.
    pub(super) fn paused_within(&self, from: u64, until: u64) -> bool {
        self.pauses.within(from, until).next().is_some()
    }

    /// When sources last stopped pausing before `at`; zero if they never paused.
    pub(super) fn paused_until(&self, at: u64) -> u64 {
        self.pauses.within(0, at).next_back().map_or(0, |pause| pause.end.min(at))
    }

    /// The rest of a path, from where `source` emitted back to `due`: pauses, each attributed
    /// evenly to the instances that caused it, and between them the lag ahead of the epoch when it
    /// was due.
    pub(super) fn tile(&self, tiles: &mut Tiles, due: u64, source: InstanceId) {
        let now = tiles.now();
        let paused: u64 = self.pauses.within(due, now).map(|pause| pause.end.min(now) - pause.start.max(due)).sum();
        let owners = self.sources.get(&source).map(|lag| lag.owners(due)).unwrap_or_default();
        let mut rest = Rest::new(owners, now.saturating_sub(due) - paused, source);
        for pause in self.pauses.within(due, now).rev() {
            rest.down_to(pause.end, tiles);
            let (start, top) = (pause.start.max(due), tiles.now());
            let count = pause.instances.len() as u64;
            for (number, &instance) in (1u64..).zip(&pause.instances) {
                // Cut so that the parts tile the pause.
                let down = (u128::from(top - start) * u128::from(number) / u128::from(count)) as u64;
                tiles.down_to(top - down, Label::of(EpochPieceKind::Backpressure, instance));
            }
        }
        rest.down_to(due, tiles);
    }
}

/// The rest of a delay without the pauses, divided by owner of the lag, from the end backwards.
struct Rest {
    /// The remaining part of each owner, the last to be used first.
    quotas: Vec<(Label, u64)>,
    own: Label,
}

impl Rest {
    fn new(owners: Parts, ns: u64, source: InstanceId) -> Rest {
        let own = Label::of(EpochPieceKind::SourceDelay, source);
        let all: f64 = owners.iter().map(|(_, records)| records).sum();
        let (mut quotas, mut sum, mut before) = (Vec::with_capacity(owners.len()), 0.0, 0);
        for (owner, records) in owners {
            let label = match owner {
                LagOwner::Instance(instance) => Label::of(EpochPieceKind::Backpressure, instance),
                LagOwner::Own => own,
            };
            sum += records;
            let until = if sum < all { (ns as f64 * (sum / all)) as u64 } else { ns }.clamp(before, ns);
            quotas.push((label, until - before));
            before = until;
        }
        Rest { quotas, own }
    }

    /// Attributes the time between `from` and the current position of `tiles`.
    fn down_to(&mut self, from: u64, tiles: &mut Tiles) {
        while tiles.now() > from
            && let Some((label, left)) = self.quotas.last_mut()
        {
            let length = (tiles.now() - from).min(*left);
            *left -= length;
            tiles.down_to(tiles.now() - length, *label);
            if *left == 0 {
                self.quotas.pop();
            }
        }
        tiles.down_to(from, self.own);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::Epoch;

    const SOURCE: OperatorId = OperatorId(0);
    const TICK: u64 = 10;

    fn instance(index: u32) -> InstanceId {
        InstanceId::new(OperatorId(2), index)
    }

    /// A source with one record due per ns; in each tick it is either paused or emits up to this
    /// many records.
    fn run(ticks: &[Option<u64>], pauses: &[(u32, u64, u64)]) -> (LagLedger, Vec<Record>) {
        let (mut records, mut emitted) =
            (vec![Record::Source { source: InstanceId::new(SOURCE, 0), at: Timestamp(0), due: 0.0, emitted: 0 }], 0);
        for (&most, number) in ticks.iter().zip(1u64..) {
            let at = number * TICK;
            if let Some(most) = most
                && emitted < at
                && most > 0
            {
                let (due, count) = (Timestamp(emitted + 1), most.min(at - emitted));
                records.push(Record::EpochOpened {
                    at: Timestamp(at),
                    source: InstanceId::new(SOURCE, 0),
                    epoch: Epoch(number),
                    due,
                    records: count,
                });
                emitted += count;
            }
            if number % 5 == 0 {
                records.push(Record::Source { source: InstanceId::new(SOURCE, 0), at: Timestamp(at), due: at as f64, emitted });
            }
        }
        for &(index, start, end) in pauses {
            records.push(Record::Backpressure { instance: instance(index), start: Timestamp(start), end: Timestamp(end) });
        }
        let mut ledger = LagLedger::default();
        records.iter().for_each(|record| ledger.push(record));
        (ledger, records)
    }

    /// A tile of a time unit each: `.` the source's own, a number for the instance that is charged.
    fn drawn(ledger: &LagLedger, due: u64, opened: u64) -> String {
        let (due, opened) = (Timestamp(due), Timestamp(opened));
        let mut tiles = Tiles::new(Epoch(1), due, opened, due);
        ledger.tile(&mut tiles, due.0, InstanceId::new(SOURCE, 0));
        let (mut drawing, mut at) = (String::new(), due);
        for piece in tiles.finish(Default::default()).pieces {
            assert!(piece.start == at && piece.end > piece.start);
            let sign = match piece.kind {
                EpochPieceKind::Backpressure => piece.instance.unwrap().index.to_string(),
                EpochPieceKind::SourceDelay => ".".to_owned(),
                other => panic!("{other:?}"),
            };
            drawing.push_str(&sign.repeat((piece.end.0 - piece.start.0) as usize));
            at = piece.end;
        }
        assert_eq!(at, opened);
        drawing
    }

    #[test]
    fn what_a_pause_made_late_is_charged_to_it_after_it_as_well() {
        // Paused from 50 to 90 for 3; then it emits twice as fast as records become due.
        let ticks: Vec<Option<u64>> = (1..=20).map(|number| (!(5..9).contains(&number)).then_some(20)).collect();
        let (mut ledger, records) = run(&ticks, &[(3, 50, 90)]);
        ledger.advance(Timestamp(90));
        // At 90 it has just emitted 20 of the 50 that were due.
        let [lag] = &ledger.lags()[..] else { panic!() };
        assert_eq!((lag.records(), lag.of(LagOwner::Instance(instance(3)))), (30.0, 30.0));
        ledger.advance(Timestamp(200));
        assert_eq!(ledger.lags()[0].records(), 0.0);
        let opened = |number: u64| {
            let at = |record: &Record| match *record {
                Record::EpochOpened { at, epoch, due, .. } if epoch == Epoch(number) => Some((due.0, at.0)),
                _ => None,
            };
            let (due, at) = records.iter().find_map(at).unwrap();
            drawn(&ledger, due, at)
        };
        assert_eq!(opened(4), ".........", "it comes once a tick");
        assert_eq!(opened(9), format!(".........{}", "3".repeat(40)), "due before the pause, emitted after it");
        assert_eq!(opened(10), "3".repeat(39), "due in the pause, emitted a tick later");
        assert_eq!(opened(14), ".........", "made up for");
    }

    #[test]
    fn several_share_a_pause_and_the_lag_of_it_and_pace_is_the_sources_own() {
        let ticks: Vec<Option<u64>> = (1..=20).map(|number| (!(5..9).contains(&number)).then_some(10)).collect();
        let (mut ledger, _) = run(&ticks, &[(1, 50, 90), (2, 50, 90)]);
        ledger.advance(Timestamp(150));
        // It never makes up for it; what was fresh when the pause began is the pause's, too.
        let [lag] = &ledger.lags()[..] else { panic!() };
        assert_eq!([1, 2].map(|index| lag.of(LagOwner::Instance(instance(index)))), [20.0, 20.0], "{lag:?}");
        assert_eq!(drawn(&ledger, 110, 130), format!("{}{}", "1".repeat(10), "2".repeat(10)));
        let slow: Vec<Option<u64>> = (1..=20).map(|_| Some(7)).collect();
        let (mut ledger, _) = run(&slow, &[]);
        ledger.advance(Timestamp(200));
        assert_eq!(ledger.lags()[0].owners, [(LagOwner::Own, 60.0)]);
        assert_eq!(drawn(&ledger, 100, 140), ".".repeat(40));
    }

    #[test]
    fn without_samples_pauses_are_charged_and_the_rest_is_the_sources_own() {
        let mut ledger = LagLedger::default();
        ledger.push(&Record::Backpressure { instance: instance(4), start: Timestamp(5), end: Timestamp(9) });
        ledger.push(&Record::EpochOpened {
            at: Timestamp(12),
            source: InstanceId::new(SOURCE, 0),
            epoch: Epoch(1),
            due: Timestamp(2),
            records: 1,
        });
        ledger.advance(Timestamp(12));
        assert!(ledger.lags().is_empty());
        assert_eq!(drawn(&ledger, 2, 12), "...4444...");
    }

    proptest! {
        /// Owners and own add up to due minus emitted, nobody owns less than nothing, and only
        /// those own anything for whom sources paused.
        #[test]
        fn owners_add_up_to_the_lag_and_pieces_tile_the_delay(
            ticks in prop::collection::vec(prop::option::weighted(0.7, 0u64..25), 5..80),
            pauses in prop::collection::vec((0u32..4, 0u64..700, 1u64..150), 0..12),
            looks in prop::collection::vec((0u64..800, 0u64..800), 1..20),
            lost in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let mut pauses: Vec<(u32, u64, u64)> = pauses.into_iter().map(|(index, start, length)| (index, start, start + length)).collect();
            pauses.sort_by_key(|pause| pause.1);
            let (_, mut records) = run(&ticks, &pauses);
            // Openings may be missing in a log: the next sample tells all the same.
            for index in lost {
                let index = index.index(records.len());
                if matches!(records[index], Record::EpochOpened { .. }) {
                    records.remove(index);
                }
            }
            let mut ledger = LagLedger::default();
            records.iter().for_each(|record| ledger.push(record));
            let mut samples: Vec<(Timestamp, f64)> = Vec::new();
            for record in &records {
                if let Record::Source { at, due, emitted, .. } = *record {
                    samples.push((at, due - emitted as f64));
                }
            }
            for (at, lag) in samples {
                ledger.advance(at);
                let [known] = &ledger.lags()[..] else { panic!() };
                prop_assert!((known.records() - lag).abs() < 1e-3, "{known:?} of {lag}");
                for (owner, records) in &known.owners {
                    let paused = |index: u32| pauses.iter().any(|pause| pause.0 == index && pause.1 < at.0);
                    prop_assert!(*records > 0.0);
                    prop_assert!(matches!(owner, LagOwner::Own) || (0..4).any(|index| *owner == LagOwner::Instance(instance(index)) && paused(index)));
                }
            }
            for (from, until) in looks {
                let (from, until) = (from.min(until), from.max(until));
                let drawing = drawn(&ledger, from, until);
                prop_assert_eq!(drawing.len() as u64, until - from);
                for pause in ledger.pauses.within(from, until) {
                    let part = &drawing[(pause.start.max(from) - from) as usize..(pause.end.min(until) - from) as usize];
                    prop_assert!(!part.contains('.'), "{} {:?}", drawing, pause);
                }
            }
        }
    }
}
