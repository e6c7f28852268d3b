//! What the policy does about each cause, one observation after the other; and that whatever it asks for can be carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::activity::BinLoad;
use crate::critical_path::{Arrival, EpochPart, EpochPieceKind, InputTraffic, OperatorTraffic, PathGroup, PathPiece, WindowPaths};
use crate::dataflow::{Configuration, Plan};
use crate::id::{BinId, ChannelId, OperatorId};
use crate::policy::{Cause, fixture};
use crate::rate::Rate;

mod change;

const FLATMAP: OperatorId = OperatorId(1);
const COUNT: OperatorId = OperatorId(2);
const WINDOW_S: f64 = 2.0;

/// What the instances of an operator are like in a window: records per second, share of arrivals, part of busy time spent waiting.
#[derive(Clone, Debug)]
struct Group(Vec<(f64, f64, f64)>);

impl Group {
    fn even(instances: u32, rate: f64) -> Group {
        Group(vec![(rate, 1.0 / f64::from(instances), 0.0); instances as usize])
    }
}

/// The word count (each sentence is 20 words) with so many sentences a second offered and achieved, in its `n`-th window.
fn window(n: u32, (offered, achieved, lag): (f64, f64, f64), flatmap: &Group, count: &Group) -> Observation {
    let topology = fixture::word_count();
    let configuration = fixture::instances(flatmap.0.len() as u32, count.0.len() as u32);
    let mut seen = fixture::idle(&topology, &configuration, f64::from(n) * WINDOW_S, WINDOW_S);
    fixture::source(&mut seen, OperatorId(0), offered, achieved);
    seen.sources[0].lag_records = lag;
    for (id, group, records, selectivity) in [(FLATMAP, flatmap, achieved, 20), (COUNT, count, achieved * 20.0, 1)] {
        let metrics = &mut seen.operators[id.0 as usize];
        for (instance, &(rate, share, waiting)) in metrics.instances.iter_mut().zip(&group.0) {
            let processed = (records * share * WINDOW_S).round();
            let busy = Duration::from_secs_f64((processed / rate).min(WINDOW_S));
            (instance.processed, instance.arrivals, instance.produced) =
                (processed as u64, processed as u64, processed as u64 * selectivity);
            (instance.external_wait, instance.useful) = (busy.mul_f64(waiting), busy.mul_f64(1.0 - waiting));
        }
    }
    seen
}

fn policy(set: impl FnOnce(&mut CriticalPathConfig)) -> CriticalPath {
    let mut config = CriticalPathConfig::standard().compressed(30.0);
    set(&mut config);
    CriticalPath::new(fixture::word_count(), config)
}

fn told(decision: &Decision) -> (String, Plan, Vec<(String, Cause)>) {
    let (plan, reason) = match decision {
        Decision::Hold(reason) => (Plan::default(), reason),
        Decision::Rescale(plan, reason) => (plan.clone(), reason),
    };
    let findings = reason.findings.iter().map(|finding| (finding.operator.clone(), finding.cause)).collect();
    (reason.rule.clone(), plan, findings)
}

#[test]
fn all_operators_at_once_with_a_little_to_spare() {
    let mut policy = policy(|_| {});
    let seen = window(1, (1000.0, 100.0, 1800.0), &Group::even(1, 100.0), &Group::even(1, 2000.0));
    let (rule, plan, findings) = told(&policy.decide(seen.window.end, &seen));
    assert_eq!((rule.as_str(), plan), ("under-provisioned", Plan::rescale(FLATMAP, 11).and(COUNT, 11)));
    assert_eq!(findings.len(), 2);
    // What it asked for is what it needs.
    for n in 2..20 {
        let seen = window(n, (1000.0, 1000.0, 0.0), &Group::even(11, 100.0), &Group::even(11, 2000.0));
        assert_eq!(told(&policy.decide(seen.window.end, &seen)).0, "hold");
    }
}

#[test]
fn nothing_is_taken_away_that_a_recent_window_needed() {
    let mut policy = policy(|_| {});
    let loads = [[1000.0; 20].as_slice(), &[500.0; 5]].concat();
    let mut rules = Vec::new();
    for (n, load) in (1..).zip(loads) {
        let seen = window(n, (load, load, 0.0), &Group::even(11, 100.0), &Group::even(11, 2000.0));
        let (rule, plan, _) = told(&policy.decide(seen.window.end, &seen));
        rules.push(rule);
        if !plan.rescales.is_empty() {
            assert_eq!(plan, Plan::rescale(FLATMAP, 6).and(COUNT, 6));
            break;
        }
    }
    // Six seconds of windows must agree: 180 s, thirty times faster.
    assert_eq!(rules.iter().position(|rule| rule == "over-provisioned"), Some(23));
    assert!(rules[..23].iter().all(|rule| rule == "hold"), "{rules:?}");
}

