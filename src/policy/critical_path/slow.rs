//! Division of an operator's load by the speed of its instances.
//!
//! Load is divided by speed: bins of a keyed operator, records of a stateless one. The speeds in
//! use are remembered, so that a straggler that is accounted for is left alone unless its speed
//! differs much, and a stateless operator returns to round-robin once all its instances are alike
//! again. Where a host cannot divide records by speed, more instances make the straggler's turn
//! less frequent; that it cannot is seen as a rebalance that did not help.

use super::bins::Bins;
use super::sight::Sight;
use crate::dataflow::{Operator, Role};
use crate::model::Speeds;

/// Rounding error.
const TOLERANCE: f64 = 0.005;
/// Imbalance below this is ignored.
const UNEVEN: f64 = 1.1;
/// For a straggler that is not accounted for, a smaller imbalance suffices.
const SLIGHTLY: f64 = 1.02;
/// Windows without a straggler after which round-robin returns, unless it is needed sooner.
const WELL: u32 = 10;
/// The growth of that number with each recurrence, and how often it grows.
const LATER: (u32, u32) = (2, 4);

/// The speeds by which the load of one operator is divided, by the plans so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Division {
    /// By instance; empty where all count the same.
    speeds: Vec<f64>,
    /// The same before the last plan, which may still be rejected.
    before: Vec<f64>,
    /// Consecutive windows without a straggler.
    well: u32,
    /// How often round-robin returned.
    recovered: u32,
}

impl Division {
    /// Whether an instance is overloaded and has more than its share. `ratio` is demand over capacity.
    pub(super) fn is_uneven(&self, operator: &Operator, sight: &Sight, ratio: f64) -> bool {
        let least = match operator.role {
            // With routing to the shortest queue, unequal shares are as intended.
            Role::Stateless if !sight.has_slow() => return false,
            _ if !self.is_news(sight) => UNEVEN,
            // A bin cannot be divided.
            Role::Keyed { bins } => SLIGHTLY.max(1.0 + f64::from(sight.instances) / (f64::from(bins) * sight.speed_of_worst())),
            _ => SLIGHTLY,
        };
        sight.imbalance > least && ratio * sight.imbalance > 1.0 + TOLERANCE
    }

    /// Whether the instance with the most load for its speed is a straggler that the division does not account for.
    pub(super) fn is_news(&self, sight: &Sight) -> bool {
        sight.speed_of_worst() < 1.0 && self.speeds.get(sight.worst as usize).is_none_or(|speed| *speed == 1.0)
    }

    /// Whether a straggler holds the others up so little that an added instance is the answer.
    pub(super) fn is_held_up(&self, operator: &Operator, sight: &Sight, ratio: f64) -> bool {
        sight.speed_of_worst() < 1.0 && !self.is_uneven(operator, sight, ratio) && ratio * sight.imbalance > 1.0 + TOLERANCE
    }

    /// Processes a window of a stateless operator; its imbalance where it should return to round-robin.
    pub(super) fn is_over(&mut self, operator: &Operator, sight: &Sight, ratio: f64) -> Option<f64> {
        self.well = if sight.has_slow() { 0 } else { self.well + 1 };
        if operator.is_keyed() || self.speeds.is_empty() || sight.has_slow() {
            return None;
        }
        let most = self.speeds.iter().copied().fold(0.0, f64::max);
        let imbalance = most * self.speeds.len() as f64 / self.speeds.iter().sum::<f64>();
        (ratio * imbalance > 1.0 + TOLERANCE || self.well >= WELL * LATER.0.pow(self.recovered.min(LATER.1))).then_some(imbalance)
    }

