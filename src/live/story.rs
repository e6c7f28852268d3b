//! The data of a page: what its front end reads, frozen in a file or over the network.
//!
//! Times are seconds of the run, rates records per second, latencies milliseconds from the due time,
//! shares 0 to 1. What was not measured is `null`. Windows and instances are arrays, since there are
//! many of them; their columns are named in the story.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// Version of the format; a front end refuses any other.
pub const VERSION: u32 = 1;

/// The columns of a [`Window`].
pub const WINDOW_COLUMNS: [&str; 11] = [
    "start_s",
    "end_s",
    "offered_per_s",
    "achieved_per_s",
    "lag_records",
    "p50_ms",
    "p99_ms",
    "max_ms",
    "records",
    "operators_left_out",
    "operators",
];
/// The columns of an [`OperatorAt`].
pub const OPERATOR_COLUMNS: [&str; 8] =
    ["operator", "instances", "busy", "external_wait", "backpressure", "queue_records", "processed_per_s", "true_per_instance_s"];
/// The columns of an [`InstanceAt`].
pub const INSTANCE_COLUMNS: [&str; 9] =
    ["operator", "instance", "worker", "busy", "external_wait", "backpressure", "queue_records", "processed_per_s", "true_per_s"];

/// A run, as much of it as there is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Story {
    /// `VERSION`.
    pub version: u32,
    /// Number of the last [`super::News`] that is in it.
    pub number: u64,
    /// What ran where.
    pub about: About,
    /// The operators, by number.
    pub operators: Vec<OperatorAbout>,
    /// Data dependencies, from one number to another.
    pub edges: Vec<(u32, u32)>,
    /// Edges that lead back.
    pub feedback: Vec<(u32, u32)>,
    /// `WINDOW_COLUMNS`.
    pub window_columns: [&'static str; 11],
    /// `OPERATOR_COLUMNS`.
    pub operator_columns: [&'static str; 8],
    /// `INSTANCE_COLUMNS`.
    pub instance_columns: [&'static str; 9],
    /// How many windows of the run a window here stands for; 1 if none was combined.
    pub windows_combined: usize,
    /// The windows, in order.
    pub windows: Vec<Window>,
    /// Instances at times, in order.
    pub instances: Vec<Instances>,
    /// Critical paths that decisions are based on, in order.
    pub paths: Vec<PathAt>,
    /// The latency goal that the policy names last, if any.
    pub goal_ms: Option<f64>,
    /// Plans, in order.
    pub decisions: Vec<Decision>,
    /// Periods without a plan.
    pub quiet: Vec<QuietSpan>,
    /// Why the policy changed nothing, in order; each until the next one or the next plan.
    pub held: Vec<HeldAt>,
    /// Migrations, in order.
    pub migrations: Vec<Migration>,
    /// Warnings, in order of their start.
    pub warnings: Vec<Warning>,
    /// What a person keeps from the policy.
    pub steered: SteeredBy,
    /// Counts of the sequential comparison at the end, and other totals of the run.
    pub totals: BTreeMap<String, f64>,
    /// Of an analysis: what it says of the trace so far.
    pub diagnosis: Option<Diagnosis>,
}

/// What the analysis of a trace says in the end, or would say if the trace ended now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The cause, such as `under-provisioned`.
    pub cause: String,
    /// What rests on which numbers, and what to do.
    pub text: String,
}

/// What a person keeps from the policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SteeredBy {
    /// Who paused the controller, if it is paused.
    pub paused_by: Option<String>,
    /// Names of operators that are held, with who holds them.
    pub held_by: BTreeMap<String, String>,
}

/// What ran where.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct About {
    /// What it is called.
    pub title: String,
    /// The policy.
    pub policy: String,
    /// The host of the job.
    pub host: String,
    /// The seed.
    pub seed: u64,
    /// How long it lasts.
    pub seconds: f64,
    /// How plans are carried out.
    pub strategy: String,
    /// Revision of the program.
    pub revision: String,
    /// The machine.
    pub machine: String,
    /// The command.
    pub command: String,
    /// When it began, UTC.
    pub started_utc: String,
    /// Whether it goes on.
    pub state: State,
    /// What the reader should know of the data: what is missing and why.
    pub notes: Vec<String>,
    /// Whether it is the analysis of a trace: nothing decides, and paths are those of whole windows.
    pub is_analysis: bool,
}

/// Whether a run goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It does.
    #[default]
    Running,
    /// It came to its end.
    Finished,
    /// Somebody interrupted it, or it failed.
    Interrupted,
}

/// An operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OperatorAbout {
    /// Its name.
    pub name: String,
    /// `source`, `stateless`, `keyed` or `sink`; empty if unknown.
    pub role: &'static str,
    /// Bins of a keyed one.
    pub bins: Option<u32>,
    /// Whether a policy may rescale it.
    pub scalable: bool,
    /// Its maximum parallelism, if known.
    pub max_parallelism: Option<u32>,
}

