//! `thalweg report`: prints the tables of recorded runs.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::explain::manifest;
use super::failure::{Failure, usage};
use super::watched::{check_report, write_page};
use crate::experiment::definition::Definition;
use crate::experiment::folder::RUN_PAGE;
use crate::experiment::frame::{self, Recorded};
use crate::experiment::record::DEFINITION;
use crate::experiment::view;
use crate::report::tables;

/// Print the tables of recorded runs: beside the paper's, or as medians of several. With --html,
/// write the page of one run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  thalweg report runs/ds2-fig6\n  thalweg report --html runs/my-run --out story.html")]
pub(super) struct Args {
    #[arg(help = format!("A folder with rows, as `run`, `simulate` and `reproduce` write it: one of {}", frame::files().collect::<Vec<_>>().join(", ")))]
    folder: PathBuf,
    /// Print the rows as one JSON array instead of a table.
    #[arg(long)]
    json: bool,
    /// Write the page of one run as one HTML file, which needs no network: graph, critical path, decisions.
    #[arg(long, conflicts_with = "json")]
    html: bool,
    /// The file for --html [default: run.html in the folder]
    #[arg(long, value_name = "FILE", requires = "html")]
    out: Option<PathBuf>,
}

pub(super) fn report(args: &Args) -> Result<(), Failure> {
    if args.html {
        let file = args.out.clone().unwrap_or_else(|| args.folder.join(RUN_PAGE));
        let manifest = manifest(&args.folder)?;
        check_report(&file)?;
        write_page(&args.folder, &manifest, &file)?;
        println!("{}", file.display());
    } else if args.json {
        println!("{}", read(&args.folder)?.0.frame.json());
    } else {
        print!("{}", table_of(&args.folder)?);
    }
    Ok(())
}

/// The tables of a folder, in Markdown.
pub(super) fn table_of(folder: &Path) -> Result<String, Failure> {
    let (recorded, definition) = read(folder)?;
    Ok(match definition {
        Some(definition) => tables(&definition.tables, &recorded.frame, &definition.paper),
        // A run of one's own has no paper to be compared with.
        None => tables(&[view::table("runs").expect("views are tested")], &recorded.frame, &[]),
    })
}

/// What is recorded in a folder, and the definition of the experiment if it is one.
pub(super) fn read(folder: &Path) -> Result<(Recorded, Option<Definition>), Failure> {
    let mut recorded = Recorded::read(folder).map_err(usage)?;
    if recorded.frame.is_empty() {
        return Err(usage(anyhow!("{}: expected rows, found none", recorded.path.display())));
    }
    // What was recorded by an older program is shown by today's definition of that name.
    let own = std::fs::read_to_string(folder.join(DEFINITION)).ok().and_then(|text| Definition::read(&text, None).ok());
    let definition = own.or_else(|| Definition::named(&recorded.figure()?).ok());
    if let Some(definition) = &definition {
        definition.complete(&mut recorded.frame);
    }
    Ok((recorded, definition))
}
