//! Experiments that ask whether a measure ranks a known bottleneck first: SnailTrail's figures 10 and 11.
//!
//! A chain with a known bottleneck runs on the engine; every window is ranked by critical participation, by the conventional
//! profile and by one random path; a *hit* is a window in which the measure ranks the suspect first.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::analysed::Analysed;
use super::definition::{Scale, Seconds};
use super::environment::Environment;
use crate::critical_path::{By, Entity, Entry, WindowSummary};
use crate::engine::chain::{Chain, Stage};
use crate::rate::Rate;

/// An experiment, as its file defines it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RankingDefinition {
    /// Name of the figure.
    pub figure: String,
    /// Title of the figure.
    pub title: String,
    /// What is ranked.
    pub by: RankedBy,
    /// Length of a window in seconds.
    pub window_s: f64,
    /// Windows at the start that are not judged.
    pub warm_up_windows: usize,
    /// Worker threads.
    pub workers: u32,
    /// Records that the source emits in an epoch.
    pub records_per_epoch: u64,
    /// Epochs that may be incomplete at a time.
    pub epochs_in_flight: usize,
    /// The operator to be found; the instance with the hot key of the keyed stage when missing.
    pub suspect: Option<String>,
    /// The operators between source and sink.
    pub stages: Vec<StageDefinition>,
    /// The runs.
    pub runs: Vec<RankingRun>,
    /// What the runs are expected to show.
    #[serde(default)]
    pub expect: Vec<RankingExpectation>,
}

/// What is ranked against what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RankedBy {
    /// Operators.
    Operator,
    /// Instances of all operators.
    Instance,
}

/// An operator of the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageDefinition {
    /// Its name.
    pub name: String,
    /// Records per second of one instance.
    pub rate: Rate,
    /// Instances.
    pub instances: u32,
    /// Whether it counts by key.
    #[serde(default)]
    pub keyed: bool,
    /// Results of one record.
    #[serde(default = "one")]
    pub results_per_record: u64,
}

fn one() -> u64 {
    1
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RankingRun {
    /// Its name.
    pub label: String,
    /// Share of the words that are the hot word.
    #[serde(default)]
    pub skew: f64,
    /// Instances of each stage; as the stages say when missing.
    pub instances: Option<Vec<u32>>,
    /// Seconds of run.
    pub seconds: Seconds,
}

/// What a run is expected to show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RankingExpectation {
    /// The run.
    pub label: String,
    /// Of critical participation.
    pub participation: Option<Hits>,
    /// Of the conventional profile.
    pub profile: Option<Hits>,
}

/// In how many windows the suspect is ranked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hits {
    /// In every one.
    EveryWindow,
    /// Not in every one.
    NotEveryWindow,
}

/// One window, run and ranked thing; `rankings.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RankingRow {
    /// The experiment.
    pub experiment: String,
    /// The run.
    pub label: String,
    /// Start of the window.
    pub window_start_s: f64,
    /// Whether the window is judged: not during warm-up.
    pub judged: bool,
    /// What is ranked.
    pub name: String,
    /// Whether it is what should be found.
    pub suspect: bool,
    /// Critical participation, 0 to 1.
    pub participation: f64,
    /// Time worked over the window's length, summed over instances.
    pub profile: f64,
    /// The same divided by the number of instances.
    pub profile_per_instance: f64,
    /// Share of the random path, 0 to 1.
    pub path: f64,
    /// Sum of all participations of the window.
    pub participation_sum: f64,
    /// Where the job ran.
    pub host: String,
    /// Size of the run.
    pub scale: String,
    /// Tells runs apart.
    pub seed: u64,
    /// Revision of the program.
    pub revision: String,
    /// The machine.
    pub machine: String,
    /// The command line.
    pub command: String,
    /// When the command began.
    pub started_utc: String,
}

