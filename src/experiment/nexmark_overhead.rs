//! What elastic operators cost while nothing migrates: NEXMark's queries of them against the same in plain timely.
//!
//! Runs of the two forms alternate, so that what else happens on the machine hits both. A pair gives a ratio, and the median of the ratios
//! counts. First the throughput of each pair, as fast as epochs complete; then, at half of the plain form's median throughput, how long
//! an epoch takes from when its last event is due.

use serde::{Deserialize, Serialize};

use super::definition::Scale;
use super::environment::Environment;
use super::migration::ScaledCount;
use crate::engine::RunError;
use crate::engine::nexmark::{Form, Load, Loaded, Query};
use crate::rate::Rate;
use crate::stats::median;

/// An experiment, as its file defines it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverheadDefinition {
    /// Name of the figure.
    pub figure: String,
    /// Title of the figure.
    pub title: String,
    /// Worker threads.
    pub workers: u32,
    /// Bins of each elastic operator with state; a power of two.
    pub bins: u32,
    /// Events that a query reads in a second of event time.
    pub event_rate: Rate,
    /// Milliseconds of event time in an epoch.
    pub tick_ms: u64,
    /// By what window lengths are divided.
    pub dilation: f64,
    /// Events of a run.
    pub events: ScaledCount,
    /// Pairs of runs.
    pub pairs: ScaledCount,
    /// The queries.
    pub queries: Vec<Query>,
    /// What is expected.
    #[serde(default)]
    pub expect: Vec<OverheadExpectation>,
}

/// What is expected of some queries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverheadExpectation {
    /// These; all when missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queries: Vec<Query>,
    /// Least throughput of the elastic form, as a part of the plain form's, in the median.
    pub least_throughput_ratio: f64,
}

/// A pair of runs; `nexmark_overhead.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OverheadRow {
    /// The experiment.
    pub experiment: String,
    /// The query.
    pub query: String,
    /// Events due per second; missing where they were sent as fast as epochs completed.
    pub due_per_s: Option<f64>,
    /// Events per second of the elastic form.
    pub elastic_per_s: f64,
    /// Events per second of the plain form.
    pub plain_per_s: f64,
    /// The 99th percentile of an epoch's latency, of the elastic form.
    pub elastic_latency_ns_p99: Option<u64>,
    /// The same of the plain form.
    pub plain_latency_ns_p99: Option<u64>,
    /// Worker threads.
    pub workers: u32,
    /// Bins of each elastic operator with state.
    pub bins: u32,
    /// Size of the run.
    pub scale: String,
    /// Seed of the events.
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

/// A query: an entry of the JSON that `reproduce` prints, and a line of the table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OverheadSummary {
    /// The query.
    pub query: String,
    /// Pairs of runs that were as fast as they could be.
    pub pairs: usize,
    /// Throughput of the elastic form over that of the plain form: median, smallest and largest of the pairs.
    pub throughput_ratio: [f64; 3],
    /// Median events per second of the elastic form.
    pub elastic_per_s: f64,
    /// Median events per second of the plain form.
    pub plain_per_s: f64,
    /// Median of the elastic form's 99th percentile of latency at half of the plain form's throughput.
    pub elastic_latency_ns_p99: Option<u64>,
    /// The same of the plain form.
    pub plain_latency_ns_p99: Option<u64>,
}

impl OverheadDefinition {
    /// Measures `query`; `show` is called after each pair with all rows of the query so far.
    ///
    /// # Errors
    /// When threads cannot be started, or one panics.
    pub fn measure(
        &self,
        query: Query,
        scale: Scale,
        seed: u64,
        environment: &Environment,
        mut show: impl FnMut(&[OverheadRow]),
    ) -> Result<Vec<OverheadRow>, RunError> {
        let mut rows = Vec::new();
        let pairs = self.pairs.at(scale);
        for pair in 0..pairs {
            rows.push(self.pair(query, scale, seed + pair, None, environment)?);
            show(&rows);
        }
        let half = median(rows.iter().map(|row: &OverheadRow| row.plain_per_s / 2.0));
        for pair in 0..pairs {
            rows.push(self.pair(query, scale, seed + pair, half, environment)?);
            show(&rows);
        }
        Ok(rows)
    }

    fn pair(&self, query: Query, scale: Scale, seed: u64, due: Option<f64>, environment: &Environment) -> Result<OverheadRow, RunError> {
        let load = |form| Load {
            query,
            form,
            workers: self.workers,
            bins: self.bins,
            events: self.events.at(scale),
            event_rate: self.event_rate,
            tick_ms: self.tick_ms,
            dilation: self.dilation,
            seed,
            due: due.map(Rate::per_second),
        };
        let (elastic, plain): (Loaded, Loaded) = (load(Form::Elastic).run()?, load(Form::Plain).run()?);
        // As fast as epochs complete says nothing of latency.
        let p99 = |loaded: &Loaded| due.and_then(|_| loaded.quantile(0.99));
        let environment = environment.clone();
        Ok(OverheadRow {
            experiment: self.figure.clone(),
            query: query.to_string(),
            due_per_s: due,
            elastic_per_s: elastic.events_per_s,
            plain_per_s: plain.events_per_s,
            elastic_latency_ns_p99: p99(&elastic),
            plain_latency_ns_p99: p99(&plain),
            workers: self.workers,
            bins: self.bins,
            scale: scale.to_string(),
            seed,
            revision: environment.revision,
            machine: environment.machine,
            command: environment.command,
            started_utc: environment.started_utc,
        })
    }

