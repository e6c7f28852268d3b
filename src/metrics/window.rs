//! Sums of one window, filled record by record.
//!
//! A record belongs to the window that contains [`Record::at`]; backpressure alone is clipped to the window, because its
//! share of the window is what policies reason about. Nothing here depends on the order of records.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{InstanceMetrics, OperatorMetrics, SourceMetrics, SourceSample};
use crate::activity::{ActivityKind, BinLoad, Record};
use crate::dataflow::{Configuration, Topology};
use crate::id::{BinId, InstanceId, OperatorId};
use crate::stats::{LatencyHistogram, slope};
use crate::time::{Epoch, Timestamp, Window};

/// A window that is being filled.
#[derive(Clone, Debug)]
pub struct WindowMetrics {
    window: Window,
    instances: BTreeMap<InstanceId, InstanceMetrics>,
    queues: BTreeMap<InstanceId, Vec<(f64, f64)>>,
    bins: BTreeMap<(OperatorId, BinId), BinLoad>,
    sources: BTreeMap<OperatorId, SourceSample>,
    latency: LatencyHistogram,
}

impl WindowMetrics {
    /// An empty window.
    pub fn new(window: Window) -> WindowMetrics {
        WindowMetrics {
            window,
            instances: BTreeMap::new(),
            queues: BTreeMap::new(),
            bins: BTreeMap::new(),
            sources: BTreeMap::new(),
            latency: LatencyHistogram::default(),
        }
    }

    /// The window.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Adds a record that the window claims; `due` tells when an epoch's earliest record was due.
    pub fn add(&mut self, record: &Record, due: impl Fn(Epoch) -> Option<Timestamp>) {
        match record {
            Record::Activity(activity) => match activity.kind {
                ActivityKind::Processing | ActivityKind::Serialization | ActivityKind::Deserialization | ActivityKind::Source => {
                    let useful = activity.end.since(activity.start);
                    let instance = self.instance(activity.instance);
                    instance.useful += useful;
                    instance.processed += activity.records_in;
                    instance.produced += activity.records_out;
                }
                ActivityKind::Sink => {
                    self.instance(activity.instance).processed += activity.records_in;
                    // Without a due time the record of the epoch's opening was dropped, which is counted where it happened.
                    if let Some(due) = due(activity.epoch) {
                        self.latency.record(activity.end.since(due), activity.records_in);
                    }
                }
                ActivityKind::Scheduling | ActivityKind::ExternalWait | ActivityKind::Migration => {}
            },
            Record::Backpressure { instance, start, end } => {
                let inside = self.window.overlap(*start, *end);
                self.instance(*instance).backpressure += inside;
            }
            Record::Queue { instance, at, length, arrivals } => {
                self.queues.entry(*instance).or_default().push((at.as_secs_f64(), *length as f64));
                let metrics = self.instance(*instance);
                metrics.arrivals += arrivals;
                metrics.queue_max_records = metrics.queue_max_records.max(*length);
            }
            Record::Bins { instance, loads, .. } => {
                for load in loads {
                    let sum = self.bins.entry((instance.operator, load.bin)).or_insert(BinLoad {
                        bin: load.bin,
                        arrivals: 0,
                        useful: Duration::ZERO,
                        keys: 0,
                        bytes: 0,
                    });
                    sum.arrivals += load.arrivals;
                    sum.useful += load.useful;
                    (sum.keys, sum.bytes) = (load.keys, load.bytes);
                }
            }
            Record::Source { source, at, due, emitted } => {
                let sample = SourceSample { at: *at, due: *due, emitted: *emitted };
                let last = self.sources.entry(*source).or_insert(sample);
                if last.at <= sample.at {
                    *last = sample;
                }
            }
            Record::Sent(_)
            | Record::Received(_)
            | Record::EpochOpened { .. }
            | Record::EpochCompleted { .. }
            | Record::Operator { .. }
            | Record::Channel { .. }
            | Record::Arrangement { .. }
            | Record::UpTo { .. } => {}
        }
    }

    fn instance(&mut self, instance: InstanceId) -> &mut InstanceMetrics {
        let length = self.window.length();
        self.instances.entry(instance).or_insert_with(|| InstanceMetrics::idle(instance, length))
    }

    /// The last sample of each source in the window.
    pub fn source_samples(&self) -> &BTreeMap<OperatorId, SourceSample> {
        &self.sources
    }

    /// Sources over the window, given the samples before it.
    pub fn sources(&self, before: &BTreeMap<OperatorId, SourceSample>) -> Vec<SourceMetrics> {
        let start = SourceSample::default();
        let between = |(&id, &after): (&OperatorId, &SourceSample)| SourceMetrics::between(id, *before.get(&id).unwrap_or(&start), after);
        self.sources.iter().map(between).collect()
    }

    /// Operators over the window: those of `topology`, with an entry for each instance of `configuration`.
    ///
    /// Instances that the configuration no longer has but that still worked in the window come after those it has.
    pub fn operators(&self, topology: &Topology, configuration: &Configuration) -> Vec<OperatorMetrics> {
        let metrics = |id: InstanceId| {
            let mut metrics = self.instances.get(&id).cloned().unwrap_or(InstanceMetrics::idle(id, self.window.length()));
            if let Some(points) = self.queues.get(&id) {
                let latest = points.iter().copied().reduce(|a, b| if b.0 >= a.0 { b } else { a });
                metrics.queue_records = latest.map_or(0, |point| point.1 as u64);
                metrics.queue_slope = slope(points);
            }
            metrics
        };
        topology
            .operators()
            .iter()
            .map(|operator| {
                let parallelism = configuration.parallelism(operator.id);
                let present = (0..parallelism).map(|index| InstanceId::new(operator.id, index));
                let gone = self.instances.range(InstanceId::new(operator.id, parallelism)..=InstanceId::new(operator.id, u32::MAX));
                let gone = gone.filter(|(_, metrics)| metrics.processed > 0).map(|(&id, _)| id);
                let bins = self.bins.range((operator.id, BinId(0))..=(operator.id, BinId(u32::MAX))).map(|(_, &load)| load);
                OperatorMetrics { operator: operator.id, instances: present.chain(gone).map(metrics).collect(), bins: bins.collect() }
            })
            .collect()
    }

    /// Latency of the records that reached a sink in the window, from their due time.
    pub fn latency(&self) -> &LatencyHistogram {
        &self.latency
    }
}