/// The job over a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// Start.
    pub start_s: f64,
    /// End.
    pub end_s: f64,
    /// Records due, of all sources together.
    pub offered_per_s: f64,
    /// Records emitted.
    pub achieved_per_s: f64,
    /// Records due but not emitted at the end.
    pub lag_records: f64,
    /// Median latency.
    pub p50_ms: Option<f64>,
    /// 99th percentile; of combined windows the largest.
    pub p99_ms: Option<f64>,
    /// Maximum.
    pub max_ms: Option<f64>,
    /// Records that reached a sink.
    pub records: u64,
    /// Operators without a figure here, because there are too many.
    pub left_out: usize,
    /// The operators, by number; the busiest ones of a large job.
    pub operators: Vec<OperatorAt>,
}

/// An operator over a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OperatorAt {
    /// Its number.
    pub operator: u32,
    /// Its instances.
    pub instances: u32,
    /// Mean useful share.
    pub busy: f64,
    /// Mean share of external waits.
    pub external_wait: f64,
    /// Mean share for which an instance paused the sources.
    pub backpressure: f64,
    /// Records queued at the end.
    pub queue_records: u64,
    /// Records processed.
    pub processed_per_s: f64,
    /// True rate of an instance, on average.
    pub true_per_instance_s: Option<f64>,
}

/// An instance over a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct InstanceAt {
    /// Number of its operator.
    pub operator: u32,
    /// Its index.
    pub instance: u32,
    /// Its worker.
    pub worker: Option<u32>,
    /// Useful share.
    pub busy: f64,
    /// Share of external waits.
    pub external_wait: f64,
    /// Share for which it paused the sources.
    pub backpressure: f64,
    /// Records queued at the end.
    pub queue_records: u64,
    /// Records processed.
    pub processed_per_s: f64,
    /// True rate: records per useful second.
    pub true_per_s: Option<f64>,
}

/// The instances over one window.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Instances {
    /// End of the window.
    pub end_s: f64,
    /// By operator and instance.
    pub rows: Vec<InstanceAt>,
}

/// Critical paths at a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PathAt {
    /// End of the window that they are of.
    pub at_s: f64,
    /// The parts, the largest first.
    pub parts: Vec<PathPart>,
}

/// A part of critical paths.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PathPart {
    /// Its kind, such as `queueing`.
    pub kind: String,
    /// The operator's name, or empty.
    pub operator: String,
    /// Its share of the latency.
    #[serde(serialize_with = "short")]
    pub share: f64,
    /// Its mean.
    #[serde(serialize_with = "short")]
    pub mean_ms: f64,
    /// What is predicted for it under the plan.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "short_if_any")]
    pub predicted_ms: Option<f64>,
    /// In words, such as `queueing at count`.
    pub text: String,
}

/// A plan, from what was seen to what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Decision {
    /// Its number, from 1.
    pub number: usize,
    /// When it was decided.
    pub at_s: f64,
    /// When it was carried out, interrupted or rejected.
    pub done_s: Option<f64>,
    /// The plan in a few words.
    pub plan: String,
    /// `carried-out`, `interrupted`, `refused` or `unfinished`; of a request of a person that is no plan `by-hand` or
    /// `request-refused`.
    pub status: &'static str,
    /// The rule that applied; empty for a rejected plan.
    pub rule: String,
    /// What the rule means.
    pub meaning: String,
    /// What was found out about operators, of at most three of them; empty if nothing was.
    pub found: String,
    /// Names of the operators it changes.
    pub operators: Vec<String>,
    /// Headings with sentences: observed, why, predicted, action, outcome.
    pub parts: Vec<(String, String)>,
    /// Predictions beside what came.
    pub compared: Vec<Compared>,
    /// The end of the last window that `compared` and the outcome rest on; none while there is no such window.
    pub known_s: Option<f64>,
}

/// A prediction beside what came.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Compared {
    /// What, with its unit.
    pub what: String,
    /// Before, if measured.
    #[serde(serialize_with = "short_if_any")]
    pub before: Option<f64>,
    /// Predicted.
    #[serde(serialize_with = "short")]
    pub predicted: f64,
    /// What came, if measured.
    #[serde(serialize_with = "short_if_any")]
    pub came: Option<f64>,
}

/// A period without a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct QuietSpan {
    /// Its start.
    pub from_s: f64,
    /// Its end.
    pub until_s: f64,
    /// Headings with sentences.
    pub parts: Vec<(String, String)>,
}

/// Why the policy changed nothing, from a time on.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HeldAt {
    /// The end of the first window for which it is true.
    pub at_s: f64,
    /// In words.
    pub why: String,
    /// The end of the last window for which it is known to be true.
    pub until_s: f64,
}

