//! One run on the engine: a job, observed and controlled until it ends.
//!
//! The loop of the whole system on one screen: records come from the host, observers turn them into observations, the
//! controller turns those into schedules, steps go back to the host ([`supervision`](super) has the part that is the same on any
//! host). Nothing else connects them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use super::commands::Commands;
use super::interrupt;
use super::kept_log::KeptLog;
pub use super::result::{Ending, Needs, RunResult};
use super::supervision::Supervision;
pub use super::supervision::{Moving, Status};
use crate::controller::ControllerConfig;
use crate::engine::Verdict;
use crate::engine::word_count::WordCount;
use crate::engine::{EngineJob, Recorder, RunError};
use crate::id::OperatorId;
use crate::policy::Policy;
use crate::time::Timestamp;

/// What is to be run.
pub struct RunSpec<J = WordCount> {
    /// The job.
    pub job: J,
    /// Pacing of the policy.
    pub controller: ControllerConfig,
    /// The policy.
    pub policy: Box<dyn Policy>,
    /// Length of a row of the timeline.
    pub row_window: Duration,
    /// Instances each operator needs by the scenario's true parameters, where they are known.
    pub needed: BTreeMap<OperatorId, u32>,
}

/// Runs `spec`; `show` is called for each row of the timeline. `activity_log` names a file for the records themselves.
///
/// # Errors
/// When the engine fails, the activity log cannot be written, or there is an [interruption](interrupt), with what was measured until then.
pub fn run<J: EngineJob>(spec: RunSpec<J>, activity_log: Option<&Path>, show: impl FnMut(Status<'_>)) -> Result<RunResult, RunFailure> {
    run_steered(spec, Commands::default(), activity_log, show)
}

/// The same, with requests from `commands`.
///
/// # Errors
/// As [`run`].
pub fn run_steered<J: EngineJob>(
    spec: RunSpec<J>,
    commands: Commands,
    activity_log: Option<&Path>,
    mut show: impl FnMut(Status<'_>),
) -> Result<RunResult, RunFailure> {
    let RunSpec { job, controller, policy, row_window, needed } = spec;
    let needed = if needed.is_empty() { Needs::new() } else { vec![(Timestamp::ZERO, needed)] };
    let mut log = KeptLog::create(activity_log)?;
    let mut supervision =
        Supervision::new(&job.topology(), job.configuration(), controller, policy, row_window, job.duration()).steered_by(commands);
    let mut running = job.start()?;
    let mut up_to = vec![Timestamp::ZERO; running.peers() as usize];
    // No record of before is still to come.
    let known = |up_to: &[Timestamp]| up_to.iter().copied().min().unwrap_or_default() - Recorder::SLACK;
    while !interrupt::asked() {
        let latest = match running.log.recv_timeout(Duration::from_millis(10)) {
            Ok(batch) => {
                log.append(&batch.records)?;
                up_to[batch.worker.0 as usize] = batch.up_to;
                supervision.take(&batch.records)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        supervision.look(&mut running, latest, known(&up_to), &mut show);
    }
    if interrupt::asked() {
        supervision.interrupt(&mut running, known(&up_to));
        log.finish()?;
        // Whoever does not wait for the workers does not learn what reached the sink.
        return Err(RunFailure::interrupted(supervision.finish(Verdict::default(), running.dropped(), needed, show)));
    }
    supervision.end_of_input(&mut running);
    let dropped = running.dropped();
    let outcomes: Vec<J::Outcome> = running.join()?;
    log.finish()?;
    Ok(supervision.finish(job.verify(&outcomes), dropped, needed, show))
}

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
pub enum RunFailure {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] RunError),
    /// The activity log could not be written.
    #[error("the activity log cannot be written: {0}")]
    Log(#[from] io::Error),
    /// Somebody interrupted it.
    #[error("interrupted after {:.1} s of the run", .0.duration.as_secs_f64())]
    Interrupted(Box<RunResult>),
}

impl RunFailure {
    /// The failure of a run that was interrupted, with what it had measured.
    pub(super) fn interrupted(partial: RunResult) -> RunFailure {
        RunFailure::Interrupted(Box::new(partial))
    }

    /// What was measured nevertheless.
    pub fn partial(&self) -> Option<&RunResult> {
        match self {
            RunFailure::Interrupted(partial) => Some(partial),
            RunFailure::Engine(_) | RunFailure::Log(_) => None,
        }
    }
}
