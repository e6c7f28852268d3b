//! The paced list of bin moves that carries a plan out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Weights;
use crate::id::{BinId, OperatorId};

/// One bin changes its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinMove {
    /// The keyed operator.
    pub operator: OperatorId,
    /// The bin.
    pub bin: BinId,
    /// Instance that gives it.
    pub from: u32,
    /// Instance that receives it.
    pub to: u32,
}

/// What changes at one logical time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Bins that change their owner.
    pub moves: Vec<BinMove>,
    /// Bins that are split in two, one after the other ([`Assignment::split`](super::Assignment::split)). None of the operator's bins
    /// may be in motion then, so such a step goes when all before it are complete, and moves none of them.
    #[serde(default)]
    pub splits: Vec<(OperatorId, BinId)>,
    /// Parallelism of stateless operators from now on.
    pub parallelism: BTreeMap<OperatorId, u32>,
    /// Of these operators, how their instances share its records from now on; those of others take equal turns.
    #[serde(default)]
    pub weights: BTreeMap<OperatorId, Weights>,
}

/// Steps in order; each takes effect at a logical time of its own, not before that of the step before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The steps.
    pub steps: Vec<Step>,
    /// State that each step moves, in the unit of [`Measures::size`](super::Measures::size).
    pub sizes: Vec<f64>,
}

impl Schedule {
    /// Bins that move in all steps together.
    pub fn moves(&self) -> usize {
        self.steps.iter().map(|step| step.moves.len()).sum()
    }
}
