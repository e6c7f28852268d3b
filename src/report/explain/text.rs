//! The sections of an explanation as text.

use super::chapter::{Chapter, Course, Outcome, Quiet, Told, Turns};
use super::span::{OperatorSeen, Seen, Span};
use super::words::{amount, count, list, percent, reasons, value};
use crate::report::table::{bytes, latency, seconds};

/// At most this many operators are described individually.
const MOST_OPERATORS: usize = 6;
/// Columns of a line.
const WIDTH: usize = 120;
/// Columns before what a heading is about.
const INDENT: usize = 14;

/// A section's heading, and its parts in order: a heading and sentences each.
pub type Parts = (String, Vec<(String, String)>);

impl Chapter {
    /// The chapter in sentences; ends with a line feed.
    pub fn text(&self) -> String {
        let (title, parts) = self.parts();
        format!("{title}\n{}", parts.iter().map(|(heading, sentences)| lines(heading, sentences)).collect::<String>())
    }

    /// The same sentences by what they are about, without line breaks.
    pub fn parts(&self) -> Parts {
        match self {
            Chapter::Quiet(quiet) => quiet.parts(),
            Chapter::Decision(told) => told.parts(),
            Chapter::Asked(asked) => asked.parts(),
        }
    }
}

impl Quiet {
    fn parts(&self) -> Parts {
        let courses = self.courses.iter().map(|course| (count(course.windows, "window", "windows"), capital(&course.sentence())));
        let seen = self.seen.as_ref();
        let seen = seen.map(|seen| ("At the end".to_owned(), capital(&format!("{}, {}", from_to(seen.span), sight(seen, |_| false)))));
        (format!("{}: no action taken.", capital(&from_to(self.span))), courses.chain(seen).collect())
    }
}

impl Course {
    fn sentence(&self) -> String {
        let looked = if self.windows == 1 { "Inputs:" } else { "Inputs in the last window:" };
        let why = self.reason.as_ref().map(|reason| reasons(reason, looked)).unwrap_or_default();
        match self.what {
            "warming-up" => "the job was warming up, so the policy was not consulted.".to_owned(),
            "doubted" => format!("the metrics were unreliable, so the policy was not consulted: {}.", self.remark),
            "activating" => format!("the policy asked for {}, but not yet in enough consecutive windows: {why}", self.remark),
            "withheld" => format!("the policy asked for {}: {why}", self.remark),
            "postponed" => format!("earlier plans had failed, so none was started. The policy asked for {}: {why}", self.remark),
            _ => why,
        }
    }
}

impl Told {
    fn parts(&self) -> Parts {
        let mut parts = Vec::new();
        let mut add = |heading: &str, sentences: String| {
            if !sentences.is_empty() {
                parts.push((heading.to_owned(), capital(&sentences)));
            }
        };
        if let Some(seen) = &self.seen {
            add("Observed", format!("{}, {}", from_to(seen.span), sight(seen, |name| self.is_about(name))));
        }
        add("Why", self.why());
        if !self.predicted.is_empty() {
            add("Predicted", format!("Expected {}.", list(&self.predicted.iter().map(value).collect::<Vec<_>>())));
        }
        add("Action", self.done());
        add("Outcome", self.came_of_it());
        (format!("{}. At {}: {}", self.decision, seconds(self.at_s), self.plan()), parts)
    }

    /// The plan in a few words, such as `count 1 → 20`.
    pub fn plan(&self) -> String {
        let rescaled = self.rescaled.iter().map(|one| match one.before {
            Some(before) => format!("{} {before} → {}", one.operator, one.after),
            None => format!("{} → {}", one.operator, one.after),
        });
        let rebalanced = self.rebalanced.iter().map(|operator| format!("bins of {operator} redistributed"));
        let divided = self.divided.iter().map(|one| match one.turns {
            Turns::Equal => format!("records of {} divided equally", one.operator),
            Turns::BySpeed => format!("records of {} divided by the speed of its instances", one.operator),
        });
        let moved =
            self.moved.iter().map(|one| format!("instance {} of {} from worker {} to {}", one.instance, one.operator, one.from, one.to));
        rescaled.chain(rebalanced).chain(divided).chain(moved).collect::<Vec<_>>().join(", ")
    }

    /// Whether the plan changes an operator.
    fn is_about(&self, name: &str) -> bool {
        let mut named = self.rebalanced.iter().chain(self.rescaled.iter().map(|one| &one.operator));
        let divided = || self.divided.iter().any(|one| one.operator == name);
        named.any(|operator| operator == name) || divided() || self.moved.iter().any(|one| one.operator == name)
    }

    /// Whether the plan changes nothing but how records are divided.
    fn is_division(&self) -> bool {
        self.rescaled.is_empty() && self.rebalanced.is_empty() && !self.divided.is_empty()
    }

    fn why(&self) -> String {
        self.reason.as_ref().map(|reason| reasons(reason, "Inputs:")).unwrap_or_default()
    }

