//! The events of a Spark event log that are read, with their original names. Times are in ms since
//! 1970 unless noted otherwise.
//!
//! Invariant: an event holds no text and no list longer than its line.

use std::borrow::Cow;

use serde::Deserialize;

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
    #[serde(rename = "Executor Info")]
    pub(super) info: ExecutorInfo,
}

#[derive(Debug, Deserialize)]
pub(super) struct ExecutorInfo {
    #[serde(rename = "Total Cores")]
    pub(super) cores: u64,
}

/// `SparkListenerJobStart`
#[derive(Debug, Deserialize)]
pub(super) struct JobStart {
    #[serde(rename = "Job ID")]
    pub(super) job: u64,
    #[serde(rename = "Submission Time")]
    pub(super) at: u64,
    #[serde(rename = "Stage IDs", default)]
    pub(super) stages: Vec<u64>,
}

/// `SparkListenerJobEnd`
#[derive(Debug, Deserialize)]
pub(super) struct JobEnd {
    #[serde(rename = "Job ID")]
    pub(super) job: u64,
    #[serde(rename = "Completion Time")]
    pub(super) at: u64,
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
    #[serde(rename = "Submission Time")]
    pub(super) submitted: Option<u64>,
}

/// `SparkListenerTaskStart` and `SparkListenerTaskEnd`
#[derive(Debug, Deserialize)]
pub(super) struct TaskEvent<'l> {
    #[serde(rename = "Stage ID")]
    pub(super) stage: u64,
    #[serde(rename = "Task Info", borrow)]
    pub(super) info: TaskInfo<'l>,
    #[serde(rename = "Task Metrics")]
    pub(super) metrics: Option<TaskMetrics>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TaskInfo<'l> {
    #[serde(rename = "Task ID")]
    pub(super) task: u64,
    #[serde(rename = "Launch Time")]
    pub(super) launch: u64,
    #[serde(rename = "Executor ID", borrow)]
    pub(super) executor: Cow<'l, str>,
    /// When the driver started to fetch a result that is too large to be sent with the task's end;
    /// 0 if it did not.
    #[serde(rename = "Getting Result Time", default)]
    pub(super) fetching: u64,
    /// 0 while it is running.
    #[serde(rename = "Finish Time", default)]
    pub(super) finish: u64,
}

#[derive(Debug, Default, Deserialize)]
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

#[derive(Debug, Default, Deserialize)]
pub(super) struct ShuffleRead {
    #[serde(rename = "Fetch Wait Time", default)]
    pub(super) wait: u64,
    #[serde(rename = "Total Records Read", default)]
    pub(super) records: u64,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ShuffleWrite {
    /// In ns.
    #[serde(rename = "Shuffle Write Time", default)]
    pub(super) time: u64,
    #[serde(rename = "Shuffle Records Written", default)]
    pub(super) records: u64,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Input {
    #[serde(rename = "Records Read", default)]
    pub(super) records: u64,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Output {
    #[serde(rename = "Records Written", default)]
    pub(super) records: u64,
}
