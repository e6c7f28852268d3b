//! What a run is judged by, taken from its configurations, its decision log and its windows.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::controller::EventKind;
use crate::dataflow::Configuration;
use crate::experiment::result::{Needs, RunResult};
use crate::experiment::rows::TimelineRow;
use crate::id::OperatorId;
use crate::time::Timestamp;

/// A source that is late by more seconds of its load than these is behind. Half a second is what
/// fits into the queues.
pub(super) const BEHIND_S: f64 = 0.5;

/// Policy intervals after a change within which an action is no late one.
pub(super) const SETTLING_INTERVALS: u32 = 50;

/// From one configuration to another: when it was decided, when it was carried out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Transition {
    pub(super) decided: Timestamp,
    pub(super) done: Timestamp,
    before: Configuration,
    after: Configuration,
}

/// All that was carried out, also in part, in order.
pub(super) fn transitions(result: &RunResult) -> Vec<Transition> {
    let mut transitions = Vec::new();
    let mut begun: Option<(Timestamp, &Configuration)> = None;
    for event in &result.events {
        match &event.kind {
            EventKind::Rescaling { before, .. } => begun = Some((event.at, before)),
            EventKind::Migrated { configuration } | EventKind::Interrupted { configuration, .. } => {
                if let Some((decided, before)) = begun.take() {
                    transitions.push(Transition { decided, done: event.at, before: before.clone(), after: configuration.clone() });
                }
            }
            _ => {}
        }
    }
    transitions
}

/// How often an operator went back where it came from, up after down or down after up, although
/// what is needed had not changed since.
pub(super) fn reversals(transitions: &[Transition], needed: &Needs) -> u32 {
    let mut last: BTreeMap<OperatorId, (bool, Timestamp)> = BTreeMap::new();
    let mut reversals = 0;
    for transition in transitions {
        for (operator, after) in transition.after.iter() {
            let before = transition.before.parallelism(operator);
            if after == before {
                continue;
            }
            let (up, at) = (after > before, transition.decided);
            let previous = last.insert(operator, (up, at));
            let changed = |since: Timestamp| needed.iter().any(|(from, _)| since < *from && *from <= at);
            reversals += u32::from(previous.is_some_and(|(was_up, since)| was_up != up && !changed(since)));
        }
    }
    reversals
}

/// How often an operator that had enough instances was left with too few.
pub(super) fn undershoots(transitions: &[Transition], needed: &Needs) -> u32 {
    let below = |transition: &Transition| {
        let begun = needed.partition_point(|(from, _)| *from <= transition.decided);
        let needs = needed[..begun].last().into_iter().flat_map(|(_, needed)| needed);
        let fell = |(operator, needs): &(&OperatorId, &u32)| {
            transition.before.parallelism(**operator) >= **needs && transition.after.parallelism(**operator) < **needs
        };
        needs.filter(fell).count() as u32
    };
    transitions.iter().map(below).sum()
}

/// The longest time from a change to the last action before the next one, in seconds; 0 where no
/// action followed.
pub(super) fn settle_s(transitions: &[Transition], changes: &[Timestamp]) -> f64 {
    let after = |(index, change): (usize, &Timestamp)| {
        let until = changes.get(index + 1).copied();
        let mut follow = transitions.iter().filter(|one| one.decided >= *change && until.is_none_or(|until| one.decided < until));
        follow.next_back().map_or(0.0, |last| last.done.since(*change).as_secs_f64())
    };
    changes.iter().enumerate().map(after).fold(0.0, f64::max)
}

/// Actions decided later than [`SETTLING_INTERVALS`] after the last change, and how many intervals
/// were as late.
pub(super) fn late(transitions: &[Transition], changes: &[Timestamp], interval: Duration, duration: Duration) -> (u32, u32) {
    let settling = interval * SETTLING_INTERVALS;
    let is_late = |at: Timestamp| changes.iter().rev().find(|change| **change <= at).is_some_and(|change| at.since(*change) > settling);
    let actions = transitions.iter().filter(|one| is_late(one.decided)).count() as u32;
    let ends = (1u32..).map(|window| Timestamp::ZERO + interval * window).take_while(|end| *end <= Timestamp::ZERO + duration);
    (actions, ends.filter(|end| is_late(*end)).count() as u32)
}

