//! Maps message keys to slots; optimised for increasing sequence numbers.
//!
//! The keys of one sender on one channel are a *stream*. Those in use are mostly close together, so
//! a ring holds them, and what is close in time is close in memory. Outliers go to a hash table.
//! Memory is proportional to the number of keys in use, whatever their values and streams.

// Looked up by key, never walked: the order of the tables shows nowhere.
#![allow(clippy::disallowed_types)]

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// Channel, sender, sequence number.
pub(super) type Key = (u32, u32, u64);

/// Streams that have a ring, at most.
const MOST_RINGS: usize = 1 << 16;
/// With fewer rings, those of streams without keys in use are kept.
const FEW_RINGS: usize = 1 << 10;
/// Places of a ring that may be empty: a constant number, and a number per key in it.
const EMPTY: usize = 64;
const EMPTY_PER_KEY: usize = 16;

/// From keys in use to numbers of slots.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    rings: Vec<Ring>,
    /// How many of them were left when those without keys were dropped last.
    left: usize,
    /// Number of each stream's ring.
    numbers: FxHashMap<(u32, u32), u32>,
    /// The stream that was looked for last: a worker sends many messages in a row.
    last: Option<((u32, u32), u32)>,
    far: FxHashMap<Key, u32>,
}

/// The keys of a stream.
#[derive(Clone, Debug, Default)]
struct Ring {
    /// Sequence number of the first place.
    first: u64,
    /// Numbers of slots; the first and the last place are not empty.
    places: VecDeque<u32>,
    keys: usize,
}

impl Ring {
    fn place(&mut self, sequence: u64) -> Option<&mut u32> {
        let place = sequence.checked_sub(self.first)?;
        self.places.get_mut(usize::try_from(place).ok()?)
    }

    /// Makes a place for a sequence number, unless it lies too far from the others.
    fn make_place(&mut self, sequence: u64) -> Option<&mut u32> {
        if self.places.is_empty() {
            self.first = sequence;
        }
        let allowed = (EMPTY + EMPTY_PER_KEY * self.keys) as u64;
        let length = self.places.len() as u64;
        if sequence >= self.first {
            let needed = (sequence - self.first).checked_add(1)?;
            if needed > length.max(allowed) {
                return None;
            }
            while (self.places.len() as u64) < needed {
                self.places.push_back(NONE);
            }
        } else {
            if length.checked_add(self.first - sequence)? > allowed {
                return None;
            }
            while self.first > sequence {
                self.places.push_front(NONE);
                self.first -= 1;
            }
        }
        self.place(sequence)
    }

    fn clear(&mut self, sequence: u64) {
        if let Some(place) = self.place(sequence) {
            *place = NONE;
            self.keys -= 1;
        }
        while self.places.front() == Some(&NONE) {
            self.places.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        while self.places.back() == Some(&NONE) {
            self.places.pop_back();
        }
    }
}

impl Keys {
    /// The ring of a key's stream, if it has one.
    #[inline]
    fn ring(&mut self, key: Key) -> Option<&mut Ring> {
        let stream = (key.0, key.1);
        let number = match self.last {
            Some((last, number)) if last == stream => number,
            _ => *self.numbers.get(&stream)?,
        };
        self.last = Some((stream, number));
        self.rings.get_mut(number as usize)
    }

    /// The slot of a key.
    pub(super) fn get(&mut self, key: Key) -> Option<u32> {
        let near = self.ring(key).and_then(|ring| ring.place(key.2)).copied();
        near.filter(|&slot| slot != NONE).or_else(|| if self.far.is_empty() { None } else { self.far.get(&key).copied() })
    }

    /// Maps a key to a slot, replacing a previous one.
    pub(super) fn insert(&mut self, key: Key, slot: u32) {
        if !self.far.is_empty() && self.far.contains_key(&key) {
            self.far.insert(key, slot);
            return;
        }
        if self.ring(key).is_none() {
            self.add_ring(key);
        }
        if let Some(ring) = self.ring(key)
            && let Some(place) = ring.make_place(key.2)
        {
            let new = std::mem::replace(place, slot) == NONE;
            ring.keys += usize::from(new);
        } else {
            self.far.insert(key, slot);
        }
    }

    /// Adds a ring for a key's stream, if there may be one more.
    fn add_ring(&mut self, key: Key) {
        if self.rings.len() >= FEW_RINGS.max(2 * self.left) {
            self.drop_empty_rings();
        }
        if self.rings.len() < MOST_RINGS {
            self.numbers.insert((key.0, key.1), self.rings.len() as u32);
            self.rings.push(Ring::default());
        }
    }

    /// Drops the rings of streams without keys in use: where each stage of a job has channels of its own, there are ever more streams.
    fn drop_empty_rings(&mut self) {
        let Keys { rings, numbers, last, left, .. } = self;
        let mut kept = Vec::new();
        numbers.retain(|_, number| {
            let ring = std::mem::take(&mut rings[*number as usize]);
            let stays = ring.keys > 0;
            if stays {
                *number = kept.len() as u32;
                kept.push(ring);
            }
            stays
        });
        (*rings, *last, *left) = (kept, None, numbers.len());
    }

    /// Removes a key if it still maps to this slot.
    pub(super) fn remove(&mut self, key: Key, slot: u32) {
        if let Some(ring) = self.ring(key)
            && ring.place(key.2).is_some_and(|place| *place == slot)
        {
            ring.clear(key.2);
        } else if self.far.get(&key) == Some(&slot) {
            self.far.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    #[test]
    fn streams_without_keys_in_use_take_no_memory() {
        let mut keys = Keys::default();
        for stream in 0..200_000u32 {
            keys.insert((stream, 1, u64::from(stream)), stream);
            if stream % 1000 > 0 {
                keys.remove((stream, 1, u64::from(stream)), stream);
            }
            assert!(keys.rings.len() <= FEW_RINGS && keys.numbers.len() == keys.rings.len());
        }
        assert!((0..200_000).all(|stream| keys.get((stream, 1, stream.into())).is_some() == (stream % 1000 == 0)));
    }

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a plain table, on sequence numbers near and far, rising and falling.
        #[test]
        fn a_key_has_the_slot_it_was_given_last(
            moves in prop::collection::vec((0u32..2, 0u32..3, prop_oneof![0u64..40, 0u64..5000, any::<u64>(), Just(u64::MAX), Just(u64::MAX - 3)], any::<bool>()), 1..300),
        ) {
            let (mut keys, mut model) = (Keys::default(), BTreeMap::new());
            for (slot, (channel, from, sequence, insert)) in (0..).zip(moves) {
                let key = (channel, from, sequence);
                prop_assert_eq!(keys.get(key), model.get(&key).copied());
                if insert {
                    keys.insert(key, slot);
                    model.insert(key, slot);
                } else if let Some(slot) = model.remove(&key) {
                    keys.remove(key, slot + 1);
                    prop_assert_eq!(keys.get(key), Some(slot));
                    keys.remove(key, slot);
                }
                let places: usize = keys.rings.iter().map(|ring| ring.places.len()).sum();
                prop_assert!(places <= keys.rings.len() * EMPTY + EMPTY_PER_KEY * 300);
            }
            for (key, slot) in model {
                prop_assert_eq!(keys.get(key), Some(slot));
            }
        }
    }
}
