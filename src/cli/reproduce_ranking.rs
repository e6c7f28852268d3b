//! `thalweg reproduce` for experiments on whether a measure ranks a known bottleneck first.

use anyhow::Context as _;

use super::plot::draw;
use super::reproduce::{Args, out_folder};
use super::reproduced::{Reproduced, bar};
use super::{Failure, interrupted};
use crate::experiment::analysed::run_analysed;
use crate::experiment::environment::Environment;
use crate::experiment::folder;
use crate::experiment::ranking::{RankingDefinition, RankingRow, RankingSummary};
use crate::experiment::record::DEFINITION;
use crate::report::ranking_table;

pub(super) fn reproduce(args: &Args, definition: &RankingDefinition) -> Result<(), Failure> {
    let environment = Environment::here();
    let out = out_folder(args.out.as_deref(), &format!("{}-{}", definition.figure, args.scale), &definition.figure, &environment)?;
    let rows_file = out.join(folder::RANKINGS);
    let (mut rows, mut runs): (Vec<RankingRow>, Vec<RankingSummary>) = Default::default();
    for seed in (args.seed..).take(args.repeat as usize) {
        for run in &definition.runs {
            let chain = definition.chain(run, args.scale, seed);
            let bar = bar(chain.duration.as_millis() as u64, &run.label);
            let analysed = run_analysed(&chain, definition.window(), seed, |summary| {
                bar.set_position(summary.window.end.0 / 1_000_000);
                let paths = summary.log2_paths.map_or("no path".to_owned(), |log2| format!("2^{log2:.0} paths"));
                bar.set_message(format!("{:.1} s  {paths}", summary.window.end.as_secs_f64()));
            });
            bar.finish_and_clear();
            let analysed = analysed.with_context(|| format!("the run '{}' failed", run.label))?;
            let of_run = definition.rows(run, &chain, &analysed, args.scale, &environment);
            runs.push(definition.summary(run, &of_run, &analysed));
            rows.extend(of_run);
            folder::write_csv(&rows_file, &rows)?;
            interrupted::check()?;
        }
    }
    folder::write_text(&out.join(DEFINITION), &toml::to_string(definition).context("the definition as TOML")?)?;
    let figure_files = draw(&out)?;
    let violations: Vec<String> = runs.iter().flat_map(|summary| definition.violations(summary)).collect();
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
    reproduced.tell(args, &definition.title, || ranking_table(&rows))
}
