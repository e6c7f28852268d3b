//! A user function that blocks on something external and marks it: the engine distinguishes the wait from
//! work.
//!
//! What is outside is this test's own thread, which knows when a function was certainly blocked: after it had asked, and before it was
//! answered.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use thalweg::activity::{Activity, ActivityKind, Record};
use thalweg::dataflow::{Capacity, Configuration, Role, Topology};
use thalweg::engine::{
    Clock, Command, Context, DrainToSink, ElasticStateless, ElasticUnary, IntoBatches, KeyBy, Link, LogBatch, OperatorSpec, Recorder,
    Session, link,
};
use thalweg::id::{OperatorId, WorkerId};
use thalweg::metrics::{InstanceMetrics, WindowMetrics};
use thalweg::migration::Assignment;
use thalweg::time::{Epoch, Timestamp, Window};
use timely::dataflow::InputHandleVec;

const LOOK_UP: OperatorId = OperatorId(1);
const COUNT: OperatorId = OperatorId(2);
const SINK: OperatorId = OperatorId(3);
const RECORDS: u64 = 3;
/// How long an answer takes at least.
const ANSWER: Duration = Duration::from_millis(2);

/// What functions ask, each in a context of its own.
struct Outside {
    context: Context,
    questions: Sender<Sender<()>>,
}

impl Outside {
    /// Blocks until it is answered.
    fn ask(&self) {
        let (answer, answered) = channel();
        let _wait = self.context.external_wait();
        self.questions.send(answer).unwrap();
        answered.recv().unwrap();
    }
}

/// A look-up that asks for each record, and a count by key whose function asks for each record and once more when it is called.
fn run(clock: Clock, link: Link, questions: Sender<Sender<()>>, capacity: Capacity) {
    timely::execute_directly(move |worker| {
        let recorder = Recorder::new(WorkerId(0), link);
        let context = Context::new(WorkerId(0), 1, clock, recorder.clone(), channel().0);
        let outside = || Outside { context: context.clone(), questions: questions.clone() };
        let [in_look_up, in_fold, in_call] = [outside(), outside(), outside()];
        let (look_up, count) = (OperatorSpec::new(LOOK_UP, "Look up", capacity, 1), OperatorSpec::new(COUNT, "Count", capacity, 1));
        let (mut records, mut control) = (InputHandleVec::new(), InputHandleVec::<u64, Command>::new());
        worker.dataflow(|scope| {
            let commands = control.to_stream(scope);
            records
                .to_stream(scope)
                .into_batches()
                .elastic_flat_map(commands.clone(), &context, &look_up, 1, move |record: u64, found| {
                    in_look_up.ask();
                    found.push(record);
                })
                .key_by(|_: u64| (0_u64, ()))
                .elastic_unary(
                    commands,
                    &context,
                    &count,
                    &Assignment::even(16, 1),
                    move |_: &u64, (), count: &mut u64, session: &mut Session<'_, u64>| {
                        *count += 1;
                        in_fold.ask();
                        session.notify_at(Epoch(5));
                    },
                    move |_, count, session| {
                        in_call.ask();
                        session.give(*count);
                    },
                )
                .drain_to_sink(&context, SINK, |_, counts| assert_eq!(counts, [RECORDS]));
        });
        drop(questions);
        records.send_batch(&mut (0..RECORDS).collect());
        drop((records, control));
        while worker.has_dataflows() {
            worker.step_or_park(Some(ANSWER));
        }
        recorder.finish(clock.now());
    });
}

/// Answers every question late; gives the stretches of time in which somebody was certainly blocked.
fn answer(clock: Clock, questions: &Receiver<Sender<()>>) -> Vec<Window> {
    let mut blocked = Vec::new();
    for question in questions {
        let start = clock.now();
        while clock.now() < start + ANSWER {
            thread::yield_now();
        }
        blocked.push(Window { start, end: clock.now() });
        question.send(()).unwrap();
    }
    blocked
}

