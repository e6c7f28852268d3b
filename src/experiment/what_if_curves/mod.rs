//! Predicted against done: what `analyze --what-if` says that a cheaper or dearer operator would give, and what it gives when its
//! instances really become faster or slower.
//!
//! A random job runs and its activity is recorded. The record is timed again for each change, as `analyze --what-if` does. Then the job
//! runs again, several times in virtual time, without a change and for each change with another limit of that operator. Compared is the
//! mean latency of epochs by their records, of those that were due until the earliest of the last ones that any run completed.

mod compared;
mod job;

use std::time::Duration;

use anyhow::anyhow;
use serde::{Deserialize, Serialize};

use compared::{Compared, Latencies, latencies, retimed};
use job::{Job, Shape};

use super::frame::{Row, row};
use super::scale::Scaled;
use super::scenario::Scenario;
use super::study::{Ask, At, Host, Measured, Progress, Study, Trial};
use crate::activity::Record;
use crate::sim::Simulation;

/// Gains that differ by less than this part of the latency are as good as equal.
const EQUAL_GAINS: f64 = 0.02;
/// So are those that differ by less than so many standard errors of what was measured.
const ERRORS: f64 = 2.0;
/// The cost of an operator's work where operators are compared.
const COMPARED: f64 = 0.5;

/// An experiment, as its file defines it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhatIfCurves {
    /// The seed from which jobs are drawn.
    pub first_seed: u64,
    /// Jobs of each shape in virtual time.
    pub jobs: Scaled<u64>,
    /// How long each runs.
    pub seconds: f64,
    /// How often it runs without a change and with each, beside the record: service times are drawn by another seed each time.
    pub runs: u64,
    /// Jobs of each shape on the engine, where they run only if that host is asked for.
    pub jobs_on_engine: Scaled<u64>,
    /// How long each runs there.
    pub seconds_on_engine: f64,
}

/// Rows of changes, and rows of what operators' changes say of their order.
const CHANGE: &str = "change";
const RANKING: &str = "ranking";

impl Study for WhatIfCurves {
    /// A row for each change (`variant` is `change`), and one for each job that compares its operators (`ranking`). The case is the
    /// shape of the job.
    ///
    /// - `name`: the operator and by how much its work is cheaper, negative where it is dearer, which is also `percent`
    /// - `operator`, `cost`: whose work costs how many times as much; of a ranking the operator whose gain is the greatest
    /// - `before_ms`, `measured_ms`, `predicted_ms`: mean latency before, with the change done, and as predicted
    /// - `retimed_ms`: the latency before as the record is timed again without a change
    /// - `measured_speedup`, `predicted_speedup`: how many times as fast
    /// - `predicted_over_measured`, `speedup_error`: their ratio, and how far it is from 1
    /// - `ranking_right`: of a ranking, whether operators whose measured gains differ have predicted gains in the same order
    /// - `records`: of the epochs that are compared
    fn columns(&self) -> Vec<&'static str> {
        let change = ["name", "operator", "cost", "percent", "before_ms", "retimed_ms", "measured_ms", "predicted_ms"];
        let result = ["measured_speedup", "predicted_speedup", "predicted_over_measured", "speedup_error", "ranking_right", "records"];
        change.into_iter().chain(result).collect()
    }

    fn trials(&self, ask: &Ask) -> Vec<Trial> {
        let host = ask.host.unwrap_or(Host::Sim);
        let jobs = if host == Host::Engine { self.jobs_on_engine } else { self.jobs };
        let shapes = Shape::ALL.into_iter().filter(|shape| host != Host::Engine || on_engine(*shape));
        let trial =
            |shape: Shape, seed| Trial { case: shape.name().to_owned(), start: String::new(), variant: CHANGE.to_owned(), host, seed };
        let of = |shape| ask.seeds_from(self.first_seed, jobs.at(ask.scale)).map(move |seed| trial(shape, seed));
        shapes.flat_map(of).collect()
    }

    fn run(&self, trial: &Trial, _: At<'_>, progress: &dyn Progress) -> anyhow::Result<Measured> {
        let shape = Shape::ALL.into_iter().find(|shape| shape.name() == trial.case).expect("trials are of the study");
        let job = Job::drawn(shape, trial.seed, trial.host);
        let seconds = if trial.host == Host::Engine { self.seconds_on_engine } else { self.seconds };
        let runs = (job.changes.len() + 1) as f64;
        let records = |scenario, seed| match trial.host {
            Host::Engine => run_on_engine(scenario, seconds, seed),
            _ => Ok(run_in_virtual_time(scenario, seconds, seed)),
        };
        // None of the runs that are compared is the record.
        let seeds = (1..=if trial.host == Host::Engine { 1 } else { self.runs }).map(|run| trial.seed * 1000 + run);
        let retimed = retimed(&records(job.scenario.clone(), trial.seed * 1000)?, &job);
        let of = |scenario: &Scenario| -> anyhow::Result<Vec<Latencies>> {
            seeds.clone().map(|seed| Ok(latencies(&records(scenario.clone(), seed)?))).collect()
        };
        let before = of(&job.scenario)?;
        progress.part(trial, 1.0 / runs, "recorded");
        let mut found = Vec::new();
        for (number, (operator, cost)) in job.changes.iter().enumerate() {
            let after = of(&job.changed(operator, *cost))?;
            let pairs: Vec<(&Latencies, Latencies)> = before.iter().zip(after).collect();
            found.push(Compared::of(operator, *cost, &pairs, (&retimed, number + 1)));
            progress.part(trial, (number + 2) as f64 / runs, operator);
        }
        let found = found.into_iter().flatten().collect::<Vec<Compared>>();
        let mut rows: Vec<Row> = found.iter().map(change_row).collect();
        rows.extend(ranking(&found));
        Ok(Measured { rows, series: Vec::new() })
    }

    fn tables(&self) -> &'static [&'static str] {
        &["what-if-curves", "what-if-curves-by-case"]
    }
}

