//! Recorded sessions: every request of a driver with its answer, and every wait, so that the same decisions can be made again offline.
//!
//! A line of JSON each: first what the session is of, then requests and waits in order. There is no header
//! of a request in it, hence no credential, and of the JobManager's configuration only what the host looks at.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::link::{Answer, Link, LinkError, Request};
use crate::time::Timestamp;

/// The form of a session.
const VERSION: u32 = 1;
/// The longest line.
const MOST_LINE: u64 = 16 << 20;
/// Settings of a JobManager that are kept.
const KEPT: [&str; 2] = ["jobmanager.scheduler", "scheduler-mode"];

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The form.
    pub thalweg_flink_session: u32,
    /// Options of the driver by name, as it was started.
    pub options: Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    /// Time of the run when it was over, in ns.
    at: u64,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    Asked {
        request: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sent: Option<Value>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<Value>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<LinkError>,
    },
    Waited,
    Ended,
}

/// A link that is recorded.
pub struct Recording<W> {
    link: Box<dyn Link>,
    out: W,
    failed: Option<io::Error>,
}

impl<W: Write> Recording<W> {
    /// Records what goes over `link` to `out`; `options` are those of the driver.
    ///
    /// # Errors
    /// When nothing can be written.
    pub fn begin(link: Box<dyn Link>, mut out: W, options: Value) -> io::Result<Recording<W>> {
        let head = Head { thalweg_flink_session: VERSION, options };
        writeln!(out, "{}", serde_json::to_string(&head)?)?;
        Ok(Recording { link, out, failed: None })
    }

    fn write(&mut self, at: Timestamp, what: What) {
        if self.failed.is_none() {
            let line = serde_json::to_string(&Line { at: at.0, what }).map_err(io::Error::from);
            self.failed = line.and_then(|line| writeln!(self.out, "{line}")).and_then(|()| self.out.flush()).err();
        }
    }

    /// Ends the recording.
    ///
    /// # Errors
    /// When something could not be written.
    pub fn finish(mut self) -> io::Result<()> {
        match self.failed.take() {
            Some(why) => Err(why),
            None => self.out.flush(),
        }
    }
}

impl<W: Write> Link for Recording<W> {
    fn ask(&mut self, request: &Request) -> Result<Answer, LinkError> {
        let mut result = self.link.ask(request);
        let sent = request.body.as_ref().map(|body| serde_json::from_str(body).unwrap_or(Value::String(body.clone())));
        let asked = format!("{} {}", request.method, request.path);
        let (at, what) = match &mut result {
            Ok(answer) => {
                if request.path == "/jobmanager/config" {
                    answer.body = only_kept(&answer.body);
                }
                let body: Option<Value> = serde_json::from_str(&answer.body).ok();
                let text = body.is_none().then(|| answer.body.clone());
                (answer.at, What::Asked { request: asked, sent, status: Some(answer.status), body, text, error: None })
            }
            // The time of what failed is that of what succeeded last: the driver does not learn it.
            Err(error) => {
                (Timestamp::ZERO, What::Asked { request: asked, sent, status: None, body: None, text: None, error: Some(error.clone()) })
            }
        };
        self.write(at, what);
        result
    }

    fn wait(&mut self, at: Timestamp) -> Option<Timestamp> {
        let now = self.link.wait(at);
        self.write(now.unwrap_or(at), if now.is_some() { What::Waited } else { What::Ended });
        now
    }
}

/// The settings that the host looks at.
fn only_kept(body: &str) -> String {
    let Ok(Value::Array(mut entries)) = serde_json::from_str(body) else { return String::new() };
    entries.retain(|entry| entry.get("key").and_then(Value::as_str).is_some_and(|key| KEPT.contains(&key)));
    Value::Array(entries).to_string()
}

/// Why a text is no session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is not what it should be.
    #[error("line {line}: expected {expected}, found {found}")]
    Line {
        /// Its number, from 1 on.
        line: usize,
        /// What was expected.
        expected: &'static str,
        /// What was found.
        found: String,
    },
}

/// A recorded session, in place of a cluster.
pub struct Replay<R> {
    lines: R,
    number: usize,
    head: Head,
    damage: Option<SessionError>,
}

impl<R: BufRead> Replay<R> {
    /// Begins with a session.
    ///
    /// # Errors
    /// When the text does not begin like one.
    pub fn begin(lines: R) -> Result<Replay<R>, SessionError> {
        let head = Head { thalweg_flink_session: VERSION, options: Value::Null };
        let mut replay = Replay { lines, number: 0, head, damage: None };
        let first = replay.line()?.unwrap_or_default();
        let read = serde_json::from_str(&first).ok().filter(|head: &Head| head.thalweg_flink_session == VERSION);
        let expected = "a session that 'thalweg drive flink --record' has written";
        replay.head = read.ok_or_else(|| SessionError::Line { line: 1, expected, found: super::error::found(&first) })?;
        Ok(replay)
    }

    /// Options of the driver that was recorded.
    pub fn options(&self) -> &Value {
        &self.head.options
    }

    /// What is wrong with the session, if anything is: it ended there.
    pub fn damage(&mut self) -> Option<SessionError> {
        self.damage.take()
    }

    fn line(&mut self) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        io::Read::take(&mut self.lines, MOST_LINE).read_until(b'\n', &mut bytes)?;
        self.number += 1;
        Ok((!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).trim_end().to_owned()))
    }

    /// The next line; nothing at the end, and after damage.
    fn next(&mut self) -> Option<Line> {
        if self.damage.is_some() {
            return None;
        }
        let text = match self.line() {
            Ok(text) => text?,
            Err(why) => {
                self.damage = Some(why.into());
                return None;
            }
        };
        let line = serde_json::from_str(&text).ok();
        if line.is_none() {
            let expected = "a request or a wait";
            self.damage = Some(SessionError::Line { line: self.number, expected, found: super::error::found(&text) });
        }
        line
    }
}

impl<R: BufRead> Link for Replay<R> {
    fn ask(&mut self, request: &Request) -> Result<Answer, LinkError> {
        let found = format!("{} {}", request.method, request.path);
        let diverged = |expected: String| Err(LinkError::Diverged { expected, found: found.clone() });
        let at = match self.next() {
            None => return Err(LinkError::SessionOver),
            Some(Line { at, what: What::Asked { request: recorded, sent, status, body, text, error } }) => {
                let now_sent: Option<Value> = request.body.as_ref().and_then(|body| serde_json::from_str(body).ok());
                if recorded != found || sent != now_sent {
                    return diverged(format!("{recorded}{}", sent.map_or(String::new(), |sent| format!(" {sent}"))));
                }
                if let Some(error) = error {
                    return Err(error);
                }
                let body = body.map(|body| body.to_string()).or(text).unwrap_or_default();
                return Ok(Answer { status: status.unwrap_or(0), body, at: Timestamp(at) });
            }
            Some(Line { at, .. }) => at,
        };
        diverged(format!("a wait until {}", Timestamp(at)))
    }

    fn wait(&mut self, _at: Timestamp) -> Option<Timestamp> {
        match self.next()? {
            Line { at, what: What::Waited } => Some(Timestamp(at)),
            Line { what: What::Ended, .. } => None,
            Line { what: What::Asked { request, .. }, .. } => {
                let found = format!("a wait, but the recorded driver asked {request}");
                self.damage = Some(SessionError::Line { line: self.number, expected: "a wait as this driver makes it", found });
                None
            }
        }
    }
}
