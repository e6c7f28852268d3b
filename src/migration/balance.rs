//! A new assignment: balanced by measured load, moving no more than it has to.
//!
//! What has to move: the bins of instances that are to go, and what instances have beyond their fair share. Bins that have lost their
//! instance are dealt out first, the largest first, each to the instance with the most room. Then the fullest instance gives to the
//! emptiest: the largest bin that fits into both what the one has too much and what the other has too little, so that few
//! bins move; when none fits, the one that comes closest to making the two equal, as long as that makes them more equal. So at the
//! end no instance exceeds another by more than one of its bins.
//!
//! A bin that alone exceeds the fair share keeps an instance for itself, and the others share what is left. An imbalance below a
//! tolerance is left as it is: it is no more than what loads differ from window to window.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::Assignment;

/// Share of the whole load that is spread evenly over all bins, so that bins nobody has seen yet are spread too.
const UNSEEN_SHARE: f64 = 0.001;
/// Nothing moves if no instance has more or less than its fair share by more than this part of it.
const TOLERANCE: f64 = 0.05;

/// Assigns the bins of `current` to `instances` instances by `loads` (any unit, by bin; missing entries count as 0).
///
/// # Panics
/// If there is no instance, or more loads than bins.
pub fn rebalance(current: &Assignment, loads: &[f64], instances: u32) -> Assignment {
    let bins = current.owners().len();
    assert!(instances > 0 && loads.len() <= bins, "{instances} instances, {} loads for {bins} bins", loads.len());
    let mut balance = Balance::new(current, loads, instances);
    if balance.is_even() {
        return current.clone();
    }
    balance.deal_out();
    balance.even_out();
    Assignment::of(balance.owners)
}

struct Balance {
    owners: Vec<u32>,
    weights: Vec<Weight>,
    /// What an instance has if all have the same, but for those that are filled by one bin.
    fair: f64,
    total: f64,
    load: Vec<f64>,
    /// Bins of each instance by weight.
    bins: Vec<BTreeSet<(Weight, usize)>>,
    /// Bins whose instance is to go.
    orphans: Vec<usize>,
}

impl Balance {
    fn new(current: &Assignment, loads: &[f64], instances: u32) -> Balance {
        let count = current.owners().len();
        let total: f64 = loads.iter().sum();
        let unseen = if total > 0.0 { total * UNSEEN_SHARE / count as f64 } else { 1.0 };
        let weights: Vec<Weight> = (0..count).map(|bin| Weight(loads.get(bin).copied().unwrap_or(0.0) + unseen)).collect();
        let total = weights.iter().map(|weight| weight.0).sum();
        let fair = fair_share(&weights, total, instances);
        let (load, bins) = (vec![0.0; instances as usize], vec![BTreeSet::new(); instances as usize]);
        let mut balance = Balance { owners: current.owners().to_vec(), weights, fair, total, load, bins, orphans: Vec::new() };
        for bin in 0..count {
            let owner = balance.owners[bin] as usize;
            if owner < balance.load.len() { balance.give(bin, owner) } else { balance.orphans.push(bin) }
        }
        balance
    }

    fn give(&mut self, bin: usize, to: usize) {
        self.owners[bin] = to as u32;
        self.load[to] += self.weights[bin].0;
        self.bins[to].insert((self.weights[bin], bin));
    }

    fn take(&mut self, bin: usize) {
        let from = self.owners[bin] as usize;
        self.load[from] -= self.weights[bin].0;
        self.bins[from].remove(&(self.weights[bin], bin));
    }

    fn is_even(&self) -> bool {
        let filled = |load: f64, bins: usize| load > self.fair && bins == 1;
        let even = |(&load, bins): (&f64, &BTreeSet<_>)| (load - self.fair).abs() <= TOLERANCE * self.fair || filled(load, bins.len());
        self.orphans.is_empty() && self.load.iter().zip(&self.bins).all(even)
    }

    /// The instance with the least load, the first of several.
    fn emptiest(&self) -> usize {
        (0..self.load.len()).min_by(|&a, &b| self.load[a].total_cmp(&self.load[b])).expect("there is an instance")
    }

    fn deal_out(&mut self) {
        let mut orphans = std::mem::take(&mut self.orphans);
        orphans.sort_by_key(|&bin| (Reverse(self.weights[bin]), bin));
        for bin in orphans {
            self.give(bin, self.emptiest());
        }
    }

