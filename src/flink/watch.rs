//! Looks at a running job, poll by poll: whether it runs as before, its counters, its checkpoints, and when a window is full.
//!
//! Invariant: a window holds rounds of one deployment only. What is seen while the job restarts, and for a
//! while after, is looked at and not kept: it shows the catching up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::barriers::{Barriers, NoEpoch};
use super::checkpoints::{Checkpoint, History};
use super::error::RestError;
use super::graph::{Graph, Node};
use super::job::{Hex, Job};
use super::rest::Rest;
use super::window::{OpenWindow, Seen};
use crate::time::Timestamp;

/// The most checkpoints of which one poll asks for details.
const MOST_EPOCHS: usize = 4;
/// How long a cluster may take to fetch its tasks' metrics. It does so when it is asked for a job, and puts what comes in one
/// by one: counters that are read meanwhile are of two times, in one subtask too (seen on 2.3.0: 112 records more out than in).
const FETCH: Duration = Duration::from_millis(200);
/// The most epochs of a window.
const MOST_IN_WINDOW: usize = 600;

/// How to look.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Length of a window.
    pub interval: Duration,
    /// Time between two looks.
    pub poll: Duration,
    /// Time after a restart that is not kept.
    pub settle: Duration,
}

/// What a look found.
#[derive(Debug)]
pub enum Look {
    /// The job has ended.
    Ended(Job),
    /// It does not run as a whole; said once.
    Restarting(Job),
    /// It runs again, or differently; the time since that was noticed.
    Running(Job, Duration),
    /// Nothing to tell.
    Nothing,
    /// A window is full.
    Full(OpenWindow),
}

/// A job that is looked at.
pub struct Watch {
    id: Hex,
    pace: Pace,
    deployed_ms: u64,
    parallelism: BTreeMap<Hex, u32>,
    finished: BTreeMap<Hex, u32>,
    /// When it was noticed that the job does not run.
    down: Option<Timestamp>,
    /// Nothing is kept before this.
    settled_at: Timestamp,
    window: Option<OpenWindow>,
    newest: u64,
    /// The JobManager's clock less that of the run, in ms.
    clock_ms: Option<i64>,
    state_bytes: u64,
    /// Checkpoints that were no epochs, since the last that was one.
    unaligned: u64,
    partial: u64,
    failed: Option<u64>,
    failures: u64,
    clocks_differ: bool,
}

impl Watch {
    /// Looks at `job`, which runs.
    pub fn new(job: &Job, pace: Pace, now: Timestamp) -> Watch {
        let mut watch = Watch {
            id: job.id.clone(),
            pace,
            deployed_ms: job.deployed_ms(),
            parallelism: job.parallelism(),
            finished: job.finished(),
            down: None,
            settled_at: now,
            window: None,
            newest: 0,
            clock_ms: None,
            state_bytes: 0,
            unaligned: 0,
            partial: 0,
            failed: None,
            failures: 0,
            clocks_differ: false,
        };
        watch.set_clock(job, now);
        // It may have been deployed just now, by a driver that was ended in the middle of it.
        let age = job.now_ms.map_or(pace.settle, |now_ms| Duration::from_millis(now_ms.saturating_sub(watch.deployed_ms)));
        watch.settled_at = now + pace.settle.saturating_sub(age);
        watch
    }

    /// The job's id.
    pub fn id(&self) -> &Hex {
        &self.id
    }

    /// Instances by vertex when the job was last seen running.
    pub fn parallelism(&self) -> &BTreeMap<Hex, u32> {
        &self.parallelism
    }

    /// The JobManager's clock at `at`, in ms since 1970, as far as it is known.
    pub fn wall_ms(&self, at: Timestamp) -> Option<u64> {
        u64::try_from(self.clock_ms? + (at.0 / 1_000_000) as i64).ok()
    }

    /// Checkpoints that failed since the first look, and those of late that were unaligned, or of which parts were missing.
    pub fn no_epochs(&self) -> (u64, u64, u64) {
        (self.failures, self.unaligned, self.partial)
    }

    /// Whether machines' clocks differ so much that time seems to be negative.
    pub fn clocks_differ(&self) -> bool {
        self.clocks_differ
    }

    /// State of the last checkpoint, in bytes.
    pub fn state_bytes(&self) -> u64 {
        self.state_bytes
    }

    /// The newest complete checkpoint that was seen.
    pub fn newest_checkpoint(&self) -> u64 {
        self.newest
    }

    /// Gives the open window up.
    pub fn abandon(&mut self) {
        self.window = None;
    }

    /// Epochs in the open window so far; nothing if none is open.
    pub fn epochs(&self) -> Option<usize> {
        self.window.as_ref().map(OpenWindow::epochs)
    }

    /// The job was rescaled, and runs so since now.
    pub fn rescaled(&mut self, rest: &mut Rest<'_>, job: &Job) {
        self.take_over(rest, job);
    }

    fn take_over(&mut self, rest: &mut Rest<'_>, job: &Job) {
        rest.forget_names();
        (self.deployed_ms, self.parallelism, self.finished) = (job.deployed_ms(), job.parallelism(), job.finished());
        (self.window, self.down) = (None, None);
        self.settled_at = rest.now() + self.pace.settle;
        self.set_clock(job, rest.now());
    }

