//! Measures arrivals and service times by operator, from which another configuration can be
//! simulated.
//!
//! A few runs of the arrivals in a window are kept, spread evenly over it; service times are kept
//! as mean and variation. Memory is bounded by [`RUNS`] times [`RUN`] arrivals per operator, the
//! pieces of [`Shares`], and one open batch per instance.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::shares::Shares;
use crate::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
use crate::id::{ChannelId, InstanceId, OperatorId};
use crate::time::{Epoch, Timestamp};

/// Number of runs of arrivals kept per window.
const RUNS: u64 = 8;
/// The most arrivals in a run.
const RUN: usize = 64;
/// Records that arrive within this time of each other count as one arrival: the difference does not
/// matter to any policy.
const GRAIN: Duration = Duration::from_micros(500);

/// Records that arrived at an operator at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// Time since the previous arrival in the run, in ns.
    pub gap_ns: u64,
    /// Records.
    pub records: u64,
}

/// Records sent from one operator to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputTraffic {
    /// The operator that sent them.
    pub from: OperatorId,
    /// The channel.
    pub channel: ChannelId,
    /// How many were received.
    pub records: u64,
}

/// Arrivals and service times of one operator in a window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OperatorTraffic {
    /// The operator.
    pub operator: OperatorId,
    /// Runs of consecutive arrivals, spread over the window.
    pub runs: Vec<Vec<Arrival>>,
    /// Upstream operators and channels of the arrivals.
    pub inputs: Vec<InputTraffic>,
    /// Variance of an instance's part of an arrival, relative to a random choice of instance for
    /// each record: 0 for round-robin, 1 for randomly distributed keys, more for bursts. `None` if
    /// not measured.
    pub dispersion: Option<f64>,
    /// Mean service time of a record at an instance in ns, including external waits; `None` without
    /// a record.
    pub service_ns: Option<f64>,
    /// Coefficient of variation of one record's service time; `None` if not measured.
    pub service_variation: Option<f64>,
}

/// Collects the traffic of a window.
#[derive(Clone, Debug)]
pub(super) struct TrafficMeter {
    start: Timestamp,
    length: Duration,
    /// Sender and receiver of each channel.
    channels: BTreeMap<ChannelId, (OperatorId, OperatorId)>,
    operators: Vec<Meter>,
}

/// One operator's.
#[derive(Clone, Debug, Default)]
struct Meter {
    runs: Vec<Vec<Arrival>>,
    last_at: Option<Timestamp>,
    inputs: BTreeMap<(OperatorId, ChannelId), u64>,
    shares: Shares,
    service: Service,
}

/// Service times: sums over batches, and of differences between successive batches of an instance.
#[derive(Clone, Debug, Default)]
struct Service {
    records: f64,
    ns: f64,
    /// Estimates of a single record's variance, summed, and how many.
    variance: (f64, f64),
    open: BTreeMap<u32, Batch>,
}

/// What an instance did of one epoch, and its mean time of the batch before.
#[derive(Clone, Copy, Debug)]
struct Batch {
    epoch: Epoch,
    records: u64,
    ns: u64,
    before: Option<(u64, f64)>,
}

impl TrafficMeter {
    pub(super) fn new(operators: usize, start: Timestamp, length: Duration) -> TrafficMeter {
        TrafficMeter { start, length, channels: BTreeMap::new(), operators: vec![Meter::default(); operators] }
    }

    pub(super) fn push(&mut self, record: &Record) {
        match record {
            Record::Channel { channel, source, target } => drop(self.channels.insert(*channel, (*source, *target))),
            Record::Received(message) if message.kind == MessageKind::Data => self.received(message),
            Record::Activity(activity) => self.worked(activity),
            _ => {}
        }
    }

    fn received(&mut self, message: &Message) {
        let ends = self.channels.get(&message.channel).copied();
        let (to, index) = match (message.to_lane, ends) {
            (Lane::Instance(InstanceId { operator, index }), _) => (operator, Some(index)),
            (Lane::Worker(_), Some((_, target))) => (target, None),
            (Lane::Worker(_), None) => return,
        };
        let from = match message.from_lane {
            Lane::Instance(from) => Some(from.operator),
            Lane::Worker(_) => ends.map(|(source, _)| source),
        };
        let slice = (self.length.as_nanos() as u64 / RUNS).max(1);
        let slice = (message.at.since(self.start).as_nanos() as u64 / slice).min(RUNS - 1) as usize;
        let Some(meter) = self.operators.get_mut(to.0 as usize) else { return };
        if let Some(from) = from {
            *meter.inputs.entry((from, message.channel)).or_default() += message.records;
        }
        meter.arrived(slice, message.at, message.records, index);
    }

