//! Random service time of a batch, as a factor of the mean.
//!
//! Drawn once per batch. A batch of `n` records has the mean and the variance of a sum of `n`
//! independent service times.

use serde::{Deserialize, Serialize};

use super::Random;

/// The distribution of service times; its mean is the operator's capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "distribution", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ServiceTimes {
    /// All records take the same time.
    #[default]
    Deterministic,
    /// Exponential.
    Exponential,
    /// Log-normal.
    LogNormal {
        /// Standard deviation over mean; more than 0 and at most 100.
        variation: f64,
    },
}

impl ServiceTimes {
    /// Mean time of the records of a batch of `records` over the mean of all.
    pub fn factor(self, records: u64, random: &mut Random) -> f64 {
        let n = records.max(1) as f64;
        match self {
            ServiceTimes::Deterministic => 1.0,
            ServiceTimes::Exponential if records <= 4 => (0..records.max(1)).map(|_| -(1.0 - random.uniform()).ln()).sum::<f64>() / n,
            // A gamma distribution by the cube of a normal one (Wilson and Hilferty, 1931).
            ServiceTimes::Exponential => (1.0 - 1.0 / (9.0 * n) + random.normal() / (3.0 * n.sqrt())).max(0.0).powi(3),
            ServiceTimes::LogNormal { variation } => {
                let sigma = (1.0 + variation * variation / n).ln().sqrt();
                (sigma * random.normal() - sigma * sigma / 2.0).exp()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_have_the_mean_and_the_variance_of_their_records() {
        let mut random = Random::new(3);
        for times in [ServiceTimes::Exponential, ServiceTimes::LogNormal { variation: 1.0 }] {
            for records in [1, 4, 5, 100] {
                let draws: Vec<f64> = (0..40_000).map(|_| times.factor(records, &mut random)).collect();
                let mean = draws.iter().sum::<f64>() / draws.len() as f64;
                let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64;
                assert!((mean - 1.0).abs() < 0.02, "{times:?} {records}: mean {mean}");
                assert!((variance * records as f64 - 1.0).abs() < 0.15, "{times:?} {records}: variance {variance}");
            }
        }
        assert_eq!(ServiceTimes::Deterministic.factor(7, &mut random), 1.0);
    }
}
