//! Distribution of an operator's arrivals over its bins.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Random;

/// Shares of bins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Skew {
    /// All bins have equal shares.
    #[default]
    Uniform,
    /// The n-th most used bin has a share in proportion to `n^-exponent`; which bin that is, the
    /// seed decides.
    Zipf {
        /// At least 0, at most 10.
        exponent: f64,
    },
    /// One key has a share of all records by itself, the rest is spread evenly: the skew of the
    /// experiments of Dhalion and DS2.
    // papers/ds2-osdi18.md#known-limits
    HotKey {
        /// Its share, 0 to 1.
        share: f64,
    },
    /// Some keys, each in a bin of its own, have a share of all records between them evenly. Moving bins
    /// helps as long as an instance can process the records of one of these keys; splitting bins does not.
    HotKeys {
        /// How many; more than 0 and fewer than there are bins.
        hot: u32,
        /// Their share together, 0 to 1.
        share: f64,
        /// Numbers from the bin of one to that of the next, from bin 0 on, as for hot bins.
        #[serde(default = "one")]
        step: u32,
    },
    /// Some bins have a share of all records between them evenly, the others have the rest: skew
    /// that rebalancing bins can correct, because no single key makes it.
    HotBins {
        /// How many; more than 0 and fewer than all.
        bins: u32,
        /// Their share together, 0 to 1.
        share: f64,
        /// Distance between their numbers, from bin 0 on. Bins are assigned to instances
        /// round-robin, so with a step of the number of instances all of them belong to instance 0
        /// at first, and with a step of 1 to the first instances.
        #[serde(default = "one")]
        step: u32,
    },
}

fn one() -> u32 {
    1
}

/// Bins of an operator as the simulation knows them.
#[derive(Clone, Debug)]
pub(super) struct Bins {
    /// Share of the operator's arrivals, by bin; they sum to 1.
    pub(super) shares: Vec<f64>,
    /// Keys, by bin.
    pub(super) keys: Vec<u64>,
    /// Owner, by bin.
    pub(super) owners: Vec<u32>,
    /// The bins of hot keys, and the share of the key of each.
    hot: BTreeMap<usize, f64>,
}

impl Skew {
    /// `bins` bins with `keys` keys together, and these owners.
    pub(super) fn bins(self, keys: u64, owners: Vec<u32>, random: &mut Random) -> Bins {
        let bins = owners.len();
        let even = 1.0 / bins as f64;
        let mut hot_keys = BTreeMap::new();
        let shares = match self {
            Skew::Uniform => vec![even; bins],
            Skew::Zipf { exponent } => {
                let mut ranks: Vec<usize> = (0..bins).collect();
                // Fisher and Yates.
                (1..bins).rev().for_each(|last| ranks.swap(last, random.below(last as u64 + 1) as usize));
                let weights: Vec<f64> = ranks.iter().map(|&rank| (rank as f64 + 1.0).powf(-exponent)).collect();
                let sum: f64 = weights.iter().sum();
                weights.into_iter().map(|weight| weight / sum).collect()
            }
            Skew::HotKey { share } => {
                hot_keys.insert(0, share);
                with_hot(vec![even * (1.0 - share); bins], &hot_keys)
            }
            Skew::HotKeys { hot, share, step } => {
                hot_keys.extend((0..hot).map(|key| ((key * step) as usize, share / f64::from(hot))));
                with_hot(vec![even * (1.0 - share); bins], &hot_keys)
            }
            Skew::HotBins { bins: hot, share, step } => {
                let mut shares = vec![(1.0 - share) / (bins - hot as usize) as f64; bins];
                (0..hot).for_each(|bin| shares[(bin * step) as usize] = share / f64::from(hot));
                shares
            }
        };
        let (each, more) = (keys / bins as u64, keys % bins as u64);
        let keys = (0..bins as u64).map(|bin| each + u64::from(bin < more)).collect();
        Bins { shares, keys, owners, hot: hot_keys }
    }
}

/// Shares of bins with those of hot keys.
fn with_hot(mut shares: Vec<f64>, hot: &BTreeMap<usize, f64>) -> Vec<f64> {
    hot.iter().for_each(|(&bin, share)| shares[bin] += share);
    shares
}

impl Bins {
    /// Splits a bin in two with the next two numbers. The keys are spread evenly, a hot one is in
    /// the first half.
    pub(super) fn split(&mut self, bin: usize) {
        let (share, keys) = (std::mem::take(&mut self.shares[bin]), std::mem::take(&mut self.keys[bin]));
        let hot = self.hot.remove(&bin).unwrap_or(0.0);
        if hot > 0.0 {
            self.hot.insert(self.shares.len(), hot);
        }
        let rest = (share - hot).max(0.0) / 2.0;
        self.shares.extend([hot + rest, rest]);
        self.keys.extend([keys.div_ceil(2), keys / 2]);
        self.owners.extend([self.owners[bin]; 2]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_one_and_a_hot_key_is_not_split() {
        for skew in
            [Skew::Uniform, Skew::Zipf { exponent: 1.2 }, Skew::HotKey { share: 0.5 }, Skew::HotBins { bins: 3, share: 0.5, step: 2 }]
        {
            let mut bins = skew.bins(1000, vec![0; 64], &mut Random::new(1));
            assert!((bins.shares.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{skew:?}");
            bins.split(0);
            bins.split(64);
            assert!((bins.shares.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{skew:?}");
            assert_eq!((bins.keys.iter().sum::<u64>(), bins.shares[0], bins.shares[64]), (1000, 0.0, 0.0));
            if let Skew::HotKey { .. } = skew {
                assert!(bins.shares[66] > 0.5 && bins.shares[67] < 0.01);
            }
        }
    }

    #[test]
    fn each_hot_key_stays_whole() {
        let mut bins = Skew::HotKeys { hot: 2, share: 0.4, step: 8 }.bins(64, vec![0; 16], &mut Random::new(1));
        let cold = 0.6 / 16.0;
        assert!((bins.shares[8] - 0.2 - cold).abs() < 1e-12 && (bins.shares[1] - cold).abs() < 1e-12);
        bins.split(0);
        bins.split(8);
        assert!([16, 18].iter().all(|&bin: &usize| (bins.shares[bin] - 0.2 - cold / 2.0).abs() < 1e-12), "{:?}", bins.shares);
        assert!((bins.shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn hot_bins_have_their_share_evenly_and_so_have_the_others_the_rest() {
        let mut bins = Skew::HotBins { bins: 4, share: 0.6, step: 5 }.bins(64, vec![0; 16], &mut Random::new(1));
        let expected = |bin: usize| if bin.is_multiple_of(5) { 0.15 } else { 0.4 / 12.0 };
        assert!(bins.shares.iter().enumerate().all(|(bin, share)| (share - expected(bin)).abs() < 1e-12), "{:?}", bins.shares);
        // No single key makes a bin hot, so each half has half of it.
        bins.split(0);
        assert!((bins.shares[16] - 0.075).abs() < 1e-12 && (bins.shares[17] - 0.075).abs() < 1e-12);
    }
}
