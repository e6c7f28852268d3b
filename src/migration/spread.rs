//! Orders moves so that any section of the order has the mix of the whole.

use std::collections::BTreeMap;

use super::BinMove;

/// Orders `moves` so that in any section each pair of a sending and a receiving instance has the
/// same share, by `size`, as it has of all moves.
///
/// Records of bins in flight wait until their step has arrived. A step cut from this order keeps as
/// many instances busy as the plan allows, and its cost is proportional to its size throughout: no
/// pair is left over for the end.
pub(super) fn spread(moves: Vec<BinMove>, size: impl Fn(&BinMove) -> f64) -> Vec<BinMove> {
    let pair = |one: &BinMove| (one.operator, one.from, one.to);
    let mut totals: BTreeMap<_, f64> = BTreeMap::new();
    for one in &moves {
        *totals.entry(pair(one)).or_default() += size(one);
    }
    // A move is placed at the middle of its span along its own pair's moves, with all pairs scaled
    // to the same length.
    let mut filled: BTreeMap<_, f64> = BTreeMap::new();
    let mut placed: Vec<(f64, BinMove)> = Vec::with_capacity(moves.len());
    for one in moves {
        let (size, total) = (size(&one), totals[&pair(&one)]);
        let before = filled.entry(pair(&one)).or_default();
        placed.push(((*before + size / 2.0) / total, one));
        *before += size;
    }
    placed.sort_by(|(a, x), (b, y)| a.total_cmp(b).then((x.operator, x.bin).cmp(&(y.operator, y.bin))));
    placed.into_iter().map(|(_, one)| one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BinId, OperatorId};

    #[test]
    fn every_stretch_has_the_mix_of_the_whole() {
        // Two thirds of the bins go from 0 to 2, a third from 1 to 3.
        let moves = (0..300).map(|bin| {
            let (from, to) = if bin < 200 { (0, 2) } else { (1, 3) };
            BinMove { operator: OperatorId(1), bin: BinId(bin), from, to }
        });
        let spread = spread(moves.collect(), |_| 1.0);
        for stretch in spread.chunks(30) {
            let first = stretch.iter().filter(|one| one.from == 0).count();
            assert!((19..=21).contains(&first), "{first} of 30");
        }
    }
}
