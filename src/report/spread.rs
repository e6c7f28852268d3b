//! How an operator's work is spread over its instances, in sentences that suggest what to do.
//!
//! Two kinds of work: by key, where each instance has records of its own, and tasks, which any
//! instance can take. Invariant: pieces of work are counted whole, and instances are compared over
//! the time they were there, so that neither windows nor instances that come and go change the
//! answer.

use std::collections::{BTreeMap, BTreeSet};

use super::analysed::{Analysed, Division};
use super::bottleneck::percent;
use super::merged::{Evenness, Merged};
use super::table::latency;
use crate::activity::{ActivityKind, Lane};
use crate::critical_path::{InstanceWork, OperatorWork, Subject};
use crate::id::{InstanceId, OperatorId};

/// An instance stands out if its share is at least this many times an even share, and something of
/// it is different if it is this many times that of the others.
const UNEVEN: f64 = 1.5;
/// Below this share of the critical paths no instance alone is to blame.
const LEAST_ALONE: f64 = 0.2;
/// Instances were there only for a part of the time if it is below this.
const MOST_OF_THE_TIME: f64 = 0.7;
/// A task stands out if it is this many times as long as the others.
const LONG_TASK: f64 = 2.0;
/// Work in vain is mentioned from this share of an operator's time on.
const LEAST_LOST: f64 = 0.05;

/// How an operator's work is spread over its instances.
pub(super) struct Spread {
    pub(super) evenness: Evenness,
    /// What to do about it, in sentences; empty if it did nothing.
    pub(super) text: String,
}

impl Spread {
    fn of(evenness: Evenness, text: impl Into<String>) -> Spread {
        Spread { evenness, text: text.into() }
    }
}

/// How an operator's work is spread over its instances, and what to do about it.
pub(super) fn spread(analysed: &Analysed<'_>, operator: OperatorId) -> Spread {
    spreads(analysed, &BTreeSet::from([operator])).remove(&operator).unwrap_or_else(|| Spread::of(Evenness::Even, ""))
}

/// The same of some operators, those left out that are on no critical path.
pub(super) fn spreads(analysed: &Analysed<'_>, operators: &BTreeSet<OperatorId>) -> BTreeMap<OperatorId, Spread> {
    let mut works = analysed.pieces.by_operator(operators);
    let shares = shares(analysed, operators).into_iter().filter(|(_, shares)| shares.values().sum::<f64>() > 0.0);
    shares.map(|(operator, shares)| (operator, of(analysed, operator, &shares, &works.remove(&operator).unwrap_or_default()))).collect()
}

/// Adds to `merged` how the work of operators is spread that will not be kept apart any longer.
pub fn merge(analysed: &Analysed<'_>, operators: &BTreeSet<OperatorId>, merged: &mut Merged) {
    let shares = shares(analysed, operators);
    let length = analysed.trace.length_ns();
    for (operator, spread) in spreads(analysed, operators) {
        let share = shares.get(&operator).map_or(0.0, |instances| instances.values().sum());
        merged.add(spread.evenness, share * length);
    }
}

fn of(analysed: &Analysed<'_>, operator: OperatorId, shares: &BTreeMap<InstanceId, f64>, work: &OperatorWork) -> Spread {
    let mut spread = match analysed.division {
        Division::Keys => by_key(analysed, operator, shares, &work.instances),
        Division::Tasks => by_task(analysed, shares, work),
        Division::Calls => {
            Spread::of(Evenness::Even, "Make it cheaper, call it less often, or call it beside others instead of after them.")
        }
    };
    let (lost, busy) = work.instances.values().fold((0, 0), |(lost, busy), work| (lost + work.lost_ns, busy + work.busy_ns));
    let lost = lost as f64 / ((lost + busy) as f64).max(1.0);
    if lost >= LEAST_LOST {
        spread.text.push_str(&format!(" {} of its time was in vain: work that failed or was killed.", percent(lost)));
    }
    spread
}

