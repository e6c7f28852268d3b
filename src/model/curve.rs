//! The capacity curve of an operator: its total processing rate by parallelism, learned from the
//! parallelisms it has had.
//!
//! On a log-log scale it is a straight line between two observed parallelisms, and beyond them a
//! line with the nearest slope, at most proportional. With a single observation it is proportional,
//! which is also DS2's assumption. A log-log line is exact for a power law and close to the
//! universal scalability law (Gunther 1993) over the few times by which a job grows in one step;
//! unlike that law it passes through the current measurement, so a prediction never contradicts the
//! present.
//!
//! A point is valid for the work and the machines of its time. A point that contradicts the present
//! is not a slope but outdated, and is dropped: if two windows at the same parallelism deviate from
//! its mean in the same way, if fewer instances were each slower, or if many instances process far
//! more than the earlier points implied. Points lose weight with age.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// Number of windows in a mean: older ones fade.
const MEMORY: f64 = 10.0;
/// If an operator's rate at one parallelism changes by this much, as a logarithm, its work has
/// changed.
const OTHER_WORK: f64 = 0.35;
/// A smaller change at one parallelism, by more than this as a logarithm and beyond noise, is a
/// change of its work if two windows show it...
const OTHER_SPEED: f64 = 0.08;
/// ... where noise is this many standard deviations.
const NOISE: f64 = 3.0;
/// By how much points may contradict each other, as a logarithm and beyond their errors: real
/// capacity curves are not smooth.
const ROUGH: f64 = 0.05;
/// A rate above what older points implied by more than this, as a logarithm, makes them outdated.
const SURPRISE: f64 = 0.1;
/// Standard deviation by which the speed of all instances may differ between two configurations, as
/// a logarithm: differences between nearby parallelisms may be caused by other load on the
/// machines.
const NEIGHBOURS: f64 = 0.1;
/// The same, for each window between two points.
const WANDERS: f64 = 0.01;
/// Prior of the slope before it was observed: mean and standard deviation, as an exponent.
const PRIOR: (f64, f64) = (1.0, 0.5);
/// A curve never decreases, however noisy the observations.
const LEAST_SLOPE: f64 = 0.1;
/// Assumed error of a measurement with unknown error.
const LEAST_ERROR: f64 = 1e-4;

/// Observations at one parallelism.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    /// Logarithm of the rate of one instance.
    log_rate: f64,
    /// Number of windows in its mean, at most [`MEMORY`].
    windows: f64,
    /// Mean squared deviation of windows from the mean.
    spread: f64,
    /// Squared error estimated from the instances in the last window.
    told: f64,
    /// By how much the last window deviated from the mean, if by more than noise explains.
    off: f64,
    /// The window in which it was last observed.
    window: u64,
}

impl Seen {
    /// Standard error of the mean.
    fn error(&self) -> f64 {
        (self.told.max(self.spread) / self.windows).sqrt().max(LEAST_ERROR)
    }

    /// With a further window, in which the logarithm of the rate was `log_rate`; `None` if that is
    /// a change of the work.
    fn and(self, log_rate: f64, told: f64, window: u64) -> Option<Seen> {
        let off = log_rate - self.log_rate;
        let noise = told.max(self.spread).sqrt();
        if off.abs() > OTHER_WORK + NOISE * told.sqrt() || off.abs() > OTHER_SPEED + NOISE * noise && off * self.off > 0.0 {
            return None;
        }
        if off.abs() > OTHER_SPEED + NOISE * noise {
            // A single window may be chance.
            return Some(Seen { off, told, window, ..self });
        }
        let windows = (self.windows + 1.0).min(MEMORY);
        let mean = self.log_rate + off / windows;
        let spread = self.spread + (off * (log_rate - mean) - self.spread) / windows;
        Some(Seen { log_rate: mean, windows, spread, told, off: 0.0, window })
    }
}

/// Totals that were asked for since the last observation, by parallelism: a decision asks for the
/// same few again and again.
#[derive(Clone, Debug, Default)]
struct Worked(RefCell<Vec<Option<f64>>>);

