//! What elastic operators on a worker share: its number, clock, activity log and place in the job.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use super::backlog::Backlog;
use super::clock::Clock;
use super::control::Ack;
use super::horizon::Horizon;
use super::places::Places;
use super::queues::QueueMeters;
use super::recorder::Recorder;
use super::waits::{ExternalWait, Waits};
use crate::activity::{ActivityKind, Lane, Record};
use crate::dataflow::{Capacity, QueueMarks, Straggler, Topology};
use crate::id::{ChannelId, InstanceId, OperatorId, WorkerId};

/// A worker's view of the job; cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// This worker.
    pub worker: WorkerId,
    /// Number of workers, of all processes together.
    pub peers: u32,
    /// The workers of this process: between them state moves as a pointer, to others it is
    /// serialized.
    pub local: Range<u32>,
    /// The run's clock.
    pub clock: Clock,
    /// Where activity records go.
    pub recorder: Recorder,
    /// Where completed parts of migrations are reported.
    pub acks: Sender<Ack>,
    /// How long a router, an operator or a sink works on records before the others of its worker
    /// have their turn; at least one record is processed. What is left waits in its queue.
    pub budget: Duration,
    /// Work that waits for this worker.
    pub(in crate::engine) backlog: Backlog,
    /// How far commands of this worker run ahead of the data.
    pub(in crate::engine) horizon: Horizon,
    /// What functions of operators mark as waiting.
    pub(in crate::engine) waits: Waits,
}

/// One elastic operator of the job.
#[derive(Clone)]
pub struct OperatorSpec {
    /// Its number in the topology.
    pub id: OperatorId,
    /// Its name.
    pub name: String,
    /// Capacity of each of its instances.
    pub capacity: Capacity,
    /// Its instances' queues, shared by all workers of the process.
    pub queues: Arc<QueueMeters>,
    /// What it does with records, for the log: its own work, or waiting for something outside.
    pub work: ActivityKind,
    /// A limited instance that is slow for a time.
    pub slow: Option<Straggler>,
    /// Minimum delay of messages to it.
    pub delay: Duration,
    /// Approximate size of the parts in which state is sent to another process, in bytes.
    pub part_bytes: usize,
    /// Where its instances are at the start.
    pub places: Places,
}

/// Default time that an operator works on records before others have their turn: so short that a
/// worker turns to each operator of a chain within a few milliseconds, so long that to bring the
/// operator's state back into the processor's caches costs little.
const BUDGET: Duration = Duration::from_millis(2);

/// Default size of a part of state: small enough not to delay records of other bins, and not to
/// make timely's buffers grow.
const PART_BYTES: usize = 256 << 10;

impl OperatorSpec {
    /// An operator of up to `instances` instances whose queues cause no backpressure.
    pub fn new(id: OperatorId, name: &str, capacity: Capacity, instances: u32) -> OperatorSpec {
        let queues = QueueMeters::new(QueueMarks::default(), instances, Arc::default());
        OperatorSpec::with_queues(id, name, capacity, Arc::new(queues))
    }

    /// An operator whose instances' queues are `queues`; all instances alike, no delay.
    pub fn with_queues(id: OperatorId, name: &str, capacity: Capacity, queues: Arc<QueueMeters>) -> OperatorSpec {
        let (name, work, part_bytes) = (name.to_owned(), ActivityKind::Processing, PART_BYTES);
        OperatorSpec { id, name, capacity, queues, work, slow: None, delay: Duration::ZERO, part_bytes, places: Places::default() }
    }
}

impl Context {
    /// The view of one of `peers` workers, all of them in this process.
    pub fn new(worker: WorkerId, peers: u32, clock: Clock, recorder: Recorder, acks: Sender<Ack>) -> Context {
        Context {
            worker,
            peers,
            local: 0..peers,
            clock,
            recorder,
            acks,
            budget: BUDGET,
            backlog: Backlog::default(),
            horizon: Horizon::default(),
            waits: Waits::default(),
        }
    }

    /// The view of the only worker of a program without an observer: records and acknowledgements
    /// are discarded.
    pub fn alone() -> Context {
        let (acks, _) = channel();
        Context::new(WorkerId(0), 1, Clock::start(), Recorder::off(), acks)
    }

