//! `thalweg plot`: redraws the figure of a run folder from its recorded rows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::{Failure, usage};
use crate::controller::{Event, EventKind};
use crate::experiment::environment::Environment;
use crate::experiment::figures::Figure;
use crate::experiment::migration::{Chart, MigrationDefinition, MigrationRow, MigrationSummary, MigrationTimelineRow};
use crate::experiment::nexmark_overhead::{OverheadDefinition, OverheadRow, OverheadSummary};
use crate::experiment::ranking::RankingRow;
use crate::experiment::record::{DEFINITION, Manifest};
use crate::experiment::suite::{Host, SuiteDefinition, SuiteRow};
use crate::experiment::window_latency::{WindowLatencyRow, WindowLatencySummary};
use crate::experiment::{folder, record};
use crate::plot::{Column, Labels, Upwards, overhead_figure, ranking_figure, suite_figure, timeline_figure, window_latency_figure};
use crate::plot::{migration_duration_figure, migration_percentiles_figure, migration_timeline_figure};
use crate::policy::registry;

/// Redraw a run folder's figure from its recorded rows.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder written by `run`, `simulate` or `reproduce`.
    run: PathBuf,
    /// Print one JSON object instead of file names.
    #[arg(long)]
    json: bool,
}

pub(super) fn plot(args: &Args) -> Result<(), Failure> {
    let files = draw(&args.run).map_err(|failure| match failure {
        // Everything that can be wrong here is in the folder that was named.
        Failure::Run(error) | Failure::Usage(error) => Failure::Usage(error),
    })?;
    if args.json {
        println!("{}", serde_json::json!({ "figure_files": files }));
    } else {
        files.iter().for_each(|file| println!("{}", file.display()));
    }
    Ok(())
}

/// What a figure takes of the definition of an experiment, of whatever kind it is.
#[derive(serde::Deserialize)]
struct Titled {
    title: String,
}

/// Draws the figure of `folder`: of one run, or of one run per policy, each in its own subfolder.
pub(super) fn draw(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    if folder.join(folder::RANKINGS).is_file() {
        return draw_rankings(folder);
    }
    if folder.join(folder::MIGRATIONS).is_file() {
        return draw_migrations(folder);
    }
    if folder.join(folder::WINDOW_LATENCY).is_file() {
        return draw_window_latencies(folder);
    }
    if folder.join(folder::SUITE).is_file() {
        return draw_suite(folder);
    }
    if folder.join(folder::NEXMARK_OVERHEAD).is_file() {
        return draw_overhead(folder);
    }
    if folder.join(folder::SIMULATED).is_file()
        && !folder.read_dir().is_ok_and(|mut all| all.any(|one| one.is_ok_and(|one| one.path().is_dir())))
    {
        return Err(usage(anyhow!("{}: expected recorded runs, found only a table: 'thalweg report' prints it", folder.display())));
    }
    let mut runs: Vec<PathBuf> = Vec::new();
    if folder.join(folder::RUN).is_file() {
        runs.push(folder.to_owned());
    } else {
        let entries = folder.read_dir().map_err(|why| usage(anyhow!("{}: expected a run folder: {why}", folder.display())))?;
        runs.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.join(folder::RUN).is_file()));
    }
    let mut read = runs.iter().map(|run| column(run)).collect::<Result<Vec<_>, Failure>>()?;
    read.sort_by(|a, b| (registry::rank(&a.1.policy), &a.1.policy).cmp(&(registry::rank(&b.1.policy), &b.1.policy)));
    let Some((_, first)) = read.first() else {
        return Err(usage(anyhow!("{}: expected a run folder with a {}, or folders with one, found none", folder.display(), folder::RUN)));
    };
    let definition = folder.join(DEFINITION);
    let title = if definition.is_file() {
        record::read_toml::<Titled>(&definition)?.title
    } else {
        match &first.scenario {
            Some(scenario) => format!("{} under '{}'", scenario.title, first.policy),
            None => format!("Word count under '{}'", first.policy),
        }
    };
    let environment = &first.environment;
    let limited = match &first.job {
        None => "simulated in virtual time",
        Some(job) if job.flatmap.limit.is_some() => "instances limited, not processor speed",
        Some(_) => "instances limited by the processor",
    };
    let rate_unit = if first.job.is_some() { "sentences/s" } else { "records/s" }.to_owned();
    let footer = format!(
        "revision {}, seed {}, scale {}, control time x {}, {limited}; {}; {}",
        environment.revision, first.seed, first.scale, first.time_factor, environment.machine, environment.command
    );
    let labels = Labels { title, rate_unit, footer, needed: first.needed.clone() };
    let stem = folder.join(&first.experiment);
    let columns: Vec<Column> = read.into_iter().map(|(column, _)| column).collect();
    Ok(timeline_figure(&columns, &labels, &stem)?)
}

/// Draws the rankings recorded in `folder`.
fn draw_rankings(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let rows: Vec<RankingRow> = folder::read_csv(&folder.join(folder::RANKINGS))?;
    let Some(first) = rows.first() else {
        return Err(usage(anyhow!("{}: expected rows in {}, found none", folder.display(), folder::RANKINGS)));
    };
    let title = Figure::named(&first.experiment).map_or(first.experiment.clone(), |figure| figure.title().to_owned());
    let footer = format!(
        "Bars: means of the judged windows; thin lines: minimum to maximum; coloured: the injected bottleneck. Revision {}, seed {}, scale {}, instances limited, not processor speed; {}; {}",
        first.revision, first.seed, first.scale, first.machine, first.command
    );
    Ok(ranking_figure(&rows, &title, &footer, &folder.join(&first.experiment))?)
}

