//! Whether barriers of checkpoints name what is slow in a Flink job, and whether the queues that they
//! measure are those that records stood in.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use super::cluster::{self, Cluster};
use super::heard::{Drive, Heard};
use super::sink::{PART_MS, Sink};
use crate::experiment::frame::{Row, row};
use crate::experiment::scale::Scaled;
use crate::experiment::study::{Ask, At, Host, Measured, Progress, Study, Trial};
use crate::flink::{Told, mostly_blamed};
use crate::id::OperatorId;
use crate::metrics::{InstanceMetrics, OperatorMetrics};
use crate::stats::median;

/// The variant: paths are measured by barriers.
const BARRIERS: &str = "barriers";
/// Queues are compared with the truth from this on, in ms.
const LEAST_MS: f64 = 100.0;

/// An experiment, as its file defines it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlinkPaths {
    /// Length of a window in seconds.
    pub window_s: f64,
    /// Seconds after the start that are not looked at.
    pub settle_s: f64,
    /// Windows that are looked at.
    pub windows: Scaled<u64>,
    /// Repetitions.
    pub runs: Scaled<u64>,
    /// Policies that are asked what they would do with each window, and not followed.
    #[serde(default)]
    pub asked: Vec<String>,
    /// The situations.
    pub situations: Vec<Situation>,
}

/// A job in which something is slow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Situation {
    /// What it is called.
    pub name: String,
    /// What is slow: a vertex, or a subtask as `NAME[NUMBER]`.
    pub slow: String,
    /// Arguments of the job.
    pub job: Vec<String>,
    /// Lines of Flink's configuration that are otherwise than usual.
    #[serde(default)]
    pub settings: Vec<String>,
}

impl Situation {
    /// The vertex that is slow, or one of whose subtasks is.
    fn vertex(&self) -> &str {
        self.slow.split('[').next().unwrap_or_default()
    }
}

impl FlinkPaths {
    fn situation(&self, name: &str) -> anyhow::Result<&Situation> {
        self.situations.iter().find(|situation| situation.name == name).context("a situation of the definition")
    }
}

