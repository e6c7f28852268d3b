//! What a run of a suite is recorded as.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::measures::{self, KeepingUp};
use super::needs;
use super::runs::SuiteRun;
use crate::dataflow::{Configuration, Topology};
use crate::experiment::result::RunResult;
use crate::experiment::rows::configuration_text;
use crate::sim::Job;

/// A run; `suite.csv`. Times are in seconds, latencies in nanoseconds from the due time. What does not apply is empty, never 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SuiteRow {
    /// Name of the case.
    pub scenario: String,
    /// Where the job ran.
    pub host: String,
    /// The policy.
    pub policy: String,
    /// The seed.
    pub seed: u64,
    /// Plans carried out.
    pub actions: u32,
    /// How often an operator went up after it had gone down, or down after up, although what is needed had not changed in between.
    pub reversals: u32,
    /// How often an operator that had enough instances was left with too few.
    pub undershoots: u32,
    /// The longest time from a change of the load, or of an instance's speed, to the last action before the next change.
    pub settle_s: f64,
    /// Seconds in which some operator had fewer instances than it needs if its load is spread evenly.
    pub under_provisioned_s: f64,
    /// Seconds at whose end more than half a second's load was due and not emitted: too few instances, or load that is not spread evenly.
    pub behind_s: f64,
    /// Emitted over due records in the last quarter of the run; above 1 while a lag is worked off.
    pub achieved_at_end: Option<f64>,
    /// Seconds by which sources are late at the end.
    pub lag_at_end_s: Option<f64>,
    /// Instances times seconds more than under the oracle in the same case with the same seed; negative if fewer.
    pub excess_instance_s: Option<f64>,
    /// Instances times seconds.
    pub instance_s: f64,
    /// The most instances at any time.
    pub peak_instances: u32,
    /// The most there should be.
    pub budget: Option<u32>,
    /// Instances at the end over those needed then.
    pub final_over_needed: f64,
    /// Half of the records were not slower.
    pub latency_ns_p50: Option<u64>,
    /// 99 % of the records were not slower.
    pub latency_ns_p99: Option<u64>,
    /// The slowest record.
    pub latency_ns_max: Option<u64>,
    /// The latency that 99 % of the records of a window should not exceed, in milliseconds.
    pub goal_ms: Option<f64>,
    /// Windows of half a second after the last action, where there is a goal.
    pub goal_windows: Option<u32>,
    /// Those of these windows in which 1 % of the records exceeded the goal, or none arrived.
    pub goal_violations: Option<u32>,
    /// Bytes of state that changed their instance.
    pub bytes_moved: Option<u64>,
    /// Actions later than 50 policy intervals after the last change.
    pub late_actions: u32,
    /// Policy intervals as late.
    pub late_intervals: u32,
    /// Instances at the end, such as `flatmap=10 count=20`.
    pub final_configuration: String,
    /// Instances needed at the end.
    pub needed_configuration: String,
    /// Configurations one after the other, of operators that may have more than one instance.
    pub path: String,
    /// What the paper's run went through.
    pub paper: Option<String>,
    /// Plans that the host gave up; 0 in rows written before they were counted.
    #[serde(default)]
    pub failed_actions: u32,
}

/// Operators up to whose number a path is written out.
const MOST_WRITTEN: usize = 8;

impl SuiteRow {
    /// The row of a run; what compares it with others is still empty.
    pub(super) fn of(run: &SuiteRun<'_>, job: &Job, result: &RunResult) -> SuiteRow {
        let (transitions, changes) = (measures::transitions(result), needs::changes(job));
        let interval = run.case.scenario.controller().policy_interval;
        let keeping_up = KeepingUp::of(result);
        let goal = run.case.goal_ms.map(|goal_ms| measures::goal(result, goal_ms));
        let (late_actions, late_intervals) = measures::late(&transitions, &changes, interval, result.duration);
        let needed = last_needed(result);
        let instances = |configuration: &Configuration| measures::instances(result, configuration);
        let path: Vec<String> = result.configurations.iter().map(|(_, configuration)| written(&result.topology, configuration)).collect();
        SuiteRow {
            scenario: run.case.name.clone(),
            host: run.host.name().to_owned(),
            policy: run.policy.label().to_owned(),
            seed: run.seed,
            actions: result.actions() as u32,
            reversals: measures::reversals(&transitions, &result.needed),
            undershoots: measures::undershoots(&transitions, &result.needed),
            settle_s: measures::settle_s(&transitions, &changes),
            under_provisioned_s: result.under_provisioned().unwrap_or_default().as_secs_f64(),
            behind_s: keeping_up.behind_s,
            achieved_at_end: keeping_up.achieved_at_end,
            lag_at_end_s: keeping_up.lag_at_end_s,
            excess_instance_s: None,
            instance_s: measures::instance_s(result),
            peak_instances: result.configurations.iter().map(|(_, configuration)| instances(configuration)).max().unwrap_or(0),
            budget: run.case.budget,
            final_over_needed: f64::from(instances(result.last_configuration())) / f64::from(instances(&needed)),
            latency_ns_p50: result.overall.ns_p50,
            latency_ns_p99: result.overall.ns_p99,
            latency_ns_max: result.overall.ns_max,
            goal_ms: run.case.goal_ms,
            goal_windows: goal.map(|(windows, _)| windows),
            goal_violations: goal.map(|(_, violations)| violations),
            bytes_moved: result.moved_bytes,
            late_actions,
            late_intervals,
            final_configuration: configuration_text(&result.topology, result.last_configuration()),
            needed_configuration: configuration_text(&result.topology, &needed),
            path: path.join(" > "),
            paper: run.case.paper.clone(),
            failed_actions: result.failed_actions() as u32,
        }
    }
}

