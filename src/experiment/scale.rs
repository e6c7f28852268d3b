//! How much of an experiment is run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How long an experiment runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Minutes: enough to see the result; part of continuous integration.
    #[default]
    Quick,
    /// Longer runs.
    Full,
}

/// A number by scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaled<T> {
    /// For [`Scale::Quick`].
    pub quick: T,
    /// For [`Scale::Full`].
    pub full: T,
}

impl<T: Copy> Scaled<T> {
    /// The same at every scale.
    pub fn always(value: T) -> Scaled<T> {
        Scaled { quick: value, full: value }
    }

    /// What holds at `scale`.
    pub fn at(&self, scale: Scale) -> T {
        match scale {
            Scale::Quick => self.quick,
            Scale::Full => self.full,
        }
    }
}

impl Scale {
    /// Whether what begins at a scale is run at this one.
    pub fn includes(self, from: Scale) -> bool {
        from == Scale::Quick || self == Scale::Full
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scale::Quick => "quick",
            Scale::Full => "full",
        })
    }
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Scale, String> {
        match text {
            "quick" => Ok(Scale::Quick),
            "full" => Ok(Scale::Full),
            other => Err(format!("expected a scale, 'quick' or 'full', found '{other}'")),
        }
    }
}
