//! Control stream, operators and window lengths from which the elastic form of a query is built.

use super::Spans;
use crate::engine::host::{Context, ControlStream, OperatorSpec};
use crate::migration::Assignment;

/// What an elastic query is built of.
pub struct QueryParts<'a, 's> {
    /// Commands to its operators.
    pub control: ControlStream<'s>,
    /// The worker.
    pub context: &'a Context,
    /// The query's [operators](super::Query::operators) in their order, each with its instances at
    /// the start.
    pub operators: &'a [(OperatorSpec, u32)],
    /// Bins of each keyed operator, a power of two.
    pub bins: u32,
    /// Lengths of windows.
    pub spans: Spans,
}

impl<'s> QueryParts<'_, 's> {
    /// Commands to its operators.
    pub(super) fn control(&self) -> ControlStream<'s> {
        self.control.clone()
    }

    /// The operator of that place in the chain.
    pub(super) fn spec(&self, index: usize) -> &OperatorSpec {
        &self.operators[index].0
    }

    /// Its instances at the start.
    pub(super) fn instances(&self, index: usize) -> u32 {
        self.operators[index].1
    }

    /// The owners of its bins at the start.
    pub(super) fn first(&self, index: usize) -> Assignment {
        Assignment::even(self.bins, self.instances(index))
    }
}
