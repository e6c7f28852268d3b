//! What something costs, on NEXMark's queries while nothing migrates: elastic operators against
//! plain timely, or recording against none.
//!
//! Runs with it and without it alternate, so that what else happens on the machine hits both. A
//! pair gives a ratio, and the median of the ratios counts. First the throughput of each pair, as
//! fast as epochs complete; then, at half of the median throughput without it, how long an epoch
//! takes from when its last event is due.

use serde::{Deserialize, Serialize};

use super::frame::{Row, row, text};
use super::scale::{Scale, Scaled};
use super::study::{Ask, At, Host, Measured, Progress, Study, Trial};
use crate::engine::RunError;
use crate::engine::nexmark::{Form, Load, Loaded, Query};
use crate::rate::Rate;
use crate::stats::median;

/// An experiment, as its file defines it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverheadDefinition {
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
    pub events: Scaled<u64>,
    /// Pairs of runs.
    pub pairs: Scaled<u64>,
    /// The queries.
    pub queries: Vec<Query>,
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

/// Nothing dropped, if recording is what is measured.
const CHECKS: &str = r#"
[[check]]
column = "dropped_records"
at_most = 0
"#;

impl OverheadDefinition {
    fn pair(&self, query: Query, scale: Scale, seed: u64, due: Option<f64>) -> Result<Row, RunError> {
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
        Ok(row([
            ("seed", &seed),
            ("due_per_s", &due),
            ("without", &self.cost_of.names()[1]),
            ("with_per_s", &with.events_per_s),
            ("without_per_s", &without.events_per_s),
            ("with_latency_ns_p99", &p99(&with)),
            ("without_latency_ns_p99", &p99(&without)),
            ("records", &with.records),
            ("dropped_records", &with.dropped_records),
            ("workers", &self.workers),
            ("bins", &self.bins),
        ]))
    }
}

impl Study for OverheadDefinition {
    /// The variant is what may cost something: `elastic`, or `recorded`.
    ///
    /// - `due_per_s`: events due per second; missing where they were sent as fast as epochs
    ///   completed
    /// - `without`: the run without it: `plain timely`, or `not recorded`
    /// - `with_per_s`, `without_per_s`: events per second
    /// - `with_latency_ns_p99`, `without_latency_ns_p99`: the 99th percentile of an epoch's latency
    /// - `records`, `dropped_records`: activity records that were taken off the workers, and that
    ///   did not fit
    /// - `workers`, `bins`: worker threads, and bins of each elastic operator with state
    fn columns(&self) -> Vec<&'static str> {
        let rates = ["due_per_s", "without", "with_per_s", "without_per_s", "with_latency_ns_p99", "without_latency_ns_p99"];
        rates.into_iter().chain(["records", "dropped_records", "workers", "bins"]).collect()
    }

    fn trials(&self, ask: &Ask) -> Vec<Trial> {
        let pairs = self.pairs.at(ask.scale);
        let trial = |query: &Query, seed| Trial {
            case: query.to_string(),
            start: String::new(),
            variant: self.cost_of.names()[0].to_owned(),
            host: Host::Engine,
            seed,
        };
        // A trial has as many seeds as pairs.
        let seeds = || ask.seeds_from(0, pairs).step_by(pairs.max(1) as usize);
        self.queries.iter().flat_map(|query| seeds().map(move |seed| trial(query, seed))).collect()
    }

    fn run(&self, trial: &Trial, at: At<'_>, progress: &dyn Progress) -> anyhow::Result<Measured> {
        let query = *self.queries.iter().find(|query| query.to_string() == trial.case).expect("trials are of the study");
        let mut rows = Vec::new();
        let pairs = self.pairs.at(at.scale);
        let rate = |row: &Row, column| text(row, column).parse::<f64>().unwrap_or_default();
        let show = |rows: &[Row]| {
            let last = rows.last().expect("a pair was measured");
            let (part, ratio) = (rate(last, "with_per_s") / rate(last, "without_per_s"), rows.len() as f64 / (2 * pairs) as f64);
            let [with, without] = self.cost_of.names();
            progress.part(trial, ratio, &format!("{query}: {part:.2} of the events/s, {with} over {without}"));
        };
        for pair in 0..pairs {
            rows.push(self.pair(query, at.scale, trial.seed + pair, None)?);
            show(&rows);
        }
        let half = median(rows.iter().map(|row| rate(row, "without_per_s") / 2.0));
        for pair in 0..pairs {
            rows.push(self.pair(query, at.scale, trial.seed + pair, half)?);
            show(&rows);
        }
        Ok(Measured { rows, series: Vec::new() })
    }

    fn checks(&self) -> &'static str {
        CHECKS
    }

    fn tables(&self) -> &'static [&'static str] {
        &["throughput"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::environment::Environment;

    #[test]
    fn a_small_pair_is_measured() {
        let mut definition = OverheadDefinition {
            cost_of: CostOf::Elasticity,
            workers: 2,
            bins: 256,
            event_rate: "4M/s".parse().unwrap(),
            tick_ms: 10,
            dilation: 400.0,
            events: Scaled::always(20_000),
            pairs: Scaled::always(1),
            queries: vec![Query::Q2, Query::Q4],
        };
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment::default();
        let at = At { figure: "small", scale: Scale::Quick, folder: folder.path(), environment: &environment };
        for (query, cost_of) in [(0, CostOf::Elasticity), (1, CostOf::Elasticity), (1, CostOf::Recording)] {
            definition.cost_of = cost_of;
            let trial = &definition.trials(&Ask { first_seed: 1, ..Ask::default() })[query];
            let rows = definition.run(trial, at, &()).unwrap().rows;
            let number = |row: &Row, column: &str| text(row, column).parse::<f64>().unwrap_or_default();
            let fast = |row: &Row| number(row, "with_per_s") > 0.0 && number(row, "without_per_s") > 0.0;
            assert!(rows.len() == 2 && rows.iter().all(fast), "{rows:?}");
            assert_eq!(number(&rows[1], "records") > 0.0, cost_of == CostOf::Recording, "{rows:?}");
            assert!(number(&rows[1], "due_per_s") > 0.0 && number(&rows[1], "with_latency_ns_p99") > 0.0, "{rows:?}");
        }
    }
}
