//! How good predictions of latency are: random jobs, one change each, predicted against measured.
//!
//! A policy sees windows as `critical-path` does, predicts the 99th percentile of latency that its
//! one change will bring, and makes the change; bins migrate, and the job settles for as long as it
//! is measured afterwards. The what-if model, which re-times measured critical paths, stands beside
//! the formula `s rho / (1 - rho)` of a single queue. A change counts if the job keeps up after it:
//! its sources emit at least 0.99 of what is due, with a lag of less than 0.2 s of load before and
//! after the measured time.

mod change;
mod forecast;

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::anyhow;
use serde::{Deserialize, Serialize};

use change::Change;
use forecast::{Forecast, Forecaster};

use super::frame::{Row, row};
use super::rows::TimelineRow;
use super::run::{RunResult, RunSpec, run};
use super::scale::Scaled;
use super::simulated::{SimulatedSpec, simulate};
use super::study::{Ask, At, Host, Measured, Progress, Study, Trial};
use crate::controller::ControllerConfig;
use crate::dataflow::{Configuration, Topology};
use crate::migration::Strategy;

/// The largest lag, in seconds of load, with which a job keeps up.
const MOST_LAG_S: f64 = 0.2;
/// Jobs of a seed: the job with number 20,000,003 is the fourth of seed 20.
const JOBS_PER_SEED: u64 = 1_000_000;
/// One job in this many is overloaded before its change.
const OVERLOADED: u64 = 4;
/// The interval reaches from the prediction over to the prediction times the exponential of this
/// many standard deviations: 80 % of a normal distribution.
const DEVIATIONS: f64 = 1.28;
/// Lower ends of bands of utilisation.
const BANDS: [f64; 4] = [0.9, 0.8, 0.6, 0.0];

/// An experiment, as its file defines it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhatIf {
    /// The seed from which jobs are drawn.
    pub first_seed: u64,
    /// Changes in virtual time.
    pub changes: Scaled<u64>,
    /// Changes on the engine, where they run only if that host is asked for.
    pub changes_on_engine: Scaled<u64>,
}

/// Times of a trial in seconds.
struct Timing {
    /// Length of a window on which the policy decides.
    window_s: f64,
    /// Windows before the change, where the job keeps up and where it is overloaded.
    windows: (u32, u32),
    /// Windows that are left out at the start and after the change.
    warm_up: u32,
    /// The first half has the change and the time to settle, the second half is measured.
    half_s: f64,
}

const SIM: Timing = Timing { window_s: 2.0, windows: (15, 4), warm_up: 0, half_s: 120.0 };
const ENGINE: Timing = Timing { window_s: 0.4, windows: (8, 4), warm_up: 1, half_s: 5.0 };

impl WhatIf {
    /// Trials of a seed on a host, in the order of their jobs' numbers, without end. Jobs in which
    /// no change is possible are left out.
    pub fn changes_of(seed: u64, host: Host) -> impl Iterator<Item = Trial> {
        let trial = move |number: u64| {
            let change = Change::drawn_for(host, number, number.is_multiple_of(OVERLOADED))?;
            Some(Trial { case: change.kind.to_string(), start: String::new(), variant: PATHS.to_owned(), host, seed: number })
        };
        (seed * JOBS_PER_SEED..).filter_map(trial)
    }
}

/// The predictions: by the what-if model, and by the formula.
const PATHS: &str = "paths";
const FORMULA: &str = "formula";

