//! Why a policy decided as it did, as data.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The rule that fired and the values it looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// Name of the rule, in kebab case; stable, so that logs can be searched and compared.
    pub rule: String,
    /// Name of the operator it is about, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operator: String,
    /// What it looked at: name (with unit where it has one) to value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, f64>,
    /// What a program outside of this one said of it in its own words, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Reason {
    /// The rule `rule`, about nothing in particular.
    pub fn new(rule: &str) -> Reason {
        Reason { rule: rule.to_owned(), operator: String::new(), values: BTreeMap::new(), detail: String::new() }
    }

    /// The same, about `operator`.
    pub fn about(mut self, operator: impl fmt::Display) -> Reason {
        self.operator = operator.to_string();
        self
    }

    /// The same, with what a program outside said of it.
    pub fn saying(mut self, detail: impl Into<String>) -> Reason {
        self.detail = detail.into();
        self
    }

    /// The same, with a value it looked at.
    pub fn with(mut self, name: &str, value: f64) -> Reason {
        self.values.insert(name.to_owned(), value);
        self
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rule)?;
        if !self.operator.is_empty() {
            write!(f, " at {}", self.operator)?;
        }
        for (index, (name, value)) in self.values.iter().enumerate() {
            let lead = if index == 0 { ": " } else { ", " };
            write!(f, "{lead}{name} {}", (value * 1000.0).round() / 1000.0)?;
        }
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        Ok(())
    }
}
