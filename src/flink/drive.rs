//! The loop that drives a job: looks, windows to the controller, plans to the cluster.
//!
//! Everything that decides is below this module; what time it is, and whether to go on, comes with the
//! answers of the link. So a recorded session gives the same decisions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::attach::{Attached, DriveError, attach, check_scheduler};
use super::error::RestError;
use super::graph::Graph;
use super::job::{Hex, Job};
use super::limits::{Finished, Limited, Limits};
use super::news::{Closed, Listener, News, What, text_of};
use super::rescale::{Outcome, Rescale};
use super::rest::Rest;
use super::watch::{Look, Pace, Watch};
use super::window::OpenWindow;
use crate::controller::{Controller, ControllerConfig, EventKind};
use crate::dataflow::{Configuration, Topology};
use crate::migration::Strategy;
use crate::policy::{Needs, Policy};
use crate::time::Timestamp;

/// The longest wait between two tries while a cluster does not answer.
const MOST_WAIT: Duration = Duration::from_secs(30);
/// So many windows in a row without an epoch are worth a word.
const WITHOUT_EPOCH: u32 = 2;

/// How to drive.
#[derive(Clone, Debug)]
pub struct DriveConfig {
    /// Id or name of the job; nothing for the only one.
    pub job: Option<String>,
    /// Windows, looks and settling.
    pub pace: Pace,
    /// Windows that are not decided on after the start and after each change.
    pub warm_up_windows: u32,
    /// Windows in a row that must agree on a change.
    pub activation_windows: u32,
    /// How long a rescale may take.
    pub rescale_timeout: Duration,
    /// Whether nothing is changed.
    pub advise: bool,
    /// Stretches of the day in which nothing is decided: minutes since midnight, UTC, from and until.
    pub excluded: Vec<(u32, u32)>,
    /// How long a cluster may not answer, and a job may take to run.
    pub patience: Duration,
    /// How long to wait for another job of the same name after one has ended.
    pub follow: Duration,
    /// Number of windows after which to end.
    pub windows: Option<u64>,
    /// Whether the scheduler must be one that can be driven.
    pub needs_scheduler: bool,
}

/// How a drive ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was time to.
    Stopped,
    /// As many windows as were asked for.
    Windows,
    /// The job ended in this state.
    Ended(String),
}

/// Prepares what decides: for a topology, after its limits.
pub trait Prepare {
    /// Bounds for the vertices of a graph in this configuration; `slots` are those that the cluster can give the job.
    ///
    /// # Errors
    /// When an option names what is not there.
    fn limits(&mut self, graph: &Graph, slots: Option<u32>) -> anyhow::Result<Limits>;
    /// The policy.
    ///
    /// # Errors
    /// When there is none such.
    fn policy(&mut self, topology: &Topology) -> anyhow::Result<Box<dyn Policy>>;
}

/// Drives until it is time to end.
///
/// # Errors
/// When there is no job, it cannot be driven, or the cluster does not answer for too long.
pub fn drive(
    rest: &mut Rest<'_>,
    config: &DriveConfig,
    prepare: &mut dyn Prepare,
    listener: &mut dyn Listener,
) -> Result<Ending, DriveError> {
    match drive_jobs(rest, config, prepare, listener) {
        // The driver that was recorded was killed there.
        Err(DriveError::Rest(error)) if error.is_end_of_session() => Ok(Ending::Stopped),
        ended => ended,
    }
}

/// Drives a job, and those that follow it.
fn drive_jobs(
    rest: &mut Rest<'_>,
    config: &DriveConfig,
    prepare: &mut dyn Prepare,
    listener: &mut dyn Listener,
) -> Result<Ending, DriveError> {
    let mut asked = config.job.clone();
    let mut windows = 0;
    loop {
        let attached = attach(rest, asked.as_deref(), config.pace.poll, config.patience)?;
        let (name, known) = (attached.job.name.clone(), attached.listed.clone());
        let mut driver = Driver::new(rest, config, attached, prepare, listener)?;
        driver.windows = windows;
        let ending = driver.run(rest)?;
        windows = driver.windows;
        if !matches!(ending, Ending::Ended(_)) || config.follow.is_zero() {
            return Ok(ending);
        }
        match next_of_name(rest, &name, &known, config)? {
            Some(next) => asked = Some(next.to_string()),
            None => return Ok(ending),
        }
    }
}

