//! Sums over the paths of many epochs: a ranking of what the latency consists of.
//!
//! Shares are of the summed latency of all epochs, so they add up to 1. Percentiles are over
//! epochs: an epoch without a part counts as 0. Memory is bounded: where operators are stages and there
//! are ever more of them, the smallest parts and operators are no longer kept apart, and told as a whole.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::path::{EpochPath, EpochPiece, EpochPieceKind};
use crate::activity::ActivityKind;
use crate::id::{ChannelId, OperatorId};
use crate::stats::LatencyHistogram;

/// With fewer parts, or operators, all are kept apart; of more the larger half.
const MOST_PARTS: usize = 1 << 12;

/// The key by which latency is summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EpochPart {
    /// What the time was spent on.
    pub kind: EpochPieceKind,
    /// The operator that worked, or whose records waited.
    pub operator: Option<OperatorId>,
    /// For queueing, the operator behind whose work the records waited.
    pub behind: Option<OperatorId>,
    /// For queueing, the activity of that operator if it was not processing, for instance an
    /// external wait.
    pub doing: Option<ActivityKind>,
    /// For messages, the channel.
    pub channel: Option<ChannelId>,
}

impl EpochPart {
    /// The part that a piece belongs to.
    pub fn of(piece: &EpochPiece) -> EpochPart {
        EpochPart {
            kind: piece.kind,
            operator: piece.instance.map(|instance| instance.operator),
            behind: piece.behind.map(|behind| behind.instance.operator),
            doing: piece.behind.map(|behind| behind.activity).filter(|activity| !is_on_records(*activity)),
            channel: piece.channel,
        }
    }

    /// The operator to which the time is attributed: the one that worked; for queueing the one that
    /// kept the lane busy.
    pub fn charged(&self) -> Option<OperatorId> {
        self.behind.or(self.operator)
    }
}

fn is_on_records(activity: ActivityKind) -> bool {
    matches!(activity, ActivityKind::Processing | ActivityKind::Source | ActivityKind::Sink)
}

/// One part of the latency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartLatency {
    /// The part.
    pub part: EpochPart,
    /// Share of the summed latency, 0 to 1.
    pub share: f64,
    /// Mean per epoch, in ns.
    pub mean_ns: f64,
    /// Median over epochs, in ns.
    pub p50_ns: u64,
    /// 99th percentile over epochs, in ns.
    pub p99_ns: u64,
    /// Number of epochs with this part.
    pub epochs: u64,
}

/// The latency attributed to one operator.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorLatency {
    /// The operator.
    pub operator: OperatorId,
    /// Share of the summed latency, 0 to 1: all its parts.
    pub share: f64,
    /// Mean of all its parts per epoch, in ns.
    pub mean_ns: f64,
    /// Mean of its own work on an epoch, in ns.
    pub work_mean_ns: f64,
    /// Mean of an epoch's queueing behind its work on other epochs, in ns.
    pub queueing_mean_ns: f64,
    /// Mean upper bound on what an epoch could have gained from a faster operator, in ns: see
    /// [`Gains`](super::Gains).
    pub gain_mean_ns: f64,
    /// How much later its output could have been on average without delaying an epoch, in ns, over the
    /// epochs of which it is known; `None` if it is known of none.
    pub slack_mean_ns: Option<f64>,
    /// Median over epochs of all its parts, in ns.
    pub p50_ns: u64,
    /// 99th percentile over epochs, in ns.
    pub p99_ns: u64,
}

/// Parts and operators that are no longer kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct FurtherParts {
    /// Number of parts.
    pub parts: u64,
    /// Their share of the summed latency, 0 to 1.
    pub share: f64,
    /// Number of operators.
    pub operators: u64,
}

/// Time of one part or operator.
#[derive(Clone, Debug, Default)]
struct Sum {
    ns: u128,
    epochs: u64,
    /// Of epochs that had any of it.
    each: LatencyHistogram,
}

impl Sum {
    fn add(&mut self, ns: u64) {
        self.ns += u128::from(ns);
        self.epochs += 1;
        self.each.record(Duration::from_nanos(ns), 1);
    }