#[test]
fn a_slow_instance_gets_less_to_do() {
    let mut policy = policy(|_| {});
    let mut count = Group::even(11, 2000.0);
    count.0[3].0 = 700.0;
    let mut last = (String::new(), Plan::default(), Vec::new());
    for n in 1..=2 {
        // It holds up all others: its part of what arrives is all it can do.
        let seen = window(n, (1000.0, 385.0, 1230.0 * f64::from(n)), &Group::even(11, 100.0), &count);
        last = told(&policy.decide(seen.window.end, &seen));
    }
    let (rule, plan, findings) = last;
    assert_eq!((rule.as_str(), findings[0].clone()), ("uneven", ("count".to_owned(), Cause::Straggling)));
    assert_eq!(plan.rebalances, BTreeSet::from([COUNT]));
    assert!((plan.speeds[&COUNT][3] - 0.35).abs() < 0.01 && plan.speeds[&COUNT][4] == 1.0, "{plan:?}");
    assert!(plan.rescales.values().all(|instances| *instances == 12), "one instance makes up for it: {plan:?}");
}

#[test]
fn a_slow_stateless_instance_gets_fewer_records_or_more_company() {
    let mut policy = policy(|_| {});
    let slow = |instances| {
        let mut flatmap = Group::even(instances, 100.0);
        flatmap.0[2].0 = 30.0;
        flatmap
    };
    let mut decide = |n: u32, instances: u32| {
        // They take equal turns, so that all go as fast as the slow one.
        let achieved = 30.0 * f64::from(instances);
        let seen = window(n, (1000.0, achieved, 1400.0 * f64::from(n)), &slow(instances), &Group::even(11, 2000.0));
        told(&policy.decide(seen.window.end, &seen))
    };
    decide(1, 11);
    let (rule, plan, findings) = decide(2, 11);
    assert_eq!((rule.as_str(), findings[0].clone()), ("uneven", ("flatmap".to_owned(), Cause::Straggling)));
    assert_eq!((plan.rescales.clone(), plan.rebalances.clone()), (BTreeMap::from([(FLATMAP, 12)]), BTreeSet::from([FLATMAP])));
    assert!((plan.speeds[&FLATMAP][2] - 0.3).abs() < 0.01 && plan.speeds[&FLATMAP][3] == 1.0, "{plan:?}");
    // The host goes on with equal turns: with many more instances the slow one's turn comes seldom enough.
    let (_, plan, _) = decide(3, 12);
    assert!((33..=36).contains(&plan.rescales[&FLATMAP]) && plan.rebalances.is_empty(), "{plan:?}");
}

/// Rules and plans for windows of a second's part `waiting` of waits, in which `instances` instances of Count do what `rate` says of their number.
fn waits(windows: u32, waiting: f64, rate: impl Fn(u32) -> f64) -> Vec<(String, u32)> {
    let (mut policy, mut instances) = (policy(|_| {}), 10);
    let mut decided = Vec::new();
    for n in 1..=windows {
        let count = Group(vec![(rate(instances), 1.0 / f64::from(instances), waiting); instances as usize]);
        let achieved = (rate(instances) * f64::from(instances) / 20.0).min(1000.0);
        let seen = window(n, (1000.0, achieved, 500.0 * f64::from(n)), &Group::even(11, 100.0), &count);
        let (rule, plan, findings) = told(&policy.decide(seen.window.end, &seen));
        instances = plan.rescales.get(&COUNT).copied().unwrap_or(instances);
        if rule == "external-wait" {
            assert_eq!(findings[0], ("count".to_owned(), Cause::ExternalWait));
        }
        decided.push((rule, instances));
    }
    decided
}

