//! Exports and the figure, which need the windows' graphs.
//!
//! They build their own graphs, separately from the analysis. Invariant: at most one graph is held
//! at a time.

use std::io;

use anyhow::anyhow;

use super::arguments::Asked;
use super::heard::Heard;
use crate::activity::{Names, Record};
use crate::cli::failure::{Failure, usage};
use crate::critical_path::{Participation, WindowSummary, likeliest_path};
use crate::engine::path_numbers;
use crate::export::{Exporter, Overlay, View};
use crate::pag::{GraphBuilder, WindowGraph};
use crate::plot::{LaneFigure, LaneLabels};
use crate::readers;
use crate::time::Timestamp;

/// All output to files.
pub(super) struct Pictures<'a> {
    asked: &'a Asked,
    builder: GraphBuilder,
    names: Names,
    exporters: Vec<(String, Exporter)>,
    overlays: Vec<(String, Overlay)>,
    figure: Option<LaneFigure>,
    /// All requested windows have been seen.
    done: bool,
}

impl<'a> Pictures<'a> {
    pub(super) fn new(asked: &'a Asked) -> Result<Pictures<'a>, Failure> {
        let create = |(format, path): &(crate::export::Format, std::path::PathBuf)| {
            let name = format!("--export {format}={}", path.display());
            match Exporter::create(*format, path) {
                Ok(exporter) => Ok((name, exporter)),
                Err(why) => Err(cannot_write(&name, &why)),
            }
        };
        let lay_over = |path: &std::path::PathBuf| {
            let name = format!("--export overlay={}", path.display());
            match Overlay::create(path) {
                Ok(overlay) => Ok((name, overlay)),
                Err(why) => Err(cannot_write(&name, &why)),
            }
        };
        Ok(Pictures {
            asked,
            builder: GraphBuilder::new(asked.graph),
            names: Names::default(),
            exporters: asked.exports.iter().map(create).collect::<Result<_, _>>()?,
            overlays: asked.overlays.iter().map(lay_over).collect::<Result<_, _>>()?,
            figure: asked.plot.as_ref().map(|_| LaneFigure::new(asked.stretch())),
            done: false,
        })
    }

    pub(super) fn take(&mut self, records: &[Record], heard: &Heard) -> Result<(), Failure> {
        if self.exporters.is_empty() && self.overlays.is_empty() && self.figure.is_none() {
            return Ok(());
        }
        for record in records {
            self.names.learn(record);
            self.builder.push(record);
        }
        self.close(if heard.all() { self.builder.known() } else { Timestamp::ZERO })
    }

    fn close(&mut self, known: Timestamp) -> Result<(), Failure> {
        while !self.done
            && let Some(graph) = self.builder.close(known)
        {
            self.done = graph.window.start >= self.asked.selected().end;
            if self.done || graph.window.end <= self.asked.selected().start {
                self.builder.recycle(graph);
            } else {
                self.window(graph)?;
            }
        }
        Ok(())
    }

    fn window(&mut self, graph: WindowGraph) -> Result<(), Failure> {
        let summary = WindowSummary::of(&graph, path_numbers(0, graph.window.start));
        let participation = Participation::of(&graph);
        let path = likeliest_path(&graph, &participation);
        let view = View { graph: &graph, participation: &participation, path: &path, summary: &summary, names: &self.names };
        for (name, exporter) in &mut self.exporters {
            exporter.window(&view).map_err(|why| cannot_write(name, &why))?;
        }
        self.overlays.iter_mut().for_each(|(_, overlay)| overlay.window(&view));
        if let Some(figure) = &mut self.figure {
            figure.offer(graph, path, summary.log2_paths);
        }
        Ok(())
    }

    /// Adds the last windows and moves the files to their final names; the trace began at `origin`, in
    /// ns.
    pub(super) fn finish(mut self, origin: u64) -> Result<(), Failure> {
        self.close(Timestamp(u64::MAX))?;
        for (name, exporter) in self.exporters {
            let note = exporter.finish(&self.names).map_err(|why| cannot_write(&name, &why))?;
            note.into_iter().for_each(|note| eprintln!("note: {name}: {note}"));
        }
        for (name, overlay) in self.overlays {
            let content = self.asked.file_to_copy().map_or_else(|| Err(io::ErrorKind::NotFound.into()), readers::content);
            content.and_then(|content| overlay.finish(content, origin)).map_err(|why| cannot_write(&name, &why))?;
        }
        if let (Some(figure), Some(path)) = (self.figure, &self.asked.plot) {
            let footer = format!("thalweg analyze {}, windows of {}", self.asked.files_text(), self.asked.window_text);
            let labels = LaneLabels { title: "Activity of each lane, and the most likely critical path".to_owned(), footer };
            figure.draw(&self.names, &labels, path).map_err(usage)?;
        }
        Ok(())
    }
}

/// The error of a file that cannot be written, by the flag that asked for it.
pub(super) fn cannot_write(name: &str, why: &io::Error) -> Failure {
    usage(anyhow!("{name}: cannot be written: {why}"))
}
