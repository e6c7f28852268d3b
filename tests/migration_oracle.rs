//! Migration changes nothing but where work is done: for random workloads, workers, strategies and plans at random times, the
//! output equals that of a sequential model, record for record and epoch for epoch.
//!
//! What only this test catches: a record routed by the table of another epoch, state that overtakes records or is overtaken by
//! them, a bin that is lost (the last epoch asks every key for its count) or owned twice (counts would split).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use thalweg::dataflow::{Capacity, Configuration, Plan, Role, Topology};
use thalweg::engine::{
    Ack, Clock, Command, Context, DrainToSink, ElasticKeyed, ElasticStateless, IntoBatches, OperatorSpec, Progress, Recorder, Time,
    commands_of, link,
};
use thalweg::id::{OperatorId, WorkerId};
use thalweg::migration::{Assignment, Assignments, Schedule, Step, Strategy as Pacing, rebalance};
use thalweg::rate::Rate;
use timely::dataflow::operators::Probe;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::{CommunicationConfig, Config, WorkerConfig};

const MAP: OperatorId = OperatorId(1);
const COUNT: OperatorId = OperatorId(2);
const INSTANCES: u32 = 6;

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
    capacity: Capacity,
    /// Worker steps between epochs.
    pauses: Vec<u8>,
}

/// (epoch, key, count, whether the key's epochs came in order)
type Output = (Time, u16, u64, bool);

fn topology(bins: u32) -> Topology {
    let operators = [("source", Role::Source, 1), ("map", Role::Stateless, INSTANCES), ("count", Role::Keyed { bins }, INSTANCES)];
    Topology::new(&operators, &[(0, 1), (1, 2)]).unwrap()
}

/// Plans one after the other, each with random loads, paced by its strategy from its epoch on.
fn steps(bins: u32, plans: &[(Time, u32, u32, Pacing, Vec<f64>)]) -> BTreeMap<Time, Vec<Step>> {
    let topology = topology(bins);
    let mut configuration = Configuration::ones(&topology);
    let mut assignments = Assignment::initial(&topology, &configuration);
    let mut steps: BTreeMap<Time, Vec<Step>> = BTreeMap::new();
    let mut earliest = 0;
    for (at, map, count, strategy, loads) in plans {
        let plan = Plan::rescale(MAP, *map).and(COUNT, *count);
        let plan = Plan { rebalances: [COUNT].into(), ..plan };
        let after = plan.apply(&topology, &configuration).unwrap();
        let new: Assignments = [(COUNT, rebalance(&assignments[&COUNT], loads, *count))].into();
        let schedule: Schedule = strategy.schedule(&topology, (&configuration, &assignments), (&after, &new));
        // Steps of one bin must keep their order, whatever times plans were drawn for.
        earliest = earliest.max(*at);
        for (index, step) in schedule.steps.into_iter().enumerate() {
            steps.entry(earliest + index as Time / 3).or_default().push(step);
        }
        (configuration, assignments) = (after, new);
    }
    steps
}

fn case() -> impl Strategy<Value = Case> {
    let pacing = prop_oneof![Just(Pacing::AllAtOnce), Just(Pacing::Fluid)];
    let plan = (0u64..25, 1..=INSTANCES, 1..=INSTANCES, pacing, prop::collection::vec(0.0f64..10.0, 0..16));
    let capacity =
        prop_oneof![Just(Capacity::Cpu), (20_000.0f64..200_000.0).prop_map(|rate| Capacity::Limited { rate: Rate::per_second(rate) })];
    (
        1usize..=4,
        prop_oneof![Just(1u32), Just(16), Just(64)],
        prop::collection::vec(prop::collection::vec(0u16..50, 0..40), 1..25),
        prop::collection::vec(plan, 0..5),
        0u64..4,
        capacity,
        prop::collection::vec(0u8..6, 1..8),
    )
        .prop_map(|(workers, bins, epochs, plans, horizon, capacity, pauses)| {
            let plans: Vec<_> = plans
                .into_iter()
                .map(|(at, m, c, s, mut loads)| {
                    loads.truncate(bins as usize);
                    (at, m, c, s, loads)
                })
                .collect();
            Case { workers, bins, epochs, steps: steps(bins, &plans), horizon, capacity, pauses }
        })
}

/// The records of every epoch; a last one asks each key once, so that no bin can be missing unnoticed.
fn all_epochs(case: &Case) -> Vec<Vec<u16>> {
    case.epochs.iter().cloned().chain([(0..50).collect()]).collect()
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

fn elastic(case: &Case, serialized: bool) -> (Vec<Output>, Progress) {
    let spec = |id, name| OperatorSpec::new(id, name, case.capacity, INSTANCES);
    let (map, count) = (spec(MAP, "Map"), spec(COUNT, "Count"));
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
        let id = WorkerId(worker.index() as u32);
        let (log, acks) = ends.lock().unwrap().clone();
        let recorder = Recorder::new(id, log);
        let context = Context { worker: id, peers: worker.peers() as u32, clock, recorder, acks };
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
            for _ in 0..case.pauses[epoch as usize % case.pauses.len()] {
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
    acked.into_iter().filter(|ack| matches!(ack, Ack::Installed(..))).for_each(|ack| progress.report(ack));
    (output, progress)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn output_with_migration_equals_output_without(case in case()) {
        let (output, progress) = elastic(&case, false);
        prop_assert_eq!(output, sequential(&case));
        prop_assert!(progress.is_complete(), "not reported: {:?}", progress);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, max_shrink_iters: 50, ..ProptestConfig::default() })]

    /// The same when every message between workers is serialized, as between processes.
    #[test]
    fn serialized_migration_changes_nothing_either(case in case()) {
        let (output, progress) = elastic(&case, true);
        prop_assert_eq!(output, sequential(&case));
        prop_assert!(progress.is_complete(), "not reported: {:?}", progress);
    }
}
