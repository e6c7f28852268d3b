//! Queue in one contiguous slice: elements are added at one end and discarded at the other.
//!
//! A ring buffer would have to be walked in two pieces, with a check at each access. Memory is at
//! most twice the largest number of elements held at once, as with a ring: discarded elements at
//! the front are overwritten before more memory is taken.

/// A queue whose items are contiguous.
#[derive(Clone, Debug)]
pub(super) struct Queue<T> {
    items: Vec<T>,
    /// Number of discarded items at the front.
    first: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue { items: Vec::new(), first: 0 }
    }
}

impl<T> Queue<T> {
    /// What is kept, the oldest first.
    #[inline]
    pub(super) fn as_slice(&self) -> &[T] {
        &self.items[self.first..]
    }

    #[inline]
    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.items[self.first..]
    }

    #[inline]
    pub(super) fn push(&mut self, item: T) {
        if self.items.len() == self.items.capacity() {
            self.make_room();
        }
        self.items.push(item);
    }

    /// Moves what is kept to the front where that is at most half of all: each item is moved for
    /// one that is done with.
    #[cold]
    fn make_room(&mut self) {
        if self.first * 2 >= self.items.len() {
            self.items.drain(..self.first);
            self.first = 0;
        }
    }

    /// Gives back the memory of an empty queue.
    pub(super) fn free(&mut self) {
        if self.items.is_empty() && self.items.capacity() > 0 {
            self.items = Vec::new();
        }
    }

    /// Discards the oldest `count` items.
    #[inline]
    pub(super) fn skip(&mut self, count: usize) {
        self.first += count;
        if self.first >= self.items.len() {
            self.items.clear();
            self.first = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn a_queue_keeps_what_is_not_done_with_and_no_more_memory_than_a_few_times_that() {
        let (mut queue, mut model) = (Queue::default(), VecDeque::new());
        for round in 0..10_000usize {
            let (comes, goes) = (round % 7, round % 11);
            for item in 0..comes {
                queue.push((round, item));
                model.push_back((round, item));
            }
            let goes = goes.min(model.len());
            queue.skip(goes);
            model.drain(..goes);
            assert_eq!(queue.as_slice(), model.make_contiguous());
            assert!(queue.items.capacity() <= 64, "{} for {}", queue.items.capacity(), model.len());
        }
    }
}