/// Participation of the work of each instance of some operators.
fn shares(analysed: &Analysed<'_>, operators: &BTreeSet<OperatorId>) -> BTreeMap<OperatorId, BTreeMap<InstanceId, f64>> {
    let mut shares: BTreeMap<OperatorId, BTreeMap<InstanceId, f64>> = BTreeMap::new();
    for row in analysed.trace.rows() {
        if let Subject::Work(kind, instance) = row.subject
            && kind != ActivityKind::ExternalWait
            && operators.contains(&instance.operator)
        {
            *shares.entry(instance.operator).or_default().entry(instance).or_default() += row.participation;
        }
    }
    shares
}

/// What the instances other than `worst` did together.
fn others(works: &BTreeMap<InstanceId, InstanceWork>, worst: InstanceId) -> InstanceWork {
    let others = works.iter().filter(|(instance, _)| **instance != worst).map(|(_, work)| work);
    others.fold(InstanceWork::default(), |sum, work| InstanceWork {
        pieces: sum.pieces + work.pieces,
        pieces_ns: sum.pieces_ns.saturating_add(work.pieces_ns),
        records: sum.records.saturating_add(work.records),
        busy_ns: sum.busy_ns + work.busy_ns,
        present_ns: sum.present_ns + work.present_ns,
        ..sum
    })
}

fn by_key(
    analysed: &Analysed<'_>,
    operator: OperatorId,
    shares: &BTreeMap<InstanceId, f64>,
    works: &BTreeMap<InstanceId, InstanceWork>,
) -> Spread {
    let names = analysed.names;
    let name = names.operator(operator);
    let sum: f64 = shares.values().sum();
    let Some((&worst, &most)) = shares.iter().max_by(|a, b| a.1.total_cmp(b.1)) else { return Spread::of(Evenness::Even, "") };
    if shares.len() == 1 {
        return Spread::of(Evenness::Crowded, "It has one instance: add instances, or make each record cheaper.");
    }
    let (part, siblings) = (most / sum, shares.len() - 1);
    if part * (shares.len() as f64) < UNEVEN {
        return Spread::of(
            Evenness::Crowded,
            format!("Its {} instances have about equal shares: add instances, or make each record cheaper.", siblings + 1),
        );
    }
    if most < LEAST_ALONE {
        return Spread::of(
            Evenness::Crowded,
            format!(
                "None of its {} instances alone is on many critical paths (at most {}): add instances, or make each record cheaper.",
                siblings + 1,
                percent(most)
            ),
        );
    }
    let (own, others) = (works.get(&worst).copied().unwrap_or_default(), others(works, worst));
    let alone = format!("{} of it is {} alone, one of {} instances", percent(part), names.instance(worst), siblings + 1);
    if others.busy_ns == 0 || own.pieces == 0 {
        return Spread::of(Evenness::Skewed, format!("{alone}: the others are idle (skew). Distribute its keys."));
    }
    // Everything per time that an instance was there; and per record, if records are counted.
    let rate = |amount: u64, work: &InstanceWork| amount as f64 / (work.present_ns as f64).max(1.0);
    let busier = rate(own.busy_ns, &own) / rate(others.busy_ns, &others);
    let is_counted = own.records > 0 && others.records > 0;
    let number = |work: &InstanceWork| if is_counted { work.records } else { work.pieces };
    let slower = (own.pieces_ns as f64 / number(&own) as f64) / (others.pieces_ns as f64 / (number(&others) as f64).max(1.0));
    let more = rate(number(&own), &own) / rate(number(&others), &others);
    let present = others.present_ns as f64 / (siblings as f64 * own.present_ns as f64).max(1.0);
    if busier < UNEVEN && present < MOST_OF_THE_TIME {
        return Spread::of(
            Evenness::Crowded,
            format!(
                "{alone}, because the others were there for only {} of its time, and as busy while they were: add instances, or make each record \
             cheaper.",
                percent(present)
            ),
        );
    }
    if busier < UNEVEN && slower < UNEVEN {
        return Spread::of(
            Evenness::Even,
            format!("{alone}, although the others are as busy: they wait for it. Check what it does right before it sends."),
        );
    }
    if slower >= more {
        let same = if is_counted { ", for as many records" } else { "" };
        Spread::of(
            Evenness::Straggling,
            format!(
                "{alone}: its activities take {slower:.1} times as long as those of the others{same}. It is slow (a straggler) or its batches are \
             large: check its machine and its keys. Adding instances of '{name}' does not help."
            ),
        )
    } else {
        let what = if is_counted { "records" } else { "activities" };
        Spread::of(
            Evenness::Skewed,
            format!(
                "{alone}: it has {more:.1} times as many {what} as the others (skew). Rebalance its keys; adding instances of '{name}' does not help."
            ),
        )
    }
}

