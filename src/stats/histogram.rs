//! Latencies in nanoseconds, weighted by records, with a relative error of at most one part in a
//! thousand.
//!
//! A thin wrapper around HdrHistogram that handles units and the empty case in one place.

use std::time::Duration;

use hdrhistogram::Histogram;

/// A histogram of latencies.
#[derive(Clone, Debug)]
pub struct LatencyHistogram {
    counts: Histogram<u64>,
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        LatencyHistogram { counts: Histogram::new(3).expect("three significant figures are supported") }
    }
}

impl LatencyHistogram {
    /// Adds `records` records that each took `latency`.
    pub fn record(&mut self, latency: Duration, records: u64) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX >> 1);
        // A resizing histogram accepts every value in this range.
        self.counts.record_n(nanoseconds, records).expect("the histogram resizes itself");
    }

    /// Adds everything in `other`.
    pub fn merge(&mut self, other: &LatencyHistogram) {
        self.counts.add(&other.counts).expect("the histogram resizes itself");
    }

    /// Number of records.
    pub fn records(&self) -> u64 {
        self.counts.len()
    }

    /// For each of `bounds`, how many records took no longer.
    pub fn cumulative(&self, bounds: &[Duration]) -> Vec<u64> {
        let nanoseconds = |bound: &Duration| u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        let mut counts = vec![0; bounds.len()];
        for value in self.counts.iter_recorded() {
            let first = bounds.partition_point(|bound| nanoseconds(bound) < value.value_iterated_to());
            if let Some(count) = counts.get_mut(first) {
                *count += value.count_at_value();
            }
        }
        let mut sum = 0;
        counts.iter_mut().for_each(|count| {
            sum += *count;
            *count = sum;
        });
        counts
    }

    /// The latencies of all records together.
    pub fn sum(&self) -> Duration {
        Duration::from_secs_f64((self.counts.mean() * self.counts.len() as f64 / 1e9).max(0.0))
    }

    /// The latency that a share `quantile` (0 to 1) of the records does not exceed; `None` if
    /// empty.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        (!self.counts.is_empty()).then(|| Duration::from_nanos(self.counts.value_at_quantile(quantile)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_weighted_by_records() {
        let mut histogram = LatencyHistogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        histogram.record(Duration::from_millis(1), 90);
        histogram.record(Duration::from_millis(100), 10);
        let near = |quantile: f64, milliseconds: f64| {
            let found = histogram.quantile(quantile).unwrap().as_secs_f64() * 1e3;
            assert!((found / milliseconds - 1.0).abs() < 2e-3, "{quantile}: {found} ms");
        };
        near(0.5, 1.0);
        near(0.9, 1.0);
        near(0.95, 100.0);
        assert_eq!(histogram.records(), 100);
        assert_eq!(histogram.cumulative(&[0, 2, 50, 200].map(Duration::from_millis)), [0, 90, 90, 100]);
        assert!((histogram.sum().as_secs_f64() - 1.09).abs() < 2e-3, "{:?}", histogram.sum());
        assert_eq!(LatencyHistogram::default().cumulative(&[Duration::ZERO]), [0]);
        assert_eq!(LatencyHistogram::default().sum(), Duration::ZERO);
    }
}
