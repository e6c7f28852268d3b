//! Experiments in virtual time: cases, each from several starts, under policies, with the paper's answer beside ours.
//!
//! One kind of definition serves every figure that is simulated: what differs between them is data. A case has a scenario, written out or
//! drawn from a seed. Invariant: rows depend on the definition, the scale and the seeds alone, except for the time that decisions took.

mod case;
mod expectation;
mod generated;
mod row;
mod timed;

use serde::{Deserialize, Serialize};

pub use case::{Case, CaseJob, Run};
pub use expectation::SimulatedExpectation;
pub use generated::{Layers, RandomGraph};
pub use row::{Outcome, SimulatedRow};

use super::definition::Scale;

/// An experiment in virtual time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulatedDefinition {
    /// Name of the figure.
    pub figure: String,
    /// Title of the figure.
    pub title: String,
    /// What is drawn beside the table.
    #[serde(default)]
    pub drawn: Drawn,
    /// Seeds of each case.
    #[serde(default)]
    pub seeds: Seeds,
    /// Policies, each of which runs every case.
    pub policies: Vec<PolicyChoice>,
    /// What is run.
    pub cases: Vec<Case>,
    /// What the runs are expected to show.
    #[serde(default)]
    pub expect: Vec<SimulatedExpectation>,
}

/// What is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drawn {
    /// Nothing: the table says it all.
    #[default]
    Nothing,
    /// Instances, throughput and latency over time, policy by policy, of the first case.
    Timeline,
}

/// How many seeds each case runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seeds {
    /// With `--scale quick`.
    pub quick: u64,
    /// With `--scale full`.
    pub full: u64,
}

impl Default for Seeds {
    fn default() -> Seeds {
        Seeds { quick: 1, full: 1 }
    }
}

impl Seeds {
    /// So many at this scale.
    pub fn at(self, scale: Scale) -> u64 {
        match scale {
            Scale::Quick => self.quick,
            Scale::Full => self.full,
        }
    }
}

/// A policy with parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyChoice {
    /// Its name.
    pub name: String,
    /// Parameters that differ from the published ones, as `name=value`.
    #[serde(default)]
    pub set: Vec<String>,
}

impl SimulatedDefinition {
    /// The most seeds that any case runs with at a scale.
    pub fn most_seeds(&self, scale: Scale) -> u64 {
        self.cases.iter().map(|case| case.seeds.unwrap_or(self.seeds).at(scale)).max().unwrap_or(0)
    }

    /// Whether the time that decisions take is among what is expected.
    pub fn times_decisions(&self) -> bool {
        self.expect.iter().any(|expected| expected.most_decision_ms.is_some())
    }

    /// All runs at a scale, in the order of the table: by case, start, policy and seed, seeds counted from `first_seed`.
    pub fn runs<'d>(&'d self, scale: Scale, first_seed: u64, policies: &'d [String]) -> Vec<Run<'d>> {
        let mut runs = Vec::new();
        for case in self.cases.iter().filter(|case| case.runs_at(scale)) {
            for start in 0..case.starts.len().max(1) {
                for policy in self.policies.iter().filter(|policy| policies.is_empty() || policies.contains(&policy.name)) {
                    let seeds = first_seed..first_seed + case.seeds.unwrap_or(self.seeds).at(scale);
                    runs.extend(seeds.map(|seed| Run { figure: &self.figure, case, start, policy, seed }));
                }
            }
        }
        runs
    }
}
