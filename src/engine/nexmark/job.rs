//! A query as a job: source → operators of the query → sink, at a given rate, on workers and
//! processes.
//!
//! The source, on the first worker or on several, emits the kinds of events that the query reads,
//! open loop; an event's time is the epoch in which it is emitted. At the end the plain form processes the same
//! events in the same epochs on one worker, and what reached the sinks is compared with its
//! results.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Inspect, Operator, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle, StreamVec};
use timely::worker::Worker;

use super::tally::compare;
use super::{NexmarkTally, Query, QueryParts, Spans};
use crate::dataflow::{Configuration, Role, Topology};
use crate::engine::Time;
use crate::engine::cluster::{Deployment, Member};
use crate::engine::elastic::{BatchStream, IntoBatches};
use crate::engine::host::{Context, OperatorSpec, Places, QueueBoard, RunError, Running, WorkerPart};
use crate::engine::jobs::{DrainToSink, EngineJob, OpenLoop, OperatorConfig, Poll, SourceConfig, SourceDriver, Verdict, described};
use crate::id::OperatorId;
use crate::time::Timestamp;
use crate::workload::nexmark::{Event, Generator, GeneratorConfig};
use crate::workload::{Partition, RateSchedule};

/// The source, in the job's topology.
const SOURCE: OperatorId = OperatorId(0);

/// Of what a query is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Elastic operators.
    #[default]
    Elastic,
    /// Plain timely: nothing can be rescaled, and between source and sink nothing is recorded.
    Plain,
}

/// A query of NEXMark at work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Nexmark {
    /// The query.
    pub query: Query,
    /// Its form.
    pub form: Form,
    /// The stream of events. Its rate says how long auctions last; when events are due is said by
    /// `schedule`.
    pub generator: GeneratorConfig,
    /// Number of rounds of the stream that are over when the source begins: as many people are
    /// known, and three times as many auctions.
    pub rounds_before: u64,
    /// Events that the query reads and the source emits before its schedule begins, as fast as they
    /// are taken: so that there is state.
    pub before: u64,
    /// When events that the query reads are due.
    pub schedule: RateSchedule,
    /// How long its schedule lasts.
    pub duration: Duration,
    /// Factor by which the source may exceed the scheduled rate while it is behind.
    pub catch_up: f64,
    /// Time between epochs; at least a millisecond.
    pub tick: Duration,
    /// By what window lengths are divided.
    pub dilation: f64,
    /// Bins of each keyed operator; a power of two.
    pub bins: u32,
    /// The query's operators, in order; of no account to the plain form.
    pub operators: Vec<OperatorConfig>,
    /// Where it runs.
    pub deployment: Deployment,
}

impl Nexmark {
    /// Runs the job's workers in a further process until the job is complete.
    ///
    /// # Errors
    /// When a worker panicked here, and when the job failed elsewhere.
    pub fn serve(&self, member: Member) -> Result<(), RunError> {
        let (board, specs) = self.specs();
        let (job, pauses) = (self.clone(), [board.pressing(), board.late()]);
        // The source is in process 0.
        let stop = Arc::default();
        member.serve(&board, move |worker, context| job.build(worker, context, &specs, &pauses, &stop))
    }

    /// Starts it, from process 0. Its source ends when the schedule does, or soon after `stop` is
    /// set.
    ///
    /// # Errors
    /// When threads or processes cannot be started or cannot be connected.
    pub fn start_until(&self, stop: &Arc<AtomicBool>) -> Result<Running<NexmarkTally>, RunError> {
        let (board, specs) = self.specs();
        let (job, pauses, stop) = (self.clone(), [board.pressing(), board.late()], Arc::clone(stop));
        let build = move |worker: &mut Worker, context: &Context| job.build(worker, context, &specs, &pauses, &stop);
        Running::on(&self.deployment, &described("Nexmark", self), &board, build)
    }

    /// Lengths of the query's windows.
    pub fn spans(&self) -> Spans {
        Spans::dilated(self.dilation, (self.tick.as_millis() as u64).max(1))
    }

    /// The sink, in the job's topology.
    fn sink(&self) -> OperatorId {
        match self.form {
            Form::Elastic => OperatorId(self.operators.len() as u32 + 1),
            Form::Plain => OperatorId(1),
        }
    }

    /// The queues in a process, and the operators they belong to with their instances at the start.
    fn specs(&self) -> (QueueBoard, Vec<(OperatorSpec, u32)>) {
        let mut board = QueueBoard::new();
        if self.form == Form::Plain {
            return (board, Vec::new());
        }
        let configuration = self.configuration();
        let named = self.query.operators(self.bins).into_iter().zip(&self.operators);
        let specs = (1..).zip(named).map(|(id, ((name, _), config))| {
            let queues = board.operator(config.marks, config.max_parallelism);
            let spec = OperatorSpec::with_queues(OperatorId(id), name, config.capacity, queues);
            let places = Places::at_start(&configuration, OperatorId(id));
            (OperatorSpec { slow: config.slow, places, ..spec }, config.instances)
        });
        let specs = specs.collect();
        (board, specs)
    }

