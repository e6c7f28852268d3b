//! A window with its analysis, as passed to exporters.

use crate::activity::{Lane, Names};
use crate::critical_path::{Participation, PathStep, WindowSummary};
use crate::pag::{MessageEdge, Piece, PieceKind, WindowGraph};

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
    pub(super) fn on_path(&self) -> (Vec<bool>, Vec<bool>) {
        let (mut pieces, mut messages) = (vec![false; self.graph.pieces.len()], vec![false; self.graph.messages.len()]);
        for step in self.path {
            match *step {
                PathStep::Piece(piece) => pieces[piece as usize] = true,
                PathStep::Message(message) => messages[message as usize] = true,
            }
        }
        (pieces, messages)
    }

    pub(super) fn lane(&self, number: u32) -> Lane {
        self.graph.lanes[number as usize]
    }

    /// Description of an activity.
    pub(super) fn piece_label(&self, piece: &Piece) -> String {
        match piece.kind {
            PieceKind::Work { kind, instance, .. } => format!("{} {kind}", self.names.instance(instance)),
            PieceKind::Gap => "gap".to_owned(),
            PieceKind::Silence => "silence".to_owned(),
            PieceKind::Wait { channel, from_lane } => {
                format!("waits for {} by {}", self.names.lane(self.lane(from_lane)), self.names.channel(channel))
            }
        }
    }

    pub(super) fn message_label(&self, edge: &MessageEdge) -> String {
        format!("{} {}", self.names.channel(edge.channel), edge.kind)
    }
}
