//! Sums of one window, filled record by record.
//!
//! A record belongs to the window that contains [`Record::at`]; only backpressure is clipped to the
//! window, because policies use its share of the window. The result does not depend on the order of
//! records.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::grid::Grid;
use super::recorded_slots::RecordedSlots;
use super::{CoreSample, CoreTime, InstanceMetrics, MetricIssue, OperatorMetrics, SourceMetrics, SourceSample, WorkerMetrics};
use crate::activity::{Activity, ActivityKind, BinLoad, Lane, Record};
use crate::dataflow::{Configuration, Placement, Role, Topology};
use crate::id::{InstanceId, WorkerId};
use crate::stats::{LatencyHistogram, slope};
use crate::time::{Epoch, Timestamp, Window};

/// Sums of one instance, and its queue as (seconds, records).
#[derive(Clone, Debug)]
struct InstanceSamples {
    /// But for the times.
    metrics: InstanceMetrics,
    /// Useful time and external waits in nanoseconds: one is added for each recorded batch.
    useful_ns: u64,
    waited_ns: u64,
    queue: Vec<(f64, f64)>,
    /// When the latest of these samples was taken.
    latest_s: f64,
}

impl InstanceSamples {
    /// Whether there is a sample of that time already. Samples come in order, except for late ones.
    fn has(&self, at_s: f64) -> bool {
        at_s <= self.latest_s && self.queue.iter().rev().any(|(known, _)| *known == at_s)
    }

    fn useful(&self) -> Duration {
        Duration::from_nanos(self.useful_ns)
    }
}

/// An open window.
#[derive(Clone, Debug)]
pub struct WindowMetrics {
    window: Window,
    instances: Grid<InstanceSamples>,
    bins: Grid<BinLoad>,
    /// Whether loads of bins are left out.
    no_bins: bool,
    sources: BTreeMap<InstanceId, SourceSample>,
    latency: LatencyHistogram,
    /// Time of workers by instance.
    used: BTreeMap<(WorkerId, InstanceId), Duration>,
    cores: BTreeMap<WorkerId, CoreSample>,
    recorded: RecordedSlots,
    /// Samples of queues, and those among them that had come before.
    samples: u64,
    repeated: u64,
    doubts: BTreeSet<MetricIssue>,
    /// Space for samples of queues.
    spare: Vec<Vec<(f64, f64)>>,
}

impl WindowMetrics {
    /// An empty window.
    pub fn new(window: Window) -> WindowMetrics {
        WindowMetrics {
            window,
            instances: Grid::default(),
            bins: Grid::default(),
            no_bins: false,
            sources: BTreeMap::new(),
            latency: LatencyHistogram::default(),
            used: BTreeMap::new(),
            cores: BTreeMap::new(),
            recorded: RecordedSlots::new(window),
            samples: 0,
            repeated: 0,
            doubts: BTreeSet::new(),
            spare: Vec::new(),
        }
    }

    /// The same without loads of bins.
    pub fn without_bins(self) -> WindowMetrics {
        WindowMetrics { no_bins: true, ..self }
    }

    /// Forgets everything and begins `window`; what takes space is used again, since a run has
    /// many windows that are alike.
    pub fn begin(&mut self, window: Window) {
        self.window = window;
        let spare = &mut self.spare;
        self.instances.drain(|samples| {
            let mut queue = samples.queue;
            queue.clear();
            spare.push(queue);
        });
        self.bins.drain(drop);
        self.sources.clear();
        self.latency = LatencyHistogram::default();
        self.used.clear();
        self.cores.clear();
        self.recorded.begin(window);
        (self.samples, self.repeated) = (0, 0);
        self.doubts.clear();
    }

