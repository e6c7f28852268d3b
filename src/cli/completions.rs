//! `thalweg completions`: prints a shell's completion script.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Failure};

/// Print a completion script for your shell, for example `thalweg completions bash >
/// ~/.local/share/bash-completion/completions/thalweg`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell.
    shell: Shell,
}

pub(super) fn completions(args: &Args) -> Result<(), Failure> {
    clap_complete::generate(args.shell, &mut Cli::command(), "thalweg", &mut std::io::stdout());
    Ok(())
}
