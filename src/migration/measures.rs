//! Measured load and state size of bins.

use std::collections::BTreeMap;

use crate::id::{BinId, OperatorId};

/// Measurements of one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BinMeasure {
    /// Records that arrived for it, over the same time for all bins.
    pub load: f64,
    /// Size of its state, in the same unit for all bins: bytes where known, otherwise keys.
    pub size: f64,
    /// Number of its keys; 0 if unknown.
    pub keys: u64,
}

/// Measurements of the bins of a job, as far as there are any.
///
/// Bins without a measurement count as equal: they have no load and the mean size of the measured
/// bins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measures {
    bins: BTreeMap<(OperatorId, BinId), BinMeasure>,
    mean_size: Option<f64>,
}

/// No bin counts as smaller than this share of the mean: migrating one has a fixed cost.
const SMALLEST_SIZE: f64 = 0.01;

impl Measures {
    /// Collects measurements; a later one for the same bin replaces an earlier one.
    pub fn of(measures: impl IntoIterator<Item = (OperatorId, BinId, BinMeasure)>) -> Measures {
        let bins: BTreeMap<_, _> = measures.into_iter().map(|(operator, bin, measure)| ((operator, bin), measure)).collect();
        let sum: f64 = bins.values().map(|measure| measure.size).sum();
        let mean_size = (sum > 0.0).then(|| sum / bins.len() as f64);
        Measures { bins, mean_size }
    }

    /// The measurement of a bin, if there is one.
    pub fn bin(&self, operator: OperatorId, bin: BinId) -> Option<BinMeasure> {
        self.bins.get(&(operator, bin)).copied()
    }

    /// Distributes the measurement of a split bin evenly to its two halves, the first of which is
    /// `first`.
    pub fn halve(&mut self, operator: OperatorId, bin: BinId, first: BinId) {
        if let Some(whole) = self.bins.insert((operator, bin), BinMeasure::default()) {
            let half = BinMeasure { load: whole.load / 2.0, size: whole.size / 2.0, keys: whole.keys.div_ceil(2) };
            self.bins.extend([first.0, first.0 + 1].map(|bin| ((operator, BinId(bin)), half)));
        }
    }

    /// Load of a bin; 0 if not measured.
    pub fn load(&self, operator: OperatorId, bin: BinId) -> f64 {
        self.bins.get(&(operator, bin)).map_or(0.0, |measure| measure.load)
    }

    /// Loads of the first `bins` bins of an operator.
    pub fn loads(&self, operator: OperatorId, bins: usize) -> Vec<f64> {
        (0..bins as u32).map(|bin| self.load(operator, BinId(bin))).collect()
    }

    /// State size of a bin, more than 0; the mean if not measured, and 1 if no state was measured.
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
