//! Matches the start and end of activities on the workers of one file, and tracks the progress of
//! each worker.
//!
//! Invariants: the times of a worker never decrease; the progress of a worker extends to its
//! earliest open activity and no further, so that a long activity keeps the windows it covers open;
//! memory is bounded by the limits below.

use std::collections::BTreeMap;

use super::error::Oddities;
use crate::activity::Record;
use crate::id::WorkerId;
use crate::time::Timestamp;

/// Upper bound of worker numbers.
pub(super) const MOST_WORKERS: u64 = 1 << 16;
/// The most activities open at once in one file.
const MOST_OPEN: usize = 1 << 16;

/// An activity that has started and not ended, with data of its reader.
#[derive(Debug)]
pub(super) struct Open<T> {
    pub(super) start: u64,
    pub(super) tag: T,
}

#[derive(Debug)]
struct WorkerState<T> {
    open: Vec<Open<T>>,
    /// The last time at which it was seen, in ns.
    last: u64,
    /// The progress reported so far.
    told: Option<u64>,
}

/// The workers of one file.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    workers: BTreeMap<u32, WorkerState<T>>,
    open: usize,
    latest: u64,
}

impl<T> Lanes<T> {
    pub(super) fn new() -> Lanes<T> {
        Lanes { workers: BTreeMap::new(), open: 0, latest: 0 }
    }

    /// Number of workers seen.
    pub(super) fn workers(&self) -> usize {
        self.workers.len()
    }

    /// The latest time of any worker, in ns.
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    /// Records that `worker` was seen at `at`, and returns the time to use: never before an earlier
    /// one of this worker.
    pub(super) fn see(&mut self, worker: u32, at: u64, oddities: &mut Oddities) -> u64 {
        let state = self.workers.entry(worker).or_insert_with(|| WorkerState { open: Vec::new(), last: 0, told: None });
        let least = state.last.max(state.told.unwrap_or(0));
        if at < least {
            oddities.count("records whose time goes back on their worker, put at the worker's latest time");
        }
        let at = at.max(least);
        state.last = at;
        self.latest = self.latest.max(at);
        at
    }

    /// Opens an activity on a worker that was seen.
    ///
    /// With what was expected, if too many are open.
    /// With what was expected, when too many are open.
    pub(super) fn begin(&mut self, worker: u32, start: u64, tag: T) -> Result<(), String> {
        if self.open >= MOST_OPEN {
            return Err(format!("at most {MOST_OPEN} open activities"));
        }
        if let Some(state) = self.workers.get_mut(&worker) {
            state.open.push(Open { start, tag });
            self.open += 1;
        }
        Ok(())
    }

    /// Closes the innermost open activity that `matches`, together with all activities opened
    /// inside of it, innermost first. `None` if no open activity matches.
    pub(super) fn end(&mut self, worker: u32, matches: impl Fn(&T) -> bool) -> Option<Vec<Open<T>>> {
        let open = &mut self.workers.get_mut(&worker)?.open;
        let at = open.iter().rposition(|open| matches(&open.tag))?;
        let closed: Vec<Open<T>> = open.drain(at..).rev().collect();
        self.open -= closed.len();
        Some(closed)
    }

    /// The innermost open activity of a worker.
    pub(super) fn innermost(&mut self, worker: u32) -> Option<&mut Open<T>> {
        self.workers.get_mut(&worker)?.open.last_mut()
    }

    /// Closes everything, at the end of the file: by worker, innermost first.
    pub(super) fn close(&mut self) -> Vec<(u32, Open<T>)> {
        self.open = 0;
        self.workers.iter_mut().flat_map(|(&worker, state)| state.open.drain(..).rev().map(move |open| (worker, open))).collect()
    }

    /// Reports the progress of each worker, if it has advanced. A worker without an open activity
    /// has progressed to `quiet`, if that is known to hold for all workers.
    pub(super) fn tell(&mut self, quiet: Option<u64>, out: &mut Vec<Record>) {
        for (&worker, state) in &mut self.workers {
            let up_to = match state.open.first() {
                Some(open) => open.start,
                None => state.last.max(quiet.unwrap_or(0)),
            };
            if state.told.is_none_or(|told| told < up_to) {
                state.told = Some(up_to);
                out.push(Record::UpTo { worker: WorkerId(worker), at: Timestamp(up_to) });
            }
        }
    }
}
