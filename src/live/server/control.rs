//! Requests that change the run: who may make them, how often, and what they say.
//!
//! A request is a `POST` of a JSON object to `/api/control` with the token in the header [`TOKEN_HEADER`]. A page of another site
//! can send neither that header nor a foreign `Origin` past the checks of every request, and the token is never part of a page, an answer or
//! an address that is sent. Whether one is right is found out in constant time. Each of the two kinds of sender, with and without
//! the token, has a rate of its own, so that guessing does not keep the owner out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use crate::controller::{Command, Request};
use crate::dataflow::Topology;
use crate::experiment::commands::{Commander, Unheard};
use crate::id::OperatorId;
use crate::policy::read_changes;

/// The header with the token.
pub const TOKEN_HEADER: &str = "x-thalweg-token";
/// Bytes of a request at most.
pub(super) const MOST_BYTES: usize = 4096;
/// Requests a second, in the long run.
const PER_SECOND: f64 = 5.0;
/// Requests at once.
const AT_ONCE: f64 = 10.0;
/// Characters of a name.
const MOST_NAME: usize = 40;

/// Steers a run on behalf of those who have its token.
#[derive(Debug)]
pub struct Control {
    token: String,
    topology: Topology,
    to: Commander,
    /// Of those with the token, and of others.
    rates: [Mutex<Bucket>; 2],
}

/// An answer in one line: refused, with the reason.
pub(super) type Refused = (StatusCode, String);

impl Control {
    /// Steers the run of `topology` that `to` leads to, with a new token.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn new(topology: Topology, to: Commander) -> std::io::Result<Arc<Control>> {
        let mut bytes = [0; 16];
        getrandom::getrandom(&mut bytes)?;
        let token = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Arc::new(Control { token, topology, to, rates: [Mutex::new(Bucket::full()), Mutex::new(Bucket::full())] }))
    }

    /// What has to be sent with every request.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Whether somebody who sends `token` may make a request now.
    pub(super) fn admit(&self, token: Option<&[u8]>) -> Result<(), Refused> {
        let is_right = bool::from(self.token.as_bytes().ct_eq(token.unwrap_or_default()));
        let rate = &self.rates[usize::from(!is_right)];
        if !rate.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) {
            let why = format!("expected at most {PER_SECOND} requests per second, found more");
            return Err((StatusCode::TOO_MANY_REQUESTS, why));
        }
        if is_right {
            return Ok(());
        }
        let why = format!("expected the token that the run printed at its start in the header '{TOKEN_HEADER}'");
        Err((StatusCode::UNAUTHORIZED, why))
    }

    /// Takes a request of somebody at `address`, who was admitted.
    pub(super) fn take(&self, body: &[u8], address: &str) -> Result<(), Refused> {
        let wrong = |why: String| (StatusCode::BAD_REQUEST, why);
        let asked: Asked = serde_json::from_slice(body).map_err(|why| wrong(format!("expected a JSON object with a command: {why}")))?;
        let command = self.command(&asked).map_err(wrong)?;
        let name: String = asked.who.chars().filter(|c| !c.is_control()).take(MOST_NAME).collect();
        let who = if name.trim().is_empty() { address.to_owned() } else { format!("{} ({address})", name.trim()) };
        self.to.ask(Request { who, command }).map_err(|why| {
            let status = if why == Unheard::Full { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::GONE };
            (status, why.to_string())
        })
    }

    fn command(&self, asked: &Asked) -> Result<Command, String> {
        match asked.command.as_str() {
            "pause" => Ok(Command::Pause),
            "resume" => Ok(Command::Resume),
            "hold" => Ok(Command::Hold { operator: self.operator(asked)? }),
            "release" => Ok(Command::Release { operator: self.operator(asked)? }),
            "apply" => {
                let plan = asked.plan.as_deref().ok_or("plan: expected changes such as 'count=8, flatmap=4', found none")?;
                Ok(Command::Apply { plan: read_changes(plan, &self.topology).map_err(|why| format!("plan: {why}"))? })
            }
            "goal" => match asked.goal_ms {
                Some(goal_ms) if (0.0..=1e9).contains(&goal_ms) => Ok(Command::Goal { goal_ms }),
                Some(other) => Err(format!("goal_ms: expected 0 to 1e9, found {other}")),
                None => Err("goal_ms: expected milliseconds, or 0 for no goal, found none".to_owned()),
            },
            other => Err(format!("command: expected 'pause', 'resume', 'hold', 'release', 'apply' or 'goal', found '{other}'")),
        }
    }

    fn operator(&self, asked: &Asked) -> Result<OperatorId, String> {
        let found = asked.operator.as_deref().unwrap_or_default();
        self.topology.scalable().find(|operator| operator.name == found).map(|operator| operator.id).ok_or_else(|| {
            let names: Vec<String> = self.topology.scalable().map(|operator| format!("'{}'", operator.name)).collect();
            format!("operator: expected one of {}, found '{found}'", names.join(", "))
        })
    }
}

/// What a request says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    command: String,
    #[serde(default)]
    operator: Option<String>,
    #[serde(default)]
    plan: Option<String>,
    #[serde(default)]
    goal_ms: Option<f64>,
    #[serde(default)]
    who: String,
}

/// Requests that may be made now; they grow by [`PER_SECOND`] up to [`AT_ONCE`].
#[derive(Debug)]
struct Bucket {
    left: f64,
    since: Option<Instant>,
}

impl Bucket {
    fn full() -> Bucket {
        Bucket { left: AT_ONCE, since: None }
    }

    /// Takes one, if there is one.
    fn take(&mut self, now: Instant) -> bool {
        let passed = self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.since = Some(now);
        self.left = (self.left + passed.as_secs_f64() * PER_SECOND).min(AT_ONCE);
        let is_there = self.left >= 1.0;
        self.left -= f64::from(u8::from(is_there));
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_at_once_and_five_per_second() {
        let (mut bucket, start) = (Bucket::full(), Instant::now());
        let admitted = |bucket: &mut Bucket, from_ms: u64, number: u64| {
            (0..number).filter(|one| bucket.take(start + Duration::from_millis(from_ms + one * 1000 / number))).count()
        };
        assert_eq!(admitted(&mut bucket, 0, 20), 14, "ten, and those that come back within the second");
        assert_eq!(admitted(&mut bucket, 1000, 20), 5);
        assert_eq!(admitted(&mut bucket, 60_000, 5), 5);
    }
}
