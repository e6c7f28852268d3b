//! Operators and edges in the order of a file, and the resulting dataflow.

use std::collections::{BTreeMap, BTreeSet};

use super::content::{Content, quoted};
use crate::dataflow::{Role, Topology};
use crate::readers::ReadError;

/// An operator in a file.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) instances: u32,
    /// Where it is first named.
    pub(super) line: u64,
}

/// Operators in order of appearance, and edges between them by position.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    places: BTreeMap<String, usize>,
    edges: BTreeMap<(usize, usize), u64>,
}

impl Graph {
    /// The position of an operator; a new one if it is not known.
    pub(super) fn node(&mut self, content: &Content<'_>, node: Node) -> Result<usize, ReadError> {
        let Some(&place) = self.places.get(&node.id) else {
            self.places.insert(node.id.clone(), self.nodes.len());
            self.nodes.push(node);
            return Ok(self.nodes.len() - 1);
        };
        let known = &self.nodes[place];
        if (&known.name, known.instances) != (&node.name, node.instances) {
            let expected = format!("'{}' with {} instances, as in line {}", known.name, known.instances, known.line);
            return Err(content.wrong(node.line, expected, format!("{} with {} instances", quoted(&node.name), node.instances)));
        }
        Ok(place)
    }

    /// Adds an edge; duplicates are ignored.
    pub(super) fn edge(&mut self, from: usize, to: usize, line: u64) {
        self.edges.entry((from, to)).or_insert(line);
    }

    pub(super) fn place(&self, id: &str) -> Option<usize> {
        self.places.get(id).copied()
    }

    /// The dataflow, and the node of each of its operators. Of all topological orders, the one that
    /// preserves the order of appearance best.
    pub(super) fn topology(&self, content: &Content<'_>) -> Result<(Topology, Vec<usize>), ReadError> {
        let mut outputs = vec![Vec::new(); self.nodes.len()];
        let mut missing = vec![0u32; self.nodes.len()];
        for &(from, to) in self.edges.keys() {
            outputs[from].push(to);
            missing[to] += 1;
        }
        let is_source: Vec<bool> = missing.iter().map(|inputs| *inputs == 0).collect();
        let mut ready: BTreeSet<usize> = (0..self.nodes.len()).filter(|&node| is_source[node]).collect();
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(node) = ready.pop_first() {
            order.push(node);
            for &output in &outputs[node] {
                missing[output] -= 1;
                if missing[output] == 0 {
                    ready.insert(output);
                }
            }
        }
        if order.len() < self.nodes.len() {
            return Err(self.cycle(content, &order));
        }
        let mut numbers = vec![0u32; self.nodes.len()];
        (0..).zip(&order).for_each(|(number, &node)| numbers[node] = number);
        let role = |node: usize| if is_source[node] { Role::Source } else { Role::Stateless };
        let operators: Vec<_> = order.iter().map(|&node| (self.nodes[node].id.as_str(), role(node), u32::MAX)).collect();
        let edges: Vec<_> = self.edges.keys().map(|&(from, to)| (numbers[from], numbers[to])).collect();
        let topology =
            Topology::new(&operators, &edges).map_err(|why| content.wrong(content.last_line(), "a dataflow", why.to_string()))?;
        Ok((topology, order))
    }

    /// The first edge of the file on a cycle: between operators that neither a traversal from the
    /// sources nor one from the sinks reaches.
    fn cycle(&self, content: &Content<'_>, order: &[usize]) -> ReadError {
        let mut left = vec![true; self.nodes.len()];
        order.iter().for_each(|&node| left[node] = false);
        let mut inputs = vec![Vec::new(); self.nodes.len()];
        let mut going_on = vec![0u32; self.nodes.len()];
        for &(from, to) in self.edges.keys().filter(|(from, to)| left[*from] && left[*to]) {
            inputs[to].push(from);
            going_on[from] += 1;
        }
        let mut dead: Vec<usize> = (0..self.nodes.len()).filter(|&node| left[node] && going_on[node] == 0).collect();
        while let Some(node) = dead.pop() {
            left[node] = false;
            for &input in &inputs[node] {
                going_on[input] -= 1;
                if going_on[input] == 0 {
                    dead.push(input);
                }
            }
        }
        let inside = self.edges.iter().filter(|((from, to), _)| left[*from] && left[*to]);
        let ((from, to), line) = inside.min_by_key(|(_, line)| **line).expect("what has no order has a cycle");
        let found = format!("a cycle through '{}' -> '{}'", self.nodes[*from].id, self.nodes[*to].id);
        content.wrong(*line, "edges that lead away from the sources", found)
    }
}
