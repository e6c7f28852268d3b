//! The fewest steps in which every instance sends at most one bin and receives at most one.

use std::collections::BTreeMap;

use super::BinMove;
use crate::id::OperatorId;

/// Cuts `moves` into steps in each of which an instance sends at most one bin and receives at most
/// one. The number of steps is the largest number of bins that one instance sends or receives in
/// total, which is optimal.
///
/// Moves are edges between senders and receivers, a bipartite multigraph; a step is a matching, so
/// steps are the colours of an edge colouring. A bipartite multigraph has one with as many colours
/// as its largest degree (König 1916), and the proof is the algorithm. A new edge joins a sender at
/// which some colour `a` is free and a receiver at which some colour `b` is free: each has fewer
/// edges so far than its degree. If `a` is taken at the receiver, follow the path of colours `a`,
/// `b`, `a`, … that starts there. It reaches senders only by edges of colour `a`, so it never
/// reaches our sender, where `a` is free; swapping the two colours along it preserves the colouring
/// and frees `a` at both ends.
// papers/megaphone-vldb19.md#strategies
pub(super) fn matchings(moves: Vec<BinMove>) -> Vec<Vec<BinMove>> {
    let mut colouring = Colouring::default();
    moves.iter().for_each(|one| colouring.add(one));
    let steps = colouring.colours.iter().map(|colour| colour + 1).max().unwrap_or(0);
    let mut matchings = vec![Vec::new(); steps];
    for (one, colour) in moves.into_iter().zip(colouring.colours) {
        matchings[colour].push(one);
    }
    matchings
}

#[derive(Default)]
struct Colouring {
    nodes: Vec<Node>,
    /// Sending and receiving sides of instances.
    numbers: BTreeMap<(Side, OperatorId, u32), usize>,
    /// Both ends of each edge.
    ends: Vec<[usize; 2]>,
    /// Colour of each edge.
    colours: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Gives,
    Receives,
}

#[derive(Default)]
struct Node {
    /// Edges by colour.
    edges: Vec<Option<usize>>,
    /// The smallest colour without an edge.
    free: usize,
}

impl Node {
    fn edge(&self, colour: usize) -> Option<usize> {
        self.edges.get(colour).copied().flatten()
    }

    fn set(&mut self, colour: usize, edge: usize) {
        if self.edges.len() <= colour {
            self.edges.resize(colour + 1, None);
        }
        self.edges[colour] = Some(edge);
        while self.edge(self.free).is_some() {
            self.free += 1;
        }
    }

    fn clear(&mut self, colour: usize) {
        self.edges[colour] = None;
        self.free = self.free.min(colour);
    }
}

impl Colouring {
    fn node(&mut self, side: Side, operator: OperatorId, instance: u32) -> usize {
        let next = self.nodes.len();
        let node = *self.numbers.entry((side, operator, instance)).or_insert(next);
        if node == next {
            self.nodes.push(Node::default());
        }
        node
    }

    fn add(&mut self, one: &BinMove) {
        let giver = self.node(Side::Gives, one.operator, one.from);
        let receiver = self.node(Side::Receives, one.operator, one.to);
        let (a, b) = (self.nodes[giver].free, self.nodes[receiver].free);
        if self.nodes[receiver].edge(a).is_some() {
            self.swap(receiver, a, b);
        }
        let edge = self.ends.len();
        self.ends.push([giver, receiver]);
        self.colours.push(a);
        self.nodes[giver].set(a, edge);
        self.nodes[receiver].set(a, edge);
    }

    /// Swaps two colours along the path from `start` that begins with the first.
    fn swap(&mut self, start: usize, first: usize, second: usize) {
        let (mut path, mut node, mut colour) = (Vec::new(), start, first);
        while let Some(edge) = self.nodes[node].edge(colour) {
            path.push(edge);
            let [giver, receiver] = self.ends[edge];
            node = if node == giver { receiver } else { giver };
            colour = first + second - colour;
        }
        for &edge in &path {
            for end in self.ends[edge] {
                self.nodes[end].clear(self.colours[edge]);
            }
        }
        for &edge in &path {
            let swapped = first + second - self.colours[edge];
            self.colours[edge] = swapped;
            for end in self.ends[edge] {
                self.nodes[end].set(swapped, edge);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::BinId;

    proptest! {
        /// Every move is in one step, no instance sends or receives two bins in a step, and the
        /// number of steps is minimal.
        #[test]
        fn steps_are_matchings_and_no_more_than_the_busiest_instance_needs(
            moves in prop::collection::vec((1u32..3, 0u32..7, 0u32..7), 0..200)
        ) {
            let moves: Vec<BinMove> = (0..).zip(moves)
                .map(|(bin, (operator, from, to))| BinMove { operator: OperatorId(operator), bin: BinId(bin), from, to })
                .collect();
            let mut degrees: BTreeMap<_, usize> = BTreeMap::new();
            for one in &moves {
                *degrees.entry(("gives", one.operator, one.from)).or_default() += 1;
                *degrees.entry(("receives", one.operator, one.to)).or_default() += 1;
            }
            let steps = matchings(moves.clone());
            prop_assert_eq!(steps.len(), degrees.values().copied().max().unwrap_or(0));
            for step in &steps {
                let mut givers: Vec<_> = step.iter().map(|one| (one.operator, one.from)).collect();
                let mut receivers: Vec<_> = step.iter().map(|one| (one.operator, one.to)).collect();
                givers.sort_unstable();
                receivers.sort_unstable();
                givers.dedup();
                receivers.dedup();
                prop_assert!(givers.len() == step.len() && receivers.len() == step.len() && !step.is_empty());
            }
            let mut all: Vec<BinMove> = steps.into_iter().flatten().collect();
            all.sort_by_key(|one| one.bin);
            prop_assert_eq!(all, moves);
        }
    }
}
