//! Matches the start and end of activities on the workers of one file, and tracks the progress of
//! each worker.
//!
//! Invariants: the times of a worker never decrease; the progress of a worker extends to its
//! earliest open activity and no further, so that a long activity keeps the windows it covers open;
//! memory is bounded by the limits below.

use std::collections::BTreeMap;

use smallvec::SmallVec;

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
    /// In the order in which they were seen, with their numbers.
    workers: Vec<(u32, WorkerState<T>)>,
    /// Where each is, by its number.
    places: BTreeMap<u32, usize>,
    open: usize,
    latest: u64,
}

impl<T> Lanes<T> {
    pub(super) fn new() -> Lanes<T> {
        Lanes { workers: Vec::new(), places: BTreeMap::new(), open: 0, latest: 0 }
    }

    /// Where a worker is. In most files they are numbered in the order in which they are seen.
    fn place(&self, worker: u32) -> Option<usize> {
        match self.workers.get(worker as usize) {
            Some((number, _)) if *number == worker => Some(worker as usize),
            _ => self.places.get(&worker).copied(),
        }
    }

    fn get(&mut self, worker: u32) -> Option<&mut WorkerState<T>> {
        let place = self.place(worker)?;
        Some(&mut self.workers[place].1)
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
        let place = self.place(worker).unwrap_or_else(|| {
            self.workers.push((worker, WorkerState { open: Vec::new(), last: 0, told: None }));
            self.places.insert(worker, self.workers.len() - 1);
            self.workers.len() - 1
        });
        let state = &mut self.workers[place].1;
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
    /// # Errors
    /// With what was expected, if too many are open.
    pub(super) fn begin(&mut self, worker: u32, start: u64, tag: T) -> Result<(), String> {
        if self.open >= MOST_OPEN {
            return Err(format!("at most {MOST_OPEN} open activities"));
        }
        if let Some(state) = self.get(worker) {
            state.open.push(Open { start, tag });
            self.open += 1;
        }
        Ok(())
    }

    /// Closes the innermost open activity that `matches`, together with all activities opened
    /// inside of it, innermost first. `None` if no open activity matches.
    pub(super) fn end(&mut self, worker: u32, matches: impl Fn(&T) -> bool) -> Option<SmallVec<[Open<T>; 1]>> {
        let open = &mut self.get(worker)?.open;
        let at = open.iter().rposition(|open| matches(&open.tag))?;
        let closed: SmallVec<[Open<T>; 1]> = open.drain(at..).rev().collect();
        self.open -= closed.len();
        Some(closed)
    }

    /// The innermost open activity of a worker.
    pub(super) fn innermost(&mut self, worker: u32) -> Option<&mut Open<T>> {
        self.get(worker)?.open.last_mut()
    }

    /// Closes everything, at the end of the file: by worker, innermost first.
    pub(super) fn close(&mut self) -> Vec<(u32, Open<T>)> {
        self.open = 0;
        let mut closed = Vec::new();
        for (&worker, &place) in &self.places {
            closed.extend(self.workers[place].1.open.drain(..).rev().map(|open| (worker, open)));
        }
        closed
    }

    /// Reports the progress of each worker, if it has advanced. A worker without an open activity
    /// has progressed to `quiet`, if that is known to hold for all workers.
    pub(super) fn tell(&mut self, quiet: Option<u64>, out: &mut Vec<Record>) {
        for (&worker, &place) in &self.places {
            let state = &mut self.workers[place].1;
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
