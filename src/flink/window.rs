//! A window of a job: rounds of counters and the epochs of its checkpoints, as activity records and paths.
//!
//! Each subtask's counters move by what it did between the first round of a window and the last; its own
//! clock says how long that was, and the difference is taken to hold for the whole window. Invariant: a
//! window in which a task was deployed, or of which too little is known, gives nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::barriers::{Barriers, Hop, Wait, blame};
use super::counters::Counters;
use super::graph::Graph;
use super::job::Ship;
use crate::activity::{Activity, ActivityKind, Lane, Record};
use crate::critical_path::{Behind, EpochPath, EpochPiece, EpochPieceKind, Gains, PathGroup, WindowPaths};
use crate::dataflow::{Configuration, Topology};
use crate::id::{InstanceId, OperatorId};
use crate::observation::{LatencySummary, Observation, Observer};
use crate::stats::LatencyHistogram;
use crate::time::{Epoch, Timestamp, Window};

/// A window is known if the tasks' clocks moved by at least this share of it.
const LEAST_CLOCK: f64 = 0.25;
/// A source that is held up for more than this share of its time could emit more.
const HELD_UP: f64 = 0.1;
/// ... but nobody knows how much: at most this many times what it does is added to it, so that it is found out step by step.
const MOST_MORE: f64 = 1.0;
/// The part of the epochs that counts as the slowest: one in a hundred...
const SLOWEST_PART: f64 = 0.01;
/// ... and at least so many.
const LEAST_SLOWEST: usize = 5;

/// Counters and lag at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// When they were there.
    pub at: Timestamp,
    /// By vertex of the graph and subtask; nothing where a subtask did not say all of it.
    pub counters: Vec<Vec<Option<Counters>>>,
    /// Records that a source has not emitted, by vertex; those of which that is known.
    pub pending: BTreeMap<usize, f64>,
}

/// An epoch, and when its checkpoint was triggered by the clock of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// The checkpoint.
    pub barriers: Barriers,
}

/// What one epoch says: where a record that is due now waits, and who is to blame.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The checkpoint; nothing where it was estimated from counters.
    pub checkpoint: Option<u64>,
    /// When it was triggered.
    pub at: Timestamp,
    /// Waits from source to sink.
    pub waits: Vec<Wait>,
    /// What serving one record takes each of them, in ms; nothing where that is not known.
    pub service_ms: Vec<Option<f64>>,
    /// By vertex, how long its subtasks waited for their last barrier, in ms.
    pub alignment_ms: Vec<f64>,
    /// When its last barrier came to a sink, by the JobManager's clock in ms since 1970; 0 where it was estimated from counters.
    pub arrived_ms: f64,
}

impl Told {
    /// All of it together, in ms.
    pub fn latency_ms(&self) -> f64 {
        let waits: f64 = self.waits.iter().map(|wait| wait.hop.queue_ms).sum();
        waits + self.service_ms.iter().flatten().sum::<f64>()
    }
}

/// Why a window gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// Fewer than two rounds.
    #[error("fewer than two answers in it")]
    TooFew,
    /// A subtask did not say all of it, or was deployed, or its clock did not move enough.
    #[error("'{0}[{1}]' did not count for long enough in it")]
    Subtask(String, u32),
}

/// What is known of a window.
pub struct Measured {
    /// For a policy.
    pub observation: Observation,
    /// What its epochs say, in order.
    pub told: Vec<Told>,
    /// What happened, by vertex and subtask.
    pub moved: Vec<Vec<Counters>>,
}

/// A window that is being filled.
#[derive(Clone, Debug)]
pub struct OpenWindow {
    window: Window,
    first: Option<Round>,
    last: Option<Round>,
    rounds: u32,
    epochs: Vec<Seen>,
    finished: BTreeSet<usize>,
}

impl OpenWindow {
    /// A window from `start` on; tasks of the vertices in `finished` have finished before.
    pub fn new(start: Timestamp, length: Duration, finished: BTreeSet<usize>) -> OpenWindow {
        OpenWindow { window: Window::starting(start, length), first: None, last: None, rounds: 0, epochs: Vec::new(), finished }
    }

    /// Vertices of which tasks have finished.
    pub fn finished(&self) -> &BTreeSet<usize> {
        &self.finished
    }

    /// Its time.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Adds a round.
    pub fn round(&mut self, round: Round) {
        self.rounds += 1;
        if self.first.is_none() { self.first = Some(round) } else { self.last = Some(round) }
    }