/// Instances of the operators that may be rescaled, times seconds.
pub(super) fn instance_s(result: &RunResult) -> f64 {
    let ends = result.configurations.iter().skip(1).map(|(at, _)| *at).chain([Timestamp::ZERO + result.duration]);
    let each = |((from, configuration), until): (&(Timestamp, Configuration), Timestamp)| {
        f64::from(instances(result, configuration)) * until.since(*from).as_secs_f64()
    };
    result.configurations.iter().zip(ends).map(each).sum()
}

/// Instances of the operators that may be rescaled.
pub(super) fn instances(result: &RunResult, configuration: &Configuration) -> u32 {
    result.topology.scalable().map(|operator| configuration.parallelism(operator.id)).sum()
}

/// A window of the timeline, all sources together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Load {
    start_s: f64,
    length_s: f64,
    offered_per_s: f64,
    achieved_per_s: f64,
    lag_records: f64,
}

fn loads(timeline: &[TimelineRow]) -> Vec<Load> {
    let mut loads: Vec<Load> = Vec::new();
    for row in timeline.iter().filter(|row| row.offered_per_s.is_some()) {
        if loads.last().is_none_or(|load| load.start_s != row.window_start_s) {
            loads.push(Load { start_s: row.window_start_s, length_s: row.window_end_s - row.window_start_s, ..Load::default() });
        }
        if let Some(load) = loads.last_mut() {
            load.offered_per_s += row.offered_per_s.unwrap_or(0.0);
            load.achieved_per_s += row.achieved_per_s.unwrap_or(0.0);
            load.lag_records += row.lag_records.unwrap_or(0.0);
        }
    }
    loads
}

/// How a run kept up with its load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct KeepingUp {
    /// Seconds at whose end sources were late by more than [`BEHIND_S`].
    pub(super) behind_s: f64,
    /// Emitted over due records in the last quarter of the run.
    pub(super) achieved_at_end: Option<f64>,
    /// Seconds by which sources were late at the end.
    pub(super) lag_at_end_s: Option<f64>,
}

impl KeepingUp {
    pub(super) fn of(result: &RunResult) -> KeepingUp {
        KeepingUp::in_windows(&loads(&result.timeline), result.duration.as_secs_f64())
    }

    fn in_windows(loads: &[Load], duration_s: f64) -> KeepingUp {
        let behind = loads.iter().filter(|load| load.lag_records > BEHIND_S * load.offered_per_s);
        let at_end = || loads.iter().filter(|load| load.start_s >= duration_s * 0.75);
        let offered: f64 = at_end().map(|load| load.offered_per_s * load.length_s).sum();
        let achieved: f64 = at_end().map(|load| load.achieved_per_s * load.length_s).sum();
        let last = loads.last().filter(|load| load.offered_per_s > 0.0);
        KeepingUp {
            // The sum of nothing is a negative zero.
            behind_s: behind.map(|load| load.length_s).sum::<f64>() + 0.0,
            achieved_at_end: (offered > 0.0).then(|| achieved / offered),
            lag_at_end_s: last.map(|load| load.lag_records / load.offered_per_s),
        }
    }
}

