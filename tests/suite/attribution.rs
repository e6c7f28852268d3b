//! Random jobs in virtual time with one injected cause of latency each: the largest share of it has to be charged to the cause.
//!
//! A charge is to an operator and a kind. What counts as which cause:
//! - *Load*: work of an operator's instances, queueing behind that work, and backpressure for them. A slow instance, a serial stage and
//!   skew show as load, the first and the last of one instance more than of any other.
//! - *Outside*: an operator's external waits, queueing behind them, and backpressure where its instances wait more than they work. A
//!   shared limit shows so, too: what tells the two apart is how waits change with the number of instances, and that is no matter of a path.
//! - *Migration* of an operator; *network*, of all channels together, because the delay is on all of them.
//! - *Source*: a source's own delay.
//! - *Grid*: release and scheduling, of no operator: results wait for the host's tick at every one of them. A source emits by the same
//!   tick, so a long tick is right as a source's own delay, too.

use std::collections::BTreeMap;
use std::time::Duration;

use thalweg::activity::{ActivityKind, Record};
use thalweg::critical_path::{EpochPath, EpochPaths, EpochPiece, EpochPieceKind};
use thalweg::dataflow::{Configuration, QueueMarks, Role, Straggler, Topology};
use thalweg::id::{BinId, InstanceId, OperatorId};
use thalweg::migration::{Assignment, BinMove, Step};
use thalweg::pag::{GraphBuilder, GraphConfig};
use thalweg::rate::Rate;
use thalweg::sim::{Disturbance, Job, MoveModel, OperatorModel, Random, ServiceTimes, Simulation, Skew};
use thalweg::time::Timestamp;
use thalweg::workload::{Phase, RateSchedule};

const JOBS: u64 = 200;
const DURATION: Duration = Duration::from_secs(5);
/// When the cause begins; what cannot begin at a time is there from the start.
const BEGINS: Duration = Duration::from_secs(1);
const BINS: u32 = 64;
const SOURCE: OperatorId = OperatorId(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    SlowInstance,
    Network,
    ExternalWait,
    SharedLimit,
    SerialStage,
    Tick,
    Migration,
    Skew,
    SourcePace,
}

const CAUSES: [Cause; 9] = [
    Cause::SlowInstance,
    Cause::Network,
    Cause::ExternalWait,
    Cause::SharedLimit,
    Cause::SerialStage,
    Cause::Tick,
    Cause::Migration,
    Cause::Skew,
    Cause::SourcePace,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Load,
    Backpressure,
    Outside,
    Migration,
    Network,
    Source,
    Grid,
    Other,
}

/// Shares of latency by operator, where one is charged, and kind, and the load by instance.
#[derive(Debug, Default)]
struct Charges {
    by_kind: BTreeMap<(Option<OperatorId>, Kind), u64>,
    load: BTreeMap<InstanceId, u64>,
}

impl Charges {
    fn add(&mut self, piece: &EpochPiece) {
        let charged = piece.behind.map(|behind| behind.instance).or(piece.instance);
        let ns = piece.end.0 - piece.start.0;
        let kind = match piece.kind {
            EpochPieceKind::Processing => Kind::Load,
            EpochPieceKind::ExternalWait => Kind::Outside,
            EpochPieceKind::Queueing => match piece.behind.unwrap().activity {
                ActivityKind::ExternalWait => Kind::Outside,
                _ => Kind::Load,
            },
            EpochPieceKind::Backpressure => Kind::Backpressure,
            EpochPieceKind::Migration => Kind::Migration,
            EpochPieceKind::Network => Kind::Network,
            EpochPieceKind::SourceDelay => Kind::Source,
            EpochPieceKind::Release | EpochPieceKind::Scheduling => Kind::Grid,
            _ => Kind::Other,
        };
        if let (Kind::Load | Kind::Backpressure | Kind::Outside, Some(instance)) = (kind, charged) {
            *self.load.entry(instance).or_default() += ns;
        }
        let operator = charged.map(|instance| instance.operator).filter(|_| kind != Kind::Grid);
        *self.by_kind.entry((operator, kind)).or_default() += ns;
    }