/// Totals at more instances are worked out each time.
const MOST_WORKED: usize = 1024;

impl PartialEq for Worked {
    /// What was worked out follows from the rest.
    fn eq(&self, _: &Worked) -> bool {
        true
    }
}

impl Worked {
    fn forget(&self) {
        self.0.borrow_mut().clear();
    }

    /// The total at `instances`, from `total` if it was not asked for before.
    fn out(&self, instances: u32, total: impl FnOnce() -> f64) -> f64 {
        let index = instances as usize;
        if let Some(Some(known)) = self.0.borrow().get(index) {
            return *known;
        }
        let total = total();
        if index < MOST_WORKED {
            let mut known = self.0.borrow_mut();
            let length = known.len().max(index + 1);
            known.resize(length, None);
            known[index] = Some(total);
        }
        total
    }
}

/// The learned capacity curve of one operator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CapacityModel {
    seen: BTreeMap<u32, Seen>,
    /// The parallelism that was observed last: its point describes the present.
    last: Option<u32>,
    /// Number of windows observed.
    window: u64,
    worked: Worked,
}

impl CapacityModel {
    /// Learns that each of `instances` equal instances processed `rate` records per useful second
    /// in a window; `error` is the standard error of its logarithm, as far as the window shows it.
    pub fn observe(&mut self, instances: u32, rate: f64, error: f64) {
        if !(rate.is_finite() && rate > 0.0) {
            return;
        }
        self.window += 1;
        let (log_rate, told) = (rate.ln(), error * error);
        let first = Seen { log_rate, windows: 1.0, spread: 0.0, told, off: 0.0, window: self.window };
        let new = match self.seen.get(&instances).copied() {
            Some(old) => old.and(log_rate, told, self.window).unwrap_or_else(|| {
                // The operator's work has changed: no earlier observation applies, except for how
                // much windows vary.
                self.seen.clear();
                Seen { spread: old.spread, ..first }
            }),
            None => {
                if self.total(instances).is_some_and(|implied| (rate * f64::from(instances) / implied).ln() > SURPRISE + NOISE * error) {
                    self.seen.clear();
                }
                first
            }
        };
        self.worked.forget();
        self.seen.insert(instances, new);
        self.last = Some(instances);
        self.drop_contradictions(instances);
    }

    /// Forgets observations at other parallelisms than the current one.
    pub fn forget_others(&mut self) {
        let last = self.last;
        self.worked.forget();
        self.seen.retain(|instances, _| Some(*instances) == last);
    }

    /// Drops points at lower parallelisms with slower instances than now, and at higher ones with
    /// faster instances.
    fn drop_contradictions(&mut self, present: u32) {
        let now = self.seen[&present];
        self.seen.retain(|&instances, old| {
            let faster = if instances < present { now.log_rate - old.log_rate } else { old.log_rate - now.log_rate };
            instances == present || faster <= ROUGH + NOISE * now.error().hypot(old.error())
        });
    }

    /// Total rate in records per second of `instances` fully busy instances; `None` before any
    /// observation.
    pub fn total(&self, instances: u32) -> Option<f64> {
        self.last?;
        let instances = instances.max(1);
        let total = || self.log_total(f64::from(instances)).map_or(0.0, |log| log.exp().min(f64::MAX));
        Some(self.worked.out(instances, total))
    }

    /// The fewest instances that together process `demand` records per second at the utilisation
    /// `utilisation`; at most `most`, even if more are needed.
    pub fn instances_for(&self, demand: f64, utilisation: f64, most: u32) -> Option<u32> {
        self.last?;
        // A result that misses an integer only by rounding counts as that integer.
        let enough = |instances: u32| self.total(instances).is_some_and(|total| total * utilisation * (1.0 + 1e-6) >= demand);
        let (mut least, mut enough_at) = (1, most.max(1));
        // The curve does not decrease, so binary search applies.
        while least < enough_at {
            let middle = least + (enough_at - least) / 2;
            if enough(middle) { enough_at = middle } else { least = middle + 1 }
        }
        Some(enough_at)
    }

