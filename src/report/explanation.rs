//! What the first entry of a ranking means, in sentences that a person can act on.
//!
//! Only what the trace shows is said; what it cannot tell apart is not guessed.

use std::collections::BTreeMap;

use super::bottleneck::percent;
use crate::activity::{ActivityKind, Lane, Names};
use crate::critical_path::{By, Entity, Entry, Row, Subject, TraceSummary};
use crate::id::{InstanceId, OperatorId};

/// An instance stands out if its share is so many times what an even spread would give it.
const UNEVEN: f64 = 1.5;
/// So few windows may well be cut off at both ends.
const FEW: u64 = 2;
/// Below this no entry is worth calling the cause.
const LITTLE: f64 = 0.05;

/// Sentences on the first entry of `trace`'s ranking.
pub fn explanation(trace: &TraceSummary, names: &Names) -> String {
    let ranking = trace.ranking(trace.by());
    let Some(first) = ranking.first().filter(|first| first.participation > 0.0) else {
        return match trace.by() {
            By::Channel => "No path leads through a message for any length of time: no channel holds the job back.".to_owned(),
            _ => "No path leads through the trace: there is nothing to rank.".to_owned(),
        };
    };
    let label = first.entity.label(names);
    let share = percent(first.participation);
    let mut text = match first.entity {
        Entity::Operator(operator) => format!(
            "{label}: its own work is {share} of the critical paths, so the job ends sooner only if that work does. {}",
            spread(trace, names, operator)
        ),
        Entity::Instance(instance) => {
            format!("{label}: the work of this one instance is {share} of the critical paths. {}", spread(trace, names, instance.operator))
        }
        Entity::Outside(operator) => format!(
            "{label}: for {share} of the critical paths '{}' waits for something outside the dataflow. Faster processors do not \
             help; ask less often, ask for several records at once, or keep more questions under way.",
            names.operator(operator)
        ),
        Entity::Channel(channel) => {
            let ends = names.ends(channel);
            let between = ends
                .map_or(String::new(), |(source, target)| format!(" from '{}' to '{}'", names.operator(source), names.operator(target)));
            format!(
                "{label}: for {share} of the critical paths a message was on its way{between} and its receiver had nothing else to do. \
                 Neither end is too slow; look at the network, at serialization, and at batches that are held back."
            )
        }
        Entity::Messages(kind) => format!(
            "{label}: for {share} of the critical paths a {kind} was on its way and its receiver had nothing else to do; \
             '--by channel' says where."
        ),
        Entity::Activity(kind) => activity(trace, names, kind, &share),
        Entity::Lane(lane) => on_lane(trace, names, lane, &share),
        Entity::Unknown => format!(
            "{label}: for {share} of the critical paths the log tells nothing: there was nothing to do, or what was done was not \
             recorded. If the job kept up, it was waiting for its input.{} {}",
            if trace.windows() <= FEW { " If the log is shorter than its windows, choose shorter ones (--window)." } else { "" },
            ranking.get(1).map_or(String::new(), |next| {
                format!("Of what was recorded, {} has the largest part ({}).", next.entity.label(names), percent(next.participation))
            })
        ),
    };
    if first.participation < LITTLE {
        text.push_str(" That is little: nothing stands out.");
    }
    if let Some(other) = profile_first(&ranking).filter(|other| first.entity != Entity::Unknown && other.entity != first.entity) {
        text.push_str(&format!(
            " A conventional profile would put {} first (busy for {} of the time): it counts work that nobody waits for, too.",
            other.entity.label(names),
            percent(other.profile)
        ));
    }
    text
}

fn profile_first(ranking: &[Entry]) -> Option<&Entry> {
    ranking.iter().filter(|entry| entry.entity.is_work()).rev().max_by(|a, b| a.profile.total_cmp(&b.profile))
}

/// What an instance did, over all lanes.
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