    fn of(paths: &[EpochPath]) -> Charges {
        let mut charges = Charges::default();
        paths.iter().flat_map(|path| &path.pieces).for_each(|piece| charges.add(piece));
        // Sources pause for what an operator mostly does.
        let held: Vec<(Option<OperatorId>, u64)> =
            charges.by_kind.iter().filter(|(key, _)| key.1 == Kind::Backpressure).map(|(key, &ns)| (key.0, ns)).collect();
        for (operator, ns) in held {
            let of = |kind| charges.by_kind.get(&(operator, kind)).copied().unwrap_or_default();
            let kind = if of(Kind::Outside) > of(Kind::Load) { Kind::Outside } else { Kind::Load };
            charges.by_kind.remove(&(operator, Kind::Backpressure));
            *charges.by_kind.entry((operator, kind)).or_default() += ns;
        }
        charges
    }

    fn largest(&self) -> (Option<OperatorId>, Kind) {
        *self.by_kind.iter().max_by_key(|(_, ns)| **ns).unwrap().0
    }

    fn largest_instance(&self) -> Option<InstanceId> {
        self.load.iter().max_by_key(|(_, ns)| **ns).map(|(instance, _)| *instance)
    }
}

/// A job with its cause.
struct Case {
    cause: Cause,
    job: Job,
    seed: u64,
    /// The operator that the cause is at.
    at: OperatorId,
    /// Load of each instance of each operator by itself.
    utilisation: Vec<f64>,
    /// What the source should have done, where it has another pace.
    schedule: Option<RateSchedule>,
}

impl Case {
    fn random(seed: u64) -> Case {
        let mut random = Random::new(seed);
        let cause = CAUSES[(seed % CAUSES.len() as u64) as usize];
        let count = 2 + random.below(5) as u32;
        let at = OperatorId(1 + random.below(u64::from(count)) as u32);
        let edges = edges(count, &mut random);
        let keyed: Vec<bool> = (0..=count + 1)
            .map(|number| random.below(2) == 0 || number == at.0 && matches!(cause, Cause::Migration | Cause::Skew))
            .collect();
        let names: Vec<String> = (0..=count + 1).map(|number| format!("op{number}")).collect();
        let operators: Vec<(&str, Role, u32)> = (0..=count + 1)
            .map(|number| {
                let role = match number {
                    0 => Role::Source,
                    _ if number == count + 1 => Role::Sink,
                    _ if keyed[number as usize] => Role::Keyed { bins: BINS },
                    _ => Role::Stateless,
                };
                (names[number as usize].as_str(), role, 8)
            })
            .collect();
        let topology = Topology::new(&operators, &edges).unwrap();
        let mut configuration = Configuration::ones(&topology);
        for number in 1..=count {
            let needs_two = number == at.0 && matches!(cause, Cause::SlowInstance | Cause::Migration | Cause::Skew);
            let instances =
                if number == at.0 && cause == Cause::SerialStage { 1 } else { 1 + u32::from(needs_two) + random.below(3) as u32 };
            configuration = configuration.with(OperatorId(number), instances);
        }
        let shares = vec![1.0; edges.len()];
        let mut models = vec![OperatorModel::default(); operators.len()];
        let offered = random.between(300.0, 1200.0);
        models[0].schedule = Some(RateSchedule::constant(Rate::per_second(offered)));
        let job = Job {
            topology,
            configuration,
            models,
            shares,
            feedback_shares: Vec::new(),
            long_tick: None,
            tick: Duration::from_millis(10),
            catch_up: random.between(1.1, 2.0),
            duration: DURATION,
            delay: Duration::ZERO,
            moves: MoveModel::default(),
            disturbance: Disturbance::default(),
            workers: None,
        };
        let mut utilisation: Vec<f64> = (0..operators.len()).map(|_| random.between(0.15, 0.5)).collect();
        if cause == Cause::Migration {
            // One instance has the load of two while bins are with it; were that near its capacity, load would be a second cause.
            utilisation[at.0 as usize] = random.between(0.1, 0.25);
        }
        let mut case = Case { cause, job, seed, at, utilisation, schedule: None };
        case.load(&mut random);
        case.inject(offered, &mut random);
        case
    }

