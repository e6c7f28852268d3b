//! The elastic and the plain form, driven over a case.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thalweg::dataflow::QueueMarks;
use thalweg::engine::nexmark::{Answer, QueryParts};
use thalweg::engine::{
    Ack, Clock, Command, Context, DrainToSink, IntoBatches, OperatorSpec, Progress, QueueMeters, Recorder, Time, commands_of, link,
};
use thalweg::id::{OperatorId, WorkerId};
use thalweg::migration::Step;
use thalweg::workload::nexmark::Event;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Inspect, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;
use timely::{CommunicationConfig, Config, WorkerConfig};

use super::Case;
use super::case::INSTANCES;

/// How far control runs ahead of the data, in epochs.
const HORIZON: Time = 5;
const PARK: Duration = Duration::from_millis(5);

/// Feeds a worker its share of the events. `control` is called with each epoch before its events are sent, and with none until it says
/// that it is done.
fn feed(worker: &mut Worker, case: &Case, mut input: InputHandleVec<Time, Event>, mut control: impl FnMut(Option<Time>) -> bool) {
    let (index, peers) = (worker.index(), worker.peers());
    for (turn, (&epoch, events)) in case.events.iter().enumerate() {
        control(Some(epoch));
        input.advance_to(epoch);
        for (_, event) in events.iter().enumerate().filter(|(n, _)| n % peers == index) {
            input.send(event.clone());
        }
        for _ in 0..case.pauses[(turn + 3 * index) % case.pauses.len()] {
            worker.step();
        }
    }
    drop(input);
    let mut done = false;
    while worker.has_dataflows() {
        done = done || control(None);
        worker.step_or_park(Some(PARK));
    }
}

fn config(workers: usize) -> Config {
    let communication = if workers == 1 { CommunicationConfig::Thread } else { CommunicationConfig::Process(workers) };
    Config { communication, worker: WorkerConfig::default().idle_spin(Duration::ZERO) }
}

fn sorted(answers: impl Iterator<Item = Vec<Answer>>) -> Vec<Answer> {
    let mut answers: Vec<Answer> = answers.flatten().collect();
    answers.sort_unstable();
    answers
}

/// Answers of the plain form, sorted.
pub fn plain(case: &Arc<Case>) -> Vec<Answer> {
    let shared = Arc::clone(case);
    let guards = timely::execute(config(case.workers), move |worker| {
        let case = &*shared;
        let answers: Rc<RefCell<Vec<Answer>>> = Rc::default();
        let (sink, mut input) = (Rc::clone(&answers), InputHandleVec::new());
        worker.dataflow(|scope| {
            let events = input.to_stream(scope);
            case.query.plain(events, case.spans).inspect(move |answer: &Answer| sink.borrow_mut().push(answer.clone()));
        });
        feed(worker, case, input, |_| true);
        answers.take()
    });
    sorted(guards.unwrap().join().into_iter().map(Result::unwrap))
}

/// Answers of the elastic form, sorted, while its operators are rescaled. That every step is carried out and every queue empty at the end
/// is asserted here.
pub fn elastic(case: &Arc<Case>) -> Vec<Answer> {
    let names = case.query.operators(case.bins);
    let specs: Vec<(OperatorSpec, u32)> = (1..)
        .zip(&names)
        .map(|(id, (name, _))| {
            let queues = Arc::new(QueueMeters::new(QueueMarks::default(), INSTANCES, Arc::default()));
            (OperatorSpec::with_queues(OperatorId(id), name, case.capacity, queues), 1)
        })
        .collect();
    let queues: Vec<Arc<QueueMeters>> = specs.iter().map(|(spec, _)| spec.queues.clone()).collect();
    let ((log, observer), (acks, acked)) = (link(), channel());
    let (ends, clock, shared) = (Mutex::new((log, acks)), Clock::start(), Arc::clone(case));
    let guards = timely::execute(config(case.workers), move |worker| {
        let case = &*shared;
        let id = WorkerId(worker.index() as u32);
        let (log, acks) = ends.lock().unwrap().clone();
        let context = Context::new(id, worker.peers() as u32, clock, Recorder::new(id, log), acks);
        let answers: Rc<RefCell<Vec<Answer>>> = Rc::default();
        let (sink, mut input, probe) = (Rc::clone(&answers), InputHandleVec::new(), ProbeHandle::new());
        let mut control = InputHandleVec::<Time, Command>::new();
        worker.dataflow(|scope| {
            let commands = control.to_stream(scope).broadcast();
            let events = input.to_stream(scope).into_batches();
            let parts = QueryParts { control: commands, context: &context, operators: &specs, bins: case.bins, spans: case.spans };
            case.query
                .elastic(events, &parts)
                .drain_to_sink(&context, OperatorId(specs.len() as u32 + 1), move |_, answers| sink.borrow_mut().extend(answers))
                .probe_with(&probe);
        });
        let mut control = (id.0 == 0).then_some(control);
        let mut steps = case.steps.iter().peekable();
        feed(worker, case, input, |epoch| {
            let Some(input) = &mut control else { return true };
            let until = epoch.map_or(Time::MAX, |epoch| epoch + HORIZON);
            while let Some((&at, steps)) = steps.next_if(|(at, _)| **at <= until) {
                input.advance_to(at);
                steps.iter().flat_map(commands_of).for_each(|command| input.send(command));
            }
            match epoch {
                Some(_) => input.advance_to(until + 1),
                None => control = None,
            }
            control.is_none()
        });
        assert!(probe.done());
        answers.take()
    });
    let answers = sorted(guards.unwrap().join().into_iter().map(Result::unwrap));
    drop(observer);
    check_reports(case, acked.into_iter().collect());
    for queues in queues {
        assert_eq!((0..INSTANCES).map(|index| queues.waiting(index)).collect::<Vec<_>>(), [0; INSTANCES as usize]);
    }
    answers
}

/// Every move and every change of parallelism is reported exactly once.
fn check_reports(case: &Case, acked: Vec<Ack>) {
    let mut progress = Progress::default();
    let all = |step: &Step| progress.send(step, case.workers as u32);
    case.steps.values().flatten().for_each(all);
    acked.into_iter().for_each(|ack| progress.report(ack));
    assert!(progress.is_complete(), "not reported: {progress:?}");
}
