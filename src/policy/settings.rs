//! Parameters of policies, by name.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Policy;
use crate::dataflow::Configuration;
use crate::time::Timestamp;

/// Why a policy cannot be created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No policy has that name.
    #[error("expected one of {expected}, found '{found}'")]
    Unknown {
        /// The names of all policies, in quotes.
        expected: String,
        /// The name that was given.
        found: String,
    },
    /// The job's required parallelism is unknown, so there is no oracle.
    #[error("'oracle' requires a job whose required parallelism is known (instances with limits), found none")]
    NothingKnown,
    /// A parameter is unknown or its value is invalid.
    #[error("{setting}: expected {expected}")]
    Setting {
        /// The parameter as it was given.
        setting: String,
        /// What was expected instead.
        expected: String,
    },
}

/// A parameter of a policy, written `name=value`. Times are those of the published policy, whatever
/// the time factor.
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

/// Input of a policy in addition to its name.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Parameters that differ from the published ones.
    pub settings: Vec<Setting>,
    /// The best configurations by the scenario's true parameters, with the time from which each is
    /// best; only for `oracle`.
    pub best: Vec<(Timestamp, Configuration)>,
}

/// A policy without parameters.
///
/// # Errors
/// If one is given.
pub(super) fn no_parameters(
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

/// The published parameters, overridden one by one by the given ones, so that an error names the
/// wrong one.
///
/// # Errors
/// If a parameter is unknown or its value is invalid.
pub(super) fn set<C: Serialize + DeserializeOwned>(
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
    // Values that are valid separately may be invalid together.
    check(&config).map_err(|why| {
        let given: Vec<String> = settings.iter().map(Setting::to_string).collect();
        PolicyError::Setting { setting: given.join(" "), expected: why.trim_start_matches("expected ").to_owned() }
    })?;
    Ok(config)
}

/// A value of the same type as the one it replaces.
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
        // A duration is a table of seconds and nanoseconds; users give seconds.
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
