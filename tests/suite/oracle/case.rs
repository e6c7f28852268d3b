//! Random jobs.
//!
//! Cases are drawn so that the hard ones are common: slow instances with full queues, workers that look at their input rarely
//! and so see a step late, bins that go on a tour (on to the next owner before they have arrived, several owners at one time,
//! back to where they came from), owners that go to another worker and their bins after them, plans that overlap, steps after the end of the input, more records than there is time for, operators that yield
//! after each record.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use proptest::prelude::*;
use thalweg::dataflow::{Capacity, Configuration, Plan, QueueMarks, Role, Topology};
use thalweg::engine::Time;
use thalweg::id::{BinId, WorkerId};
use thalweg::migration::{Assignment, Assignments, BinMeasure, BinMove, Measures, Step, Strategy as Pacing, Weights, rebalance};
use thalweg::rate::Rate;

use super::{Form, INSTANCES, KEYED, KEYS, MAP};

/// One random job.
#[derive(Clone, Debug)]
pub struct Case {
    pub form: Form,
    pub workers: usize,
    pub bins: u32,
    /// Key of each record of each epoch, and something random.
    pub epochs: Vec<Vec<(u16, u8)>>,
    /// Steps by the epoch at which each takes effect; steps of different plans may overlap.
    pub steps: BTreeMap<Time, Vec<Step>>,
    /// How far control runs ahead of the data, in epochs.
    pub horizon: Time,
    pub map: Capacity,
    pub keyed: Capacity,
    pub marks: QueueMarks,
    /// Bytes of state in a part that goes to another process.
    pub part_bytes: usize,
    /// Worker steps between epochs, taken in turn, from another place on each worker.
    pub pauses: Vec<u8>,
    /// Whether the last epoch comes after all steps, or where the input happens to end.
    pub asks_late: bool,
    /// Whether everything yields after each record: time never suffices for more.
    pub yields: bool,
    /// Each epoch has its records so many times: what does not fit into a worker's time waits, and more comes before it is done.
    pub load: u8,
    /// Whether what is done is recorded; if not, nobody wakes an operator ten times a second for a sample of its queues.
    pub recorded: bool,
}

impl Case {
    /// The same job without any migration.
    pub fn unmigrated(&self) -> Case {
        let mut epochs = self.all_epochs();
        epochs.pop();
        Case { steps: BTreeMap::new(), epochs, load: 1, ..self.clone() }
    }

    /// The records of every epoch; a last one asks each key once, so that no bin can be missing unnoticed.
    pub fn all_epochs(&self) -> Vec<Vec<(u16, u8)>> {
        let repeated = |records: &Vec<_>| records.iter().flat_map(|&record| std::iter::repeat_n(record, usize::from(self.load))).collect();
        let mut epochs: Vec<Vec<(u16, u8)>> = self.epochs.iter().map(repeated).collect();
        if self.asks_late {
            let steps = self.steps.keys().next_back().map_or(0, |&last| last as usize + 1);
            epochs.resize(epochs.len().max(steps), Vec::new());
        }
        epochs.push((0..KEYS).map(|key| (key, 0)).collect());
        epochs
    }
}

/// What changes, and when.
#[derive(Clone, Debug)]
enum Change {
    /// A plan with random loads, paced by its strategy.
    Plan { map: u32, keyed: u32, pacing: Pacing, loads: Vec<f64> },
    /// One bin after the other is split.
    Split { bins: Vec<u32> },
    /// Records of the stateless operator are divided by the speeds of so many instances.
    Weights { speeds: Vec<f64> },
    /// One bin goes from owner to owner, so many epochs apart.
    Tour { bin: u32, apart: Time, owners: Vec<u32> },
    /// Instances of the stateless or the keyed operator go to these workers; bins follow them in thirds, so many epochs apart.
    Place { keyed: bool, places: Vec<u32>, apart: Time },
}

fn topology(bins: u32) -> Topology {
    let operators = [("source", Role::Source, 1), ("map", Role::Stateless, INSTANCES), ("keyed", Role::Keyed { bins }, INSTANCES)];
    Topology::new(&operators, &[(0, 1), (1, 2)]).unwrap()
}

