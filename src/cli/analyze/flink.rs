//! `thalweg analyze --flink`: where the latency of a running Flink job arises, from its checkpoints and counters alone.

use std::time::Duration;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::arguments::{FlinkArgs, length};
use crate::cli::drive::{connect, failure, path};
use crate::cli::failure::{Failure, usage};
use crate::cli::interrupted::{self, Meanwhile};
use crate::controller::Event;
use crate::dataflow::Topology;
use crate::flink::{Allowed, Closed, DriveConfig, Ending, Graph, Limits, Listener, News, Pace, Prepare, Rest, Told, What, drive, text_of};
use crate::metrics::OperatorMetrics;
use crate::observation::Observation;
use crate::policy::{Decision, Needs, Policy, Reason};
use crate::time::Timestamp;

/// The time to look unless another is given.
const LOOK_FOR: &str = "10s";
/// How long an answer may take, and the job to run.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks, and never asks for anything.
struct Looks;

impl Policy for Looks {
    fn needs(&self) -> Needs {
        Needs::Paths
    }

    fn name(&self) -> &'static str {
        "hold"
    }

    fn decide(&mut self, _now: Timestamp, _observation: &Observation) -> Decision {
        Decision::Hold(Reason::new("hold"))
    }
}

impl Prepare for Looks {
    fn limits(&mut self, graph: &Graph, _slots: Option<u32>) -> anyhow::Result<Limits> {
        Ok(Limits::of(graph))
    }

    fn policy(&mut self, _topology: &Topology) -> anyhow::Result<Box<dyn Policy>> {
        Ok(Box::new(Looks))
    }
}

/// What was seen.
#[derive(Default)]
struct Heard {
    is_json: bool,
    job: String,
    flink: String,
    seen: Option<(Topology, Observation, Vec<Told>)>,
}

impl Listener for Heard {
    fn news(&mut self, news: &News) {
        match &news.what {
            What::Attached { job, name, flink, .. } => (self.job, self.flink) = (format!("{name} ({job})"), flink.clone()),
            _ if self.is_json => {}
            what => eprintln!("{what}"),
        }
    }

    fn closed(&mut self, closed: &Closed<'_>) {
        self.seen = Some((closed.topology.clone(), closed.observation.clone(), closed.told.to_vec()));
    }

    fn decided(&mut self, _topology: &Topology, _events: &[Event]) {}
}

pub(super) fn analyze(address: &str, args: &FlinkArgs, is_json: bool) -> Result<(), Failure> {
    let time = length("for", args.look_for.as_deref().unwrap_or(LOOK_FOR))?;
    if !(Duration::from_millis(500)..=Duration::from_secs(86_400)).contains(&time) {
        return Err(usage(anyhow!("--for: expected 500ms to 24h, found {} s", time.as_secs_f64())));
    }
    let poll = (time / 12).clamp(Duration::from_millis(100), Duration::from_secs(10));
    let config = DriveConfig {
        job: args.job.clone(),
        pace: Pace { interval: time, poll, settle: Duration::ZERO },
        warm_up_windows: 0,
        activation_windows: 1,
        rescale_timeout: PATIENCE,
        advise: true,
        excluded: Vec::new(),
        patience: PATIENCE,
        follow: Duration::ZERO,
        windows: Some(1),
        needs_scheduler: false,
    };
    interrupted::listen(Meanwhile::Measures)?;
    let mut link = connect::connect("flink", address, PATIENCE.min(Duration::from_secs(20)))?;
    let mut heard = Heard { is_json, ..Heard::default() };
    let ended = drive(&mut Rest::new(&mut link, Allowed::default()), &config, &mut Looks, &mut heard);
    let ended = ended.map_err(|why| failure(why, Some(address)))?;
    let Some((topology, observation, told)) = &heard.seen else {
        let why = match ended {
            Ending::Ended(state) => format!("the job is {state}"),
            _ => "nothing usable was measured: the job restarted, or its metrics are older than the time to look (--for)".to_owned(),
        };
        return Err(Failure::Run(anyhow!("{why}")));
    };
    if is_json {
        let epochs: Vec<Value> = told.iter().map(|told| path(topology, told)).collect();
        println!("{}", json!({ "job": heard.job, "flink": heard.flink, "observation": observation, "epochs": epochs }));
    } else {
        print!("{}", text(&heard, topology, observation, told));
    }
    Ok(())
}

