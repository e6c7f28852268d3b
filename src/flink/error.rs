//! What can go wrong between the host and a cluster: an error says which request, what was expected and what was found.

use std::fmt;

use serde_json::Value;

use super::link::LinkError;

/// The most characters that are repeated of what a cluster says.
const MOST_SAID: usize = 240;

/// A request that did not give what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestError {
    /// Method and path.
    pub request: String,
    /// What is wrong.
    pub kind: RestErrorKind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestErrorKind {
    /// There is no answer.
    Link(LinkError),
    /// The cluster refuses.
    Status {
        /// Status of HTTP.
        status: u16,
        /// What it says, in one line.
        says: String,
    },
    /// The answer is not what was expected.
    Unexpected {
        /// What was.
        expected: String,
        /// What was found.
        found: String,
    },
}

impl RestError {
    /// Whether the same request may succeed in a while.
    pub fn may_pass(&self) -> bool {
        match &self.kind {
            RestErrorKind::Link(LinkError::Unreachable(_) | LinkError::TimedOut(_)) => true,
            RestErrorKind::Link(_) => false,
            RestErrorKind::Status { status, .. } => !matches!(status, 400..=499),
            RestErrorKind::Unexpected { .. } => true,
        }
    }

    /// Whether the cluster does not know what was asked for: 404, or what Flink answers for finished jobs.
    pub fn is_unknown(&self) -> bool {
        match &self.kind {
            RestErrorKind::Status { status: 404, .. } => true,
            RestErrorKind::Status { says, .. } => says.contains("FlinkJobNotFoundException") || says.contains("Could not find Flink job"),
            _ => false,
        }
    }

    /// Whether a recorded session ends here, because the driver was killed.
    pub fn is_end_of_session(&self) -> bool {
        matches!(&self.kind, RestErrorKind::Link(LinkError::SessionOver))
    }
}

impl fmt::Display for RestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.request)?;
        match &self.kind {
            RestErrorKind::Link(why) => write!(f, "{why}"),
            RestErrorKind::Status { status: status @ (401 | 403), says } => {
                write!(f, "expected to be allowed, found status {status} ({says}): is the right credential in the environment?")
            }
            RestErrorKind::Status { status, says } => write!(f, "status {status}: {says}"),
            RestErrorKind::Unexpected { expected, found } => write!(f, "expected {expected}, found {found}"),
        }
    }
}

impl std::error::Error for RestError {}

/// Text of a cluster as far as it fits on a line of a terminal: no control characters, not too long.
pub(super) fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_SAID).collect();
    plain.trim().to_owned()
}

/// The useful line of an answer that refuses.
pub(super) fn says(body: &str) -> String {
    let of_value = |value: Value| {
        let errors = value.get("errors")?.as_array()?;
        let last = errors.iter().rev().find_map(Value::as_str)?;
        // At 500 the first line says on which side it was.
        let line = last.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("<Exception on server side"))?;
        let line = match line.split_once("Exception: ") {
            Some((class, rest)) if class.starts_with("org.apache.") && !class.contains(' ') => rest,
            _ => line,
        };
        Some(one_line(line))
    };
    let value = serde_json::from_str(body).ok().and_then(of_value);
    value.unwrap_or_else(|| if body.trim_start().starts_with('<') { "a page of HTML".to_owned() } else { one_line(body) })
}

/// What an answer looks like, for an error.
pub(super) fn found(body: &str) -> String {
    let start = body.trim_start();
    match start.chars().next() {
        None => "nothing".to_owned(),
        Some('<') => "a page of HTML or XML: is this the REST interface of a Flink cluster?".to_owned(),
        _ => format!("'{}'", one_line(&start.chars().take(60).collect::<String>())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cluster_says_is_one_useful_line() {
        for (body, expected) in [
            (
                r#"{"errors":["org.apache.flink.runtime.rest.handler.RestHandlerException: Job vertex [0] was not found in the JobGraph.\n\tat x"]}"#,
                "Job vertex [0] was not found in the JobGraph.",
            ),
            (
                r#"{"errors":["Internal server error.","<Exception on server side:\norg.apache.flink.runtime.messages.FlinkJobNotFoundException: Could not find Flink job (7)\n\tat .."]}"#,
                "Could not find Flink job (7)",
            ),
            (r#"{"errors":["Unable to load requested file /nope."]}"#, "Unable to load requested file /nope."),
            ("<html><body>502", "a page of HTML"),
            ("", ""),
            ("{\"errors\":[]}", "{\"errors\":[]}"),
            ("\u{1b}[31mred\r\n", "[31mred"),
        ] {
            assert_eq!(says(body), expected, "{body}");
        }
        assert!(says(&"x".repeat(100_000)).len() <= MOST_SAID);
        assert_eq!(found("  "), "nothing");
        assert!(found("<!doctype html>").contains("HTML"));
    }
}
