//! Who owns the lag of each source: what was due and not emitted, by the instances for which sources paused.
//!
//! Samples of sources say how much was due and emitted, openings of epochs when it was emitted, spans of backpressure for whom sources
//! paused. While they pause for instances, what becomes due and is not emitted is entered under them, evenly where they are several;
//! where a source does not pause and its lag grows, the lag is its own. What is emitted beyond what becomes due meanwhile leaves the
//! ledger first in, first out. Several sources have a ledger each.
//!
//! An epoch that is emitted late waited, as long as sources paused, for those who held them, and for the rest of the time because of the
//! lag before it: that is charged to whoever owned it when the epoch was due, in proportion. Invariants: owners and the source's own part
//! add up to the lag; pieces tile the time; memory is bounded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::backpressure::Pauses;
use super::lag::{Lag, LagOwner, Parts};
use super::path::{EpochPieceKind, Label, Tiles};
use crate::activity::Record;
use crate::id::{InstanceId, OperatorId};
use crate::time::Timestamp;

/// Sources at most; further ones have no ledger.
const MOST_SOURCES: usize = 1 << 10;

/// The lag of a source by who made it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceLag {
    /// The source.
    pub source: OperatorId,
    /// When.
    pub at: Timestamp,
    /// Owners in their order, and how many records of the lag are theirs (parts of a record, too). They add up to what was due and not
    /// emitted.
    pub owners: Vec<(LagOwner, f64)>,
}

impl SourceLag {
    /// The whole lag in records.
    pub fn records(&self) -> f64 {
        self.owners.iter().map(|(_, records)| records).sum()
    }

    /// How many records of it are the owner's.
    pub fn of(&self, owner: LagOwner) -> f64 {
        self.owners.iter().filter(|(known, _)| *known == owner).map(|(_, records)| records).sum()
    }
}

/// The ledgers of all sources.
///
/// It needs [`Record::Source`], [`Record::EpochOpened`] and [`Record::Backpressure`]; without samples of a source it knows of no lag.
///
/// ```
/// use thalweg::activity::Record;
/// use thalweg::critical_path::{LagLedger, LagOwner};
/// use thalweg::id::{InstanceId, OperatorId};
/// use thalweg::time::Timestamp;
///
/// let (source, slow) = (OperatorId(0), InstanceId::new(OperatorId(1), 3));
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
    sources: BTreeMap<OperatorId, Lag>,
    /// Instant of the latest record.
    latest: u64,
}

impl LagLedger {
    /// Takes a record.
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

    /// A source emitted the first of an epoch; gives when it should have come to it at the latest, if that is known.
    pub(super) fn opened(&mut self, source: OperatorId, at: Timestamp, due: Timestamp, records: u64) -> Option<Timestamp> {
        self.latest = self.latest.max(at.0);
        self.source(source)?.emitted(at.0, due.0, records).map(Timestamp)
    }

    fn source(&mut self, source: OperatorId) -> Option<&mut Lag> {
        if self.sources.len() >= MOST_SOURCES && !self.sources.contains_key(&source) {
            return None;
        }
        Some(self.sources.entry(source).or_default())
    }

    /// Takes in what happened up to `until`, but not beyond the latest record. Spans of backpressure of before that come later are left
    /// out, so it should lie as far back as hosts report them late: for a tenth of a second, usually.
    pub fn advance(&mut self, until: Timestamp) {
        let until = until.0.min(self.latest);
        self.pauses.merge(until);
        for lag in self.sources.values_mut() {
            lag.advance(until, &self.pauses);
        }
    }

    /// The lag of every source whose samples the log has, as of the instant to which it has [advanced](Self::advance).
    pub fn lags(&self) -> Vec<SourceLag> {
        let lag = |(&source, lag): (&OperatorId, &Lag)| Some(SourceLag { source, at: Timestamp(lag.at()?), owners: lag.parts() });
        self.sources.iter().filter_map(lag).collect()
    }

    /// Forgets what no epoch needs of which the earliest was due at `oldest`, nor any that is still to be opened.
    pub(super) fn forget(&mut self, oldest: u64) {
        for lag in self.sources.values_mut() {
            lag.forget(oldest.min(lag.last_due()));
        }
        self.pauses.forget(self.sources.values().map(Lag::last_due).fold(oldest, u64::min));
    }

    /// When sources last stopped pausing before `at`; zero if they never paused.
    pub(super) fn paused_until(&self, at: u64) -> u64 {
        self.pauses.within(0, at).next_back().map_or(0, |pause| pause.end.min(at))
    }

    /// The rest of a path, from where `source` emitted down to `due`: pauses, each charged evenly to those who held the sources back,
    /// and between them the lag that lay before the epoch when it was due.
    pub(super) fn tile(&self, tiles: &mut Tiles, due: u64, source: OperatorId) {
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

/// What is left of a delay when pauses are taken out, cut by who owned the lag, from the end backwards.
struct Rest {
    /// How much each of them has left, the last to be charged first.
    quotas: Vec<(Label, u64)>,
    own: Label,
}

impl Rest {
    fn new(owners: Parts, ns: u64, source: OperatorId) -> Rest {
        let own = Label::of(EpochPieceKind::SourceDelay, InstanceId::new(source, 0));
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

    /// Charges what lies between `from` and where `tiles` stand.
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
