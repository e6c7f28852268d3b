//! Explains the first entry of a ranking in sentences that suggest what to do.
//!
//! The sentences state only what the trace shows; causes that it cannot distinguish are not
//! guessed.

use std::collections::BTreeMap;

use super::bottleneck::percent;
use crate::activity::{ActivityKind, Lane, Names};
use crate::critical_path::{By, Entity, Entry, Row, Subject, TraceSummary};
use crate::id::{InstanceId, OperatorId};

/// An instance stands out if its share is at least this many times an even share.
const UNEVEN: f64 = 1.5;
/// With at most this many windows, both ends of the log may be truncated windows.
const FEW: u64 = 2;
/// Below this share no entry is called the cause.
const LITTLE: f64 = 0.05;

/// Sentences on the first entry of `trace`'s ranking.
pub fn explanation(trace: &TraceSummary, names: &Names) -> String {
    let ranking = trace.ranking(trace.by());
    let Some(first) = ranking.first().filter(|first| first.participation > 0.0) else {
        return match trace.by() {
            By::Channel => "No path spends time in a message: no channel is a bottleneck.".to_owned(),
            _ => "No path spans the trace: there is nothing to rank.".to_owned(),
        };
    };
    let label = first.entity.label(names);
    let share = percent(first.participation);
    let mut text = match first.entity {
        Entity::Operator(operator) => format!(
            "{label}: its own work is {share} of the critical paths: only less of it speeds the job up. {}",
            spread(trace, names, operator)
        ),
        Entity::Instance(instance) => {
            format!("{label}: the work of this one instance is {share} of the critical paths. {}", spread(trace, names, instance.operator))
        }
        Entity::Outside(operator) => format!(
            "{label}: for {share} of the critical paths '{}' waits for something outside the dataflow. Faster processors do not \
             help: make fewer requests, batch them, or keep more of them in flight.",
            names.operator(operator)
        ),
        Entity::Channel(channel) => {
            let ends = names.ends(channel);
            let between = ends
                .map_or(String::new(), |(source, target)| format!(" from '{}' to '{}'", names.operator(source), names.operator(target)));
            format!(
                "{label}: for {share} of the critical paths a message was in flight{between} while its receiver was idle. \
                 Neither end is too slow: check the network, serialization, and buffers that are flushed late."
            )
        }
        Entity::Messages(kind) => format!(
            "{label}: for {share} of the critical paths a {kind} was in flight while its receiver was idle; \
             '--by channel' shows where."
        ),
        Entity::Activity(kind) => activity(trace, names, kind, &share),
        Entity::Lane(lane) => on_lane(trace, names, lane, &share),
        Entity::Unknown => format!(
            "{label}: {share} of the critical paths are not covered by the log: the job was idle, or its activity was not \
             recorded. If the job kept up, it was waiting for input.{} {}",
            if trace.windows() <= FEW { " If the log is shorter than a window, choose shorter windows (--window)." } else { "" },
            ranking.get(1).map_or(String::new(), |next| {
                format!("Of the recorded activity, {} has the largest share ({}).", next.entity.label(names), percent(next.participation))
            })
        ),
    };
    if first.participation < LITTLE {
        text.push_str(" This share is small: nothing stands out.");
    }
    if let Some(other) = profile_first(&ranking).filter(|other| first.entity != Entity::Unknown && other.entity != first.entity) {
        text.push_str(&format!(
            " A conventional profile would rank {} first (busy {} of the time), because it also counts work that nothing waits for.",
            other.entity.label(names),
            percent(other.profile)
        ));
    }
    text
}

fn profile_first(ranking: &[Entry]) -> Option<&Entry> {
    ranking.iter().filter(|entry| entry.entity.is_work()).rev().max_by(|a, b| a.profile.total_cmp(&b.profile))
}

/// An instance's work, over all lanes.
#[derive(Clone, Copy, Default)]
struct Share {
    participation: f64,
    ns: u64,
    count: u64,
}

fn instances(trace: &TraceSummary, operator: OperatorId) -> BTreeMap<InstanceId, Share> {
    let mut shares: BTreeMap<InstanceId, Share> = BTreeMap::new();
    for row in trace.rows() {
        if let Subject::Work(kind, instance) = row.subject
            && kind != ActivityKind::ExternalWait
            && instance.operator == operator
        {
            let share = shares.entry(instance).or_default();
            *share =
                Share { participation: share.participation + row.participation, ns: share.ns + row.ns, count: share.count + row.count };
        }
    }
    shares
}