    /// The last round, with which the next window begins.
    pub fn last(&self) -> Option<&Round> {
        self.last.as_ref().or(self.first.as_ref())
    }

    /// Adds an epoch.
    pub fn epoch(&mut self, seen: Seen) {
        self.epochs.push(seen);
    }

    /// Number of epochs so far.
    pub fn epochs(&self) -> usize {
        self.epochs.len()
    }

    /// What is known of it; `needs_paths` asks for critical paths in the observation.
    ///
    /// # Errors
    /// When too little is.
    pub fn close(&self, graph: &Graph, topology: &Topology, configuration: &Configuration, needs_paths: bool) -> Result<Measured, Unknown> {
        let (Some(first), Some(last)) = (&self.first, &self.last) else { return Err(Unknown::TooFew) };
        let length_ms = self.window.length().as_secs_f64() * 1e3;
        let mut moved: Vec<Vec<Counters>> = Vec::new();
        for (vertex, node) in graph.nodes.iter().enumerate() {
            let subtasks = configuration.parallelism(OperatorId(vertex as u32));
            let of = |subtask: u32| {
                let at = |round: &Round| round.counters.get(vertex)?.get(subtask as usize).copied().flatten();
                let moved = at(last).zip(at(first)).and_then(|(last, first)| last.since(&first));
                let moved = moved.filter(|moved| moved.clock_ms() >= LEAST_CLOCK * length_ms);
                // What has finished does not count any more: it has nothing to do.
                let idle = self.finished.contains(&vertex).then(|| Counters { idle_ms: length_ms, ..Counters::default() });
                moved.or(idle).ok_or_else(|| Unknown::Subtask(node.name.clone(), subtask))
            };
            moved.push((0..subtasks).map(of).collect::<Result<_, _>>()?);
        }
        let told = self.told(graph, &moved, first, last);
        let observation = self.observe(graph, topology, configuration, &moved, &told, needs_paths);
        Ok(Measured { observation, told, moved })
    }

    /// What each epoch says; what counters say if there is none.
    fn told(&self, graph: &Graph, moved: &[Vec<Counters>], first: &Round, last: &Round) -> Vec<Told> {
        let counters = |vertex: usize, subtask: u32| moved.get(vertex).and_then(|of| of.get(subtask as usize));
        let blocked = |vertex: usize, subtask: u32| counters(vertex, subtask).map_or(0.0, Counters::blocked_share);
        let tell = |barriers: Option<&Barriers>, at: Timestamp, path: &[Hop], alignment_ms: Vec<f64>| {
            let source = path.first().map_or(0, |hop| hop.vertex);
            // Between two rounds lag moves evenly.
            let share = at.since(first.at).as_secs_f64() / last.at.since(first.at).as_secs_f64().max(1e-9);
            let pending = |round: &Round| round.pending.get(&source).copied().unwrap_or(0.0);
            let records = pending(first) + (pending(last) - pending(first)) * share.min(1.0);
            let rate: f64 = moved[source].iter().map(|of| 1000.0 * of.records_out / of.clock_ms().max(1.0)).sum();
            let source_ms = if rate > 0.0 { 1000.0 * records / rate } else { 0.0 };
            let waits = blame(path, source_ms, blocked);
            let service_ms = path.iter().map(|hop| counters(hop.vertex, hop.subtask).and_then(Counters::service_ms)).collect();
            let took_ms: f64 = path.iter().map(|hop| hop.queue_ms).sum();
            let arrived_ms = barriers.map_or(0.0, |barriers| barriers.triggered_ms as f64 + took_ms);
            let checkpoint = barriers.map(|barriers| barriers.checkpoint);
            Told { checkpoint, at, waits, service_ms, alignment_ms, arrived_ms }
        };
        let fits = |barriers: &Barriers| {
            (0..moved.len()).all(|vertex| barriers.arrivals.get(vertex).is_some_and(|of| of.len() == moved[vertex].len()))
        };
        let measured = self.epochs.iter().filter(|seen| fits(&seen.barriers)).map(|seen| {
            let alignment_ms = (0..moved.len()).map(|vertex| seen.barriers.alignment_ms(vertex)).collect();
            tell(Some(&seen.barriers), seen.at, &seen.barriers.critical_path(graph), alignment_ms)
        });
        let told: Vec<Told> = measured.collect();
        if !told.is_empty() {
            return told;
        }
        let path = path_of_counters(graph, moved, last);
        if path.is_empty() {
            Vec::new()
        } else {
            vec![tell(None, self.window.end - Duration::from_nanos(1), &path, vec![0.0; moved.len()])]
        }
    }

