//! Errors in traces, and oddities that are counted.
//!
//! Invariant: an error names the file and the place in it. Damage ends a file; an oddity is counted
//! and reading continues.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a trace, or one of its files, cannot be read further. Everything before the error has been
/// returned.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No file was given.
    #[error("expected at least one trace, found none")]
    NoFiles,
    /// An I/O error.
    #[error("{}, {place}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// How far it was read.
        place: Place,
        /// The operating system's error.
        source: io::Error,
    },
    /// The content is invalid.
    #[error("{}, {place}: expected {expected}, found {found}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The place in it.
        place: Place,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
}

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A byte of a binary file, from 0.
    Byte(u64),
    /// A line of a text file, from 1.
    Line(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Byte(byte) => write!(f, "byte {byte}"),
            Place::Line(line) => write!(f, "line {line}"),
        }
    }
}

/// A [`ReadError`] without the file.
#[derive(Debug)]
pub(super) enum Damage {
    Io(Place, io::Error),
    Content { place: Place, expected: String, found: String },
}

impl Damage {
    pub(super) fn new(place: Place, expected: impl Into<String>, found: impl Into<String>) -> Damage {
        Damage::Content { place, expected: expected.into(), found: found.into() }
    }

    pub(super) fn of(self, file: PathBuf) -> ReadError {
        match self {
            Damage::Io(place, source) => ReadError::Io { file, place, source },
            Damage::Content { place, expected, found } => ReadError::Damaged { file, place, expected, found },
        }
    }
}

/// Oddities of a file, which do not prevent reading it, counted by kind.
#[derive(Debug, Default)]
pub(super) struct Oddities {
    counts: BTreeMap<Cow<'static, str>, u64>,
}

impl Oddities {
    /// Maximum number of kinds; a damaged file could produce any number.
    const MOST_KINDS: usize = 64;

    pub(super) fn count(&mut self, what: impl Into<Cow<'static, str>>) {
        let what = what.into();
        let known = self.counts.len() < Self::MOST_KINDS || self.counts.contains_key(&what);
        *self.counts.entry(if known { what } else { "oddities of further kinds".into() }).or_default() += 1;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(what, &count)| (what.as_ref(), count))
    }
}

/// The beginning of `bytes` as printable text, for an error.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const MOST: usize = 60;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * MOST)]);
    let short: String = text.chars().take(MOST).collect();
    let more = if short.len() < text.len() || bytes.len() > 4 * MOST { "…" } else { "" };
    format!("{short:?}{more}")
}