    /// Every move makes two instances more equal, so the sum of squared loads falls with each and this ends.
    fn even_out(&mut self) {
        let mut givers: BTreeSet<usize> = (0..self.load.len()).collect();
        while let Some(&from) = givers.iter().max_by(|&&a, &&b| self.load[a].total_cmp(&self.load[b]).then(b.cmp(&a))) {
            let to = self.emptiest();
            let (surplus, room) = (self.load[from] - self.fair, self.fair - self.load[to]);
            if surplus <= NEGLIGIBLE * self.total {
                break;
            }
            match self.fits(from, surplus.min(room)).or_else(|| self.helps(from, surplus + room)) {
                Some(bin) => {
                    self.take(bin);
                    self.give(bin, to);
                }
                None => {
                    givers.remove(&from);
                }
            }
        }
    }

    /// The largest bin of `from` that weighs at most `most`; of equal ones the one with the highest number.
    fn fits(&self, from: usize, most: f64) -> Option<usize> {
        let most = Weight(most * (1.0 + NEGLIGIBLE));
        self.bins[from].range(..=(most, usize::MAX)).next_back().map(|&(_, bin)| bin)
    }

    /// The bin of `from` that comes closest to making two instances equal that differ by `gap`, if it makes them more equal.
    fn helps(&self, from: usize, gap: f64) -> Option<usize> {
        let half = Weight(gap / 2.0);
        let below = self.fits(from, half.0);
        let above = self.bins[from].range((half, 0)..).next().map(|&(_, bin)| bin);
        let off = |bin: &usize| (self.weights[*bin].0 - half.0).abs();
        let closest = below.into_iter().chain(above).min_by(|a, b| off(a).total_cmp(&off(b)));
        closest.filter(|&bin| self.weights[bin].0 < gap * (1.0 - LEAST_GAIN))
    }
}

/// What each instance has once bins that exceed it have an instance of their own.
fn fair_share(weights: &[Weight], total: f64, instances: u32) -> f64 {
    let mut heaviest: Vec<Weight> = weights.to_vec();
    heaviest.sort_by_key(|&weight| Reverse(weight));
    let (mut left, mut sharing) = (total, f64::from(instances));
    for weight in heaviest {
        if sharing <= 1.0 || weight.0 <= left / sharing {
            break;
        }
        (left, sharing) = (left - weight.0, sharing - 1.0);
    }
    left.max(0.0) / sharing
}

/// Differences below this part are those of rounding.
const NEGLIGIBLE: f64 = 1e-9;
/// A move that brings two instances closer by less than this part of what is between them is not worth it.
const LEAST_GAIN: f64 = 0.01;

/// A weight in order.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Weight(f64);

impl Eq for Weight {}

