//! How good predictions of latency are: random jobs in virtual time, one change each, predicted against measured once settled.
//!
//! `cargo bench --bench what_if` prints a row a change as CSV and, at the end, a summary: the median and the 90th percentile of the
//! relative error of the 99th percentile of latency, the same for the formula `s rho / (1 - rho)` that was used before, and how often
//! the interval held what was measured. `-- SEED JOBS` picks other jobs than the 300 of seed 1.

use std::time::Duration;

use thalweg::dataflow::{Configuration, Operator, Role, Topology};
use thalweg::experiment::scenario::Scenario;
use thalweg::model::{CapacityModel, FlowModel, Speeds, Station, WhatIf};
use thalweg::observation::{Observation, Observer};
use thalweg::sim::{Job, Simulation};
use thalweg::stats::{LatencyHistogram, median};
use thalweg::time::Timestamp;

/// Length of a window.
const WINDOW: Duration = Duration::from_secs(2);
/// Windows before the prediction.
const WINDOWS: u32 = 15;
/// Windows in which the changed job settles, and those in which it is measured.
const SETTLE: u32 = 15;
const MEASURE: u32 = 60;

fn main() {
    let given: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let (seed, jobs) = (given.first().copied().unwrap_or(1), given.get(1).copied().unwrap_or(300));
    println!("job,operators,load,changed,before_ms_p99,measured_ms_p99,predicted_ms_p99,formula_ms_p99,error,records,changed_to");
    let mut rows = Vec::new();
    let mut number = 0;
    while (rows.len() as u64) < jobs && number < 4 * jobs {
        number += 1;
        if let Some(row) = one(seed * 1_000_000 + number) {
            println!("{row}");
            rows.push(row);
        }
    }
    summary("all", &rows);
    summary("more instances", &rows.iter().filter(|row| row.more).cloned().collect::<Vec<_>>());
    summary("fewer instances", &rows.iter().filter(|row| !row.more).cloned().collect::<Vec<_>>());
}

/// One change.
#[derive(Clone)]
struct Row {
    job: u64,
    operators: usize,
    load: f64,
    more: bool,
    changed: String,
    before: f64,
    measured: f64,
    predicted: f64,
    formula: f64,
    error: f64,
    records: u64,
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Row { job, operators, load, more, changed, before, measured, predicted, formula, error, records } = self;
        let more = if *more { "more" } else { "fewer" };
        write!(f, "{job},{operators},{load:.2},{more},{before:.1},{measured:.1},{predicted:.1},{formula:.1},{error:.3},{records},{changed}")
    }
}

fn summary(of: &str, rows: &[Row]) {
    let quantile = |values: &mut Vec<f64>, quantile: f64| {
        values.sort_by(f64::total_cmp);
        values.get((values.len() as f64 * quantile) as usize).copied().unwrap_or(f64::NAN)
    };
    let mut model: Vec<f64> = rows.iter().map(|row| (row.predicted / row.measured - 1.0).abs()).collect();
    let mut formula: Vec<f64> = rows.iter().map(|row| (row.formula / row.measured - 1.0).abs()).collect();
    let within = rows.iter().filter(|row| (row.predicted / row.measured).ln().abs() <= 1.28 * row.error).count();
    let middle = median(model.iter().copied()).unwrap_or(f64::NAN);
    let formulas = median(formula.iter().copied()).unwrap_or(f64::NAN);
    eprintln!(
        "{of}: {} changes, relative error of p99: median {:.1} %, 90th percentile {:.1} % (formula {:.1} %, {:.1} %), interval holds {:.1} %",
        rows.len(),
        middle * 100.0,
        quantile(&mut model, 0.9) * 100.0,
        formulas * 100.0,
        quantile(&mut formula, 0.9) * 100.0,
        within as f64 / rows.len().max(1) as f64 * 100.0
    );
}