fn by_task(analysed: &Analysed<'_>, shares: &BTreeMap<InstanceId, f64>, work: &OperatorWork) -> Spread {
    let works = &work.instances;
    let sum = |of: fn(&InstanceWork) -> u64| works.values().map(of).fold(0, u64::saturating_add);
    let (tasks, tasks_ns, records) = (sum(|work| work.pieces), sum(|work| work.pieces_ns), sum(|work| work.records));
    let Some((&runner, longest)) = works.iter().max_by_key(|(_, work)| work.longest_ns).filter(|_| tasks > 0) else {
        return Spread::of(Evenness::Even, "");
    };
    let cheaper = "split its input into more partitions, or make each record cheaper";
    if tasks == 1 {
        return Spread::of(Evenness::Even, format!("It is a single task: more executors do not help; {cheaper}."));
    }
    // How long the operator's work is on the critical paths.
    let critical_ns = shares.values().sum::<f64>() * analysed.trace.span().length().as_nanos() as f64;
    let others = (tasks - 1) as f64;
    let mean_ns = tasks_ns.saturating_sub(longest.longest_ns) as f64 / others;
    let longer = longest.longest_ns as f64 / mean_ns.max(1.0);
    if longer >= LONG_TASK && longest.longest_ns as f64 >= critical_ns / 2.0 {
        let mean_records = records.saturating_sub(longest.longest_records) as f64 / others;
        let more = longest.longest_records as f64 / mean_records.max(1.0);
        let lane = runner_of(analysed, runner);
        let is_skewed = records > 0 && more >= UNEVEN;
        let evenness = if is_skewed { Evenness::Skewed } else { Evenness::Straggling };
        let why = if records == 0 {
            format!(
                "its partition is larger than the others (skew), or {lane} is slow (a straggler): split the partition, or check the host"
            )
        } else if is_skewed {
            format!("it has {more:.1} times as many records (skew): distribute its keys, or split its partition")
        } else {
            format!(
                "it has about as many records: {lane} is slow (a straggler), or its records are expensive. Check the host and the records"
            )
        };
        return Spread::of(
            evenness,
            format!(
                "One of its {tasks} tasks takes {}, {longer:.1} times as long as the others (on average {}): {why}. More executors do not help.",
                latency(longest.longest_ns),
                latency(mean_ns as u64)
            ),
        );
    }
    let at_a_time = sum(|work| work.busy_ns) as f64 / critical_ns.max(1.0);
    let left = match work.left {
        0 => String::new(),
        1 => " One of its cores left before the end.".to_owned(),
        several => format!(" {several} of its cores left before the end."),
    };
    if tasks as f64 >= UNEVEN * at_a_time {
        Spread::of(
            Evenness::Crowded,
            format!(
                "Its {tasks} tasks are about equally long, and on average {at_a_time:.1} of them ran at a time: add executors or cores (up to {tasks} \
             tasks can run at a time), or make each record cheaper.{left}"
            ),
        )
    } else {
        Spread::of(
            Evenness::Even,
            format!("All its {tasks} tasks ran at about the same time: more executors do not help; {cheaper}.{left}"),
        )
    }
}

/// The lane that an instance worked on, by name.
fn runner_of(analysed: &Analysed<'_>, instance: InstanceId) -> String {
    analysed.names.lane(analysed.pieces.lane(instance).unwrap_or(Lane::Instance(instance)))
}
