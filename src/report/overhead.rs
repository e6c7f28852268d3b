//! What something costs on NEXMark's queries, a line a query.

use super::table::{UNKNOWN, latency, table};
use crate::experiment::nexmark_overhead::OverheadSummary;

/// The table: medians of pairs; of the ratio also the least and the most.
pub fn overhead_table(summaries: &[OverheadSummary]) -> String {
    let time = |ns: Option<u64>| ns.map_or(UNKNOWN.to_owned(), latency);
    let line = |summary: &OverheadSummary| {
        let [ratio, least, most] = summary.throughput_ratio;
        let millions = |rate: f64| format!("{:.2}", rate / 1e6);
        [
            summary.query.clone(),
            millions(summary.with_per_s),
            millions(summary.without_per_s),
            format!("{ratio:.2} ({least:.2} to {most:.2})"),
            time(summary.with_latency_ns_p99),
            time(summary.without_latency_ns_p99),
        ]
    };
    let (with, without) = summaries.first().map_or(("with", "without"), |first| (first.with.as_str(), first.without.as_str()));
    let header = [
        "query".to_owned(),
        format!("{with}, million events/s"),
        without.to_owned(),
        "ratio".to_owned(),
        format!("{with}, p99 of an epoch at half of {without}"),
        format!("{without}, p99"),
    ];
    table(&header.each_ref().map(String::as_str), &summaries.iter().map(line).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_query() {
        let summary = OverheadSummary { query: "q4".into(), throughput_ratio: [0.951, 0.9, 1.0], with_per_s: 2.5e6, ..Default::default() };
        let text = overhead_table(&[summary]);
        assert!(text.contains("| q4 ") && text.contains("| 2.50 ") && text.contains("| 0.95 (0.90 to 1.00) "), "{text}");
    }
}
