//! Bins in transit between two simulated instances, with the records that wait for them.

use super::instance::Batch;

/// Bins of one operator that change their owners in one step.
#[derive(Clone, Debug)]
pub(super) struct Motion {
    /// The first epoch that belongs to the new owners.
    pub(super) at: u64,
    /// Bins and their new owners.
    pub(super) bins: Vec<(usize, u32)>,
    /// The bins' records by previous and new owner.
    pub(super) flows: Vec<Stream>,
    /// Whether the bins have left.
    pub(super) settled: bool,
    /// When they arrive, in ns; known once they have left.
    pub(super) arrives: u64,
    /// Slowdown of the transfer.
    pub(super) slowdown: f64,
}

/// Bins under way from one instance to another.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) from: u32,
    pub(super) to: u32,
    /// Their share of the operator's arrivals.
    pub(super) share: f64,
    /// By how much they have had less than their share.
    pub(super) debt: f64,
    /// Records that were queued for them when they left.
    pub(super) along: Vec<Batch>,
    /// Records that have arrived for them since.
    pub(super) held: Vec<Batch>,
}

impl Stream {
    /// Holds records until the bins have arrived.
    pub(super) fn hold(&mut self, epoch: u64, records: u64) {
        if records > 0 {
            self.held.push(Batch { epoch, records, factor: 1.0 });
        }
    }

    pub(super) fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.along.iter().chain(&self.held)
    }
}

impl Motion {
    pub(super) fn oldest(&self) -> Option<u64> {
        self.flows.iter().flat_map(Stream::batches).map(|batch| batch.epoch).min()
    }

    pub(super) fn waiting(&self) -> u64 {
        self.flows.iter().flat_map(Stream::batches).map(|batch| batch.records).sum()
    }
}