/// What came of one run: an entry of the JSON that `reproduce` prints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RankingSummary {
    /// The run.
    pub label: String,
    /// Percent of the words that are the hot word; nothing where the runs differ by something else.
    pub skew: Option<f64>,
    /// Tells runs apart.
    pub seed: u64,
    /// What should be found.
    pub suspect: String,
    /// Windows that are judged.
    pub windows: usize,
    /// Windows in which critical participation ranks the suspect first.
    pub participation_hits: usize,
    /// Windows in which the conventional profile does.
    pub profile_hits: usize,
    /// Windows in which the profile divided by the number of instances does.
    pub profile_per_instance_hits: usize,
    /// Windows in which one random path does.
    pub path_hits: usize,
    /// Largest difference of a window's sum of participations from 1.
    pub participation_sum_error: f64,
    /// Records of the activity log.
    pub log_records: u64,
    /// Records that did not fit and were dropped.
    pub dropped_records: u64,
}

impl RankingDefinition {
    /// The chain of `run` at `scale`.
    pub fn chain(&self, run: &RankingRun, scale: Scale, seed: u64) -> Chain {
        let keyed = self.stages.iter().position(|stage| stage.keyed);
        let stages = self.stages.iter().enumerate().map(|(index, stage)| Stage {
            keyed: stage.keyed,
            fan_out: stage.results_per_record,
            // The words are drawn by the operator before the one that counts them.
            skew: if keyed == Some(index + 1) { run.skew } else { 0.0 },
            ..Stage::new(&stage.name, stage.rate, run.instances.as_ref().map_or(stage.instances, |instances| instances[index]))
        });
        Chain {
            stages: stages.collect(),
            records: self.records_per_epoch,
            in_flight: self.epochs_in_flight,
            duration: run.seconds.at(scale),
            workers: self.workers,
            seed,
        }
    }

    /// Length of a window.
    pub fn window(&self) -> Duration {
        Duration::from_secs_f64(self.window_s)
    }

    fn suspect(&self, chain: &Chain) -> Entity {
        let named = self.suspect.as_ref().and_then(|name| chain.stages.iter().position(|stage| stage.name == *name));
        match (self.by, named) {
            (RankedBy::Operator, Some(index)) => Entity::Operator(chain.operator(index)),
            _ => Entity::Instance(chain.straggler(chain.stages.iter().position(|stage| stage.keyed).unwrap_or(0))),
        }
    }

    /// The rows of a run.
    pub fn rows(&self, run: &RankingRun, chain: &Chain, analysed: &Analysed, scale: Scale, environment: &Environment) -> Vec<RankingRow> {
        let (suspect, topology) = (self.suspect(chain), chain.topology());
        let by = if self.by == RankedBy::Operator { By::Operator } else { By::Instance };
        let mut rows = Vec::new();
        // What begins or ends in the middle of a window has no fair rank in it.
        let whole = |summary: &&WindowSummary| summary.window.end <= crate::time::Timestamp::ZERO + chain.duration;
        for (index, summary) in analysed.windows.iter().filter(whole).enumerate() {
            for Entry { entity, participation, profile, path } in summary.ranking(by) {
                let stage = |id| chain.stages.iter().enumerate().find(|(index, _)| chain.operator(*index) == id).map(|(_, stage)| stage);
                let (name, instances) = match entity {
                    Entity::Operator(id) => (topology.operator(id).name.clone(), stage(id).map(|stage| stage.instances)),
                    Entity::Instance(id) => {
                        (format!("{}[{}]", topology.operator(id.operator).name, id.index), stage(id.operator).map(|_| 1))
                    }
                    _ => continue,
                };
                // Sources, sinks, channels and idle time are no candidates.
                let Some(instances) = instances else { continue };
                rows.push(RankingRow {
                    experiment: self.figure.clone(),
                    label: run.label.clone(),
                    window_start_s: summary.window.start.as_secs_f64(),
                    judged: index >= self.warm_up_windows,
                    name,
                    suspect: entity == suspect,
                    participation,
                    profile,
                    profile_per_instance: profile / f64::from(instances),
                    path,
                    participation_sum: summary.participation_sum,
                    host: "engine".to_owned(),
                    scale: scale.to_string(),
                    seed: chain.seed,
                    revision: environment.revision.clone(),
                    machine: environment.machine.clone(),
                    command: environment.command.clone(),
                    started_utc: environment.started_utc.clone(),
                });
            }
        }
        rows
    }

