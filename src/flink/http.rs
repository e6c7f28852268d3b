//! A link over HTTP: blocking, one request at a time, with a bound on everything.

use std::io::Read as _;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use ureq::Agent;

use super::address::{Address, Credentials};
use super::link::{Answer, Link, LinkError, Method, Request};
use crate::time::Timestamp;

/// The largest answer: a job of 20,000 subtasks needs less.
const MOST_BYTES: u64 = 8 << 20;
/// How often a wait looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// A cluster that is reached over HTTP.
pub struct HttpLink {
    agent: Agent,
    address: Address,
    credentials: Credentials,
    timeout: Duration,
    began: Instant,
    ends: Box<dyn Fn() -> bool>,
    /// Nothing is ever sent: it makes a wait with a time-out.
    never: (Sender<()>, Receiver<()>),
}

impl HttpLink {
    /// A link to `address`. No answer is waited for longer than `timeout`; waits end early once `ends` says so.
    pub fn new(address: Address, credentials: Credentials, timeout: Duration, ends: impl Fn() -> bool + 'static) -> HttpLink {
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("thalweg/", env!("CARGO_PKG_VERSION")))
            // A cluster is not reached through whatever proxy the environment names.
            .proxy(None)
            .build();
        // The only clock of this host: its values go out with answers and waits.
        #[allow(clippy::disallowed_methods)]
        let began = Instant::now();
        HttpLink { agent: config.into(), address, credentials, timeout, began, ends: Box::new(ends), never: mpsc::channel() }
    }

    fn now(&self) -> Timestamp {
        #[allow(clippy::disallowed_methods)]
        let elapsed = self.began.elapsed();
        Timestamp::ZERO + elapsed
    }

    fn error(&self, error: ureq::Error) -> LinkError {
        match error {
            ureq::Error::Timeout(_) => LinkError::TimedOut(self.timeout.as_secs()),
            ureq::Error::BodyExceedsLimit(limit) => LinkError::TooLarge(limit),
            ureq::Error::Io(why) if why.kind() == std::io::ErrorKind::TimedOut => LinkError::TimedOut(self.timeout.as_secs()),
            ureq::Error::Io(why) => LinkError::Unreachable(why.to_string()),
            ureq::Error::HostNotFound => LinkError::Unreachable("the host is not known".to_owned()),
            ureq::Error::ConnectionFailed => LinkError::Unreachable("the connection failed".to_owned()),
            ureq::Error::Rustls(why) => LinkError::Unreachable(format!("TLS: {why}")),
            // What other errors say may quote a request.
            _ => LinkError::Unreachable("expected HTTP, found something else".to_owned()),
        }
    }
}

impl Link for HttpLink {
    fn ask(&mut self, request: &Request) -> Result<Answer, LinkError> {
        let address = self.address.of(&request.path);
        let secret = self.credentials.header();
        let sent = match (request.method, &request.body) {
            (Method::Get, _) => {
                let plain = self.agent.get(&address).header("Accept", "application/json");
                secret.iter().fold(plain, |plain, secret| plain.header("Authorization", *secret)).call()
            }
            (method, body) => {
                let plain = if method == Method::Put { self.agent.put(&address) } else { self.agent.post(&address) };
                let plain = plain.header("Content-Type", "application/json").header("Accept", "application/json");
                let plain = secret.iter().fold(plain, |plain, secret| plain.header("Authorization", *secret));
                plain.send(body.as_deref().unwrap_or_default())
            }
        };
        let mut answer = sent.map_err(|error| self.error(error))?;
        let status = answer.status().as_u16();
        if (300..400).contains(&status) {
            return Err(LinkError::Redirected(status));
        }
        let mut bytes = Vec::new();
        let mut body = answer.body_mut().as_reader().take(MOST_BYTES + 1);
        body.read_to_end(&mut bytes).map_err(|why| match why.kind() {
            std::io::ErrorKind::TimedOut => LinkError::TimedOut(self.timeout.as_secs()),
            _ => self.error(ureq::Error::from(why)),
        })?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(LinkError::TooLarge(MOST_BYTES));
        }
        let body = String::from_utf8(bytes).map_err(|_| LinkError::NotText)?;
        // A proxy may show what it was sent; but a short password may also be a part of some word.
        let body = self.credentials.without_secrets(body, if (200..300).contains(&status) { 8 } else { 1 });
        Ok(Answer { status, body, at: self.now() })
    }

    fn wait(&mut self, at: Timestamp) -> Option<Timestamp> {
        loop {
            let now = self.now();
            if (self.ends)() {
                return None;
            }
            if now >= at {
                return Some(now);
            }
            let _ = self.never.1.recv_timeout(at.since(now).min(LOOK));
        }
    }
}
