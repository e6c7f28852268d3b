//! Rows of the windows of a trace: counted from its records, until an analysed window says what each
//! instance did.
//!
//! Memory depends on the numbers of operators and instances, on how far the trace is ahead of its
//! analysis, and on the epochs that are open, of which it keeps a bounded number.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::story::{OperatorAbout, PathAt, PathPart};
use crate::activity::{ActivityKind, Lane, Names, Record};
use crate::critical_path::{By, Entity, Entry, Subject, WindowSummary};
use crate::experiment::instance_rows::InstanceRow;
use crate::experiment::rows::{LatencyRow, TimelineRow};
use crate::id::{InstanceId, OperatorId};
use crate::stats::LatencyHistogram;
use crate::time::{Epoch, Timestamp};

/// Counts are kept for stretches of this length; a window takes those that end in it.
const STRETCH: Duration = Duration::from_millis(100);
/// Epochs that may be open; of more the earliest are forgotten.
const MOST_OPEN: usize = 1 << 16;
/// Operators that are shown.
const MOST_OPERATORS: usize = 10_000;
/// Edges that are shown.
const MOST_EDGES: usize = 20_000;
/// With more instances there are no rows of single ones.
const MOST_INSTANCES: usize = 1_000;
/// Parts of the critical paths of a window.
const MOST_PARTS: usize = 8;

/// What a window consists of.
pub(super) struct Rows {
    pub(super) timeline: Vec<TimelineRow>,
    pub(super) latency: LatencyRow,
    pub(super) instances: Vec<InstanceRow>,
    pub(super) path: PathAt,
}

/// The operators and how they are connected.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shape {
    pub(super) operators: Vec<OperatorAbout>,
    pub(super) edges: Vec<(u32, u32)>,
    pub(super) feedback: Vec<(u32, u32)>,
}

/// What is counted of an instance in a stretch.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    worker: Option<u32>,
    records: u64,
    produced: u64,
    pressed_ns: u64,
    /// At the end, if it was sampled.
    queue: Option<u64>,
    busy_ns: u64,
    wait_ns: u64,
}

impl Counts {
    /// With what came later.
    fn and(self, later: Counts) -> Counts {
        Counts {
            worker: later.worker.or(self.worker),
            records: self.records + later.records,
            produced: self.produced + later.produced,
            pressed_ns: self.pressed_ns + later.pressed_ns,
            queue: later.queue.or(self.queue),
            busy_ns: self.busy_ns + later.busy_ns,
            wait_ns: self.wait_ns + later.wait_ns,
        }
    }
}

/// What is counted in a stretch.
#[derive(Debug, Default)]
struct Stretch {
    instances: BTreeMap<InstanceId, Counts>,
    /// Latencies in ns, with the numbers of records.
    latencies: Vec<(u64, u64)>,
    /// Due and emitted until its end, by partition of a source.
    sources: BTreeMap<InstanceId, (f64, u64)>,
}

/// What is known of an operator.
#[derive(Clone, Copy, Debug)]
struct Operator {
    number: u32,
    role: &'static str,
    /// Instances in the last window in which there were any.
    instances: u32,
}

/// Counts the records of a trace.
#[derive(Debug, Default)]
pub(super) struct TraceRows {
    names: Names,
    operators: BTreeMap<OperatorId, Operator>,
    /// Operators by number.
    order: Vec<OperatorId>,
    edges: BTreeSet<(OperatorId, OperatorId)>,
    stretches: BTreeMap<u64, Stretch>,
    open: BTreeMap<Epoch, (Timestamp, u64)>,
    has_epochs: bool,
    /// Due and emitted at the end of the last window, by partition of a source.
    sources: BTreeMap<InstanceId, (f64, u64)>,
    queues: BTreeMap<InstanceId, u64>,
    is_new: bool,
}

