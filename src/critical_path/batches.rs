//! Sums over stretches of consecutive observations: from how they vary follows how much of a
//! difference is noise.
//!
//! Observations that follow each other are alike (a backlog lasts), so that they are compared in
//! batches (Law, Kelton: method of batch means). Memory depends on the number of keys, not of
//! observations: when there are many batches, each two become one.

use std::collections::BTreeMap;

/// The most batches; then each two become one.
const MOST: usize = 64;
/// With fewer batches nothing is said of noise.
const LEAST: usize = 5;

/// Sums of amounts by key, in batches.
#[derive(Clone, Debug)]
pub struct Batches<K> {
    /// Observations in a batch.
    per: u64,
    /// Whole batches, and observations in the one that has begun.
    whole: usize,
    in_last: u64,
    sums: BTreeMap<K, Vec<f64>>,
}

impl<K: Ord> Default for Batches<K> {
    fn default() -> Batches<K> {
        Batches { per: 1, whole: 0, in_last: 0, sums: BTreeMap::new() }
    }
}

impl<K: Ord> Batches<K> {
    /// Adds an observation: its amounts; those of other keys are 0.
    pub fn push(&mut self, amounts: impl IntoIterator<Item = (K, f64)>) {
        let batch = self.whole;
        for (key, amount) in amounts {
            let sums = self.sums.entry(key).or_default();
            sums.resize(batch + 1, 0.0);
            sums[batch] += amount;
        }
        self.in_last += 1;
        if self.in_last < self.per {
            return;
        }
        (self.whole, self.in_last) = (self.whole + 1, 0);
        if self.whole == MOST {
            for sums in self.sums.values_mut() {
                *sums = sums.chunks(2).map(|pair| pair.iter().sum()).collect();
            }
            (self.per, self.whole) = (2 * self.per, MOST / 2);
        }
    }

    /// Number of observations.
    pub fn observations(&self) -> u64 {
        self.per * self.whole as u64 + self.in_last
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.sums.keys()
    }

    /// The mean of a key's amounts; 0 for a key that never came.
    pub fn mean(&self, key: &K) -> f64 {
        let sum: f64 = self.sums.get(key).map_or(0.0, |sums| sums.iter().sum());
        sum / (self.observations() as f64).max(1.0)
    }

    /// The standard error of that mean; `None` if there are too few batches.
    pub fn standard_error(&self, key: &K) -> Option<f64> {
        if self.whole < LEAST {
            return None;
        }
        let empty = Vec::new();
        let sums = self.sums.get(key).unwrap_or(&empty);
        let means = || (0..self.whole).map(|batch| sums.get(batch).copied().unwrap_or_default() / self.per as f64);
        let whole = self.whole as f64;
        let mean = means().sum::<f64>() / whole;
        let squares: f64 = means().map(|of_batch| (of_batch - mean).powi(2)).sum();
        Some((squares / (whole - 1.0) / whole).sqrt())
    }

    /// The same observations by other keys; amounts of keys that become the same add up.
    pub fn by<L: Ord>(&self, other: impl Fn(&K) -> Option<L>) -> Batches<L> {
        let mut sums: BTreeMap<L, Vec<f64>> = BTreeMap::new();
        for (key, own) in &self.sums {
            let Some(key) = other(key) else { continue };
            let sums = sums.entry(key).or_default();
            sums.resize(sums.len().max(own.len()), 0.0);
            sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
        }
        Batches { per: self.per, whole: self.whole, in_last: self.in_last, sums }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_all_observations_and_errors_of_batches() {
        let mut batches = Batches::default();
        for number in 0..4 {
            batches.push([("all", 1.0), ("some", f64::from(number % 2))]);
        }
        assert_eq!((batches.mean(&"all"), batches.mean(&"some"), batches.mean(&"none")), (1.0, 0.5, 0.0));
        assert_eq!(batches.standard_error(&"all"), None);
        batches.push([("all", 1.0)]);
        assert_eq!((batches.standard_error(&"all"), batches.standard_error(&"none")), (Some(0.0), Some(0.0)));
        // 0, 1, 0, 1, 0: squares 0.3 of 4, of 5.
        assert!((batches.standard_error(&"some").unwrap() - (1.2f64 / 4.0 / 5.0).sqrt()).abs() < 1e-12);
        let both = batches.by(|_| Some(()));
        assert_eq!((both.mean(&()), both.observations()), (1.4, 5));
    }

    #[test]
    fn many_observations_become_larger_batches() {
        let mut batches = Batches::default();
        // Alike for 100 at a time: as single ones they would seem far more certain than they are.
        for number in 0..10_000 {
            batches.push([((), f64::from(number / 100 % 2))]);
        }
        assert_eq!(batches.observations(), 10_000);
        assert!((batches.mean(&()) - 0.5).abs() < 1e-12);
        let error = batches.standard_error(&()).unwrap();
        let single = (0.25f64 / 10_000.0).sqrt();
        assert!(error > 2.0 * single, "{error} {single}");
        assert!(batches.sums[&()].len() <= MOST);
    }
}