/// How an operator's work is distributed over its instances, and what to do about it.
fn spread(trace: &TraceSummary, names: &Names, operator: OperatorId) -> String {
    let shares = instances(trace, operator);
    let name = names.operator(operator);
    let sum: f64 = shares.values().map(|share| share.participation).sum();
    let most = shares.iter().max_by(|a, b| a.1.participation.total_cmp(&b.1.participation));
    let Some((&worst, most)) = most.filter(|_| sum > 0.0) else { return String::new() };
    if shares.len() == 1 {
        return "It has one instance: add instances, or make each record cheaper.".to_owned();
    }
    let part = most.participation / sum;
    let siblings = shares.len() - 1;
    if part * (shares.len() as f64) < UNEVEN {
        return format!("Its {} instances have about equal shares: add instances, or make each record cheaper.", siblings + 1);
    }
    let others = shares.iter().filter(|(instance, _)| **instance != worst).map(|(_, share)| share);
    let (ns, count) = others.fold((0, 0), |(ns, count), share| (ns + share.ns, count + share.count));
    let alone = format!("{} of it is {} alone, one of {} instances", percent(part), names.instance(worst), siblings + 1);
    if ns == 0 || count == 0 || most.count == 0 {
        return format!("{alone}: the others are idle (skew). Distribute its keys.");
    }
    // How much longer one of its activities takes, and how many more it has, than those of the
    // others on average.
    let slower = (most.ns as f64 / most.count as f64) / (ns as f64 / count as f64);
    let busier = most.ns as f64 / (ns as f64 / siblings as f64);
    let more = most.count as f64 * siblings as f64 / count as f64;
    if busier < UNEVEN {
        format!("{alone}, although the others are as busy: they wait for it. Check what it does right before it sends.")
    } else if slower >= more {
        format!(
            "{alone}: its activities take {slower:.1} times as long as those of the others. It is slow (a straggler) or its batches are large: \
             check its machine and its keys. Adding instances of '{name}' does not help."
        )
    } else {
        format!(
            "{alone}: it has {more:.1} times as many activities as the others (skew). Rebalance its keys; adding instances of '{name}' does not help."
        )
    }
}

/// The operator with the largest share of some rows, and that share.
fn mostly(trace: &TraceSummary, names: &Names, of: impl Fn(&Row) -> bool) -> Option<String> {
    let mut parts: BTreeMap<OperatorId, f64> = BTreeMap::new();
    for row in trace.rows().filter(of) {
        if let Subject::Work(_, instance) = row.subject {
            *parts.entry(instance.operator).or_default() += row.participation;
        }
    }
    let sum: f64 = parts.values().sum();
    let (operator, part) = parts.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (sum > 0.0).then(|| format!("{} of it for '{}'", percent(part / sum), names.operator(operator)))
}

fn activity(trace: &TraceSummary, names: &Names, kind: ActivityKind, share: &str) -> String {
    let whose = mostly(trace, names, |row| matches!(row.subject, Subject::Work(of, _) if of == kind)).unwrap_or_default();
    let advice = match kind {
        ActivityKind::Processing => "Add instances of that operator, or make each record cheaper.",
        ActivityKind::Scheduling => "This is overhead of the host: larger batches reduce it.",
        ActivityKind::Serialization | ActivityKind::Deserialization => {
            "Send fewer or smaller records, or keep sender and receiver in the same process."
        }
        ActivityKind::ExternalWait => "Faster processors do not help: make fewer requests, or keep more of them in flight.",
        ActivityKind::Migration => "State is being migrated; this ends by itself.",
        ActivityKind::Source => "The source emits as fast as it can, or waits for records to become due.",
        ActivityKind::Sink => "The consumer of the results is the bottleneck.",
    };
    format!("{kind}: {share} of the critical paths; {whose}. {advice}")
}

fn on_lane(trace: &TraceSummary, names: &Names, lane: Lane, share: &str) -> String {
    let whose = mostly(trace, names, |row| row.lane == lane).unwrap_or_default();
    let label = names.lane(lane);
    match lane {
        Lane::Worker(_) => {
            format!("{label}: its work is {share} of the critical paths; {whose}. The other lanes wait for it, not it for them.")
        }
        Lane::Instance(instance) => {
            format!("{label}: its work is {share} of the critical paths. {}", spread(trace, names, instance.operator))
        }
    }
}
