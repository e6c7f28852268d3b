//! Maps hashes of keys to bins, including bins that have been split.
//!
//! A bin is a range of hashes. Splitting it creates two bins, one for each half, with the next two
//! numbers; the split bin keeps its number and stays empty. The numbers depend only on the order of
//! splits, so all who apply the same splits agree
//! ([`Assignment::split`](crate::migration::Assignment::split) does).

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use crate::id::BinId;

/// The hash of a key; the same on every worker and in every run.
///
/// FxHash ends with a multiplication, whose high bits depend on every bit of the key, and a
/// rotation that brings them down to where a table looks first. The rotation is undone here: bins
/// take the highest bits, tables those below.
#[inline]
pub(in crate::engine) fn hash_of<K: Hash>(key: &K) -> u64 {
    let mut hasher = FxHasher::default();
    key.hash(&mut hasher);
    hasher.finish().rotate_right(FX_ROTATION)
}

/// By how many bits `FxHasher::finish` rotates to the left.
const FX_ROTATION: u32 = 26;

/// The bin of a hash among `bins` bins: its high bits.
#[inline]
pub(in crate::engine) fn bin_of_hash(hash: u64, bins: u32) -> BinId {
    BinId(((u128::from(hash) * u128::from(bins)) >> 64) as u32)
}

/// The bin of a key among `bins` bins, a power of two.
pub fn bin_of<K: Hash>(key: &K, bins: u32) -> BinId {
    bin_of_hash(hash_of(key), bins)
}

/// The bins of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeySpace {
    /// Bins at the start, a power of two.
    base: u32,
    /// The first of the two bins that each split bin has become.
    split: BTreeMap<BinId, BinId>,
}

impl KeySpace {
    /// `bins` bins, none of them split.
    pub(super) fn new(bins: u32) -> KeySpace {
        KeySpace { base: bins, split: BTreeMap::new() }
    }

    /// Number of bins, those included that have been split.
    pub(super) fn bins(&self) -> u32 {
        self.base + 2 * self.split.len() as u32
    }

    /// The bin of a hash.
    #[inline]
    pub(super) fn bin(&self, hash: u64) -> BinId {
        let bin = bin_of_hash(hash, self.base);
        if self.split.is_empty() { bin } else { self.half(bin, hash) }
    }

    /// Which half of a half of a bin it is.
    #[cold]
    fn half(&self, mut bin: BinId, hash: u64) -> BinId {
        // What is left of the hash when the bits that tell the bin are taken off.
        let mut rest = hash.wrapping_mul(u64::from(self.base));
        while let Some(first) = self.split.get(&bin) {
            bin = BinId(first.0 + (rest >> 63) as u32);
            rest <<= 1;
        }
        bin
    }

    /// Splits a bin; returns the first of its halves.
    ///
    /// # Panics
    /// If there is no such bin or it has been split before.
    pub(super) fn split(&mut self, bin: BinId) -> BinId {
        let first = BinId(self.bins());
        assert!(bin < first, "{bin} is no bin");
        assert!(self.split.insert(bin, first).is_none(), "{bin} is split already");
        first
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_spread_evenly_over_bins() {
        let bins = 64;
        let mut counts = vec![0u32; bins as usize];
        for key in 0u64..64_000 {
            counts[bin_of(&key, bins).0 as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (850..1150).contains(&count)), "{counts:?}");
        assert_eq!(bin_of(&7u64, 1), BinId(0));
    }

    proptest! {
        /// Whatever is split, halves divide what their bin had, by order of hashes, and all other
        /// bins keep what they have.
        #[test]
        fn halves_divide_a_bin(base in 0u32..6, splits in prop::collection::vec(any::<u32>(), 1..12), hashes in prop::collection::vec(any::<u64>(), 50)) {
            let mut space = KeySpace::new(1 << base);
            for split in splits {
                let whole = space.clone();
                let bin = BinId(split % space.bins());
                if space.split.contains_key(&bin) {
                    continue;
                }
                let first = space.split(bin);
                let mut hashes = hashes.clone();
                hashes.sort_unstable();
                let mut last = None;
                for hash in hashes {
                    let (before, after) = (whole.bin(hash), space.bin(hash));
                    if before == bin {
                        prop_assert!(after == first || after.0 == first.0 + 1);
                        prop_assert!(last.is_none_or(|last| last <= after));
                        last = Some(after);
                    } else {
                        prop_assert_eq!(before, after);
                    }
                }
            }
        }
    }
}
