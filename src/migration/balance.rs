//! A new assignment: balanced by measured load, moving as little as it can.
//!
//! Largest bin first (longest processing time, Graham 1969): a bin stays with its owner while that one has room below its
//! fair share, else it goes to the least loaded instance. Large bins are placed while there is room everywhere, the many
//! small ones even out what is left, so the fullest instance exceeds the mean by little unless one bin alone does.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Assignment;

/// Share of the whole load that is spread evenly over all bins, so that bins nobody has seen yet are spread too.
const UNSEEN_SHARE: f64 = 0.001;

/// Assigns the bins of `current` to `instances` instances by `loads` (any unit, by bin; missing entries count as 0).
///
/// # Panics
/// If there is no instance, or more loads than bins.
pub fn rebalance(current: &Assignment, loads: &[f64], instances: u32) -> Assignment {
    let bins = current.owners().len();
    assert!(instances > 0 && loads.len() <= bins, "{instances} instances, {} loads for {bins} bins", loads.len());
    let total: f64 = loads.iter().sum();
    let unseen = if total > 0.0 { total * UNSEEN_SHARE / bins as f64 } else { 1.0 };
    let weight = |bin: usize| loads.get(bin).copied().unwrap_or(0.0) + unseen;
    let fair = (0..bins).map(weight).sum::<f64>() / f64::from(instances);

    let mut order: Vec<usize> = (0..bins).collect();
    order.sort_by(|&a, &b| weight(b).total_cmp(&weight(a)).then(a.cmp(&b)));

    let mut owners = current.owners().to_vec();
    let mut load = vec![0.0; instances as usize];
    // Least loaded first; entries go stale when an instance keeps a bin of its own and are refreshed when they surface.
    let mut least: BinaryHeap<Reverse<(Ordered, usize)>> = (0..instances as usize).map(|i| Reverse((Ordered(0.0), i))).collect();
    for bin in order {
        let owner = owners[bin] as usize;
        let stays = owner < load.len() && load[owner] + weight(bin) <= fair * (1.0 + 1e-9);
        let target = if stays { owner } else { pop_least(&mut least, &load) };
        owners[bin] = target as u32;
        load[target] += weight(bin);
        if !stays {
            least.push(Reverse((Ordered(load[target]), target)));
        }
    }
    Assignment::of(owners)
}

fn pop_least(least: &mut BinaryHeap<Reverse<(Ordered, usize)>>, load: &[f64]) -> usize {
    loop {
        let Reverse((known, instance)) = least.pop().expect("every instance has an entry");
        if known.0 == load[instance] {
            return instance;
        }
        least.push(Reverse((Ordered(load[instance]), instance)));
    }
}

#[derive(PartialEq)]
struct Ordered(f64);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Ordered) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Ordered) -> std::cmp::Ordering {
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

    #[test]
    fn a_balanced_assignment_does_not_move() {
        let current = Assignment::even(64, 4);
        assert_eq!(rebalance(&current, &[1.0; 64], 4), current);
        assert_eq!(rebalance(&current, &[], 4), current);
    }

    #[test]
    fn unseen_bins_are_spread_too() {
        let after = rebalance(&Assignment::even(64, 1), &[], 4);
        assert_eq!(sums(&after, &[1.0; 64], 4), [16.0; 4]);
    }

    proptest! {
        /// Every bin has an owner in range and no instance exceeds the mean by more than the largest bin.
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
            prop_assert!(fullest <= mean + largest * 1.01 + 1.0, "fullest {fullest}, mean {mean}, largest bin {largest}");
        }
    }
}
