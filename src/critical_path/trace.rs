//! Participations summed over many windows: the bottleneck over a whole trace.
//!
//! Shares are averaged over windows, weighted by their lengths. Memory depends on the number of
//! lanes and subjects, not on the number of windows; of operators and channels that are long over, the
//! least can be merged (`trace/merge.rs`).

// The table of places is looked up by key, never walked: the rows are in the order of the map.
#![allow(clippy::disallowed_types)]

mod merge;

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::summary::{By, Entity, Entry, Row, Subject, WaitPattern, WindowSummary, ranked};
use crate::activity::{Lane, Names};
use crate::id::{ChannelId, InstanceId};
use crate::time::{Timestamp, Window};

pub use merge::Least;

/// Which lane waited for which, on which channel, and what for.
type Pattern = (Lane, ChannelId, Lane, Option<InstanceId>);

/// The most rows whose places are at hand.
const MOST_AT_HAND: usize = 1 << 12;

/// The sum over the windows of a trace.
#[derive(Clone, Debug, Default)]
pub struct TraceSummary {
    by: By,
    windows: u64,
    first_start: Option<Timestamp>,
    last_end: Timestamp,
    /// Length of all windows, in ns.
    length_ns: f64,
    /// Where each row's sum is.
    rows: BTreeMap<(Lane, Subject), u32>,
    sums: Vec<Sum>,
    /// The same of rows that were added lately: windows that follow each other mostly have the same ones.
    at_hand: FxHashMap<(Lane, Subject), u32>,
    waits: BTreeMap<Pattern, Waited>,
    further: Further,
    /// How many rows and wait patterns the last merger left.
    left: (usize, usize),
    /// The ranking that was asked for first since the last window: several tables and sentences go by it.
    known_ranking: OnceCell<(By, Vec<Entry>)>,
}

/// The sum of a row.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    /// Participations times the windows' lengths, in ns.
    participation: f64,
    ns: u64,
    path_ns: u64,
    count: u64,
    /// Number of the last window that had it.
    last: u64,
}

/// The sum of a wait pattern.
#[derive(Clone, Copy, Debug, Default)]
struct Waited {
    count: u64,
    ns: u64,
    /// Number of the last window that had it.
    last: u64,
}

/// What is no longer kept apart, because there was too much of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Further {
    /// Operators whose work is known as a whole only.
    pub operators: u64,
    /// Channels of whose messages the same holds.
    pub channels: u64,
    /// Their share of the critical paths together, 0 to 1.
    pub participation: f64,
    /// Wait patterns that are no longer known.
    pub waits: u64,
    /// The length of their waits, in ns.
    pub waits_ns: u64,
}

impl TraceSummary {
    /// Without any window, to be ranked by `by`.
    pub fn new(by: By) -> TraceSummary {
        TraceSummary { by, ..TraceSummary::default() }
    }

    /// Adds a window.
    pub fn push(&mut self, window: &WindowSummary) {
        let length = window.window.length().as_nanos() as f64;
        self.known_ranking.take();
        self.windows += 1;
        self.length_ns += length;
        self.first_start.get_or_insert(window.window.start);
        self.last_end = self.last_end.max(window.window.end);
        if self.at_hand.len() > MOST_AT_HAND {
            self.at_hand.clear();
        }
        for row in &window.rows {
            let TraceSummary { rows, sums, at_hand, .. } = self;
            let key = (row.lane, row.subject);
            let place = *at_hand.entry(key).or_insert_with(|| {
                *rows.entry(key).or_insert_with(|| {
                    sums.push(Sum::default());
                    sums.len() as u32 - 1
                })
            });
            let sum = &mut sums[place as usize];
            sum.participation += row.participation * length;
            sum.ns += row.ns;
            sum.path_ns += row.path_ns;
            sum.count += row.count;
            sum.last = self.windows;
        }
        for wait in &window.waits {
            let Waited { count, ns, last } = self.waits.entry((wait.lane, wait.channel, wait.from, wait.cause)).or_default();
            (*count, *ns, *last) = (*count + wait.count, *ns + wait.whole_ns, self.windows);
        }
    }

    /// Number of windows added.
    pub fn windows(&self) -> u64 {
        self.windows
    }

    /// From the first window's start to the last one's end, including windows in which nothing
    /// happened.
    pub fn span(&self) -> Window {
        Window { start: self.first_start.unwrap_or_default(), end: self.last_end }
    }

    /// What it is ranked by.
    pub fn by(&self) -> By {
        self.by
    }

    /// Length of all windows together, in ns.
    pub fn length_ns(&self) -> f64 {
        self.length_ns
    }

