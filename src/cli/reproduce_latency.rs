//! `thalweg reproduce` for the time of analysis by length of window.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;
use super::plot::draw;
use super::reproduce::{Args, out_folder};
use crate::experiment::environment::Environment;
use crate::experiment::folder;
use crate::experiment::record::DEFINITION;
use crate::experiment::window_latency::{WindowLatencyDefinition, WindowLatencyRow, WindowLatencySummary};
use crate::report::window_latency_table;

/// What `reproduce --json` prints.
#[derive(serde::Serialize)]
struct Reproduced<'a> {
    figure: &'a str,
    host: &'static str,
    scale: String,
    environment: Environment,
    runs: Vec<WindowLatencySummary>,
    violations: Vec<String>,
    rows_file: PathBuf,
    figure_files: Vec<PathBuf>,
}

pub(super) fn reproduce(args: &Args, definition: &WindowLatencyDefinition) -> Result<(), Failure> {
    let environment = Environment::here();
    let out = out_folder(args.out.as_deref(), &format!("{}-{}", definition.figure, args.scale), &environment)?;
    let rows_file = out.join(folder::WINDOW_LATENCY);
    let mut rows: Vec<WindowLatencyRow> = Vec::new();
    let bar = ProgressBar::new(definition.windows_s.len() as u64 * args.repeat);
    bar.set_style(ProgressStyle::with_template("{bar:30} {msg}").expect("the template is fixed").progress_chars("=> "));
    for seed in (args.seed..).take(args.repeat as usize) {
        for &window_s in &definition.windows_s {
            rows.extend(definition.measure(window_s, args.scale, seed, &environment, |row| {
                bar.set_message(format!("windows of {window_s} s, at {:.0} s", row.window_start_s));
            }));
            bar.inc(1);
            folder::write_csv(&rows_file, &rows)?;
        }
    }
    bar.finish_and_clear();
    folder::write_text(&out.join(DEFINITION), &toml::to_string(definition).context("the definition as TOML")?)?;
    let figure_files = draw(&out)?;
    let runs = WindowLatencySummary::of(&rows);
    let violations: Vec<String> = runs.iter().flat_map(|summary| definition.violations(summary)).collect();
    if args.json {
        let (figure, scale) = (definition.figure.as_str(), args.scale.to_string());
        let violations = violations.clone();
        let reproduced = Reproduced { figure, host: "synthetic", scale, environment, runs, violations, rows_file, figure_files };
        println!("{}", serde_json::to_string(&reproduced)?);
    } else {
        println!("{}\n", definition.title);
        print!("{}", window_latency_table(&rows, &definition.reference));
        println!("\nrows    {}", rows_file.display());
        figure_files.iter().for_each(|file| println!("figure  {}", file.display()));
        violations.iter().for_each(|violation| println!("not as expected: {violation}"));
    }
    if args.check && !violations.is_empty() {
        return Err(Failure::Run(anyhow!("not as expected: {}", violations.join("; "))));
    }
    Ok(())
}