/// Draws the migrations recorded in `folder`.
fn draw_migrations(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let rows: Vec<MigrationRow> = folder::read_csv(&folder.join(folder::MIGRATIONS))?;
    let timeline: Vec<MigrationTimelineRow> = folder::read_csv(&folder.join(folder::MIGRATION_TIMELINE))?;
    let Some(first) = rows.first() else {
        return Err(usage(anyhow!("{}: expected rows in {}, found none", folder.display(), folder::MIGRATIONS)));
    };
    let definition: MigrationDefinition = record::read_toml(&folder.join(DEFINITION))?;
    let mut seeds: Vec<u64> = rows.iter().map(|row| row.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let instances = match definition.settings.iter().any(|setting| setting.query.is_some()) {
        true => "each operator first on half of them, then on all",
        false => "one instance of Count on each",
    };
    let footer = format!(
        "{} records/s, {} workers, {instances}, as fast as the processor allows. Revision {}, {} seed(s) from {}, scale {}; {}; {}",
        first.rate_per_s,
        first.workers,
        first.revision,
        seeds.len(),
        first.seed,
        first.scale,
        first.machine,
        first.command
    );
    let (title, stem) = (&definition.title, folder.join(&first.experiment));
    let summaries = MigrationSummary::of(&rows, &definition.paper);
    Ok(match definition.chart {
        Chart::Timeline => migration_timeline_figure(&rows, &timeline, Upwards::Latency, title, &footer, &stem)?,
        Chart::Memory => migration_timeline_figure(&rows, &timeline, Upwards::Memory, title, &footer, &stem)?,
        Chart::Duration => migration_duration_figure(&summaries, title, &footer, &stem)?,
        Chart::Percentiles => migration_percentiles_figure(&summaries, title, &footer, &stem)?,
    })
}

/// Draws the suite recorded in `folder`.
fn draw_suite(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let rows: Vec<SuiteRow> = folder::read_csv(&folder.join(folder::SUITE))?;
    let definition: SuiteDefinition = record::read_toml(&folder.join(DEFINITION))?;
    let environment: Environment = record::read_toml(&folder.join(folder::ENVIRONMENT))?;
    let of_host = |host: Host| rows.iter().filter(move |row| row.host == host.name()).map(|row| row.seed).collect::<BTreeSet<u64>>().len();
    let on_engine = match of_host(Host::Engine) {
        0 => String::new(),
        1 => ", and one run each on the engine".to_owned(),
        seeds => format!(", and of {seeds} on the engine"),
    };
    let simulated = match of_host(Host::Sim) {
        1 => "One seed".to_owned(),
        seeds => format!("Medians of {seeds} seeds"),
    };
    let footer = format!(
        "{simulated}, simulated in virtual time{on_engine}. Behind: lag above half a second of load. Less is better; blue is less than the oracle, which knows the required parallelism. Revision {}; {}; {}",
        environment.revision, environment.machine, environment.command
    );
    Ok(suite_figure(&rows, &definition.title, &footer, &folder.join(&definition.figure))?)
}

/// Draws what something costs on NEXMark's queries, as recorded in `folder`.
fn draw_overhead(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let rows: Vec<OverheadRow> = folder::read_csv(&folder.join(folder::NEXMARK_OVERHEAD))?;
    let Some(first) = rows.first() else {
        return Err(usage(anyhow!("{}: expected rows in {}, found none", folder.display(), folder::NEXMARK_OVERHEAD)));
    };
    let definition: OverheadDefinition = record::read_toml(&folder.join(DEFINITION))?;
    let footer = format!(
        "Bars: medians of pairs of runs; thin lines: minimum to maximum. {} workers, {} bins per operator, no migration. Revision {}, seeds from {}, scale {}; {}; {}",
        first.workers, first.bins, first.revision, first.seed, first.scale, first.machine, first.command
    );
    Ok(overhead_figure(&OverheadSummary::of(&rows), &definition.title, &footer, &folder.join(&first.experiment))?)
}

/// Draws the times of analysis recorded in `folder`.
fn draw_window_latencies(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let rows: Vec<WindowLatencyRow> = folder::read_csv(&folder.join(folder::WINDOW_LATENCY))?;
    let Some(first) = rows.first() else {
        return Err(usage(anyhow!("{}: expected rows in {}, found none", folder.display(), folder::WINDOW_LATENCY)));
    };
    let (title, reference) = match Figure::named(&first.experiment) {
        Ok(Figure::WindowLatency(definition)) => (definition.title, definition.reference),
        _ => (first.experiment.clone(), Vec::new()),
    };
    let footer = format!(
        "Time from the last record of a window to its summary, on one core, 30,000 records/s (synthetic). Revision {}, seed {}, scale {}; {}; {}",
        first.revision, first.seed, first.scale, first.machine, first.command
    );
    Ok(window_latency_figure(&WindowLatencySummary::of(&rows), &reference, &title, &footer, &folder.join(&first.experiment))?)
}

fn column(run: &Path) -> Result<(Column, Manifest), Failure> {
    let manifest: Manifest = record::read_toml(&run.join(folder::RUN))?;
    let events: Vec<Event> = folder::read_jsonl(&run.join(folder::DECISIONS))?;
    let actions = events.iter().filter(|event| matches!(event.kind, EventKind::Migrated { .. }));
    let column = Column {
        policy: manifest.policy.clone(),
        timeline: folder::read_csv(&run.join(folder::TIMELINE))?,
        latency: folder::read_csv(&run.join(folder::LATENCY))?,
        actions_s: actions.map(|event| event.at.as_secs_f64()).collect(),
        operators: manifest.scalable.clone(),
    };
    Ok((column, manifest))
}
