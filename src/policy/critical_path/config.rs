//! Parameters of the policy.

use serde::{Deserialize, Serialize};

/// Parameters; times are those of an uncompressed run, in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CriticalPathConfig {
    /// Target utilisation of an operator; the rest absorbs variation and drains lag.
    pub utilisation: f64,
    /// Goal for the 99th percentile of latency, in milliseconds of the job's own time; 0 for throughput alone.
    pub goal_ms: f64,
    /// Maximum sum of instances over the scalable operators; 0 is no limit.
    pub budget: u32,
    /// Time within which lag is to be drained.
    pub catch_up_s: f64,
    /// Instances are removed only if no window of this time would have needed them...
    pub look_back_s: f64,
    /// ... and if they are at least this share of all instances.
    pub least_saving: f64,
    /// Standard errors by which an estimate must differ from the present configuration to be acted upon.
    pub confidence: f64,
    /// Whether decisions rest on measured critical paths; without them, latency is estimated from utilisation by a queueing formula.
    pub paths: Paths,
}

/// Whether decisions rest on measured critical paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Paths {
    /// They do.
    #[default]
    On,
    /// They do not.
    Off,
}

impl CriticalPathConfig {
    /// The values that every experiment runs with unless it says otherwise.
    pub fn standard() -> CriticalPathConfig {
        CriticalPathConfig {
            utilisation: 0.96,
            goal_ms: 0.0,
            budget: 0,
            catch_up_s: 1800.0,
            look_back_s: 180.0,
            least_saving: 0.1,
            confidence: 2.0,
            paths: Paths::On,
        }
    }

    /// The same in time that runs `factor` times faster; rates stay, and so does the goal.
    ///
    /// # Panics
    /// If the factor is not positive.
    pub fn compressed(self, factor: f64) -> CriticalPathConfig {
        assert!(factor.is_finite() && factor > 0.0, "time is compressed by a positive factor: {factor}");
        CriticalPathConfig { catch_up_s: self.catch_up_s / factor, look_back_s: self.look_back_s / factor, ..self }
    }

    /// Checks the ranges of all fields; the error names the field and the expected range.
    ///
    /// # Errors
    /// When a value is out of its range.
    pub fn check(&self) -> Result<(), String> {
        for (name, value, least, most) in [
            ("utilisation", self.utilisation, 0.01, 1.0),
            ("goal_ms", self.goal_ms, 0.0, 1e9),
            ("catch_up_s", self.catch_up_s, 0.001, 1e9),
            ("look_back_s", self.look_back_s, 0.0, 1e9),
            ("least_saving", self.least_saving, 0.0, 1.0),
            ("confidence", self.confidence, 0.0, 100.0),
        ] {
            if !(least..=most).contains(&value) {
                return Err(format!("{name}: expected {least} to {most}, found {value}"));
            }
        }
        Ok(())
    }
}

impl Default for CriticalPathConfig {
    fn default() -> Self {
        CriticalPathConfig::standard()
    }
}
