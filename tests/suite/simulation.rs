//! The simulated host under the real controller: what must hold for any job, whatever the seed.

use std::time::Duration;

use crate::random_job::{Kind, random_job};
use thalweg::activity::{ActivityKind, Record};
use thalweg::controller::{ControllerConfig, Event, EventKind};
use thalweg::dataflow::{Configuration, Plan, QueueMarks, Role, Topology};
use thalweg::experiment::definition::closed_loop;
use thalweg::experiment::policies::policy;
use thalweg::experiment::rows::TimelineRow;
use thalweg::experiment::run::RunResult;
use thalweg::experiment::scenario::Scenario;
use thalweg::experiment::simulated::{SimulatedSpec, simulate};
use thalweg::id::OperatorId;
use thalweg::migration::Strategy;
use thalweg::observation::Observation;
use thalweg::policy::{Decision, Ds2, Ds2Config, Policy, Reason};
use thalweg::rate::Rate;
use thalweg::sim::{Job, OperatorModel, ServiceTimes, Simulation};
use thalweg::time::Timestamp;
use thalweg::workload::RateSchedule;

fn run(job: &Job, seed: u64, policy: Box<dyn Policy>, interval_s: u64, warm_up_windows: u32) -> RunResult {
    let policy_interval = Duration::from_secs(interval_s);
    let controller = ControllerConfig { policy_interval, warm_up_windows, activation_windows: 1, strategy: Strategy::AllAtOnce };
    let spec = SimulatedSpec { job: job.clone(), seed, controller, policy, row_window: Duration::from_millis(500) };
    simulate(spec, None, |_| {}).expect("nothing is written")
}

/// Rows and decisions as they would be written.
fn bytes(result: &RunResult) -> String {
    serde_json::to_string(&(&result.timeline, &result.latency, &result.events)).unwrap()
}

/// Equations alone, as the theorem has them.
fn theorem() -> Ds2Config {
    Ds2Config { target_rate_ratio: f64::INFINITY, ignored_decrease: 0, ..Ds2Config::default() }
}

/// DS2 on one random graph with linear capacity: actions, what it settles at, and what is needed.
fn settles(seed: u64) -> (usize, Vec<u32>, Vec<u32>, Vec<Event>) {
    let mut job = random_job(seed, Kind::Linear);
    // Sources may be paused for seconds at a time when an operator has a twentieth of what it needs, far from them; in a window every
    // operator has to be seen at work. In the one after an action, instances that are no more work off what they have left: a few
    // records, of which the part that is given out is rounded.
    job.duration = Duration::from_secs(23);
    let result = run(&job, seed, Box::new(Ds2::new(job.topology.clone(), theorem())), 5, 1);
    let needed = job.needed(Timestamp::ZERO);
    let last = needed.iter().map(|(operator, _)| result.last_configuration().parallelism(*operator)).collect();
    (result.actions(), last, needed.into_iter().map(|(_, instances)| instances).collect(), result.events)
}

/// DS2's theorem tests the whole host: what is emitted, counted, measured, moved and measured again is exact.
// papers/ds2-osdi18.md#properties
#[test]
fn on_linear_graphs_ds2_settles_at_the_exact_minimum_in_one_action() {
    let graphs = std::env::var("THALWEG_GRAPHS").map_or(200, |graphs| graphs.parse().expect("a number of graphs"));
    let mut failed = Vec::new();
    let first = std::env::var("THALWEG_FIRST_GRAPH").map_or(0, |first| first.parse().expect("a number"));
    for seed in first..first + graphs {
        let (actions, last, needed, events) = settles(seed);
        if actions > 1 || last != needed {
            failed.push(format!("seed {seed}: {actions} actions, {last:?} instead of {needed:?}: {events:?}"));
        }
    }
    assert!(failed.is_empty(), "{} of {graphs}: {:#?}", failed.len(), &failed[..failed.len().min(20)]);
}

