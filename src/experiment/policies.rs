//! Policies by name, with published parameters in compressed time, or with parameters of one's own.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::controller::ControllerConfig;
use crate::dataflow::{Configuration, Topology};
use crate::migration::Strategy;
use crate::policy::{
    Aws, AwsConfig, CriticalPath, CriticalPathConfig, Dhalion, DhalionConfig, Ds2, Ds2Config, FlinkAutoscaler, FlinkAutoscalerConfig,
    Heron, HeronConfig, Hold, Oracle, Policy, Threshold, ThresholdConfig,
};
use crate::time::Timestamp;

/// Names of the policies that can be asked for.
pub const POLICIES: [&str; 9] = ["hold", "oracle", "threshold", "dhalion", "heron", "ds2", "flink-autoscaler", "aws", "critical-path"];

/// Metrics are taken, and DS2 decides, over 60 s of the paper's time on Heron.
// papers/ds2-osdi18.md#fig1-fig6
const METRIC_INTERVAL: Duration = Duration::from_secs(60);

/// Why there is no such policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No policy has that name.
    #[error("expected one of {}, found '{found}'", POLICIES.map(|name| format!("'{name}'")).join(", "))]
    Unknown {
        /// The name that was given.
        found: String,
    },
    /// The job's required parallelism is unknown, so there is no oracle.
    #[error("'oracle' requires a job whose required parallelism is known (instances with limits), found none")]
    NothingKnown,
    /// A parameter is not one of the policy's, or its value makes no sense.
    #[error("{setting}: expected {expected}")]
    Setting {
        /// The parameter as it was given.
        setting: String,
        /// What was expected instead.
        expected: String,
    },
}

/// A parameter of a policy, written `name=value`. Times are those of the published policy, whatever the time factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    name: String,
    value: String,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Setting, String> {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("expected 'name=value', found '{text}'"))?;
        Ok(Setting { name: name.trim().to_owned(), value: value.trim().to_owned() })
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

/// What a policy is given beside its name.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Parameters that differ from the published ones.
    pub settings: Vec<Setting>,
    /// The best configurations by the scenario's true parameters, with the time from which each is best; for `oracle` alone.
    pub best: Vec<(Timestamp, Configuration)>,
}

/// The policy called `name` with its published parameters, control time running `time_factor` times faster.
///
/// # Errors
/// When no policy has that name, or it needs to be given something.
pub fn policy(name: &str, topology: &Topology, time_factor: f64) -> Result<Box<dyn Policy>, PolicyError> {
    policy_with(name, topology, time_factor, &Given::default())
}

/// The same, with what it is given.
///
/// # Errors
/// When no policy has that name, a parameter is not one of its own or makes no sense, or it needs to be given more.
pub fn policy_with(name: &str, topology: &Topology, time_factor: f64, given: &Given) -> Result<Box<dyn Policy>, PolicyError> {
    let topology = topology.clone();
    let settings = &given.settings;
    Ok(match name {
        "hold" => no_parameters(settings, || Ok(Box::new(Hold)))?,
        "oracle" if given.best.is_empty() => return Err(PolicyError::NothingKnown),
        "oracle" => no_parameters(settings, || Ok(Box::new(Oracle::new(topology, given.best.clone()))))?,
        "threshold" => {
            let config = set(ThresholdConfig::published(), settings, ThresholdConfig::check)?;
            Box::new(Threshold::new(topology, config.compressed(time_factor)))
        }
        "dhalion" => Box::new(Dhalion::new(topology, set(DhalionConfig::published(), settings, |_| Ok(()))?.compressed(time_factor))),
        "heron" => Box::new(Heron::new(topology, set(HeronConfig::published(), settings, |_| Ok(()))?.compressed(time_factor))),
        "ds2" => Box::new(Ds2::new(topology, set(Ds2Config::default(), settings, |_| Ok(()))?)),
        "flink-autoscaler" => {
            let config = set(FlinkAutoscalerConfig::published(), settings, FlinkAutoscalerConfig::check)?;
            Box::new(FlinkAutoscaler::new(topology, config.compressed(time_factor)))
        }
        "aws" => Box::new(Aws::new(topology, set(AwsConfig::published(), settings, AwsConfig::check)?.compressed(time_factor))),
        "critical-path" => {
            let config = set(CriticalPathConfig::standard(), settings, CriticalPathConfig::check)?;
            Box::new(CriticalPath::new(topology, config.compressed(time_factor)))
        }
        other => return Err(PolicyError::Unknown { found: other.to_owned() }),
    })
}

fn no_parameters(
    settings: &[Setting],
    make: impl FnOnce() -> Result<Box<dyn Policy>, PolicyError>,
) -> Result<Box<dyn Policy>, PolicyError> {
    match settings.first() {
        None => make(),
        Some(setting) => {
            Err(PolicyError::Setting { setting: setting.to_string(), expected: "no parameter: this policy has none".to_owned() })
        }
    }
}

