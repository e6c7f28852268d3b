//! What policies make of a Flink job under a load that changes in steps: how often they rescale, how
//! long the job is behind, what it takes, and whether each record is counted once.

use std::time::Duration;

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use super::cluster::{self, Cluster};
use super::heard::{Drive, Heard};
use super::sink::Sink;
use crate::experiment::frame::{Row, row};
use crate::experiment::scale::Scaled;
use crate::experiment::study::{Ask, At, Host, Measured, Progress, Study, Trial};
use crate::flink::What;
use crate::stats::median;

/// A job is behind in a second in which the median latency is above this, in ms.
const BEHIND_MS: f64 = 1000.0;

/// An experiment, as its file defines it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlinkConverge {
    /// Length of a window in seconds; policies' intervals are shortened as much as it is shorter
    /// than a minute.
    pub window_s: f64,
    /// Seconds after a restart that are not looked at.
    pub settle_s: f64,
    /// Seconds of a step.
    pub step_s: Scaled<u64>,
    /// Records a second in each step.
    pub rates: Vec<u64>,
    /// Arguments of the job.
    pub job: Vec<String>,
    /// The policies.
    pub policies: Vec<String>,
    /// Policies only at full scale.
    pub policies_at_full: Vec<String>,
    /// Repetitions.
    pub runs: Scaled<u64>,
}

impl Study for FlinkConverge {
    /// The variant is a policy. A row is a step of the load, which is its case:
    ///
    /// - `rate_per_s`: what is due; `from_s`: when it begins
    /// - `actions`: rescales that were reached, of those requested in the step
    /// - `behind_s`: seconds in which the median latency at the sink was above a second
    /// - `instance_s`: instances of all vertices over time
    /// - `latency_ms_p50`, `latency_ms_p99`: at the sink, medians over seconds
    /// - `pause_ms`: the longest time without a record at the sink
    /// - `configuration`: instances at the end of the step
    /// - `records`, `counted`, `lost`: due in the whole run, counted once, and the difference: less
    ///   than 0 if some were counted twice
    fn columns(&self) -> Vec<&'static str> {
        let step = ["rate_per_s", "from_s", "actions", "behind_s", "instance_s", "latency_ms_p50", "latency_ms_p99", "pause_ms"];
        step.into_iter().chain(["configuration", "records", "counted", "lost"]).collect()
    }

    fn trials(&self, ask: &Ask) -> Vec<Trial> {
        let at_full = self.policies_at_full.iter().filter(|_| ask.scale.includes(crate::experiment::scale::Scale::Full));
        let policies: Vec<&String> = self.policies.iter().chain(at_full).collect();
        let trial = |seed, policy: &str| Trial {
            case: "chain".to_owned(),
            start: String::new(),
            variant: policy.to_owned(),
            host: Host::Flink,
            seed,
        };
        let seeds = ask.seeds_from(0, self.runs.at(ask.scale));
        seeds.flat_map(|seed| policies.iter().map(move |policy| trial(seed, policy))).collect()
    }

    fn run(&self, trial: &Trial, at: At<'_>, progress: &dyn Progress) -> anyhow::Result<Measured> {
        progress.part(trial, 0.0, "starts Flink");
        let cluster = Cluster::start(&[])?;
        let (out, step_s) = (cluster.file("sink.jsonl"), self.step_s.at(at.scale));
        let steps = (0_u64..).zip(&self.rates).map(|(number, rate)| format!("{}:{rate}", number * step_s));
        let schedule = steps.collect::<Vec<_>>().join(",");
        let records: u64 = self.rates.iter().map(|rate| rate * step_s).sum();
        let own = [format!("rate={schedule}"), format!("records={records}"), format!("out={}", out.display())];
        let job = cluster.submit(&self.job.iter().cloned().chain(own).collect::<Vec<_>>())?;
        let drive = Drive {
            job: &job,
            is_followed: true,
            policies: std::slice::from_ref(&trial.variant),
            interval: Duration::from_secs_f64(self.window_s),
            settle: Duration::from_secs_f64(self.settle_s),
            windows: None,
        };
        let whole_s = (self.rates.len() as u64 * step_s) as f64;
        let heard = drive.run(&cluster, |at_s, what| progress.part(trial, (at_s / whole_s).min(1.0), what))?;
        // The sink says what it counted when its task is closed.
        let sink = Sink::read(&out)?;
        ensure!(sink.counted > 0, "expected the job to finish and to say what it counted, found nothing");
        Ok(Measured { rows: self.rows(&heard, &sink, step_s, records), series: Vec::new() })
    }

    fn tables(&self) -> &'static [&'static str] {
        &["flink-converge", "flink-steps"]
    }

    fn is_there(&self) -> Result<(), String> {
        cluster::is_there()
    }

    fn check(&self) -> Result<(), String> {
        match self.window_s > 0.0 && self.settle_s >= 0.0 && !self.rates.is_empty() && !self.policies.is_empty() {
            true => Ok(()),
            false => Err("expected window_s > 0, settle_s >= 0, rates and policies".to_owned()),
        }
    }
}