    fn worked(&mut self, activity: &Activity) {
        let Some(meter) = self.operators.get_mut(activity.instance.operator.0 as usize) else { return };
        let ns = activity.end.since(activity.start).as_nanos() as u64;
        match activity.kind {
            ActivityKind::Processing => meter.service.add(activity.instance.index, activity.epoch, activity.records_in, ns),
            ActivityKind::ExternalWait | ActivityKind::Serialization | ActivityKind::Deserialization => {
                meter.service.add(activity.instance.index, activity.epoch, 0, ns);
            }
            _ => {}
        }
    }

    /// Closes the window at `end`; the next one lasts `length`.
    pub(super) fn close(&mut self, end: Timestamp, length: Duration) -> Vec<OperatorTraffic> {
        let traffic = (0..).map(OperatorId).zip(&mut self.operators).map(|(operator, meter)| meter.close(operator)).collect();
        (self.start, self.length) = (end, length);
        traffic
    }

    /// Discards the window and opens one at `start`.
    pub(super) fn restart(&mut self, start: Timestamp, length: Duration) {
        self.close(start, length);
        // Instances may have other shares than before.
        self.operators.iter_mut().for_each(|meter| meter.shares = Shares::default());
    }
}

impl Meter {
    fn arrived(&mut self, slice: usize, at: Timestamp, records: u64, index: Option<u32>) {
        if let Some(index) = index {
            self.shares.arrived(at, GRAIN, records, index);
        }
        if self.runs.len() <= slice {
            self.runs.resize(slice + 1, Vec::new());
            // What lies between two runs is no gap of the next one.
            self.last_at = None;
        }
        let run = &mut self.runs[slice];
        let same = self.last_at.is_some_and(|last| at.since(last) < GRAIN) && !run.is_empty();
        if !same {
            if run.len() >= RUN {
                return;
            }
            let gap_ns = self.last_at.map_or(0, |last| at.since(last).as_nanos() as u64);
            run.push(Arrival { gap_ns, records: 0 });
            self.last_at = Some(at);
        }
        if let Some(last) = run.last_mut() {
            last.records += records;
        }
    }

    fn close(&mut self, operator: OperatorId) -> OperatorTraffic {
        let Meter { runs, inputs, mut shares, service, .. } = std::mem::take(self);
        let dispersion = shares.close();
        self.shares = shares;
        // An instance's batch may continue in the next window.
        self.service.open = service.open.clone();
        let (service_ns, service_variation) = service.told();
        let inputs = inputs.into_iter().map(|((from, channel), records)| InputTraffic { from, channel, records }).collect();
        OperatorTraffic { operator, runs, inputs, dispersion, service_ns, service_variation }
    }
}

impl Service {
    fn add(&mut self, index: u32, epoch: Epoch, records: u64, ns: u64) {
        self.records += records as f64;
        self.ns += ns as f64;
        let batch = self.open.entry(index).or_insert(Batch { epoch, records: 0, ns: 0, before: None });
        if batch.epoch != epoch {
            let mean = (batch.records > 0).then(|| (batch.records, batch.ns as f64 / batch.records as f64));
            if let (Some((n, mean)), Some((before_n, before))) = (mean, batch.before) {
                // Successive batches of one instance: slow changes, and differences between
                // instances, are not variation of records.
                self.variance.0 += (mean - before).powi(2) / (1.0 / n as f64 + 1.0 / before_n as f64);
                self.variance.1 += 1.0;
            }
            *batch = Batch { epoch, records: 0, ns: 0, before: mean.or(batch.before) };
        }
        batch.records += records;
        batch.ns += ns;
    }

    /// Mean and variation of one record's time.
    fn told(&self) -> (Option<f64>, Option<f64>) {
        let mean = (self.records > 0.0).then(|| self.ns / self.records);
        let (sum, count) = self.variance;
        let variation = mean.filter(|mean| *mean > 0.0 && count >= 1.0).map(|mean| (sum / count).sqrt() / mean);
        (mean, variation)
    }
}