    /// The speeds that a plan with this change carries for the operator; nothing where it needs none.
    pub(super) fn planned(&mut self, operator: &Operator, sight: &Sight, change: Change) -> Option<Vec<f64>> {
        let known = sight.speeds.as_ref().filter(|_| sight.has_slow()).map(|speeds| speeds.relative.clone());
        // A stateless operator with round-robin stays as it is.
        let is_silent = !operator.is_keyed() && change == Change::Rescaled && self.speeds.is_empty();
        let planned = match known {
            _ if is_silent => None,
            Some(known) => Some(known),
            None => (!operator.is_keyed() && !self.speeds.is_empty()).then(|| vec![1.0]),
        };
        self.recovered += u32::from(planned.as_deref() == Some(&[1.0]));
        if !is_silent {
            self.speeds = planned.clone().filter(|speeds| speeds.iter().any(|speed| *speed < 1.0)).unwrap_or_default();
        }
        planned
    }

    /// A plan is about to be made, of this operator or of others.
    pub(super) fn keep(&mut self) {
        self.before = self.speeds.clone();
    }

    /// The last plan was refused.
    pub(super) fn refused(&mut self) {
        self.speeds = self.before.clone();
    }
}

/// How a plan changes an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It gets another number of instances.
    Rescaled,
    /// Its load is redistributed.
    Rebalanced,
}

/// As [`Bins::granularity`], with bins distributed over `instances` instances by speed: the load of the fullest for its speed, relative to
/// divisible bins. Unknown instances have normal speed.
pub(super) fn granularity_by_speed(bins: Bins, speeds: Option<&Speeds>, instances: u32) -> f64 {
    let known = speeds.map(|speeds| speeds.relative.iter().copied().take(instances as usize)).into_iter().flatten();
    let slow: Vec<f64> = known.filter(|speed| *speed < 1.0).collect();
    let count = bins.after_splits(instances) as f64;
    if slow.is_empty() || count == 0.0 {
        return bins.granularity(instances);
    }
    let ordinary = f64::from(instances) - slow.len() as f64;
    // What an instance can take if each is filled for its speed up to a level, and the next level at which one of them can take a bin more.
    let whole = |level: f64, speed: f64| (level * speed + 1e-9).floor();
    let taken = |level: f64| ordinary * whole(level, 1.0) + slow.iter().map(|&speed| whole(level, speed)).sum::<f64>();
    let together = ordinary + slow.iter().sum::<f64>();
    let mut level = count / together;
    while taken(level) < count {
        let next = |speed: f64| (whole(level, speed) + 1.0) / speed;
        let slow_next = slow.iter().map(|&speed| next(speed)).fold(f64::INFINITY, f64::min);
        level = if ordinary > 0.0 { slow_next.min(next(1.0)) } else { slow_next };
    }
    level * together / count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture;

    fn speeds(relative: &[f64]) -> Option<Speeds> {
        Some(Speeds { rate: 1.0, error: 0.0, relative: relative.to_vec() })
    }

    #[test]
    fn bins_that_cannot_be_divided_make_an_instance_too_few() {
        let job = fixture::word_count();
        let idle = fixture::idle(&job, &fixture::instances(1, 1), 1.0, 1.0);
        let [stateless, keyed] = [1, 2].map(|index| Bins::of(&job.operators()[index], &idle.operators[index]));
        let of = |relative: &[f64], instances| granularity_by_speed(keyed, speeds(relative).as_ref(), instances);
        // 256 bins: 42 instances have 6 each and one of a third 1 or 2, so that one of them has 7; with one instance more there is room.
        assert!((of(&[1.0, 0.3], 43) - 7.0 * 42.3 / 256.0).abs() < 1e-9);
        assert!((of(&[1.0, 0.3], 44) - 6.0 * 43.3 / 256.0).abs() < 1e-9);
        assert_eq!(of(&[1.0; 4], 43), keyed.granularity(43));
        assert_eq!(granularity_by_speed(stateless, speeds(&[0.5]).as_ref(), 3), 1.0);
        assert!((of(&[0.5, 0.5], 2) - 1.0).abs() < 1e-9, "all of them slow");
    }
}
