//! Graphviz output: one cluster per window, one row per lane.
//!
//! Nodes are points on lanes, edges are activities and messages. Wide edges have a high
//! participation, red ones are on the most likely path, dashed ones are waits and messages that
//! were queued. Graphviz cannot lay out more than some thousand edges, so the file ends there and
//! says so.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::View;
use super::writer::Writer;
use crate::activity::Names;
use crate::pag::PieceKind;

/// The most windows in a file.
const MOST_WINDOWS: u64 = 16;
/// The most edges in a file; a window that would exceed it is omitted as a whole.
const MOST_EDGES: usize = 4000;

/// Writes one digraph.
#[derive(Default)]
pub(super) struct Dot {
    windows: u64,
    left_out: u64,
    edges: usize,
}

impl Dot {
    fn lane(&mut self, text: &mut String, view: &View<'_>, lane: usize, pieces_on_path: &[bool]) {
        let (range, window) = (&view.graph.ranges[lane], self.windows);
        let mut node = format!("w{window}l{lane}s");
        let label = quoted(&view.names.lane(view.graph.lanes[lane]));
        let _ = writeln!(text, "    {node} [shape=plaintext, label={label}];");
        let mut pieces = range.pieces.clone().peekable();
        for segment in range.first_segment..=range.first_segment + range.points.len() as u32 {
            let point = range.points.start + (segment - range.first_segment);
            let end = if point < range.points.end { format!("w{window}p{point}") } else { format!("w{window}l{lane}e") };
            let share = view.participation.segments[segment as usize];
            while let Some(number) = pieces.next_if(|&number| view.graph.pieces[number as usize].segment == segment) {
                let piece = &view.graph.pieces[number as usize];
                let is_last = pieces.peek().is_none_or(|&next| view.graph.pieces[next as usize].segment != segment);
                let next = if is_last { end.clone() } else { format!("w{window}c{number}") };
                let style = match piece.kind {
                    PieceKind::Wait { .. } => "dashed",
                    PieceKind::Gap | PieceKind::Silence => "dotted",
                    PieceKind::Work { .. } => "solid",
                };
                let label = format!("{}\n{}", view.piece_label(piece), duration(piece.end.0 - piece.start.0));
                self.edge(text, (&node, &next), &label, share, style, pieces_on_path[number as usize]);
                node = next;
            }
            // Points at the same instant have nothing between them.
            if node != end {
                self.edge(text, (&node, &end), "", share, "solid", false);
                node = end;
            }
        }
    }

    fn edge(&mut self, text: &mut String, (from, to): (&str, &str), label: &str, share: f64, style: &str, on_path: bool) {
        let (label, width) = (quoted(label), 1.0 + 4.0 * share);
        let color = if on_path { ", color=red" } else { "" };
        let _ = writeln!(text, "    {from} -> {to} [label={label}, penwidth={width:.2}, style={style}{color}];");
        self.edges += 1;
    }
}

impl Writer for Dot {
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"digraph activity {\n  rankdir=LR;\n  node [shape=point];\n  edge [fontsize=8, arrowsize=0.5];\n")
    }

    fn window(&mut self, out: &mut dyn Write, view: &View<'_>) -> io::Result<()> {
        let edges = view.graph.pieces.len() + view.graph.points.len() + view.graph.messages.len();
        if self.windows >= MOST_WINDOWS || self.edges + edges > MOST_EDGES || self.left_out > 0 {
            self.left_out += 1;
            return Ok(());
        }
        let (pieces_on_path, messages_on_path) = view.on_path();
        let window = self.windows;
        let mut text = format!("  subgraph cluster_w{window} {{\n");
        let label = quoted(&format!("{} to {}", view.graph.window.start, view.graph.window.end));
        let _ = writeln!(text, "    label={label};");
        for lane in 0..view.graph.ranges.len() {
            self.lane(&mut text, view, lane, &pieces_on_path);
        }
        for (number, edge) in view.graph.messages.iter().enumerate() {
            let end = |point: Option<u32>, outside: &str| point.map_or(format!("w{window}{outside}"), |point| format!("w{window}p{point}"));
            let (from, to) = (end(edge.from, "before"), end(edge.to, "after"));
            let style = if edge.blocked { "dashed" } else { "bold" };
            let label = format!("{}\n{}", view.message_label(edge), duration(edge.end.0 - edge.start.0));
            self.edge(&mut text, (&from, &to), &label, view.participation.messages[number], style, messages_on_path[number]);
        }
        text.push_str("  }\n");
        self.windows += 1;
        out.write_all(text.as_bytes())
    }

    fn finish(&mut self, out: &mut dyn Write, _names: &Names) -> io::Result<Option<String>> {
        let note = (self.left_out > 0).then(|| {
            format!(
                "{} windows are left out: a graph has at most {MOST_WINDOWS} windows and {MOST_EDGES} edges; choose some with --from and --until, or a shorter --window",
                self.left_out
            )
        });
        if let Some(note) = &note {
            writeln!(out, "  label={};", quoted(note))?;
        }
        out.write_all(b"}\n")?;
        Ok(note)
    }
}

/// A string of the DOT language; line breaks are escaped.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn duration(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} µs", ns as f64 / 1e3),
        _ => format!("{:.2} ms", ns as f64 / 1e6),
    }
}