    /// The observation, by the same way as any host's records take.
    fn observe(
        &self,
        graph: &Graph,
        topology: &Topology,
        configuration: &Configuration,
        moved: &[Vec<Counters>],
        told: &[Told],
        needs_paths: bool,
    ) -> Observation {
        let mut observer = Observer::new(topology.clone(), self.window.start, self.window.length());
        self.records(graph, moved, told).iter().for_each(|record| observer.push(record));
        let (mut observation, _) = observer.close(configuration, self.window.length());
        let emitted: f64 = graph.sources().flat_map(|source| &moved[source]).map(|of| self.scaled(of).records_out).sum();
        let records = ((emitted / told.len().max(1) as f64).round() as u64).max(1);
        let paths: Vec<(EpochPath, u64)> = told.iter().map(|told| (epoch_path(told), records)).collect();
        let mut latency = LatencyHistogram::default();
        paths.iter().for_each(|(path, records)| latency.record(path.latency(), *records));
        observation.latency = LatencySummary::of(&latency);
        observation.paths = needs_paths.then(|| window_paths(paths));
        observation
    }

    /// Counters of a subtask over the whole window.
    fn scaled(&self, moved: &Counters) -> Counters {
        let factor = self.window.length().as_secs_f64() * 1e3 / moved.clock_ms().max(1.0);
        Counters {
            records_in: moved.records_in * factor,
            records_out: moved.records_out * factor,
            busy_ms: moved.busy_ms * factor,
            blocked_ms: moved.blocked_ms * factor,
            idle_ms: moved.idle_ms * factor,
        }
    }

    fn records(&self, graph: &Graph, moved: &[Vec<Counters>], told: &[Told]) -> Vec<Record> {
        let (mut records, instant) = (Vec::new(), Duration::from_nanos(1));
        let last_instant = self.window.end - instant;
        let queues = self.queues(graph, moved);
        for (vertex, node) in graph.nodes.iter().enumerate() {
            let (operator, is_source) = (OperatorId(vertex as u32), node.inputs.is_empty());
            let mut emitted = 0;
            for (subtask, of) in (0..).zip(&moved[vertex]) {
                let (instance, all) = (InstanceId::new(operator, subtask), self.scaled(of));
                let (records_in, records_out) = (all.records_in.round() as u64, all.records_out.round() as u64);
                emitted += records_out;
                let kind = if is_source { ActivityKind::Source } else { ActivityKind::Processing };
                let busy = millis(all.busy_ms);
                let (start, end) = (last_instant - busy, last_instant);
                let (lane, epoch) = (Lane::Instance(instance), Epoch::UNKNOWN);
                // What a source reads comes from outside.
                let records_in = if is_source { 0 } else { records_in };
                records.push(Record::Activity(Activity { lane, kind, instance, epoch, start, end, records_in, records_out }));
                if !is_source {
                    let (at_first, at_last) = queues[vertex][subtask as usize];
                    let arrivals = (records_in as f64 + at_last - at_first).max(0.0) as u64;
                    records.push(Record::Queue { instance, at: self.window.start, length: at_first as u64, arrivals: 0 });
                    records.push(Record::Queue { instance, at: last_instant, length: at_last as u64, arrivals });
                }
            }
            if is_source {
                let (before, after) = self.offered(vertex, &moved[vertex], emitted);
                records.push(Record::Source {
                    source: InstanceId::new(operator, 0),
                    at: self.window.start - instant,
                    due: before,
                    emitted: 0,
                });
                records.push(Record::Source { source: InstanceId::new(operator, 0), at: last_instant, due: after, emitted });
                records.extend(self.held_up(graph, moved, told, vertex));
            }
        }
        // What was known before a window comes before its own.
        records.sort_by_key(Record::at);
        records
    }

    /// Records that a source should have emitted by the beginning and by the end of the window, of which it emitted `emitted` in it.
    ///
    /// A source that says what is pending knows. Of another one that is held up, all that is known is that it could emit more: what it
    /// would have if it had gone on in that time as it did in the rest.
    fn offered(&self, vertex: usize, moved: &[Counters], emitted: u64) -> (f64, f64) {
        let pending = |round: &Option<Round>| round.as_ref().and_then(|round| round.pending.get(&vertex).copied());
        if let (Some(before), Some(after)) = (pending(&self.first), pending(&self.last)) {
            return (before, (emitted as f64 + after).max(before));
        }
        let more = |of: &Counters| {
            let blocked = of.blocked_share();
            let times = if blocked > HELD_UP { (blocked / (1.0 - blocked).max(1e-3)).min(MOST_MORE) } else { 0.0 };
            self.scaled(of).records_out * times
        };
        (0.0, emitted as f64 + moved.iter().map(more).sum::<f64>())
    }