    /// Records the names of the job's operators and of the channels between them.
    pub fn describe(&self, topology: &Topology) {
        for operator in topology.operators() {
            self.recorder.log(Record::Operator { operator: operator.id, name: operator.name.clone() });
        }
        for edge in topology.edges() {
            let (source, target) = (edge.from, edge.to);
            self.recorder.log(Record::Channel { channel: ChannelId(target.0), source, target });
        }
    }

    /// The worker that hosts instance `index` of an operator.
    pub(in crate::engine) fn place(&self, places: &Places, index: u32) -> WorkerId {
        places.of(index, self.peers)
    }

    /// Whether this worker hosts instance `index` of an operator.
    pub(in crate::engine) fn hosts(&self, places: &Places, index: u32) -> bool {
        self.place(places, index) == self.worker
    }

    /// Whether a worker is one of this process.
    pub(in crate::engine) fn is_near(&self, worker: WorkerId) -> bool {
        self.local.contains(&worker.0)
    }

    /// The lane on which an instance of this capacity works.
    pub fn lane(&self, instance: InstanceId, capacity: Capacity) -> Lane {
        match capacity {
            Capacity::Cpu => Lane::Worker(self.worker),
            Capacity::Limited { .. } | Capacity::Exponential { .. } => Lane::Instance(instance),
        }
    }

    /// Marks what a function of an operator does from now on as waiting for something outside of
    /// the job, until the mark is dropped: an answer of a database, a file, a lock that another
    /// program holds. It is recorded as [`ActivityKind::ExternalWait`], apart from the instance's
    /// work, so that it counts neither as its useful time nor as work that a faster processor would
    /// do sooner.
    ///
    /// Within another wait it marks nothing of its own. Outside of a function of an operator, for
    /// example in a source or a sink, and in instances of
    /// [limited](crate::dataflow::Capacity::Limited) capacity, whose time is imposed, nothing is
    /// recorded.
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    /// use std::time::Duration;
    ///
    /// use thalweg::activity::{ActivityKind, Record};
    /// use thalweg::dataflow::Capacity;
    /// use thalweg::engine::{Clock, Context, DrainToSink, ElasticStateless, IntoBatches, OperatorSpec, Recorder, link};
    /// use thalweg::id::{OperatorId, WorkerId};
    /// use timely::dataflow::InputHandleVec;
    /// use timely::dataflow::operators::Input;
    ///
    /// let (link, log) = link();
    /// timely::execute_directly(move |worker| {
    ///     let recorder = Recorder::new(WorkerId(0), link);
    ///     let context = Context::new(WorkerId(0), 1, Clock::start(), recorder.clone(), channel().0);
    ///     let lookup = OperatorSpec::new(OperatorId(1), "Look up", Capacity::Cpu, 1);
    ///     let (mut keys, mut control) = (InputHandleVec::new(), InputHandleVec::new());
    ///     worker.dataflow(|scope| {
    ///         let commands = control.to_stream(scope);
    ///         let inside = context.clone();
    ///         let keys = keys.to_stream(scope).into_batches();
    ///         keys.elastic_flat_map(commands, &context, &lookup, 1, move |key: u64, found| {
    ///             let answer = {
    ///                 let _wait = inside.external_wait();
    ///                 std::thread::sleep(Duration::from_millis(2)); // A question to a database.
    ///                 key * key
    ///             };
    ///             found.push(answer);
    ///         })
    ///         .drain_to_sink(&context, OperatorId(2), |_, found| assert_eq!(found, [1, 4, 9]));
    ///     });
    ///     keys.send_batch(&mut vec![1, 2, 3]);
    ///     drop((keys, control));
    ///     while worker.step() {}
    ///     recorder.finish(context.clock.now());
    /// });
    /// let records: Vec<Record> = log.iter().flat_map(|batch| batch.records).collect();
    /// let waits = records.iter().filter_map(|record| match record {
    ///     Record::Activity(activity) if activity.kind == ActivityKind::ExternalWait => Some(activity.end.since(activity.start)),
    ///     _ => None,
    /// });
    /// assert!(waits.sum::<Duration>() >= Duration::from_millis(6));
    /// ```
    pub fn external_wait(&self) -> ExternalWait<'_> {
        self.waits.external(self.clock, &self.recorder)
    }
}
