//! Critical participation: the probability that a path, drawn at random from all paths of a window, leads through a piece at a
//! random instant.
//!
//! With B(v) the number of paths from v to the window's end, a random path is a walk that leaves u towards v with probability
//! B(v) / B(u) and starts where a start's share of all paths says. So one pass backwards counts (with [`Scaled`] numbers, which
//! do not overflow) and one pass forwards spreads probability; what leads through an edge is F(u) B(v) / N of the paper without
//! F, N or their product ever being formed. Invariant: participations of a window sum to 1 within 1e-9 if it has a path at all.
// papers/snailtrail-nsdi18.md#participation

use super::scaled::Scaled;
use crate::pag::{Point, WindowGraph};

/// How much of a window's paths lead where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Participation {
    /// Probability that a path leads through a segment, by segment.
    pub segments: Vec<f64>,
    /// Probability that a path leads through a message, by message.
    pub messages: Vec<f64>,
    /// Logarithm to the base 2 of the number of paths; negative infinity if there is none.
    pub log2_paths: f64,
    passes: Passes,
}

/// What the passes keep of each point.
#[derive(Clone, Debug, Default, PartialEq)]
struct Passes {
    /// Paths from each point to the end.
    onward: Vec<Scaled>,
    /// Those of them that go on over messages.
    over_messages: Vec<Scaled>,
    /// Probability of being at each point.
    at: Vec<f64>,
}

/// Makes `items` that many copies of `item`, in the memory that they have.
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

    /// Both passes over `graph`, in the memory of those over the graph before.
    pub fn update(&mut self, graph: &WindowGraph) {
        let Passes { mut onward, mut over_messages, mut at } = std::mem::take(&mut self.passes);
        fill(&mut onward, graph.points.len(), Scaled::ZERO);
        fill(&mut over_messages, graph.points.len(), Scaled::ZERO);
        fill(&mut at, graph.points.len(), 0.0);
        fill(&mut self.segments, graph.blocked.len(), 0.0);
        fill(&mut self.messages, graph.messages.len(), 0.0);
        let mut all = Scaled::ZERO;
        for edge in graph.messages.iter().filter(|edge| edge.to.is_none() && !edge.blocked) {
            match edge.from {
                Some(from) => over_messages[from as usize] = over_messages[from as usize].plus(Scaled::ONE),
                None => all = all.plus(Scaled::ONE),
            }
        }
        let mut along: Vec<Scaled> = graph.ranges.iter().map(|range| open(graph, last_segment(range), Scaled::ONE)).collect();
        for &point in graph.order.iter().rev() {
            let lane = graph.point_lanes[point as usize] as usize;
            let here = along[lane].plus(over_messages[point as usize]);
            onward[point as usize] = here;
            along[lane] = open(graph, graph.segment_before(point), here);
            if let Point::Received { edge: Some(edge) } = graph.points[point as usize] {
                let edge = &graph.messages[edge as usize];
                match edge.from {
                    _ if edge.blocked => {}
                    Some(from) => over_messages[from as usize] = over_messages[from as usize].plus(here),
                    None => all = all.plus(here),
                }
            }
        }
        for &start in &along {
            all = all.plus(start);
        }

        self.log2_paths = all.log2();
        self.passes = Passes { onward, over_messages, at };
        if !all.is_zero() {
            self.spread(graph, &along, all);
        }
    }

    fn spread(&mut self, graph: &WindowGraph, starts: &[Scaled], all: Scaled) {
        for (range, start) in graph.ranges.iter().zip(starts) {
            self.segments[range.first_segment as usize] = start.of(all);
        }
        let Passes { onward, at, .. } = &mut self.passes;
        for &point in &graph.order {
            let here = onward[point as usize];
            if here.is_zero() {
                continue;
            }
            let mut probability = self.segments[graph.segment_before(point) as usize];
            if let Point::Received { edge: Some(index) } = graph.points[point as usize] {
                let edge = &graph.messages[index as usize];
                if !edge.blocked {
                    let share = match edge.from {
                        Some(from) if onward[from as usize].is_zero() => 0.0,
                        Some(from) => at[from as usize] * here.of(onward[from as usize]),
                        None => here.of(all),
                    };
                    self.messages[index as usize] = share;
                    probability += share;
                }
            }
            at[point as usize] = probability;
            let range = &graph.ranges[graph.point_lanes[point as usize] as usize];
            let next = if point + 1 < range.points.end { onward[point as usize + 1] } else { Scaled::ONE };
            let after = graph.segment_before(point) + 1;
            self.segments[after as usize] = probability * open(graph, after, next).of(here);
        }
        for (index, edge) in graph.messages.iter().enumerate().filter(|(_, edge)| edge.to.is_none() && !edge.blocked) {
            self.messages[index] = match edge.from {
                Some(from) if onward[from as usize].is_zero() => 0.0,
                Some(from) => at[from as usize] * Scaled::ONE.of(onward[from as usize]),
                None => Scaled::ONE.of(all),
            };
        }
    }

    /// Sum of the participations of all pieces and messages: 1, or 0 if no path leads through the window.
    pub fn sum(&self, graph: &WindowGraph) -> f64 {
        let length = graph.window.length().as_nanos() as f64;
        let pieces =
            graph.pieces.iter().map(|piece| self.segments[piece.segment as usize] * piece.end.since(piece.start).as_nanos() as f64);
        let messages = graph.messages.iter().zip(&self.messages).map(|(edge, share)| share * edge.end.since(edge.start).as_nanos() as f64);
        pieces.chain(messages).sum::<f64>() / length
    }
}

fn last_segment(range: &crate::pag::LaneRange) -> u32 {
    range.first_segment + (range.points.end - range.points.start)
}

/// Paths that enter a segment and go on as `onward` from its end.
#[inline]
fn open(graph: &WindowGraph, segment: u32, onward: Scaled) -> Scaled {
    if graph.blocked[segment as usize] { Scaled::ZERO } else { onward }
}
