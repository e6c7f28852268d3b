//! One case under one policy: what is run, and running it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Serialize};

use super::generated::{Layers, RandomGraph};
use super::needs;
use super::probe::{self, Probe};
use super::timed::{Slowest, Timed};
use crate::experiment::folder;
use crate::experiment::frame::Values;
use crate::experiment::policies::{Given, Setting, policy_with};
use crate::experiment::record::{self, Manifest, ROW_WINDOW};
use crate::experiment::result::RunResult;
use crate::experiment::rivals::Rivals;
use crate::experiment::run::{self, RunSpec, Status};
use crate::experiment::scale::{Scale, Scaled};
use crate::experiment::scenario::{OperatorForm, Scenario};
use crate::experiment::simulated::{SimulatedSpec, best, simulate};
use crate::experiment::study::{At, Host, Progress, Trial};
use crate::workload::Shape;

/// A case: a scenario or how one is drawn, and what is asked of a policy beside keeping up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name.
    #[serde(alias = "label")]
    pub name: String,
    /// Where it runs; as the definition says by default.
    #[serde(default)]
    pub hosts: Option<Vec<Host>>,
    /// The smallest scale at which it runs.
    #[serde(default)]
    pub from_scale: Scale,
    /// With how many seeds it runs; as the definition says by default.
    #[serde(default)]
    pub seeds: Option<Scaled<u64>>,
    /// Instances at the start, by operator; where none are given, one start as the scenario has it.
    #[serde(default)]
    pub starts: Vec<BTreeMap<String, u32>>,
    /// What the paper's run went through, written as in column `path`, by start.
    #[serde(default)]
    pub paper: Option<Values>,
    /// The latency, in milliseconds, that 99 % of the records of every window of half a second
    /// should not exceed.
    #[serde(default)]
    pub goal_ms: Option<f64>,
    /// The most instances that all operators should have together.
    #[serde(default)]
    pub budget: Option<u32>,
    /// What is run, written out.
    #[serde(default)]
    pub scenario: Option<Box<Scenario>>,
    /// Where the scenario's loads are not in records but in capacities of the job as it starts: how
    /// that is measured, before the first run. On the engine alone.
    #[serde(default)]
    pub in_capacities: Option<Probe>,
    /// A graph drawn from the seed.
    #[serde(default, rename = "random-graph")]
    pub random_graph: Option<RandomGraph>,
    /// Many operators in layers.
    #[serde(default)]
    pub layers: Option<Layers>,
}

/// A policy with parameters, the same in every case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name.
    #[serde(alias = "policy")]
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
    /// Seconds of run; as the scenario says by default.
    #[serde(default)]
    pub seconds: Option<Scaled<f64>>,
    /// Instances at the start, by operator, where they are not those of the case: a configuration
    /// that is tried, under a policy that leaves it as it is.
    #[serde(default)]
    pub instances: BTreeMap<String, u32>,
    /// What of a case it can be told: those of these parameters that the case has are set. Most
    /// policies know neither.
    #[serde(default)]
    pub told: Vec<Told>,
}

/// What a case asks beside keeping up; the names are those of the case and of the policy's
/// parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// The latency that 99 % of the records should not exceed.
    GoalMs,
    /// The most instances that all operators should have together.
    Budget,
}

impl Variant {
    /// No policy: what there is stays as it is.
    pub(super) fn hold() -> Variant {
        let (set, instances, told) = Default::default();
        Variant { name: "hold".to_owned(), label: None, set, from_scale: Scale::default(), seconds: None, instances, told }
    }

    /// Its name in rows.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.name)
    }
}

impl Case {
    /// Whether there is one thing to be run, and it can be.
    pub(super) fn check(&self) -> Result<(), String> {
        let wrong = |why: String| Err(format!("case '{}': {why}", self.name));
        let ways = [self.scenario.is_some(), self.random_graph.is_some(), self.layers.is_some()];
        if ways.iter().filter(|there| **there).count() != 1 {
            return wrong("expected one of 'scenario', 'random-graph' and 'layers'".to_owned());
        }
        if matches!(&self.paper, Some(Values::Any(all)) if all.len() != self.starts.len().max(1)) {
            return wrong("expected what the paper's run went through from every start".to_owned());
        }
        let Some(scenario) = &self.scenario else { return Ok(()) };
        if let Some(probe) = self.in_capacities {
            if !(1.0..=600.0).contains(&probe.seconds) {
                return wrong(format!("expected 'seconds' of 'in_capacities' between 1 and 600, found {}", probe.seconds));
            }
            let unscaled = |form: &OperatorForm| matches!(&form.load, Some(Shape::Trace(trace)) if trace.scale_to.is_none());
            if scenario.operators.iter().any(|form| form.rate.is_some() || unscaled(form)) {
                return wrong("expected 'load' at sources, with 'scale_to' if it is a file's, as loads are in capacities".to_owned());
            }
        }
        scenario.check().or_else(wrong)
    }

    /// What runs from a start with a seed.
    fn scenario(&self, start: &str, seed: u64) -> Scenario {
        let mut scenario = match (&self.scenario, &self.random_graph, &self.layers) {
            (Some(scenario), ..) => (**scenario).clone(),
            (_, Some(graph), _) => graph.scenario(seed),
            (_, _, layers) => layers.as_ref().expect("cases are checked").scenario(),
        };
        for (operator, &instances) in self.starts.iter().find(|at| written(at) == start).into_iter().flatten() {
            for form in scenario.operators.iter_mut().filter(|form| form.name == *operator) {
                form.instances = instances;
            }
        }
        scenario
    }

