//! The analysis as a timely computation of its own, beside a running job or over recorded logs.
//!
//! ```text
//!             first worker                    all workers                       first worker
//!  records ─► graph, window by window ─► participations, rankings ─┬──────────► results in order of windows
//!    (bounded; at most 4 windows a worker under way)               └► queries ─►
//! ```
//!
//! Windows are logical times, numbered by their start: a window's results go out as soon as nothing
//! of it is missing, while later ones are still being built. Invariants: results do not depend on
//! the number of workers; memory is bounded by the windows under way and the records of windows
//! that are not complete; a worker's panic is returned as an error by push and finish, and never
//! hangs.

mod collect;
mod config;
mod merge;
mod parcel;
pub mod queries;
mod result;
mod source;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use timely::communication::WorkerGuards;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::DistributorPact;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::operator::{empty, source as source_operator};
use timely::dataflow::{Scope, Stream, StreamVec};
use timely::scheduling::SyncActivator;
use timely::worker::Worker;
use timely::{CommunicationConfig, Config, WorkerConfig};

pub use config::AnalysisConfig;
pub use merge::merged;
pub use result::AnalysisResult;

use self::collect::{Outlet, WindowFound, collect};
use self::parcel::{ByAddress, Parcel};
use self::queries::Fact;
use self::source::{GraphSource, Shared, Task};
use crate::activity::Record;
use crate::critical_path::Summarizer;
use crate::engine::Time;
use crate::engine::host::{RaiseOnPanic, RunError, StopSignal};
use crate::pag::WindowGraph;
use crate::time::Timestamp;

/// An idle worker wakes up this often for a stop signal.
const PARK: Duration = Duration::from_millis(50);

/// An analysis that is running.
///
/// Windows close when all workers of the log have reported that nothing earlier is missing
/// ([`Record::UpTo`]), else at the end.
///
/// Beside a running job:
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use thalweg::dataflow::{Capacity, QueueMarks};
/// use thalweg::engine::cluster::Deployment;
/// use thalweg::engine::word_count::WordCount;
/// use thalweg::engine::{Analysis, AnalysisConfig, AnalysisResult, OperatorConfig};
/// use thalweg::rate::Rate;
/// use thalweg::workload::{RateSchedule, SentenceLength, Text};
///
/// let operator = OperatorConfig { capacity: Capacity::Cpu, marks: QueueMarks::default(), instances: 1, max_parallelism: 2, slow: None };
/// let job = WordCount {
///     text: Arc::new(Text::liber_primus(SentenceLength::Natural)),
///     first_sentence: 0,
///     schedule: RateSchedule::constant(Rate::per_second(1000.0)),
///     duration: Duration::from_millis(300),
///     catch_up: 1.1,
///     tick: Duration::from_millis(10),
///     bins: 16,
///     flat_map: operator,
///     count: operator,
///     deployment: Deployment::threads(1),
/// };
/// let config = AnalysisConfig {
///     awaited: 1,
///     queries: vec!["participation operator > 50% over 3 windows".parse()?, "epoch > 200ms".parse()?],
///     ..AnalysisConfig::new(Duration::from_millis(50))
/// };
/// let (analysis, results) = Analysis::start(config)?;
/// let running = job.start()?;
/// // The log ends with the job. What the analysis cannot take is dropped and counted: the job never waits for it.
/// for batch in &running.log {
///     analysis.try_push(batch.records);
///     for result in results.try_iter() {
///         if let AnalysisResult::Query(change) = result {
///             println!("{change}");
///         }
///     }
/// }
/// running.join()?;
/// analysis.finish()?;
/// assert!(matches!(results.iter().last(), Some(AnalysisResult::End { dropped_records: 0, .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Analysis {
    // In this order when dropped: the workers end because no records are to come, and are woken to
    // see it.
    records: SyncSender<Vec<Record>>,
    wake: Wake,
    dropped: Arc<AtomicU64>,
    guards: WorkerGuards<()>,
}

/// Wakes the first operator; when it is dropped as well.
struct Wake(SyncActivator);

impl Wake {
    fn up(&self) {
        // A worker that has stopped needs no waking.
        let _ = self.0.activate();
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        self.up();
    }
}