    /// What a run shows, from its rows.
    pub fn summary(&self, run: &RankingRun, rows: &[RankingRow], analysed: &Analysed) -> RankingSummary {
        let judged: Vec<&RankingRow> = rows.iter().filter(|row| row.judged).collect();
        let windows: Vec<&[&RankingRow]> = judged.chunk_by(|a, b| a.window_start_s == b.window_start_s).collect();
        let hits = |measure: fn(&RankingRow) -> f64| windows.iter().filter(|rows| ranks_suspect_first(rows, measure)).count();
        let error = |row: &RankingRow| (row.participation_sum - 1.0).abs();
        RankingSummary {
            label: run.label.clone(),
            skew: (run.skew > 0.0).then_some((run.skew * 1e4).round() / 1e2),
            seed: rows.first().map_or(0, |row| row.seed),
            suspect: rows.iter().find(|row| row.suspect).map_or(String::new(), |row| row.name.clone()),
            windows: windows.len(),
            participation_hits: hits(|row| row.participation),
            profile_hits: hits(|row| row.profile),
            profile_per_instance_hits: hits(|row| row.profile_per_instance),
            path_hits: hits(|row| row.path),
            participation_sum_error: rows.iter().map(error).fold(0.0, f64::max),
            log_records: analysed.records,
            dropped_records: analysed.dropped,
        }
    }

    /// What a run does not show although it was expected to.
    pub fn violations(&self, summary: &RankingSummary) -> Vec<String> {
        let mut violations = Vec::new();
        let RankingSummary { label, seed, windows, .. } = summary;
        if summary.participation_sum_error > 1e-9 || summary.dropped_records > 0 || *windows == 0 {
            violations.push(format!(
                "{label} (seed {seed}): expected windows whose participations sum to 1, and nothing dropped; found {windows} windows, an error of {:e}, {} dropped",
                summary.participation_sum_error, summary.dropped_records
            ));
        }
        for expected in self.expect.iter().filter(|expected| expected.label == *label) {
            let checks = [
                ("participation", expected.participation, summary.participation_hits),
                ("profile", expected.profile, summary.profile_hits),
            ];
            for (measure, expected, hits) in checks {
                let holds = match expected {
                    None => true,
                    Some(Hits::EveryWindow) => hits == *windows,
                    Some(Hits::NotEveryWindow) => hits < *windows,
                };
                if !holds {
                    let suspect = &summary.suspect;
                    violations.push(format!(
                        "{label} (seed {seed}): {measure} ranks {suspect} first in {hits} of {windows} windows, which was not expected"
                    ));
                }
            }
        }
        violations
    }
}

/// Whether the suspect alone has the highest value among the rows of one window.
fn ranks_suspect_first(rows: &[&RankingRow], measure: fn(&RankingRow) -> f64) -> bool {
    let best = |suspect: bool| rows.iter().filter(|row| row.suspect == suspect).map(|row| measure(row)).fold(0.0, f64::max);
    best(true) > best(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(window: f64, name: &str, participation: f64, profile: f64) -> RankingRow {
        let suspect = name == "count[0]";
        RankingRow {
            window_start_s: window,
            judged: true,
            name: name.into(),
            suspect,
            participation,
            profile,
            participation_sum: 1.0,
            ..RankingRow::default()
        }
    }

    #[test]
    fn a_hit_is_a_window_in_which_nothing_else_comes_up_to_the_suspect() {
        let definition: RankingDefinition = toml::from_str(include_str!("../../experiments/definitions/snailtrail-fig10.toml")).unwrap();
        let rows = [
            row(1.0, "count[0]", 0.4, 0.4),
            row(1.0, "flatmap[0]", 0.1, 0.5),
            row(2.0, "flatmap[0]", 0.3, 0.3),
            row(2.0, "count[0]", 0.3, 0.5),
        ];
        let analysed = Analysed { windows: Vec::new(), records: 9, dropped: 0, oddities: Default::default() };
        let summary = definition.summary(&definition.runs[0], &rows, &analysed);
        assert_eq!((summary.windows, summary.participation_hits, summary.profile_hits, summary.skew), (2, 1, 1, Some(30.0)));
        let violations = definition.violations(&summary);
        assert_eq!(violations.len(), 1, "{violations:?}");
        assert!(violations[0].contains("participation ranks count[0] first in 1 of 2 windows"), "{violations:?}");
        let none = definition.summary(&definition.runs[0], &[], &analysed);
        assert!(definition.violations(&none)[0].contains("found 0 windows"));
    }
}