    /// The observed total rate of that many instances, if any.
    pub fn measured(&self, instances: u32) -> Option<f64> {
        self.seen.get(&instances).map(|seen| seen.log_rate.exp() * f64::from(instances))
    }

    /// Standard error of the logarithm of the rate at the current parallelism.
    pub fn error(&self) -> f64 {
        self.last.and_then(|last| self.seen.get(&last)).map_or(0.0, Seen::error)
    }

    /// The log-log slope at the current parallelism: 1 is proportional.
    pub fn exponent(&self) -> f64 {
        let Some(last) = self.last else { return PRIOR.0 };
        let below = self.seen.range(..last).next_back();
        let above = self.seen.range(last + 1..).next();
        let now = (&last, &self.seen[&last]);
        match (below, above) {
            (Some(below), _) => slope(below, now),
            (None, Some(above)) => slope(now, above),
            (None, None) => PRIOR.0,
        }
    }

    fn log_total(&self, p: f64) -> Option<f64> {
        let last = self.last?;
        let x = p.ln();
        // From the present, from one observed parallelism to the next.
        let (mut at, up) = ((&last, &self.seen[&last]), p >= f64::from(last));
        let mut log_total = f64::from(last).ln() + at.1.log_rate;
        loop {
            let next = if up { self.seen.range(at.0 + 1..).next() } else { self.seen.range(..*at.0).next_back() };
            let beyond = next.is_some_and(|(&next, _)| if up { f64::from(next) < p } else { f64::from(next) > p });
            let slope = match next {
                Some(next) => {
                    if up {
                        slope(at, next)
                    } else {
                        slope(next, at)
                    }
                }
                // Beyond all observations: with the last slope.
                None if up => self.seen.range(..*at.0).next_back().map_or(PRIOR.0, |before| slope(before, at)),
                None => self.seen.range(at.0 + 1..).next().map_or(PRIOR.0, |before| slope(at, before)),
            };
            let from = f64::from(*at.0).ln();
            match next.filter(|_| beyond) {
                Some(next) => {
                    log_total += slope * (f64::from(*next.0).ln() - from);
                    at = next;
                }
                None => return Some(log_total + slope * (x - from)),
            }
        }
    }
}

