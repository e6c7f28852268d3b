//! Starts the worker threads of one process and collects their results.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};
use timely::communication::{Hooks, WorkerGuards, initialize_from};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;
use timely::{CommunicationConfig, WorkerConfig};

use super::clock::Clock;
use super::context::Context;
use super::control::{Ack, Command, commands_of};
use super::core_time::CoreTime;
use super::error::RunError;
use super::recorder::{Link, Recorder};
use super::stop::StopSignal;
use crate::activity::Record;
use crate::engine::Time;
use crate::engine::cluster::{Network, Wire};
use crate::id::WorkerId;
use crate::migration::Step;
use crate::time::Epoch;

/// An idle worker wakes up this often, so that the frontier of the log advances.
const PARK: Duration = Duration::from_millis(10);

/// One worker's part of a job, as built by the job.
pub struct WorkerPart<O> {
    /// Emits what is due; returns false once it has ended.
    pub source: Option<Box<dyn FnMut() -> bool>>,
    /// Epochs that the source has emitted, oldest first; completed ones are removed.
    pub open_epochs: Rc<RefCell<VecDeque<Time>>>,
    /// Input for commands.
    pub control: InputHandleVec<Time, Command>,
    /// Probe at the end of the dataflow.
    pub probe: ProbeHandle<Time>,
    /// Returns the worker's outcome once the dataflow is complete.
    pub outcome: Box<dyn FnOnce() -> O>,
}

/// The workers of this process, and their connections to other processes.
pub(in crate::engine) struct LocalWorkers {
    /// This process.
    pub(in crate::engine) process: u32,
    /// Its worker threads.
    pub(in crate::engine) workers: u32,
    /// Connections to other processes, if there are any.
    pub(in crate::engine) network: Network,
}

/// Channels of the workers: for log records and acknowledgements, and for steps at the worker that
/// issues commands.
pub(in crate::engine) struct WorkerChannels {
    pub(in crate::engine) link: Link,
    pub(in crate::engine) acks: Sender<Ack>,
    pub(in crate::engine) steps: Option<Receiver<Step>>,
}

/// The running worker threads of this process.
pub(in crate::engine) struct Workers<O: Send + 'static> {
    guards: WorkerGuards<Option<O>>,
    signal: StopSignal,
}

impl<O: Send + 'static> Workers<O> {
    /// Starts the workers of `site`, each with the part that `build` returns.
    pub(in crate::engine) fn start<B>(
        site: LocalWorkers,
        clock: Clock,
        ends: WorkerChannels,
        signal: &StopSignal,
        build: B,
    ) -> Result<Workers<O>, RunError>
    where
        B: Fn(&mut Worker, &Context) -> WorkerPart<O> + Send + Sync + 'static,
    {
        let LocalWorkers { process, workers, network } = site;
        let peers = workers * (network.wires.len() as u32).max(1);
        let local = process * workers..(process + 1) * workers;
        let builders = builders(process, workers as usize, network.wires).map_err(|why| RunError::Start(workers, why))?;
        // Worker closures are shared, channel ends are not: each worker takes its own out of the
        // lock once.
        let ends = Mutex::new(ends);
        let build = Arc::new(build);
        let of_workers = signal.clone();
        // Goes with the last worker.
        let presence = network.workers;
        let work = move |allocator| {
            let (signal, _) = (&of_workers, &presence);
            let config = WorkerConfig::default().idle_spin(Duration::ZERO);
            let mut worker = Worker::new(config, allocator, Some(clock.base()));
            let id = WorkerId(worker.index() as u32);
            let (recorder, acks, steps) = {
                let mut ends = ends.lock().expect("no worker panics here");
                let steps = if id.0 == 0 { ends.steps.take() } else { None };
                (Recorder::new(id, ends.link.clone()), ends.acks.clone(), steps)
            };
            let context = Context { local: local.clone(), ..Context::new(id, peers, clock, recorder, acks) };
            let life = AssertUnwindSafe(|| {
                let part = build(&mut worker, &context);
                drive(&mut worker, &context, part, steps, signal)
            });
            catch_unwind(life).unwrap_or_else(|panic| {
                signal.raise(RunError::Worker(words(panic.as_ref())));
                None
            })
        };
        // Nothing beside the workers to be waited for: see `builders`.
        let guards = initialize_from(builders, Box::new(()), work).map_err(|why| RunError::Start(workers, why))?;
        Ok(Workers { guards, signal: signal.clone() })
    }

    /// Waits for the workers; returns their outcomes, or nothing if the stop signal was raised.
    pub(in crate::engine) fn join(self) -> Option<Vec<O>> {
        let signal = self.signal;
        let outcomes = self.guards.join().into_iter().map(|outcome| {
            outcome.unwrap_or_else(|why| {
                signal.raise(RunError::Worker(why));
                None
            })
        });
        // All of them, so that every worker has ended.
        let outcomes: Vec<Option<O>> = outcomes.collect();
        outcomes.into_iter().collect()
    }
}

