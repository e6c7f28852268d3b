//! Medians over the seeds of an experiment, and what was expected of them and is not so.

use serde::{Deserialize, Serialize};

use super::definition::{MigrationDefinition, MigrationExpectation, PaperPoint};
use super::rows::{MigrationRow, NO_MIGRATION, strategy_rank};
use crate::stats::median;

/// All seeds of one setting and strategy: an entry of the JSON that `reproduce` prints. Numbers are medians over the seeds unless
/// they say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MigrationSummary {
    /// The setting.
    pub setting: String,
    /// The strategy.
    pub strategy: String,
    /// Runs.
    pub runs: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Processes.
    pub processes: u32,
    /// Workers.
    pub workers: u32,
    /// Keys.
    pub keys: u64,
    /// Bins.
    pub bins: u32,
    /// Records due per second.
    pub rate_per_s: f64,
    /// Bins that moved.
    pub moved_bins: u64,
    /// Keys in these.
    pub moved_keys: u64,
    /// Bytes of these.
    pub moved_bytes: u64,
    /// Steps.
    pub steps: u64,
    /// From the first step to the last arrival.
    pub duration_ns: Option<u64>,
    /// The usual largest latency.
    pub usual_ns_max: Option<u64>,
    /// The largest during the migration.
    pub migration_ns_max: Option<u64>,
    /// How much larger that is than usual.
    pub added_ns: Option<i64>,
    /// The least and the most of it over the seeds.
    pub added_ns_range: Option<(i64, i64)>,
    /// 99 % of the records during the migration were not slower.
    pub migration_ns_p99: Option<u64>,
    /// Half of all judged records were not slower.
    pub overall_ns_p50: Option<u64>,
    /// 90 %.
    pub overall_ns_p90: Option<u64>,
    /// 99 %.
    pub overall_ns_p99: Option<u64>,
    /// 99.99 %.
    pub overall_ns_p9999: Option<u64>,
    /// The slowest.
    pub overall_ns_max: Option<u64>,
    /// Resident memory before the migration.
    pub memory_before_bytes: Option<u64>,
    /// The most memory that the migration added to all processes together.
    pub memory_rise_bytes: Option<u64>,
    /// The most resident memory of all processes together during the migration.
    pub memory_peak_bytes: Option<u64>,
    /// Resident memory at the end: what the allocator keeps of state that has left is in it.
    pub memory_after_bytes: Option<u64>,
    /// Results missing, too many, and groups miscounted, in all runs together.
    pub records_wrong: u64,
    /// Activity records dropped in all runs together.
    pub dropped_records: u64,
    /// What the paper reports beside it.
    pub paper: Vec<PaperPoint>,
}

/// Medians over seeds of whole numbers; of an even number of seeds the mean of the middle two, rounded.
fn middle_of(values: impl Iterator<Item = Option<i64>>) -> Option<i64> {
    median(values.flatten().map(|value| value as f64)).map(|value| value.round() as i64)
}

impl MigrationSummary {
    /// Sums the rows up by setting, in the order of the rows, and strategy, in the order of figures.
    pub fn of(rows: &[MigrationRow], paper: &[PaperPoint]) -> Vec<MigrationSummary> {
        let mut settings: Vec<&str> = Vec::new();
        for row in rows {
            if !settings.contains(&row.setting.as_str()) {
                settings.push(&row.setting);
            }
        }
        let mut summaries = Vec::new();
        for setting in settings {
            let mut strategies: Vec<&str> = rows.iter().filter(|row| row.setting == setting).map(|row| row.strategy.as_str()).collect();
            strategies.sort_by_key(|strategy| (strategy_rank(strategy), *strategy));
            strategies.dedup();
            for strategy in strategies {
                let seeds: Vec<&MigrationRow> = rows.iter().filter(|row| row.setting == setting && row.strategy == strategy).collect();
                summaries.push(MigrationSummary::of_seeds(&seeds, paper));
            }
        }
        summaries
    }

