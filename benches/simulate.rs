//! How many times faster than real time jobs are simulated, observers, policy and controller included; on one core.

// A bench reads the clock.
#![allow(clippy::disallowed_methods)]

use std::time::{Duration, Instant};

use thalweg::controller::ControllerConfig;
use thalweg::experiment::policies::{Given, policy, policy_with};
use thalweg::experiment::scenario::{OperatorForm, RoleForm, Scenario};
use thalweg::experiment::simulated::{SimulatedSpec, simulate};
use thalweg::migration::Strategy;
use thalweg::rate::Rate;
use thalweg::sim::Job;

/// Simulates `job` three times; prints the best.
fn bench(name: &str, job: &Job, with: &str) {
    let took = |seed| {
        let controller = ControllerConfig {
            policy_interval: Duration::from_secs(2),
            warm_up_windows: 0,
            activation_windows: 1,
            strategy: Strategy::AllAtOnce,
        };
        let policy = policy(with, &job.topology, 30.0).expect("a policy");
        took(SimulatedSpec { job: job.clone(), seed, controller, policy, row_window: Duration::from_millis(500) })
    };
    print(name, job, (0..3).map(took).fold(f64::INFINITY, f64::min));
}

/// Simulates a scenario once; prints how long that took.
fn bench_scenario(name: &str, scenario: &Scenario, with: &str, settings: &[&str]) {
    let job = scenario.job();
    let settings = settings.iter().map(|setting| setting.parse().expect("a setting")).collect();
    let given = Given { settings, best: Vec::new() };
    let policy = policy_with(with, &job.topology, scenario.control.time_factor, &given).expect("a policy");
    let row_window = scenario.row_window().expect("longer rows");
    print(name, &job, took(SimulatedSpec { job: job.clone(), seed: 0, controller: scenario.controller(), policy, row_window }));
}

/// Seconds that a simulation takes.
fn took(spec: SimulatedSpec) -> f64 {
    let start = Instant::now();
    let result = simulate(spec, None, |_| {}).expect("nothing is written");
    let took = start.elapsed().as_secs_f64();
    assert_eq!((result.verdict.lost, result.verdict.duplicated), (0, 0));
    took
}

fn print(name: &str, job: &Job, took: f64) {
    let seconds = job.duration.as_secs_f64();
    println!("{name:<40} {took:>8.3} s of {seconds:>6.0} s   {:>8.1} times real time", seconds / took);
}

/// A pipeline of `operators` operators that need `instances` instances each, and have them.
fn pipeline(operators: usize, instances: u32, seconds: f64) -> Job {
    let mut scenario = Scenario::read(Scenario::text("heron-wordcount").expect("a scenario")).expect("a scenario");
    let elastic = |index: usize| {
        let role = if index.is_multiple_of(2) { RoleForm::Stateless } else { RoleForm::Keyed };
        let limit = Some(Rate::per_second(1000.0));
        let before = format!("op{index}");
        OperatorForm { limit, instances, ..OperatorForm::new(&format!("op{}", index + 1), role, &[before.as_str()]) }
    };
    let rate = Some(Rate::per_second(900.0 * f64::from(instances)));
    scenario.seconds = seconds;
    scenario.operators = vec![OperatorForm { rate, ..OperatorForm::new("op0", RoleForm::Source, &[]) }];
    scenario.operators.extend((0..operators).map(elastic));
    scenario.operators.push(OperatorForm::new("sink", RoleForm::Sink, &[format!("op{operators}").as_str()]));
    scenario.job()
}

fn main() {
    // Cargo's test runner starts benches to see whether they do.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let heron = Scenario::read(Scenario::text("heron-wordcount").expect("a scenario")).expect("a scenario").job();
    bench("ds2-fig6, ds2, 10 ms ticks", &heron, "ds2");
    bench("ds2-fig6, dhalion, 10 ms ticks", &heron, "dhalion");
    bench("1,000 operators x 20 instances, 10 ms", &pipeline(1000, 20, 10.0), "ds2");
    let week = Scenario::read(include_str!("week.toml")).expect("a scenario");
    bench_scenario("a week of ten operators, ds2", &week, "ds2", &[]);
    bench_scenario("a week of ten operators, critical-path", &week, "critical-path", &["paths=off"]);
}
