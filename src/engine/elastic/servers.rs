//! Operator instances as queueing servers: their queues, their service and its log records.
//!
//! A worker hosts one [`InstanceServer`] for each instance placed on it. An instance of capacity
//! `Cpu` processes its queue at once and is measured; a `Limited` one emits its results when its
//! [`ServiceTime`] says that they are complete. The instances of one operator share one timer,
//! rounded up to a grid, so that thirty instances cause no more wake-ups than one.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;
use std::vec::IntoIter;

use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilderSession;
use timely::scheduling::Activator;

use super::batch::{Batch, BatchBuilder, at_once};
use super::service_time::ServiceTime;
use crate::activity::{Activity, Lane, Record};
use crate::dataflow::Capacity;
use crate::engine::Time;
use crate::engine::host::{Context, OperatorSpec};
use crate::id::InstanceId;
use crate::time::{Epoch, Timestamp};

/// Completed work of limited instances is released on this grid.
const GRID: Duration = Duration::from_millis(5);
/// How often queues are sampled, if recording is on.
const SAMPLE: Duration = Duration::from_millis(100);

/// Capabilities to emit results of an epoch, and to send its records on with migrating state while
/// they are not processed.
pub(super) struct Caps {
    pub(super) results: Capability<Time>,
    /// Missing for records that travelled with migrated state: they are processed where they are.
    pub(super) state: Option<Capability<Time>>,
}

/// Records of one epoch that wait for an instance. Their type is known only where they are applied,
/// so that queues are compiled once.
pub(super) struct QueuedBatch {
    pub(super) caps: Rc<Caps>,
    /// What is left of them: an [`IntoIter`].
    records: Box<dyn Any>,
    left: usize,
}

impl QueuedBatch {
    pub(super) fn new<D: 'static>(caps: &Rc<Caps>, records: Vec<D>) -> QueuedBatch {
        QueuedBatch { caps: Rc::clone(caps), left: records.len(), records: Box::new(records.into_iter()) }
    }

    pub(super) fn epoch(&self) -> Time {
        *self.caps.results.time()
    }

    /// How many records are left.
    pub(super) fn len(&self) -> usize {
        self.left
    }

    /// The records that are left.
    pub(super) fn records<D: 'static>(&self) -> &[D] {
        self.records.downcast_ref::<IntoIter<D>>().expect("records of the operator's type").as_slice()
    }

    /// All records that are left.
    pub(super) fn into_records<D: 'static>(self) -> IntoIter<D> {
        *self.records.downcast().expect("records of the operator's type")
    }
}

/// Applies records and emits the results.
trait Apply {
    /// Applies the first `count` records of `work` for `lane` and emits the results; returns how
    /// many there are.
    fn apply(&mut self, work: &mut QueuedBatch, count: usize, lane: Lane) -> usize;
}

struct Serving<'o, 'a, D, R: 'static, F> {
    output: &'o mut OutputBuilderSession<'a, Time, BatchBuilder<R>>,
    apply: F,
    types: PhantomData<(D, R)>,
}

impl<D: 'static, R: 'static, F: FnMut(&Caps, Time, &mut IntoIter<D>, usize, &mut Vec<R>)> Apply for Serving<'_, '_, D, R, F> {
    fn apply(&mut self, work: &mut QueuedBatch, mut count: usize, lane: Lane) -> usize {
        let (epoch, most) = (work.epoch(), at_once::<R>());
        let records = work.records.downcast_mut::<IntoIter<D>>().expect("records of the operator's type");
        work.left -= count;
        let mut session = self.output.session_with_builder(&work.caps.results);
        let (mut results, mut given) = (Vec::with_capacity(count.min(most)), 0);
        while count > 0 {
            let some = count.min(most - results.len());
            (self.apply)(&work.caps, epoch, records, some, &mut results);
            count -= some;
            if !results.is_empty() && (count == 0 || results.len() >= most) {
                given += results.len();
                session.give_container(&mut Batch::new(lane, results));
                results = Vec::with_capacity(count.min(most));
            }
        }
        given
    }
}

/// One instance and its queue.
pub(super) struct InstanceServer {
    id: InstanceId,
    lane: Lane,
    /// For limited instances.
    service: Option<ServiceTime>,
    pub(super) queue: VecDeque<QueuedBatch>,
    /// Since the last sample.
    arrivals: u64,
    pub(super) processed: u64,
    pub(super) useful: Duration,
}

impl InstanceServer {
    /// Puts work at the end of the queue.
    pub(super) fn arrive(&mut self, work: QueuedBatch, now: Timestamp) {
        self.arrivals += work.len() as u64;
        self.queue.push_back(work);
        self.wake(now);
    }

    /// Puts work before the queue, in the order given.
    pub(super) fn overtake(&mut self, works: impl DoubleEndedIterator<Item = QueuedBatch>, now: Timestamp) {
        for work in works.rev() {
            self.arrivals += work.len() as u64;
            self.queue.push_front(work);
        }
        self.wake(now);
    }

    /// To be called after the queue was changed from outside.
    pub(super) fn wake(&mut self, now: Timestamp) {
        if let Some(service) = &mut self.service {
            if self.queue.is_empty() { service.work_ran_out() } else { service.work_arrived(now) }
        }
    }
}

/// The instances of one operator on one worker.
pub(super) struct Servers {
    context: Context,
    spec: OperatorSpec,
    servers: BTreeMap<u32, InstanceServer>,
    /// When the clock was last read.
    now: Timestamp,
    next_sample: Timestamp,
    armed: Timestamp,
}

