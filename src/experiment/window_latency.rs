//! How long the analysis of a window takes, by the length of the window: SnailTrail's table 2.
//!
//! A synthetic log is analysed record by record. Of each window two times are kept: what its records took to be taken in, and what
//! it took from the last of them to the summary. The second is what somebody waits for; both together must stay below the
//! window's length, or an analysis online falls behind.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::definition::Scale;
use super::environment::Environment;
use crate::critical_path::WindowSummary;
use crate::engine::Clock;
use crate::pag::{GraphBuilder, GraphConfig};
use crate::sim::ExchangeLog;
use crate::stats::{LatencyHistogram, median};
use crate::time::Timestamp;

/// An experiment, as its file defines it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowLatencyDefinition {
    /// Name of the figure.
    pub figure: String,
    /// Title of the figure.
    pub title: String,
    /// Lengths of windows in seconds.
    pub windows_s: Vec<u32>,
    /// Windows measured at each length, at least.
    pub least_windows: LeastWindows,
    /// What other programs take.
    #[serde(default)]
    pub reference: Vec<Reference>,
    /// What is expected.
    #[serde(default)]
    pub expect: Vec<WindowLatencyExpectation>,
}

/// Windows by scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeastWindows {
    /// For [`Scale::Quick`].
    pub quick: u32,
    /// For [`Scale::Full`].
    pub full: u32,
}

/// What another program takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The program, and who measured it where.
    pub program: String,
    /// Length of the window in seconds.
    pub window_s: f64,
    /// Records in it.
    pub records: u64,
    /// Median time of analysis in milliseconds.
    pub latency_ms: f64,
}

/// What is expected of every length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowLatencyExpectation {
    /// Most share of the window's length that taking in and analysing it takes in the median, on one core. Far above what is measured, so that
    /// no slow machine fails it; an analysis that does not keep up does.
    pub most_share_of_real_time: f64,
}

/// One window; `window_latency.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowLatencyRow {
    /// The experiment.
    pub experiment: String,
    /// Length of the window in seconds.
    pub window_s: u32,
    /// Start of the window.
    pub window_start_s: f64,
    /// Records of the log in it.
    pub records: u64,
    /// Time to take its records in.
    pub intake_ns: u64,
    /// Time from its last record to its summary.
    pub latency_ns: u64,
    /// Sum of all participations of the window.
    pub participation_sum: f64,
    /// Logarithm to the base 2 of the number of paths.
    pub log2_paths: Option<f64>,
    /// Where the log comes from.
    pub host: String,
    /// Size of the run.
    pub scale: String,
    /// Seed of the log.
    pub seed: u64,
    /// Revision of the program.
    pub revision: String,
    /// The machine.
    pub machine: String,
    /// The command line.
    pub command: String,
    /// When the command began.
    pub started_utc: String,
}

/// One length of window: an entry of the JSON that `reproduce` prints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowLatencySummary {
    /// Length of the window in seconds.
    pub window_s: u32,
    /// Windows measured.
    pub windows: u64,
    /// Records of a window, in the mean.
    pub records: u64,
    /// Median time from the last record of a window to its summary.
    pub latency_ns_p50: Option<u64>,
    /// The 99th percentile of it.
    pub latency_ns_p99: Option<u64>,
    /// Records taken in and analysed per second of one core, in the median window.
    pub records_per_s: f64,
    /// Median of intake and analysis together as a share of the window's length.
    pub share_of_real_time: f64,
    /// Largest difference of a window's sum of participations from 1.
    pub participation_sum_error: f64,
}

impl WindowLatencyDefinition {
    /// Measures windows of `window_s` seconds; `show` is called with each row.
    pub fn measure(
        &self,
        window_s: u32,
        scale: Scale,
        seed: u64,
        environment: &Environment,
        mut show: impl FnMut(&WindowLatencyRow),
    ) -> Vec<WindowLatencyRow> {
        let windows = match scale {
            Scale::Quick => self.least_windows.quick,
            Scale::Full => self.least_windows.full,
        };
        // The first window warms the caches up and is not kept; the last one is never complete.
        let exchange_log = ExchangeLog { seed, ..ExchangeLog::thirty_thousand_a_second(window_s * (windows + 2)) };
        let (clock, length) = (Clock::start(), Duration::from_secs(u64::from(window_s)));
        // A window is closed as soon as it is over: what a lane waits for beyond it is not looked for.
        let mut builder = GraphBuilder::new(GraphConfig { lookahead: Duration::ZERO, ..GraphConfig::new(length) });
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rows = Vec::new();
        let (mut block, mut records, mut intake) = (Vec::new(), 0, Duration::ZERO);
        for record in exchange_log.records() {
            block.push(record);
            // A round's worth at a time, as a recorder hands over; making the log is not measured.
            if block.len() < 128 {
                continue;
            }
            let begun = clock.now();
            block.drain(..).for_each(|record| {
                records += 1;
                builder.push(&record);
            });
            let taken = clock.now();
            intake += taken.since(begun);
            let known = builder.known();
            if let Some(graph) = builder.close(known) {
                let summary = WindowSummary::of(&graph, || random.f64());
                let latency = clock.now().since(taken);
                builder.recycle(graph);
                rows.push(WindowLatencyRow {
                    window_start_s: summary.window.start.as_secs_f64(),
                    records,
                    intake_ns: intake.as_nanos() as u64,
                    latency_ns: latency.as_nanos() as u64,
                    participation_sum: summary.participation_sum,
                    log2_paths: summary.log2_paths,
                    ..self.row(window_s, scale, seed, environment)
                });
                show(rows.last().expect("just pushed"));
                (records, intake) = (0, Duration::ZERO);
            }
        }
        rows.into_iter().skip(1).take(windows as usize).collect()
    }

