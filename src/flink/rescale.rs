//! One rescale: a request that names every vertex, a look until all tasks run as requested, and the way back if they do not.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::RestError;
use super::job::{Hex, Job};
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
    /// Instances by vertex before.
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
    /// Checks that the job is still as it was, requests, and waits.
    ///
    /// # Errors
    /// When the cluster refuses to be asked at all, as opposed to not answering.
    pub fn carry_out(&self, rest: &mut Rest<'_>) -> Result<Outcome, RestError> {
        match self.check(rest) {
            Ok(None) => {}
            Ok(Some(why)) => return Ok(Outcome::NotBegun(why)),
            Err(error) => return Ok(Outcome::NotBegun(error.to_string())),
        }
        if rest.allowed().trigger && !self.checkpoint(rest) {
            return Ok(Outcome::Stopped);
        }
        let began = rest.now();
        if let Err(error) = rest.require(self.job, self.wanted) {
            // An answer may be lost after the request was taken.
            let taken = error.may_pass() && self.uppers(rest).is_ok_and(|uppers| uppers == *self.wanted);
            if !taken {
                return Ok(self.back(rest, error.to_string(), None));
            }
        }
        Ok(match self.until(rest, self.wanted) {
            Waited::Reached(job) => Outcome::Reached(job, rest.now().since(began)),
            Waited::Ended(job) => Outcome::Ended(job),
            Waited::Stopped => Outcome::Stopped,
            Waited::Overwritten(asked, job) => {
                Outcome::NotReached { why: "something else requested another configuration".to_owned(), asked, job }
            }
            Waited::TimedOut(job) => {
                let tasks = job.as_ref().map_or("no answer".to_owned(), running_of);
                self.back(rest, format!("not reached within {} s: {tasks}", self.timeout.as_secs()), job)
            }
        })
    }

    /// Whether the job is as the policy saw it; otherwise why not.
    fn check(&self, rest: &mut Rest<'_>) -> Result<Option<String>, RestError> {
        let job = rest.job(self.job)?;
        if !job.is_running() || job.parallelism() != *self.before {
            return Ok(Some("the job changed meanwhile".to_owned()));
        }
        Ok((self.uppers(rest)? != *self.asked).then(|| "something else requested another configuration meanwhile".to_owned()))
    }

    fn uppers(&self, rest: &mut Rest<'_>) -> Result<BTreeMap<Hex, u32>, RestError> {
        Ok(rest.requirements(self.job)?.into_iter().map(|(id, bounds)| (id, bounds.upper)).collect())
    }

    /// Takes a checkpoint, from which the job then goes on: less is done twice. Whether to go on; without a checkpoint too.
    fn checkpoint(&self, rest: &mut Rest<'_>) -> bool {
        let newest = |rest: &mut Rest<'_>| rest.checkpoints(self.job).ok().and_then(|history| history.newest().map(|newest| newest.id));
        let before = newest(rest);
        if rest.trigger(self.job).is_err() {
            return true;
        }
        let until = rest.now() + self.timeout.min(MOST_FOR_CHECKPOINT);
        while newest(rest) <= before && rest.now() < until {
            let next = rest.now() + LOOK;
            if rest.wait(next).is_none() {
                return false;
            }
        }
        true
    }

    /// Waits until all tasks run as `wanted`.
    fn until(&self, rest: &mut Rest<'_>, wanted: &BTreeMap<Hex, u32>) -> Waited {
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
                if job.is_running() && job.parallelism() == *wanted {
                    return Waited::Reached(job);
                }
                last = Some(job);
            }
            if rest.now().since(looked) >= LOOK * 8 {
                looked = rest.now();
                if let Ok(uppers) = self.uppers(rest)
                    && uppers != *wanted
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

    /// Requests again what was before, and waits for it.
    fn back(&self, rest: &mut Rest<'_>, why: String, job: Option<Job>) -> Outcome {
        let asked = match self.uppers(rest) {
            // It was not taken, or something else came after it: there is nothing to take back.
            Ok(uppers) if uppers != *self.wanted => return Outcome::NotReached { why, asked: uppers, job },
            Ok(uppers) => uppers,
            Err(_) => self.wanted.clone(),
        };
        if let Err(error) = rest.require(self.job, self.before) {
            return Outcome::NotReached { why: format!("{why}; and the way back failed: {error}"), asked, job };
        }
        match self.until(rest, self.before) {
            Waited::Ended(job) => Outcome::Ended(job),
            Waited::Stopped => Outcome::Stopped,
            Waited::Reached(job) => Outcome::NotReached { why, asked: self.before.clone(), job: Some(job) },
            Waited::Overwritten(asked, job) => Outcome::NotReached { why, asked, job },
            Waited::TimedOut(job) => {
                Outcome::NotReached { why: format!("{why}; and the way back took too long"), asked: self.before.clone(), job }
            }
        }
    }
}

fn running_of(job: &Job) -> String {
    let of = job.vertices.iter().map(|vertex| format!("{} of {} tasks of '{}'", vertex.running, vertex.parallelism, vertex.name));
    format!("the job is {}, {} run", job.state, of.collect::<Vec<_>>().join(", "))
}
