//! One path through a window: a random one, SnailTrail's baseline, or the most likely one, for
//! display.

use super::participation::Participation;
use crate::pag::{Point, WindowGraph};

/// An edge of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathStep {
    /// A segment of a lane, by number.
    Piece(u32),
    /// A message, by number.
    Message(u32),
}

/// A path drawn uniformly from all paths of the window; `uniform` returns numbers in [0, 1). Empty
/// if there is none.
// papers/snailtrail-nsdi18.md#random-path
pub fn random_path(graph: &WindowGraph, participation: &Participation, mut uniform: impl FnMut() -> f64) -> Vec<PathStep> {
    walk(graph, participation, |shares| {
        let mut left = uniform() * shares.iter().map(|(_, share)| share).sum::<f64>();
        let chosen = shares.iter().find(|(_, share)| {
            left -= share;
            left < 0.0
        });
        // Rounding may leave a small remainder; the last open alternative takes it.
        chosen.or_else(|| shares.iter().rfind(|(_, share)| *share > 0.0)).map(|(way, _)| *way)
    })
}

/// The path that takes the most likely alternative at every point. Empty if there is none.
pub fn likeliest_path(graph: &WindowGraph, participation: &Participation) -> Vec<PathStep> {
    walk(graph, participation, |shares| {
        let likeliest = shares.iter().filter(|(_, share)| *share > 0.0).max_by(|a, b| a.1.total_cmp(&b.1));
        likeliest.map(|(way, _)| *way)
    })
}

/// An alternative at a point or at the window's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Along a lane, into this segment.
    Segment(u32),
    /// Over this message.
    Message(u32),
}

fn walk(graph: &WindowGraph, participation: &Participation, mut choose: impl FnMut(&[(Way, f64)]) -> Option<Way>) -> Vec<PathStep> {
    let starts = graph.ranges.iter().map(|range| (Way::Segment(range.first_segment), participation.segments[range.first_segment as usize]));
    let in_flight = (0..).zip(&graph.messages).filter(|(_, edge)| edge.from.is_none());
    let in_flight = in_flight.map(|(index, _): (u32, _)| (Way::Message(index), participation.messages[index as usize]));
    let mut ways: Vec<(Way, f64)> = starts.chain(in_flight).collect();
    // The first message of each point, and after each message the next one of the same point, so
    // that a walk does not search.
    let (mut first, mut next) = (vec![None; graph.points.len()], vec![None; graph.messages.len()]);
    for (index, edge) in graph.messages.iter().enumerate().rev() {
        if let Some(from) = edge.from {
            next[index] = first[from as usize].replace(index as u32);
        }
    }
    let mut path = Vec::new();
    while let Some(way) = choose(&ways) {
        let point = match way {
            Way::Message(index) => {
                path.push(PathStep::Message(index));
                graph.messages[index as usize].to
            }
            Way::Segment(segment) => {
                let lane = graph.ranges.partition_point(|range| range.first_segment <= segment) - 1;
                let range = &graph.ranges[lane];
                let pieces = &graph.pieces[range.pieces.start as usize..range.pieces.end as usize];
                let first = range.pieces.start + pieces.partition_point(|piece| piece.segment < segment) as u32;
                let last = range.pieces.start + pieces.partition_point(|piece| piece.segment <= segment) as u32;
                path.extend((first..last).map(PathStep::Piece));
                let point = range.points.start + (segment - range.first_segment);
                (point < range.points.end).then_some(point)
            }
        };
        let Some(point) = point else { break };
        let after = graph.segment_before(point) + 1;
        let over = std::iter::successors(first[point as usize], |&index| next[index as usize]);
        ways.clear();
        // A point that received leads on along its lane only, whatever came in; a share of the
        // whole will do as weight.
        ways.push((Way::Segment(after), participation.segments[after as usize]));
        ways.extend(over.map(|index| (Way::Message(index), participation.messages[index as usize])));
        debug_assert!(matches!(graph.points[point as usize], Point::Sent) || ways.len() == 1);
    }
    path
}
