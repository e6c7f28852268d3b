//! What `run` and `simulate` have in common: where a run goes, and what is kept and printed of it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::failure::Failure;
use super::hosts::wrong_hosts;
use super::plot::draw;
use super::reproduce::out_folder;
use crate::experiment::environment::Environment;
use crate::experiment::folder;
use crate::experiment::out_folder::OutFolder;
use crate::experiment::record::{self, Manifest, Summary};
use crate::experiment::run::{RunFailure, RunResult};

/// Flags for the results of a run.
#[derive(Debug, clap::Args)]
pub(super) struct OutcomeArgs {
    /// Output folder [default: a new one in runs/]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Also save the activity log.
    #[arg(long)]
    record: bool,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

impl OutcomeArgs {
    /// Begins the folder of a run; `name` is the start of its name, `figure` that of its figures.
    pub(super) fn folder(&self, name: &str, figure: &str, environment: &Environment) -> Result<OutFolder, Failure> {
        out_folder(self.out.as_deref(), name, figure, environment)
    }

    /// The file for the activity log in that folder, if it is to be saved.
    pub(super) fn activity(&self, out: &Path) -> Option<PathBuf> {
        self.record.then(|| out.join(folder::ACTIVITY))
    }

    /// Keeps and prints the results of a run, or of the part of it that was not interrupted; `more`
    /// gives further values by name for JSON and a further line for text. Without a topology that
    /// can be rescaled there is nothing to draw.
    pub(super) fn keep(
        &self,
        out: OutFolder,
        manifest: &Manifest,
        result: Result<RunResult, RunFailure>,
        drawn: bool,
        more: impl FnOnce(&RunResult) -> (Vec<(&'static str, Value)>, String),
    ) -> Result<(), Failure> {
        record::write_row(&out, manifest, result.as_ref())?;
        let result = match result {
            Err(RunFailure::Interrupted(partial)) => *partial,
            Err(RunFailure::Engine(why)) => return Err(wrong_hosts(why)),
            result => result?,
        };
        record::write(&out, manifest, &result)?;
        let figure_files = if drawn && !result.timeline.is_empty() { draw(&out)? } else { Vec::new() };
        let (summary, (values, line)) = (Summary::of(manifest, &result), more(&result));
        if self.json {
            let mut printed = serde_json::json!({ "run": &*out, "summary": summary, "figure_files": figure_files });
            values.into_iter().for_each(|(name, value)| printed[name] = value);
            println!("{printed}");
        } else {
            print!("{summary}{line}");
            println!("folder              {}", out.display());
            figure_files.iter().for_each(|file| println!("figure              {}", file.display()));
        }
        Ok(out.finish()?)
    }
}
