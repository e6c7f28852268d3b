//! Running a suite: one run, and all of them.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::row::named;
use super::{ORACLE, SuiteCase, SuitePolicy, SuiteRow, Told, needs};
use crate::controller::{Event, EventKind};
use crate::experiment::policies::{Given, PolicyError, Setting, policy_with};
use crate::experiment::record::ROW_WINDOW;
use crate::experiment::result::RunResult;
use crate::experiment::run::{self, RunFailure, RunSpec};
use crate::experiment::simulated::{SimulatedSpec, best, simulate};

/// Where a case runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Host {
    /// In virtual time.
    #[default]
    Sim,
    /// On the timely engine.
    Engine,
}

impl Host {
    /// Its name in rows.
    pub fn name(self) -> &'static str {
        match self {
            Host::Sim => "sim",
            Host::Engine => "engine",
        }
    }
}

/// One run of a suite.
#[derive(Clone, Copy, Debug)]
pub struct SuiteRun<'d> {
    /// Name of the suite.
    pub suite: &'d str,
    /// Where it runs.
    pub host: Host,
    /// The case.
    pub case: &'d SuiteCase,
    /// The policy.
    pub policy: &'d SuitePolicy,
    /// The seed.
    pub seed: u64,
}

/// The row of a run, and what is not a number.
#[derive(Clone, Debug, PartialEq)]
pub struct SuiteOutcome {
    /// The row.
    pub row: SuiteRow,
    /// Instances at the end by operator.
    pub last: BTreeMap<String, u32>,
    /// Why the policy acted or did not: each different rule with the operator it is about, and each finding, such as `count is skewed`.
    pub reasons: Vec<String>,
}

/// Why a run of a suite has no result.
#[derive(Debug, thiserror::Error)]
pub enum SuiteFailure {
    /// The policy is unknown.
    #[error("'{case}' under '{policy}': {why}")]
    Policy {
        /// The case.
        case: String,
        /// The policy.
        policy: String,
        /// What is wrong.
        why: PolicyError,
    },
    /// The engine cannot run the case.
    #[error("'{case}' on the engine: {why}")]
    Case {
        /// The case.
        case: String,
        /// What was expected and what was found.
        why: String,
    },
    /// The run failed.
    #[error("'{case}' under '{policy}': {why}")]
    Run {
        /// The case.
        case: String,
        /// The policy.
        policy: String,
        /// What went wrong.
        why: RunFailure,
    },
}

impl SuiteRun<'_> {
    /// The policy's parameters: its own, and what it can be told of the case.
    fn settings(&self) -> Vec<Setting> {
        let told = self.policy.told.iter().filter_map(|told| match told {
            Told::GoalMs => self.case.goal_ms.map(|goal| format!("goal_ms={goal}")),
            Told::Budget => self.case.budget.map(|budget| format!("budget={budget}")),
        });
        let all = self.policy.set.iter().cloned().chain(told);
        all.map(|text| text.parse().expect("definitions are tested")).collect()
    }

    /// Runs it.
    ///
    /// # Errors
    /// If the policy is unknown, if the engine cannot run the case or fails, or if records were lost,
    /// duplicated or miscounted on it.
    ///
    /// # Panics
    /// If the scenario is invalid.
    pub fn run(&self) -> Result<SuiteOutcome, SuiteFailure> {
        let (case, policy) = (self.case.name.clone(), self.policy.label().to_owned());
        let scenario = &self.case.scenario;
        let job = scenario.job();
        let topology = job.topology.clone();
        let needed = needs::needs(&job, self.case.budget);
        let given = Given { settings: self.settings(), best: best(&topology, &needed) };
        let made = policy_with(&self.policy.name, &topology, scenario.control.time_factor, &given);
        let made = made.map_err(|why| SuiteFailure::Policy { case: case.clone(), policy: policy.clone(), why })?;
        let (controller, row_window) = (scenario.controller(), ROW_WINDOW);
        let result = match self.host {
            Host::Sim => simulate(SimulatedSpec { job: job.clone(), seed: self.seed, controller, policy: made, row_window }, None, |_| {}),
            Host::Engine => {
                let wrong = |why| SuiteFailure::Case { case: case.clone(), why };
                let needed = BTreeMap::new();
                match scenario.query(self.seed).map_err(wrong)? {
                    Some(job) => run::run(RunSpec { job, controller, policy: made, row_window, needed }, None, |_| {}),
                    None => {
                        let job = scenario.word_count(self.seed).map_err(wrong)?;
                        run::run(RunSpec { job, controller, policy: made, row_window, needed }, None, |_| {})
                    }
                }
            }
        };
        let result = result.map_err(|why| SuiteFailure::Run { case: case.clone(), policy, why })?;
        let verdict = &result.verdict;
        if verdict.lost + verdict.duplicated + verdict.miscounted > 0 {
            return Err(SuiteFailure::Case { case, why: format!("expected every word once, found {verdict:?}") });
        }
        let result = RunResult { needed, ..result };
        Ok(SuiteOutcome {
            row: SuiteRow::of(self, &job, &result),
            last: named(&topology, result.last_configuration()),
            reasons: reasons(&result.events),
        })
    }
}

