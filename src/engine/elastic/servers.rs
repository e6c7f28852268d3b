//! Operator instances as queueing servers: their queues, their service and its log records.
//!
//! A worker hosts one [`InstanceServer`] for each instance placed on it. An instance of capacity
//! `Cpu` processes its queue at once and is measured; a `Limited` one emits its results when its
//! [`ServiceTime`] says that they are complete. The instances of one operator share one timer,
//! rounded up to a grid, so that thirty instances cause no more wake-ups than one.
//!
//! However much waits, an operator works no longer at a time than its worker's
//! [budget](Context::budget), in the middle of a batch if need be; what is left stays at the head
//! of its queue. So commands, progress, samples and the other operators have their turn at any
//! load. How much is left, in time, tells the sources when to pause (`host/backlog.rs`).

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;
use std::vec::IntoIter;

use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilderSession;
use timely::scheduling::Activator;

use super::batch::{Batch, BatchBuilder, at_once};
use super::fault::{Fault, seeded};
use super::service_time::ServiceTime;
use crate::activity::{Activity, Lane, Record};
use crate::dataflow::Capacity;
use crate::engine::Time;
use crate::engine::host::{Context, OperatorSpec, Places};
use crate::id::InstanceId;
use crate::time::{Epoch, Timestamp};

/// Completed work of limited instances is released on this grid.
const GRID: Duration = Duration::from_millis(5);
/// How often queues are sampled, if recording is on.
const SAMPLE: Duration = Duration::from_millis(100);
/// So many records are applied before it is known how long one takes.
const FIRST_RECORDS: usize = 64;
/// The part that a further observation has in what is known of the time that a record takes.
const NEWEST: f64 = 0.2;

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
    /// How long a record has taken its worker of late, in ns; nothing before the first.
    per_record: Option<f64>,
    /// Whether sources pause for its worker on account of it.
    late: bool,
}

impl InstanceServer {
    /// How many of `waiting` records to apply in `time`: at least one, and all where few would be
    /// left.
    fn portion(&self, waiting: usize, time: Duration) -> usize {
        let portion = match self.per_record {
            _ if time.is_zero() => 1,
            None => FIRST_RECORDS,
            Some(per_record) => (time.as_nanos() as f64 / per_record.max(1.0)) as usize,
        };
        if portion + portion / 4 >= waiting { waiting } else { portion.max(1) }
    }

    /// Records took so long.
    fn took(&mut self, time: Duration, records: usize) {
        if records > 0 {
            let each = time.as_nanos() as f64 / records as f64;
            // One time that the worker did not have its core says little of a record.
            let known = self.per_record.unwrap_or(each);
            self.per_record = Some(known + NEWEST * (each.min(2.0 * known.max(1.0)) - known));
        }
    }

    /// How long its queue will take its worker.
    fn work(&self) -> Duration {
        let records: usize = self.queue.iter().map(QueuedBatch::len).sum();
        Duration::from_nanos((records as f64 * self.per_record.unwrap_or_default()) as u64)
    }

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
    /// Where the operator's instances are by the newest command; shared with whoever learns of it.
    pub(super) places: Rc<RefCell<Places>>,
    servers: BTreeMap<u32, InstanceServer>,
    /// When the clock was last read.
    now: Timestamp,
    next_sample: Timestamp,
    armed: Timestamp,
    /// The instance whose turn is next, if time ran out before it.
    turn: u32,
    /// Whether time ran out before the queues.
    yielded: bool,
    /// Work in the queues as it was last told.
    work: Duration,
}

impl Servers {
    pub(super) fn new(context: &Context, spec: &OperatorSpec) -> Servers {
        let start = Timestamp::ZERO;
        let places = Rc::new(RefCell::new(spec.places.clone()));
        let (context, spec) = (context.clone(), spec.clone());
        let (servers, work) = (BTreeMap::new(), Duration::ZERO);
        Servers { context, spec, places, servers, now: start, next_sample: start, armed: start, turn: 0, yielded: false, work }
    }

