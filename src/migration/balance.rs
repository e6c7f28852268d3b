//! A new assignment: balanced by measured load, moving as little as it can.
//!
//! What has to move is what instances have that are to go, and what the others have beyond their fair share. It is dealt out, then
//! bins are exchanged between the fullest instance and others ([`Shares`]) until the fullest has no more than if all bins were dealt
//! out anew. Where exchanges do not lead there, or move more, which only happens with a few bins an instance, bins are dealt out anew:
//! balance comes first, since the policy has planned as many instances as the load needs and not one more.
//!
//! Bins in which nothing arrived say nothing of load. They are spread by their number when the number of instances changes, so that
//! whatever arrives in them later is spread, and stay where they are otherwise.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Assignment;
use super::shares::{Shares, Weight};

/// The fullest instance has at most this part more than if all bins were dealt out anew. Loads are arrivals of one window: even a
/// million of them is by as much more or less in the next (a standard deviation of 1000).
const TOLERANCE: f64 = 0.001;
/// Where the number of instances stays the same nothing moves for less than this part: dealing out anew is finer by a little in one order
/// than in another, and what is balanced is to stay.
const WORTHWHILE: f64 = 0.005;

/// Assigns the bins of `current` to `instances` instances by `loads` (any unit, by bin; missing entries count as 0).
///
/// # Panics
/// If there is no instance, or more loads than bins.
pub fn rebalance(current: &Assignment, loads: &[f64], instances: u32) -> Assignment {
    let bins = current.owners().len();
    assert!(instances > 0 && loads.len() <= bins, "{instances} instances, {} loads for {bins} bins", loads.len());
    let load = |bin: usize| loads.get(bin).copied().unwrap_or(0.0);
    let (seen, unseen): (Vec<usize>, Vec<usize>) = (0..bins).partition(|&bin| load(bin) > 0.0);
    let is_rescaled = current.instances() != instances;
    let least_gain = if is_rescaled { 0.0 } else { WORTHWHILE };
    let mut owners = current.owners().to_vec();
    let mut spread = |bins: Vec<usize>, weight: &dyn Fn(usize) -> f64| {
        let weights: Vec<f64> = bins.iter().map(|&bin| weight(bin)).collect();
        let before: Vec<u32> = bins.iter().map(|&bin| owners[bin]).collect();
        for (bin, owner) in bins.into_iter().zip(balanced(&before, &weights, instances, least_gain)) {
            owners[bin] = owner;
        }
    };
    spread(seen, &load);
    if is_rescaled {
        spread(unseen, &|_| 1.0);
    }
    Assignment::of(owners)
}

/// The new owners of bins with these owners and weights; the same if the fullest instance would lose less than a part `least_gain`.
fn balanced(owners: &[u32], weights: &[f64], instances: u32, least_gain: f64) -> Vec<u32> {
    // A bin that alone exceeds the fair share fills its instance whatever it weighs; the others share what is left.
    let fair = fair_share(weights, instances);
    let weights: Vec<f64> = weights.iter().map(|weight| weight.min(fair)).collect();
    let anew = dealt_anew(owners, &weights, instances, fair);
    let most = Shares::new(&anew, &weights, instances).most() * (1.0 + TOLERANCE);
    let mut shares = Shares::new(owners, &weights, instances);
    if shares.is_whole() && shares.most() <= most * (1.0 + least_gain) {
        return owners.to_vec();
    }
    shares.release(fair);
    shares.deal_out();
    if !shares.exchange(most) {
        return anew;
    }
    let exchanged = shares.into_owners();
    // With few bins an instance exchanges may move more than dealing out does.
    let moved = |after: &[u32]| moved_shares(owners, after, &weights);
    if moved(&anew) < moved(&exchanged) { anew } else { exchanged }
}

/// The share of all load that moves and the share of all bins that move, together.
fn moved_shares(before: &[u32], after: &[u32], weights: &[f64]) -> f64 {
    let moved = |bin: &usize| before[*bin] != after[*bin];
    let bins: Vec<usize> = (0..weights.len()).filter(moved).collect();
    let load: f64 = bins.iter().map(|&bin| weights[bin]).sum();
    load / weights.iter().sum::<f64>() + bins.len() as f64 / weights.len() as f64
}

/// What each instance has if all have the same, but for those that one bin alone fills beyond that.
fn fair_share(weights: &[f64], instances: u32) -> f64 {
    let mut heaviest = weights.to_vec();
    heaviest.sort_by(|a, b| b.total_cmp(a));
    let (mut left, mut sharing) = (heaviest.iter().sum::<f64>(), f64::from(instances));
    for weight in heaviest {
        if sharing <= 1.0 || weight <= left / sharing {
            break;
        }
        (left, sharing) = (left - weight, sharing - 1.0);
    }
    // With fewer bins than instances each has an instance of its own.
    (left / sharing).max(weights.iter().copied().fold(f64::INFINITY, f64::min))
}

