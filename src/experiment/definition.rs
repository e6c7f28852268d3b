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
use super::scenario::{Control, Disturb, Moves, OperatorForm, RoleForm, Scenario, StragglerForm};
use crate::dataflow::{Capacity, QueueMarks};
use crate::engine::OperatorConfig;
use crate::engine::bin_of;
use crate::engine::cluster::Deployment;
use crate::engine::word_count::{COUNT, FLAT_MAP, WordCount};
use crate::id::OperatorId;
use crate::rate::Rate;
use crate::sim::Skew;
use crate::workload::{RateSchedule, SentenceLength, Text, TextError};

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
    /// Bins of Count with a share of all words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hot_bins: Option<HotBins>,
    /// FlatMap.
    pub flatmap: OperatorDefinition,
    /// Count.
    pub count: OperatorDefinition,
}

/// Bins that have a share of all records between them evenly, the others have the rest. What [`Skew::HotBins`] is to a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HotBins {
    /// How many; those of them that no word of the text falls into are left out.
    pub bins: u32,
    /// Their share together, 0 to 1.
    pub share: f64,
    /// Numbers from one of them to the next, from bin 0 on: with a step of the number of instances all belong to instance 0 at first.
    #[serde(default = "one")]
    pub step: u32,
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
    /// An instance that is slow for a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub straggler: Option<StragglerForm>,
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
    /// Whether it can be run over `text`.
    ///
    /// # Errors
    /// When it cannot; the error says what was expected.
    pub fn check(&self, text: &Text) -> Result<(), String> {
        for (name, operator) in [("flatmap", &self.flatmap), ("count", &self.count)] {
            let Some(straggler) = &operator.straggler else { continue };
            straggler.straggler().map_err(|why| format!("straggler of {name}: {why}"))?;
            if operator.limit.is_none() {
                return Err(format!("straggler of {name}: expected instances with a limit, of which one may be slower"));
            }
        }
        let Some(hot) = self.hot_bins else { return Ok(()) };
        let fit =
            hot.bins > 0 && hot.step > 0 && u64::from(hot.bins - 1) * u64::from(hot.step) < u64::from(self.bins) && hot.bins < self.bins;
        if !fit {
            return Err(format!(
                "hot bins: expected fewer than all of {} bins, from 0 on, found {} with a step of {}",
                self.bins, hot.bins, hot.step
            ));
        }
        if !(0.0..=1.0).contains(&hot.share) {
            return Err(format!("hot bins: expected a share from 0 to 1, found {}", hot.share));
        }
        self.heated(text).map(|_| ()).map_err(|why| format!("hot bins: {why}"))
    }

    /// The text with the share of words that the hot bins have, if there are any.
    fn heated(&self, text: &Text) -> Result<Option<Text>, TextError> {
        let Some(hot) = self.hot_bins else { return Ok(None) };
        let group = |word: &str| {
            let bin = bin_of(&word, self.bins).0;
            (bin.is_multiple_of(hot.step) && bin / hot.step < hot.bins).then_some(bin)
        };
        text.with_hot_words(hot.share, group).map(Some)
    }

    /// The job over `text`, emitting for `duration`; `seed` is the index of its first sentence.
    ///
    /// # Panics
    /// If the job does not pass its [check](JobDefinition::check).
    pub fn word_count(&self, text: Arc<Text>, seed: u64, duration: Duration) -> WordCount {
        let checked = self.check(&text).and_then(|()| self.heated(&text).map_err(|why| why.to_string()));
        let text = checked.unwrap_or_else(|why| panic!("{why}")).map_or(text, Arc::new);
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
            stragglers: operator.straggler.iter().cloned().collect(),
            ..OperatorForm::new(name, role, &[input])
        };
        let hot = |HotBins { bins, share, step }| Skew::HotBins { bins, share, step };
        let skew = self.hot_bins.map_or(Skew::Uniform, hot);
        Scenario {
            title: title.to_owned(),
            seconds: duration.as_secs_f64(),
            tick_ms: self.tick_ms,
            catch_up: self.catch_up,
            delay_ms: 0.0,
            control: Control::default(),
            moves: Moves::default(),
            disturb: Disturb::default(),
            nexmark: None,
            operators: vec![
                OperatorForm { rate: Some(self.source_rate), ..OperatorForm::new("source", RoleForm::Source, &[]) },
                OperatorForm { selectivity: words, ..elastic("flatmap", RoleForm::Stateless, "source", &self.flatmap) },
                OperatorForm { skew, ..elastic("count", RoleForm::Keyed, "flatmap", &self.count) },
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
    /// The operator as jobs of the engine have it.
    pub(super) fn config(&self) -> OperatorConfig {
        let capacity = self.limit.map_or(Capacity::Cpu, |rate| Capacity::Limited { rate });
        let marks = self.limit.map_or(QueueMarks::default(), |rate| {
            let records = |seconds: f64| ((seconds * rate.as_per_second()) as u64).max(1);
            QueueMarks { high_records: records(self.queue_high_s), low_records: records(self.queue_low_s) }
        });
        let slow = self.straggler.as_ref().and_then(|form| form.straggler().ok());
        OperatorConfig { capacity, marks, instances: self.instances, max_parallelism: self.max_parallelism, slow }
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

    #[test]
    fn hot_bins_and_stragglers_are_checked_and_stand_in_the_scenario_too() {
        let definition: Definition = toml::from_str(include_str!("../../experiments/definitions/ds2-fig6.toml")).unwrap();
        let text = Text::liber_primus(definition.job.sentence_length());
        let straggler = |speed| Some(StragglerForm { instance: 3, speed, from_s: 10.0, until_s: None });
        let job = |hot: Option<(u32, f64, u32)>, speed: Option<f64>, limited: bool| {
            let mut job = definition.job.clone();
            job.hot_bins = hot.map(|(bins, share, step)| HotBins { bins, share, step });
            job.count.straggler = speed.and_then(straggler);
            job.count.limit = job.count.limit.filter(|_| limited);
            job
        };
        for (job, expected) in [
            (job(Some((0, 0.5, 1)), None, true), "hot bins: expected fewer than all of 4096 bins, from 0 on, found 0 with a step of 1"),
            (job(Some((4096, 0.5, 1)), None, true), "found 4096 with a step of 1"),
            (job(Some((206, 0.5, 20)), None, true), "found 206 with a step of 20"),
            (job(Some((5, 1.5, 20)), None, true), "hot bins: expected a share from 0 to 1, found 1.5"),
            (job(Some((1, 0.5, 1)), None, true), "hot bins: expected a text with words in hot bins, found none"),
            (job(None, Some(0.0), true), "straggler of count: expected speed from 0.000001 to 1, found 0"),
            (job(None, Some(0.5), false), "straggler of count: expected instances with a limit, of which one may be slower"),
        ] {
            let found = job.check(&text).unwrap_err();
            assert!(found.contains(expected), "{found}\n{expected}");
        }
        let both = job(Some((205, 0.5, 20)), Some(0.5), true);
        both.check(&text).unwrap();
        let scenario = both.scenario("x", 20.0, Duration::from_secs(1));
        let count = &scenario.operators[2];
        assert_eq!((count.skew, count.stragglers.len()), (Skew::HotBins { bins: 205, share: 0.5, step: 20 }, 1));
        assert_eq!(Scenario::read(&toml::to_string(&scenario).unwrap()).unwrap(), scenario);
        // Half of the words are in the hot bins, and all of the first instance of twenty.
        let heated = both.word_count(Arc::new(text), 0, Duration::from_secs(1)).text;
        let words: Vec<&str> = heated.sentences().iter().flat_map(|sentence| sentence.split(' ')).collect();
        let hot = words.iter().filter(|word| bin_of(word, 4096).0.is_multiple_of(20)).count() as f64 / words.len() as f64;
        assert!((hot - 0.5).abs() < 1e-3, "{hot}");
    }
}
