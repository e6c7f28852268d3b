//! An experiment as its file defines it.
//!
//! The files in `experiments/definitions/` are part of the program, so that it runs from anywhere; each can be given anew.
//! Unknown keys are errors.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::expectation::Expectation;
use super::rows::PaperRow;
use super::scenario::{Control, Disturb, Moves, OperatorForm, RoleForm, Scenario};
use crate::dataflow::{Capacity, QueueMarks};
use crate::engine::cluster::Deployment;
use crate::engine::word_count::{COUNT, FLAT_MAP, OperatorConfig, WordCount};
use crate::id::OperatorId;
use crate::rate::Rate;
use crate::workload::{RateSchedule, SentenceLength, Text};

/// How long an experiment runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Minutes: enough to see the result; part of continuous integration.
    #[default]
    Quick,
    /// Longer runs.
    Full,
}

/// A word-count experiment with one run a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Name of the figure.
    pub figure: String,
    /// Title of the figure.
    pub title: String,
    /// How many times faster control time runs than in the paper.
    pub time_factor: f64,
    /// The job.
    pub job: JobDefinition,
    /// One run a policy.
    pub runs: Vec<PolicyRun>,
    /// What the paper prints.
    #[serde(default)]
    pub paper: Vec<PaperRow>,
    /// What the runs are expected to show.
    #[serde(default)]
    pub expect: Vec<Expectation>,
}

/// The job of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobDefinition {
    /// Exact length of sentences; as the text has them when missing.
    pub words_per_sentence: Option<usize>,
    /// Sentences due per second.
    pub source_rate: Rate,
    /// Milliseconds between epochs.
    pub tick_ms: u64,
    /// How many times the scheduled rate the source may emit when behind.
    pub catch_up: f64,
    /// Bins of Count.
    pub bins: u32,
    /// Processes, all on this machine unless the run says where they are.
    #[serde(default = "one")]
    pub processes: u32,
    /// Worker threads of each.
    pub workers: u32,
    /// FlatMap.
    pub flatmap: OperatorDefinition,
    /// Count.
    pub count: OperatorDefinition,
}

fn one() -> u32 {
    1
}

/// A limited operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorDefinition {
    /// Records per second of one instance; as fast as the processor allows when missing.
    pub limit: Option<Rate>,
    /// Instances at the start.
    pub instances: u32,
    /// Most instances.
    pub max_parallelism: u32,
    /// Sources pause when more than this time's work waits for an instance.
    pub queue_high_s: f64,
    /// Sources go on when less than this time's work waits.
    pub queue_low_s: f64,
}

/// One run of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRun {
    /// The policy.
    pub policy: String,
    /// Seconds of run.
    pub seconds: Seconds,
}

/// Seconds by scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seconds {
    /// For [`Scale::Quick`].
    pub quick: u64,
    /// For [`Scale::Full`].
    pub full: u64,
}

impl Seconds {
    /// Seconds at `scale`.
    pub fn at(&self, scale: Scale) -> Duration {
        Duration::from_secs(match scale {
            Scale::Quick => self.quick,
            Scale::Full => self.full,
        })
    }
}

impl JobDefinition {
    /// The job over `text`, emitting for `duration`; `seed` is the index of its first sentence.
    pub fn word_count(&self, text: Arc<Text>, seed: u64, duration: Duration) -> WordCount {
        WordCount {
            text,
            first_sentence: seed,
            schedule: RateSchedule::constant(self.source_rate),
            duration,
            catch_up: self.catch_up,
            tick: Duration::from_millis(self.tick_ms),
            bins: self.bins,
            flat_map: self.flatmap.config(),
            count: self.count.config(),
            deployment: Deployment::processes(self.processes, self.workers),
        }
    }

    /// The same job as a scenario, over sentences of `words` words.
    pub fn scenario(&self, title: &str, words: f64, duration: Duration) -> Scenario {
        let elastic = |name: &str, role, input: &str, operator: &OperatorDefinition| OperatorForm {
            limit: operator.limit,
            instances: operator.instances,
            max_parallelism: operator.max_parallelism,
            queue_high_s: operator.queue_high_s,
            queue_low_s: operator.queue_low_s,
            bins: self.bins,
            ..OperatorForm::new(name, role, &[input])
        };
        Scenario {
            title: title.to_owned(),
            seconds: duration.as_secs_f64(),
            tick_ms: self.tick_ms,
            catch_up: self.catch_up,
            delay_ms: 0.0,
            control: Control::default(),
            moves: Moves::default(),
            disturb: Disturb::default(),
            operators: vec![
                OperatorForm { rate: Some(self.source_rate), ..OperatorForm::new("source", RoleForm::Source, &[]) },
                OperatorForm { selectivity: words, ..elastic("flatmap", RoleForm::Stateless, "source", &self.flatmap) },
                elastic("count", RoleForm::Keyed, "flatmap", &self.count),
                OperatorForm::new("sink", RoleForm::Sink, &["count"]),
            ],
        }
    }

    /// How its sentences are cut.
    pub fn sentence_length(&self) -> SentenceLength {
        self.words_per_sentence.map_or(SentenceLength::Natural, SentenceLength::Words)
    }

    /// Instances each limited operator needs for the source's rate: the scenario's true parameters, not a measurement.
    pub fn needed(&self, text: &Text) -> BTreeMap<OperatorId, u32> {
        let sentences = self.source_rate.as_per_second();
        let demands = [(FLAT_MAP, &self.flatmap, sentences), (COUNT, &self.count, sentences * text.words_per_sentence())];
        let needed = demands.into_iter().filter_map(|(id, operator, demand)| {
            // A millionth of an instance is rounding, not demand.
            let instances = (demand / operator.limit?.as_per_second() * (1.0 - 1e-6)).ceil();
            Some((id, (instances as u32).max(1)))
        });
        needed.collect()
    }
}

impl OperatorDefinition {
    fn config(&self) -> OperatorConfig {
        let capacity = self.limit.map_or(Capacity::Cpu, |rate| Capacity::Limited { rate });
        let marks = self.limit.map_or(QueueMarks::default(), |rate| {
            let records = |seconds: f64| ((seconds * rate.as_per_second()) as u64).max(1);
            QueueMarks { high_records: records(self.queue_high_s), low_records: records(self.queue_low_s) }
        });
        OperatorConfig { capacity, marks, instances: self.instances, max_parallelism: self.max_parallelism }
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scale::Quick => "quick",
            Scale::Full => "full",
        })
    }
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Scale, String> {
        match text {
            "quick" => Ok(Scale::Quick),
            "full" => Ok(Scale::Full),
            other => Err(format!("expected a scale, 'quick' or 'full', found '{other}'")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_count_of_the_paper_needs_10_and_20_instances() {
        let definition: Definition = toml::from_str(include_str!("../../experiments/definitions/ds2-fig6.toml")).unwrap();
        let job = definition.job;
        let text = Text::liber_primus(job.sentence_length());
        assert_eq!(job.needed(&text), BTreeMap::from([(FLAT_MAP, 10), (COUNT, 20)]));
        assert!(toml::from_str::<Definition>("figure = 'x'\nfigures = 'y'").unwrap_err().to_string().contains("unknown field `figures`"));
    }
}