/// Waits for another job of this name: one that was started from a savepoint has an id of its own.
/// Jobs that were `known` when the last one was found are no successors of it.
fn next_of_name(rest: &mut Rest<'_>, name: &str, known: &BTreeSet<Hex>, config: &DriveConfig) -> Result<Option<Hex>, DriveError> {
    let until = rest.now() + config.follow;
    while rest.now() < until {
        match rest.jobs() {
            Ok(jobs) => {
                let is_next = |job: &&super::job::Listed| job.is_alive() && job.name == name && !known.contains(&job.id);
                if let Some(next) = jobs.iter().find(is_next) {
                    return Ok(Some(next.id.clone()));
                }
            }
            Err(error) if error.may_pass() => {}
            Err(error) => return Err(error.into()),
        }
        let next = rest.now() + config.pace.poll;
        if rest.wait(next).is_none() {
            return Ok(None);
        }
    }
    Ok(None)
}

/// What is known while a job is driven.
struct Driver<'a> {
    config: &'a DriveConfig,
    listener: &'a mut dyn Listener,
    graph: Graph,
    topology: Topology,
    controller: Controller,
    watch: Watch,
    needs_paths: bool,
    /// What the job was last requested to have, by whomever.
    asked: BTreeMap<Hex, u32>,
    windows: u64,
    without_epoch: u32,
    triggered: bool,
    noted_clocks: bool,
    finished: Finished,
}

