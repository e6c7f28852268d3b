//! A suite: every policy in every case, with several seeds, in virtual time, and what the policies are expected to show against each other.
//!
//! Invariant: rows depend on the definition, the scale and the seeds alone. Runs do not know of each other, so they run side by side; what
//! compares them comes after all of them.

mod case;
mod expectation;
mod measures;
mod needs;
mod row;
mod runs;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub use case::SuiteCase;
pub use expectation::{Against, Over, SuiteExpectation};
pub use row::{Column, SuiteRow, median};
pub use runs::{SuiteFailure, SuiteOutcome, SuiteRun};

use super::definition::Scale;
use super::simulated_figure::Seeds;

/// The policy that the others' instances are compared with.
pub const ORACLE: &str = "oracle";

/// A suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteDefinition {
    /// Its name.
    pub figure: String,
    /// Title of its figure.
    pub title: String,
    /// Seeds of each case, counted from 1.
    pub seeds: Seeds,
    /// Policies, each of which runs every case.
    pub policies: Vec<SuitePolicy>,
    /// What is run.
    pub cases: Vec<SuiteCase>,
    /// What the runs are expected to show.
    #[serde(default)]
    pub expect: Vec<SuiteExpectation>,
}

/// A policy with parameters, the same in every case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuitePolicy {
    /// Its name.
    pub name: String,
    /// Parameters that differ from the published ones, as `name=value`.
    #[serde(default)]
    pub set: Vec<String>,
    /// What of a case it can be told: those of these parameters that the case has are set. Most policies know neither.
    #[serde(default)]
    pub told: Vec<Told>,
}

/// What a case asks beside keeping up; the names are those of the case and of the policy's parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// The latency that 99 % of the records should not exceed.
    GoalMs,
    /// The most instances that all operators should have together.
    Budget,
}

impl SuiteDefinition {
    /// Reads a suite; a case may be `like` another one before it `but` for some keys of its scenario.
    ///
    /// # Errors
    /// When it is none; says what was expected and what was found.
    pub fn read(text: &str) -> Result<SuiteDefinition, String> {
        let mut table: Table = toml::from_str(text).map_err(|why| why.to_string())?;
        if let Some(Value::Array(cases)) = table.get_mut("cases") {
            case::written_out(cases)?;
        }
        table.try_into().map_err(|why: toml::de::Error| why.to_string())
    }

    /// All runs at a scale, by case, policy and seed, of these policies, or of all where none are named. The others are compared with the
    /// [`ORACLE`], so its runs are always among them.
    pub fn runs<'d>(&'d self, scale: Scale, first_seed: u64, policies: &[String]) -> Vec<SuiteRun<'d>> {
        let asked = |policy: &&SuitePolicy| policies.is_empty() || policy.name == ORACLE || policies.contains(&policy.name);
        let mut runs = Vec::new();
        for case in &self.cases {
            for policy in self.policies.iter().filter(asked) {
                let seeds = first_seed..first_seed + self.seeds.at(scale);
                runs.extend(seeds.map(|seed| SuiteRun { suite: &self.figure, case, policy, seed }));
            }
        }
        runs
    }

    /// Runs all of them side by side; outcomes are in the order of `runs`, and `done` is told of each that ends.
    ///
    /// # Errors
    /// The first failure in that order.
    pub fn run(runs: &[SuiteRun<'_>], done: impl Fn(&SuiteRun<'_>) + Sync) -> Result<Vec<SuiteOutcome>, SuiteFailure> {
        runs::run_all(runs, done)
    }
}
