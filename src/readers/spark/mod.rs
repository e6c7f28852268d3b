//! Spark's event logs: one JSON object per line.
//!
//! Mapping to records:
//! - The driver is worker 0, each core of an executor a separate worker (`executors.rs` assigns
//!   tasks to cores). Each stage is an operator, each job an epoch.
//! - A task starts with a message from the driver and ends with a message to it; a result that the
//!   driver has to fetch uses a separate channel. In between: deserialization, waiting for blocks
//!   of the shuffle (an external wait, because their sender is not logged), processing,
//!   serialization of the shuffle's output and of the result.
//! - The time of a task that its metrics do not explain is Spark's scheduler delay. The log does
//!   not say how much of it precedes the task and how much follows it. One third is assumed to
//!   precede it, as in SnailTrail; this is a guess.
//! - The driver's time between results and launches is scheduling (`driver.rs`).
//! - A task that failed or was killed is lost work; the copy of a slow task that was used is
//!   speculative work.
//! - A task whose end is not in the log ends with what encloses it: its stage, its job or its
//!   executor; if the log ends before, it is still running. A second end of a task (it is to run
//!   again, because its output was lost) is no second run.
//! - Logs of Spark 1.2 and earlier give no times of jobs: a job begins with the first event of one of
//!   its stages, and ends with the last event before its end.
//!
//! Time is relative to the whole second in which the first job, stage or task started.
//!
//! Invariant: progress of workers is reported [`LAG`] behind the log, or up to the launch of the
//! running task; lines may therefore be late by that much.

mod driver;
mod ended;
mod event;
mod executors;
mod numbers;
mod phases;
mod quick;

use std::collections::BTreeMap;
use std::io::BufRead;

