//! From what one operator must process and can process to how many instances it is to have.
//!
//! Pure functions of numbers, each a rule of the autoscaler that its own unit tests state facts of; `tests.rs` repeats those. Rates are
//! records per second; an infinite true rate is that of an operator that had nothing to do.

use std::cmp::Ordering;

use super::config::{Alignment, FlinkAutoscalerConfig};

/// What an operator must process, before any allowance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Records per second that reach it at the offered rates.
    pub target: f64,
    /// Records per second more that work off the lag in the time for catching up.
    pub catch_up: f64,
}

/// Whether capacity for what piles up during a rescale is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It is.
    Counted,
    /// It is not.
    Ignored,
}

/// Capacity with which the load leaves an operator at a utilisation, rounded to whole records a second; infinite for a utilisation of 0.
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

/// True rates between which nothing is done: below the first an operator has too few instances, above the second too many.
///
/// While a backlog is worked off, the first is that of full utilisation and the second infinite.
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

/// How one operator was scaled once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// Instances before.
    pub before: u32,
    /// Instances after.
    pub after: u32,
    /// True rate before.
    pub true_rate: f64,
    /// True rate expected of it.
    pub expected: f64,
}

/// What an operator is to have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recommendation {
    /// Instances; a scale-down waits before it is carried out.
    pub instances: u32,
    /// True rate expected of them.
    pub expected: f64,
    /// What kept it from more.
    pub limit: Limit,
}

/// What a recommendation was held back by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Nothing.
    None,
    /// The last scale-up brought so little that another one would be of no use.
    Ineffective,
}

/// Bounds on an operator's parallelism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most instances it may have.
    pub most: u32,
    /// Bins that are spread over them; nothing for an operator without.
    pub bins: Option<u32>,
}

/// The instances that an operator with `instances` and a true rate is to have for its load.
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
    // Of the instances there will be, not of those that were asked for: bounds and bins have had their say.
    let expected = if true_rate.is_finite() { true_rate * f64::from(scaled) / f64::from(instances) } else { wanted };
    let ineffective = scaled > instances && history.last().is_some_and(|last| is_ineffective(last, instances, true_rate, config));
    let (instances, limit) = if ineffective { (instances, Limit::Ineffective) } else { (scaled, Limit::None) };
    Recommendation { instances, expected, limit }
}

/// Instances times a factor, rounded up, within bounds, fitted to the bins.
// papers/flink-autoscaler.md#bounds
pub fn scale(instances: u32, factor: f64, bounds: Bounds, config: &FlinkAutoscalerConfig) -> u32 {
    // Who is outside of the bounds already may stay there, but goes no further.
    let least = config.min_parallelism.min(instances).max(1);
    let most = config.max_parallelism.max(instances).min(bounds.most).max(least);
    // A billionth of an instance is rounding. What does not fit saturates, and NaN is the least.
    let scaled = ((f64::from(instances) * factor - 1e-9).ceil() as u32).clamp(least, most);
    match bounds.bins {
        Some(bins) => aligned(instances, scaled, bins, most, config.alignment),
        None => scaled,
    }
}

/// The first parallelism from `target` on that suits the bins; `target` if none does. At most one instance a bin.
///
/// A scale-up looks up to `most`. A scale-down looks no further than to the instances that are `present`, so that it never becomes a
/// scale-up; it may end there, and then nothing changes. What does not change is not looked at.
// papers/flink-autoscaler.md#alignment
pub fn aligned(present: u32, target: u32, bins: u32, most: u32, alignment: Alignment) -> u32 {
    let target = target.min(bins.max(1));
    let last = match target.cmp(&present) {
        Ordering::Equal => return present,
        Ordering::Less => present.min(most).min(bins),
        Ordering::Greater => most.min(bins),
    };
    let divides = |candidate: u32| bins.is_multiple_of(candidate);
    // Whole bins an instance, rounded down, as the autoscaler counts them.
    let fewer = |candidate: u32| bins / candidate < bins / target;
    let mut candidates = target..=last.max(target);
    let found = match alignment {
        Alignment::Off => None,
        Alignment::EvenlySpread => candidates.find(|&candidate| divides(candidate)),
        Alignment::Balanced => candidates.find(|&candidate| divides(candidate) || fewer(candidate)),
    };
    found.unwrap_or(target)
}

/// Whether the last scaling was a scale-up to the instances there are now, and gained less than the threshold's share of what was expected.
// papers/flink-autoscaler.md#ineffective
fn is_ineffective(last: &Scaling, instances: u32, true_rate: f64, config: &FlinkAutoscalerConfig) -> bool {
    let expected = last.expected - last.true_rate;
    last.after > last.before && last.after == instances && expected > 0.0 && {
        (true_rate - last.true_rate) / expected < config.effectiveness_threshold
    }
}

/// Share of linear scaling that past scalings show: the slope through all of them over the rate of an instance at the fewest of them.
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
