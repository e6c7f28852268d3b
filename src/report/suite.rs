//! The table of a suite: what each policy did in each case, medians over seeds.

use std::collections::BTreeSet;

use super::table::{UNKNOWN, bytes, latency, seconds, table};
use crate::experiment::suite::{Column, Host, Order, SuiteRow};
use crate::stats::median;

/// A line a case and policy, in the order of the rows.
pub fn suite_table(rows: &[SuiteRow]) -> String {
    let mut groups: Vec<Vec<&SuiteRow>> = Vec::new();
    let key = |row: &SuiteRow| (row.scenario.clone(), row.host.clone(), row.policy.clone());
    for row in rows {
        match groups.iter_mut().find(|group| key(group[0]) == key(row)) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    let lines: Vec<[String; 17]> = groups.iter().map(|group| line(group)).collect();
    let header = [
        "scenario",
        "host",
        "policy",
        "needed",
        "at the end",
        "actions",
        "reversals",
        "undershoots",
        "settled after",
        "under-provisioned",
        "behind",
        "achieved at the end",
        "instance-seconds over the oracle",
        "latency p50 / p99 / max",
        "windows beyond the goal",
        "most instances / budget",
        "moved",
    ];
    let seeds = |host: Host| {
        let seeds: BTreeSet<u64> = rows.iter().filter(|row| row.host == host.name()).map(|row| row.seed).collect();
        seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
    };
    let on_engine = Some(seeds(Host::Engine)).filter(|seeds| !seeds.is_empty());
    let on_engine = on_engine.map_or(String::new(), |seeds| format!("; on the engine with {seeds}"));
    format!("{}\nMedians of runs with seeds {}{on_engine}.\n", table(&header, &lines), seeds(Host::Sim))
}

/// What runs went through beside what the paper's did, a line a run; nothing where no paper tells.
pub fn path_table(rows: &[SuiteRow]) -> String {
    let of = |row: &SuiteRow| {
        let paper = row.paper.clone()?;
        Some([row.scenario.clone(), row.host.clone(), row.policy.clone(), row.actions.to_string(), paper, row.path.clone()])
    };
    let lines: Vec<[String; 6]> = rows.iter().filter_map(of).collect();
    if lines.is_empty() {
        return String::new();
    }
    format!("\n{}", table(&["scenario", "host", "policy", "actions", "paper: DS2's path", "ours"], &lines))
}

/// In which order policies come on the two hosts, a line a case and column; nothing without any.
pub fn order_table(orders: &[Order]) -> String {
    if orders.is_empty() {
        return String::new();
    }
    let line = |order: &Order| {
        let policy = |(name, sim, engine): &(String, f64, f64)| format!("{name} {} / {}", rounded(*sim), rounded(*engine));
        let policies = order.policies.iter().map(policy).collect::<Vec<_>>().join(", ");
        [order.case.clone(), order.column.name(), format!("{} of {}", order.pairs - order.opposite.len(), order.pairs), policies]
    };
    let lines: Vec<[String; 4]> = orders.iter().map(line).collect();
    let header = ["scenario", "less of", "pairs in the same order", "policies, in virtual time / on the engine"];
    format!("\n{}", table(&header, &lines))
}

fn rounded(number: f64) -> String {
    if number.fract() == 0.0 { format!("{number:.0}") } else { format!("{number:.3}") }
}

fn line(group: &[&SuiteRow]) -> [String; 17] {
    let first = group[0];
    let number = |column: Column| median(group.iter().filter_map(|row| column.of(row)));
    let written = |column: Column, write: &dyn Fn(f64) -> String| number(column).map_or(UNKNOWN.to_owned(), write);
    let count = |number: f64| format!("{number}");
    let latency_of = |of: &dyn Fn(&SuiteRow) -> Option<u64>| {
        median(group.iter().filter_map(|row| of(row)).map(|ns| ns as f64)).map_or(UNKNOWN.to_owned(), |ns| latency(ns as u64))
    };
    let percentiles = [latency_of(&|row| row.latency_ns_p50), latency_of(&|row| row.latency_ns_p99), latency_of(&|row| row.latency_ns_max)];
    let most = written(Column::PeakInstances, &count);
    [
        first.scenario.clone(),
        first.host.clone(),
        first.policy.clone(),
        first.needed_configuration.clone(),
        at_the_end(group),
        written(Column::Actions, &count),
        written(Column::Reversals, &count),
        written(Column::Undershoots, &count),
        written(Column::SettleS, &seconds),
        written(Column::UnderProvisionedS, &seconds),
        written(Column::BehindS, &seconds),
        written(Column::AchievedAtEnd, &|share| format!("{share:.3}")),
        written(Column::ExcessInstanceS, &|instance_s| format!("{:+.0}", instance_s + 0.0)),
        percentiles.join(" / "),
        written(Column::GoalViolationShare, &|share| format!("{:.1} %", share * 100.0)),
        first.budget.map_or(most.clone(), |budget| format!("{most} / {budget}")),
        written(Column::BytesMoved, &bytes),
    ]
}

/// The configuration in which most of the runs ended, and how many did if not all.
fn at_the_end(group: &[&SuiteRow]) -> String {
    let ends = |text: &str| group.iter().filter(|row| row.final_configuration == text).count();
    // Of several with as many runs the first.
    let most = group.iter().rev().max_by_key(|row| ends(&row.final_configuration)).map_or("", |row| row.final_configuration.as_str());
    if ends(most) == group.len() { most.to_owned() } else { format!("{most} ({} of {})", ends(most), group.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_put_together() {
        let row = |policy: &str, seed, actions, last: &str| SuiteRow {
            scenario: "under".into(),
            host: "sim".into(),
            policy: policy.into(),
            seed,
            actions,
            excess_instance_s: Some(-7.6),
            final_configuration: last.into(),
            bytes_moved: Some(4_200_000),
            ..SuiteRow::default()
        };
        let rows = [row("ds2", 1, 1, "map=2"), row("ds2", 2, 7, "map=3"), row("ds2", 3, 2, "map=3"), row("dhalion", 1, 4, "map=9")];
        let text = suite_table(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 6, "{text}");
        for part in ["| map=3 (2 of 3) |", "| 2       |", "| -8 ", "| 4.2 MB |"] {
            assert!(lines[2].contains(part), "{part}\n{text}");
        }
        assert!(lines[3].contains("| map=9 "), "{text}");
        assert_eq!(lines[5], "Medians of runs with seeds 1, 2, 3.");
        // A host has lines of its own.
        let real = SuiteRow { host: "engine".into(), ..row("ds2", 1, 5, "map=4") };
        let text = suite_table(&[&rows[..], &[real]].concat());
        assert!(text.contains("| engine | ds2 ") && text.contains("| map=3 (2 of 3) |"), "{text}");
        assert!(text.ends_with("Medians of runs with seeds 1, 2, 3; on the engine with 1.\n"), "{text}");
    }

    #[test]
    fn orders_of_both_hosts_stand_side_by_side() {
        assert_eq!(order_table(&[]), "");
        let order = Order {
            case: "under-30s".into(),
            column: Column::Actions,
            policies: vec![("ds2".into(), 1.0, 2.5), ("dhalion".into(), 4.0, 2.0)],
            pairs: 1,
            opposite: vec![("ds2".into(), "dhalion".into())],
        };
        let text = order_table(&[order]);
        assert!(text.contains("| under-30s | actions | 0 of 1 ") && text.contains("| ds2 1 / 2.500, dhalion 4 / 2 "), "{text}");
    }
}