/// The slope from one parallelism to a larger one: the observed slope, drawn towards the prior
/// according to its error.
fn slope(smaller: (&u32, &Seen), larger: (&u32, &Seen)) -> f64 {
    let run = (f64::from(*larger.0) / f64::from(*smaller.0)).ln();
    let rise = run + larger.1.log_rate - smaller.1.log_rate;
    let aged = WANDERS.powi(2) * smaller.1.window.abs_diff(larger.1.window) as f64;
    let variance = (smaller.1.error().powi(2) + larger.1.error().powi(2) + NEIGHBOURS.powi(2) + aged) / (run * run);
    let (prior, deviation) = PRIOR;
    let trust = deviation * deviation / (deviation * deviation + variance);
    (prior + trust * (rise / run - prior)).clamp(LEAST_SLOPE, PRIOR.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(points: &[(u32, f64)]) -> CapacityModel {
        let mut model = CapacityModel::default();
        points.iter().for_each(|&(instances, total)| model.observe(instances, total / f64::from(instances), 0.0));
        model
    }

    #[test]
    fn one_number_says_in_proportion() {
        let model = seen(&[(4, 400.0)]);
        assert_eq!((model.total(1).unwrap().round(), model.total(12).unwrap().round(), model.exponent()), (100.0, 1200.0, 1.0));
        assert_eq!(model.instances_for(1000.0, 1.0, 64), Some(10));
        assert_eq!(model.instances_for(1000.0, 0.95, 64), Some(11));
        assert_eq!(model.instances_for(1000.0, 0.95, 8), Some(8), "as many as there may be");
        assert_eq!((CapacityModel::default().total(3), CapacityModel::default().instances_for(1.0, 1.0, 9)), (None, None));
    }

    #[test]
    fn a_power_law_is_known_from_two_numbers() {
        let law = |p: u32| 100.0 * f64::from(p).powf(0.7);
        let model = seen(&[(3, law(3)), (8, law(8))]);
        for p in [1, 2, 3, 5, 8, 20, 60] {
            assert!((model.total(p).unwrap() / law(p) - 1.0).abs() < 0.03, "{p}: {:?}", model.total(p));
        }
        assert!((model.exponent() - 0.7).abs() < 0.02, "{}", model.exponent());
    }

    #[test]
    fn the_measured_curve_of_a_mapper_is_met_within_two_steps() {
        // papers/ds2-osdi18.md#curve: what 7 M/s need are 25.
        let curve = |p: u32| match p {
            1 => 529_600.0,
            14 => 4_625_000.0,
            other => panic!("{other} was not asked for"),
        };
        let mut model = seen(&[(1, curve(1))]);
        assert_eq!(model.instances_for(7e6, 0.95, 64), Some(14));
        model.observe(14, curve(14) / 14.0, 0.0);
        assert_eq!(model.instances_for(7e6, 0.95, 64), Some(25));
    }

    #[test]
    fn noise_makes_no_slope() {
        let mut model = seen(&[(10, 1000.0)]);
        model.observe(11, 80.0, 0.2);
        assert!(model.exponent() > 0.85, "{}", model.exponent());
        // Other work is no noise.
        model.observe(11, 20.0, 0.01);
        assert_eq!((model.exponent(), model.total(1).unwrap().round()), (1.0, 20.0));
    }

    #[test]
    fn other_machines_leave_no_slope() {
        let mut model = seen(&[(7, 5600.0), (10, 6400.0)]);
        // It looks like a slope, and a short run is only half believed.
        assert!((0.4..0.7).contains(&model.exponent()), "{}", model.exponent());
        // Fifteen that each do as much as ten each did show that it was none.
        model.observe(15, 640.0, 0.0);
        assert_eq!(model.exponent(), 1.0);
        // Once may be chance, twice is another speed; and what was seen at the former says nothing
        // of it.
        model.observe(12, 640.0, 0.0);
        model.observe(12, 800.0, 0.0);
        assert_eq!(model.total(12).unwrap().round(), 7680.0);
        model.observe(12, 800.0, 0.0);
        assert_eq!((model.total(12).unwrap().round(), model.total(15).unwrap().round(), model.measured(15)), (9600.0, 12_000.0, None));
    }

    #[test]
    fn fewer_instances_that_were_each_slower_are_no_part_of_the_curve() {
        let model = seen(&[(10, 6400.0), (16, 12_800.0), (13, 10_400.0)]);
        assert_eq!((model.measured(10), model.total(10).unwrap().round()), (None, 8000.0));
    }

    #[test]
    fn what_is_old_counts_for_less() {
        let mut model = seen(&[(4, 400.0), (16, 800.0)]);
        let steep = model.exponent();
        (0..1000).for_each(|_| model.observe(16, 50.0, 0.0));
        assert!(model.exponent() > steep + 0.02, "{} after {steep}", model.exponent());
    }

    proptest! {
        /// Whatever was seen, more instances never do less, and the fewest that are enough are
        /// enough.
        #[test]
        fn the_curve_does_not_fall(points in prop::collection::vec((1u32..60, 1.0f64..1e6, 0.0f64..0.3), 1..8), demand in 1.0f64..1e7) {
            let mut model = CapacityModel::default();
            for &(instances, rate, error) in &points {
                model.observe(instances, rate, error);
            }
            let totals: Vec<f64> = (1..=100).map(|p| model.total(p).unwrap()).collect();
            prop_assert!(totals.windows(2).all(|pair| pair[1] >= pair[0] * (1.0 - 1e-9)), "{totals:?}");
            let needed = model.instances_for(demand, 0.9, 100).unwrap();
            prop_assert!(needed == 100 || totals[needed as usize - 1] * 0.9 * (1.0 + 1e-6) >= demand);
            prop_assert!(needed == 1 || totals[needed as usize - 2] * 0.9 * (1.0 + 1e-6) < demand);
        }
    }
}
