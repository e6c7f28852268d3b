//! Measures how unevenly an operator's arrivals are divided among its instances.
//!
//! All arrivals are counted, in pieces of so many records that a window has a few dozen, for a few
//! instances. Pieces of earlier windows are kept beside the new ones: where an instance receives a
//! few records per window, one window does not tell whether it receives them in turn or at random.

use std::time::Duration;

use crate::time::Timestamp;

/// Number of instances whose parts of arrivals are tracked individually.
const FOLLOWED: usize = 4;
/// The fewest records in a piece.
const LEAST_PER_PIECE: u64 = 16;
/// The most pieces; then each two become one.
const MOST_PIECES: usize = 128;
/// Pieces that are kept from one window to the next.
const KEPT_PIECES: usize = 64;
/// With fewer new pieces in a window the next ones are half as large.
const FEW_PIECES: usize = 8;
/// Minimum number of records per block of pieces for an estimate of its variation.
const LEAST_IN_BLOCK: f64 = 4.0;
/// Minimum number of blocks for an estimate.
const LEAST_BLOCKS: usize = 8;

/// Records of consecutive arrivals: all, and those of the followed instances.
#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    all: u64,
    parts: [u64; FOLLOWED],
}

impl Piece {
    fn and(self, other: Piece) -> Piece {
        Piece { all: self.all + other.all, parts: std::array::from_fn(|index| self.parts[index] + other.parts[index]) }
    }
}

/// The division of one operator's arrivals.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    /// Records in a piece, at least.
    per_piece: u64,
    /// The oldest first.
    pieces: Vec<Piece>,
    /// How many of them are of the open window.
    new: usize,
    open: Piece,
    /// When the last arrival began.
    last_at: Option<Timestamp>,
}

impl Default for Shares {
    fn default() -> Shares {
        Shares { per_piece: LEAST_PER_PIECE, pieces: Vec::new(), new: 0, open: Piece::default(), last_at: None }
    }
}

impl Shares {
    /// Counts records that arrived at an instance. What arrives within `grain` belongs together.
    pub(super) fn arrived(&mut self, at: Timestamp, grain: Duration, records: u64, index: u32) {
        // An arrival's parts are not separated.
        if self.last_at.is_none_or(|last| at.since(last) >= grain) {
            self.last_at = Some(at);
            if self.open.all >= self.per_piece {
                self.close_piece();
            }
        }
        self.open.all += records;
        if let Some(part) = self.open.parts.get_mut(index as usize) {
            *part += records;
        }
    }

    fn close_piece(&mut self) {
        if self.pieces.len() >= MOST_PIECES {
            self.pieces = self.pieces.chunks(2).map(|pair| pair.iter().copied().fold(Piece::default(), Piece::and)).collect();
            (self.per_piece, self.new) = (self.per_piece * 2, self.new / 2);
        }
        self.pieces.push(std::mem::take(&mut self.open));
        self.new += 1;
    }

    /// Closes the window; see [`OperatorTraffic::dispersion`](super::OperatorTraffic::dispersion).
    pub(super) fn close(&mut self) -> Option<f64> {
        let dispersions: Vec<f64> = (0..FOLLOWED).filter_map(|index| dispersion(&self.pieces, index)).collect();
        if self.new < FEW_PIECES {
            self.per_piece = (self.per_piece / 2).max(LEAST_PER_PIECE);
        }
        self.new = 0;
        self.pieces.drain(..self.pieces.len().saturating_sub(KEPT_PIECES));
        (!dispersions.is_empty()).then(|| dispersions.iter().sum::<f64>() / dispersions.len() as f64)
    }
}

/// The variance of an instance's part beyond its mean share of the arrivals, relative to a random
/// choice of instance for each record; `None` if there are too few records.
fn dispersion(pieces: &[Piece], index: usize) -> Option<f64> {
    let sums = |pieces: &[Piece]| {
        let sum = pieces.iter().copied().fold(Piece::default(), Piece::and);
        (sum.all as f64, sum.parts[index] as f64)
    };
    let (all, own) = sums(pieces);
    let share = own / all.max(1.0);
    if own <= 0.0 || share >= 0.99 {
        return None;
    }
    let block = ((LEAST_IN_BLOCK * pieces.len() as f64 / own).ceil() as usize).max(1);
    let blocks = pieces.len() / block;
    if blocks < LEAST_BLOCKS {
        return None;
    }
    let (mut squares, mut mean) = (0.0, 0.0);
    for block in pieces.chunks_exact(block) {
        let (all, own) = sums(block);
        squares += (own - share * all).powi(2);
        mean += all;
    }
    // The share itself was found from the same blocks.
    let random = share * (1.0 - share) * mean * (1.0 - 1.0 / blocks as f64);
    (random > 0.0).then(|| squares / random)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAIN: Duration = Duration::from_micros(500);

    /// What each of `windows` windows tells of `records` records, which arrive four at a time at
    /// the instances that `choose` names.
    fn told(windows: usize, records: u64, mut choose: impl FnMut(u64) -> u32) -> Vec<Option<f64>> {
        let (mut shares, mut number) = (Shares::default(), 0);
        let window = |_| {
            for _ in 0..records {
                shares.arrived(Timestamp(number / 4 * 10_000_000), GRAIN, 1, choose(number));
                number += 1;
            }
            shares.close()
        };
        (0..windows).map(window).collect()
    }

    #[test]
    fn in_turn_and_at_random_differ_however_few_records_a_window_has() {
        for (windows, records) in [(30, 100), (5, 10_000)] {
            let in_turn = told(windows, records, |number| (number % 12) as u32);
            let mut random = fastrand::Rng::with_seed(3);
            let at_random = told(windows, records, |_| random.u32(..12));
            let (in_turn, at_random) = (in_turn[windows - 1].unwrap(), at_random[windows - 1].unwrap());
            assert!(in_turn < 0.1 && (0.7..1.4).contains(&at_random), "{records}: {in_turn} {at_random}");
        }
    }

    #[test]
    fn few_records_tell_nothing_until_there_are_enough() {
        let told = told(30, 100, |number| (number % 12) as u32);
        assert!(told[0].is_none() && told[29].is_some(), "{told:?}");
    }

    #[test]
    fn pieces_are_bounded_and_follow_the_rate() {
        let mut shares = Shares::default();
        let mut at = 0;
        let mut window = |shares: &mut Shares, records: u64| {
            for number in 0..records {
                at += 1_000_000;
                shares.arrived(Timestamp(at), GRAIN, 1, (number % 3) as u32);
                assert!(shares.pieces.len() <= MOST_PIECES);
            }
            shares.close();
            shares.per_piece
        };
        let large = (0..5).map(|_| window(&mut shares, 50_000)).last().unwrap();
        let settled = window(&mut shares, 50_000);
        assert!(large == settled && large > LEAST_PER_PIECE, "{large} {settled}");
        let small = (0..20).map(|_| window(&mut shares, 200)).last().unwrap();
        assert_eq!(small, LEAST_PER_PIECE);
    }
}
