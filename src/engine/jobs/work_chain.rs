//! Source → operators that compute → sink: what an instance does in a second is up to the processor.
//!
//! A record is a key, which names a document, and the sum of what operators have computed for it. A
//! keyed operator counts its key as well. Sums are commutative, so what reaches the sinks can be
//! compared with a sequential model by group of keys, whatever the order: a record that was lost,
//! processed twice or counted from the wrong state shows.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Probe;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;

use super::digest::{GroupTally, compared, drawn, mix};
use super::job::{EngineJob, OperatorConfig, Verdict, described};
use super::sink::DrainToSink;
use super::source::{OpenLoop, SourceConfig};
use super::source_driver;
use crate::dataflow::{Configuration, Role, Topology};
use crate::engine::cluster::{Deployment, Member};
use crate::engine::elastic::{ElasticKeyed, ElasticStateless};
use crate::engine::host::{Context, OperatorSpec, Places, QueueBoard, RunError, Running, WorkerPart, stay_on_core};
use crate::id::{OperatorId, WorkerId};
use crate::migration::Assignment;
use crate::time::Timestamp;
use crate::workload::{Computation, Documents, Partition, RateSchedule};

/// The source, in the job's topology.
const SOURCE: OperatorId = OperatorId(0);
/// Number of groups of keys.
const GROUPS: u64 = 1024;

/// One operator of the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkOperator {
    /// Its name.
    pub name: String,
    /// The bins of an operator that counts by key, a power of two; nothing for a stateless one.
    pub bins: Option<u32>,
    /// What it computes for each record.
    pub work: Option<Computation>,
    /// Its instances.
    pub config: OperatorConfig,
    /// Workers of its instances at the start; spread over all of them when empty.
    pub on: Vec<WorkerId>,
}

/// A chain of operators that compute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkChain {
    /// The operators between source and sink, in order.
    pub operators: Vec<WorkOperator>,
    /// Number of keys, which are drawn uniformly at random; at least 1.
    pub keys: u64,
    /// When records are due.
    pub schedule: RateSchedule,
    /// How long the source emits.
    pub duration: Duration,
    /// Factor by which the source may exceed the scheduled rate while it is behind.
    pub catch_up: f64,
    /// Time between epochs.
    pub tick: Duration,
    /// Where it runs.
    pub deployment: Deployment,
    /// Seed of the run: determines the sequence of keys.
    pub seed: u64,
}

/// Outcome of one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkTally {
    /// Records its source emitted.
    pub emitted: u64,
    /// Results by group of keys.
    pub groups: Vec<GroupTally>,
}

/// Adds a result, in a way that does not depend on order, nor on which of two records of a key was
/// counted first by which operator.
fn add(groups: &mut [GroupTally], key: u64, sum: u64) {
    let group = &mut groups[(key % GROUPS) as usize];
    group.results += 1;
    group.digest = group.digest.wrapping_add((mix(key) | 1).wrapping_mul(sum));
}

impl WorkChain {
    /// Operator `index`, in the job's topology.
    fn operator(index: usize) -> OperatorId {
        OperatorId(index as u32 + 1)
    }

    /// The queues in a process, and the operators they belong to.
    fn specs(&self) -> (QueueBoard, Vec<OperatorSpec>) {
        let mut board = QueueBoard::new();
        let configuration = self.configuration();
        let spec = |(index, operator): (usize, &WorkOperator)| {
            let OperatorConfig { capacity, marks, max_parallelism, slow, .. } = operator.config;
            let (id, queues) = (WorkChain::operator(index), board.operator(marks, max_parallelism));
            let places = Places::at_start(&configuration, id);
            OperatorSpec { slow, places, ..OperatorSpec::with_queues(id, &operator.name, capacity, queues) }
        };
        let specs = self.operators.iter().enumerate().map(spec).collect();
        (board, specs)
    }

    /// Runs the job's workers in a further process until the job is complete.
    ///
    /// # Errors
    /// When a worker panicked here, and when the job failed elsewhere.
    pub fn serve(&self, member: Member) -> Result<(), RunError> {
        let (board, specs) = self.specs();
        let (job, pauses) = (self.clone(), [board.pressing(), board.late()]);
        member.serve(&board, move |worker, context| job.build(worker, context, &specs, &pauses))
    }