/// Windows after the last action, and those of them in which 1 % of the records exceeded the goal
/// or none arrived.
pub(super) fn goal(result: &RunResult, goal_ms: f64) -> (u32, u32) {
    let from = result.settled_at().unwrap_or_default().as_secs_f64();
    let windows = || result.latency.iter().filter(|row| row.window_start_s >= from);
    let violates = |p99: Option<u64>| p99.is_none_or(|ns| ns as f64 > goal_ms * 1e6);
    (windows().count() as u32, windows().filter(|row| violates(row.latency_ns_p99)).count() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: OperatorId = OperatorId(1);

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_secs_f64(seconds)
    }

    /// An operator that goes from one number of instances to the next, at these seconds.
    fn path(path: &[(f64, u32)]) -> Vec<Transition> {
        let of = |instances| Configuration::default().with(MAP, instances);
        let step = |pair: &[(f64, u32)]| Transition {
            decided: at(pair[1].0),
            done: at(pair[1].0 + 0.5),
            before: of(pair[0].1),
            after: of(pair[1].1),
        };
        path.windows(2).map(step).collect()
    }

    fn needed(needed: &[(f64, u32)]) -> Needs {
        needed.iter().map(|&(from, instances)| (at(from), BTreeMap::from([(MAP, instances)]))).collect()
    }

    #[test]
    fn back_without_a_reason_is_a_reversal() {
        for (changes, steps, reversals_expected) in [
            (&[(0.0, 5)][..], &[(0.0, 1), (2.0, 5), (4.0, 9)][..], 0),
            (&[(0.0, 5)], &[(0.0, 1), (2.0, 9), (4.0, 5)], 1),
            (&[(0.0, 5)], &[(0.0, 1), (2.0, 9), (4.0, 5), (6.0, 4), (8.0, 5)], 2),
            // What is needed fell in between.
            (&[(0.0, 9), (3.0, 5)], &[(0.0, 1), (2.0, 9), (4.0, 5)], 0),
            // It had fallen before.
            (&[(0.0, 9), (1.0, 5)], &[(0.0, 1), (2.0, 9), (4.0, 5)], 1),
            // Bins that are spread anew change no direction.
            (&[(0.0, 5)], &[(0.0, 1), (2.0, 5), (4.0, 5), (6.0, 9)], 0),
        ] {
            assert_eq!(reversals(&path(steps), &needed(changes)), reversals_expected, "{steps:?}");
        }
    }

    #[test]
    fn an_undershoot_takes_what_was_needed() {
        for (steps, expected) in [
            (&[(0.0, 9), (2.0, 5)][..], 0),
            (&[(0.0, 9), (2.0, 4)], 1),
            (&[(0.0, 9), (2.0, 4), (4.0, 3), (6.0, 6), (8.0, 4)], 2),
            (&[(0.0, 1), (2.0, 3)], 0),
        ] {
            assert_eq!(undershoots(&path(steps), &needed(&[(0.0, 5)])), expected, "{steps:?}");
        }
        assert_eq!(undershoots(&path(&[(0.0, 9), (2.0, 5)]), &needed(&[(0.0, 5), (2.0, 6)])), 1);
    }

    #[test]
    fn settling_ends_with_the_last_action_before_the_next_change() {
        let steps = path(&[(0.0, 1), (2.0, 3), (6.0, 5), (21.0, 9)]);
        assert_eq!(settle_s(&steps, &[at(0.0)]), 21.5);
        assert_eq!(settle_s(&steps, &[at(0.0), at(20.0)]), 6.5);
        assert_eq!(settle_s(&[], &[at(0.0)]), 0.0);
    }

    #[test]
    fn late_is_what_comes_when_all_should_be_settled() {
        let seconds = Duration::from_secs;
        let steps = path(&[(0.0, 1), (100.0, 3), (102.0, 5), (130.0, 3)]);
        assert_eq!(late(&steps, &[at(0.0)], seconds(2), seconds(200)), (2, 50));
        assert_eq!(late(&steps, &[at(0.0), at(60.0)], seconds(2), seconds(200)), (0, 20));
    }

    #[test]
    fn who_is_late_by_half_a_second_is_behind() {
        let load = |start_s: f64, achieved_per_s: f64, lag_records: f64| Load {
            start_s,
            length_s: 0.5,
            offered_per_s: 100.0,
            achieved_per_s,
            lag_records,
        };
        let windows = [load(0.0, 0.0, 50.0), load(0.5, 90.0, 55.0), load(1.0, 100.0, 55.0), load(1.5, 120.0, 45.0)];
        let found = KeepingUp::in_windows(&windows, 2.0);
        assert_eq!(found, KeepingUp { behind_s: 1.0, achieved_at_end: Some(1.2), lag_at_end_s: Some(0.45) });
        let row = |operator: &str, window_start_s: f64, offered_per_s| TimelineRow {
            operator: operator.to_owned(),
            window_start_s,
            window_end_s: window_start_s + 0.5,
            offered_per_s,
            lag_records: offered_per_s.map(|_| 7.0),
            ..TimelineRow::default()
        };
        let two = [row("a", 0.0, Some(60.0)), row("b", 0.0, Some(40.0)), row("map", 0.0, None), row("a", 0.5, Some(60.0))];
        let seen: Vec<(f64, f64)> = loads(&two).iter().map(|load| (load.offered_per_s, load.lag_records)).collect();
        assert_eq!(seen, [(100.0, 14.0), (60.0, 7.0)]);
    }
}
