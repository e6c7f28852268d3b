//! What a run in closed loop is recorded as.

use std::time::Duration;

use super::case::Case;
use super::measures::{self, KeepingUp};
use super::needs;
use crate::controller::{Event, EventKind};
use crate::dataflow::{Configuration, Topology};
use crate::experiment::frame::{Row, row as cells};
use crate::experiment::record;
use crate::experiment::result::RunResult;
use crate::experiment::scenario::Scenario;
use crate::time::Timestamp;

/// The columns beyond those of every run ([`record::RESULT_COLUMNS`]). Times are in seconds. What
/// does not apply is empty, never 0.
///
/// - `reversals`: how often an operator went up after it had gone down, or down after up, although
///   what is needed had not changed in between
/// - `undershoots`: how often an operator that had enough instances was left with too few
/// - `settle_s`: the longest time from a change of the load, or of an instance's speed, to the last
///   action before the next change
/// - `behind_s`: at whose end more than half a second's load was due and not emitted
/// - `achieved_at_end`: emitted over due records in the last quarter of the run; above 1 while a
///   lag is emitted
/// - `lag_at_end_s`: by which sources are late at the end
/// - `instance_s`, `excess_instance_s`: instances times seconds, and more of them than under the
///   oracle in the same case with the same seed
/// - `peak_instances`, `budget`: the most instances at any time, and the most there should be
/// - `final_over_needed`: instances at the end over those needed then
/// - `goal_ms`, `goal_windows`, `goal_violations`: the latency that 99 % of the records of a window
///   should not exceed, windows of half a second after the last action, and those in which 1 % of
///   the records exceeded it or none arrived
/// - `bytes_moved`: state that changed its instance
/// - `late_actions`, `late_intervals`: actions later than 50 policy intervals after the last
///   change, and policy intervals as late
/// - `needed_configuration`, `provisioning`, `at_minimum`: instances needed at the end, whether
///   there are fewer (`under`), more (`over`) or as many (`exact`), and the last as `true` or
///   `false`
/// - `operators`: how many may be rescaled
/// - `path`, `paper`: configurations one after the other, of operators that may have more than one
///   instance, and what the paper's run went through
/// - `needed`: the end of such a path, as it should be
/// - `before_change`: the configuration before the last change, where something changes
/// - `slowest_decision_ms`: the longest that a decision took on this machine; the one value that is
///   not the same every time
/// - `reasons`: why the policy acted or did not: each different rule with the operator it is about,
///   and each finding, such as `count is skewed`
/// - `over_oracle`: instances times seconds over those under the oracle in the same case with the
///   same seed
/// - `behind_part`: `behind_s` as a part of the run
/// - `changes_per_h`: plans carried out in an hour
/// - `dominated_by`: how many policies other than the oracle had both fewer instances times seconds
///   and fewer seconds behind in the same case with the same seed
/// - `load_changes`: how often the rate of a source changes, or an instance's speed
/// - `capacity_per_s`: of a case whose load is in capacities, the records per second that the job
///   was measured to do as it starts, just before
const COLUMNS: [&str; 34] = [
    "reversals",
    "undershoots",
    "settle_s",
    "behind_s",
    "achieved_at_end",
    "lag_at_end_s",
    "excess_instance_s",
    "instance_s",
    "peak_instances",
    "budget",
    "final_over_needed",
    "latency_ns_max",
    "goal_ms",
    "goal_windows",
    "goal_violations",
    "bytes_moved",
    "late_actions",
    "late_intervals",
    "operators",
    "needed_configuration",
    "provisioning",
    "at_minimum",
    "path",
    "needed",
    "paper",
    "before_change",
    "slowest_decision_ms",
    "reasons",
    "over_oracle",
    "behind_part",
    "changes_per_h",
    "load_changes",
    "dominated_by",
    "capacity_per_s",
];

/// All columns.
pub(super) fn columns() -> Vec<&'static str> {
    record::RESULT_COLUMNS.into_iter().chain(COLUMNS).collect()
}

/// Operators up to whose number a path is written out.
const MOST_WRITTEN: usize = 8;

