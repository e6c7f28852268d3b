//! Instances that share workers, in virtual time: what the host keeps to, and where the policy `critical-path` puts them.
//!
//! Each job is one that some configuration on its workers keeps up with. What is asserted is what a user sees: that the policy gets to
//! one in at most two actions, changes nothing back, and names the cause.

use std::collections::BTreeMap;
use std::time::Duration;

use thalweg::activity::{Lane, Record};
use thalweg::controller::EventKind;
use thalweg::dataflow::Plan;
use thalweg::experiment::policies::policy;
use thalweg::experiment::run::RunResult;
use thalweg::experiment::scenario::Scenario;
use thalweg::experiment::simulated::{SimulatedSpec, simulate};
use thalweg::id::WorkerId;
use thalweg::policy::{Cause, Reason};
use thalweg::sim::Simulation;
use thalweg::time::Timestamp;

const ROW: Duration = Duration::from_millis(500);

/// A chain `source → a → b → c → sink` on workers: rates by the second from which each holds, lines about the workers, and for source,
/// a, b and c what an instance does alone per second and further lines.
fn chain(seconds: u32, rates: &[(u32, f64)], workers: &str, operators: [(f64, &str); 4]) -> String {
    let steps: Vec<String> = rates.iter().map(|(start, rate)| format!("{{ start_s = {start}, rate = {rate:?} }}")).collect();
    let [source, a, b, c] = operators;
    let of = |name: &str, role: &str, input: &str, (limit, more): (f64, &str)| {
        format!(
            "[[operators]]\nname = \"{name}\"\nrole = \"{role}\"\ninputs = [\"{input}\"]\nlimit = {limit:?}\nmax_parallelism = 32\n{more}\n"
        )
    };
    format!(
        "title = \"A chain\"\nseconds = {seconds}\n[control]\npolicy_interval_s = 2.0\ntime_factor = 30.0\n[workers]\n{workers}\n\
         [[operators]]\nname = \"source\"\nrole = \"source\"\nlimit = {:?}\nload = {{ shape = \"steps\", steps = [{}] }}\n",
        source.0,
        steps.join(", ")
    ) + &of("a", "stateless", "source", a)
        + &of("b", "keyed", "a", b)
        + &of("c", "stateless", "b", c)
        + "[[operators]]\nname = \"sink\"\nrole = \"sink\"\ninputs = [\"c\"]\n"
}

fn run(text: &str, name: &str) -> RunResult {
    let scenario = Scenario::read(text).unwrap_or_else(|why| panic!("{why}\n{text}"));
    let job = scenario.job();
    let policy = policy(name, &job.topology, scenario.control.time_factor).unwrap();
    let spec = SimulatedSpec { job, seed: 1, controller: scenario.controller(), policy, row_window: ROW };
    simulate(spec, None, |_| {}).expect("nothing is written")
}

/// Whether all that was offered in the last quarter was emitted, and nothing to speak of is late in the end.
fn keeps_up(result: &RunResult) -> bool {
    let rows: Vec<_> = result.timeline.iter().filter(|row| row.offered_per_s.is_some()).collect();
    let last = &rows[rows.len() * 3 / 4..];
    let sum = |of: fn(&thalweg::experiment::rows::TimelineRow) -> Option<f64>| last.iter().filter_map(|row| of(row)).sum::<f64>();
    let late = last[last.len() - 1].lag_records.unwrap_or(0.0) <= last[last.len() - 1].offered_per_s.unwrap_or(0.0);
    sum(|row| row.achieved_per_s) >= 0.99 * sum(|row| row.offered_per_s) && late
}

/// The plans that were begun, with their reasons.
fn plans(result: &RunResult) -> Vec<(&Plan, &Reason)> {
    let begun = result.events.iter().filter_map(|event| match &event.kind {
        EventKind::Rescaling { plan, reason, .. } => Some((plan, reason)),
        _ => None,
    });
    begun.collect()
}

fn told(result: &RunResult) -> String {
    let line = |event: &thalweg::controller::Event| match &event.kind {
        EventKind::Held { reason } => format!("{:.1} held: {reason}\n", event.at.as_secs_f64()),
        kind => format!("{:.1} {kind:?}\n", event.at.as_secs_f64()),
    };
    result.events.iter().map(line).collect()
}