    /// A start as rows have it.
    pub(super) fn start_text(&self, start: usize) -> String {
        self.starts.get(start).map_or(String::new(), written)
    }

    /// What the paper's run went through from a start.
    pub(super) fn paper_of(&self, start: &str) -> Option<&str> {
        match self.paper.as_ref()? {
            Values::One(path) => Some(path),
            Values::Any(paths) => paths.get((0..paths.len()).find(|index| self.start_text(*index) == start)?).map(String::as_str),
        }
    }
}

fn written(start: &BTreeMap<String, u32>) -> String {
    start.values().map(u32::to_string).collect::<Vec<_>>().join("/")
}

/// A case under a policy.
pub(super) struct Run<'d> {
    pub(super) case: &'d Case,
    pub(super) variant: &'d Variant,
    pub(super) trial: &'d Trial,
}

impl Run<'_> {
    /// The policy's parameters: its own, and what it can be told of the case.
    fn settings(&self) -> Vec<Setting> {
        let told = self.variant.told.iter().filter_map(|told| match told {
            Told::GoalMs => self.case.goal_ms.map(|goal| format!("goal_ms={goal}")),
            Told::Budget => self.case.budget.map(|budget| format!("budget={budget}")),
        });
        let all = self.variant.set.iter().cloned().chain(told);
        all.map(|text| text.parse().expect("definitions are checked")).collect()
    }

    /// The case with the variant's policy and the instances that it starts with.
    pub(super) fn as_it_starts(&self) -> Scenario {
        let mut scenario = self.case.scenario(&self.trial.start, self.trial.seed).drawn(self.trial.seed);
        for form in &mut scenario.operators {
            if let Some(&instances) = self.variant.instances.get(&form.name) {
                // Workers of other instances say nothing of these.
                (form.instances, form.on) = (instances, Vec::new());
            }
        }
        scenario.control.policy.clone_from(&self.variant.name);
        scenario
    }

    /// What is run; of a case in capacities, with a job of this capacity.
    pub(super) fn scenario(&self, scale: Scale, capacity: Option<f64>) -> Scenario {
        let mut scenario = self.as_it_starts();
        scenario.seconds = self.variant.seconds.map_or(scenario.seconds, |seconds| seconds.at(scale));
        if let Some(capacity) = capacity {
            probe::in_records(&mut scenario, capacity);
        }
        scenario
    }

    /// Runs it: what came of it, and the longest that a decision took.
    pub(super) fn run(&self, scenario: &Scenario, progress: &dyn Progress) -> anyhow::Result<(RunResult, Duration)> {
        let Trial { seed, host, .. } = self.trial;
        if *host == Host::Sim {
            scenario.can_be_simulated().map_err(|why| anyhow!("'{}': {why}", self.case.name))?;
        }
        let job = scenario.job();
        let (topology, duration) = (job.topology.clone(), job.duration);
        let needed = needs::needs(&job, self.case.budget);
        let given = Given { settings: self.settings(), best: best(&topology, &needed) };
        let policy = policy_with(&self.variant.name, &topology, scenario.control.time_factor, &given)?;
        let slowest = Slowest::default();
        let policy = Box::new(Timed::new(policy, slowest.clone()));
        let (controller, row_window) = (scenario.controller(), scenario.row_window().unwrap_or(ROW_WINDOW));
        let show = |status: Status<'_>| progress.window(self.trial, (&topology, duration), status);
        let wrong = |why: String| anyhow!("'{}' on the engine: {why}", self.case.name);
        let result = match host {
            Host::Engine => match scenario.query(*seed).map_err(wrong)? {
                Some(job) => run::run(RunSpec { job, controller, policy, row_window, needed: BTreeMap::new() }, None, show),
                None if scenario.computes() => {
                    let job = scenario.work_chain(*seed).map_err(wrong)?.expect("its operators compute");
                    let _rivals = Rivals::start(scenario.lost_cores(), duration)?;
                    run::run(RunSpec { job, controller, policy, row_window, needed: BTreeMap::new() }, None, show)
                }
                None => {
                    let job = scenario.word_count(*seed).map_err(wrong)?;
                    run::run(RunSpec { job, controller, policy, row_window, needed: BTreeMap::new() }, None, show)
                }
            },
            _ => simulate(SimulatedSpec { job, seed: *seed, controller, policy, row_window }, None, show),
        };
        Ok((RunResult { needed, ..result? }, slowest.get()))
    }

    /// Writes the folder of the run, as `simulate` does.
    pub(super) fn keep(&self, at: At<'_>, name: &str, scenario: &Scenario, result: &RunResult) -> anyhow::Result<()> {
        let manifest = Manifest {
            experiment: at.figure.to_owned(),
            policy: self.trial.variant.clone(),
            host: self.trial.host.name().to_owned(),
            scale: at.scale.to_string(),
            seed: self.trial.seed,
            environment: at.environment.clone(),
            ..Manifest::of_scenario(scenario, &result.topology, &result.needed)
        };
        let folder = at.folder.join(name);
        folder::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(record::write(&folder, &manifest, result)?)
    }
}
