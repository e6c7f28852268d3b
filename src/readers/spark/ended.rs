//! The numbers of tasks that have ended.
//!
//! Tasks are numbered in the order of their launch and end in nearly the same order, so the numbers
//! form few intervals. Invariant: at most [`MOST_INTERVALS`] intervals are kept; of more, the lowest
//! numbers are forgotten.

use std::collections::BTreeMap;

/// The most intervals.
const MOST_INTERVALS: usize = 1 << 16;

/// A set of numbers, as intervals from the first to the last.
#[derive(Debug, Default)]
pub(super) struct Ended {
    intervals: BTreeMap<u64, u64>,
}

impl Ended {
    pub(super) fn contains(&self, number: u64) -> bool {
        self.intervals.range(..=number).next_back().is_some_and(|(_, &last)| number <= last)
    }

    pub(super) fn insert(&mut self, number: u64) {
        if self.contains(number) {
            return;
        }
        let last = number.checked_add(1).and_then(|next| self.intervals.remove(&next)).unwrap_or(number);
        match self.intervals.range_mut(..number).next_back() {
            Some((_, end)) if end.checked_add(1) == Some(number) => *end = last,
            _ => drop(self.intervals.insert(number, last)),
        }
        if self.intervals.len() > MOST_INTERVALS {
            self.intervals.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_was_inserted_in_as_few_intervals_as_possible(numbers in prop::collection::vec(0u64..40, 0..60)) {
            let (mut ended, mut expected) = (Ended::default(), std::collections::BTreeSet::new());
            for number in numbers {
                ended.insert(number);
                expected.insert(number);
                prop_assert!((0..41).all(|number| ended.contains(number) == expected.contains(&number)));
            }
            let starts = expected.iter().filter(|&&number| number == 0 || !expected.contains(&(number - 1))).count();
            prop_assert_eq!(ended.intervals.len(), starts);
        }
    }

    #[test]
    fn the_largest_number_has_no_successor() {
        let mut ended = Ended::default();
        ended.insert(u64::MAX);
        ended.insert(u64::MAX - 1);
        assert!(ended.contains(u64::MAX) && ended.contains(u64::MAX - 1) && !ended.contains(0));
    }
}
