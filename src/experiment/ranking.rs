//! Experiments that ask whether a measure ranks a known bottleneck first: SnailTrail's figures 10
//! and 11.
//!
//! A chain with a known bottleneck runs on the engine; every window is ranked by critical
//! participation, by the conventional profile and by one random path; a *hit* is a window in which
//! the measure ranks the suspect first.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::frame::{Frame, Row, row, text};
use super::scale::{Scale, Scaled};
use super::study::{Ask, At, Host, Measured, Progress, Study, Trial};
use crate::critical_path::{By, Entity, Entry, Summarizer, WindowSummary};
use crate::engine::RunError;
use crate::engine::chain::{Chain, Stage};
use crate::pag::{GraphBuilder, GraphConfig, Oddities};
use crate::rate::Rate;
use crate::time::Timestamp;

/// An experiment, as its file defines it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RankingDefinition {
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
    pub seconds: Scaled<f64>,
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
            duration: Duration::from_secs_f64(run.seconds.at(scale)),
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
    fn rows(&self, chain: &Chain, analysed: &Analysed) -> Vec<Row> {
        let (suspect, topology) = (self.suspect(chain), chain.topology());
        let by = if self.by == RankedBy::Operator { By::Operator } else { By::Instance };
        let mut rows = Vec::new();
        // What begins or ends in the middle of a window has no fair rank in it.
        let whole = |summary: &&WindowSummary| summary.window.end <= Timestamp::ZERO + chain.duration;
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
                rows.push(row([
                    ("window_start_s", &summary.window.start.as_secs_f64()),
                    ("judged", &(index >= self.warm_up_windows)),
                    ("name", &name),
                    ("suspect", &(entity == suspect)),
                    ("participation", &participation),
                    ("profile", &profile),
                    ("profile_per_instance", &(profile / f64::from(instances))),
                    ("path", &path),
                    ("participation_sum", &summary.participation_sum),
                    ("log_records", &analysed.records),
                    ("dropped_records", &analysed.dropped),
                ]));
            }
        }
        rows
    }
}

/// What is ranked by, and the column that says whether something is first by it.
const MEASURES: [(&str, &str); 4] = [
    ("participation", "first_by_participation"),
    ("profile", "first_by_profile"),
    ("profile_per_instance", "first_by_profile_per_instance"),
    ("path", "first_by_path"),
];

/// Windows whose participations sum to 1, and nothing dropped.
const CHECKS: &str = r#"
[[check]]
column = "participation_sum"
at_least = 1.0
at_most = 1.0

[[check]]
column = "dropped_records"
at_most = 0
"#;

