//! Sums the participations of a window by what they are attributed to, and ranks them.
//!
//! Each critical participation is accompanied by the two measures it is compared with: the
//! conventional profile (busy time over all lanes) and one random path.

// Sums are looked up by key and sorted before they are returned.
#![allow(clippy::disallowed_types)]

use std::cmp::Reverse;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::participation::Participation;
use super::path::{PathStep, random_path};
use crate::activity::{ActivityKind, Lane, MessageKind};
use crate::id::{ChannelId, InstanceId, OperatorId};
use crate::pag::{MessageEdge, Piece, PieceKind, WindowGraph};
use crate::time::Window;

/// What a part of a path is attributed to, in full detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// Work for an instance.
    Work(ActivityKind, InstanceId),
    /// A message in flight, from lane to lane.
    Message(MessageKind, ChannelId, Lane),
    /// A gap that was not ended by a message.
    Gap,
    /// A gap that did not end for a long time.
    Silence,
    /// Waiting for a message; never on a path, and part of no measure.
    Wait(ChannelId, Lane),
    /// Work for operators that are no longer kept apart; in no window, only in sums over many.
    FurtherWork(ActivityKind),
    /// The same of messages.
    FurtherMessages(MessageKind),
}

/// How often and how long a lane waited for messages of another lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitPattern {
    /// The waiting lane.
    pub lane: Lane,
    /// The channel of the message that ended the wait.
    pub channel: ChannelId,
    /// The lane that sent it.
    pub from: Lane,
    /// What the sender had worked on right before it sent, if it was in this window.
    pub cause: Option<InstanceId>,
    /// Number of waits that ended in this window.
    pub count: u64,
    /// Length of those, also of what lies before the window, in ns.
    pub whole_ns: u64,
    /// Length of all waits within this window, whether they ended in it or not, in ns.
    pub ns: u64,
}

/// One row of a summary. All shares are relative to the window's length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The lane; for a message, the sender's.
    pub lane: Lane,
    /// What it was spent on.
    pub subject: Subject,
    /// Critical participation, 0 to 1.
    pub participation: f64,
    /// Time in ns, on a path or not.
    pub ns: u64,
    /// Time in ns on the random path.
    pub path_ns: u64,
    /// Number of segments or messages.
    pub count: u64,
}

/// The analysis of one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowSummary {
    /// The window.
    pub window: Window,
    /// Sum of all participations: 1, or 0 if there is no path through the window.
    pub participation_sum: f64,
    /// Logarithm to the base 2 of the number of paths; `None` if there is none.
    pub log2_paths: Option<f64>,
    /// Rows, in order of lane and subject.
    pub rows: Vec<Row>,
    /// Waits, the longest first.
    pub waits: Vec<WaitPattern>,
}

/// What a ranking sums by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// Operators, with their external waits, and channels.
    #[default]
    Operator,
    /// Instances, otherwise as by operator.
    Instance,
    /// Kinds of activity.
    Activity,
    /// Lanes: workers, and instances with their own capacity.
    Worker,
    /// Channels only.
    Channel,
}

/// An entry of a ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entity {
    /// An operator's work.
    Operator(OperatorId),
    /// An instance's work.
    Instance(InstanceId),
    /// External waits of an operator.
    Outside(OperatorId),
    /// A kind of work.
    Activity(ActivityKind),
    /// Messages of a kind.
    Messages(MessageKind),
    /// A lane.
    Lane(Lane),
    /// A channel: messages in flight.
    Channel(ChannelId),
    /// Time not covered by the log.
    Unknown,
}

/// One line of a ranking.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The entry.
    pub entity: Entity,
    /// Critical participation, 0 to 1.
    pub participation: f64,
    /// Conventional profile: busy time over the window's length (lanes work in parallel, so it may
    /// exceed 1).
    pub profile: f64,
    /// Share of the random path, 0 to 1.
    pub path: f64,
}

impl WindowSummary {
    /// Summarizes `graph`; `uniform` returns numbers in [0, 1) for the random path.
    pub fn of(graph: &WindowGraph, uniform: impl FnMut() -> f64) -> WindowSummary {
        Summarizer::default().summarize(graph, uniform)
    }

    /// The ranking by `by`, the highest participation first.
    pub fn ranking(&self, by: By) -> Vec<Entry> {
        ranked(self.rows.iter().copied(), self.window.length().as_nanos() as u64, by)
    }
}

