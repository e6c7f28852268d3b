//! Weights by which an operator's load is divided among its instances: their relative speeds.
//!
//! Bins of a keyed operator are divided by speed, and so are records of a stateless one. The speeds
//! in use are remembered, so that a straggler that is accounted for is left alone unless its speed
//! differs much, and a stateless operator returns to round-robin once all its instances are alike
//! again. Where a host cannot divide records by speed, more instances make the straggler's turn
//! less frequent; that it cannot is seen as a rebalance that did not help.

use super::operator_view::OperatorView;
use crate::dataflow::{Operator, Role};

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

/// The speeds by which plans so far divide the load of one operator.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct LoadWeights {
    /// By instance; empty where all count the same.
    speeds: Vec<f64>,
    /// The same before the last plan, which may still be rejected.
    before: Vec<f64>,
    /// Consecutive windows without a straggler.
    well: u32,
    /// How often round-robin returned.
    recovered: u32,
}

impl LoadWeights {
    /// Whether an instance is overloaded and has more than its share. `ratio` is demand over capacity.
    pub(super) fn is_uneven(&self, operator: &Operator, view: &OperatorView, ratio: f64) -> bool {
        let least = match operator.role {
            // With routing to the shortest queue, unequal shares are as intended.
            Role::Stateless if !view.has_slow() => return false,
            _ if !self.is_news(view) => UNEVEN,
            // A bin cannot be divided.
            Role::Keyed { bins } => SLIGHTLY.max(1.0 + f64::from(view.instances) / (f64::from(bins) * view.speed_of_worst())),
            _ => SLIGHTLY,
        };
        view.imbalance > least && ratio * view.imbalance > 1.0 + TOLERANCE
    }

    /// Whether the instance with the most load for its speed is a straggler that the division does not account for.
    pub(super) fn is_news(&self, view: &OperatorView) -> bool {
        view.speed_of_worst() < 1.0 && self.speeds.get(view.worst as usize).is_none_or(|speed| *speed == 1.0)
    }

    /// Whether a straggler holds the others up so little that an added instance is the answer.
    pub(super) fn is_held_up(&self, operator: &Operator, view: &OperatorView, ratio: f64) -> bool {
        view.speed_of_worst() < 1.0 && !self.is_uneven(operator, view, ratio) && ratio * view.imbalance > 1.0 + TOLERANCE
    }

    /// Processes a window of a stateless operator; its imbalance where it should return to round-robin.
    pub(super) fn is_over(&mut self, operator: &Operator, view: &OperatorView, ratio: f64) -> Option<f64> {
        self.well = if view.has_slow() { 0 } else { self.well + 1 };
        if operator.is_keyed() || self.speeds.is_empty() || view.has_slow() {
            return None;
        }
        let most = self.speeds.iter().copied().fold(0.0, f64::max);
        let imbalance = most * self.speeds.len() as f64 / self.speeds.iter().sum::<f64>();
        (ratio * imbalance > 1.0 + TOLERANCE || self.well >= WELL * LATER.0.pow(self.recovered.min(LATER.1))).then_some(imbalance)
    }

    /// The speeds that a plan with this adjustment carries for the operator; nothing where it needs none.
    pub(super) fn planned(&mut self, operator: &Operator, view: &OperatorView, adjustment: Adjustment) -> Option<Vec<f64>> {
        let known = view.speeds.as_ref().filter(|_| view.has_slow()).map(|speeds| speeds.relative.clone());
        // A stateless operator with round-robin stays as it is.
        let is_silent = !operator.is_keyed() && adjustment == Adjustment::Rescaled && self.speeds.is_empty();
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

/// How a plan adjusts an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Adjustment {
    /// It gets another number of instances.
    Rescaled,
    /// Its load is redistributed.
    Rebalanced,
}
