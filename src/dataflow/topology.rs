//! Operators and edges of a job, checked once when they are put together.
//!
//! Invariant: operators are numbered in topological order from 0, every edge goes from a smaller to a larger number, and
//! sources have no input. So every pass over `operators()` in order sees producers before consumers. Where a job has a cycle, the edge that
//! closes it is kept apart, as feedback.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::id::OperatorId;

/// What an operator may do to the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Emits records on a schedule; never rescaled.
    Source,
    /// Transforms records, keeps no state; any instance may take any record.
    Stateless,
    /// Keeps state by key, divided into `bins` bins (a power of two); rescaling moves bins.
    Keyed {
        /// Number of bins.
        bins: u32,
    },
    /// Where records leave and latency is taken; never rescaled.
    Sink,
}

/// An operator of the job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operator {
    /// Its number.
    pub id: OperatorId,
    /// Its name: what reports and configuration files call it.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Most instances it may have.
    pub max_parallelism: u32,
}

/// Records flow from one operator to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Edge {
    /// Producer.
    pub from: OperatorId,
    /// Consumer.
    pub to: OperatorId,
}

/// The operators and edges of a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Topology {
    operators: Vec<Operator>,
    edges: Vec<Edge>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    feedback: Vec<Edge>,
    /// Producers and consumers of each operator: passes over a large graph ask for them again and again.
    #[serde(skip)]
    inputs: Vec<Vec<OperatorId>>,
    #[serde(skip)]
    outputs: Vec<Vec<OperatorId>>,
}

/// Why operators and edges do not form a job.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TopologyError {
    /// An edge names an operator that is not there.
    #[error("edge {from} -> {to}: expected operators 0 to {last}", from = .0.from.0, to = .0.to.0, last = .1)]
    UnknownOperator(Edge, u32),
    /// An edge does not go from a smaller to a larger number.
    #[error("edge {from} -> {to}: operators are numbered in topological order, so an edge goes to a larger number", from = .0.from.0, to = .0.to.0)]
    Backward(Edge),
    /// An edge that should close a cycle does not go back, or not between operators that take records in and give some out.
    #[error("feedback {from} -> {to}: expected an edge back to an operator before it or to itself, neither of them a source or a sink", from = .0.from.0, to = .0.to.0)]
    Feedback(Edge),
    /// The same edge twice.
    #[error("edge {from} -> {to} is given twice", from = .0.from.0, to = .0.to.0)]
    Twice(Edge),
    /// Two operators of the same name.
    #[error("two operators are called '{0}'")]
    SameName(String),
    /// A source with an input or another operator without one.
    #[error("operator '{0}' is a {1:?} and has {2} inputs: sources have none, all others have at least one")]
    Inputs(String, Role, usize),
    /// A keyed operator with a number of bins that is no power of two.
    #[error("operator '{0}' has {1} bins: expected a power of two")]
    Bins(String, u32),
}

impl Topology {
    /// Puts a job together.
    ///
    /// `operators` are given as (name, role, most instances) in topological order; `edges` name them by position.
    ///
    /// # Errors
    /// When an invariant of the module does not hold; the error names the operator or edge.
    pub fn new(operators: &[(&str, Role, u32)], edges: &[(u32, u32)]) -> Result<Topology, TopologyError> {
        let last = operators.len().saturating_sub(1) as u32;
        let mut seen: Vec<Edge> = Vec::new();
        let mut known: BTreeSet<Edge> = BTreeSet::new();
        let (mut inputs, mut outputs) = (vec![Vec::new(); operators.len()], vec![Vec::new(); operators.len()]);
        for &(from, to) in edges {
            let edge = Edge { from: OperatorId(from), to: OperatorId(to) };
            if from.max(to) > last {
                return Err(TopologyError::UnknownOperator(edge, last));
            }
            if from >= to {
                return Err(TopologyError::Backward(edge));
            }
            if !known.insert(edge) {
                return Err(TopologyError::Twice(edge));
            }
            seen.push(edge);
            inputs[to as usize].push(edge.from);
            outputs[from as usize].push(edge.to);
        }
        let mut names: BTreeSet<&str> = BTreeSet::new();
        for (&(name, role, _), inputs) in operators.iter().zip(&inputs) {
            if !names.insert(name) {
                return Err(TopologyError::SameName(name.to_owned()));
            }
            if (role == Role::Source) != inputs.is_empty() {
                return Err(TopologyError::Inputs(name.to_owned(), role, inputs.len()));
            }
            if let Role::Keyed { bins } = role
                && !bins.is_power_of_two()
            {
                return Err(TopologyError::Bins(name.to_owned(), bins));
            }
        }
        let operators = operators
            .iter()
            .enumerate()
            .map(|(id, &(name, role, max_parallelism))| Operator {
                id: OperatorId(id as u32),
                name: name.to_owned(),
                role,
                max_parallelism,
            })
            .collect();
        Ok(Topology { operators, edges: seen, feedback: Vec::new(), inputs, outputs })
    }

