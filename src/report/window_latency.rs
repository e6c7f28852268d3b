//! How long the analysis of a window takes, from recorded rows, with what other programs take below.

use super::table::{UNKNOWN, latency, table};
use crate::experiment::window_latency::{Reference, WindowLatencyRow, WindowLatencySummary};

const HEADER: [&str; 6] = ["window", "windows", "records", "latency p50", "latency p99", "million records/s of one core"];

/// The table: a line a length of window. Latency is from the last record of a window to its summary.
pub fn window_latency_table(rows: &[WindowLatencyRow], references: &[Reference]) -> String {
    let time = |ns: Option<u64>| ns.map_or(UNKNOWN.to_owned(), latency);
    let line = |summary: WindowLatencySummary| {
        let (window, rate) = (format!("{} s", summary.window_s), format!("{:.2}", summary.records_per_s / 1e6));
        let (windows, records) = (summary.windows.to_string(), summary.records.to_string());
        [window, windows, records, time(summary.latency_ns_p50), time(summary.latency_ns_p99), rate]
    };
    let lines: Vec<[String; 6]> = WindowLatencySummary::of(rows).into_iter().map(line).collect();
    let mut text = table(&HEADER, &lines);
    for (position, Reference { program, window_s, records, latency_ms }) in references.iter().enumerate() {
        // A blank line ends the table in Markdown.
        text.push_str(if position == 0 { "\n- " } else { "- " });
        text.push_str(&format!("{program}: a window of {window_s} s with {records} records in {latency_ms} ms (median).\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_length_and_what_others_take() {
        let row =
            |window_s, latency_ns| WindowLatencyRow { window_s, records: 1000, intake_ns: 1, latency_ns, ..WindowLatencyRow::default() };
        let reference = Reference { program: "another".into(), window_s: 1.0, records: 10_000, latency_ms: 12.9 };
        let text = window_latency_table(&[row(2, 9_000_000), row(1, 1_000_000)], &[reference]);
        assert!(text.find("| 1 s ").unwrap() < text.find("| 2 s ").unwrap(), "{text}");
        assert!(text.contains("1.0 ms") && text.contains("\n\n- another: a window of 1 s with 10000 records in 12.9 ms"), "{text}");
    }
}
