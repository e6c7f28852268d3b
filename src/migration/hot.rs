//! Hot bins: bins with more load than one instance can carry, which no migration helps. They are
//! split, unless a single key makes them hot.

use serde::{Deserialize, Serialize};

use super::{Assignment, Measures};
use crate::id::{BinId, OperatorId};

/// A hot bin is split into parts of which an instance carries at least this many: larger parts
/// could not be balanced, since some instances would have two of them and others one.
pub const PARTS_AN_INSTANCE: u32 = 4;

/// A bin with more load than an instance's fair share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HotBin {
    /// The bin.
    pub bin: BinId,
    /// Its load, in the unit it was given in.
    pub load: f64,
    /// Its load relative to an instance's fair share; more than 1.
    pub share: f64,
}

/// The bins that each exceed `carries`, the load of one instance (its capacity or the mean load),
/// the hottest first.
///
/// ```
/// use thalweg::migration::hot_bins;
///
/// let hot = hot_bins(&[3.0, 25.0, 1.0], 10.0);
/// assert_eq!((hot.len(), hot[0].bin.0, hot[0].share), (1, 1, 2.5));
/// ```
///
/// # Panics
/// If `carries` is not positive.
pub fn hot_bins(loads: &[f64], carries: f64) -> Vec<HotBin> {
    assert!(carries > 0.0, "an instance carries something, not {carries}");
    let bins = (0..).map(BinId).zip(loads).filter(|(_, load)| **load > carries);
    let mut hot: Vec<HotBin> = bins.map(|(bin, &load)| HotBin { bin, load, share: load / carries }).collect();
    hot.sort_by(|a, b| b.load.total_cmp(&a.load).then(a.bin.cmp(&b.bin)));
    hot
}

/// Splits the hot bins of an operator that is to have `instances` instances, as far as their keys
/// allow, into parts of which one instance carries [`PARTS_AN_INSTANCE`] if the load of their keys
/// is even. Returns the bins to split, in order, and the hot bins with a single key; `assignment`
/// and `measures` then contain the parts.
///
/// # Panics
/// If there is no instance.
pub fn split_hot(
    operator: OperatorId,
    assignment: &mut Assignment,
    measures: &mut Measures,
    instances: u32,
) -> (Vec<(OperatorId, BinId)>, Vec<HotBin>) {
    assert!(instances > 0, "bins need an owner");
    let (mut splits, mut single) = (Vec::new(), Vec::new());
    let loads = measures.loads(operator, assignment.owners().len());
    let carries = loads.iter().sum::<f64>() / f64::from(instances);
    if carries <= 0.0 {
        return (splits, single);
    }
    for hot in hot_bins(&loads, carries) {
        match measures.bin(operator, hot.bin).map_or(0, |measure| measure.keys) {
            // Without a count of keys the effect of a split is unknown.
            0 => continue,
            1 => {
                single.push(hot);
                continue;
            }
            _ => {}
        }
        let mut parts = vec![hot.bin];
        // Breadth first: halve until the parts are small enough, but not into more parts than there
        // are keys.
        let small = carries / f64::from(PARTS_AN_INSTANCE);
        while measures.load(operator, parts[0]) > small && measures.bin(operator, parts[0]).is_some_and(|part| part.keys > 1) {
            for bin in std::mem::take(&mut parts) {
                let first = assignment.split(bin);
                measures.halve(operator, bin, first);
                splits.push((operator, bin));
                parts.extend([first, BinId(first.0 + 1)]);
            }
        }
    }
    (splits, single)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::BinMeasure;

    #[test]
    fn hot_bins_are_split_until_an_instance_carries_a_part_and_never_within_a_key() {
        let (count, mut assignment) = (OperatorId(2), Assignment::even(4, 2));
        let measured = [(0, 60.0, 1000), (1, 30.0, 1), (2, 5.0, 9), (3, 5.0, 9)];
        let measure = |(bin, load, keys)| (count, BinId(bin), BinMeasure { load, size: 16.0 * keys as f64, keys });
        let mut measures = Measures::of(measured.map(measure));
        // Of two instances one is to carry 50: the first bin makes 8 parts of 7.5, of which it
        // carries more than four.
        let (splits, single) = split_hot(count, &mut assignment, &mut measures, 2);
        assert_eq!(splits.iter().map(|(_, bin)| bin.0).collect::<Vec<_>>(), [0, 4, 5, 6, 7, 8, 9]);
        assert_eq!(single, []);
        let parts = [[0.0, 30.0, 5.0, 5.0].as_slice(), &[0.0; 6], &[7.5; 8]].concat();
        assert_eq!(measures.loads(count, 18), parts);
        assert_eq!(assignment.owners(), [[0, 1, 0, 1].as_slice(), &[0; 14]].concat());
        assert_eq!(split_hot(count, &mut assignment, &mut measures, 2).0, []);
        // Of five one is to carry 20: the second is one key.
        let (splits, single) = split_hot(count, &mut assignment, &mut measures, 5);
        assert_eq!((splits, single.iter().map(|hot| hot.bin.0).collect::<Vec<_>>()), (vec![], vec![1]));
    }

    #[test]
    fn the_hottest_comes_first_and_what_an_instance_just_carries_is_not_hot() {
        let hot: Vec<u32> = hot_bins(&[10.0, 11.0, 30.0, 11.0], 10.0).iter().map(|hot| hot.bin.0).collect();
        assert_eq!(hot, [2, 1, 3]);
    }
}
