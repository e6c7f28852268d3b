//! The command `thalweg`.

use std::process::ExitCode;

/// Gives freed memory back to the system soon: a bin that has gone to another process must not count here any more. It is also the
/// faster one where state is made on one thread and let go on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    thalweg::cli::main()
}
