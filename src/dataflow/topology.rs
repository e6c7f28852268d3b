//! Operators and edges of a job, validated when the topology is built.
//!
//! Invariant: operators are numbered from 0 in topological order, every edge goes from a smaller to
//! a larger number, and sources have no inputs. Iterating over `operators()` in order therefore
//! visits upstream operators before downstream ones. An edge that closes a cycle is kept
//! separately, as feedback.
//! closes it is kept apart, as feedback.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::id::OperatorId;

/// The role of an operator in the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Emits records on a schedule; never rescaled.
    Source,
    /// Transforms records without keeping state; any instance can process any record.
    Stateless,
    /// Keeps state by key, in `bins` bins (a power of two); rescaling migrates bins.
    Keyed {
        /// Number of bins.
        bins: u32,
    },
    /// Where records leave the job and latency is measured; never rescaled.
    Sink,
}

/// An operator of the job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operator {
    /// Its number.
    pub id: OperatorId,
    /// Its name in reports and configuration files.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Its maximum parallelism.
    pub max_parallelism: u32,
}

/// A data dependency from one operator to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Edge {
    /// Upstream operator.
    pub from: OperatorId,
    /// Downstream operator.
    pub to: OperatorId,
}

/// The operators and edges of a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Topology {
    operators: Vec<Operator>,
    edges: Vec<Edge>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    feedback: Vec<Edge>,
    /// Upstream and downstream operators of each operator, cached because passes over a large graph
    /// need them repeatedly.
    #[serde(skip)]
    inputs: Vec<Vec<OperatorId>>,
    #[serde(skip)]
    outputs: Vec<Vec<OperatorId>>,
}

/// Why operators and edges do not form a valid job.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TopologyError {
    /// An edge refers to an operator that does not exist.
    #[error("edge {from} -> {to}: expected operators 0 to {last}", from = .0.from.0, to = .0.to.0, last = .1)]
    UnknownOperator(Edge, u32),
    /// An edge does not go from a smaller to a larger number.
    #[error("edge {from} -> {to}: operators are numbered in topological order, so an edge goes to a larger number", from = .0.from.0, to = .0.to.0)]
    Backward(Edge),
    /// A feedback edge does not go back, or connects a source or a sink.
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
    /// The number of bins of a keyed operator is not a power of two.
    #[error("operator '{0}' has {1} bins: expected a power of two")]
    Bins(String, u32),
}

impl Topology {
    /// Builds a topology.
    ///
    /// `operators` are given as (name, role, maximum parallelism) in topological order; `edges`
    /// refer to them by position.
    ///
    /// # Errors
    /// If an invariant of the module is violated; the error names the operator or edge.
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

    /// Adds edges that close cycles: each from an operator back to an earlier one or to itself, by
    /// position.
    ///
    /// # Errors
    /// If an edge does not go back, refers to an operator that does not exist or cannot be on a
    /// cycle, or is given twice.
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

    /// All edges except those that close cycles.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Edges that close cycles, back to an earlier operator or to the same one. They are not part
    /// of [`inputs`](Self::inputs) and [`outputs`](Self::outputs).
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

    /// The direct upstream operators of `id`.
    pub fn inputs(&self, id: OperatorId) -> impl Iterator<Item = OperatorId> + '_ {
        self.inputs[id.0 as usize].iter().copied()
    }

    /// The direct downstream operators of `id`.
    pub fn outputs(&self, id: OperatorId) -> impl Iterator<Item = OperatorId> + '_ {
        self.outputs[id.0 as usize].iter().copied()
    }

    /// The scalable operators: all but sources and sinks.
    pub fn scalable(&self) -> impl Iterator<Item = &Operator> {
        self.operators.iter().filter(|operator| operator.is_scalable())
    }
}

impl Operator {
    /// Whether a policy may rescale it: it is neither a source nor a sink.
    pub fn is_scalable(&self) -> bool {
        matches!(self.role, Role::Stateless) || self.is_keyed()
    }

    /// Whether it keeps state by key, in bins that can migrate.
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