    /// The server of instance `index`.
    pub(super) fn server(&mut self, index: u32) -> &mut InstanceServer {
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
            let (queue, useful) = (VecDeque::new(), Duration::ZERO);
            InstanceServer { id, lane, service, queue, arrivals: 0, processed: 0, useful, per_record: None, late: false }
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
        let Servers { context, spec, servers, turn, .. } = self;
        // The clock is looked at as seldom as can be: at full speed an epoch takes a tenth of a
        // millisecond.
        let begin = context.clock.now();
        let (mut now, until) = (begin, begin + context.budget);
        let first = std::mem::take(turn);
        let mut ran_out = false;
        'turns: for indices in [first..u32::MAX, 0..first] {
            for (&index, server) in servers.range_mut(indices) {
                while let Some(work) = server.queue.front() {
                    let (epoch, waiting) = (Epoch(work.epoch()), work.len());
                    let complete = match &server.service {
                        None => waiting,
                        Some(service) => waiting.min(usize::try_from(service.completed_by(begin)).unwrap_or(usize::MAX)),
                    };
                    if complete == 0 && waiting > 0 {
                        break;
                    }
                    let count = server.portion(complete, until.since(now));
                    let (lane, kind, instance) = (server.lane, spec.work, server.id);
                    let begun = Activity { lane, kind, instance, epoch, start: now, end: now, records_in: 0, records_out: 0 };
                    // Where time is imposed, waits have none.
                    if server.service.is_none() && context.recorder.is_on() {
                        context.waits.begin(begun);
                    }
                    let work = server.queue.front_mut().expect("just seen");
                    let results = applied.apply(work, count, lane);
                    let done = context.clock.now();
                    let (start, end) = match &mut server.service {
                        None => (context.waits.end().unwrap_or(now), done),
                        Some(service) => service.serve(count as u64),
                    };
                    let (records_in, records_out) = (count as u64, results as u64);
                    context.recorder.log(Record::Activity(Activity { start, end, records_in, records_out, ..begun }));
                    server.processed += records_in;
                    // Waits keep the instance from other records as work does.
                    server.useful += end.since(if server.service.is_none() { now } else { start });
                    server.took(done.since(now), count);
                    now = done;
                    if server.queue.front().is_some_and(|work| work.len() == 0) {
                        server.queue.pop_front();
                    } else if seeded(Fault::RestLast) {
                        server.queue.rotate_left(1);
                    }
                    if let Some((start, end)) = spec.queues.remove(index, count as u64, now) {
                        context.recorder.log(Record::Backpressure { instance: server.id, start, end });
                    }
                    // Nor is a rest of time worth cutting a batch for.
                    if until.since(now) <= context.budget / 8 {
                        (ran_out, *turn) = (true, index + 1);
                        break;
                    }
                }
                if server.queue.is_empty() {
                    server.wake(now);
                }
                if ran_out {
                    break 'turns;
                }
            }
        }
        self.yielded = ran_out && !self.is_empty();
        self.now = now;
    }

    /// Tells how much work waits, and for which instances sources are to pause. To be called when
    /// the queues are as they will be until the operator is scheduled again.
    pub(super) fn weigh(&mut self) {
        let Servers { context, spec, servers, now, work, .. } = self;
        // An imposed time is none of the worker's.
        if spec.capacity != Capacity::Cpu {
            return;
        }
        let all = servers.values().map(InstanceServer::work).sum();
        context.backlog.change(*work, all);
        *work = all;
        for (&index, server) in servers {
            let late = context.backlog.is_late(server.work(), server.late);
            if late == server.late {
                continue;
            }
            server.late = late;
            if let Some((start, end)) = spec.queues.set_late(index, late, *now) {
                context.recorder.log(Record::Backpressure { instance: server.id, start, end });
            }
        }
    }

    /// The first instance on this worker; an instance of the same number as the worker if there is
    /// none.
    pub(super) fn first_here(&self) -> u32 {
        let places = self.places.borrow();
        let mut here = (0..self.spec.queues.instances()).filter(|&index| self.context.hosts(&places, index));
        here.next().unwrap_or(self.context.worker.0)
    }

    /// Forgets instances that have moved to another worker once their queues here are empty: from
    /// then on they are sampled there alone.
    fn drop_moved(&mut self) {
        let Servers { context, spec, places, servers, now, .. } = self;
        let places = places.borrow();
        servers.retain(|&index, server| {
            let stays = context.hosts(&places, index) || !server.queue.is_empty();
            if !stays
                && server.late
                && let Some((start, end)) = spec.queues.set_late(index, false, *now)
            {
                context.recorder.log(Record::Backpressure { instance: server.id, start, end });
            }
            stays
        });
    }

    /// Records a sample of each queue when one is due and recording is on; returns when it was due.
    /// To be called after `serve`.
    ///
    /// Samples belong to a grid of instants. Whoever comes late takes those that it missed too:
    /// nothing has left the queues since, so what waits now is the best that is known of then, and
    /// windows that a worker was late in are not without samples.
    pub(super) fn sample(&mut self) -> Option<Timestamp> {
        let now = self.now;
        if !self.context.recorder.is_on() || now < self.next_sample {
            return None;
        }
        let latest = Timestamp(now.0 - now.0 % SAMPLE.as_nanos() as u64);
        self.drop_moved();
        // At the very first time there is nothing to be made up for.
        let first = if self.next_sample == Timestamp::ZERO { latest } else { self.next_sample };
        for (&index, server) in &mut self.servers {
            if let Some((start, end)) = self.spec.queues.cut(index, now) {
                self.context.recorder.log(Record::Backpressure { instance: server.id, start, end });
            }
            let length = self.spec.queues.waiting(index);
            let mut at = first;
            while at <= latest {
                let arrivals = std::mem::take(&mut server.arrivals);
                self.context.recorder.log(Record::Queue { instance: server.id, at, length, arrivals });
                at += SAMPLE;
            }
        }
        self.next_sample = latest + SAMPLE;
        Some(latest)
    }

    /// Schedules the operator at once if time ran out before its queues; else for when the next
    /// work completes or, if recording is on, the next sample is due. To be called after `serve`.
    pub(super) fn arm(&mut self, activator: &Activator) {
        if self.yielded && !seeded(Fault::SleepOn) {
            return activator.activate();
        }
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