    /// Gives every operator its base load.
    fn load(&mut self, random: &mut Random) {
        let demands = self.job.demands(Timestamp::ZERO);
        let scalable = self.job.models.len() - 2;
        for (number, demand) in demands.iter().enumerate().skip(1).take(scalable) {
            let instances = f64::from(self.job.configuration.parallelism(OperatorId(number as u32)));
            let rate = demand / instances / self.utilisation[number];
            let model = &mut self.job.models[number];
            model.rate = Some(Rate::per_second(rate));
            model.service = if random.below(2) == 0 { ServiceTimes::Exponential } else { ServiceTimes::Deterministic };
            let high = ((rate * random.between(0.3, 1.0)) as u64).max(50);
            model.marks = QueueMarks { high_records: high, low_records: high / 2 };
        }
    }

    fn inject(&mut self, offered: f64, random: &mut Random) {
        let demand = self.job.demands(Timestamp::ZERO)[self.at.0 as usize];
        let number = self.at.0 as usize;
        let instances = self.job.configuration.parallelism(self.at);
        let each = f64::from(instances) / demand;
        let (begins, ends) = (Timestamp::ZERO + BEGINS, Timestamp::ZERO + DURATION);
        let slow = self.slow();
        let (utilisation, model) = (self.utilisation[number], &mut self.job.models[number]);
        match self.cause {
            Cause::SlowInstance => {
                let speed = utilisation / random.between(1.2, 2.0);
                model.stragglers = vec![Straggler { instance: slow, speed, from: begins, until: ends }];
            }
            Cause::Network => self.job.delay = Duration::from_millis(100 + random.below(200)),
            Cause::ExternalWait => model.wait = Duration::from_secs_f64(each * random.between(0.9, 1.5)),
            Cause::SharedLimit => model.external_limit = Some(Rate::per_second(demand / random.between(1.1, 1.6))),
            Cause::SerialStage => model.rate = Some(Rate::per_second(demand / random.between(1.03, 1.3))),
            Cause::Tick => self.job.tick = Duration::from_millis(200 + 50 * random.below(7)),
            Cause::Migration => {
                let bytes = model.keys * model.bytes_per_key / u64::from(instances);
                self.job.moves.bytes_per_s = Some(bytes as f64 / random.between(1.0, 1.5));
            }
            Cause::Skew => {
                let share = (random.between(1.2, 1.8) / utilisation / f64::from(instances)).min(0.95);
                model.skew = Skew::HotKey { share };
                // The rest is spread evenly, and one instance can do what the hot one cannot.
                model.rate = Some(Rate::per_second(share * demand / random.between(1.15, 1.4)));
            }
            Cause::SourcePace => {
                let phase = |start, rate| Phase { start, rate: Rate::per_second(rate) };
                let slower = offered * random.between(0.6, 0.9);
                let paced = RateSchedule::new(vec![phase(Duration::ZERO, offered), phase(BEGINS, slower)]).unwrap();
                self.schedule = self.job.models[0].schedule.replace(paced);
            }
        }
        if self.cause == Cause::SerialStage {
            let phase = |start, rate| Phase { start, rate: Rate::per_second(rate) };
            let load = RateSchedule::new(vec![phase(Duration::ZERO, 0.5 * offered), phase(BEGINS, offered)]).unwrap();
            self.job.models[0].schedule = Some(load);
        }
    }

    /// The instance that is slow.
    fn slow(&self) -> u32 {
        (self.seed / 7 % u64::from(self.job.configuration.parallelism(self.at))) as u32
    }