/// Each different reason once, in order of the first time.
fn reasons(events: &[Event]) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for event in events {
        let (EventKind::Held { reason } | EventKind::Activating { reason, .. } | EventKind::Rescaling { reason, .. }) = &event.kind else {
            continue;
        };
        let rule = format!("{} {}", reason.rule, reason.operator).trim_end().to_owned();
        let findings = reason.findings.iter().map(|finding| format!("{} is {}", finding.operator, finding.cause));
        for text in std::iter::once(rule).chain(findings) {
            if !reasons.contains(&text) {
                reasons.push(text);
            }
        }
    }
    reasons
}

/// Runs all of them and compares them, in the order of `runs`: those in virtual time first, as many at a time as there are cores, then those
/// on the engine, which need the machine for themselves. `done` is told of each that ends.
///
/// # Errors
/// The first failure in that order.
pub(super) fn run_all(
    runs: &[SuiteRun<'_>],
    done: impl Fn(&SuiteRun<'_>, &SuiteOutcome) + Sync,
) -> Result<Vec<SuiteOutcome>, SuiteFailure> {
    let one = |run: &SuiteRun<'_>| run.run().inspect(|outcome| done(run, outcome));
    let simulated: Result<Vec<_>, _> = runs.par_iter().map(|run| (run.host == Host::Sim).then(|| one(run)).transpose()).collect();
    let outcomes = simulated?.into_iter().zip(runs).map(|(simulated, run)| simulated.map_or_else(|| one(run), Ok));
    let mut outcomes = outcomes.collect::<Result<Vec<_>, _>>()?;
    compare(&mut outcomes);
    Ok(outcomes)
}

/// Fills in what compares a run with the oracle's of the same case, host and seed.
fn compare(outcomes: &mut [SuiteOutcome]) {
    let key = |row: &SuiteRow| (row.scenario.clone(), row.host.clone(), row.seed);
    let oracles = outcomes.iter().map(|outcome| &outcome.row).filter(|row| row.policy == ORACLE);
    let oracle: BTreeMap<_, f64> = oracles.map(|row| (key(row), row.instance_s)).collect();
    for SuiteOutcome { row, .. } in outcomes {
        row.excess_instance_s = oracle.get(&key(row)).map(|instance_s| row.instance_s - instance_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Cause, Finding, Reason};
    use crate::time::Timestamp;

    #[test]
    fn instances_are_compared_with_the_oracle_of_the_same_seed() {
        let outcome = |scenario: &str, policy: &str, seed, instance_s| SuiteOutcome {
            row: SuiteRow { scenario: scenario.into(), policy: policy.into(), seed, instance_s, ..SuiteRow::default() },
            last: BTreeMap::new(),
            reasons: Vec::new(),
        };
        let mut outcomes = [outcome("a", "ds2", 1, 12.0), outcome("a", "oracle", 1, 10.0), outcome("a", "ds2", 2, 7.0)];
        compare(&mut outcomes);
        assert_eq!(outcomes.map(|outcome| outcome.row.excess_instance_s), [Some(2.0), Some(0.0), None]);
    }

    #[test]
    fn a_reason_is_told_once() {
        let held = |reason: Reason| Event { at: Timestamp::ZERO, kind: EventKind::Held { reason } };
        let map = || Reason::new("waits").about("map").with("share", 0.3).finding([Finding::new("count", Cause::Skewed).with("over", 2.0)]);
        let other = Event { at: Timestamp::ZERO, kind: EventKind::WarmingUp { left: 1 } };
        assert_eq!(reasons(&[held(Reason::new("fine")), held(map()), other, held(map())]), ["fine", "waits map", "count is skewed"]);
    }
}
