//! Bins: which bin a key is in, and the state of the keys of one bin.
//!
//! A key is hashed once. The high bits of the hash are the bin, the rest finds the key inside the bin's table. Moving a bin moves
//! its table's header, so its cost does not depend on how many keys the bin holds.

use std::hash::{Hash, Hasher};

use hashbrown::HashTable;
use rustc_hash::FxHasher;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::BinId;

/// The hash of a key; the same on every worker and in every run.
///
/// FxHash ends with a multiplication, whose high bits depend on every bit of the key, and a rotation that brings them down to
/// where a table looks first. The rotation is undone here: bins take the highest bits, tables those below.
#[inline]
pub(super) fn hash_of<K: Hash>(key: &K) -> u64 {
    let mut hasher = FxHasher::default();
    key.hash(&mut hasher);
    hasher.finish().rotate_right(FX_ROTATION)
}

/// By how many bits `FxHasher::finish` rotates to the left.
const FX_ROTATION: u32 = 26;

/// The bin of a hash among `bins` bins: its high bits.
#[inline]
pub(super) fn bin_of_hash(hash: u64, bins: u32) -> BinId {
    BinId(((u128::from(hash) * u128::from(bins)) >> 64) as u32)
}

/// The bin of a key among `bins` bins, a power of two.
pub fn bin_of<K: Hash>(key: &K, bins: u32) -> BinId {
    bin_of_hash(hash_of(key), bins)
}

/// State by key.
pub(super) struct Bin<K, S> {
    table: HashTable<(K, S)>,
}

impl<K, S> Default for Bin<K, S> {
    fn default() -> Self {
        Bin { table: HashTable::new() }
    }
}

impl<K: Hash + Eq, S> Bin<K, S> {
    /// Number of keys.
    pub(super) fn keys(&self) -> usize {
        self.table.len()
    }

    /// The state of `key`, whose hash is `hash`.
    #[inline]
    pub(super) fn get_mut(&mut self, hash: u64, key: &K) -> Option<&mut S> {
        self.table.find_mut(Self::place(hash), |(other, _)| other == key).map(|(_, state)| state)
    }

    /// Adds a key that is not there.
    pub(super) fn insert(&mut self, hash: u64, key: K, state: S) {
        self.table.insert_unique(Self::place(hash), (key, state), |(key, _)| Self::place(hash_of(key)));
    }

    /// The highest bits are the same for all keys of a bin. A table takes its position from the lowest bits and a tag from the
    /// highest: those from below the bin's bits go there.
    #[inline]
    fn place(hash: u64) -> u64 {
        hash.rotate_left(FX_ROTATION)
    }
}

/// As a sequence of keys with their states.
impl<K: Serialize, S: Serialize> Serialize for Bin<K, S> {
    fn serialize<Ser: Serializer>(&self, serializer: Ser) -> Result<Ser::Ok, Ser::Error> {
        serializer.collect_seq(self.table.iter())
    }
}

impl<'de, K: Hash + Eq + DeserializeOwned, S: DeserializeOwned> Deserialize<'de> for Bin<K, S> {
    fn deserialize<De: Deserializer<'de>>(deserializer: De) -> Result<Self, De::Error> {
        let entries = Vec::<(K, S)>::deserialize(deserializer)?;
        let mut bin = Bin { table: HashTable::with_capacity(entries.len()) };
        entries.into_iter().for_each(|(key, state)| bin.insert(hash_of(&key), key, state));
        Ok(bin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_spread_evenly_over_bins_and_inside_them() {
        let bins = 64;
        let mut counts = vec![0u32; bins as usize];
        for key in 0u64..64_000 {
            counts[bin_of(&key, bins).0 as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (850..1150).contains(&count)), "{counts:?}");
        assert_eq!(bin_of(&7u64, 1), BinId(0));
    }

    #[test]
    fn a_bin_survives_serialization() {
        let mut bin = Bin::default();
        for key in ["a", "b", "c"].map(str::to_owned) {
            bin.insert(hash_of(&key), key, 1u64);
        }
        let bytes = postcard::to_stdvec(&bin).unwrap();
        let mut back: Bin<String, u64> = postcard::from_bytes(&bytes).unwrap();
        let key = "b".to_owned();
        assert_eq!((back.keys(), back.get_mut(hash_of(&key), &key)), (3, Some(&mut 1)));
    }
}
