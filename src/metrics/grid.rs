//! A map from pairs of small numbers: operator and instance, or operator and bin.
//!
//! Lookups take constant time, because one is made for every recorded batch. Numbers beyond those
//! of any job are stored separately, so that a record with an absurd number costs no memory.

use std::collections::BTreeMap;

use crate::id::OperatorId;

/// Numbers from here on are stored separately.
const MOST: u32 = 1 << 16;

/// Values by operator and a second number.
#[derive(Clone, Debug)]
pub(super) struct Grid<T> {
    rows: Vec<Vec<Option<T>>>,
    beyond: BTreeMap<(u32, u32), T>,
}

impl<T> Default for Grid<T> {
    fn default() -> Self {
        Grid { rows: Vec::new(), beyond: BTreeMap::new() }
    }
}

impl<T> Grid<T> {
    /// The value, created by `make` if absent.
    pub(super) fn entry(&mut self, operator: OperatorId, number: u32, make: impl FnOnce() -> T) -> &mut T {
        if operator.0 >= MOST || number >= MOST {
            return self.beyond.entry((operator.0, number)).or_insert_with(make);
        }
        let (row, column) = (operator.0 as usize, number as usize);
        if self.rows.len() <= row {
            self.rows.resize_with(row + 1, Vec::new);
        }
        let row = &mut self.rows[row];
        if row.len() <= column {
            row.resize_with(column + 1, || None);
        }
        row[column].get_or_insert_with(make)
    }

    /// Removes all values and gives them to `take`; the space is used again.
    pub(super) fn drain(&mut self, mut take: impl FnMut(T)) {
        self.rows.iter_mut().flatten().filter_map(Option::take).for_each(&mut take);
        std::mem::take(&mut self.beyond).into_values().for_each(take);
    }

    /// The value, if there is one.
    pub(super) fn get(&self, operator: OperatorId, number: u32) -> Option<&T> {
        let flat = self.rows.get(operator.0 as usize).and_then(|row| row.get(number as usize)).and_then(Option::as_ref);
        flat.or_else(|| self.beyond.get(&(operator.0, number)))
    }

    /// An operator's values by number, starting at `first`.
    pub(super) fn of(&self, operator: OperatorId, first: u32) -> impl Iterator<Item = (u32, &T)> {
        let row = self.rows.get(operator.0 as usize).map_or(&[][..], Vec::as_slice);
        let flat = (0..).zip(row).skip(first as usize).filter_map(|(number, value)| Some((number, value.as_ref()?)));
        let beyond = self.beyond.range((operator.0, first)..=(operator.0, u32::MAX)).map(|((_, number), value)| (*number, value));
        flat.chain(beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_mad_numbers_are_found_again_in_order() {
        let mut grid: Grid<u32> = Grid::default();
        let (one, mad) = (OperatorId(1), OperatorId(u32::MAX));
        for (operator, number) in [(one, 5), (one, u32::MAX), (one, 0), (mad, 3)] {
            *grid.entry(operator, number, || 0) += number % 100 + 1;
        }
        assert_eq!(grid.of(one, 0).map(|(number, value)| (number, *value)).collect::<Vec<_>>(), [(0, 1), (5, 6), (u32::MAX, 96)]);
        assert_eq!(grid.of(one, 1).count(), 2);
        assert_eq!((grid.get(mad, 3), grid.get(one, 1), grid.get(OperatorId(7), 0)), (Some(&4), None, None));
        let mut all = Vec::new();
        grid.drain(|value| all.push(value));
        assert_eq!((all, grid.of(one, 0).count(), grid.get(mad, 3)), (vec![1, 6, 96, 4], 0, None));
    }
}