impl Study for WhatIf {
    /// A row for each prediction. The case is the kind of change, the variant what predicted: the
    /// model (`paths`), or the `formula`. The seed is the job's number.
    ///
    /// - `operator`, `instances_before`, `instances_after`: what changes
    /// - `kept_up_before`: whether the job kept up before the change; it does afterwards
    /// - `utilisation`, `utilisation_from`: predicted busy part of the fullest instance after it,
    ///   and the lower end of its band
    /// - `before_ns_p99`, `measured_ns_p99`, `predicted_ns_p99`: 99th percentile of latency in the
    ///   last window before the change, in the time measured after it, and as predicted; the last
    ///   is empty where the job was expected not to keep up
    /// - `low_ns`, `high_ns`, `in_interval`: the model's interval, and whether the measured value
    ///   is in it
    /// - `predicted_over_measured`, `relative_error`: their ratio, and how far it is from 1;
    ///   infinite where nothing was predicted
    /// - `records`: of the measured time
    /// - `shape`: what the job looks like
    fn columns(&self) -> Vec<&'static str> {
        let job = ["operator", "instances_before", "instances_after", "kept_up_before", "utilisation", "utilisation_from"];
        let latencies = ["before_ns_p99", "measured_ns_p99", "predicted_ns_p99", "low_ns", "high_ns", "in_interval"];
        let errors = ["predicted_over_measured", "relative_error", "records", "shape"];
        [&job[..], &latencies, &errors].concat()
    }

    fn trials(&self, ask: &Ask) -> Vec<Trial> {
        let host = ask.host.unwrap_or(Host::Sim);
        let changes = if host == Host::Engine { self.changes_on_engine } else { self.changes };
        let many = (changes.at(ask.scale) * ask.repeat.max(1)) as usize;
        WhatIf::changes_of(self.first_seed + ask.first_seed, host).take(many).collect()
    }

    fn run(&self, trial: &Trial, _: At<'_>, _: &dyn Progress) -> anyhow::Result<Measured> {
        let change = Change::drawn_for(trial.host, trial.seed, trial.seed.is_multiple_of(OVERLOADED)).expect("trials have a change");
        let (result, forecast) = match trial.host {
            Host::Engine => on_engine(&change)?,
            _ => in_virtual_time(&change)?,
        };
        // A run may be over before its change where its job hardly gets anywhere.
        let rows = forecast.try_recv().ok().zip(settled(&result)).map(|(forecast, settled)| rows(&change, &forecast, settled));
        Ok(Measured { rows: rows.unwrap_or_default(), series: Vec::new() })
    }

    fn tables(&self) -> &'static [&'static str] {
        &["predictions", "predictions-by-change", "predictions-by-utilisation"]
    }
}

type Ran = (RunResult, Receiver<Forecast>);

fn in_virtual_time(change: &Change) -> anyhow::Result<Ran> {
    let mut job = change.scenario.job();
    job.duration = Duration::from_secs_f64(2.0 * SIM.half_s);
    let (policy, forecast) = forecaster(change, &job.topology, &job.configuration, &SIM);
    let row_window = Duration::from_secs_f64(SIM.half_s);
    let spec = SimulatedSpec { job, seed: change.number, controller: controller(&SIM), policy, row_window };
    Ok((simulate(spec, None, |_| {})?, forecast))
}

fn on_engine(change: &Change) -> anyhow::Result<Ran> {
    let mut scenario = change.scenario.clone();
    scenario.seconds = 2.0 * ENGINE.half_s;
    let job = scenario.word_count(change.number).map_err(|why| anyhow!("{why}"))?;
    let (policy, forecast) = forecaster(change, &job.topology(), &job.configuration(), &ENGINE);
    let row_window = Duration::from_secs_f64(ENGINE.half_s);
    let spec = RunSpec { job, controller: controller(&ENGINE), policy, row_window, needed: BTreeMap::new() };
    Ok((run(spec, None, |_| {})?, forecast))
}

fn forecaster(change: &Change, topology: &Topology, start: &Configuration, timing: &Timing) -> (Box<Forecaster>, Receiver<Forecast>) {
    let (give, forecast) = channel();
    let windows = if change.overloaded { timing.windows.1 } else { timing.windows.0 };
    (Box::new(Forecaster::new(topology, start, change.plan.clone(), windows, give)), forecast)
}

fn controller(timing: &Timing) -> ControllerConfig {
    let policy_interval = Duration::from_secs_f64(timing.window_s);
    ControllerConfig { policy_interval, warm_up_windows: timing.warm_up, activation_windows: 1, strategy: Strategy::AllAtOnce }
}

/// 99th percentile of latency in nanoseconds, and records, of the second half of a run; none if the
/// plan was not carried out or the job does not keep up.
fn settled(result: &RunResult) -> Option<(u64, u64)> {
    let lag_s = |row: &TimelineRow| row.lag_records.unwrap_or(0.0) / row.offered_per_s.unwrap_or(1.0);
    let [first, second] = [0, 1].map(|half| result.timeline.iter().filter(|row| row.offered_per_s.is_some()).nth(half));
    let (first, second) = (first?, second?);
    let keeps_up = second.achieved_per_s? >= 0.99 * second.offered_per_s? && lag_s(first) < MOST_LAG_S && lag_s(second) < MOST_LAG_S;
    let latency = result.latency.get(1).filter(|_| keeps_up && result.actions() == 1)?;
    Some((latency.latency_ns_p99?, latency.records))
}

