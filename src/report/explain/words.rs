//! Plain wording for the rules of policies, and readable numbers.

use crate::controller::BY_HAND;
use crate::critical_path::EpochPieceKind;
use crate::policy::registry;
use crate::policy::{Cause, Finding, PathShare, Reason};
use crate::report::table::latency;

/// What a rule means, as the end of a sentence; nothing for a rule that is not known here, whose name has to do.
pub fn meaning(rule: &str) -> Option<&'static str> {
    match rule {
        "external" => Some("as the external policy says"),
        _ if disables(rule) => Some("the external policy was disabled"),
        BY_HAND => Some("somebody asked for it"),
        _ => registry::meaning(rule),
    }
}

/// Whether a rule says that an external policy was disabled.
pub fn disables(rule: &str) -> bool {
    matches!(rule, "external-gone" | "external-timed-out" | "external-ended" | "external-nonsense")
}

/// Why, in a sentence without its end: whom it is about, what the rule means and its name.
fn why(reason: &Reason) -> String {
    let about = if reason.operator.is_empty() { String::new() } else { format!("for {}: ", reason.operator) };
    match meaning(&reason.rule) {
        Some(meaning) => format!("{about}{meaning} (rule '{}')", reason.rule),
        None => format!("{about}rule '{}'", reason.rule),
    }
}

/// What was found out about an operator, in a sentence.
pub fn finding(finding: &Finding) -> String {
    let values: Vec<String> = finding.values.iter().map(value).collect();
    let rests_on = if values.is_empty() { String::new() } else { format!(" ({})", values.join(", ")) };
    let (is, so) = match finding.cause {
        Cause::UnderProvisioned => ("has more load than its instances can process", ": add instances"),
        Cause::Skewed => ("has an instance with more than its share of the load (skew)", ": rebalance bins; instances alone do not help"),
        Cause::Straggling => {
            ("has an instance that is slower than the others (straggler)", ": give it less load; instances alone do not help")
        }
        Cause::Recovered => ("has no straggler any more", ": distribute its load evenly"),
        Cause::ExternalWait => ("waits for something outside the job", ""),
        Cause::AtLimit => ("is at its maximum parallelism, which is not enough", ""),
        Cause::Slow => ("contributes most to a latency above the goal", ""),
        Cause::Starved => ("gets less input than it could process", "; the limit is elsewhere"),
        Cause::OverProvisioned => ("has more instances than it needs", ""),
        Cause::Crowded => ("cannot do the work of all its instances", ": move one to another worker, or divide its load"),
        Cause::Host => ("does not get its core", ": another program or another machine has it; its instances are not to blame"),
    };
    format!("{} {is}{rests_on}{so}.", finding.operator)
}

/// Why, for a single line: the rule, and what weighs most of what was found out.
pub fn short(reason: &Reason) -> String {
    let found = reason.findings.first().map_or(String::new(), |first| format!("; {}", finding(first).trim_end_matches('.')));
    format!("{}{found}", why(reason))
}

/// Of what latency consisted, in a sentence.
fn path(pieces: &[PathShare]) -> String {
    let piece = |piece: &PathShare| {
        let left = piece.predicted_ms.map_or(String::new(), |ms| format!(", predicted {}", latency((ms * 1e6) as u64)));
        format!("{} {} ({}{left})", percent(piece.share), piece_text(piece), latency((piece.mean_ms * 1e6) as u64))
    };
    format!("Critical path of the slowest epochs: {}.", list(&pieces.iter().map(piece).collect::<Vec<_>>()))
}

/// What a piece of a path is, as the end of "30 % was", such as `queueing at count`.
pub fn piece_text(piece: &PathShare) -> String {
    let (before, without) = match piece.kind {
        EpochPieceKind::Processing => ("work of", "work"),
        EpochPieceKind::Queueing if !piece.waiting.is_empty() => {
            return format!("{} waiting for its worker, which worked for {}", piece.waiting, piece.operator);
        }
        EpochPieceKind::Queueing => ("queueing at", "queueing for a worker"),
        EpochPieceKind::Release => {
            ("results held back until their epoch was complete at", "results held back until their epoch was complete")
        }
        EpochPieceKind::Scheduling => ("scheduling at", "scheduling"),
        EpochPieceKind::Serialization => ("serialization at", "serialization"),
        EpochPieceKind::Deserialization => ("deserialization at", "deserialization"),
        EpochPieceKind::ExternalWait => ("external wait of", "external wait"),
        EpochPieceKind::Migration => ("migration of", "migration"),
        EpochPieceKind::Network => ("network to", "network"),
        EpochPieceKind::Progress => ("progress tracking to", "progress tracking"),
        EpochPieceKind::SourceDelay => ("source delay at", "source delay"),
        EpochPieceKind::Backpressure => ("backpressure from", "backpressure"),
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
    if reason.rule == BY_HAND {
        sentences.push(format!("Asked for by {}.", reason.detail));
    } else if !reason.detail.is_empty() {
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
        None if is_share(name) => format!("{name} {}", percent(*value)),
        None if is_ratio(name) => format!("{name} {}×", rounded(*value)),
        None => format!("{name} {}", rounded(*value)),
    }
}

/// Whether a value of this name is a share of a whole.
fn is_share(name: &str) -> bool {
    matches!(name, "utilisation" | "busy") || name.ends_with(" share")
}

/// Whether a value of this name says how many times something else it is.
fn is_ratio(name: &str) -> bool {
    name == "speed" || name.contains(" over ")
}

/// A number with about three significant digits: large ones need none behind the point.
fn rounded(value: f64) -> f64 {
    let digits = match value.abs() {
        size if size >= 100.0 => 1.0,
        size if size >= 10.0 => 10.0,
        size if size >= 1.0 => 100.0,
        _ => 1000.0,
    };
    (value * digits).round() / digits
}

/// A number of records, or of records a second.
pub fn amount(value: f64) -> String {
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
