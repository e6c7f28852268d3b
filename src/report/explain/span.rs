//! Summary of a time span of a run, from its rows.

use serde::Serialize;

use crate::experiment::rows::{LatencyRow, TimelineRow};

/// A time span, in seconds of the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Span {
    /// Its start.
    pub from_s: f64,
    /// Its end.
    pub until_s: f64,
}

/// Summary of the rows of a span. Rates and shares are means over the span.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// The requested span. It is summarized from the rows that lie within it, or if there are none,
    /// from those that lie within it for the most part: a row in which the parallelism changed
    /// covers both.
    #[serde(flatten)]
    pub span: Span,
    /// Records per second that were due, all sources together.
    pub offered_per_s: f64,
    /// Records per second that were emitted.
    pub achieved_per_s: f64,
    /// Records due but not emitted at the end.
    pub lag_records: f64,
    /// The largest of the rows' 99th percentiles (percentiles of several rows cannot be combined);
    /// `None` if no record arrived.
    pub latency_ns_p99: Option<u64>,
    /// The scalable operators, in order.
    pub operators: Vec<OperatorSeen>,
}

/// Summary of one operator over a span.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperatorSeen {
    /// Its name.
    pub operator: String,
    /// Instances at the end.
    pub instances: u32,
    /// Mean utilisation of an instance, 0 to 1.
    pub utilisation: f64,
    /// Mean share of the time that an instance spent in external waits, 0 to 1.
    pub wait_share: f64,
    /// Records queued at the end.
    pub queue_records: u64,
    /// Mean share of the time for which an instance backpressured the sources, 0 to 1.
    pub backpressure_share: f64,
}

impl Seen {
    /// Summarizes the rows of `span`; `None` if there are none.
    pub(super) fn of(span: Span, scalable: &[String], timeline: &[TimelineRow], latency: &[LatencyRow]) -> Option<Seen> {
        const ROUNDING_S: f64 = 1e-6;
        let whole = |start: f64, end: f64| start >= span.from_s - ROUNDING_S && end <= span.until_s + ROUNDING_S;
        let mostly = |start: f64, end: f64| (span.from_s..span.until_s).contains(&((start + end) / 2.0));
        let any_whole = timeline.iter().any(|row| whole(row.window_start_s, row.window_end_s));
        let inside = |start: f64, end: f64| if any_whole { whole(start, end) } else { mostly(start, end) };
        let rows: Vec<&TimelineRow> = timeline.iter().filter(|row| inside(row.window_start_s, row.window_end_s)).collect();
        let last_end = rows.iter().map(|row| row.window_end_s).reduce(f64::max)?;
        // Rows of one operator do not overlap, so the sum of their lengths is the time they cover.
        let mean = |name: &dyn Fn(&TimelineRow) -> bool, value: &dyn Fn(&TimelineRow) -> f64| {
            let rows = rows.iter().filter(|row| name(row)).map(|row| (row.window_end_s - row.window_start_s, value(row)));
            let (length, sum) = rows.fold((0.0, 0.0), |(length, sum), (row, value)| (length + row, sum + row * value));
            if length > 0.0 { sum / length } else { 0.0 }
        };
        let mut sources: Vec<&str> = rows.iter().filter(|row| row.offered_per_s.is_some()).map(|row| row.operator.as_str()).collect();
        sources.sort_unstable();
        sources.dedup();
        let of_sources = |value: &dyn Fn(&TimelineRow) -> Option<f64>| {
            sources.iter().map(|name| mean(&|row| row.operator == *name, &|row| value(row).unwrap_or(0.0))).sum()
        };
        let operator = |name: &String| {
            let last = rows.iter().rev().find(|row| row.operator == *name)?;
            let is_it = |row: &TimelineRow| row.operator == *name;
            Some(OperatorSeen {
                operator: name.clone(),
                instances: last.parallelism,
                utilisation: mean(&is_it, &|row| row.utilisation),
                wait_share: mean(&is_it, &|row| row.wait_share),
                queue_records: last.queue_records,
                backpressure_share: mean(&is_it, &|row| row.backpressure_sum / f64::from(row.parallelism.max(1))),
            })
        };
        Some(Seen {
            span,
            offered_per_s: of_sources(&|row| row.offered_per_s),
            achieved_per_s: of_sources(&|row| row.achieved_per_s),
            lag_records: rows.iter().filter(|row| row.window_end_s == last_end).filter_map(|row| row.lag_records).sum(),
            latency_ns_p99: latency
                .iter()
                .filter(|row| inside(row.window_start_s, row.window_end_s))
                .filter_map(|row| row.latency_ns_p99)
                .max(),
            operators: scalable.iter().filter_map(operator).collect(),
        })
    }
}
