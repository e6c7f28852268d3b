//! What one operator did in one window: its instances together.

use serde::{Deserialize, Serialize};

use super::{InstanceMetrics, MetricIssue};
use crate::activity::BinLoad;
use crate::id::OperatorId;
use crate::rate::Rate;

/// The instances of one operator over one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorMetrics {
    /// The operator.
    pub operator: OperatorId,
    /// One entry for each instance of the configuration, by index; idle ones included.
    pub instances: Vec<InstanceMetrics>,
    /// Load of the operator's bins over the window, by bin; bins that saw nothing and hold nothing are left out.
    pub bins: Vec<BinLoad>,
}

/// A lightly loaded instance says little about how fast it could go; below this utilisation its rate is extrapolated.
const EXTRAPOLATED_BELOW_UTILISATION: f64 = 0.1;

impl OperatorMetrics {
    /// Records processed by all instances.
    pub fn processed(&self) -> u64 {
        self.instances.iter().map(|instance| instance.processed).sum()
    }

    /// Records given out by all instances.
    pub fn produced(&self) -> u64 {
        self.instances.iter().map(|instance| instance.produced).sum()
    }

    /// Records waiting at all instances.
    pub fn queue_records(&self) -> u64 {
        self.instances.iter().map(|instance| instance.queue_records).sum()
    }

    /// Aggregated true processing rate: the sum over instances that did anything.
    // papers/ds2-osdi18.md#aggregated-rates (equation 5)
    pub fn true_processing_rate(&self) -> Option<Rate> {
        sum(self.instances.iter().filter_map(InstanceMetrics::true_processing_rate))
    }

    /// Aggregated true output rate: the sum over instances that did anything.
    // papers/ds2-osdi18.md#aggregated-rates (equation 6)
    pub fn true_output_rate(&self) -> Option<Rate> {
        sum(self.instances.iter().filter_map(InstanceMetrics::true_output_rate))
    }

    /// Instances with useful time in the window: those the aggregated rates are sums of.
    pub fn measured_instances(&self) -> usize {
        self.instances.iter().filter(|instance| !instance.useful.is_zero()).count()
    }

    /// Records given out per record processed; nothing when none was processed.
    pub fn selectivity(&self) -> Option<f64> {
        (self.processed() > 0).then(|| self.produced() as f64 / self.processed() as f64)
    }

    /// Mean utilisation of the instances, 0 to 1.
    pub fn utilisation(&self) -> f64 {
        self.instances.iter().map(InstanceMetrics::utilisation).sum::<f64>() / self.instances.len().max(1) as f64
    }

    /// Mean share of the window that the instances spent waiting for something outside, 0 to 1.
    pub fn wait_share(&self) -> f64 {
        self.instances.iter().map(InstanceMetrics::wait_share).sum::<f64>() / self.instances.len().max(1) as f64
    }

    /// Sum over instances of the share of the window in which sources were paused for them; 0 to the parallelism.
    pub fn backpressure_sum(&self) -> f64 {
        self.instances.iter().map(InstanceMetrics::backpressure_share).sum()
    }

    /// Instances that were busy for more than can be.
    pub fn too_busy(&self) -> impl Iterator<Item = MetricIssue> {
        self.instances
            .iter()
            .filter(|instance| instance.useful > instance.window * 2)
            .map(|instance| MetricIssue::TooBusy(instance.instance))
    }

    /// Whether the true rates were taken from so little work that they are an extrapolation.
    pub fn is_extrapolated(&self) -> bool {
        self.utilisation() < EXTRAPOLATED_BELOW_UTILISATION
    }
}

fn sum(rates: impl Iterator<Item = Rate>) -> Option<Rate> {
    rates.map(Rate::as_per_second).reduce(|a, b| a + b).map(Rate::per_second)
}
