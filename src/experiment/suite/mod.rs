//! A suite: every policy in every case, with several seeds, in virtual time, and what the policies are expected to show against each other.
//! Some cases run on the engine as well, one run after the other, and in virtual time beside it.
//!
//! Invariant: rows in virtual time depend on the definition, the scale and the seeds alone. Those runs do not know of each other, so they run
//! side by side; what compares them comes after all of them.

mod case;
mod expectation;
mod measures;
mod needs;
mod order;
mod row;
mod runs;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub use case::SuiteCase;
pub use expectation::{Against, Over, SuiteExpectation};
pub use order::{Order, SameOrder};
pub use row::{Column, SuiteRow};
pub use runs::{Host, SuiteFailure, SuiteOutcome, SuiteRun};

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
    /// Seeds of each case that has no number of its own, counted from 1.
    pub seeds: Seeds,
    /// Policies, each of which runs every case.
    pub policies: Vec<SuitePolicy>,
    /// What is run in virtual time.
    #[serde(default)]
    pub cases: Vec<SuiteCase>,
    /// What the runs are expected to show.
    #[serde(default)]
    pub expect: Vec<SuiteExpectation>,
    /// What runs on both hosts.
    #[serde(default)]
    pub both_hosts: BothHosts,
}

/// Cases for the engine and for virtual time beside it, and in what both should agree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BothHosts {
    /// The cases: word counts that the engine can run.
    pub cases: Vec<SuiteCase>,
    /// In which columns policies are expected to have the same order.
    #[serde(default)]
    pub same_order: Vec<SameOrder>,
}

/// A policy with parameters, the same in every case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuitePolicy {
    /// Its name.
    pub name: String,
    /// Its name in rows, where it runs with other parameters than under its own.
    #[serde(default)]
    pub label: Option<String>,
    /// Parameters that differ from the published ones, as `name=value`.
    #[serde(default)]
    pub set: Vec<String>,
    /// The smallest scale at which it runs, unless it is asked for.
    #[serde(default)]
    pub from_scale: Scale,
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

impl SuitePolicy {
    /// Its name in rows.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.name)
    }
}

/// Which cases of a suite are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cases {
    /// Those in virtual time.
    InVirtualTime,
    /// Those that run on both hosts.
    OnBothHosts,
    /// All.
    All,
}

impl Cases {
    fn in_virtual_time(self) -> bool {
        self != Cases::OnBothHosts
    }

    fn on_both_hosts(self) -> bool {
        self != Cases::InVirtualTime
    }
}

impl SuiteDefinition {
    /// Reads a suite; a case may be `like` another one before it `but` for some keys of its scenario.
    ///
    /// # Errors
    /// When it is none; says what was expected and what was found.
    pub fn read(text: &str) -> Result<SuiteDefinition, String> {
        let mut table: Table = toml::from_str(text).map_err(|why| why.to_string())?;
        if let Some(Value::Array(cases)) = table.get_mut("cases") {
            case::written_out(cases, &[])?;
        }
        let (known, both) = (table.get("cases").and_then(Value::as_array).cloned(), table.get_mut("both_hosts"));
        if let Some(Value::Array(cases)) = both.and_then(|both| both.get_mut("cases")) {
            case::written_out(cases, &known.unwrap_or_default())?;
        }
        table.try_into().map_err(|why: toml::de::Error| why.to_string())
    }

    /// Whether everything in it runs on both hosts, so that there is nothing else to choose.
    pub fn is_for_both_hosts(&self) -> bool {
        self.cases.is_empty()
    }

