//! The evaluation period: averages over the last windows for Dhalion's symptom detectors.
//!
//! Receives observations of consecutive windows and returns each scalable operator's averages over
//! the last evaluation period. Invariants: all kept windows have the same configuration, so an
//! instance's average is that of one instance; memory is bounded by the period. Follows the paper
//! (metrics are evaluated over 300 s).

use std::collections::VecDeque;
use std::time::Duration;

use crate::dataflow::{Configuration, Topology};
use crate::id::OperatorId;
use crate::observation::Observation;
use crate::time::Timestamp;

/// One instance over a window or over the period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct InstanceStatus {
    /// Share of time in which the sources were paused because of it, 0 to 1; 0 if it is within the
    /// noise.
    pub backpressure: f64,
    /// Records queued.
    pub pending: f64,
    /// Records processed per second ("execute count").
    pub executed: f64,
}

/// One scalable operator over the period.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentStatus {
    /// The operator.
    pub operator: OperatorId,
    /// Its instances by index, averaged over the period.
    pub instances: Vec<InstanceStatus>,
    /// Sum of the instances' backpressure shares in the latest window only.
    pub latest_backpressure: f64,
}

impl ComponentStatus {
    /// Number of instances.
    pub fn parallelism(&self) -> u32 {
        self.instances.len() as u32
    }

    /// Sum of the instances' backpressure shares, 0 to the parallelism.
    pub fn backpressure(&self) -> f64 {
        self.instances.iter().map(|instance| instance.backpressure).sum()
    }

    /// Records processed per second by all instances.
    pub fn executed(&self) -> f64 {
        self.instances.iter().map(|instance| instance.executed).sum()
    }
}

/// Whether a window has the configuration of the kept ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// It has the same configuration, or nothing was kept.
    Kept,
    /// It has another configuration: what was kept has been discarded.
    Broken,
}

/// The windows of the last evaluation period.
#[derive(Clone, Debug)]
pub struct Period {
    length: Duration,
    noise_share: f64,
    configuration: Configuration,
    windows: VecDeque<(Timestamp, Vec<ComponentStatus>)>,
}

impl Period {
    /// A period of this length; backpressure shares of at most `noise_share` count as 0.
    // papers/dhalion-vldb17.md#noise
    pub fn new(length: Duration, noise_share: f64) -> Period {
        Period { length, noise_share, configuration: Configuration::default(), windows: VecDeque::new() }
    }

    /// Adds a window and discards those that started more than the period before its end.
    pub fn push(&mut self, observation: &Observation, topology: &Topology) -> Continuity {
        let mut continuity = Continuity::Kept;
        if self.configuration != observation.configuration {
            if !self.windows.is_empty() {
                continuity = Continuity::Broken;
            }
            self.windows.clear();
            self.configuration = observation.configuration.clone();
        }
        let components = topology.scalable().map(|operator| self.window(observation, operator.id)).collect();
        self.windows.push_back((observation.window.start, components));
        // With a tolerance of a hundredth of a window: lengths are multiples of each other only up
        // to rounding.
        let oldest = observation.window.end - self.length - observation.window.length() / 100;
        while self.windows.front().is_some_and(|(start, _)| *start < oldest) && self.windows.len() > 1 {
            self.windows.pop_front();
        }
        continuity
    }

    /// Discards all windows.
    pub fn clear(&mut self) {
        self.windows.clear();
    }

    fn window(&self, observation: &Observation, operator: OperatorId) -> ComponentStatus {
        // Instances that are no longer in the configuration come last and are ignored.
        let present = observation.configuration.parallelism(operator) as usize;
        let instances: Vec<InstanceStatus> = observation.operator(operator).instances[..present]
            .iter()
            .map(|metrics| InstanceStatus {
                backpressure: metrics.backpressure_share(),
                pending: metrics.queue_records as f64,
                executed: metrics.observed_processing_rate().map_or(0.0, |rate| rate.as_per_second()),
            })
            .collect();
        let latest_backpressure = instances.iter().map(|instance| instance.backpressure).filter(|share| *share > self.noise_share).sum();
        ComponentStatus { operator, instances, latest_backpressure }
    }

    /// Every scalable operator averaged over the kept windows, in topological order; empty without
    /// windows.
    // papers/dhalion-vldb17.md#evaluation-period
    pub fn components(&self) -> Vec<ComponentStatus> {
        let Some((_, latest)) = self.windows.back() else { return Vec::new() };
        let mut sums = latest.clone();
        for (_, window) in self.windows.iter().rev().skip(1) {
            for (sum, more) in sums.iter_mut().zip(window) {
                for (sum, more) in sum.instances.iter_mut().zip(&more.instances) {
                    sum.backpressure += more.backpressure;
                    sum.pending += more.pending;
                    sum.executed += more.executed;
                }
            }
        }
        let count = self.windows.len() as f64;
        for instance in sums.iter_mut().flat_map(|component| &mut component.instances) {
            let backpressure = instance.backpressure / count;
            instance.backpressure = if backpressure > self.noise_share { backpressure } else { 0.0 };
            instance.pending /= count;
            instance.executed /= count;
        }
        sums
    }
}
