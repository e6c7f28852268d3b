//! One rescale: a request that names every vertex, a look until all tasks run as requested, and the way back if they do not.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::RestError;
use super::job::{Hex, Job, MOST_PARALLELISM};
use super::rest::Rest;
use crate::time::Timestamp;

/// A checkpoint before a rescale is not waited for longer than this.
const MOST_FOR_CHECKPOINT: Duration = Duration::from_secs(60);
/// Tasks are looked at this often while they are deployed.
const LOOK: Duration = Duration::from_millis(250);

/// What is to be done.
pub struct Rescale<'a> {
    /// The job.
    pub job: &'a Hex,
    /// Instances by vertex that ran before; fewer than requested where slots are missing.
    pub before: &'a BTreeMap<Hex, u32>,
    /// What was last requested, by whomever.
    pub asked: &'a BTreeMap<Hex, u32>,
    /// Instances by vertex that are wanted.
    pub wanted: &'a BTreeMap<Hex, u32>,
    /// How long it may take.
    pub timeout: Duration,
}

/// What became of it.
#[derive(Debug)]
pub enum Outcome {
    /// All tasks run as requested.
    Reached(Job, Duration),
    /// Nothing was requested, and why.
    NotBegun(String),
    /// It was not reached. What is to hold from now on was requested, or nothing could be; the job as it was last seen.
    NotReached {
        /// Why.
        why: String,
        /// What was done about it, in words.
        done: String,
        /// What the job was last requested to have.
        asked: BTreeMap<Hex, u32>,
        /// The job, if it answered.
        job: Option<Job>,
    },
    /// The job has ended.
    Ended(Job),
    /// It is time to end; the job is left as it is.
    Stopped,
}

/// A checkpoint that the cluster has accepted to take.
pub struct Triggered {
    /// The newest before it; nothing within where there was none, nothing at all where the cluster did not say.
    before: Option<Option<u64>>,
}

/// How waiting for tasks ended.
enum Waited {
    Reached(Job),
    Ended(Job),
    TimedOut(Option<Job>),
    /// Somebody else requested something else.
    Overwritten(BTreeMap<Hex, u32>, Option<Job>),
    Stopped,
}

