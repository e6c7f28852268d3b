//! A job on its worker threads, from outside: steps go in, activity records and reports come out.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;
use timely::{CommunicationConfig, Config, WorkerConfig};

use super::{Ack, Clock, Command, Context, Dropped, LogBatch, Recorder, Time, commands_of, link};
use crate::activity::Record;
use crate::id::WorkerId;
use crate::migration::Step;
use crate::time::Epoch;

/// Commands take effect this much after they are given, so that data never waits for routing.
const HORIZON: Duration = Duration::from_millis(30);
/// A worker with nothing to do looks around this often, so that the frontier of the log advances.
const PARK: Duration = Duration::from_millis(10);

/// One worker's part of a job, as its builder leaves it.
pub struct WorkerPart<O> {
    /// Emits what is due; false when it has ended.
    pub source: Option<Box<dyn FnMut() -> bool>>,
    /// Epochs the source emitted, oldest first; completed ones are taken off.
    pub open_epochs: Rc<RefCell<VecDeque<Time>>>,
    /// Where commands go in.
    pub control: InputHandleVec<Time, Command>,
    /// At the end of the dataflow.
    pub probe: ProbeHandle<Time>,
    /// What the worker found, once the dataflow is complete.
    pub outcome: Box<dyn FnOnce() -> O>,
}

/// A job that is running.
pub struct Running<O: Send + 'static> {
    /// Activity records of all workers; ends when the job has.
    pub log: Receiver<LogBatch>,
    /// Reports on steps.
    pub acks: Receiver<Ack>,
    steps: Sender<Step>,
    guards: timely::communication::WorkerGuards<O>,
    peers: u32,
    clock: Clock,
    dropped: Dropped,
}

/// The job ended badly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// Worker threads could not be started.
    #[error("cannot start {0} workers: {1}")]
    Start(u32, String),
    /// A worker ended with a panic.
    #[error("a worker stopped: {0}")]
    Worker(String),
}

impl<O: Send + 'static> Running<O> {
    /// Starts `peers` worker threads, each with the part that `build` makes.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn start<B>(peers: u32, build: B) -> Result<Running<O>, RunError>
    where
        B: Fn(&mut Worker, &Context) -> WorkerPart<O> + Send + Sync + 'static,
    {
        let clock = Clock::start();
        let (link, log) = link();
        let dropped = link.dropped();
        let (ack, acks) = channel();
        let (step, steps) = channel();
        // Worker closures are shared, channel ends are not: each worker takes its own out of the lock once.
        let ends = Mutex::new((link, ack, Some(steps)));
        let alarm = Arc::new(AtomicBool::new(false));
        let build = Arc::new(build);
        let communication = if peers == 1 { CommunicationConfig::Thread } else { CommunicationConfig::Process(peers as usize) };
        let config = Config { communication, worker: WorkerConfig::default().idle_spin(Duration::ZERO) };
        let guards = timely::execute(config, move |worker| {
            let alarm = Alarm::new(&alarm);
            let id = WorkerId(worker.index() as u32);
            let (recorder, acks, steps) = {
                let mut ends = ends.lock().expect("no worker panics here");
                let steps = if id.0 == 0 { ends.2.take() } else { None };
                (Recorder::new(id, ends.0.clone()), ends.1.clone(), steps)
            };
            let context = Context::new(id, peers, clock, recorder, acks);
            let part = build(worker, &context);
            drive(worker, &context, part, steps, &alarm)
        });
        let guards = guards.map_err(|why| RunError::Start(peers, why))?;
        Ok(Running { log, acks, steps: step, guards, peers, clock, dropped })
    }

    /// Number of workers.
    pub fn peers(&self) -> u32 {
        self.peers
    }

    /// The run's clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Records all workers had to drop so far; complete once `log` has ended.
    pub fn dropped(&self) -> u64 {
        self.dropped.count()
    }

    /// Carries out a step; reports on it come through `acks`.
    pub fn apply(&self, step: Step) {
        // A job that has ended carries nothing out; its end is seen on the log.
        let _ = self.steps.send(step);
    }

    /// Waits for the end of the job; gives what each worker found.
    ///
    /// # Errors
    /// When a worker panicked.
    pub fn join(self) -> Result<Vec<O>, RunError> {
        drop(self.steps);
        self.guards.join().into_iter().map(|outcome| outcome.map_err(RunError::Worker)).collect()
    }
}

/// Raised by a worker that panics. The others would wait for its progress for ever, so they stop too.
pub(super) struct Alarm(Arc<AtomicBool>);

impl Alarm {
    /// An alarm that all workers share.
    pub(super) fn new(raised: &Arc<AtomicBool>) -> Alarm {
        Alarm(Arc::clone(raised))
    }

    pub(super) fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

/// The life of a worker: feed the source, pass commands on ahead of the data, step, hand records over.
fn drive<O>(worker: &mut Worker, context: &Context, part: WorkerPart<O>, steps: Option<Receiver<Step>>, alarm: &Alarm) -> O {
    let WorkerPart { mut source, open_epochs, control, probe, outcome } = part;
    // Only the first worker gives commands; the others' inputs would hold the control frontier back.
    let mut control = steps.map(|steps| (steps, control));
    while worker.has_dataflows() {
        // Timely would not let go of a worker whose dataflow is incomplete, so a panic is the only way out.
        assert!(!alarm.is_raised(), "stopped because another worker did");
        let now = context.clock.now();
        let open = source.as_mut().map(|poll| poll());
        if open == Some(false) {
            source = None;
        }
        if let Some((steps, input)) = &mut control {
            let ahead = (now + HORIZON).0 / 1_000_000;
            while let Ok(step) = steps.try_recv() {
                for command in commands_of(&step) {
                    input.send(command);
                }
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
        context.recorder.hand_over(now);
    }
    context.recorder.finish(context.clock.now());
    outcome()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::mpsc::RecvTimeoutError;

    use timely::dataflow::operators::vec::Broadcast;
    use timely::dataflow::operators::{Inspect, Probe};

    use super::*;
    use crate::id::OperatorId;
    use crate::time::Timestamp;

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
        running.apply(Step { moves: Vec::new(), parallelism: BTreeMap::from([(OperatorId(1), 2)]) });
        // Only a job that never ends takes this long.
        while !matches!(running.log.recv_timeout(PARK), Err(RecvTimeoutError::Disconnected)) {
            assert!(running.clock().now() < Timestamp::from_secs_f64(60.0), "the other worker waits for ever");
        }
        assert!(matches!(running.join(), Err(RunError::Worker(_))));
    }
}
