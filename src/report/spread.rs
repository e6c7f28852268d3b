//! How runs of one policy differ: medians, with the least and the most.

use super::table::{UNKNOWN, latency, pair, seconds, table};
use crate::experiment::rows::{PaperRow, RunRow};
use crate::policy::registry;
use crate::stats::median;

const HEADER: [&str; 9] = [
    "policy",
    "runs",
    "actions paper / ours",
    "final paper / ours",
    "time to converge paper / ours, in the paper's time",
    "achieved / offered",
    "latency p50",
    "latency p99",
    "lost + duplicated",
];

/// The table: a line a policy, with the median of its runs and, where they differ, the least and the most in brackets.
///
/// `time_compression` is how many of the paper's seconds one of ours stands for. Failed runs count as runs and have no values.
pub fn spread(rows: &[RunRow], paper: &[PaperRow], time_compression: f64) -> String {
    let mut policies: Vec<&str> = Vec::new();
    for row in rows {
        if !policies.contains(&row.policy.as_str()) {
            policies.push(&row.policy);
        }
    }
    policies.sort_by_key(|policy| registry::rank(policy));
    let lines: Vec<_> = policies.into_iter().map(|policy| line(policy, rows, paper, time_compression)).collect();
    table(&HEADER, &lines)
}

fn line(policy: &str, rows: &[RunRow], paper: &[PaperRow], time_compression: f64) -> [String; 9] {
    let reported = paper.iter().find(|claim| claim.policy == policy);
    let runs: Vec<&RunRow> = rows.iter().filter(|row| row.policy == policy).collect();
    let values =
        |of: &dyn Fn(&RunRow) -> Option<f64>, show: fn(f64) -> String| range(runs.iter().filter_map(|run| of(run)).collect(), show);
    let whole = |value: f64| format!("{value:.0}");
    let nanoseconds = |value: f64| latency(value as u64);
    let mut last: Vec<&str> = runs.iter().filter_map(|run| run.final_configuration.as_deref()).collect();
    last.sort_unstable();
    last.dedup();
    [
        policy.to_owned(),
        runs.len().to_string(),
        pair(reported.and_then(|paper| paper.actions).map(|actions| actions.to_string()), values(&|run| run.actions.map(f64::from), whole)),
        pair(reported.and_then(|paper| paper.final_configuration.clone()), (!last.is_empty()).then(|| last.join(", "))),
        pair(reported.and_then(|paper| paper.settle_s).map(seconds), values(&|run| Some(run.settle_s? * time_compression), seconds)),
        or_unknown(values(&|run| run.achieved_over_offered, |ratio| format!("{ratio:.3}"))),
        or_unknown(values(&|run| run.latency_ns_p50.map(|ns| ns as f64), nanoseconds)),
        or_unknown(values(&|run| run.latency_ns_p99.map(|ns| ns as f64), nanoseconds)),
        or_unknown(values(&|run| Some((run.records_lost? + run.records_duplicated?) as f64), whole)),
    ]
}

/// Median, least and most.
fn range(values: Vec<f64>, show: fn(f64) -> String) -> Option<String> {
    let (least, most) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
    let (least, most, median) = (show(least), show(most), show(median(values)?));
    Some(if least == most { median } else { format!("{median} ({least} to {most})") })
}

fn or_unknown(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| UNKNOWN.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_stand_before_their_range() {
        let run = |policy: &str, actions: u32, achieved: f64| RunRow {
            policy: policy.into(),
            actions: Some(actions),
            achieved_over_offered: Some(achieved),
            final_configuration: Some(format!("count={actions}")),
            settle_s: (policy == "ds2").then_some(2.1),
            records_lost: Some(0),
            records_duplicated: Some(0),
            ..RunRow::default()
        };
        let rows = [run("ds2", 1, 1.0), run("dhalion", 4, 1.1), run("dhalion", 6, 1.3), run("dhalion", 5, 1.2)];
        let paper = [PaperRow { policy: "ds2".into(), actions: Some(1), settle_s: Some(60.0), ..PaperRow::default() }];
        let text = spread(&rows, &paper, 30.0);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
        assert_eq!(lines[2][1..7], ["dhalion", "3", "- / 5 (4 to 6)", "- / count=4, count=5, count=6", "-", "1.200 (1.100 to 1.300)"]);
        assert_eq!(lines[3][1..7], ["ds2", "1", "1 / 1", "- / count=1", "60.0 s / 63.0 s", "1.000"]);
        assert_eq!((lines[3][9], lines.len()), ("0", 4));
    }
}
