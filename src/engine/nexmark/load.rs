//! Throughput and latency of a query under a synthetic load: its maximum rate, and the duration of
//! an epoch below that.
//!
//! Every worker generates its share of the events before the clock starts and sends it epoch by
//! epoch: as fast as epochs complete, or when each is due. Nothing migrates, and results are
//! dropped where they arrive, so that only the cost of the two forms of a query is measured. Both
//! read the same buffers of the same events, each through the usual input of its kind.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::core::input::Handle;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Operator, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;
use timely::{CommunicationConfig, Config, WorkerConfig};

use super::{Form, Query, QueryParts, Spans};
use crate::activity::{Lane, Record};
use crate::dataflow::{Capacity, QueueMarks};
use crate::engine::Time;
use crate::engine::elastic::{Batch, BatchBuilder, BatchStream};
use crate::engine::host::{Clock, Command, Context, Link, OperatorSpec, QueueMeters, Recorder, RunError, link};
use crate::engine::jobs::DrainToSink;
use crate::id::{InstanceId, OperatorId, WorkerId};
use crate::rate::Rate;
use crate::time::{Epoch, Timestamp};
use crate::workload::nexmark::{Event, Generator, GeneratorConfig};

/// The source, in the log.
const SOURCE: OperatorId = OperatorId(0);
/// Epochs that may be incomplete at a time when they are sent as fast as they complete.
const IN_FLIGHT: usize = 4;

/// What is sent, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// The query.
    pub query: Query,
    /// Its form.
    pub form: Form,
    /// Worker threads.
    pub workers: u32,
    /// Bins of each elastic operator with state.
    pub bins: u32,
    /// Events that the query reads, of all workers together.
    pub events: u64,
    /// Such events in a second of event time.
    pub event_rate: Rate,
    /// Milliseconds of event time in an epoch.
    pub tick_ms: u64,
    /// By what window lengths are divided.
    pub dilation: f64,
    /// Tells streams apart.
    pub seed: u64,
    /// Such events that are due in a second of the run; as many as it takes when missing.
    pub due: Option<Rate>,
    /// Whether the workers record what they do, for an observer.
    pub recorded: bool,
}

/// Where events go in.
enum EventInput {
    /// To elastic operators, from the lane of their worker.
    Batches(Handle<Time, BatchBuilder<Event>>, Lane),
    /// To plain timely.
    Events(InputHandleVec<Time, Event>),
}

impl EventInput {
    fn new(form: Form, worker: usize) -> EventInput {
        match form {
            Form::Elastic => EventInput::Batches(Handle::new_with_builder(), Lane::Worker(WorkerId(worker as u32))),
            Form::Plain => EventInput::Events(InputHandleVec::new()),
        }
    }

    fn advance_to(&mut self, epoch: Time) {
        match self {
            EventInput::Batches(handle, _) => handle.advance_to(epoch),
            EventInput::Events(handle) => handle.advance_to(epoch),
        }
    }

    fn send(&mut self, mut events: Vec<Event>) {
        match self {
            EventInput::Batches(handle, lane) => handle.send_batch(&mut Batch::new(*lane, events)),
            EventInput::Events(handle) => handle.send_batch(&mut events),
        }
    }
}

/// How it went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// Events per second, from the first to the completion of the last.
    pub events_per_s: f64,
    /// Of each epoch in ascending order, from when its last event was due until it was complete; in
    /// nanoseconds.
    pub latency_ns: Vec<u64>,
    /// Activity records that an observer received.
    pub records: u64,
    /// Activity records that did not fit and were dropped.
    pub dropped_records: u64,
}

impl Loaded {
    /// The latency that so large a part of the epochs stays within, `part` from 0 to 1; nothing
    /// without an epoch.
    pub fn quantile(&self, part: f64) -> Option<u64> {
        let index = (self.latency_ns.len() as f64 * part) as usize;
        self.latency_ns.get(index.min(self.latency_ns.len().saturating_sub(1))).copied()
    }
}

impl Load {
    /// Runs it.
    ///
    /// # Errors
    /// When threads cannot be started, or one panics.
    pub fn run(&self) -> Result<Loaded, RunError> {
        let communication =
            if self.workers == 1 { CommunicationConfig::Thread } else { CommunicationConfig::Process(self.workers as usize) };
        let config = Config { communication, worker: WorkerConfig::default() };
        let specs: Vec<(OperatorSpec, u32)> =
            (1..).zip(self.query.operators(self.bins)).map(|(id, (name, _))| self.spec(id, name)).collect();
        let (load, clock) = (self.clone(), Clock::start());
        let (log, batches) = link();
        let dropped = log.dropped();
        let observer = thread::spawn(move || batches.into_iter().map(|batch| batch.records.len() as u64).sum::<u64>());
        let guards = timely::execute(config, move |worker| load.work(worker, clock, &specs, log.clone()));
        let guards = guards.map_err(|why| RunError::Start(self.workers, why))?;
        let mut all = Loaded::default();
        let mut longest = Duration::ZERO;
        for seen in guards.join() {
            let (elapsed, latency_ns) = seen.map_err(RunError::Worker)?;
            longest = longest.max(elapsed);
            all.latency_ns.extend(latency_ns);
        }
        all.records = observer.join().expect("an observer only counts");
        all.dropped_records = dropped.count();
        all.latency_ns.sort_unstable();
        all.events_per_s = self.events as f64 / longest.as_secs_f64();
        Ok(all)
    }