fn last_needed(result: &RunResult) -> Configuration {
    let needed = result.needed.last().into_iter().flat_map(|(_, needed)| needed);
    needed.fold(Configuration::ones(&result.topology), |all, (&operator, &instances)| all.with(operator, instances))
}

/// The operators that may have more than one instance, one by one; of many the sum of their instances.
fn written(topology: &Topology, configuration: &Configuration) -> String {
    let scalable = topology.scalable().filter(|operator| operator.max_parallelism > 1);
    let scalable: Vec<u32> = scalable.map(|operator| configuration.parallelism(operator.id)).collect();
    match scalable.len() {
        0..=MOST_WRITTEN => scalable.iter().map(u32::to_string).collect::<Vec<_>>().join("/"),
        _ => scalable.iter().sum::<u32>().to_string(),
    }
}

/// Instances of the operators that may be rescaled by name.
pub(super) fn named(topology: &Topology, configuration: &Configuration) -> BTreeMap<String, u32> {
    topology.scalable().map(|operator| (operator.name.clone(), configuration.parallelism(operator.id))).collect()
}

/// A number of a row that can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// [`SuiteRow::actions`].
    Actions,
    /// [`SuiteRow::failed_actions`].
    FailedActions,
    /// [`SuiteRow::reversals`].
    Reversals,
    /// [`SuiteRow::undershoots`].
    Undershoots,
    /// [`SuiteRow::settle_s`].
    SettleS,
    /// [`SuiteRow::under_provisioned_s`].
    UnderProvisionedS,
    /// [`SuiteRow::behind_s`].
    BehindS,
    /// [`SuiteRow::achieved_at_end`].
    AchievedAtEnd,
    /// [`SuiteRow::lag_at_end_s`].
    LagAtEndS,
    /// [`SuiteRow::excess_instance_s`].
    ExcessInstanceS,
    /// [`SuiteRow::instance_s`].
    InstanceS,
    /// [`SuiteRow::peak_instances`].
    PeakInstances,
    /// [`SuiteRow::final_over_needed`].
    FinalOverNeeded,
    /// [`SuiteRow::latency_ns_p99`], in milliseconds.
    LatencyP99Ms,
    /// [`SuiteRow::goal_violations`] over [`SuiteRow::goal_windows`].
    GoalViolationShare,
    /// [`SuiteRow::bytes_moved`].
    BytesMoved,
    /// [`SuiteRow::late_actions`] in a hundred of [`SuiteRow::late_intervals`].
    #[serde(rename = "late_actions_per_100")]
    LateActionsPer100,
}

impl Column {
    /// Its name in the file.
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Its number in a row, if it has one.
    pub fn of(self, row: &SuiteRow) -> Option<f64> {
        match self {
            Column::Actions => Some(f64::from(row.actions)),
            Column::FailedActions => Some(f64::from(row.failed_actions)),
            Column::Reversals => Some(f64::from(row.reversals)),
            Column::Undershoots => Some(f64::from(row.undershoots)),
            Column::SettleS => Some(row.settle_s),
            Column::UnderProvisionedS => Some(row.under_provisioned_s),
            Column::BehindS => Some(row.behind_s),
            Column::AchievedAtEnd => row.achieved_at_end,
            Column::LagAtEndS => row.lag_at_end_s,
            Column::ExcessInstanceS => row.excess_instance_s,
            Column::InstanceS => Some(row.instance_s),
            Column::PeakInstances => Some(f64::from(row.peak_instances)),
            Column::FinalOverNeeded => Some(row.final_over_needed),
            Column::LatencyP99Ms => row.latency_ns_p99.map(|ns| ns as f64 / 1e6),
            Column::GoalViolationShare => Some(f64::from(row.goal_violations?) / f64::from(row.goal_windows.filter(|all| *all > 0)?)),
            Column::BytesMoved => row.bytes_moved.map(|bytes| bytes as f64),
            Column::LateActionsPer100 => {
                (row.late_intervals > 0).then(|| f64::from(row.late_actions) * 100.0 / f64::from(row.late_intervals))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_what_there_was() {
        let row = SuiteRow {
            goal_violations: Some(5),
            goal_windows: Some(20),
            late_actions: 1,
            late_intervals: 50,
            latency_ns_p99: Some(2_500_000),
            ..SuiteRow::default()
        };
        assert_eq!(Column::GoalViolationShare.of(&row), Some(0.25));
        assert_eq!(Column::LateActionsPer100.of(&row), Some(2.0));
        assert_eq!(Column::LatencyP99Ms.of(&row), Some(2.5));
        let none = SuiteRow { goal_violations: Some(0), goal_windows: Some(0), ..SuiteRow::default() };
        assert_eq!((Column::GoalViolationShare.of(&none), Column::LateActionsPer100.of(&none)), (None, None));
    }
}
