//! Faults that the policy `critical-path` had, each as a kind: whole runs in virtual time of jobs in which it showed.
//!
//! What each asserts is what a user sees: whether the job keeps up, how long it was behind, how many plans and instances that took.

use std::time::Duration;

use thalweg::experiment::policies::policy;
use thalweg::experiment::run::RunResult;
use thalweg::experiment::scenario::Scenario;
use thalweg::experiment::simulated::{SimulatedSpec, simulate};

const ROW: Duration = Duration::from_millis(500);

/// A run of the scenario under `critical-path`.
fn run(text: &str) -> RunResult {
    let scenario = Scenario::read(text).unwrap();
    let job = scenario.job();
    let policy = policy("critical-path", &job.topology, scenario.control.time_factor).unwrap();
    let spec = SimulatedSpec { job, seed: 1, controller: scenario.controller(), policy, row_window: ROW };
    simulate(spec, None, |_| {}).expect("nothing is written")
}

/// Head of a scenario whose time runs thirty times faster, with a source of these steps of (second, records per second).
fn fast(seconds: u32, steps: &[(f64, f64)]) -> String {
    let steps: Vec<String> = steps.iter().map(|(start, rate)| format!("{{ start_s = {start:?}, rate = {rate:?} }}")).collect();
    format!(
        "title = \"A job\"\nseconds = {seconds}\n[control]\npolicy_interval_s = 2.0\ntime_factor = 30.0\n\
         [[operators]]\nname = \"in\"\nrole = \"source\"\nload = {{ shape = \"steps\", steps = [{}] }}\n",
        steps.join(", ")
    )
}

/// An operator after `input`, with further lines of its own.
fn operator(name: &str, role: &str, input: &str, more: &str) -> String {
    format!("[[operators]]\nname = \"{name}\"\nrole = \"{role}\"\ninputs = [\"{input}\"]\n{more}\n")
}

/// Stragglers that make every instance do a part `speed` of its work from `from_s` to `until_s`.
fn neighbours(speed: f64, from_s: f64, until_s: f64) -> String {
    let slow = |instance| format!("{{ instance = {instance}, speed = {speed:?}, from_s = {from_s:?}, until_s = {until_s:?} }}");
    format!("stragglers = [{}]\nmax_parallelism = 64", (0..64).map(slow).collect::<Vec<_>>().join(", "))
}

/// Seconds in which more than a second of load was late.
fn behind_s(result: &RunResult) -> f64 {
    let late = |lag: Option<f64>, offered: Option<f64>| offered.is_some_and(|offered| lag.unwrap_or(0.0) > offered.max(1.0));
    result.timeline.iter().filter(|row| late(row.lag_records, row.offered_per_s)).count() as f64 * ROW.as_secs_f64()
}

/// Whether all that was offered in the last quarter was emitted, and nothing to speak of is late in the end.
fn keeps_up(result: &RunResult) -> bool {
    let rows: Vec<_> = result.timeline.iter().filter(|row| row.offered_per_s.is_some()).collect();
    let last = &rows[rows.len() * 3 / 4..];
    let sum = |of: fn(&thalweg::experiment::rows::TimelineRow) -> Option<f64>| last.iter().filter_map(|row| of(row)).sum::<f64>();
    let late = last[last.len() - 1].lag_records.unwrap_or(0.0) <= last[last.len() - 1].offered_per_s.unwrap_or(0.0);
    sum(|row| row.achieved_per_s) >= 0.99 * sum(|row| row.offered_per_s) && late
}

fn instances(result: &RunResult, name: &str) -> u32 {
    let operator = result.topology.operators().iter().find(|operator| operator.name == name).unwrap();
    result.last_configuration().parallelism(operator.id)
}

/// Seconds times instances of all scalable operators.
fn instance_s(result: &RunResult) -> f64 {
    let ends = result.configurations.iter().skip(1).map(|(at, _)| at.as_secs_f64()).chain([result.duration.as_secs_f64()]);
    let spans = result.configurations.iter().zip(ends);
    let all = |configuration: &thalweg::dataflow::Configuration| {
        result.topology.scalable().map(|operator| f64::from(configuration.parallelism(operator.id))).sum::<f64>()
    };
    spans.map(|((from, configuration), until)| (until - from.as_secs_f64()) * all(configuration)).sum()
}

#[test]
fn slow_machines_after_a_scale_up_cap_nothing_for_good() {
    let steps = [(0.0, 3000.0), (48.0, 4500.0), (150.0, 8000.0)];
    for (speed, until) in [(0.5, 90.0), (0.7, 70.0)] {
        let job = fast(240, &steps) + &operator("work", "keyed", "in", &format!("limit = 500\n{}", neighbours(speed, 50.0, until)));
        let result = run(&(job + &operator("sink", "sink", "work", "")));
        assert!(keeps_up(&result) && result.actions() <= 6, "{speed}: {} to {}", result.actions(), result.last_configuration());
    }
}