    fn of_seeds(rows: &[&MigrationRow], paper: &[PaperPoint]) -> MigrationSummary {
        let first = rows[0];
        let middle = |value: fn(&MigrationRow) -> Option<u64>| {
            let values = rows.iter().map(|row| value(row).map(|value| value as i64));
            middle_of(values).map(|value| value as u64)
        };
        let added = || rows.iter().filter_map(|row| row.added_ns);
        let beside = |point: &&PaperPoint| {
            let fits = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
            fits(&point.setting, &first.setting) && fits(&point.strategy, &first.strategy)
        };
        let wrong =
            |row: &&MigrationRow| [row.records_lost, row.records_duplicated, row.groups_miscounted].into_iter().flatten().sum::<u64>();
        MigrationSummary {
            setting: first.setting.clone(),
            strategy: first.strategy.clone(),
            runs: rows.len() as u64,
            failed: rows.iter().filter(|row| row.error.is_some()).count() as u64,
            processes: first.processes,
            workers: first.workers,
            keys: first.keys,
            bins: first.bins,
            rate_per_s: first.rate_per_s,
            moved_bins: first.moved_bins,
            moved_keys: first.moved_keys,
            moved_bytes: first.moved_bytes,
            steps: first.steps,
            duration_ns: middle(|row| row.duration_ns),
            usual_ns_max: middle(|row| row.usual_ns_max),
            migration_ns_max: middle(|row| row.migration_ns_max),
            added_ns: middle_of(rows.iter().map(|row| row.added_ns)),
            added_ns_range: added().min().zip(added().max()),
            migration_ns_p99: middle(|row| row.migration_ns_p99),
            overall_ns_p50: middle(|row| row.overall_ns_p50),
            overall_ns_p90: middle(|row| row.overall_ns_p90),
            overall_ns_p99: middle(|row| row.overall_ns_p99),
            overall_ns_p9999: middle(|row| row.overall_ns_p9999),
            overall_ns_max: middle(|row| row.overall_ns_max),
            memory_before_bytes: middle(|row| row.memory_before_bytes),
            memory_rise_bytes: middle(|row| row.memory_rise_bytes),
            memory_peak_bytes: middle(|row| row.memory_peak_bytes),
            memory_after_bytes: middle(|row| row.memory_after_bytes),
            records_wrong: rows.iter().map(wrong).sum(),
            dropped_records: rows.iter().filter_map(|row| row.dropped_records).sum(),
            paper: paper.iter().filter(beside).cloned().collect(),
        }
    }

    fn name(&self) -> String {
        format!("{}, {}", self.setting, self.strategy)
    }
}

impl MigrationExpectation {
    fn concerns(&self, summary: &MigrationSummary) -> bool {
        let strategy = match &self.strategy {
            Some(strategy) => summary.strategy == *strategy,
            None => summary.strategy != NO_MIGRATION,
        };
        strategy
            && self.setting.as_ref().is_none_or(|setting| summary.setting == *setting)
            && self.processes.is_none_or(|processes| summary.processes == processes)
    }
}

impl MigrationDefinition {
    /// What was expected of `summaries` and is not so.
    pub fn violations(&self, summaries: &[MigrationSummary]) -> Vec<String> {
        let mut violations = Vec::new();
        for summary in summaries.iter().filter(|summary| summary.failed > 0 || summary.records_wrong > 0) {
            let MigrationSummary { failed, records_wrong: wrong, .. } = summary;
            violations.push(format!(
                "{}: expected every record counted once, found {wrong} that are not and {failed} runs that failed",
                summary.name()
            ));
        }
        for expected in &self.expect {
            let concerned: Vec<&MigrationSummary> = summaries.iter().filter(|summary| expected.concerns(summary)).collect();
            for summary in &concerned {
                violations.extend(expected.of_one(summary, summaries).map(|why| format!("{}: expected {why}", summary.name())));
            }
            violations.extend(expected.of_all(&concerned));
        }
        violations
    }
}

