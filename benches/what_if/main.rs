//! How good predictions of latency are: random jobs, one change each, predicted against measured
//! once settled.
//!
//! ```text
//! cargo bench --bench what_if            # 300 changes in virtual time and 24 on the engine
//! cargo bench --bench what_if -- --host sim --seed 3 --changes 100
//! ```
//!
//! Prints a row a change as CSV ([`Row`]) on standard output and a summary on standard error: the
//! median and the 90th percentile of the relative error of the 99th percentile of latency, the same
//! for the formula `s rho / (1 - rho)` of one queue, and how often the interval held what was
//! measured. Changes before which a job did not keep up are counted apart.
//!
//! A policy ([`Asked`]) sees windows as `critical-path` does, predicts what its change will bring
//! and makes it; bins move, and the job settles for as long as it is measured afterwards. A change
//! counts if the job then keeps up: sources emit 0.99 of what is due or more, with a lag of less
//! than [`MOST_LAG_S`] before and after the measured time.
//!
//! Jobs are drawn from a seed that was not looked at while the model was developed ([`SEED`]).
//! Without `--bench`, as `cargo test` runs it, two changes in virtual time show that it works.

mod asked;
mod row;
mod trial;

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::time::Duration;

use asked::Asked;
use clap::Parser;
use rayon::prelude::*;
use row::{Measured, Row, summarise};
use thalweg::controller::ControllerConfig;
use thalweg::experiment::run::{RunResult, RunSpec, run};
use thalweg::experiment::simulated::{SimulatedSpec, simulate};
use thalweg::migration::Strategy;
use trial::Trial;

/// Lag before and after the measured time, in seconds of load, with which a job keeps up.
const MOST_LAG_S: f64 = 0.2;
/// Jobs that no other seed draws.
const JOBS_A_SEED: u64 = 1_000_000;
/// So many jobs are drawn before their rows are printed, at most.
const MOST_AT_ONCE: u64 = 64;
/// The seed of the figures that count. The model was developed on others: 1 to 9.
const SEED: u64 = 20;
/// One change in so many is to be from overload to relief.
const RELIEF: u64 = 4;

/// Seconds of a trial.
struct Timing {
    /// Length of a window on which the policy decides.
    window_s: f64,
    /// Windows before the change, where the job keeps up and where it does not.
    windows: (u32, u32),
    /// Windows that are left out at the start and after the change.
    warm_up: u32,
    /// The change and what settles are in the first half of a trial, the second half is measured.
    half_s: f64,
}

const SIM: Timing = Timing { window_s: 2.0, windows: (15, 4), warm_up: 0, half_s: 120.0 };
const ENGINE: Timing = Timing { window_s: 0.4, windows: (8, 4), warm_up: 1, half_s: 5.0 };

fn main() {
    let asked = Arguments::parse();
    let (changes, changes_on_engine) = asked.wanted();
    let mut rows = csv::Writer::from_writer(std::io::stdout());
    let mut print = |found: &[Row]| {
        found.iter().for_each(|row| rows.serialize(row).expect("standard output takes rows"));
        rows.flush().expect("standard output takes rows");
    };
    if changes > 0 {
        let found = simulated(asked.seed, changes, &mut print);
        summarise("virtual time", &found);
    }
    if changes_on_engine > 0 {
        let found = on_engine(asked.seed, changes_on_engine, &mut print);
        summarise("engine", &found);
    }
}

/// Where a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Host {
    Sim,
    Engine,
}

/// What is asked for.
#[derive(Debug, clap::Parser)]
struct Arguments {
    /// The host; both without it.
    #[arg(long)]
    host: Option<Host>,
    /// Jobs are drawn from it.
    #[arg(long, default_value_t = SEED)]
    seed: u64,
    /// Changes in virtual time that count, those from overload not among them.
    #[arg(long, default_value_t = 300)]
    changes: usize,
    /// Changes on the engine.
    #[arg(long, default_value_t = 24)]
    on_engine: usize,
    /// What cargo gives a bench that is to measure. Without it a few changes show that it works.
    #[arg(long, hide = true)]
    bench: bool,
    /// As without `--bench`.
    #[arg(long)]
    test: bool,
}

impl Arguments {
    /// Changes in virtual time and on the engine.
    fn wanted(&self) -> (usize, usize) {
        let (changes, on_engine) = if self.bench && !self.test { (self.changes, self.on_engine) } else { (2, 0) };
        match self.host {
            None => (changes, on_engine),
            Some(Host::Sim) => (changes, 0),
            Some(Host::Engine) => (0, on_engine),
        }
    }
}

