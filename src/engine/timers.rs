//! When which keys of a bin are to be called. Timers are part of the bin, so they move with it.

use std::collections::BTreeMap;
use std::hash::Hash;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Time;
use super::bin::hash_of;
use super::table::Table;

/// Timers by time; a key has at most one for each.
pub(super) struct Timers<K> {
    by_time: BTreeMap<Time, Table<K>>,
    /// The earliest time, which is asked for before each record.
    next: Time,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers { by_time: BTreeMap::new(), next: Time::MAX }
    }
}

impl<K: Hash + Eq> Timers<K> {
    /// The earliest time; far beyond all times if there is no timer.
    #[inline]
    pub(super) fn next(&self) -> Time {
        self.next
    }

    /// Calls `key` at `at`.
    pub(super) fn set(&mut self, at: Time, key: K) {
        let (hash, keys) = (hash_of(&key), self.by_time.entry(at).or_insert_with(Table::new));
        if keys.find_mut(keys.home(hash), |other| *other == key).is_none() {
            keys.insert_unique(hash, key, hash_of);
        }
        self.next = self.next.min(at);
    }

    /// Takes the keys of the earliest time.
    pub(super) fn take_first(&mut self) -> Option<(Time, Table<K>)> {
        let first = self.by_time.pop_first();
        self.next = self.by_time.keys().next().copied().unwrap_or(Time::MAX);
        first
    }
}

/// As a sequence of times with their keys.
impl<K: Serialize> Serialize for Timers<K> {
    fn serialize<Ser: Serializer>(&self, serializer: Ser) -> Result<Ser::Ok, Ser::Error> {
        serializer.collect_seq(self.by_time.iter().map(|(at, keys)| (at, keys.iter().collect::<Vec<&K>>())))
    }
}

impl<'de, K: Hash + Eq + DeserializeOwned> Deserialize<'de> for Timers<K> {
    fn deserialize<De: Deserializer<'de>>(deserializer: De) -> Result<Self, De::Error> {
        let mut timers = Timers::default();
        for (at, keys) in Vec::<(Time, Vec<K>)>::deserialize(deserializer)? {
            keys.into_iter().for_each(|key| timers.set(at, key));
        }
        Ok(timers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_called_once_at_a_time_and_earliest_first() {
        let mut timers = Timers::default();
        [(7, "b"), (3, "a"), (7, "b"), (7, "c")].into_iter().for_each(|(at, key)| timers.set(at, key.to_owned()));
        let bytes = postcard::to_stdvec(&timers).unwrap();
        let mut back: Timers<String> = postcard::from_bytes(&bytes).unwrap();
        for timers in [&mut timers, &mut back] {
            let called: Vec<(Time, usize)> = std::iter::from_fn(|| timers.take_first()).map(|(at, keys)| (at, keys.len())).collect();
            assert_eq!((called, timers.next()), (vec![(3, 1), (7, 2)], Time::MAX));
        }
    }
}
