//! Exports analysed windows to files for other programs, one module per format.
//!
//! Invariants: windows are written as they close and then discarded; a file gets its final name
//! only once it is complete; anything omitted is noted in the file or in the note returned by
//! [`Exporter::finish`]. The critical paths of a whole trace as [`Stacks`] are written at its end.

mod dot;
mod file;
mod flame;
mod overlay;
mod path_slices;
mod perfetto;
mod rows;
mod stack_format;
mod stacks;
mod view;
mod writer;

pub use overlay::Overlay;
pub use stack_format::{StackFormat, write_stacks};
pub use stacks::Stacks;
pub use view::View;

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use crate::activity::Names;
use file::WholeFile;
use writer::Writer;

/// An export format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Trace events of Chrome, for <https://ui.perfetto.dev>.
    Perfetto,
    /// Graphs for graphviz.
    Dot,
    /// One row per window, lane and subject.
    Csv,
    /// One summary per line.
    Json,
}

const FORMATS: [(&str, Format); 4] = [("perfetto", Format::Perfetto), ("dot", Format::Dot), ("csv", Format::Csv), ("json", Format::Json)];

/// The name of an unknown format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a format, one of 'perfetto', 'dot', 'csv', 'json', 'folded', 'flame' and 'overlay', found '{0}'")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Format, UnknownFormat> {
        FORMATS.iter().find(|(name, _)| *name == text).map(|(_, format)| *format).ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORMATS.iter().find(|(_, format)| format == self).map_or("", |(name, _)| name))
    }
}

/// Writes one export file.
pub struct Exporter {
    file: WholeFile,
    writer: Box<dyn Writer>,
}

impl Exporter {
    /// Creates a file. It gets the name `path` only with [`finish`](Self::finish); if dropped
    /// before, nothing remains.
    ///
    /// # Errors
    /// If no file can be written beside `path`, or `path` is a folder.
    pub fn create(format: Format, path: &Path) -> io::Result<Exporter> {
        let mut writer: Box<dyn Writer> = match format {
            Format::Perfetto => Box::new(perfetto::Perfetto::default()),
            Format::Dot => Box::new(dot::Dot::default()),
            Format::Csv => Box::new(rows::Csv::default()),
            Format::Json => Box::new(rows::JsonLines),
        };
        let mut file = WholeFile::create(path)?;
        writer.begin(&mut file)?;
        Ok(Exporter { file, writer })
    }

    /// Writes a window.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn window(&mut self, view: &View<'_>) -> io::Result<()> {
        self.writer.window(&mut self.file, view)
    }

    /// Completes the file under its final name. Returns a note on what was omitted, if anything.
    ///
    /// # Errors
    /// If the file cannot be written; nothing of it remains then.
    pub fn finish(mut self, names: &Names) -> io::Result<Option<String>> {
        let note = self.writer.finish(&mut self.file, names)?;
        self.file.finish()?;
        Ok(note)
    }
}

#[cfg(test)]
mod tests;
