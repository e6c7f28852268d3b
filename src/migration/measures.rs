//! What is known of the bins that may move: how much they are used and how much they hold.

use std::collections::BTreeMap;

use crate::id::{BinId, OperatorId};

/// What was measured of one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BinMeasure {
    /// Records that arrived for it, over a time that is the same for all bins.
    pub load: f64,
    /// State it holds, in a unit that is the same for all bins: keys, or bytes where they are known.
    pub size: f64,
    /// Keys it holds; 0 if nobody counted.
    pub keys: u64,
}

/// Measures of the bins of a job, as far as there are any.
///
/// Bins that nobody measured count as equal to each other: they have no load, and hold as much as a measured bin on average.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measures {
    bins: BTreeMap<(OperatorId, BinId), BinMeasure>,
    mean_size: Option<f64>,
}

/// No bin is taken for smaller than this part of the mean: moving one costs something whatever it holds.
const SMALLEST_SIZE: f64 = 0.01;

impl Measures {
    /// Puts measures together; of two of one bin the later one counts.
    pub fn of(measures: impl IntoIterator<Item = (OperatorId, BinId, BinMeasure)>) -> Measures {
        let bins: BTreeMap<_, _> = measures.into_iter().map(|(operator, bin, measure)| ((operator, bin), measure)).collect();
        let sum: f64 = bins.values().map(|measure| measure.size).sum();
        let mean_size = (sum > 0.0).then(|| sum / bins.len() as f64);
        Measures { bins, mean_size }
    }

    /// What was measured of a bin, nothing if it was not.
    pub fn bin(&self, operator: OperatorId, bin: BinId) -> Option<BinMeasure> {
        self.bins.get(&(operator, bin)).copied()
    }

    /// Takes what was measured of a bin for the measure of the two bins from `first` on, a half for each, and of itself for none.
    pub fn halve(&mut self, operator: OperatorId, bin: BinId, first: BinId) {
        if let Some(whole) = self.bins.insert((operator, bin), BinMeasure::default()) {
            let half = BinMeasure { load: whole.load / 2.0, size: whole.size / 2.0, keys: whole.keys.div_ceil(2) };
            self.bins.extend([first.0, first.0 + 1].map(|bin| ((operator, BinId(bin)), half)));
        }
    }

    /// Load of a bin; 0 if it was not measured.
    pub fn load(&self, operator: OperatorId, bin: BinId) -> f64 {
        self.bins.get(&(operator, bin)).map_or(0.0, |measure| measure.load)
    }

    /// Loads of the first `bins` bins of an operator.
    pub fn loads(&self, operator: OperatorId, bins: usize) -> Vec<f64> {
        (0..bins as u32).map(|bin| self.load(operator, BinId(bin))).collect()
    }

    /// State of a bin, more than 0; the mean if it was not measured, and 1 if no state was.
    pub fn size(&self, operator: OperatorId, bin: BinId) -> f64 {
        let Some(mean) = self.mean_size else { return 1.0 };
        self.bins.get(&(operator, bin)).map_or(mean, |measure| measure.size.max(SMALLEST_SIZE * mean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_without_a_measure_count_as_equal() {
        let count = OperatorId(2);
        assert_eq!(Measures::default().size(count, BinId(0)), 1.0);
        let measures = [(0, 10.0, 300.0), (1, 0.0, 100.0), (2, 5.0, 0.0)];
        let measures = Measures::of(measures.map(|(bin, load, size)| (count, BinId(bin), BinMeasure { load, size, keys: 0 })));
        assert_eq!(measures.loads(count, 4), [10.0, 0.0, 5.0, 0.0]);
        let sizes = [0, 1, 2, 3].map(|bin| measures.size(count, BinId(bin)));
        assert_eq!(sizes[..2], [300.0, 100.0]);
        assert!(sizes[2] > 0.0 && (sizes[3] - 400.0 / 3.0).abs() < 1e-9, "{sizes:?}");
    }
}
