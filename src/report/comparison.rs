//! The comparison of our runs with a paper's numbers, as a table that reads well as text and as Markdown.
//!
//! Takes recorded rows and the numbers of the paper, gives text; the same rows give the same text. What is not known on a
//! side is `-`. A cell with a slash shows the paper's number first and ours second.

use super::table::{UNKNOWN, latency, pair, seconds, table};
use crate::experiment::rows::{PaperRow, RunRow};
use crate::policy::registry;

const HEADER: [&str; 7] = [
    "policy",
    "scale-ups paper / ours",
    "final paper / ours",
    "time to converge paper / ours",
    "achieved / offered",
    "latency p50 / p99",
    "lost / duplicated",
];

/// The table: a line a run in the order of policies, then the paper's policies that were not run, then notes.
///
/// `time_compression` is how many of the paper's seconds one of ours stands for; where it is not 1, our time to converge
/// is also given in the paper's seconds. Runs of one policy are told apart by their seeds. A failed run has no results:
/// its error stands below the table.
///
/// # Panics
/// If `time_compression` is not a positive number.
pub fn comparison(rows: &[RunRow], paper: &[PaperRow], time_compression: f64) -> String {
    assert!(time_compression.is_finite() && time_compression > 0.0, "a time compression is positive: {time_compression}");
    let reported = |policy: &str| paper.iter().find(|claim| claim.policy == policy);
    let mut lines: Vec<(usize, [String; 7])> = Vec::new();
    for row in rows {
        let alone = rows.iter().filter(|other| other.policy == row.policy).count() == 1;
        let name = match (alone, &row.error) {
            (true, None) => row.policy.clone(),
            (true, Some(_)) => format!("{} (failed)", row.policy),
            (false, None) => format!("{} (seed {})", row.policy, row.seed),
            (false, Some(_)) => format!("{} (seed {}, failed)", row.policy, row.seed),
        };
        lines.push((registry::rank(&row.policy), line(name, Some(row), reported(&row.policy), time_compression)));
    }
    for claim in paper.iter().filter(|claim| rows.iter().all(|row| row.policy != claim.policy)) {
        lines.push((registry::rank(&claim.policy), line(claim.policy.clone(), None, Some(claim), time_compression)));
    }
    lines.sort_by_key(|(rank, _)| *rank);
    let mut text = table(&HEADER, &lines.into_iter().map(|(_, cells)| cells).collect::<Vec<_>>());
    for (position, note) in notes(rows, paper, time_compression).into_iter().enumerate() {
        // A blank line ends the table in Markdown.
        text.push_str(if position == 0 { "\n- " } else { "- " });
        text.push_str(&note);
        text.push('\n');
    }
    text
}

fn line(name: String, run: Option<&RunRow>, paper: Option<&PaperRow>, time_compression: f64) -> [String; 7] {
    // What a run recorded before it failed is no result.
    let run = run.filter(|run| run.error.is_none());
    let settled = |ours: f64| match time_compression {
        1.0 => seconds(ours),
        factor => format!("{} (= {})", seconds(ours), seconds(ours * factor)),
    };
    let count = |count: u64| count.to_string();
    [
        name,
        pair(paper.and_then(|paper| paper.actions).map(u64::from).map(count), run.and_then(|run| run.actions).map(u64::from).map(count)),
        pair(paper.and_then(|paper| paper.final_configuration.clone()), run.and_then(|run| run.final_configuration.clone())),
        pair(paper.and_then(|paper| paper.settle_s).map(seconds), run.and_then(|run| run.settle_s).map(settled)),
        run.and_then(|run| run.achieved_over_offered).map_or(UNKNOWN.to_owned(), |ratio| format!("{ratio:.4}")),
        pair(run.and_then(|run| run.latency_ns_p50).map(latency), run.and_then(|run| run.latency_ns_p99).map(latency)),
        pair(run.and_then(|run| run.records_lost).map(count), run.and_then(|run| run.records_duplicated).map(count)),
    ]
}

