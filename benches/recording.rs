//! What recording costs: pairs of runs in turn, with and without it, of a word count that keeps two workers busy.
//!
//! 1. *elastic*: FlatMap and Count of our engine, with its own precise records, against the same with a recorder that forgets; the
//!    records counted and dropped, or given to an observer that follows critical paths, as the controller's does.
//! 2. *plain timely*: the same count in operators that know nothing of recording, with timely's log turned into records by
//!    `engine::record`, taken off by an observer or written to a file, against the same program without the line.
//!
//! Both count real text in a closed loop (a fixed number of epochs in flight). A pair gives one ratio of throughputs; printed are
//! the median and the spread of the ratios. Nanoseconds are of the workers' processor time, from the scheduler's account of their
//! threads, so that what else runs on the machine does not count.

// A bench is there to read the clock, and the native count is to use the map that people use.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::hash::{BuildHasher, BuildHasherDefault};
use std::hint::black_box;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHasher};
use thalweg::activity::{ActivityKind, Record};
use thalweg::critical_path::PathObserver;
use thalweg::dataflow::Capacity;
use thalweg::engine::{
    Clock, Command, Context, DrainToSink, ElasticKeyed, ElasticStateless, IntoBatches, LogBatch, OperatorSpec, Recorder, RecordingFile,
    RecordingSink, Time, link, record,
};
use thalweg::id::{InstanceId, OperatorId, WorkerId};
use thalweg::migration::Assignment;
use thalweg::time::{Epoch, Timestamp};
use thalweg::workload::{Sentence, SentenceLength, Text};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::vec::{Broadcast, Map};
use timely::dataflow::operators::{Operator, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::logging::{TimelyEventBuilder, TimelyProgressEventBuilder};
use timely::logging_core::Logger;
use timely::progress::reachability::logging::TrackerEventBuilder;
use timely::worker::Worker;
use timely::{CommunicationConfig, Config, ContainerBuilder, WorkerConfig};

const WORKERS: usize = 2;
const WORDS_PER_SENTENCE: u64 = 20;
const EPOCHS_IN_FLIGHT: u64 = 4;
/// Pairs behind each printed ratio.
const PAIRS: usize = 100;
/// Words of each run.
const WORDS: u64 = 1_000_000;
/// The same where critical paths are followed: they settle in steps of a tenth of a second, so a run has to last for several of them.
const WORDS_WITH_PATHS: u64 = 20 * WORDS;

/// One run.
struct Run {
    wall: Duration,
    /// Processor time of all workers, if the system tells.
    workers: Option<Duration>,
    /// Records by what they are.
    records: Records,
    /// Processor time of the thread that follows critical paths, if there is one.
    analysis: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Records {
    all: u64,
    processing: u64,
    scheduling: u64,
    messages: u64,
}

impl Records {
    fn count(&mut self, record: &Record) {
        self.all += 1;
        match record {
            Record::Activity(activity) if activity.kind == ActivityKind::Scheduling => self.scheduling += 1,
            Record::Activity(_) => self.processing += 1,
            Record::Sent(_) | Record::Received(_) => self.messages += 1,
            _ => {}
        }
    }
}

/// Processor time of this thread so far.
fn processor_time() -> Option<Duration> {
    let account = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    account.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// What a worker comes to.
#[derive(Clone, Copy)]
enum Event {
    /// It is about to send what belongs to an epoch.
    Opens(u64),
    /// It has made a step.
    Stepped,
    /// An epoch is complete.
    Completed(u64),
}

/// What a worker does then.
type On = Box<dyn FnMut(Event)>;

/// Counts `words` words in epochs of `sentences` through what `build` makes on each worker.
fn closed_loop(
    words: u64,
    sentences: u64,
    build: impl Fn(&mut Worker, &mut InputHandleVec<Time, Sentence>) -> (ProbeHandle<Time>, On) + Send + Sync + 'static,
) -> (Duration, Option<Duration>) {
    let text = Arc::new(Text::liber_primus(SentenceLength::Words(WORDS_PER_SENTENCE as usize)));
    let config = Config { communication: CommunicationConfig::Process(WORKERS), worker: WorkerConfig::default() };
    let guards = timely::execute(config, move |worker| {
        let mut input = InputHandleVec::new();
        let (probe, mut on) = build(worker, &mut input);
        let (index, peers) = (worker.index() as u64, worker.peers() as u64);
        let (start, before) = (Instant::now(), processor_time());
        let mut completed = 0;
        let mut stepped = |on: &mut On| {
            on(Event::Stepped);
            while !probe.done() && !probe.less_equal(&completed) {
                on(Event::Completed(completed));
                completed += 1;
            }
        };
        for epoch in 1..=words / WORDS_PER_SENTENCE / sentences {
            on(Event::Opens(epoch - 1));
            (epoch * sentences + index..(epoch + 1) * sentences).step_by(peers as usize).for_each(|n| input.send(text.sentence(n)));
            input.advance_to(epoch);
            while probe.less_than(&epoch.saturating_sub(EPOCHS_IN_FLIGHT)) {
                worker.step_or_park(Some(Duration::from_millis(20)));
                stepped(&mut on);
            }
        }
        input.close();
        while !probe.done() {
            worker.step_or_park(Some(Duration::from_millis(20)));
            stepped(&mut on);
        }
        let spent = processor_time().zip(before).map(|(after, before)| after - before);
        (start.elapsed(), spent)
    });
    let workers: Vec<_> = guards.expect("workers start").join().into_iter().map(Result::unwrap).collect();
    let wall = workers.iter().map(|worker| worker.0).max().expect("a worker");
    (wall, workers.iter().map(|worker| worker.1).sum())
}

/// Takes records off at once; what an observer does with them is its own cost.
fn observer(batches: std::sync::mpsc::Receiver<LogBatch>) -> JoinHandle<Records> {
    std::thread::spawn(move || {
        let mut records = Records::default();
        batches.into_iter().for_each(|batch| batch.records.iter().for_each(|record| records.count(record)));
        records
    })
}

/// What becomes of the records of our engine.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    /// There are none.
    Nothing,
    /// They are counted.
    Records,
    /// Critical paths are followed.
    Paths,
}

/// Length of the windows in which paths are told: a run has several of them.
const WINDOW: Duration = Duration::from_millis(100);

/// Follows the critical paths of the word count, window by window; gives the records, and the processor time that it took.
fn follow(batches: std::sync::mpsc::Receiver<LogBatch>) -> JoinHandle<(Records, Option<Duration>)> {
    std::thread::spawn(move || {
        // Source, FlatMap, Count, sink.
        let (mut observer, mut end) = (PathObserver::new(4, Timestamp::ZERO, WINDOW), Timestamp::ZERO + WINDOW);
        let (mut records, mut epochs) = (Records::default(), 0);
        for batch in batches {
            for record in &batch.records {
                records.count(record);
                observer.push(record);
                if record.at() > end + WINDOW / 10 {
                    epochs += observer.close(end, WINDOW).all.epochs;
                    end += WINDOW;
                }
            }
        }
        epochs += observer.close(end, WINDOW).all.epochs;
        assert!(epochs > 0, "paths are found");
        (records, processor_time())
    })
}

fn elastic(words: u64, sentences: u64, of: Of) -> Run {
    let on = of != Of::Nothing;
    let spec = |id, name: &str| OperatorSpec::new(OperatorId(id), name, Capacity::Cpu, WORKERS as u32);
    let (split, count) = (spec(1, "FlatMap"), spec(2, "Count"));
    let clock = Clock::start();
    let (log, batches) = link();
    let (acks, _done) = channel();
    let ends = Mutex::new((log, acks));
    let (observer, follower) = if of == Of::Paths { (None, Some(follow(batches))) } else { (Some(observer(batches)), None) };
    let (wall, workers) = closed_loop(words, sentences, move |worker, input| {
        let id = WorkerId(worker.index() as u32);
        let (log, acks) = ends.lock().expect("no worker panics here").clone();
        let recorder = if on { Recorder::new(id, log) } else { Recorder::off() };
        let context = Context::new(id, WORKERS as u32, clock, recorder, acks);
        let mut control = InputHandleVec::<Time, Command>::new();
        let probe = ProbeHandle::new();
        worker.dataflow(|scope| {
            let commands = control.to_stream(scope).broadcast();
            input
                .to_stream(scope)
                .into_batches()
                .elastic_flat_map(commands.clone(), &context, &split, WORKERS as u32, |sentence: Sentence, words| {
                    words.extend(sentence.split(' ').map(|word| (word.to_owned(), ())));
                })
                .elastic_keyed(commands, &context, &count, &Assignment::even(256, WORKERS as u32), |word, (), count: &mut u64, out| {
                    *count += 1;
                    out.push((word.clone(), *count));
                })
                .drain_to_sink(&context, OperatorId(3), |_, counts| drop(black_box(counts)))
                .probe_with(&probe);
        });
        (
            probe,
            Box::new(move |event| {
                let at = clock.now();
                match event {
                    Event::Stepped if on => context.recorder.hand_over(at),
                    Event::Opens(epoch) if on && id == WorkerId(0) => {
                        let records = sentences * WORDS_PER_SENTENCE;
                        let opened =
                            Record::EpochOpened { at, source: InstanceId::new(OperatorId(0), 0), epoch: Epoch(epoch), due: at, records };
                        context.recorder.log(opened);
                    }
                    Event::Completed(epoch) if on && id == WorkerId(0) => {
                        context.recorder.log(Record::EpochCompleted { at, worker: id, epoch: Epoch(epoch) });
                    }
                    _ => {}
                }
            }) as On,
        )
    });
    let counted = observer.map(|observer| (observer.join().expect("the observer only counts"), None));
    let (records, analysis) = counted.or_else(|| follower?.join().ok()).expect("paths are followed to the end");
    Run { wall, workers, records, analysis }
}

#[derive(Clone, Copy, PartialEq)]
enum To {
    Nobody,
    /// Timely's own log with nothing done about it: what no recording through that log can be cheaper than.
    Nowhere,
    Observer,
    File,
}

/// Installs a log whose events are thrown away.
fn discard<B: ContainerBuilder<Container: Default> + 'static>(worker: &mut Worker, name: &str) {
    let logger = Logger::<B>::new(Instant::now(), Duration::ZERO, |_: &Duration, events: &mut Option<B::Container>| drop(events.take()));
    worker.log_register().expect("a worker with a clock").insert_logger(name, logger);
}

fn plain(sentences: u64, to: To) -> Run {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut observed: Option<JoinHandle<Records>> = None;
    let mut written: Option<RecordingFile> = None;
    let sink = match to {
        To::Nobody | To::Nowhere => None,
        To::Observer => {
            let (sink, batches) = RecordingSink::to_observer();
            observed = Some(observer(batches));
            Some(sink)
        }
        To::File => {
            let (sink, file) = RecordingSink::to_file(folder.path().join("program.log")).expect("a file");
            written = Some(file);
            Some(sink)
        }
    };
    let (wall, workers) = closed_loop(WORDS, sentences, move |worker, input| {
        if let Some(sink) = &sink {
            record::<Time>(worker, sink);
        }
        if to == To::Nowhere {
            discard::<TimelyEventBuilder>(worker, "timely");
            discard::<TimelyProgressEventBuilder<Time>>(worker, "timely/progress/u64");
            if worker.index() == 0 {
                discard::<TrackerEventBuilder<Time>>(worker, "timely/reachability/u64");
            }
        }
        let probe = ProbeHandle::new();
        let hasher = BuildHasherDefault::<FxHasher>::default();
        worker.dataflow(|scope| {
            input
                .to_stream(scope)
                .flat_map(|sentence| sentence.split(' ').map(str::to_owned).collect::<Vec<_>>())
                .unary::<CapacityContainerBuilder<Vec<(String, u64)>>, _, _, _>(
                    Exchange::new(move |word: &String| hasher.hash_one(word) >> 20),
                    "Count",
                    |_, _| {
                        let mut counts: FxHashMap<String, u64> = FxHashMap::default();
                        move |input, output| {
                            input.for_each(|cap, words| {
                                let mut session = output.session(&cap);
                                for word in words.drain(..) {
                                    let count = counts.entry(word.clone()).or_default();
                                    *count += 1;
                                    session.give((word, *count));
                                }
                            });
                        }
                    },
                )
                .unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Pipeline, "Sink", |_, _| {
                    move |input, _| input.for_each(|_, counts| drop(black_box(std::mem::take(counts))))
                })
                .probe_with(&probe);
        });
        (probe, Box::new(|_| ()) as On)
    });
    let mut records = observed.map(|observer| observer.join().expect("the observer only counts")).unwrap_or_default();
    if let Some(file) = written {
        let recorded = file.finish().expect("written");
        assert_eq!(recorded.dropped, 0);
        records.all = recorded.records;
    }
    Run { wall, workers, records, analysis: None }
}

