//! State that all operators of a simulated job share during a tick.

use super::Random;
use super::graph::Graph;
use crate::activity::{Lane, Record};
use crate::id::OperatorId;

/// State shared by all operators during a tick.
pub(super) struct TickContext<'a> {
    pub(super) now: u64,
    /// Instances of the job above their mark.
    pub(super) pressing: &'a mut usize,
    pub(super) random: &'a mut Random,
    pub(super) records: &'a mut Vec<Record>,
    /// Where messages are recorded.
    pub(super) graph: Option<&'a mut Graph>,
}

impl TickContext<'_> {
    /// `lane` emitted records of `epoch`.
    pub(super) fn gave(&mut self, lane: Lane, epoch: u64, count: u64) {
        if let Some(graph) = &mut self.graph {
            graph.gave(lane, epoch, count);
        }
    }

    /// `lane` of operator `at` takes records of `epoch` that have arrived.
    pub(super) fn reached(&mut self, at: OperatorId, lane: Lane, epoch: u64, count: u64) {
        if let Some(graph) = &mut self.graph {
            graph.reached(at, lane, epoch, count, self.now, self.records);
        }
    }
}
