//! The rows of a run's instances: one for each instance and kept window.
//!
//! There are far more of them than of operators, so a run keeps a bounded number: beyond that every
//! second window is dropped and from then on only as many are added, so that what is kept is spread
//! evenly over the run. Each row has its own window, so a reader sees what is missing.

use serde::{Deserialize, Serialize};

use crate::dataflow::Topology;
use crate::metrics::InstanceMetrics;
use crate::observation::Observation;

/// Rows of a run at most, unless a single window has more.
const MOST_ROWS: usize = 8_000;
/// A configuration with more instances has no rows.
const MOST_INSTANCES: usize = 1_000;

/// One instance over one window; `instances.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InstanceRow {
    /// Start of the window.
    pub window_start_s: f64,
    /// End of the window.
    pub window_end_s: f64,
    /// Name of the operator.
    pub operator: String,
    /// Index of the instance, from 0.
    pub instance: u32,
    /// The worker that hosts it, where the configuration says so.
    pub worker: Option<u32>,
    /// Useful share of the window, 0 to 1.
    pub utilisation: f64,
    /// Share of the window spent in external waits, 0 to 1.
    pub wait_share: f64,
    /// Share of the window in which sources were paused because of it, 0 to 1.
    pub backpressure_share: f64,
    /// Observed processing rate.
    pub processed_per_s: f64,
    /// True processing rate: records per useful second; empty without useful time.
    pub true_processing_per_s: Option<f64>,
    /// Records waiting at the end of the window.
    pub queue_records: u64,
}

impl InstanceRow {
    /// The rows of a window, by operator and instance; none if the configuration has more than a
    /// thousand instances.
    ///
    /// # Panics
    /// If the observation is of another topology.
    pub fn of(topology: &Topology, observation: &Observation) -> Vec<InstanceRow> {
        let all: usize = observation.operators.iter().map(|operator| operator.instances.len()).sum();
        if all > MOST_INSTANCES {
            return Vec::new();
        }
        let placement = observation.configuration.placement();
        let row = |metrics: &InstanceMetrics| InstanceRow {
            window_start_s: observation.window.start.as_secs_f64(),
            window_end_s: observation.window.end.as_secs_f64(),
            operator: topology.operator(metrics.instance.operator).name.clone(),
            instance: metrics.instance.index,
            worker: placement.and_then(|placement| placement.worker(metrics.instance)).map(|worker| worker.0),
            utilisation: metrics.utilisation(),
            wait_share: metrics.wait_share(),
            backpressure_share: metrics.backpressure_share(),
            processed_per_s: metrics.observed_processing_rate().map_or(0.0, |rate| rate.as_per_second()),
            true_processing_per_s: metrics.true_processing_rate().map(|rate| rate.as_per_second()),
            queue_records: metrics.queue_records,
        };
        observation.operators.iter().flat_map(|operator| operator.instances.iter().map(row)).collect()
    }
}

/// The instances of a run, a bounded number of rows.
#[derive(Clone, Debug)]
pub struct KeptInstances {
    /// Windows that are kept, with their numbers.
    windows: Vec<(u64, Vec<InstanceRow>)>,
    rows: usize,
    seen: u64,
    every: u64,
}

impl Default for KeptInstances {
    fn default() -> KeptInstances {
        KeptInstances { windows: Vec::new(), rows: 0, seen: 0, every: 1 }
    }
}

impl KeptInstances {
    /// Whether the next window would be kept.
    pub fn wants(&self) -> bool {
        self.seen.is_multiple_of(self.every)
    }

    /// Takes the next window; `rows` is only called if it is kept.
    pub fn window(&mut self, rows: impl FnOnce() -> Vec<InstanceRow>) {
        if self.wants() {
            let rows = rows();
            self.rows += rows.len();
            self.windows.push((self.seen, rows));
        }
        self.seen += 1;
        while self.rows > MOST_ROWS && self.windows.len() > 1 {
            self.every *= 2;
            let every = self.every;
            self.windows.retain(|(number, _)| number.is_multiple_of(every));
            self.rows = self.windows.iter().map(|(_, rows)| rows.len()).sum();
        }
    }

    /// The rows, in order of time.
    pub fn rows(self) -> Vec<InstanceRow> {
        self.windows.into_iter().flat_map(|(_, rows)| rows).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_rows_is_bounded_and_what_is_kept_is_spread_evenly() {
        let mut kept = KeptInstances::default();
        for window in 0..50_000u32 {
            kept.window(|| {
                (0..3).map(|instance| InstanceRow { window_start_s: window.into(), instance, ..InstanceRow::default() }).collect()
            });
        }
        let rows = kept.rows();
        assert!(rows.len() > MOST_ROWS / 3 && rows.len() <= MOST_ROWS, "{}", rows.len());
        let starts: Vec<f64> = rows.iter().filter(|row| row.instance == 0).map(|row| row.window_start_s).collect();
        let step = starts[1] - starts[0];
        assert!(step >= 8.0 && starts.windows(2).all(|pair| pair[1] - pair[0] == step), "{step}");
        assert_eq!(starts[0], 0.0);
        assert!(*starts.last().unwrap() > 50_000.0 - 2.0 * step);
    }

    #[test]
    fn a_window_of_many_instances_is_kept_alone() {
        let mut kept = KeptInstances::default();
        for _ in 0..100 {
            kept.window(|| vec![InstanceRow::default(); MOST_ROWS + 1]);
        }
        assert_eq!(kept.rows().len(), MOST_ROWS + 1);
    }
}
