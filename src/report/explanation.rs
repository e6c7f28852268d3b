//! Explains the first entry of a ranking in sentences that suggest what to do.
//!
//! The sentences state only what the trace shows; causes that it cannot distinguish are not
//! guessed.

use std::collections::BTreeMap;

use super::analysed::Analysed;
use super::bottleneck::percent;
use super::spread::spread;
use crate::activity::{ActivityKind, Lane, Names};
use crate::critical_path::{By, Entity, Entry, Row, Subject, TraceSummary};
use crate::id::OperatorId;

/// Below this share no entry is called the cause.
const LITTLE: f64 = 0.05;

/// Sentences on the first entry of the trace's ranking.
pub fn explanation(analysed: &Analysed<'_>) -> String {
    let &Analysed { trace, names, .. } = analysed;
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
            spread(analysed, operator).text
        ),
        Entity::Instance(instance) => {
            format!("{label}: the work of this one instance is {share} of the critical paths. {}", spread(analysed, instance.operator).text)
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
        Entity::Lane(lane) => on_lane(analysed, lane, &share),
        Entity::Unknown => format!(
            "{label}: {share} of the critical paths hold no recorded activity{}. The lane was idle, or its work was not recorded; if the job kept \
             up, it was waiting for input.{}",
            idle(trace, names),
            ranking.get(1).map_or(String::new(), |next| {
                format!(" Of the recorded activity, {} has the largest share ({}).", next.entity.label(names), percent(next.participation))
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

/// The operator with the largest share of some rows, and that share.
fn mostly(trace: &TraceSummary, names: &Names, of: impl Fn(&Row) -> bool) -> Option<String> {
    let mut parts: BTreeMap<OperatorId, f64> = BTreeMap::new();
    let mut further = 0.0;
    for row in trace.rows().filter(of) {
        match row.subject {
            Subject::Work(_, instance) => *parts.entry(instance.operator).or_default() += row.participation,
            Subject::FurtherWork(_) => further += row.participation,
            _ => {}
        }
    }
    let sum = parts.values().sum::<f64>() + further;
    let (operator, part) = parts.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (sum > 0.0).then(|| format!("{} of it for '{}'", percent(part / sum), names.operator(operator)))
}

fn activity(trace: &TraceSummary, names: &Names, kind: ActivityKind, share: &str) -> String {
    let whose = mostly(trace, names, |row| matches!(row.subject, Subject::Work(of, _) | Subject::FurtherWork(of) if of == kind))
        .unwrap_or_default();
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
        ActivityKind::Lost => "It was in vain: the work failed, was killed, or another copy of it was used.",
        ActivityKind::Speculative => "It is the second copy of work that was slow: check where the first copy ran.",
    };
    format!("{kind}: {share} of the critical paths; {whose}. {advice}")
}

/// Whom the paths waited for where nothing ran: the lane that was idle for most of it.
pub(super) fn idle(trace: &TraceSummary, names: &Names) -> String {
    let mut lanes: BTreeMap<Lane, f64> = BTreeMap::new();
    for row in trace.rows().filter(|row| matches!(row.subject, Subject::Gap | Subject::Silence)) {
        *lanes.entry(row.lane).or_default() += row.participation;
    }
    let sum: f64 = lanes.values().sum();
    let most = lanes.into_iter().filter(|(_, share)| *share > 0.0).max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
    most.map_or(String::new(), |(lane, share)| format!("; {} of it was waiting for {}", percent(share / sum), names.lane(lane)))
}

fn on_lane(analysed: &Analysed<'_>, lane: Lane, share: &str) -> String {
    let &Analysed { trace, names, .. } = analysed;
    let whose = mostly(trace, names, |row| row.lane == lane).unwrap_or_default();
    let label = names.lane(lane);
    match lane {
        Lane::Worker(_) => {
            format!("{label}: its work is {share} of the critical paths; {whose}. The other lanes wait for it, not it for them.")
        }
        Lane::Instance(instance) => {
            format!("{label}: its work is {share} of the critical paths. {}", spread(analysed, instance.operator).text)
        }
    }
}