impl FlinkConverge {
    fn rows(&self, heard: &Heard, sink: &Sink, step_s: u64, records: u64) -> Vec<Row> {
        // The load begins when the first record is due, and that is emitted at once.
        let began_ms = sink.seconds.first().map_or(heard.began_ms, |second| second.first - second.p50);
        let step = |(number, rate): (u64, &u64)| {
            let (from_ms, until_ms) = (began_ms + (number * step_s) as f64 * 1e3, began_ms + ((number + 1) * step_s) as f64 * 1e3);
            let is_last = number + 1 == self.rates.len() as u64;
            // What happens before the first record, and while the job finishes, belongs to the step beside it.
            let (lower, upper) = (if number == 0 { 0.0 } else { from_ms }, if is_last { f64::INFINITY } else { until_ms });
            let seen: Vec<_> = sink.between(lower, upper).collect();
            let of = |of: fn(&super::sink::Second) -> f64| median(seen.iter().map(|second| of(second)));
            let behind: std::collections::BTreeSet<u64> =
                seen.iter().filter(|second| second.p50 > BEHIND_MS).map(|second| second.s).collect();
            row([
                ("case", &format!("{rate} a second from {} s", number * step_s)),
                ("rate_per_s", rate),
                ("from_s", &(number * step_s)),
                ("actions", &actions(heard, lower, upper)),
                ("behind_s", &behind.len()),
                ("instance_s", &instance_seconds(heard, from_ms, until_ms).round()),
                ("latency_ms_p50", &of(|second| second.p50).map(f64::round)),
                ("latency_ms_p99", &of(|second| second.p99).map(f64::round)),
                ("pause_ms", &sink.longest_gap_ms(lower, upper).round()),
                ("configuration", &configuration(heard, upper)),
                ("records", &records),
                ("counted", &sink.counted),
                ("lost", &(records as i64 - sink.counted as i64)),
            ])
        };
        (0..).zip(&self.rates).map(step).collect()
    }
}

/// Rescales requested in this time that were reached.
fn actions(heard: &Heard, from_ms: f64, until_ms: f64) -> usize {
    let mut asked_ms = None;
    let mut reached = 0;
    for news in &heard.news {
        match &news.what {
            What::Requested { .. } => asked_ms = Some(heard.wall_ms(news)),
            What::Reached { .. } => reached += usize::from(asked_ms.take().is_some_and(|at| (from_ms..until_ms).contains(&at))),
            _ => {}
        }
    }
    reached
}

/// Instances over this time.
fn instance_seconds(heard: &Heard, from_ms: f64, until_ms: f64) -> f64 {
    let changes = heard.instances();
    let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([f64::INFINITY]);
    // What the job has when it is found it has had since its start.
    let begins = [f64::NEG_INFINITY].into_iter().chain(changes.iter().skip(1).map(|(at, _)| *at));
    let spans = changes.iter().zip(begins.zip(ends));
    spans.map(|((_, instances), (begin, end))| *instances as f64 * (end.min(until_ms) - begin.max(from_ms)).max(0.0) / 1e3).sum()
}

/// The last configuration before this time.
fn configuration(heard: &Heard, until_ms: f64) -> Option<String> {
    let before = heard.news.iter().filter(|news| heard.wall_ms(news) < until_ms);
    let of = |news: &crate::flink::News| match &news.what {
        What::Attached { configuration, .. } | What::Reached { configuration, .. } | What::Running { configuration, .. } => {
            Some(configuration.clone())
        }
        _ => None,
    };
    before.rev().find_map(of)
}
