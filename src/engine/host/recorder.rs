//! Passes activity records from a worker to the observer: batched, bounded, never blocking.
//!
//! A worker collects records in a buffer of its own and hands them over every few milliseconds.
//! When the observer does not keep up, the batch is dropped and counted; the worker never waits.
//! Names of operators and channels are never dropped: they stay in the buffer until the observer
//! takes them, and there are no more of them than the program has.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};

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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogBatch {
    /// The worker.
    pub worker: WorkerId,
    /// No record from before this instant will follow from the worker, except those of work that
    /// completed in the [`slack`](Recorder::SLACK) before it.
    pub up_to: Timestamp,
    /// The records.
    pub records: Vec<Record>,
    /// Records that this worker has dropped since the start.
    pub dropped: u64,
}

/// The workers' end of a bounded link to an observer; clones lead to the same observer.
#[derive(Clone, Debug)]
pub struct Link {
    sender: SyncSender<LogBatch>,
    dropped: Arc<AtomicU64>,
}

/// How many records all workers of a link have dropped; can still be read after they have ended.
#[derive(Clone, Debug)]
pub struct Dropped(Arc<AtomicU64>);

/// Log of a worker; clones share one buffer.
#[derive(Clone)]
pub struct Recorder {
    inner: Option<Rc<RefCell<Buffer>>>,
}

/// Records of a worker that have not been handed over yet.
pub(in crate::engine) struct Buffer {
    worker: WorkerId,
    slack: Duration,
    records: Vec<Record>,
    dropped: u64,
    handed_over: Timestamp,
    link: Link,
}

/// A bounded link from workers to an observer.
pub fn link() -> (Link, Receiver<LogBatch>) {
    Link::bounded(LINK_BATCHES)
}

impl Link {
    fn bounded(batches: usize) -> (Link, Receiver<LogBatch>) {
        let (sender, receiver) = sync_channel(batches);
        (Link { sender, dropped: Arc::default() }, receiver)
    }

    /// The count of what is dropped on this link.
    pub fn dropped(&self) -> Dropped {
        Dropped(Arc::clone(&self.dropped))
    }

    /// Counts records that were dropped on the way to this link.
    pub(in crate::engine) fn lose(&self, records: u64) {
        self.dropped.fetch_add(records, Ordering::SeqCst);
    }

    /// Sends a batch. What does not fit is dropped and counted, except for names, which are
    /// returned with the number of dropped records.
    fn pass(&self, batch: LogBatch) -> (Vec<Record>, u64) {
        match self.sender.try_send(batch) {
            Ok(()) => (Vec::new(), 0),
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => {
                // How far a worker has come is no loss: the next batch says it again.
                let whole = batch.records.iter().filter(|record| !matches!(record, Record::UpTo { .. })).count();
                let names = |record: &Record| matches!(record, Record::Operator { .. } | Record::Channel { .. });
                let names: Vec<Record> = batch.records.into_iter().filter(names).collect();
                let lost = (whole - names.len()) as u64;
                self.lose(lost);
                (names, lost)
            }
        }
    }
}

/// Passes batches of other processes' workers on to a link of this one.
pub(in crate::engine) struct Relay {
    link: Link,
    /// By worker: names that did not fit, and how many records were lost here.
    left: BTreeMap<WorkerId, (Vec<Record>, u64)>,
}

impl Relay {
    pub(in crate::engine) fn new(link: Link) -> Relay {
        Relay { link, left: BTreeMap::new() }
    }

    /// Sends a batch; never blocks.
    pub(in crate::engine) fn pass(&mut self, mut batch: LogBatch) {
        let (names, lost) = self.left.entry(batch.worker).or_default();
        if !names.is_empty() {
            names.append(&mut batch.records);
            batch.records = std::mem::take(names);
        }
        batch.dropped += *lost;
        let (left, lost_now) = self.link.pass(batch);
        (*names, *lost) = (left, *lost + lost_now);
    }

