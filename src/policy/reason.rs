//! Why a policy decided as it did, as data.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::critical_path::EpochPieceKind;

/// The rule that applied, and its inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// Name of the rule, in kebab case; stable, so that logs can be searched and compared.
    pub rule: String,
    /// Name of the operator it concerns, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operator: String,
    /// Inputs: name (with unit if it has one) to value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, f64>,
    /// An external program's reason in its own words, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Diagnoses of operators, the most important first; not every policy makes any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Breakdown of the latency of the slowest epochs, the largest piece first; not every policy
    /// uses critical paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<PathShare>,
}

/// A piece of the critical paths that a decision is based on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathShare {
    /// What the time was spent on.
    pub kind: EpochPieceKind,
    /// Name of the operator to which it is attributed; for network and progress tracking, the
    /// receiving one. Empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operator: String,
    /// For queueing behind another operator on a shared worker: the operator whose records waited.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub waiting: String,
    /// Share of the latency, 0 to 1.
    pub share: f64,
    /// Mean over the slowest epochs, in milliseconds.
    pub mean_ms: f64,
    /// Predicted mean under the plan, in milliseconds, if predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_ms: Option<f64>,
}

/// A diagnosis of one operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Its name.
    pub operator: String,
    /// The cause.
    pub cause: Cause,
    /// Measurements that it is based on: name (with unit if it has one) to value.
    pub values: BTreeMap<String, f64>,
}

/// Causes that a policy can diagnose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Its instances cannot process its load: adding instances helps.
    UnderProvisioned,
    /// An instance has more than its share of the load (skew): rebalancing keys helps, adding
    /// instances does not.
    Skewed,
    /// An instance is slower than the others (straggler): reducing its load helps.
    Straggling,
    /// A former straggler is as fast as the others again: load is distributed evenly.
    Recovered,
    /// It waits for something outside the job: no change of the configuration helps.
    ExternalWait,
    /// It is at its maximum parallelism, which is not enough.
    AtLimit,
    /// It contributes most to a latency above the goal.
    Slow,
    /// It is starved by its upstream operators: a change of its own parallelism does not help.
    Starved,
    /// It has more instances than it needs.
    OverProvisioned,
    /// A worker cannot do the work of all its instances: moving one helps.
    Crowded,
    /// A worker does not get its core: another program or another machine has it.
    Host,
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
            Cause::Crowded => "crowded",
            Cause::Host => "host",
        })
    }
}

impl Finding {
    /// The cause `cause` at `operator`.
    pub fn new(operator: impl fmt::Display, cause: Cause) -> Finding {
        Finding { operator: operator.to_string(), cause, values: BTreeMap::new() }
    }

    /// The same, with a measurement it is based on.
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
    /// A reason with the rule `rule`, not about an operator.
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

    /// The same, with an external program's words.
    pub fn saying(mut self, detail: impl Into<String>) -> Reason {
        self.detail = detail.into();
        self
    }

    /// The same, with diagnoses of operators.
    pub fn finding(mut self, findings: impl IntoIterator<Item = Finding>) -> Reason {
        self.findings.extend(findings);
        self
    }

    /// The same, with the breakdown of the latency of the slowest epochs.
    pub fn along(mut self, path: impl IntoIterator<Item = PathShare>) -> Reason {
        self.path.extend(path);
        self
    }

    /// The same, with an input.
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