#[test]
fn slow_machines_for_a_while_leave_no_slope_behind() {
    for (speed, until) in [(0.8, 70.0), (0.9, 100.0), (0.75, 62.0)] {
        let job = fast(220, &[(0.0, 3400.0), (48.0, 4700.0), (140.0, 7400.0)])
            + &operator("work", "keyed", "in", &format!("limit = 530\ninstances = 7\n{}", neighbours(speed, 50.0, until)));
        let result = run(&(job + &operator("sink", "sink", "work", "")));
        assert!(keeps_up(&result) && result.actions() <= 4, "{speed}: {} to {}", result.actions(), result.last_configuration());
    }
}

#[test]
fn instances_that_wait_each_for_itself_are_scaled_after_one_step_that_shows_it() {
    let job = |more: &str| {
        let ways = operator("ask", "stateless", "in", more) + &operator("count", "keyed", "ask", "limit = 300");
        fast(200, &[(0.0, 700.0)]) + &ways + &operator("sink", "sink", "count", "")
    };
    let apart = run(&job("limit = 900\nexternal_wait_ms = 12.0"));
    assert!(keeps_up(&apart) && apart.actions() <= 4, "{} to {}", apart.actions(), apart.last_configuration());
    // What all of them share is seen, and the last step is given back; it is tried again seldom.
    let shared = run(&job("limit = 900\ninstances = 4\nexternal_limit = \"300/s\""));
    assert!(!keeps_up(&shared) && instances(&shared, "ask") <= 11 && shared.actions() <= 8, "{}", shared.last_configuration());
}

#[test]
fn what_a_bound_makes_useless_is_given_back() {
    let ways = operator("before", "stateless", "in", "limit = 1100\ninstances = 20")
        + &operator("bound", "keyed", "before", "limit = 700\ninstances = 5\nmax_parallelism = 5")
        + &operator("after", "stateless", "bound", "limit = 900\ninstances = 30");
    let result = run(&(fast(160, &[(0.0, 6000.0)]) + &ways + &operator("sink", "sink", "after", "")));
    // The bound lets 3,500 a second through.
    assert_eq!((instances(&result, "before"), instances(&result, "bound"), result.actions()), (4, 5, 1));
    assert!((4..=5).contains(&instances(&result, "after")), "{}", result.last_configuration());
}

#[test]
fn a_load_that_rises_is_met_before_it_is_there() {
    let rate = |n: u32| 3000.0 - 1800.0 * (f64::from(n) * std::f64::consts::TAU / 60.0).cos();
    let steps: Vec<String> = (0..60).map(|n| format!("{{ start_s = {}.0, rate = {:?} }}", n * 30, rate(n))).collect();
    let head = format!(
        "title = \"A day\"\nseconds = 1800\ntick_ms = 50\n[control]\npolicy_interval_s = 30.0\ntime_factor = 1.0\n\
         [moves]\nbytes_per_s = 300000000.0\nfixed_ms = 20.0\nstart_s = 5.0\n\
         [[operators]]\nname = \"in\"\nrole = \"source\"\nload = {{ shape = \"steps\", steps = [{}] }}\n",
        steps.join(", ")
    );
    let ways = operator("parse", "stateless", "in", "limit = 1300\ninstances = 1")
        + &operator("sum", "keyed", "parse", "limit = 600\ninstances = 3");
    let result = run(&(head + &ways + &operator("sink", "sink", "sum", "")));
    assert!(keeps_up(&result) && behind_s(&result) <= 300.0, "{} s behind", behind_s(&result));
    let needed: f64 = (0..60).map(|n| 30.0 * ((rate(n) / 1300.0).ceil() + (rate(n) / 600.0).ceil())).sum();
    assert!(instance_s(&result) <= 1.3 * needed, "{} of {needed}", instance_s(&result));
}

#[test]
fn few_bins_become_as_many_as_are_needed() {
    let work = operator("work", "keyed", "in", "limit = 400\nbins = 8\nkeys = 50000\ninstances = 2");
    let result = run(&(fast(120, &[(0.0, 5000.0)]) + &work + &operator("sink", "sink", "work", "")));
    assert!(keeps_up(&result) && (13..=17).contains(&instances(&result, "work")), "{}", result.last_configuration());
}

#[test]
fn a_steady_load_is_trimmed_at_once_and_a_few_idle_instances_later() {
    let job = |instances: [u32; 2]| {
        let ways = operator("few", "stateless", "in", &format!("limit = 5000\ninstances = {}", instances[0]))
            + &operator("many", "keyed", "few", &format!("limit = 100\nbins = 4096\ninstances = {}", instances[1]));
        fast(100, &[(0.0, 4000.0)]) + &ways + &operator("sink", "sink", "many", "")
    };
    let far_too_many = run(&job([10, 90]));
    let at = far_too_many.settled_at().unwrap().as_secs_f64();
    assert!(far_too_many.actions() == 1 && at <= 6.1, "{} actions, the last at {at} s", far_too_many.actions());
    // Four of 48 are less than a tenth.
    let a_few = run(&job([5, 43]));
    assert_eq!((a_few.actions(), instances(&a_few, "few")), (1, 1), "{}", a_few.last_configuration());
}
