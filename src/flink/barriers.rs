//! One checkpoint as an epoch: when its barriers came to each subtask, and the chain that the last one waited for.
//!
//! A barrier stands in a subtask's queue behind the records that came before it, and a subtask sends its
//! own on when those of all its inputs have come. So when the last came, less when the latest input sent its
//! own, is the time in this subtask's queue, and along the path these times add up to the whole. What comes
//! before the source sends its barrier is the cluster's way of beginning a checkpoint: no record waits for it.

use std::collections::BTreeMap;

use super::checkpoints::{Arrival, Arrivals};
use super::graph::Graph;
use super::job::Ship;

/// A subtask that is more than this share of its time held up waits for the next; Flink's own bound for "OK".
const HELD_UP: f64 = 0.1;
/// Barriers of clocks that differ seem to come before they were sent; by more than this many ms that is worth a word.
const CLOCKS_DIFFER_MS: i64 = 20;

/// A checkpoint of aligned barriers that all subtasks have acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barriers {
    /// Its number.
    pub checkpoint: u64,
    /// When it was triggered, by the JobManager's clock in ms since 1970.
    pub triggered_ms: u64,
    /// By vertex of the graph and subtask.
    pub arrivals: Vec<Vec<Arrival>>,
    /// State that it holds, in bytes.
    pub state_bytes: u64,
    /// The longest time that a subtask took to write its state in its own thread, in ms.
    pub sync_ms: u64,
    /// ... and beside it.
    pub async_ms: u64,
}

/// A subtask on a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hop {
    /// The vertex, by its number in the graph.
    pub vertex: usize,
    /// The subtask.
    pub subtask: u32,
    /// Time in its queue, in ms; at a source the time until it began the checkpoint.
    pub queue_ms: f64,
}

/// Why a checkpoint is no epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoEpoch {
    /// Barriers overtook records: they say nothing of queues.
    Unaligned,
    /// Subtasks are missing.
    Partial,
}

impl Barriers {
    /// Puts the details of one checkpoint together, by vertex of the graph.
    ///
    /// # Errors
    /// When barriers overtook records, or a subtask is missing.
    pub fn of(checkpoint: u64, triggered_ms: u64, state_bytes: u64, details: &[Arrivals]) -> Result<Barriers, NoEpoch> {
        if details.iter().any(|vertex| vertex.is_unaligned) {
            return Err(NoEpoch::Unaligned);
        }
        let arrivals = |vertex: &Arrivals| {
            let numbered = (0..).zip(vertex.subtasks.iter()).all(|(number, (index, _))| number == *index);
            (vertex.is_whole && numbered).then(|| vertex.subtasks.values().copied().collect::<Vec<_>>())
        };
        let arrivals: Vec<_> = details.iter().map(arrivals).collect::<Option<_>>().ok_or(NoEpoch::Partial)?;
        let most = |part: fn(&Arrivals) -> u64| details.iter().map(part).max().unwrap_or(0);
        let (sync_ms, async_ms) = (most(|vertex| vertex.sync_ms), most(|vertex| vertex.async_ms));
        Ok(Barriers { checkpoint, triggered_ms, arrivals, state_bytes, sync_ms, async_ms })
    }

    /// Subtasks by vertex.
    pub fn parallelism(&self, vertex: usize) -> u32 {
        self.arrivals[vertex].len() as u32
    }

    fn last_ms(&self, (vertex, subtask): (usize, u32)) -> u64 {
        self.arrivals[vertex][subtask as usize].last_ms
    }

    /// The input whose barrier came last to a subtask.
    fn latest_input(&self, graph: &Graph, (vertex, subtask): (usize, u32)) -> Option<(usize, u32)> {
        let own = self.parallelism(vertex);
        let inputs = graph.nodes[vertex].inputs.iter().flat_map(|&(from, ship)| {
            let sends = move |upstream: &u32| is_connected(ship, *upstream, self.parallelism(from), subtask, own);
            (0..self.parallelism(from)).filter(sends).map(move |upstream| (from, upstream))
        });
        // Of equal ones the first.
        inputs.reduce(|a, b| if self.last_ms(b) > self.last_ms(a) { b } else { a })
    }

    /// Time in the queue of each subtask of a vertex, in ms; 0 where clocks differ so that it seems negative.
    pub fn queues_ms(&self, graph: &Graph, vertex: usize) -> Vec<f64> {
        let of = |subtask: u32| {
            let sent = self.latest_input(graph, (vertex, subtask)).map(|input| self.last_ms(input));
            sent.map_or(0.0, |sent| self.last_ms((vertex, subtask)).saturating_sub(sent) as f64)
        };
        (0..self.parallelism(vertex)).map(of).collect()
    }

