//! `thalweg reproduce` for overhead experiments on NEXMark queries.

use anyhow::Context as _;

use super::plot::draw;
use super::reproduce::{Args, out_folder};
use super::reproduced::{Reproduced, bar, check_cases};
use super::{Failure, interrupted};
use crate::engine::nexmark::Query;
use crate::experiment::environment::Environment;
use crate::experiment::folder;
use crate::experiment::nexmark_overhead::{OverheadDefinition, OverheadRow, OverheadSummary};
use crate::experiment::record::DEFINITION;
use crate::report::overhead_table;

pub(super) fn reproduce(args: &Args, definition: &OverheadDefinition) -> Result<(), Failure> {
    let known: Vec<String> = definition.queries.iter().map(ToString::to_string).collect();
    check_cases(args, &definition.figure, &known)?;
    let environment = Environment::here();
    let out = out_folder(args.out.as_deref(), &format!("{}-{}", definition.figure, args.scale), &definition.figure, &environment)?;
    folder::write_text(&out.join(DEFINITION), &toml::to_string(definition).context("the definition as TOML")?)?;
    let rows_file = out.join(folder::NEXMARK_OVERHEAD);
    let mut rows: Vec<OverheadRow> = Vec::new();
    // Pairs for throughput, and as many for latency.
    let pairs = 2 * definition.pairs.at(args.scale) * args.repeat;
    let asked = |query: &Query| args.cases.is_empty() || args.cases.contains(&query.to_string());
    let queries: Vec<Query> = definition.queries.iter().copied().filter(asked).collect();
    let bar = bar(queries.len() as u64 * pairs, "pairs");
    for query in queries {
        for repeat in 0..args.repeat {
            let seed = args.seed + repeat * definition.pairs.at(args.scale);
            rows.extend(definition.measure(query, args.scale, seed, &environment, |rows| {
                let row = rows.last().expect("a row was added");
                bar.set_message(format!(
                    "{query}: {:.2} of the events/s, {} over {}",
                    row.with_per_s / row.without_per_s,
                    row.with,
                    row.without
                ));
                bar.inc(1);
            })?);
            folder::write_csv(&rows_file, &rows)?;
            interrupted::check()?;
        }
    }
    bar.finish_and_clear();
    let figure_files = draw(&out)?;
    let runs = OverheadSummary::of(&rows);
    let violations: Vec<String> = runs.iter().flat_map(|summary| definition.violations(summary)).collect();
    let table = overhead_table(&runs);
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
