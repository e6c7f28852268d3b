//! State and timers of the keys of one bin.
//!
//! A key is hashed once: the high bits select the bin, and the full hash finds the key in the bin's
//! table. Inside a process a migration moves the table's header, so its cost does not depend on the
//! number of keys; between processes the entries are serialized.

use std::hash::Hash;
use std::mem::needs_drop;

use serde::de::DeserializeOwned;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::key_space::hash_of;
use super::table::{IntoEntries, Table};
use super::timers::Timers;
use crate::engine::Time;

/// State by key, and the timers of the keys.
pub(in crate::engine) struct Bin<K, S> {
    table: Table<(K, S)>,
    /// In a box of their own: most bins have none, and what is looked at for each record should be
    /// small.
    timers: Option<Box<Timers<K>>>,
}

impl<K, S> Default for Bin<K, S> {
    fn default() -> Self {
        Bin { table: Table::new(), timers: None }
    }
}

impl<K: Hash + Eq, S> Bin<K, S> {
    /// An empty bin with room for `keys` keys.
    pub(in crate::engine) fn with_capacity(keys: usize) -> Self {
        Bin { table: Table::with_capacity(keys), ..Bin::default() }
    }

    /// Bytes of a table with just enough room for that many keys, without what keys and states own
    /// outside of it.
    pub(in crate::engine) fn bytes_for(keys: usize) -> usize {
        Table::<(K, S)>::bytes_for(keys)
    }

    /// What the bin takes in memory, in bytes, if each entry owns `outside` bytes beside its place
    /// in the table. Looks at no entry.
    pub(in crate::engine) fn bytes(&self, outside: usize) -> u64 {
        (self.table.allocation_size() + self.table.len() * outside) as u64
    }

    /// Number of keys.
    pub(in crate::engine) fn keys(&self) -> usize {
        self.table.len()
    }

    /// The state of `key`, whose hash is `hash`.
    #[inline]
    pub(in crate::engine) fn get_mut(&mut self, hash: u64, key: &K) -> Option<&mut S> {
        self.table.find_mut(hash, |(other, _)| other == key).map(|(_, state)| state)
    }

    /// Has the processor fetch where the state of a key with this hash is.
    #[inline]
    pub(in crate::engine) fn prefetch(&self, hash: u64) {
        self.table.prefetch(hash);
    }

    /// Adds a key that is not there.
    pub(in crate::engine) fn insert(&mut self, hash: u64, key: K, state: S) {
        self.table.insert_unique(hash, (key, state), |(key, _)| hash_of(key));
    }

    /// Forgets the state of `key`, if there is any.
    pub(in crate::engine) fn remove(&mut self, hash: u64, key: &K) {
        self.table.remove(hash, |(other, _)| other == key);
    }

    /// When the next timer is due; later than all times if there is none.
    #[inline]
    pub(in crate::engine) fn next_timer(&self) -> Time {
        self.timers.as_ref().map_or(Time::MAX, |timers| timers.next())
    }

    /// Calls `key` at `at`.
    pub(in crate::engine) fn set_timer(&mut self, at: Time, key: K) {
        self.timers.get_or_insert_default().set(at, key);
    }

    /// Takes the keys of the earliest timer.
    pub(in crate::engine) fn take_timer(&mut self) -> Option<(Time, Vec<K>)> {
        self.timers.as_mut()?.take_first()
    }

    /// Returns the list of a timer's keys, which have fired, for reuse.
    pub(in crate::engine) fn reuse(&mut self, keys: Vec<K>) {
        if let Some(timers) = &mut self.timers {
            timers.reuse(keys);
        }
    }

    /// Takes the bin apart, to be sent in parts.
    pub(in crate::engine) fn into_parts(self) -> (IntoEntries<(K, S)>, Timers<K>) {
        (self.table.into_entries(), self.timers.map(|timers| *timers).unwrap_or_default())
    }

