//! The host in virtual time: simulates sources, queues, servers, backpressure and migration by
//! counting records.
//!
//! Time advances in ticks. In each tick all operators are visited twice in topological order, and
//! within an operator its instances by number. First an instance completes what is complete by now,
//! and arrivals are divided among instances. Then, when every queue is as it is at that instant,
//! sources emit, their records are divided, bins move, and sinks take what arrived. So what an
//! operator emits in a tick arrives at the next one in the same tick, and its service begins then;
//! completions have their exact times, and only their consequences wait for the tick. The order is
//! fixed and all randomness comes from one seed in that order, so the same job and seed give the
//! same records.
//!
//! Records are counted, so the cost depends on instances and ticks, not on the rate.

use std::time::Duration;

use super::Random;
use super::disturbed::Disturbed;
use super::edge::{Edge, come_back, give_out, pass_on, spread};
use super::graph::{Graph, WORKER};
use super::job::Job;
use super::node::{Account, Node};
use super::shared::SharedWorkers;
use super::source::Source;
use super::station::{Flow, Station};
use super::tick_context::TickContext;
use crate::activity::{Activity, ActivityKind, Lane, Record};
use crate::dataflow::Role;
use crate::id::{InstanceId, OperatorId};
use crate::migration::{Report, Step};
use crate::time::{Epoch, Timestamp};

/// Sampling interval of queues and sources, as in the engine.
const SAMPLE: Duration = Duration::from_millis(100);
/// Sampling interval of bins.
const SAMPLE_BINS: Duration = Duration::from_millis(500);
/// The same while steps are long: what is counted in between is in the next sample.
const SAMPLE_BINS_LONG: Duration = Duration::from_secs(5);
/// The noise of an instance is redrawn this often.
const NOISE: Duration = Duration::from_secs(1);

/// A simulated job.
#[derive(Clone, Debug)]
pub struct Simulation {
    nodes: Vec<Node>,
    /// Edges out of each operator.
    edges: Vec<Vec<Edge>>,
    job: Job,
    now: u64,
    /// Instances above their mark.
    pressing: usize,
    random: Random,
    disturbed: Disturbed,
    /// Steps whose time has not come, with the epoch from which they hold, in order.
    steps: Vec<(u64, Step)>,
    reports: Vec<Report>,
    slowdown: f64,
    moved_bytes: u64,
    /// Messages, completed epochs and names, where the activity graph is recorded.
    graph: Option<Graph>,
    /// Where workers are shared.
    shared: Option<SharedWorkers>,
}

/// Fate of an action.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// It is executed.
    Whole,
    /// It fails after that part of its steps.
    Fails(f64),
}

impl Simulation {
    /// The job at its start.
    ///
    /// # Panics
    /// If the tick is no whole number of milliseconds or the job lacks a model of an operator, a
    /// share of an edge, or the schedule of a source.
    pub fn new(job: &Job, seed: u64) -> Simulation {
        let topology = &job.topology;
        let whole = !job.tick.is_zero() && job.tick.as_nanos().is_multiple_of(1_000_000);
        assert!(whole, "a tick is a whole number of milliseconds, not {:?}", job.tick);
        assert_eq!((job.models.len(), job.shares.len()), (topology.operators().len(), topology.edges().len()));
        assert_eq!(job.feedback_shares.len(), topology.feedback().len());
        let mut random = Random::new(seed);
        let node = |operator: &crate::dataflow::Operator| {
            let model = &job.models[operator.id.0 as usize];
            match operator.role {
                Role::Source => {
                    let schedule = model.schedule.as_ref().expect("a source has a schedule");
                    let source = Source::new(operator.id, schedule, job.catch_up);
                    Node::Source(match model.rate.filter(|_| job.workers.is_some()) {
                        Some(rate) => source.limited(rate),
                        None => source,
                    })
                }
                Role::Sink => Node::Sink { id: operator.id, inbox: Flow::new(), arrived: 0 },
                _ => {
                    let instances = job.configuration.parallelism(operator.id);
                    let mut station = Station::new(operator, model, instances, &mut random);
                    if let Some(placement) = job.configuration.placement().filter(|_| job.workers.is_some()) {
                        station.place(placement.of(operator.id));
                    }
                    Node::Station(Box::new(station))
                }
            }
        };
        let nodes = topology.operators().iter().map(node).collect();
        let mut edges: Vec<Vec<Edge>> = vec![Vec::new(); topology.operators().len()];
        let (all, shares) = (topology.edges().iter().chain(topology.feedback()), job.shares.iter().chain(&job.feedback_shares));
        for ((number, edge), &share) in (0..).zip(all).zip(shares) {
            let (to, to_sink) = (edge.to.0 as usize, topology.operator(edge.to).role == Role::Sink);
            let out = Edge { number, to, to_sink, share, carry: 0.0, under_way: Default::default() };
            edges[edge.from.0 as usize].push(out);
        }
        Simulation {
            nodes,
            edges,
            job: job.clone(),
            now: 0,
            pressing: 0,
            random,
            disturbed: Disturbed::new(job.disturbance, seed),
            steps: Vec::new(),
            reports: Vec::new(),
            slowdown: 1.0,
            moved_bytes: 0,
            graph: None,
            shared: job.workers.as_ref().map(SharedWorkers::new),
        }
    }