/// The row of a run; what compares it with others is still empty.
pub(super) fn row(case: &Case, scenario: &Scenario, result: &RunResult, paper: Option<&str>, slowest: Duration) -> Row {
    let (topology, transitions, changes) = (&result.topology, measures::transitions(result), needs::changes(&scenario.job()));
    let interval = scenario.controller().policy_interval;
    let keeping_up = KeepingUp::of(result);
    let goal = case.goal_ms.map(|goal_ms| measures::goal(result, goal_ms));
    let (late_actions, late_intervals) = measures::late(&transitions, &changes, interval, result.duration);
    let (last, needed) = (result.last_configuration(), last_needed(result));
    let instances = |configuration: &Configuration| measures::instances(result, configuration);
    let path: Vec<String> = result.configurations.iter().map(|(_, configuration)| written(topology, configuration)).collect();
    let (scalable, provisioning) = (topology.scalable().count(), provisioning(topology, last, &needed));
    let mut row = record::row(result);
    row.extend(cells([
        ("reversals", &measures::reversals(&transitions, &result.needed)),
        ("undershoots", &measures::undershoots(&transitions, &result.needed)),
        ("settle_s", &measures::settle_s(&transitions, &changes)),
        ("behind_s", &keeping_up.behind_s),
        ("achieved_at_end", &keeping_up.achieved_at_end),
        ("lag_at_end_s", &keeping_up.lag_at_end_s),
        ("instance_s", &measures::instance_s(result)),
        ("peak_instances", &result.configurations.iter().map(|(_, configuration)| instances(configuration)).max()),
        ("budget", &case.budget),
        ("final_over_needed", &(f64::from(instances(last)) / f64::from(instances(&needed)))),
        ("latency_ns_max", &result.overall.ns_max),
        ("goal_ms", &case.goal_ms),
        ("goal_windows", &goal.map(|(windows, _)| windows)),
        ("goal_violations", &goal.map(|(_, violations)| violations)),
        ("bytes_moved", &result.moved_bytes),
        ("late_actions", &late_actions),
        ("late_intervals", &late_intervals),
        ("operators", &scalable),
        ("needed_configuration", &record::configuration(topology, &needed)),
        ("provisioning", &provisioning),
        ("at_minimum", &(provisioning == "exact")),
        ("path", &path.join(" > ")),
        ("needed", &written(topology, &needed)),
        ("paper", &paper),
        ("before_change", &before_change(result, &changes).map(|before| record::configuration(topology, before))),
        ("slowest_decision_ms", &(slowest.as_secs_f64() * 1e3)),
        ("reasons", &reasons(&result.events).join("; ")),
        ("behind_part", &(keeping_up.behind_s / result.duration.as_secs_f64())),
        ("changes_per_h", &(result.actions() as f64 / (result.duration.as_secs_f64() / 3600.0))),
        ("load_changes", &changes.iter().filter(|at| **at > Timestamp::ZERO).count()),
    ]));
    row
}

fn last_needed(result: &RunResult) -> Configuration {
    let needed = result.needed.last().into_iter().flat_map(|(_, needed)| needed);
    needed.fold(Configuration::ones(&result.topology), |all, (&operator, &instances)| all.with(operator, instances))
}

/// How a configuration compares with what is needed.
fn provisioning(topology: &Topology, has: &Configuration, needed: &Configuration) -> &'static str {
    let both = || topology.scalable().map(|operator| (has.parallelism(operator.id), needed.parallelism(operator.id)));
    match () {
        () if both().any(|(has, needs)| has < needs) => "under",
        () if both().any(|(has, needs)| has > needs) => "over",
        () => "exact",
    }
}

/// What there was before the last change, unless nothing changes.
fn before_change<'r>(result: &'r RunResult, changes: &[Timestamp]) -> Option<&'r Configuration> {
    let change = changes.last().filter(|change| **change > Timestamp::ZERO)?;
    result.configurations.iter().rfind(|(at, _)| at < change).map(|(_, configuration)| configuration)
}

/// The operators that may have more than one instance, one by one; of many the sum of their
/// instances.
fn written(topology: &Topology, configuration: &Configuration) -> String {
    let scalable = topology.scalable().filter(|operator| operator.max_parallelism > 1);
    let scalable: Vec<u32> = scalable.map(|operator| configuration.parallelism(operator.id)).collect();
    match scalable.len() {
        0..=MOST_WRITTEN => scalable.iter().map(u32::to_string).collect::<Vec<_>>().join("/"),
        _ => scalable.iter().map(|&instances| u64::from(instances)).sum::<u64>().to_string(),
    }
}

/// Each different reason once, in order of the first time.
fn reasons(events: &[Event]) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for event in events {
        let (EventKind::Held { reason } | EventKind::Activating { reason, .. } | EventKind::Rescaling { reason, .. }) = &event.kind else {
            continue;
        };
        let rule = format!("{} {}", reason.rule, reason.operator).trim_end().to_owned();
        let findings = reason.findings.iter().map(|finding| format!("{} is {}", finding.operator, finding.cause));
        for text in std::iter::once(rule).chain(findings) {
            if !reasons.contains(&text) {
                reasons.push(text);
            }
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Cause, Finding, Reason};

    #[test]
    fn a_reason_is_told_once() {
        let held = |reason: Reason| Event { at: Timestamp::ZERO, kind: EventKind::Held { reason } };
        let map = || Reason::new("waits").about("map").with("share", 0.3).finding([Finding::new("count", Cause::Skewed).with("over", 2.0)]);
        let other = Event { at: Timestamp::ZERO, kind: EventKind::WarmingUp { left: 1 } };
        assert_eq!(reasons(&[held(Reason::new("fine")), held(map()), other, held(map())]), ["fine", "waits map", "count is skewed"]);
    }

    #[test]
    fn too_few_of_one_operator_is_too_few() {
        use crate::dataflow::Role;
        let roles = [("s", Role::Source, 1), ("a", Role::Stateless, 9), ("b", Role::Stateless, 9), ("k", Role::Sink, 1)];
        let topology = Topology::new(&roles, &[(0, 1), (1, 2), (2, 3)]).unwrap();
        let of = |a, b| {
            let ids: Vec<_> = topology.scalable().map(|operator| operator.id).collect();
            Configuration::ones(&topology).with(ids[0], a).with(ids[1], b)
        };
        for (a, b, expected) in [(2, 3, "exact"), (1, 9, "under"), (2, 4, "over")] {
            assert_eq!(provisioning(&topology, &of(a, b), &of(2, 3)), expected);
        }
    }
}