#[test]
fn a_seed_gives_the_same_rows_and_decisions_and_another_seed_others() {
    let mut differ = 0;
    for seed in 0..500 {
        let mut job = random_job(seed, Kind::Any);
        job.duration = Duration::from_secs(6);
        let name = ["ds2", "dhalion", "heron", "hold"][seed as usize % 4];
        let go = |seed| bytes(&run(&job, seed, policy(name, &job.topology, 300.0).unwrap(), 1, 0));
        let first = go(seed);
        assert_eq!(first, go(seed), "seed {seed}");
        differ += u32::from(first != go(seed + 1));
    }
    // Some jobs have nothing random in them.
    assert!(differ > 250, "{differ}");
}

#[test]
fn every_record_is_worked_off_once_or_waits() {
    for seed in 0..120 {
        let mut job = random_job(seed, Kind::Any);
        job.duration = Duration::from_secs(10);
        let strategy = Strategy::all()[seed as usize % 6];
        let controller = ControllerConfig { policy_interval: Duration::from_secs(1), warm_up_windows: 0, activation_windows: 1, strategy };
        let policy = policy("ds2", &job.topology, 60.0).unwrap();
        let spec = SimulatedSpec { job: job.clone(), seed, controller, policy, row_window: Duration::from_millis(500) };
        let verdict = simulate(spec, None, |_| {}).unwrap().verdict;
        assert_eq!((verdict.lost, verdict.duplicated), (0, 0), "seed {seed}");
    }
}

#[test]
fn what_an_operator_gives_out_arrives_where_it_goes_and_nowhere_else() {
    for seed in 0..100 {
        let mut job = random_job(seed, Kind::Linear);
        job.duration = Duration::from_secs(5);
        let mut simulation = Simulation::new(&job, seed);
        let mut records = Vec::new();
        while simulation.advance(&mut records) {
            records.clear();
        }
        let accounts = simulation.accounts();
        for operator in job.topology.operators().iter().filter(|operator| operator.role != Role::Source) {
            let arrived: u64 = job.topology.inputs(operator.id).map(|input| accounts[input.0 as usize].produced).sum();
            assert_eq!(accounts[operator.id.0 as usize].arrived, arrived, "seed {seed}, {}", operator.name);
        }
        for (model, account) in job.models.iter().zip(&accounts).filter(|(model, _)| model.schedule.is_none()) {
            let exact = account.processed as f64 * model.selectivity;
            // Each instance may owe part of a record.
            assert!(account.produced == 0 || (exact - account.produced as f64).abs() <= 128.0, "seed {seed}");
        }
    }
}

/// What each operator works off is what goes round as often as it does, and moving bins of an operator on the cycle lose nothing.
#[test]
fn records_go_round_a_cycle_until_they_leave() {
    let suite = closed_loop("loop");
    let scenario = suite.scenario("cycle").unwrap();
    let mut job = Scenario { seconds: 60.0, ..scenario.clone() }.job();
    let demands = job.demands(Timestamp::ZERO);
    assert_eq!(demands.iter().map(|demand| demand.round()).collect::<Vec<_>>(), [5820.0, 9700.0, 9700.0, 5820.0]);
    job.configuration = Configuration::ones(&job.topology).with(OperatorId(1), 10).with(OperatorId(2), 5);
    let mut simulation = Simulation::new(&job, 1);
    while simulation.advance(&mut Vec::new()) {}
    for (account, demand) in simulation.accounts().iter().zip(demands) {
        let processed = account.processed as f64 / 60.0;
        assert!((processed / demand - 1.0).abs() < 0.01, "{account:?}: {processed} instead of {demand} a second");
    }
    let result = run(&job, 1, policy("threshold", &job.topology, 30.0).unwrap(), 2, 0);
    assert!(result.actions() > 0);
    assert_eq!((result.verdict.lost, result.verdict.duplicated), (0, 0));
}