    fn spec(&self, id: u32, name: &str) -> (OperatorSpec, u32) {
        let queues = QueueMeters::new(QueueMarks::NEVER, self.workers, Default::default());
        (OperatorSpec::with_queues(OperatorId(id), name, Capacity::Cpu, queues.into()), self.workers)
    }

    /// One worker's part; returns how long it took, and the latency of each epoch.
    fn work(&self, worker: &mut Worker, clock: Clock, specs: &[(OperatorSpec, u32)], log: Link) -> (Duration, Vec<u64>) {
        let epochs = self.epochs(worker.index() as u64, worker.peers() as u64);
        let (mut input, probe) = (EventInput::new(self.form, worker.index()), ProbeHandle::new());
        let id = WorkerId(worker.index() as u32);
        let recorder = if self.recorded { Recorder::new(id, log) } else { Recorder::off() };
        let (acks, _) = channel();
        let context = Context::new(id, worker.peers() as u32, clock, recorder, acks);
        self.build(worker, &context, specs, &mut input, &probe);
        // All begin together: an epoch that is complete has been begun by all.
        input.advance_to(1);
        worker.step_while(|| probe.less_than(&1));
        let start = clock.now();
        let due = |index: usize| self.due.map(|rate| start + Duration::from_secs_f64((index + 1) as f64 * self.tick(rate)));
        let mut latency_ns = Vec::with_capacity(epochs.len());
        let mut waiting: VecDeque<(Time, Timestamp)> = VecDeque::new();
        let mut complete = |waiting: &mut VecDeque<(Time, Timestamp)>, now: Timestamp| {
            while let Some(&(epoch, since)) = waiting.front().filter(|(epoch, _)| !probe.less_equal(epoch)) {
                waiting.pop_front();
                latency_ns.push(now.since(since).as_nanos() as u64);
                context.recorder.log(Record::EpochCompleted { at: now, worker: id, epoch: Epoch(epoch) });
            }
            context.recorder.hand_over(now);
        };
        for (index, (epoch, events)) in epochs.into_iter().enumerate() {
            match due(index) {
                Some(due) => {
                    while clock.now() < due {
                        worker.step();
                        complete(&mut waiting, clock.now());
                    }
                    waiting.push_back((epoch, due));
                }
                None => {
                    while waiting.len() >= IN_FLIGHT {
                        worker.step();
                        complete(&mut waiting, clock.now());
                    }
                    waiting.push_back((epoch, clock.now()));
                }
            }
            let (at, due, records) = (clock.now(), waiting.back().expect("just added").1, events.len() as u64);
            let source = InstanceId::new(SOURCE, id.0);
            context.recorder.log(Record::EpochOpened { at, source, epoch: Epoch(epoch), due, records });
            input.advance_to(epoch);
            input.send(events);
            input.advance_to(epoch + 1);
        }
        while !waiting.is_empty() {
            worker.step();
            complete(&mut waiting, clock.now());
        }
        context.recorder.finish(clock.now());
        (clock.now().since(start), latency_ns)
    }

    /// Seconds of the run in an epoch.
    fn tick(&self, due: Rate) -> f64 {
        self.tick_ms as f64 / 1e3 * self.event_rate.as_per_second() / due.as_per_second()
    }

    /// A worker's share of the events, by epoch.
    fn epochs(&self, index: u64, peers: u64) -> Vec<(Time, Vec<Event>)> {
        let kinds = self.query.kinds();
        let whole = Rate::per_second(self.event_rate.as_per_second() / kinds.share());
        let generator = Generator::new(GeneratorConfig::at_rate(self.seed, whole));
        let mut epochs: Vec<(Time, Vec<Event>)> = Vec::new();
        for n in 0..self.events {
            let number = kinds.number(n);
            let epoch = self.tick_ms + generator.time_of(number) / self.tick_ms * self.tick_ms;
            if epochs.last().is_none_or(|(last, _)| *last != epoch) {
                epochs.push((epoch, Vec::new()));
            }
            if n % peers == index {
                epochs.last_mut().expect("just added").1.push(generator.event_at(number, epoch));
            }
        }
        epochs
    }

    fn build(
        &self,
        worker: &mut Worker,
        context: &Context,
        specs: &[(OperatorSpec, u32)],
        input: &mut EventInput,
        probe: &ProbeHandle<Time>,
    ) {
        let spans = Spans::dilated(self.dilation, self.tick_ms);
        // Without commands to come, none is waited for.
        let mut control = InputHandleVec::<Time, Command>::new();
        worker.dataflow(|scope| match input {
            EventInput::Batches(handle, _) => {
                let events: BatchStream<'_, Event> = handle.to_stream(scope);
                let commands = control.to_stream(scope).broadcast();
                let parts = QueryParts { control: commands, context, operators: specs, bins: self.bins, spans };
                let answers = self.query.elastic(events, &parts);
                answers.drain_to_sink(context, OperatorId(specs.len() as u32 + 1), |_, answers| drop(black_box(answers))).probe_with(probe);
            }
            EventInput::Events(handle) => {
                let answers = self.query.plain(handle.to_stream(scope), spans);
                let sink = answers.unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Pipeline, "Sink", |_, _| {
                    move |input, _| input.for_each(|_, answers| drop(black_box(std::mem::take(answers))))
                });
                sink.probe_with(probe);
            }
        });
    }
}