    /// Also records what the activity graph needs: messages, completed epochs, names. The
    /// simulation itself is unaffected.
    pub fn recording_graph(mut self) -> Simulation {
        self.graph = Some(Graph::new(&self.job.topology));
        self
    }

    /// Virtual time. No record from before it will follow, except for those that are late on
    /// purpose.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.now)
    }

    /// The time up to which everything that was recorded has been reported: now, unless workers are
    /// late.
    pub fn reported_until(&self) -> Timestamp {
        Timestamp(self.shared.as_ref().map_or(self.now, |shared| shared.reported_until(self.now)))
    }

    /// Advances by one tick and appends what is recorded to `records`; returns whether the job's
    /// time is not yet over.
    pub fn advance(&mut self, records: &mut Vec<Record>) -> bool {
        let first = records.len();
        let (tick, is_long) = self.next_tick();
        let before = self.now;
        self.now += tick;
        let tick_s = Duration::from_nanos(tick).as_secs_f64();
        for node in &mut self.nodes {
            if let Node::Source(source) = node {
                source.begin(tick_s);
            }
        }
        let (now, epoch) = (Timestamp(self.now), self.now / 1_000_000);
        let until = self.now;
        let passes = |period: Duration| before / (period.as_nanos() as u64) != until / (period.as_nanos() as u64);
        if self.job.disturbance.noise > 0.0 && (passes(NOISE) || before == 0) {
            self.draw_noise();
        }
        if let Some(graph) = &mut self.graph {
            graph.describe(records);
        }
        self.take_up(epoch);
        self.deliver();
        self.work(before, epoch, records);
        let (samples, bins) = (passes(SAMPLE), passes(if is_long { SAMPLE_BINS_LONG } else { SAMPLE_BINS }));
        let goes_on = now < Timestamp::ZERO + self.job.duration;
        // Where there are long ticks, sources are sampled at the end of each, also while ticks are
        // short: an observer takes a sample that does not come when it is used to it for lost.
        let of_sources = self.job.long_tick.map_or(samples, |long| passes(long.max(SAMPLE)) || samples && !goes_on);
        if samples && is_long {
            // What a long tick emits at its end would be there all along on the fine grid, and
            // hardly anything of it at one time.
            self.sample_stations(bins, records);
        }
        self.emit(epoch, records);
        self.complete(records);
        if samples && !is_long {
            self.sample_all(of_sources, bins, records);
        } else if of_sources {
            let sources = self.nodes.iter().filter_map(|node| if let Node::Source(source) = node { Some(source) } else { None });
            records.extend(sources.map(|source| source.sample(now)));
        }
        if let Some(shared) = &mut self.shared {
            if passes(SAMPLE) {
                shared.sample(now, records);
            }
            shared.report(&self.nodes, (before, until), !goes_on, first, records);
        }
        self.disturbed.disturb(before, self.now, first, records);
        goes_on
    }

    /// The length of the next tick in nanoseconds, and whether it is a long one: that ends on the
    /// long grid, or with the run.
    fn next_tick(&self) -> (u64, bool) {
        let tick = self.job.tick.as_nanos() as u64;
        match self.job.long_tick.map(|long| long.as_nanos() as u64) {
            Some(long) if self.is_quiet() => {
                // In whole ticks, at least one.
                let left = (self.job.duration.as_nanos() as u64).saturating_sub(self.now).max(1).next_multiple_of(tick);
                ((long - self.now % long).min(left), true)
            }
            _ => (tick, false),
        }
    }

    /// Whether nothing changes: no bins move or are about to, no source is paused or late, and
    /// instances have processors of their own.
    fn is_quiet(&self) -> bool {
        let quiet = |node: &Node| match node {
            Node::Source(source) => source.keeps_up(self.now()),
            Node::Station(station) => station.motions.is_empty(),
            Node::Sink { .. } => true,
        };
        self.steps.is_empty() && self.pressing == 0 && self.shared.is_none() && self.nodes.iter().all(quiet)
    }

    /// Samples of every queue, and of every source if asked for, in the order of operators.
    fn sample_all(&mut self, of_sources: bool, bins: bool, records: &mut Vec<Record>) {
        let now = Timestamp(self.now);
        for node in &mut self.nodes {
            match node {
                Node::Source(source) if of_sources => records.push(source.sample(now)),
                Node::Station(station) => station.sample_all(now, bins, records),
                Node::Source(_) | Node::Sink { .. } => {}
            }
        }
    }

    /// Samples of every queue.
    fn sample_stations(&mut self, bins: bool, records: &mut Vec<Record>) {
        let now = Timestamp(self.now);
        for node in &mut self.nodes {
            if let Node::Station(station) = node {
                station.sample_all(now, bins, records);
            }
        }
    }

    /// Visits every instance: completes what is complete by now, and delivers what results from it.
    fn work(&mut self, before: u64, epoch: u64, records: &mut Vec<Record>) {
        let Simulation { nodes, edges, job, pressing, random, now, graph, shared, .. } = self;
        if let Some(shared) = shared {
            let paused = *pressing > 0;
            for node in nodes.iter_mut() {
                if let Node::Source(source) = node {
                    source.want(Timestamp(before), paused);
                }
            }
            let mut around = TickContext { now: *now, pressing, random, records, graph: graph.as_mut() };
            shared.serve(nodes, before, epoch, &mut around);
        }
        for index in 0..nodes.len() {
            let (here, after) = nodes[index..].split_first_mut().expect("the operator itself");
            if let Node::Station(station) = here {
                let mut around = TickContext { now: *now, pressing, random, records, graph: graph.as_mut() };
                if !station.is_shared() {
                    station.serve(&mut around);
                }
                station.take_in(&mut around);
                give_out(station, &mut edges[index], index, after, job.delay, &mut around);
            }
        }
    }

    /// Sources emit, given the current length of every queue; their records are delivered, bins
    /// move, and sinks take what arrived.
    fn emit(&mut self, epoch: u64, records: &mut Vec<Record>) {
        let Simulation { nodes, edges, job, pressing, random, reports, now, graph, .. } = self;
        let moving = nodes.iter().any(|node| matches!(node, Node::Station(station) if !station.motions.is_empty()));
        // While bins move: by operator, the oldest epoch of which something may still arrive.
        let mut reached = if moving { vec![u64::MAX; nodes.len()] } else { Vec::new() };
        if moving {
            come_back(&mut reached, job, nodes, edges);
        }
        let paused = *pressing > 0;
        for index in 0..nodes.len() {
            let (here, after) = nodes[index..].split_first_mut().expect("the operator itself");
            let mut around = TickContext { now: *now, pressing, random, records, graph: graph.as_mut() };
            match here {
                Node::Source(source) => {
                    let count = source.emit(epoch, Timestamp(*now), paused, around.records);
                    if count > 0 {
                        if let Some(graph) = &mut around.graph {
                            graph.opened(epoch);
                            graph.gave(Lane::Worker(WORKER), epoch, count);
                        }
                        pass_on(&mut edges[index], &[(epoch, count)], index, after, job.delay, &mut around);
                    }
                    if moving {
                        spread(&mut reached, &edges[index], epoch + 1);
                    }
                }
                Node::Station(station) => {
                    station.take_in(&mut around);
                    if moving && !station.motions.is_empty() {
                        station.settle(reached[index], &job.moves, &mut around, reports);
                    }
                    give_out(station, &mut edges[index], index, after, job.delay, &mut around);
                    if moving {
                        // What has just been passed on may be under way.
                        let oldest = station.oldest().min(reached[index]);
                        spread(&mut reached, &edges[index], oldest);
                    }
                }
                Node::Sink { id, inbox, arrived } => {
                    inbox.sort_unstable();
                    for (epoch, count) in inbox.drain(..) {
                        *arrived += count;
                        around.reached(*id, Lane::Worker(WORKER), epoch, count);
                        around.records.push(Record::Activity(Activity {
                            lane: Lane::Worker(WORKER),
                            kind: ActivityKind::Sink,
                            instance: InstanceId::new(*id, 0),
                            epoch: Epoch(epoch),
                            start: Timestamp(*now),
                            end: Timestamp(*now),
                            records_in: count,
                            records_out: 0,
                        }));
                    }
                    if let Some(graph) = &mut around.graph {
                        graph.all_taken(*id);
                    }
                }
            }
        }
    }

    /// Records which epochs have left the job, if the activity is recorded.
    fn complete(&mut self, records: &mut Vec<Record>) {
        let Some(graph) = &mut self.graph else { return };
        let stations = || self.nodes.iter().filter_map(|node| if let Node::Station(station) = node { Some(station) } else { None });
        let under_way = self.edges.iter().flatten().flat_map(|edge| &edge.under_way).map(|(_, epoch, _)| *epoch);
        let oldest = stations().map(|station| station.oldest()).chain(under_way).min().unwrap_or(u64::MAX);
        graph.reached_epoch(oldest, self.now, records);
        match &self.shared {
            // Workers have recorded all that they did until now.
            Some(shared) => shared.up_to(Timestamp(self.now), records),
            None => {
                let up_to = stations().map(|station| station.next_begins()).min().unwrap_or(u64::MAX).min(self.now);
                records.push(Record::UpTo { worker: WORKER, at: Timestamp(up_to) });
            }
        }
    }

    /// Delivers what has been in transit long enough.
    fn deliver(&mut self) {
        if self.job.delay.is_zero() && self.job.feedback_shares.is_empty() {
            return;
        }
        for edge in self.edges.iter_mut().flatten() {
            while edge.under_way.front().is_some_and(|(arrives, ..)| *arrives <= self.now) {
                let (_, epoch, count) = edge.under_way.pop_front().expect("just seen");
                self.nodes[edge.to].arrive(epoch, count);
            }
        }
    }

    /// Begins steps whose logical time is reached with `epoch`.
    fn take_up(&mut self, epoch: u64) {
        while self.steps.first().is_some_and(|(at, _)| *at <= epoch) {
            let (at, step) = self.steps.remove(0);
            let from = (self.now + self.job.moves.start_ns()) as f64;
            for (operator, places) in step.placement {
                let Node::Station(station) = &mut self.nodes[operator.0 as usize] else { unreachable!("{operator} is not placed") };
                station.place(&places);
            }
            for (operator, bin) in step.splits {
                let Node::Station(station) = &mut self.nodes[operator.0 as usize] else { unreachable!("{operator} has no bins") };
                self.reports.push(station.split(bin));
            }
            for (operator, parallelism) in step.parallelism {
                let Node::Station(station) = &mut self.nodes[operator.0 as usize] else { unreachable!("{operator} is not rescaled") };
                station.reroute(at, parallelism, step.weights.get(&operator), from);
                self.reports.push(Report::Rerouted(operator));
            }
            let mut operators: Vec<OperatorId> = step.moves.iter().map(|one| one.operator).collect();
            operators.sort_unstable();
            operators.dedup();
            for operator in operators {
                let Node::Station(station) = &mut self.nodes[operator.0 as usize] else { unreachable!("{operator} has no bins") };
                let moves: Vec<_> = step.moves.iter().filter(|one| one.operator == operator).collect();
                self.moved_bytes += station.bytes_of(&moves);
                station.begin(at, &moves, self.slowdown, from);
            }
        }
    }

    fn draw_noise(&mut self) {
        let (random, noise) = (&mut self.random, self.job.disturbance.noise);
        for node in &mut self.nodes {
            if let Node::Station(station) = node {
                station.instances.iter_mut().for_each(|instance| instance.noise = (noise * random.normal()).exp());
            }
        }
    }

    /// Whether state moves as a pointer, whatever its size.
    pub fn moves_pointers(&self) -> bool {
        self.job.moves.bytes_per_s.is_none()
    }

    /// Bytes of state of all bins that have changed their owners, or are about to.
    pub fn moved_bytes(&self) -> u64 {
        self.moved_bytes
    }

    /// Called when an action begins; returns its fate.
    pub fn action(&mut self) -> Fate {
        let disturbance = self.job.disturbance;
        self.slowdown = if self.random.uniform() < disturbance.slow_actions { disturbance.slowdown } else { 1.0 };
        if self.random.uniform() < disturbance.failed_actions { Fate::Fails(self.random.uniform()) } else { Fate::Whole }
    }

    /// Executes a step at a logical time ahead of now; [`reports`](Simulation::reports)
    /// acknowledges it.
    ///
    /// # Panics
    /// When the step does not fit the job.
    pub fn apply(&mut self, step: Step) {
        let tick = self.job.tick.as_nanos() as u64;
        let at = (self.now + self.job.moves.horizon_ns()).next_multiple_of(tick).max(self.now + tick);
        self.steps.push((at / 1_000_000, step));
    }

    /// Acknowledgements since the last call.
    pub fn reports(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.reports)
    }

    /// Records dropped on purpose.
    pub fn dropped(&self) -> u64 {
        self.disturbed.dropped()
    }

    /// What each operator did since the start, by number.
    pub fn accounts(&self) -> Vec<Account> {
        self.nodes.iter().map(Node::account).collect()
    }
}