    /// How long the subtask of a vertex that waited longest for its last barrier did, in ms. Records of its other inputs wait as
    /// long: aligned checkpoints spread the latency of a slow subtask to all.
    pub fn alignment_ms(&self, vertex: usize) -> f64 {
        self.arrivals[vertex].iter().map(|arrival| (arrival.last_ms - arrival.first_ms) as f64).fold(0.0, f64::max)
    }

    /// The path of the barrier that came last to a sink, from its source on.
    pub fn critical_path(&self, graph: &Graph) -> Vec<Hop> {
        let sinks = (0..graph.nodes.len()).filter(|&vertex| graph.outputs(vertex).next().is_none());
        let ends = sinks.flat_map(|vertex| (0..self.parallelism(vertex)).map(move |subtask| (vertex, subtask)));
        let mut next = ends.reduce(|a, b| if self.last_ms(b) > self.last_ms(a) { b } else { a });
        let mut path = Vec::new();
        while let Some(at) = next {
            next = self.latest_input(graph, at);
            let sent = next.map_or(0, |input| self.last_ms(input));
            path.push(Hop { vertex: at.0, subtask: at.1, queue_ms: self.last_ms(at).saturating_sub(sent) as f64 });
        }
        path.reverse();
        path
    }

    /// Whether a barrier seems to have come before it was sent: machines' clocks differ, and time is moved from a hop to the next.
    pub fn clocks_differ(&self, graph: &Graph) -> bool {
        let early = |at: (usize, u32)| {
            let sent = self.latest_input(graph, at).map(|input| self.last_ms(input));
            sent.is_some_and(|sent| (self.last_ms(at) as i64).saturating_sub(sent as i64) < -CLOCKS_DIFFER_MS)
        };
        (0..self.arrivals.len()).any(|vertex| (0..self.parallelism(vertex)).any(|subtask| early((vertex, subtask))))
    }
}

/// Whether an instance upstream sends to one downstream.
fn is_connected(ship: Ship, upstream: u32, of_upstream: u32, downstream: u32, of_downstream: u32) -> bool {
    let (up, down) = (u64::from(of_upstream.max(1)), u64::from(of_downstream.max(1)));
    match ship {
        Ship::Forward if up == down => upstream == downstream,
        Ship::Forward | Ship::Rescale if up <= down => u64::from(downstream) * up / down == u64::from(upstream),
        Ship::Forward | Ship::Rescale => u64::from(upstream) * down / up == u64::from(downstream),
        Ship::Broadcast | Ship::Hash | Ship::Any => true,
    }
}

/// A wait on a path, and for whom it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wait {
    /// Where records waited: the subtask's queue, or what the source has not emitted.
    pub hop: Hop,
    /// The vertex and subtask that it was for.
    pub blamed: (usize, u32),
}

/// Whose fault each wait is. What waits before a subtask that is itself held up waits for the next on the path.
///
/// The first entry is of the source, with what it has not emitted, `source_ms`, in place of the time until it began the checkpoint.
/// `blocked` gives the share of its time that a subtask was held up.
pub fn blame(path: &[Hop], source_ms: f64, blocked: impl Fn(usize, u32) -> f64) -> Vec<Wait> {
    let mut blamed = path.last().map(|hop| (hop.vertex, hop.subtask));
    let mut waits: Vec<Wait> = Vec::new();
    for (index, hop) in path.iter().enumerate().rev() {
        let is_last = index + 1 == path.len();
        if is_last || blocked(hop.vertex, hop.subtask) <= HELD_UP {
            blamed = Some((hop.vertex, hop.subtask));
        }
        let queue_ms = if index == 0 { source_ms } else { hop.queue_ms };
        waits.push(Wait { hop: Hop { queue_ms, ..*hop }, blamed: blamed.expect("a path has a last hop") });
    }
    waits.reverse();
    waits
}

/// Who has most of the waits, and how much of them: nothing without any.
pub fn most_blamed(waits: &[Wait]) -> Option<((usize, u32), f64)> {
    let mut sums: BTreeMap<(usize, u32), f64> = BTreeMap::new();
    for wait in waits {
        *sums.entry(wait.blamed).or_default() += wait.hop.queue_ms;
    }
    let all: f64 = sums.values().sum();
    let most = sums.into_iter().reduce(|a, b| if b.1 > a.1 { b } else { a })?;
    (all > 0.0).then_some((most.0, most.1 / all))
}