impl Analysis {
    /// Starts an analysis. Its results wait in the channel until they are received; the channel
    /// ends when the analysis has.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn start(config: AnalysisConfig) -> Result<(Analysis, Receiver<AnalysisResult>), RunError> {
        let (workers, waiting) = (config.workers.max(1), config.waiting_batches);
        Analysis::launch(workers, waiting, move |worker, ends| build(worker, &config, ends))
    }

    fn launch<B>(workers: u32, waiting: usize, build: B) -> Result<(Analysis, Receiver<AnalysisResult>), RunError>
    where
        B: Fn(&mut Worker, Option<Ends>) + Send + Sync + 'static,
    {
        let (records, inlet) = sync_channel(waiting);
        let (sender, results) = channel();
        let (woken, wake) = channel();
        let dropped = Arc::new(AtomicU64::new(0));
        let communication = if workers == 1 { CommunicationConfig::Thread } else { CommunicationConfig::Process(workers as usize) };
        let settings = Config { communication, worker: WorkerConfig::default().idle_spin(Duration::ZERO) };
        // The first worker takes these out of the lock.
        let ends = Mutex::new(Some((inlet, sender, woken, Arc::clone(&dropped))));
        let raised = StopSignal::default();
        let guards = timely::execute(settings, move |worker| {
            let signal = RaiseOnPanic(raised.clone());
            let ends = if worker.index() == 0 { ends.lock().expect("no worker panics here").take() } else { None };
            build(worker, ends);
            while worker.has_dataflows() {
                // Timely would not let go of a worker whose dataflow is incomplete, so a panic is
                // the only way out.
                assert!(!signal.0.is_raised(), "stopped because another worker did");
                worker.step_or_park(Some(PARK));
            }
        });
        let guards = guards.map_err(|why| RunError::Start(workers, why))?;
        let Ok(wake) = wake.recv() else {
            return Err(ended(guards).err().unwrap_or_else(|| RunError::Worker("it built no dataflow".to_owned())));
        };
        let wake = Wake(wake);
        Ok((Analysis { records, wake, dropped, guards }, results))
    }

    /// Passes records to the analysis; blocks while too many batches wait. For readers of recorded
    /// logs.
    ///
    /// # Errors
    /// When the analysis has stopped: past [`AnalysisConfig::stretch`], or as
    /// [`finish`](Self::finish) says.
    pub fn push(&self, records: Vec<Record>) -> Result<(), RunError> {
        self.records.send(records).map_err(|_| RunError::Worker("the analysis has stopped".to_owned()))?;
        self.wake.up();
        Ok(())
    }

    /// Passes records to the analysis if it can take them now, else drops and counts them; returns
    /// whether it took them. For an observer of a running job, which must never wait.
    pub fn try_push(&self, records: Vec<Record>) -> bool {
        match self.records.try_send(records) {
            Ok(()) => {
                self.wake.up();
                true
            }
            Err(TrySendError::Full(records) | TrySendError::Disconnected(records)) => {
                self.dropped.fetch_add(records.len() as u64, Ordering::SeqCst);
                false
            }
        }
    }

    /// Records that were dropped so far.
    pub fn dropped_records(&self) -> u64 {
        self.dropped.load(Ordering::SeqCst)
    }

    /// Ends the input: closes all windows and waits until their results have been emitted.
    ///
    /// # Errors
    /// When a worker panicked.
    pub fn finish(self) -> Result<(), RunError> {
        let Analysis { records, wake, dropped: _, guards } = self;
        drop(records);
        drop(wake);
        ended(guards)
    }
}

/// Waits for the workers; returns the first panic.
fn ended(guards: WorkerGuards<()>) -> Result<(), RunError> {
    // All of them, or those that are left would be joined by a destructor that panics.
    let outcomes: Vec<_> = guards.join().into_iter().collect();
    outcomes.into_iter().try_for_each(|outcome| outcome.map_err(RunError::Worker))
}

/// Channel ends of the first worker.
type Ends = (Receiver<Vec<Record>>, Sender<AnalysisResult>, Sender<SyncActivator>, Arc<AtomicU64>);

