//! The essentials of a run as lines of text, for a terminal.
//!
//! From a [`Model`] and the size of a screen to lines; nothing is written here. Colours are those of the page (Flink's: blue is idle,
//! red is busy) and never the only sign of anything.

use std::collections::BTreeMap;

use super::model::Model;
use super::story::{Decision, OperatorAt, State, Warning};
use crate::experiment::shown::{latency, seconds};
use crate::report::amount_text as amount;

/// A screen to fill.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Whether it shows colours.
    pub colours: bool,
}

const BOLD: &str = "1";
const QUIET: &str = "2";
const RED: &str = "31";
const YELLOW: &str = "33";
const BLUE: &str = "34";

/// Columns of a bar.
const BAR: usize = 10;
/// Warnings at most, and lines of a decision's reason.
const MOST_WARNINGS: usize = 4;
const MOST_REASON: usize = 4;

/// A line as pieces with their colour.
#[derive(Default)]
struct Line(Vec<(String, &'static str)>);

impl Line {
    fn of(text: impl Into<String>) -> Line {
        Line::default().and(text)
    }

    fn and(self, text: impl Into<String>) -> Line {
        self.coloured(text, "")
    }

    fn coloured(mut self, text: impl Into<String>, colour: &'static str) -> Line {
        self.0.push((text.into(), colour));
        self
    }

    /// As text that fits.
    fn text(self, screen: Screen) -> String {
        let (mut left, mut text) = (screen.width, String::new());
        for (piece, colour) in self.0 {
            let fits: String = piece.chars().filter(|c| !c.is_control()).take(left).collect();
            left -= fits.chars().count();
            if screen.colours && !colour.is_empty() && !fits.is_empty() {
                text.push_str(&format!("\x1b[{colour}m{fits}\x1b[0m"));
            } else {
                text.push_str(&fits);
            }
        }
        text
    }
}

/// The lines of a run, as many as fit; `notes` come last.
pub fn lines(model: &Model, notes: &[String], screen: Screen) -> Vec<String> {
    let mut lines = vec![title(model)];
    if let Some(window) = model.last_window() {
        lines.push(rates(model));
        lines.push(Line::default());
        lines.extend(decision(model, screen.width));
        lines.extend(migration(model));
        lines.extend(warnings(&model.warnings()));
        lines.push(Line::default());
        // What is left of the screen is for the operators.
        let room = screen.height.saturating_sub(lines.len() + notes.len() + 2).max(1);
        lines.extend(operators(model, &window.operators, room, screen.width));
    } else {
        lines.push(Line::of("No window has closed yet."));
    }
    let room = screen.height.saturating_sub(notes.len());
    lines.truncate(room);
    lines.extend(notes.iter().map(|note| Line::default().coloured(note.clone(), QUIET)));
    lines.truncate(screen.height);
    lines.into_iter().map(|line| line.text(screen)).collect()
}

fn title(model: &Model) -> Line {
    let about = model.about();
    let state = match about.state {
        State::Running => "running",
        State::Finished => "finished",
        State::Interrupted => "interrupted",
    };
    let now = model.last_window().map_or(0.0, |window| window.end_s);
    let time = format!("{} of {}  {state}  ", seconds(now), seconds(about.seconds));
    Line::of(time).coloured(format!("{}: {}", about.policy, about.title), BOLD)
}

fn rates(model: &Model) -> Line {
    let Some(window) = model.last_window() else { return Line::default() };
    let share = if window.offered_per_s > 0.0 { window.achieved_per_s / window.offered_per_s } else { 1.0 };
    let throughput =
        format!("throughput {}/s of {}/s ({:.0} %)", amount(window.achieved_per_s), amount(window.offered_per_s), share * 100.0);
    let ms = |ms: Option<f64>| ms.map_or("–".to_owned(), |ms| latency((ms * 1e6) as u64));
    let late = model.goal_ms().is_some_and(|goal| window.p99_ms.is_some_and(|p99| p99 > goal));
    let goal = model.goal_ms().map_or("no goal".to_owned(), |goal| format!("goal {}", ms(Some(goal))));
    Line::default()
        .coloured(throughput, if share < 0.97 { RED } else { "" })
        .and(format!("   lag {} records   ", amount(window.lag_records)))
        .coloured(format!("p99 {}", ms(window.p99_ms)), if late { RED } else { "" })
        .and(format!(" ({goal}), p50 {}", ms(window.p50_ms)))
}

fn decision(model: &Model, width: usize) -> Vec<Line> {
    let Some(last) = model.decisions().last() else { return vec![Line::of("no decision yet")] };
    let head = format!("  {}. at {}: {} ", last.number, seconds(last.at_s), if last.plan.is_empty() { "no change" } else { &last.plan });
    let mut lines = vec![Line::default().coloured("last decision", BOLD).and(head).coloured(format!("[{}]", status(last)), QUIET)];
    let why = last.parts.iter().find(|(heading, _)| heading == "Why").or(last.parts.iter().find(|(heading, _)| heading == "Action"));
    if let Some((heading, text)) = why {
        let text = format!("{}: {text}", heading.to_lowercase());
        lines.extend(wrapped(&text, width.saturating_sub(2)).into_iter().take(MOST_REASON).map(|line| Line::of(format!("  {line}"))));
    }
    lines
}

fn status(decision: &Decision) -> &'static str {
    match decision.status {
        "carried-out" => "carried out",
        "refused" | "request-refused" => "refused",
        "by-hand" => "by hand",
        "unfinished" => "under way",
        other => other,
    }
}

fn migration(model: &Model) -> Option<Line> {
    let last = model.migrations().pop().filter(|last| last.status == "running")?;
    let moved = last.moved.unwrap_or(0);
    let share = if last.bins > 0 { moved as f64 / last.bins as f64 } else { 0.0 };
    Some(Line::default().coloured("moving", BOLD).and(format!("  {} {moved} of {} bins: {}", bar(share), last.bins, last.plan)))
}

fn warnings(all: &[Warning]) -> Vec<Line> {
    let mut held: Vec<&Warning> = all.iter().filter(|warning| warning.until_s.is_none()).collect();
    held.sort_by_key(|warning| warning.severity);
    let more = held.len().saturating_sub(MOST_WARNINGS);
    let line = |warning: &&Warning| {
        let (word, colour) = match warning.severity {
            1 => ("serious", RED),
            2 => ("warning", YELLOW),
            _ => ("note", BLUE),
        };
        Line::default().coloured(format!("{word:<8}"), colour).and(format!(" {}", warning.what))
    };
    let lines = held.iter().take(MOST_WARNINGS).map(line);
    lines.chain((more > 0).then(|| Line::of(format!("         and {more} more")))).collect()
}

fn operators(model: &Model, all: &[OperatorAt], room: usize, width: usize) -> Vec<Line> {
    let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
    for part in model.paths().last().into_iter().flat_map(|path| &path.parts) {
        *shares.entry(&part.operator).or_default() += part.share;
    }
    let name = |at: &OperatorAt| model.names().get(at.operator as usize).map_or("", String::as_str);
    let share = |at: &OperatorAt| shares.get(name(at)).copied().unwrap_or(0.0);
    let mut shown: Vec<&OperatorAt> = all.iter().collect();
    let fit = if shown.len() > room { room.saturating_sub(1) } else { room };
    if shown.len() > fit {
        shown.sort_by(|a, b| (share(b) + b.busy.max(b.backpressure)).total_cmp(&(share(a) + a.busy.max(a.backpressure))));
        shown.truncate(fit);
        shown.sort_by_key(|at| at.operator);
    }
    let longest = shown.iter().map(|at| name(at).chars().count()).max().unwrap_or(0).clamp(8, 24.min(width.max(9) - 1));
    let (busy, w) = ("busy", BAR + 6);
    let head = format!(
        "{:<longest$} {:>9} {:>6}  {busy:<w$} {:>9} {:>11} {:>10}",
        "operator", "instances", "path", "pauses", "processes", "queue"
    );
    let mut lines = vec![Line::default().coloured(head, QUIET)];
    let most = shown.iter().map(|at| share(at)).fold(0.0, f64::max);
    for at in &shown {
        let cut: String = name(at).chars().take(longest).collect();
        let path = if shares.is_empty() { "–".to_owned() } else { format!("{:.0} %", share(at) * 100.0) };
        let colour = if at.busy >= 0.9 { RED } else { BLUE };
        let line = Line::default()
            .coloured(format!("{cut:<longest$}"), if most > 0.0 && share(at) == most { BOLD } else { "" })
            .and(format!(" {:>9} {path:>6}  ", at.instances))
            .coloured(bar(at.busy), colour)
            .and(format!(" {:>3.0} % ", at.busy * 100.0))
            .and(format!("{:>7.0} %", at.backpressure * 100.0))
            .and(format!(" {:>9}/s {:>10}", amount(at.processed_per_s), at.queue_records));
        lines.push(line);
    }
    let left = all.len() - shown.len();
    lines.extend((left > 0).then(|| Line::of(format!("and {left} less busy"))));
    lines
}

fn bar(share: f64) -> String {
    let full = (share.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    format!("{}{}", "█".repeat(full), "·".repeat(BAR - full))
}

/// Text in lines of at most `width` columns.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::story::{About, OperatorAbout};

    #[test]
    fn whatever_the_screen_lines_fit_and_names_cannot_control_it() {
        let operators = (0..30).map(|number| OperatorAbout { name: format!("operator\x1b[31m-{number}"), ..OperatorAbout::default() });
        let model = Model::of_operators(About { title: "a\x1b[2Jb".to_owned(), ..About::default() }, operators.collect());
        for (width, height) in [(80, 24), (200, 60), (20, 5), (1, 1), (0, 0)] {
            let lines = lines(&model, &["note".to_owned()], Screen { width, height, colours: false });
            assert!(lines.len() <= height && lines.iter().all(|line| line.chars().count() <= width), "{width} {height}: {lines:?}");
            assert!(!lines.concat().contains('\x1b'));
        }
    }

    #[test]
    fn words_are_wrapped() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("muchtoolong x", 4), ["muchtoolong", "x"]);
    }
}
