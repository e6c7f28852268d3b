//! `thalweg reproduce` for migration experiments.

use anyhow::{Context as _, anyhow};

use super::plot::draw;
use super::reproduce::{Args, out_folder};
use super::reproduced::{Reproduced, bar};
use super::{Failure, interrupted, usage};
use crate::experiment::environment::Environment;
use crate::experiment::folder;
use crate::experiment::migration::{MigrationDefinition, MigrationRow, MigrationSummary, MigrationTimelineRow, Setting};
use crate::experiment::record::DEFINITION;
use crate::report::migration_table;

pub(super) fn reproduce(args: &Args, definition: &MigrationDefinition) -> Result<(), Failure> {
    let environment = Environment::here();
    let out = out_folder(args.out.as_deref(), &format!("{}-{}", definition.figure, args.scale), &definition.figure, &environment)?;
    let (rows_file, timeline_file) = (out.join(folder::MIGRATIONS), out.join(folder::MIGRATION_TIMELINE));
    folder::write_text(&out.join(DEFINITION), &toml::to_string(definition).context("the definition as TOML")?)?;
    let (mut rows, mut timeline): (Vec<MigrationRow>, Vec<MigrationTimelineRow>) = Default::default();
    for seed in (args.seed..).take(args.repeat as usize) {
        for (setting, strategy) in definition.runs() {
            let (row, windows) = run(args, definition, (setting, strategy), seed, &environment)?;
            let failed = row.error.clone();
            rows.push(row);
            timeline.extend(windows);
            folder::write_csv(&rows_file, &rows)?;
            folder::write_csv(&timeline_file, &timeline)?;
            interrupted::check()?;
            if let Some(why) = failed {
                return Err(Failure::Run(anyhow!("the run of '{}' under '{strategy}' failed: {why}", setting.label)));
            }
        }
    }
    let figure_files = draw(&out)?;
    let runs = MigrationSummary::of(&rows, &definition.paper);
    let violations = definition.violations(&runs);
    let table = migration_table(definition.chart, &runs);
    let reproduced = Reproduced {
        figure: &definition.figure,
        host: "engine",
        scale: args.scale.to_string(),
        time_factor: None,
        environment,
        runs,
        violations,
        rows_file,
        figure_files,
        folder: out,
    };
    reproduced.tell(args, &definition.title, || table)
}

/// One run: its row, with the error if it failed, and its timeline.
fn run(
    args: &Args,
    definition: &MigrationDefinition,
    (setting, strategy): (&Setting, &str),
    seed: u64,
    environment: &Environment,
) -> Result<(MigrationRow, Vec<MigrationTimelineRow>), Failure> {
    let run = definition.run(setting, strategy, args.scale, seed).map_err(usage)?;
    let (experiment, scale) = (definition.figure.clone(), args.scale.to_string());
    let (label, strategy) = (setting.label.clone(), strategy.to_owned());
    let mut row = MigrationRow { experiment, setting: label, strategy, scale, ..run.row(environment) };
    let bar = bar((run.before + run.after).as_millis() as u64, &format!("{}, {}", row.setting, row.strategy));
    bar.set_message("building up state");
    let migrated = run.run(|elapsed| {
        bar.set_position(elapsed.as_millis() as u64);
        bar.set_message(format!("{:.1} s", elapsed.as_secs_f64()));
    });
    bar.finish_and_clear();
    match migrated {
        Ok(migrated) => {
            run.complete(&mut row, &migrated);
            let timeline = run.timeline(&row, &migrated);
            Ok((row, timeline))
        }
        Err(why) => {
            row.error = Some(why.to_string());
            Ok((row, Vec::new()))
        }
    }
}
