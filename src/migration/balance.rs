//! Computes a new assignment that balances the measured load and migrates as little as possible.
//!
//! Bins have to migrate from instances that are removed, and from those with more than their fair
//! share. These bins are assigned greedily, then bins are exchanged between the fullest instance
//! and others ([`Shares`]) until the fullest is no fuller than if all bins were assigned from
//! scratch. If exchanges do not achieve that, or migrate more, which only happens with a few bins
//! per instance, bins are assigned from scratch: balance has priority, since the policy has planned
//! just as many instances as the load needs.
//!
//! A slower instance is as full with less: the balanced quantity is load over speed, and an
//! instance's fair share is proportional to its speed.
//!
//! Bins without arrivals say nothing about load. They are distributed by number when the
//! parallelism changes, so that later arrivals are distributed too, and otherwise stay where they
//! are.

use super::Assignment;
use super::shares::{Shares, soonest};

/// The fullest instance may exceed an assignment from scratch by this share. Loads are arrivals in
/// one window: even a million of them vary by this much from one window to the next (a standard
/// deviation of 1000).
const TOLERANCE: f64 = 0.001;
/// With constant parallelism nothing migrates for a smaller gain than this: an assignment from
/// scratch is slightly finer in one order of bins than in another, and a balanced operator should
/// stay as it is.
const WORTHWHILE: f64 = 0.005;

/// Assigns the bins of `current` to `instances` instances by `loads` (in any unit, by bin; missing
/// entries count as 0).
///
/// # Panics
/// If there are no instances, or more loads than bins.
pub fn rebalance(current: &Assignment, loads: &[f64], instances: u32) -> Assignment {
    rebalance_by_speed(current, loads, &vec![1.0; instances as usize])
}

/// Assigns bins to as many instances as there are `speeds`, each of which receives load in
/// proportion to its speed (in any unit).
///
/// ```
/// use thalweg::migration::{Assignment, rebalance_by_speed};
///
/// let after = rebalance_by_speed(&Assignment::even(64, 2), &[1.0; 64], &[1.0 / 3.0, 1.0]);
/// assert_eq!(after.owners().iter().filter(|owner| **owner == 0).count(), 16);
/// ```
///
/// # Panics
/// If there are no instances, a speed is not positive, or there are more loads than bins.
pub fn rebalance_by_speed(current: &Assignment, loads: &[f64], speeds: &[f64]) -> Assignment {
    let (bins, instances) = (current.owners().len(), speeds.len() as u32);
    assert!(instances > 0 && loads.len() <= bins, "{instances} instances, {} loads for {bins} bins", loads.len());
    assert!(speeds.iter().all(|speed| speed.is_finite() && *speed > 0.0), "an instance is of some speed, among {speeds:?}");
    let load = |bin: usize| loads.get(bin).copied().unwrap_or(0.0);
    let (seen, unseen): (Vec<usize>, Vec<usize>) = (0..bins).partition(|&bin| load(bin) > 0.0);
    let is_rescaled = current.instances() != instances;
    let least_gain = if is_rescaled { 0.0 } else { WORTHWHILE };
    let mut owners = current.owners().to_vec();
    let mut spread = |bins: Vec<usize>, weight: &dyn Fn(usize) -> f64| {
        let weights: Vec<f64> = bins.iter().map(|&bin| weight(bin)).collect();
        let before: Vec<u32> = bins.iter().map(|&bin| owners[bin]).collect();
        for (bin, owner) in bins.into_iter().zip(balanced(&before, &weights, speeds, least_gain)) {
            owners[bin] = owner;
        }
    };
    spread(seen, &load);
    if is_rescaled {
        spread(unseen, &|_| 1.0);
    }
    Assignment::of(owners)
}

