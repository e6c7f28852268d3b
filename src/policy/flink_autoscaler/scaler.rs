//! The new parallelism of one operator, from its target rate and its true rate.
//!
//! Pure functions of numbers, each a rule of the autoscaler covered by its own unit tests;
//! `tests.rs` repeats these. Rates are in records per second; an operator that was idle has an
//! infinite true rate.

use std::cmp::Ordering;

use super::config::{Alignment, FlinkAutoscalerConfig};

/// The target rate of an operator, without any reserve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Records per second that reach it at the offered rates.
    pub target: f64,
    /// Additional records per second to drain the lag within the catch-up time.
    pub catch_up: f64,
}

/// Whether capacity for records that accumulate during a restart is included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It is included.
    Counted,
    /// It is not included.
    Ignored,
}

/// The capacity at which the load causes a given utilisation, rounded to whole records per second;
/// infinite for a utilisation of 0.
// papers/flink-autoscaler.md#capacity
pub fn capacity(load: Load, utilisation: f64, restart: Restart, config: &FlinkAutoscalerConfig) -> f64 {
    if utilisation <= 0.0 {
        return f64::INFINITY;
    }
    let restarting = match restart {
        Restart::Counted if config.catch_up_s > 0.0 => load.target * config.restart_s / config.catch_up_s,
        _ => 0.0,
    };
    (load.catch_up + restarting + load.target / utilisation).round()
}

/// The band of true rates in which nothing is done: below it an operator has too few instances,
/// above it too many.
///
/// While a backlog drains, its lower bound is that of full utilisation and its upper bound
/// infinite.
// papers/flink-autoscaler.md#thresholds
pub fn thresholds(load: Load, backlog: Backlog, config: &FlinkAutoscalerConfig) -> (f64, f64) {
    let (most, least) = match backlog {
        Backlog::Yes => (1.0, 0.0),
        Backlog::No => (config.utilisation_max, config.utilisation_min),
    };
    (capacity(load, most, Restart::Ignored, config), capacity(load, least, Restart::Counted, config))
}

/// Whether a lag is large enough to be a backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// A past scaling of an operator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// Parallelism before.
    pub before: u32,
    /// Parallelism after.
    pub after: u32,
    /// True rate before.
    pub true_rate: f64,
    /// Expected true rate after.
    pub expected: f64,
}

/// The recommendation for an operator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recommendation {
    /// Parallelism; a scale-down is delayed before it is carried out.
    pub instances: u32,
    /// Expected true rate.
    pub expected: f64,
    /// What limited it.
    pub limit: Limit,
}

/// Why a recommendation was limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// It was not limited.
    None,
    /// The last scale-up achieved so little that another one would be useless.
    Ineffective,
}

/// Bounds on an operator's parallelism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Maximum parallelism.
    pub most: u32,
    /// Number of bins; `None` for an operator without bins.
    pub bins: Option<u32>,
}

/// The recommendation for an operator with parallelism `instances` and a true rate, given its load.
// papers/flink-autoscaler.md#parallelism
pub fn recommend(
    instances: u32,
    load: Load,
    true_rate: f64,
    bounds: Bounds,
    history: &[Scaling],
    config: &FlinkAutoscalerConfig,
) -> Recommendation {
    let wanted = capacity(load, config.utilisation_target, Restart::Counted, config);
    let scalability = scalability(history, config);
    let factor = (wanted / true_rate / scalability).clamp(1.0 - config.most_scale_down, 1.0 + config.most_scale_up);
    let scaled = scale(instances, factor, bounds, config);
    // Expected with the parallelism after bounds and alignment, not the computed one.
    let expected = if true_rate.is_finite() { true_rate * f64::from(scaled) / f64::from(instances) } else { wanted };
    let ineffective = scaled > instances && history.last().is_some_and(|last| is_ineffective(last, instances, true_rate, config));
    let (instances, limit) = if ineffective { (instances, Limit::Ineffective) } else { (scaled, Limit::None) };
    Recommendation { instances, expected, limit }
}

/// Parallelism times a factor, rounded up, within bounds, aligned with the bins.
// papers/flink-autoscaler.md#bounds
pub fn scale(instances: u32, factor: f64, bounds: Bounds, config: &FlinkAutoscalerConfig) -> u32 {
    // An operator outside of the bounds may stay where it is, but goes no further.
    let least = config.min_parallelism.min(instances).max(1);
    let most = config.max_parallelism.max(instances).min(bounds.most).max(least);
    // A billionth of an instance is a rounding error. Values that do not fit saturate, and NaN is
    // the minimum.
    let scaled = ((f64::from(instances) * factor - 1e-9).ceil() as u32).clamp(least, most);
    match bounds.bins {
        Some(bins) => aligned(instances, scaled, bins, most, config.alignment),
        None => scaled,
    }
}

/// The first parallelism from `target` on that is aligned with the bins; `target` if none is. At
/// most one instance per bin.
///
/// A scale-up searches up to `most`. A scale-down searches only up to `present`, so that it never
/// becomes a scale-up; it may end there, and then nothing changes. Operators that do not change are
/// not aligned.
// papers/flink-autoscaler.md#alignment
pub fn aligned(present: u32, target: u32, bins: u32, most: u32, alignment: Alignment) -> u32 {
    let target = target.min(bins.max(1));
    let last = match target.cmp(&present) {
        Ordering::Equal => return present,
        Ordering::Less => present.min(most).min(bins),
        Ordering::Greater => most.min(bins),
    };
    let divides = |candidate: u32| bins.is_multiple_of(candidate);
    // Bins per instance, rounded down, as the autoscaler counts them.
    let fewer = |candidate: u32| bins / candidate < bins / target;
    let mut candidates = target..=last.max(target);
    let found = match alignment {
        Alignment::Off => None,
        Alignment::EvenlySpread => candidates.find(|&candidate| divides(candidate)),
        Alignment::Balanced => candidates.find(|&candidate| divides(candidate) || fewer(candidate)),
    };
    found.unwrap_or(target)
}

/// Whether the last scaling was a scale-up to the current parallelism that achieved less than the
/// threshold's share of its expected gain.
// papers/flink-autoscaler.md#ineffective
fn is_ineffective(last: &Scaling, instances: u32, true_rate: f64, config: &FlinkAutoscalerConfig) -> bool {
    let expected = last.expected - last.true_rate;
    last.after > last.before && last.after == instances && expected > 0.0 && {
        (true_rate - last.true_rate) / expected < config.effectiveness_threshold
    }
}

/// Observed scalability, as a share of linear scaling: the slope through all past scalings over the
/// rate of an instance at the lowest parallelism among them.
// papers/flink-autoscaler.md#scalability
pub fn scalability(history: &[Scaling], config: &FlinkAutoscalerConfig) -> f64 {
    let usable = || history.iter().filter(|scaling| scaling.true_rate.is_finite() && scaling.true_rate > 0.0);
    let Some(fewest) = usable().min_by_key(|scaling| scaling.before) else { return 1.0 };
    if usable().count() < config.scalability_observations {
        return 1.0;
    }
    let baseline = fewest.true_rate / f64::from(fewest.before);
    let (products, squares) = usable().fold((0.0, 0.0), |(products, squares), scaling| {
        let instances = f64::from(scaling.before);
        (products + instances * scaling.true_rate, squares + instances * instances)
    });
    (products / (squares * baseline)).clamp(config.scalability_least.min(1.0), 1.0)
}