    /// What the job records; bins of an operator go back and forth while they are the cause.
    fn records(&self) -> Vec<Record> {
        let mut simulation = Simulation::new(&self.job, self.seed).recording_graph();
        let (mut records, mut moved, mut busy_until) = (Vec::new(), 0, 0);
        while simulation.advance(&mut records) {
            let due = simulation.now().0 >= BEGINS.as_nanos() as u64 && simulation.now().0 >= busy_until;
            if self.cause == Cause::Migration && due {
                let owners = Assignment::even(BINS, self.job.configuration.parallelism(self.at));
                let (from, to) = if moved % 2 == 0 { (0, 1) } else { (1, 0) };
                let mine = (0..).zip(owners.owners()).filter(|(_, owner)| **owner == 0);
                let moves = mine.map(|(bin, _)| BinMove { operator: self.at, bin: BinId(bin), from, to }).collect();
                simulation.apply(Step { moves, ..Step::default() });
                (moved, busy_until) = (moved + 1, simulation.now().0 + 2_000_000_000);
            }
        }
        if let Some(schedule) = &self.schedule {
            behind(schedule, &mut records);
        }
        records
    }

    /// Whether the largest charge is to the cause.
    fn is_hit(&self, charges: &Charges) -> bool {
        let (operator, kind) = charges.largest();
        let here = operator == Some(self.at);
        let by = |index| charges.largest_instance() == Some(InstanceId::new(self.at, index));
        match self.cause {
            Cause::SlowInstance => here && kind == Kind::Load && by(self.slow()),
            Cause::Skew => here && kind == Kind::Load && self.hot().is_some_and(by),
            Cause::SerialStage => here && kind == Kind::Load,
            Cause::ExternalWait | Cause::SharedLimit => here && kind == Kind::Outside,
            Cause::Migration => here && kind == Kind::Migration,
            Cause::Network => kind == Kind::Network,
            Cause::Tick => matches!(kind, Kind::Grid | Kind::Source),
            Cause::SourcePace => operator == Some(SOURCE) && kind == Kind::Source,
        }
    }

    /// The instance with the hot key: the one to which most records came.
    fn hot(&self) -> Option<u32> {
        let mut arrivals: BTreeMap<u32, u64> = BTreeMap::new();
        for record in self.records() {
            if let Record::Queue { instance, arrivals: some, .. } = record
                && instance.operator == self.at
            {
                *arrivals.entry(instance.index).or_default() += some;
            }
        }
        arrivals.into_iter().max_by_key(|(_, arrived)| *arrived).map(|(index, _)| index)
    }
}

/// A chain of `count` operators between source and sink; of longer ones many fork and join again.
fn edges(count: u32, random: &mut Random) -> Vec<(u32, u32)> {
    let mut edges: Vec<(u32, u32)> = (0..=count).map(|number| (number, number + 1)).collect();
    if count >= 3 && random.below(2) == 0 {
        // From one operator to two, and from both to a third.
        let fork = 1 + random.below(u64::from(count) - 2) as u32;
        edges.retain(|edge| *edge != (fork + 1, fork + 2));
        edges.extend([(fork, fork + 2), (fork + 1, fork + 3), (fork + 2, fork + 3)]);
        edges.sort_unstable();
        edges.dedup();
        edges.retain(|(_, to)| *to <= count + 1);
    }
    edges
}

/// What a source that emitted more slowly than its schedule says would have recorded.
fn behind(schedule: &RateSchedule, records: &mut [Record]) {
    let mut before = 0;
    for record in records {
        match record {
            Record::EpochOpened { at, due, records, .. } => {
                *due = schedule.time_of(before + 1).unwrap_or(*at).min(*at);
                before += *records;
            }
            Record::Source { at, due, .. } => *due = schedule.due(*at),
            _ => {}
        }
    }
}

/// The paths of epochs that were due after the cause began.
fn paths(records: &[Record]) -> Vec<EpochPath> {
    let config = GraphConfig { history: 2 * DURATION, ..GraphConfig::new(Duration::from_millis(500)) };
    let (mut graph, mut epochs, mut paths) = (GraphBuilder::new(config), EpochPaths::default(), Vec::new());
    for record in records {
        graph.push(record);
        epochs.push(record);
        if matches!(record, Record::UpTo { .. }) {
            while let Some(closed) = graph.close(graph.known()) {
                paths.extend(epochs.walk(&graph, closed.window.end));
                graph.recycle(closed);
            }
        }
    }
    while graph.close(Timestamp(u64::MAX)).is_some() {}
    paths.extend(epochs.walk(&graph, Timestamp(u64::MAX)));
    paths.retain(|path| path.due >= Timestamp::ZERO + BEGINS);
    paths
}

