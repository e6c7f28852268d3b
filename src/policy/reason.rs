//! Why a policy decided as it did, as data.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::critical_path::EpochPieceKind;

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
    /// What was found out about operators, the most important first; not every policy looks for causes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Of what the latency of the slowest epochs consisted, the largest piece first; not every policy looks at critical paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<PathShare>,
}

/// A piece of the critical paths that a decision rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathShare {
    /// What the time went into.
    pub kind: EpochPieceKind,
    /// Name of the operator that it is charged to; for the network and word of progress, of the one that received it. Empty where that is nobody.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operator: String,
    /// Part of the latency, 0 to 1.
    pub share: f64,
    /// Mean over the slowest epochs, in milliseconds.
    pub mean_ms: f64,
    /// What is predicted to be left of it under the plan, in milliseconds, where that is predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_ms: Option<f64>,
}

/// What is the matter with one operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Its name.
    pub operator: String,
    /// What is the matter.
    pub cause: Cause,
    /// What that rests on: name (with unit where it has one) to value.
    pub values: BTreeMap<String, f64>,
}

/// What may be the matter with an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It has more to do than its instances can: more instances help.
    UnderProvisioned,
    /// An instance has more to do than its part: spreading the keys helps, instances do not.
    Skewed,
    /// An instance is slower than the others: giving it less to do helps.
    Straggling,
    /// Its instances are as fast as each other again: each gets the same.
    Recovered,
    /// It waits for something outside of the job: nothing that is done inside helps.
    ExternalWait,
    /// It has as many instances as it may have, and they are not enough.
    AtLimit,
    /// Latency is beyond the goal, and it has the largest part in that.
    Slow,
    /// It waits for records that an operator before it does not deliver: nothing is to be done about itself.
    Starved,
    /// It has more instances than it needs.
    OverProvisioned,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::UnderProvisioned => "under-provisioned",
            Cause::Skewed => "skewed",
            Cause::Straggling => "straggling",
            Cause::Recovered => "recovered",
            Cause::ExternalWait => "external-wait",
            Cause::AtLimit => "at-limit",
            Cause::Slow => "slow",
            Cause::Starved => "starved",
            Cause::OverProvisioned => "over-provisioned",
        })
    }
}

impl Finding {
    /// The cause `cause` at `operator`.
    pub fn new(operator: impl fmt::Display, cause: Cause) -> Finding {
        Finding { operator: operator.to_string(), cause, values: BTreeMap::new() }
    }

    /// The same, with a value that it rests on.
    pub fn with(mut self, name: &str, value: f64) -> Finding {
        self.values.insert(name.to_owned(), value);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.operator, self.cause)?;
        values(f, &self.values)
    }
}

fn values(f: &mut fmt::Formatter<'_>, values: &BTreeMap<String, f64>) -> fmt::Result {
    for (index, (name, value)) in values.iter().enumerate() {
        let lead = if index == 0 { ": " } else { ", " };
        write!(f, "{lead}{name} {}", (value * 1000.0).round() / 1000.0)?;
    }
    Ok(())
}

impl Reason {
    /// The rule `rule`, about nothing in particular.
    pub fn new(rule: &str) -> Reason {
        Reason {
            rule: rule.to_owned(),
            operator: String::new(),
            values: BTreeMap::new(),
            detail: String::new(),
            findings: Vec::new(),
            path: Vec::new(),
        }
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

    /// The same, with what was found out about operators.
    pub fn finding(mut self, findings: impl IntoIterator<Item = Finding>) -> Reason {
        self.findings.extend(findings);
        self
    }

    /// The same, with what the latency of the slowest epochs consisted of.
    pub fn along(mut self, path: impl IntoIterator<Item = PathShare>) -> Reason {
        self.path.extend(path);
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
        values(f, &self.values)?;
        for finding in &self.findings {
            write!(f, "; {finding}")?;
        }
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        Ok(())
    }
}
