//! One case of an experiment: a scenario, where it starts, and what a paper says comes of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::generated::{Layers, RandomGraph};
use super::row::Outcome;
use super::timed::{Slowest, Timed};
use super::{PolicyChoice, Seeds, SimulatedRow};
use crate::experiment::definition::Scale;
use crate::experiment::policies::{Given, PolicyError, Setting, policy_with};
use crate::experiment::record::ROW_WINDOW;
use crate::experiment::result::RunResult;
use crate::experiment::run::RunFailure;
use crate::experiment::scenario::Scenario;
use crate::experiment::simulated::{SimulatedSpec, best, needs, simulate};

/// A case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name in the table.
    pub label: String,
    /// The smallest scale at which it runs.
    #[serde(default)]
    pub from_scale: Scale,
    /// With how many seeds it runs; as the definition says by default.
    #[serde(default)]
    pub seeds: Option<Seeds>,
    /// Instances at the start, by operator; where none are given, one start as the scenario has it.
    #[serde(default)]
    pub starts: Vec<BTreeMap<String, u32>>,
    /// What the paper's run went through, by start.
    #[serde(default)]
    pub paper: Vec<String>,
    /// What is run.
    pub job: CaseJob,
}

/// A scenario, or how one is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaseJob {
    /// Written out.
    Scenario(Box<Scenario>),
    /// A graph drawn from the seed.
    RandomGraph(RandomGraph),
    /// Many operators in layers.
    Layers(Layers),
}

/// One run of an experiment.
#[derive(Clone, Copy, Debug)]
pub struct Run<'d> {
    /// The figure.
    pub figure: &'d str,
    /// The case.
    pub case: &'d Case,
    /// Which of its starts.
    pub start: usize,
    /// The policy.
    pub policy: &'d PolicyChoice,
    /// The seed.
    pub seed: u64,
}

impl Case {
    pub(super) fn runs_at(&self, scale: Scale) -> bool {
        self.from_scale == Scale::Quick || scale == Scale::Full
    }

    /// What runs from a start with a seed.
    pub fn scenario(&self, start: usize, seed: u64) -> Scenario {
        let mut scenario = match &self.job {
            CaseJob::Scenario(scenario) => (**scenario).clone(),
            CaseJob::RandomGraph(graph) => graph.scenario(seed),
            CaseJob::Layers(layers) => layers.scenario(),
        };
        for (operator, &instances) in self.starts.get(start).into_iter().flatten() {
            for form in scenario.operators.iter_mut().filter(|form| form.name == *operator) {
                form.instances = instances;
            }
        }
        scenario
    }

    /// A start as the table has it.
    fn start_text(&self, start: usize) -> String {
        let instances = self.starts.get(start).into_iter().flatten().map(|(_, instances)| instances.to_string());
        instances.collect::<Vec<_>>().join("/")
    }
}

impl Run<'_> {
    /// The policy, made for the scenario.
    fn settings(&self) -> Vec<Setting> {
        self.policy.set.iter().map(|text| text.parse().expect("definitions are tested")).collect()
    }

    /// Runs it: the row, and everything that came of it.
    ///
    /// # Errors
    /// If the policy is unknown.
    ///
    /// # Panics
    /// If the scenario is invalid.
    pub fn run(&self) -> Result<(Outcome, Scenario, RunResult), SimulatedFailure> {
        let scenario = self.case.scenario(self.start, self.seed);
        let job = scenario.job();
        let topology = job.topology.clone();
        let given = Given { settings: self.settings(), best: best(&topology, &needs(&job)) };
        let policy = policy_with(&self.policy.name, &topology, scenario.control.time_factor, &given)?;
        let slowest = Slowest::default();
        let policy = Box::new(Timed::new(policy, slowest.clone()));
        let spec = SimulatedSpec { job, seed: self.seed, controller: scenario.controller(), policy, row_window: ROW_WINDOW };
        let result = simulate(spec, None, |_| {})?;
        let start = self.case.start_text(self.start);
        let paper = self.case.paper.get(self.start).cloned().unwrap_or_default();
        let row = SimulatedRow {
            figure: self.figure.to_owned(),
            case: self.case.label.clone(),
            start,
            policy: self.policy.name.clone(),
            seed: self.seed,
            paper,
            slowest_decision_ms: slowest.get().as_secs_f64() * 1e3,
            ..SimulatedRow::of(&result)
        };
        Ok((Outcome::of(row, &result), scenario, result))
    }
}

/// Why a simulated run has no result.
#[derive(Debug, thiserror::Error)]
pub enum SimulatedFailure {
    /// The policy is none.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The run failed.
    #[error(transparent)]
    Run(#[from] RunFailure),
}
