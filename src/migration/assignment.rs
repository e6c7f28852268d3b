//! The assignment of bins to instances.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::BinMove;
use crate::dataflow::{Configuration, Role, Topology};
use crate::id::{BinId, OperatorId};

/// Bin to instance, for one keyed operator. Every bin has exactly one owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Assignment {
    owners: Vec<u32>,
}

/// Assignments of all keyed operators of a job.
pub type Assignments = BTreeMap<OperatorId, Assignment>;

impl Assignment {
    /// `bins` bins assigned round-robin to `instances` instances.
    ///
    /// # Panics
    /// If there are no instances.
    pub fn even(bins: u32, instances: u32) -> Assignment {
        assert!(instances > 0, "bins need an owner");
        Assignment { owners: (0..bins).map(|bin| bin % instances).collect() }
    }

    /// The assignment with these owners, by bin.
    pub fn of(owners: Vec<u32>) -> Assignment {
        Assignment { owners }
    }

    /// The assignments of every keyed operator of `topology` at the start of a job.
    pub fn initial(topology: &Topology, configuration: &Configuration) -> Assignments {
        let keyed = topology.operators().iter().filter_map(|operator| match operator.role {
            Role::Keyed { bins } => Some((operator.id, Assignment::even(bins, configuration.parallelism(operator.id)))),
            _ => None,
        });
        keyed.collect()
    }

    /// Splits `bin` in two: its halves have the next two numbers and the same owner, and the bin
    /// itself has no keys afterwards. Returns the first half.
    ///
    /// # Panics
    /// If there is no such bin.
    pub fn split(&mut self, bin: BinId) -> BinId {
        let first = BinId(self.owners.len() as u32);
        self.owners.extend([self.owner(bin); 2]);
        first
    }

    /// Owner of `bin`.
    pub fn owner(&self, bin: BinId) -> u32 {
        self.owners[bin.0 as usize]
    }

    /// Owners by bin.
    pub fn owners(&self) -> &[u32] {
        &self.owners
    }

    /// One more than the highest instance that owns a bin.
    pub fn instances(&self) -> u32 {
        self.owners.iter().max().map_or(0, |owner| owner + 1)
    }

    /// The assignment after `moves`.
    ///
    /// # Panics
    /// If a bin is not at the start of its move.
    pub fn after<'a>(&self, moves: impl IntoIterator<Item = &'a BinMove>) -> Assignment {
        let mut owners = self.owners.clone();
        for one in moves {
            let owner = std::mem::replace(&mut owners[one.bin.0 as usize], one.to);
            assert_eq!(owner, one.from, "{} moves from its owner", one.bin);
        }
        Assignment { owners }
    }

    /// Bins with a different owner in `after`, as (bin, new owner), by bin.
    pub fn moves_to<'a>(&'a self, after: &'a Assignment) -> impl Iterator<Item = (BinId, u32)> + 'a {
        let pairs = self.owners.iter().zip(&after.owners).enumerate();
        pairs.filter(|(_, (before, after))| before != after).map(|(bin, (_, &after))| (BinId(bin as u32), after))
    }
}