/// Changes in virtual time, as many as asked for before which the job kept up.
fn simulated(seed: u64, changes: usize, mut print: impl FnMut(&[Row])) -> Vec<Row> {
    let (mut rows, mut next): (Vec<Row>, u64) = (Vec::new(), seed * JOBS_A_SEED);
    let steady = |rows: &[Row]| rows.iter().filter(|row| row.set == "steady").count();
    while steady(&rows) < changes {
        // Jobs side by side, their rows in order.
        let until = next + (2 * (changes - steady(&rows)) as u64 + 8).min(MOST_AT_ONCE);
        let found: Vec<Option<Row>> = (next..until).into_par_iter().map(one_simulated).collect();
        let found: Vec<Row> = found.into_iter().flatten().collect();
        print(&found);
        rows.extend(found);
        next = until;
    }
    rows
}

fn one_simulated(number: u64) -> Option<Row> {
    let trial = Trial::simulated(number, number.is_multiple_of(RELIEF))?;
    let mut job = trial.scenario.job();
    job.duration = Duration::from_secs_f64(2.0 * SIM.half_s);
    let (tell, told) = channel();
    let policy = Asked::new(&job.topology, &job.configuration, trial.plan.clone(), windows(&SIM, &trial), tell);
    let row_window = Duration::from_secs_f64(SIM.half_s);
    let spec = SimulatedSpec { job, seed: number, controller: controller(&SIM), policy: Box::new(policy), row_window };
    let result = simulate(spec, None, |_| {}).expect("no file is written");
    Some(Row::of("sim", &trial, &told.try_recv().ok()?, measured(&result)?))
}

/// Changes on the engine, one after the other.
fn on_engine(seed: u64, changes: usize, mut print: impl FnMut(&[Row])) -> Vec<Row> {
    let (mut rows, mut next): (Vec<Row>, u64) = (Vec::new(), seed * JOBS_A_SEED);
    while rows.len() < changes {
        let found = one_on_engine(next);
        print(found.as_slice());
        rows.extend(found);
        next += 1;
    }
    rows
}

fn one_on_engine(number: u64) -> Option<Row> {
    let mut trial = Trial::on_engine(number, number.is_multiple_of(RELIEF))?;
    trial.scenario.seconds = 2.0 * ENGINE.half_s;
    let (tell, told) = channel();
    let job = trial.scenario.word_count(number).unwrap_or_else(|why| panic!("job {number}: {why}"));
    let policy = Asked::new(&job.topology(), &job.configuration(), trial.plan.clone(), windows(&ENGINE, &trial), tell);
    let row_window = Duration::from_secs_f64(ENGINE.half_s);
    let spec = RunSpec { job, controller: controller(&ENGINE), policy: Box::new(policy), row_window, needed: BTreeMap::new() };
    let result = run(spec, None, |_| {}).unwrap_or_else(|why| panic!("job {number}: {why}"));
    Some(Row::of("engine", &trial, &told.try_recv().ok()?, measured(&result)?))
}

fn windows(timing: &Timing, trial: &Trial) -> u32 {
    if trial.overloaded { timing.windows.1 } else { timing.windows.0 }
}

fn controller(timing: &Timing) -> ControllerConfig {
    let policy_interval = Duration::from_secs_f64(timing.window_s);
    ControllerConfig { policy_interval, warm_up_windows: timing.warm_up, activation_windows: 1, strategy: Strategy::AllAtOnce }
}

/// What the second half of a run measured; nothing if the plan was not carried out or the job does
/// not keep up.
fn measured(result: &RunResult) -> Option<Measured> {
    let lag_s = |row: &thalweg::experiment::rows::TimelineRow| row.lag_records.unwrap_or(0.0) / row.offered_per_s.unwrap_or(1.0);
    let [first, second] = [0, 1].map(|half| result.timeline.iter().filter(|row| row.offered_per_s.is_some()).nth(half));
    let (first, second) = (first?, second?);
    let keeps_up = second.achieved_per_s? >= 0.99 * second.offered_per_s? && lag_s(first) < MOST_LAG_S && lag_s(second) < MOST_LAG_S;
    let latency = result.latency.get(1).filter(|_| keeps_up && result.actions() == 1)?;
    Some(Measured { ms_p99: latency.latency_ns_p99? as f64 / 1e6, records: latency.records })
}
