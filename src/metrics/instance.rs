//! What one instance did in one window.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::InstanceId;
use crate::rate::Rate;

/// Sums over one window for one instance, and the rates that follow from them.
///
/// DS2's naming: *true* rates are per useful time, *observed* rates per elapsed time
/// (`papers/ds2-osdi18.md#true-rate`, `papers/ds2-osdi18.md#observed-rate`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceMetrics {
    /// The instance.
    pub instance: InstanceId,
    /// Length of the window.
    pub window: Duration,
    /// Time spent on deserialisation, processing and serialisation; waiting excluded. An activity belongs to the window in
    /// which it ends, so this may exceed the window by one batch.
    pub useful: Duration,
    /// Time spent waiting for something outside, during which the instance could do nothing else; no part of `useful`. As for useful
    /// time, a wait belongs to the window in which it ends.
    #[serde(default)]
    pub external_wait: Duration,
    /// Records processed.
    pub processed: u64,
    /// Records given out.
    pub produced: u64,
    /// Records that arrived at the instance.
    pub arrivals: u64,
    /// Records waiting at the last sample.
    pub queue_records: u64,
    /// Largest queue among the samples.
    pub queue_max_records: u64,
    /// Slope of the queue over the samples, in records per second; nothing with fewer than two samples.
    pub queue_slope: Option<f64>,
    /// Time in which sources were paused for this instance.
    pub backpressure: Duration,
}

impl InstanceMetrics {
    /// An instance that did nothing in a window of this length.
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

    /// True processing rate, records processed per useful second; nothing without useful time.
    // papers/ds2-osdi18.md#true-rate (equation 1)
    pub fn true_processing_rate(&self) -> Option<Rate> {
        Rate::of(self.processed as f64, self.useful)
    }

    /// True output rate, records given out per useful second; nothing without useful time.
    // papers/ds2-osdi18.md#true-rate (equation 2)
    pub fn true_output_rate(&self) -> Option<Rate> {
        Rate::of(self.produced as f64, self.useful)
    }

    /// Observed processing rate, records processed per elapsed second.
    // papers/ds2-osdi18.md#observed-rate (equation 3)
    pub fn observed_processing_rate(&self) -> Option<Rate> {
        Rate::of(self.processed as f64, self.window)
    }

    /// Time for which records occupied the instance: useful time, and waits for something outside, during which it could do nothing else.
    ///
    /// It is what a system sees that does not tell a blocking call from work: DS2's useful time includes all of processing, Flink's busy
    /// time all that is neither idle nor held back.
    // papers/ds2-osdi18.md#true-rate, papers/flink-autoscaler.md#true-rate
    pub fn busy(&self) -> Duration {
        self.useful + self.external_wait
    }

    /// Useful share of the window, 0 to 1.
    pub fn utilisation(&self) -> f64 {
        share(self.useful, self.window)
    }

    /// Share of the window spent waiting for something outside, 0 to 1.
    pub fn wait_share(&self) -> f64 {
        share(self.external_wait, self.window)
    }

    /// Share of the window in which sources were paused for this instance, 0 to 1.
    pub fn backpressure_share(&self) -> f64 {
        share(self.backpressure, self.window)
    }
}

fn share(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 0.0 } else { (part.as_secs_f64() / whole.as_secs_f64()).min(1.0) }
}