#[test]
fn a_few_more_instances_show_whether_they_share_what_they_wait_for() {
    // Ten do 15,000 of the 20,000 words a second; so do fifteen.
    let shared = waits(9, 0.7, |instances| 15_000.0 / f64::from(instances));
    let rules: Vec<_> = shared.iter().map(|(rule, instances)| (rule.as_str(), *instances)).collect();
    assert_eq!(rules[..3], [("under-provisioned", 15), ("external-wait", 15), ("roll-back", 10)]);
    assert!(rules[3..].iter().all(|decided| *decided == ("external-wait", 10)), "{rules:?}");
    // Each waits for itself: two windows, and it is an operator as any other.
    let apart = waits(5, 0.7, |_| 1000.0);
    assert_eq!((apart[0].1, apart[1].1), (15, 15));
    assert!(apart[2].1 >= 21 && apart[4].1 == apart[2].1, "{apart:?}");
}

#[test]
fn where_own_work_has_most_of_the_time_a_wait_is_left_alone() {
    let decided = waits(40, 0.3, |_| 1500.0);
    assert!(decided.iter().all(|decided| *decided == ("external-wait".to_owned(), 10)), "{decided:?}");
}

#[test]
fn a_single_hot_key_is_tried_once() {
    let mut policy = policy(|_| {});
    let mut count = Group(vec![(2000.0, 0.05, 0.0); 11]);
    count.0[0].1 = 0.5;
    let mut rules = Vec::new();
    for n in 1..6 {
        let mut seen = window(n, (1000.0, 200.0, 1600.0 * f64::from(n)), &Group::even(11, 100.0), &count);
        let hot = BinLoad { bin: BinId(0), arrivals: 1000, useful: Duration::ZERO, keys: 1, bytes: 8 };
        seen.operators[2].bins = vec![hot, BinLoad { bin: BinId(1), ..hot }];
        let (rule, plan, findings) = told(&policy.decide(seen.window.end, &seen));
        assert_eq!(findings[0], ("count".to_owned(), Cause::Skewed));
        assert_eq!(plan.rebalances.len(), usize::from(n == 1));
        rules.push(rule);
    }
    assert_eq!(rules, ["uneven", "hot-key", "hot-key", "hot-key", "hot-key"]);
}

#[test]
fn a_budget_is_kept_and_a_bound_bounds_the_others() {
    let seen = window(1, (1000.0, 100.0, 1800.0), &Group::even(1, 100.0), &Group::even(1, 2000.0));
    let (_, plan, _) = told(&policy(|config| config.budget = 12).decide(seen.window.end, &seen));
    assert_eq!(plan, Plan::rescale(FLATMAP, 6).and(COUNT, 6));
    // 64 instances of FlatMap do 6,400 a second of the 20,000, so Count needs no more than for these.
    let seen = window(1, (20_000.0, 100.0, 1800.0), &Group::even(1, 100.0), &Group::even(1, 4000.0));
    let (_, plan, findings) = told(&policy(|_| {}).decide(seen.window.end, &seen));
    assert_eq!(plan.rescales[&FLATMAP], 64);
    assert!((32..=38).contains(&plan.rescales[&COUNT]), "{plan:?}");
    assert!(findings.contains(&("flatmap".to_owned(), Cause::AtLimit)), "{findings:?}");
}

#[test]
fn a_missed_goal_adds_where_it_shortens_the_critical_path() {
    let mut policy = policy(|config| config.goal_ms = 100.0);
    let mut plans = Vec::new();
    for n in 1..4 {
        let mut seen = window(n, (960.0, 960.0, 0.0), &Group::even(10, 100.0), &Group::even(12, 2000.0));
        seen.latency.ns_p99 = Some(500_000_000);
        let (rule, plan, findings) = told(&policy.decide(seen.window.end, &seen));
        if rule == "goal-missed" {
            assert_eq!(findings[0], ("flatmap".to_owned(), Cause::Slow));
            plans.push(plan);
            break;
        }
    }
    // FlatMap is busy for 96 % of the time with 10 ms a record; Count is not, with half a millisecond.
    assert_eq!(plans.len(), 1);
    assert!(plans[0].rescales[&FLATMAP] > 11 && plans[0].rescales.get(&COUNT).is_none_or(|count| *count <= 12), "{plans:?}");
}