/// The rows of a change: a prediction each.
fn rows(change: &Change, forecast: &Forecast, (measured_ns, records): (u64, u64)) -> Vec<Row> {
    let operator = &change.scenario.operators[change.operator.0 as usize].name;
    let band = BANDS.into_iter().find(|from| forecast.utilisation >= *from);
    let ns = |seconds: f64| (seconds * 1e9).round();
    let model = forecast.prediction.as_ref().map(|prediction| (ns(prediction.quantile_s(0.99)), prediction.error));
    let end = |sign: f64| model.map(|(ns, error)| (ns * (sign * DEVIATIONS * error).exp()).round());
    let (low, high) = (end(-1.0), end(1.0));
    // A value is in no interval where nothing was predicted.
    let holds = low.zip(high).is_some_and(|(low, high)| (low..=high).contains(&(measured_ns as f64)));
    let of = |variant: &str, predicted: Option<f64>, interval: [Option<f64>; 2], holds: Option<bool>| {
        let ratio = predicted.map(|ns| ns / measured_ns as f64);
        row([
            ("variant", &variant),
            ("operator", operator),
            ("instances_before", &change.instances.0),
            ("instances_after", &change.instances.1),
            ("kept_up_before", &forecast.kept_up),
            ("utilisation", &((forecast.utilisation * 1e3).round() / 1e3)),
            ("utilisation_from", &band),
            ("before_ns_p99", &forecast.before_ns_p99),
            ("measured_ns_p99", &measured_ns),
            ("predicted_ns_p99", &predicted),
            ("low_ns", &interval[0]),
            ("high_ns", &interval[1]),
            ("in_interval", &holds),
            ("predicted_over_measured", &ratio),
            ("relative_error", &ratio.map_or(f64::INFINITY, |ratio| (ratio - 1.0).abs())),
            ("records", &records),
            ("shape", &change.shape),
        ])
    };
    vec![of(PATHS, model.map(|(ns, _)| ns), [low, high], Some(holds)), of(FORMULA, forecast.formula_s.map(ns), [None, None], None)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::bench::Bench;
    use crate::experiment::definition::Definition;

    #[test]
    fn changes_in_virtual_time_are_predicted_and_measured() {
        let definition = Definition::named("what-if").unwrap();
        let folder = tempfile::tempdir().unwrap();
        // Overloaded before, and not.
        let asked = [0, 1].map(|rest| {
            let numbers = definition.study.trials(&Ask::default()).into_iter().map(|trial| trial.seed);
            numbers.filter(|number| number % OVERLOADED == rest).take(2).collect::<Vec<_>>()
        });
        let ask = Ask { seeds: asked.concat(), ..Ask::default() };
        let frame = Bench::here(&definition, ask.clone(), folder.path()).run(&()).unwrap().frame;
        assert!(frame.rows().len() >= 4 && frame.rows().len().is_multiple_of(2), "{:?}", frame.rows());
        for pair in frame.rows().chunks(2) {
            let text = |row: &Row, column: &str| row[column].clone();
            assert_eq!(["variant", "seed"].map(|column| text(&pair[0], column))[0], PATHS);
            assert_eq!((text(&pair[1], "variant"), text(&pair[0], "seed")), (FORMULA.to_owned(), text(&pair[1], "seed")));
            assert!(text(&pair[0], "measured_ns_p99").parse::<u64>().unwrap() > 0 && text(&pair[1], "in_interval").is_empty());
        }
        assert_eq!(frame, Bench::here(&definition, ask, folder.path()).run(&()).unwrap().frame);
    }

    #[test]
    fn whatever_is_drawn_can_be_run() {
        for host in [Host::Sim, Host::Engine] {
            let changes = (0..20_000).filter_map(|number| Change::drawn_for(host, number, number.is_multiple_of(OVERLOADED)));
            let checked: Vec<_> = changes.map(|change| (change.number, change.scenario.check())).collect();
            assert!(checked.len() > 5_000, "{}", checked.len());
            let wrong = checked.iter().find(|(_, check)| check.is_err());
            assert_eq!(wrong, None, "{}", host.name());
        }
    }

    #[test]
    fn a_change_on_the_engine_is_asked_for() {
        let definition = Definition::named("what-if").unwrap();
        let hosts = |host| {
            let trials = Bench::trials(&definition, &Ask { host, ..Ask::default() }).unwrap();
            trials.iter().map(|trial| trial.host).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(hosts(None), [Host::Sim].into());
        assert_eq!(hosts(Some(Host::Engine)), [Host::Engine].into());
    }
}
