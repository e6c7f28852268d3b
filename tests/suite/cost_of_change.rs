//! Changes that cost something, in virtual time: state that moves slowly, instances that start slowly, loads that come and go, and a
//! latency goal that is missed by nothing but the moves. What the policy did, beside a job that is left as it is.

use std::time::Duration;

use thalweg::controller::EventKind;
use thalweg::experiment::policies::{Given, policy_with};
use thalweg::experiment::scenario::Scenario;
use thalweg::experiment::simulated::{SimulatedSpec, best, needs, simulate};

/// What a run came to.
#[derive(Debug)]
struct Outcome {
    /// Times of actions, in seconds.
    actions: Vec<f64>,
    /// Seconds with a lag of more than a second of the load.
    behind_s: f64,
    /// Whether, over the last quarter, what was due was emitted, and hardly anything lags at the end.
    keeps_up: bool,
    moved_bytes: u64,
    instance_s: f64,
    /// Part of the rows whose 99th percentile was beyond the goal.
    missed: f64,
}

/// Runs a scenario under `policy`, which is told the goal if it is to have one.
fn run(text: &str, policy: &str, goal_ms: f64) -> Outcome {
    let scenario = Scenario::read(text).unwrap();
    let job = scenario.job();
    let topology = job.topology.clone();
    let settings =
        if goal_ms > 0.0 && policy == "critical-path" { vec![format!("goal_ms={goal_ms}").parse().unwrap()] } else { Vec::new() };
    let given = Given { settings, best: best(&topology, &needs(&job)) };
    let policy = policy_with(policy, &topology, scenario.control.time_factor, &given).unwrap();
    let spec = SimulatedSpec { job, seed: 1, controller: scenario.controller(), policy, row_window: Duration::from_millis(500) };
    let run = simulate(spec, None, |_| {}).unwrap();
    let end_s = run.duration.as_secs_f64();
    let rows = run.timeline.iter().filter_map(|row| Some((row.window_start_s, row.offered_per_s?, row.achieved_per_s?, row.lag_records?)));
    let rows: Vec<_> = rows.collect();
    let (offered, achieved) = rows.iter().filter(|row| row.0 >= end_s * 0.75).fold((0.0, 0.0), |sum, row| (sum.0 + row.1, sum.1 + row.2));
    let last = rows.last().unwrap();
    let rescaling = run.events.iter().filter(|event| matches!(event.kind, EventKind::Rescaling { .. }));
    let p99s: Vec<f64> = run.latency.iter().filter_map(|row| row.latency_ns_p99).map(|ns| ns as f64 / 1e6).collect();
    let mut instance_s = 0.0;
    for (index, (at, configuration)) in run.configurations.iter().enumerate() {
        let until_s = run.configurations.get(index + 1).map_or(end_s, |(at, _)| at.as_secs_f64());
        let instances: u32 = topology.scalable().map(|operator| configuration.parallelism(operator.id)).sum();
        instance_s += (until_s - at.as_secs_f64()) * f64::from(instances);
    }
    Outcome {
        actions: rescaling.map(|event| event.at.as_secs_f64()).collect(),
        behind_s: rows.iter().filter(|row| row.3 > row.1).count() as f64 * 0.5,
        keeps_up: achieved >= 0.99 * offered && last.3 <= last.1,
        moved_bytes: run.moved_bytes.unwrap(),
        instance_s,
        missed: p99s.iter().filter(|p99| **p99 > goal_ms).count() as f64 / p99s.len() as f64,
    }
}

/// A source with `load`, a stateless operator and a keyed one; `moves` and `keyed` are what is special about them.
fn scenario(interval_s: u32, load: &str, moves: &str, instances: (u32, u32), keyed: &str) -> String {
    format!(
        r#"
        title = "A change that costs something"
        seconds = 240
        control = {{ policy_interval_s = {interval_s}, time_factor = 30.0 }}
        moves = {{ {moves} }}
        [[operators]]
        name = "in"
        role = "source"
        load = {{ {load} }}
        [[operators]]
        name = "parse"
        role = "stateless"
        inputs = ["in"]
        limit = 1500
        instances = {}
        [[operators]]
        name = "join"
        role = "keyed"
        inputs = ["parse"]
        limit = 600
        instances = {}
        {keyed}
        [[operators]]
        name = "sink"
        role = "sink"
        inputs = ["join"]
        "#,
        instances.0, instances.1
    )
}

const STEP: &str = r#"shape = "steps", steps = [{ start_s = 0, rate = 2000 }, { start_s = 50, rate = 5000 }]"#;
const LARGE: &str = "bins = 512\n keys = 5000000\n bytes_per_key = 1000";