/// The ranking by `by` of the rows of `length` ns.
pub(super) fn ranked(rows: impl Iterator<Item = Row>, length: u64, by: By) -> Vec<Entry> {
    let length = length as f64;
    let mut entries: FxHashMap<Entity, Entry> = FxHashMap::default();
    for row in rows {
        let Some(entity) = entity(&row, by) else { continue };
        let entry = entries.entry(entity).or_insert(Entry { entity, participation: 0.0, profile: 0.0, path: 0.0 });
        entry.participation += row.participation;
        entry.profile += row.ns as f64 / length;
        entry.path += row.path_ns as f64 / length;
    }
    let mut entries: Vec<Entry> = entries.into_values().collect();
    entries.sort_by(|a, b| b.participation.total_cmp(&a.participation).then(a.entity.cmp(&b.entity)));
    entries
}

/// The entry of a ranking to which `row` belongs.
fn entity(row: &Row, by: By) -> Option<Entity> {
    Some(match (row.subject, by) {
        (Subject::Wait(..), _) => return None,
        (Subject::FurtherWork(kind), By::Activity) => Entity::Activity(kind),
        (Subject::FurtherWork(_), By::Worker) => Entity::Lane(row.lane),
        (Subject::FurtherMessages(kind), By::Activity) => Entity::Messages(kind),
        (Subject::FurtherWork(_) | Subject::FurtherMessages(_), _) => return None,
        (Subject::Message(_, channel, _), By::Channel) => Entity::Channel(channel),
        (_, By::Channel) => return None,
        (Subject::Message(kind, _, _), By::Activity) => Entity::Messages(kind),
        // A message in flight does not keep a lane busy.
        (Subject::Message(..), By::Worker) => return None,
        (Subject::Message(_, channel, _), _) => Entity::Channel(channel),
        (Subject::Gap | Subject::Silence, By::Worker) => return None,
        (_, By::Worker) => Entity::Lane(row.lane),
        (Subject::Gap | Subject::Silence, _) => Entity::Unknown,
        (Subject::Work(kind, _), By::Activity) => Entity::Activity(kind),
        (Subject::Work(ActivityKind::ExternalWait, instance), _) => Entity::Outside(instance.operator),
        (Subject::Work(_, instance), By::Instance) => Entity::Instance(instance),
        (Subject::Work(_, instance), By::Operator) => Entity::Operator(instance.operator),
    })
}

/// Summarizes windows one after the other, reusing memory.
#[derive(Clone, Debug, Default)]
pub struct Summarizer {
    participation: Participation,
    places: FxHashMap<(u32, What), u32>,
    keys: Vec<(u32, What)>,
    next: Vec<u32>,
    between: Vec<u32>,
}

impl Summarizer {
    /// As [`WindowSummary::of`].
    pub fn summarize(&mut self, graph: &WindowGraph, uniform: impl FnMut() -> f64) -> WindowSummary {
        self.participation.update(graph);
        let participation = &self.participation;
        let length = graph.window.length().as_nanos() as f64;
        let lanes = graph.lanes.len();
        self.places.clear();
        self.keys.clear();
        self.next.clear();
        self.between.clear();
        // As large as what it is there for.
        self.between.resize(if lanes * lanes <= graph.messages.len() { lanes * lanes } else { 0 }, NONE);
        let (next, between) = (&mut self.next, &mut self.between);
        let mut sums = Sums { rows: Vec::new(), keys: &mut self.keys, places: &mut self.places };
        let mut before = NONE;
        for (lane, range) in (0..).zip(&graph.ranges) {
            for piece in &graph.pieces[range.pieces.start as usize..range.pieces.end as usize] {
                let ns = piece.end.0 - piece.start.0;
                let share = participation.segments[piece.segment as usize] * ns as f64 / length;
                // A lane mostly does the same things in turns.
                let guess = next.get(before as usize).copied().unwrap_or(NONE);
                let place = sums.place(guess, graph, lane, What::piece(piece));
                next.resize(sums.rows.len(), NONE);
                if let Some(next) = next.get_mut(before as usize) {
                    *next = place;
                }
                before = place;
                sums.rows[place as usize].add(share, ns);
            }
        }
        for (edge, share) in graph.messages.iter().zip(&participation.messages) {
            let ns = edge.end.0 - edge.start.0;
            // From one lane to another messages mostly go by one channel.
            let known = between.get_mut(edge.from_lane as usize * lanes + edge.to_lane as usize);
            let place = sums.place(known.as_deref().copied().unwrap_or(NONE), graph, edge.from_lane, What::message(edge));
            if let Some(known) = known {
                *known = place;
            }
            sums.rows[place as usize].add(share * ns as f64 / length, ns);
        }
        for step in random_path(graph, participation, uniform) {
            match step {
                PathStep::Piece(index) => {
                    let piece = &graph.pieces[index as usize];
                    // Lanes without segments end where they start.
                    let lane = graph.ranges.partition_point(|range| range.pieces.end <= index) as u32;
                    sums.row(graph, lane, What::piece(piece)).path_ns += piece.end.0 - piece.start.0;
                }
                PathStep::Message(index) => {
                    let edge = &graph.messages[index as usize];
                    sums.row(graph, edge.from_lane, What::message(edge)).path_ns += edge.end.0 - edge.start.0;
                }
            }
        }
        let mut rows = sums.rows;
        rows.sort_unstable_by_key(|row| (row.lane, row.subject));
        WindowSummary {
            window: graph.window,
            // In the order of rows, so that the sum equals that over the rows.
            participation_sum: rows.iter().map(|row| row.participation).sum(),
            log2_paths: participation.log2_paths.is_finite().then_some(participation.log2_paths),
            rows,
            waits: waits(graph),
        }
    }
}

