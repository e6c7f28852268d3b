//! Hash table of the entries of one bin.
//!
//! An operator with a million keys spends most of its time waiting for memory, and it has many
//! tables, one per bin. This table therefore touches as little memory as possible: the tags that
//! tell entries apart lie beside them, in a [`Group`] of one or two neighbouring cache lines, so
//! that a lookup waits once, on one page; and groups are rather full, so that there are few pages.
//! A general hash map keeps its tags apart, waits twice, and doubles its size when it is full.
//! Measured by `benches/elastic_vs_native.rs`.
//!
//! The hash determines an entry's home group. If that group is full, the entry is in the next one
//! that was not, and all groups in between are marked as overflowed: a lookup continues past such a
//! mark. Groups are in the order of hashes, so a table grows in one pass from its first entry to
//! its last.

use std::{fmt, iter, slice, vec};

use arrayvec::ArrayVec;
use prefetch_index::prefetch_index;

/// Entries of a group: with what tells them apart they fill two cache lines if an entry takes 16
/// bytes.
const SLOTS: usize = 7;
/// A table grows when its groups have more entries than this on average, out of [`SLOTS`], as a
/// ratio.
const MOST_PER_GROUP: (usize, usize) = (21, 4);
/// Bytes of a cache line.
const LINE: usize = 64;
/// Cache lines of a group that are prefetched at most.
const MOST_LINES: usize = 4;
/// In a word of eight bytes, one in each.
const ONES: u64 = u64::from_le_bytes([1; 8]);
/// The highest bit of each byte that is a tag.
const TAGS: u64 = u64::from_le_bytes([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0]);

/// Neighbours in the table.
#[repr(C, align(64))]
struct Group<T> {
    /// Some bits of the hash of each entry; the last byte is not 0 once an entry whose home is here
    /// or before has gone further.
    tags: [u8; SLOTS + 1],
    entries: ArrayVec<T, SLOTS>,
}

impl<T> Group<T> {
    fn was_passed_by(&self) -> bool {
        self.tags[SLOTS] > 0
    }

    /// The first entry with this tag that `is` accepts.
    #[inline]
    fn position(&self, tag: u8, is: impl Fn(&T) -> bool) -> Option<usize> {
        let different = u64::from_le_bytes(self.tags) ^ (ONES * u64::from(tag));
        // The bytes that are 0; one that follows such a byte may be taken for it, which `is` will
        // see.
        let mut equal = different.wrapping_sub(ONES) & !different & TAGS;
        while equal != 0 {
            let slot = (equal.trailing_zeros() / 8) as usize;
            if self.entries.get(slot).is_some_and(&is) {
                return Some(slot);
            }
            equal &= equal - 1;
        }
        None
    }
}

/// Entries by hash. Hashes are given by the caller, who knows best how to make them; all bits of
/// them count.
///
/// Small: an operator has thousands of tables, and the processor's nearest caches are to hold them
/// all.
pub(in crate::engine) struct Table<T> {
    groups: Box<[Group<T>]>,
    entries: u32,
    /// Entries that were put further than their home since the groups were laid out.
    displaced: u32,
}

/// Where a table looks for a hash, until it grows.
struct Home {
    group: u32,
    tag: u8,
}

/// Iterator over the entries of a table, by value.
pub(in crate::engine) struct IntoEntries<T> {
    group: arrayvec::IntoIter<T, SLOTS>,
    groups: vec::IntoIter<Group<T>>,
    left: usize,
}

impl<T> Table<T> {
    pub(in crate::engine) fn new() -> Self {
        Table { groups: Box::default(), entries: 0, displaced: 0 }
    }

    /// A table with room for `entries` entries.
    pub(in crate::engine) fn with_capacity(entries: usize) -> Self {
        let mut table = Table::new();
        if entries > 0 {
            table.groups = empty(groups_for(entries));
        }
        table
    }

    /// Number of entries.
    pub(in crate::engine) fn len(&self) -> usize {
        self.entries as usize
    }

    /// Bytes of a table with just enough room for that many entries.
    pub(in crate::engine) fn bytes_for(entries: usize) -> usize {
        groups_for(entries) * size_of::<Group<T>>()
    }

    /// Bytes that the table has taken from the system, entries' own aside.
    pub(in crate::engine) fn allocation_size(&self) -> usize {
        self.groups.len() * size_of::<Group<T>>()
    }