    fn done(&self) -> String {
        let speeds: Vec<String> =
            self.speeds.iter().map(|one| format!("instance {} of {} at {:.2}", one.instance, one.operator, one.speed)).collect();
        let counted = if speeds.is_empty() { String::new() } else { format!(" Relative speeds taken into account: {}.", list(&speeds)) };
        let remarks: String = self.remarks.iter().map(|remark| format!(" {remark}")).collect();
        let state = if self.bytes > 0 { format!(" with {} of state", bytes(self.bytes as f64)) } else { String::new() };
        let moved = match &self.outcome {
            Outcome::Refused { why } => return format!("none: the plan was rejected, {why}."),
            _ if self.bins == 0 && (self.is_division() || !self.moved.is_empty()) => "no state had to move".to_owned(),
            _ if self.bins == 0 => "no bin had to migrate".to_owned(),
            Outcome::CarriedOut { .. } => format!("{} migrated{state}", count(self.bins, "bin", "bins")),
            _ => format!("{} were to migrate{state}", count(self.bins, "bin", "bins")),
        };
        let took = match &self.outcome {
            Outcome::CarriedOut { took_s } => format!("; it took {}", latency((took_s.max(0.0) * 1e9) as u64)),
            Outcome::Interrupted { moved, of } => format!("; it was interrupted after {moved} of {of}"),
            _ => "; the run ended before it was complete".to_owned(),
        };
        format!("{moved}{took}.{counted}{remarks}")
    }

    fn came_of_it(&self) -> String {
        let effect = |seen: &Seen| {
            let busy = |operator: &OperatorSeen| format!("{} {} busy", operator.operator, percent(operator.utilisation));
            let busy: Vec<String> = seen.operators.iter().filter(|operator| self.is_about(&operator.operator)).map(busy).collect();
            format!("{}, {}; {}.", from_to(seen.span), rates(seen), list(&busy))
        };
        let effects = [&self.after, &self.later].into_iter().flatten().map(effect);
        effects.map(|effect| capital(&effect)).collect::<Vec<_>>().join(" ")
    }
}

/// Offered and achieved throughput, lag and latency.
fn rates(seen: &Seen) -> String {
    let (due, emitted) = (amount(seen.offered_per_s), amount(seen.achieved_per_s));
    let part = if seen.offered_per_s > 0.0 { format!(" ({})", percent(seen.achieved_per_s / seen.offered_per_s)) } else { String::new() };
    let behind = if seen.lag_records >= 0.5 { format!(", lag {} records", amount(seen.lag_records)) } else { String::new() };
    let late = seen.latency_ns_p99.map_or("no record reached a sink".to_owned(), |ns| format!("p99 latency up to {}", latency(ns)));
    format!("throughput {emitted} of {due} records/s offered{part}{behind}; {late}")
}

/// Rates, then the operators that `named` names and the busiest of the others, in the order of the topology.
fn sight(seen: &Seen, named: impl Fn(&str) -> bool) -> String {
    let mut first: Vec<&OperatorSeen> = seen.operators.iter().collect();
    first.sort_by(|a, b| named(&b.operator).cmp(&named(&a.operator)).then(b.utilisation.total_cmp(&a.utilisation)));
    let left = first.len().saturating_sub(MOST_OPERATORS);
    first.truncate(MOST_OPERATORS);
    let told = seen.operators.iter().filter(|operator| first.iter().any(|other| other.operator == operator.operator));
    let mut sentences: Vec<String> = told.map(sight_of).collect();
    if left > 0 {
        sentences.push(format!("{} less busy.", count(left, "other operator was", "other operators were")));
    }
    format!("{}. {}", rates(seen), sentences.join(" "))
}

fn sight_of(operator: &OperatorSeen) -> String {
    let waiting = if operator.queue_records == 0 {
        "empty queue".to_owned()
    } else {
        format!("{} records queued", amount(operator.queue_records as f64))
    };
    let paused = if operator.backpressure_share >= 0.005 {
        let each = if operator.instances == 1 { "" } else { " per instance" };
        format!(", backpressured the sources {} of the time{each}", percent(operator.backpressure_share))
    } else {
        String::new()
    };
    let outside = if operator.wait_share >= 0.005 {
        format!(", {} waiting for something external", percent(operator.wait_share))
    } else {
        String::new()
    };
    let instances = count(operator.instances as usize, "instance", "instances");
    format!("{} ({instances}): {} busy{outside}, {waiting}{paused}.", operator.operator, percent(operator.utilisation))
}

fn from_to(span: Span) -> String {
    format!("from {} to {}", seconds(span.from_s), seconds(span.until_s))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().collect::<String>() + letters.as_str())
}

/// A unit stays on the line of its number.
fn is_unit(word: &str) -> bool {
    matches!(word.trim_end_matches([',', '.', ';', ')', ':']), "%" | "s" | "ms" | "ms/s" | "µs" | "MB" | "kB" | "GB" | "B")
}

/// A heading and its text, wrapped.
fn lines(heading: &str, sentences: &str) -> String {
    let mut text = format!("   {heading:<width$} ", width = INDENT - 4);
    let mut column = text.chars().count();
    let sentences = capital(sentences);
    let mut words: Vec<String> = Vec::new();
    for word in sentences.split(' ') {
        match words.last_mut() {
            Some(number) if is_unit(word) => number.extend([" ", word]),
            _ => words.push(word.to_owned()),
        }
    }
    for (index, word) in words.iter().enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > WIDTH {
            text.push_str(&format!("\n{:INDENT$}", ""));
            column = INDENT;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
    text
}
