//! Corrects a window with missing or duplicated records to estimate the complete window.
//!
//! Every sum over the window is scaled; queue lengths and samples of sources' counters are not
//! sums. Ratios of sums, such as true rates and selectivities, do not change.

use std::time::Duration;

use super::{InstanceMetrics, OperatorMetrics};
use crate::activity::BinLoad;

/// The factors by which the sums of a window are off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mend {
    /// Share of the window that was observed, above 0 and at most 1.
    pub seen: f64,
    /// How often its records arrived, at least 1. Queue samples count once.
    pub times: f64,
}

impl Mend {
    /// Percentage of the records that arrived.
    pub fn percent(&self) -> u32 {
        (self.seen * self.times * 100.0).round() as u32
    }

    /// The operator with sums estimated for the whole window.
    pub fn operator(&self, operator: OperatorMetrics) -> OperatorMetrics {
        let records = |count: u64| self.records(count, self.times);
        let bin = |load: BinLoad| BinLoad { arrivals: records(load.arrivals), useful: self.time(load.useful), ..load };
        OperatorMetrics {
            operator: operator.operator,
            instances: operator.instances.into_iter().map(|instance| self.instance(instance)).collect(),
            bins: operator.bins.into_iter().map(bin).collect(),
        }
    }

    fn instance(&self, instance: InstanceMetrics) -> InstanceMetrics {
        InstanceMetrics {
            useful: self.time(instance.useful),
            external_wait: self.time(instance.external_wait),
            processed: self.records(instance.processed, self.times),
            produced: self.records(instance.produced, self.times),
            arrivals: self.records(instance.arrivals, 1.0),
            // A span is clipped to the window, so it cannot be longer than it.
            backpressure: self.time(instance.backpressure).min(instance.window),
            ..instance
        }
    }

    fn records(&self, count: u64, times: f64) -> u64 {
        (count as f64 / (self.seen * times)).round() as u64
    }

    fn time(&self, time: Duration) -> Duration {
        time.div_f64(self.seen * self.times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BinId, InstanceId, OperatorId};

    #[test]
    fn sums_are_scaled_and_ratios_stay() {
        let window = Duration::from_secs(2);
        let half = InstanceMetrics {
            useful: Duration::from_millis(800),
            processed: 400,
            produced: 100,
            arrivals: 250,
            queue_records: 9,
            backpressure: Duration::from_millis(1500),
            ..InstanceMetrics::idle(InstanceId::new(OperatorId(1), 0), window)
        };
        let load = BinLoad { bin: BinId(3), arrivals: 40, useful: Duration::from_millis(10), keys: 7, bytes: 70 };
        let operator = OperatorMetrics { operator: OperatorId(1), instances: vec![half.clone()], bins: vec![load] };
        let mended = Mend { seen: 0.5, times: 1.0 }.operator(operator.clone());
        let expected = InstanceMetrics {
            useful: Duration::from_millis(1600),
            processed: 800,
            produced: 200,
            arrivals: 500,
            backpressure: window,
            ..half.clone()
        };
        assert_eq!(mended.instances, [expected]);
        assert_eq!(mended.bins, [BinLoad { arrivals: 80, useful: Duration::from_millis(20), ..load }]);
        assert_eq!((mended.selectivity(), mended.true_processing_rate()), (operator.selectivity(), operator.true_processing_rate()));
        // Duplicated queue samples have been removed already.
        let doubled = Mend { seen: 1.0, times: 2.0 };
        assert_eq!((doubled.instance(half).processed, doubled.percent()), (200, 200));
    }
}