#[test]
fn noise_is_on_what_is_measured_and_not_on_what_happens() {
    let seconds = |noise: f64| {
        let mut job = Scenario::read(Scenario::text("heron-wordcount").unwrap()).unwrap().job();
        (job.disturbance.noise, job.duration) = (noise, Duration::from_secs(20));
        let mut simulation = Simulation::new(&job, 3);
        // Useful time of Count in each second.
        let (mut records, mut useful) = (Vec::new(), vec![0.0; 21]);
        while simulation.advance(&mut records) {
            for record in records.drain(..) {
                if let Record::Activity(activity) = record
                    && activity.instance.operator == OperatorId(2)
                {
                    useful[(activity.end.as_secs_f64()) as usize] += activity.end.since(activity.start).as_secs_f64();
                }
            }
        }
        (useful, simulation.accounts())
    };
    let ((truth, happened), (measured, as_well)) = (seconds(0.0), seconds(0.1));
    assert_eq!(happened, as_well);
    // The first second is not full, the last one is only an instant.
    let errors: Vec<f64> = (1..20).map(|second| (measured[second] / truth[second]).ln()).collect();
    let deviation = (errors.iter().map(|error| error * error).sum::<f64>() / errors.len() as f64).sqrt();
    assert!((0.05..0.2).contains(&deviation), "{deviation}: {errors:?}");
}

#[test]
fn what_is_not_counted_is_given_out_all_the_same() {
    let suite = closed_loop("loop");
    let scenario = suite.scenario("miscounted").unwrap();
    let job = Scenario { seconds: 20.0, ..scenario.clone() }.job();
    let split = job.topology.operators().iter().find(|operator| operator.name == "split").unwrap().id;
    let (mut simulation, mut records, mut counted) = (Simulation::new(&job, 1), Vec::new(), 0);
    while simulation.advance(&mut records) {
        for record in records.drain(..) {
            if let Record::Activity(activity) = record
                && activity.instance.operator == split
            {
                counted += activity.records_out;
            }
        }
    }
    let account = &simulation.accounts()[split.0 as usize];
    assert!((account.produced as f64 / account.processed as f64 - 2.0).abs() < 0.01, "{account:?}");
    assert!((counted as f64 / account.produced as f64 - 0.5).abs() < 0.01, "{counted} of {account:?}");
}

/// A source and one operator of one instance, used to the part `load`.
fn queue(load: f64, service: ServiceTimes) -> Job {
    let operators = [("source", Role::Source, 1), ("server", Role::Stateless, 1), ("sink", Role::Sink, 1)];
    let topology = Topology::new(&operators, &[(0, 1), (1, 2)]).unwrap();
    let schedule = Some(RateSchedule::constant(Rate::per_second(load * 200.0)));
    let server = OperatorModel { rate: Some(Rate::per_second(200.0)), service, ..OperatorModel::default() };
    Job {
        configuration: Configuration::ones(&topology),
        topology,
        models: vec![OperatorModel { schedule, ..OperatorModel::default() }, server, OperatorModel::default()],
        shares: vec![1.0, 1.0],
        feedback_shares: Vec::new(),
        long_tick: None,
        tick: Duration::from_millis(1),
        catch_up: 1.1,
        duration: Duration::from_secs(600),
        delay: Duration::ZERO,
        moves: Default::default(),
        disturbance: Default::default(),
        workers: None,
    }
}

#[test]
fn a_long_step_ends_with_the_run() {
    for (duration_ms, end_ms) in [(2300, 2300), (2000, 2000), (200, 200)] {
        let (tick, long_tick) = (Duration::from_millis(100), Some(Duration::from_secs(1)));
        let job = Job { tick, long_tick, duration: Duration::from_millis(duration_ms), ..queue(0.5, ServiceTimes::Deterministic) };
        let (mut simulation, mut records) = (Simulation::new(&job, 1), Vec::new());
        while simulation.advance(&mut records) {}
        assert_eq!(simulation.now(), Timestamp(end_ms * 1_000_000));
    }
}

