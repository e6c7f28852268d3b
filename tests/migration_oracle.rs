//! Migration changes nothing but where work is done: for random workloads, workers, strategies and plans at random times, the
//! output equals that of a sequential model, record for record and epoch for epoch.
//!
//! What only this test catches: a record routed by the table of another epoch, state that overtakes records or is overtaken by
//! them, a bin that is lost (the last epoch asks every key for its count) or owned twice (counts would split), queued records
//! that stay behind or change their order, a queue that is counted at the wrong instance.
//!
//! Cases are drawn so that the hard ones are common: slow instances with full queues, workers that look at their input rarely
//! and so see a step late, bins that go on a tour (on to the next owner before they have arrived, several owners at one time,
//! back to where they came from), steps after the end of the input.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use thalweg::dataflow::{Capacity, Configuration, Plan, QueueMarks, Role, Topology};
use thalweg::engine::{
    Ack, Clock, Command, Context, DrainToSink, ElasticKeyed, ElasticStateless, Gauges, IntoBatches, OperatorSpec, Progress, Recorder, Time,
    commands_of, link,
};
use thalweg::id::{BinId, OperatorId, WorkerId};
use thalweg::migration::{Assignment, Assignments, BinMeasure, BinMove, Measures, Step, Strategy as Pacing, rebalance};
use thalweg::rate::Rate;
use timely::dataflow::operators::Probe;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::{CommunicationConfig, Config, WorkerConfig};

const MAP: OperatorId = OperatorId(1);
const COUNT: OperatorId = OperatorId(2);
const INSTANCES: u32 = 6;
const KEYS: u16 = 50;

/// One random job.
#[derive(Clone, Debug)]
struct Case {
    workers: usize,
    bins: u32,
    /// Keys of each epoch.
    epochs: Vec<Vec<u16>>,
    /// Steps by the epoch at which each takes effect; steps of different plans may overlap.
    steps: BTreeMap<Time, Vec<Step>>,
    /// How far control runs ahead of the data, in epochs.
    horizon: Time,
    map: Capacity,
    count: Capacity,
    marks: QueueMarks,
    /// Worker steps between epochs, taken in turn, from another place on each worker.
    pauses: Vec<u8>,
    /// Whether the last epoch comes after all steps, or where the input happens to end.
    asks_late: bool,
}

