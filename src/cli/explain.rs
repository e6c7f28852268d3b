//! `thalweg explain`: explains in sentences what a policy did in a recorded run, and why.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::failure::{Failure, usage};
use crate::controller::Event;
use crate::experiment::folder;
use crate::experiment::record::{self, Manifest, Summary};
use crate::experiment::rows::{LatencyRow, TimelineRow};
use crate::report::{Chapter, Recorded, explain as chapters};

/// Explain what a policy did in a recorded run, and why.
///
/// For each plan: what was observed, the reason, the prediction if the policy makes one, the action
/// and its outcome. Plans are numbered; the periods between them, without an action, are
/// summarized.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  thalweg simulate heron-wordcount --policy ds2 --out wordcount && thalweg explain wordcount\n  thalweg explain wordcount --decision 1"
)]
pub(super) struct Args {
    /// Folder of one run, written by `run` or `simulate`, or a subfolder of a figure's folder.
    run: PathBuf,
    /// Only the plan with this number (from 1).
    #[arg(long, value_name = "N")]
    decision: Option<usize>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn explain(args: &Args) -> Result<(), Failure> {
    let manifest = manifest(&args.run)?;
    let timeline: Vec<TimelineRow> = folder::read_csv(&args.run.join(folder::TIMELINE)).map_err(usage)?;
    let latency: Vec<LatencyRow> = folder::read_csv(&args.run.join(folder::LATENCY)).map_err(usage)?;
    let events: Vec<Event> = folder::read_jsonl(&args.run.join(folder::DECISIONS)).map_err(usage)?;
    let recorded =
        Recorded { operators: &manifest.operators, scalable: &manifest.scalable, timeline: &timeline, latency: &latency, events: &events };
    let mut chapters = chapters(&recorded);
    let interrupted_s = interrupted_after(&args.run)?;
    let decisions = chapters.iter().filter_map(Chapter::decision).count();
    if let Some(asked) = args.decision {
        chapters.retain(|chapter| chapter.decision() == Some(asked));
        if chapters.is_empty() {
            let expected = if decisions == 0 { "no --decision (this run has no plan)".to_owned() } else { format!("1 to {decisions}") };
            return Err(usage(anyhow!("--decision: expected {expected}, found {asked}")));
        }
    }
    if args.json {
        let head = serde_json::json!({
            "run": args.run, "experiment": manifest.experiment, "policy": manifest.policy, "host": manifest.host, "seed": manifest.seed,
            "seconds": manifest.seconds, "interrupted_s": interrupted_s,
        });
        let told: Vec<serde_json::Value> = chapters.iter().map(told).collect::<Result<_, _>>()?;
        println!("{}", serde_json::json!({ "run": head, "chapters": told }));
        return Ok(());
    }
    let plans = match decisions {
        0 => "no plan".to_owned(),
        1 => "one plan".to_owned(),
        several => format!("{several} plans"),
    };
    let Manifest { experiment, policy, host, seed, seconds, .. } = &manifest;
    let mut text = format!("{experiment} under {policy} (host {host}, seed {seed}), {seconds} s: {plans}.\n");
    if let Some(seconds) = interrupted_s {
        text.push_str(&format!("The run was interrupted after {seconds:.1} s; nothing was recorded after that.\n"));
    }
    chapters.iter().for_each(|chapter| text.extend(["\n", &chapter.text()]));
    // The reader may have closed the pipe; that is no error.
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(why) if why.kind() != ErrorKind::BrokenPipe => Err(why.into()),
        _ => Ok(()),
    }
}

/// After how many seconds the run in a folder was interrupted; none if it was not.
fn interrupted_after(run: &Path) -> Result<Option<f64>, Failure> {
    let path = run.join(folder::SUMMARY);
    if !path.is_file() {
        return Ok(None);
    }
    let summary: Summary = folder::read_json(&path).map_err(usage)?;
    Ok(summary.interrupted_s)
}

/// A section as data, with its text.
fn told(chapter: &Chapter) -> Result<serde_json::Value, serde_json::Error> {
    let mut value = serde_json::to_value(chapter)?;
    value["text"] = chapter.text().into();
    Ok(value)
}

/// The manifest of the run in a folder.
pub(super) fn manifest(run: &Path) -> Result<Manifest, Failure> {
    let path = run.join(folder::RUN);
    if path.is_file() {
        return record::read_toml(&path).map_err(usage);
    }
    let entries = run.read_dir().map_err(|why| usage(anyhow!("{}: expected a run folder: {why}", run.display())))?;
    let mut below: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join(folder::RUN).is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    below.sort();
    let found = if below.is_empty() { "none".to_owned() } else { format!("folders with one: {}", below.join(", ")) };
    Err(usage(anyhow!("{}: expected the folder of one run, with a {}, found {found}", run.display(), folder::RUN)))
}