fn quantile(sorted: &[f64], at: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * at).round() as usize]
}

/// Alternates runs without and with recording; prints what it costs.
fn paired(what: &str, pairs: usize, words: u64, off: impl Fn() -> Run, on: impl Fn() -> Run) {
    off();
    on();
    let (mut ratios, mut without, mut with) = (Vec::new(), Vec::new(), Vec::new());
    let (mut records, mut analysis) = (Records::default(), Vec::new());
    for pair in 0..pairs {
        // Each goes first in every other pair.
        let early = (pair % 2 == 1).then(&on);
        let other = off();
        let one = early.unwrap_or_else(&on);
        ratios.push(other.wall.as_secs_f64() / one.wall.as_secs_f64());
        without.extend(other.workers.map(|time| time.as_secs_f64()));
        with.extend(one.workers.map(|time| time.as_secs_f64()));
        records = one.records;
        analysis.extend(one.analysis.zip(one.workers).map(|(analysis, workers)| analysis.as_secs_f64() / workers.as_secs_f64()));
    }
    ratios.sort_by(f64::total_cmp);
    let [low, middle, high] = [0.25, 0.5, 0.75].map(|at| quantile(&ratios, at));
    println!("{what}");
    println!("  throughput on / off   {middle:.3}, median of pairs (quartiles {low:.3} to {high:.3})");
    without.sort_by(f64::total_cmp);
    with.sort_by(f64::total_cmp);
    for (name, at) in [("median", 0.5), ("quietest tenth", 0.1)] {
        if !with.is_empty() {
            let (off, on) = (quantile(&without, at), quantile(&with, at));
            let cost = (on - off) * 1e9;
            let record = if records.all > 0 { format!(", {:+.0} ns a log record", cost / records.all as f64) } else { String::new() };
            println!("  worker time off / on  {:.3}, {name}: {:+.2} ns a word{record}", off / on, cost / words as f64);
        }
    }
    if !analysis.is_empty() {
        analysis.sort_by(f64::total_cmp);
        println!("  following paths       {:.2} % of the workers' time, median", quantile(&analysis, 0.5) * 100.0);
    }
    println!("  records               {:.2} per 1000 words, of the last run {records:?}", records.all as f64 * 1000.0 / words as f64);
}

