//! When which keys of a bin are to be called. Timers are part of the bin, so they move with it.

use std::collections::BTreeMap;
use std::hash::Hash;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Time;
use super::bin::hash_of;

/// Timers by time; a key has at most one for each.
pub(super) struct Timers<K> {
    by_time: BTreeMap<Time, Keys<K>>,
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
        self.by_time.entry(at).or_default().add(key);
        self.next = self.next.min(at);
    }

    /// Takes the keys of the earliest time, in the order of their hashes.
    pub(super) fn take_first(&mut self) -> Option<(Time, Vec<K>)> {
        let first = self.by_time.pop_first();
        self.next = self.by_time.keys().next().copied().unwrap_or(Time::MAX);
        first.map(|(at, mut keys)| {
            keys.leave_each_once();
            (at, keys.0)
        })
    }
}

/// Keys of one time. Some may be there several times: they are sorted out before there is no room for more, and at last.
#[derive(Serialize, Deserialize)]
struct Keys<K>(Vec<K>);

impl<K> Default for Keys<K> {
    fn default() -> Self {
        Keys(Vec::new())
    }
}

impl<K: Hash + Eq> Keys<K> {
    fn add(&mut self, key: K) {
        if self.0.len() == self.0.capacity() {
            self.leave_each_once();
            // Twice the room for those that are left, so that they are not sorted for each key that comes.
            self.0.reserve(self.0.len().max(4));
        }
        self.0.push(key);
    }

    fn leave_each_once(&mut self) {
        if self.0.len() < 2 {
            return;
        }
        self.0.sort_unstable_by_key(hash_of);
        // Those that are equal have the same hash, others hardly ever.
        let mut kept: usize = 0;
        for next in 0..self.0.len() {
            let hash = hash_of(&self.0[next]);
            let same = self.0[..kept].iter().rev().take_while(|key| hash_of(*key) == hash).any(|key| *key == self.0[next]);
            if !same {
                self.0.swap(kept, next);
                kept += 1;
            }
        }
        self.0.truncate(kept);
    }
}

/// As a sequence of times with their keys.
impl<K: Serialize> Serialize for Timers<K> {
    fn serialize<Ser: Serializer>(&self, serializer: Ser) -> Result<Ser::Ok, Ser::Error> {
        serializer.collect_seq(&self.by_time)
    }
}

impl<'de, K: Hash + Eq + DeserializeOwned> Deserialize<'de> for Timers<K> {
    fn deserialize<De: Deserializer<'de>>(deserializer: De) -> Result<Self, De::Error> {
        let mut timers = Timers::default();
        timers.by_time.extend(Vec::<(Time, Keys<K>)>::deserialize(deserializer)?);
        timers.next = timers.by_time.keys().next().copied().unwrap_or(Time::MAX);
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