    /// The `quantile` over `epochs` epochs.
    fn quantile(&self, quantile: f64, epochs: u64) -> u64 {
        let without = (epochs - self.epochs) as f64 / epochs as f64;
        if quantile <= without {
            return 0;
        }
        let within = (quantile - without) / (1.0 - without);
        self.each.quantile(within).map_or(0, |latency| u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Sums over the paths of many epochs.
#[derive(Clone, Debug, Default)]
pub struct EpochSummary {
    epochs: u64,
    latency_ns: u128,
    latency: LatencyHistogram,
    parts: BTreeMap<EpochPart, Sum>,
    operators: BTreeMap<OperatorId, Sum>,
    /// Bounds on gains: for every operator, and what is added for some.
    gains: (u128, BTreeMap<OperatorId, u128>),
    /// Slack, and the number of epochs in which it is known.
    slack: BTreeMap<OperatorId, (u128, u64)>,
    /// Numbers of parts and operators that are no longer kept apart, and the time of these parts.
    further: (u64, u64, u128),
    /// Kept between epochs to be used again.
    scratch: Vec<(EpochPart, u64)>,
}

impl EpochSummary {
    /// Adds an epoch.
    pub fn add(&mut self, path: &EpochPath) {
        let latency = path.latency();
        self.epochs += 1;
        self.latency_ns += latency.as_nanos();
        self.latency.record(latency, 1);
        self.gains.0 += u128::from(path.gains.others);
        for &(operator, bound) in &path.gains.operators {
            *self.gains.1.entry(operator).or_default() += u128::from(bound - path.gains.others);
        }
        for &(operator, ns) in &path.slack {
            let (sum, known) = self.slack.entry(operator).or_default();
            (*sum, *known) = (*sum + u128::from(ns), *known + 1);
        }
        let mut parts = std::mem::take(&mut self.scratch);
        parts.extend(path.pieces.iter().map(|piece| (EpochPart::of(piece), piece.end.0 - piece.start.0)));
        parts.sort_unstable_by_key(|(part, _)| *part);
        for same in parts.chunk_by(|a, b| a.0 == b.0) {
            self.parts.entry(same[0].0).or_default().add(same.iter().map(|(_, ns)| ns).sum());
        }
        parts.sort_unstable_by_key(|(part, _)| part.charged());
        for same in parts.chunk_by(|a, b| a.0.charged() == b.0.charged()) {
            if let Some(operator) = same[0].0.charged() {
                self.operators.entry(operator).or_default().add(same.iter().map(|(_, ns)| ns).sum());
            }
        }
        parts.clear();
        self.scratch = parts;
        if self.parts.len() > MOST_PARTS || self.operators.len().max(self.slack.len()) > MOST_PARTS {
            self.forget();
        }
    }

    /// Forgets the smaller half of parts and operators, where there are too many.
    fn forget(&mut self) {
        if self.parts.len() > MOST_PARTS {
            for part in smaller(&self.parts, |sum| sum.ns) {
                let sum = self.parts.remove(&part);
                self.further.0 += 1;
                self.further.2 += sum.map_or(0, |sum| sum.ns);
            }
        }
        // Those of which only the slack is known come last.
        let known: BTreeMap<OperatorId, u128> = self
            .slack
            .keys()
            .map(|&operator| (operator, 0))
            .chain(self.operators.iter().map(|(&operator, sum)| (operator, sum.ns)))
            .collect();
        if known.len() > MOST_PARTS {
            for operator in smaller(&known, |&ns| ns) {
                self.operators.remove(&operator);
                self.slack.remove(&operator);
                self.further.1 += 1;
            }
            self.gains.1.retain(|operator, _| self.operators.contains_key(operator));
        }
    }

    /// What is no longer kept apart.
    pub fn further(&self) -> FurtherParts {
        let (parts, operators, ns) = self.further;
        FurtherParts { parts, share: self.share(ns), operators }
    }

    /// The operators and channels that its parts name.
    pub fn named(&self) -> (BTreeSet<OperatorId>, BTreeSet<ChannelId>) {
        let of_parts = self.parts.keys().flat_map(|part| part.operator.into_iter().chain(part.behind));
        let operators = of_parts.chain(self.operators.keys().copied()).chain(self.slack.keys().copied()).collect();
        (operators, self.parts.keys().filter_map(|part| part.channel).collect())
    }

    /// Number of epochs.
    pub fn epochs(&self) -> u64 {
        self.epochs
    }

    /// Mean latency in ns; 0 without any epoch.
    pub fn mean_ns(&self) -> f64 {
        self.latency_ns as f64 / (self.epochs as f64).max(1.0)
    }

    /// The latency that a share `quantile` (0 to 1) of the epochs does not exceed; `None` without
    /// any epoch.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        self.latency.quantile(quantile)
    }

    /// The parts of the latency, the largest first. The shares add up to 1 unless no epoch took any
    /// time.
    pub fn parts(&self) -> Vec<PartLatency> {
        let parts = self.parts.iter().map(|(&part, sum)| PartLatency {
            part,
            share: self.share(sum.ns),
            mean_ns: self.mean(sum.ns),
            p50_ns: sum.quantile(0.5, self.epochs),
            p99_ns: sum.quantile(0.99, self.epochs),
            epochs: sum.epochs,
        });
        let mut parts: Vec<PartLatency> = parts.collect();
        parts.sort_by(|a, b| b.mean_ns.total_cmp(&a.mean_ns).then(a.part.cmp(&b.part)));
        parts
    }

    /// The operators to which latency is attributed (see [`EpochPart::charged`]), the largest share
    /// first, and those whose slack is known. Time on channels and unknown time is attributed to none.
    pub fn operators(&self) -> Vec<OperatorLatency> {
        let of = |operator: OperatorId, queueing: bool| {
            let own = self.parts.iter().filter(|(part, _)| part.charged() == Some(operator));
            let own = own.filter(|(part, _)| (part.kind == EpochPieceKind::Queueing) == queueing);
            own.filter(|(part, _)| queueing || part.kind.is_work()).map(|(_, sum)| sum.ns).sum::<u128>()
        };
        let none = Sum::default();
        let known: BTreeSet<OperatorId> = self.operators.keys().chain(self.slack.keys()).copied().collect();
        let with_sum = known.into_iter().map(|operator| (operator, self.operators.get(&operator).unwrap_or(&none)));
        let operators = with_sum.map(|(operator, sum)| OperatorLatency {
            operator,
            share: self.share(sum.ns),
            mean_ns: self.mean(sum.ns),
            work_mean_ns: self.mean(of(operator, false)),
            queueing_mean_ns: self.mean(of(operator, true)),
            gain_mean_ns: self.mean(self.gains.0 + self.gains.1.get(&operator).copied().unwrap_or_default()),
            slack_mean_ns: self.slack.get(&operator).map(|(ns, known)| *ns as f64 / *known as f64),
            p50_ns: sum.quantile(0.5, self.epochs),
            p99_ns: sum.quantile(0.99, self.epochs),
        });
        let mut operators: Vec<OperatorLatency> = operators.collect();
        operators.sort_by(|a, b| b.mean_ns.total_cmp(&a.mean_ns).then(a.operator.cmp(&b.operator)));
        operators
    }

    fn share(&self, ns: u128) -> f64 {
        if self.latency_ns == 0 { 0.0 } else { ns as f64 / self.latency_ns as f64 }
    }

    fn mean(&self, ns: u128) -> f64 {
        ns as f64 / (self.epochs as f64).max(1.0)
    }
}

/// The keys of all but the `MOST_PARTS / 2` largest.
fn smaller<K: Copy + Ord, V>(of: &BTreeMap<K, V>, size: impl Fn(&V) -> u128) -> Vec<K> {
    let mut all: Vec<(Reverse<u128>, K)> = of.iter().map(|(&key, value)| (Reverse(size(value)), key)).collect();
    all.sort_unstable();
    all.into_iter().skip(MOST_PARTS / 2).map(|(_, key)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::critical_path::{EpochPath, Gains};
    use crate::id::InstanceId;
    use crate::time::{Epoch, Timestamp};

    #[test]
    fn of_ever_more_operators_the_largest_parts_stay_and_the_rest_is_told() {
        let (mut summary, epochs) = (EpochSummary::default(), 10 * MOST_PARTS as u32);
        for number in 0..epochs {
            let piece = |operator, start, end| EpochPiece {
                kind: EpochPieceKind::Processing,
                instance: Some(InstanceId::new(OperatorId(operator), 0)),
                behind: None,
                channel: None,
                start: Timestamp(start),
                end: Timestamp(end),
            };
            // Operator 0 is in all of them; that of epoch 77 takes long.
            let end = if number == 77 { 1_000_000 } else { 100 + u64::from(number % 10) };
            let pieces = vec![piece(0, 0, 50), piece(1 + number, 50, end)];
            let slack = vec![(OperatorId(1 + number), 3)];
            let path = EpochPath {
                epoch: Epoch(number.into()),
                due: Timestamp(0),
                completed: Timestamp(end),
                pieces,
                gains: Gains::default(),
                slack,
            };
            summary.add(&path);
            assert!(summary.parts.len() <= MOST_PARTS && summary.operators.len() <= MOST_PARTS && summary.slack.len() <= MOST_PARTS);
        }
        let (parts, operators, further) = (summary.parts(), summary.operators(), summary.further());
        assert_eq!(parts.iter().take(2).map(|part| part.part.operator.unwrap().0).collect::<Vec<_>>(), [0, 78]);
        assert_eq!(parts.len() as u64 + further.parts, u64::from(epochs) + 1);
        assert_eq!(operators.len() as u64 + further.operators, u64::from(epochs) + 1);
        let kept: f64 = parts.iter().map(|part| part.share).sum();
        assert!((kept + further.share - 1.0).abs() < 1e-9, "{kept} and {further:?}");
        assert_eq!(summary.named().0.len(), operators.len());
    }
}
