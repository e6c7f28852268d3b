//! The most likely path through a window as slices, one after the other.

use super::View;
use crate::activity::Lane;
use crate::critical_path::PathStep;
use crate::time::Timestamp;

/// A stretch of the path that looks the same to a reader.
pub(super) struct Slice {
    pub(super) start: Timestamp,
    /// After `start`.
    pub(super) end: Timestamp,
    pub(super) label: String,
    pub(super) lane: Lane,
}

/// The slices of a window's path; consecutive activities that look the same are one.
pub(super) fn path_slices(view: &View<'_>) -> Vec<Slice> {
    let mut slices: Vec<Slice> = Vec::new();
    for step in view.path {
        let (start, end, label, lane) = match *step {
            PathStep::Piece(number) => {
                let piece = &view.graph.pieces[number as usize];
                let lane = view.graph.ranges.partition_point(|range| range.pieces.end <= number);
                (piece.start, piece.end, view.piece_label(piece), view.graph.lanes[lane])
            }
            PathStep::Message(number) => {
                let edge = &view.graph.messages[number as usize];
                (edge.start, edge.end, view.message_label(edge), view.lane(edge.from_lane))
            }
        };
        match slices.last_mut() {
            Some(last) if last.label == label && last.lane == lane && last.end == start => last.end = end,
            _ if start == end => {}
            _ => slices.push(Slice { start, end, label, lane }),
        }
    }
    slices
}
