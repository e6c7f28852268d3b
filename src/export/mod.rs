//! Exports analysed windows to files for other programs, one module per format.
//!
//! Invariants: windows are written as they close and then discarded; a file gets its final name
//! only once it is complete; anything omitted is noted in the file or in the note returned by
//! [`Exporter::finish`].

mod dot;
mod file;
mod perfetto;
mod rows;

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

use crate::activity::{Lane, Names};
use crate::critical_path::{Participation, PathStep, WindowSummary};
use crate::pag::{MessageEdge, Piece, PieceKind, WindowGraph};
use file::WholeFile;

/// A window and its analysis.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Its graph.
    pub graph: &'a WindowGraph,
    /// The graph's participations.
    pub participation: &'a Participation,
    /// The most likely path through it.
    pub path: &'a [PathStep],
    /// Its summary.
    pub summary: &'a WindowSummary,
    /// Names known so far.
    pub names: &'a Names,
}

impl View<'_> {
    /// Whether activities and messages, by number, are on the most likely path.
    fn on_path(&self) -> (Vec<bool>, Vec<bool>) {
        let (mut pieces, mut messages) = (vec![false; self.graph.pieces.len()], vec![false; self.graph.messages.len()]);
        for step in self.path {
            match *step {
                PathStep::Piece(piece) => pieces[piece as usize] = true,
                PathStep::Message(message) => messages[message as usize] = true,
            }
        }
        (pieces, messages)
    }

    fn lane(&self, number: u32) -> Lane {
        self.graph.lanes[number as usize]
    }

    /// Description of an activity.
    fn piece_label(&self, piece: &Piece) -> String {
        match piece.kind {
            PieceKind::Work { kind, instance, .. } => format!("{} {kind}", self.names.instance(instance)),
            PieceKind::Gap => "gap".to_owned(),
            PieceKind::Silence => "silence".to_owned(),
            PieceKind::Wait { channel, from_lane } => {
                format!("waits for {} by {}", self.names.lane(self.lane(from_lane)), self.names.channel(channel))
            }
        }
    }

    fn message_label(&self, edge: &MessageEdge) -> String {
        format!("{} {}", self.names.channel(edge.channel), edge.kind)
    }
}

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

/// Writes windows in some format to a given output.
trait Writer {
    /// Writes what precedes the first window.
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()>;
    /// Writes a window.
    fn window(&mut self, out: &mut dyn Write, view: &View<'_>) -> io::Result<()>;
    /// Writes what follows the last window; returns a note on what was omitted.
    fn finish(&mut self, out: &mut dyn Write, names: &Names) -> io::Result<Option<String>>;
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