impl Servers {
    pub(super) fn new(context: &Context, spec: &OperatorSpec) -> Servers {
        let start = Timestamp::ZERO;
        let (context, spec) = (context.clone(), spec.clone());
        Servers { context, spec, servers: BTreeMap::new(), now: start, next_sample: start, armed: start }
    }

    /// The server of instance `index`.
    pub(super) fn server(&mut self, index: u32) -> &mut InstanceServer {
        debug_assert!(self.context.hosts(index), "{}-{index} is placed on another worker", self.spec.name);
        self.servers.entry(index).or_insert_with(|| {
            let id = InstanceId::new(self.spec.id, index);
            let slow = self.spec.slow.filter(|slow| slow.instance == index);
            let service = match self.spec.capacity {
                Capacity::Cpu => None,
                Capacity::Limited { rate } => Some(ServiceTime::new(rate, slow)),
                Capacity::Exponential { rate, seed } => {
                    Some(ServiceTime::exponential(rate, slow, seed ^ (u64::from(id.operator.0) << 32 | u64::from(index))))
                }
            };
            let lane = self.context.lane(id, self.spec.capacity);
            InstanceServer { id, lane, service, queue: VecDeque::new(), arrivals: 0, processed: 0, useful: Duration::ZERO }
        })
    }

    /// All servers that exist, by instance.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut InstanceServer)> {
        self.servers.iter_mut().map(|(&index, server)| (index, server))
    }

    /// The oldest epoch that waits for instance `index`; later than all epochs if nothing does.
    pub(super) fn oldest(&self, index: u32) -> Time {
        let queue = self.servers.get(&index).map(|server| &server.queue);
        queue.into_iter().flatten().map(QueuedBatch::epoch).min().unwrap_or(Time::MAX)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.servers.values().all(|server| server.queue.is_empty())
    }

    /// Processes what is complete by now; `apply` receives capabilities, an epoch, records and how
    /// many of them to take, and emits results.
    pub(super) fn serve<D: 'static, R: 'static>(
        &mut self,
        output: &mut OutputBuilderSession<'_, Time, BatchBuilder<R>>,
        apply: impl FnMut(&Caps, Time, &mut IntoIter<D>, usize, &mut Vec<R>),
    ) {
        self.serve_by(&mut Serving { output, apply, types: PhantomData });
    }

    fn serve_by(&mut self, applied: &mut dyn Apply) {
        let Servers { context, spec, servers, .. } = self;
        // The clock is looked at as seldom as can be: at full speed an epoch takes a tenth of a
        // millisecond.
        let mut now = context.clock.now();
        for (&index, server) in servers.iter_mut() {
            while let Some(work) = server.queue.front_mut() {
                let (epoch, waiting) = (work.epoch(), work.len());
                let count = match &server.service {
                    None => waiting,
                    Some(service) => waiting.min(usize::try_from(service.completed_by(now)).unwrap_or(usize::MAX)),
                };
                if count == 0 && waiting > 0 {
                    break;
                }
                let (lane, kind, instance, epoch) = (server.lane, spec.work, server.id, Epoch(epoch));
                let begun = Activity { lane, kind, instance, epoch, start: now, end: now, records_in: 0, records_out: 0 };
                // Where time is imposed, waits have none.
                if server.service.is_none() && context.recorder.is_on() {
                    context.waits.begin(begun);
                }
                let results = applied.apply(work, count, lane);
                let (start, end) = match &mut server.service {
                    None => (context.waits.end().unwrap_or(now), context.clock.now()),
                    Some(service) => service.serve(count as u64),
                };
                let (records_in, records_out) = (count as u64, results as u64);
                context.recorder.log(Record::Activity(Activity { start, end, records_in, records_out, ..begun }));
                server.processed += records_in;
                // Waits keep the instance from other records as work does.
                server.useful += end.since(if server.service.is_none() { now } else { start });
                if server.service.is_none() {
                    now = end;
                }
                if work.len() == 0 {
                    server.queue.pop_front();
                }
                if let Some((start, end)) = spec.queues.remove(index, count as u64, now) {
                    context.recorder.log(Record::Backpressure { instance: server.id, start, end });
                }
            }
            if server.queue.is_empty() {
                server.wake(now);
            }
        }
        self.now = now;
    }

    /// Records a sample of each queue when one is due and recording is on; returns whether it did.
    /// To be called after `serve`.
    pub(super) fn sample(&mut self) -> bool {
        let now = self.now;
        if !self.context.recorder.is_on() || now < self.next_sample {
            return false;
        }
        self.next_sample = now + SAMPLE;
        for (&index, server) in &mut self.servers {
            if let Some((start, end)) = self.spec.queues.cut(index, now) {
                self.context.recorder.log(Record::Backpressure { instance: server.id, start, end });
            }
            let (length, arrivals) = (self.spec.queues.waiting(index), std::mem::take(&mut server.arrivals));
            self.context.recorder.log(Record::Queue { instance: server.id, at: now, length, arrivals });
        }
        true
    }

    /// Schedules the operator for when the next work completes or, if recording is on, the next
    /// sample is due. To be called after `serve`.
    pub(super) fn arm(&mut self, activator: &Activator) {
        let now = self.now;
        let completions = self.servers.values().filter(|server| !server.queue.is_empty()).filter_map(|server| server.service.as_ref());
        let grid = GRID.as_nanos() as u64;
        let release = completions.map(|service| Timestamp(service.completion(1).0.next_multiple_of(grid))).min();
        let sample = self.context.recorder.is_on().then_some(self.next_sample);
        let Some(due) = release.into_iter().chain(sample).min() else { return };
        if self.armed <= now || due < self.armed {
            // What was done since the clock was read is over by now.
            activator.activate_after(due.since(self.context.clock.now()));
            self.armed = due;
        }
    }
}
