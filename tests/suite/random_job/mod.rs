//! Random jobs from a seed; some have a cycle.

use std::time::Duration;

use thalweg::dataflow::{Configuration, QueueMarks, Role, Straggler, Topology};
use thalweg::rate::Rate;
use thalweg::sim::{CapacityCurve, Disturbance, Job, MoveModel, OperatorModel, Random, ServiceTimes, Skew};
use thalweg::time::Timestamp;
use thalweg::workload::{RateSchedule, Shape};

/// What may be in a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing but linear operators: what DS2's theorem is about.
    Linear,
    /// Anything that a scenario may have.
    Any,
}

/// Instances of an operator at most, as far as it is drawn.
const MOST_INSTANCES: f64 = 20.0;

/// A job of 2 to 20 operators beside its sources, from 1 to 3 sources, every operator reached, at least one sink.
pub fn random_job(seed: u64, kind: Kind) -> Job {
    let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9) ^ 0x6a6f_6273);
    let sources = 1 + random.below(3) as u32;
    let operators = 2 + random.below(19) as u32;
    let names: Vec<String> = (0..sources + operators).map(|id| format!("op{id}")).collect();
    let mut listed: Vec<(&str, Role, u32)> = Vec::new();
    let mut edges: Vec<(u32, u32)> = Vec::new();
    for id in 0..sources + operators {
        let role = match id {
            id if id < sources => Role::Source,
            id if id == sources + operators - 1 => Role::Sink,
            _ if random.below(2) == 0 => Role::Stateless,
            _ => Role::Keyed { bins: 1 << (6 + random.below(3)) },
        };
        listed.push((&names[id as usize], role, 256));
        if role == Role::Source {
            continue;
        }
        // Sources that nobody reads from yet come first; a sink is read by nobody.
        let inputs = 1 + random.below(2);
        for _ in 0..inputs {
            let unread = (0..sources).find(|source| edges.iter().all(|(from, _)| from != source));
            let from = unread.unwrap_or_else(|| random.below(u64::from(id)) as u32);
            if !edges.contains(&(from, id)) {
                edges.push((from, id));
            }
        }
    }
    edges.retain(|(from, _)| listed[*from as usize].1 != Role::Sink);
    let topology = Topology::new(&listed, &edges).expect("numbered in topological order");
    let mut models: Vec<OperatorModel> = Vec::new();
    let mut shares = vec![1.0; edges.len()];
    let duration = Duration::from_secs(12);
    for operator in topology.operators() {
        let mut model = OperatorModel { selectivity: random.log_uniform(0.2, 3.0), keys: 100_000, ..OperatorModel::default() };
        if operator.role == Role::Source {
            // Rates so high that part of a record is nothing; records are counted, so they cost nothing.
            let rate = Rate::per_second(random.log_uniform(1e8, 1e9));
            model.schedule = Some(RateSchedule::constant(rate));
            if kind == Kind::Any && random.below(2) == 0 {
                let half = Rate::per_second(rate.as_per_second() / 2.0);
                model.schedule = Some(Shape::Sine { mean: rate, amplitude: half, period_s: 5.0 }.schedule(duration).unwrap());
            }
        }
        models.push(model);
    }
    let mut job = Job {
        configuration: Configuration::ones(&topology),
        topology,
        models,
        shares: shares.clone(),
        feedback_shares: Vec::new(),
        long_tick: None,
        tick: Duration::from_millis(20),
        catch_up: 1.5,
        duration,
        delay: Duration::ZERO,
        moves: MoveModel::default(),
        disturbance: Disturbance::default(),
        workers: None,
    };
    // Limits by what is needed, a number of instances that is no whole number: whether a whole number is just enough is rounding.
    let demands = job.demands(Timestamp::ZERO);
    for operator in job.topology.scalable() {
        let mut needed = random.log_uniform(0.3, MOST_INSTANCES);
        while (needed - needed.round()).abs() < 1e-3 * needed {
            needed = random.log_uniform(0.3, MOST_INSTANCES);
        }
        let demand = demands[operator.id.0 as usize].max(1.0);
        let rate = demand / needed;
        let model = &mut job.models[operator.id.0 as usize];
        model.rate = Some(Rate::per_second(rate));
        model.marks = QueueMarks { high_records: (rate * 0.5) as u64 + 1, low_records: (rate * 0.4) as u64 + 1 };
        let instances = 1 + random.below(MOST_INSTANCES as u64) as u32;
        job.configuration = job.configuration.clone().with(operator.id, instances);
    }
    if kind == Kind::Any {
        disturb(&mut job, &mut shares, &mut random);
        job.shares = shares;
    }
    job
}

/// Lets records go back from some operator to itself or to one before it, few enough that they die out.
fn close_a_cycle(job: &mut Job, random: &mut Random) {
    let scalable: Vec<u32> = job.topology.scalable().map(|operator| operator.id.0).collect();
    let from = random.below(scalable.len() as u64) as usize;
    let to = random.below(from as u64 + 1) as usize;
    job.topology = job.topology.clone().with_feedback(&[(scalable[from], scalable[to])]).expect("it goes back");
    job.feedback_shares = vec![0.8];
    while !job.dies_out() {
        job.feedback_shares[0] /= 2.0;
    }
}

/// Adds what else may be in a job.
fn disturb(job: &mut Job, shares: &mut [f64], random: &mut Random) {
    shares.iter_mut().for_each(|share| *share = if random.below(3) == 0 { random.between(0.1, 1.0) } else { 1.0 });
    for model in &mut job.models {
        model.curve = match random.below(4) {
            0 => CapacityCurve::Power { exponent: random.between(0.5, 1.0) },
            1 => CapacityCurve::Universal { contention: 0.05, coherence: 0.001 },
            _ => CapacityCurve::Linear,
        };
        model.service = match random.below(4) {
            0 => ServiceTimes::Exponential,
            1 => ServiceTimes::LogNormal { variation: 2.0 },
            _ => ServiceTimes::Deterministic,
        };
        model.skew = match random.below(4) {
            0 => Skew::Zipf { exponent: 1.0 },
            1 => Skew::HotKey { share: random.between(0.05, 0.7) },
            _ => Skew::Uniform,
        };
        if random.below(5) == 0 {
            let until = Timestamp::from_secs_f64(random.between(3.0, 9.0));
            model.stragglers.push(Straggler { instance: 0, speed: 0.3, from: Timestamp::from_secs_f64(1.0), until });
        }
    }
    if random.below(3) == 0 {
        close_a_cycle(job, random);
    }
    if random.below(2) == 0 {
        job.delay = Duration::from_millis(1 + random.below(50));
    }
    if random.below(2) == 0 {
        let fixed_ms = random.below(300) as f64;
        job.moves = MoveModel { fixed_ms, bytes_per_s: Some(1e8), start_s: random.below(500) as f64 / 1e3, ..MoveModel::default() };
    }
    if random.below(2) == 0 {
        let disturbance = &mut job.disturbance;
        (disturbance.noise, disturbance.lost, disturbance.late, disturbance.duplicated) = (0.1, 0.05, 0.05, 0.05);
        (disturbance.failed_actions, disturbance.slow_actions) = (0.2, 0.2);
    }
}
