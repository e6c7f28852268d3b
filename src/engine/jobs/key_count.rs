//! The job of the migration experiments: Source → Count → Sink over a known number of keys.
//!
//! Every key is counted once before the schedule begins, so that the state has its full size; then
//! keys are drawn uniformly at random, open loop. What reaches the sinks is compared with a
//! sequential model by group of keys: the number of results, and a sum over (key, count) that does
//! not depend on order. A record that was lost, counted twice or counted from the wrong state
//! shows.
//!
//! One worker emits for all of them. With a source on every worker an epoch would be complete only
//! once the slowest has opened the next one, so a worker that installs state would hold up all
//! others.

// The native count is to use the map that people use; nobody walks it.
#![allow(clippy::disallowed_types)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Operator, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;

use super::digest::{GroupTally, compared, drawn};
use super::job::{Verdict, described};
use super::sink::DrainToSink;
use super::source::{OpenLoop, SourceConfig};
use super::source_driver::SourceDriver;
use crate::dataflow::{Capacity, QueueMarks, Role, Topology};
use crate::engine::cluster::{Deployment, Member};
use crate::engine::elastic::{BatchStream, Bin, ElasticKeyed, IntoBatches, bin_of};
use crate::engine::host::{Context, OperatorSpec, QueueBoard, RunError, Running, WorkerPart};
use crate::id::OperatorId;
use crate::migration::Assignment;
use crate::rate::Rate;
use crate::time::Timestamp;
use crate::workload::RateSchedule;

/// The source, in the job's topology.
pub const SOURCE: OperatorId = OperatorId(0);
/// Count: keys to running counts.
pub const COUNT: OperatorId = OperatorId(1);
/// The sink.
pub const SINK: OperatorId = OperatorId(2);

/// Epochs are so short while there is nothing else to do: ten thousand a second, each of which costs
/// some messages about progress.
const FINEST: Duration = Duration::from_micros(100);
/// The native exchange divides as finely as this many bins would.
const NATIVE_BINS: u32 = 1 << 16;
/// Number of groups of keys, a power of two.
const GROUPS: u64 = 4096;

/// How keys are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Counting {
    /// The elastic operator.
    #[default]
    Elastic,
    /// Plain timely: exchange by the key's hash, one hash map per worker; nothing migrates.
    Native,
}

/// A count of keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyCount {
    /// Number of keys; at least 1.
    pub keys: u64,
    /// Owner of each bin of Count at the start; a power of two of them.
    pub first: Assignment,
    /// Maximum number of instances of Count.
    pub instances: u32,
    /// Records due per second, of all workers together.
    pub rate: Rate,
    /// How long the schedule lasts at most; it begins when every key has been counted once.
    pub duration: Duration,
    /// Time between epochs while workers are busy; at least a millisecond. At rest they are
    /// shorter.
    pub tick: Duration,
    /// Where its workers run.
    pub deployment: Deployment,
    /// How keys are counted.
    pub counting: Counting,
    /// Seed of the run: determines the sequence of keys.
    pub seed: u64,
}

/// Outcome of one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTally {
    /// Records its source emitted after it had counted every key once.
    pub emitted: u64,
    /// Results by group of keys.
    pub groups: Vec<GroupTally>,
}

/// Results at the sinks, compared with a sequential count of the emitted records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyVerdict {
    /// Records emitted, those that counted every key once included.
    pub records: u64,
    /// Results that are missing.
    pub lost: u64,
    /// Results that are too many.
    pub duplicated: u64,
    /// Groups of keys with as many results as there should be, but not the same ones.
    pub miscounted: u64,
}

impl From<Verdict> for KeyVerdict {
    fn from(verdict: Verdict) -> KeyVerdict {
        let Verdict { emitted: records, lost, duplicated, miscounted, .. } = verdict;
        KeyVerdict { records, lost, duplicated, miscounted }
    }
}

/// The group of a key.
fn group_of(key: u64) -> usize {
    (key % GROUPS) as usize
}

impl KeyCount {
    /// Lower bound for the bytes of a bin's state: a table with just enough room.
    pub fn bin_bytes(&self) -> u64 {
        Bin::<u64, u64>::bytes_for((self.keys / self.first.owners().len() as u64) as usize) as u64
    }

