//! Keeping a run: its folder, its row, its part of the JSON that commands print.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::environment::Environment;
use super::folder::{self, FolderError};
pub use super::folder::{DEFINITION, read_toml};
use super::frame::{self, Frame, Row};
use super::result::Needs;
use super::rows::configuration_text;
use super::run::{Ending, RunFailure, RunResult};
use super::scenario::Scenario;
use crate::dataflow::{Configuration, Operator, Topology};
use crate::time::Timestamp;

/// Length of a row of the timeline.
pub const ROW_WINDOW: Duration = Duration::from_millis(500);

/// What was asked of a run: `run.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The experiment, or `run`.
    pub experiment: String,
    /// The policy.
    pub policy: String,
    /// Where the job ran.
    pub host: String,
    /// Size of the run.
    pub scale: String,
    /// Index of the first sentence.
    pub seed: u64,
    /// Length of the run in seconds.
    pub seconds: f64,
    /// How many times faster control time ran than in the paper.
    pub time_factor: f64,
    /// How plans were carried out.
    pub strategy: String,
    /// Revision, machine, command.
    pub environment: Environment,
    /// The text.
    pub text: String,
    /// Names of all operators, by the number that the decision log and the activity log use.
    pub operators: Vec<String>,
    /// Names of the operators a policy may rescale.
    pub scalable: Vec<String>,
    /// Instances each of them needs, where known.
    pub needed: BTreeMap<String, u32>,
    /// The scenario; of runs on the engine it says which job it is.
    #[serde(default)]
    pub scenario: Option<Scenario>,
}

impl Manifest {
    /// The names of a topology's operators, all of them and those that may be rescaled.
    pub fn names(topology: &Topology) -> (Vec<String>, Vec<String>) {
        let name = |operator: &Operator| operator.name.clone();
        (topology.operators().iter().map(name).collect(), topology.scalable().map(name).collect())
    }

    /// What is known of a run from its scenario; who asks for it says the rest.
    pub fn of_scenario(scenario: &Scenario, topology: &Topology, needed: &Needs) -> Manifest {
        let (operators, scalable) = Manifest::names(topology);
        let first = needed.first().into_iter().flat_map(|(_, needed)| needed);
        Manifest {
            experiment: String::new(),
            policy: scenario.control.policy.clone(),
            host: "sim".to_owned(),
            scale: "-".to_owned(),
            seed: 0,
            seconds: scenario.seconds,
            time_factor: scenario.control.time_factor,
            strategy: scenario.control.strategy.to_string(),
            environment: Environment::default(),
            text: "-".to_owned(),
            operators,
            scalable,
            needed: first.map(|(&id, &instances)| (topology.operator(id).name.clone(), instances)).collect(),
            scenario: Some(scenario.clone()),
        }
    }
}

/// What came of a run: `summary.json` and an entry of the JSON that `reproduce` prints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The policy.
    pub policy: String,
    /// Index of the first sentence.
    pub seed: u64,
    /// Plans carried out.
    pub actions: usize,
    /// Plans that the host gave up; 0 in summaries written before they were counted.
    #[serde(default)]
    pub failed_actions: usize,
    /// When the last plan was carried out, in seconds of the run; nothing if none was.
    pub settle_s: Option<f64>,
    /// Instances of each scalable operator at the end.
    #[serde(rename = "final")]
    pub last: BTreeMap<String, u32>,
    /// The most instances of each scalable operator.
    pub peak: BTreeMap<String, u32>,
    /// Words that did not reach the sink.
    pub records_lost: u64,
    /// Words that reached the sink more than once.
    pub records_duplicated: u64,
    /// Words whose final count differs from the sequential count of what was emitted.
    pub words_miscounted: u64,
    /// Words that reached the sink, or should have.
    pub records: u64,
    /// Emitted over due records after the last plan was carried out.
    pub achieved_over_offered: Option<f64>,
    /// Sentences due but not emitted at the end.
    pub lag_records: f64,
    /// Seconds in which some operator had fewer instances than it needs.
    pub under_provisioned_s: Option<f64>,
    /// Instances more than needed, times the seconds they were there.
    pub over_provisioned_instance_s: Option<f64>,
    /// Latency from the due time, over the whole run.
    pub latency_ns_p50: Option<u64>,
    /// Latency from the due time, over the whole run.
    pub latency_ns_p99: Option<u64>,
    /// Activity records that did not fit and were dropped.
    pub dropped_records: u64,
    /// Of a run that was interrupted, how many seconds of it were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted_s: Option<f64>,
}

