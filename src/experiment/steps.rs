//! Steps that a command takes on the file system, and a sudden end after one of them.
//!
//! What a kill leaves depends on the step it comes after. Tests go through all of them: they name a step in [`STOP_AFTER`], and the program
//! aborts once it has taken it, without running any destructor. A step is one change of names in a folder (a file or a folder that
//! is created, renamed or removed) or the completion of a file's content. All of a command's processes count together, so that none
//! goes on after another one has stopped.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::process::abort;
use std::sync::OnceLock;

/// Environment variable `<step> <file>`: abort after that step, counted from 1; the length of the file counts the steps taken.
pub const STOP_AFTER: &str = "THALWEG_STOP_AFTER_STEP";

struct Stop {
    after: u64,
    /// Opened for appending, a byte a step: it counts across processes.
    counter: File,
}

/// A step has been taken. Does nothing unless [`STOP_AFTER`] is set.
pub fn taken() {
    static STOP: OnceLock<Option<Stop>> = OnceLock::new();
    let Some(stop) = STOP.get_or_init(asked) else { return };
    let counted = (&stop.counter).write_all(b".").and_then(|()| stop.counter.metadata());
    // A count that cannot be kept ends the program too: going on would prove nothing.
    if counted.map_or(true, |counter| counter.len() >= stop.after) {
        abort();
    }
}

fn asked() -> Option<Stop> {
    let text = std::env::var(STOP_AFTER).ok()?;
    let (after, file) = text.split_once(' ')?;
    let counter = OpenOptions::new().append(true).create(true).open(file).ok()?;
    Some(Stop { after: after.parse().ok()?, counter })
}
