//! Rules of policies in plain words, and numbers as people read them.

use crate::critical_path::EpochPieceKind;
use crate::policy::{Cause, Finding, PathShare, Reason};
use crate::report::table::latency;

/// What a rule means, as the end of a sentence that begins with who the rule was about; nothing for a rule that is not known here, whose
/// name has to do.
pub(super) fn meaning(rule: &str) -> Option<&'static str> {
    Some(match rule {
        "hold" | "healthy" | "as-demanded" | "within-band" | "within-tolerance" | "as-is-best" => "nothing is to be done",
        "scripted" => "the script says so",
        "requested" => "it was asked for from outside of the policy",
        "external" => "the external policy says so",
        "external-gone" | "external-timed-out" | "external-ended" | "external-nonsense" => "the external policy was given up",
        "best-is-known" => "what the job needs is known beforehand",
        "nothing-known-yet" => "what the job needs is not known yet",
        "equation-7" => "the true rates of operators and what sources offer ask for other numbers of instances",
        "target-rate-ratio" => "the equations ask for no more, but sources emit less than is offered",
        "not-measured" => "it has no true rate to decide by",
        "under-provisioned" => "it has fewer instances than it needs to keep up",
        "over-provisioned" => "it has more instances than it needs",
        "goal-missed" => "it keeps up, but latency is beyond the goal",
        "goal-unreachable" => "latency is beyond the goal, and no number of instances would change that",
        "hot-key" => "a single key is more than an instance can take, which spreading the others does not help",
        "external-wait" => "it waits for something outside of the job, which more instances do not help",
        "straggling" => "instances are slower than the others, and what they cannot do is missing",
        "bounded" => "an operator has as many instances as help it, which bounds the whole job",
        "budget" => "the budget of instances is used up",
        "uneven" => "its load is not spread as its instances can take it",
        "roll-back" => "the last action made it worse",
        "undo-scale-down" => "it was given too few instances",
        "slow-instance" => "one instance is slower than the others, which more of them do not help",
        "data-skew" => "one instance gets more than its part, which more of them do not help",
        "blacklisted" => "more instances did not help before, so it is left alone",
        "at-limit" => "it would need more instances than it may have",
        "no-diagnosis" => "something is wrong, but no known cause fits",
        "several-components" => "several operators make sources pause at once, so it waits until it is one",
        "starting" => "new instances do not work yet, so nothing can be said of them",
        "not-worth-it" => "a change would cost more than it is worth",
        "settling" => "it waits for what the last action does",
        "between-runs" => "it is not yet time for its next look",
        "utilisation" => "utilisation is away from its target",
        "stabilising" => "what it would do has not been called for long enough",
        "outside-band" => "utilisation at what is offered is outside of its band",
        "busy-for-long" => "it has had a busy instance for long enough",
        "idle-for-long" => "no instance has been busy for long enough",
        "ineffective" => "the last increase did not do what it was to do",
        "backlog" => "a backlog is worked off first",
        "scale-down-delayed" => "fewer instances would do, but not for long enough yet",
        "collecting-metrics" => "it has not measured for long enough yet",
        _ => return None,
    })
}

/// Why, in a sentence without its end: whom it is about, what the rule means and its name.
fn why(reason: &Reason) -> String {
    let about = if reason.operator.is_empty() { String::new() } else { format!("about {}: ", reason.operator) };
    match meaning(&reason.rule) {
        Some(meaning) => format!("{about}{meaning} (rule '{}')", reason.rule),
        None => format!("{about}rule '{}'", reason.rule),
    }
}

/// What was found out about an operator, in a sentence.
pub(super) fn finding(finding: &Finding) -> String {
    let values: Vec<String> = finding.values.iter().map(value).collect();
    let rests_on = if values.is_empty() { String::new() } else { format!(" ({})", values.join(", ")) };
    let (is, so) = match finding.cause {
        Cause::UnderProvisioned => ("has more to do than its instances can", ": more of them help"),
        Cause::Skewed => ("has an instance with more to do than its part", ": spreading the bins helps, more instances do not"),
        Cause::Straggling => ("has an instance that is slower than the others", ": giving it less to do helps, more instances do not"),
        Cause::Recovered => ("has instances that are as fast as each other again", ": each gets the same"),
        Cause::ExternalWait => ("waits for something outside of the job", ": nothing that is done inside helps"),
        Cause::AtLimit => ("has as many instances as it may have, and they are not enough", ""),
        Cause::Slow => ("has the largest part in a latency that is beyond the goal", ""),
        Cause::Starved => ("waits for records that operators before it do not deliver", ": nothing is to be done about itself"),
        Cause::OverProvisioned => ("has more instances than it needs", ""),
    };
    format!("{} {is}{rests_on}{so}.", finding.operator)
}

