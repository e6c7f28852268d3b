//! Metrics of one operator over one window: all its instances together.

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
    /// Load of the operator's bins over the window, by bin; bins without arrivals and without state
    /// are omitted.
    pub bins: Vec<BinLoad>,
}

/// Below this utilisation a true rate counts as extrapolated: a lightly loaded instance says little
/// about its capacity.
const EXTRAPOLATED_BELOW_UTILISATION: f64 = 0.1;

impl OperatorMetrics {
    /// Records processed by all instances.
    pub fn processed(&self) -> u64 {
        self.instances.iter().map(|instance| instance.processed).sum()
    }

    /// Records emitted by all instances.
    pub fn produced(&self) -> u64 {
        self.instances.iter().map(|instance| instance.produced).sum()
    }

    /// Records queued at all instances.
    pub fn queue_records(&self) -> u64 {
        self.instances.iter().map(|instance| instance.queue_records).sum()
    }

    /// Aggregated true processing rate: the sum over instances with useful time.
    // papers/ds2-osdi18.md#aggregated-rates (equation 5)
    pub fn true_processing_rate(&self) -> Option<Rate> {
        sum(self.instances.iter().filter_map(InstanceMetrics::true_processing_rate))
    }

    /// Aggregated true output rate: the sum over instances with useful time.
    // papers/ds2-osdi18.md#aggregated-rates (equation 6)
    pub fn true_output_rate(&self) -> Option<Rate> {
        sum(self.instances.iter().filter_map(InstanceMetrics::true_output_rate))
    }

    /// Number of instances with useful time in the window, over which the aggregated rates are
    /// sums.
    pub fn measured_instances(&self) -> usize {
        self.instances.iter().filter(|instance| !instance.useful.is_zero()).count()
    }

    /// Selectivity: records emitted per record processed; `None` if none was processed.
    pub fn selectivity(&self) -> Option<f64> {
        (self.processed() > 0).then(|| self.produced() as f64 / self.processed() as f64)
    }

    /// Mean utilisation of the instances, 0 to 1.
    pub fn utilisation(&self) -> f64 {
        self.instances.iter().map(InstanceMetrics::utilisation).sum::<f64>() / self.instances.len().max(1) as f64
    }

    /// Mean share of the window that the instances spent in external waits, 0 to 1.
    pub fn wait_share(&self) -> f64 {
        self.instances.iter().map(InstanceMetrics::wait_share).sum::<f64>() / self.instances.len().max(1) as f64
    }

    /// Sum over instances of the share of the window in which the sources were paused because of
    /// them; 0 to the parallelism.
    pub fn backpressure_sum(&self) -> f64 {
        self.instances.iter().map(InstanceMetrics::backpressure_share).sum()
    }

    /// Instances with more busy time than is possible.
    pub fn too_busy(&self) -> impl Iterator<Item = MetricIssue> {
        self.instances
            .iter()
            .filter(|instance| instance.useful > instance.window * 2)
            .map(|instance| MetricIssue::TooBusy(instance.instance))
    }

    /// Whether the true rates are extrapolated from very little work.
    pub fn is_extrapolated(&self) -> bool {
        self.utilisation() < EXTRAPOLATED_BELOW_UTILISATION
    }
}

fn sum(rates: impl Iterator<Item = Rate>) -> Option<Rate> {
    rates.map(Rate::as_per_second).reduce(|a, b| a + b).map(Rate::per_second)
}
