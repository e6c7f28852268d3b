//! What something costs, on NEXMark's queries while nothing migrates: elastic operators against plain timely, or recording against none.
//!
//! Runs with it and without it alternate, so that what else happens on the machine hits both. A pair gives a ratio, and the median of the ratios
//! counts. First the throughput of each pair, as fast as epochs complete; then, at half of the median throughput without it, how long
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
    /// What is there in one run of a pair, and not in the other.
    pub cost_of: CostOf,
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

/// What may cost something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CostOf {
    /// Elastic operators, against plain timely.
    Elasticity,
    /// Recording what elastic operators do, against the same without a record.
    Recording,
}

impl CostOf {
    /// What runs with it and without it are called.
    pub fn names(self) -> [&'static str; 2] {
        match self {
            CostOf::Elasticity => ["elastic", "plain timely"],
            CostOf::Recording => ["recorded", "not recorded"],
        }
    }

    /// Form and recording of runs with it and without it.
    fn runs(self) -> [(Form, bool); 2] {
        match self {
            CostOf::Elasticity => [(Form::Elastic, false), (Form::Plain, false)],
            CostOf::Recording => [(Form::Elastic, true), (Form::Elastic, false)],
        }
    }
}

/// What is expected of some queries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverheadExpectation {
    /// These; all when missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queries: Vec<Query>,
    /// Least throughput with it, as a part of that without it, in the median.
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
    /// The run with what may cost something: `elastic`, or `recorded`.
    pub with: String,
    /// The run without it: `plain timely`, or `not recorded`.
    pub without: String,
    /// Events per second with it.
    pub with_per_s: f64,
    /// Events per second without it.
    pub without_per_s: f64,
    /// The 99th percentile of an epoch's latency with it.
    pub with_latency_ns_p99: Option<u64>,
    /// The same without it.
    pub without_latency_ns_p99: Option<u64>,
    /// Activity records that were taken off the workers.
    pub records: u64,
    /// Activity records that did not fit and were dropped.
    pub dropped_records: u64,
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
    /// The run with what may cost something.
    pub with: String,
    /// The run without it.
    pub without: String,
    /// Activity records that did not fit and were dropped, in all runs together: none, if recording is what is measured.
    pub dropped_records: u64,
    /// Pairs of runs that were as fast as they could be.
    pub pairs: usize,
    /// Throughput with it over that without it: median, smallest and largest of the pairs.
    pub throughput_ratio: [f64; 3],
    /// Median events per second with it.
    pub with_per_s: f64,
    /// Median events per second without it.
    pub without_per_s: f64,
    /// Median of the 99th percentiles of latency with it, at half of the throughput without it.
    pub with_latency_ns_p99: Option<u64>,
    /// The same without it.
    pub without_latency_ns_p99: Option<u64>,
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
        let half = median(rows.iter().map(|row: &OverheadRow| row.without_per_s / 2.0));
        for pair in 0..pairs {
            rows.push(self.pair(query, scale, seed + pair, half, environment)?);
            show(&rows);
        }
        Ok(rows)
    }

    fn pair(&self, query: Query, scale: Scale, seed: u64, due: Option<f64>, environment: &Environment) -> Result<OverheadRow, RunError> {
        let load = |(form, recorded)| Load {
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
            recorded,
        };
        let [with, without] = self.cost_of.runs();
        let (with, without): (Loaded, Loaded) = (load(with).run()?, load(without).run()?);
        // As fast as epochs complete says nothing of latency.
        let p99 = |loaded: &Loaded| due.and_then(|_| loaded.quantile(0.99));
        let environment = environment.clone();
        let [with_name, without_name] = self.cost_of.names().map(str::to_owned);
        Ok(OverheadRow {
            experiment: self.figure.clone(),
            query: query.to_string(),
            due_per_s: due,
            with: with_name,
            without: without_name,
            with_per_s: with.events_per_s,
            without_per_s: without.events_per_s,
            with_latency_ns_p99: p99(&with),
            without_latency_ns_p99: p99(&without),
            records: with.records,
            dropped_records: with.dropped_records,
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
        if summary.dropped_records > 0 {
            return vec![format!(
                "{}: expected every activity record to be taken, found {} dropped",
                summary.query, summary.dropped_records
            )];
        }
        let [ratio, ..] = summary.throughput_ratio;
        let violated = self.expect.iter().filter(concerns).filter(|expected| ratio < expected.least_throughput_ratio);
        let sentence = |expected: &OverheadExpectation| {
            let (query, least, [with, without]) = (&summary.query, expected.least_throughput_ratio, self.cost_of.names());
            format!("{query}: expected at least {least} of the throughput, {with} over {without}, found {ratio:.3}")
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
            let ratios = || fast().map(|row| row.with_per_s / row.without_per_s);
            let latency = |of: fn(&OverheadRow) -> Option<u64>| median(rows.iter().filter_map(of).map(|ns| ns as f64));
            OverheadSummary {
                query: rows[0].query.clone(),
                with: rows[0].with.clone(),
                without: rows[0].without.clone(),
                dropped_records: rows.iter().map(|row| row.dropped_records).sum(),
                pairs: fast().count(),
                throughput_ratio: [median(ratios()), ratios().reduce(f64::min), ratios().reduce(f64::max)].map(Option::unwrap_or_default),
                with_per_s: median(fast().map(|row| row.with_per_s)).unwrap_or_default(),
                without_per_s: median(fast().map(|row| row.without_per_s)).unwrap_or_default(),
                with_latency_ns_p99: latency(|row| row.with_latency_ns_p99).map(|ns| ns as u64),
                without_latency_ns_p99: latency(|row| row.without_latency_ns_p99).map(|ns| ns as u64),
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
        let row = |query: &str, due_per_s, with_per_s, without_per_s, ns| OverheadRow {
            query: query.to_owned(),
            due_per_s,
            with_per_s,
            without_per_s,
            with_latency_ns_p99: ns,
            without_latency_ns_p99: ns.map(|ns| ns / 2),
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
        assert_eq!((summaries[0].pairs, summaries[0].throughput_ratio, summaries[0].with_per_s), (3, [0.9, 0.8, 1.0], 90.0));
        assert_eq!((summaries[0].with_latency_ns_p99, summaries[0].without_latency_ns_p99), (Some(4000), Some(2000)));
        let text = include_str!("../../experiments/definitions/nexmark-overhead.toml");
        let definition: OverheadDefinition = toml::from_str(text).unwrap();
        assert_eq!(definition.violations(&summaries[0]), Vec::<String>::new());
        assert_eq!(
            definition.violations(&summaries[1]),
            ["q2: expected at least 0.9 of the throughput, elastic over plain timely, found 0.500"]
        );
    }

    #[test]
    fn a_small_pair_is_measured() {
        let text = include_str!("../../experiments/definitions/nexmark-overhead.toml");
        let mut definition: OverheadDefinition = toml::from_str(text).unwrap();
        definition.events = ScaledCount { quick: 20_000, full: 20_000 };
        definition.pairs = ScaledCount { quick: 1, full: 1 };
        for (query, cost_of) in [(Query::Q2, CostOf::Elasticity), (Query::Q4, CostOf::Elasticity), (Query::Q4, CostOf::Recording)] {
            definition.cost_of = cost_of;
            let rows = definition.measure(query, Scale::Quick, 1, &Environment::here(), |_| {}).unwrap();
            assert!(rows.len() == 2 && rows.iter().all(|row| row.with_per_s > 0.0 && row.without_per_s > 0.0), "{rows:?}");
            assert_eq!(rows[1].records > 0, cost_of == CostOf::Recording, "{rows:?}");
            assert!(rows[1].due_per_s.is_some() && rows[1].with_latency_ns_p99 > Some(0), "{rows:?}");
        }
    }
}
