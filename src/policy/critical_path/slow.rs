//! What follows from instances that are slower than others of their operator.
//!
//! Load is divided by speed: bins of a keyed operator, records of a stateless one. Which speeds an operator's load is divided by is
//! remembered, so that an instance which is known and counted with is left alone unless its speed differs by much, and a stateless operator
//! goes back to equal turns once all its instances are alike again. Where a host cannot divide records by speed, more instances make the
//! slow one's turn come more seldom; that this is so is seen as a rebalance in vain.

use super::bins::Bins;
use super::sight::Sight;
use crate::dataflow::{Operator, Role};
use crate::model::Speeds;

/// An excess that is rounding.
const TOLERANCE: f64 = 0.005;
/// Uneven by less than this is even, as far as noise and whole bins can tell.
const UNEVEN: f64 = 1.1;
/// A slow instance that is not counted with is certainly slower, so that less suffices.
const SLIGHTLY: f64 = 1.02;
/// Windows in which all instances were alike before equal turns come back, where nothing asks for it sooner.
const WELL: u32 = 10;
/// An instance that is slow again and again is trusted later and later: so many times as many windows each time, up to so many times.
const LATER: (u32, u32) = (2, 4);

/// By which speeds the load of one operator is divided, as far as plans of ours say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Division {
    /// By instance; empty where all count the same.
    speeds: Vec<f64>,
    /// The same before the last plan, which may yet be refused.
    before: Vec<f64>,
    /// Windows in which no instance was slow, one after the other.
    well: u32,
    /// Times that equal turns came back.
    recovered: u32,
}

impl Division {
    /// Whether an instance has more to do than it can, and more than its part. `ratio` is demand over capacity.
    pub(super) fn is_uneven(&self, operator: &Operator, sight: &Sight, ratio: f64) -> bool {
        let least = match operator.role {
            // Where records go to whoever has the fewest, some get more, and that is well.
            Role::Stateless if !sight.has_slow() => return false,
            _ if !self.is_news(sight) => UNEVEN,
            // A bin is not divided.
            Role::Keyed { bins } => SLIGHTLY.max(1.0 + f64::from(sight.instances) / (f64::from(bins) * sight.speed_of_worst())),
            _ => SLIGHTLY,
        };
        sight.imbalance > least && ratio * sight.imbalance > 1.0 + TOLERANCE
    }

    /// Whether the instance that has most to do for its speed is slow, and load is divided as if it were not.
    pub(super) fn is_news(&self, sight: &Sight) -> bool {
        sight.speed_of_worst() < 1.0 && self.speeds.get(sight.worst as usize).is_none_or(|speed| *speed == 1.0)
    }

    /// Whether a slow instance holds the others up by so little that an instance more is the answer.
    pub(super) fn is_held_up(&self, operator: &Operator, sight: &Sight, ratio: f64) -> bool {
        sight.speed_of_worst() < 1.0 && !self.is_uneven(operator, sight, ratio) && ratio * sight.imbalance > 1.0 + TOLERANCE
    }

    /// Takes a window of a stateless operator in; how uneven its instances have become, where they are to take equal turns again.
    pub(super) fn is_over(&mut self, operator: &Operator, sight: &Sight, ratio: f64) -> Option<f64> {
        self.well = if sight.has_slow() { 0 } else { self.well + 1 };
        if operator.is_keyed() || self.speeds.is_empty() || sight.has_slow() {
            return None;
        }
        let most = self.speeds.iter().copied().fold(0.0, f64::max);
        let imbalance = most * self.speeds.len() as f64 / self.speeds.iter().sum::<f64>();
        (ratio * imbalance > 1.0 + TOLERANCE || self.well >= WELL * LATER.0.pow(self.recovered.min(LATER.1))).then_some(imbalance)
    }

    /// The speeds that a plan names which changes the operator, and whether it rebalances it; nothing where there is nothing to say.
    pub(super) fn planned(&mut self, operator: &Operator, sight: &Sight, change: Change) -> Option<Vec<f64>> {
        let known = sight.speeds.as_ref().filter(|_| sight.has_slow()).map(|speeds| speeds.relative.clone());
        // A stateless operator whose records find their way by themselves is not interfered with.
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
    /// Its load is divided anew.
    Rebalanced,
}

/// As [`Bins::granularity`], where bins are spread over `instances` instances by speed: how much more the fullest has for its speed than if
/// bins could be divided. Instances of which nothing is known are ordinary.
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
