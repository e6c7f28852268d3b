//! The table of experiments in virtual time: the paper's way beside ours.

use super::table::{UNKNOWN, latency, table};
use crate::experiment::simulated_figure::SimulatedRow;

/// A line a case, start and policy; several seeds of the same are put together, the least and the most of each value.
pub fn simulated_table(rows: &[SimulatedRow]) -> String {
    let mut groups: Vec<Vec<&SimulatedRow>> = Vec::new();
    let key = |row: &SimulatedRow| (row.case.clone(), row.start.clone(), row.policy.clone());
    for row in rows {
        match groups.iter_mut().find(|group| key(group[0]) == key(row)) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    let lines: Vec<[String; 12]> = groups.iter().map(|group| line(group)).collect();
    let header = [
        "case",
        "start",
        "policy",
        "runs",
        "paper",
        "ours",
        "needed",
        "at the minimum",
        "actions",
        "achieved / offered",
        "latency p99",
        "slowest decision",
    ];
    table(&header, &lines)
}

fn line(group: &[&SimulatedRow]) -> [String; 12] {
    let first = group[0];
    let alone = group.len() == 1;
    let one = |text: &str| if alone && !text.is_empty() { text.to_owned() } else { UNKNOWN.to_owned() };
    let at_minimum = group.iter().filter(|row| row.at_minimum).count();
    let numbers = |of: &dyn Fn(&SimulatedRow) -> Option<f64>, written: &dyn Fn(f64) -> String| {
        let mut values: Vec<f64> = group.iter().filter_map(|row| of(row)).collect();
        values.sort_by(f64::total_cmp);
        match (values.first(), values.last()) {
            (Some(&least), Some(&most)) if written(least) != written(most) => format!("{} to {}", written(least), written(most)),
            (Some(&value), _) => written(value),
            _ => UNKNOWN.to_owned(),
        }
    };
    [
        first.case.clone(),
        if first.start.is_empty() { UNKNOWN.to_owned() } else { first.start.clone() },
        first.policy.clone(),
        group.len().to_string(),
        one(&first.paper),
        one(&first.path),
        one(&first.needed),
        if alone { if at_minimum == 1 { "yes" } else { "no" }.to_owned() } else { format!("{at_minimum} of {}", group.len()) },
        numbers(&|row| Some(row.actions as f64), &|actions| format!("{actions}")),
        numbers(&|row| row.achieved_over_offered, &|share| format!("{share:.3}")),
        numbers(&|row| row.latency_ns_p99.map(|ns| ns as f64), &|ns| latency(ns as u64)),
        numbers(&|row| Some(row.slowest_decision_ms), &|ms| latency((ms * 1e6) as u64)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_put_together_and_one_run_shows_its_way() {
        let row = |case: &str, seed, actions| SimulatedRow {
            case: case.into(),
            policy: "ds2".into(),
            seed,
            actions,
            path: "1 > 2".into(),
            paper: "1 > 3".into(),
            at_minimum: actions == 1,
            ..SimulatedRow::default()
        };
        let text = simulated_table(&[row("a", 0, 1), row("b", 0, 1), row("b", 1, 4)]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].starts_with("| a    | -     | ds2    | 1    | 1 > 3 | 1 > 2 | -      | yes "), "{text}");
        assert!(lines[3].starts_with("| b    | -     | ds2    | 2    | -     | -     | -      | 1 of 2         | 1 to 4 "), "{text}");
    }
}