    fn build(
        &self,
        worker: &mut Worker,
        context: &Context,
        specs: &[OperatorSpec],
        [pressing, late]: &[Arc<AtomicUsize>; 2],
    ) -> WorkerPart<WorkTally> {
        let config = SourceConfig {
            operator: SOURCE,
            schedule: self.schedule.clone(),
            tick: self.tick,
            catch_up: self.catch_up,
            until: Timestamp::ZERO + self.duration,
        };
        if self.deployment.is_pinned() {
            stay_on_core(context.worker.0);
        }
        if context.worker.0 == 0 {
            context.describe(&self.topology());
        }
        let (seed, keys) = (self.seed, self.keys);
        let source = OpenLoop::new(config, context, Arc::clone(pressing), move |index| (drawn(seed, index, keys), 0));
        let partitions = self.deployment.source_partitions();
        let mut source = source.paced(Arc::clone(late)).partition(Partition::new(context.worker.0 % partitions, partitions));
        let groups = Rc::new(RefCell::new(vec![GroupTally::default(); GROUPS as usize]));
        let found = Rc::clone(&groups);
        let documents = Rc::new(Documents::new());
        let mut control = InputHandleVec::new();
        let probe = ProbeHandle::new();
        let dataflow = worker.next_dataflow_index();
        worker.dataflow(|scope| {
            let commands = control.to_stream(scope).broadcast();
            let mut stream = source.stream(scope);
            for (operator, spec) in self.operators.iter().zip(specs) {
                let (documents, work) = (Rc::clone(&documents), operator.work);
                let compute = move |key: u64| work.map_or(0, |work| work.run(documents.get(documents.index(key))));
                stream = if let Some(bins) = operator.bins {
                    let owners = Assignment::even(bins, operator.config.instances);
                    stream.elastic_keyed(commands.clone(), context, spec, &owners, move |key: &u64, sum: u64, count: &mut u64, results| {
                        *count += 1;
                        results.push((*key, sum.wrapping_add(compute(*key)).wrapping_add(*count)));
                    })
                } else {
                    let instances = operator.config.instances;
                    stream.elastic_flat_map(commands.clone(), context, spec, instances, move |(key, sum): (u64, u64), results| {
                        results.push((key, sum.wrapping_add(compute(key))));
                    })
                };
            }
            let sink = WorkChain::operator(self.operators.len());
            let arrived = move |_, results: Vec<(u64, u64)>| {
                let groups = &mut *found.borrow_mut();
                results.into_iter().for_each(|(key, sum)| add(groups, key, sum));
            };
            stream.drain_to_sink(context, sink, arrived).probe_with(&probe);
        });
        let open_epochs = source.open_epochs();
        let (source, emitted) = source_driver::partition(source, partitions, (worker, dataflow), context);
        let outcome = Box::new(move || WorkTally { emitted: emitted.get(), groups: groups.take() });
        WorkerPart { source, open_epochs, control, probe, outcome }
    }
}

impl EngineJob for WorkChain {
    type Outcome = WorkTally;

    fn topology(&self) -> Topology {
        let role = |operator: &WorkOperator| operator.bins.map_or(Role::Stateless, |bins| Role::Keyed { bins });
        let between = self.operators.iter().map(|operator| (operator.name.as_str(), role(operator), operator.config.max_parallelism));
        let sink = ("sink", Role::Sink, self.deployment.peers());
        let operators: Vec<_> =
            [("source", Role::Source, self.deployment.source_partitions())].into_iter().chain(between).chain([sink]).collect();
        let edges: Vec<(u32, u32)> = (1..operators.len() as u32).map(|to| (to - 1, to)).collect();
        Topology::new(&operators, &edges).expect("a chain is a dataflow")
    }

    fn configuration(&self) -> Configuration {
        let (topology, peers) = (self.topology(), self.deployment.peers());
        let ones = Configuration::ones(&topology)
            .with(SOURCE, self.deployment.source_partitions())
            .with(WorkChain::operator(self.operators.len()), peers);
        let operators = || self.operators.iter().enumerate().map(|(index, operator)| (WorkChain::operator(index), operator));
        let all = operators().fold(ones, |all, (id, operator)| all.with(id, operator.config.instances)).spread_over(&topology, peers);
        let Some(mut placement) = all.placement().cloned() else { return all };
        for (id, operator) in operators().filter(|(_, operator)| !operator.on.is_empty()) {
            placement.put(id, operator.on.clone());
        }
        all.placed(placement)
    }

    fn duration(&self) -> Duration {
        self.duration
    }

