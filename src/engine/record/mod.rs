//! Recording of any timely or differential program: one line installs it, and timely's own log
//! becomes our activity log.
//!
//! What is recorded, of all dataflows that a worker builds after the line:
//!
//! - names of operators and scopes, and channels between operators, through the boundaries of
//!   scopes (the first worker of the process records them; they are the same on all);
//! - each activation that did something, as
//!   [`Processing`](crate::activity::ActivityKind::Processing), with records in and out; pieces of
//!   a scope's own time, progress tracking above all, as
//!   [`Scheduling`](crate::activity::ActivityKind::Scheduling);
//! - messages between workers, of data and of progress; the sender of progress does not name a
//!   receiver, because all receive it;
//! - epochs, by the frontiers: opened and completed **once**, as worker 0 sees them. An epoch is
//!   complete when every dataflow that opened it has passed it. A dataflow built later starts at
//!   the first epoch, which reopens it if it was complete: for one epoch, openings and completions
//!   alternate;
//! - arrangements of differential dataflow.
//!
//! What timely does not say is unknown: epochs of single messages and activities are
//! [`Epoch::UNKNOWN`](crate::time::Epoch::UNKNOWN), and records are not due before their epoch is
//! opened.
//!
//! Records of one worker are not in the order of time, but none is older than the last
//! [`Record::UpTo`] of the worker. **A worker hands over at the end of its steps, so one that
//! sleeps holds the log back**: step with a bound, such as
//! `worker.step_or_park(Some(Duration::from_millis(20)))`, where the log is looked at while the
//! program runs.
//!
//! Operators and channels have timely's numbers. A second call on the same worker takes over for
//! dataflows built after it; so does recording on a worker whose log streams another program has
//! taken.

mod epochs;
mod sink;
mod structure;
mod worker_log;

use std::any::type_name;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use differential_dataflow::logging::{DifferentialEvent, DifferentialEventBuilder};
use timely::ContainerBuilder;
use timely::logging::{TimelyEventBuilder, TimelyProgressEventBuilder};
use timely::logging_core::Logger;
use timely::order::Product;
use timely::progress::Timestamp as LogicalTime;
use timely::progress::reachability::logging::{TrackerEvent, TrackerEventBuilder};
use timely::worker::Worker;

pub use self::epochs::AsEpoch;
use self::epochs::{Epochs, Turn};
pub use self::sink::{RecordError, Recorded, RecordingFile, RecordingSink};
use self::worker_log::WorkerLog;
use crate::activity::{ArrangementEvent, Record};
use crate::engine::host::Clock;
use crate::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use crate::time::Timestamp;

/// A recording on one worker. It goes on when this is dropped, until the worker ends.
pub struct Recording {
    log: Rc<RefCell<WorkerLog>>,
    clock: Clock,
}

/// Records everything that `worker` builds from now on; `T` is the timestamp of its dataflows,
/// whose epochs are recorded.
///
/// Progress is recorded for dataflows and scopes over `T` and for iterative scopes that count
/// rounds in `u64` (differential's) or `usize`; [`Recording::nested`] adds others.
///
/// ```
/// use thalweg::engine::{RecordingSink, record};
/// use timely::dataflow::operators::{Inspect, ToStream};
///
/// let (sink, batches) = RecordingSink::to_observer();
/// timely::execute(timely::Config::thread(), move |worker| {
///     record::<u64>(worker, &sink);
///     worker.dataflow::<u64, _, _>(|scope| {
///         (0..10).to_stream(scope).container::<Vec<_>>().inspect(|_| ());
///     });
/// })
/// .unwrap()
/// .join();
/// let names = batches.iter().flat_map(|batch| batch.records).filter(|record| format!("{record:?}").contains("Inspect"));
/// assert_eq!(names.count(), 1);
/// ```
pub fn record<T: LogicalTime + AsEpoch>(worker: &mut Worker, sink: &RecordingSink) -> Recording {
    let id = WorkerId(worker.index() as u32);
    let log = WorkerLog::new(id, worker.peers(), sink.is_first(), sink.link());
    let recording = Recording { log: Rc::new(RefCell::new(log)), clock: sink.clock() };
    let timely = recording.install::<TimelyEventBuilder, _>(worker, "timely", |log, events| {
        events.drain(..).for_each(|(at, event)| log.event(timestamp(at), event));
    });
    recording.install::<DifferentialEventBuilder, _>(worker, "differential/arrange", arrangements);
    if id == WorkerId(0) {
        recording.epochs::<T>(worker, timely);
    }
    recording.nested::<T>(worker).nested::<Product<T, u64>>(worker).nested::<Product<T, usize>>(worker)
}

