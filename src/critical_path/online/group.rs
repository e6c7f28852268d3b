//! Paths of several epochs, summed by kind and operator.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::critical_path::epoch::{EpochPart, EpochPath};
use crate::id::OperatorId;

/// The most pieces of a group: the largest.
const MOST_PIECES: usize = 64;

/// The mean breakdown of the latency of several epochs, weighted by their records.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PathGroup {
    /// Number of epochs.
    pub epochs: u64,
    /// Number of their records.
    pub records: u64,
    /// Mean latency in ns.
    pub latency_ns: f64,
    /// Its pieces, the largest first; they add up to it, except for pieces beyond the 64 largest.
    pub pieces: Vec<PathPiece>,
    /// By operator, the upper bound on what an epoch could have gained from a faster operator, in
    /// ns; see [`Gains`](crate::critical_path::Gains).
    pub gains_ns: Vec<(OperatorId, f64)>,
    /// By operator, how much later its output could have been; without those of which that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slack: Vec<OperatorSlack>,
}

/// How much later an operator's output could have been without delaying an epoch of a group, each
/// considered separately.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorSlack {
    /// The operator.
    pub operator: OperatorId,
    /// Mean over the epochs for which it is known, in ns.
    pub mean_ns: f64,
    /// Minimum over these epochs, in ns: 0 if it was critical in any.
    pub least_ns: u64,
    /// Number of these epochs.
    pub epochs: u64,
}

/// A piece of the mean latency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathPiece {
    /// What the time was spent on, at which operator, behind which one, on which channel.
    pub part: EpochPart,
    /// Mean over the group's epochs, in ns.
    pub mean_ns: f64,
    /// Share of the latency, 0 to 1.
    pub share: f64,
    /// Number of epochs with this piece.
    pub epochs: u64,
    /// The instance with most of it, if it belongs to instances, and its share of the piece, 0 to
    /// 1.
    pub worst: Option<(u32, f64)>,
}

/// Sums of a piece, weighted by records.
#[derive(Clone, Debug, Default)]
struct Sum {
    ns: f64,
    epochs: u64,
    last: Option<usize>,
    instances: BTreeMap<u32, f64>,
}

impl PathGroup {
    /// The group of `paths`, each with its number of records.
    pub fn of(paths: &[(EpochPath, u64)]) -> PathGroup {
        let records: u64 = paths.iter().map(|(_, records)| records).sum();
        let mut sums: BTreeMap<EpochPart, Sum> = BTreeMap::new();
        let mut gains: BTreeMap<OperatorId, f64> = BTreeMap::new();
        let mut latency = 0.0;
        for (index, (path, records)) in paths.iter().enumerate() {
            let weight = *records as f64;
            latency += weight * path.latency().as_nanos() as f64;
            for piece in &path.pieces {
                let sum = sums.entry(EpochPart::of(piece)).or_default();
                let ns = weight * piece.length().as_nanos() as f64;
                sum.ns += ns;
                sum.epochs += u64::from(sum.last.replace(index) != Some(index));
                if let Some(instance) = piece.behind.map(|behind| behind.instance).or(piece.instance) {
                    *sum.instances.entry(instance.index).or_default() += ns;
                }
            }
            for (operator, bound) in &path.gains.operators {
                *gains.entry(*operator).or_default() += weight * *bound as f64;
            }
        }
        let all = (records as f64).max(1.0);
        let piece = |(part, sum): (EpochPart, Sum)| {
            let worst = sum.instances.iter().reduce(|a, b| if b.1 > a.1 { b } else { a });
            let worst = worst.filter(|_| sum.ns > 0.0).map(|(&index, ns)| (index, ns / sum.ns));
            PathPiece { part, mean_ns: sum.ns / all, share: if latency > 0.0 { sum.ns / latency } else { 0.0 }, epochs: sum.epochs, worst }
        };
        let mut pieces: Vec<PathPiece> = sums.into_iter().map(piece).collect();
        pieces.sort_by(|a, b| b.mean_ns.total_cmp(&a.mean_ns).then(a.part.cmp(&b.part)));
        pieces.truncate(MOST_PIECES);
        let gains_ns = gains.into_iter().map(|(operator, ns)| (operator, ns / all)).collect();
        PathGroup { epochs: paths.len() as u64, records, latency_ns: latency / all, pieces, gains_ns, slack: slack(paths) }
    }

    /// Mean time of the pieces for which `holds`, in ns.
    pub fn mean_ns(&self, holds: impl Fn(&PathPiece) -> bool) -> f64 {
        self.pieces.iter().filter(|piece| holds(piece)).map(|piece| piece.mean_ns).sum()
    }

    /// Share of the latency in pieces for which `holds`, 0 to 1.
    pub fn share(&self, holds: impl Fn(&PathPiece) -> bool) -> f64 {
        self.pieces.iter().filter(|piece| holds(piece)).map(|piece| piece.share).sum()
    }
}

fn slack(paths: &[(EpochPath, u64)]) -> Vec<OperatorSlack> {
    let mut sums: BTreeMap<OperatorId, (OperatorSlack, f64)> = BTreeMap::new();
    for (path, records) in paths {
        for &(operator, ns) in &path.slack {
            let none = OperatorSlack { operator, mean_ns: 0.0, least_ns: u64::MAX, epochs: 0 };
            let (sum, weight) = sums.entry(operator).or_insert((none, 0.0));
            sum.mean_ns += ns as f64 * *records as f64;
            sum.least_ns = sum.least_ns.min(ns);
            sum.epochs += 1;
            *weight += *records as f64;
        }
    }
    let mean = |(sum, weight): (OperatorSlack, f64)| OperatorSlack { mean_ns: sum.mean_ns / weight.max(1.0), ..sum };
    sums.into_values().map(mean).collect()
}