impl PartialOrd for Weight {
    fn partial_cmp(&self, other: &Weight) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Weight {
    fn cmp(&self, other: &Weight) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sums(assignment: &Assignment, loads: &[f64], instances: u32) -> Vec<f64> {
        let mut sums = vec![0.0; instances as usize];
        for (bin, &owner) in assignment.owners().iter().enumerate() {
            sums[owner as usize] += loads[bin];
        }
        sums
    }

    /// Bins that move, and their load.
    fn moved(before: &Assignment, after: &Assignment, loads: &[f64]) -> (usize, f64) {
        let bins: Vec<_> = before.moves_to(after).collect();
        (bins.len(), bins.iter().map(|(bin, _)| loads[bin.0 as usize]).sum())
    }

    #[test]
    fn a_balanced_assignment_does_not_move() {
        let current = Assignment::even(64, 4);
        assert_eq!(rebalance(&current, &[1.0; 64], 4), current);
        assert_eq!(rebalance(&current, &[], 4), current);
    }

    #[test]
    fn an_imbalance_below_the_tolerance_is_left() {
        let current = Assignment::even(400, 4);
        let mut loads = [1.0; 400];
        loads[0] = 5.0;
        assert_eq!(rebalance(&current, &loads, 4), current);
        loads[0] = 12.0;
        let after = rebalance(&current, &loads, 4);
        // Instance 0 has 111 and should have 102.75; the others have 100.
        assert_eq!(moved(&current, &after, &loads), (8, 8.0));
    }

    #[test]
    fn unseen_bins_are_spread_too() {
        let after = rebalance(&Assignment::even(64, 1), &[], 4);
        assert_eq!(sums(&after, &[1.0; 64], 4), [16.0; 4]);
    }

    #[test]
    fn a_bin_that_exceeds_its_share_does_not_keep_others_from_moving() {
        // Instance 0 has one huge bin, instance 1 too many small ones, instance 2 none.
        let current = Assignment::of([vec![0], vec![1; 40]].concat());
        let after = rebalance(&current, &[vec![100.0], vec![1.0; 40]].concat(), 3);
        assert_eq!(sums(&after, &[1.0; 41], 3), [1.0, 20.0, 20.0]);
    }

    proptest! {
        /// Every bin has an owner in range and no instance exceeds the mean by more than the largest bin, or the tolerance.
        #[test]
        fn the_fullest_instance_is_within_the_largest_bin_of_the_mean(
            loads in prop::collection::vec(0.0f64..100.0, 128), before in 1u32..9, after in 1u32..9
        ) {
            let balanced = rebalance(&Assignment::even(128, before), &loads, after);
            prop_assert!(balanced.owners().iter().all(|&owner| owner < after));
            let sums = sums(&balanced, &loads, after);
            let mean = loads.iter().sum::<f64>() / f64::from(after);
            let largest = loads.iter().copied().fold(0.0, f64::max);
            let fullest = sums.iter().copied().fold(0.0, f64::max);
            let most = (mean + largest * 1.01 + 1.0).max(mean * (1.01 + TOLERANCE));
            prop_assert!(fullest <= most, "fullest {fullest}, mean {mean}, largest bin {largest}");
        }

        /// With equal loads the old instances keep their whole shares, and bins go to new instances only.
        #[test]
        fn growing_moves_the_share_of_the_new_instances(bins in 1u32..500, p in 1u32..20, more in 1u32..20) {
            let (before, q) = (Assignment::even(bins, p), p + more);
            let after = rebalance(&before, &[], q);
            let (count, _) = moved(&before, &after, &vec![1.0; bins as usize]);
            prop_assert!(before.moves_to(&after).all(|(_, to)| to >= p));
            prop_assert!(count as u32 <= (bins * more).div_ceil(q), "{count} of {bins} bins from {p} to {q}");
            let sums = sums(&after, &vec![1.0; bins as usize], q);
            prop_assert!(sums.iter().all(|&sum| sum <= f64::from(bins.div_ceil(p.min(bins))) && sum <= f64::from(bins.div_ceil(q)) + 1.0));
        }

        /// With equal loads nothing moves but the bins of instances that go.
        #[test]
        fn shrinking_moves_the_bins_of_the_instances_that_go(bins in 1u32..500, q in 1u32..20, less in 1u32..20) {
            let before = Assignment::even(bins, q + less);
            let after = rebalance(&before, &[], q);
            prop_assert!(before.moves_to(&after).all(|(bin, _)| before.owner(bin) >= q));
            let sums = sums(&after, &vec![1.0; bins as usize], q);
            prop_assert!(sums.iter().all(|&sum| sum <= f64::from(bins.div_ceil(q))));
        }

        /// What has to move is what removed instances had, and what others have beyond the mean; little more does. The number of
        /// bins is little more than that of the heaviest bins that weigh so much.
        #[test]
        fn little_more_moves_than_has_to(
            loads in prop::collection::vec(1.0f64..100.0, 200), owners in prop::collection::vec(0u32..6, 200), after in 1u32..9
        ) {
            let before = Assignment::of(owners);
            let balanced = rebalance(&before, &loads, after);
            let held = sums(&before, &loads, before.instances().max(after));
            let mean = loads.iter().sum::<f64>() / f64::from(after);
            let least: f64 = held[..after as usize].iter().map(|load| (load - mean).max(0.0)).chain(held[after as usize..].iter().copied()).sum();
            let (count, load) = moved(&before, &balanced, &loads);
            let slack = 2.0 * f64::from(after);
            prop_assert!(load <= least + slack * 50.0, "moves {load}, {least} have to");
            let mut fewest = 0;
            for (owner, &load) in held.iter().enumerate() {
                let must = if owner < after as usize { load - mean } else { load };
                let mut bins: Vec<f64> = loads.iter().zip(before.owners()).filter(|(_, o)| **o as usize == owner).map(|(load, _)| *load).collect();
                bins.sort_by(|a, b| b.total_cmp(a));
                fewest += bins.iter().scan(0.0, |sum, load| { let before = *sum; *sum += load; Some(before) }).take_while(|before| *before < must).count();
            }
            prop_assert!(count as f64 <= fewest as f64 + 3.0 * slack, "moves {count} bins, at least {fewest} have to");
        }
    }
}