/// Means over the epochs for one vertex.
#[derive(Clone, Copy, Debug, Default)]
struct Means {
    waits_ms: f64,
    charged_ms: f64,
    service_ms: f64,
    alignment_ms: f64,
}

fn means(vertices: usize, told: &[Told]) -> Vec<Means> {
    let mut all = vec![Means::default(); vertices];
    let epochs = told.len().max(1) as f64;
    for told in told {
        for (wait, service_ms) in told.waits.iter().zip(&told.service_ms) {
            all[wait.hop.vertex].waits_ms += wait.hop.queue_ms / epochs;
            all[wait.hop.vertex].service_ms += service_ms.unwrap_or(0.0) / epochs;
            all[wait.blamed.0].charged_ms += wait.hop.queue_ms / epochs;
        }
        for (means, ms) in all.iter_mut().zip(&told.alignment_ms) {
            means.alignment_ms += ms / epochs;
        }
    }
    all
}

fn text(heard: &Heard, topology: &Topology, observation: &Observation, told: &[Told]) -> String {
    let measured = told.iter().filter(|told| told.checkpoint.is_some()).count();
    let means = means(topology.operators().len(), told);
    let latency: f64 = told.iter().map(Told::latency_ms).sum::<f64>() / told.len().max(1) as f64;
    let from = if measured > 0 { format!("{measured} checkpoints") } else { "counters alone (no aligned checkpoint completed)".to_owned() };
    let mut lines = vec![
        format!("job            {}", heard.job),
        format!("configuration  {}", text_of(topology, &observation.configuration)),
        format!("slowest way    {latency:.1} ms, mean of {from}"),
        String::new(),
        format!(
            "{:<24} {:>9} {:>10} {:>11} {:>11} {:>12} {:>6} {:>10}",
            "vertex", "instances", "records/s", "waits ms", "charged ms", "alignment ms", "busy", "service ms"
        ),
    ];
    for (operator, means) in topology.operators().iter().zip(&means) {
        let metrics = observation.operator(operator.id);
        let rate = (metrics.processed().max(metrics.produced())) as f64 / observation.window.length().as_secs_f64();
        lines.push(format!(
            "{:<24} {:>9} {rate:>10.1} {:>11.1} {:>11.1} {:>12.1} {:>5.0}% {:>10.2}",
            operator.name.chars().take(24).collect::<String>(),
            observation.configuration.parallelism(operator.id),
            means.waits_ms,
            means.charged_ms,
            means.alignment_ms,
            metrics.utilisation() * 100.0,
            means.service_ms,
        ));
    }
    lines.push(String::new());
    lines.push(verdict(topology, observation, told, &means));
    lines.join("\n") + "\n"
}

/// Waits below this are nothing that a change could better.
const NOTHING_MS: f64 = 20.0;

/// The sentence at the end.
fn verdict(topology: &Topology, observation: &Observation, told: &[Told], means: &[Means]) -> String {
    let charged = means.iter().enumerate().max_by(|a, b| a.1.charged_ms.total_cmp(&b.1.charged_ms));
    let Some((vertex, most)) = charged.filter(|(_, most)| most.charged_ms >= NOTHING_MS) else {
        return format!("Nothing waits for long: less than {NOTHING_MS} ms is charged to any vertex.");
    };
    let operator = &topology.operators()[vertex];
    let is_it = |told: &&Told| told.waits.iter().any(|wait| wait.blamed.0 == vertex && wait.hop.queue_ms > 0.0);
    let subtasks: Vec<u32> = told
        .iter()
        .filter(is_it)
        .filter_map(|told| told.waits.iter().find(|wait| wait.blamed.0 == vertex))
        .map(|wait| wait.blamed.1)
        .collect();
    let metrics: &OperatorMetrics = observation.operator(operator.id);
    let busiest = subtasks.iter().copied().max_by_key(|subtask| subtasks.iter().filter(|other| *other == subtask).count()).unwrap_or(0);
    let share = subtasks.iter().filter(|subtask| **subtask == busiest).count() as f64 / subtasks.len().max(1) as f64;
    let of_one = if metrics.instances.len() > 1 && share > 0.5 { format!(", mostly its subtask {busiest}") } else { String::new() };
    format!("Records wait {:.0} ms for '{}'{of_one}.", most.charged_ms, operator.name)
}