impl Study for FlinkPaths {
    /// The case is a situation. The first row of one has no `name`:
    ///
    /// - `slow`: what is slow in truth; `epochs`: checkpoints that were looked at; `named_share`: the
    ///   share of them that name it; `named`: what most of them name, and `most_share`: how many do
    /// - `instances`, `busy_mean`, `busy_most`, `service_ms`: of the slow vertex, what rates say: its
    ///   instances, the shares of time that all of them and the busiest are busy, and the time that they
    ///   take for a record; medians over windows
    /// - `asked`, `asks`: the first policy that was asked, and how many instances of the slow vertex it
    ///   would have, the median over windows; `also`, `also_asks`: of the second, and `also_finds`: what
    ///   it finds wrong with that vertex in most windows
    /// - `latency_ms`, `sink_ms_p99`: a record's whole way by barriers and service, median over
    ///   epochs, and what the sink saw
    ///
    /// The others have a vertex as `name`, if it is on the path of an epoch:
    ///
    /// - `queue_ms`, `truth_ms`: mean time in the queue of the path's subtask by barriers, and of
    ///   records of that subtask which came to the sink just before the barrier: a queue may change by
    ///   half of itself in a second, in step with checkpoints
    /// - `queue_over_truth`: their ratio where the truth is above 100 ms
    /// - `alignment_ms`: mean time that a subtask of the vertex waits for its last barrier, and records of
    ///   its fast inputs with it: no part of the path's queue
    /// - `compared`: epochs in these means
    fn columns(&self) -> Vec<&'static str> {
        let named = ["slow", "epochs", "named_share", "named", "most_share", "latency_ms", "sink_ms_p99"];
        let rates = ["instances", "busy_mean", "busy_most", "service_ms", "asked", "asks", "also", "also_asks", "also_finds"];
        let queues = ["name", "queue_ms", "truth_ms", "queue_over_truth", "alignment_ms", "compared"];
        named.into_iter().chain(rates).chain(queues).collect()
    }

    fn trials(&self, ask: &Ask) -> Vec<Trial> {
        let trial = |seed, situation: &Situation| Trial {
            case: situation.name.clone(),
            start: String::new(),
            variant: BARRIERS.to_owned(),
            host: Host::Flink,
            seed,
        };
        let seeds = ask.seeds_from(0, self.runs.at(ask.scale));
        seeds.flat_map(|seed| self.situations.iter().map(move |situation| trial(seed, situation))).collect()
    }

    fn run(&self, trial: &Trial, at: At<'_>, progress: &dyn Progress) -> anyhow::Result<Measured> {
        let situation = self.situation(&trial.case)?;
        let windows = self.windows.at(at.scale);
        progress.part(trial, 0.0, "starts Flink");
        let cluster = Cluster::start(&situation.settings)?;
        let out = cluster.file("sink.jsonl");
        let own = [format!("out={}", out.display()), format!("parts={PART_MS}")];
        let arguments: Vec<String> = situation.job.iter().cloned().chain(own).collect();
        let job = cluster.submit(&arguments)?;
        let (interval, settle) = (Duration::from_secs_f64(self.window_s), Duration::from_secs_f64(self.settle_s));
        let drive = Drive { job: &job, is_followed: false, policies: &self.asked, interval, settle, windows: Some(windows) };
        let whole_s = self.settle_s + windows as f64 * self.window_s;
        let heard = drive.run(&cluster, |at_s, what| progress.part(trial, at_s / whole_s, what))?;
        cluster.cancel(&job)?;
        let mut measured = rows(situation, &heard, &Sink::read(&out)?)?;
        measured.rows[0].extend(self.by_rates(situation, &heard));
        Ok(measured)
    }

    fn tables(&self) -> &'static [&'static str] {
        &["flink-paths", "flink-queues"]
    }

    fn is_there(&self) -> Result<(), String> {
        cluster::is_there()
    }

    fn check(&self) -> Result<(), String> {
        match self.window_s > 0.0 && self.settle_s >= 0.0 && !self.situations.is_empty() {
            true if self.asked.len() > 2 => Err(format!("asked: expected at most two policies, found {}", self.asked.len())),
            true => Ok(()),
            false => Err("expected window_s > 0, settle_s >= 0 and situations".to_owned()),
        }
    }
}

impl FlinkPaths {
    /// What rates say of the slow vertex, and what policies would do.
    fn by_rates(&self, situation: &Situation, heard: &Heard) -> Row {
        let vertex = heard.names.iter().position(|name| *name == situation.vertex()).map(|number| OperatorId(number as u32));
        let Some(vertex) = vertex else { return Row::new() };
        let of = |of: &dyn Fn(&OperatorMetrics) -> Option<f64>| {
            median(heard.answers.iter().filter_map(|answers| of(answers.observation.operator(vertex)))).map(hundredth)
        };
        let busiest = |operator: &OperatorMetrics| operator.instances.iter().map(InstanceMetrics::utilisation).reduce(f64::max);
        let service_ms = |operator: &OperatorMetrics| {
            let rate = operator.true_processing_rate()?.as_per_second() / operator.instances.len() as f64;
            (rate > 0.0).then(|| 1e3 / rate)
        };
        let wants = |number: usize| {
            let wanted = heard.answers.iter().filter_map(|answers| answers.answers.get(number));
            median(wanted.map(|answer| f64::from(answer.wanted.parallelism(vertex))))
        };
        let finds = |number: usize| {
            let answers = heard.answers.iter().filter_map(|answers| answers.answers.get(number));
            let mut causes: BTreeMap<String, usize> = BTreeMap::new();
            for answer in answers {
                let cause = answer.findings.iter().find(|finding| finding.operator == situation.vertex());
                *causes.entry(cause.map_or("nothing".to_owned(), |finding| finding.cause.to_string())).or_default() += 1;
            }
            causes.into_iter().max_by_key(|(_, many)| *many).map(|(cause, _)| cause)
        };
        row([
            ("instances", &of(&|operator| Some(operator.instances.len() as f64))),
            ("busy_mean", &of(&|operator| Some(operator.utilisation()))),
            ("busy_most", &of(&busiest)),
            ("service_ms", &of(&service_ms)),
            ("asked", &self.asked.first()),
            ("asks", &wants(0)),
            ("also", &self.asked.get(1)),
            ("also_asks", &wants(1)),
            ("also_finds", &finds(1)),
        ])
    }
}