impl TraceRows {
    /// Adds a record; those of a window have to be added before the window.
    pub(super) fn push(&mut self, record: &Record) {
        match record {
            Record::Activity(activity) => {
                let role = match activity.kind {
                    ActivityKind::Source => "source",
                    ActivityKind::Sink => "sink",
                    _ => "",
                };
                self.seen(activity.instance.operator, role);
                let is_work = matches!(
                    activity.kind,
                    ActivityKind::Processing | ActivityKind::Source | ActivityKind::Sink | ActivityKind::Speculative
                );
                let counts = self.counts(activity.instance, activity.end);
                counts.worker = if let Lane::Worker(worker) = activity.lane { Some(worker.0) } else { counts.worker };
                if is_work {
                    counts.records += if activity.records_in > 0 { activity.records_in } else { activity.records_out };
                    counts.produced += activity.records_out;
                }
            }
            Record::Backpressure { instance, start, end } => {
                self.seen(instance.operator, "");
                let (mut from, length) = (start.0, STRETCH.as_nanos() as u64);
                while from < end.0 {
                    let until = end.0.min((from / length + 1) * length);
                    self.counts(*instance, Timestamp(until)).pressed_ns += until - from;
                    from = until;
                }
            }
            Record::Queue { instance, at, length, .. } => {
                self.seen(instance.operator, "");
                self.counts(*instance, *at).queue = Some(*length);
            }
            Record::Bins { instance, .. } => self.seen(instance.operator, "keyed"),
            Record::Source { source, at, due, emitted } if due.is_finite() => {
                self.seen(source.operator, "source");
                self.stretch(*at).sources.insert(*source, (*due, *emitted));
            }
            Record::EpochOpened { source, epoch, due, records, .. } => {
                self.seen(source.operator, "source");
                self.has_epochs = true;
                let open = self.open.entry(*epoch).or_insert((*due, 0));
                *open = (open.0.min(*due), open.1 + records);
                if self.open.len() > MOST_OPEN {
                    self.open.pop_first();
                }
            }
            Record::EpochCompleted { at, epoch, .. } => {
                if let Some((due, records)) = self.open.remove(epoch) {
                    self.stretch(*at).latencies.push((at.since(due).as_nanos() as u64, records.max(1)));
                }
            }
            Record::Operator { operator, .. } => {
                self.names.learn(record);
                self.seen(*operator, "");
                self.is_new = true;
            }
            Record::Channel { source, target, .. } => {
                self.names.learn(record);
                self.seen(*source, "");
                self.seen(*target, "");
                if source != target && self.edges.len() < MOST_EDGES {
                    self.is_new |= self.edges.insert((*source, *target));
                }
            }
            Record::WorkerJoined { .. } => _ = self.names.learn(record),
            _ => {}
        }
    }

    /// The operators and edges, if there is something new among them.
    pub(super) fn shape(&mut self) -> Option<Shape> {
        if !std::mem::take(&mut self.is_new) {
            return None;
        }
        // Numbers stay as they are; new operators come in the order of the log's own numbers.
        let known = self.order.len();
        let more: Vec<OperatorId> = self.operators.keys().filter(|id| !self.order.contains(id)).copied().collect();
        self.order.extend(more.into_iter().take(MOST_OPERATORS.saturating_sub(known)));
        for (number, id) in self.order.iter().enumerate().skip(known) {
            if let Some(operator) = self.operators.get_mut(id) {
                operator.number = number as u32;
            }
        }
        let about = |id: &OperatorId| {
            let role = self.operators[id].role;
            OperatorAbout { name: self.names.operator(*id), role, scalable: !matches!(role, "source" | "sink"), ..OperatorAbout::default() }
        };
        let number = |id: &OperatorId| self.operators.get(id).map(|operator| operator.number).filter(|number| *number != u32::MAX);
        let (mut edges, mut feedback) = (Vec::new(), Vec::new());
        for (from, to) in &self.edges {
            let (Some(from), Some(to)) = (number(from), number(to)) else { continue };
            // An edge that would close a circle leads back.
            if from > to && leads(&edges, to, from) { feedback.push((from, to)) } else { edges.push((from, to)) }
        }
        Some(Shape { operators: self.order.iter().map(about).collect(), edges, feedback })
    }

