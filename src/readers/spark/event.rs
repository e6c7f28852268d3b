//! The events of a Spark event log that are read, with their original names. Times are in ms since
//! 1970 unless noted otherwise.
//!
//! Invariant: an event holds no text and no list longer than its line.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::error::{Oddities, excerpt};

/// What was expected, for an error, and what was found.
pub(super) type Refused = (String, String);

/// In ns.
pub(super) const MILLISECOND: u64 = 1_000_000;

/// The events that are read; of others only their kind.
const READ: [&str; 8] = [
    "SparkListenerExecutorAdded",
    "SparkListenerExecutorRemoved",
    "SparkListenerJobStart",
    "SparkListenerJobEnd",
    "SparkListenerStageSubmitted",
    "SparkListenerStageCompleted",
    "SparkListenerTaskStart",
    "SparkListenerTaskEnd",
];

/// The kind of event of a line that may be damaged further on: Spark writes it first.
fn event_of(line: &[u8]) -> Option<&[u8]> {
    let rest = line.trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start().strip_prefix(b"\"Event\"")?;
    let rest = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    rest.iter().position(|&byte| byte == b'"').map(|end| &rest[..end])
}

/// Whether a line ends within its JSON.
pub(super) fn is_cut_off(line: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(line).is_err_and(|error| error.is_eof())
}

/// What every line should be.
pub(super) const EVENT: &str = "a JSON object with an Event";

/// The name of the event of a line, which need not be JSON otherwise if events of this name are read;
/// none if the line is skipped. `any`: whether there was an event before.
///
/// # Errors
/// If the line is needed and damaged.
pub(super) fn event_name<'l>(line: &'l [u8], any: bool, oddities: &mut Oddities) -> Result<Option<Cow<'l, str>>, Refused> {
    // Most lines begin with such a name: they are parsed only once.
    let first = event_of(line);
    if let Some(read) = READ.iter().find(|read| first == Some(read.as_bytes())) {
        return Ok(Some(Cow::Borrowed(read)));
    }
    match json(line, EVENT) {
        Ok(Named { event }) => Ok(Some(event)),
        Err(_) if first.is_some() => {
            oddities.count("damaged lines of events that are not read, skipped");
            Ok(None)
        }
        Err(_) if any => {
            oddities.count("lines that hold no event, skipped");
            Ok(None)
        }
        Err(refused) => Err(refused),
    }
}

/// The event of a line.
///
/// # Errors
/// With what was `expected`.
pub(super) fn json<'l, T: Deserialize<'l>>(line: &'l [u8], expected: &str) -> Result<T, Refused> {
    serde_json::from_slice(line).map_err(|error| (expected.to_owned(), format!("{} ({error})", excerpt(line))))
}

/// Fields of every event.
#[derive(Debug, Deserialize)]
pub(super) struct Named<'l> {
    #[serde(rename = "Event", borrow)]
    pub(super) event: Cow<'l, str>,
}

/// `SparkListenerExecutorAdded`
#[derive(Debug, Deserialize)]
pub(super) struct ExecutorAdded<'l> {
    #[serde(rename = "Executor ID", borrow)]
    pub(super) executor: Cow<'l, str>,
    #[serde(rename = "Executor Info", borrow)]
    pub(super) info: ExecutorInfo<'l>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ExecutorInfo<'l> {
    #[serde(rename = "Total Cores")]
    pub(super) cores: u64,
    #[serde(rename = "Host", borrow, default)]
    pub(super) host: Cow<'l, str>,
}

/// `SparkListenerExecutorRemoved`
#[derive(Debug, Deserialize)]
pub(super) struct ExecutorRemoved<'l> {
    #[serde(rename = "Executor ID", borrow)]
    pub(super) executor: Cow<'l, str>,
    #[serde(rename = "Timestamp")]
    pub(super) at: u64,
}

/// `SparkListenerJobStart`
#[derive(Debug, Deserialize)]
pub(super) struct JobStart<'l> {
    #[serde(rename = "Job ID")]
    pub(super) job: u64,
    /// Not in logs of Spark 1.2 and earlier.
    #[serde(rename = "Submission Time", default)]
    pub(super) at: Option<u64>,
    #[serde(rename = "Stage IDs", default)]
    pub(super) stages: Vec<u64>,
    #[serde(rename = "Stage Infos", borrow, default)]
    pub(super) infos: Vec<StageInfo<'l>>,
}

