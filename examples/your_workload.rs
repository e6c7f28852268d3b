//! A workload of your own on the engine, under a policy: sensors report, and who reports too much is found. Then its decision log.
//!
//! A job is what its source emits, a dataflow of elastic operators between source and sink, and a check of what came out. Controller, policies,
//! migration and recording ask for no more. Run it with `cargo run --release --example your_workload`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use thalweg::controller::ControllerConfig;
use thalweg::dataflow::{Capacity, Configuration, QueueMarks, Role, Topology};
use thalweg::engine::{
    Context, DrainToSink, ElasticUnary, EngineJob, KeyBy, OpenLoop, OperatorSpec, QueueBoard, RunError, Running, Session, SourceConfig,
    Verdict, WorkerPart,
};
use thalweg::experiment::policies::policy;
use thalweg::experiment::run::{RunSpec, run};
use thalweg::id::OperatorId;
use thalweg::migration::{Assignment, Strategy};
use thalweg::rate::Rate;
use thalweg::time::{Epoch, Timestamp};
use thalweg::workload::RateSchedule;
use timely::dataflow::operators::Probe;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;

const SOURCE: OperatorId = OperatorId(0);
const WATCH: OperatorId = OperatorId(1);
const SINK: OperatorId = OperatorId(2);
const WORKERS: u32 = 2;
const SENSORS: u64 = 1000;
/// State is moved by the bin, and keys are spread over so many.
const BINS: u32 = 64;
const MOST_INSTANCES: u32 = 8;
/// Readings an instance takes in a second: to find its parallelism on two cores, the operator is a server of this rate.
const LIMIT: f64 = 4000.0;
/// Readings that are due in a second; three instances are enough.
const DUE: f64 = 11_000.0;

/// Which sensor makes a reading.
fn sensor(reading: u64) -> u64 {
    (reading.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % SENSORS
}

/// What a worker saw of each sensor: readings that were emitted, and that were reported.
type Seen = BTreeMap<u64, (u64, u64)>;

struct Sensors;

impl Sensors {
    fn build(worker: &mut Worker, context: &Context, watch: &OperatorSpec, pressing: &Arc<AtomicUsize>) -> WorkerPart<Seen> {
        let config = SourceConfig {
            operator: SOURCE,
            schedule: RateSchedule::constant(Rate::per_second(DUE)),
            tick: Duration::from_millis(10),
            catch_up: 1.1,
            until: Timestamp::ZERO + Sensors.duration(),
        };
        if context.worker.0 == 0 {
            context.describe(&Sensors.topology());
        }
        let seen: Rc<RefCell<Seen>> = Rc::default();
        let (emitted, found, outcome) = (Rc::clone(&seen), Rc::clone(&seen), Rc::clone(&seen));
        let mut source = OpenLoop::new(config, context, Arc::clone(pressing), move |reading| {
            let sensor = sensor(reading);
            emitted.borrow_mut().entry(sensor).or_default().0 += 1;
            sensor
        });
        let (mut control, probe) = (InputHandleVec::new(), ProbeHandle::new());
        worker.dataflow(|scope| {
            let commands = control.to_stream(scope).broadcast();
            source
                .stream(scope)
                .key_by(|sensor: u64| (sensor, ()))
                .elastic_unary(
                    commands,
                    context,
                    watch,
                    &Assignment::even(BINS, 1),
                    // Readings of a sensor since it was last reported; it is half a second after the first of them.
                    |_: &u64, (), readings: &mut u64, session: &mut Session<'_, (u64, u64)>| {
                        if *readings == 0 {
                            session.notify_at(Epoch(session.epoch().0 + 500));
                        }
                        *readings += 1;
                    },
                    |&sensor, readings, session| {
                        session.give((sensor, *readings));
                        session.forget();
                    },
                )
                .drain_to_sink(context, SINK, move |_, reports| {
                    reports.iter().for_each(|&(sensor, readings)| found.borrow_mut().entry(sensor).or_default().1 += readings);
                })
                .probe_with(&probe);
        });
        let open_epochs = source.open_epochs();
        // One worker emits; the others' inputs end at once.
        let source = (context.worker.0 == 0).then(|| Box::new(move || source.poll()) as Box<dyn FnMut() -> bool>);
        WorkerPart { source, open_epochs, control, probe, outcome: Box::new(move || outcome.take()) }
    }
}

impl EngineJob for Sensors {
    type Outcome = Seen;

    fn topology(&self) -> Topology {
        let operators = [("source", Role::Source, 1), ("watch", Role::Keyed { bins: BINS }, MOST_INSTANCES), ("sink", Role::Sink, WORKERS)];
        Topology::new(&operators, &[(0, 1), (1, 2)]).expect("source, watch and sink are a chain")
    }

    fn configuration(&self) -> Configuration {
        Configuration::ones(&self.topology()).with(SINK, WORKERS)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(8)
    }

    fn start(&self) -> Result<Running<Seen>, RunError> {
        let mut board = QueueBoard::new();
        // The source pauses when an instance has a second's work waiting, and goes on below half of that.
        let marks = QueueMarks { high_records: LIMIT as u64, low_records: LIMIT as u64 / 2 };
        let capacity = Capacity::Limited { rate: Rate::per_second(LIMIT) };
        let watch = OperatorSpec::with_queues(WATCH, "watch", capacity, board.operator(marks, MOST_INSTANCES));
        let pressing = board.pressing();
        Running::start(WORKERS, move |worker, context| Sensors::build(worker, context, &watch, &pressing))
    }

    /// As many readings of each sensor are reported as were emitted.
    fn verify(&self, outcomes: &[Seen]) -> Verdict {
        let mut sensors = Seen::new();
        for (&sensor, &(emitted, reported)) in outcomes.iter().flatten() {
            let sum = sensors.entry(sensor).or_default();
            *sum = (sum.0 + emitted, sum.1 + reported);
        }
        let mut verdict = Verdict::default();
        for (emitted, reported) in sensors.into_values() {
            verdict.results += emitted;
            verdict.lost += emitted.saturating_sub(reported);
            verdict.duplicated += reported.saturating_sub(emitted);
        }
        Verdict { emitted: verdict.results, ..verdict }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let spec = RunSpec {
        policy: policy("ds2", &Sensors.topology(), 1.0)?,
        job: Sensors,
        controller: ControllerConfig {
            policy_interval: Duration::from_secs(1),
            warm_up_windows: 0,
            activation_windows: 1,
            strategy: Strategy::AllAtOnce,
        },
        row_window: Duration::from_millis(500),
        needed: BTreeMap::new(),
    };
    let result = run(spec, None, |_| {})?;
    for event in &result.events {
        println!("{}", serde_json::to_string(event)?);
    }
    let instances = result.last_configuration().parallelism(WATCH);
    let Verdict { results, lost, duplicated, .. } = result.verdict;
    println!("at the end {instances} instances watch; of {results} readings {lost} were lost and {duplicated} reported twice");
    Ok(())
}