    /// The rows of a window, with what was counted until its end.
    pub(super) fn window(&mut self, summary: &WindowSummary) -> Rows {
        let window = summary.window;
        let later = self.stretches.split_off(&number_of(window.end).saturating_add(1));
        let mut instances: BTreeMap<InstanceId, Counts> = BTreeMap::new();
        let (mut latencies, mut sources) = (Vec::new(), self.sources.clone());
        for stretch in std::mem::replace(&mut self.stretches, later).into_values() {
            for (instance, counts) in stretch.instances {
                let sum = instances.entry(instance).or_default();
                *sum = sum.and(counts);
            }
            latencies.extend(stretch.latencies);
            sources.extend(stretch.sources);
        }
        for row in &summary.rows {
            if let Subject::Work(kind, instance) = row.subject {
                let counts = instances.entry(instance).or_default();
                match kind {
                    ActivityKind::ExternalWait => counts.wait_ns += row.ns,
                    ActivityKind::Lost => {}
                    _ => counts.busy_ns += row.ns,
                }
            }
        }
        instances.iter_mut().for_each(|(instance, counts)| match counts.queue {
            Some(length) => drop(self.queues.insert(*instance, length)),
            None => counts.queue = self.queues.get(instance).copied(),
        });
        let grown = |id: &OperatorId| {
            let partitions = sources.range(InstanceId::new(*id, 0)..=InstanceId::new(*id, u32::MAX));
            let each = partitions.map(|(id, after)| {
                let before = self.sources.get(id).copied().unwrap_or_default();
                (after.0 - before.0, after.1.saturating_sub(before.1), (after.0 - after.1 as f64).max(0.0))
            });
            each.reduce(|a, b| (a.0 + b.0, a.1.saturating_add(b.1), a.2 + b.2))
        };
        let (window_start_s, window_end_s) = (window.start.as_secs_f64(), window.end.as_secs_f64());
        let (length_ns, length_s) = (window.length().as_nanos().max(1) as f64, window.length().as_secs_f64().max(1e-9));
        let share = |ns: u64| (ns as f64 / length_ns).clamp(0.0, 1.0);
        let speed =
            |counts: &Counts| (counts.busy_ns > 0 && counts.records > 0).then(|| counts.records as f64 / (counts.busy_ns as f64 / 1e9));
        let mut timeline = Vec::with_capacity(self.order.len());
        for id in &self.order {
            let of = instances.range(InstanceId::new(*id, 0)..=InstanceId::new(*id, u32::MAX));
            let Some(operator) = self.operators.get_mut(id) else { continue };
            let (mut parallelism, mut sum, mut rate) = (0, Counts::default(), 0.0);
            for (_, counts) in of {
                parallelism += 1;
                sum = Counts { queue: Some(sum.queue.unwrap_or(0) + counts.queue.unwrap_or(0)), ..sum.and(*counts) };
                rate += speed(counts).unwrap_or(0.0);
            }
            operator.instances = if parallelism > 0 { parallelism } else { operator.instances };
            let mean = |ns: u64| share(ns / u64::from(parallelism.max(1)));
            let grown = grown(id);
            timeline.push(TimelineRow {
                window_start_s,
                window_end_s,
                operator: self.names.operator(*id),
                parallelism: operator.instances,
                offered_per_s: grown.map(|grown| grown.0 / length_s),
                achieved_per_s: grown.map(|grown| grown.1 as f64 / length_s),
                lag_records: grown.map(|grown| grown.2),
                processed_per_s: sum.records as f64 / length_s,
                produced_per_s: sum.produced as f64 / length_s,
                true_processing_per_s: (rate > 0.0).then_some(rate),
                utilisation: mean(sum.busy_ns),
                queue_records: sum.queue.unwrap_or(0),
                backpressure_sum: sum.pressed_ns as f64 / length_ns,
                extrapolated: false,
                wait_share: mean(sum.wait_ns),
            });
        }
        // Without epochs nothing says when a record is through: what was processed stands for it.
        let through: u64 = if self.has_epochs {
            latencies.iter().map(|latency| latency.1).sum()
        } else {
            instances.values().map(|counts| counts.records).sum()
        };
        let mut histogram = LatencyHistogram::default();
        latencies.iter().for_each(|(ns, records)| histogram.record(Duration::from_nanos(*ns), *records));
        let quantile = |share: f64| histogram.quantile(share).map(|latency| latency.as_nanos() as u64);
        let latency = LatencyRow {
            window_start_s,
            window_end_s,
            records: through,
            latency_ns_p50: quantile(0.5),
            latency_ns_p99: quantile(0.99),
            latency_ns_max: latencies.iter().map(|latency| latency.0).max(),
        };
        let row = |(instance, counts): (&InstanceId, &Counts)| InstanceRow {
            window_start_s,
            window_end_s,
            operator: self.names.operator(instance.operator),
            instance: instance.index,
            worker: counts.worker,
            utilisation: share(counts.busy_ns),
            wait_share: share(counts.wait_ns),
            backpressure_share: share(counts.pressed_ns),
            processed_per_s: counts.records as f64 / length_s,
            true_processing_per_s: speed(counts),
            queue_records: counts.queue.unwrap_or(0),
        };
        let rows = if instances.len() > MOST_INSTANCES { Vec::new() } else { instances.iter().map(row).collect() };
        let path = PathAt { at_s: window_end_s, parts: self.parts(summary) };
        self.sources = sources;
        Rows { timeline, latency, instances: rows, path }
    }

