//! Two traces compared: what takes longer in the second, and what of it is noise.
//!
//! Where both have epochs, what is compared is the latency of an epoch and its parts; otherwise the
//! share of the critical paths in each second. A difference is noise if it is less than three standard
//! errors; those come from batches of epochs or seconds that follow each other. With too few of them
//! nothing is called noise, and nothing a difference.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;

use super::bottleneck::percent;
use super::epochs::part_label;
use super::table::{UNKNOWN, latency, table};
use crate::activity::Names;
use crate::critical_path::{Batches, Entity, EpochPart};

/// A difference is none below this many standard errors of it.
const ERRORS: f64 = 3.0;
/// The latency of an epoch as a whole, among its parts.
const WHOLE: &str = "";

/// What is observed of a trace.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Latency of each epoch by part, in ns; as a whole without a part.
    pub epochs: Batches<Option<EpochPart>>,
    /// Share of the critical paths of each second.
    pub seconds: Batches<Entity>,
}

/// A trace that is compared.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// What was observed of it.
    pub observed: &'a Observed,
    /// The names in it.
    pub names: &'a Names,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Nanoseconds of the latency of an epoch.
    EpochNs,
    /// Share of the critical paths.
    Share,
}

/// Whether two numbers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The second is larger.
    More,
    /// It is smaller.
    Less,
    /// Not by more than three standard errors.
    Noise,
    /// There are too few observations to tell.
    TooFew,
}

/// The difference of something that two traces have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// What it is.
    pub name: String,
    /// In the first, on average.
    pub before: f64,
    /// In the second.
    pub after: f64,
    /// How large a difference may be by chance: three standard errors; absent if there are too few
    /// observations.
    pub noise: Option<f64>,
    /// What follows.
    pub verdict: Verdict,
}

/// Two traces compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// What the numbers are.
    pub unit: Unit,
    /// Number of epochs or seconds on each side.
    pub observations: (u64, u64),
    /// The latency of an epoch; absent if not both have epochs.
    pub latency: Option<Difference>,
    /// By operator, the largest difference first; what belongs to no operator by itself.
    pub operators: Vec<Difference>,
    /// By part of the latency, the largest difference first.
    pub parts: Vec<Difference>,
}

