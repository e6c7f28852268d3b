//! How a query describes itself to the registry.

use timely::dataflow::StreamVec;

use super::{Answer, QueryParts, Spans};
use crate::dataflow::Role;
use crate::engine::Time;
use crate::engine::elastic::BatchStream;
use crate::workload::nexmark::{Event, Kinds};

/// A query of elastic operators.
pub(super) type Elastic = for<'a, 's> fn(BatchStream<'s, Event>, &QueryParts<'a, 's>) -> BatchStream<'s, Answer>;

/// A query in plain timely.
pub(super) type Plain = for<'s> fn(StreamVec<'s, Time, Event>, Spans) -> StreamVec<'s, Time, Answer>;

/// Metadata of a query for commands and documents, and its two forms.
pub(super) struct QueryKind {
    /// What it asks, as in the table of queries.
    pub(super) summary: &'static str,
    /// The events that it reads.
    pub(super) reads: Kinds,
    /// Its elastic operators in order, a chain from source to sink; those with state have as many
    /// bins as given.
    pub(super) operators: fn(u32) -> Vec<(&'static str, Role)>,
    /// Builds it of elastic operators.
    pub(super) elastic: Elastic,
    /// Builds it in plain timely.
    pub(super) plain: Plain,
}
