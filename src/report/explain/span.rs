//! A span of a run as its rows tell it.

use serde::Serialize;

use crate::experiment::rows::{LatencyRow, TimelineRow};

/// A span of time, in seconds of the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Span {
    /// Its start.
    pub from_s: f64,
    /// Its end.
    pub until_s: f64,
}

/// What the rows of a span say. Rates and shares are means over the span.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// The span asked for. Rows that lie in it tell of it, or where none does those that do for the greater part: a row in which the number of
    /// instances changed tells of both.
    #[serde(flatten)]
    pub span: Span,
    /// Records per second that were due, all sources together.
    pub offered_per_s: f64,
    /// Records per second that were emitted.
    pub achieved_per_s: f64,
    /// Records due but not emitted at the end.
    pub lag_records: f64,
    /// The largest of the rows' 99th percentiles; percentiles of several rows cannot be put together. Nothing if no record arrived.
    pub latency_ns_p99: Option<u64>,
    /// Operators that may be rescaled, in order.
    pub operators: Vec<OperatorSeen>,
}

/// What the rows of a span say of one operator.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperatorSeen {
    /// Its name.
    pub operator: String,
    /// Instances at the end.
    pub instances: u32,
    /// Mean utilisation of an instance, 0 to 1.
    pub utilisation: f64,
    /// Mean share of the time that an instance waited for something outside, 0 to 1.
    pub wait_share: f64,
    /// Records waiting at the end.
    pub queue_records: u64,
    /// Part of the time for which an instance made the sources pause, on average, 0 to 1.
    pub backpressure_share: f64,
}

impl Seen {
    /// What rows say of `span`; nothing if there is none in it.
    pub(super) fn of(span: Span, scalable: &[String], timeline: &[TimelineRow], latency: &[LatencyRow]) -> Option<Seen> {
        const ROUNDING_S: f64 = 1e-6;
        let whole = |start: f64, end: f64| start >= span.from_s - ROUNDING_S && end <= span.until_s + ROUNDING_S;
        let mostly = |start: f64, end: f64| (span.from_s..span.until_s).contains(&((start + end) / 2.0));
        let any_whole = timeline.iter().any(|row| whole(row.window_start_s, row.window_end_s));
        let inside = |start: f64, end: f64| if any_whole { whole(start, end) } else { mostly(start, end) };
        let rows: Vec<&TimelineRow> = timeline.iter().filter(|row| inside(row.window_start_s, row.window_end_s)).collect();
        let last_end = rows.iter().map(|row| row.window_end_s).reduce(f64::max)?;
        // Rows of one operator follow each other, so that their lengths together are the length of what they cover.
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
