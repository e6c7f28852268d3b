//! What the policy can be told.

use serde::{Deserialize, Serialize};

/// Parameters; times are those of an uncompressed run, in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CriticalPathConfig {
    /// Operators are given so many instances that they are busy for this part of the time; what is left absorbs what varies, and works off
    /// what has piled up.
    pub utilisation: f64,
    /// The 99th percentile of latency is to be at most this, in milliseconds of the job's own time; 0 asks for throughput alone.
    pub goal_ms: f64,
    /// Instances of all scalable operators together, at most; 0 is no limit.
    pub budget: u32,
    /// A lag is to be worked off in this time.
    pub catch_up_s: f64,
    /// Instances are taken away only if no window of this time would have needed them.
    pub look_back_s: f64,
    /// ... and if they are at least this part of all instances.
    pub least_saving: f64,
    /// Standard errors by which an estimate must differ from the present before it is acted upon.
    pub confidence: f64,
    /// Whether decisions rest on measured critical paths; without, latency is guessed from utilisation by a queueing formula.
    pub paths: Paths,
}

/// Whether critical paths are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Paths {
    /// They are.
    #[default]
    On,
    /// They are not.
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

    /// What of it makes no sense: the field, with what was expected.
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