impl Recording {
    /// Records the progress messages of scopes over the timestamp `T` as well.
    pub fn nested<T: LogicalTime>(self, worker: &mut Worker) -> Recording {
        let name = format!("timely/progress/{}", type_name::<T>());
        let mut known = BTreeSet::new();
        self.install::<TimelyProgressEventBuilder<T>, _>(worker, &name, move |log, events| {
            for (at, event) in events.drain(..) {
                if log.describes() && known.insert(event.channel) {
                    describe(log, event.channel, event.identifier);
                }
                let changes = event.messages.len() + event.internal.len();
                log.progress(timestamp(at), event.is_send, event.channel, event.seq_no, event.source, changes);
            }
        });
        self
    }

    /// Records when epochs open and complete, from the pointstamps of dataflows; `timely` is the
    /// stream that says which trackers are those of dataflows.
    fn epochs<T: LogicalTime + AsEpoch>(&self, worker: &mut Worker, timely: Logger<TimelyEventBuilder>) {
        let name = format!("timely/reachability/{}", type_name::<T>());
        let mut epochs = Epochs::default();
        let log = Rc::clone(&self.log);
        let stream = log.borrow_mut().stream();
        let mut known = BTreeMap::new();
        self.insert::<TrackerEventBuilder<T>>(worker, &name, move |bound, events| {
            let worker = WorkerId(0);
            let give = |at, turn| {
                log.borrow_mut().push(match turn {
                    Turn::Opened(dataflow, epoch) => {
                        let source = InstanceId::new(OperatorId(dataflow), 0);
                        Record::EpochOpened { at, source, epoch, due: at, records: 0 }
                    }
                    Turn::Completed(epoch) => Record::EpochCompleted { at, worker, epoch },
                });
            };
            let Some(events) = events else {
                epochs.settle(&mut { give });
                return log.borrow_mut().flushed(stream, timestamp(*bound));
            };
            for (at, event) in events.drain(..) {
                let (outputs, tracker, updates) = match event {
                    TrackerEvent::SourceUpdate(update) => (true, update.tracker_id, update.updates),
                    TrackerEvent::TargetUpdate(update) => (false, update.tracker_id, update.updates),
                };
                let is_dataflow = *known.entry(tracker).or_insert_with(|| {
                    // A dataflow announces itself before its pointstamps change, so what is not
                    // known after a flush is none.
                    timely.flush();
                    u32::try_from(tracker).is_ok_and(|id| log.borrow().is_dataflow(OperatorId(id)))
                });
                if is_dataflow {
                    let changes = updates.iter().map(|(node, port, time, difference)| ((outputs, *node, *port), time.epoch(), *difference));
                    epochs.change(timestamp(at), tracker as u32, outputs, changes, &mut { give });
                }
            }
        });
    }

    /// Takes a stream of timely's log. The log is not to be used while an action runs, so actions
    /// only read what they are given.
    fn install<B, F>(&self, worker: &mut Worker, name: &str, mut take: F) -> Logger<B>
    where
        B: ContainerBuilder<Container: Default> + 'static,
        F: FnMut(&mut WorkerLog, &mut B::Container) + 'static,
    {
        let log = Rc::clone(&self.log);
        let stream = log.borrow_mut().stream();
        self.insert(worker, name, move |bound, events| {
            let mut log = log.borrow_mut();
            match events {
                Some(events) => take(&mut log, events),
                None => log.flushed(stream, timestamp(*bound)),
            }
        })
    }

    fn insert<B: ContainerBuilder<Container: Default> + 'static>(
        &self,
        worker: &mut Worker,
        name: &str,
        action: impl FnMut(&Duration, &mut Option<B::Container>) + 'static,
    ) -> Logger<B> {
        let logger = Logger::new(self.clock.base(), Duration::ZERO, action);
        // Only a worker that was made without a clock has no log.
        if let Some(mut streams) = worker.log_register() {
            streams.insert_logger(name, logger.clone());
        }
        logger
    }
}

/// Announces a channel on which a scope's parts on all workers tell each other of progress.
fn describe(log: &mut WorkerLog, channel: usize, scope: usize) {
    if let (Some(channel), Some(scope)) = (log.number(channel), log.number(scope)) {
        log.push(Record::Channel { channel: ChannelId(channel), source: OperatorId(scope), target: OperatorId(scope) });
    }
}

fn arrangements(log: &mut WorkerLog, events: &mut Vec<(Duration, DifferentialEvent)>) {
    for (at, event) in events.drain(..) {
        let (operator, kind, updates) = match event {
            DifferentialEvent::Batch(batch) => (batch.operator, ArrangementEvent::Batch, batch.length),
            DifferentialEvent::Drop(drop) => (drop.operator, ArrangementEvent::Drop, drop.length),
            // A merge is logged when it begins and when it is complete.
            DifferentialEvent::Merge(merge) if merge.complete.is_some() => {
                (merge.operator, ArrangementEvent::Merge, merge.length1 + merge.length2)
            }
            _ => continue,
        };
        log.arrangement(timestamp(at), operator, kind, updates);
    }
}

fn timestamp(elapsed: Duration) -> Timestamp {
    Timestamp(elapsed.as_nanos() as u64)
}
