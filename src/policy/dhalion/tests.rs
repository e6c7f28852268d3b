//! Dhalion's rules one by one, and the loop around them.

use super::*;
use crate::policy::fixture;

const FLATMAP: OperatorId = OperatorId(1);

fn component(operator: u32, instances: &[(f64, f64, f64)]) -> ComponentStatus {
    let status = |&(backpressure, pending, executed): &(f64, f64, f64)| InstanceStatus { backpressure, pending, executed };
    let instances: Vec<_> = instances.iter().map(status).collect();
    let latest_backpressure = instances.iter().map(|instance| instance.backpressure).sum();
    ComponentStatus { operator: OperatorId(operator), instances, latest_backpressure }
}

fn action(kind: ActionKind, from: u32, to: u32, seen: &ComponentStatus) -> Action {
    Action { kind, operator: seen.operator, from, to, seen: seen.clone() }
}

#[test]
fn parallelism_grows_by_the_time_held_back_and_at_most_fivefold() {
    let config = DhalionConfig::published();
    for (instances, backpressure, after) in
        [(2, 0.5, 4), (2, 0.75, 8), (3, 0.5, 6), (1, 1.0, 5), (1, 0.8, 5), (5, 3.7, 25), (4, 0.03, 5), (10, 0.0, 10)]
    {
        assert_eq!(scaled_up(instances, backpressure, &config), after, "{instances} instances, {backpressure}");
        assert_eq!(scaled_up(instances, backpressure, &config.clone().compressed(30.0)), after, "the same in compressed time");
    }
}

#[test]
fn a_scale_down_leaves_at_least_one_instance() {
    let config = DhalionConfig::published();
    let half = DhalionConfig { scale_down_share: 0.5, ..config.clone() };
    assert_eq!(scaled_down(2, &half), Some(1));
    assert_eq!(scaled_down(1, &half), None);
    assert_eq!((scaled_down(10, &config), scaled_down(20, &config), scaled_down(1, &config)), (Some(9), Some(18), None));
}

#[test]
fn the_cause_is_read_from_the_work_of_those_that_suffer() {
    let config = DhalionConfig::published();
    let cause_of = |suffering: f64, other: f64| cause(&component(1, &[(0.5, 0.0, suffering), (0.0, 0.0, other)]), &config);
    assert_eq!(cause_of(201.0, 100.0), Cause::DataSkew);
    assert_eq!(cause_of(200.0, 100.0), Cause::UnderProvisioned);
    assert_eq!(cause_of(50.0, 100.0), Cause::UnderProvisioned);
    assert_eq!(cause_of(49.0, 100.0), Cause::SlowInstance);
    assert_eq!(cause(&component(1, &[(0.5, 0.0, 900.0), (0.1, 0.0, 1.0)]), &config), Cause::UnderProvisioned, "nobody to compare with");
}

#[test]
fn the_bottleneck_is_where_it_hurts_now() {
    let mut flatmap = component(1, &[(0.9, 0.0, 0.0)]);
    let count = component(2, &[(0.4, 0.0, 0.0)]);
    flatmap.latest_backpressure = 0.1;
    let of = |components: &[ComponentStatus]| bottleneck(components).map(|component| component.operator.0);
    assert_eq!(of(&[flatmap.clone(), count.clone()]), Some(2));
    flatmap.latest_backpressure = 0.4;
    let tie = component(1, &[(0.4, 0.0, 0.0)]);
    assert_eq!(of(&[tie, count.clone()]), Some(1), "ties go upstream");
    assert_eq!(of(&[component(1, &[(0.0, 9.0, 9.0)]), component(2, &[(0.0, 0.0, 0.0)])]), None);
    let passed = ComponentStatus { latest_backpressure: 0.0, ..count };
    assert_eq!(of(&[component(1, &[(0.0, 0.0, 0.0)]), passed]), Some(2), "it came and went");
}

