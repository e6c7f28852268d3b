//! The bottleneck of a job, as tables: the ranking of a trace and its longest waits.

use std::fmt::Write as _;

use super::table::{UNKNOWN, latency, table};
use crate::activity::Names;
use crate::critical_path::{By, CountedWindows, Further, TraceSummary};

/// The first `top` entries of the ranking of `trace`; `by_window` counts in how many windows each is
/// first.
pub fn ranking(trace: &TraceSummary, by_window: &CountedWindows, names: &Names, top: usize) -> String {
    let entries = trace.ranking(trace.by());
    let windows = by_window.windows() - by_window.without_path();
    let line = |(place, entry): (usize, &crate::critical_path::Entry)| {
        let firsts = by_window.firsts(entry.entity);
        let work = entry.entity.is_work();
        [
            (place + 1).to_string(),
            entry.entity.label(names),
            percent(entry.participation),
            if work { percent(entry.profile) } else { UNKNOWN.to_owned() },
            percent(entry.path),
            format!("{} of {windows}", firsts.participation),
            if work { format!("{} of {windows}", firsts.profile) } else { UNKNOWN.to_owned() },
        ]
    };
    let lines: Vec<[String; 7]> = entries.iter().take(top).enumerate().map(line).collect();
    let what = match trace.by() {
        By::Operator => "operator",
        By::Instance => "instance",
        By::Activity => "activity",
        By::Worker => "worker or lane",
        By::Channel => "channel",
    };
    let header = ["", what, "on critical paths", "profile", "one random path", "first", "first in profile"];
    let mut text = table(&header, &lines);
    if entries.len() > top {
        let _ = writeln!(text, "and {} more (--top)", entries.len() - top);
    }
    let further = trace.further();
    if further.operators + further.channels > 0 && !matches!(trace.by(), By::Activity | By::Worker) {
        let _ = writeln!(text, "and {}", merged(&further));
    }
    text
}

/// What is said of operators and channels that are not kept apart.
pub fn merged(further: &Further) -> String {
    format!(
        "{} operators and {} channels with small shares, {} together, of which there were too many to keep them apart",
        further.operators,
        further.channels,
        percent(further.participation)
    )
}

/// What is said of waits that are not kept.
pub fn forgotten_waits(further: &Further) -> String {
    format!("{} short ones, {} together, of which there were too many to keep them", further.waits, latency(further.waits_ns))
}

/// The `top` longest waits of `trace`; empty if there are none.
pub fn waits(trace: &TraceSummary, names: &Names, top: usize) -> String {
    let waits = trace.waits();
    let line = |wait: &crate::critical_path::WaitPattern| {
        [
            names.lane(wait.lane),
            names.lane(wait.from),
            names.channel(wait.channel),
            wait.cause.map_or(UNKNOWN.to_owned(), |cause| names.instance(cause)),
            latency(wait.ns),
            wait.count.to_string(),
            latency(wait.ns / wait.count.max(1)),
        ]
    };
    let lines: Vec<[String; 7]> = waits.iter().take(top).map(line).collect();
    if lines.is_empty() {
        return String::new();
    }
    let mut text = table(&["waiting", "for", "channel", "busy with", "total", "count", "mean"], &lines);
    let further = trace.further();
    if further.waits > 0 {
        let _ = writeln!(text, "and {}", forgotten_waits(&further));
    }
    text
}

/// A share as a percentage with one decimal.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