#[test]
fn little_s_law_holds() {
    for (load, service) in [(0.5, ServiceTimes::Exponential), (0.9, ServiceTimes::Exponential), (0.8, ServiceTimes::Deterministic)] {
        let job = queue(load, service);
        let mut simulation = Simulation::new(&job, 5);
        let (mut records, mut waiting, mut ticks, mut latency, mut arrived, mut last) = (Vec::new(), 0u64, 0u64, 0.0, 0u64, 0);
        let mut due = std::collections::BTreeMap::new();
        loop {
            let goes_on = simulation.advance(&mut records);
            for record in records.drain(..) {
                match record {
                    Record::EpochOpened { epoch, at, .. } => {
                        due.insert(epoch, at);
                    }
                    Record::Activity(activity) if activity.kind == ActivityKind::Sink => {
                        latency += activity.end.since(due[&activity.epoch]).as_secs_f64() * activity.records_in as f64;
                        arrived += activity.records_in;
                        assert!(activity.epoch.0 >= last, "first in, first out");
                        last = activity.epoch.0;
                    }
                    _ => {}
                }
            }
            waiting += simulation.accounts()[1].waiting;
            ticks += 1;
            if !goes_on {
                break;
            }
        }
        // L = lambda W: the mean number of records there is the rate of arrivals times the mean time that each is there.
        let (length, time) = (waiting as f64 / ticks as f64, latency / arrived as f64);
        let little = arrived as f64 / 600.0 * time;
        assert!((length / little - 1.0).abs() < 0.02, "load {load}: {length} records, {little} by the law");
    }
}

#[test]
fn scenarios_of_the_program_keep_their_promises() {
    let read = |name: &str| Scenario::read(Scenario::text(name).unwrap()).unwrap();
    let go = |name: &str, with: &str| {
        let scenario = read(name);
        let job = scenario.job();
        let policy = policy(with, &job.topology, scenario.control.time_factor).unwrap();
        let spec = SimulatedSpec { job, seed: 0, controller: scenario.controller(), policy, row_window: Duration::from_millis(500) };
        simulate(spec, None, |_| {}).unwrap()
    };
    let last = |result: &RunResult, operator: u32| result.last_configuration().parallelism(OperatorId(operator));
    // As on the engine and in the paper: one action to the minimum.
    let ds2 = go("heron-wordcount", "ds2");
    assert_eq!((ds2.actions(), last(&ds2, 1), last(&ds2, 2)), (1, 10, 20));
    // As on the engine: four actions to too many, of which a fifth begins to take away.
    let dhalion = go("heron-wordcount", "dhalion");
    assert_eq!((dhalion.actions(), last(&dhalion, 1), last(&dhalion, 2)), (5, 22, 25));
    // Sub-linear: it approaches what is needed from below, in more than one action.
    let sublinear = go("sublinear", "ds2");
    let rescales = sublinear.events.iter().filter(|event| matches!(event.kind, EventKind::Rescaling { .. })).count();
    assert!(rescales > 3, "{rescales}");
    // A failing action is told of, and what holds afterwards is what was carried out.
    let mut job = read("heron-wordcount").job();
    job.disturbance.failed_actions = 1.0;
    job.duration = Duration::from_secs(10);
    let failing = run(&job, 1, policy("ds2", &job.topology, 30.0).unwrap(), 2, 0);
    assert!(failing.events.iter().any(|event| matches!(event.kind, EventKind::Interrupted { .. })));
    assert_eq!(failing.actions(), 0);
}

/// Records per second that the second of three operators does, and the parts of its instances' time that were work and waiting.
fn with_external_limit(instances: u32, limit: f64) -> (f64, f64, f64) {
    const SECONDS: u64 = 20;
    let mut job = queue(10.0, ServiceTimes::Deterministic);
    job.topology =
        Topology::new(&[("source", Role::Source, 1), ("server", Role::Stateless, 64), ("sink", Role::Sink, 1)], &[(0, 1), (1, 2)]).unwrap();
    job.configuration = Configuration::ones(&job.topology).with(OperatorId(1), instances);
    job.models[1].external_limit = Some(Rate::per_second(limit));
    job.models[1].marks = QueueMarks { high_records: 200, low_records: 190 };
    job.duration = Duration::from_secs(SECONDS);
    let mut simulation = Simulation::new(&job, 1);
    let (mut records, mut work, mut wait) = (Vec::new(), 0.0, 0.0);
    while simulation.advance(&mut records) {
        for record in records.drain(..) {
            let Record::Activity(activity) = record else { continue };
            let seconds = activity.end.since(activity.start).as_secs_f64();
            match activity.kind {
                ActivityKind::Processing if activity.instance.operator == OperatorId(1) => work += seconds,
                ActivityKind::ExternalWait => wait += seconds,
                _ => {}
            }
        }
    }
    let all = SECONDS as f64 * f64::from(instances);
    (simulation.accounts()[1].processed as f64 / SECONDS as f64, work / all, wait / all)
}

