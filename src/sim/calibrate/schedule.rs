//! Reconstructs the phases of a source's schedule from samples of it.
//!
//! Between two samples the rate is the slope of the number of records due. Where it changes, the
//! lines before and after the change intersect at the time of the change, so a change between two
//! samples is found exactly.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::rate::Rate;
use crate::time::Timestamp;
use crate::workload::Phase;

/// Rates that differ by less, as a part of the larger, are the same.
const SAME: f64 = 1e-3;

/// Upper limit of rates, whatever a log contains.
const MOST: f64 = 1e15;

/// Samples of a source, by partition.
#[derive(Debug, Default)]
pub(super) struct ScheduleSamples {
    partitions: BTreeMap<u32, Vec<(f64, f64)>>,
}

/// A line through what was due at two times.
#[derive(Clone, Copy)]
struct Piece {
    from: (f64, f64),
    to: (f64, f64),
    /// Gaps between looks that it spans.
    gaps: u32,
}

impl Piece {
    fn rate(&self) -> f64 {
        ((self.to.1 - self.from.1) / (self.to.0 - self.from.0)).clamp(0.0, MOST)
    }
}

impl ScheduleSamples {
    pub(super) fn sample(&mut self, partition: u32, at: Timestamp, due: f64) {
        self.partitions.entry(partition).or_default().push((at.as_secs_f64(), due));
    }

    /// What was due at all partitions together, whenever each of them was looked at: they take their
    /// samples at the same instants.
    fn all(self) -> Vec<(f64, f64)> {
        let (count, mut partitions) = (self.partitions.len(), self.partitions.into_values());
        if count <= 1 {
            return partitions.next().unwrap_or_default();
        }
        let mut all: BTreeMap<u64, (usize, f64)> = BTreeMap::new();
        for mut partition in partitions {
            partition.dedup_by_key(|(at, _)| *at);
            for (at, due) in partition {
                // Times are not negative, so their bits are in their order.
                let sum = all.entry(at.to_bits()).or_default();
                *sum = (sum.0 + 1, sum.1 + due);
            }
        }
        all.into_iter().filter(|(_, (seen, _))| *seen == count).map(|(at, (_, due))| (f64::from_bits(at), due)).collect()
    }

    /// The phases, and the number of samples behind them.
    pub(super) fn finish(self, until: Timestamp) -> (Vec<Phase>, u64) {
        let until = until.as_secs_f64();
        let mut samples = self.all();
        samples.retain(|(at, due)| *at > 0.0 && *at <= until && due.is_finite());
        samples.sort_by(|one, other| one.0.total_cmp(&other.0));
        let looks = samples.len() as u64;
        let mut pieces: Vec<Piece> = Vec::new();
        let mut before = (0.0, 0.0);
        for sample in samples {
            if sample.0 <= before.0 {
                continue;
            }
            let gap = Piece { from: before, to: sample, gaps: 1 };
            match pieces.last_mut() {
                Some(last) if same(last.rate(), gap.rate()) => (last.to, last.gaps) = (sample, last.gaps + 1),
                _ => pieces.push(gap),
            }
            before = sample;
        }
        let phase = |(start, rate): (f64, f64)| Phase { start: Duration::from_secs_f64(start), rate: Rate::per_second(rate) };
        (without_edges(&pieces).into_iter().map(phase).collect(), looks)
    }
}

fn same(one: f64, other: f64) -> bool {
    (one - other).abs() <= SAME * one.max(other)
}

/// Starts and rates of the pieces; a gap in which the rate changed belongs to the two pieces around
/// it.
fn without_edges(pieces: &[Piece]) -> Vec<(f64, f64)> {
    let mut phases: Vec<(f64, f64)> = Vec::new();
    let mut start = 0.0;
    let mut index = 0;
    while index < pieces.len() {
        let piece = &pieces[index];
        let around = index.checked_sub(1).and_then(|before| Some((pieces.get(before)?, pieces.get(index + 1)?)));
        if let (1, Some((before, after))) = (piece.gaps, around) {
            let (from, to) = (before.rate(), after.rate());
            let met = (piece.to.1 - piece.from.1 - to * piece.to.0 + from * piece.from.0) / (from - to);
            if before.gaps > 1 && after.gaps > 1 && !same(from, to) && met > piece.from.0 && met <= piece.to.0 {
                phases.push((met, to));
                start = after.to.0;
                index += 2;
                continue;
            }
        }
        phases.push((start, piece.rate()));
        start = piece.to.0;
        index += 1;
    }
    phases
}
