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

use super::kept_log::KeptLog;
pub use super::result::{Needs, RunResult};
pub use super::supervision::Status;
use super::supervision::Supervision;
use crate::controller::ControllerConfig;
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
/// When the engine fails or the activity log cannot be written.
pub fn run<J: EngineJob>(spec: RunSpec<J>, activity_log: Option<&Path>, mut show: impl FnMut(Status<'_>)) -> Result<RunResult, RunFailure> {
    let RunSpec { job, controller, policy, row_window, needed } = spec;
    let needed = if needed.is_empty() { Needs::new() } else { vec![(Timestamp::ZERO, needed)] };
    let mut log = KeptLog::create(activity_log)?;
    let mut supervision = Supervision::new(&job.topology(), job.configuration(), controller, policy, row_window, job.duration());
    let mut running = job.start()?;
    let mut up_to = vec![Timestamp::ZERO; running.peers() as usize];
    loop {
        let latest = match running.log.recv_timeout(Duration::from_millis(10)) {
            Ok(batch) => {
                log.append(&batch.records)?;
                up_to[batch.worker.0 as usize] = batch.up_to;
                supervision.take(&batch.records)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        // No record of before `known` is still to come.
        let known = up_to.iter().copied().min().unwrap_or_default() - Recorder::SLACK;
        supervision.look(&mut running, latest, known, &mut show);
    }
    supervision.end_of_input(&mut running);
    let dropped = running.dropped();
    let outcomes: Vec<J::Outcome> = running.join()?;
    log.finish()?;
    Ok(supervision.finish(job.verify(&outcomes), dropped, needed))
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
}