/// What changes, and when.
#[derive(Clone, Debug)]
enum Change {
    /// A plan with random loads, paced by its strategy.
    Plan { map: u32, count: u32, pacing: Pacing, loads: Vec<f64> },
    /// One bin goes from owner to owner, so many epochs apart.
    Tour { bin: u32, apart: Time, owners: Vec<u32> },
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

/// Far beyond what a case takes on any machine: a job that runs so long never ends.
const FOR_EVER: Duration = Duration::from_secs(30);

/// (epoch, key, count, whether the key's epochs came in order)
type Output = (Time, u16, u64, bool);

fn topology(bins: u32) -> Topology {
    let operators = [("source", Role::Source, 1), ("map", Role::Stateless, INSTANCES), ("count", Role::Keyed { bins }, INSTANCES)];
    Topology::new(&operators, &[(0, 1), (1, 2)]).unwrap()
}

/// Changes one after the other, as steps by the epoch at which each takes effect.
fn steps(bins: u32, changes: Vec<(Time, Change)>) -> BTreeMap<Time, Vec<Step>> {
    let topology = topology(bins);
    let mut configuration = Configuration::ones(&topology);
    let mut assignments = Assignment::initial(&topology, &configuration);
    let mut steps: BTreeMap<Time, Vec<Step>> = BTreeMap::new();
    // Steps keep the order of their changes, so a change begins where the one before it ends, at the earliest.
    let mut earliest = 0;
    for (at, change) in changes {
        earliest = earliest.max(at);
        match change {
            Change::Plan { map, count, pacing, loads } => {
                let plan = Plan::rescale(MAP, map).and(COUNT, count);
                let plan = Plan { rebalances: [COUNT].into(), ..plan };
                let after = plan.apply(&topology, &configuration).unwrap();
                let loads = &loads[..loads.len().min(bins as usize)];
                let new: Assignments = [(COUNT, rebalance(&assignments[&COUNT], loads, count))].into();
                let measure = |(bin, &load): (usize, &f64)| (COUNT, BinId(bin as u32), BinMeasure { load, size: load });
                let measures = Measures::of(loads.iter().enumerate().map(measure));
                let schedule = pacing.schedule(&topology, (&configuration, &assignments), (&after, &new), &measures);
                for (index, step) in schedule.steps.into_iter().enumerate() {
                    // Three a time, and a long plan not for ever.
                    steps.entry(earliest + (index as Time / 3).min(5)).or_default().push(step);
                }
                (configuration, assignments) = (after, new);
            }
            Change::Tour { bin, apart, owners } => {
                let bin = BinId(bin % bins);
                let mut all = assignments[&COUNT].owners().to_vec();
                for to in owners {
                    let from = std::mem::replace(&mut all[bin.0 as usize], to);
                    let moves = vec![BinMove { operator: COUNT, bin, from, to }];
                    steps.entry(earliest).or_default().push(Step { moves, ..Step::default() });
                    earliest += apart;
                }
                assignments = [(COUNT, Assignment::of(all))].into();
            }
        }
        earliest = earliest.max(steps.keys().next_back().copied().unwrap_or(0));
    }
    steps
}

fn limited(slowest: f64, fastest: f64) -> impl Strategy<Value = Capacity> {
    (slowest.ln()..fastest.ln()).prop_map(|rate| Capacity::Limited { rate: Rate::per_second(rate.exp()) })
}

fn case() -> impl Strategy<Value = Case> {
    let pacing = prop::sample::select(&Pacing::FIXED);
    let loads = prop::collection::vec(0.0f64..10.0, 0..16);
    let plan =
        (1..=INSTANCES, 1..=INSTANCES, pacing, loads).prop_map(|(map, count, pacing, loads)| Change::Plan { map, count, pacing, loads });
    let tour =
        (0u32..64, 0u64..3, prop::collection::vec(0..INSTANCES, 1..6)).prop_map(|(bin, apart, owners)| Change::Tour { bin, apart, owners });
    let changes = prop::collection::vec((0u64..16, prop_oneof![plan, tour]), 0..6);
    let marks = prop_oneof![Just(QueueMarks::default()), Just(QueueMarks { high_records: 20, low_records: 10 })];
    let bins = prop_oneof![Just(1u32), Just(4), Just(16), Just(64)];
    (
        (1usize..=4, bins, marks),
        prop::collection::vec(prop::collection::vec(0u16..KEYS, 0..40), 1..25),
        changes,
        0u64..8,
        prop_oneof![2 => Just(Capacity::Cpu), 1 => limited(20_000.0, 200_000.0)],
        prop_oneof![1 => Just(Capacity::Cpu), 3 => limited(3_000.0, 100_000.0)],
        prop::collection::vec(prop_oneof![Just(0u8), 0u8..20], 1..8),
        any::<bool>(),
    )
        .prop_map(|((workers, bins, marks), epochs, mut changes, horizon, map, count, pauses, asks_late)| {
            changes.sort_by_key(|(at, _)| *at);
            Case { workers, bins, epochs, steps: steps(bins, changes), horizon, map, count, marks, pauses, asks_late }
        })
}

/// The records of every epoch; a last one asks each key once, so that no bin can be missing unnoticed.
fn all_epochs(case: &Case) -> Vec<Vec<u16>> {
    let mut epochs = case.epochs.clone();
    if case.asks_late {
        let steps = case.steps.keys().next_back().map_or(0, |&last| last as usize + 1);
        epochs.resize(epochs.len().max(steps), Vec::new());
    }
    epochs.push((0..KEYS).collect());
    epochs
}

fn sequential(case: &Case) -> Vec<Output> {
    let mut counts: BTreeMap<u16, u64> = BTreeMap::new();
    let mut output = Vec::new();
    for (epoch, keys) in all_epochs(case).into_iter().enumerate() {
        // FlatMap doubles every record.
        for key in keys.into_iter().flat_map(|key| [key, key]) {
            let count = counts.entry(key).or_default();
            *count += 1;
            output.push((epoch as Time, key, *count, true));
        }
    }
    output.sort_unstable();
    output
}

/// The output of the elastic job. Everything else that must hold of a run is asserted here.
fn elastic(case: &Case, serialized: bool) -> Vec<Output> {
    let pressing = Arc::new(AtomicUsize::new(0));
    let spec = |id, name: &str, capacity| {
        OperatorSpec::with_gauges(id, name, capacity, Arc::new(Gauges::new(case.marks, INSTANCES, pressing.clone())))
    };
    let (map, count) = (spec(MAP, "Map", case.map), spec(COUNT, "Count", case.count));
    let gauges = [map.gauges.clone(), count.gauges.clone()];
    let alarm = Arc::new(AtomicBool::new(false));
    let (log, observer) = link();
    let (acks, acked) = channel();
    let ends = Mutex::new((log, acks));
    let clock = Clock::start();
    let communication = match (case.workers, serialized) {
        (1, _) => CommunicationConfig::Thread,
        (workers, false) => CommunicationConfig::Process(workers),
        (workers, true) => CommunicationConfig::ProcessBinary(workers),
    };
    let shared = Arc::new(case.clone());
    let guards = timely::execute(Config { communication, worker: WorkerConfig::default().idle_spin(Duration::ZERO) }, move |worker| {
        let case = &*shared;
        let (_alarm, end) = (Alarm(alarm.clone()), clock.now() + FOR_EVER);
        let id = WorkerId(worker.index() as u32);
        let (log, acks) = ends.lock().unwrap().clone();
        let recorder = Recorder::new(id, log);
        let context = Context::new(id, worker.peers() as u32, clock, recorder, acks);
        let mut input = InputHandleVec::<Time, (u16, Time)>::new();
        let mut control = InputHandleVec::<Time, Command>::new();
        let probe = ProbeHandle::new();
        let output: Rc<RefCell<Vec<Output>>> = Rc::default();
        let sink = Rc::clone(&output);
        worker.dataflow(|scope| {
            let commands = control.to_stream(scope).broadcast();
            input
                .to_stream(scope)
                .into_batches()
                .elastic_flat_map(commands.clone(), &context, &map, 1, |record, twice| twice.extend([record, record]))
                .elastic_keyed(commands, &context, &count, &Assignment::even(case.bins, 1), |&key, epoch, state: &mut (u64, Time), out| {
                    let ordered = state.1 <= epoch;
                    *state = (state.0 + 1, epoch);
                    out.push((key, state.0, ordered));
                })
                .drain_to_sink(&context, OperatorId(3), move |epoch, counts| {
                    sink.borrow_mut().extend(counts.into_iter().map(|(key, count, ordered)| (epoch.0, key, count, ordered)));
                })
                .probe_with(&probe);
        });
        let epochs = all_epochs(case);
        let mut control = (id.0 == 0).then_some(control);
        let mut sent = 0;
        for (epoch, keys) in epochs.iter().enumerate() {
            let epoch = epoch as Time;
            if let Some(control) = &mut control {
                while sent <= epoch + case.horizon {
                    control.advance_to(sent);
                    for command in case.steps.get(&sent).into_iter().flatten().flat_map(commands_of) {
                        control.send(command);
                    }
                    sent += 1;
                }
                control.advance_to(sent);
            }
            input.advance_to(epoch);
            let peers = worker.peers();
            keys.iter().enumerate().filter(|(n, _)| n % peers == id.0 as usize).for_each(|(_, &key)| input.send((key, epoch)));
            for _ in 0..case.pauses[(epoch as usize + 3 * id.0 as usize) % case.pauses.len()] {
                worker.step();
            }
        }
        if let Some(control) = &mut control {
            for (&at, steps) in case.steps.range(sent..) {
                control.advance_to(at);
                steps.iter().flat_map(commands_of).for_each(|command| control.send(command));
            }
        }
        drop((input, control));
        while worker.has_dataflows() {
            assert!(!alarm.load(Ordering::SeqCst), "another worker panicked");
            assert!(clock.now() < end, "the job does not end");
            worker.step_or_park(Some(Duration::from_millis(20)));
        }
        assert!(probe.done());
        output.take()
    });
    let mut output: Vec<Output> = guards.unwrap().join().into_iter().flat_map(Result::unwrap).collect();
    output.sort_unstable();
    drop(observer);
    // Every move and every change of parallelism is reported exactly once.
    let all = case.steps.values().flatten().fold(Step::default(), |mut all, step| {
        all.moves.extend(&step.moves);
        all
    });
    let mut progress = Progress::default();
    progress.send(&all, case.workers as u32);
    let (installed, rerouted): (Vec<Ack>, Vec<Ack>) = acked.into_iter().partition(|ack| matches!(ack, Ack::Installed(..)));
    installed.into_iter().for_each(|ack| progress.report(ack));
    assert!(progress.is_complete(), "not reported: {progress:?}");
    let reroutings: usize = case.steps.values().flatten().map(|step| step.parallelism.len()).sum();
    assert_eq!(rerouted.len(), reroutings * case.workers);
    // Wherever records waited, they were taken off where they had been added, and no source is paused for ever.
    for gauges in gauges {
        assert_eq!((0..INSTANCES).map(|index| gauges.waiting(index)).collect::<Vec<_>>(), [0; INSTANCES as usize]);
    }
    assert_eq!(pressing.load(Ordering::SeqCst), 0);
    output
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn output_with_migration_equals_output_without(case in case()) {
        prop_assert_eq!(elastic(&case, false), sequential(&case));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, max_shrink_iters: 50, ..ProptestConfig::default() })]

    /// The same when every message between workers is serialized, as between processes.
    #[test]
    fn serialized_migration_changes_nothing_either(case in case()) {
        prop_assert_eq!(elastic(&case, true), sequential(&case));
    }
}