    fn start(&self) -> Result<Running<WorkTally>, RunError> {
        let (board, specs) = self.specs();
        let (job, pauses) = (self.clone(), [board.pressing(), board.late()]);
        let build = move |worker: &mut Worker, context: &Context| job.build(worker, context, &specs, &pauses);
        Running::on(&self.deployment, &described("WorkChain", self), &board, build)
    }

    fn verify(&self, tallies: &[WorkTally]) -> Verdict {
        let emitted: u64 = tallies.iter().map(|tally| tally.emitted).sum();
        let documents = Documents::new();
        // What all operators compute over each document.
        let computed = |index| -> u64 {
            let works = self.operators.iter().filter_map(|operator| operator.work);
            works.fold(0, |sum: u64, work| sum.wrapping_add(work.run(documents.get(index))))
        };
        let computed: Vec<u64> = (0..documents.count()).map(computed).collect();
        let keyed = self.operators.iter().filter(|operator| operator.bins.is_some()).count() as u64;
        let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
        let mut expected = vec![GroupTally::default(); GROUPS as usize];
        let partitions = self.deployment.source_partitions();
        let parts = (0..partitions).map(|index| Partition::new(index, partitions)).zip(tallies);
        let indices = parts.flat_map(|(partition, tally)| (0..tally.emitted).map(move |n| partition.nth(n)));
        for key in indices.map(|index| drawn(self.seed, index, self.keys)) {
            let count = counts.entry(key).or_default();
            *count += 1;
            add(&mut expected, key, computed[documents.index(key)].wrapping_add(keyed * *count));
        }
        let (lost, duplicated, miscounted) = compared(&expected, tallies.iter().map(|tally| &tally.groups[..]));
        Verdict { emitted, results: emitted, lost, duplicated, miscounted }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::RecvTimeoutError;

    use super::*;
    use crate::dataflow::{Capacity, QueueMarks};
    use crate::rate::Rate;
    use crate::workload::Work;

    fn job() -> WorkChain {
        let config =
            |instances| OperatorConfig { capacity: Capacity::Cpu, marks: QueueMarks::default(), instances, max_parallelism: 2, slow: None };
        let operator = |name: &str, bins, does, instances| WorkOperator {
            name: name.to_owned(),
            bins,
            work: Some(Computation { does, times: 1 }),
            config: config(instances),
            on: Vec::new(),
        };
        WorkChain {
            operators: vec![
                operator("a", Some(16), Work::Json, 2),
                operator("b", None, Work::Hash, 2),
                operator("c", Some(16), Work::Hash, 1),
            ],
            keys: 500,
            schedule: RateSchedule::constant(Rate::per_second(20_000.0)),
            duration: Duration::from_millis(200),
            catch_up: 1.1,
            tick: Duration::from_millis(1),
            deployment: Deployment::threads(2),
            seed: 7,
        }
    }

    fn run(job: &WorkChain) -> Vec<WorkTally> {
        let running = job.start().unwrap();
        while !matches!(running.log.recv_timeout(Duration::from_millis(10)), Err(RecvTimeoutError::Disconnected)) {}
        running.join().unwrap()
    }

    #[test]
    fn results_are_those_of_a_sequential_run_and_what_is_wrong_shows() {
        // On a busy machine the first records may be due before a worker has begun.
        let long_enough = |times| {
            let job = WorkChain { duration: job().duration * times, ..job() };
            let tallies = run(&job);
            tallies.iter().any(|tally| tally.emitted > 1000).then_some((job, tallies))
        };
        let (job, tallies) = [1, 5, 25, 125].into_iter().find_map(long_enough).expect("a thousand records");
        let verdict = job.verify(&tallies);
        assert_eq!((verdict.lost, verdict.duplicated, verdict.miscounted), (0, 0, 0), "{verdict:?}");
        assert!(verdict.results == verdict.emitted, "{verdict:?}");
        let wrong = |change: fn(&mut GroupTally)| {
            let mut tallies = tallies.clone();
            let group = tallies.iter_mut().flat_map(|tally| &mut tally.groups).find(|group| group.results > 0).unwrap();
            change(group);
            let Verdict { lost, duplicated, miscounted, .. } = job.verify(&tallies);
            (lost, duplicated, miscounted)
        };
        assert_eq!(wrong(|group| group.results -= 1), (1, 0, 0));
        assert_eq!(wrong(|group| group.results += 1), (0, 1, 0));
        assert_eq!(wrong(|group| group.digest ^= 1), (0, 0, 1));
    }
}