/// All bins dealt out, the largest first (longest processing time, Graham 1969): a bin stays with its owner while that one has room
/// below its fair share, else it goes to the least loaded instance. Large bins are placed while there is room everywhere, the many small
/// ones even out what is left. That balances finely and moves little load, but in many bins: those that move are the small ones.
fn dealt_anew(owners: &[u32], weights: &[f64], instances: u32, fair: f64) -> Vec<u32> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));

    let mut owners = owners.to_vec();
    let mut load = vec![0.0; instances as usize];
    // Least loaded first; entries go stale when an instance keeps a bin of its own and are refreshed when they surface.
    let mut least: BinaryHeap<Reverse<(Weight, usize)>> = (0..instances as usize).map(|i| Reverse((Weight(0.0), i))).collect();
    for bin in order {
        let owner = owners[bin] as usize;
        let stays = load.get(owner).is_some_and(|load| load + weights[bin] <= fair * (1.0 + 1e-9));
        let target = if stays { owner } else { pop_least(&mut least, &load) };
        owners[bin] = target as u32;
        load[target] += weights[bin];
        if !stays {
            least.push(Reverse((Weight(load[target]), target)));
        }
    }
    owners
}

fn pop_least(least: &mut BinaryHeap<Reverse<(Weight, usize)>>, load: &[f64]) -> usize {
    loop {
        let Reverse((known, instance)) = least.pop().expect("every instance has an entry");
        if known.0 == load[instance] {
            return instance;
        }
        least.push(Reverse((Weight(load[instance]), instance)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sums(assignment: &[u32], loads: &[f64], instances: u32) -> Vec<f64> {
        let mut sums = vec![0.0; instances as usize];
        for (&owner, load) in assignment.iter().zip(loads) {
            sums[owner as usize] += load;
        }
        sums
    }

    fn most(sums: &[f64]) -> f64 {
        sums.iter().copied().fold(0.0, f64::max)
    }

    /// Bins that move, and their load.
    fn moved(before: &Assignment, after: &Assignment, loads: &[f64]) -> (usize, f64) {
        let bins: Vec<_> = before.moves_to(after).collect();
        (bins.len(), bins.iter().map(|(bin, _)| loads[bin.0 as usize]).sum())
    }

    /// The load that has to move so that no instance has more than the mean: what those had that go, and what others have beyond it.
    fn least_moved(before: &Assignment, loads: &[f64], instances: u32) -> f64 {
        let held = sums(before.owners(), loads, before.instances().max(instances));
        let mean = loads.iter().sum::<f64>() / f64::from(instances);
        let must = |(owner, &load): (usize, &f64)| if owner < instances as usize { (load - mean).max(0.0) } else { load };
        held.iter().enumerate().map(must).sum()
    }

    /// The number of bins that `owner` has to give if of heavy and light ones it gives the same part.
    fn least_bins(before: &Assignment, loads: &[f64], owner: u32, instances: u32) -> f64 {
        let held: Vec<f64> = loads.iter().zip(before.owners()).filter(|(_, of)| **of == owner).map(|(load, _)| *load).collect();
        let (load, mean) = (held.iter().sum::<f64>(), loads.iter().sum::<f64>() / f64::from(instances));
        held.len() as f64 * if owner < instances { (1.0 - mean / load).max(0.0) } else { 1.0 }
    }

    #[test]
    fn a_balanced_assignment_does_not_move() {
        let current = Assignment::even(64, 4);
        assert_eq!(rebalance(&current, &[1.0; 64], 4), current);
        assert_eq!(rebalance(&current, &[], 4), current);
    }

    #[test]
    fn bins_that_nobody_has_seen_are_spread_by_their_number_when_instances_come_or_go() {
        let after = rebalance(&Assignment::even(64, 1), &[], 4);
        assert_eq!(sums(after.owners(), &[1.0; 64], 4), [16.0; 4]);
        // Two bins are used; of the other six each instance has its part, whatever it has of the load.
        let before = Assignment::even(8, 1);
        let after = rebalance(&before, &[4.0, 2.0], 2);
        assert_eq!(sums(&after.owners()[2..], &[1.0; 6], 2), [3.0; 2]);
        assert_ne!(after.owners()[0], after.owners()[1]);
        assert_eq!(rebalance(&after, &[4.0, 2.0, 1.0], 2).owners()[3..], after.owners()[3..]);
    }

    #[test]
    fn a_bin_that_exceeds_its_share_does_not_keep_others_from_moving() {
        // Instance 0 has one huge bin, instance 1 too many small ones, instance 2 none.
        let current = Assignment::of([vec![0], vec![1; 40]].concat());
        let after = rebalance(&current, &[vec![100.0], vec![1.0; 40]].concat(), 3);
        assert_eq!(sums(after.owners(), &[1.0; 41], 3), [1.0, 20.0, 20.0]);
    }

    #[test]
    fn two_bins_are_swapped_where_giving_one_does_not_help() {
        let current = Assignment::of(vec![0, 0, 1, 1]);
        let after = rebalance(&current, &[6.0, 5.0, 4.0, 5.0], 2);
        assert_eq!(sums(after.owners(), &[6.0, 5.0, 4.0, 5.0], 2), [10.0, 10.0]);
        assert_eq!(moved(&current, &after, &[1.0; 4]).0, 2);
    }

    proptest! {
        /// Balance is as fine as that of the largest bins first, for any owners and loads, with bins heavier than the fair share too.
        #[test]
        fn the_fullest_instance_has_no_more_than_if_all_bins_were_dealt_out_anew(
            loads in prop::collection::vec(prop_oneof![3 => 0u32..100, 1 => 0u32..2000], 1..300), before in 1u32..12, after in 1u32..40
        ) {
            let loads: Vec<f64> = loads.into_iter().map(f64::from).collect();
            let current = Assignment::even(loads.len() as u32, before);
            let balanced = rebalance(&current, &loads, after);
            prop_assert!(balanced.owners().iter().all(|&owner| owner < after));
            let (seen, owners): (Vec<f64>, Vec<u32>) = loads.iter().zip(current.owners()).filter(|(load, _)| **load > 0.0).unzip();
            // A bin above the fair share counts as that: it fills its instance, and what is beside it counts.
            let fair = fair_share(&seen, after);
            let [loads, seen] = [loads, seen].map(|loads| loads.iter().map(|load| load.min(fair)).collect::<Vec<f64>>());
            let anew = dealt_anew(&owners, &seen, after, fair);
            let (found, expected) = (most(&sums(balanced.owners(), &loads, after)), most(&sums(&anew, &seen, after)));
            let tolerance = if current.instances() == after { TOLERANCE + 1.01 * WORTHWHILE } else { TOLERANCE };
            prop_assert!(found <= expected * (1.0 + tolerance) + 1e-6, "fullest {found}, dealt out anew {expected}");
        }

        /// With many bins an instance, no order of dealing out is finer by more than the lightest bins.
        #[test]
        fn the_fullest_instance_is_close_to_the_mean(loads in prop::collection::vec(1u32..100, 400), before in 1u32..9, after in 1u32..9) {
            let loads: Vec<f64> = loads.into_iter().map(f64::from).collect();
            let balanced = rebalance(&Assignment::even(400, before), &loads, after);
            let (found, mean) = (most(&sums(balanced.owners(), &loads, after)), loads.iter().sum::<f64>() / f64::from(after));
            let tolerance = if before == after { TOLERANCE + 1.01 * WORTHWHILE } else { TOLERANCE };
            prop_assert!(found <= mean * (1.0 + tolerance) + 2.0, "fullest {found}, mean {mean}");
        }

        #[test]
        fn what_has_been_balanced_does_not_move(loads in prop::collection::vec(1u32..100, 400), before in 1u32..9, after in 1u32..9) {
            let loads: Vec<f64> = loads.into_iter().map(f64::from).collect();
            let balanced = rebalance(&Assignment::even(400, before), &loads, after);
            prop_assert_eq!(rebalance(&balanced, &loads, after), balanced);
        }

        /// What moves is little more than the load that has to, in little more bins than their part of all.
        #[test]
        fn little_more_moves_than_has_to(
            loads in prop::collection::vec(1u32..100, 400), owners in prop::collection::vec(0u32..6, 400), after in 1u32..9
        ) {
            let loads: Vec<f64> = loads.into_iter().map(f64::from).collect();
            let before = Assignment::of(owners);
            let balanced = rebalance(&before, &loads, after);
            let (bins, load) = moved(&before, &balanced, &loads);
            let (least, slack) = (least_moved(&before, &loads, after), 50.0 * f64::from(after));
            prop_assert!(load <= least + slack, "moves {load}, {least} have to");
            let fewest: f64 = (0..6).map(|owner| least_bins(&before, &loads, owner, after)).sum();
            prop_assert!(bins as f64 <= fewest + 4.0 * f64::from(after), "moves {bins} bins, {fewest} have to");
        }

        /// With equal loads the old instances keep their whole shares, and bins go to new instances only.
        #[test]
        fn growing_moves_the_share_of_the_new_instances(bins in 1u32..500, p in 1u32..20, more in 1u32..20) {
            let (before, q) = (Assignment::even(bins, p), p + more);
            let after = rebalance(&before, &[], q);
            let (count, _) = moved(&before, &after, &vec![1.0; bins as usize]);
            prop_assert!(before.moves_to(&after).all(|(_, to)| to >= p));
            prop_assert!(count as u32 <= (bins * more).div_ceil(q), "{count} of {bins} bins from {p} to {q}");
            let sums = sums(after.owners(), &vec![1.0; bins as usize], q);
            prop_assert!(most(&sums) <= f64::from(bins.div_ceil(q)), "{sums:?}");
        }

        /// With equal loads nothing moves but the bins of instances that go.
        #[test]
        fn shrinking_moves_the_bins_of_the_instances_that_go(bins in 1u32..500, q in 1u32..20, less in 1u32..20) {
            let before = Assignment::even(bins, q + less);
            let after = rebalance(&before, &[], q);
            prop_assert!(before.moves_to(&after).all(|(bin, _)| before.owner(bin) >= q));
            prop_assert!(most(&sums(after.owners(), &vec![1.0; bins as usize], q)) <= f64::from(bins.div_ceil(q)));
        }
    }
}
