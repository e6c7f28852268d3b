//! What is wrong with a load, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where in a file something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    File,
    /// A line, from 1.
    Line(u64),
    /// An entry of a list, from 1.
    Entry(usize),
}

/// A file that is no load, or a load that does not fit a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct LoadError {
    /// The file; empty where the load was made.
    pub file: PathBuf,
    /// Where in it.
    pub place: Place,
    /// What was expected and what was found.
    pub what: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.as_os_str().is_empty() {
            write!(f, "{}", self.file.display())?;
            match self.place {
                Place::File => {}
                Place::Line(line) => write!(f, ", line {line}")?,
                Place::Entry(entry) => write!(f, ", entry {entry}")?,
            }
            write!(f, ": ")?;
        }
        write!(f, "{}", self.what)
    }
}

impl LoadError {
    /// About the whole file.
    pub(super) fn of_file(file: &Path, what: String) -> LoadError {
        LoadError { file: file.to_owned(), place: Place::File, what }
    }
}