fn main() {
    // `-- PAIRS` makes fewer of them.
    let pairs = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(PAIRS);
    println!("{pairs} alternating pairs each (a tenth, and at least 10, with critical paths), {WORDS} words a run, {WORKERS} workers");
    for sentences in [50, 500] {
        let epoch = sentences * WORDS_PER_SENTENCE;
        let of = |words, of| move || elastic(words, sentences, of);
        let (off, on) = (of(WORDS, Of::Nothing), of(WORDS, Of::Records));
        paired(&format!("elastic, {epoch} words an epoch"), pairs, WORDS, off, on);
        let (off, on) = (of(WORDS_WITH_PATHS, Of::Nothing), of(WORDS_WITH_PATHS, Of::Paths));
        let what = format!("elastic, {epoch} words an epoch, {WORDS_WITH_PATHS} words a run, with critical paths");
        paired(&what, pairs.div_ceil(10).max(10), WORDS_WITH_PATHS, off, on);
        let none = || plain(sentences, To::Nobody);
        paired(&format!("plain timely, {epoch} words an epoch, timely's log thrown away"), pairs, WORDS, none, || {
            plain(sentences, To::Nowhere)
        });
        paired(&format!("plain timely, {epoch} words an epoch, to an observer"), pairs, WORDS, none, || plain(sentences, To::Observer));
        paired(&format!("plain timely, {epoch} words an epoch, to a file"), pairs, WORDS, none, || plain(sentences, To::File));
    }
}
