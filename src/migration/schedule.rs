//! The schedule of a migration: the steps, each a set of bin moves, that carry out a plan.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Weights;
use crate::id::{BinId, OperatorId, WorkerId};

/// A bin changes its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinMove {
    /// The keyed operator.
    pub operator: OperatorId,
    /// The bin.
    pub bin: BinId,
    /// The instance that sends it.
    pub from: u32,
    /// The instance that receives it; the one that sends it where that moves to another worker and
    /// the bin follows.
    pub to: u32,
}

/// The changes at one logical time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Bins that change their owner.
    pub moves: Vec<BinMove>,
    /// Bins that are split in two, one after the other
    /// ([`Assignment::split`](super::Assignment::split)). No bin of the operator may be in flight
    /// then, so such a step waits until all before it are complete, and moves none of them.
    #[serde(default)]
    pub splits: Vec<(OperatorId, BinId)>,
    /// New parallelism of stateless operators.
    pub parallelism: BTreeMap<OperatorId, u32>,
    /// The weights by which the instances of these operators share its records from now on; records
    /// of others are dealt round-robin.
    #[serde(default)]
    pub weights: BTreeMap<OperatorId, Weights>,
    /// The worker of each instance of these operators from now on. Bins stay where they are until
    /// they move; for a stateless operator there is an entry in `parallelism` as well.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub placement: BTreeMap<OperatorId, Vec<WorkerId>>,
}

/// Steps in order; each takes effect at its own logical time, not before that of the previous step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The steps.
    pub steps: Vec<Step>,
    /// State moved by each step, in the unit of [`Measures::size`](super::Measures::size).
    pub sizes: Vec<f64>,
}

impl Schedule {
    /// Total number of bins moved.
    pub fn moves(&self) -> usize {
        self.steps.iter().map(|step| step.moves.len()).sum()
    }
}
