//! What each measure ranks first, from recorded rows.

use super::table::table;
use crate::experiment::ranking::RankingRow;

const HEADER: [&str; 7] = [
    "run",
    "suspect",
    "windows",
    "first by critical participation",
    "by conventional profile",
    "by profile per instance",
    "by one random path",
];

/// The table: a line a run and seed; of each measure, in how many windows it ranks the suspect first and what is first on average.
pub fn ranking_table(rows: &[RankingRow]) -> String {
    let judged: Vec<&RankingRow> = rows.iter().filter(|row| row.judged).collect();
    let runs: Vec<&[&RankingRow]> = judged.chunk_by(|a, b| (&a.label, a.seed) == (&b.label, b.seed)).collect();
    let several = runs.iter().any(|run| run[0].seed != runs[0][0].seed);
    let lines: Vec<[String; 7]> = runs
        .iter()
        .map(|run| {
            let windows: Vec<&[&RankingRow]> = run.chunk_by(|a, b| a.window_start_s == b.window_start_s).collect();
            let name = if several { format!("{} (seed {})", run[0].label, run[0].seed) } else { run[0].label.clone() };
            let suspect = run.iter().find(|row| row.suspect).map_or("-".to_owned(), |row| row.name.clone());
            let cell = |measure: fn(&RankingRow) -> f64| {
                let hits = windows.iter().filter(|rows| first(rows, measure).is_some_and(|row| row.suspect)).count();
                let mean = mean_first(run, measure);
                match mean {
                    Some((name, share)) => format!("{hits} (on average {name}, {:.0} %)", share / windows.len() as f64 * 100.0),
                    None => hits.to_string(),
                }
            };
            [
                name,
                suspect,
                windows.len().to_string(),
                cell(|row| row.participation),
                cell(|row| row.profile),
                cell(|row| row.profile_per_instance),
                cell(|row| row.path),
            ]
        })
        .collect();
    table(&HEADER, &lines)
}

/// What has the highest value in a window; of several the one that is not the suspect.
fn first<'a>(rows: &[&'a RankingRow], measure: fn(&RankingRow) -> f64) -> Option<&'a RankingRow> {
    rows.iter().copied().max_by(|a, b| measure(a).total_cmp(&measure(b)).then(b.suspect.cmp(&a.suspect)))
}

/// What has the highest sum over a run's windows, with that sum.
fn mean_first(run: &[&RankingRow], measure: fn(&RankingRow) -> f64) -> Option<(String, f64)> {
    let mut names: Vec<&str> = run.iter().map(|row| row.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let sum = |name: &str| run.iter().filter(|row| row.name == name).map(|row| measure(row)).sum::<f64>();
    names.into_iter().map(|name| (name.to_owned(), sum(name))).max_by(|a, b| a.1.total_cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_hits_and_who_is_first_on_average() {
        let row = |window: f64, name: &str, participation: f64, profile: f64| RankingRow {
            label: "30".into(),
            window_start_s: window,
            judged: true,
            name: name.into(),
            suspect: name == "count[0]",
            participation,
            profile,
            ..RankingRow::default()
        };
        let rows = [
            row(1.0, "count[0]", 0.4, 0.4),
            row(1.0, "flatmap[0]", 0.1, 0.5),
            row(2.0, "count[0]", 0.3, 0.5),
            row(2.0, "flatmap[0]", 0.2, 0.5),
        ];
        let text = ranking_table(&rows);
        assert!(
            text.contains("| 30  | count[0] | 2       | 2 (on average count[0], 35 %)   | 0 (on average flatmap[0], 50 %) |"),
            "{text}"
        );
        assert!(ranking_table(&[]).starts_with("| run |"));
    }
}