impl Summary {
    /// The summary of a result.
    pub fn of(manifest: &Manifest, result: &RunResult) -> Summary {
        let by_name = |configuration: &Configuration| {
            let scalable = result.topology.scalable();
            scalable.map(|operator| (operator.name.clone(), configuration.parallelism(operator.id))).collect()
        };
        Summary {
            policy: manifest.policy.clone(),
            seed: manifest.seed,
            actions: result.actions(),
            failed_actions: result.failed_actions(),
            settle_s: result.settled_at().map(Timestamp::as_secs_f64),
            last: by_name(result.last_configuration()),
            peak: by_name(&result.peak_configuration()),
            records_lost: result.verdict.lost,
            records_duplicated: result.verdict.duplicated,
            words_miscounted: result.verdict.miscounted,
            records: result.verdict.results,
            achieved_over_offered: result.achieved_over_offered(),
            lag_records: result.timeline.iter().rev().find_map(|row| row.lag_records).unwrap_or(0.0),
            under_provisioned_s: result.under_provisioned().map(|time| time.as_secs_f64()),
            over_provisioned_instance_s: result.over_provisioned_instance_s(),
            latency_ns_p50: result.overall.ns_p50,
            latency_ns_p99: result.overall.ns_p99,
            dropped_records: result.dropped_records,
            interrupted_s: (result.ending == Ending::Interrupted).then_some(result.duration.as_secs_f64()),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |instances: &BTreeMap<String, u32>| {
            let parts: Vec<String> = instances.iter().map(|(name, instances)| format!("{name} {instances}")).collect();
            parts.join(", ")
        };
        let milliseconds = |ns: Option<u64>| ns.map_or("-".to_owned(), |ns| format!("{:.1} ms", ns as f64 / 1e6));
        writeln!(f, "policy              {}", self.policy)?;
        if let Some(seconds) = self.interrupted_s {
            writeln!(f, "interrupted         after {seconds:.1} s of the run: what follows is what was measured until then")?;
        }
        let settled = self.settle_s.map_or(String::new(), |seconds| format!(" (the last at {seconds:.1} s)"));
        let failed = if self.failed_actions > 0 { format!(", {} failed", self.failed_actions) } else { String::new() };
        writeln!(f, "actions             {}{settled}{failed}", self.actions)?;
        if !self.last.is_empty() {
            writeln!(f, "instances           {} at the end, at most {}", list(&self.last), list(&self.peak))?;
        }
        let achieved = self.achieved_over_offered.map_or("-".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0));
        let over = if self.actions == 0 { "over the whole run" } else { "after the last action" };
        writeln!(f, "achieved / offered  {achieved} {over}; sources {:.0} records behind at the end", self.lag_records)?;
        let (p50, p99) = (milliseconds(self.latency_ns_p50), milliseconds(self.latency_ns_p99));
        writeln!(f, "latency             p50 {p50}, p99 {p99}, from the due time")?;
        if self.interrupted_s.is_some() && self.records == 0 {
            return writeln!(f, "records             not compared with a sequential count");
        }
        let (words, lost, twice, wrong) = (self.records, self.records_lost, self.records_duplicated, self.words_miscounted);
        writeln!(f, "records             {words} at the sink: {lost} lost, {twice} duplicated, {wrong} miscounted")
    }
}