    /// A row without measurements.
    fn row(&self, window_s: u32, scale: Scale, seed: u64, environment: &Environment) -> WindowLatencyRow {
        WindowLatencyRow {
            experiment: self.figure.clone(),
            window_s,
            host: "synthetic".to_owned(),
            scale: scale.to_string(),
            seed,
            revision: environment.revision.clone(),
            machine: environment.machine.clone(),
            command: environment.command.clone(),
            started_utc: environment.started_utc.clone(),
            ..WindowLatencyRow::default()
        }
    }

    /// What was expected of `summary` and is not so.
    pub fn violations(&self, summary: &WindowLatencySummary) -> Vec<String> {
        let mut violations = Vec::new();
        let WindowLatencySummary { window_s, windows, participation_sum_error: error, share_of_real_time: share, .. } = summary;
        if *windows == 0 || *error > 1e-9 {
            violations
                .push(format!("{window_s} s: expected windows whose participations sum to 1, found {windows} with an error of {error:e}"));
        }
        for expected in self.expect.iter().filter(|expected| *share > expected.most_share_of_real_time) {
            let most = expected.most_share_of_real_time;
            violations.push(format!("{window_s} s: expected at most {most} of the window's length for its analysis, found {share:.3}"));
        }
        violations
    }
}

impl WindowLatencySummary {
    /// Sums up the rows of each length, in order of length.
    pub fn of(rows: &[WindowLatencyRow]) -> Vec<WindowLatencySummary> {
        let mut lengths: Vec<u32> = rows.iter().map(|row| row.window_s).collect();
        lengths.sort_unstable();
        lengths.dedup();
        lengths.into_iter().map(|length| WindowLatencySummary::of_length(length, rows)).collect()
    }

    fn of_length(window_s: u32, rows: &[WindowLatencyRow]) -> WindowLatencySummary {
        let rows: Vec<&WindowLatencyRow> = rows.iter().filter(|row| row.window_s == window_s).collect();
        let mut latency = LatencyHistogram::default();
        rows.iter().for_each(|row| latency.record(Duration::from_nanos(row.latency_ns), 1));
        let records = rows.iter().map(|row| row.records).sum::<u64>() / (rows.len() as u64).max(1);
        let work_s = median(rows.iter().map(|row| (row.latency_ns + row.intake_ns) as f64 / 1e9)).unwrap_or_default();
        WindowLatencySummary {
            window_s,
            windows: rows.len() as u64,
            records,
            latency_ns_p50: median(rows.iter().map(|row| row.latency_ns as f64)).map(|ns| ns.round() as u64),
            latency_ns_p99: latency.quantile(0.99).map(|latency| latency.as_nanos() as u64),
            records_per_s: records as f64 / work_s.max(1e-9),
            share_of_real_time: work_s / Timestamp::from_secs_f64(f64::from(window_s)).as_secs_f64(),
            participation_sum_error: rows.iter().map(|row| (row.participation_sum - 1.0).abs()).fold(0.0, f64::max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_every_length_are_measured_and_summed_up() {
        let text = include_str!("../../experiments/definitions/snailtrail-table2.toml");
        let definition = WindowLatencyDefinition { windows_s: vec![1], ..toml::from_str(text).unwrap() };
        let rows = definition.measure(1, Scale::Quick, 3, &Environment::default(), |_| {});
        let summaries = WindowLatencySummary::of(&rows);
        assert_eq!((summaries.len(), summaries[0].windows), (1, 5));
        assert!((29_000..31_000).contains(&summaries[0].records), "{summaries:?}");
        assert!(summaries[0].participation_sum_error < 1e-9 && summaries[0].latency_ns_p50 > Some(0));
        // Nothing of this depends on how fast the machine is.
        let slow = WindowLatencySummary { share_of_real_time: 0.5, ..summaries[0].clone() };
        assert!(definition.violations(&slow)[0].contains("found 0.500"));
        let wrong = WindowLatencySummary { participation_sum_error: 0.1, share_of_real_time: 0.0, ..slow };
        assert!(definition.violations(&wrong)[0].contains("error of 1e-1"));
    }
}
