//! Parameters of the Flink autoscaler, with its default values.

use serde::{Deserialize, Serialize};

/// How the busy times of an operator's instances are aggregated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BusyAggregator {
    /// The maximum: uneven load leads to more instances.
    #[default]
    Max,
    /// The mean.
    Avg,
    /// The minimum.
    Min,
}

/// How parallelism is aligned with the number of bins, Flink's key groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alignment {
    /// The first parallelism from the target on that divides the bins or leaves the fullest
    /// instance fewer of them.
    #[default]
    Balanced,
    /// The first parallelism from the target on that divides the bins.
    EvenlySpread,
    /// No alignment.
    Off,
}

/// Options of the autoscaler, under their documented names where possible. Times are in seconds.
// papers/flink-autoscaler.md#defaults
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlinkAutoscalerConfig {
    /// Metrics are averaged over this time; nothing is decided before it has passed.
    pub metrics_window_s: f64,
    /// Metrics are ignored for this long after a start or a rescale.
    pub stabilisation_s: f64,
    /// Target utilisation.
    pub utilisation_target: f64,
    /// Above this utilisation an operator is scaled up.
    pub utilisation_max: f64,
    /// Below this utilisation an operator is scaled down.
    pub utilisation_min: f64,
    /// Time in which a lag is to be drained; 0 plans no capacity for it.
    pub catch_up_s: f64,
    /// Expected downtime of a rescale.
    pub restart_s: f64,
    /// A lag of more than this at the current rate is a backlog, during which no operator is scaled
    /// down for its own sake.
    pub backlog_lag_s: f64,
    /// A scale-down waits for this long, then scales to the maximum recommended in that time.
    pub scale_down_interval_s: f64,
    /// Maximum share of the instances that a scale-down removes.
    pub most_scale_down: f64,
    /// Maximum number of instances that a scale-up adds, as a multiple of the current ones.
    pub most_scale_up: f64,
    /// Minimum parallelism; an operator below it may stay there.
    pub min_parallelism: u32,
    /// Maximum parallelism; an operator above it may stay there.
    pub max_parallelism: u32,
    /// A scale-up that achieved less than this share of its expected gain blocks the next one; 0
    /// (the default) never blocks. The documented threshold is 0.1.
    pub effectiveness_threshold: f64,
    /// Lower bound on the observed scalability; 1 (the default) assumes linear scaling. The
    /// documented minimum is 0.5.
    pub scalability_least: f64,
    /// Number of observations below which scaling is assumed to be linear.
    pub scalability_observations: usize,
    /// Number of past scalings remembered per operator.
    pub history_most: usize,
    /// How long a scaling is remembered.
    pub history_age_s: f64,
    /// How parallelism is aligned with the number of bins.
    pub alignment: Alignment,
    /// How the busy times of instances are aggregated.
    pub busy_aggregator: BusyAggregator,
}

impl FlinkAutoscalerConfig {
    /// The default values.
    pub fn published() -> FlinkAutoscalerConfig {
        FlinkAutoscalerConfig {
            metrics_window_s: 900.0,
            stabilisation_s: 300.0,
            utilisation_target: 0.7,
            utilisation_max: 1.0,
            utilisation_min: 0.4,
            catch_up_s: 1800.0,
            restart_s: 300.0,
            backlog_lag_s: 300.0,
            scale_down_interval_s: 3600.0,
            most_scale_down: 0.6,
            most_scale_up: 100_000.0,
            min_parallelism: 1,
            max_parallelism: 200,
            effectiveness_threshold: 0.0,
            scalability_least: 1.0,
            scalability_observations: 3,
            history_most: 3,
            history_age_s: 86_400.0,
            alignment: Alignment::Balanced,
            busy_aggregator: BusyAggregator::Max,
        }
    }

    /// The same with all times divided by `factor`; rates do not change.
    ///
    /// # Panics
    /// If the factor is not positive.
    pub fn compressed(self, factor: f64) -> FlinkAutoscalerConfig {
        assert!(factor.is_finite() && factor > 0.0, "time is compressed by a positive factor: {factor}");
        FlinkAutoscalerConfig {
            metrics_window_s: self.metrics_window_s / factor,
            stabilisation_s: self.stabilisation_s / factor,
            catch_up_s: self.catch_up_s / factor,
            restart_s: self.restart_s / factor,
            backlog_lag_s: self.backlog_lag_s / factor,
            scale_down_interval_s: self.scale_down_interval_s / factor,
            history_age_s: self.history_age_s / factor,
            ..self
        }
    }

    /// Checks the configuration; the error names the field and what was expected.
    ///
    /// # Errors
    /// If a value is out of range.
    pub fn check(&self) -> Result<(), String> {
        let in_range = |name: &str, value: f64, least: f64, most: f64| {
            let holds = (least..=most).contains(&value);
            if holds { Ok(()) } else { Err(format!("{name}: expected {least} to {most}, found {value}")) }
        };
        for (name, value) in [
            ("metrics_window_s", self.metrics_window_s),
            ("stabilisation_s", self.stabilisation_s),
            ("catch_up_s", self.catch_up_s),
            ("restart_s", self.restart_s),
            ("backlog_lag_s", self.backlog_lag_s),
            ("scale_down_interval_s", self.scale_down_interval_s),
            ("history_age_s", self.history_age_s),
            ("most_scale_up", self.most_scale_up),
        ] {
            in_range(name, value, 0.0, 1e9)?;
        }
        in_range("utilisation_target", self.utilisation_target, 0.01, 1.0)?;
        in_range("utilisation_max", self.utilisation_max, self.utilisation_target, 1.0)?;
        in_range("utilisation_min", self.utilisation_min, 0.0, self.utilisation_target)?;
        in_range("most_scale_down", self.most_scale_down, 0.0, 1.0)?;
        in_range("effectiveness_threshold", self.effectiveness_threshold, 0.0, 1.0)?;
        in_range("scalability_least", self.scalability_least, 0.01, 1.0)?;
        let least = f64::from(self.min_parallelism);
        in_range("min_parallelism", least, 1.0, f64::from(u32::MAX))?;
        in_range("max_parallelism", f64::from(self.max_parallelism), least, f64::from(u32::MAX))
    }
}

impl Default for FlinkAutoscalerConfig {
    fn default() -> Self {
        FlinkAutoscalerConfig::published()
    }
}