    /// Counts records that were dropped before they came here.
    pub(in crate::engine) fn lose(&self, records: u64) {
        self.link.lose(records);
    }
}

impl Dropped {
    /// Records dropped so far; complete once the observer's end says that all workers have ended.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Recorder {
    /// Work of a limited instance is released at most this long after its completion on an
    /// unblocked worker.
    pub const SLACK: Duration = Duration::from_millis(20);

    /// A recorder of `worker` that hands over through `link`.
    pub fn new(worker: WorkerId, link: Link) -> Recorder {
        Recorder { inner: Some(Rc::new(RefCell::new(Buffer::new(worker, Recorder::SLACK, link)))) }
    }

    /// A recorder that discards everything.
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
            inner.borrow_mut().push(record);
        }
    }

    /// Hands over what has been collected if it is old or long enough; `now` was read before the
    /// worker's last step.
    pub fn hand_over(&self, now: Timestamp) {
        if let Some(inner) = &self.inner {
            inner.borrow_mut().hand_over(now);
        }
    }

    /// Hands over everything at the end of a run.
    pub fn finish(&self, now: Timestamp) {
        if let Some(inner) = &self.inner {
            inner.borrow_mut().send(now);
        }
    }
}

impl Buffer {
    /// An empty buffer; records of the last `slack` before an instant may be added after it.
    pub(in crate::engine) fn new(worker: WorkerId, slack: Duration, link: Link) -> Buffer {
        Buffer { worker, slack, records: Vec::new(), dropped: 0, handed_over: Timestamp::ZERO, link }
    }

    /// Adds a record.
    #[inline]
    pub(in crate::engine) fn push(&mut self, record: Record) {
        self.records.push(record);
    }

    /// Counts a record that cannot be written down.
    pub(in crate::engine) fn lose(&mut self, records: u64) {
        self.dropped += records;
        self.link.lose(records);
    }

    /// Hands over if it is time.
    pub(in crate::engine) fn hand_over(&mut self, up_to: Timestamp) {
        if up_to.since(self.handed_over) >= HAND_OVER || self.records.len() >= HAND_OVER_RECORDS {
            self.send(up_to);
        }
    }

    /// Hands over now: all of before `up_to` minus the slack is in the buffer or was handed over
    /// before.
    pub(in crate::engine) fn send(&mut self, up_to: Timestamp) {
        self.handed_over = up_to;
        // As long as the last one was: a buffer that grows from nothing is copied many times over.
        let next = Vec::with_capacity(self.records.len().min(HAND_OVER_RECORDS));
        let mut records = std::mem::replace(&mut self.records, next);
        records.push(Record::UpTo { worker: self.worker, at: up_to - self.slack });
        let batch = LogBatch { worker: self.worker, up_to, records, dropped: self.dropped };
        let (names, lost) = self.link.pass(batch);
        self.records.extend(names);
        self.dropped += lost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::OperatorId;
    use crate::time::Epoch;

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let (link, receiver) = Link::bounded(1);
        let dropped = link.dropped();
        let recorder = Recorder::new(WorkerId(0), link);
        let log = |n| recorder.log(Record::EpochCompleted { at: Timestamp(n), worker: WorkerId(0), epoch: Epoch(n) });
        log(1);
        recorder.hand_over(Timestamp(10_000_000));
        let name = Record::Operator { operator: OperatorId(1), name: "Count".to_owned() };
        log(2);
        recorder.log(name.clone());
        log(3);
        recorder.hand_over(Timestamp(20_000_000));
        assert_eq!(receiver.recv().unwrap().records.len(), 2, "the record and how far the worker is");
        recorder.finish(Timestamp(30_000_000));
        let batch = receiver.recv().unwrap();
        assert_eq!((batch.dropped, &batch.records[0]), (2, &name), "names stay until they are taken");
        // What is dropped in the very last hand-over has no batch to be counted in.
        log(4);
        recorder.finish(Timestamp(40_000_000));
        log(5);
        recorder.finish(Timestamp(50_000_000));
        assert_eq!(dropped.count(), 3);
    }
}