/// A key with lane numbers: short enough to be hashed for each segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What {
    Work(ActivityKind, InstanceId),
    Message(MessageKind, ChannelId, u32),
    Gap,
    Silence,
    Wait(ChannelId, u32),
}

impl What {
    fn piece(piece: &Piece) -> What {
        match piece.kind {
            PieceKind::Work { kind, instance, .. } => What::Work(kind, instance),
            PieceKind::Gap => What::Gap,
            PieceKind::Silence => What::Silence,
            PieceKind::Wait { channel, from_lane } => What::Wait(channel, from_lane),
        }
    }

    fn message(edge: &MessageEdge) -> What {
        What::Message(edge.kind, edge.channel, edge.to_lane)
    }

    fn subject(self, lanes: &[Lane]) -> Subject {
        match self {
            What::Work(kind, instance) => Subject::Work(kind, instance),
            What::Message(kind, channel, to) => Subject::Message(kind, channel, lanes[to as usize]),
            What::Gap => Subject::Gap,
            What::Silence => Subject::Silence,
            What::Wait(channel, from) => Subject::Wait(channel, lanes[from as usize]),
        }
    }
}

/// No row.
const NONE: u32 = u32::MAX;

/// Rows under construction.
struct Sums<'a> {
    rows: Vec<Row>,
    /// What each row is of: the number of its lane, and what it did or sent.
    keys: &'a mut Vec<(u32, What)>,
    /// The position in `rows` of each.
    places: &'a mut FxHashMap<(u32, What), u32>,
}

impl Sums<'_> {
    /// The position of the row of what lane number `lane` did or sent, which may be `guess`.
    #[inline]
    fn place(&mut self, guess: u32, graph: &WindowGraph, lane: u32, what: What) -> u32 {
        if self.keys.get(guess as usize) == Some(&(lane, what)) {
            return guess;
        }
        *self.places.entry((lane, what)).or_insert_with(|| {
            self.keys.push((lane, what));
            let (lane, subject) = (graph.lanes[lane as usize], what.subject(&graph.lanes));
            self.rows.push(Row { lane, subject, participation: 0.0, ns: 0, path_ns: 0, count: 0 });
            self.rows.len() as u32 - 1
        })
    }

    fn row(&mut self, graph: &WindowGraph, lane: u32, what: What) -> &mut Row {
        let place = self.place(NONE, graph, lane, what);
        &mut self.rows[place as usize]
    }
}

impl Row {
    fn add(&mut self, participation: f64, ns: u64) {
        self.participation += participation;
        self.ns += ns;
        self.count += 1;
    }
}

/// Who waits, for which channel, for whom, and for what he does.
type Pattern = (u32, ChannelId, u32, Option<InstanceId>);

fn waits(graph: &WindowGraph) -> Vec<WaitPattern> {
    let mut patterns: FxHashMap<Pattern, WaitPattern> = FxHashMap::default();
    let lane = |lane: u32| graph.lanes[lane as usize];
    for wait in &graph.waits {
        let sum = patterns.entry((wait.lane, wait.channel, wait.from_lane, wait.cause)).or_insert_with(|| WaitPattern {
            lane: lane(wait.lane),
            channel: wait.channel,
            from: lane(wait.from_lane),
            cause: wait.cause,
            count: 0,
            whole_ns: 0,
            ns: 0,
        });
        sum.ns += graph.window.overlap(wait.start, wait.end).as_nanos() as u64;
        if wait.end <= graph.window.end {
            sum.count += 1;
            sum.whole_ns += wait.end.0 - wait.start.0;
        }
    }
    let mut patterns: Vec<(Pattern, WaitPattern)> = patterns.into_iter().collect();
    patterns.sort_unstable_by_key(|(pattern, wait)| (Reverse(wait.ns), *pattern));
    patterns.into_iter().map(|(_, wait)| wait).collect()
}
