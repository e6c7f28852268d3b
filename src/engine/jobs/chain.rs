//! A chain of limited operators with a known bottleneck, to test the analysis.
//!
//! Source → stages → sink. A stateless stage turns a record into any number; a keyed one counts by
//! key. A stage may have few instances, a slow one, a hot key, a slow input channel, or wait
//! outside the dataflow. The source is closed-loop.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use timely::dataflow::operators::Probe;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::{InputHandleVec, ProbeHandle};

use super::closed_loop::{ClosedLoop, ClosedLoopConfig};
use super::digest::mix;
use super::sink::DrainToSink;
use crate::activity::ActivityKind;
use crate::dataflow::{Capacity, QueueMarks, Role, Straggler, Topology};
use crate::engine::elastic::{ElasticKeyed, ElasticStateless, bin_of};
use crate::engine::host::{Context, OperatorSpec, QueueMeters, RunError, Running, WorkerPart};
use crate::id::{InstanceId, OperatorId};
use crate::migration::Assignment;
use crate::rate::Rate;
use crate::time::Timestamp;

/// Bins of a keyed stage.
const BINS: u32 = 256;
/// Keys other than the hot one.
const KEYS: u64 = 4096;
/// The key that a skewed stage favours.
const HOT_KEY: u64 = 0;

/// One operator of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Whether it counts by key; otherwise records are divided evenly.
    pub keyed: bool,
    /// Records per second of one instance.
    pub rate: Rate,
    /// Instances.
    pub instances: u32,
    /// Results of a record; 1 if keyed.
    pub fan_out: u64,
    /// Share of its results that carry one and the same key, 0 to 1.
    pub skew: f64,
    /// An instance that is slow for a time.
    pub slow: Option<Straggler>,
    /// Delay of messages to it.
    pub delay: Duration,
    /// Whether its time is spent waiting for something outside.
    pub outside: bool,
}

impl Stage {
    /// A stage of `instances` instances that each take `rate`; nothing else about it is special.
    pub fn new(name: &str, rate: Rate, instances: u32) -> Stage {
        let (name, delay) = (name.to_owned(), Duration::ZERO);
        Stage { name, keyed: false, rate, instances, fan_out: 1, skew: 0.0, slow: None, delay, outside: false }
    }
}

/// A chain of stages.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// The operators between source and sink, in order.
    pub stages: Vec<Stage>,
    /// Records that the source emits in an epoch.
    pub records: u64,
    /// Epochs that may be incomplete at a time.
    pub in_flight: usize,
    /// How long the source emits.
    pub duration: Duration,
    /// Worker threads.
    pub workers: u32,
    /// Seed of the run.
    pub seed: u64,
}

/// Records of a chain: a key and nothing else.
type Item = (u64, ());

impl Chain {
    /// The number of stage `index` in the topology.
    pub fn operator(&self, index: usize) -> OperatorId {
        OperatorId(index as u32 + 1)
    }

    /// The instance of keyed stage `index` that has the hot key.
    pub fn straggler(&self, index: usize) -> InstanceId {
        let owners = Assignment::even(BINS, self.stages[index].instances);
        InstanceId::new(self.operator(index), owners.owners()[bin_of(&HOT_KEY, BINS).0 as usize])
    }

    /// The job's topology.
    pub fn topology(&self) -> Topology {
        let role = |stage: &Stage| if stage.keyed { Role::Keyed { bins: BINS } } else { Role::Stateless };
        let stages = self.stages.iter().map(|stage| (stage.name.as_str(), role(stage), stage.instances));
        let operators: Vec<_> =
            [("source", Role::Source, 1)].into_iter().chain(stages).chain([("sink", Role::Sink, self.workers)]).collect();
        let edges: Vec<(u32, u32)> = (1..operators.len() as u32).map(|to| (to - 1, to)).collect();
        Topology::new(&operators, &edges).expect("a chain is a dataflow")
    }

    /// Starts the job.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn start(&self) -> Result<Running<()>, RunError> {
        let pressing = Arc::new(AtomicUsize::new(0));
        let specs: Vec<OperatorSpec> = (0..self.stages.len()).map(|index| self.spec(index, &pressing)).collect();
        let job = self.clone();
        Running::start(self.workers, move |worker, context| job.build(worker, context, &specs))
    }

    fn spec(&self, index: usize, pressing: &Arc<AtomicUsize>) -> OperatorSpec {
        let stage = &self.stages[index];
        let queues = QueueMeters::new(QueueMarks::default(), stage.instances, Arc::clone(pressing));
        let capacity = Capacity::Limited { rate: stage.rate };
        let work = if stage.outside { ActivityKind::ExternalWait } else { ActivityKind::Processing };
        let spec = OperatorSpec::with_queues(self.operator(index), &stage.name, capacity, Arc::new(queues));
        OperatorSpec { work, slow: stage.slow, delay: stage.delay, ..spec }
    }

    fn build(&self, worker: &mut timely::worker::Worker, context: &Context, specs: &[OperatorSpec]) -> WorkerPart<()> {
        if context.worker.0 == 0 {
            context.describe(&self.topology());
        }
        let sink = self.operator(self.stages.len());
        let until = Timestamp::ZERO + self.duration;
        let config = ClosedLoopConfig { operator: OperatorId(0), records: self.records, in_flight: self.in_flight.max(1), until };
        let seed = self.seed;
        let mut source = ClosedLoop::new(config, context, move |index| (mix(seed ^ mix(index)), ()));
        let mut control = InputHandleVec::new();
        let probe = ProbeHandle::new();
        worker.dataflow(|scope| {
            let commands = control.to_stream(scope).broadcast();
            let mut stream = source.stream(scope);
            for (stage, spec) in self.stages.iter().zip(specs) {
                let (fan_out, skew) = (stage.fan_out, stage.skew);
                stream = if stage.keyed {
                    let owners = Assignment::even(BINS, stage.instances);
                    stream.elastic_keyed(commands.clone(), context, spec, &owners, |key: &u64, (), count: &mut u64, results| {
                        *count += 1;
                        results.push((*key, ()));
                    })
                } else {
                    stream.elastic_flat_map(commands.clone(), context, spec, stage.instances, move |(key, ()): Item, results| {
                        results.extend((0..fan_out).map(|index| (key_of(mix(key ^ mix(index)), skew), ())));
                    })
                };
            }
            stream.drain_to_sink(context, sink, |_, _: Vec<Item>| {}).probe_with(&probe);
        });
        let open_epochs = source.open_epochs();
        // One worker emits; the others' inputs end at once.
        let source = (context.worker.0 == 0).then(move || Box::new(move || source.poll()) as Box<dyn FnMut() -> bool>);
        WorkerPart { source, open_epochs: Rc::clone(&open_epochs), control, probe, outcome: Box::new(|| ()) }
    }
}

/// A key: the hot one with probability `skew`, else any other, as `random` decides.
fn key_of(random: u64, skew: f64) -> u64 {
    let share = (random >> 11) as f64 / (1u64 << 53) as f64;
    if share < skew { HOT_KEY } else { 1 + mix(random) % KEYS }
}
