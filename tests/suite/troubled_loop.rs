//! Whole loops in virtual time in which records get lost, come late or come twice, or the host gives plans up; and loops without any of
//! it, in which no window may be doubted.

use std::time::Duration;

use crate::random_job::{Kind, random_job};
use thalweg::controller::{ControllerConfig, Event, EventKind};
use thalweg::dataflow::Configuration;
use thalweg::experiment::policies::{Given, policy_with};
use thalweg::experiment::run::RunResult;
use thalweg::experiment::scenario::Scenario;
use thalweg::experiment::simulated::{SimulatedSpec, simulate};
use thalweg::id::OperatorId;
use thalweg::migration::Strategy;

/// A chain of three that needs 3, 4 and 2 instances at first, and twice that from the middle of the run on.
fn chain(seconds: u32, interval_s: f64, disturb: &str) -> String {
    let half = seconds / 2;
    format!(
        r#"
        title = "A chain whose load doubles"
        seconds = {seconds}
        [control]
        policy_interval_s = {interval_s}
        time_factor = 30
        [disturb]
        {disturb}
        [[operators]]
        name = "in"
        role = "source"
        load = {{ shape = "steps", steps = [{{ start_s = 0, rate = 3000 }}, {{ start_s = {half}, rate = 6000 }}] }}
        [[operators]]
        name = "parse"
        role = "stateless"
        inputs = ["in"]
        limit = 1150
        [[operators]]
        name = "count"
        role = "keyed"
        inputs = ["parse"]
        limit = 610
        selectivity = 0.7
        bins = 512
        instances = 2
        [[operators]]
        name = "format"
        role = "stateless"
        inputs = ["count"]
        limit = 1200
        instances = 6
        [[operators]]
        name = "out"
        role = "sink"
        inputs = ["format"]
        "#
    )
}

/// One operator that has just what it needs.
fn enough(disturb: &str) -> String {
    format!(
        r#"
        title = "An operator that has what it needs"
        seconds = 90
        [control]
        policy_interval_s = 2
        time_factor = 30
        [disturb]
        {disturb}
        [[operators]]
        name = "in"
        role = "source"
        rate = 7600
        [[operators]]
        name = "check"
        role = "stateless"
        inputs = ["in"]
        limit = 1000
        instances = 8
        [[operators]]
        name = "out"
        role = "sink"
        inputs = ["check"]
        "#
    )
}

fn run(scenario: &str, policy: &str, seed: u64) -> RunResult {
    let scenario = Scenario::read(scenario).expect("a scenario");
    let job = scenario.job();
    let policy = policy_with(policy, &job.topology, scenario.control.time_factor, &Given::default()).expect("a policy");
    let spec = SimulatedSpec { job, seed, controller: scenario.controller(), policy, row_window: Duration::from_millis(500) };
    simulate(spec, None, |_| {}).expect("a result")
}

/// Operators that went down, one after the other.
fn decreases(result: &RunResult) -> usize {
    let fell = |pair: &[(_, Configuration)]| pair[0].1.iter().filter(|(id, before)| pair[1].1.parallelism(*id) < *before).count();
    result.configurations.windows(2).map(fell).sum()
}

/// Whether all that is due over the last quarter is emitted, and none of it a second late at the end.
fn keeps_up(result: &RunResult) -> bool {
    let from = result.duration.as_secs_f64() * 0.75;
    let rows = || result.timeline.iter().filter(|row| row.offered_per_s.is_some() && row.window_start_s >= from);
    let (offered, achieved) = rows().fold((0.0, 0.0), |(offered, achieved), row| {
        (offered + row.offered_per_s.unwrap_or(0.0), achieved + row.achieved_per_s.unwrap_or(0.0))
    });
    let last = rows().next_back().expect("a row of the source");
    achieved >= 0.99 * offered && last.lag_records <= last.offered_per_s
}

fn count(result: &RunResult, is: impl Fn(&EventKind) -> bool) -> usize {
    result.events.iter().filter(|event| is(&event.kind)).count()
}

#[test]
fn a_loop_that_is_told_little_acts_as_one_that_is_told_all() {
    for (interval_s, disturb) in [
        (2.0, "lost = 0.15"),
        (2.0, "lost = 0.3\nperiod_s = 0.7"),
        (3.0, "lost = 0.25\nnoise = 0.05"),
        (2.0, "late = 0.3\nperiod_s = 1.3"),
        (3.0, "lost = 0.1\nlate = 0.1\nduplicated = 0.1\nperiod_s = 0.5"),
    ] {
        for seed in 0..3 {
            let result = run(&chain(240, interval_s, disturb), "critical-path", seed);
            let told = format!("{interval_s} s, {disturb}, seed {seed}: {:?}", result.configurations);
            assert!(keeps_up(&result), "{told}");
            // What the first load does not need of the last operator may go, and nothing else: its load then asks for more again.
            let fewest = result.configurations.iter().map(|(_, one)| one.parallelism(OperatorId(3))).min();
            assert!(decreases(&result) <= 1 && fewest >= Some(2), "{told}");
            assert!(result.actions() <= 5, "{told}");
        }
    }
}