impl Rescale<'_> {
    /// Upper bounds that are requested: what is wanted of vertices that change, and what was requested before of all
    /// others, so that a job that lacks slots now grows again when it has them.
    pub fn upper(&self) -> BTreeMap<Hex, u32> {
        let upper = |(id, wanted): (&Hex, &u32)| {
            let before = self.before.get(id).copied().unwrap_or(0);
            let asked = self.asked.get(id).copied().unwrap_or(0).min(MOST_PARALLELISM);
            (id.clone(), if *wanted == before { asked.max(before) } else { *wanted })
        };
        self.wanted.iter().map(upper).collect()
    }

    /// What was requested before, for every vertex.
    fn asked_before(&self) -> BTreeMap<Hex, u32> {
        let upper = |(id, before): (&Hex, &u32)| (id.clone(), self.asked.get(id).copied().unwrap_or(*before).clamp(1, MOST_PARALLELISM));
        self.before.iter().map(upper).collect()
    }

    /// Triggers a checkpoint, if that is allowed and the job is still as it was; whether it did.
    ///
    /// # Errors
    /// When the cluster does not take it, or the session ends.
    pub fn trigger(&self, rest: &mut Rest<'_>) -> Result<Option<Triggered>, RestError> {
        if !rest.allowed().trigger || self.check(rest)?.is_some() {
            return Ok(None);
        }
        // Without an answer the next one is what newer checkpoints are told from.
        let before = newest(rest, self.job).ok();
        rest.trigger(self.job)?;
        Ok(Some(Triggered { before }))
    }

    /// Waits for a checkpoint that was triggered, from which the job then goes on: less is done twice. Whether to go on; without a
    /// checkpoint too.
    pub fn wait_for(&self, rest: &mut Rest<'_>, triggered: Triggered) -> bool {
        let mut before = triggered.before;
        let until = rest.now() + self.timeout.min(MOST_FOR_CHECKPOINT);
        loop {
            match (newest(rest, self.job), before) {
                (Ok(now), Some(before)) if now > before => return true,
                (Ok(now), None) => before = Some(now),
                _ => {}
            }
            if rest.now() >= until {
                return true;
            }
            let next = rest.now() + LOOK;
            if rest.wait(next).is_none() {
                return false;
            }
        }
    }

    /// Checks that the job is still as it was, requests, and waits.
    ///
    /// # Errors
    /// When the cluster refuses to be asked at all, as opposed to not answering.
    pub fn carry_out(&self, rest: &mut Rest<'_>) -> Result<Outcome, RestError> {
        if let Some(why) = self.check(rest)? {
            return Ok(Outcome::NotBegun(why));
        }
        let (began, upper) = (rest.now(), self.upper());
        if let Err(error) = rest.require(self.job, &upper) {
            if error.is_end_of_session() {
                return Err(error);
            }
            // An answer may be lost after the request was taken.
            let taken = error.may_pass() && self.uppers(rest).is_ok_and(|uppers| uppers == upper);
            if !taken {
                return Ok(self.back(rest, error.to_string(), None));
            }
        }
        Ok(match self.until(rest, self.wanted, &upper) {
            Waited::Reached(job) => Outcome::Reached(job, rest.now().since(began)),
            Waited::Ended(job) => Outcome::Ended(job),
            Waited::Stopped => Outcome::Stopped,
            Waited::Overwritten(asked, job) => {
                let why = "something else requested another configuration".to_owned();
                Outcome::NotReached { why, done: "that is kept".to_owned(), asked, job }
            }
            Waited::TimedOut(job) => {
                let tasks = job.as_ref().map_or("no answer".to_owned(), running_of);
                self.back(rest, format!("not reached within {} s: {tasks}", self.timeout.as_secs()), job)
            }
        })
    }

    /// Whether the job is as the policy saw it; otherwise why not.
    fn check(&self, rest: &mut Rest<'_>) -> Result<Option<String>, RestError> {
        match self.differs(rest) {
            Err(error) if !error.is_end_of_session() => Ok(Some(error.to_string())),
            result => result,
        }
    }

    fn differs(&self, rest: &mut Rest<'_>) -> Result<Option<String>, RestError> {
        let job = rest.job(self.job)?;
        if !job.is_running() || job.parallelism() != *self.before {
            return Ok(Some("the job changed meanwhile".to_owned()));
        }
        Ok((self.uppers(rest)? != *self.asked).then(|| "something else requested another configuration meanwhile".to_owned()))
    }

    fn uppers(&self, rest: &mut Rest<'_>) -> Result<BTreeMap<Hex, u32>, RestError> {
        Ok(rest.requirements(self.job)?.into_iter().map(|(id, bounds)| (id, bounds.upper)).collect())
    }

    /// Waits until all tasks run, of each vertex at least `least` and at most `upper`, which is what was requested.
    fn until(&self, rest: &mut Rest<'_>, least: &BTreeMap<Hex, u32>, upper: &BTreeMap<Hex, u32>) -> Waited {
        let runs = |job: &Job| {
            let running = job.parallelism();
            let fits = |(id, instances): (&Hex, &u32)| {
                let bounds = least.get(id).zip(upper.get(id));
                bounds.is_some_and(|(least, upper)| (least.min(upper)..=upper).contains(&instances))
            };
            job.is_running() && running.len() == least.len() && running.iter().all(fits)
        };
        let (began, mut last, mut looked) = (rest.now(), None, Timestamp::ZERO);
        loop {
            let next = rest.now() + LOOK;
            if rest.wait(next).is_none() {
                return Waited::Stopped;
            }
            // While a JobManager fails over, nobody answers.
            if let Ok(job) = rest.job(self.job) {
                if job.has_ended() {
                    return Waited::Ended(job);
                }
                if runs(&job) {
                    return Waited::Reached(job);
                }
                last = Some(job);
            }
            if rest.now().since(looked) >= LOOK * 8 {
                looked = rest.now();
                if let Ok(uppers) = self.uppers(rest)
                    && uppers != *upper
                    && uppers != *self.asked
                {
                    return Waited::Overwritten(uppers, last);
                }
            }
            if rest.now().since(began) >= self.timeout {
                return Waited::TimedOut(last);
            }
        }
    }

    /// Requests again what was requested before, and waits for it.
    fn back(&self, rest: &mut Rest<'_>, why: String, job: Option<Job>) -> Outcome {
        let upper = self.upper();
        let asked = match self.uppers(rest) {
            // It was not taken, or something else came after it: there is nothing to take back.
            Ok(asked) if asked != upper => {
                let is_as_before = asked == *self.asked;
                let done = if is_as_before { "the cluster did not take the request" } else { "what something else requested is kept" };
                return Outcome::NotReached { why, done: done.to_owned(), asked, job };
            }
            Ok(asked) => asked,
            Err(_) => upper,
        };
        let before = self.asked_before();
        if let Err(error) = rest.require(self.job, &before) {
            let done = format!("what was requested before could not be requested again ({error})");
            return Outcome::NotReached { why, done, asked, job };
        }
        let again = |then: &str| format!("what was requested before is requested again{then}");
        match self.until(rest, self.before, &before) {
            Waited::Ended(job) => Outcome::Ended(job),
            Waited::Stopped => Outcome::Stopped,
            Waited::Reached(job) => Outcome::NotReached { why, done: again(""), asked: before, job: Some(job) },
            Waited::Overwritten(asked, job) => Outcome::NotReached {
                why,
                done: again(", and then something else requested another configuration, which is kept"),
                asked,
                job,
            },
            Waited::TimedOut(job) => Outcome::NotReached { why, done: again(", but does not run in time"), asked: before, job },
        }
    }
}

fn newest(rest: &mut Rest<'_>, job: &Hex) -> Result<Option<u64>, RestError> {
    rest.checkpoints(job).map(|history| history.newest().map(|newest| newest.id))
}

fn running_of(job: &Job) -> String {
    let of = job.vertices.iter().map(|vertex| format!("{} of {} tasks of '{}'", vertex.running, vertex.parallelism, vertex.name));
    format!("the job is {}, {} run", job.state, of.collect::<Vec<_>>().join(", "))
}
