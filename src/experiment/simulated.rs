//! One run in virtual time: a simulated job, observed and controlled by what observes and controls a real one.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::commands::Commands;
use super::interrupt;
use super::kept_log::KeptLog;
use super::result::{Needs, RunResult};
use super::run::RunFailure;
use super::supervision::{Status, Supervision};
use crate::controller::ControllerConfig;
use crate::dataflow::{Configuration, Role, Topology};
use crate::engine::Verdict;
use crate::id::OperatorId;
use crate::policy::{self, Policy};
use crate::sim::{Job, Simulation};
use crate::time::Timestamp;

/// What is to be simulated.
pub struct SimulatedSpec {
    /// The job.
    pub job: Job,
    /// Seed of everything random.
    pub seed: u64,
    /// Pacing of the policy.
    pub controller: ControllerConfig,
    /// The policy.
    pub policy: Box<dyn Policy>,
    /// Length of a row of the timeline.
    pub row_window: Duration,
}

/// What happened is observed so much later, as on the engine, whose records are handed over now and then.
const OBSERVED_AFTER: Duration = Duration::from_millis(20);

/// Runs `spec`; `show` is called for each row of the timeline. `activity_log` names a file for the records themselves.
///
/// # Errors
/// When the activity log cannot be written, or there is an [interruption](interrupt), with what was measured until then.
pub fn simulate(spec: SimulatedSpec, activity_log: Option<&Path>, show: impl FnMut(Status<'_>)) -> Result<RunResult, RunFailure> {
    simulate_steered(spec, Commands::default(), activity_log, show)
}

/// The same, with requests from `commands`.
///
/// # Errors
/// As [`simulate`].
pub fn simulate_steered(
    spec: SimulatedSpec,
    commands: Commands,
    activity_log: Option<&Path>,
    mut show: impl FnMut(Status<'_>),
) -> Result<RunResult, RunFailure> {
    let SimulatedSpec { job, seed, controller, policy, row_window } = spec;
    let mut log = KeptLog::create(activity_log)?;
    let needs_paths = policy.needs() == policy::Needs::Paths;
    let supervision = Supervision::new(&job.topology, job.configuration.clone(), controller, policy, row_window, job.duration);
    let supervision = if job.long_tick.is_some() { supervision.logging_by_row() } else { supervision };
    let mut supervision = supervision.steered_by(commands);
    let mut simulation = Simulation::new(&job, seed);
    if activity_log.is_some() || needs_paths {
        simulation = simulation.recording_graph();
    }
    let mut records = Vec::new();
    let is_cut = loop {
        let goes_on = simulation.advance(&mut records);
        log.append(&records)?;
        let latest = supervision.take(&records);
        records.clear();
        let known = simulation.reported_until() - OBSERVED_AFTER;
        supervision.look(&mut simulation, latest, known, &mut show);
        if !goes_on || interrupt::asked() {
            break goes_on;
        }
    };
    if is_cut {
        let known = simulation.reported_until() - OBSERVED_AFTER;
        supervision.interrupt(&mut simulation, known);
    } else {
        supervision.end_of_input(&mut simulation);
    }
    log.finish()?;
    let result = supervision.finish(verdict(&job, &simulation), simulation.dropped(), needs(&job), show);
    let result = RunResult { moved_bytes: Some(simulation.moved_bytes()), ..result };
    if is_cut { Err(RunFailure::interrupted(result)) } else { Ok(result) }
}

/// What each operator needs over time, where its changes.
pub fn needs(job: &Job) -> Needs {
    let mut needs = Needs::new();
    for at in job.changes() {
        let needed = job.needed(at).into_iter().collect();
        if needs.last().is_none_or(|(_, last)| *last != needed) {
            needs.push((at, needed));
        }
    }
    needs
}

/// The best configurations by these needs, with the time from which each is best: what the oracle goes by.
pub fn best(topology: &Topology, needs: &Needs) -> Vec<(Timestamp, Configuration)> {
    let best = |needed: &BTreeMap<OperatorId, u32>| {
        needed.iter().fold(Configuration::ones(topology), |best, (&operator, &instances)| best.with(operator, instances))
    };
    needs.iter().map(|(from, needed)| (*from, best(needed))).collect()
}

/// Whether every record is where it should be: worked off once, or waiting. `words` are those that reached a sink.
fn verdict(job: &Job, simulation: &Simulation) -> Verdict {
    let mut verdict = Verdict::default();
    for (operator, account) in job.topology.operators().iter().zip(simulation.accounts()) {
        match operator.role {
            Role::Source => verdict.emitted += account.arrived,
            Role::Sink => verdict.results += account.arrived,
            _ => {}
        }
        let accounted = account.processed + account.waiting;
        verdict.lost += account.arrived.saturating_sub(accounted);
        verdict.duplicated += accounted.saturating_sub(account.arrived);
    }
    verdict
}
