//! `thalweg view`: shows a recorded run in a browser.

use std::path::PathBuf;

use super::browser;
use super::explain::manifest;
use super::failure::{Failure, usage};
use super::watched::serve;
use crate::live::Model;
use crate::live::teller::Board;

/// Show a recorded run in a browser: the page of `run --live`, with pause, speed and seek.
///
/// Serves the page until Ctrl-C. `report --html` writes the same page to a file.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  thalweg simulate heron-wordcount --out wordcount && thalweg view wordcount\n  thalweg view wordcount --address 8080"
)]
pub(super) struct Args {
    /// Folder of one run, written by `run` or `simulate`, or a subfolder of a figure's folder.
    run: PathBuf,
    /// Address to serve the page at: a port of this machine, or an address with a port [default:
    /// 127.0.0.1:8425]
    #[arg(long, value_name = "ADDR", default_value = "", hide_default_value = true)]
    address: String,
    /// Open the page in a browser.
    #[arg(long)]
    open: bool,
}

pub(super) fn view(args: &Args) -> Result<(), Failure> {
    let manifest = manifest(&args.run)?;
    let board = Board::new(Model::of_folder(&args.run, &manifest).map_err(usage)?);
    let server = serve("--address", &args.address, &board)?;
    let page = format!("http://{}/", server.address());
    println!("{page}");
    eprintln!("thalweg: shows {} until Ctrl-C", args.run.display());
    if args.open {
        browser::open(&page);
    }
    loop {
        // Ctrl-C ends the process.
        std::thread::park();
    }
}
