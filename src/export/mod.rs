//! Analysed windows, written for other programs: one file a format.
//!
//! Invariants: windows are written as they close and then forgotten; a file has its final name only once it is whole; whatever had to be
//! left out is said in the file or in the note that [`Exporter::finish`] gives.

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

/// A window and all that is known of it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Its graph.
    pub graph: &'a WindowGraph,
    /// The graph's participations.
    pub participation: &'a Participation,
    /// The likeliest path through it.
    pub path: &'a [PathStep],
    /// Its summary.
    pub summary: &'a WindowSummary,
    /// Names learnt so far.
    pub names: &'a Names,
}

impl View<'_> {
    /// Whether pieces and messages, by number, lie on the likeliest path.
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

    /// What a piece is, for people.
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

/// How windows are written in some format; what they are written to is handed in.
trait Writer {
    /// What comes before the first window.
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()>;
    /// A window.
    fn window(&mut self, out: &mut dyn Write, view: &View<'_>) -> io::Result<()>;
    /// What comes after the last window; says what had to be left out.
    fn finish(&mut self, out: &mut dyn Write, names: &Names) -> io::Result<Option<String>>;
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