    /// The job's topology.
    ///
    /// # Panics
    /// If the number of bins is no power of two.
    pub fn topology(&self) -> Topology {
        let bins = self.first.owners().len() as u32;
        let operators =
            [("source", Role::Source, 1), ("count", Role::Keyed { bins }, self.instances), ("sink", Role::Sink, self.deployment.peers())];
        Topology::new(&operators, &[(0, 1), (1, 2)]).expect("a key count is a dataflow")
    }

    /// Starts the job, from process 0. Its source ends when the schedule does, or soon after `stop`
    /// is set.
    ///
    /// # Errors
    /// When threads or processes cannot be started or cannot be connected.
    pub fn start(&self, stop: &Arc<AtomicBool>) -> Result<Running<KeyTally>, RunError> {
        let (board, count) = self.operator();
        let (job, stop) = (self.clone(), Arc::clone(stop));
        let build = move |worker: &mut Worker, context: &Context| job.build(worker, context, &count, &stop);
        Running::on(&self.deployment, &described("KeyCount", self), &board, build)
    }

    /// Runs the job's workers in a further process until the job is complete.
    ///
    /// # Errors
    /// When a worker panicked here, and when the job failed elsewhere.
    pub fn serve(&self, member: Member) -> Result<(), RunError> {
        let (board, count) = self.operator();
        let job = self.clone();
        // The source is in process 0.
        let stop = Arc::default();
        member.serve(&board, move |worker, context| job.build(worker, context, &count, &stop))
    }

    /// The queues in a process, and Count.
    fn operator(&self) -> (QueueBoard, OperatorSpec) {
        let mut board = QueueBoard::new();
        // A queue that holds a source back would hide what a migration does to latency.
        let queues = board.operator(QueueMarks::NEVER, self.instances);
        (board, OperatorSpec::with_queues(COUNT, "Count", Capacity::Cpu, queues))
    }

    fn build(&self, worker: &mut Worker, context: &Context, count: &OperatorSpec, stop: &Arc<AtomicBool>) -> WorkerPart<KeyTally> {
        let config = SourceConfig {
            operator: SOURCE,
            schedule: RateSchedule::constant(self.rate),
            tick: self.tick,
            // What became due while the worker was busy is emitted at once.
            catch_up: 1000.0,
            until: Timestamp::ZERO + self.duration,
        };
        if context.worker.0 == 0 {
            context.describe(&self.topology());
        }
        let (seed, keys) = (self.seed, self.keys);
        let emitted = Rc::new(Cell::new(0));
        let report = Rc::clone(&emitted);
        let mut source = OpenLoop::new(config, context, Arc::default(), move |n| {
            // Each key once, and then as they are drawn.
            let after = n.checked_sub(keys).inspect(|index| emitted.set(index + 1));
            (after.map_or(n, |index| drawn(seed, index, keys)), ())
        });
        source = source.eager(FINEST);
        let groups = Rc::new(RefCell::new(vec![GroupTally::default(); GROUPS as usize]));
        let found = Rc::clone(&groups);
        let mut control = InputHandleVec::new();
        let probe = ProbeHandle::new();
        let dataflow = worker.next_dataflow_index();
        worker.dataflow(|scope| {
            let commands = control.to_stream(scope).broadcast();
            let records = source.stream(scope);
            let counts = match self.counting {
                Counting::Elastic => records.elastic_keyed(commands, context, count, &self.first, |&key, (), count: &mut u64, counts| {
                    *count += 1;
                    counts.push((key, *count));
                }),
                Counting::Native => native(records),
            };
            let sink = counts.drain_to_sink(context, SINK, move |_, counts| {
                let groups = &mut *found.borrow_mut();
                counts.into_iter().for_each(|(key, count)| groups[group_of(key)].add(key, count));
            });
            sink.probe_with(&probe);
        });
        let open_epochs = source.open_epochs();
        let mut feed = SourceDriver::new(source, keys, stop, (worker, dataflow), context);
        let source = (context.worker.0 == 0).then(|| Box::new(move || feed.poll()) as _);
        let outcome = Box::new(move || KeyTally { emitted: report.get(), groups: groups.take() });
        WorkerPart { source, open_epochs, control, probe, outcome }
    }