    /// What `summary` shows otherwise than expected, a sentence each.
    pub fn violations(&self, summary: &OverheadSummary) -> Vec<String> {
        let concerns = |expected: &&OverheadExpectation| {
            expected.queries.is_empty() || expected.queries.iter().any(|query| query.to_string() == summary.query)
        };
        let [ratio, ..] = summary.throughput_ratio;
        let violated = self.expect.iter().filter(concerns).filter(|expected| ratio < expected.least_throughput_ratio);
        let sentence = |expected: &OverheadExpectation| {
            let (query, least) = (&summary.query, expected.least_throughput_ratio);
            format!("{query}: expected at least {least} of plain timely's throughput, found {ratio:.3}")
        };
        violated.map(sentence).collect()
    }
}

impl OverheadSummary {
    /// A summary a query, in the order of the rows.
    pub fn of(rows: &[OverheadRow]) -> Vec<OverheadSummary> {
        let same = rows.chunk_by(|one, next| one.query == next.query);
        same.map(|rows| {
            let fast = || rows.iter().filter(|row| row.due_per_s.is_none());
            let ratios = || fast().map(|row| row.elastic_per_s / row.plain_per_s);
            let latency = |of: fn(&OverheadRow) -> Option<u64>| median(rows.iter().filter_map(of).map(|ns| ns as f64));
            OverheadSummary {
                query: rows[0].query.clone(),
                pairs: fast().count(),
                throughput_ratio: [median(ratios()), ratios().reduce(f64::min), ratios().reduce(f64::max)].map(Option::unwrap_or_default),
                elastic_per_s: median(fast().map(|row| row.elastic_per_s)).unwrap_or_default(),
                plain_per_s: median(fast().map(|row| row.plain_per_s)).unwrap_or_default(),
                elastic_latency_ns_p99: latency(|row| row.elastic_latency_ns_p99).map(|ns| ns as u64),
                plain_latency_ns_p99: latency(|row| row.plain_latency_ns_p99).map(|ns| ns as u64),
            }
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_pairs_counts() {
        let row = |query: &str, due_per_s, elastic_per_s, plain_per_s, ns| OverheadRow {
            query: query.to_owned(),
            due_per_s,
            elastic_per_s,
            plain_per_s,
            elastic_latency_ns_p99: ns,
            plain_latency_ns_p99: ns.map(|ns| ns / 2),
            ..OverheadRow::default()
        };
        let rows = [
            row("q1", None, 90.0, 100.0, None),
            row("q1", None, 80.0, 100.0, None),
            row("q1", None, 200.0, 200.0, None),
            row("q1", Some(50.0), 50.0, 50.0, Some(4000)),
            row("q2", None, 1.0, 2.0, None),
        ];
        let summaries = OverheadSummary::of(&rows);
        assert_eq!((summaries[0].pairs, summaries[0].throughput_ratio, summaries[0].elastic_per_s), (3, [0.9, 0.8, 1.0], 90.0));
        assert_eq!((summaries[0].elastic_latency_ns_p99, summaries[0].plain_latency_ns_p99), (Some(4000), Some(2000)));
        let text = include_str!("../../experiments/definitions/nexmark-overhead.toml");
        let definition: OverheadDefinition = toml::from_str(text).unwrap();
        assert_eq!(definition.violations(&summaries[0]), Vec::<String>::new());
        assert_eq!(definition.violations(&summaries[1]), ["q2: expected at least 0.9 of plain timely's throughput, found 0.500"]);
    }

    #[test]
    fn a_small_pair_is_measured() {
        let text = include_str!("../../experiments/definitions/nexmark-overhead.toml");
        let mut definition: OverheadDefinition = toml::from_str(text).unwrap();
        definition.events = ScaledCount { quick: 20_000, full: 20_000 };
        definition.pairs = ScaledCount { quick: 1, full: 1 };
        for query in [Query::Q2, Query::Q4] {
            let rows = definition.measure(query, Scale::Quick, 1, &Environment::here(), |_| {}).unwrap();
            assert!(rows.len() == 2 && rows.iter().all(|row| row.elastic_per_s > 0.0 && row.plain_per_s > 0.0), "{rows:?}");
            assert!(rows[1].due_per_s.is_some() && rows[1].elastic_latency_ns_p99 > Some(0), "{rows:?}");
        }
    }
}