    /// The window.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Adds a record of this window; `due` returns when an epoch's earliest record was due.
    pub fn add(&mut self, record: &Record, due: impl Fn(Epoch) -> Option<Timestamp>) {
        self.recorded.mark(record);
        if let Record::Activity(Activity { lane: Lane::Worker(worker), instance, start, end, .. }) = record {
            *self.used.entry((*worker, *instance)).or_default() += end.since(*start);
        }
        match record {
            Record::Activity(activity) => match activity.kind {
                ActivityKind::Processing | ActivityKind::Serialization | ActivityKind::Deserialization | ActivityKind::Source => {
                    let seen = self.seen(activity.instance);
                    seen.useful_ns = seen.useful_ns.saturating_add(activity.end.0.saturating_sub(activity.start.0));
                    seen.metrics.processed += activity.records_in;
                    seen.metrics.produced += activity.records_out;
                }
                ActivityKind::Sink => {
                    self.instance(activity.instance).processed += activity.records_in;
                    // Without a due time the record of the epoch's opening was dropped, which is
                    // counted elsewhere.
                    if let Some(due) = due(activity.epoch) {
                        self.latency.record(activity.end.since(due), activity.records_in);
                    }
                }
                ActivityKind::ExternalWait => {
                    let seen = self.seen(activity.instance);
                    seen.waited_ns = seen.waited_ns.saturating_add(activity.end.0.saturating_sub(activity.start.0));
                }
                ActivityKind::Scheduling | ActivityKind::Migration | ActivityKind::Lost | ActivityKind::Speculative => {}
            },
            Record::Backpressure { instance, start, end } => {
                let inside = self.window.overlap(*start, *end);
                self.instance(*instance).backpressure += inside;
            }
            Record::Queue { instance, at, length, arrivals } => {
                self.samples += 1;
                let (seen, at_s) = (self.seen(*instance), at.as_secs_f64());
                if seen.has(at_s) {
                    self.repeated += 1;
                    self.doubts.insert(MetricIssue::SeenTwice(instance.operator));
                    return;
                }
                seen.queue.push((at_s, *length as f64));
                seen.latest_s = seen.latest_s.max(at_s);
                seen.metrics.arrivals += arrivals;
                seen.metrics.queue_max_records = seen.metrics.queue_max_records.max(*length);
            }
            Record::Bins { .. } if self.no_bins => {}
            Record::Bins { instance, loads, .. } => {
                for load in loads {
                    let none = || BinLoad { bin: load.bin, arrivals: 0, useful: Duration::ZERO, keys: 0, bytes: 0 };
                    let sum = self.bins.entry(instance.operator, load.bin.0, none);
                    sum.arrivals += load.arrivals;
                    sum.useful += load.useful;
                    (sum.keys, sum.bytes) = (load.keys, load.bytes);
                }
            }
            Record::Source { source, due, .. } if !due.is_finite() || *due < 0.0 => {
                self.doubts.insert(MetricIssue::SourceImpossible(source.operator));
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
            | Record::Waited { .. }
            | Record::WorkerJoined { .. }
            | Record::WorkerLeft { .. }
            | Record::UpTo { .. } => {}
            Record::Core { worker, at, ran, denied } => {
                let sample = CoreSample { at: *at, ran: *ran, denied: *denied };
                let last = self.cores.entry(*worker).or_insert(sample);
                if last.at <= sample.at {
                    *last = sample;
                }
            }
        }
    }

    fn instance(&mut self, instance: InstanceId) -> &mut InstanceMetrics {
        &mut self.seen(instance).metrics
    }

    fn seen(&mut self, instance: InstanceId) -> &mut InstanceSamples {
        let length = self.window.length();
        let spare = &mut self.spare;
        let none = || InstanceSamples {
            metrics: InstanceMetrics::idle(instance, length),
            useful_ns: 0,
            waited_ns: 0,
            queue: spare.pop().unwrap_or_default(),
            latest_s: f64::NEG_INFINITY,
        };
        self.instances.entry(instance.operator, instance.index, none)
    }

    /// The last sample of each partition of a source in the window.
    pub fn source_samples(&self) -> &BTreeMap<InstanceId, SourceSample> {
        &self.sources
    }

    /// Metrics of sources over the window, given the samples before it: of all partitions of each
    /// together.
    pub fn sources(&self, before: &BTreeMap<InstanceId, SourceSample>) -> Vec<SourceMetrics> {
        let start = SourceSample::default();
        let mut sources: Vec<SourceMetrics> = Vec::new();
        for (id, &after) in &self.sources {
            let part = SourceMetrics::between(id.operator, *before.get(id).unwrap_or(&start), after);
            match sources.last_mut().filter(|source| source.operator == id.operator) {
                Some(source) => source.add(&part),
                None => sources.push(part),
            }
        }
        sources
    }

    /// The last sample of each worker's core in the window.
    pub fn core_samples(&self) -> &BTreeMap<WorkerId, CoreSample> {
        &self.cores
    }

    /// Metrics of workers over the window, given the samples of their cores before it; none where
    /// `configuration` does not say which workers there are.
    pub fn workers(&self, configuration: &Configuration, before: &BTreeMap<WorkerId, CoreSample>) -> Vec<WorkerMetrics> {
        let workers = configuration.placement().map_or(0, Placement::workers);
        let metrics = |worker: WorkerId| {
            let first = (worker, InstanceId::default());
            let used = self.used.range(first..).take_while(|((of, _), _)| *of == worker).filter(|(_, time)| !time.is_zero());
            let before = before.get(&worker).copied().unwrap_or_default();
            let core = self.cores.get(&worker).map(|after| CoreTime::between(before, *after, self.window.length()));
            WorkerMetrics { worker, window: self.window.length(), used: used.map(|((_, of), time)| (*of, *time)).collect(), core }
        };
        (0..workers).map(|worker| metrics(WorkerId(worker))).collect()
    }

    /// Metrics of operators over the window: those of `topology`, with an entry for each instance
    /// of `configuration`.
    ///
    /// Instances that are no longer part of the configuration but worked in the window follow those
    /// that are.
    pub fn operators(&self, topology: &Topology, configuration: &Configuration) -> Vec<OperatorMetrics> {
        let metrics = |id: InstanceId| match self.instances.get(id.operator, id.index) {
            None => InstanceMetrics::idle(id, self.window.length()),
            Some(seen @ InstanceSamples { metrics, queue, .. }) => {
                let latest = queue.iter().copied().reduce(|a, b| if b.0 >= a.0 { b } else { a });
                let queue_records = latest.map_or(0, |point| point.1 as u64);
                let (useful, external_wait) = (seen.useful(), Duration::from_nanos(seen.waited_ns));
                InstanceMetrics { useful, external_wait, queue_records, queue_slope: slope(queue), ..metrics.clone() }
            }
        };
        topology
            .operators()
            .iter()
            .map(|operator| {
                let parallelism = configuration.parallelism(operator.id);
                let present = (0..parallelism).map(|index| InstanceId::new(operator.id, index));
                let gone = self.instances.of(operator.id, parallelism).filter(|(_, seen)| seen.metrics.processed > 0);
                let gone = gone.map(|(index, _)| InstanceId::new(operator.id, index));
                let bins = self.bins.of(operator.id, 0).map(|(_, &load)| load);
                OperatorMetrics { operator: operator.id, instances: present.chain(gone).map(metrics).collect(), bins: bins.collect() }
            })
            .collect()
    }

    /// Reasons not to base a decision on the window, given the samples of sources before it.
    pub fn doubts(&self, topology: &Topology, before: &BTreeMap<InstanceId, SourceSample>) -> Vec<MetricIssue> {
        let mut doubts = self.doubts.clone();
        for operator in topology.operators() {
            if operator.role == Role::Source {
                let all = InstanceId::new(operator.id, 0)..=InstanceId::new(operator.id, u32::MAX);
                // Every partition that has ever been seen has to be.
                let is_missing = before.range(all.clone()).any(|(partition, _)| !self.sources.contains_key(partition));
                if is_missing || self.sources.range(all.clone()).next().is_none() {
                    doubts.insert(MetricIssue::SourceUnseen(operator.id));
                }
                let shrank = |(partition, after): (&InstanceId, &SourceSample)| {
                    before.get(partition).is_some_and(|before| after.due < before.due || after.emitted < before.emitted)
                };
                if self.sources.range(all).any(shrank) {
                    doubts.insert(MetricIssue::SourceImpossible(operator.id));
                }
            }
            for (_, seen) in self.instances.of(operator.id, 0) {
                if seen.useful() > seen.metrics.window * 2 {
                    doubts.insert(MetricIssue::TooBusy(seen.metrics.instance));
                }
            }
        }
        doubts.into_iter().collect()
    }

    /// Whether nothing at all was recorded for longer than `longest` at some point in the window.
    pub fn is_silent_for(&self, longest: Duration) -> bool {
        self.recorded.is_silent_for(longest)
    }

    /// How often records arrived on average: 1 without duplicates.
    pub fn times(&self) -> f64 {
        self.samples.max(1) as f64 / (self.samples - self.repeated).max(1) as f64
    }

    /// Latency of the records that reached a sink in the window, from the time they were due.
    pub fn latency(&self) -> &LatencyHistogram {
        &self.latency
    }

    /// The same, taken out of the window.
    pub fn take_latency(&mut self) -> LatencyHistogram {
        std::mem::take(&mut self.latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::OperatorId;

    #[test]
    fn time_spent_waiting_outside_is_summed_and_is_no_useful_time() {
        let id = InstanceId::new(OperatorId(1), 0);
        let activity = |kind, start_ms: u64, end_ms: u64, records_in| {
            let (start, end) = (Timestamp(start_ms * 1_000_000), Timestamp(end_ms * 1_000_000));
            Record::Activity(Activity {
                lane: Lane::Instance(id),
                kind,
                instance: id,
                epoch: Epoch(0),
                start,
                end,
                records_in,
                records_out: 0,
            })
        };
        let mut window = WindowMetrics::new(Window::starting(Timestamp::ZERO, Duration::from_secs(1)));
        for record in [
            activity(ActivityKind::Processing, 0, 100, 10),
            activity(ActivityKind::ExternalWait, 100, 400, 0),
            activity(ActivityKind::Scheduling, 400, 500, 0),
            activity(ActivityKind::ExternalWait, 500, 600, 0),
        ] {
            window.add(&record, |_| None);
        }
        let topology = Topology::new(&[("source", Role::Source, 1), ("map", Role::Stateless, 1)], &[(0, 1)]).unwrap();
        let operators = window.operators(&topology, &Configuration::ones(&topology));
        let map = &operators[1].instances[0];
        assert_eq!((map.utilisation(), map.wait_share(), map.processed), (0.1, 0.4, 10));
        // A window written before waits were summed reads back as one without waits.
        let mut older = serde_json::to_value(map).unwrap();
        older.as_object_mut().unwrap().remove("external_wait").unwrap();
        assert_eq!(serde_json::from_value::<InstanceMetrics>(older).unwrap().external_wait, Duration::ZERO);
    }

    #[test]
    fn partitions_of_a_source_are_one_source_and_each_has_to_be_seen() {
        let topology = Topology::new(&[("source", Role::Source, 2), ("map", Role::Stateless, 1)], &[(0, 1)]).unwrap();
        let part = |index| InstanceId::new(OperatorId(0), index);
        let sample = |index, ms: u64, due, emitted| Record::Source { source: part(index), at: Timestamp(ms * 1_000_000), due, emitted };
        let seen = |records: &[Record]| {
            let mut window = WindowMetrics::new(Window::starting(Timestamp::ZERO, Duration::from_secs(2)));
            records.iter().for_each(|record| window.add(record, |_| None));
            window
        };
        let first = seen(&[sample(0, 1000, 500.0, 500), sample(1, 1000, 500.0, 400)]);
        assert_eq!(first.doubts(&topology, &BTreeMap::new()), []);
        let before = first.source_samples();
        let second = seen(&[sample(1, 2000, 1000.0, 500), sample(0, 2000, 1000.0, 1000)]);
        assert_eq!(second.doubts(&topology, before), []);
        let [source] = &second.sources(before)[..] else { panic!("one source") };
        let rates = [source.offered, source.achieved].map(crate::rate::Rate::as_per_second);
        assert_eq!((rates, source.lag_records), ([1000.0, 600.0], 500.0));
        // One alone says nothing of the source, nor one whose counts shrink.
        let one = seen(&[sample(0, 2000, 1000.0, 1000)]);
        assert_eq!(one.doubts(&topology, before), [MetricIssue::SourceUnseen(OperatorId(0))]);
        let shrunk = seen(&[sample(0, 2000, 1000.0, 1000), sample(1, 2000, 1000.0, 300)]);
        assert_eq!(shrunk.doubts(&topology, before), [MetricIssue::SourceImpossible(OperatorId(0))]);
    }
}
