//! Timers of the keys of one bin. They are part of the bin, so they migrate with it.

use std::collections::BTreeMap;
use std::hash::Hash;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::key_space::hash_of;
use crate::engine::Time;

/// Timers by time; a key has at most one for each.
pub(in crate::engine) struct Timers<K> {
    by_time: BTreeMap<Time, Keys<K>>,
    /// The earliest time, which is asked for wherever one may be due.
    next: Time,
    /// An empty list with room for some keys: what the next new time takes.
    spare: Keys<K>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers { by_time: BTreeMap::new(), next: Time::MAX, spare: Keys::default() }
    }
}

impl<K: Hash + Eq> Timers<K> {
    /// The earliest time; later than all times if there is no timer.
    #[inline]
    pub(in crate::engine) fn next(&self) -> Time {
        self.next
    }

    /// Calls `key` at `at`.
    pub(in crate::engine) fn set(&mut self, at: Time, key: K) {
        self.by_time.entry(at).or_insert_with(|| std::mem::take(&mut self.spare)).add(key);
        self.next = self.next.min(at);
    }

    /// Takes the keys of the earliest time.
    pub(in crate::engine) fn take_first(&mut self) -> Option<(Time, Vec<K>)> {
        let first = self.by_time.pop_first();
        self.next = self.by_time.keys().next().copied().unwrap_or(Time::MAX);
        first.map(|(at, mut keys)| {
            keys.leave_each_once();
            (at, keys.0)
        })
    }
}

impl<K> Timers<K> {
    /// Keeps a list whose keys have been called, for keys to come, unless it has much room.
    pub(in crate::engine) fn reuse(&mut self, mut keys: Vec<K>) {
        keys.clear();
        if keys.capacity() <= MOST_SPARE {
            self.spare = Keys(keys);
        }
    }

    /// Takes up to a number of keys of the earliest times. A key may occur twice at a time.
    pub(in crate::engine) fn take_some(&mut self, most: usize) -> Vec<(Time, Vec<K>)> {
        let (mut taken, mut room) = (Vec::new(), most);
        while room > 0
            && let Some(mut first) = self.by_time.first_entry()
        {
            let (at, keys) = (*first.key(), &mut first.get_mut().0);
            let some = keys.split_off(keys.len().saturating_sub(room));
            room -= some.len();
            if keys.is_empty() {
                first.remove();
            }
            taken.push((at, some));
        }
        self.next = self.by_time.keys().next().copied().unwrap_or(Time::MAX);
        taken
    }
}

/// Up to this many keys are compared pairwise, which is faster than sorting them.
const FEW: usize = 32;
/// No more room than this is kept for times to come.
const MOST_SPARE: usize = 64;

/// Keys of one time. Some may be there several times: they are sorted out before there is no room
/// for more, and at last.
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
            // Twice the room for those that are left, so that they are not sorted for each key that
            // comes.
            self.0.reserve(self.0.len().max(4));
        }
        self.0.push(key);
    }

    fn leave_each_once(&mut self) {
        if self.0.len() < 2 {
            return;
        }
        let few = self.0.len() <= FEW;
        if !few {
            self.0.sort_unstable_by_key(hash_of);
        }
        let mut kept: usize = 0;
        for next in 0..self.0.len() {
            let (before, key) = (&self.0[..kept], &self.0[next]);
            let is_there = if few {
                before.contains(key)
            } else {
                // Those that are equal have the same hash, others hardly ever.
                let hash = hash_of(key);
                before.iter().rev().take_while(|other| hash_of(*other) == hash).any(|other| other == key)
            };
            if !is_there {
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

    /// However often it was asked for, and after a list was used again.
    #[test]
    fn a_list_that_grows_has_each_key_once() {
        let mut timers = Timers::default();
        for keys in [3, 30, 1000] {
            (0..5 * keys).for_each(|n| timers.set(1, n * n % keys));
            let (_, mut called) = timers.take_first().unwrap();
            let mut asked: Vec<u64> = (0..keys).map(|n| n * n % keys).collect();
            asked.sort_unstable();
            asked.dedup();
            called.sort_unstable();
            assert_eq!(called, asked);
            timers.reuse(called);
        }
        assert!(timers.spare.0.capacity() <= MOST_SPARE);
    }

    /// A key whose hash says nothing.
    #[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
    struct Alike(usize);

    impl Hash for Alike {
        fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
    }

    #[test]
    fn short_lists_and_long_ones_are_left_with_each_key_once() {
        for len in [2, FEW, FEW + 1, 10 * FEW] {
            let numbers = || (0..len).map(|n| n % (len - 1));
            let mut keys = Keys(numbers().collect::<Vec<usize>>());
            let mut alike = Keys(numbers().map(Alike).collect::<Vec<Alike>>());
            keys.leave_each_once();
            alike.leave_each_once();
            keys.0.sort_unstable();
            alike.0.sort_unstable();
            assert!(keys.0.iter().copied().eq(0..len - 1) && alike.0.iter().map(|key| key.0).eq(0..len - 1), "{:?}, {:?}", keys.0, alike.0);
        }
    }

    #[test]
    fn they_can_be_taken_piece_by_piece() {
        let mut timers = Timers::default();
        (0..10u64).for_each(|key| timers.set(key / 4, key));
        let pieces: Vec<Vec<(Time, Vec<u64>)>> = std::iter::from_fn(|| Some(timers.take_some(3)).filter(|some| !some.is_empty())).collect();
        let sizes: Vec<Vec<(Time, usize)>> =
            pieces.iter().map(|piece| piece.iter().map(|(at, keys)| (*at, keys.len())).collect()).collect();
        assert_eq!(sizes, [vec![(0, 3)], vec![(0, 1), (1, 2)], vec![(1, 2), (2, 1)], vec![(2, 1)]]);
        let mut keys: Vec<u64> = pieces.into_iter().flatten().flat_map(|(_, keys)| keys).collect();
        keys.sort_unstable();
        assert_eq!((keys, timers.next()), ((0..10).collect(), Time::MAX));
    }
}