    /// Moves each key with its state and its timers to that of `parts` which `part` says for its
    /// hash.
    pub(in crate::engine) fn divide(self, parts: &mut [Bin<K, S>], part: impl Fn(u64) -> usize) {
        let (entries, mut timers) = self.into_parts();
        for (key, state) in entries {
            let hash = hash_of(&key);
            parts[part(hash)].insert(hash, key, state);
        }
        while let Some((at, keys)) = timers.take_first() {
            keys.into_iter().for_each(|key| parts[part(hash_of(&key))].set_timer(at, key));
        }
    }

    /// Adds entries that came in a part.
    pub(in crate::engine) fn extend(&mut self, entries: Vec<(K, S)>) {
        entries.into_iter().for_each(|(key, state)| self.insert(hash_of(&key), key, state));
    }

    /// Adds the timers that came with the last part.
    pub(in crate::engine) fn put_timers(&mut self, timers: Timers<K>) {
        self.timers = (timers.next() < Time::MAX).then(|| Box::new(timers));
    }
}

impl<K: Serialize, S: Serialize> Bin<K, S> {
    /// What an entry takes, in bytes: its size in memory and, where it owns something beside that,
    /// what a few of them take when encoded.
    pub(in crate::engine) fn bytes_per_key(&self) -> usize {
        if !needs_drop::<(K, S)>() {
            return size_of::<(K, S)>();
        }
        let encoded = |entry: &(K, S)| postcard::serialize_with_flavor(entry, postcard::ser_flavors::Size::default()).unwrap_or(0);
        let sample: Vec<usize> = self.table.iter().take(SAMPLE).map(encoded).collect();
        size_of::<(K, S)>() + sample.iter().sum::<usize>() / sample.len().max(1)
    }
}

/// Entries that are looked at to judge the size of all.
const SAMPLE: usize = 8;

/// As a sequence of keys with their states, then the timers.
impl<K: Hash + Eq + Serialize, S: Serialize> Serialize for Bin<K, S> {
    fn serialize<Ser: Serializer>(&self, serializer: Ser) -> Result<Ser::Ok, Ser::Error> {
        (Entries(&self.table), &self.timers).serialize(serializer)
    }
}

struct Entries<'a, T>(&'a Table<T>);

impl<T: Serialize> Serialize for Entries<'_, T> {
    fn serialize<Ser: Serializer>(&self, serializer: Ser) -> Result<Ser::Ok, Ser::Error> {
        let mut entries = serializer.serialize_seq(Some(self.0.len()))?;
        self.0.iter().try_for_each(|entry| entries.serialize_element(entry))?;
        entries.end()
    }
}

impl<'de, K: Hash + Eq + DeserializeOwned, S: DeserializeOwned> Deserialize<'de> for Bin<K, S> {
    fn deserialize<De: Deserializer<'de>>(deserializer: De) -> Result<Self, De::Error> {
        let (entries, timers) = <(Vec<(K, S)>, Option<Box<Timers<K>>>)>::deserialize(deserializer)?;
        let mut bin = Bin::with_capacity(entries.len());
        bin.extend(entries);
        bin.put_timers(timers.map(|timers| *timers).unwrap_or_default());
        Ok(bin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_survives_serialization() {
        let mut bin = Bin::default();
        for key in ["a", "b", "c"].map(str::to_owned) {
            bin.insert(hash_of(&key), key, 1u64);
        }
        bin.set_timer(9, "c".to_owned());
        let bytes = postcard::to_stdvec(&bin).unwrap();
        let mut back: Bin<String, u64> = postcard::from_bytes(&bytes).unwrap();
        let key = "b".to_owned();
        assert_eq!((back.keys(), back.next_timer(), back.get_mut(hash_of(&key), &key)), (3, 9, Some(&mut 1)));
        back.remove(hash_of(&key), &key);
        assert_eq!((back.keys(), back.get_mut(hash_of(&key), &key)), (2, None));
        // A string owns what it says; encoded are its length, its only character and a count.
        assert_eq!((back.bytes_per_key(), Bin::<u64, u64>::default().bytes_per_key()), (size_of::<(String, u64)>() + 3, 16));
    }
}