use self::driver::{DRIVER, DRIVER_OPERATOR, Driver, Happens};
use self::ended::Ended;
use self::event::{
    EVENT, ExecutorAdded, ExecutorRemoved, JobEnd, JobStart, MILLISECOND, Named, Refused, StageEvent, TaskEvent, TaskMetrics, event_name,
    is_cut_off, json,
};
use self::executors::{Enclosing, Executors, Ran, Unended};
use self::numbers::{Channel, channel, operator, stage_name};
use self::phases::{Phases, before};
use self::quick::task_event;
use super::error::{Damage, Oddities, excerpt};
use super::lines::{Line, Lines};
use super::parts::Parts;
use super::reader::Reader;
use crate::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
use crate::id::{InstanceId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// Longer lines are skipped: query plans, which are not read, can have any length.
const MOST_LINE_BYTES: usize = 4 << 20;
/// How far lines may be out of order, in ns.
const LAG: u64 = 1_000_000_000;
/// How long the log may go on after the end of a stage, a job or an executor before a task of it
/// counts as ended too, in ns.
const GRACE: u64 = 10_000_000_000;
/// Progress of workers is reported when the log has advanced this far, in ns.
const TELL_EVERY: u64 = 100_000_000;
/// The most stages of unfinished jobs, and upper bound of their numbers.
const MOST_STAGES: usize = 1 << 16;
const LARGEST_STAGE: u64 = 1 << 30;

/// State of a stage whose job has not ended.
#[derive(Debug)]
struct Stage {
    job: Option<u64>,
    /// Its name and channels have been given.
    announced: bool,
    named: bool,
    /// Its name, as its job told it. It is given once anything of the stage happens: most that a job lists are skipped.
    name: Option<Box<str>>,
}

/// Reads a log.
pub(super) struct Spark<R> {
    lines: Lines<R>,
    /// The files that the log consists of.
    parts: Parts,
    /// In ms since 1970.
    origin: Option<u64>,
    /// The time that the log has reached, in ns.
    now: u64,
    told: u64,
    since_told: usize,
    stages: BTreeMap<u64, Stage>,
    /// Stages of each unfinished job, and their total number.
    jobs: BTreeMap<u64, Vec<u64>>,
    listed: usize,
    executors: Executors,
    driver: Driver,
    driver_named: bool,
    /// Jobs that have begun at a time that is not known yet.
    beginning: Vec<u64>,
    ended_tasks: Ended,
    /// Whether any event has been read.
    any: bool,
    ended: bool,
}

impl<R: BufRead> Spark<R> {
    pub(super) fn new(source: R, parts: Parts) -> Spark<R> {
        Spark {
            lines: Lines::new(source, MOST_LINE_BYTES),
            parts,
            origin: None,
            now: 0,
            told: 0,
            since_told: 0,
            stages: BTreeMap::new(),
            jobs: BTreeMap::new(),
            listed: 0,
            executors: Executors::default(),
            driver: Driver::default(),
            driver_named: false,
            beginning: Vec::new(),
            ended_tasks: Ended::default(),
            any: false,
            ended: false,
        }
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<(), Damage> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let place = self.lines.place();
        let is_last = self.any && !self.lines.is_ended();
        if (is_last || self.parts.is_cut_off(place)) && is_cut_off(line) {
            // Of any other the parts tell.
            if is_last {
                oddities.count("the last line is unfinished: it was still being written");
            }
            return Ok(());
        }
        self.take(line, out, oddities).map_err(|(expected, found)| Damage::new(place, expected, found))?;
        self.since_told += 1;
        let horizon = self.now.saturating_sub(LAG);
        // No more reports than lines.
        if horizon >= self.told.saturating_add(TELL_EVERY) && self.since_told > self.executors.slots() {
            (self.told, self.since_told) = (horizon, 0);
            self.expire(self.now.saturating_sub(GRACE), out, oddities);
            let late = self.driver.advance(horizon, out);
            self.tell(horizon, late, out, oddities);
        }
        Ok(())
    }

    fn take(&mut self, line: &[u8], out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<(), Refused> {
        let Some(event) = event_name(line, self.any, oddities)? else { return Ok(()) };
        let taken = self.event(&event, line, out, oddities);
        // Of a line that is no JSON at all it is said that it is none.
        if taken.is_err() {
            json::<Named<'_>>(line, EVENT)?;
        }
        self.any = true;
        taken
    }

    fn event(&mut self, event: &str, line: &[u8], out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<(), Refused> {
        let full = |expected| (expected, "one more".to_owned());
        match event {
            "SparkListenerExecutorAdded" => {
                let added: ExecutorAdded<'_> = json(line, event)?;
                self.executors.add(&added.executor, &added.info.host, added.info.cores).map_err(full)?;
                self.joined(out);
            }
            "SparkListenerExecutorRemoved" => {
                let removed: ExecutorRemoved<'_> = json(line, event)?;
                let at = self.since_origin(removed.at);
                let left = |worker| Record::WorkerLeft { worker: WorkerId(worker), at: Timestamp(at) };
                out.extend(self.executors.remove(&removed.executor, at).into_iter().map(left));
            }
            "SparkListenerJobStart" => {
                let start: JobStart<'_> = json(line, event)?;
                let (job, at) = (start.job, start.at);
                self.begin(start)?;
                match at {
                    Some(at) => {
                        let at = self.at(at, oddities);
                        self.happens(at, Happens::JobStart(Epoch(job)), out);
                    }
                    None => self.beginning.push(job),
                }
            }
            "SparkListenerJobEnd" => {
                let end: JobEnd = json(line, event)?;
                let at = end.at.map_or(self.now, |at| self.at(at, oddities));
                self.begun(at, out);
                self.happens(at, Happens::JobEnd(Epoch(end.job)), out);
                for stage in self.jobs.get(&end.job).into_iter().flatten() {
                    self.executors.enclose(Enclosing::Stage(*stage), at);
                }
                self.forget(end.job);
            }
            "SparkListenerStageSubmitted" => {
                let submitted: StageEvent<'_> = json(line, event)?;
                let stage = submitted.info.stage;
                self.name(stage, &submitted.info.name, out)?;
                if let Some(at) = submitted.info.submitted {
                    let at = self.at(at, oddities);
                    self.begun(at, out);
                    self.happens(at, Happens::Submitted(self.epoch(stage)), out);
                }
            }
            "SparkListenerStageCompleted" => {
                let completed: StageEvent<'_> = json(line, event)?;
                let stage = completed.info.stage;
                let at = completed.info.completed.map_or(self.now, |at| self.at(at, oddities));
                self.executors.enclose(Enclosing::Stage(stage), at);
                // Otherwise it is forgotten at the end of its job.
                if self.stages.get(&stage).is_some_and(|stage| stage.job.is_none()) {
                    self.stages.remove(&stage);
                }
            }
            "SparkListenerTaskStart" => {
                let start = task_event(line).map_or_else(|| json(line, event), Ok)?;
                self.start(&start, out, oddities)?;
            }
            "SparkListenerTaskEnd" => {
                let end = task_event(line).map_or_else(|| json(line, event), Ok)?;
                self.end(&end, out, oddities)?;
            }
            "SparkListenerApplicationEnd" => self.ended = true,
            // Events that tell nothing of when something ran.
            "SparkListenerLogStart"
            | "SparkListenerApplicationStart"
            | "SparkListenerEnvironmentUpdate"
            | "SparkListenerBlockManagerAdded"
            | "SparkListenerTaskGettingResult" => {}
            other => oddities.count(format!("events of kind {}, which is not read", excerpt(other.as_bytes()))),
        }
        Ok(())
    }

    /// Converts ms since 1970 to a time of the trace, in ns; the trace need not have begun.
    fn since_origin(&self, milliseconds: u64) -> u64 {
        self.origin.map_or(0, |origin| milliseconds.saturating_sub(origin).saturating_mul(MILLISECOND))
    }

    /// Names the workers that are new.
    fn joined(&mut self, out: &mut Vec<Record>) {
        let at = Timestamp(self.now);
        out.extend(self.executors.joined().into_iter().map(|(worker, name)| Record::WorkerJoined { worker: WorkerId(worker), at, name }));
    }

    /// Jobs whose beginning has no time of its own begin at `at`.
    fn begun(&mut self, at: u64, out: &mut Vec<Record>) {
        for job in std::mem::take(&mut self.beginning) {
            self.happens(at, Happens::JobStart(Epoch(job)), out);
        }
    }

    /// Converts ms since 1970 to a time of the trace, in ns.
    fn at(&mut self, milliseconds: u64, oddities: &mut Oddities) -> u64 {
        let origin = *self.origin.get_or_insert(milliseconds - milliseconds % 1000);
        if milliseconds < origin {
            oddities.count("events from before the first job, moved to the start");
        }
        let at = milliseconds.saturating_sub(origin).saturating_mul(MILLISECOND);
        self.now = self.now.max(at);
        at
    }

    /// Adds a job.
    fn begin(&mut self, start: JobStart<'_>) -> Result<(), Refused> {
        self.forget(start.job);
        self.listed += start.stages.len();
        if self.listed > MOST_STAGES || self.jobs.len() >= MOST_STAGES {
            return Err((format!("at most {MOST_STAGES} unfinished jobs and stages"), "more".to_owned()));
        }
        for &stage in &start.stages {
            self.stage(stage)?.job = Some(start.job);
        }
        for info in start.infos.iter().filter(|info| !info.name.is_empty() && start.stages.contains(&info.stage)) {
            self.stage(info.stage)?.name = Some(info.name.as_ref().into());
        }
        self.jobs.insert(start.job, start.stages);
        Ok(())
    }

    /// Forgets a job and its stages.
    fn forget(&mut self, job: u64) {
        let stages = self.jobs.remove(&job).unwrap_or_default();
        self.listed -= stages.len();
        for stage in stages {
            if self.stages.get(&stage).is_some_and(|known| known.job == Some(job)) {
                self.stages.remove(&stage);
            }
        }
    }

    fn happens(&mut self, at: u64, what: Happens, out: &mut Vec<Record>) {
        if !self.driver_named {
            self.driver_named = true;
            out.push(Record::WorkerJoined { worker: DRIVER, at: Timestamp(at), name: "driver".to_owned() });
            out.push(Record::Operator { operator: DRIVER_OPERATOR, name: "driver".to_owned() });
        }
        self.driver.note(at, what);
    }

    fn stage(&mut self, stage: u64) -> Result<&mut Stage, Refused> {
        if stage > LARGEST_STAGE {
            return Err((format!("a stage of at most {LARGEST_STAGE}"), stage.to_string()));
        }
        if self.stages.len() >= MOST_STAGES && !self.stages.contains_key(&stage) {
            return Err((format!("at most {MOST_STAGES} unfinished stages"), "one more".to_owned()));
        }
        Ok(self.stages.entry(stage).or_insert(Stage { job: None, announced: false, named: false, name: None }))
    }

    /// Names the operator and the channels of a stage, as soon as it is known and again once its
    /// name is.
    fn name(&mut self, stage: u64, name: &str, out: &mut Vec<Record>) -> Result<(), Refused> {
        let known = self.stage(stage)?;
        let own = known.name.take();
        let name = own.as_deref().unwrap_or(name);
        if !known.announced || (!known.named && !name.is_empty()) {
            let first = !std::mem::replace(&mut known.announced, true);
            known.named = !name.is_empty();
            let name = stage_name(stage, name);
            out.push(Record::Operator { operator: operator(stage), name });
            for which in [Channel::Launch, Channel::Result, Channel::Fetch].into_iter().filter(|_| first) {
                let (source, target) = match which {
                    Channel::Launch => (DRIVER_OPERATOR, operator(stage)),
                    Channel::Result | Channel::Fetch => (operator(stage), DRIVER_OPERATOR),
                };
                out.push(Record::Channel { channel: channel(stage, which), source, target });
            }
        }
        Ok(())
    }

    /// A job is represented as an epoch.
    fn epoch(&self, stage: u64) -> Epoch {
        self.stages.get(&stage).and_then(|stage| stage.job).map_or(Epoch::UNKNOWN, Epoch)
    }

    fn start(&mut self, event: &TaskEvent<'_>, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<(), Refused> {
        let (stage, info) = (event.stage, &event.info);
        self.name(stage, "", out)?;
        let launch = self.at(info.launch, oddities);
        self.begun(launch, out);
        let full = |expected| (expected, "one more".to_owned());
        if self.ended_tasks.contains(info.task) {
            oddities.count("starts of tasks that had ended");
        } else if self.executors.start(info, stage, launch).map_err(full)? {
            self.joined(out);
            let sent = self.message(stage, info.task, launch, Channel::Launch, DRIVER, DRIVER);
            self.happens(launch, Happens::Sent(sent), out);
        } else {
            oddities.count("starts of tasks that already run");
        }
        Ok(())
    }

    fn end(&mut self, event: &TaskEvent<'_>, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<(), Refused> {
        let info = &event.info;
        self.name(event.stage, "", out)?;
        if self.ended_tasks.contains(info.task) {
            oddities.count("further ends of tasks that had ended, such as those of tasks that are to run again");
            return Ok(());
        }
        let full = |expected| (expected, "one more".to_owned());
        let finish = self.at(info.finish, oddities);
        let fetching = Some(info.fetching).filter(|&at| at > 0).map(|at| self.at(at, oddities));
        // Its core is free before the driver is notified.
        let launch = self.at(info.launch, oddities);
        let total = fetching.unwrap_or(finish).min(finish).saturating_sub(launch);
        let measured = event.metrics.as_ref().map_or(total, TaskMetrics::measured).min(total);
        let free_at = launch + before(total, measured) + measured;
        let ran = match self.executors.end(info.task, free_at).map_err(full)? {
            Some(ran) => ran,
            None => {
                oddities.count("ends of tasks that did not start");
                self.start(event, out, oddities)?;
                let Some(ran) = self.executors.end(info.task, free_at).map_err(full)? else { return Ok(()) };
                ran
            }
        };
        self.ended_tasks.insert(info.task);
        self.joined(out);
        if finish < ran.launch {
            oddities.count("tasks that finish before their launch");
        }
        self.task(event, &ran, finish.max(ran.launch), fetching, out, oddities);
        Ok(())
    }

    /// The records of a task that has ended; the driver started to fetch its result at `fetching`,
    /// if it did.
    fn task(
        &mut self,
        event: &TaskEvent<'_>,
        ran: &Ran,
        finish: u64,
        fetching: Option<u64>,
        out: &mut Vec<Record>,
        oddities: &mut Oddities,
    ) {
        let (stage, info) = (event.stage, &event.info);
        let worker = WorkerId(ran.worker);
        let end = fetching.unwrap_or(finish).clamp(ran.launch, finish);
        let total = end - ran.launch;
        let Phases { measured, phases, records_in, records_out } = Phases::of(event, total, oddities);
        let mut at = ran.launch + before(total, measured);
        let received = Message { at: Timestamp(at), ..self.message(stage, info.task, at, Channel::Launch, DRIVER, worker) };
        out.push(Record::Received(received));
        for (kind, length) in phases {
            let start = Timestamp(at);
            at = at.saturating_add(length).min(end);
            let processing = matches!(kind, ActivityKind::Processing | ActivityKind::Speculative);
            if start.0 < at || processing {
                out.push(Record::Activity(Activity {
                    lane: Lane::Worker(worker),
                    kind,
                    instance: InstanceId::new(operator(stage), ran.worker),
                    epoch: self.epoch(stage),
                    start,
                    end: Timestamp(at),
                    records_in: if processing { records_in } else { 0 },
                    records_out: if processing { records_out } else { 0 },
                }));
            }
        }
        let which = if fetching.is_some() { Channel::Fetch } else { Channel::Result };
        let result = self.message(stage, info.task, at, which, worker, DRIVER);
        out.push(Record::Sent(result));
        self.happens(finish, Happens::Received(result), out);
    }

    fn message(&self, stage: u64, task: u64, at: u64, which: Channel, from: WorkerId, to: WorkerId) -> Message {
        Message {
            at: Timestamp(at),
            kind: MessageKind::Data,
            channel: channel(stage, which),
            sequence: task,
            from,
            from_lane: Lane::Worker(from),
            to_lane: Lane::Worker(to),
            epoch: self.epoch(stage),
            records: 1,
        }
    }

    /// Ends tasks of what had ended before `before`, in ns.
    fn expire(&mut self, before: u64, out: &mut Vec<Record>, oddities: &mut Oddities) {
        for (task, unended) in self.executors.expire(before) {
            oddities.count("tasks without an end, taken to end with their stage, job or executor");
            self.ended_tasks.insert(task);
            self.unended(&unended, out);
        }
    }

    fn unended(&self, unended: &Unended, out: &mut Vec<Record>) {
        out.push(Record::Activity(unended.activity(self.epoch(unended.stage))));
    }

    /// Reports everyone's progress; `late` events of the driver had to be moved to a later time.
    fn tell(&mut self, horizon: u64, late: u64, out: &mut Vec<Record>, oddities: &mut Oddities) {
        (0..late).for_each(|_| oddities.count("events of the driver that came too late to be put in order"));
        self.driver.tell(horizon, out);
        self.executors.tell(horizon, out);
    }
}

impl<R: BufRead + Send> Reader for Spark<R> {
    fn step(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<bool, Damage> {
        let line = match self.lines.next()? {
            None => return Ok(false),
            Some(Line::Whole(_)) => self.lines.take(),
            Some(Line::TooLong) => {
                oddities.count("lines of more than 4 MiB, skipped");
                return Ok(true);
            }
        };
        let taken = self.line(&line, out, oddities);
        self.lines.give_back(line);
        taken.map(|()| true)
    }

    fn finish(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) {
        if !self.ended {
            oddities.count("the log ends before the application does: it was still running");
        }
        self.expire(u64::MAX, out, oddities);
        for unended in self.executors.close(self.now) {
            oddities.count("tasks that did not end before the log");
            self.unended(&unended, out);
        }
        let late = self.driver.close(out);
        self.tell(self.now, late, out, oddities);
    }
}
