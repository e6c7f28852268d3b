//! What elastic operators cost, a line a query.

use super::table::{UNKNOWN, latency, table};
use crate::experiment::nexmark_overhead::OverheadSummary;

const HEADER: [&str; 6] =
    ["query", "elastic, million events/s", "plain", "elastic / plain", "elastic, p99 of an epoch at half of plain", "plain, p99"];

/// The table: medians of pairs; of the ratio also the least and the most.
pub fn overhead_table(summaries: &[OverheadSummary]) -> String {
    let time = |ns: Option<u64>| ns.map_or(UNKNOWN.to_owned(), latency);
    let line = |summary: &OverheadSummary| {
        let [ratio, least, most] = summary.throughput_ratio;
        let millions = |rate: f64| format!("{:.2}", rate / 1e6);
        [
            summary.query.clone(),
            millions(summary.elastic_per_s),
            millions(summary.plain_per_s),
            format!("{ratio:.2} ({least:.2} to {most:.2})"),
            time(summary.elastic_latency_ns_p99),
            time(summary.plain_latency_ns_p99),
        ]
    };
    table(&HEADER, &summaries.iter().map(line).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_query() {
        let summary =
            OverheadSummary { query: "q4".into(), throughput_ratio: [0.951, 0.9, 1.0], elastic_per_s: 2.5e6, ..Default::default() };
        let text = overhead_table(&[summary]);
        assert!(text.contains("| q4 ") && text.contains("| 2.50 ") && text.contains("| 0.95 (0.90 to 1.00) "), "{text}");
    }
}