    /// The same with edges that close cycles: each from an operator back to one before it or to itself, by position.
    ///
    /// # Errors
    /// When an edge does not go back, names an operator that is not there or cannot be on a cycle, or is given twice.
    pub fn with_feedback(mut self, feedback: &[(u32, u32)]) -> Result<Topology, TopologyError> {
        let last = self.operators.len().saturating_sub(1) as u32;
        for &(from, to) in feedback {
            let edge = Edge { from: OperatorId(from), to: OperatorId(to) };
            if from.max(to) > last {
                return Err(TopologyError::UnknownOperator(edge, last));
            }
            if from < to || ![from, to].iter().all(|&end| self.operators[end as usize].is_scalable()) {
                return Err(TopologyError::Feedback(edge));
            }
            if self.feedback.contains(&edge) {
                return Err(TopologyError::Twice(edge));
            }
            self.feedback.push(edge);
        }
        Ok(self)
    }

    /// All operators in topological order.
    pub fn operators(&self) -> &[Operator] {
        &self.operators
    }

    /// All edges but those that close cycles.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Edges that close cycles, back to an operator before or to itself. [`inputs`](Self::inputs) and [`outputs`](Self::outputs) leave them out.
    pub fn feedback(&self) -> &[Edge] {
        &self.feedback
    }

    /// The operator `id`.
    ///
    /// # Panics
    /// If it is not part of this topology.
    pub fn operator(&self, id: OperatorId) -> &Operator {
        &self.operators[id.0 as usize]
    }

    /// The operator called `name`.
    pub fn named(&self, name: &str) -> Option<&Operator> {
        self.operators.iter().find(|operator| operator.name == name)
    }

    /// Operators whose records reach `id` directly.
    pub fn inputs(&self, id: OperatorId) -> impl Iterator<Item = OperatorId> + '_ {
        self.inputs[id.0 as usize].iter().copied()
    }

    /// Operators that get records from `id` directly.
    pub fn outputs(&self, id: OperatorId) -> impl Iterator<Item = OperatorId> + '_ {
        self.outputs[id.0 as usize].iter().copied()
    }

    /// Operators that a policy may rescale: neither sources nor sinks.
    pub fn scalable(&self) -> impl Iterator<Item = &Operator> {
        self.operators.iter().filter(|operator| operator.is_scalable())
    }
}

impl Operator {
    /// Whether a policy may rescale it.
    pub fn is_scalable(&self) -> bool {
        matches!(self.role, Role::Stateless) || self.is_keyed()
    }

    /// Whether it keeps state by key, in bins that can move.
    pub fn is_keyed(&self) -> bool {
        matches!(self.role, Role::Keyed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_dataflow_is_refused_by_name() {
        let ops = [("source", Role::Source, 1), ("count", Role::Keyed { bins: 8 }, 4)];
        assert!(Topology::new(&ops, &[(0, 1)]).is_ok());
        assert_eq!(Topology::new(&ops, &[(0, 2)]).unwrap_err().to_string(), "edge 0 -> 2: expected operators 0 to 1");
        assert!(matches!(Topology::new(&ops, &[(1, 0)]), Err(TopologyError::Backward(_))));
        assert!(matches!(Topology::new(&ops, &[(0, 1), (0, 1)]), Err(TopologyError::Twice(_))));
        assert!(matches!(Topology::new(&ops, &[]), Err(TopologyError::Inputs(name, _, 0)) if name == "count"));
        let bins = [("source", Role::Source, 1), ("count", Role::Keyed { bins: 12 }, 4)];
        assert_eq!(Topology::new(&bins, &[(0, 1)]), Err(TopologyError::Bins("count".into(), 12)));
    }

    #[test]
    fn only_what_goes_back_closes_a_cycle() {
        let stateless = Role::Stateless;
        let ops = [("source", Role::Source, 1), ("step", stateless, 4), ("check", stateless, 4), ("sink", Role::Sink, 1)];
        let chain = || Topology::new(&ops, &[(0, 1), (1, 2), (2, 3)]).unwrap();
        let looped = chain().with_feedback(&[(2, 1), (2, 2)]).unwrap();
        assert_eq!((looped.feedback().len(), looped.edges(), looped.inputs(OperatorId(1)).count()), (2, chain().edges(), 1));
        for (from, to) in [(1, 2), (3, 1), (2, 0)] {
            assert!(matches!(chain().with_feedback(&[(from, to)]), Err(TopologyError::Feedback(_))), "{from} -> {to}");
        }
        assert!(matches!(chain().with_feedback(&[(4, 1)]), Err(TopologyError::UnknownOperator(..))));
        assert!(matches!(chain().with_feedback(&[(2, 1), (2, 1)]), Err(TopologyError::Twice(_))));
    }
}
