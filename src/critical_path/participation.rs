//! Critical participation: the probability that a path drawn at random from all paths of a window
//! passes through an activity or message at a random time.
//!
//! With B(v) the number of paths from v to the window's end, a random path is a walk that goes from
//! u to v with probability B(v) / B(u), and starts at each start with that start's share of all
//! paths. One backward pass counts paths (with [`Scaled`] numbers, which do not overflow) and one
//! forward pass distributes probability; the paper's F(u) B(v) / N is computed without forming F, N
//! or their product. Invariant: the participations of a window sum to 1 within 1e-9 if it has a
//! path.
// papers/snailtrail-nsdi18.md#participation

use super::scaled::Scaled;
use crate::pag::{MessageEdge, Point, WindowGraph};

/// The participations of a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Participation {
    /// Probability that a path passes through a segment, by segment.
    pub segments: Vec<f64>,
    /// Probability that a path passes through a message, by message.
    pub messages: Vec<f64>,
    /// Logarithm to the base 2 of the number of paths; negative infinity if there is none.
    pub log2_paths: f64,
    /// State of the passes for the end of each segment: the point there, or the window's end.
    ends: Vec<End>,
}

/// State of the passes for a point.
#[derive(Clone, Copy, Debug, PartialEq)]
struct End {
    /// Paths from it to the window's end.
    onward: Scaled,
    /// Those of them that continue over messages.
    over_messages: Scaled,
    /// Probability of being at it.
    at: f64,
}

/// Resizes `items` to that many copies of `item`, reusing its memory.
fn fill<T: Clone>(items: &mut Vec<T>, length: usize, item: T) {
    items.clear();
    items.resize(length, item);
}

impl Participation {
    /// Both passes over `graph`.
    pub fn of(graph: &WindowGraph) -> Participation {
        let mut participation = Participation::default();
        participation.update(graph);
        participation
    }

    /// Both passes over `graph`, reusing the memory of the previous graph.
    pub fn update(&mut self, graph: &WindowGraph) {
        let Participation { segments, messages, ends, .. } = self;
        fill(ends, graph.blocked.len(), End { onward: Scaled::ZERO, over_messages: Scaled::ZERO, at: 0.0 });
        fill(segments, graph.blocked.len(), 0.0);
        fill(messages, graph.messages.len(), 0.0);
        let mut all = Scaled::ZERO;
        let mut enter = |ends: &mut [End], edge: &MessageEdge, onward: Scaled| {
            let paths = edge.from.map_or(&mut all, |from| &mut ends[(from + edge.from_lane) as usize].over_messages);
            *paths = paths.plus(onward);
        };
        for edge in graph.messages.iter().filter(|edge| edge.to.is_none() && !edge.blocked) {
            enter(ends, edge, Scaled::ONE);
        }
        let mut along = Vec::with_capacity(graph.ranges.len());
        for range in &graph.ranges {
            let last = (range.first_segment + (range.points.end - range.points.start)) as usize;
            ends[last].onward = Scaled::ONE;
            along.push(open(graph, last, Scaled::ONE));
        }
        for (lane, points) in graph.runs().iter().rev() {
            let mut paths = along[*lane as usize];
            for point in points.clone().rev() {
                let segment = (point + lane) as usize;
                let here = paths.plus(ends[segment].over_messages);
                ends[segment].onward = here;
                paths = open(graph, segment, here);
                if let Some(edge) = arrival(graph, point).map(|edge| &graph.messages[edge]) {
                    enter(ends, edge, here);
                }
            }
            along[*lane as usize] = paths;
        }
        let all = along.iter().fold(all, |all, &start| all.plus(start));

        self.log2_paths = all.log2();
        if !all.is_zero() {
            self.spread(graph, &along, all);
        }
    }

    fn spread(&mut self, graph: &WindowGraph, starts: &[Scaled], all: Scaled) {
        let Participation { segments, messages, ends, .. } = self;
        for (range, start) in graph.ranges.iter().zip(starts) {
            segments[range.first_segment as usize] = start.of(all);
        }
        // How much of all paths a message that goes on as `onward` takes.
        let share = |ends: &[End], edge: &MessageEdge, onward: Scaled| match edge.from {
            None => onward.of(all),
            Some(from) => match ends[(from + edge.from_lane) as usize] {
                from if from.onward.is_zero() => 0.0,
                from => from.at * onward.of(from.onward),
            },
        };
        for (lane, points) in graph.runs() {
            let mut entering = segments[(points.start + lane) as usize];
            for point in points.clone() {
                let segment = (point + lane) as usize;
                let here = ends[segment].onward;
                if here.is_zero() {
                    entering = 0.0;
                    continue;
                }
                if let Some(edge) = arrival(graph, point) {
                    messages[edge] = share(ends, &graph.messages[edge], here);
                    entering += messages[edge];
                }
                ends[segment].at = entering;
                entering *= open(graph, segment + 1, ends[segment + 1].onward).of(here);
                segments[segment + 1] = entering;
            }
        }
        for (share_of, edge) in messages.iter_mut().zip(&graph.messages).filter(|(_, edge)| edge.to.is_none() && !edge.blocked) {
            *share_of = share(ends, edge, Scaled::ONE);
        }
    }

    /// Sum of the participations of all segments and messages: 1, or 0 if there is no path through
    /// the window.
    pub fn sum(&self, graph: &WindowGraph) -> f64 {
        let length = graph.window.length().as_nanos() as f64;
        let pieces =
            graph.pieces.iter().map(|piece| self.segments[piece.segment as usize] * piece.end.since(piece.start).as_nanos() as f64);
        let messages = graph.messages.iter().zip(&self.messages).map(|(edge, share)| share * edge.end.since(edge.start).as_nanos() as f64);
        pieces.chain(messages).sum::<f64>() / length
    }
}

/// Paths that enter a segment and continue as `onward` from its end.
#[inline]
fn open(graph: &WindowGraph, segment: usize, onward: Scaled) -> Scaled {
    if graph.blocked[segment] { Scaled::ZERO } else { onward }
}

/// The message that paths take to a point.
#[inline]
fn arrival(graph: &WindowGraph, point: u32) -> Option<usize> {
    let Point::Received { edge: Some(edge) } = graph.points[point as usize] else { return None };
    Some(edge as usize).filter(|&edge| !graph.messages[edge].blocked)
}
