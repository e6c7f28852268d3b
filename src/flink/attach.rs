//! Finding the job to look at, and whether it can be driven.

use std::collections::BTreeSet;
use std::time::Duration;

use super::checkpoints::CheckpointConfig;
use super::error::{RestError, RestErrorKind};
use super::graph::{Graph, GraphError};
use super::job::{Hex, Job, Listed};
use super::link::LinkError;
use super::rest::{Overview, Rest};

/// Why a job cannot be driven, or cannot be any longer.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// What the user asked for is wrong.
    #[error("{0}")]
    Asked(String),
    /// The cluster does not do what is needed.
    #[error("{0}")]
    Cluster(String),
    /// A request failed.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// The job cannot be drawn as a graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Whatever prepares the policy.
    #[error(transparent)]
    Prepare(anyhow::Error),
    /// It was time to end before there was anything.
    #[error("stopped before the job was running")]
    Stopped,
}

impl DriveError {
    /// Whether the user can mend it by other arguments.
    pub fn is_usage(&self) -> bool {
        let refused = |error: &RestError| {
            matches!(error.kind, RestErrorKind::Link(LinkError::Redirected(_)) | RestErrorKind::Status { status: 401 | 403, .. })
        };
        match self {
            DriveError::Asked(_) | DriveError::Graph(_) => true,
            DriveError::Rest(error) => refused(error),
            _ => false,
        }
    }
}

/// A job that was found running.
pub struct Attached {
    /// The job.
    pub job: Job,
    /// Its graph.
    pub graph: Graph,
    /// The cluster.
    pub overview: Overview,
    /// How it takes checkpoints.
    pub checkpoints: CheckpointConfig,
    /// All jobs that the cluster listed then, this one among them.
    pub listed: BTreeSet<Hex>,
}

/// Finds the job that `asked` names or has as its id; without it the only one that has not ended. Waits until it runs.
///
/// # Errors
/// When there is none or several, or it does not run within `patience`.
pub fn attach(rest: &mut Rest<'_>, asked: Option<&str>, poll: Duration, patience: Duration) -> Result<Attached, DriveError> {
    let jobs = rest.jobs()?;
    let id = find(&jobs, asked)?;
    let listed = jobs.into_iter().map(|job| job.id).collect();
    let overview = rest.overview()?;
    let until = rest.now() + patience;
    loop {
        let job = rest.job(&id)?;
        if job.has_ended() {
            return Err(DriveError::Asked(format!("expected a running job, found '{}' {}", job.name, job.state)));
        }
        // A job without checkpoints has no such settings everywhere.
        if job.is_running() {
            let checkpoints = match rest.checkpoint_config(&id) {
                Ok(config) => config,
                Err(error) if matches!(error.kind, RestErrorKind::Status { status: 404 | 500, .. }) => CheckpointConfig::default(),
                Err(error) => return Err(error.into()),
            };
            return Ok(Attached { graph: Graph::of(&job)?, job, overview, checkpoints, listed });
        }
        if rest.now() >= until {
            let waiting =
                format!("expected a job of which all tasks run within {} s, found '{}' {}", patience.as_secs(), job.name, job.state);
            return Err(DriveError::Cluster(waiting));
        }
        let next = rest.now() + poll;
        rest.wait(next).ok_or(DriveError::Stopped)?;
    }
}

/// The job that is meant.
pub(super) fn find(jobs: &[Listed], asked: Option<&str>) -> Result<Hex, DriveError> {
    let list = |jobs: &[&Listed]| {
        const MOST: usize = 8;
        let more = if jobs.len() > MOST { format!(" and {} more", jobs.len() - MOST) } else { String::new() };
        let some = jobs.iter().take(MOST).map(|job| format!("'{}' {} ({})", job.name, job.state, job.id));
        if jobs.is_empty() { "none".to_owned() } else { some.collect::<Vec<_>>().join(", ") + &more }
    };
    let alive: Vec<&Listed> = jobs.iter().filter(|job| job.is_alive()).collect();
    let Some(asked) = asked else {
        return match alive.as_slice() {
            [one] => Ok(one.id.clone()),
            [] => Err(DriveError::Cluster("expected a running job, found none".to_owned())),
            several => Err(DriveError::Asked(format!("--job: expected an id or a name because several jobs run: {}", list(several)))),
        };
    };
    if let Some(id) = Hex::read(asked) {
        return match jobs.iter().find(|job| job.id == id) {
            Some(job) if job.is_alive() => Ok(id),
            Some(job) => Err(DriveError::Asked(format!("--job: expected a running job, found {}", list(&[job])))),
            None => Err(DriveError::Asked(format!("--job: expected one of {}, found '{id}'", list(&alive)))),
        };
    }
    let named: Vec<&Listed> = alive.iter().copied().filter(|job| job.name == asked).collect();
    match named.as_slice() {
        [one] => Ok(one.id.clone()),
        [] => Err(DriveError::Asked(format!("--job: expected the id or the name of one of {}, found '{asked}'", list(&alive)))),
        several => Err(DriveError::Asked(format!("--job: expected an id because several jobs have this name: {}", list(several)))),
    }
}

/// Checks that the cluster lets vertices be rescaled.
///
/// # Errors
/// When it does not, with the setting that is missing.
pub fn check_scheduler(rest: &mut Rest<'_>, job: &Job) -> Result<(), DriveError> {
    const NEEDED: &str = "set 'jobmanager.scheduler: adaptive' in the configuration of the cluster, without 'scheduler-mode: reactive', and start the job again";
    let wrong = |found: &str| Err(DriveError::Cluster(format!("expected the adaptive scheduler, found {found}: {NEEDED}")));
    if let Some(scheduler) = job.scheduler.as_deref().filter(|scheduler| !scheduler.eq_ignore_ascii_case("adaptive")) {
        return wrong(&format!("'{scheduler}'"));
    }
    match rest.settings() {
        Ok(settings) if settings.mode.as_deref().is_some_and(|mode| mode.eq_ignore_ascii_case("reactive")) => {
            return wrong("reactive mode");
        }
        // What a job says of itself goes before the cluster's default.
        Ok(settings) if job.scheduler.is_none() && settings.scheduler.as_deref().is_none_or(|of| !of.eq_ignore_ascii_case("adaptive")) => {
            return wrong(&settings.scheduler.map_or("the default one".to_owned(), |of| format!("'{of}'")));
        }
        Ok(_) => {}
        Err(error) if matches!(error.kind, RestErrorKind::Status { .. } | RestErrorKind::Unexpected { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    match rest.requirements(&job.id) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind, RestErrorKind::Status { status: 404 | 405 | 500 | 501, .. }) => {
            wrong(&format!("one that does not say what a job is to have ({error})"))
        }
        Err(error) => Err(error.into()),
    }
}
