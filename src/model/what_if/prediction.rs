//! What is predicted of a configuration.

/// A predicted distribution of latency.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Latencies of records at the sink where they are the longest, in seconds, in no order; never empty.
    pub(super) latencies_s: Vec<f32>,
    /// Relative error to be expected: the logarithm of measured over predicted has about this standard deviation.
    pub error: f64,
    /// Mean seconds that the slowest records, one in a hundred, wait for an instance, by operator.
    pub waits_s: Vec<f64>,
}

impl Prediction {
    /// The latency that a part `quantile` (0 to 1) of the records does not exceed, in seconds.
    pub fn quantile_s(&self, quantile: f64) -> f64 {
        let index = (quantile.clamp(0.0, 1.0) * self.latencies_s.len() as f64) as usize;
        let mut sorted = self.latencies_s.clone();
        f64::from(*sorted.select_nth_unstable_by(index.min(self.latencies_s.len() - 1), f32::total_cmp).1)
    }

    /// Whether latencies are at most `factor` times as long as those of `other`: the median and what is slower.
    pub fn is_no_longer_than(&self, other: &Prediction, factor: f64) -> bool {
        [0.5, 0.75, 0.9, 0.99].iter().all(|&quantile| self.quantile_s(quantile) <= other.quantile_s(quantile) * factor)
    }

    /// Part of the records that take longer than `seconds`.
    pub fn beyond(&self, seconds: f64) -> f64 {
        let beyond = self.latencies_s.iter().filter(|latency| f64::from(**latency) > seconds).count();
        beyond as f64 / self.latencies_s.len() as f64
    }
}
