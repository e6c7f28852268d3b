//! `thalweg reproduce` for the latency of the analysis by window length.

use anyhow::Context as _;

use super::plot::draw;
use super::reproduce::{Args, out_folder};
use super::reproduced::{Reproduced, bar};
use super::{Failure, interrupted};
use crate::experiment::environment::Environment;
use crate::experiment::folder;
use crate::experiment::record::DEFINITION;
use crate::experiment::window_latency::{WindowLatencyDefinition, WindowLatencyRow, WindowLatencySummary};
use crate::report::window_latency_table;

pub(super) fn reproduce(args: &Args, definition: &WindowLatencyDefinition) -> Result<(), Failure> {
    let environment = Environment::here();
    let out = out_folder(args.out.as_deref(), &format!("{}-{}", definition.figure, args.scale), &definition.figure, &environment)?;
    let rows_file = out.join(folder::WINDOW_LATENCY);
    let mut rows: Vec<WindowLatencyRow> = Vec::new();
    let bar = bar(definition.windows_s.len() as u64 * args.repeat, "windows");
    for seed in (args.seed..).take(args.repeat as usize) {
        for &window_s in &definition.windows_s {
            rows.extend(definition.measure(window_s, args.scale, seed, &environment, |row| {
                bar.set_message(format!("of {window_s} s, at {:.0} s", row.window_start_s));
            }));
            bar.inc(1);
            folder::write_csv(&rows_file, &rows)?;
            interrupted::check()?;
        }
    }
    bar.finish_and_clear();
    folder::write_text(&out.join(DEFINITION), &toml::to_string(definition).context("the definition as TOML")?)?;
    let figure_files = draw(&out)?;
    let runs = WindowLatencySummary::of(&rows);
    let violations: Vec<String> = runs.iter().flat_map(|summary| definition.violations(summary)).collect();
    let reproduced = Reproduced {
        figure: &definition.figure,
        host: "synthetic",
        scale: args.scale.to_string(),
        time_factor: None,
        environment,
        runs,
        violations,
        rows_file,
        figure_files,
        folder: out,
    };
    reproduced.tell(args, &definition.title, || window_latency_table(&rows, &definition.reference))
}
