//! What migrations did to latency and memory, from summed up rows, with what the paper reports below.

use super::table::{UNKNOWN, latency, pair, table};
use crate::experiment::migration::{Chart, MigrationSummary, PaperPoint};

const MOVES: [&str; 8] =
    ["setting", "strategy", "moved", "steps", "duration", "max, usual / during", "added (least to most)", "memory before / peak / after"];
const PERCENTILES: [&str; 7] = ["setting", "runs", "p50", "p90", "p99", "p99.99", "max"];

/// The table: a line a setting and strategy.
pub fn migration_table(chart: Chart, summaries: &[MigrationSummary]) -> String {
    let mut text = match chart {
        Chart::Percentiles => table(&PERCENTILES, &summaries.iter().map(percentiles).collect::<Vec<_>>()),
        Chart::Timeline | Chart::Duration | Chart::Memory => table(&MOVES, &summaries.iter().map(moves).collect::<Vec<_>>()),
    };
    let mut notes: Vec<String> = Vec::new();
    for point in summaries.iter().flat_map(|summary| &summary.paper) {
        let note = paper(point);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    for (position, note) in notes.iter().enumerate() {
        // A blank line ends the table in Markdown.
        text.push_str(if position == 0 { "\n- " } else { "- " });
        text.push_str(note);
        text.push('\n');
    }
    let (wrong, dropped) = summaries.iter().fold((0, 0), |sum, one| (sum.0 + one.records_wrong, sum.1 + one.dropped_records));
    let runs: u64 = summaries.iter().map(|summary| summary.runs).sum();
    text.push_str(&format!(
        "\n{runs} runs; results that are not those of a sequential count: {wrong}; activity records dropped: {dropped}.\n"
    ));
    text
}

fn time(ns: Option<u64>) -> String {
    ns.map_or(UNKNOWN.to_owned(), latency)
}

/// A difference of latencies, with its sign.
fn signed(ns: i64) -> String {
    format!("{}{:.1} ms", if ns < 0 { "-" } else { "+" }, ns.unsigned_abs() as f64 / 1e6)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Of all processes together.
fn memory(summary: &MigrationSummary) -> String {
    match (summary.memory_before_bytes, summary.memory_peak_bytes, summary.memory_after_bytes) {
        (Some(before), Some(peak), Some(after)) => format!("{} / {} / {}", megabytes(before), megabytes(peak), megabytes(after)),
        _ => UNKNOWN.to_owned(),
    }
}

fn moves(summary: &MigrationSummary) -> [String; 8] {
    let added = summary.added_ns.map_or(UNKNOWN.to_owned(), |added| match summary.added_ns_range {
        Some((least, most)) if summary.runs > 1 => format!("{} ({} to {})", signed(added), signed(least), signed(most)),
        _ => signed(added),
    });
    [
        summary.setting.clone(),
        summary.strategy.clone(),
        // What a query knows is not counted.
        if summary.moved_keys > 0 {
            format!("{:.1} M keys", summary.moved_keys as f64 / 1e6)
        } else {
            format!("{} bins", summary.moved_bins)
        },
        summary.steps.to_string(),
        time(summary.duration_ns),
        pair(summary.usual_ns_max.map(latency), summary.migration_ns_max.map(latency)),
        added,
        memory(summary),
    ]
}

fn percentiles(summary: &MigrationSummary) -> [String; 7] {
    let MigrationSummary { overall_ns_p50, overall_ns_p90, overall_ns_p99, overall_ns_p9999, overall_ns_max, .. } = *summary;
    let runs = summary.runs.to_string();
    let all = [overall_ns_p50, overall_ns_p90, overall_ns_p99, overall_ns_p9999, overall_ns_max];
    // Settings differ by hundredths of a millisecond.
    let [p50, p90, p99, p9999, max] = all.map(|ns| ns.map_or(UNKNOWN.to_owned(), |ns| format!("{:.2} ms", ns as f64 / 1e6)));
    [summary.setting.clone(), runs, p50, p90, p99, p9999, max]
}

/// What a paper reports, in a sentence.
fn paper(point: &PaperPoint) -> String {
    let beside = [&point.setting, &point.strategy].into_iter().flatten().cloned().collect::<Vec<_>>().join(", ");
    let numbers =
        [("p90", point.ms_p90), ("p99", point.ms_p99), ("p99.99", point.ms_p9999), ("max", point.ms_max), ("duration", point.duration_ms)];
    let numbers = numbers.into_iter().filter_map(|(name, ms)| Some(format!("{name} {} ms", ms?)));
    let said: Vec<String> = numbers.chain((!point.claim.is_empty()).then(|| point.claim.clone())).collect();
    let beside = if beside.is_empty() { String::new() } else { format!("{beside}: ") };
    format!("{beside}{} ({})", said.join(", "), point.source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_setting_and_strategy_and_the_paper_below() {
        let point = PaperPoint { ms_p90: Some(1.64), claim: "flat".into(), source: "figure 13".into(), ..PaperPoint::default() };
        let summary = MigrationSummary {
            setting: "2^4 bins".into(),
            strategy: "fluid".into(),
            runs: 3,
            usual_ns_max: Some(1_500_000),
            migration_ns_max: Some(2_000_000),
            added_ns: Some(500_000),
            added_ns_range: Some((-250_000, 900_000)),
            paper: vec![point.clone(), point],
            ..MigrationSummary::default()
        };
        let text = migration_table(Chart::Duration, std::slice::from_ref(&summary));
        assert!(text.contains("| 1.5 ms / 2.0 ms ") && text.contains("+0.5 ms (-0.2 ms to +0.9 ms)"), "{text}");
        assert_eq!(text.matches("- p90 1.64 ms, flat (figure 13)").count(), 1, "{text}");
        assert!(migration_table(Chart::Percentiles, &[summary]).contains("| p99.99 |"));
    }
}
