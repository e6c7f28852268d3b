//! Order-independent digests of results.

use serde::{Deserialize, Serialize};

/// The results of a group of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupTally {
    /// How many there are.
    pub results: u64,
    /// Sum over all of them of a hash of key and count.
    pub digest: u64,
}

impl GroupTally {
    /// Adds the result of a key.
    pub(super) fn add(&mut self, key: u64, count: u64) {
        self.results += 1;
        self.digest = self.digest.wrapping_add(mix(mix(key) ^ count));
    }
}

/// Results that are missing, results that are too many, and groups with as many results as there
/// should be, but not the same ones.
pub(super) fn compared<'g>(expected: &[GroupTally], found: impl Iterator<Item = &'g [GroupTally]> + Clone) -> (u64, u64, u64) {
    let (mut lost, mut duplicated, mut miscounted) = (0, 0, 0);
    for (group, expected) in expected.iter().enumerate() {
        let found = found.clone().filter_map(|groups| groups.get(group)).fold(GroupTally::default(), |sum, part| GroupTally {
            results: sum.results + part.results,
            digest: sum.digest.wrapping_add(part.digest),
        });
        lost += expected.results.saturating_sub(found.results);
        duplicated += found.results.saturating_sub(expected.results);
        miscounted += u64::from(expected.results == found.results && expected.digest != found.digest);
    }
    (lost, duplicated, miscounted)
}

/// A key of `keys`, drawn for record `index`.
pub(super) fn drawn(seed: u64, index: u64, keys: u64) -> u64 {
    ((u128::from(mix(mix(seed) ^ index)) * u128::from(keys)) >> 64) as u64
}

/// Spreads the bits of a number (the finalizer of SplitMix64, Steele et al., OOPSLA'14).
pub(in crate::engine) fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