#[test]
fn an_operator_has_too_much_when_hardly_anything_waits_for_it() {
    let components = [component(1, &[(0.0, 0.0, 5.0), (0.0, 0.0, 5.0)]), component(2, &[(0.0, 150.0, 5.0), (0.0, 10.0, 5.0)])];
    let found = |config: &DhalionConfig, components: &[ComponentStatus]| over_provisioned(components, config).count();
    let published = DhalionConfig::published();
    assert_eq!(found(&published, &components), 2);
    assert_eq!(found(&published, &[component(1, &[(0.0, 199.9, 5.0), (0.0, 200.0, 5.0)])]), 0, "an instance has 200");
    assert_eq!(found(&published, &[components[0].clone(), component(2, &[(0.1, 0.0, 5.0)])]), 0, "backpressure anywhere");
    assert_eq!(found(&DhalionConfig { pending_records_below: 100.0, ..published.clone() }, &components), 1);
    assert_eq!(found(&DhalionConfig { pending_records_below: 0.0, ..published }, &components), 0, "as the prototype's combined policy");
}

#[test]
fn it_scales_down_by_a_tenth_while_there_is_no_backpressure() {
    let mut feed = Feed::new(DhalionConfig::published());
    assert_eq!(feed.windows(5, &[(0.0, 10, 30_000); 20])[4], "over-provisioned 18");
    assert_eq!(feed.windows(5, &[(0.0, 10, 33_000); 18])[4], "over-provisioned 16");
    assert_eq!(feed.windows(5, &[(0.0, 300, 37_000); 16])[4], "healthy", "records wait");
}

#[test]
fn an_action_is_judged_by_the_same_diagnosis() {
    let config = DhalionConfig::published();
    let before = component(1, &[(0.9, 0.0, 100.0)]);
    let up = action(ActionKind::ScaleUp, 1, 2, &before);
    let ok = |action: &Action, now: &[ComponentStatus]| succeeded(action, now, &config);
    assert!(ok(&up, &[component(1, &[(0.0, 0.0, 100.0); 2])]), "it is over");
    assert!(ok(&up, &[component(1, &[(0.0, 0.0, 50.0); 2]), component(2, &[(0.9, 0.0, 10.0)])]), "it is another operator now");
    assert!(ok(&up, &[component(1, &[(0.0, 0.0, 90.0), (0.9, 0.0, 90.0)])]), "the one that suffered is relieved");
    assert!(ok(&up, &[component(1, &[(0.9, 0.0, 95.0); 2])]), "nearly twice the work");
    assert!(!ok(&up, &[component(1, &[(0.9, 0.0, 60.0); 2])]));
    let down = action(ActionKind::ScaleDown, 2, 1, &component(1, &[(0.0, 0.0, 50.0); 2]));
    assert!(ok(&down, &[component(1, &[(0.0, 0.0, 100.0)])]));
    assert!(!ok(&down, &[component(1, &[(0.5, 0.0, 100.0)])]));
}

#[test]
fn what_failed_is_not_repeated_under_a_similar_diagnosis() {
    let seen = component(1, &[(0.9, 0.0, 100.0), (0.0, 0.0, 100.0)]);
    let mut blacklist = Blacklist::default();
    blacklist.add(action(ActionKind::ScaleUp, 2, 4, &seen));
    let forbids = |instances: &[(f64, f64, f64)]| blacklist.forbids(ActionKind::ScaleUp, &component(1, instances));
    assert!(forbids(&[(0.1, 0.0, 100.0), (0.0, 0.0, 100.0)]));
    assert!(forbids(&[(0.1, 0.0, 100.0), (0.0, 0.0, 100.0), (0.5, 0.0, 200.0)]), "more instances, twice the work");
    assert!(!forbids(&[(0.1, 0.0, 301.0), (0.0, 0.0, 100.0)]), "more than twice the work");
    assert!(!forbids(&[(0.1, 0.0, 50.0), (0.0, 0.0, 49.0)]), "less than half");
    assert!(!forbids(&[(0.0, 0.0, 100.0), (0.1, 0.0, 100.0)]), "other instances");
    assert!(!forbids(&[(0.9, 0.0, 200.0)]), "an instance is gone");
    assert!(!blacklist.forbids(ActionKind::ScaleUp, &component(2, &[(0.9, 0.0, 100.0), (0.0, 0.0, 100.0)])));
    assert!(!blacklist.forbids(ActionKind::ScaleDown, &seen));
}

/// Feeds one window after another, of 60 s each, and says what the policy answers.
struct Feed {
    dhalion: Dhalion,
    end_seconds: f64,
}

