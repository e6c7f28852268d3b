//! The owners of bins during balancing, and exchanges that make them more even.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;

/// Relative differences below this are rounding errors.
const NEGLIGIBLE: f64 = 1e-9;
/// An exchange that removes less than this share of the excess of the fullest instance is not worth
/// it.
const LEAST_GAIN: f64 = 0.01;
/// An exchange that moves at most this many times the excess of the fullest instance is accepted
/// without comparing others.
const CHEAP: f64 = 4.0;

/// Bins by instance, heaviest last, and the load of each instance.
///
/// The *fullness* of an instance is its load over its speed.
pub(super) struct Shares<'a> {
    weights: &'a [f64],
    speeds: &'a [f64],
    /// The owners at the start.
    homes: &'a [u32],
    owners: Vec<u32>,
    load: Vec<f64>,
    bins: Vec<BTreeSet<(Weight, usize)>>,
    /// Bins without an instance.
    orphans: Vec<usize>,
}

/// A bin that goes to another instance, and the bins that are returned for it, if any.
struct Exchange {
    give: usize,
    to: usize,
    take: Vec<usize>,
    /// Fullness of the fuller of the two instances afterwards.
    most: f64,
    /// Load that has to migrate for it, in addition to what migrates anyway.
    moved: f64,
}

impl Exchange {
    /// If neither instance is fuller than `most`, the exchange that moves less is better, otherwise
    /// the one that leaves them more equal.
    fn is_better_than(&self, other: &Exchange, most: f64) -> bool {
        (self.most.max(most), self.moved) < (other.most.max(most), other.moved)
    }
}

/// What an instance may return for a bin, given the total weight that it should have.
type Returns<'a> = fn(&Shares<'a>, usize, f64) -> Vec<Vec<usize>>;

