//! Offsets between clocks, estimated from the messages between them.
//!
//! A message is never received before it was sent. Where the log says so, the two clocks differ:
//! each pair of workers bounds the difference of its offsets by its quickest message in either
//! direction. These bounds are a system of difference constraints, solved by shortest paths once
//! from each side; the mean of the two solutions lies in the middle of what is possible. Clocks
//! that contradict nothing are left alone.

use std::collections::BTreeMap;

/// Bounds on the offsets of clocks, by number of the clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Clocks {
    /// Least delay of a message from one clock to another; kept from the first negative one on.
    least: BTreeMap<(u32, u32), i64>,
    contradicted: bool,
    solved: BTreeMap<u32, i64>,
}

impl Clocks {
    /// Registers a message from clock `from` to clock `to` that seemed to travel for `delay` ns.
    pub(super) fn observe(&mut self, from: u32, to: u32, delay: i64) {
        if from == to || (delay >= 0 && self.least.is_empty()) {
            return;
        }
        let least = self.least.entry((from, to)).or_insert(i64::MAX);
        if delay < *least {
            *least = delay;
            self.contradicted |= delay < 0;
        }
    }

    /// What has to be added to a clock.
    pub(super) fn offset(&self, clock: u32) -> i64 {
        self.solved.get(&clock).copied().unwrap_or(0)
    }

    /// How many clocks are corrected.
    pub(super) fn corrected(&self) -> u64 {
        self.solved.values().filter(|&&offset| offset != 0).count() as u64
    }

    /// Recomputes the offsets if messages contradicted each other since the last time; returns
    /// whether it did.
    pub(super) fn solve(&mut self) -> bool {
        if !std::mem::take(&mut self.contradicted) {
            return false;
        }
        // corrected receive - corrected send >= 0, so x[from] - x[to] <= least delay: an upper
        // bound for `from`, a lower one for `to`.
        let mut low: BTreeMap<u32, i64> = self.least.keys().flat_map(|&(from, to)| [(from, 0), (to, 0)]).collect();
        let mut high = low.clone();
        // Contradictory bounds (clocks that drift) have no solution; the rounds end all the same.
        for _ in 0..low.len() {
            for (&(from, to), &least) in &self.least {
                let bound = low[&to].saturating_add(least).max(-MOST_OFFSET);
                low.entry(from).and_modify(|offset| *offset = bound.min(*offset));
                let bound = high[&from].saturating_sub(least).min(MOST_OFFSET);
                high.entry(to).and_modify(|offset| *offset = bound.max(*offset));
            }
        }
        self.solved = low.iter().map(|(&clock, &low)| (clock, low / 2 + high[&clock] / 2)).collect();
        true
    }
}

/// About a hundred years: sums of offsets and times stay far from overflow.
const MOST_OFFSET: i64 = 1 << 61;

#[cfg(test)]
mod tests {
    use super::*;

    fn corrected(clocks: &Clocks, from: u32, to: u32, delay: i64) -> i64 {
        delay + clocks.offset(to) - clocks.offset(from)
    }

    #[test]
    fn clocks_that_agree_are_left_alone() {
        let mut clocks = Clocks::default();
        clocks.observe(0, 1, 5);
        clocks.observe(1, 0, 7);
        clocks.solve();
        assert_eq!((clocks.offset(0), clocks.offset(1)), (0, 0));
    }

    #[test]
    fn a_clock_that_is_ahead_is_set_back_to_the_middle_of_what_is_possible() {
        // Clock 1 is 100 ahead; messages take 10 each way. Clock 2 is right.
        let mut clocks = Clocks::default();
        for (from, to, delay) in [(1, 0, -90), (0, 1, 110), (1, 2, -90), (2, 1, 110), (0, 2, 10), (2, 0, 10)] {
            clocks.observe(from, to, delay);
        }
        clocks.solve();
        let (there, back) = (corrected(&clocks, 0, 1, 110), corrected(&clocks, 1, 0, -90));
        assert!((0..=20).contains(&there) && there + back == 20, "{there} {back}");
        for (from, to, delay) in [(1, 2, -90), (2, 1, 110), (0, 2, 10), (2, 0, 10)] {
            assert!(corrected(&clocks, from, to, delay) >= 0);
        }
    }

    #[test]
    fn contradictory_clocks_end_the_search_too() {
        let mut clocks = Clocks::default();
        clocks.observe(0, 1, -50);
        clocks.observe(1, 0, -50);
        clocks.observe(2, 0, i64::MIN);
        clocks.solve();
        assert!(clocks.offset(2).abs() <= MOST_OFFSET);
    }
}