/// Changes one after the other on so many workers, as steps by the epoch at which each takes effect.
fn steps(bins: u32, workers: u32, changes: Vec<(Time, Change)>) -> BTreeMap<Time, Vec<Step>> {
    let topology = topology(bins);
    let mut configuration = Configuration::ones(&topology);
    let mut assignments = Assignment::initial(&topology, &configuration);
    let mut steps: BTreeMap<Time, Vec<Step>> = BTreeMap::new();
    let mut split: Vec<BinId> = Vec::new();
    // Steps keep the order of their changes, so a change begins where the one before it ends, at the earliest.
    let mut earliest = 0;
    for (at, change) in changes {
        earliest = earliest.max(at);
        match change {
            Change::Plan { map, keyed, pacing, loads } => {
                let plan = Plan::rescale(MAP, map).and(KEYED, keyed);
                let plan = Plan { rebalances: [KEYED].into(), ..plan };
                let after = plan.apply(&topology, &configuration).unwrap();
                let loads = &loads[..loads.len().min(assignments[&KEYED].owners().len())];
                let new: Assignments = [(KEYED, rebalance(&assignments[&KEYED], loads, keyed))].into();
                let measure = |(bin, &load): (usize, &f64)| (KEYED, BinId(bin as u32), BinMeasure { load, size: load, keys: 0 });
                let measures = Measures::of(loads.iter().enumerate().map(measure));
                let schedule = pacing.schedule(&topology, (&configuration, &assignments), (&after, &new), &measures);
                for (index, step) in schedule.steps.into_iter().enumerate() {
                    // Three a time, and a long plan not for ever.
                    steps.entry(earliest + (index as Time / 3).min(5)).or_default().push(step);
                }
                (configuration, assignments) = (after, new);
            }
            Change::Split { bins } => {
                let mut assignment = assignments[&KEYED].clone();
                let mut splits = Vec::new();
                for bin in bins {
                    let bin = BinId(bin % assignment.owners().len() as u32);
                    if !split.contains(&bin) {
                        split.push(bin);
                        assignment.split(bin);
                        splits.push((KEYED, bin));
                    }
                }
                // At a time of its own: nothing may be in motion then.
                earliest = earliest.max(steps.keys().next_back().map_or(0, |&last| last + 1));
                steps.insert(earliest, vec![Step { splits, ..Step::default() }]);
                earliest += 1;
                assignments = [(KEYED, assignment)].into();
            }
            Change::Weights { speeds } => {
                let instances = speeds.len() as u32;
                let weights = Weights::of(&speeds).map(|weights| (MAP, weights)).into_iter().collect();
                steps.entry(earliest).or_default().push(Step { parallelism: [(MAP, instances)].into(), weights, ..Step::default() });
                configuration = configuration.with(MAP, instances);
            }
            Change::Tour { bin, apart, owners } => {
                let mut all = assignments[&KEYED].owners().to_vec();
                let bin = BinId(bin % all.len() as u32);
                for to in owners {
                    let from = std::mem::replace(&mut all[bin.0 as usize], to);
                    let moves = vec![BinMove { operator: KEYED, bin, from, to }];
                    steps.entry(earliest).or_default().push(Step { moves, ..Step::default() });
                    earliest += apart;
                }
                assignments = [(KEYED, Assignment::of(all))].into();
            }
            Change::Place { keyed, places, apart } => {
                let places: Vec<WorkerId> = places.into_iter().map(|place| WorkerId(place % workers)).collect();
                let operator = if keyed { KEYED } else { MAP };
                let parallelism = if keyed { BTreeMap::new() } else { [(MAP, configuration.parallelism(MAP))].into() };
                let first = Step { placement: [(operator, places)].into(), parallelism, ..Step::default() };
                steps.entry(earliest).or_default().push(first);
                let owners = assignments[&KEYED].owners().iter().filter(|_| keyed);
                for (bin, &owner) in (0..).zip(owners) {
                    let moves = vec![BinMove { operator: KEYED, bin: BinId(bin), from: owner, to: owner }];
                    steps.entry(earliest + Time::from(bin % 3) * apart).or_default().push(Step { moves, ..Step::default() });
                }
            }
        }
        earliest = earliest.max(steps.keys().next_back().copied().unwrap_or(0));
    }
    steps
}