/// The word count's paths in a window: all of the slowest epochs' latency but for some work is `piece`, 400 ms of it.
fn paths(piece: EpochPart) -> WindowPaths {
    let work = EpochPart { kind: EpochPieceKind::Processing, operator: Some(FLATMAP), behind: None, doing: None, channel: None };
    let pieces = [(piece, 400e6, 0.8), (work, 100e6, 0.2)];
    let told = |(part, mean_ns, share)| PathPiece { part, mean_ns, share, epochs: 200, worst: None };
    let pieces = pieces.into_iter().map(told).collect();
    let group = PathGroup { epochs: 200, records: 1920, latency_ns: 500e6, pieces, gains_ns: Vec::new(), slack: Vec::new() };
    let arrivals = vec![vec![Arrival { gap_ns: 10_000_000, records: 10 }; 64]; 8];
    let traffic = (0..4).map(|index| OperatorTraffic {
        operator: OperatorId(index),
        runs: if index > 0 { arrivals.clone() } else { Vec::new() },
        inputs: (index > 0)
            .then(|| InputTraffic { from: OperatorId(index - 1), channel: ChannelId(index - 1), records: 1920 })
            .into_iter()
            .collect(),
        dispersion: None,
        service_ns: None,
        service_variation: Some(if index == 1 { 1.0 } else { 0.0 }),
    });
    WindowPaths { all: group.clone(), slowest: group, traffic: traffic.collect(), ..WindowPaths::default() }
}

#[test]
fn what_the_paths_say_decides() {
    let plain = EpochPart { kind: EpochPieceKind::Queueing, operator: Some(FLATMAP), behind: Some(FLATMAP), doing: None, channel: None };
    let network = EpochPart { kind: EpochPieceKind::Network, operator: None, behind: None, channel: Some(ChannelId(1)), ..plain };
    let elsewhere = EpochPart { kind: EpochPieceKind::Release, operator: Some(COUNT), behind: None, ..plain };
    let decide = |piece: EpochPart| {
        let mut policy = policy(|config| config.goal_ms = 300.0);
        let mut last = None;
        for n in 1..6 {
            let mut seen = window(n, (960.0, 960.0, 0.0), &Group::even(10, 100.0), &Group::even(12, 2000.0));
            (seen.latency.ns_p50, seen.latency.ns_p99, seen.latency.records) = (Some(300_000_000), Some(500_000_000), 38_400);
            seen.paths = Some(paths(piece));
            let decision = policy.decide(seen.window.end, &seen);
            let acts = matches!(decision, Decision::Rescale(..));
            last = Some(decision);
            if acts {
                break;
            }
        }
        last.unwrap()
    };
    // The same rates, queues and latency; epochs wait for FlatMap's instances, or are on the way.
    let (rule, plan, _) = told(&decide(plain));
    assert!(rule == "goal-missed" && plan.rescales.get(&FLATMAP).is_some_and(|instances| *instances > 10), "{rule}: {plan:?}");
    let (rule, plan, _) = told(&decide(network));
    assert_eq!((rule.as_str(), plan), ("goal-unreachable", Plan::default()));
    // What is predicted alone is no ground: nobody was measured to wait for an instance.
    let (_, plan, _) = told(&decide(elsewhere));
    assert!(plan.rescales.get(&FLATMAP).is_none_or(|instances| *instances <= 10), "{plan:?}");
    // The decision tells the path that it rests on.
    let Decision::Rescale(_, reason) = decide(plain) else { panic!("it acts") };
    assert_eq!((reason.path[0].kind, reason.path[0].operator.as_str()), (EpochPieceKind::Queueing, "flatmap"));
    assert!(reason.path[0].predicted_ms.is_some_and(|left| left < 300.0), "{:?}", reason.path);
}

#[test]
fn instances_that_do_not_help_are_given_back() {
    let mut policy = policy(|_| {});
    let seen = window(1, (1000.0, 400.0, 1200.0), &Group::even(4, 100.0), &Group::even(11, 2000.0));
    assert_eq!(told(&policy.decide(seen.window.end, &seen)).1, Plan::rescale(FLATMAP, 11));
    // Eleven do no more than four did, and two windows show it.
    for (n, expected) in [(2, ("bounded", Plan::default())), (3, ("roll-back", Plan::rescale(FLATMAP, 4)))] {
        let seen = window(n, (1000.0, 400.0, 1200.0 * f64::from(n)), &Group::even(11, 400.0 / 11.0), &Group::even(11, 2000.0));
        let (rule, plan, _) = told(&policy.decide(seen.window.end, &seen));
        assert_eq!(plan, expected.1, "{n}: {rule}");
        assert!(n == 2 || rule == expected.0, "{rule}");
    }
    let mut tried_again = Vec::new();
    for n in 4..40 {
        let seen = window(n, (1000.0, 400.0, 1200.0 * f64::from(n)), &Group::even(4, 100.0), &Group::even(11, 2000.0));
        let (rule, plan, _) = told(&policy.decide(seen.window.end, &seen));
        if plan.rescales.contains_key(&FLATMAP) {
            tried_again.push(n);
            assert_eq!(plan.rescales[&FLATMAP], 6, "half as many more");
            break;
        }
        assert!(plan.rescales.keys().all(|id| *id == COUNT) && rule != "roll-back", "{n}: {rule} {plan:?}");
    }
    // After four look-backs of six seconds, not before.
    assert!(matches!(tried_again[..], [15..=17]), "{tried_again:?}");
}

