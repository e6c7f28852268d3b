//! Keeping a run: its folder, its row, its part of the JSON that commands print.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::environment::Environment;
use super::folder::{self, FolderError};
use super::rows::{RunRow, configuration_text};
use super::run::{Ending, RunFailure, RunResult};
use crate::dataflow::{Configuration, Operator, Topology};
use crate::time::Timestamp;

/// Length of a row of the timeline.
pub const ROW_WINDOW: Duration = Duration::from_millis(500);

/// The definition of an experiment, in the folder of its runs.
pub const DEFINITION: &str = "definition.toml";

/// Reads a TOML file of a run folder.
///
/// # Errors
/// When it cannot be read or is not what it should be; the error names the file and the place.
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, FolderError> {
    let text = std::fs::read_to_string(path).map_err(|source| FolderError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        let before = error.span().map_or("", |span| &text[..span.start.min(text.len())]);
        let line = before.lines().count().max(1) as u64;
        let found = text.lines().nth(line as usize - 1).unwrap_or_default().to_owned();
        FolderError::Line { path: path.to_owned(), line, expected: error.message().to_owned(), found }
    })
}

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
    /// The job, on the engine.
    pub job: Option<super::definition::JobDefinition>,
    /// The query of NEXMark, on the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nexmark: Option<super::nexmark::NexmarkDefinition>,
    /// The scenario, on the simulator.
    pub scenario: Option<super::scenario::Scenario>,
}

impl Manifest {
    /// The names of a topology's operators, all of them and those that may be rescaled.
    pub fn names(topology: &Topology) -> (Vec<String>, Vec<String>) {
        let name = |operator: &Operator| operator.name.clone();
        (topology.operators().iter().map(name).collect(), topology.scalable().map(name).collect())
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
        writeln!(f, "achieved / offered  {achieved} after the last action; {:.0} records behind at the end", self.lag_records)?;
        let (p50, p99) = (milliseconds(self.latency_ns_p50), milliseconds(self.latency_ns_p99));
        writeln!(f, "latency             p50 {p50}, p99 {p99}, from the due time")?;
        if self.interrupted_s.is_some() && self.records == 0 {
            return writeln!(f, "records             not compared with a sequential count");
        }
        let (words, lost, twice, wrong) = (self.records, self.records_lost, self.records_duplicated, self.words_miscounted);
        writeln!(f, "records             {words} at the sink: {lost} lost, {twice} duplicated, {wrong} miscounted")
    }
}

/// The row of a run, whether it has a result or failed.
pub fn row(manifest: &Manifest, topology: &Topology, result: Result<&RunResult, &RunFailure>) -> RunRow {
    let environment = manifest.environment.clone();
    let asked = RunRow {
        experiment: manifest.experiment.clone(),
        policy: manifest.policy.clone(),
        host: manifest.host.clone(),
        scale: manifest.scale.clone(),
        revision: environment.revision,
        seed: manifest.seed,
        machine: environment.machine,
        command: environment.command,
        started_utc: environment.started_utc,
        ..RunRow::default()
    };
    let result = match result {
        Ok(result) => result,
        Err(failure) => return RunRow { error: Some(failure.to_string()), ..asked },
    };
    let summary = Summary::of(manifest, result);
    RunRow {
        actions: Some(summary.actions as u32),
        failed_actions: Some(summary.failed_actions as u32),
        settle_s: summary.settle_s,
        final_configuration: Some(configuration_text(topology, result.last_configuration())),
        peak_configuration: Some(configuration_text(topology, &result.peak_configuration())),
        records_lost: Some(summary.records_lost),
        records_duplicated: Some(summary.records_duplicated),
        achieved_over_offered: summary.achieved_over_offered,
        under_provisioned_s: summary.under_provisioned_s,
        over_provisioned_instance_s: summary.over_provisioned_instance_s,
        latency_ns_p50: summary.latency_ns_p50,
        latency_ns_p99: summary.latency_ns_p99,
        dropped_records: Some(summary.dropped_records),
        ..asked
    }
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
    folder::write_jsonl(&folder.join(folder::DECISIONS), &result.events)?;
    folder::write_text(&folder.join(folder::SUMMARY), &format!("{summary}\n"))
}
