//! A finite stream, and what happens to the elastic form meanwhile.

use std::collections::BTreeMap;

use thalweg::dataflow::{Capacity, Configuration, Plan, Role, Topology};
use thalweg::engine::Time;
use thalweg::engine::nexmark::{Query, Spans};
use thalweg::id::{BinId, OperatorId};
use thalweg::migration::{Assignment, Assignments, BinMeasure, Measures, Step, Strategy, rebalance};
use thalweg::rate::Rate;
use thalweg::sim::Random;
use thalweg::workload::nexmark::{Event, Generator, GeneratorConfig};

/// Most instances of each operator.
pub const INSTANCES: u32 = 6;
/// Milliseconds of a stream.
const LENGTH: u64 = 400;

/// A stream, and what happens meanwhile.
pub struct Case {
    pub query: Query,
    pub workers: usize,
    pub events: BTreeMap<Time, Vec<Event>>,
    pub spans: Spans,
    pub bins: u32,
    pub capacity: Capacity,
    /// Steps by the epoch at which each takes effect.
    pub steps: BTreeMap<Time, Vec<Step>>,
    /// Worker steps between epochs, taken in turn.
    pub pauses: Vec<u64>,
}

impl Case {
    /// The case of a seed.
    pub fn new(query: Query, seed: u64, workers: usize) -> Case {
        let mut random = Random::new(seed * 1000 + query as u64);
        let one_of = |random: &mut Random, of: &[u64]| of[random.below(of.len() as u64) as usize];
        let config = GeneratorConfig {
            seed,
            rate: Rate::per_second(random.log_uniform(3000.0, 20_000.0)),
            hot_auction_ratio: 1 + random.below(4),
            hot_seller_ratio: 1 + random.below(4),
            hot_bidder_ratio: 1 + random.below(4),
            auctions_in_flight: 1 + random.below(60),
            active_people: 1 + random.below(60),
        };
        let generator = Generator::new(config);
        let grid = one_of(&mut random, &[1, 1, 5, 10]);
        let mut events: BTreeMap<Time, Vec<Event>> = BTreeMap::new();
        // Events of a tick come together, as a source emits them. Somewhere all is silent for a while.
        let silence = random.below(LENGTH);
        for n in 0.. {
            let due = generator.time_of(n);
            let at = (due + if due > silence { 60 } else { 0 }).next_multiple_of(grid);
            if due >= LENGTH {
                break;
            }
            events.entry(at).or_default().push(generator.event_at(query.kinds().number(n), at));
        }
        let slides = |random: &mut Random| (1 + random.below(30)) * grid;
        let average_slide = slides(&mut random);
        let spans = Spans {
            average_size: average_slide * (1 + random.below(3)),
            average_slide,
            hot_slide: slides(&mut random),
            hot_slides: 1 + random.below(5),
            best_size: slides(&mut random),
            welcome_size: slides(&mut random),
            silence: slides(&mut random),
            grid,
        };
        let bins = one_of(&mut random, &[1, 16, 64]) as u32;
        // A limited instance works off a stream of a few thousand events within the time of a test.
        let limited = Capacity::Limited { rate: Rate::per_second(random.log_uniform(1e5, 1e6)) };
        let capacity = if random.below(3) == 0 { limited } else { Capacity::Cpu };
        let steps = steps(query, bins, &mut random);
        let pauses = (0..7).map(|_| random.below(12)).collect();
        Case { query, workers, events, spans, bins, capacity, steps, pauses }
    }

    /// How much is moved or changed.
    pub fn moves(&self) -> usize {
        self.steps.values().flatten().map(|step| step.moves.len() + step.parallelism.len()).sum()
    }
}

/// Plans one after the other, each paced by any strategy.
fn steps(query: Query, bins: u32, random: &mut Random) -> BTreeMap<Time, Vec<Step>> {
    let mut operators = vec![("source", Role::Source, 1)];
    operators.extend(query.operators(bins).into_iter().map(|(name, role)| (name, role, INSTANCES)));
    let edges: Vec<(u32, u32)> = (1..operators.len() as u32).map(|to| (to - 1, to)).collect();
    let topology = Topology::new(&operators, &edges).unwrap();
    let mut configuration = Configuration::ones(&topology);
    let mut owned = Assignment::initial(&topology, &configuration);
    let mut steps: BTreeMap<Time, Vec<Step>> = BTreeMap::new();
    let mut at = 0;
    for _ in 0..3 + random.below(4) {
        at += random.below(LENGTH / 4);
        let mut plan = Plan::default();
        for id in 1..operators.len() as u32 {
            plan = plan.and(OperatorId(id), 1 + random.below(u64::from(INSTANCES)) as u32);
        }
        let loads: Vec<f64> = (0..bins).map(|_| random.uniform()).collect();
        plan.rebalances = owned.keys().copied().collect();
        // A plan that changes nothing is none.
        let Ok(after) = plan.apply(&topology, &configuration) else { continue };
        let new: Assignments = owned.iter().map(|(&id, owned)| (id, rebalance(owned, &loads, after.parallelism(id)))).collect();
        let measure = |(bin, &load): (usize, &f64)| (BinId(bin as u32), BinMeasure { load, size: load, keys: 0 });
        let measures = owned.keys().flat_map(|&id| loads.iter().enumerate().map(measure).map(move |(bin, measure)| (id, bin, measure)));
        let strategies = Strategy::all();
        let strategy = strategies[random.below(strategies.len() as u64) as usize];
        let schedule = strategy.schedule(&topology, (&configuration, &owned), (&after, &new), &Measures::of(measures));
        for (index, step) in schedule.steps.into_iter().enumerate() {
            // Three a time, and a long plan not for ever.
            let at = at + (index as Time / 3).min(20);
            steps.entry(at).or_default().push(step);
        }
        at = at.max(steps.keys().next_back().copied().unwrap_or(0));
        (configuration, owned) = (after, new);
    }
    steps
}
