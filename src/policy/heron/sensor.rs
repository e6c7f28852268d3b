//! Sensors: backpressure, buffer size and execute count of every instance over the sensor window.
//!
//! Receives one observation per checkpoint; returns a reading of each scalable operator ("bolt").
//! Invariant: all kept checkpoints have the same configuration. Heron keeps those from before a
//! rescale; its instances are restarted, so the full queue of a former index 0 would be compared
//! with new instances and look like a straggler. Here the window restarts with each configuration.

use std::collections::VecDeque;
use std::time::Duration;

use crate::dataflow::{Configuration, Topology};
use crate::id::{InstanceId, OperatorId};
use crate::observation::Observation;
use crate::time::{Timestamp, Window};

/// One instance over the sensor window.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceReading {
    /// The instance.
    pub instance: InstanceId,
    /// Milliseconds per second, 0 to 1000, in which the sources were paused because of it, over the
    /// window.
    pub backpressure_ms_per_s: f64,
    /// The same over the latest checkpoint only.
    pub latest_backpressure_ms_per_s: f64,
    /// Records processed per checkpoint, mean over the window.
    pub executed: f64,
    /// Records queued at the end of each checkpoint of the window: (seconds, records), oldest
    /// first.
    pub buffers: Vec<(f64, f64)>,
}

impl InstanceReading {
    /// Records queued, mean over the window.
    pub fn buffer_records(&self) -> f64 {
        self.buffers.iter().map(|(_, records)| records).sum::<f64>() / self.buffers.len().max(1) as f64
    }
}

/// One scalable operator over the sensor window.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentReading {
    /// The operator.
    pub operator: OperatorId,
    /// Its instances, by index.
    pub instances: Vec<InstanceReading>,
}

impl ComponentReading {
    /// Sum over instances of the latest checkpoint's backpressure, in milliseconds per second.
    pub fn latest_backpressure_ms_per_s(&self) -> f64 {
        self.instances.iter().map(|instance| instance.latest_backpressure_ms_per_s).sum()
    }
}

/// One instance in one checkpoint.
#[derive(Clone, Copy, Debug)]
struct Checkpoint {
    backpressure: Duration,
    queue_records: u64,
    processed: u64,
}

/// The checkpoints of the last sensor window.
#[derive(Clone, Debug)]
pub struct Sensors {
    window: Duration,
    configuration: Configuration,
    operators: Vec<OperatorId>,
    /// By checkpoint, by operator in the order of `operators`, by instance.
    checkpoints: VecDeque<(Window, Vec<Vec<Checkpoint>>)>,
}

impl Sensors {
    /// Sensors that average over `window`.
    pub fn new(window: Duration) -> Sensors {
        Sensors { window, configuration: Configuration::default(), operators: Vec::new(), checkpoints: VecDeque::new() }
    }

    /// Adds a checkpoint and discards those that started more than the window before its end.
    pub fn push(&mut self, observation: &Observation, topology: &Topology) {
        if self.configuration != observation.configuration {
            self.checkpoints.clear();
            self.configuration = observation.configuration.clone();
            self.operators = topology.scalable().map(|operator| operator.id).collect();
        }
        let checkpoint = |&operator: &OperatorId| {
            // Instances that are no longer in the configuration come last and are ignored.
            let present = &observation.operator(operator).instances[..observation.configuration.parallelism(operator) as usize];
            let of = |metrics: &crate::metrics::InstanceMetrics| Checkpoint {
                backpressure: metrics.backpressure,
                queue_records: metrics.queue_records,
                processed: metrics.processed,
            };
            present.iter().map(of).collect()
        };
        self.checkpoints.push_back((observation.window, self.operators.iter().map(checkpoint).collect()));
        let oldest: Timestamp = observation.window.end - self.window - observation.window.length() / 100;
        while self.checkpoints.len() > 1 && self.checkpoints.front().is_some_and(|(window, _)| window.start < oldest) {
            self.checkpoints.pop_front();
        }
    }

    /// The current readings; empty before the first checkpoint.
    ///
    /// Heron divides backpressure by the length of the window even while the window is filling;
    /// here it is divided by the time that the kept checkpoints cover, which is the same once the
    /// window is full.
    // papers/dhalion-vldb17.md#heron-sensors
    pub fn read(&self) -> Vec<ComponentReading> {
        let Some((newest, _)) = self.checkpoints.back() else { return Vec::new() };
        let covered: Duration = self.checkpoints.iter().map(|(window, _)| window.length()).sum();
        let reading = |(position, &operator): (usize, &OperatorId)| {
            let instance = |index: u32| {
                let series = || self.checkpoints.iter().map(|(window, operators)| (window, operators[position][index as usize]));
                let latest = series().next_back().expect("there is a newest checkpoint").1;
                InstanceReading {
                    instance: InstanceId::new(operator, index),
                    backpressure_ms_per_s: ms_per_s(series().map(|(_, checkpoint)| checkpoint.backpressure).sum(), covered),
                    latest_backpressure_ms_per_s: ms_per_s(latest.backpressure, newest.length()),
                    executed: series().map(|(_, checkpoint)| checkpoint.processed as f64).sum::<f64>() / self.checkpoints.len() as f64,
                    buffers: series().map(|(window, checkpoint)| (window.end.as_secs_f64(), checkpoint.queue_records as f64)).collect(),
                }
            };
            ComponentReading { operator, instances: (0..self.configuration.parallelism(operator)).map(instance).collect() }
        };
        self.operators.iter().enumerate().map(reading).collect()
    }
}

/// Milliseconds per second, at most 1000; 0 over no time.
fn ms_per_s(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 0.0 } else { (part.as_secs_f64() / whole.as_secs_f64() * 1e3).min(1e3) }
}