#[test]
fn ours_leaves_a_job_alone_that_has_what_it_needs_because_records_get_lost() {
    for disturb in ["lost = 0.3", "lost = 0.4\nperiod_s = 0.3", "late = 0.3", "duplicated = 0.3\nperiod_s = 0.8"] {
        for seed in 0..3 {
            let undisturbed = run(&enough(""), "critical-path", seed).last_configuration().clone();
            let result = run(&enough(disturb), "critical-path", seed);
            assert_eq!(result.last_configuration(), &undisturbed, "{disturb}, seed {seed}");
            // What the rows say of rates lacks what got lost, too.
            assert_eq!(result.actions(), 0, "{disturb}, seed {seed}: {:?}", result.configurations);
        }
    }
}

/// Every third window at least there is something to go by, however long the windows.
#[test]
fn a_policy_is_never_blind_for_long() {
    for (interval_s, lost) in [(2.0, 0.3), (5.0, 0.3), (10.0, 0.2), (30.0, 0.3)] {
        let result = run(&chain(600, interval_s, &format!("lost = {lost}\nperiod_s = 1")), "critical-path", 1);
        let doubted = |event: &Event| matches!(event.kind, EventKind::Doubted { .. });
        let longest = result.events.split(|event| !doubted(event)).map(<[Event]>::len).max();
        assert!(longest <= Some(4), "{interval_s} s: {longest:?} windows one after the other");
    }
}

/// What is doubted of jobs in which nothing is lost: skew, stragglers, cycles, joins, noise, waits, migrations of every kind.
#[test]
fn nothing_is_doubted_where_nothing_is_lost() {
    let runs: u64 = std::env::var("THALWEG_RUNS").map_or(120, |runs| runs.parse().expect("a number of runs"));
    let (mut windows, mut doubted) = (0, Vec::new());
    for seed in 0..runs {
        let mut job = random_job(seed, Kind::Any);
        job.disturbance.lost = 0.0;
        job.disturbance.late = 0.0;
        job.disturbance.duplicated = 0.0;
        // Also a grid that samples do not fit.
        job.tick = Duration::from_millis([10, 50, 70, 100, 250][seed as usize % 5]);
        let policy_interval = Duration::from_millis([500, 1000, 2000, 3700][seed as usize % 4]);
        let strategy = [Strategy::AllAtOnce, Strategy::Fluid][seed as usize / 4 % 2];
        let controller = ControllerConfig { policy_interval, warm_up_windows: 0, activation_windows: 1, strategy };
        let name = ["hold", "ds2", "critical-path"][seed as usize % 3];
        let policy = policy_with(name, &job.topology, 30.0, &Given::default()).expect("a policy");
        let result =
            simulate(SimulatedSpec { job, seed, controller, policy, row_window: Duration::from_secs(1) }, None, |_| {}).expect("a result");
        windows += result.events.len();
        doubted
            .extend(result.events.into_iter().filter(|event| matches!(event.kind, EventKind::Doubted { .. })).map(|event| (seed, event)));
    }
    println!("{} of {windows} windows doubted", doubted.len());
    assert!(windows as u64 > 3 * runs && doubted.is_empty(), "{} of {windows} windows: {doubted:?}", doubted.len());
}

#[test]
fn plans_that_the_host_gives_up_are_tried_ever_more_seldom() {
    for policy in ["threshold", "dhalion", "ds2", "flink-autoscaler", "critical-path"] {
        let result = run(&chain(200, 2.0, "failed_actions = 1.0"), policy, 0);
        let tries = count(&result, |kind| matches!(kind, EventKind::Rescaling { .. }));
        assert!((1..=10).contains(&tries), "{policy}: {tries} tries");
        assert_eq!((result.actions(), result.failed_actions()), (0, tries), "{policy}");
        assert!(
            count(&result, |kind| matches!(kind, EventKind::Postponed { .. } | EventKind::Held { .. })) > 50,
            "{policy} is still asked"
        );
    }
}

#[test]
fn a_host_that_gives_up_now_and_then_gets_there_all_the_same() {
    for seed in 0..5 {
        let result = run(&chain(400, 2.0, "failed_actions = 0.5"), "critical-path", seed);
        assert!(keeps_up(&result), "seed {seed}: {:?}", result.configurations);
        assert!(result.actions() + result.failed_actions() <= 20, "seed {seed}");
    }
}