    /// The group in which a hash is at home, and the tag of its entries; good for as long as
    /// nothing is inserted.
    ///
    /// Hashes in one table may have their first bits in common, and those of keys in a row differ
    /// by the same amount, so that they are stirred first: the two halves of a product fold that
    /// pattern over itself, which either half alone keeps. Of the next product the high word is the
    /// group; what comes after the point tells apart those that are at home in the same one.
    #[inline]
    fn home(&self, hash: u64) -> Home {
        let product = u128::from(hash) * 0x9E37_79B9_7F4A_7C15;
        let stirred = product as u64 ^ (product >> 64) as u64;
        let place = u128::from(stirred) * self.groups.len() as u128;
        Home { group: (place >> 64) as u32, tag: (place >> 56) as u8 }
    }

    /// Prefetches the place where an entry is most likely to be.
    #[inline]
    pub(in crate::engine) fn prefetch(&self, hash: u64) {
        let home = self.home(hash).group as usize;
        if let Some(group) = self.groups.get(home) {
            let start = slice::from_ref(&group.tags);
            // By the address alone, which may lie outside of the slice.
            for line in 0..(size_of::<Group<T>>() / LINE).min(MOST_LINES) {
                prefetch_index(start, line * LINE / size_of_val(&group.tags));
            }
        }
    }

    /// The entry of `hash` that `is` accepts.
    #[inline]
    pub(in crate::engine) fn find_mut(&mut self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&mut T> {
        let Home { group: home, tag } = self.home(hash);
        let home = home as usize;
        let group = self.groups.get(home)?;
        if let Some(slot) = group.position(tag, &is) {
            return self.groups[home].entries.get_mut(slot);
        }
        if !group.was_passed_by() {
            return None;
        }
        let (group, slot) = self.find_further(home, tag, is)?;
        self.groups[group].entries.get_mut(slot)
    }

    /// Continues where the home group has overflowed.
    #[cold]
    fn find_further(&self, home: usize, tag: u8, is: impl Fn(&T) -> bool) -> Option<(usize, usize)> {
        for group in (home + 1..self.groups.len()).chain(0..home) {
            if let Some(slot) = self.groups[group].position(tag, &is) {
                return Some((group, slot));
            }
            if !self.groups[group].was_passed_by() {
                return None;
            }
        }
        None
    }

    /// Adds an entry that is not there; `hash_of` gives the hash of any entry.
    pub(in crate::engine) fn insert_unique(&mut self, hash: u64, entry: T, hash_of: impl Fn(&T) -> u64) {
        let (most, groups) = MOST_PER_GROUP;
        if (self.len() + 1) * groups > self.groups.len() * most {
            self.lay_out(self.groups.len() + self.groups.len() / 4 + 1, &hash_of);
        } else if self.displaced > self.entries / 2 + SLOTS as u32 {
            // Much was removed and put in again, and the marks are still there. Those that the
            // layout itself displaces do not count: where hashes collide it would follow upon every
            // entry.
            self.lay_out(self.groups.len(), &hash_of);
        }
        self.put(hash, entry);
    }

    fn put(&mut self, hash: u64, entry: T) {
        let Home { group, tag } = self.home(hash);
        let mut at = group as usize;
        self.displaced += u32::from(self.groups[at].entries.is_full());
        while self.groups[at].entries.is_full() {
            self.groups[at].tags[SLOTS] = 1;
            at = if at + 1 == self.groups.len() { 0 } else { at + 1 };
        }
        let group = &mut self.groups[at];
        group.tags[group.entries.len()] = tag;
        group.entries.push(entry);
        self.entries += 1;
    }

    fn lay_out(&mut self, groups: usize, hash_of: impl Fn(&T) -> u64) {
        let before = std::mem::replace(self, Table { groups: empty(groups), entries: 0, displaced: 0 });
        before.into_entries().for_each(|entry| self.put(hash_of(&entry), entry));
        self.displaced = 0;
    }

    /// Takes out the entry of `hash` that `is` accepts.
    pub(in crate::engine) fn remove(&mut self, hash: u64, is: impl Fn(&T) -> bool) -> Option<T> {
        let Home { group, tag } = self.home(hash);
        let home = group as usize;
        let here = self.groups.get(home)?.position(tag, &is).map(|slot| (home, slot));
        let (group, slot) = match here {
            None if self.groups[home].was_passed_by() => self.find_further(home, tag, is)?,
            here => here?,
        };
        let group = &mut self.groups[group];
        let last = group.entries.len() - 1;
        group.tags[slot] = group.tags[last];
        self.entries -= 1;
        group.entries.swap_remove(slot).into()
    }

    pub(in crate::engine) fn iter(&self) -> impl Iterator<Item = &T> {
        self.groups.iter().flat_map(|group| &group.entries)
    }

    pub(in crate::engine) fn into_entries(self) -> IntoEntries<T> {
        IntoEntries { left: self.len(), group: ArrayVec::new().into_iter(), groups: self.groups.into_vec().into_iter() }
    }
}

fn groups_for(entries: usize) -> usize {
    let (most, groups) = MOST_PER_GROUP;
    (entries * groups).div_ceil(most)
}

fn empty<T>(groups: usize) -> Box<[Group<T>]> {
    iter::repeat_with(|| Group { tags: [0; SLOTS + 1], entries: ArrayVec::new() }).take(groups).collect()
}

impl<T> Iterator for IntoEntries<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        loop {
            if let Some(entry) = self.group.next() {
                self.left -= 1;
                return Some(entry);
            }
            self.group = self.groups.next()?.entries.into_iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for IntoEntries<T> {}

impl<T: fmt::Debug> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::key_space::{bin_of, hash_of};
    use super::*;

