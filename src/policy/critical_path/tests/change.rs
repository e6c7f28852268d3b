//! What the policy does where a change is expensive, and that it does the same as ever where it is not.

use super::*;

/// A window of eleven instances each, with so many bytes in each of 256 bins of Count.
fn with_state(n: u32, load: f64, bytes: u64) -> Observation {
    let mut seen = window(n, (load, load, 0.0), &Group::even(11, 100.0), &Group::even(11, 2000.0));
    let bin = |bin| BinLoad { bin: BinId(bin), arrivals: 10, useful: Duration::ZERO, keys: 1000, bytes };
    seen.operators[COUNT.0 as usize].bins = (0..256).map(bin).collect();
    seen
}

/// The window, counted from 1, in which instances are given back if the load halves after `high` windows.
fn given_back(high: u32, bytes: u64, set: impl FnOnce(&mut CriticalPathConfig)) -> Option<u32> {
    let mut policy = policy(set);
    (1..high + 60).find(|&n| {
        let seen = with_state(n, if n <= high { 1000.0 } else { 500.0 }, bytes);
        told(&policy.decide(seen.window.end, &seen)).0 == "over-provisioned"
    })
}

#[test]
fn instances_with_much_state_are_given_back_if_that_lasts() {
    // With little state as soon as no recent window would have needed them; with 13 GB not within two minutes.
    assert_eq!(given_back(30, 1000, |_| {}), Some(34));
    assert_eq!(given_back(30, 50_000_000, |_| {}), None);
}

#[test]
fn a_goal_makes_whoever_stalls_the_job_wait_longer() {
    let (without, with) = (given_back(10, 500_000, |_| {}), given_back(10, 500_000, |config| config.goal_ms = 100.0));
    assert!(without.is_some() && with.is_none_or(|with| with > without.unwrap()), "{without:?} {with:?}");
}

#[test]
fn nothing_second_is_done_until_the_first_has_started() {
    let mut policy = policy(|_| {});
    let seen = window(1, (1000.0, 400.0, 1200.0), &Group::even(4, 100.0), &Group::even(11, 2000.0));
    assert_eq!(told(&policy.decide(seen.window.end, &seen)).1, Plan::rescale(FLATMAP, 11));
    policy.migrated(seen.window.end, seen.window.end, 0);
    let starting = |n: u32, offered: f64| {
        let mut seen = window(n, (offered, 0.0, 2000.0 * f64::from(n)), &Group::even(11, 100.0), &Group::even(11, 2000.0));
        seen.operators[FLATMAP.0 as usize].instances.iter_mut().for_each(|instance| instance.queue_records = 50);
        seen
    };
    for n in 2..8 {
        let seen = starting(n, 1000.0);
        let (rule, plan, _) = told(&policy.decide(seen.window.end, &seen));
        assert_eq!((rule.as_str(), plan), ("starting", Plan::default()));
    }
    // Twice the load is more than the first was for, whatever becomes of it.
    let plans: Vec<Plan> = (8..10).map(|n| starting(n, 2000.0)).map(|seen| told(&policy.decide(seen.window.end, &seen)).1).collect();
    assert_eq!(plans[0], Plan::default());
    assert!(plans[1].rescales[&FLATMAP] > 20, "{plans:?}");
}

#[test]
fn what_is_learned_of_starts_is_room_for_what_piles_up_meanwhile() {
    let more = |start_s: f64| {
        let mut policy = policy(|_| {});
        policy.change_model.started(start_s);
        let seen = window(1, (1000.0, 400.0, 1200.0), &Group::even(4, 100.0), &Group::even(11, 2000.0));
        told(&policy.decide(seen.window.end, &seen)).1.rescales[&FLATMAP]
    };
    // Twelve seconds of the load within a minute are a fifth of it.
    assert_eq!((more(0.0), more(12.0)), (11, 13));
}

#[test]
fn missing_the_goal_is_borne_where_more_instances_would_miss_it_for_longer() {
    let acts = |bytes: u64| {
        let mut policy = policy(|config| config.goal_ms = 100.0);
        (1..5).any(|n| {
            let mut seen = with_state(n, 1055.0, bytes);
            seen.latency.ns_p99 = Some(500_000_000);
            told(&policy.decide(seen.window.end, &seen)).0 == "goal-missed"
        })
    };
    assert!(acts(1000) && !acts(50_000_000));
}
