//! What the critical path's policy does about instances that are slower than the others of their operator, in virtual time: mild or grave,
//! of keyed and of stateless operators, for good or for a time, in noise.

use thalweg::controller::EventKind;
use thalweg::dataflow::Plan;
use thalweg::experiment::policies::{Given, policy_with};
use thalweg::experiment::rows::TimelineRow;
use thalweg::experiment::run::RunResult;
use thalweg::experiment::scenario::Scenario;
use thalweg::experiment::simulated::{SimulatedSpec, simulate};
use thalweg::id::OperatorId;

const WORK: OperatorId = OperatorId(1);

/// A job of one operator between a source and a sink.
struct Job<'a> {
    role: &'a str,
    instances: u32,
    /// Part of what all instances can do that is offered.
    load: f64,
    /// Slow instances: which, their speed, and from when to when.
    slow: &'a [(u32, f64, f64, f64)],
    /// More lines of the operator, and of the scenario.
    operator: &'a str,
    scenario: &'a str,
}

impl Job<'_> {
    fn run(&self, seed: u64) -> RunResult {
        let slow = self.slow.iter().map(|(instance, speed, from_s, until_s)| {
            format!("{{ instance = {instance}, speed = {speed}, from_s = {from_s}, until_s = {until_s} }}")
        });
        let text = format!(
            r#"
title = "slow instances"
seconds = 200
{}
[control]
policy_interval_s = 2.0
time_factor = 30.0
[[operators]]
name = "in"
role = "source"
rate = "{}/s"
[[operators]]
name = "work"
role = "{}"
inputs = ["in"]
limit = 1000
instances = {}
max_parallelism = 80
stragglers = [{}]
{}
[[operators]]
name = "sink"
role = "sink"
inputs = ["work"]
"#,
            self.scenario,
            (self.load * 1000.0 * f64::from(self.instances)).round(),
            self.role,
            self.instances,
            slow.collect::<Vec<_>>().join(", "),
            self.operator,
        );
        let scenario = Scenario::read(&text).unwrap();
        let job = scenario.job();
        let given = Given { settings: Vec::new(), best: Vec::new() };
        let policy = policy_with("critical-path", &job.topology, 30.0, &given).unwrap();
        let spec =
            SimulatedSpec { job, seed, controller: scenario.controller(), policy, row_window: std::time::Duration::from_millis(500) };
        simulate(spec, None, |_| {}).unwrap()
    }
}

/// Plans that were carried out.
fn plans(result: &RunResult) -> Vec<&Plan> {
    let rescaling = result.events.iter().filter_map(|event| match &event.kind {
        EventKind::Rescaling { plan, .. } => Some(plan),
        _ => None,
    });
    rescaling.collect()
}

/// Seconds in which the job lacked more than a second of load, and whether it kept up over the last 50 seconds.
fn outcome(result: &RunResult) -> (f64, bool) {
    let sources = || result.timeline.iter().filter(|row| row.offered_per_s.is_some());
    let behind = |row: &&TimelineRow| row.lag_records.unwrap_or(0.0) > row.offered_per_s.unwrap_or(0.0);
    let last = || sources().filter(|row| row.window_start_s >= 150.0);
    let sum = |value: fn(&TimelineRow) -> Option<f64>| last().filter_map(value).sum::<f64>();
    let keeps = sum(|row| row.achieved_per_s) >= 0.99 * sum(|row| row.offered_per_s);
    (sources().filter(behind).count() as f64 * 0.5, keeps && !last().next_back().is_some_and(|row| behind(&row)))
}

#[test]
fn a_slow_instance_is_answered_within_seconds_however_slow_it_is() {
    for role in ["keyed", "stateless"] {
        for (instances, speed) in [(4, 0.65), (10, 0.3), (10, 0.65), (10, 0.8), (10, 0.9), (40, 0.3), (40, 0.65), (40, 0.9)] {
            let job = Job { role, instances, load: 0.95, slow: &[(1, speed, 40.0, 1e6)], operator: "", scenario: "" };
            let result = job.run(0);
            let (behind_s, keeps) = outcome(&result);
            assert!(keeps && behind_s <= 25.0, "{role}, {speed} of {instances}: {behind_s} s behind, keeps up: {keeps}");
            assert!(plans(&result).len() <= 4, "{role}, {speed} of {instances}: {:?}", plans(&result));
        }
    }
}

#[test]
fn several_slow_instances_and_noise() {
    for role in ["keyed", "stateless"] {
        let slow = [(1, 0.7, 40.0, 1e6), (2, 0.65, 40.0, 1e6), (7, 0.5, 60.0, 1e6)];
        for (slow, noise) in [(&slow[..], 0.0), (&slow[..], 0.1), (&slow[1..2], 0.1), (&slow[1..2], 0.2)] {
            for seed in 0..3 {
                let scenario = format!("disturb = {{ noise = {noise} }}");
                let result = Job { role, instances: 10, load: 0.92, slow, operator: "", scenario: &scenario }.run(seed);
                let (behind_s, keeps) = outcome(&result);
                assert!(keeps && behind_s <= 60.0, "{role}, noise {noise}, seed {seed}: {behind_s} s behind, keeps up: {keeps}");
            }
        }
    }
}

#[test]
fn noise_alone_moves_nothing() {
    for role in ["keyed", "stateless"] {
        for (noise, instances) in [(0.1, 10), (0.2, 10), (0.2, 30)] {
            for seed in 0..3 {
                let scenario = format!("disturb = {{ noise = {noise} }}");
                let result = Job { role, instances, load: 0.9, slow: &[], operator: "", scenario: &scenario }.run(seed);
                assert!(plans(&result).iter().all(|plan| plan.speeds.is_empty()), "{role}, {noise}: {:?}", plans(&result));
            }
        }
    }
}

#[test]
fn who_has_recovered_gets_its_part_back() {
    let job = Job { role: "stateless", instances: 8, load: 0.92, slow: &[(2, 0.3, 40.0, 80.0)], operator: "", scenario: "" };
    let result = job.run(0);
    assert!(outcome(&result).1);
    let plans = plans(&result);
    assert!(plans[0].rebalances.contains(&WORK) && (plans[0].speeds[&WORK][2] - 0.3).abs() < 0.05, "{plans:?}");
    let last = plans.iter().rev().find(|plan| plan.speeds.contains_key(&WORK)).unwrap();
    assert!(last.speeds[&WORK].iter().all(|speed| *speed == 1.0), "{plans:?}");
}