fn build(worker: &mut Worker, config: &AnalysisConfig, ends: Option<Ends>) {
    let index = worker.index();
    worker.dataflow::<Time, _, _>(|scope| {
        let shared = Shared::default();
        let mut outlet = None;
        let tasks = source_operator(scope, "Graph", |capability, info| {
            let again = scope.activator_for(info.address.clone());
            let mut capability = Some(capability);
            let mut source = ends.map(|(records, results, woken, dropped)| {
                let _ = woken.send(scope.worker().sync_activator_for(info.address.to_vec()));
                let source = scope.activator_for(info.address);
                outlet = Some(Outlet { results, shared: shared.clone(), source, dropped });
                GraphSource::new(config, records, shared.clone())
            });
            move |output| match &mut source {
                Some(source) => source.turn(&mut capability, output, &again),
                None => capability = None,
            }
        });
        let (summaries, facts) = summarize(scope, tasks, config, shared.spare);
        let changes = match config.queries[..] {
            [] => empty(scope),
            _ => queries::watch(facts, config.queries.clone().into()),
        };
        debug_assert_eq!(outlet.is_some(), index == 0);
        collect(summaries, changes, config, outlet);
    });
}

/// An amount that a window adds to what a query counts, as an update.
type FactUpdate = (Fact, Time, i128);

/// Summarises windows, each on the worker it was sent to.
fn summarize<'s>(
    scope: Scope<'s, Time>,
    tasks: Stream<'s, Time, Parcel<Task>>,
    config: &AnalysisConfig,
    spare: Rc<RefCell<Option<WindowGraph>>>,
) -> (StreamVec<'s, Time, WindowFound>, StreamVec<'s, Time, FactUpdate>) {
    let mut builder = OperatorBuilder::new("Summarize".to_owned(), scope);
    let mut tasks = builder.new_input(tasks, DistributorPact(|_| ByAddress));
    let (output, summaries) = builder.new_output::<Vec<WindowFound>>();
    let mut summary_output = OutputBuilder::<Time, CapacityContainerBuilder<Vec<_>>>::from(output);
    let (output, facts) = builder.new_output::<Vec<FactUpdate>>();
    let mut fact_output = OutputBuilder::<Time, CapacityContainerBuilder<Vec<_>>>::from(output);
    let (seed, asked) = (config.seed, config.queries.clone());
    builder.build(move |_| {
        let mut summarizer = Summarizer::default();
        move |_| {
            let (mut summaries, mut facts) = (summary_output.activate(), fact_output.activate());
            tasks.for_each(|capability, parcel| {
                let (Some(Task { graph, long, epochs }), Some(here)) = (parcel.content.take(), capability.retain_least(0)) else { return };
                let summary = summarizer.summarize(&graph, path_numbers(seed, graph.window.start));
                *spare.borrow_mut() = Some(graph);
                if let Some(there) = capability.retain_least(1) {
                    facts.session(&there).give_iterator(queries::facts(&asked, *there.time(), &summary, &long).into_iter());
                }
                summaries.session(&here).give((summary, epochs));
            });
        }
    });
    (summaries, facts)
}

/// Numbers in [0, 1) for the random path through the window that starts at `start`. They depend on
/// `seed` and `start` and on nothing else: a counter, scrambled (SplitMix64).
pub fn path_numbers(seed: u64, start: Timestamp) -> impl FnMut() -> f64 {
    let scramble = |mut bits: u64| {
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    let mut state = scramble(seed ^ scramble(start.0));
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (scramble(state) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::config::WAITING_BATCHES;
    use super::*;
    use crate::id::WorkerId;

    #[test]
    fn an_analysis_whose_worker_panics_tells_whoever_pushes_and_finishes() {
        let (analysis, results) = Analysis::launch(2, WAITING_BATCHES, |worker, ends| {
            build(worker, &AnalysisConfig { workers: 2, ..AnalysisConfig::new(Duration::from_secs(1)) }, ends);
            assert_ne!(worker.index(), 1, "on purpose");
        })
        .unwrap();
        // More than fit into the channel, so an analysis that hangs would hang this.
        let record = Record::UpTo { worker: WorkerId(0), at: Timestamp(1) };
        while analysis.push(vec![record.clone()]).is_ok() {}
        assert!(!analysis.try_push(vec![record]));
        assert_eq!(analysis.dropped_records(), 1);
        assert!(matches!(analysis.finish(), Err(RunError::Worker(_))));
        assert_eq!(results.iter().count(), 0);
    }

    #[test]
    fn numbers_for_the_random_path_depend_on_seed_and_window() {
        let first = |seed, start| path_numbers(seed, Timestamp(start))();
        assert_eq!(first(1, 2), first(1, 2));
        assert!(first(1, 2) != first(2, 2) && first(1, 2) != first(1, 3) && first(0, 1) != first(1, 0));
        let mut next = path_numbers(7, Timestamp::ZERO);
        let mean = (0..10_000).map(|_| next()).inspect(|number| assert!((0.0..1.0).contains(number))).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}
