//! How good predictions of latency are, on as many random changes as are asked for: the study
//! [`what-if`](thalweg::experiment::what_if), with its rows as CSV on standard output and its
//! tables on standard error.
//!
//! ```text
//! cargo bench --bench what_if            # 300 changes in virtual time and 24 on the engine
//! cargo bench --bench what_if -- --host sim --seed 3 --changes 100
//! ```
//!
//! `thalweg reproduce what-if` runs a fixed number of changes, draws them and checks them. Without
//! `--bench`, as `cargo test` runs it, two changes in virtual time show that it works.

use std::io::Stdout;
use std::path::Path;

use clap::Parser;
use rayon::prelude::*;
use thalweg::experiment::definition::Definition;
use thalweg::experiment::environment::Environment;
use thalweg::experiment::frame::{Frame, Row, text};
use thalweg::experiment::scale::Scale;
use thalweg::experiment::study::{At, Host, Trial};
use thalweg::experiment::what_if::WhatIf;
use thalweg::report::tables;

/// The seed of the figures that count. The model was developed on others: 1 to 9.
const SEED: u64 = 20;
/// At most this many jobs run before their rows are printed.
const MOST_AT_ONCE: usize = 64;
/// Columns that tell rows from each other.
const LABELS: [&str; 4] = ["case", "variant", "host", "seed"];

/// Measure how good predictions of latency are.
#[derive(Debug, clap::Parser)]
struct Arguments {
    /// The host, sim or engine [default: both]
    #[arg(long)]
    host: Option<Host>,
    /// The seed from which jobs are drawn.
    #[arg(long, default_value_t = SEED)]
    seed: u64,
    /// Changes in virtual time before and after which the job keeps up.
    #[arg(long, default_value_t = 300)]
    changes: usize,
    /// Changes on the engine after which the job keeps up.
    #[arg(long, default_value_t = 24)]
    on_engine: usize,
    /// Passed by 'cargo bench'. Without it a few changes show that the bench works.
    #[arg(long, hide = true)]
    bench: bool,
    /// As without '--bench'.
    #[arg(long)]
    test: bool,
}

fn main() -> anyhow::Result<()> {
    let asked = Arguments::parse();
    let (changes, on_engine) = if asked.bench && !asked.test { (asked.changes, asked.on_engine) } else { (2, 0) };
    let definition = Definition::named("what-if")?;
    let columns: Vec<&str> = LABELS.into_iter().chain(definition.study.columns()).collect();
    let mut printed = csv::Writer::from_writer(std::io::stdout());
    printed.write_record(&columns)?;
    let mut rows = Vec::new();
    for (host, wanted) in [(Host::Sim, changes), (Host::Engine, on_engine)] {
        if asked.host.is_none_or(|only| only == host) {
            rows.extend(measure(&definition, host, asked.seed, wanted, &mut |row| print(&mut printed, &columns, row))?);
        }
    }
    let frame = Frame::new(&columns, rows);
    eprint!("{}", tables(&definition.tables, &frame, &[]));
    definition.violations(&frame).iter().for_each(|violation| eprintln!("check failed: {violation}"));
    Ok(())
}

fn print(to: &mut csv::Writer<Stdout>, columns: &[&str], row: &Row) -> anyhow::Result<()> {
    to.write_record(columns.iter().map(|column| text(row, column)))?;
    Ok(to.flush()?)
}

/// Rows of changes, in the order of their jobs, until as many as wanted count; on the engine one
/// job runs after the other.
fn measure(
    definition: &Definition,
    host: Host,
    seed: u64,
    wanted: usize,
    print: &mut impl FnMut(&Row) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Row>> {
    let environment = Environment::default();
    let at = At { figure: "what-if", scale: Scale::Full, folder: Path::new("."), environment: &environment };
    let rows_of = |trial: &Trial| -> anyhow::Result<Vec<Row>> {
        let measured = definition.study.run(trial, at, &())?.rows;
        let labels = [("case", trial.case.clone()), ("host", trial.host.name().to_owned()), ("seed", trial.seed.to_string())];
        Ok(measured
            .into_iter()
            .map(|row| row.into_iter().chain(labels.clone().map(|(label, cell)| (label.to_owned(), cell))).collect())
            .collect())
    };
    // On the engine, also changes before which the job did not keep up.
    let counts = |row: &&Row| text(row, "variant") == "paths" && (host == Host::Engine || text(row, "kept_up_before") == "true");
    let (mut trials, mut rows, mut count) = (WhatIf::changes_of(seed, host), Vec::new(), 0);
    while count < wanted {
        let at_once = if host == Host::Engine { 1 } else { (2 * (wanted - count)).clamp(8, MOST_AT_ONCE) };
        let batch: Vec<Trial> = trials.by_ref().take(at_once).collect();
        for row in batch.par_iter().map(rows_of).collect::<anyhow::Result<Vec<_>>>()?.concat() {
            print(&row)?;
            count += usize::from(counts(&&row));
            rows.push(row);
        }
    }
    Ok(rows)
}