fn limited(slowest: f64, fastest: f64) -> impl Strategy<Value = Capacity> {
    (slowest.ln()..fastest.ln()).prop_map(|rate| Capacity::Limited { rate: Rate::per_second(rate.exp()) })
}

/// Any job of so many workers in which something moves from one instance to another.
pub fn case(workers: RangeInclusive<usize>) -> impl Strategy<Value = Case> {
    let pacing = prop::sample::select(Pacing::all().to_vec());
    let loads = prop::collection::vec(0.0f64..10.0, 0..16);
    let plan =
        (1..=INSTANCES, 1..=INSTANCES, pacing, loads).prop_map(|(map, keyed, pacing, loads)| Change::Plan { map, keyed, pacing, loads });
    let tour =
        (0u32..64, 0u64..3, prop::collection::vec(0..INSTANCES, 1..6)).prop_map(|(bin, apart, owners)| Change::Tour { bin, apart, owners });
    let split = prop::collection::vec(any::<u32>(), 1..5).prop_map(|bins| Change::Split { bins });
    let speeds = prop::collection::vec(prop_oneof![Just(1.0), 0.01f64..1.0], 1..=INSTANCES as usize);
    let weights = speeds.prop_map(|speeds| Change::Weights { speeds });
    let place = (any::<bool>(), prop::collection::vec(0u32..4, INSTANCES as usize), 0u64..3);
    let place = place.prop_map(|(keyed, places, apart)| Change::Place { keyed, places, apart });
    let changes = prop::collection::vec((0u64..16, prop_oneof![2 => plan, 2 => tour, 1 => split, 2 => weights, 2 => place]), 1..6);
    let marks = prop_oneof![Just(QueueMarks::default()), Just(QueueMarks { high_records: 20, low_records: 10 })];
    let bins = prop_oneof![Just(1u32), Just(4), Just(16), Just(64)];
    let forms = [Form::StateMachine, Form::Unary, Form::Binary, Form::Tumbling, Form::Sliding, Form::Session];
    (
        (prop::sample::select(forms.to_vec()), workers, bins, marks, prop::sample::select(vec![1usize, 40, 1 << 18])),
        prop::collection::vec(prop::collection::vec((0u16..KEYS, any::<u8>()), 0..40), 1..25),
        changes,
        0u64..8,
        prop_oneof![2 => Just(Capacity::Cpu), 1 => limited(20_000.0, 200_000.0)],
        prop_oneof![2 => Just(Capacity::Cpu), 3 => limited(3_000.0, 100_000.0)],
        prop::collection::vec(prop_oneof![Just(0u8), 0u8..20], 1..8),
        (any::<(bool, bool)>(), prop::sample::select(vec![(false, 1u8), (true, 1), (true, 4), (false, 40)])),
    )
        .prop_map(|((form, workers, bins, marks, part_bytes), epochs, mut changes, horizon, map, keyed, pauses, rest)| {
            changes.sort_by_key(|(at, _)| *at);
            let (steps, ((asks_late, recorded), (yields, load))) = (steps(bins, workers as u32, changes), rest);
            // A join has as many results as there are pairs, and imposed times add up.
            let load = match (form, map, keyed) {
                (Form::Binary, ..) => load.min(2),
                (_, Capacity::Cpu, Capacity::Cpu) => load,
                _ => 1,
            };
            Case { form, workers, bins, epochs, steps, horizon, map, keyed, marks, part_bytes, pauses, asks_late, yields, load, recorded }
        })
        .prop_filter("something moves", |case| case.steps.values().flatten().flat_map(|step| &step.moves).any(|to| to.from != to.to))
}
