//! A case on the engine, by any kind of wire between its workers.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thalweg::engine::{
    Ack, Clock, Command, Context, DrainToSink, IntoBatches, OperatorSpec, Progress, QueueMeters, Recorder, Time, commands_of, link,
};
use thalweg::id::{OperatorId, WorkerId};
use thalweg::migration::Step;
use timely::dataflow::operators::Probe;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::{CommunicationConfig, Config, WorkerConfig};

use super::job::build;
use super::{Case, Form, INSTANCES, KEYED, MAP, Output, Value, check_owners};

/// What is between the workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Memory: state moves as a pointer.
    Memory,
    /// Messages are serialized, state moves whole.
    Serialized,
    /// Messages are serialized, and workers take each other for processes: state moves in parts.
    Parts,
    /// Real processes of one worker each.
    Processes {
        /// Which of them this one is.
        process: usize,
        /// Where they listen.
        addresses: Vec<String>,
    },
}

/// A worker that panics leaves the others waiting for it; this tells them.
struct Alarm(Arc<AtomicBool>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

/// The output of the elastic job, sorted; of this process. Everything else that must hold of a run is asserted here. A job that takes longer
/// than `for_ever` never ends.
pub fn elastic(case: &Case, wire: &Wire, for_ever: Duration) -> Vec<Output> {
    let pressing = Arc::new(AtomicUsize::new(0));
    let spec = |id, name: &str, capacity| {
        let spec = OperatorSpec::with_queues(id, name, capacity, Arc::new(QueueMeters::new(case.marks, INSTANCES, pressing.clone())));
        OperatorSpec { part_bytes: case.part_bytes, ..spec }
    };
    let (map, keyed) = (spec(MAP, "Map", case.map), spec(KEYED, "Keyed", case.keyed));
    let queues = [map.queues.clone(), keyed.queues.clone()];
    let alarm = Arc::new(AtomicBool::new(false));
    let (log, observer) = link();
    let (acks, acked) = channel();
    let ends = Mutex::new((log, acks));
    let clock = Clock::start();
    let communication = match (wire, case.workers) {
        (Wire::Processes { process, addresses }, _) => {
            let (process, addresses) = (*process, addresses.clone());
            CommunicationConfig::Cluster { threads: 1, process, addresses, report: false, zerocopy: false }
        }
        (_, 1) => CommunicationConfig::Thread,
        (Wire::Memory, workers) => CommunicationConfig::Process(workers),
        (_, workers) => CommunicationConfig::ProcessBinary(workers),
    };
    let shared = Arc::new(case.clone());
    let alone = matches!(wire, Wire::Parts | Wire::Processes { .. });
    let guards = timely::execute(Config { communication, worker: WorkerConfig::default().idle_spin(Duration::ZERO) }, move |worker| {
        let case = &*shared;
        let (_alarm, end) = (Alarm(alarm.clone()), clock.now() + for_ever);
        let id = WorkerId(worker.index() as u32);
        let (log, acks) = ends.lock().unwrap().clone();
        let recorder = if case.recorded { Recorder::new(id, log) } else { Recorder::off() };
        let mut context = Context::new(id, worker.peers() as u32, clock, recorder, acks);
        if case.yields {
            context.budget = Duration::ZERO;
        }
        if alone {
            context.local = id.0..id.0 + 1;
        }
        let mut input = InputHandleVec::<Time, (u16, Value)>::new();
        let mut other = InputHandleVec::<Time, (u16, Value)>::new();
        let mut control = InputHandleVec::<Time, Command>::new();
        let probe = ProbeHandle::new();
        let output: Rc<RefCell<Vec<(Output, u32)>>> = Rc::default();
        let sink = Rc::clone(&output);
        worker.dataflow(|scope| {
            let commands = control.to_stream(scope).broadcast();
            let (records, others) = (input.to_stream(scope).into_batches(), other.to_stream(scope).into_batches());
            build(case, records, others, commands, &context, &map, &keyed)
                .drain_to_sink(&context, OperatorId(3), move |epoch, rows| {
                    sink.borrow_mut().extend(rows.into_iter().map(|(key, row)| ((epoch.0, key, row), id.0)));
                })
                .probe_with(&probe);
        });
        let mut control = (id.0 == 0).then_some(control);
        let mut sent = 0;
        // Gives the commands up to a time; where bins are split, not before all that is older is complete.
        let mut give = |control: &mut InputHandleVec<Time, Command>, until: Time| {
            while sent <= until {
                let steps = case.steps.get(&sent).map(Vec::as_slice).unwrap_or_default();
                if steps.iter().any(|step| !step.splits.is_empty()) && probe.less_than(&sent) {
                    break;
                }
                control.advance_to(sent);
                steps.iter().flat_map(commands_of).for_each(|command| control.send(command));
                sent += 1;
            }
            control.advance_to(sent);
            sent > until
        };
        for (epoch, records) in (0..).zip(case.all_epochs()) {
            if let Some(control) = &mut control {
                give(control, epoch + case.horizon);
            }
            input.advance_to(epoch);
            other.advance_to(epoch);
            let peers = worker.peers();
            for (_, (key, random)) in records.into_iter().enumerate().filter(|(n, _)| n % peers == id.0 as usize) {
                let side = if case.form == Form::Binary && random % 2 == 1 { &mut other } else { &mut input };
                side.send((key, (epoch, random)));
            }
            for _ in 0..case.pauses[(epoch as usize + 3 * id.0 as usize) % case.pauses.len()] {
                worker.step();
            }
        }
        drop((input, other));
        let last = case.steps.keys().next_back().copied().unwrap_or(0);
        while worker.has_dataflows() {
            if control.as_mut().is_some_and(|control| give(control, last)) {
                control = None;
            }
            assert!(!alarm.load(Ordering::SeqCst), "another worker panicked");
            assert!(clock.now() < end, "the job does not end");
            worker.step_or_park(Some(Duration::from_millis(20)));
        }
        assert!(probe.done());
        output.take()
    });
    let applied: Vec<(Output, u32)> = guards.unwrap().join().into_iter().flat_map(Result::unwrap).collect();
    drop(observer);
    if !matches!(wire, Wire::Processes { .. }) {
        check_owners(case, &applied);
        check_reports(case, acked.into_iter().collect());
        // Wherever records waited, they were taken off where they had been added, and no source is paused for ever.
        for queues in queues {
            assert_eq!((0..INSTANCES).map(|index| queues.waiting(index)).collect::<Vec<_>>(), [0; INSTANCES as usize]);
        }
        assert_eq!(pressing.load(Ordering::SeqCst), 0);
    }
    let mut output: Vec<Output> = applied.into_iter().map(|(output, _)| output).collect();
    output.sort_unstable();
    output
}

/// Every move and every change of parallelism is reported exactly once.
fn check_reports(case: &Case, acked: Vec<Ack>) {
    let all = case.steps.values().flatten().fold(Step::default(), |mut all, step| {
        all.moves.extend(&step.moves);
        all.splits.extend(&step.splits);
        all
    });
    let mut progress = Progress::default();
    progress.send(&all, case.workers as u32);
    let (installed, rerouted): (Vec<Ack>, Vec<Ack>) = acked.into_iter().partition(|ack| matches!(ack, Ack::Installed(..)));
    installed.into_iter().for_each(|ack| progress.report(ack));
    assert!(progress.is_complete(), "not reported: {progress:?}");
    let reroutings: usize = case.steps.values().flatten().map(|step| step.parallelism.len()).sum();
    assert_eq!(rerouted.len(), reroutings * case.workers);
}
