//! The command `thalweg`.

use std::process::ExitCode;

fn main() -> ExitCode {
    thalweg::cli::main()
}