/// A scenario drawn from a seed: a chain or a diamond, each operator at some utilisation, with some service times.
fn scenario(random: &mut fastrand::Rng) -> (Scenario, f64) {
    let rate = 10f64.powf(1.7 + random.f64() * 2.0);
    let middle = random.usize(1..5);
    let diamond = middle >= 3 && random.bool();
    let delay = if random.bool() { 0.0 } else { (random.f64() * 20.0).round() };
    let mut text = format!(
        "title = \"random\"\nseconds = 600\ndelay_ms = {delay:.1}\n[[operators]]\nname = \"source\"\nrole = \"source\"\nrate = {rate:.1}\n"
    );
    let mut busiest: f64 = 0.0;
    for index in 0..middle {
        let share = if diamond && index == 1 {
            0.3
        } else if diamond && index == 2 {
            0.7
        } else {
            1.0
        };
        let inputs = match (index, diamond) {
            (0, _) => "\"source\"".to_owned(),
            (1, true) => "{ from = \"o0\", share = 0.3 }".to_owned(),
            (2, true) => "{ from = \"o0\", share = 0.7 }".to_owned(),
            (3, true) => "\"o1\", \"o2\"".to_owned(),
            (index, _) => format!("\"o{}\"", index - 1),
        };
        let instances = random.u32(2..13);
        let utilisation = 0.4 + 0.53 * random.f64();
        busiest = busiest.max(utilisation);
        let limit = rate * share / f64::from(instances) / utilisation;
        let service = match random.u32(..4) {
            0 => "{ distribution = \"deterministic\" }".to_owned(),
            1 | 2 => "{ distribution = \"exponential\" }".to_owned(),
            _ => format!("{{ distribution = \"log-normal\", variation = {:.2} }}", 0.3 + random.f64()),
        };
        let role = if random.bool() { "stateless" } else { "keyed" };
        text += &format!(
            "[[operators]]\nname = \"o{index}\"\nrole = \"{role}\"\ninputs = [{inputs}]\nlimit = {limit:.4}\nservice = {service}\ninstances = {instances}\nqueue_high_s = 1000\nqueue_low_s = 500\n"
        );
    }
    let last = if diamond && middle == 3 { "\"o1\", \"o2\"".to_owned() } else { format!("\"o{}\"", middle - 1) };
    text += &format!("[[operators]]\nname = \"sink\"\nrole = \"sink\"\ninputs = [{last}]\n");
    (Scenario::read(&text).unwrap_or_else(|why| panic!("{why}\n{text}")), busiest)
}

/// A running job and the windows that are seen of it.
struct Watched {
    simulation: Simulation,
    observer: Observer,
    configuration: Configuration,
    latency: LatencyHistogram,
}

impl Watched {
    fn new(job: &Job, seed: u64) -> Watched {
        let observer = Observer::new(job.topology.clone(), Timestamp::ZERO, WINDOW).with_paths();
        let simulation = Simulation::new(job, seed).recording_graph();
        Watched { simulation, observer, configuration: job.configuration.clone(), latency: LatencyHistogram::default() }
    }

    fn window(&mut self) -> Observation {
        let mut records = Vec::new();
        while self.simulation.now() < self.observer.window().end + Duration::from_millis(20) {
            self.simulation.advance(&mut records);
            records.drain(..).for_each(|record| self.observer.push(&record));
        }
        let (observation, latency) = self.observer.close(&self.configuration, WINDOW);
        self.latency.merge(&latency);
        observation
    }
}

/// What is known of a job, and its stations under a configuration.
struct Known {
    topology: Topology,
    flow: FlowModel,
    curves: Vec<CapacityModel>,
    demands: Vec<Option<f64>>,
}

impl Known {
    fn observe(&mut self, seen: &Observation) {
        self.flow.observe(&self.topology, seen);
        let mut offered = vec![0.0; self.topology.operators().len()];
        seen.sources.iter().for_each(|source| offered[source.operator.0 as usize] = source.offered.as_per_second());
        self.demands = self.flow.demands(&self.topology, &offered);
        for operator in self.topology.scalable() {
            if let Some(speeds) = Speeds::of(seen.operator(operator.id)) {
                let instances = seen.configuration.parallelism(operator.id);
                self.curves[operator.id.0 as usize].observe(instances, speeds.rate, speeds.error);
            }
        }
    }

    fn stations(&self, configuration: &Configuration) -> Vec<Option<Station>> {
        let station = |operator: &Operator| {
            let (index, instances) = (operator.id.0 as usize, configuration.parallelism(operator.id));
            let total = self.curves[index].total(instances).filter(|_| operator.is_scalable())?;
            let fullest = match operator.role {
                Role::Keyed { bins } => f64::from(bins.div_ceil(instances)) * f64::from(instances) / f64::from(bins),
                _ => 1.0,
            };
            Some(Station { instances, service_s: f64::from(instances) / total, demand_per_s: self.demands[index]?, fullest })
        };
        self.topology.operators().iter().map(station).collect()
    }
}