/// It keeps up in the end after at most two actions, none of which takes anything back, and no record is lost.
fn arrives(text: &str) -> RunResult {
    let result = run(text, "critical-path");
    assert!(
        keeps_up(&result) && (1..=2).contains(&result.actions()),
        "{} actions, lag {:?}\n{}",
        result.actions(),
        result.timeline.iter().rev().find_map(|row| row.lag_records),
        told(&result)
    );
    assert_eq!((result.verdict.lost, result.verdict.duplicated), (0, 0));
    let mut instances: BTreeMap<_, u32> = BTreeMap::new();
    for (_, configuration) in &result.configurations {
        for (id, now) in configuration.iter() {
            let before = instances.insert(id, now).unwrap_or(now);
            assert!(now >= before, "{id} had {before}\n{}", told(&result));
        }
    }
    result
}

const ALL_ON_FIRST: &str = "on = [0]";

#[test]
fn operators_that_share_a_worker_are_moved_apart_and_none_is_rescaled() {
    // Source 0.25, a 0.33, b 0.5, c 0.1 of a worker: too much for one, easy for two.
    let operators = [(40_000.0, ""), (30_000.0, ALL_ON_FIRST), (20_000.0, ALL_ON_FIRST), (100_000.0, ALL_ON_FIRST)];
    let text = chain(60, &[(0, 10_000.0)], "count = 2", operators);
    assert!(!keeps_up(&run(&text, "hold")));
    let result = arrives(&text);
    for (plan, reason) in plans(&result) {
        assert!(plan.rescales.is_empty() && reason.rule == "crowded", "{}", told(&result));
        let crowded = |reason: &Reason| {
            reason.findings.iter().any(|finding| (finding.operator.as_str(), finding.cause) == ("worker 0", Cause::Crowded))
        };
        // No operator is said to need instances: it is their worker.
        assert!(reason.findings.iter().all(|finding| finding.cause != Cause::UnderProvisioned), "{reason:?}");
        assert!(crowded(reason) && reason.path.iter().any(|piece| !piece.waiting.is_empty()), "{reason:?}");
    }
}

#[test]
fn pauses_that_a_crowded_worker_causes_ask_for_no_instances() {
    // Queues of ten milliseconds: sources pause for a and for b, neither of which is too slow; their worker has too much to do.
    let queues = format!("{ALL_ON_FIRST}\nqueue_high_s = 0.01\nqueue_low_s = 0.005");
    for (a, b, c) in [(30_000.0, 16_000.0, 200_000.0), (15_000.0, 60_000.0, 60_000.0), (20_000.0, 30_000.0, 80_000.0)] {
        let operators = [(200_000.0, ""), (a, queues.as_str()), (b, queues.as_str()), (c, queues.as_str())];
        let result = run(&chain(30, &[(0, 5_000.0), (8, 12_500.0)], "count = 2", operators), "critical-path");
        let plans = plans(&result);
        let (plan, reason) = plans.first().unwrap_or_else(|| panic!("{}", told(&result)));
        assert!(plan.rescales.is_empty() && reason.rule == "crowded", "{}", told(&result));
    }
}

#[test]
fn a_load_that_outgrows_one_worker_is_spread_over_those_there_are() {
    for workers in [2, 4, 8] {
        // One worker is enough for the first load, not for the second; with more workers the load is higher.
        let rate = 14_000.0 * f64::from(workers) / 2.0;
        let operators = [(160_000.0, ""), (30_000.0, ALL_ON_FIRST), (20_000.0, ALL_ON_FIRST), (100_000.0, ALL_ON_FIRST)];
        let text = chain(90, &[(0, 7_000.0), (20, rate)], &format!("count = {workers}"), operators);
        arrives(&text);
    }
}

#[test]
fn an_operator_that_needs_more_than_a_worker_is_divided() {
    for workers in [2, 4, 8] {
        let operators = [(200_000.0, ""), (100_000.0, ""), (8_000.0, ""), (100_000.0, "")];
        let rate = 8_000.0 * 0.7 * f64::from(workers);
        let text = chain(90, &[(0, 4_000.0), (20, rate)], &format!("count = {workers}"), operators);
        let result = arrives(&text);
        assert!(plans(&result).iter().any(|(plan, _)| plan.rescales.keys().any(|id| id.0 == 2)), "{}", told(&result));
    }
}

