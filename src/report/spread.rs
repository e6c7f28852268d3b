//! How runs of one policy differ: medians, with the least and the most.

use super::table::{UNKNOWN, latency, seconds, table};
use crate::experiment::rows::{RunRow, policy_rank};

const HEADER: [&str; 9] =
    ["policy", "runs", "actions", "final", "time to converge", "achieved / offered", "latency p50", "latency p99", "lost + duplicated"];

/// The table: a line a policy, with the median of its runs and, where they differ, the least and the most in brackets.
///
/// Failed runs count as runs and have no values.
pub fn spread(rows: &[RunRow]) -> String {
    let mut policies: Vec<&str> = Vec::new();
    for row in rows {
        if !policies.contains(&row.policy.as_str()) {
            policies.push(&row.policy);
        }
    }
    policies.sort_by_key(|policy| policy_rank(policy));
    let lines: Vec<_> = policies.into_iter().map(|policy| line(policy, rows)).collect();
    table(&HEADER, &lines)
}

fn line(policy: &str, rows: &[RunRow]) -> [String; 9] {
    let runs: Vec<&RunRow> = rows.iter().filter(|row| row.policy == policy).collect();
    let values = |of: fn(&RunRow) -> Option<f64>, show: fn(f64) -> String| range(runs.iter().filter_map(|run| of(run)).collect(), show);
    let whole = |value: f64| format!("{value:.0}");
    let nanoseconds = |value: f64| latency(value as u64);
    let mut last: Vec<&str> = runs.iter().filter_map(|run| run.final_configuration.as_deref()).collect();
    last.sort_unstable();
    last.dedup();
    [
        policy.to_owned(),
        runs.len().to_string(),
        values(|run| run.actions.map(f64::from), whole),
        if last.is_empty() { UNKNOWN.to_owned() } else { last.join(", ") },
        values(|run| run.settle_s, seconds),
        values(|run| run.achieved_over_offered, |ratio| format!("{ratio:.3}")),
        values(|run| run.latency_ns_p50.map(|ns| ns as f64), nanoseconds),
        values(|run| run.latency_ns_p99.map(|ns| ns as f64), nanoseconds),
        values(|run| Some((run.records_lost? + run.records_duplicated?) as f64), whole),
    ]
}

/// Median (the upper one of an even number), least and most.
fn range(mut values: Vec<f64>, show: fn(f64) -> String) -> String {
    values.sort_by(f64::total_cmp);
    let (Some(&least), Some(&most)) = (values.first(), values.last()) else { return UNKNOWN.to_owned() };
    let (least, most, median) = (show(least), show(most), show(values[values.len() / 2]));
    if least == most { median } else { format!("{median} ({least} to {most})") }
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
            records_lost: Some(0),
            records_duplicated: Some(0),
            ..RunRow::default()
        };
        let rows = [run("ds2", 1, 1.0), run("dhalion", 4, 1.1), run("dhalion", 6, 1.3), run("dhalion", 5, 1.2)];
        let text = spread(&rows);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
        assert_eq!(lines[2][1..7], ["dhalion", "3", "5 (4 to 6)", "count=4, count=5, count=6", "-", "1.200 (1.100 to 1.300)"]);
        assert_eq!(lines[3][1..7], ["ds2", "1", "1", "count=1", "-", "1.000"]);
        assert_eq!((lines[3][9], lines.len()), ("0", 4));
    }
}
