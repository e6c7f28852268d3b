//! `thalweg completions`: prints a shell's completion script.

use clap_complete::Shell;

use super::failure::Failure;

/// Print a completion script for your shell, for example `thalweg completions bash >
/// ~/.local/share/bash-completion/completions/thalweg`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell.
    shell: Shell,
}

/// Prints them for the command line `all`.
pub(super) fn completions(args: &Args, mut all: clap::Command) -> Result<(), Failure> {
    clap_complete::generate(args.shell, &mut all, "thalweg", &mut std::io::stdout());
    Ok(())
}