impl Comparison {
    /// Compares `after` with `before`.
    pub fn of(before: Side<'_>, after: Side<'_>) -> Comparison {
        let epochs = |side: &Side<'_>| side.observed.epochs.observations();
        if epochs(&before) == 0 || epochs(&after) == 0 {
            let by_name = |side: Side<'_>| side.observed.seconds.by(|entity| Some(entity.label(side.names)));
            let (before, after) = (by_name(before), by_name(after));
            return Comparison {
                unit: Unit::Share,
                observations: (before.observations(), after.observations()),
                latency: None,
                operators: differences(&before, &after),
                parts: Vec::new(),
            };
        }
        let by_part = |side: Side<'_>| {
            side.observed.epochs.by(|part| Some(part.as_ref().map_or(WHOLE.to_owned(), |part| part_label(part, side.names))))
        };
        let by_operator = |side: Side<'_>| {
            let label =
                |part: &EpochPart| part.charged().map_or_else(|| part_label(part, side.names), |operator| side.names.operator(operator));
            side.observed.epochs.by(|part| part.as_ref().map(label))
        };
        let mut parts = differences(&by_part(before), &by_part(after));
        let whole = parts.iter().position(|difference| difference.name == WHOLE).map(|at| parts.remove(at));
        Comparison {
            unit: Unit::EpochNs,
            observations: (epochs(&before), epochs(&after)),
            latency: whole.map(|whole| Difference { name: "latency of an epoch".to_owned(), ..whole }),
            operators: differences(&by_operator(before), &by_operator(after)),
            parts,
        }
    }

    /// Whether epochs of the second trace take longer, beyond what is noise.
    pub fn is_slower(&self) -> bool {
        self.latency.as_ref().is_some_and(|latency| latency.verdict == Verdict::More)
    }

    /// As text, at most `top` lines a table.
    pub fn text(&self, names: (&str, &str), top: usize) -> String {
        let of = match self.unit {
            Unit::EpochNs => "epochs",
            Unit::Share => "seconds",
        };
        let mut text = format!("A: {} ({} {of})\nB: {} ({} {of})\n\n", names.0, self.observations.0, names.1, self.observations.1);
        if let Some(whole) = &self.latency {
            let change = if whole.before > 0.0 { format!(", {:+.1} %", 100.0 * (whole.after / whole.before - 1.0)) } else { String::new() };
            let _ = writeln!(
                text,
                "Latency of an epoch, on average: {} before, {} after{change}: {}\n",
                latency(whole.before as u64),
                latency(whole.after as u64),
                match (whole.verdict, whole.noise) {
                    (Verdict::More, _) => "slower.".to_owned(),
                    (Verdict::Less, _) => "faster.".to_owned(),
                    (Verdict::Noise, noise) => format!("no more than noise (up to {}).", latency(noise.unwrap_or_default() as u64)),
                    (Verdict::TooFew, _) => "too few epochs to tell it from noise.".to_owned(),
                }
            );
        } else {
            text.push_str("Not both have epochs: what is compared is the share of the critical paths in each second.\n\n");
        }
        for (what, differences) in [("operator", &self.operators), ("part of the latency", &self.parts)] {
            if differences.is_empty() {
                continue;
            }
            let lines: Vec<[String; 6]> = differences.iter().take(top).map(|difference| self.line(difference)).collect();
            text.push_str(&table(&[what, "A", "B", "difference", "noise up to", "verdict"], &lines));
            if differences.len() > top {
                let _ = writeln!(text, "and {} more (--top)", differences.len() - top);
            }
            text.push('\n');
        }
        text.push_str(&self.sentence());
        text
    }

    fn line(&self, difference: &Difference) -> [String; 6] {
        let amount = |amount: f64| match self.unit {
            Unit::EpochNs => latency(amount as u64),
            Unit::Share => percent(amount),
        };
        let by = difference.after - difference.before;
        let sign = if by < 0.0 { "-" } else { "+" };
        let verdict = match difference.verdict {
            Verdict::More => "more",
            Verdict::Less => "less",
            Verdict::Noise => "noise",
            Verdict::TooFew => "too few",
        };
        [
            difference.name.clone(),
            amount(difference.before),
            amount(difference.after),
            format!("{sign}{}", amount(by.abs())),
            difference.noise.map_or(UNKNOWN.to_owned(), amount),
            verdict.to_owned(),
        ]
    }

    /// What accounts for the difference.
    fn sentence(&self) -> String {
        let clear = |difference: &&Difference| matches!(difference.verdict, Verdict::More | Verdict::Less);
        let Some(first) = self.operators.iter().find(clear) else {
            return "Nothing differs by more than noise.\n".to_owned();
        };
        let [name, before, after, by, ..] = self.line(first);
        let whole = self
            .latency
            .as_ref()
            .filter(|whole| clear(whole))
            .map_or(String::new(), |whole| format!(", of {} in all", self.line(whole)[3]));
        format!("{name}: {by}{whole} ({before} before, {after} after) is the largest difference that is not noise.\n")
    }
}

fn differences(before: &Batches<String>, after: &Batches<String>) -> Vec<Difference> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |key: &String| {
        let by = after.mean(key) - before.mean(key);
        let errors = before.standard_error(key).zip(after.standard_error(key));
        let noise = errors.map(|(before, after)| ERRORS * before.hypot(after));
        let verdict = match noise {
            None => Verdict::TooFew,
            Some(noise) if by > noise => Verdict::More,
            Some(noise) if by < -noise => Verdict::Less,
            Some(_) => Verdict::Noise,
        };
        Difference { name: key.clone(), before: before.mean(key), after: after.mean(key), noise, verdict }
    };
    let mut differences: Vec<Difference> = keys.into_iter().map(of).collect();
    let by = |difference: &Difference| (difference.after - difference.before).abs();
    differences.sort_by(|a, b| by(b).total_cmp(&by(a)).then_with(|| a.name.cmp(&b.name)));
    differences
}