    fn set_clock(&mut self, job: &Job, now: Timestamp) {
        self.clock_ms = job.now_ms.map(|now_ms| now_ms as i64 - (now.0 / 1_000_000) as i64).or(self.clock_ms);
    }

    /// Looks once.
    ///
    /// # Errors
    /// When a request fails; what was seen before is kept.
    pub fn look(&mut self, rest: &mut Rest<'_>, graph: &Graph) -> Result<Look, RestError> {
        let job = rest.job(&self.id)?;
        if job.has_ended() {
            return Ok(Look::Ended(job));
        }
        let now = rest.now();
        if !job.is_running() {
            self.window = None;
            if self.down.replace(self.down.unwrap_or(now)).is_none() {
                return Ok(Look::Restarting(job));
            }
            return Ok(Look::Nothing);
        }
        if self.down.is_some() || job.deployed_ms() != self.deployed_ms || job.parallelism() != self.parallelism {
            let since = now.since(self.down.unwrap_or(now));
            self.take_over(rest, &job);
            return Ok(Look::Running(job, since));
        }
        if job.finished() != self.finished {
            // A task that ends in the middle of a window has counted for a part of it.
            (self.window, self.finished) = (None, job.finished());
        }
        self.set_clock(&job, now);
        if self.window.is_none() {
            // A window that opens anew has the names of today: some metrics come later than their task.
            rest.forget_names();
        }
        let fetched = now + FETCH.min(self.pace.poll / 3);
        if rest.wait(fetched).is_none() {
            return Ok(Look::Nothing);
        }
        let known = &self.parallelism;
        let round = rest.round(&self.id, graph, |vertex| known.get(&graph.nodes[vertex].id).copied().unwrap_or(0))?;
        let history = rest.checkpoints(&self.id)?;
        self.count(&history);
        if round.at < self.settled_at {
            // Asking is what keeps a cluster's metrics fresh.
            self.newest = self.newest.max(history.newest().map_or(0, |newest| newest.id));
            return Ok(Look::Nothing);
        }
        let Some(window) = &mut self.window else {
            self.newest = self.newest.max(history.newest().map_or(0, |newest| newest.id));
            // A window begins later than the run.
            let start = round.at.max(Timestamp(1_000_000));
            let mut window = OpenWindow::new(start, self.pace.interval, self.finished_of(graph));
            window.round(round);
            self.window = Some(window);
            return Ok(Look::Nothing);
        };
        window.round(round.clone());
        self.epochs_of(rest, graph, &history)?;
        let is_full = |window: &mut OpenWindow| window.window().end <= round.at;
        let Some(full) = self.window.take_if(is_full) else { return Ok(Look::Nothing) };
        let mut next = OpenWindow::new(round.at, self.pace.interval, self.finished_of(graph));
        next.round(round);
        self.window = Some(next);
        Ok(Look::Full(full))
    }

    fn finished_of(&self, graph: &Graph) -> BTreeSet<usize> {
        let has_finished = |(_, node): &(usize, &Node)| self.finished.contains_key(&node.id);
        graph.nodes.iter().enumerate().filter(has_finished).map(|(number, _)| number).collect()
    }

    fn count(&mut self, history: &History) {
        if let Some(newest) = history.newest() {
            self.state_bytes = newest.state_bytes;
        }
        let before = self.failed.replace(history.failed).unwrap_or(history.failed);
        self.failures += history.failed.saturating_sub(before);
    }

    /// Adds the checkpoints that were completed since the last look.
    fn epochs_of(&mut self, rest: &mut Rest<'_>, graph: &Graph, history: &History) -> Result<(), RestError> {
        let is_new = |checkpoint: &&Checkpoint| checkpoint.is_complete && checkpoint.id > self.newest;
        let new: Vec<Checkpoint> = history.checkpoints.iter().filter(is_new).copied().collect();
        for checkpoint in &new[new.len().saturating_sub(MOST_EPOCHS)..] {
            let details = match rest.arrivals(&self.id, checkpoint.id, graph) {
                Ok(details) => details,
                // It left the history.
                Err(error) if error.is_unknown() => continue,
                Err(error) => return Err(error),
            };
            self.newest = checkpoint.id;
            let triggered_ms = i64::try_from(checkpoint.triggered_ms).unwrap_or(i64::MAX);
            let Some(at_ms) = self.clock_ms.and_then(|clock_ms| u64::try_from(triggered_ms - clock_ms).ok()) else { continue };
            let at = Timestamp(at_ms.saturating_mul(1_000_000));
            match Barriers::of(checkpoint.id, checkpoint.triggered_ms, checkpoint.state_bytes, &details) {
                Ok(barriers) => {
                    (self.unaligned, self.partial) = (0, 0);
                    self.clocks_differ |= barriers.clocks_differ(graph);
                    // One that was triggered before the job had settled shows how it caught up.
                    if let Some(window) = self.window.as_mut().filter(|_| at >= self.settled_at) {
                        let at = at.max(window.window().start);
                        if window.epochs() < MOST_IN_WINDOW {
                            window.epoch(Seen { at, barriers });
                        }
                    }
                }
                Err(NoEpoch::Unaligned) => self.unaligned += 1,
                Err(NoEpoch::Partial) => self.partial += 1,
            }
        }
        Ok(())
    }
}