/// A word count is a chain; nothing outside is waited for there.
fn on_engine(shape: Shape) -> bool {
    matches!(shape, Shape::Chain | Shape::Skewed | Shape::Overloaded)
}

fn run_in_virtual_time(scenario: Scenario, seconds: f64, seed: u64) -> Vec<Record> {
    let mut job = scenario.job();
    job.duration = Duration::from_secs_f64(seconds);
    let mut simulation = Simulation::new(&job, seed).recording_graph();
    let mut records = Vec::new();
    while simulation.advance(&mut records) {}
    records
}

fn run_on_engine(mut scenario: Scenario, seconds: f64, seed: u64) -> anyhow::Result<Vec<Record>> {
    scenario.seconds = seconds;
    let job = scenario.word_count(seed).map_err(|why| anyhow!("{why}"))?;
    let running = job.start()?;
    let records = running.log.iter().flat_map(|batch| batch.records).collect();
    running.join()?;
    Ok(records)
}

fn change_row(change: &Compared) -> Row {
    let (measured, predicted) = change.speedups();
    row([
        ("variant", &CHANGE),
        ("name", &format!("{} {} %", change.operator, ((1.0 - change.cost) * 100.0).round())),
        ("operator", &change.operator),
        ("cost", &change.cost),
        ("percent", &((1.0 - change.cost) * 100.0).round()),
        ("before_ms", &change.measured().0),
        ("retimed_ms", &change.retimed),
        ("measured_ms", &change.measured().1),
        ("predicted_ms", &change.predicted),
        ("measured_speedup", &measured),
        ("predicted_speedup", &predicted),
        ("predicted_over_measured", &(predicted / measured)),
        ("speedup_error", &(predicted / measured - 1.0).abs()),
        ("records", &change.records),
    ])
}

/// Whether the operators' predicted gains are in the order of those that were measured, at the same change of each.
fn ranking(found: &[Compared]) -> Option<Row> {
    let compared: Vec<&Compared> = found.iter().filter(|change| change.cost == COMPARED).collect();
    let best = compared.iter().max_by(|a, b| a.measured_gain().total_cmp(&b.measured_gain()))?;
    let pairs = compared.iter().flat_map(|a| compared.iter().map(move |b| (a, b)));
    let differs = |(a, b): &(&&Compared, &&Compared)| {
        let (more, error) = a.beyond(b);
        more > EQUAL_GAINS.max(ERRORS * error)
    };
    let right = pairs.filter(differs).all(|(a, b)| a.predicted_gain() > b.predicted_gain());
    Some(row([("variant", &RANKING), ("operator", &best.operator), ("cost", &COMPARED), ("ranking_right", &right)]))
}