    /// For whom a source was held up, and how long.
    fn held_up(&self, graph: &Graph, moved: &[Vec<Counters>], told: &[Told], source: usize) -> Option<Record> {
        let share = moved[source].iter().map(Counters::blocked_share).fold(0.0, f64::max);
        if share <= HELD_UP {
            return None;
        }
        let by_path =
            told.iter().rev().find_map(|told| told.waits.first().filter(|wait| wait.hop.vertex == source)).map(|wait| wait.blamed);
        let (vertex, subtask) = by_path.filter(|(vertex, _)| *vertex != source).unwrap_or_else(|| bottleneck(graph, moved, source));
        let (start, end) = (self.window.end - self.window.length().mul_f64(share.min(1.0)), self.window.end - Duration::from_nanos(1));
        (vertex != source).then(|| Record::Backpressure { instance: InstanceId::new(OperatorId(vertex as u32), subtask), start, end })
    }

    /// Records in the queue of each subtask at the beginning and at the end of the window.
    ///
    /// Where barriers say how long they stood there: that times the rate. Else what was sent less what was read: of the vertex as a
    /// whole, divided by what each subtask reads.
    fn queues(&self, graph: &Graph, moved: &[Vec<Counters>]) -> Vec<Vec<(f64, f64)>> {
        let by_barriers = |seen: Option<&Seen>, vertex: usize, subtask: usize| {
            let queue_ms = seen?.barriers.queues_ms(graph, vertex).get(subtask).copied()?;
            Some(queue_ms / 1e3 * moved[vertex][subtask].per_second())
        };
        let of = |vertex: usize| {
            let read: f64 = moved[vertex].iter().map(|of| of.records_in).sum();
            let littles = |round: &Option<Round>, subtask: usize| {
                let share = if read > 0.0 { moved[vertex][subtask].records_in / read } else { 0.0 };
                round.as_ref().and_then(|round| standing(graph, round, vertex)).unwrap_or(0.0) * share
            };
            let both = |subtask: usize| {
                let first = by_barriers(self.epochs.first(), vertex, subtask).unwrap_or_else(|| littles(&self.first, subtask));
                let last = by_barriers(self.epochs.last(), vertex, subtask).unwrap_or_else(|| littles(&self.last, subtask));
                (first, last)
            };
            (0..moved[vertex].len()).map(both).collect()
        };
        (0..graph.nodes.len()).map(of).collect()
    }
}

/// Records between a vertex and its inputs, by counters since all were deployed; nothing if a subtask did not say.
fn standing(graph: &Graph, round: &Round, vertex: usize) -> Option<f64> {
    let sum =
        |vertex: usize, part: fn(&Counters) -> f64| round.counters.get(vertex)?.iter().map(|of| of.as_ref().map(part)).sum::<Option<f64>>();
    let copies = |ship: Ship| if ship == Ship::Broadcast { round.counters[vertex].len() as f64 } else { 1.0 };
    let sent =
        graph.nodes[vertex].inputs.iter().map(|&(from, ship)| Some(sum(from, |of| of.records_out)? * copies(ship))).sum::<Option<f64>>()?;
    Some((sent - sum(vertex, |of| of.records_in)?).max(0.0))
}

/// The path on which records wait longest, by Little's law; of each vertex the busiest subtask. Empty without any traffic.
fn path_of_counters(graph: &Graph, moved: &[Vec<Counters>], last: &Round) -> Vec<Hop> {
    let wait = |vertex: usize| {
        let rate: f64 = moved[vertex].iter().map(Counters::per_second).sum();
        if rate > 0.0 { standing(graph, last, vertex).unwrap_or(0.0) / rate * 1e3 } else { 0.0 }
    };
    // By vertex, the longest way to it, and the vertex before it.
    let mut ways: Vec<(f64, Option<usize>)> = Vec::new();
    for (vertex, node) in graph.nodes.iter().enumerate() {
        let before = node.inputs.iter().map(|(from, _)| *from).reduce(|a, b| if ways[b].0 > ways[a].0 { b } else { a });
        let own = if before.is_some() { wait(vertex) } else { 0.0 };
        ways.push((own + before.map_or(0.0, |before| ways[before].0), before));
    }
    if moved.iter().flatten().all(|of| of.records() == 0.0) {
        return Vec::new();
    }
    let ends = (0..graph.nodes.len()).filter(|&vertex| graph.outputs(vertex).next().is_none());
    let mut next = ends.reduce(|a, b| if ways[b].0 > ways[a].0 { b } else { a });
    let mut path = Vec::new();
    while let Some(vertex) = next {
        next = ways[vertex].1;
        path.push(Hop { vertex, subtask: busiest(&moved[vertex]), queue_ms: if next.is_some() { wait(vertex) } else { 0.0 } });
    }
    path.reverse();
    path
}

