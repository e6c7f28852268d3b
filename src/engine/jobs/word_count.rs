//! Word count: Source → FlatMap → Count → Sink over real text.
//!
//! The sink keeps its own tally, independent of the state of Count: how often each word arrived and
//! its highest count. Comparing it with a sequential count of what the source emitted reveals every
//! lost, duplicated or miscounted record.

// The sink's tally takes every word of the job; it is only looked up and summed, so its order shows
// nowhere.
#![allow(clippy::disallowed_types)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Probe;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;

use super::job::{EngineJob, OperatorConfig, Verdict, described};
use super::sink::DrainToSink;
use super::source::{OpenLoop, SourceConfig};
use super::source_driver;
use crate::dataflow::{Configuration, Role, Topology};
use crate::engine::cluster::{Deployment, Member};
use crate::engine::elastic::{ElasticKeyed, ElasticStateless};
use crate::engine::host::{Context, OperatorSpec, Places, QueueBoard, RunError, Running, WorkerPart};
use crate::id::OperatorId;
use crate::migration::Assignment;
use crate::time::Timestamp;
use crate::workload::{Partition, RateSchedule, Text};

/// The source, in the job's topology.
pub const SOURCE: OperatorId = OperatorId(0);
/// FlatMap: sentences to words.
pub const FLAT_MAP: OperatorId = OperatorId(1);
/// Count: words to running counts.
pub const COUNT: OperatorId = OperatorId(2);
/// The sink.
pub const SINK: OperatorId = OperatorId(3);

/// A word count.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WordCount {
    /// What is counted.
    pub text: Arc<Text>,
    /// Index of the first sentence: the seed of a run.
    pub first_sentence: u64,
    /// When sentences are due.
    pub schedule: RateSchedule,
    /// How long the source emits.
    pub duration: Duration,
    /// Factor by which the source may exceed the scheduled rate while it is behind.
    pub catch_up: f64,
    /// Time between epochs.
    pub tick: Duration,
    /// Bins of Count; a power of two.
    pub bins: u32,
    /// FlatMap.
    pub flat_map: OperatorConfig,
    /// Count.
    pub count: OperatorConfig,
    /// Where it runs.
    pub deployment: Deployment,
}

/// Outcome of one worker.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Sentences its source emitted.
    pub emitted: u64,
    /// By word: how many records reached the sink, and the highest count among them.
    pub words: FxHashMap<String, (u64, u64)>,
}

impl WordCount {
    /// The job's topology.
    ///
    /// # Panics
    /// If the number of bins is no power of two.
    pub fn topology(&self) -> Topology {
        let operators = [
            ("source", Role::Source, self.deployment.source_partitions()),
            ("flatmap", Role::Stateless, self.flat_map.max_parallelism),
            ("count", Role::Keyed { bins: self.bins }, self.count.max_parallelism),
            ("sink", Role::Sink, self.deployment.peers()),
        ];
        Topology::new(&operators, &[(0, 1), (1, 2), (2, 3)]).expect("a word count is a dataflow")
    }

    /// The configuration at the start.
    pub fn configuration(&self) -> Configuration {
        let ones = Configuration::ones(&self.topology());
        let ones = ones.with(SOURCE, self.deployment.source_partitions());
        let all = ones.with(FLAT_MAP, self.flat_map.instances).with(COUNT, self.count.instances).with(SINK, self.deployment.peers());
        all.spread_over(&self.topology(), self.deployment.peers())
    }

    /// Starts the job, from process 0.
    ///
    /// # Errors
    /// When threads or processes cannot be started or cannot be connected.
    pub fn start(&self) -> Result<Running<Tally>, RunError> {
        let (board, [flat_map, count]) = self.operators();
        let (job, pauses) = (self.clone(), [board.pressing(), board.late()]);
        let build = move |worker: &mut Worker, context: &Context| job.build(worker, context, &flat_map, &count, &pauses);
        Running::on(&self.deployment, &described("WordCount", self), &board, build)
    }

    /// Runs the job's workers in a further process until the job is complete.
    ///
    /// # Errors
    /// When a worker panicked here, and when the job failed elsewhere.
    pub fn serve(&self, member: Member) -> Result<(), RunError> {
        let (board, [flat_map, count]) = self.operators();
        let (job, pauses) = (self.clone(), [board.pressing(), board.late()]);
        member.serve(&board, move |worker, context| job.build(worker, context, &flat_map, &count, &pauses))
    }