/// `SparkListenerJobEnd`
#[derive(Debug, Deserialize)]
pub(super) struct JobEnd {
    #[serde(rename = "Job ID")]
    pub(super) job: u64,
    /// Not in logs of Spark 1.2 and earlier.
    #[serde(rename = "Completion Time", default)]
    pub(super) at: Option<u64>,
}

/// `SparkListenerStageSubmitted` and `SparkListenerStageCompleted`
#[derive(Debug, Deserialize)]
pub(super) struct StageEvent<'l> {
    #[serde(rename = "Stage Info", borrow)]
    pub(super) info: StageInfo<'l>,
}

#[derive(Debug, Deserialize)]
pub(super) struct StageInfo<'l> {
    #[serde(rename = "Stage ID")]
    pub(super) stage: u64,
    #[serde(rename = "Stage Name", borrow, default)]
    pub(super) name: Cow<'l, str>,
    #[serde(rename = "Submission Time", default)]
    pub(super) submitted: Option<u64>,
    #[serde(rename = "Completion Time", default)]
    pub(super) completed: Option<u64>,
}

/// `SparkListenerTaskStart` and `SparkListenerTaskEnd`
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct TaskEvent<'l> {
    #[serde(rename = "Stage ID")]
    pub(super) stage: u64,
    #[serde(rename = "Task Info", borrow)]
    pub(super) info: TaskInfo<'l>,
    #[serde(rename = "Task End Reason", borrow, default)]
    pub(super) reason: EndReason<'l>,
    #[serde(rename = "Task Metrics", default)]
    pub(super) metrics: Option<TaskMetrics>,
}

impl TaskEvent<'_> {
    /// Whether what the ended task did was in vain.
    pub(super) fn is_lost(&self) -> bool {
        self.info.failed || self.info.killed || !matches!(self.reason.reason.as_ref(), "" | "Success")
    }
}

/// Why a task ended.
#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct EndReason<'l> {
    /// `Success`; empty at its start.
    #[serde(rename = "Reason", borrow, default)]
    pub(super) reason: Cow<'l, str>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct TaskInfo<'l> {
    #[serde(rename = "Task ID")]
    pub(super) task: u64,
    #[serde(rename = "Launch Time")]
    pub(super) launch: u64,
    #[serde(rename = "Executor ID", borrow)]
    pub(super) executor: Cow<'l, str>,
    #[serde(rename = "Host", borrow, default)]
    pub(super) host: Cow<'l, str>,
    #[serde(rename = "Speculative", default)]
    pub(super) speculative: bool,
    #[serde(rename = "Failed", default)]
    pub(super) failed: bool,
    #[serde(rename = "Killed", default)]
    pub(super) killed: bool,
    /// When the driver started to fetch a result that is too large to be sent with the task's end;
    /// 0 if it did not.
    #[serde(rename = "Getting Result Time", default)]
    pub(super) fetching: u64,
    /// 0 while it is running.
    #[serde(rename = "Finish Time", default)]
    pub(super) finish: u64,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct TaskMetrics {
    #[serde(rename = "Executor Deserialize Time", default)]
    pub(super) deserialize: u64,
    /// Including shuffle reads and writes.
    #[serde(rename = "Executor Run Time", default)]
    pub(super) run: u64,
    #[serde(rename = "Result Serialization Time", default)]
    pub(super) serialize: u64,
    #[serde(rename = "Shuffle Read Metrics", default)]
    pub(super) read: ShuffleRead,
    #[serde(rename = "Shuffle Write Metrics", default)]
    pub(super) write: ShuffleWrite,
    #[serde(rename = "Input Metrics", default)]
    pub(super) input: Input,
    #[serde(rename = "Output Metrics", default)]
    pub(super) output: Output,
}

impl TaskMetrics {
    /// Everything that was measured of the task, in ns.
    pub(super) fn measured(&self) -> u64 {
        self.deserialize.saturating_add(self.run).saturating_add(self.serialize).saturating_mul(1_000_000)
    }
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct ShuffleRead {
    #[serde(rename = "Fetch Wait Time", default)]
    pub(super) wait: u64,
    #[serde(rename = "Total Records Read", default)]
    pub(super) records: u64,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct ShuffleWrite {
    /// In ns.
    #[serde(rename = "Shuffle Write Time", default)]
    pub(super) time: u64,
    #[serde(rename = "Shuffle Records Written", default)]
    pub(super) records: u64,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Input {
    #[serde(rename = "Records Read", default)]
    pub(super) records: u64,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Output {
    #[serde(rename = "Records Written", default)]
    pub(super) records: u64,
}