/// A migration.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Migration {
    /// Its beginning.
    pub at_s: f64,
    /// Its end, if it has ended.
    pub done_s: Option<f64>,
    /// The plan in a few words.
    pub plan: String,
    /// Bins that are to move.
    pub bins: usize,
    /// Bins that have moved, as far as known.
    pub moved: Option<usize>,
    /// Size of their state, 0 if unknown.
    pub bytes: u64,
    /// Steps of the schedule.
    pub steps: usize,
    /// The latency goal it is paced by.
    pub goal_ms: Option<f64>,
    /// Steps that were expected to exceed it.
    pub beyond_goal: Option<usize>,
    /// `running`, `done` or `interrupted`.
    pub status: &'static str,
    /// Time and bins that have arrived; only of a run that was watched while it went on.
    pub progress: Vec<(f64, usize)>,
}

/// Something to look at first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Warning {
    /// Its kind, such as `falling-behind`.
    pub kind: &'static str,
    /// 1: the job misses what is asked of it; 2: something is wrong; 3: worth knowing.
    pub severity: u8,
    /// Since when.
    pub since_s: f64,
    /// Until when, if it is over.
    pub until_s: Option<f64>,
    /// Name of the operator it is about, or empty.
    pub operator: String,
    /// What is wrong, at its worst.
    pub what: String,
    /// When that was.
    pub worst_s: f64,
    /// How it came to that: a time, and what was wrong then; the first is its start. Empty if it holds for an instant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<(f64, String)>,
    /// What to do.
    pub todo: String,
}

/// Four significant digits; a figure that is not finite is none.
fn round(value: f64) -> Option<f64> {
    if value == 0.0 || !value.is_finite() {
        return value.is_finite().then_some(0.0);
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    if digits <= 0 {
        return Some(value.round());
    }
    let factor = 10f64.powi(digits.min(300));
    let rounded = (value * factor).round() / factor;
    Some(if rounded.is_finite() { rounded } else { value })
}

fn short<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    round(*value).serialize(serializer)
}

fn short_if_any<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    value.and_then(round).serialize(serializer)
}

/// Whole microseconds.
fn moment(seconds: f64) -> Option<f64> {
    seconds.is_finite().then(|| (seconds * 1e6).round() / 1e6)
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let latency = |ms: Option<f64>| ms.and_then(round);
        (
            moment(self.start_s),
            moment(self.end_s),
            round(self.offered_per_s),
            round(self.achieved_per_s),
            round(self.lag_records),
            latency(self.p50_ms),
            latency(self.p99_ms),
            latency(self.max_ms),
            self.records,
            self.left_out,
            &self.operators,
        )
            .serialize(serializer)
    }
}

impl Serialize for OperatorAt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let speed = self.true_per_instance_s.and_then(round);
        let shares = (round(self.busy), round(self.external_wait), round(self.backpressure));
        (self.operator, self.instances, shares.0, shares.1, shares.2, self.queue_records, round(self.processed_per_s), speed)
            .serialize(serializer)
    }
}

impl Serialize for InstanceAt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shares = (round(self.busy), round(self.external_wait), round(self.backpressure));
        let rates = (round(self.processed_per_s), self.true_per_s.and_then(round));
        (self.operator, self.instance, self.worker, shares.0, shares.1, shares.2, self.queue_records, rates.0, rates.1)
            .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rounded_and_what_is_no_number_is_null() {
        let found: Vec<Option<f64>> =
            [0.0, -0.0, 1234.5678, 0.000123456, 98765432.1, f64::NAN, f64::INFINITY, 1e-320, f64::MAX].into_iter().map(round).collect();
        assert_eq!(found[..7], [Some(0.0), Some(0.0), Some(1235.0), Some(0.0001235), Some(98765432.0), None, None]);
        assert!(found[7..].iter().all(|value| value.is_some_and(f64::is_finite)), "{found:?}");
        let window = Window { start_s: f64::NAN, operators: vec![OperatorAt::default()], ..Window::default() };
        let text = serde_json::to_string(&window).unwrap();
        assert_eq!(text, "[null,0.0,0.0,0.0,0.0,null,null,null,0,0,[[0,0,0.0,0.0,0.0,0,0.0,null]]]");
    }

    #[test]
    fn every_column_has_a_name() {
        let length = |value: serde_json::Value| value.as_array().unwrap().len();
        assert_eq!(length(serde_json::to_value(Window::default()).unwrap()), WINDOW_COLUMNS.len());
        assert_eq!(length(serde_json::to_value(OperatorAt::default()).unwrap()), OPERATOR_COLUMNS.len());
        assert_eq!(length(serde_json::to_value(InstanceAt::default()).unwrap()), INSTANCE_COLUMNS.len());
    }
}