/// What was recorded, and when functions were blocked.
fn recorded(capacity: Capacity) -> (Vec<Record>, Vec<Window>) {
    let (clock, (link, log), (questions, asked)) = (Clock::start(), link(), channel());
    let job = thread::spawn(move || run(clock, link, questions, capacity));
    let blocked = answer(clock, &asked);
    job.join().unwrap();
    (log.iter().flat_map(|batch: LogBatch| batch.records).collect(), blocked)
}

fn activities(log: &[Record]) -> impl Iterator<Item = &Activity> {
    log.iter().filter_map(|record| if let Record::Activity(activity) = record { Some(activity) } else { None })
}

/// Sums of the only instance of each of the two operators.
fn metrics(log: &[Record]) -> Vec<InstanceMetrics> {
    let mut window = WindowMetrics::new(Window { start: Timestamp::ZERO, end: Timestamp(u64::MAX) });
    log.iter().for_each(|record| window.add(record, |_| None));
    let roles = [("source", Role::Source), ("Look up", Role::Stateless), ("Count", Role::Keyed { bins: 16 }), ("sink", Role::Sink)];
    let topology = Topology::new(&roles.map(|(name, role)| (name, role, 1)), &[(0, 1), (1, 2), (2, 3)]).unwrap();
    let operators = window.operators(&topology, &Configuration::ones(&topology));
    operators.into_iter().filter(|metrics| [LOOK_UP, COUNT].contains(&metrics.operator)).map(|mut one| one.instances.remove(0)).collect()
}

#[test]
fn a_blocking_call_is_recorded_as_a_wait_and_not_as_work() {
    let (log, blocked) = recorded(Capacity::Cpu);
    // Of the look-up, of the count's records, and of its timer.
    assert_eq!(blocked.len() as u64, RECORDS + RECORDS + 1);
    let covers = |piece: &Activity, time: &Window| piece.start <= time.start && time.end <= piece.end;
    let overlaps = |piece: &Activity, time: &Window| piece.start < time.end && time.start < piece.end;
    for (index, time) in blocked.iter().enumerate() {
        let meant = if (index as u64) < RECORDS { LOOK_UP } else { COUNT };
        let seen: Vec<&Activity> = activities(&log).filter(|piece| overlaps(piece, time)).collect();
        assert_eq!(seen.len(), 1, "{index}: {time:?} {seen:?}");
        assert_eq!((seen[0].kind, seen[0].instance.operator), (ActivityKind::ExternalWait, meant), "{index}");
        assert!(covers(seen[0], time), "{index}: {time:?} {seen:?}");
    }
    let [look_up, count] = &metrics(&log)[..] else { panic!("two operators") };
    assert_eq!((look_up.processed, look_up.produced, count.processed, count.produced), (RECORDS, RECORDS, RECORDS, 1));
    assert!(look_up.external_wait >= ANSWER * RECORDS as u32 && count.external_wait >= ANSWER * (RECORDS as u32 + 1));
    for (metrics, operator) in [(look_up, LOOK_UP), (count, COUNT)] {
        let work = activities(&log).filter(|piece| piece.instance.operator == operator && piece.kind == ActivityKind::Processing);
        assert_eq!(metrics.useful, work.map(|piece| piece.end.since(piece.start)).sum::<Duration>());
    }
}

#[test]
fn where_time_is_imposed_nothing_is_recorded_beside_it() {
    let rate = thalweg::rate::Rate::per_second(10_000.0);
    let (log, blocked) = recorded(Capacity::Limited { rate });
    assert_eq!(blocked.len() as u64, RECORDS + RECORDS + 1);
    assert!(activities(&log).all(|piece| piece.kind != ActivityKind::ExternalWait));
    let useful: Duration = metrics(&log).iter().map(|metrics| metrics.useful).sum();
    assert_eq!(useful, Duration::from_micros(100) * 2 * RECORDS as u32);
}
