//! How the host reaches a cluster: one request at a time, and the time that passes between them.
//!
//! Real clusters are reached through [`HttpLink`](super::HttpLink); a recorded session and a fake one of
//! the tests answer through the same trait. Invariant: whoever uses a link learns the time from it
//! alone, so that the same answers at the same times lead to the same decisions.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Reads, and changes nothing.
    Get,
    /// Triggers a checkpoint.
    Post,
    /// Sets the bounds of vertices.
    Put,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
        })
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it does.
    pub method: Method,
    /// The path, from the root of the REST interface, with its query.
    pub path: String,
    /// JSON, if there is any.
    pub body: Option<String>,
}

impl Request {
    /// Reads `path`.
    pub fn get(path: impl Into<String>) -> Request {
        Request { method: Method::Get, path: path.into(), body: None }
    }
}

/// An answer, of whatever status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status of HTTP.
    pub status: u16,
    /// Its text.
    pub body: String,
    /// When it was there.
    pub at: Timestamp,
}

/// Why there is no answer. None of these has a part of a credential or of an address in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkError {
    /// Nobody answers.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("no answer within {0} s")]
    TimedOut(u64),
    /// The answer is larger than any that is expected.
    #[error("expected an answer of at most {0} bytes, found a longer one")]
    TooLarge(u64),
    /// The answer is no text.
    #[error("expected an answer in UTF-8, found something else")]
    NotText,
    /// The request was sent elsewhere; a credential must not follow.
    #[error("expected an answer, found a redirect (status {0}): give the address that it leads to")]
    Redirected(u16),
    /// A recorded session ends here.
    #[error("the recorded session ends here")]
    SessionOver,
    /// A recorded session has another request here, or a wait.
    #[error("expected {expected}, found the request {found}: the session was recorded with other options or by another version")]
    Diverged {
        /// What was recorded.
        expected: String,
        /// What was asked.
        found: String,
    },
}

/// Answers requests, and lets time pass.
pub trait Link {
    /// Sends a request and waits for its answer, no longer than the link's time-out.
    ///
    /// # Errors
    /// When there is none that can be used.
    fn ask(&mut self, request: &Request) -> Result<Answer, LinkError>;

    /// Waits until `at`; gives the time then, which may be later. `None`: it is time to end.
    fn wait(&mut self, at: Timestamp) -> Option<Timestamp>;
}