#[test]
fn slower_machines_are_no_limit() {
    let mut policy = policy(|_| {});
    let seen = window(1, (1000.0, 700.0, 300.0), &Group::even(7, 100.0), &Group::even(11, 2000.0));
    let more = told(&policy.decide(seen.window.end, &seen)).1.rescales[&FLATMAP];
    // All of them do 60 % of what each did: as much as seven did, or less.
    let mut asked = more;
    for n in 2..5 {
        let seen = window(n, (1000.0, 60.0 * f64::from(asked), 2000.0), &Group::even(asked, 60.0), &Group::even(11, 2000.0));
        let (rule, plan, _) = told(&policy.decide(seen.window.end, &seen));
        assert_ne!(rule, "roll-back");
        asked = plan.rescales.get(&FLATMAP).copied().unwrap_or(asked);
    }
    assert!(asked >= 17, "{more}, then {asked}");
}

#[test]
fn a_bound_gives_others_back_while_lag_stands() {
    let mut policy = policy(|_| {});
    let mut plans = Vec::new();
    for n in 1..=20 {
        let seen = window(n, (20_000.0, 3200.0, 33_600.0 * f64::from(n)), &Group::even(64, 50.0), &Group::even(64, 2000.0));
        plans.push(told(&policy.decide(seen.window.end, &seen)));
        if plans.last().is_some_and(|(_, plan, _)| !plan.rescales.is_empty()) {
            break;
        }
    }
    // FlatMap's 64 let 3,200 sentences a second through, for which 34 of Count suffice.
    let (rule, plan, _) = plans.last().unwrap();
    assert_eq!(rule, "over-provisioned");
    assert!(!plan.rescales.contains_key(&FLATMAP) && (34..=37).contains(&plan.rescales[&COUNT]), "{plan:?}");
}

proptest! {
    /// Whatever is seen, a plan fits the job and its budget, and nothing panics.
    #[test]
    fn every_plan_can_be_carried_out(
        windows in prop::collection::vec((0.0f64..1e5, 0.0f64..1e5, 0.0f64..1e7, 0.1f64..1e4, 0.1f64..1e5, 0.0f64..1.0, 0usize..8), 1..20),
        budget in 0u32..80,
        goal_ms in prop_oneof![Just(0.0), 1.0f64..1e3],
    ) {
        let topology = fixture::word_count();
        let mut policy = policy(|config| (config.budget, config.goal_ms) = (budget, goal_ms));
        let mut configuration = fixture::instances(1, 1);
        for (n, (offered, achieved, lag, flatmap, count, waiting, odd)) in (1..).zip(windows) {
            let group = |id, rate, waiting| {
                let mut group = Group::even(configuration.parallelism(id), rate);
                group.0.iter_mut().for_each(|instance| instance.2 = waiting);
                if let Some(instance) = group.0.get_mut(odd) {
                    (instance.0, instance.1) = (rate / 4.0, instance.1 * 2.0);
                }
                group
            };
            let mut seen = window(n, (offered, achieved, lag), &group(FLATMAP, flatmap, 0.0), &group(COUNT, count, waiting));
            seen.sources[0].offered = Rate::per_second(offered);
            seen.latency.ns_p99 = Some((achieved * 1e3) as u64);
            if let Decision::Rescale(plan, _) = policy.decide(seen.window.end, &seen) {
                let after = plan.apply(&topology, &configuration);
                prop_assert!(after.is_ok(), "{plan:?}: {after:?}");
                let after = after.unwrap();
                let sum = |of: &Configuration| of.parallelism(FLATMAP) + of.parallelism(COUNT);
                prop_assert!(budget < 2 || sum(&after) <= budget.max(sum(&configuration)), "{budget}: {after}");
                configuration = after;
            }
        }
    }
}