/// The columns of every run. Latencies are in nanoseconds from the due time.
///
/// - `actions`, `failed_actions`: plans carried out, and plans that the host gave up
/// - `settled_s`: when the last plan was carried out, in seconds of the run
/// - `final_configuration`, `peak_configuration`: instances of the operators that may be rescaled
///   at the end, such as `flatmap=10 count=20`, and the most of each at any time; of many operators
///   their sum
/// - `records_lost`, `records_duplicated`, `records_miscounted`: that never reached a sink, did
///   more than once, and groups whose result is another than that of a sequential count
/// - `achieved_over_offered`: records emitted per record due after the last plan; above 1 while a
///   backlog is emitted
/// - `under_provisioned_s`: seconds in which some operator had fewer instances than it needs; empty
///   when the need is unknown
/// - `over_provisioned_instance_s`: instances more than needed, times the seconds they were there
/// - `latency_ns_p50`, `latency_ns_p99`: half and 99 % of the records were not slower
/// - `dropped_records`: activity records that did not fit and were dropped; results rest on the
///   rest
pub const RESULT_COLUMNS: [&str; 14] = [
    "actions",
    "failed_actions",
    "settled_s",
    "final_configuration",
    "peak_configuration",
    "records_lost",
    "records_duplicated",
    "records_miscounted",
    "achieved_over_offered",
    "under_provisioned_s",
    "over_provisioned_instance_s",
    "latency_ns_p50",
    "latency_ns_p99",
    "dropped_records",
];

/// What every run is recorded as.
pub fn row(result: &RunResult) -> Row {
    let text = |instances: &Configuration| configuration(&result.topology, instances);
    frame::row([
        ("actions", &result.actions()),
        ("failed_actions", &result.failed_actions()),
        ("settled_s", &result.settled_at().map(Timestamp::as_secs_f64)),
        ("final_configuration", &text(result.last_configuration())),
        ("peak_configuration", &text(&result.peak_configuration())),
        ("records_lost", &result.verdict.lost),
        ("records_duplicated", &result.verdict.duplicated),
        ("records_miscounted", &result.verdict.miscounted),
        ("achieved_over_offered", &result.achieved_over_offered()),
        ("under_provisioned_s", &result.under_provisioned().map(|time| time.as_secs_f64())),
        ("over_provisioned_instance_s", &result.over_provisioned_instance_s()),
        ("latency_ns_p50", &result.overall.ns_p50),
        ("latency_ns_p99", &result.overall.ns_p99),
        ("dropped_records", &result.dropped_records),
    ])
}

/// Operators up to whose number a configuration is written out.
const MOST_WRITTEN: usize = 8;

/// A configuration as rows have it; of many operators the sum of their instances.
pub fn configuration(topology: &Topology, configuration: &Configuration) -> String {
    if topology.scalable().count() <= MOST_WRITTEN {
        return configuration_text(topology, configuration);
    }
    topology.scalable().map(|operator| u64::from(configuration.parallelism(operator.id))).sum::<u64>().to_string()
}

/// Writes the row of one run by itself, whether it has a result or failed.
///
/// # Errors
/// When the file cannot be written.
pub fn write_row(folder: &Path, manifest: &Manifest, result: Result<&RunResult, &RunFailure>) -> Result<(), FolderError> {
    let mut line = frame::row([
        ("case", &manifest.experiment),
        ("variant", &manifest.policy),
        ("host", &manifest.host),
        ("seed", &manifest.seed),
        ("error", &result.err().map(ToString::to_string)),
    ]);
    line.extend(result.map(row).unwrap_or_default());
    let columns: Vec<&str> = ["case", "variant", "host", "seed", "error"].into_iter().chain(RESULT_COLUMNS).collect();
    Frame::new(&columns, vec![line]).write(&folder.join(folder::ROWS))
}

/// Writes the files of a finished run into `folder`, which exists.
///
/// # Errors
/// When a file cannot be written; files that are there are whole.
pub fn write(folder: &Path, manifest: &Manifest, result: &RunResult) -> Result<(), FolderError> {
    let manifest_text = toml::to_string(manifest).expect("a manifest has no value that TOML cannot hold");
    let summary = serde_json::to_string_pretty(&Summary::of(manifest, result)).expect("a summary has text keys only");
    folder::write_text(&folder.join(folder::RUN), &manifest_text)?;
    folder::write_csv(&folder.join(folder::TIMELINE), &result.timeline)?;
    folder::write_csv(&folder.join(folder::LATENCY), &result.latency)?;
    if !result.workers.is_empty() {
        folder::write_csv(&folder.join(folder::WORKERS), &result.workers)?;
    }
    if !result.instances.is_empty() {
        folder::write_csv(&folder.join(folder::INSTANCES), &result.instances)?;
    }
    folder::write_jsonl(&folder.join(folder::DECISIONS), &result.events)?;
    folder::write_text(&folder.join(folder::SUMMARY), &format!("{summary}\n"))
}
