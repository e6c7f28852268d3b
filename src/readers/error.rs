//! What can be wrong with a trace, and what was odd about it.
//!
//! Invariant: an error names the file and the place in it. Damage ends a file; an oddity is counted and reading goes on.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a trace, or one of its files, cannot be read (further). What came before has been given out.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No file was named.
    #[error("expected at least one trace, found none")]
    NoFiles,
    /// The system failed to open or to read a file.
    #[error("{}, {place}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// How far it was read.
        place: Place,
        /// What the system said.
        source: io::Error,
    },
    /// The content is not what it should be.
    #[error("{}, {place}: expected {expected}, found {found}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it.
        place: Place,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
}

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A byte, from 0: of a binary file.
    Byte(u64),
    /// A line, from 1: of a text.
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

/// A [`ReadError`] whose file is not yet named.
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

/// What is strange about a file but stops nobody from reading on, counted by what it is.
#[derive(Debug, Default)]
pub(super) struct Oddities {
    counts: BTreeMap<Cow<'static, str>, u64>,
}

impl Oddities {
    /// Kinds that are told apart; a damaged file could make up any number of them.
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

/// The beginning of `bytes` as a person can read it, for an error.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const MOST: usize = 60;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * MOST)]);
    let short: String = text.chars().take(MOST).collect();
    let more = if short.len() < text.len() || bytes.len() > 4 * MOST { "…" } else { "" };
    format!("{short:?}{more}")
}