#[test]
fn an_external_limit_is_what_all_instances_do_together_however_many_they_are() {
    // One instance does 200 records a second.
    for (instances, limit) in [(1, 100.0), (3, 100.0), (5, 500.0), (10, 500.0), (40, 500.0)] {
        let (rate, work, wait) = with_external_limit(instances, limit);
        assert!((rate / limit - 1.0).abs() < 0.01, "{instances} instances: {rate} of {limit}");
        assert!((work - rate / 200.0 / f64::from(instances)).abs() < 0.01, "{instances} instances work for {work}");
        assert!((work + wait - 1.0).abs() < 0.02, "{instances} instances work for {work} and wait for {wait}");
    }
    // Where their own work is the narrower bound nobody waits.
    let (rate, work, wait) = with_external_limit(2, 500.0);
    assert!((rate / 400.0 - 1.0).abs() < 0.01 && work > 0.99 && wait == 0.0, "{rate}, {work}, {wait}");
}

/// A policy that asks for one plan, at the first decision from a time on.
struct Once(Timestamp, Option<Plan>);

impl Policy for Once {
    fn name(&self) -> &'static str {
        "once"
    }

    fn decide(&mut self, now: Timestamp, _: &Observation) -> Decision {
        match self.1.take_if(|_| now >= self.0) {
            Some(plan) => Decision::Rescale(plan, Reason::new("once")),
            None => Decision::Hold(Reason::new("once")),
        }
    }
}

/// Emitted over due records between two times of a scenario under one plan, and bytes of state that it moved.
fn under_one_plan(name: &str, plan: Plan, at_s: f64, seconds: std::ops::Range<f64>) -> (f64, u64) {
    let scenario = Scenario::read(Scenario::text(name).unwrap()).unwrap();
    let policy = Box::new(Once(Timestamp::from_secs_f64(at_s), Some(plan)));
    let result = run(&scenario.job(), 0, policy, 2, 0);
    let rows = result.timeline.iter().filter(|row| seconds.contains(&row.window_start_s));
    let sum = |sum: (f64, f64), row: &TimelineRow| (sum.0 + row.achieved_per_s.unwrap_or(0.0), sum.1 + row.offered_per_s.unwrap_or(0.0));
    let (achieved, offered) = rows.fold((0.0, 0.0), sum);
    let bytes = result.events.iter().find_map(|event| match event.kind {
        EventKind::Rescaling { bytes, .. } => Some(bytes),
        _ => None,
    });
    (achieved / offered, bytes.unwrap_or(0))
}

#[test]
fn bins_spread_by_load_and_speed_let_a_job_keep_up_where_it_could_not() {
    let count = OperatorId(2);
    let rebalance = || Plan { rebalances: [count].into(), ..Plan::default() };
    // Half of all records are an instance's of twenty; afterwards the backlog is worked off.
    let (before, _) = under_one_plan("hot-bins", rebalance(), 50.0, 10.0..50.0);
    let (after, bytes) = under_one_plan("hot-bins", rebalance(), 4.0, 10.0..50.0);
    assert!(before < 0.15 && after >= 1.0, "{before}, then {after}");
    // It has 65,536 keys of 64 bytes, of which less than half move.
    assert!((100_000..2_000_000).contains(&bytes), "{bytes}");
    // One of ten instances works at a third of its speed: even bins are of no use to it, in proportion to its speed they are.
    let slow = Plan { speeds: [(count, vec![1.0, 1.0, 1.0, 0.33])].into(), ..rebalance() };
    let (even, _) = under_one_plan("straggler", rebalance(), 40.0, 50.0..90.0);
    let (by_speed, _) = under_one_plan("straggler", slow, 40.0, 50.0..90.0);
    assert!(even < 0.5 && by_speed >= 1.0, "even {even}, by speed {by_speed}");
}