impl Study for RankingDefinition {
    /// - `window_start_s`, `judged`: start of the window, and whether it is judged: not during
    ///   warm-up
    /// - `name`, `suspect`: what is ranked, and whether it is what should be found
    /// - `participation`, `path`: critical participation and share of the random path, 0 to 1
    /// - `profile`, `profile_per_instance`: time worked over the window's length, summed over
    ///   instances, and over their number
    /// - `participation_sum`: of the window
    /// - `log_records`, `dropped_records`: of the activity log of the run, and those that did not
    ///   fit
    /// - `first_by_…`: whether it has the highest value of its window; of several the one that is
    ///   not the suspect
    fn columns(&self) -> Vec<&'static str> {
        let own = ["window_start_s", "judged", "name", "suspect", "participation", "profile", "profile_per_instance", "path"];
        let more = ["participation_sum", "log_records", "dropped_records"];
        own.into_iter().chain(more).chain(MEASURES.map(|(_, first)| first)).collect()
    }

    fn trials(&self, ask: &Ask) -> Vec<Trial> {
        let variant = if self.by == RankedBy::Operator { "operator" } else { "instance" };
        let (start, host) = (String::new(), Host::Engine);
        let trial =
            |seed, run: &RankingRun| Trial { case: run.label.clone(), start: start.clone(), variant: variant.to_owned(), host, seed };
        ask.seeds_from(0, 1).flat_map(|seed| self.runs.iter().map(move |run| (seed, run))).map(|(seed, run)| trial(seed, run)).collect()
    }

    fn run(&self, trial: &Trial, at: At<'_>, progress: &dyn Progress) -> anyhow::Result<Measured> {
        let run = self.runs.iter().find(|run| run.label == trial.case).expect("trials are of the study");
        let chain = self.chain(run, at.scale, trial.seed);
        let analysed = run_analysed(&chain, self.window(), trial.seed, |summary| {
            let end = summary.window.end.as_secs_f64();
            let paths = summary.log2_paths.map_or("no path".to_owned(), |log2| format!("2^{log2:.0} paths"));
            progress.part(trial, end / chain.duration.as_secs_f64(), &format!("{end:.1} s  {paths}"));
        })?;
        Ok(Measured { rows: self.rows(&chain, &analysed), series: Vec::new() })
    }

    fn complete(&self, frame: &mut Frame) {
        let key = |row: &Row| ["case", "seed", "window_start_s"].map(|label| text(row, label).to_owned());
        for (measure, first) in MEASURES {
            let value = |row: &Row| text(row, measure).parse::<f64>().unwrap_or(f64::MIN);
            let is_suspect = |row: &Row| text(row, "suspect") == "true";
            let mut firsts: BTreeMap<[String; 3], &Row> = BTreeMap::new();
            for row in frame.rows() {
                let best = firsts.entry(key(row)).or_insert(row);
                if value(row).total_cmp(&value(best)).then(is_suspect(best).cmp(&is_suspect(row))).is_gt() {
                    *best = row;
                }
            }
            let names: BTreeMap<[String; 3], String> = firsts.into_iter().map(|(key, row)| (key, text(row, "name").to_owned())).collect();
            frame.set(first, |row| names.get(&key(row)).is_some_and(|name| name == text(row, "name")).to_string());
        }
    }

    fn checks(&self) -> &'static str {
        CHECKS
    }

    fn tables(&self) -> &'static [&'static str] {
        &["ranking"]
    }

    fn check(&self) -> Result<(), String> {
        let fits = |run: &RankingRun| run.instances.as_ref().is_none_or(|all| all.len() == self.stages.len());
        let wrong = |run: &RankingRun| Err(format!("run '{}': expected instances of {} stages", run.label, self.stages.len()));
        self.runs.iter().find(|run| !fits(run)).map_or(Ok(()), wrong)
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Analysed {
    /// Every window in which anything happened.
    pub windows: Vec<WindowSummary>,
    /// Records of the activity log.
    pub records: u64,
    /// Records that did not fit and were dropped.
    pub dropped: u64,
    /// What the graph had to leave out.
    pub oddities: Oddities,
}

/// Runs `chain` and analyses windows of length `window` while it runs; `show` is called with each.
/// The random paths are drawn from `seed`.
///
/// # Errors
/// When the engine fails.
pub fn run_analysed(chain: &Chain, window: Duration, seed: u64, mut show: impl FnMut(&WindowSummary)) -> Result<Analysed, RunError> {
    let mut builder = GraphBuilder::new(GraphConfig::new(window));
    let (mut summarizer, mut random) = (Summarizer::default(), fastrand::Rng::with_seed(seed));
    let (mut windows, mut records, mut dropped) = (Vec::new(), 0, vec![0; chain.workers as usize]);
    let running = chain.start()?;
    let mut close = |builder: &mut GraphBuilder, known| {
        while let Some(graph) = builder.close(known) {
            let summary = summarizer.summarize(&graph, || random.f64());
            builder.recycle(graph);
            show(&summary);
            windows.push(summary);
        }
    };
    // Ends when the job has.
    for batch in &running.log {
        batch.records.iter().for_each(|record| builder.push(record));
        records += batch.records.len() as u64;
        dropped[batch.worker.0 as usize] = batch.dropped;
        let known = builder.known();
        close(&mut builder, known);
    }
    close(&mut builder, Timestamp(u64::MAX));
    running.join()?;
    Ok(Analysed { windows, records, dropped: dropped.iter().sum(), oddities: builder.oddities() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::definition::Definition;

    #[test]
    fn a_hit_is_a_window_in_which_nothing_else_comes_up_to_the_suspect() {
        let definition = Definition::named("snailtrail-fig10").unwrap();
        let line = |window: f64, name: &str, participation: f64, profile: f64| {
            row([
                ("case", &"skew 30 %"),
                ("variant", &"instance"),
                ("seed", &0_u64),
                ("window_start_s", &window),
                ("judged", &true),
                ("name", &name),
                ("suspect", &(name == "count[0]")),
                ("participation", &participation),
                ("profile", &profile),
                ("participation_sum", &1.0),
            ])
        };
        let rows = vec![
            line(1.0, "count[0]", 0.4, 0.4),
            line(1.0, "flatmap[0]", 0.1, 0.5),
            line(2.0, "flatmap[0]", 0.3, 0.3),
            line(2.0, "count[0]", 0.3, 0.5),
        ];
        let mut frame = Frame::new(&[], rows);
        definition.complete(&mut frame);
        let first = |column: &str| frame.rows().iter().map(|row| text(row, column) == "true").collect::<Vec<_>>();
        assert_eq!(first("first_by_participation"), [true, false, true, false], "a tie is no hit");
        assert_eq!(first("first_by_profile"), [false, true, false, true]);
        let violations = definition.violations(&frame);
        assert_eq!(violations.len(), 1, "{violations:?}");
        assert!(violations[0].contains("skew 30 %") && violations[0].contains("suspect"), "{violations:?}");
    }
}
