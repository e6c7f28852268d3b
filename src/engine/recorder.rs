//! Handing activity records from a worker to whoever observes: batched, bounded, never blocking.
//!
//! A worker collects records in a buffer of its own and hands them over every few milliseconds. When the observer does not
//! keep up the batch is dropped and counted; the worker never waits.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use crate::activity::Record;
use crate::id::WorkerId;
use crate::time::Timestamp;

/// Batches that may wait for the observer.
const LINK_BATCHES: usize = 4096;
/// A buffer is handed over when it is this old.
const HAND_OVER: Duration = Duration::from_millis(5);
/// A buffer is handed over when it is this long.
const HAND_OVER_RECORDS: usize = 8192;

/// Records of one worker.
#[derive(Clone, Debug)]
pub struct LogBatch {
    /// The worker.
    pub worker: WorkerId,
    /// No record of before this instant is still to come from the worker, except those of work that completed in the
    /// [`slack`](Recorder::SLACK) before it.
    pub up_to: Timestamp,
    /// The records.
    pub records: Vec<Record>,
    /// Records this worker had to drop since the start.
    pub dropped: u64,
}

/// Where the records of a worker go; clones share one buffer.
#[derive(Clone)]
pub struct Recorder {
    inner: Option<Rc<RefCell<Buffer>>>,
}

struct Buffer {
    worker: WorkerId,
    records: Vec<Record>,
    dropped: u64,
    handed_over: Timestamp,
    link: SyncSender<LogBatch>,
}

/// A bounded link from workers to an observer.
pub fn link() -> (SyncSender<LogBatch>, Receiver<LogBatch>) {
    sync_channel(LINK_BATCHES)
}

impl Recorder {
    /// Work of a limited instance is released at most this long after its completion on an unblocked worker.
    pub const SLACK: Duration = Duration::from_millis(20);

    /// A recorder of `worker` that hands over through `link`.
    pub fn new(worker: WorkerId, link: SyncSender<LogBatch>) -> Recorder {
        let buffer = Buffer { worker, records: Vec::new(), dropped: 0, handed_over: Timestamp::ZERO, link };
        Recorder { inner: Some(Rc::new(RefCell::new(buffer))) }
    }

    /// A recorder that forgets everything.
    pub fn off() -> Recorder {
        Recorder { inner: None }
    }

    /// Whether records are kept.
    pub fn is_on(&self) -> bool {
        self.inner.is_some()
    }

    /// Adds a record.
    pub fn log(&self, record: Record) {
        if let Some(inner) = &self.inner {
            inner.borrow_mut().records.push(record);
        }
    }

    /// Hands over what has been collected if it is old or long enough; `now` was read before the worker's last step.
    pub fn hand_over(&self, now: Timestamp) {
        let Some(inner) = &self.inner else { return };
        let mut buffer = inner.borrow_mut();
        if now.since(buffer.handed_over) < HAND_OVER && buffer.records.len() < HAND_OVER_RECORDS {
            return;
        }
        buffer.send(now);
    }

    /// Hands over everything at the end of a run.
    pub fn finish(&self, now: Timestamp) {
        if let Some(inner) = &self.inner {
            inner.borrow_mut().send(now);
        }
    }
}

impl Buffer {
    fn send(&mut self, now: Timestamp) {
        self.handed_over = now;
        self.records.push(Record::UpTo { worker: self.worker, at: now - Recorder::SLACK });
        let records = std::mem::take(&mut self.records);
        let batch = LogBatch { worker: self.worker, up_to: now, records, dropped: self.dropped };
        match self.link.try_send(batch) {
            Ok(()) => {}
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => self.dropped += batch.records.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Epoch;

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let (sender, receiver) = sync_channel(1);
        let recorder = Recorder::new(WorkerId(0), sender);
        let log = |n| recorder.log(Record::EpochCompleted { at: Timestamp(n), worker: WorkerId(0), epoch: Epoch(n) });
        log(1);
        recorder.hand_over(Timestamp(10_000_000));
        log(2);
        log(3);
        recorder.hand_over(Timestamp(20_000_000));
        assert_eq!(receiver.recv().unwrap().records.len(), 1);
        recorder.finish(Timestamp(30_000_000));
        assert_eq!(receiver.recv().unwrap().dropped, 2);
    }
}
