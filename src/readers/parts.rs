//! The files that a log consists of, as they become known while it is read: which line is whose, and
//! what is to be said of each.
//!
//! Invariants: lines are counted from 1 over all files; a log that is one file has no parts.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::{Damage, Place, ReadError};

/// A file and the number of its first line.
type Part = (PathBuf, u64);

#[derive(Debug, Default)]
struct Known {
    begun: Vec<Part>,
    /// Lines that end with their file, though others follow.
    cut_off: Vec<u64>,
    notes: Vec<String>,
}

/// What is known of the parts; shared between who reads their bytes and who reads their lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    known: Arc<Mutex<Known>>,
}

impl Parts {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file follows, whose first line is `line`.
    pub(super) fn begin(&self, file: PathBuf, line: u64) {
        self.known().begun.push((file, line));
    }

    /// Line `line`, the last of the file that began last, does not end, though others follow.
    pub(super) fn cut_off(&self, line: u64) {
        self.known().cut_off.push(line);
        self.note_of_last("the last line does not end, though further files follow");
    }

    /// Whether the line at a place ends only because its file does, though others follow.
    pub(super) fn is_cut_off(&self, place: Place) -> bool {
        self.known().cut_off.iter().any(|&line| Place::Line(line) == place)
    }

    /// Adds an oddity.
    pub(super) fn note(&self, what: String) {
        self.known().notes.push(what);
    }

    /// Adds an oddity of the file that began last.
    pub(super) fn note_of_last(&self, what: &str) {
        let mut known = self.known();
        let name = known.begun.last().and_then(|(file, _)| file.file_name()).unwrap_or_default();
        let note = format!("{}: {what}", name.display());
        known.notes.push(note);
    }

    /// The oddities.
    pub(super) fn notes(&self) -> Vec<String> {
        self.known().notes.clone()
    }

    /// The error for damage in the whole log, which `file` stands for: of the file that it is in, with
    /// the place there.
    pub(super) fn error(&self, mut damage: Damage, file: PathBuf) -> ReadError {
        let known = self.known();
        let (Damage::Io(place, _) | Damage::Content { place, .. }) = &mut damage;
        let part = match place {
            Place::Line(line) => known.begun.iter().rev().find(|(_, first)| first <= line),
            // Before the first line is read.
            Place::Byte(_) => known.begun.last(),
        };
        let Some((part, first)) = part else { return damage.of(file) };
        if let Place::Line(line) = place {
            *line = *line - first + 1;
        }
        damage.of(part.clone())
    }
}
