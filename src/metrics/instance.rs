//! Metrics of one instance over one window.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::InstanceId;
use crate::rate::Rate;

/// Sums over one window for one instance, and the rates derived from them.
///
/// DS2's terms: *true* rates are per useful time, *observed* rates per elapsed time
/// (`papers/ds2-osdi18.md#true-rate`, `papers/ds2-osdi18.md#observed-rate`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceMetrics {
    /// The instance.
    pub instance: InstanceId,
    /// Length of the window.
    pub window: Duration,
    /// Time spent on deserialization, processing and serialization, without waiting. An activity
    /// belongs to the window in which it ends, so this may exceed the window by one batch.
    pub useful: Duration,
    /// Time spent in external waits, during which the instance could do nothing else; not part of
    /// `useful`. Like useful time, a wait belongs to the window in which it ends.
    #[serde(default)]
    pub external_wait: Duration,
    /// Records processed.
    pub processed: u64,
    /// Records emitted.
    pub produced: u64,
    /// Records that arrived at the instance.
    pub arrivals: u64,
    /// Records queued at the last sample.
    pub queue_records: u64,
    /// The longest queue among the samples.
    pub queue_max_records: u64,
    /// Slope of the queue length over the samples, in records per second; `None` with fewer than
    /// two samples.
    pub queue_slope: Option<f64>,
    /// Time for which the sources were paused because of this instance.
    pub backpressure: Duration,
}

impl InstanceMetrics {
    /// An instance without any activity in a window of this length.
    pub fn idle(instance: InstanceId, window: Duration) -> Self {
        InstanceMetrics {
            instance,
            window,
            useful: Duration::ZERO,
            external_wait: Duration::ZERO,
            processed: 0,
            produced: 0,
            arrivals: 0,
            queue_records: 0,
            queue_max_records: 0,
            queue_slope: None,
            backpressure: Duration::ZERO,
        }
    }

    /// True processing rate: records processed per useful second; `None` without useful time.
    // papers/ds2-osdi18.md#true-rate (equation 1)
    pub fn true_processing_rate(&self) -> Option<Rate> {
        Rate::of(self.processed as f64, self.useful)
    }

    /// True output rate: records emitted per useful second; `None` without useful time.
    // papers/ds2-osdi18.md#true-rate (equation 2)
    pub fn true_output_rate(&self) -> Option<Rate> {
        Rate::of(self.produced as f64, self.useful)
    }

    /// Observed processing rate: records processed per elapsed second.
    // papers/ds2-osdi18.md#observed-rate (equation 3)
    pub fn observed_processing_rate(&self) -> Option<Rate> {
        Rate::of(self.processed as f64, self.window)
    }

    /// Busy time: useful time and external waits, during which the instance could do nothing else.
    ///
    /// This is what a system measures that does not distinguish a blocking call from work: DS2's
    /// useful time includes all of processing, Flink's busy time everything that is neither idle
    /// nor backpressured.
    // papers/ds2-osdi18.md#true-rate, papers/flink-autoscaler.md#true-rate
    pub fn busy(&self) -> Duration {
        self.useful + self.external_wait
    }

    /// Useful share of the window, 0 to 1.
    pub fn utilisation(&self) -> f64 {
        share(self.useful, self.window)
    }

    /// Share of the window spent in external waits, 0 to 1.
    pub fn wait_share(&self) -> f64 {
        share(self.external_wait, self.window)
    }

    /// Share of the window in which the sources were paused because of this instance, 0 to 1.
    pub fn backpressure_share(&self) -> f64 {
        share(self.backpressure, self.window)
    }
}

fn share(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 0.0 } else { (part.as_secs_f64() / whole.as_secs_f64()).min(1.0) }
}