impl Feed {
    fn new(config: DhalionConfig) -> Feed {
        Feed { dhalion: Dhalion::new(fixture::word_count(), config), end_seconds: 0.0 }
    }

    fn window(&mut self, flatmap: &[(f64, u64, u64)]) -> String {
        self.end_seconds += 60.0;
        let configuration = fixture::instances(flatmap.len() as u32, 1);
        let mut observation = fixture::idle(&fixture::word_count(), &configuration, self.end_seconds, 60.0);
        fixture::loads(&mut observation, FLATMAP, flatmap);
        match self.dhalion.decide(observation.window.end, &observation) {
            Decision::Hold(reason) => reason.rule,
            Decision::Rescale(plan, reason) => format!("{} {}", reason.rule, plan.rescales[&FLATMAP]),
        }
    }

    fn windows(&mut self, count: usize, flatmap: &[(f64, u64, u64)]) -> Vec<String> {
        (0..count).map(|_| self.window(flatmap)).collect()
    }
}

const WAIT: &str = "between-runs";
const SETTLE: &str = "settling";

#[test]
fn the_policy_acts_once_an_interval_and_only_after_the_job_has_settled() {
    let mut feed = Feed::new(DhalionConfig::published());
    assert_eq!(feed.windows(5, &[(0.5, 900, 60_000)]), [WAIT, WAIT, WAIT, WAIT, "under-provisioned 2"]);
    assert_eq!(feed.windows(1, &[(0.5, 900, 60_000)]), ["under-provisioned 2"], "asked again until it is carried out");
    // Nearly twice the work and still backpressure: a success that is not enough.
    assert_eq!(feed.windows(4, &[(0.5, 900, 57_000); 2]), [SETTLE, SETTLE, SETTLE, "under-provisioned 10"]);
    assert_eq!(feed.windows(5, &[(0.0, 900, 20_000); 10]), [SETTLE, SETTLE, SETTLE, WAIT, "healthy"]);
}

#[test]
fn a_scale_up_without_effect_is_blacklisted_and_not_repeated() {
    let mut feed = Feed::new(DhalionConfig::published());
    feed.windows(5, &[(0.5, 900, 60_000)]);
    assert_eq!(feed.windows(5, &[(0.5, 900, 30_000); 2])[4], "blacklisted");
    assert_eq!(feed.dhalion.blacklist.entries().len(), 1);
    assert_eq!(feed.windows(5, &[(0.5, 900, 30_000); 2])[4], "blacklisted");
}

#[test]
fn a_scale_down_that_brings_backpressure_is_undone_and_blacklisted() {
    let config = DhalionConfig { pending_records_below: 100.0, scale_down_share: 0.5, ..DhalionConfig::published() };
    let mut feed = Feed::new(config);
    assert_eq!(feed.windows(5, &[(0.0, 10, 30_000); 2])[4], "over-provisioned 1");
    assert_eq!(feed.windows(5, &[(0.6, 900, 50_000)])[4], "undo-scale-down 2");
    assert_eq!(feed.windows(5, &[(0.0, 10, 30_000); 2])[4], "healthy", "the blacklist forbids a second try");
    assert_eq!(feed.dhalion.blacklist.entries().len(), 1);
}

#[test]
fn skew_and_stragglers_are_named_and_left_alone() {
    let mut feed = Feed::new(DhalionConfig::published());
    assert_eq!(feed.windows(5, &[(0.5, 900, 60_000), (0.0, 0, 20_000)])[4], "data-skew");
    assert_eq!(feed.windows(5, &[(0.5, 900, 10_000), (0.0, 0, 60_000)])[4], "slow-instance");
    assert_eq!(feed.windows(5, &[(0.015, 900, 60_000), (0.015, 0, 60_000)])[4], "healthy", "within the noise");
}

#[test]
fn a_refused_plan_is_forgotten() {
    let mut feed = Feed::new(DhalionConfig::published());
    assert_eq!(feed.windows(5, &[(0.5, 900, 60_000)])[4], "under-provisioned 2");
    feed.dhalion.refused("another plan is still being carried out");
    assert_eq!(feed.windows(5, &[(0.5, 900, 60_000)])[4], "under-provisioned 2");
    assert!(feed.dhalion.blacklist.entries().is_empty());
}