    /// The largest parts of the critical paths of a window.
    fn parts(&self, summary: &WindowSummary) -> Vec<PathPart> {
        let length_ms = summary.window.length().as_secs_f64() * 1e3;
        let part = |entry: Entry| {
            let name = |id| self.names.operator(id);
            let (kind, operator, text) = match entry.entity {
                Entity::Operator(id) => ("work", name(id), format!("work of {}", name(id))),
                Entity::Outside(id) => ("external-wait", name(id), format!("waiting for something external at {}", name(id))),
                Entity::Channel(id) => ("messages", String::new(), format!("messages {}", self.names.channel(id))),
                _ => ("unknown", String::new(), "nothing ran".to_owned()),
            };
            let (share, kind) = (entry.participation, kind.to_owned());
            PathPart { kind, operator, share, mean_ms: share * length_ms, predicted_ms: None, text }
        };
        let largest = summary.ranking(By::Operator).into_iter().filter(|entry| entry.participation >= 0.001);
        largest.take(MOST_PARTS).map(part).collect()
    }

    fn seen(&mut self, id: OperatorId, role: &'static str) {
        let is_new = &mut self.is_new;
        let operator = self.operators.entry(id).or_insert_with(|| {
            *is_new = true;
            Operator { number: u32::MAX, role: "", instances: 0 }
        });
        if operator.role.is_empty() && !role.is_empty() {
            operator.role = role;
            self.is_new = true;
        }
    }

    fn counts(&mut self, instance: InstanceId, at: Timestamp) -> &mut Counts {
        self.stretch(at).instances.entry(instance).or_default()
    }

    fn stretch(&mut self, at: Timestamp) -> &mut Stretch {
        self.stretches.entry(number_of(at)).or_default()
    }
}

/// The stretch in which `at` lies; an end of a stretch is part of it.
fn number_of(at: Timestamp) -> u64 {
    at.0.div_ceil(STRETCH.as_nanos() as u64)
}

/// Whether edges lead from one operator to another.
fn leads(edges: &[(u32, u32)], from: u32, to: u32) -> bool {
    let (mut found, mut open) = (BTreeSet::from([from]), vec![from]);
    while let Some(next) = open.pop() {
        if next == to {
            return true;
        }
        open.extend(edges.iter().filter(|edge| edge.0 == next && found.insert(edge.1)).map(|edge| edge.1));
    }
    false
}
