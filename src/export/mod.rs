//! Analysed windows, written for other programs: one file a format.
//!
//! Invariants: windows are written as they close and then forgotten; a file has its final name only once it is whole; whatever had to be
//! left out is said in the file or in the note that [`Exporter::finish`] gives.

mod dot;
mod file;
mod perfetto;
mod rows;
mod view;
mod writer;

pub use view::View;

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use crate::activity::Names;
use file::WholeFile;
use writer::Writer;

/// A format to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Trace events of Chrome, for <https://ui.perfetto.dev>.
    Perfetto,
    /// Graphs for graphviz.
    Dot,
    /// A row a window, lane and subject.
    Csv,
    /// A summary a line.
    Json,
}

const FORMATS: [(&str, Format); 4] = [("perfetto", Format::Perfetto), ("dot", Format::Dot), ("csv", Format::Csv), ("json", Format::Json)];

/// The name of no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a format, one of 'perfetto', 'dot', 'csv' and 'json', found '{0}'")]
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

/// Writes one file.
pub struct Exporter {
    file: WholeFile,
    writer: Box<dyn Writer>,
}

impl Exporter {
    /// Begins a file. It has the name `path` only after [`finish`](Self::finish); dropped before, nothing is left.
    ///
    /// # Errors
    /// When no file can be written beside `path`, or `path` is a folder.
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
    /// When the file cannot be written.
    pub fn window(&mut self, view: &View<'_>) -> io::Result<()> {
        self.writer.window(&mut self.file, view)
    }

    /// Gives the file its name. Says what had to be left out, if anything.
    ///
    /// # Errors
    /// When the file cannot be written; then nothing is left of it.
    pub fn finish(mut self, names: &Names) -> io::Result<Option<String>> {
        let note = self.writer.finish(&mut self.file, names)?;
        self.file.finish()?;
        Ok(note)
    }
}

#[cfg(test)]
mod tests;
