//! Edges of a simulated job: what operators emit goes to their successors, at once or with a delay.

use std::collections::VecDeque;
use std::time::Duration;

use super::graph::Way;
use super::job::Job;
use super::node::Node;
use super::station::Station;
use super::tick_context::TickContext;

/// An edge out of an operator.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) number: u32,
    pub(super) to: usize,
    pub(super) to_sink: bool,
    pub(super) share: f64,
    /// Part of a record that is still to be passed on.
    pub(super) carry: f64,
    /// Batches in transit: arrival in ns, epoch and number of records.
    pub(super) under_way: VecDeque<(u64, u64, u64)>,
}

/// Passes on the output of a station; one that takes no time first processes what it has just
/// received.
pub(super) fn give_out(
    station: &mut Station,
    edges: &mut [Edge],
    index: usize,
    after: &mut [Node],
    delay: Duration,
    around: &mut TickContext<'_>,
) {
    if station.work_ns == 0.0 {
        station.serve(around);
    }
    if !station.outbox.is_empty() {
        let mut outbox = std::mem::take(&mut station.outbox);
        pass_on(edges, &outbox, index, after, delay, around);
        // The space is used again.
        outbox.clear();
        station.outbox = outbox;
    }
}

/// Passes what an operator emits on to all its successors; `after` are the operators after `index`.
pub(super) fn pass_on(
    edges: &mut [Edge],
    out: &[(u64, u64)],
    index: usize,
    after: &mut [Node],
    delay: Duration,
    around: &mut TickContext<'_>,
) {
    let now = around.now;
    for edge in edges {
        for &(epoch, count) in out {
            let mut passed = count;
            if edge.share != 1.0 {
                edge.carry += count as f64 * edge.share;
                passed = (edge.carry + 1e-9).max(0.0) as u64;
                edge.carry -= passed as f64;
            }
            if passed == 0 {
                continue;
            }
            if let Some(graph) = &mut around.graph {
                let way = Way { edge: edge.number, to: edge.to, to_sink: edge.to_sink, now, delay };
                graph.send(way, epoch, count, passed, around.records);
            }
            if delay.is_zero() && edge.to > index {
                after[edge.to - index - 1].arrive(epoch, passed);
            } else {
                // What comes back arrives in the next tick at the earliest.
                edge.under_way.push_back((now + delay.as_nanos() as u64, epoch, passed));
            }
        }
    }
    if let Some(graph) = &mut around.graph {
        graph.all_sent();
    }
}

/// Anything on the way round a cycle may still come back to where the cycle begins.
pub(super) fn come_back(reached: &mut [u64], job: &Job, nodes: &[Node], edges: &[Vec<Edge>]) {
    for back in job.topology.feedback() {
        let (first, last) = (back.to.0 as usize, back.from.0 as usize);
        let waiting =
            nodes[first..=last].iter().filter_map(|node| if let Node::Station(station) = node { Some(station.oldest()) } else { None });
        let under_way = edges[first..=last].iter().flatten().flat_map(|edge| &edge.under_way).map(|(_, epoch, _)| *epoch);
        reached[first] = waiting.chain(under_way).fold(reached[first], u64::min);
    }
}

/// What an operator may still emit, its successors may still receive.
pub(super) fn spread(reached: &mut [u64], edges: &[Edge], oldest: u64) {
    for edge in edges {
        let under_way = edge.under_way.iter().map(|(_, epoch, _)| *epoch).min().unwrap_or(u64::MAX);
        reached[edge.to] = reached[edge.to].min(oldest).min(under_way);
    }
}
