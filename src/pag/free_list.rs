//! Free list of slots, allocated in the order of their numbers, round-robin.
//!
//! Messages that are sent at about the same time therefore lie close together in memory however
//! long the log is, and are still cached when their other side arrives. Invariants: a slot is
//! allocated once until it is freed; at most an eighth of all slots is kept free for the sake of
//! this order, so that an allocation takes constant time on average.

/// The free ones among slots that are numbered from 0.
#[derive(Clone, Debug, Default)]
pub(super) struct FreeList {
    /// A bit for each slot, set if it is free.
    words: Vec<u64>,
    /// How many are free.
    free: usize,
    /// The word from which the next one is looked for.
    next: usize,
}

impl FreeList {
    /// The next free one of `slots` slots; nothing if so few are free that there should be more
    /// slots.
    #[inline]
    pub(super) fn take(&mut self, slots: usize) -> Option<u32> {
        if self.free * 8 <= slots {
            return None;
        }
        loop {
            match self.words.get_mut(self.next) {
                Some(0) => self.next += 1,
                Some(word) => {
                    let bit = word.trailing_zeros();
                    *word &= *word - 1;
                    self.free -= 1;
                    return Some(self.next as u32 * 64 + bit);
                }
                // Some are free, so the search ends in the next round.
                None => self.next = 0,
            }
        }
    }

    /// Slot number `slot` is no longer used; nothing changes if it was not.
    #[inline]
    pub(super) fn free(&mut self, slot: u32) {
        let word = slot as usize / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let bit = 1 << (slot % 64);
        self.free += usize::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// No slot has two users, and there are never many more slots than were in use together.
        #[test]
        fn a_slot_has_one_user_at_a_time(moves in prop::collection::vec(prop::option::weighted(0.6, any::<prop::sample::Index>()), 1..500)) {
            let (mut free_list, mut used, mut slots, mut most) = (FreeList::default(), BTreeSet::new(), 0, 0);
            for leaves in moves {
                match leaves.filter(|_| !used.is_empty()) {
                    Some(index) => {
                        let slot = *index.get(&used.iter().copied().collect::<Vec<u32>>());
                        used.remove(&slot);
                        free_list.free(slot);
                    }
                    None => {
                        let slot = free_list.take(slots).unwrap_or_else(|| {
                            slots += 1;
                            slots as u32 - 1
                        });
                        prop_assert!((slot as usize) < slots && used.insert(slot));
                        most = most.max(used.len());
                    }
                }
                prop_assert!(slots * 7 <= (most + 1) * 8, "{} slots for {}", slots, most);
            }
        }
    }

    #[test]
    fn slots_are_given_out_in_order_whatever_the_order_in_which_they_came_back() {
        let mut free_list = FreeList::default();
        [130, 5, 64, 3, 70].into_iter().for_each(|slot| free_list.free(slot));
        let mut take = || free_list.take(20).unwrap();
        assert_eq!([take(), take(), take()], [3, 5, 64]);
        [4, 4].into_iter().for_each(|slot| free_list.free(slot));
        assert_eq!(free_list.take(8), Some(70));
        assert_eq!(free_list.take(8), Some(130));
        assert_eq!(free_list.take(7), Some(4));
        assert_eq!(free_list.take(0), None);
    }
}