    /// Rows of the whole trace; shares are relative to the total length of all windows.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        let length = self.length_ns.max(1.0);
        self.rows.iter().map(move |(&(lane, subject), &place)| {
            let Sum { participation, ns, path_ns, count, .. } = self.sums[place as usize];
            Row { lane, subject, participation: participation / length, ns, path_ns, count }
        })
    }

    /// The ranking of the whole trace, the highest participation first.
    pub fn ranking(&self, by: By) -> Vec<Entry> {
        let ranking = || ranked(self.rows(), self.length_ns.max(1.0) as u64, by);
        match self.known_ranking.get_or_init(|| (by, ranking())) {
            (known, entries) if *known == by => entries.clone(),
            _ => ranking(),
        }
    }

    /// Wait patterns of the whole trace, the longest first. Each wait counts once and whole,
    /// however many windows it spans.
    pub fn waits(&self) -> Vec<WaitPattern> {
        let pattern = |(&(lane, channel, from, cause), &Waited { count, ns, .. }): (&Pattern, &Waited)| WaitPattern {
            lane,
            channel,
            from,
            cause,
            count,
            whole_ns: ns,
            ns,
        };
        let mut waits: Vec<WaitPattern> = self.waits.iter().filter(|(_, waited)| waited.count > 0).map(pattern).collect();
        waits.sort_by_key(|wait| Reverse(wait.ns));
        waits
    }
}

impl Entity {
    /// Whether it is work, which a conventional profile covers.
    pub fn is_work(self) -> bool {
        !matches!(self, Entity::Messages(_) | Entity::Channel(_) | Entity::Unknown)
    }

    /// Its label: `count`, `count[3]`, `count waits outside`, `channel flatmap → count`,
    /// `nothing ran`.
    pub fn label(self, names: &Names) -> String {
        match self {
            Entity::Operator(operator) => names.operator(operator),
            Entity::Instance(instance) => names.instance(instance),
            Entity::Outside(operator) => format!("{} waits outside", names.operator(operator)),
            Entity::Activity(kind) => kind.to_string(),
            Entity::Messages(kind) => format!("{kind}s"),
            Entity::Lane(lane) => names.lane(lane),
            Entity::Channel(channel) if names.ends(channel).is_some() => format!("channel {}", names.channel(channel)),
            Entity::Channel(channel) => names.channel(channel),
            Entity::Unknown => "nothing ran".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::ActivityKind;
    use crate::id::{OperatorId, WorkerId};

    const LANE: Lane = Lane::Worker(WorkerId(0));

    fn row(operator: u32, participation: f64, ns: u64) -> Row {
        let subject = Subject::Work(ActivityKind::Processing, InstanceId::new(OperatorId(operator), 0));
        Row { lane: LANE, subject, participation, ns, path_ns: ns / 2, count: 1 }
    }

    fn window(start: u64, end: u64, rows: Vec<Row>) -> WindowSummary {
        let wait = WaitPattern { lane: LANE, channel: ChannelId(1), from: LANE, cause: None, count: 2, whole_ns: start + 1, ns: 1 };
        let window = Window { start: Timestamp(start), end: Timestamp(end) };
        let log2_paths = (!rows.is_empty()).then_some(3.0);
        let participation_sum = rows.iter().map(|row| row.participation).sum();
        WindowSummary { window, participation_sum, log2_paths, rows, waits: vec![wait] }
    }

    #[test]
    fn windows_weigh_as_much_as_they_are_long() {
        let mut trace = TraceSummary::new(By::Operator);
        trace.push(&window(0, 100, vec![row(1, 1.0, 100), row(2, 0.0, 300)]));
        trace.push(&window(100, 400, vec![row(2, 1.0, 300)]));
        trace.push(&window(500, 500, Vec::new()));
        let ranking = trace.ranking(By::Operator);
        let found: Vec<_> = ranking.iter().map(|entry| (entry.entity, entry.participation, entry.profile, entry.path)).collect();
        let operator = |number| Entity::Operator(OperatorId(number));
        assert_eq!(found, [(operator(2), 0.75, 1.5, 0.75), (operator(1), 0.25, 0.25, 0.125)]);
        assert_eq!((trace.windows(), trace.span().end.0), (3, 500));
        assert_eq!(trace.waits().iter().map(|wait| (wait.count, wait.ns)).collect::<Vec<_>>(), [(6, 1 + 101 + 501)]);
    }

    #[test]
    fn entries_have_names() {
        let mut names = Names::default();
        names.learn(&crate::activity::Record::Operator { operator: OperatorId(2), name: "count".into() });
        assert_eq!(Entity::Outside(OperatorId(2)).label(&names), "count waits outside");
        assert_eq!(Entity::Channel(ChannelId(4)).label(&names), "channel4");
        assert_eq!(Entity::Unknown.label(&names), "nothing ran");
    }
}