/// Of what latency consisted, in a sentence.
fn path(pieces: &[PathShare]) -> String {
    let piece = |piece: &PathShare| {
        let left = piece.predicted_ms.map_or(String::new(), |ms| format!(", predicted {}", latency((ms * 1e6) as u64)));
        format!("{} {} ({}{left})", percent(piece.share), went_into(piece), latency((piece.mean_ms * 1e6) as u64))
    };
    format!("On the critical path of the slowest epochs, {}.", list(&pieces.iter().map(piece).collect::<Vec<_>>()))
}

/// What a piece of a path is, as the end of "30 % was".
fn went_into(piece: &PathShare) -> String {
    let (before, without) = match piece.kind {
        EpochPieceKind::Processing => ("work of", "work"),
        EpochPieceKind::Queueing => ("waiting for", "waiting for a worker"),
        EpochPieceKind::Release => ("results waiting for their release at", "results waiting for their release"),
        EpochPieceKind::Scheduling => ("scheduling at", "scheduling"),
        EpochPieceKind::Serialization => ("serialization at", "serialization"),
        EpochPieceKind::Deserialization => ("deserialization at", "deserialization"),
        EpochPieceKind::ExternalWait => ("waiting for something outside at", "waiting for something outside"),
        EpochPieceKind::Migration => ("migration of", "migration"),
        EpochPieceKind::Network => ("the way to", "the network"),
        EpochPieceKind::Progress => ("progress to", "progress"),
        EpochPieceKind::SourceDelay => ("delay of", "delay of the source"),
        EpochPieceKind::Backpressure => ("sources paused for", "sources paused"),
        EpochPieceKind::Unknown => ("unknown at", "unknown"),
    };
    if piece.operator.is_empty() { without.to_owned() } else { format!("{before} {}", piece.operator) }
}

/// Why, in sentences: the rule, what was found out about operators, what was looked at, and what a program outside said.
/// `looked` is how the sentence on the values begins.
pub(super) fn reasons(reason: &Reason, looked: &str) -> String {
    let mut sentences = vec![format!("{}.", why(reason))];
    sentences.extend(reason.findings.iter().map(finding));
    if !reason.path.is_empty() {
        sentences.push(path(&reason.path));
    }
    let values = looked_at(reason);
    if !values.is_empty() {
        sentences.push(format!("{looked} {}.", list(&values)));
    }
    if !reason.detail.is_empty() {
        sentences.push(format!("It said: {}.", reason.detail));
    }
    sentences.join(" ")
}

/// What a policy expects begins with that.
const PREDICTED: &str = "predicted ";

/// What the policy looked at.
fn looked_at(reason: &Reason) -> Vec<String> {
    reason.values.iter().filter(|(name, _)| !name.starts_with(PREDICTED)).map(value).collect()
}

/// What the policy expects, without the word that says so.
pub(super) fn predicted(reason: &Reason) -> Vec<(String, f64)> {
    let expected = reason.values.iter().filter_map(|(name, value)| Some((name.strip_prefix(PREDICTED)?.to_owned(), *value)));
    expected.collect()
}

/// A value with its name, and with the unit that ends the name behind the number.
pub(super) fn value((name, value): (&String, &f64)) -> String {
    const UNITS: [&str; 4] = ["ms/s", "per s", "ms", "s"];
    let unit = UNITS.into_iter().find_map(|unit| Some((name.strip_suffix(unit)?.strip_suffix(' ')?, unit)));
    match unit {
        Some((name, "per s")) => format!("{name} {}/s", amount(*value)),
        Some((name, unit)) => format!("{name} {} {unit}", rounded(*value)),
        None => format!("{name} {}", rounded(*value)),
    }
}

/// A number with as many digits as say something: large ones need none behind the point.
fn rounded(value: f64) -> f64 {
    let digits = if value.abs() >= 1000.0 { 1.0 } else { 1000.0 };
    (value * digits).round() / digits
}

/// A number of records, or of records a second.
pub(super) fn amount(value: f64) -> String {
    match value.abs() {
        size if size >= 9.995e8 => format!("{:.2}G", value / 1e9),
        size if size >= 9.995e5 => format!("{:.2}M", value / 1e6),
        size if size >= 9_999.5 => format!("{:.1}k", value / 1e3),
        size if size >= 9.95 => format!("{value:.0}"),
        _ => format!("{}", (value * 10.0).round() / 10.0),
    }
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// So many of something.
pub(super) fn count(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// Parts of a sentence.
pub(super) fn list(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