/// The subtask that is busiest; of equal ones the first.
fn busiest(moved: &[Counters]) -> u32 {
    let shares = (0..).zip(moved.iter().map(Counters::busy_share));
    shares.reduce(|a, b| if b.1 > a.1 { b } else { a }).map_or(0, |(subtask, _)| subtask)
}

/// Down from `vertex` as long as that is held up: always to the vertex that is busiest or held up most.
fn bottleneck(graph: &Graph, moved: &[Vec<Counters>], mut vertex: usize) -> (usize, u32) {
    let load = |vertex: usize| moved[vertex].iter().map(|of| of.busy_share() + of.blocked_share()).fold(0.0, f64::max);
    while moved[vertex].iter().any(|of| of.blocked_share() > HELD_UP) {
        let Some(next) = graph.outputs(vertex).reduce(|a, b| if load(b) > load(a) { b } else { a }) else { break };
        vertex = next;
    }
    (vertex, busiest(&moved[vertex]))
}

/// The breakdown of one epoch's latency: waits as queueing, or as backpressure where the source waits for somebody else, and service.
pub fn epoch_path(told: &Told) -> EpochPath {
    let latency = millis(told.latency_ms());
    let completed = (told.at + latency).max(Timestamp::ZERO + latency);
    let due = completed - latency;
    let epoch = Epoch(told.checkpoint.unwrap_or(told.at.0));
    let (mut pieces, mut now) = (Vec::new(), due);
    let mut add = |kind: EpochPieceKind, instance: InstanceId, behind: Option<Behind>, length_ms: f64| {
        let end = (now + millis(length_ms)).min(completed);
        if end > now {
            pieces.push(EpochPiece { kind, instance: Some(instance), behind, channel: None, start: now, end });
        }
        now = end;
    };
    let id = |(vertex, subtask): (usize, u32)| InstanceId::new(OperatorId(vertex as u32), subtask);
    for (index, (wait, service_ms)) in told.waits.iter().zip(&told.service_ms).enumerate() {
        let own = (wait.hop.vertex, wait.hop.subtask);
        match (index, wait.blamed == own) {
            (0, true) => add(EpochPieceKind::SourceDelay, id(own), None, wait.hop.queue_ms),
            (0, false) => add(EpochPieceKind::Backpressure, id(wait.blamed), None, wait.hop.queue_ms),
            _ => {
                let behind = Behind { instance: id(wait.blamed), epoch: Epoch::UNKNOWN, activity: ActivityKind::Processing };
                add(EpochPieceKind::Queueing, id(own), Some(behind), wait.hop.queue_ms);
            }
        }
        add(EpochPieceKind::Processing, id(own), None, service_ms.unwrap_or(0.0));
    }
    // Whatever was rounded: the last piece ends where the latency does.
    let completed = now;
    EpochPath { epoch, due, completed, pieces, gains: Gains::default(), slack: Vec::new() }
}

fn window_paths(mut paths: Vec<(EpochPath, u64)>) -> WindowPaths {
    // The slowest first; of equal ones the earliest.
    paths.sort_by(|(a, _), (b, _)| b.latency().cmp(&a.latency()).then(a.epoch.cmp(&b.epoch)));
    let slowest = ((paths.len() as f64 * SLOWEST_PART) as usize).max(LEAST_SLOWEST).min(paths.len());
    WindowPaths { all: PathGroup::of(&paths), slowest: PathGroup::of(&paths[..slowest]), ..WindowPaths::default() }
}

fn millis(ms: f64) -> Duration {
    // A year bounds what a wrong answer can do.
    const MOST_MS: f64 = 365.0 * 86_400_000.0;
    Duration::from_secs_f64(if ms.is_finite() { ms.clamp(0.0, MOST_MS) / 1e3 } else { 0.0 })
}