    fn build(
        &self,
        worker: &mut Worker,
        context: &Context,
        specs: &[(OperatorSpec, u32)],
        [pressing, late]: &[Arc<AtomicUsize>; 2],
        stop: &Arc<AtomicBool>,
    ) -> WorkerPart<NexmarkTally> {
        let config = SourceConfig {
            operator: SOURCE,
            schedule: self.schedule.clone(),
            tick: self.tick,
            catch_up: self.catch_up,
            until: Timestamp::ZERO + self.duration,
        };
        if context.worker.0 == 0 {
            context.describe(&self.topology());
        }
        let tally = Rc::new(RefCell::new(NexmarkTally::default()));
        let (emitting, found) = (Rc::clone(&tally), Rc::clone(&tally));
        let (generator, kinds, rounds) = (Generator::new(self.generator.clone()), self.query.kinds(), self.rounds_before);
        let mut source = OpenLoop::dated(config, context, Arc::clone(pressing), move |index, epoch| {
            emitting.borrow_mut().emit(epoch.0);
            generator.event_at(kinds.number_after(rounds, index), epoch.0)
        });
        let partitions = self.partitions();
        source = source.paced(Arc::clone(late)).partition(Partition::new(context.worker.0 % partitions, partitions));
        let mut control = InputHandleVec::new();
        let probe = ProbeHandle::new();
        let dataflow = worker.next_dataflow_index();
        worker.dataflow(|scope| {
            let commands = control.to_stream(scope).broadcast();
            let events = source.stream(scope);
            let answers = match self.form {
                Form::Elastic => {
                    let parts = QueryParts { control: commands, context, operators: specs, bins: self.bins, spans: self.spans() };
                    self.query.elastic(events, &parts)
                }
                Form::Plain => self.query.plain(unbatched(events), self.spans()).into_batches(),
            };
            let sink = answers.drain_to_sink(context, self.sink(), move |_, answers| {
                let mut found = found.borrow_mut();
                answers.iter().for_each(|answer| found.add(answer));
            });
            sink.probe_with(&probe);
        });
        let open_epochs = source.open_epochs();
        // The inputs of workers without a partition end at once.
        let mut feed = SourceDriver::new(source, self.before, stop, (worker, dataflow), context);
        let source = (context.worker.0 < partitions).then(|| Box::new(move || feed.poll()) as Poll);
        WorkerPart { source, open_epochs, control, probe, outcome: Box::new(move || tally.take()) }
    }

    /// On how many workers its source emits. State from before the schedule is built up by one.
    fn partitions(&self) -> u32 {
        if self.before > 0 { 1 } else { self.deployment.source_partitions() }
    }

    /// What the plain form gives on one worker for the events that were emitted.
    fn expected(&self, tallies: &[NexmarkTally]) -> NexmarkTally {
        let partitions = self.partitions();
        // By epoch, and of each its events by their numbers among those of their partition.
        let mut emitted: Vec<(Time, Partition, Range<u64>)> = Vec::new();
        for (partition, tally) in (0..partitions).map(|index| Partition::new(index, partitions)).zip(tallies) {
            let mut next = 0;
            for &(epoch, events) in &tally.emitted {
                emitted.push((epoch, partition, next..next + events));
                next += events;
            }
        }
        emitted.sort_by_key(|(epoch, ..)| *epoch);
        let (query, spans, rounds, generator) = (self.query, self.spans(), self.rounds_before, Generator::new(self.generator.clone()));
        let event_at = move |index, epoch| generator.event_at(query.kinds().number_after(rounds, index), epoch);
        timely::execute_directly(move |worker| {
            let tally = Rc::new(RefCell::new(NexmarkTally::default()));
            let found = Rc::clone(&tally);
            let (mut input, probe) = (InputHandleVec::new(), ProbeHandle::new());
            worker.dataflow(|scope| {
                let answers = query.plain(input.to_stream(scope), spans);
                answers.inspect(move |answer| found.borrow_mut().add(answer)).probe_with(&probe);
            });
            for at_once in emitted.chunk_by(|one, next| one.0 == next.0) {
                let epoch = at_once[0].0;
                input.advance_to(epoch);
                for (_, partition, events) in at_once {
                    events.clone().for_each(|n| input.send(event_at(partition.nth(n), epoch)));
                }
                input.advance_to(epoch + 1);
                worker.step_while(|| probe.less_than(input.time()));
            }
            input.close();
            worker.step_while(|| !probe.done());
            tally.take()
        })
    }
}

impl EngineJob for Nexmark {
    type Outcome = NexmarkTally;

    fn topology(&self) -> Topology {
        let elastic = match self.form {
            Form::Elastic => self.query.operators(self.bins),
            Form::Plain => Vec::new(),
        };
        let elastic = elastic.into_iter().zip(&self.operators).map(|((name, role), config)| (name, role, config.max_parallelism));
        let sink = ("sink", Role::Sink, self.deployment.peers());
        let operators: Vec<_> = [("source", Role::Source, self.partitions())].into_iter().chain(elastic).chain([sink]).collect();
        let edges: Vec<(u32, u32)> = (1..operators.len() as u32).map(|to| (to - 1, to)).collect();
        Topology::new(&operators, &edges).expect("a query is a chain")
    }

    fn configuration(&self) -> Configuration {
        let all = Configuration::ones(&self.topology()).with(SOURCE, self.partitions()).with(self.sink(), self.deployment.peers());
        match self.form {
            Form::Elastic => {
                let all = (1..).zip(&self.operators).fold(all, |all, (id, config)| all.with(OperatorId(id), config.instances));
                all.spread_over(&self.topology(), self.deployment.peers())
            }
            Form::Plain => all,
        }
    }

    fn duration(&self) -> Duration {
        self.duration
    }

    fn start(&self) -> Result<Running<NexmarkTally>, RunError> {
        self.start_until(&Arc::default())
    }

    fn verify(&self, tallies: &[NexmarkTally]) -> Verdict {
        compare(tallies, &self.expected(tallies))
    }
}

/// The records of batches as plain timely has them.
fn unbatched(events: BatchStream<'_, Event>) -> StreamVec<'_, Time, Event> {
    events.unary::<CapacityContainerBuilder<Vec<Event>>, _, _, _>(Pipeline, "Records", |_, _| {
        move |input, output| {
            input.for_each(|cap, batch| output.session(&cap).give_container(&mut batch.records));
        }
    })
}