    /// The queues in a process, and the operators they belong to.
    fn operators(&self) -> (QueueBoard, [OperatorSpec; 2]) {
        let mut board = QueueBoard::new();
        let configuration = self.configuration();
        let mut spec = |id, name: &str, config: &OperatorConfig| {
            let queues = board.operator(config.marks, config.max_parallelism);
            let places = Places::at_start(&configuration, id);
            OperatorSpec { slow: config.slow, places, ..OperatorSpec::with_queues(id, name, config.capacity, queues) }
        };
        let specs = [spec(FLAT_MAP, "FlatMap", &self.flat_map), spec(COUNT, "Count", &self.count)];
        (board, specs)
    }

    fn build(
        &self,
        worker: &mut Worker,
        context: &Context,
        flat_map: &OperatorSpec,
        count: &OperatorSpec,
        [pressing, late]: &[Arc<AtomicUsize>; 2],
    ) -> WorkerPart<Tally> {
        let config = SourceConfig {
            operator: SOURCE,
            schedule: self.schedule.clone(),
            tick: self.tick,
            catch_up: self.catch_up,
            until: Timestamp::ZERO + self.duration,
        };
        if context.worker.0 == 0 {
            context.describe(&self.topology());
        }
        let (text, first) = (Arc::clone(&self.text), self.first_sentence);
        let mut source = OpenLoop::new(config, context, Arc::clone(pressing), move |index| text.sentence(first + index));
        let partitions = self.deployment.source_partitions();
        source = source.paced(Arc::clone(late)).partition(Partition::new(context.worker.0 % partitions, partitions));
        let tally: Rc<RefCell<Tally>> = Rc::default();
        let words = Rc::clone(&tally);
        let mut control = InputHandleVec::new();
        let probe = ProbeHandle::new();
        let owners = Assignment::even(self.bins, self.count.instances);
        let dataflow = worker.next_dataflow_index();
        worker.dataflow(|scope| {
            let commands = control.to_stream(scope).broadcast();
            source
                .stream(scope)
                .elastic_flat_map(commands.clone(), context, flat_map, self.flat_map.instances, |sentence, words| {
                    words.extend(sentence.split(' ').map(|word| (word.to_owned(), ())));
                })
                .elastic_keyed(commands, context, count, &owners, |word, (), count: &mut u64, counts| {
                    *count += 1;
                    counts.push((word.clone(), *count));
                })
                .drain_to_sink(context, SINK, move |_, counts| {
                    let words = &mut words.borrow_mut().words;
                    for (word, count) in counts {
                        let (arrived, highest) = words.entry(word).or_default();
                        *arrived += 1;
                        *highest = count.max(*highest);
                    }
                })
                .probe_with(&probe);
        });
        let open_epochs = source.open_epochs();
        let (source, emitted) = source_driver::partition(source, partitions, (worker, dataflow), context);
        let outcome = Box::new(move || {
            let mut tally = tally.take();
            tally.emitted = emitted.get();
            tally
        });
        WorkerPart { source, open_epochs, control, probe, outcome }
    }

    /// Compares the results at the sinks with a sequential count of the emitted records.
    pub fn verify(&self, tallies: &[Tally]) -> Verdict {
        let emitted = tallies.iter().map(|tally| tally.emitted).sum();
        let mut expected: FxHashMap<&str, u64> = FxHashMap::default();
        let sentences: Vec<_> = (0..self.text.sentences().len() as u64).map(|n| self.text.sentence(self.first_sentence + n)).collect();
        let partitions = self.deployment.source_partitions();
        for (partition, tally) in (0..partitions).map(|index| Partition::new(index, partitions)).zip(tallies) {
            for index in (0..tally.emitted).map(|n| partition.nth(n)) {
                for word in sentences[(index % sentences.len() as u64) as usize].split(' ') {
                    *expected.entry(word).or_default() += 1;
                }
            }
        }
        let mut found: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (word, &(arrived, highest)) in tallies.iter().flat_map(|tally| &tally.words) {
            let sum = found.entry(word).or_default();
            *sum = (sum.0 + arrived, sum.1.max(highest));
        }
        let mut verdict = Verdict { emitted, results: expected.values().sum(), ..Verdict::default() };
        for (&word, &count) in &expected {
            let (arrived, highest) = found.remove(word).unwrap_or_default();
            verdict.lost += count.saturating_sub(arrived);
            verdict.duplicated += arrived.saturating_sub(count);
            verdict.miscounted += u64::from(highest != count);
        }
        verdict.duplicated += found.values().map(|(arrived, _)| arrived).sum::<u64>();
        verdict
    }
}

impl EngineJob for WordCount {
    type Outcome = Tally;

    fn topology(&self) -> Topology {
        self.topology()
    }

    fn configuration(&self) -> Configuration {
        self.configuration()
    }

    fn duration(&self) -> Duration {
        self.duration
    }

    fn start(&self) -> Result<Running<Tally>, RunError> {
        self.start()
    }

    fn verify(&self, tallies: &[Tally]) -> Verdict {
        self.verify(tallies)
    }
}
