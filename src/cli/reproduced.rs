//! The output of `thalweg reproduce` at its end, common to all kinds of experiment.

use std::path::PathBuf;

use anyhow::anyhow;
use indicatif::{ProgressBar, ProgressStyle};

use super::reproduce::Args;
use super::{Failure, usage};
use crate::experiment::environment::Environment;
use crate::experiment::out_folder::OutFolder;

/// An experiment that was run, recorded and plotted: what `reproduce --json` prints. `S` summarizes
/// a run, or all runs of a setting.
#[derive(serde::Serialize)]
pub(super) struct Reproduced<'a, S> {
    /// Name of the figure.
    pub(super) figure: &'a str,
    /// Where the job ran.
    pub(super) host: &'a str,
    /// Size of the runs.
    pub(super) scale: String,
    /// How many times faster control time runs than in the paper, where there is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) time_factor: Option<f64>,
    /// Revision, machine and command.
    pub(super) environment: Environment,
    /// Summaries of the runs.
    pub(super) runs: Vec<S>,
    /// The checks that failed.
    pub(super) violations: Vec<String>,
    /// Where the rows are.
    pub(super) rows_file: PathBuf,
    /// Where the figure is.
    pub(super) figure_files: Vec<PathBuf>,
    /// The folder they are in.
    #[serde(skip)]
    pub(super) folder: OutFolder,
}

impl<S: serde::Serialize> Reproduced<'_, S> {
    /// Prints the result as JSON, or as `title`, `table` and the paths of the files, and completes
    /// the folder.
    ///
    /// # Errors
    /// With `--check`, if a check failed.
    pub(super) fn tell(self, args: &Args, title: &str, table: impl FnOnce() -> String) -> Result<(), Failure> {
        if args.json {
            println!("{}", serde_json::to_string(&self)?);
        } else {
            println!("{title}\n");
            print!("{}", table());
            println!("\nrows    {}", self.rows_file.display());
            self.figure_files.iter().for_each(|file| println!("figure  {}", file.display()));
            self.violations.iter().for_each(|violation| println!("check failed: {violation}"));
        }
        self.folder.finish()?;
        if args.check && !self.violations.is_empty() {
            return Err(Failure::Run(anyhow!("check failed: {}", self.violations.join("; "))));
        }
        Ok(())
    }
}

/// Rejects names in `--policies` that are not policies of the figure.
pub(super) fn check_policies(args: &Args, figure: &str, known: &[&str]) -> Result<(), Failure> {
    let Some(found) = args.policies.iter().find(|policy| !known.contains(&policy.as_str())) else { return Ok(()) };
    let known: Vec<String> = known.iter().map(|name| format!("'{name}'")).collect();
    Err(usage(anyhow!("--policies: expected policies of {figure}, among {}, found '{found}'", known.join(", "))))
}

/// Rejects names in `--cases` that are not cases of `figure`.
pub(super) fn check_cases(args: &Args, figure: &str, known: &[String]) -> Result<(), Failure> {
    let Some(found) = args.cases.iter().find(|case| !known.contains(case)) else { return Ok(()) };
    Err(usage(anyhow!("--cases: expected cases of {figure} on this host, among {}, found '{found}'", known.join(", "))))
}

/// A progress bar on standard error that counts `runs`.
pub(super) fn runs_bar(runs: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} {msg}").expect("the template is fixed").progress_chars("=> ");
    ProgressBar::new(runs as u64).with_style(style)
}

/// A progress bar on standard error with a name.
pub(super) fn bar(length: u64, name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>8} {bar:30} {msg}").expect("the template is fixed").progress_chars("=> ");
    ProgressBar::new(length).with_style(style).with_prefix(name.to_owned())
}