/// What has to be known to read the table, in the order of its lines.
fn notes(rows: &[RunRow], paper: &[PaperRow], time_compression: f64) -> Vec<String> {
    let mut notes = Vec::new();
    if time_compression != 1.0 {
        notes.push(format!("1 s of ours stands for {time_compression} s of the paper; (= …) is our time in the paper's."));
    }
    let mut by_policy: Vec<(usize, String)> = Vec::new();
    for row in rows {
        let rank = registry::rank(&row.policy);
        if let Some(error) = &row.error {
            by_policy.push((rank, format!("{}, seed {}: failed: {error}", row.policy, row.seed)));
        }
        if let Some(dropped) = row.dropped_records.filter(|&dropped| dropped > 0) {
            by_policy.push((rank, format!("{}, seed {}: {dropped} records of the activity log were dropped", row.policy, row.seed)));
        }
    }
    for claim in paper.iter().filter(|claim| !claim.note.is_empty()) {
        by_policy.push((registry::rank(&claim.policy), format!("{}, paper: {}", claim.policy, claim.note)));
    }
    by_policy.sort_by_key(|(rank, _)| *rank);
    notes.extend(by_policy.into_iter().map(|(_, note)| note));
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(policy: &str, actions: u32, configuration: &str, settle_s: f64) -> RunRow {
        RunRow {
            policy: policy.into(),
            seed: 7,
            actions: Some(actions),
            settle_s: Some(settle_s),
            final_configuration: Some(configuration.into()),
            records_lost: Some(0),
            records_duplicated: Some(0),
            achieved_over_offered: Some(0.99962),
            latency_ns_p50: Some(12_300_000),
            latency_ns_p99: Some(2_500_000_000),
            dropped_records: Some(0),
            ..RunRow::default()
        }
    }

    fn claim(policy: &str, actions: u32, configuration: &str, settle_s: f64, note: &str) -> PaperRow {
        PaperRow {
            policy: policy.into(),
            actions: Some(actions),
            final_configuration: Some(configuration.into()),
            settle_s: Some(settle_s),
            note: note.into(),
        }
    }

    #[test]
    fn the_papers_numbers_stand_beside_ours() {
        let failed =
            RunRow { policy: "heron".into(), seed: 7, error: Some("worker 1 stopped".into()), actions: Some(3), ..RunRow::default() };
        let hold = RunRow { settle_s: None, ..run("hold", 0, "flatmap=1 count=1", 0.0) };
        let rows = [run("ds2", 1, "flatmap=10 count=20", 3.0), failed, run("dhalion", 6, "flatmap=12 count=25", 100.5), hold];
        let paper =
            [claim("dhalion", 6, "flatmap=12 count=22", 2000.0, "read off the figure"), claim("ds2", 1, "flatmap=10 count=20", 60.0, "")];
        insta::assert_snapshot!(comparison(&rows, &paper, 20.0), @r"
        | policy         | scale-ups paper / ours | final paper / ours                        | time to converge paper / ours | achieved / offered | latency p50 / p99 | lost / duplicated |
        |----------------|------------------------|-------------------------------------------|-------------------------------|--------------------|-------------------|-------------------|
        | hold           | - / 0                  | - / flatmap=1 count=1                     | -                             | 0.9996             | 12.3 ms / 2.50 s  | 0 / 0             |
        | dhalion        | 6 / 6                  | flatmap=12 count=22 / flatmap=12 count=25 | 2000 s / 100.5 s (= 2010 s)   | 0.9996             | 12.3 ms / 2.50 s  | 0 / 0             |
        | heron (failed) | -                      | -                                         | -                             | -                  | -                 | -                 |
        | ds2            | 1 / 1                  | flatmap=10 count=20 / flatmap=10 count=20 | 60.0 s / 3.0 s (= 60.0 s)     | 0.9996             | 12.3 ms / 2.50 s  | 0 / 0             |

        - 1 s of ours stands for 20 s of the paper; (= …) is our time in the paper's.
        - dhalion, paper: read off the figure
        - heron, seed 7: failed: worker 1 stopped
        ");
    }

    #[test]
    fn seeds_are_told_apart_and_policies_that_were_not_run_are_listed() {
        let again = RunRow { seed: 8, dropped_records: Some(12), ..run("ds2", 2, "flatmap=10 count=20", 61.0) };
        let rows = [run("mine", 1, "a|b", 0.5), run("ds2", 1, "flatmap=10 count=20", 60.0), again];
        let paper = [PaperRow { policy: "dhalion".into(), ..PaperRow::default() }];
        insta::assert_snapshot!(comparison(&rows, &paper, 1.0), @r"
        | policy       | scale-ups paper / ours | final paper / ours      | time to converge paper / ours | achieved / offered | latency p50 / p99 | lost / duplicated |
        |--------------|------------------------|-------------------------|-------------------------------|--------------------|-------------------|-------------------|
        | dhalion      | -                      | -                       | -                             | -                  | -                 | -                 |
        | ds2 (seed 7) | - / 1                  | - / flatmap=10 count=20 | - / 60.0 s                    | 0.9996             | 12.3 ms / 2.50 s  | 0 / 0             |
        | ds2 (seed 8) | - / 2                  | - / flatmap=10 count=20 | - / 61.0 s                    | 0.9996             | 12.3 ms / 2.50 s  | 0 / 0             |
        | mine         | - / 1                  | - / a/b                 | - / 0.5 s                     | 0.9996             | 12.3 ms / 2.50 s  | 0 / 0             |

        - ds2, seed 8: 12 records of the activity log were dropped
        ");
    }

    #[test]
    fn nothing_recorded_gives_an_empty_table() {
        assert_eq!(comparison(&[], &[], 1.0).lines().count(), 2);
    }
}