impl<'a> Driver<'a> {
    fn new(
        rest: &mut Rest<'_>,
        config: &'a DriveConfig,
        attached: Attached,
        prepare: &mut dyn Prepare,
        listener: &'a mut dyn Listener,
    ) -> Result<Driver<'a>, DriveError> {
        let Attached { job, graph, overview, checkpoints, listed: _ } = attached;
        if config.needs_scheduler {
            check_scheduler(rest, &job)?;
        }
        let parallelism = job.parallelism();
        let asked = if config.needs_scheduler { uppers(rest, &job.id)? } else { parallelism.clone() };
        let own = graph.slots(|vertex| parallelism[&graph.nodes[vertex].id]);
        let slots = (overview.slots > 0).then(|| overview.free_slots.saturating_add(own));
        let limits = prepare.limits(&graph, slots).map_err(DriveError::Prepare)?;
        let most = |vertex: usize| {
            let node = &graph.nodes[vertex];
            // A job that lacks slots grows to what it was requested to have when it gets them.
            let asked = asked.get(&node.id).map_or(0, |asked| (*asked).min(node.max_parallelism));
            let now = parallelism[&node.id].max(asked);
            if limits.excluded[vertex] { now } else { limits.bounds[vertex].1.min(limits.slots.unwrap_or(u32::MAX)).max(now) }
        };
        let topology = graph.topology(most)?;
        let policy = prepare.policy(&topology).map_err(DriveError::Prepare)?;
        let needs_paths = policy.needs() == Needs::Paths;
        let configuration = graph.configuration(&parallelism, &topology).unwrap_or_else(|| Configuration::ones(&topology));
        let pacing = ControllerConfig {
            policy_interval: config.pace.interval,
            warm_up_windows: config.warm_up_windows,
            activation_windows: config.activation_windows,
            strategy: Strategy::AllAtOnce,
        };
        let finished = Finished::default();
        let policy = Box::new(Limited::new(policy, graph.clone(), limits, Arc::clone(&finished)));
        let controller = Controller::new(topology.clone(), configuration.clone(), pacing, policy);
        let watch = Watch::new(&job, config.pace, rest.now());
        let mut driver = Driver {
            config,
            listener,
            graph,
            controller,
            watch,
            needs_paths,
            asked,
            windows: 0,
            without_epoch: 0,
            triggered: false,
            noted_clocks: false,
            finished,
            topology,
        };
        let at = rest.now();
        let text = text_of(&driver.topology, &configuration);
        driver.tell(at, What::Attached { job: job.id.to_string(), name: job.name.clone(), flink: overview.version, configuration: text });
        if checkpoints.interval_ms.is_none() {
            driver.note(at, "the job takes no checkpoints by itself, which are what paths are measured from: set execution.checkpointing.interval, or give --trigger");
        }
        if checkpoints.unaligned {
            driver.note(at, "checkpoints of this job are unaligned: barriers overtake records, so paths are estimated from counters alone");
        } else if checkpoints.unaligned_after_a_while {
            driver.note(at, "checkpoints of this job become unaligned under load (aligned-checkpoint-timeout): such ones are left out");
        }
        if driver.asked != parallelism {
            driver.note(at, &format!("the job was requested to have {}: waiting for that", driver.text(&driver.asked)));
            driver.settle(rest, &job)?;
        }
        Ok(driver)
    }

    fn tell(&mut self, at: Timestamp, what: What) {
        self.listener.news(&News { at, what });
    }

    fn note(&mut self, at: Timestamp, note: &str) {
        self.tell(at, What::Note { note: note.to_owned() });
    }

    fn text(&self, parallelism: &BTreeMap<Hex, u32>) -> String {
        let configuration = self.graph.configuration(parallelism, &self.topology);
        configuration.map_or("something else".to_owned(), |configuration| text_of(&self.topology, &configuration))
    }

    /// Waits for what is under way already, for no longer than a rescale may take: another driver may have been ended in the middle.
    fn settle(&mut self, rest: &mut Rest<'_>, job: &Job) -> Result<(), DriveError> {
        let until = rest.now() + self.config.rescale_timeout;
        while rest.now() < until {
            let next = rest.now() + self.config.pace.poll.min(Duration::from_secs(1));
            rest.wait(next).ok_or(DriveError::Stopped)?;
            match rest.job(&job.id) {
                Ok(now) if now.has_ended() => return Ok(()),
                Ok(now) if now.is_running() && now.parallelism() == self.asked => {
                    self.took_over(rest, &now);
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) if error.may_pass() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let note = "it does not get there: it is taken as it is (are there enough slots?)";
        self.note(rest.now(), note);
        Ok(())
    }

    /// The job runs otherwise than the controller has brought it to.
    fn took_over(&mut self, rest: &mut Rest<'_>, job: &Job) {
        self.watch.rescaled(rest, job);
        self.adopt(rest.now(), job);
    }

    fn adopt(&mut self, at: Timestamp, job: &Job) {
        if let Some(configuration) = self.graph.configuration(&job.parallelism(), &self.topology)
            && configuration != *self.controller.configuration()
        {
            self.controller.found(at, configuration);
        }
    }

    fn run(&mut self, rest: &mut Rest<'_>) -> Result<Ending, DriveError> {
        let (mut silent_since, mut pause) = (None, self.config.pace.poll);
        loop {
            let next = rest.now() + pause;
            let Some(now) = rest.wait(next) else { return Ok(Ending::Stopped) };
            match self.step(rest) {
                Ok(None) => (silent_since, pause) = (None, self.config.pace.poll),
                Ok(Some(ending)) => return Ok(ending),
                // A JobManager that fails over does not know its jobs for a while.
                Err(DriveError::Rest(error)) if error.may_pass() || error.is_unknown() => {
                    let since = *silent_since.get_or_insert(now);
                    if since == now {
                        self.tell(now, What::Trouble { error: error.to_string() });
                    }
                    if now.since(since) >= self.config.patience {
                        if error.is_unknown() {
                            self.tell(now, What::Ended { state: "unknown to the cluster".to_owned() });
                            return Ok(Ending::Ended("unknown".to_owned()));
                        }
                        return Err(error.into());
                    }
                    if now.since(since) >= self.config.pace.interval {
                        self.watch.abandon();
                    }
                    pause = (pause * 2).min(MOST_WAIT.max(self.config.pace.poll));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn step(&mut self, rest: &mut Rest<'_>) -> Result<Option<Ending>, DriveError> {
        match self.watch.look(rest, &self.graph)? {
            Look::Nothing => self.trigger(rest)?,
            Look::Ended(job) => return Ok(Some(self.ended(rest.now(), &job))),
            Look::Restarting(job) => self.tell(rest.now(), What::Restarting { state: job.state.to_lowercase() }),
            Look::Running(job, after) => {
                let configuration = self.text(&job.parallelism());
                self.tell(rest.now(), What::Running { configuration, after_s: after.as_secs() });
                self.adopt(rest.now(), &job);
            }
            Look::Full(window) => {
                self.triggered = false;
                let ending = self.full(rest, &window)?;
                self.windows += 1;
                let is_enough = self.config.windows.is_some_and(|most| self.windows >= most);
                return Ok(ending.or(is_enough.then_some(Ending::Windows)));
            }
        }
        Ok(None)
    }

    fn ended(&mut self, at: Timestamp, job: &Job) -> Ending {
        self.tell(at, What::Ended { state: job.state.clone() });
        Ending::Ended(job.state.clone())
    }

    /// Triggers a checkpoint once a window, if that is allowed and the last window had none.
    fn trigger(&mut self, rest: &mut Rest<'_>) -> Result<(), DriveError> {
        let is_wanted = self.watch.epochs() == Some(0) && self.without_epoch > 0 && !self.triggered;
        if !rest.allowed().trigger || !is_wanted {
            return Ok(());
        }
        self.triggered = true;
        match rest.trigger(self.watch.id()) {
            Ok(_) => self.tell(rest.now(), What::Triggered { why: "to see a path".to_owned() }),
            Err(error) if error.may_pass() => return Err(error.into()),
            Err(error) => self.tell(rest.now(), What::Trouble { error: error.to_string() }),
        }
        Ok(())
    }

    fn full(&mut self, rest: &mut Rest<'_>, window: &OpenWindow) -> Result<Option<Ending>, DriveError> {
        let at = window.window().end;
        self.without_epoch = if window.epochs() > 0 { 0 } else { self.without_epoch + 1 };
        if self.without_epoch == WITHOUT_EPOCH {
            let (failed, unaligned, partial) = self.watch.no_epochs();
            let why = format!(
                "no checkpoint to measure a path from in {WITHOUT_EPOCH} windows ({failed} failed, {unaligned} unaligned, {partial} partial): paths are estimated from counters"
            );
            self.note(at, &why);
        }
        if self.watch.clocks_differ() && !self.noted_clocks {
            self.noted_clocks = true;
            self.note(at, "the clocks of this cluster's machines differ: time may be moved from a hop to the next, sums hold");
        }
        if self.config.needs_scheduler {
            match uppers(rest, self.watch.id()) {
                Ok(asked) if asked != self.asked => {
                    let wanted = self.text(&asked);
                    self.asked = asked;
                    self.tell(at, What::ChangedByOthers { wanted });
                }
                Ok(_) => {}
                // Before anything is requested this is asked again.
                Err(error) if error.may_pass() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let known = std::mem::replace(&mut *self.finished.lock().expect("no policy panics"), window.finished().clone());
        for vertex in window.finished().difference(&known) {
            let note = format!("tasks of '{}' have finished: it counts as idle and keeps its instances", self.graph.nodes[*vertex].name);
            self.note(at, &note);
        }
        let configuration = self.controller.configuration().clone();
        let measured = match window.close(&self.graph, &self.topology, &configuration, self.needs_paths) {
            Ok(measured) => measured,
            Err(why) => {
                self.tell(at, What::Unknown { why: why.to_string() });
                return Ok(None);
            }
        };
        let observation = &measured.observation;
        let schedule = if self.is_excluded(at) {
            self.tell(at, What::Excluded);
            None
        } else {
            self.controller.window_closed(observation)
        };
        self.listener.closed(&Closed { topology: &self.topology, observation, told: &measured.told });
        let ending = if schedule.is_none() { None } else { self.act(rest)? };
        self.listener.decided(&self.topology, self.controller.events());
        Ok(ending)
    }

    fn is_excluded(&self, at: Timestamp) -> bool {
        let Some(wall_ms) = self.watch.wall_ms(at) else { return false };
        let minute = (wall_ms / 60_000 % 1440) as u32;
        let holds =
            |(from, until): &(u32, u32)| if from <= until { (*from..*until).contains(&minute) } else { minute >= *from || minute < *until };
        self.config.excluded.iter().any(holds)
    }

    /// Carries out what the controller wants, or says it.
    fn act(&mut self, rest: &mut Rest<'_>) -> Result<Option<Ending>, DriveError> {
        let wanted = self.controller.events().iter().rev().find_map(|event| match &event.kind {
            EventKind::Rescaling { before, after, reason, .. } => Some((before.clone(), after.clone(), reason.to_string())),
            _ => None,
        });
        let Some((before, after, reason)) = wanted else { return Ok(None) };
        let (before_text, after_text) = (text_of(&self.topology, &before), text_of(&self.topology, &after));
        if self.config.advise {
            self.tell(rest.now(), What::Advises { before: before_text, after: after_text, reason });
            self.controller.declined(rest.now(), "the driver only advises");
            return Ok(None);
        }
        let (before, wanted) = (self.watch.parallelism().clone(), self.graph.parallelism(&after));
        let (id, asked) = (self.watch.id().clone(), self.asked.clone());
        let rescale = Rescale { job: &id, before: &before, asked: &asked, wanted: &wanted, timeout: self.config.rescale_timeout };
        match rescale.trigger(rest) {
            Ok(None) => {}
            Ok(Some(triggered)) => {
                self.tell(rest.now(), What::Triggered { why: "from which the job goes on".to_owned() });
                if !rescale.wait_for(rest, triggered) {
                    return Ok(Some(Ending::Stopped));
                }
            }
            Err(error) if error.is_end_of_session() => return Err(error.into()),
            // The job goes on from the last one of its own.
            Err(error) => self.tell(rest.now(), What::Trouble { error: error.to_string() }),
        }
        self.tell(rest.now(), What::Requested { before: before_text, after: after_text, reason });
        let upper = rescale.upper();
        let outcome = rescale.carry_out(rest)?;
        let at = rest.now();
        self.watch.abandon();
        match outcome {
            Outcome::Reached(job, took) => {
                self.asked = upper;
                self.controller.migrated(at);
                self.watch.rescaled(rest, &job);
                let configuration = self.text(&job.parallelism());
                self.tell(at, What::Reached { configuration, after_ms: took.as_millis() as u64 });
                // Vertices that the plan leaves may have got what they lacked.
                self.adopt(at, &job);
            }
            Outcome::NotBegun(why) => {
                self.controller.declined(at, &why);
                self.tell(at, What::NotReached { why, done: "nothing was requested".to_owned() });
            }
            Outcome::NotReached { why, done, asked, job } => {
                self.asked = asked;
                self.controller.failed(at, &[]);
                self.tell(at, What::NotReached { why, done });
                if let Some(job) = job.filter(Job::is_running) {
                    self.took_over(rest, &job);
                }
            }
            Outcome::Ended(job) => return Ok(Some(self.ended(at, &job))),
            Outcome::Stopped => return Ok(Some(Ending::Stopped)),
        }
        Ok(None)
    }
}

fn uppers(rest: &mut Rest<'_>, id: &Hex) -> Result<BTreeMap<Hex, u32>, RestError> {
    Ok(rest.requirements(id)?.into_iter().map(|(id, bounds)| (id, bounds.upper)).collect())
}
