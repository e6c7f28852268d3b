//! Latencies in nanoseconds, weighted by records, with a relative error of at most one part in a
//! thousand.
//!
//! A window of a simulated job has a handful of different latencies, so these are kept as a list.
//! Only where there are more does an HdrHistogram take over, whose array of counts is cleared and
//! walked as a whole. Both round values in the same way and give the same quantiles.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The most different values that are kept as a list.
const MOST_LISTED: usize = 64;
/// Binary digits that are kept of a value: three significant figures, as an HdrHistogram counts
/// them.
const DIGITS: u32 = 11;

/// A histogram of latencies.
#[derive(Clone, Debug)]
pub struct LatencyHistogram {
    counts: Counts,
    records: u64,
}

#[derive(Clone, Debug)]
enum Counts {
    /// Numbers of records by value, rounded down, in order.
    Listed(Vec<(u64, u64)>),
    All(Box<Histogram<u64>>),
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        LatencyHistogram { counts: Counts::Listed(Vec::new()), records: 0 }
    }
}

/// Number of values that are rounded to the same as `value`.
fn width(value: u64) -> u64 {
    let digits = u64::BITS - value.leading_zeros();
    1 << digits.saturating_sub(DIGITS)
}

/// The highest of the values that are rounded to `lowest`.
fn highest(lowest: u64) -> u64 {
    lowest + (width(lowest) - 1)
}

impl LatencyHistogram {
    /// Adds `records` records that each took `latency`.
    pub fn record(&mut self, latency: Duration, records: u64) {
        self.add(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX >> 1), records);
    }

    fn add(&mut self, value: u64, records: u64) {
        if records == 0 {
            return;
        }
        self.records = self.records.saturating_add(records);
        match &mut self.counts {
            // A resizing histogram accepts every value in this range.
            Counts::All(counts) => counts.record_n(value, records).expect("the histogram resizes itself"),
            Counts::Listed(counts) => {
                let lowest = value & !(width(value) - 1);
                match counts.binary_search_by_key(&lowest, |(lowest, _)| *lowest) {
                    Ok(at) => counts[at].1 = counts[at].1.saturating_add(records),
                    Err(at) => counts.insert(at, (lowest, records)),
                }
                if counts.len() > MOST_LISTED {
                    let mut all = Histogram::new(3).expect("three significant figures are supported");
                    // The longest first, so that the array grows once.
                    for &(value, records) in counts.iter().rev() {
                        all.record_n(value, records).expect("the histogram resizes itself");
                    }
                    self.counts = Counts::All(Box::new(all));
                }
            }
        }
    }

    /// Adds everything in `other`.
    pub fn merge(&mut self, other: &LatencyHistogram) {
        match (&mut self.counts, &other.counts) {
            (Counts::All(counts), Counts::All(others)) => {
                counts.add(&**others).expect("the histogram resizes itself");
                self.records = self.records.saturating_add(other.records);
            }
            _ => other.each(|lowest, records| self.add(lowest, records)),
        }
    }

    /// Calls `with` for each value that was recorded, rounded down, and its number of records, in
    /// order.
    fn each(&self, mut with: impl FnMut(u64, u64)) {
        match &self.counts {
            Counts::Listed(counts) => counts.iter().for_each(|&(lowest, records)| with(lowest, records)),
            Counts::All(counts) => {
                for value in counts.iter_recorded() {
                    with(counts.lowest_equivalent(value.value_iterated_to()), value.count_at_value());
                }
            }
        }
    }

    /// Number of records.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// For each of `bounds`, how many records took no longer.
    pub fn cumulative(&self, bounds: &[Duration]) -> Vec<u64> {
        let nanoseconds = |bound: &Duration| u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        let mut counts = vec![0; bounds.len()];
        self.each(|lowest, records| {
            let first = bounds.partition_point(|bound| nanoseconds(bound) < highest(lowest));
            if let Some(count) = counts.get_mut(first) {
                *count += records;
            }
        });
        let mut sum = 0;
        counts.iter_mut().for_each(|count| {
            sum += *count;
            *count = sum;
        });
        counts
    }

    /// The latencies of all records together.
    pub fn sum(&self) -> Duration {
        let mut mean = 0.0;
        let records = self.records as f64;
        self.each(|lowest, count| mean += (lowest + width(lowest) / 2) as f64 * count as f64 / records);
        Duration::from_secs_f64((mean * records / 1e9).max(0.0))
    }

    /// The latency that a share `quantile` (0 to 1) of the records does not exceed; `None` if
    /// empty.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        if self.records == 0 {
            return None;
        }
        let nanoseconds = match &self.counts {
            Counts::All(counts) => counts.value_at_quantile(quantile),
            Counts::Listed(counts) => {
                let wanted = ((quantile.min(1.0) * self.records as f64).ceil() as u64).max(1);
                let mut sum = 0u64;
                let reached = counts.iter().find(|(_, records)| {
                    sum = sum.saturating_add(*records);
                    sum >= wanted
                });
                let (lowest, _) = *reached.or(counts.last()).expect("there are records");
                if quantile == 0.0 { lowest } else { highest(lowest) }
            }
        };
        Some(Duration::from_nanos(nanoseconds))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    proptest! {
        /// However many values there are, the answers are those of an HdrHistogram.
        #[test]
        fn a_list_answers_as_an_array_does(
            values in prop::collection::vec((any::<u64>(), 0u32..63, 0u64..1000), 0..100),
            quantiles in prop::collection::vec(0.0f64..=1.0, 1..10)
        ) {
            let mut expected: Histogram<u64> = Histogram::new(3).unwrap();
            let (mut found, mut parts) = (LatencyHistogram::default(), [LatencyHistogram::default(), LatencyHistogram::default()]);
            for (index, (value, shift, records)) in values.into_iter().enumerate() {
                let value = value >> 1 >> shift;
                expected.record_n(value, records).unwrap();
                found.record(Duration::from_nanos(value), records);
                parts[index % 2].record(Duration::from_nanos(value), records);
            }
            let mut merged = parts[0].clone();
            merged.merge(&parts[1]);
            for found in [found, merged] {
                prop_assert_eq!(found.records(), expected.len());
                for &quantile in quantiles.iter().chain(&[0.0, 0.5, 0.99, 1.0]) {
                    let expected = (!expected.is_empty()).then(|| Duration::from_nanos(expected.value_at_quantile(quantile)));
                    prop_assert_eq!(found.quantile(quantile), expected);
                }
                let sum = Duration::from_secs_f64((expected.mean() * expected.len() as f64 / 1e9).max(0.0));
                prop_assert_eq!(found.sum(), sum);
            }
        }
    }
}