impl<'a> Shares<'a> {
    /// Bins with these owners and weights, some of which may have owners that are to be removed.
    pub(super) fn new(homes: &'a [u32], weights: &'a [f64], speeds: &'a [f64]) -> Shares<'a> {
        let (load, bins) = (vec![0.0; speeds.len()], vec![BTreeSet::new(); speeds.len()]);
        let mut shares = Shares { weights, speeds, homes, owners: homes.to_vec(), load, bins, orphans: Vec::new() };
        for (bin, &owner) in homes.iter().enumerate() {
            if (owner as usize) < speeds.len() { shares.give(bin, owner as usize) } else { shares.orphans.push(bin) }
        }
        shares
    }

    /// Whether every bin has an owner.
    pub(super) fn is_whole(&self) -> bool {
        self.orphans.is_empty()
    }

    /// Fullness of the fullest instance.
    pub(super) fn most(&self) -> f64 {
        self.full(self.fullest())
    }

    fn full(&self, instance: usize) -> f64 {
        self.load[instance] / self.speeds[instance]
    }

    pub(super) fn into_owners(self) -> Vec<u32> {
        self.owners
    }

    /// Takes from instances that are fuller than `fair` what they have beyond it, the same share of
    /// heavy and of light bins. Every instance then has some of each, which averages out errors in
    /// the measured load of light bins, of which a window has seen little.
    pub(super) fn release(&mut self, fair: f64) {
        for instance in 0..self.load.len() {
            let keeps = fair / self.full(instance);
            if keeps >= 1.0 - NEGLIGIBLE {
                continue;
            }
            let (mut kept, mut seen) = (0.0, 0.0);
            let bins: Vec<(Weight, usize)> = self.bins[instance].iter().rev().copied().collect();
            for (Weight(weight), bin) in bins {
                seen += weight;
                if kept < keeps * seen * (1.0 - NEGLIGIBLE) {
                    kept += weight;
                } else {
                    self.take(bin);
                    self.orphans.push(bin);
                }
            }
        }
    }

    /// Assigns the bins without an owner, the heaviest first, each to the instance that is least
    /// full with it.
    pub(super) fn deal_out(&mut self) {
        let mut orphans = std::mem::take(&mut self.orphans);
        orphans.sort_by_key(|&bin| (Reverse(Weight(self.weights[bin])), bin));
        for bin in orphans {
            self.give(bin, soonest(&self.load, self.speeds, self.weights[bin]));
        }
    }

    /// Moves a bin from the fullest instance to another, or swaps one for lighter ones, until it is
    /// no fuller than `most` or nothing lowers its fullness without making the other one as full.
    /// Returns whether it is no fuller than `most`.
    ///
    /// It terminates: an exchange leaves both instances less full than the fullest one was, so the
    /// list of fullness values in descending order decreases lexicographically with each exchange,
    /// and the number of such lists is finite.
    pub(super) fn exchange(&mut self, most: f64) -> bool {
        loop {
            let from = self.fullest();
            if self.full(from) <= most {
                return true;
            }
            let one_for_one = self.best_exchange(from, most, Shares::at_most_one);
            let best = one_for_one.or_else(|| self.best_exchange(from, most, Shares::several));
            let Some(Exchange { give, to, take, .. }) = best else { return false };
            let there = take.into_iter().map(|bin| (bin, from));
            for (bin, to) in there.chain([(give, to)]) {
                self.take(bin);
                self.give(bin, to);
            }
        }
    }

    /// The best exchange of `from`, trying the emptiest instances first; the first cheap one is
    /// taken.
    fn best_exchange(&self, from: usize, most: f64, returns: Returns<'a>) -> Option<Exchange> {
        let mut others: Vec<usize> = (0..self.load.len()).filter(|&other| other != from).collect();
        others.sort_by(|&a, &b| self.full(a).total_cmp(&self.full(b)).then(a.cmp(&b)));
        let surplus = self.full(from) - most;
        let mut best: Option<Exchange> = None;
        for to in others {
            let exchange = self.exchange_with(from, to, most, returns);
            let Some(exchange) = exchange.filter(|exchange| exchange.most <= self.full(from) - LEAST_GAIN * surplus) else { continue };
            if best.as_ref().is_none_or(|best| exchange.is_better_than(best, most)) {
                let cheap = exchange.most <= most && exchange.moved <= CHEAP * surplus * self.speeds[from];
                best = Some(exchange);
                if cheap {
                    break;
                }
            }
        }
        best
    }

    /// The exchange that leaves neither fuller than `most` and moves the least load; otherwise the
    /// one that comes closest to making them equally full.
    fn exchange_with(&self, from: usize, to: usize, most: f64, returns: Returns<'a>) -> Option<Exchange> {
        // What would make them equally full.
        let (speed, other) = (self.speeds[from], self.speeds[to]);
        let ideal = (self.load[from] * other - self.load[to] * speed) / (speed + other);
        let mut best: Option<Exchange> = None;
        for &(Weight(weight), give) in &self.bins[from] {
            for take in returns(self, to, weight - ideal) {
                let difference: f64 = weight - take.iter().map(|&bin| self.weights[bin]).sum::<f64>();
                let fuller = ((self.load[from] - difference) / speed).max((self.load[to] + difference) / other);
                let moved = self.moved(give, to) + take.iter().map(|&bin| self.moved(bin, from)).sum::<f64>();
                let exchange = Exchange { give, to, take, most: fuller, moved };
                if best.as_ref().is_none_or(|best| exchange.is_better_than(best, most)) {
                    best = Some(exchange);
                }
            }
        }
        best
    }

    /// Nothing, or the bin of an instance that comes closest to a weight.
    fn at_most_one(&self, instance: usize, weight: f64) -> Vec<Vec<usize>> {
        let lighter = self.heaviest(instance, weight);
        let heavier = self.lightest(instance, weight);
        [vec![]].into_iter().chain(lighter.into_iter().chain(heavier).map(|bin| vec![bin])).collect()
    }

    /// Bins of an instance that together come close to a weight, the heaviest that fit first.
    fn several(&self, instance: usize, weight: f64) -> Vec<Vec<usize>> {
        let (mut bins, mut left) = (Vec::new(), weight);
        for &(Weight(fits), bin) in self.bins[instance].range(..=(Weight(weight), usize::MAX)).rev() {
            if fits <= left {
                bins.push(bin);
                left -= fits;
            }
        }
        vec![bins]
    }

    /// The additional load that migrates if a bin goes to an instance; negative if it returns to
    /// its original owner.
    fn moved(&self, bin: usize, to: usize) -> f64 {
        let (home, weight) = (self.homes[bin], self.weights[bin]);
        if self.owners[bin] == home {
            weight
        } else if to as u32 == home {
            -weight
        } else {
            0.0
        }
    }

    fn give(&mut self, bin: usize, to: usize) {
        self.owners[bin] = to as u32;
        self.load[to] += self.weights[bin];
        self.bins[to].insert((Weight(self.weights[bin]), bin));
    }

    fn take(&mut self, bin: usize) {
        let from = self.owners[bin] as usize;
        self.load[from] -= self.weights[bin];
        self.bins[from].remove(&(Weight(self.weights[bin]), bin));
    }

    /// The fullest instance; the first of several.
    fn fullest(&self) -> usize {
        (0..self.load.len()).max_by(|&a, &b| self.full(a).total_cmp(&self.full(b)).then(b.cmp(&a))).expect("there is an instance")
    }

    /// The heaviest bin of an instance that weighs at most `most`.
    fn heaviest(&self, instance: usize, most: f64) -> Option<usize> {
        self.bins[instance].range(..=(Weight(most), usize::MAX)).next_back().map(|&(_, bin)| bin)
    }

    /// The lightest bin of an instance that weighs at least `least`.
    fn lightest(&self, instance: usize, least: f64) -> Option<usize> {
        self.bins[instance].range((Weight(least), 0)..).next().map(|&(_, bin)| bin)
    }
}

/// The instance that is least full with another bin of `weight`: with different speeds, the one
/// that completes it soonest. Ties go to the one that was least full before, then to the first.
pub(super) fn soonest(load: &[f64], speeds: &[f64], weight: f64) -> usize {
    let full = |instance: usize| ((load[instance] + weight) / speeds[instance], load[instance] / speeds[instance]);
    let order = |a: (f64, f64), b: (f64, f64)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1));
    (0..load.len()).min_by(|&a, &b| order(full(a), full(b))).expect("there is an instance")
}

/// A weight with a total order.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Weight(f64);

impl Eq for Weight {}

impl PartialOrd for Weight {
    fn partial_cmp(&self, other: &Weight) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Weight {
    fn cmp(&self, other: &Weight) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}