/// The published parameters with those that were given in their place, one by one so that an error names the one that is wrong.
fn set<C: Serialize + DeserializeOwned>(
    published: C,
    settings: &[Setting],
    check: impl Fn(&C) -> Result<(), String>,
) -> Result<C, PolicyError> {
    let mut config = published;
    for setting in settings {
        let wrong = |expected: String| PolicyError::Setting { setting: setting.to_string(), expected };
        let mut table = toml::Table::try_from(&config).expect("parameters are numbers and names");
        let Some(known) = table.get(&setting.name) else {
            let names: Vec<&str> = table.keys().map(String::as_str).collect();
            return Err(wrong(format!("a parameter, one of {}", names.join(", "))));
        };
        let value = value(known, &setting.value).map_err(wrong)?;
        table.insert(setting.name.clone(), value);
        config = table.try_into().map_err(|why: toml::de::Error| wrong(format!("another value: {}", why.message())))?;
    }
    // What makes sense one by one may not do so together.
    check(&config).map_err(|why| {
        let given: Vec<String> = settings.iter().map(Setting::to_string).collect();
        PolicyError::Setting { setting: given.join(" "), expected: why.trim_start_matches("expected ").to_owned() }
    })?;
    Ok(config)
}

/// A value of the kind of the one it replaces.
fn value(known: &toml::Value, text: &str) -> Result<toml::Value, String> {
    let number = || match text.parse::<f64>() {
        Ok(number) if number >= 0.0 => Ok(number),
        _ => Err(format!("a number of at least 0, found '{text}'")),
    };
    Ok(match known {
        toml::Value::Float(_) => toml::Value::Float(number()?),
        toml::Value::Integer(_) => toml::Value::Integer(
            text.parse::<u32>().map(i64::from).map_err(|_| format!("a whole number from 0 to {}, found '{text}'", u32::MAX))?,
        ),
        // A duration is a table of seconds and nanoseconds; people write seconds.
        toml::Value::Table(_) => {
            let seconds = number()?;
            if seconds > 1e9 {
                return Err(format!("seconds, at most a thousand million, found '{text}'"));
            }
            toml::Value::try_from(Duration::from_secs_f64(seconds)).expect("a duration is a table")
        }
        _ => toml::Value::String(text.to_owned()),
    })
}

/// The pacing that every policy gets: a window of 60 s (compressed), no warm-up, one window of agreement.
///
/// Dhalion, Heron and the Flink autoscaler wait longer between decisions; those waits are part of the policies.
pub fn pacing(time_factor: f64, strategy: Strategy) -> ControllerConfig {
    let policy_interval = METRIC_INTERVAL.div_f64(time_factor);
    ControllerConfig { policy_interval, warm_up_windows: 0, activation_windows: 1, strategy }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::Role;

    fn make(name: &str, settings: &[&str]) -> Result<(), String> {
        let topology = Topology::new(&[("source", Role::Source, 1), ("map", Role::Stateless, 8)], &[(0, 1)]).unwrap();
        let settings = settings.iter().map(|text| text.parse().unwrap()).collect();
        let given = Given { settings, best: vec![(Timestamp::ZERO, Configuration::ones(&topology))] };
        let made = policy_with(name, &topology, 30.0, &given).map_err(|why| why.to_string())?;
        assert_eq!(made.name(), name);
        Ok(())
    }

    #[test]
    fn every_policy_is_made_and_takes_its_parameters() {
        for name in POLICIES {
            make(name, &[]).unwrap();
        }
        make("threshold", &["target_utilisation=0.6", "tolerance=0"]).unwrap();
        make("dhalion", &["settle_wait=60", "noise_share=0.05"]).unwrap();
        make("heron", &["given_up_runs=3"]).unwrap();
        make("critical-path", &["goal_ms=100", "budget=40"]).unwrap();
        make("ds2", &["target_rate_ratio=inf"]).unwrap();
        make("flink-autoscaler", &["alignment=off", "metrics_window_s=180", "max_parallelism=64"]).unwrap();
        make("aws", &["busy_s=300", "idle_utilisation=0.2"]).unwrap();
        assert!(policy("oracle", &Topology::new(&[], &[]).unwrap(), 1.0).is_err_and(|why| why == PolicyError::NothingKnown));
    }

    #[test]
    fn a_parameter_that_is_none_is_named_with_what_was_expected() {
        for (name, settings, expected) in [
            ("threshold", &["target=0.6"][..], "target=0.6: expected a parameter, one of scale_down_stabilisation_s, scale_up"),
            ("threshold", &["tolerance=0.2", "target_utilisation=2"], "expected target_utilisation: expected 0.01 to 1, found 2"),
            ("threshold", &["tolerance=-1"], "tolerance=-1: expected a number of at least 0, found '-1'"),
            ("threshold", &["tolerance=NaN"], "tolerance=NaN: expected a number of at least 0, found 'NaN'"),
            ("dhalion", &["settle_wait=inf"], "settle_wait=inf: expected seconds"),
            ("heron", &["given_up_runs=1.5"], "given_up_runs=1.5: expected a whole number"),
            ("flink-autoscaler", &["alignment=some"], "alignment=some: expected another value: unknown variant `some`"),
            ("hold", &["x=1"], "x=1: expected no parameter"),
            (
                "ds3",
                &[],
                "expected one of 'hold', 'oracle', 'threshold', 'dhalion', 'heron', 'ds2', 'flink-autoscaler', 'aws', 'critical-path', found 'ds3'",
            ),
        ] {
            let error = make(name, settings).unwrap_err();
            assert!(error.contains(expected), "{error}\n{expected}");
        }
        assert!("tolerance".parse::<Setting>().is_err());
    }
}