    /// Compares the results at the sinks with a sequential count of the emitted records.
    pub fn verify(&self, tallies: &[KeyTally]) -> KeyVerdict {
        let emitted: u64 = tallies.iter().map(|tally| tally.emitted).sum();
        let mut expected = vec![GroupTally::default(); GROUPS as usize];
        (0..self.keys).for_each(|key| expected[group_of(key)].add(key, 1));
        let mut counts = vec![1u32; self.keys as usize];
        for key in (0..emitted).map(|index| drawn(self.seed, index, self.keys)) {
            let count = &mut counts[key as usize];
            *count += 1;
            expected[group_of(key)].add(key, u64::from(*count));
        }
        let (lost, duplicated, miscounted) = compared(&expected, tallies.iter().map(|tally| &tally.groups[..]));
        KeyVerdict { records: self.keys + emitted, lost, duplicated, miscounted }
    }
}

/// The same count in plain timely.
fn native<'s>(records: BatchStream<'s, (u64, ())>) -> BatchStream<'s, (u64, u64)> {
    let records = records.unary::<CapacityContainerBuilder<Vec<(u64, ())>>, _, _, _>(Pipeline, "Records", |_, _| {
        move |input, output| {
            input.for_each(|cap, batch| output.session(&cap).give_container(&mut batch.records));
        }
    });
    let by_hash = Exchange::new(|(key, ()): &(u64, ())| u64::from(bin_of(key, NATIVE_BINS).0));
    let counts = records.unary::<CapacityContainerBuilder<Vec<(u64, u64)>>, _, _, _>(by_hash, "Count", |_, _| {
        let mut counts: FxHashMap<u64, u64> = FxHashMap::default();
        move |input, output| {
            input.for_each(|cap, records| {
                let mut session = output.session(&cap);
                for (key, ()) in records.drain(..) {
                    let count = counts.entry(key).or_default();
                    *count += 1;
                    session.give((key, *count));
                }
            });
        }
    });
    counts.into_batches()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::RecvTimeoutError;

    use super::*;

    fn job(counting: Counting) -> KeyCount {
        KeyCount {
            keys: 5000,
            first: Assignment::even(16, 2),
            instances: 2,
            rate: Rate::per_second(20_000.0),
            duration: Duration::from_millis(200),
            tick: Duration::from_millis(1),
            deployment: Deployment::threads(2),
            counting,
            seed: 7,
        }
    }

    fn run(job: &KeyCount) -> Vec<KeyTally> {
        let running = job.start(&Arc::default()).unwrap();
        while !matches!(running.log.recv_timeout(Duration::from_millis(10)), Err(RecvTimeoutError::Disconnected)) {}
        running.join().unwrap()
    }

    #[test]
    fn every_key_is_counted_once_before_the_schedule_begins_and_all_records_arrive() {
        for counting in [Counting::Elastic, Counting::Native] {
            let job = job(counting);
            let verdict = job.verify(&run(&job));
            let KeyVerdict { records, lost, duplicated, miscounted } = verdict;
            assert_eq!((lost, duplicated, miscounted), (0, 0, 0), "{counting:?}");
            assert!(records > 5000 + 3000, "{counting:?}: a schedule of 200 ms emits about 4000 records: {verdict:?}");
        }
    }

    #[test]
    fn a_result_that_is_missing_doubled_or_wrong_shows() {
        let job = job(Counting::Elastic);
        let tallies = run(&job);
        let wrong = |change: fn(&mut GroupTally)| {
            let mut tallies = tallies.clone();
            change(&mut tallies[1].groups[3]);
            let KeyVerdict { lost, duplicated, miscounted, .. } = job.verify(&tallies);
            (lost, duplicated, miscounted)
        };
        assert_eq!(wrong(|group| group.results -= 1), (1, 0, 0));
        assert_eq!(wrong(|group| group.add(3, 1)), (0, 1, 0));
        assert_eq!(wrong(|group| group.digest ^= 1), (0, 0, 1));
    }
}
