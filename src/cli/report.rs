//! `thalweg report`: prints the tables of recorded runs.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::{Failure, usage};
use crate::experiment::fidelity::FidelityRow;
use crate::experiment::figures::Figure;
use crate::experiment::folder;
use crate::experiment::migration::{MigrationDefinition, MigrationRow, MigrationSummary};
use crate::experiment::nexmark_overhead::{OverheadRow, OverheadSummary};
use crate::experiment::ranking::RankingRow;
use crate::experiment::record::{self, DEFINITION};
use crate::experiment::rows::{PaperRow, RunRow};
use crate::experiment::simulated_figure::SimulatedRow;
use crate::experiment::suite::SuiteRow;
use crate::experiment::window_latency::WindowLatencyRow;
use crate::report::{
    comparison, fidelity_table, migration_table, overhead_table, path_table, ranking_table, simulated_table, spread, suite_table,
    window_latency_table,
};

/// Files with rows, one per kind of experiment.
const KINDS: [&str; 8] = [
    folder::ROWS,
    folder::SUITE,
    folder::SIMULATED,
    folder::MIGRATIONS,
    folder::FIDELITY,
    folder::RANKINGS,
    folder::WINDOW_LATENCY,
    folder::NEXMARK_OVERHEAD,
];

/// Print the tables of recorded runs: one run per policy beside the paper's numbers, or medians of
/// several runs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[arg(help = format!("Folder written by `run`, `simulate` or `reproduce`, with one of {}", KINDS.join(", ")))]
    folder: PathBuf,
    /// Print the rows as one JSON array instead of a table.
    #[arg(long)]
    json: bool,
}

pub(super) fn report(args: &Args) -> Result<(), Failure> {
    print!("{}", text(&args.folder, args.json)?);
    Ok(())
}

/// The tables of a folder, in Markdown.
pub(super) fn table_of(folder: &Path) -> Result<String, Failure> {
    text(folder, false)
}

fn text(folder: &Path, json: bool) -> Result<String, Failure> {
    let as_json = |rows: serde_json::Result<String>| -> Result<String, Failure> { Ok(rows? + "\n") };
    let rankings = folder.join(folder::RANKINGS);
    if rankings.is_file() {
        let rows: Vec<RankingRow> = folder::read_csv(&rankings).map_err(usage)?;
        if json {
            return as_json(serde_json::to_string(&rows));
        }
        return Ok(ranking_table(&rows));
    }
    let latencies = folder.join(folder::WINDOW_LATENCY);
    if latencies.is_file() {
        let rows: Vec<WindowLatencyRow> = folder::read_csv(&latencies).map_err(usage)?;
        if json {
            return as_json(serde_json::to_string(&rows));
        }
        let reference = match rows.first().map(|row| Figure::named(&row.experiment)) {
            Some(Ok(Figure::WindowLatency(definition))) => definition.reference,
            _ => Vec::new(),
        };
        return Ok(window_latency_table(&rows, &reference));
    }
    let overhead = folder.join(folder::NEXMARK_OVERHEAD);
    if overhead.is_file() {
        let rows: Vec<OverheadRow> = folder::read_csv(&overhead).map_err(usage)?;
        return if json { as_json(serde_json::to_string(&rows)) } else { Ok(overhead_table(&OverheadSummary::of(&rows))) };
    }
    let simulated = folder.join(folder::SIMULATED);
    if simulated.is_file() {
        let rows: Vec<SimulatedRow> = folder::read_csv(&simulated).map_err(usage)?;
        if json {
            return as_json(serde_json::to_string(&rows));
        }
        return Ok(simulated_table(&rows));
    }
    let suite = folder.join(folder::SUITE);
    if suite.is_file() {
        let rows: Vec<SuiteRow> = folder::read_csv(&suite).map_err(usage)?;
        if json {
            return as_json(serde_json::to_string(&rows));
        }
        return Ok(suite_table(&rows) + &path_table(&rows));
    }
    let migrations = folder.join(folder::MIGRATIONS);
    if migrations.is_file() {
        let rows: Vec<MigrationRow> = folder::read_csv(&migrations).map_err(usage)?;
        if json {
            return as_json(serde_json::to_string(&rows));
        }
        let definition: MigrationDefinition = record::read_toml(&folder.join(DEFINITION)).map_err(usage)?;
        return Ok(migration_table(definition.chart, &MigrationSummary::of(&rows, &definition.paper)));
    }
    let fidelity = folder.join(folder::FIDELITY);
    if fidelity.is_file() {
        let rows: Vec<FidelityRow> = folder::read_csv(&fidelity).map_err(usage)?;
        return if json { as_json(serde_json::to_string(&rows)) } else { Ok(fidelity_table(&rows)) };
    }
    let path = folder.join(folder::ROWS);
    let rows: Vec<RunRow> = folder::read_csv(&path).map_err(usage)?;
    let first = rows.first().ok_or_else(|| usage(anyhow!("{}: expected one row per run, found none", path.display())))?;
    if json {
        return as_json(serde_json::to_string(&rows));
    }
    // A run of one's own has no paper to be compared with.
    let (paper, time_factor) = match Figure::named(&first.experiment) {
        Ok(Figure::Policies(definition)) => (definition.paper, definition.time_factor),
        _ => (Vec::new(), 1.0),
    };
    Ok(tables(&rows, &paper, time_factor))
}

/// One run a policy beside the paper's; or, where a policy ran several times, medians.
pub(super) fn tables(rows: &[RunRow], paper: &[PaperRow], time_factor: f64) -> String {
    let mut seeds: Vec<u64> = rows.iter().map(|row| row.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    if seeds.len() <= 1 {
        return comparison(rows, paper, time_factor);
    }
    let listed = seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    format!("{}\nMedians of runs with seeds {listed}, and (least to most).\n", spread(rows, paper, time_factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_seeds_give_medians() {
        let run = |seed| RunRow { policy: "ds2".into(), seed, actions: Some(1), ..RunRow::default() };
        assert!(tables(&[run(3)], &[], 30.0).contains("| ds2 "));
        assert!(tables(&[run(3), run(4)], &[], 30.0).ends_with("Medians of runs with seeds 3, 4, and (least to most).\n"));
        assert!(report(&Args { folder: "nowhere".into(), json: false }).is_err());
    }
}