fn builders(process: u32, workers: usize, wires: Vec<Option<Wire>>) -> Result<Vec<AllocatorBuilder>, String> {
    if wires.len() < 2 {
        let alone = if workers == 1 { CommunicationConfig::Thread } else { CommunicationConfig::Process(workers) };
        return Ok(alone.try_build()?.0);
    }
    let hooks = Hooks::default();
    let inside = ProcessBuilder::new_typed_vector(workers, hooks.refill.clone(), hooks.spill.clone());
    let (builders, threads) =
        initialize_networking_from_sockets(inside, wires, process as usize, workers, hooks).map_err(|why| why.to_string())?;
    // Waiting for timely's network threads would mean waiting for other processes, or panic with
    // them. What is sent when a run ends well has been received, because every process says so
    // before any of them goes; the threads end with the connections.
    std::mem::forget(threads);
    Ok(builders.into_iter().map(AllocatorBuilder::Tcp).collect())
}

/// Message of a panic.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|&text| text.to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".to_owned())
}

/// The loop of a worker: poll the source, send commands ahead of the data, step, hand over records.
/// It returns nothing if the stop signal is raised: the others would wait for the progress of one
/// that is gone, so all of them stop.
fn drive<O>(worker: &mut Worker, context: &Context, part: WorkerPart<O>, steps: Option<Receiver<Step>>, signal: &StopSignal) -> Option<O> {
    let WorkerPart { mut source, open_epochs, control, probe, outcome } = part;
    // Only the first worker gives commands; the others' inputs would hold the control frontier
    // back.
    let mut control = steps.map(|steps| (steps, control));
    let mut core_time = CoreTime::start();
    while worker.has_dataflows() {
        if signal.is_raised() {
            return None;
        }
        let now = context.clock.now();
        let open = source.as_mut().map(|poll| poll());
        if open == Some(false) {
            source = None;
        }
        if let Some((steps, input)) = &mut control {
            let ahead = context.horizon.epoch(now);
            while let Ok(step) = steps.try_recv() {
                for command in commands_of(&step) {
                    input.send(command);
                }
                context.horizon.gave(*input.time(), now);
                input.advance_to(input.time() + 1);
            }
            if ahead > *input.time() {
                input.advance_to(ahead);
            }
        }
        if source.is_none() && open.is_some() {
            control = None;
        }
        worker.step_or_park(Some(PARK));
        let done = context.clock.now();
        open_epochs.borrow_mut().retain(|&epoch| {
            let complete = !probe.less_equal(&epoch);
            if complete {
                context.recorder.log(Record::EpochCompleted { at: done, worker: context.worker, epoch: Epoch(epoch) });
            }
            !complete
        });
        if let Some(sample) = core_time.sample(context.worker, now) {
            context.recorder.log(sample);
        }
        context.recorder.hand_over(now);
    }
    context.recorder.finish(context.clock.now());
    Some(outcome())
}
