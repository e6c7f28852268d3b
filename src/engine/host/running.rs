//! Handle of a running job: takes migration steps, returns activity records and acknowledgements.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use timely::worker::Worker;

use super::clock::Clock;
use super::context::Context;
use super::control::Ack;
use super::error::RunError;
use super::queues::QueueBoard;
use super::recorder::{Dropped, Link, LogBatch, link};
use super::stop::{StopOnDrop, StopSignal};
use super::workers::{LocalWorkers, WorkerChannels, WorkerPart, Workers};
use crate::engine::cluster::{Deployment, Hub, Network};
use crate::migration::Step;

/// A job that is running, seen from process 0. Dropped before its end, it is stopped.
pub struct Running<O: Send + 'static> {
    /// Activity records of all workers; ends when the job has.
    pub log: Receiver<LogBatch>,
    /// Acknowledgements of steps.
    pub acks: Receiver<Ack>,
    steps: Sender<Step>,
    stop: StopOnDrop,
    workers: Workers<O>,
    hub: Option<Hub<O>>,
    peers: u32,
    clock: Clock,
    dropped: Dropped,
}

/// A run's own ends of its channels, while it is being started.
struct Channels {
    link: Link,
    log: Receiver<LogBatch>,
    ack: Sender<Ack>,
    acks: Receiver<Ack>,
    signal: StopSignal,
}

impl Channels {
    fn new() -> Channels {
        let ((link, log), (ack, acks)) = (link(), channel());
        Channels { link, log, ack, acks, signal: StopSignal::default() }
    }
}