    /// Hashes of which many are equal, or equal in most of their bits.
    fn hash(kind: u8, key: u16) -> u64 {
        let key = u64::from(key);
        match kind {
            0 => key.wrapping_mul(0xD134_2543_DE82_EF95),
            1 => key % 3,
            2 => key << 48,
            _ => key,
        }
    }

    proptest! {
        /// The table says the same as a map, whatever is put in and taken out, also where hashes
        /// collide.
        #[test]
        fn says_the_same_as_a_map(kind in 0u8..4, room in 0usize..40, keys in 1u16..300, changes in prop::collection::vec(any::<(u16, u8)>(), 1..800)) {
            let (mut table, mut map) = (Table::with_capacity(room), BTreeMap::new());
            for (key, change) in changes {
                let key = key % keys;
                let hash_of = |entry: &(u16, u32)| hash(kind, entry.0);
                let found = table.find_mut(hash(kind, key), |entry: &(u16, u32)| entry.0 == key).map(|entry| &mut entry.1);
                prop_assert_eq!(found.as_deref(), map.get(&key));
                match (found, change % 3) {
                    (Some(_), 0) => {
                        let removed = table.remove(hash(kind, key), |entry| entry.0 == key);
                        prop_assert_eq!(removed.map(|entry| entry.1), map.remove(&key));
                    }
                    (Some(value), _) => {
                        *value += 1;
                        map.entry(key).and_modify(|value| *value += 1);
                    }
                    (None, _) => {
                        table.insert_unique(hash(kind, key), (key, u32::from(change)), hash_of);
                        map.insert(key, u32::from(change));
                    }
                }
                prop_assert_eq!(table.len(), map.len());
            }
            prop_assert_eq!(table.iter().copied().collect::<BTreeMap<_, _>>(), map.clone());
            let entries = table.into_entries();
            prop_assert_eq!(entries.len(), map.len());
            prop_assert_eq!(entries.collect::<BTreeMap<_, _>>(), map);
        }
    }

    #[test]
    fn keys_that_come_and_go_do_not_slow_it_down() {
        let mut table = Table::new();
        let hash_of = |key: &u64| key.wrapping_mul(0xD134_2543_DE82_EF95);
        for key in 0..100_000u64 {
            table.insert_unique(hash_of(&key), key, hash_of);
            if key >= 100 {
                assert_eq!(table.remove(hash_of(&(key - 100)), |&other| other == key - 100), Some(key - 100));
            }
        }
        assert_eq!(table.len(), 100);
        assert!(table.groups.len() < 30 && table.displaced <= 60, "{} groups, {} displaced", table.groups.len(), table.displaced);
    }

    /// Consecutive keys, of which a bin has every n-th: hashes in a pattern, by any of the numbers
    /// of bins.
    #[test]
    fn keys_in_a_pattern_are_spread_all_the_same() {
        for bits in 0..=14 {
            let bins = 1 << bits;
            for stride in [1u64, 3, 10, 1 << 12, 1 << 32, 0x9E37_79B9_7F4A_7C15] {
                let keys = (0u64..).map(|n| n.wrapping_mul(stride)).filter(|key| bin_of(key, bins).0 == 0).take(if bits < 10 {
                    3_000
                } else {
                    500
                });
                let mut table = Table::new();
                keys.for_each(|key| table.insert_unique(hash_of(&key), key, hash_of::<u64>));
                let passed_by = table.groups.iter().filter(|group| group.was_passed_by()).count();
                assert!(
                    passed_by * 10 < table.groups.len() * 4,
                    "{bins} bins, stride {stride}: {passed_by} of {} groups passed by",
                    table.groups.len()
                );
            }
        }
    }

    #[test]
    fn a_group_of_small_entries_is_two_lines_of_memory() {
        assert_eq!(size_of::<Group<(u64, u64)>>(), 128);
        assert_eq!(Table::<u64>::new().allocation_size(), 0);
    }
}