/// How an operator's work is spread over its instances, and what follows from it.
fn spread(trace: &TraceSummary, names: &Names, operator: OperatorId) -> String {
    let shares = instances(trace, operator);
    let name = names.operator(operator);
    let sum: f64 = shares.values().map(|share| share.participation).sum();
    let most = shares.iter().max_by(|a, b| a.1.participation.total_cmp(&b.1.participation));
    let Some((&worst, most)) = most.filter(|_| sum > 0.0) else { return String::new() };
    if shares.len() == 1 {
        return "It runs as one instance: give it more, or make its work on a record cheaper.".to_owned();
    }
    let part = most.participation / sum;
    let siblings = shares.len() - 1;
    if part * (shares.len() as f64) < UNEVEN {
        return format!(
            "Its {} instances have about equal parts of it: give it more of them, or make its work on a record cheaper.",
            siblings + 1
        );
    }
    let others = shares.iter().filter(|(instance, _)| **instance != worst).map(|(_, share)| share);
    let (ns, count) = others.fold((0, 0), |(ns, count), share| (ns + share.ns, count + share.count));
    let alone = format!("{} of that is {} alone, one of {}", percent(part), names.instance(worst), siblings + 1);
    if ns == 0 || count == 0 || most.count == 0 {
        return format!("{alone}: its siblings have nothing to do. Give them a part of its keys.");
    }
    // How much longer a piece of its work takes, and how many more pieces it has, than the siblings' on average.
    let slower = (most.ns as f64 / most.count as f64) / (ns as f64 / count as f64);
    let busier = most.ns as f64 / (ns as f64 / siblings as f64);
    let more = most.count as f64 * siblings as f64 / count as f64;
    if busier < UNEVEN {
        format!("{alone}, although its siblings are as busy: the others wait for it. Look at what it does right before it sends.")
    } else if slower >= more {
        format!(
            "{alone}: a piece of its work takes {slower:.1} times as long as its siblings'. It is slow or its batches are large: look at its \
             machine and its keys. More instances of '{name}' do not help."
        )
    } else {
        format!(
            "{alone}: it has {more:.1} times as many pieces of work as its siblings. Spread its keys; more instances of '{name}' do not help."
        )
    }
}

/// The operator with the largest part of some rows, and that part.
fn mostly(trace: &TraceSummary, names: &Names, of: impl Fn(&Row) -> bool) -> Option<String> {
    let mut parts: BTreeMap<OperatorId, f64> = BTreeMap::new();
    for row in trace.rows().filter(of) {
        if let Subject::Work(_, instance) = row.subject {
            *parts.entry(instance.operator).or_default() += row.participation;
        }
    }
    let sum: f64 = parts.values().sum();
    let (operator, part) = parts.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (sum > 0.0).then(|| format!("{} of that is for '{}'", percent(part / sum), names.operator(operator)))
}

fn activity(trace: &TraceSummary, names: &Names, kind: ActivityKind, share: &str) -> String {
    let whose = mostly(trace, names, |row| matches!(row.subject, Subject::Work(of, _) if of == kind)).unwrap_or_default();
    let advice = match kind {
        ActivityKind::Processing => "More instances of that operator, or cheaper work on a record, help.",
        ActivityKind::Scheduling => "That is the host's own work: larger batches need less of it.",
        ActivityKind::Serialization | ActivityKind::Deserialization => {
            "Send fewer or smaller records, or keep sender and receiver in one process."
        }
        ActivityKind::ExternalWait => "Faster processors do not help; ask less often, or keep more questions under way.",
        ActivityKind::Migration => "State is on the move; that ends by itself.",
        ActivityKind::Source => "The source gives out as fast as it can, or waits for what is due.",
        ActivityKind::Sink => "What takes the results is what holds the job back.",
    };
    format!("{kind}: {share} of the critical paths; {whose}. {advice}")
}

fn on_lane(trace: &TraceSummary, names: &Names, lane: Lane, share: &str) -> String {
    let whose = mostly(trace, names, |row| row.lane == lane).unwrap_or_default();
    let label = names.lane(lane);
    match lane {
        Lane::Worker(_) => {
            format!("{label}: its work is {share} of the critical paths; {whose}. The other lanes wait for it rather than it for them.")
        }
        Lane::Instance(instance) => {
            format!("{label}: its work is {share} of the critical paths. {}", spread(trace, names, instance.operator))
        }
    }
}