impl MigrationExpectation {
    /// What one summary alone, or beside another of the same run of the experiment, does not keep.
    fn of_one(&self, summary: &MigrationSummary, all: &[MigrationSummary]) -> impl Iterator<Item = String> + use<> {
        let ms = |ns: Option<u64>| ns.map_or(f64::NAN, |ns| ns as f64 / 1e6);
        let mut offences = Vec::new();
        // A comparison with what was not measured does not hold.
        let mut keep = |holds: bool, why: String| offences.extend((!holds).then_some(why));
        if let Some(most) = self.most_added_ms {
            let added = summary.added_ns.map_or(f64::NAN, |ns| ns as f64 / 1e6);
            keep(added <= most, format!("at most {most} ms added to the largest latency, found {added:.1} ms"));
        }
        if let Some(most) = self.most_max_ms {
            let found = ms(summary.migration_ns_max);
            keep(found <= most, format!("at most {most} ms of latency during the migration, found {found:.1} ms"));
        }
        if let Some(least) = self.least_max_ms {
            let found = ms(summary.migration_ns_max);
            keep(found >= least, format!("at least {least} ms of latency during the migration, found {found:.1} ms"));
        }
        let other = |strategy: Option<&String>, setting: &str| {
            all.iter().find(|other| Some(&other.strategy) == strategy && other.setting == setting)
        };
        if let Some(least) = self.least_times {
            let (found, than) =
                (ms(summary.migration_ns_max), ms(other(self.than.as_ref(), &summary.setting).and_then(|other| other.migration_ns_max)));
            keep(
                found >= least * than,
                format!(
                    "at least {least} times the largest latency of {}, found {found:.1} ms against {than:.1} ms",
                    self.than.as_deref().unwrap_or_default()
                ),
            );
        }
        if let Some(most) = self.most_times_p99 {
            let against = all.iter().find(|other| Some(&other.setting) == self.against.as_ref());
            let (found, than) = (ms(summary.overall_ns_p99), ms(against.and_then(|other| other.overall_ns_p99)));
            keep(
                found <= most * than,
                format!("at most {most} times the 99th percentile of {:?}, found {found:.2} ms against {than:.2} ms", self.against),
            );
        }
        if let Some(most) = self.most_memory_of_moved {
            let rise = summary.memory_rise_bytes.map_or(f64::NAN, |bytes| bytes as f64);
            let share = rise / summary.moved_bytes as f64;
            keep(share <= most, format!("memory to rise by at most {most} of the state that moves, found {share:.2}"));
        }
        if let Some(most) = self.most_memory_of_step {
            let rise = summary.memory_rise_bytes.map_or(f64::NAN, |bytes| bytes as f64);
            let steps = rise / (summary.moved_bytes as f64 / summary.steps.max(1) as f64);
            keep(steps <= most, format!("memory to rise by at most the state of {most} steps, found {steps:.1}"));
        }
        offences.into_iter()
    }