/// The new owners of bins with these owners and weights; the same if the fullest instance would
/// lose less than a share `least_gain`.
fn balanced(owners: &[u32], weights: &[f64], speeds: &[f64], least_gain: f64) -> Vec<u32> {
    let (weights, fair) = fair_share(weights, speeds);
    let anew = dealt_anew(owners, &weights, speeds, fair);
    let most = Shares::new(&anew, &weights, speeds).most() * (1.0 + TOLERANCE);
    let mut shares = Shares::new(owners, &weights, speeds);
    if shares.is_whole() && shares.most() <= most * (1.0 + least_gain) {
        return owners.to_vec();
    }
    shares.release(fair);
    shares.deal_out();
    if !shares.exchange(most) {
        return anew;
    }
    let exchanged = shares.into_owners();
    // With few bins per instance, exchanges may migrate more than an assignment from scratch.
    let moved = |after: &[u32]| moved_shares(owners, after, &weights);
    if moved(&anew) < moved(&exchanged) { anew } else { exchanged }
}

/// The share of the load that migrates plus the share of the bins that migrate.
fn moved_shares(before: &[u32], after: &[u32], weights: &[f64]) -> f64 {
    let moved = |bin: &usize| before[*bin] != after[*bin];
    let bins: Vec<usize> = (0..weights.len()).filter(moved).collect();
    let load: f64 = bins.iter().map(|&bin| weights[bin]).sum();
    load / weights.iter().sum::<f64>() + bins.len() as f64 / weights.len() as f64
}

/// Fullness if the load is perfectly divided, except for instances that a single bin fills beyond
/// that; and the weights of bins, where the weight of such a bin is reduced to make its instance as
/// full as the others, which share the remaining load.
fn fair_share(weights: &[f64], speeds: &[f64]) -> (Vec<f64>, f64) {
    let mut heaviest: Vec<usize> = (0..weights.len()).collect();
    heaviest.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
    // The heaviest bins are best placed where they complete soonest.
    let mut fastest = speeds.to_vec();
    fastest.sort_by(|a, b| b.total_cmp(a));
    // Speed of an instance plus those of all slower ones.
    let mut sharing = fastest.clone();
    (1..sharing.len()).rev().for_each(|next| sharing[next - 1] += sharing[next]);
    let (mut left, mut filling) = (heaviest.iter().map(|&bin| weights[bin]).sum::<f64>(), 0);
    while filling + 1 < speeds.len() && filling < weights.len() && weights[heaviest[filling]] > fastest[filling] * left / sharing[filling] {
        left -= weights[heaviest[filling]];
        filling += 1;
    }
    // With fewer bins than instances each bin has its own instance.
    let fair = (left / sharing[filling]).max(weights.iter().copied().fold(f64::INFINITY, f64::min) / fastest[0]);
    let mut weights = weights.to_vec();
    for (&bin, speed) in heaviest[..filling].iter().zip(fastest) {
        weights[bin] = weights[bin].min(fair * speed);
    }
    (weights, fair)
}

