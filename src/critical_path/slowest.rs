//! The slowest of many epochs, with their paths.
//!
//! Invariant: memory is bounded: at most so many epochs and pieces of paths are kept, the slowest; how
//! many were meant is known.

use std::collections::{BTreeMap, BTreeSet};

use super::epoch::{EpochPath, EpochPiece, EpochSummary};
use crate::id::{ChannelId, OperatorId};

/// The most epochs that are kept, and pieces of their paths.
const MOST_EPOCHS: usize = 10_000;
const MOST_PIECES: usize = 1_000_000;

/// The slowest epochs so far.
#[derive(Clone, Debug, Default)]
pub struct Slowest {
    epochs: u64,
    pieces: usize,
    /// By latency, then in the order in which they came.
    kept: BTreeMap<(u64, u64), EpochPath>,
}

/// The epochs slower than most.
#[derive(Clone, Debug)]
pub struct SlowEpochs {
    /// Their sum.
    pub summary: EpochSummary,
    /// The latency of the fastest of them, in ns.
    pub from_ns: u64,
    /// How many there are, more than in the sum if not all were kept.
    pub meant: u64,
}

impl Slowest {
    /// Adds an epoch.
    pub fn add(&mut self, path: &EpochPath) {
        let key = (u64::try_from(path.latency().as_nanos()).unwrap_or(u64::MAX), self.epochs);
        self.epochs += 1;
        let is_full = |slowest: &Slowest| slowest.kept.len() > MOST_EPOCHS || slowest.pieces > MOST_PIECES;
        if self.kept.len() == MOST_EPOCHS && self.kept.first_key_value().is_some_and(|(least, _)| *least > key) {
            return;
        }
        self.pieces += path.pieces.len();
        self.kept.insert(key, path.clone());
        while is_full(self) && self.kept.len() > 1 {
            let fastest = self.kept.pop_first();
            self.pieces -= fastest.map_or(0, |(_, path)| path.pieces.len());
        }
    }

    /// The operators and channels on their paths.
    pub fn named(&self) -> (BTreeSet<OperatorId>, BTreeSet<ChannelId>) {
        let pieces = || self.kept.values().flat_map(|path| &path.pieces);
        let of = |piece: &EpochPiece| piece.instance.into_iter().chain(piece.behind.map(|behind| behind.instance));
        (pieces().flat_map(of).map(|instance| instance.operator).collect(), pieces().filter_map(|piece| piece.channel).collect())
    }

    /// Those above `quantile` (0 to 1) of all, at least one; `None` without any epoch.
    pub fn above(&self, quantile: f64) -> Option<SlowEpochs> {
        let meant = (((1.0 - quantile) * self.epochs as f64).round() as u64).max(1);
        let mut slow = SlowEpochs { summary: EpochSummary::default(), from_ns: self.kept.last_key_value()?.0.0, meant };
        for (&(ns, _), path) in self.kept.iter().rev().take(usize::try_from(meant).unwrap_or(usize::MAX)) {
            slow.summary.add(path);
            slow.from_ns = ns;
        }
        Some(slow)
    }
}

#[cfg(test)]
mod tests {
    use super::super::epoch::Gains;
    use super::*;
    use crate::time::{Epoch, Timestamp};

    fn epoch(number: u64, ns: u64) -> EpochPath {
        let (due, completed) = (Timestamp(number), Timestamp(number + ns));
        EpochPath { epoch: Epoch(number), due, completed, pieces: Vec::new(), gains: Gains::default(), slack: Vec::new() }
    }

    #[test]
    fn the_slowest_are_those_above_a_quantile_and_bounded() {
        let mut slowest = Slowest::default();
        assert!(slowest.above(0.99).is_none());
        slowest.add(&epoch(0, 5));
        assert_eq!(slowest.above(0.99).map(|slow| (slow.meant, slow.from_ns, slow.summary.epochs())), Some((1, 5, 1)));
        // 1 to 1000 in some order.
        let mut slowest = Slowest::default();
        (0..1000).for_each(|number| slowest.add(&epoch(number, 1 + number * 7 % 1000)));
        let slow = slowest.above(0.99).unwrap();
        assert_eq!((slow.meant, slow.from_ns, slow.summary.mean_ns()), (10, 991, 995.5));
        let mut slowest = Slowest::default();
        (0..50_000).for_each(|number| slowest.add(&epoch(number, number)));
        let slow = slowest.above(0.5).unwrap();
        assert_eq!((slow.meant, slow.summary.epochs(), slow.from_ns), (25_000, 10_000, 40_000));
    }
}