/// What an epoch and those before it say is slow.
fn named(heard: &Heard, told: &[Told]) -> Option<(String, String)> {
    let ((vertex, subtask), _) = mostly_blamed(told)?;
    let name = heard.names.get(vertex)?;
    Some((name.clone(), format!("{name}[{subtask}]")))
}

fn rows(situation: &Situation, heard: &Heard, sink: &Sink) -> anyhow::Result<Measured> {
    let epochs: Vec<Told> = heard.told.iter().filter(|told| told.checkpoint.is_some()).cloned().collect();
    ensure!(!epochs.is_empty(), "expected checkpoints to measure paths from, found none");
    let mut names: BTreeMap<String, u64> = BTreeMap::new();
    let (mut right, mut queues) = (0_u64, BTreeMap::<usize, Vec<(f64, f64)>>::new());
    for (number, told) in epochs.iter().enumerate() {
        let (vertex, subtask) = named(heard, &epochs[..=number]).unwrap_or_default();
        right += u64::from(situation.slow == vertex || situation.slow == subtask);
        *names.entry(subtask).or_default() += 1;
        compare(heard, told, sink, &mut queues);
    }
    let most = names.iter().max_by_key(|(_, many)| **many);
    let latency_ms = median(epochs.iter().map(Told::latency_ms));
    let (first, last) = (epochs[0].at, epochs[epochs.len() - 1].at);
    let wall_ms = |at: crate::time::Timestamp| heard.began_ms + at.as_secs_f64() * 1e3;
    let seen = sink.between(wall_ms(first), wall_ms(last) + 1e3);
    let sink_ms_p99 = median(seen.map(|second| second.p99));
    let mut all = vec![row([
        ("slow", &situation.slow),
        ("epochs", &epochs.len()),
        ("named_share", &(right as f64 / epochs.len() as f64)),
        ("named", &most.map(|(name, _)| name.clone())),
        ("most_share", &most.map(|(_, many)| *many as f64 / epochs.len() as f64)),
        ("latency_ms", &latency_ms.map(tenth)),
        ("sink_ms_p99", &sink_ms_p99.map(tenth)),
    ])];
    for (vertex, pairs) in queues {
        let aligned: f64 = epochs.iter().filter_map(|told| told.alignment_ms.get(vertex)).sum();
        let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / pairs.len() as f64;
        let (queue, truth) = (mean(|pair| pair.0), mean(|pair| pair.1));
        all.push(row([
            ("name", &heard.names[vertex]),
            ("queue_ms", &tenth(queue)),
            ("truth_ms", &tenth(truth)),
            ("queue_over_truth", &(truth > LEAST_MS).then_some((queue / truth * 1e3).round() / 1e3)),
            ("alignment_ms", &tenth(aligned / epochs.len() as f64)),
            ("compared", &pairs.len()),
        ]));
    }
    Ok(Measured { rows: all, series: Vec::<Row>::new() })
}

fn hundredth(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

fn tenth(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}

/// Adds queues of an epoch's path, each with the truth, by vertex.
fn compare(heard: &Heard, told: &Told, sink: &Sink, queues: &mut BTreeMap<usize, Vec<(f64, f64)>>) {
    // The first wait is what the source had not emitted; barriers begin after it.
    for wait in told.waits.iter().skip(1) {
        let vertex = wait.hop.vertex;
        let hop = format!("{}[{}]", heard.names[vertex], wait.hop.subtask);
        if let Some(truth) = sink.queue_ms(told.arrived_ms, &hop) {
            queues.entry(vertex).or_default().push((wait.hop.queue_ms, truth));
        }
    }
}