/// Assigns all bins, the heaviest first (longest processing time, Graham 1969): a bin stays with
/// its owner while that is below its fair share, otherwise it goes to the instance that is least
/// full with it. Heavy bins are placed while there is room everywhere, and the many light ones even
/// out the rest. This balances finely and migrates little load, but many bins: those that migrate
/// are the light ones.
fn dealt_anew(owners: &[u32], weights: &[f64], speeds: &[f64], fair: f64) -> Vec<u32> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));

    let mut owners = owners.to_vec();
    let mut load = vec![0.0; speeds.len()];
    for bin in order {
        let owner = owners[bin] as usize;
        let stays = load.get(owner).is_some_and(|load| load + weights[bin] <= fair * speeds[owner] * (1.0 + 1e-9));
        let target = if stays { owner } else { soonest(&load, speeds, weights[bin]) };
        owners[bin] = target as u32;
        load[target] += weights[bin];
    }
    owners
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

    /// Number of bins that migrate, and their load.
    fn moved(before: &Assignment, after: &Assignment, loads: &[f64]) -> (usize, f64) {
        let bins: Vec<_> = before.moves_to(after).collect();
        (bins.len(), bins.iter().map(|(bin, _)| loads[bin.0 as usize]).sum())
    }

    /// Fullness of the fullest instance.
    fn fullest(assignment: &[u32], loads: &[f64], speeds: &[f64]) -> f64 {
        most(&sums(assignment, loads, speeds.len() as u32).iter().zip(speeds).map(|(load, speed)| load / speed).collect::<Vec<_>>())
    }

    /// Fullness of each instance if all are equal.
    fn mean(loads: &[f64], speeds: &[f64]) -> f64 {
        loads.iter().sum::<f64>() / speeds.iter().sum::<f64>()
    }

    /// The load that has to migrate so that no instance is fuller than the mean: that of removed
    /// instances, and what others have beyond it.
    fn least_moved(before: &Assignment, loads: &[f64], speeds: &[f64]) -> f64 {
        let held = sums(before.owners(), loads, before.instances().max(speeds.len() as u32));
        let mean = mean(loads, speeds);
        let must = |(owner, &load): (usize, &f64)| speeds.get(owner).map_or(load, |speed| (load - mean * speed).max(0.0));
        held.iter().enumerate().map(must).sum()
    }

    /// The number of bins that `owner` has to release if it releases the same share of heavy and
    /// light ones.
    fn least_bins(before: &Assignment, loads: &[f64], owner: u32, speeds: &[f64]) -> f64 {
        let held: Vec<f64> = loads.iter().zip(before.owners()).filter(|(_, of)| **of == owner).map(|(load, _)| *load).collect();
        let (load, mean) = (held.iter().sum::<f64>(), mean(loads, speeds));
        held.len() as f64 * speeds.get(owner as usize).map_or(1.0, |speed| (1.0 - mean * speed / load).max(0.0))
    }

    /// Speeds of up to this many instances: all the same, or some that are slower or faster.
    fn speeds(most: usize) -> impl Strategy<Value = Vec<f64>> {
        let slow = prop_oneof![3 => Just(1.0), 1 => 0.2f64..1.5];
        prop_oneof![(1..most).prop_map(|instances| vec![1.0; instances]), prop::collection::vec(slow, 1..most)]
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
        // Two bins are used; of the other six each instance has its part, whatever it has of the
        // load.
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

    #[test]
    fn an_instance_at_a_third_of_the_speed_gets_a_third_of_the_load() {
        let current = Assignment::even(280, 10);
        let speeds = [vec![1.0 / 3.0], vec![1.0; 9]].concat();
        let after = rebalance_by_speed(&current, &[3.0; 280], &speeds);
        assert_eq!(sums(after.owners(), &[3.0; 280], 10), [vec![30.0], vec![90.0; 9]].concat());
        // Nothing leaves those that are not slow.
        assert!(current.moves_to(&after).all(|(bin, _)| current.owner(bin) == 0));
        assert_eq!(moved(&current, &after, &[1.0; 280]).0, 18);
        assert_eq!(rebalance_by_speed(&after, &[3.0; 280], &speeds), after);
        // As fast as the others again, it gets its bins back, and nothing else moves.
        assert_eq!(moved(&after, &rebalance(&after, &[3.0; 280], 10), &[1.0; 280]).0, 18);
    }

    #[test]
    fn a_heavy_bin_goes_to_a_fast_instance() {
        // 25, 100 and 25 would be as full; in tens, and with one bin of 50, this is the best.
        let loads = [vec![50.0], vec![10.0; 10]].concat();
        let after = rebalance_by_speed(&Assignment::of(vec![0; 11]), &loads, &[0.5, 2.0, 0.5]);
        assert_eq!((after.owners()[0], sums(after.owners(), &loads, 3)), (1, vec![20.0, 110.0, 20.0]));
    }

    proptest! {
        /// Balance is as fine as that of the largest bins first, for any owners and loads, with
        /// bins heavier than the fair share too.
        #[test]
        fn the_fullest_instance_has_no_more_than_if_all_bins_were_dealt_out_anew(
            loads in prop::collection::vec(prop_oneof![3 => 0u32..100, 1 => 0u32..2000], 1..300), before in 1u32..12, speeds in speeds(40)
        ) {
            let loads: Vec<f64> = loads.into_iter().map(f64::from).collect();
            let current = Assignment::even(loads.len() as u32, before);
            let balanced = rebalance_by_speed(&current, &loads, &speeds);
            let after = speeds.len() as u32;
            prop_assert!(balanced.owners().iter().all(|&owner| owner < after));
            let (seen, owners): (Vec<f64>, Vec<u32>) = loads.iter().zip(current.owners()).filter(|(load, _)| **load > 0.0).unzip();
            // A bin above the fair share counts as that: it fills its instance, and what is beside
            // it counts.
            let (seen, fair) = fair_share(&seen, &speeds);
            let mut cut = seen.iter();
            let loads: Vec<f64> = loads.iter().map(|&load| if load > 0.0 { *cut.next().unwrap() } else { 0.0 }).collect();
            let anew = dealt_anew(&owners, &seen, &speeds, fair);
            let (found, expected) = (fullest(balanced.owners(), &loads, &speeds), fullest(&anew, &seen, &speeds));
            let tolerance = if current.instances() == after { TOLERANCE + 1.01 * WORTHWHILE } else { TOLERANCE };
            prop_assert!(found <= expected * (1.0 + tolerance) + 1e-6, "fullest {found}, dealt out anew {expected}");
        }

        /// With many bins an instance, no order of dealing out is finer by more than the lightest
        /// bins.
        #[test]
        fn the_fullest_instance_is_close_to_the_mean(loads in prop::collection::vec(1u32..100, 400), before in 1u32..9, speeds in speeds(9)) {
            let loads: Vec<f64> = loads.into_iter().map(f64::from).collect();
            let balanced = rebalance_by_speed(&Assignment::even(400, before), &loads, &speeds);
            let (found, mean) = (fullest(balanced.owners(), &loads, &speeds), mean(&loads, &speeds));
            let tolerance = if before as usize == speeds.len() { TOLERANCE + 1.01 * WORTHWHILE } else { TOLERANCE };
            // What 2 records are to an instance of speed 1 are more to a slower one.
            let slack = 2.0 / speeds.iter().copied().fold(1.0, f64::min);
            prop_assert!(found <= mean * (1.0 + tolerance) + slack, "fullest {found}, mean {mean}");
        }

        /// Nobody is fuller than the mean, which is the best possible, by more than the heaviest
        /// bin.
        #[test]
        fn the_fullest_instance_is_within_a_bin_of_the_best_possible(
            loads in prop::collection::vec(1u32..1000, 40..400), owners in prop::collection::vec(0u32..6, 400), speeds in speeds(9)
        ) {
            let loads: Vec<f64> = loads.into_iter().map(f64::from).collect();
            let balanced = rebalance_by_speed(&Assignment::of(owners[..loads.len()].to_vec()), &loads, &speeds);
            let (found, mean) = (fullest(balanced.owners(), &loads, &speeds), mean(&loads, &speeds));
            let bin = most(&loads) * speeds.len() as f64 / speeds.iter().sum::<f64>();
            prop_assert!(found <= mean * (1.0 + TOLERANCE + 1.01 * WORTHWHILE) + bin, "fullest {found}, mean {mean}, a bin {bin}");
        }

        #[test]
        fn what_has_been_balanced_does_not_move(loads in prop::collection::vec(1u32..100, 400), before in 1u32..9, speeds in speeds(9)) {
            let loads: Vec<f64> = loads.into_iter().map(f64::from).collect();
            let balanced = rebalance_by_speed(&Assignment::even(400, before), &loads, &speeds);
            prop_assert_eq!(rebalance_by_speed(&balanced, &loads, &speeds), balanced);
        }

        /// What moves is little more than the load that has to, in little more bins than their part
        /// of all.
        #[test]
        fn little_more_moves_than_has_to(
            loads in prop::collection::vec(1u32..100, 400), owners in prop::collection::vec(0u32..6, 400), speeds in speeds(9)
        ) {
            let loads: Vec<f64> = loads.into_iter().map(f64::from).collect();
            let before = Assignment::of(owners);
            let balanced = rebalance_by_speed(&before, &loads, &speeds);
            let (bins, load) = moved(&before, &balanced, &loads);
            let (least, slack) = (least_moved(&before, &loads, &speeds), 50.0 * speeds.len() as f64);
            prop_assert!(load <= least + slack, "moves {load}, {least} have to");
            let fewest: f64 = (0..6).map(|owner| least_bins(&before, &loads, owner, &speeds)).sum();
            prop_assert!(bins as f64 <= fewest + 4.0 * speeds.len() as f64, "moves {bins} bins, {fewest} have to");
        }

        /// With equal loads the old instances keep their whole shares, and bins go to new instances
        /// only.
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