    /// What summaries of different settings do not keep among themselves.
    fn of_all(&self, concerned: &[&MigrationSummary]) -> Option<String> {
        let most = self.most_spread?;
        let latency = |summary: &&&MigrationSummary| summary.migration_ns_max;
        let (least, largest) = (concerned.iter().min_by_key(latency)?, concerned.iter().max_by_key(latency)?);
        let (low, high) = (least.migration_ns_max? as f64 / 1e6, largest.migration_ns_max? as f64 / 1e6);
        (high > most * low).then(|| {
            format!(
                "{}: expected at most {most} times the largest latency of {}, found {high:.1} ms against {low:.1} ms",
                largest.name(),
                least.name()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(setting: &str, strategy: &str, seed: u64, max_ms: u64) -> MigrationRow {
        MigrationRow {
            setting: setting.into(),
            strategy: strategy.into(),
            seed,
            processes: 1,
            usual_ns_max: Some(1_000_000),
            migration_ns_max: Some(max_ms * 1_000_000),
            added_ns: Some((max_ms as i64 - 1) * 1_000_000),
            overall_ns_p99: Some(max_ms * 1_000),
            moved_bytes: 1000,
            memory_rise_bytes: Some(max_ms * 10),
            records_lost: Some(0),
            ..MigrationRow::default()
        }
    }

    fn definition(expect: &str) -> MigrationDefinition {
        let text = include_str!("../../../experiments/definitions/megaphone-fig16.toml");
        let expect = toml::from_str::<toml::Table>(&format!("[[expect]]\n{expect}")).unwrap();
        let expect = expect["expect"].clone().try_into().unwrap();
        MigrationDefinition { expect, ..toml::from_str(text).unwrap() }
    }

    fn rows() -> Vec<MigrationRow> {
        let mut rows = Vec::new();
        for (seed, noise) in [(0, 0), (1, 50), (2, 1)] {
            rows.extend([row("a", "fluid", seed, 3 + noise), row("a", "none", seed, 2 + noise), row("b", "fluid", seed, 9 + noise)]);
        }
        rows
    }

    #[test]
    fn seeds_are_summed_up_by_their_medians_and_in_order() {
        let paper = PaperPoint { setting: Some("b".into()), ms_max: Some(7.0), source: "figure".into(), ..PaperPoint::default() };
        let summaries = MigrationSummary::of(&rows(), std::slice::from_ref(&paper));
        let names: Vec<String> = summaries.iter().map(MigrationSummary::name).collect();
        assert_eq!(names, ["a, none", "a, fluid", "b, fluid"]);
        assert_eq!((summaries[1].migration_ns_max, summaries[1].runs), (Some(4_000_000), 3));
        assert_eq!(summaries[1].added_ns_range, Some((2_000_000, 52_000_000)));
        assert_eq!((summaries[1].paper.len(), &summaries[2].paper[0]), (0, &paper));
    }

    #[test]
    fn the_peak_is_measured_and_the_median_of_an_even_number_of_seeds_the_mean_of_two() {
        let memory = |seed, before, rise| MigrationRow {
            memory_before_bytes: Some(before),
            memory_peak_bytes: Some(before + rise),
            memory_rise_bytes: Some(rise),
            ..row("a", "fluid", seed, 3)
        };
        let rows = [memory(0, 10, 7), memory(1, 20, 1), memory(2, 30, 2)];
        let summary = &MigrationSummary::of(&rows, &[])[0];
        // The median before is 20, that of what was added 2.
        assert_eq!((summary.memory_before_bytes, summary.memory_peak_bytes), (Some(20), Some(21)));
        assert_eq!(MigrationSummary::of(&rows[1..], &[])[0].memory_before_bytes, Some(25));
    }

    #[test]
    fn each_expectation_can_be_missed() {
        let summaries = MigrationSummary::of(&rows(), &[]);
        for (expect, offences) in [
            ("most_added_ms = 9.5", 0),
            ("most_added_ms = 3.5", 1),
            ("most_max_ms = 10", 0),
            ("most_max_ms = 5", 1),
            ("least_max_ms = 4", 0),
            ("least_max_ms = 5", 1),
            ("setting = 'a'\nmost_max_ms = 3", 1),
            ("setting = 'a'\nleast_times = 1.2\nthan = 'none'", 0),
            ("setting = 'a'\nleast_times = 5\nthan = 'none'", 1),
            ("strategy = 'fluid'\nmost_spread = 3", 0),
            ("strategy = 'fluid'\nmost_spread = 2", 1),
            ("setting = 'b'\nmost_memory_of_moved = 0.2", 0),
            ("setting = 'b'\nmost_memory_of_moved = 0.05", 1),
            ("setting = 'b'\nmost_memory_of_step = 0.2", 0),
            ("setting = 'b'\nmost_memory_of_step = 0.05", 1),
            ("setting = 'b'\nmost_times_p99 = 4\nagainst = 'a'", 0),
            ("setting = 'b'\nmost_times_p99 = 1.5\nagainst = 'a'", 1),
            ("setting = 'b'\nmost_times_p99 = 100\nagainst = 'c'", 1),
            ("processes = 2\nmost_max_ms = 0", 0),
        ] {
            let found = definition(expect).violations(&summaries);
            assert_eq!(found.len(), offences, "{expect}: {found:?}");
        }
        let lossy = MigrationRow { records_lost: Some(2), ..row("a", "fluid", 0, 1) };
        let found = definition("most_max_ms = 100").violations(&MigrationSummary::of(&[lossy], &[]));
        assert!(found.len() == 1 && found[0].contains("found 2"), "{found:?}");
    }
}
