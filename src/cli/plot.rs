//! `thalweg plot`: redraws the figure of a run folder from its recorded rows.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::failure::{Failure, usage};
use super::report::read;
use crate::controller::{Event, EventKind};
use crate::experiment::definition::Definition;
use crate::experiment::folder;
use crate::experiment::frame::{Frame, Recorded};
use crate::experiment::record::{self, Manifest};
use crate::experiment::rows::variant_rank;
use crate::experiment::shown::{filled, seeds};
use crate::experiment::view::PlotView;
use crate::plot::{Column, Labels, bars_figure, heat_figure, migrations_figure, scatter_figure, timeline_figure};

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

/// Draws what is recorded in `folder`: rows as their definition says, or runs over time, which have
/// folders of their own.
pub(super) fn draw(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let recorded = if folder.is_dir() { read(folder).ok() } else { None };
    match recorded {
        Some((recorded, Some(definition))) => match &definition.plot {
            Some(PlotView::Runs { .. }) => {
                // Each seed has a figure of its own, where there are several.
                let seeds: Vec<PathBuf> = runs_in(folder)?.into_iter().filter(|path| !path.join(folder::RUN).is_file()).collect();
                let folders = if seeds.is_empty() { vec![folder.to_owned()] } else { seeds };
                let drawn = folders.iter().map(|folder| draw_runs(folder, Some(&definition.title))).collect::<Result<Vec<_>, _>>()?;
                Ok(drawn.concat())
            }
            Some(view) => draw_rows(folder, view, &recorded, &definition),
            None => Err(usage(anyhow!("{}: expected runs to draw, found a table alone: 'thalweg report' prints it", folder.display()))),
        },
        _ => draw_runs(folder, None),
    }
}

/// Folders of runs, or of seeds with such folders.
fn runs_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = folder.read_dir().map_err(|why| usage(anyhow!("{}: expected a run folder: {why}", folder.display())))?;
    let folders = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    let of_seed = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seed-"));
    let mut found: Vec<PathBuf> = folders.filter(|path| path.join(folder::RUN).is_file() || of_seed(path)).collect();
    found.sort();
    Ok(found)
}

/// Draws one run, or runs beside each other, over time.
fn draw_runs(folder: &Path, title: Option<&str>) -> Result<Vec<PathBuf>, Failure> {
    let runs = if folder.join(folder::RUN).is_file() { vec![folder.to_owned()] } else { runs_in(folder)? };
    let mut columns =
        runs.iter().filter(|run| run.join(folder::RUN).is_file()).map(|run| column(run)).collect::<Result<Vec<_>, Failure>>()?;
    columns.sort_by_key(|(column, _)| (variant_rank(&column.policy), column.policy.clone()));
    let Some((_, first)) = columns.first() else {
        return Err(usage(anyhow!("{}: expected a run folder with a {}, or folders with one, found none", folder.display(), folder::RUN)));
    };
    let scenario = first.scenario.as_ref();
    let own = scenario.map_or("Word count", |scenario| scenario.title.as_str());
    let title = title.map_or_else(|| format!("{own} under '{}'", first.policy), str::to_owned);
    let limits = || scenario.into_iter().flat_map(|scenario| &scenario.operators).any(|operator| operator.limit.is_some());
    let limited = match first.host.as_str() {
        "sim" => "simulated in virtual time",
        _ if scenario.is_none() || limits() => "instances limited, not processor speed",
        _ => "instances limited by the processor",
    };
    let Manifest { environment, seed, scale, time_factor, .. } = first;
    let footer = format!(
        "revision {}, seed {seed}, scale {scale}, control time x {time_factor}, {limited}; {}; {}",
        environment.revision, environment.machine, environment.command
    );
    let rate_unit =
        if first.host == "engine" && scenario.is_none_or(|scenario| scenario.nexmark.is_none()) { "sentences/s" } else { "records/s" }
            .to_owned();
    let labels = Labels { title, rate_unit, footer, needed: first.needed.clone() };
    let stem = folder.join(&first.experiment);
    let columns: Vec<Column> = columns.into_iter().map(|(column, _)| column).collect();
    Ok(timeline_figure(&columns, &labels, &stem)?)
}

/// Draws recorded rows.
fn draw_rows(folder: &Path, view: &PlotView, recorded: &Recorded, definition: &Definition) -> Result<Vec<PathBuf>, Failure> {
    let Recorded { frame, environment, .. } = recorded;
    let foot = filled(view.foot(), frame);
    let seeds = seeds(frame).unwrap_or_default();
    let footer = format!("{foot} Revision {}, seeds {seeds}; {}; {}", environment.revision, environment.machine, environment.command);
    let (texts, stem) = ((definition.title.as_str(), footer.as_str()), folder.join(&definition.figure));
    Ok(match view {
        PlotView::Runs { .. } => Vec::new(),
        PlotView::Migrations { upwards, .. } => {
            let timeline = Frame::read(&folder.join(folder::MIGRATION_TIMELINE))?;
            migrations_figure((frame, &timeline), *upwards, texts, &stem)?
        }
        PlotView::Heat { measures, .. } => heat_figure(measures, frame, texts, &stem)?,
        PlotView::Bars(bars) => bars_figure(bars, frame, texts, &stem)?,
        PlotView::Scatter(scatter) => scatter_figure(scatter, (frame, &Frame::new(&[], definition.paper.clone())), texts, &stem)?,
    })
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