/// One random job and one change of it; nothing if the changed job would not keep up.
fn one(job_number: u64) -> Option<Row> {
    let mut random = fastrand::Rng::with_seed(job_number);
    let (scenario, _) = scenario(&mut random);
    let job = scenario.job();
    let topology = job.topology.clone();
    let before = job.configuration.clone();
    let scalable: Vec<&Operator> = topology.scalable().collect();
    let changed = scalable[random.usize(..scalable.len())].id;
    let has = before.parallelism(changed);
    let more = random.u32(..3) > 0;
    let wanted = if more { has + random.u32(1..=has.max(2)) } else { has.saturating_sub(random.u32(1..=2)).max(1) };
    if wanted == has {
        return None;
    }
    let after = before.clone().with(changed, wanted);
    let mut known = Known {
        flow: FlowModel::new(&topology),
        curves: vec![CapacityModel::default(); topology.operators().len()],
        demands: vec![None; topology.operators().len()],
        topology: topology.clone(),
    };
    let (mut what_if, mut formula) = (WhatIf::new(&topology), Formula::default());
    let mut watched = Watched::new(&job, job_number);
    for _ in 0..WINDOWS {
        let seen = watched.window();
        known.observe(&seen);
        what_if.observe(seen.paths.as_ref()?);
        let stations = known.stations(&before);
        what_if.calibrate(&topology, &stations, &seen.latency);
        formula.observe(&topology, &stations, seen.latency.ns_p99? as f64 / 1e9);
    }
    let before_ms = watched.latency.quantile(0.99)?.as_secs_f64() * 1e3;
    let stations = known.stations(&after);
    let load = stations.iter().flatten().map(Station::utilisation).fold(0.0, f64::max);
    if load > 0.97 {
        return None;
    }
    let prediction = what_if.predict(&topology, &stations)?;
    let mut watched = Watched::new(&Job { configuration: after, ..job }, job_number + 500_000);
    (0..SETTLE).for_each(|_| drop(watched.window()));
    watched.latency = LatencyHistogram::default();
    (0..MEASURE).for_each(|_| drop(watched.window()));
    Some(Row {
        job: job_number,
        operators: scalable.len(),
        load,
        more,
        changed: format!("{} {has} -> {wanted}", topology.operator(changed).name),
        before: before_ms,
        measured: watched.latency.quantile(0.99)?.as_secs_f64() * 1e3,
        predicted: prediction.quantile_s(0.99) * 1e3,
        formula: formula.p99_s(&topology, &stations)? * 1e3,
        error: prediction.error,
        records: watched.latency.records(),
    })
}

/// The formula that predicted latency before: on the longest way, each operator adds its service and `s rho / (1 - rho)`, with one
/// factor for the whole job that is learned from its latency.
#[derive(Default)]
struct Formula {
    seen: Option<(f64, f64)>,
}

impl Formula {
    /// Work and queues on the longest way, in seconds.
    fn longest(topology: &Topology, stations: &[Option<Station>]) -> (f64, f64) {
        let mut until: Vec<(f64, f64)> = Vec::new();
        for operator in topology.operators() {
            let inputs = topology.inputs(operator.id).map(|input| until[input.0 as usize]);
            let (work, queue) = inputs.reduce(|a, b| if b.0 + b.1 > a.0 + a.1 { b } else { a }).unwrap_or_default();
            let own = stations[operator.id.0 as usize].map_or((0.0, 0.0), |station| {
                let busy = station.utilisation().clamp(0.0, 0.995);
                (station.service_s, station.service_s * busy / (1.0 - busy))
            });
            until.push((work + own.0, queue + own.1));
        }
        until.into_iter().reduce(|a, b| if b.0 + b.1 > a.0 + a.1 { b } else { a }).unwrap_or_default()
    }

    fn observe(&mut self, topology: &Topology, stations: &[Option<Station>], p99_s: f64) {
        let (work, queue) = Formula::longest(topology, stations);
        let waits = p99_s - work;
        if waits <= 0.0 || queue <= 0.0 {
            return;
        }
        let factor = (waits / queue).clamp(0.05, 10.0);
        let more = (waits - factor * queue).max(0.0);
        self.seen =
            Some(self.seen.map_or((factor, more), |(old, was)| ((old.ln() * 0.7 + factor.ln() * 0.3).exp(), was * 0.7 + more * 0.3)));
    }

    fn p99_s(&self, topology: &Topology, stations: &[Option<Station>]) -> Option<f64> {
        let (work, queue) = Formula::longest(topology, stations);
        self.seen.map(|(factor, more)| work + more + factor * queue)
    }
}