    /// Runs of these cases at a scale, by case, host, policy and seed, of these policies, or of all where none are named. The others are
    /// compared with the [`ORACLE`], so its runs are always among them. A case on the engine has one seed.
    pub fn runs<'d>(&'d self, which: Cases, scale: Scale, first_seed: u64, policies: &[String]) -> Vec<SuiteRun<'d>> {
        let at_scale = |from: Scale| from == Scale::Quick || scale == Scale::Full;
        let named = |policy: &SuitePolicy| policy.label() == ORACLE || policies.iter().any(|name| name == policy.label());
        let asked = |policy: &&SuitePolicy| if policies.is_empty() { at_scale(policy.from_scale) } else { named(policy) };
        let seeds = |case: &SuiteCase| first_seed..first_seed + case.seeds.unwrap_or(self.seeds).at(scale);
        let mut runs = Vec::new();
        let mut add = |case, host, seeds: std::ops::Range<u64>| {
            for policy in self.policies.iter().filter(asked) {
                runs.extend(seeds.clone().map(|seed| SuiteRun { suite: &self.figure, host, case, policy, seed }));
            }
        };
        for case in self.cases.iter().filter(|case| which.in_virtual_time() && at_scale(case.from_scale)) {
            add(case, Host::Sim, seeds(case));
        }
        let on_both_hosts = which.on_both_hosts() || self.is_for_both_hosts();
        for case in self.both_hosts.cases.iter().filter(|case| on_both_hosts && at_scale(case.from_scale)) {
            add(case, Host::Sim, seeds(case));
            add(case, Host::Engine, first_seed..first_seed + 1);
        }
        runs
    }

    /// Runs all of them, those in virtual time side by side; outcomes are in the order of `runs`, and `done` is told of each that ends.
    ///
    /// # Errors
    /// The first failure in that order.
    pub fn run(runs: &[SuiteRun<'_>], done: impl Fn(&SuiteRun<'_>, &SuiteOutcome) + Sync) -> Result<Vec<SuiteOutcome>, SuiteFailure> {
        runs::run_all(runs, done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUITE: &str = r#"
figure = "small"
title = "A small suite"
seeds = { quick = 2, full = 3 }
policies = [{ name = "oracle" }, { name = "ds2" }, { name = "ds2", label = "calm", set = ["ignored_decrease=5"], told = ["budget"] }]

[[cases]]
name = "one"
[cases.scenario]
title = "One operator"
seconds = 8
disturb = { noise = 0.3 }
[[cases.scenario.operators]]
name = "source"
role = "source"
rate = 950
[[cases.scenario.operators]]
name = "map"
role = "stateless"
inputs = ["source"]
limit = 100
[[cases.scenario.operators]]
name = "sink"
role = "sink"
inputs = ["map"]

[[cases]]
name = "two"
like = "one"
but = { operators = { map = { instances = 20 } } }
"#;

    #[test]
    fn runs_side_by_side_are_those_one_after_the_other() {
        let suite = SuiteDefinition::read(SUITE).unwrap();
        let runs = suite.runs(Cases::All, Scale::Quick, 1, &[]);
        assert_eq!(runs.len(), 2 * 3 * 2);
        let done = std::sync::atomic::AtomicUsize::new(0);
        let count = |_: &SuiteRun<'_>, _: &SuiteOutcome| {
            done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        };
        let outcomes = SuiteDefinition::run(&runs, count).unwrap();
        assert_eq!(done.into_inner(), runs.len());
        for (run, outcome) in runs.iter().zip(&outcomes) {
            let alone = run.run().unwrap();
            let row = SuiteRow { excess_instance_s: outcome.row.excess_instance_s, ..alone.row };
            assert_eq!((row, &alone.last, &alone.reasons), (outcome.row.clone(), &outcome.last, &outcome.reasons));
            assert!(outcome.row.excess_instance_s.is_some());
        }
        assert_eq!(outcomes[0].row.final_configuration, "map=10");
        assert_eq!((outcomes[0].row.under_provisioned_s > 2.0, outcomes[6].row.under_provisioned_s), (true, 0.0));
    }

    #[test]
    fn a_case_may_have_seeds_of_its_own() {
        let suite = SuiteDefinition::read(&SUITE.replacen("name = \"two\"", "name = \"two\"\nseeds = { quick = 1, full = 2 }", 1)).unwrap();
        let runs = |scale| suite.runs(Cases::All, scale, 7, &["oracle".to_owned()]);
        let seeds = |scale| runs(scale).iter().map(|run| (run.case.name.clone(), run.seed)).collect::<Vec<_>>();
        let of = |case: &str, seeds: std::ops::Range<u64>| seeds.map(|seed| (case.to_owned(), seed)).collect::<Vec<_>>();
        assert_eq!(seeds(Scale::Quick), [of("one", 7..9), of("two", 7..8)].concat());
        assert_eq!(seeds(Scale::Full), [of("one", 7..10), of("two", 7..9)].concat());
    }

    #[test]
    fn who_is_asked_for_runs_and_the_oracle_always_does() {
        let suite = SuiteDefinition::read(SUITE).unwrap();
        let asked = |policies: &[&str]| {
            let policies: Vec<String> = policies.iter().map(|name| (*name).to_owned()).collect();
            let runs = suite.runs(Cases::InVirtualTime, Scale::Full, 1, &policies);
            runs.iter().filter(|run| run.case.name == "one").map(|run| (run.policy.label().to_owned(), run.seed)).collect::<Vec<_>>()
        };
        let with_seeds = |label: &str| (1..=3).map(|seed| (label.to_owned(), seed)).collect::<Vec<_>>();
        assert_eq!(asked(&["calm"]), [with_seeds("oracle"), with_seeds("calm")].concat());
        assert_eq!(asked(&["oracle"]), with_seeds("oracle"));
    }

    #[test]
    fn a_case_tells_what_a_policy_can_be_told() {
        let text = SUITE.replacen("name = \"one\"", "name = \"one\"\nbudget = 7", 1);
        let suite = SuiteDefinition::read(&text).unwrap();
        let runs = suite.runs(Cases::All, Scale::Quick, 1, &[]);
        let of = |case: &str, policy: &str| runs.iter().find(|run| run.case.name == case && run.policy.label() == policy).unwrap();
        // DS2 knows no budget, and says so.
        let error = of("one", "calm").run().unwrap_err().to_string();
        assert!(error.starts_with("'one' under 'calm': budget=7: expected a parameter, one of "), "{error}");
        assert!(of("one", "ds2").run().is_ok() && of("two", "calm").run().is_ok());
        assert_eq!(of("one", "oracle").run().unwrap().row.final_configuration, "map=7");
    }
}