#[test]
fn a_worker_that_loses_its_core_is_relieved_and_no_operator_is_blamed() {
    for (workers, share) in [(2, 0.8), (4, 0.8), (4, 0.7), (8, 0.95)] {
        let lost = format!("count = {workers}\nlost = [{{ worker = 1, share = {share:?}, from_s = 20, until_s = 60 }}]");
        let operators = [(100_000.0, ""), (30_000.0, ""), (40_000.0, ""), (100_000.0, "")];
        let text = chain(90, &[(0, 10_000.0)], &lost, operators);
        let result = arrives(&text);
        let host =
            |reason: &Reason| reason.findings.iter().any(|finding| (finding.operator.as_str(), finding.cause) == ("worker 1", Cause::Host));
        assert!(
            plans(&result).iter().all(|(plan, reason)| plan.rescales.is_empty() && host(reason)),
            "{workers} {share}: {}",
            told(&result)
        );
    }
}

#[test]
fn what_no_placement_can_do_is_said_and_nothing_is_added_for_it() {
    // Three workers' worth of work on two.
    let operators = [(100_000.0, ""), (10_000.0, ""), (10_000.0, ""), (10_000.0, "")];
    let result = run(&chain(60, &[(0, 10_000.0)], "count = 2", operators), "critical-path");
    assert!(!keeps_up(&result) && result.actions() <= 2, "{}", told(&result));
    let last = result.events.iter().rev().find_map(|event| if let EventKind::Held { reason } = &event.kind { Some(reason) } else { None });
    assert_eq!(last.unwrap().rule, "no-room", "{last:?}");
}

#[test]
fn late_reports_make_no_window_unreliable() {
    let operators = [(40_000.0, ""), (30_000.0, ALL_ON_FIRST), (20_000.0, ALL_ON_FIRST), (100_000.0, ALL_ON_FIRST)];
    let late = chain(60, &[(0, 10_000.0)], "count = 2\nlate_ms = 700.0", operators);
    let result = arrives(&late);
    assert!(!result.events.iter().any(|event| matches!(event.kind, EventKind::Doubted { .. })), "{}", told(&result));
}

/// What every worker keeps to, whatever happens: it does one thing at a time, everything it does takes the time on its core that it says,
/// and no record is lost.
#[test]
fn a_worker_does_one_thing_at_a_time_and_says_what_it_had_of_its_core() {
    let workers = "count = 3\nlost = [{ worker = 1, share = 0.5, from_s = 3, until_s = 6 }, { worker = 2, from_s = 4, until_s = 5 }]";
    let operators = [
        (90_000.0, ""),
        (30_000.0, "instances = 2"),
        (20_000.0, "instances = 3\nselectivity = 0.7"),
        (40_000.0, "external_wait_ms = 0.01"),
    ];
    let scenario = Scenario::read(&chain(10, &[(0, 9_000.0), (5, 30_000.0)], workers, operators)).unwrap();
    let mut simulation = Simulation::new(&scenario.job(), 3).recording_graph();
    let (mut ends, mut busy): (BTreeMap<WorkerId, Timestamp>, BTreeMap<WorkerId, Duration>) = Default::default();
    let mut core = BTreeMap::new();
    let mut goes_on = true;
    while goes_on {
        let (mut records, until) = (Vec::new(), simulation.reported_until());
        goes_on = simulation.advance(&mut records);
        for record in records {
            assert!(
                record.at() >= until || matches!(record, Record::Operator { .. } | Record::Channel { .. }),
                "{record:?} comes after {until:?}"
            );
            match record {
                Record::Activity(activity) => {
                    let Lane::Worker(worker) = activity.lane else { panic!("{activity:?} has a processor of its own") };
                    let end = ends.entry(worker).or_default();
                    assert!(activity.start >= *end && activity.end >= activity.start, "{activity:?} begins before {end:?}");
                    *end = activity.end;
                    *busy.entry(worker).or_default() += activity.end.since(activity.start);
                }
                Record::Core { worker, ran, denied, .. } => _ = core.insert(worker, (ran, denied)),
                _ => {}
            }
        }
    }
    for worker in [0, 1, 2].map(WorkerId) {
        let (ran, denied): (Duration, Duration) = core[&worker];
        // A worker that has no core at all does nothing that would take time.
        let without = if worker == WorkerId(2) { Duration::from_secs(1) } else { Duration::ZERO };
        let apart = (ran + denied).saturating_sub(without).abs_diff(busy[&worker]);
        assert!(apart < Duration::from_millis(20), "{worker}: {ran:?} and {denied:?} for {:?}", busy[&worker]);
    }
    assert!(core[&WorkerId(1)].1 > Duration::from_secs(1) && core[&WorkerId(0)].1.is_zero(), "{core:?}");
    for account in simulation.accounts() {
        assert_eq!(account.arrived, account.processed + account.waiting);
    }
}