impl<O: Send + 'static> Running<O> {
    /// Starts `workers` worker threads, each with the part that `build` returns.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn start<B>(workers: u32, build: B) -> Result<Running<O>, RunError>
    where
        B: Fn(&mut Worker, &Context) -> WorkerPart<O> + Send + Sync + 'static,
    {
        let site = LocalWorkers { process: 0, workers, network: Network::default() };
        Running::with(Channels::new(), site, workers, Clock::start(), None, build)
    }

    /// Starts the workers of `deployment`, of all its processes. Each builds the part of its
    /// worker; other processes build theirs from `job`, the only description they receive: see
    /// [`Member`](crate::engine::cluster::Member). `board` has the queues of the job in this
    /// process.
    ///
    /// # Errors
    /// When threads or processes cannot be started or cannot be connected.
    pub fn on<J, B>(deployment: &Deployment, job: &J, board: &QueueBoard, build: B) -> Result<Running<O>, RunError>
    where
        J: Serialize,
        O: DeserializeOwned,
        B: Fn(&mut Worker, &Context) -> WorkerPart<O> + Send + Sync + 'static,
    {
        let workers = deployment.workers;
        if deployment.processes == 1 {
            return Running::start(workers, build);
        }
        let channels = Channels::new();
        let (hub, network, clock) = Hub::start(deployment, job, board, (&channels.link, &channels.ack), &channels.signal)?;
        Running::with(channels, LocalWorkers { process: 0, workers, network }, deployment.peers(), clock, Some(hub), build)
    }

    fn with<B>(
        channels: Channels,
        site: LocalWorkers,
        peers: u32,
        clock: Clock,
        hub: Option<Hub<O>>,
        build: B,
    ) -> Result<Running<O>, RunError>
    where
        B: Fn(&mut Worker, &Context) -> WorkerPart<O> + Send + Sync + 'static,
    {
        let Channels { link, log, ack, acks, signal } = channels;
        let stop = StopOnDrop(signal);
        let dropped = link.dropped();
        let (step, steps) = channel();
        let workers = Workers::start(site, clock, WorkerChannels { link, acks: ack, steps: Some(steps) }, &stop.0, build)?;
        Ok(Running { log, acks, steps: step, stop, workers, hub, peers, clock, dropped })
    }

    /// Number of workers of all processes.
    pub fn peers(&self) -> u32 {
        self.peers
    }

    /// The run's clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Whether all workers are in this process.
    pub fn in_one_process(&self) -> bool {
        self.hub.is_none()
    }

    /// Largest error of another process's clock, as measured before the run began; zero in one
    /// process.
    pub fn clock_error(&self) -> Duration {
        self.hub.as_ref().map_or(Duration::ZERO, |hub| hub.clock_error)
    }

    /// Operating system process ids of the processes that were started for this run: 1 and on; none
    /// if they were started by hand.
    pub fn process_ids(&self) -> Vec<u32> {
        self.hub.as_ref().map_or_else(Vec::new, Hub::process_ids)
    }

    /// Records that all workers have dropped so far; complete once `log` has ended.
    pub fn dropped(&self) -> u64 {
        self.dropped.count()
    }

    /// Executes a step; it is acknowledged through `acks`.
    pub fn apply(&self, step: Step) {
        // A job that has ended carries nothing out; its end is seen on the log.
        let _ = self.steps.send(step);
    }

    /// Waits for the end of the job; returns the outcome of each worker.
    ///
    /// # Errors
    /// When a worker panicked, and when something happened to another process.
    pub fn join(self) -> Result<Vec<O>, RunError> {
        drop(self.steps);
        let here = self.workers.join();
        let elsewhere = self.hub.map_or_else(|| Some(Vec::new()), Hub::join);
        match (here, elsewhere, self.stop.0.why()) {
            (Some(mut here), Some(elsewhere), None) => {
                here.extend(elsewhere);
                Ok(here)
            }
            (_, _, why) => Err(why.expect("what is missing was reported")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::RecvTimeoutError;

    use timely::dataflow::operators::core::input::Handle;
    use timely::dataflow::operators::vec::Broadcast;
    use timely::dataflow::operators::{Inspect, Probe};
    use timely::dataflow::{InputHandleVec, ProbeHandle};

    use super::super::context::OperatorSpec;
    use super::super::control::Command;
    use super::*;
    use crate::dataflow::Capacity;
    use crate::engine::Time;
    use crate::engine::elastic::{BatchBuilder, BatchStream, ElasticStateless};
    use crate::id::{OperatorId, WorkerId};
    use crate::time::Timestamp;

    const PARK: Duration = Duration::from_millis(10);

    /// From the step that is sent to the router that has it: where one of them says nothing, commands run as far ahead as at the beginning.
    #[test]
    fn the_worker_that_gives_commands_hears_how_long_they_take() {
        let ends = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ends);
        let running = Running::start(2, move |worker, context| {
            let spec = OperatorSpec::new(OperatorId(1), "Map", Capacity::Cpu, 2);
            let (mut control, probe, horizon) = (InputHandleVec::new(), ProbeHandle::new(), context.horizon.clone());
            let mut input: Option<Handle<Time, BatchBuilder<u64>>> = Some(Handle::new_with_builder());
            worker.dataflow(|scope| {
                let commands = control.to_stream(scope).broadcast();
                let numbers: BatchStream<'_, u64> = input.as_mut().expect("just made").to_stream(scope);
                numbers.elastic_flat_map(commands, context, &spec, 1, |number, found| found.push(number)).probe_with(&probe);
            });
            let end = Arc::clone(&end);
            let source = move || {
                if end.load(Ordering::SeqCst) {
                    input.take();
                }
                input.is_some()
            };
            WorkerPart {
                source: Some(Box::new(source)),
                open_epochs: Rc::default(),
                control,
                probe,
                outcome: Box::new(move || horizon.heard()),
            }
        })
        .unwrap();
        running.apply(Step { parallelism: BTreeMap::from([(OperatorId(1), 2)]), ..Step::default() });
        for _ in 0..2 {
            running.acks.recv_timeout(Duration::from_secs(60)).expect("each router takes the command");
        }
        ends.store(true, Ordering::SeqCst);
        assert_eq!(running.join().unwrap(), [1, 0]);
    }

    #[test]
    fn a_job_whose_worker_panics_ends_with_an_error() {
        let running = Running::start(2, |worker, context| {
            let (mut control, probe, id) = (InputHandleVec::new(), ProbeHandle::new(), context.worker);
            worker.dataflow(|scope| {
                let commands = control.to_stream(scope).broadcast();
                commands.inspect(move |_: &Command| assert_ne!(id, WorkerId(1), "on purpose")).probe_with(&probe);
            });
            // A source that never ends by itself.
            let source = (id == WorkerId(0)).then(|| Box::new(|| true) as Box<dyn FnMut() -> bool>);
            WorkerPart { source, open_epochs: Rc::default(), control, probe, outcome: Box::new(|| ()) }
        })
        .unwrap();
        running.apply(Step { parallelism: BTreeMap::from([(OperatorId(1), 2)]), ..Step::default() });
        // Only a job that never ends takes this long.
        while !matches!(running.log.recv_timeout(PARK), Err(RecvTimeoutError::Disconnected)) {
            assert!(running.clock().now() < Timestamp::from_secs_f64(60.0), "the other worker waits for ever");
        }
        let error = running.join().unwrap_err();
        assert!(matches!(&error, RunError::Worker(why) if why.contains("on purpose")), "{error}");
    }
}
