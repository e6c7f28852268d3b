//! The operators of a simulated job, by role.

use super::graph::WORKER;
use super::source::Source;
use super::station::{Flow, Station, add};
use crate::id::{InstanceId, OperatorId, WorkerId};

/// One operator since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Records that arrived; of a source, that it emitted.
    pub arrived: u64,
    /// Records processed.
    pub processed: u64,
    /// Records emitted.
    pub produced: u64,
    /// Records that wait.
    pub waiting: u64,
}

/// An operator.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Source(Source),
    Station(Box<Station>),
    Sink { id: OperatorId, inbox: Flow, arrived: u64 },
}

impl Node {
    /// The instances that take time of `worker`, by number.
    pub(super) fn hosted(&self, worker: WorkerId) -> Vec<InstanceId> {
        match self {
            Node::Source(source) if source.is_limited() && worker == WORKER => vec![InstanceId::new(source.id, 0)],
            Node::Station(station) if station.is_shared() => {
                let here = (0..station.instances.len() as u32).filter(|&index| station.worker(index) == worker);
                here.map(|index| InstanceId::new(station.id, index)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether something waits for an instance.
    pub(super) fn has_work(&self, index: u32) -> bool {
        match self {
            Node::Source(source) => source.has_work(),
            Node::Station(station) => !station.instances[index as usize].queue.is_empty(),
            Node::Sink { .. } => false,
        }
    }

    /// The worker that hosts an instance.
    pub(super) fn worker(&self, index: u32) -> WorkerId {
        if let Node::Station(station) = self { station.worker(index) } else { WORKER }
    }

    /// What it did since the start.
    pub(super) fn account(&self) -> Account {
        match self {
            Node::Source(source) => Account { arrived: source.emitted, processed: source.emitted, produced: source.emitted, waiting: 0 },
            Node::Station(station) => Account {
                arrived: station.arrived,
                processed: station.instances.iter().map(|instance| instance.processed).sum(),
                produced: station.instances.iter().map(|instance| instance.produced).sum(),
                waiting: station.waiting(),
            },
            Node::Sink { arrived, .. } => Account { arrived: *arrived, processed: *arrived, produced: 0, waiting: 0 },
        }
    }

    /// Records of `epoch` arrive.
    pub(super) fn arrive(&mut self, epoch: u64, count: u64) {
        match self {
            Node::Station(station) => add(&mut station.inbox, epoch, count),
            Node::Sink { inbox, .. } => add(inbox, epoch, count),
            Node::Source(_) => unreachable!("a source has no inputs"),
        }
    }
}