#[test]
fn instances_that_start_slowly_are_waited_for() {
    for start_s in [5, 9, 14] {
        let text = scenario(2, STEP, &format!("start_s = {start_s}"), (2, 4), "");
        let (ours, ds2) = (run(&text, "critical-path", 0.0), run(&text, "ds2", 0.0));
        let started_s = ours.actions[0] + f64::from(start_s);
        assert!(ours.actions[1..].iter().all(|at| *at > started_s), "{start_s} s: {ours:?}");
        assert!(ours.keeps_up && ours.actions.len() <= 2 && ours.behind_s < ds2.behind_s, "{start_s} s: {ours:?} {ds2:?}");
    }
}

#[test]
fn a_load_that_rises_again_meanwhile_is_not_waited_out() {
    let load = r#"shape = "steps", steps = [{ start_s = 0, rate = 2000 }, { start_s = 50, rate = 4000 }, { start_s = 54, rate = 8000 }]"#;
    let ours = run(&scenario(2, load, "start_s = 20", (2, 4), ""), "critical-path", 0.0);
    assert!(ours.actions[1] < 65.0, "{ours:?}");
}

#[test]
fn state_that_is_expensive_moves_once() {
    let load = r#"shape = "sine", mean = 5000, amplitude = 1500, period_s = 60.0"#;
    for bytes_per_s in [80e6, 160e6, 320e6] {
        let moves = format!("bytes_per_s = {bytes_per_s:.1}, fixed_ms = 20.0");
        let text = scenario(2, load, &moves, (4, 9), LARGE);
        let (ours, hold) = (run(&text, "critical-path", 0.0), run(&text, "hold", 0.0));
        assert!(ours.keeps_up && ours.actions.len() <= 2 && ours.moved_bytes < 4_000_000_000, "{bytes_per_s}: {ours:?}");
        assert!(ours.behind_s < hold.behind_s, "{bytes_per_s}: {ours:?} {hold:?}");
    }
    // With little of it the load is followed.
    let text = scenario(2, load, "", (4, 9), "bins = 512\n keys = 5000\n bytes_per_key = 10");
    let ours = run(&text, "critical-path", 0.0);
    assert!(ours.keeps_up && ours.actions.len() > 6, "{ours:?}");
}

#[test]
fn a_load_that_comes_and_goes_is_served_by_its_peak() {
    for period_s in [15, 20, 30, 40] {
        let load = format!(r#"shape = "square", high = 6000, low = 900, period_s = {period_s}"#);
        let text = scenario(5, &load, "start_s = 1", (4, 10), "bins = 1024");
        let ours = run(&text, "critical-path", 0.0);
        assert!(ours.actions.is_empty() && ours.behind_s == 0.0, "{period_s} s: {ours:?}");
    }
    // Two minutes of each are long enough.
    let load = r#"shape = "steps", steps = [{ start_s = 0, rate = 6000 }, { start_s = 80, rate = 900 }]"#;
    let ours = run(&scenario(5, load, "start_s = 1", (4, 10), "bins = 1024"), "critical-path", 0.0);
    assert!(ours.instance_s < 0.7 * 14.0 * 240.0, "{ours:?}");
}

#[test]
fn a_goal_is_not_missed_by_moves() {
    let load = r#"shape = "sine", mean = 4600, amplitude = 1200, period_s = 50.0"#;
    let keyed = format!("{LARGE}\n service = {{ distribution = \"exponential\" }}");
    for bytes_per_s in [200e6, 400e6] {
        let text = scenario(2, load, &format!("bytes_per_s = {bytes_per_s:.1}, fixed_ms = 10.0"), (4, 10), &keyed);
        let ours = run(&text, "critical-path", 500.0);
        assert!(ours.actions.len() <= 2 && ours.missed <= 0.05, "{bytes_per_s}: {ours:?}");
    }
}

/// Two branches, both with more instances than keep up: those of `slow` are not needed, without those of `busy` latency would exceed the goal.
#[test]
fn a_surplus_is_removed_as_far_as_the_goal_allows() {
    for (slow, busy, goal_ms) in [(60, 14, 450.0), (60, 20, 500.0)] {
        let text = format!(
            r#"
            title = "A surplus beside a goal"
            seconds = 240
            control = {{ policy_interval_s = 2.0, time_factor = 30.0 }}
            [[operators]]
            name = "in"
            role = "source"
            rate = 180
            [[operators]]
            name = "slow"
            role = "stateless"
            inputs = ["in"]
            limit = 7
            instances = {slow}
            [[operators]]
            name = "busy"
            role = "stateless"
            inputs = ["in"]
            limit = 20
            service = {{ distribution = "exponential" }}
            instances = {busy}
            [[operators]]
            name = "join"
            role = "keyed"
            inputs = ["slow", "busy"]
            limit = 900
            [[operators]]
            name = "sink"
            role = "sink"
            inputs = ["join"]
            "#
        );
        let (ours, hold) = (run(&text, "critical-path", goal_ms), run(&text, "hold", goal_ms));
        assert!(ours.keeps_up && ours.actions.len() <= 2, "{slow} {busy}: {ours:?}");
        assert!(ours.instance_s < 0.75 * hold.instance_s && ours.missed <= hold.missed + 0.02, "{slow} {busy}: {ours:?} {hold:?}");
    }
}