#[test]
fn the_largest_share_of_latency_is_charged_to_the_injected_cause() {
    let mut hits: BTreeMap<Cause, (u64, u64)> = BTreeMap::new();
    let mut missed = Vec::new();
    for seed in 0..JOBS {
        let case = Case::random(seed);
        let charges = Charges::of(&paths(&case.records()));
        let (hit, all) = hits.entry(case.cause).or_default();
        *all += 1;
        if case.is_hit(&charges) {
            *hit += 1;
        } else {
            let mut by_kind: Vec<_> = charges.by_kind.into_iter().map(|(key, ns)| (ns / 1_000_000, key)).collect();
            by_kind.sort_unstable_by(|a, b| b.cmp(a));
            by_kind.truncate(4);
            missed.push(format!("seed {seed}: {:?} at {:?}, found {by_kind:?}", case.cause, case.at));
        }
    }
    println!("{hits:#?}\n{}", missed.join("\n"));
    let hit: u64 = hits.values().map(|(hit, _)| hit).sum();
    assert!(hit * 100 >= JOBS * 95, "{hit} of {JOBS}: {hits:?}\n{}", missed.join("\n"));
}

/// The scenario `straggler`, shorter: one of ten instances works at a third of its speed.
#[test]
fn a_straggler_owns_the_lag_that_it_made() {
    let operators =
        [("source", Role::Source, 1), ("map", Role::Stateless, 8), ("count", Role::Keyed { bins: BINS }, 16), ("sink", Role::Sink, 1)];
    let topology = Topology::new(&operators, &[(0, 1), (1, 2), (2, 3)]).unwrap();
    let configuration = Configuration::ones(&topology).with(OperatorId(1), 6).with(OperatorId(2), 10);
    let mut models = vec![OperatorModel::default(); 4];
    models[0].schedule = Some(RateSchedule::constant(Rate::per_second(6_000.0)));
    models[1].rate = Some(Rate::per_second(2_000.0));
    let straggler = InstanceId::new(OperatorId(2), 3);
    let (from, until) = (Timestamp::ZERO + BEGINS, Timestamp::ZERO + DURATION * 2);
    models[2] = OperatorModel {
        rate: Some(Rate::per_second(1_000.0)),
        marks: QueueMarks { high_records: 100, low_records: 50 },
        stragglers: vec![Straggler { instance: 3, speed: 0.33, from, until }],
        ..OperatorModel::default()
    };
    let job = Job {
        topology,
        configuration,
        models,
        shares: vec![1.0; 3],
        feedback_shares: Vec::new(),
        long_tick: None,
        tick: Duration::from_millis(10),
        catch_up: 1.5,
        duration: 2 * DURATION,
        delay: Duration::ZERO,
        moves: MoveModel::default(),
        disturbance: Disturbance::default(),
        workers: None,
    };
    let mut simulation = Simulation::new(&job, 1).recording_graph();
    let mut records = Vec::new();
    while simulation.advance(&mut records) {}
    let paths = paths(&records);
    let pieces = || paths.iter().flat_map(|path| &path.pieces);
    let sum =
        |of: &dyn Fn(&EpochPiece) -> bool| pieces().filter(|piece| of(piece)).map(|piece| piece.end.0 - piece.start.0).sum::<u64>() as f64;
    let all = sum(&|_| true);
    let paused = sum(&|piece| piece.kind == EpochPieceKind::Backpressure && piece.instance == Some(straggler));
    let source = sum(&|piece| piece.kind == EpochPieceKind::SourceDelay);
    assert!(paths.len() > 100 && paused / all > 0.7 && source / all < 0.1, "{} {} of {all}: {}", paused / all, source / all, paths.len());
}
