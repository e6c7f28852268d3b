//! First operator of the analysis: reads records and emits the graphs of complete windows.
//!
//! It runs on one worker, because the graph is built in order of time. Invariant: only a fixed
//! number of windows is in progress downstream; once that many are, records wait in the channel and
//! their producers are slowed down.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, TryRecvError};

use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilderSession;
use timely::scheduling::Activator;

use super::config::{AnalysisConfig, UNDER_WAY_A_WORKER, nanoseconds};
use super::parcel::{Parcel, ParcelBuilder};
use super::queries::{Fact, LongSpans};
use crate::activity::{Names, Record};
use crate::critical_path::{EpochOddities, EpochPath, EpochPaths};
use crate::engine::Time;
use crate::id::WorkerId;
use crate::pag::{GraphBuilder, Oddities, WindowGraph};
use crate::time::{Timestamp, Window};

/// Batches taken before other operators of the worker have their turn.
const BATCHES_A_TURN: usize = 16;
/// Pieces and messages of the windows under way from which on a single worker builds no further one: what it has built would be out of its
/// cache before it is summarised, and each window would need memory of its own.
const MANY_PIECES: usize = 1 << 12;

/// Names of operators and channels that are remembered as passed on.
const MOST_NAMES: usize = 1 << 12;

/// A window to be summarised.
pub(super) struct Task {
    pub(super) graph: WindowGraph,
    /// What took longer in it than some query allows.
    pub(super) long: Vec<Fact>,
    /// The paths of epochs that were completed in it.
    pub(super) epochs: Vec<EpochPath>,
}

/// State shared by the first and the last operator, both on the first worker.
#[derive(Clone, Default)]
pub(super) struct Shared {
    /// Windows that have been sent and have not come back.
    pub(super) under_way: Rc<Cell<usize>>,
    /// What the graph had to leave out; final once no window is to come.
    pub(super) oddities: Rc<Cell<Oddities>>,
    /// The same of epochs, and paths of epochs that were completed after the last window.
    pub(super) last_epochs: Rc<RefCell<(EpochOddities, Vec<EpochPath>)>>,
    /// A graph that is no longer needed; the next one takes its memory.
    pub(super) spare: Rc<RefCell<Option<WindowGraph>>>,
    /// Names that are new with the window of that number.
    pub(super) names: Rc<RefCell<BTreeMap<Time, Names>>>,
}

/// The state of the first operator.
pub(super) struct GraphSource {
    /// None when no more are to come.
    records: Option<Receiver<Vec<Record>>>,
    builder: GraphBuilder,
    epochs: Option<EpochPaths>,
    long: LongSpans,
    /// The names that were passed on lately or are about to be.
    names: Names,
    /// Those of them that were not passed on yet.
    new_names: Names,
    /// Windows that were asked for.
    stretch: Window,
    /// Length of a window in ns.
    window: u64,
    /// Number of workers that have to report before any window closes.
    awaited: usize,
    heard: BTreeSet<WorkerId>,
    /// Windows under way at most, and workers they are spread over.
    most: usize,
    workers: usize,
    sent: usize,
    /// Pieces and messages of the windows that were sent since none was under way.
    pieces: usize,
    shared: Shared,
}

impl GraphSource {
    pub(super) fn new(config: &AnalysisConfig, records: Receiver<Vec<Record>>, shared: Shared) -> GraphSource {
        let mut graph = config.graph;
        let window = nanoseconds(graph.window).max(1);
        let long = LongSpans::new(&config.queries, window);
        if long.reads_stories() {
            graph.history = graph.history.max(graph.window);
        }
        let workers = config.workers.max(1) as usize;
        GraphSource {
            records: Some(records),
            builder: GraphBuilder::new(graph),
            epochs: config.epochs.then(|| EpochPaths::default().with_slack()),
            long,
            names: Names::default(),
            new_names: Names::default(),
            stretch: config.stretch,
            window,
            awaited: config.awaited,
            heard: BTreeSet::new(),
            most: UNDER_WAY_A_WORKER * workers,
            workers,
            sent: 0,
            pieces: 0,
            shared,
        }
    }

    /// Makes progress as far as possible now; drops the capability when no further window can come.
    pub(super) fn turn(
        &mut self,
        capability: &mut Option<Capability<Time>>,
        output: &mut OutputBuilderSession<'_, Time, ParcelBuilder<Task>>,
        again: &Activator,
    ) {
        let mut batches = 0;
        while let Some(open) = capability {
            if let Some(graph) = self.shared.spare.take() {
                self.builder.recycle(graph);
            }
            while self.has_room()
                && let Some(graph) = self.builder.close(self.known())
            {
                if graph.window.start >= self.stretch.end {
                    return self.end(capability, graph.window.end);
                }
                let number = graph.window.start.0 / self.window;
                let long = self.long.close(graph.window, &self.builder);
                let mut epochs = Vec::new();
                if let Some(open) = &mut self.epochs {
                    epochs = open.walk(&self.builder, graph.window.end);
                    self.builder.keep_from(open.oldest_due());
                }
                if graph.window.end <= self.stretch.start {
                    self.builder.recycle(graph);
                    continue;
                }
                self.pass_names(number);
                self.pieces += graph.pieces.len() + graph.messages.len();
                open.downgrade(&number);
                let content = Some(Task { graph, long, epochs });
                output.session_with_builder(&open).give_container(&mut Parcel { to: self.sent % self.workers, content });
                open.downgrade(&(number + 1));
                self.sent += 1;
                self.shared.under_way.set(self.shared.under_way.get() + 1);
            }
            if !self.has_room() {
                // The last operator wakes this one.
                return;
            }
            let Some(records) = &self.records else {
                return self.end(capability, Timestamp(u64::MAX));
            };
            if batches >= BATCHES_A_TURN {
                again.activate();
                return;
            }
            match records.try_recv() {
                Ok(records) => self.take(&records),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => self.records = None,
            }
            batches += 1;
        }
    }

    /// Whether a further window may be under way.
    fn has_room(&mut self) -> bool {
        let under_way = self.shared.under_way.get();
        if under_way == 0 {
            self.pieces = 0;
        }
        under_way < self.most && (self.workers > 1 || self.pieces < MANY_PIECES)
    }

    /// Ends the analysis; epochs that were completed by `settled` still come out.
    fn end(&mut self, capability: &mut Option<Capability<Time>>, settled: Timestamp) {
        self.records = None;
        self.shared.oddities.set(self.builder.oddities());
        if let Some(epochs) = &mut self.epochs {
            let last = epochs.walk(&self.builder, settled);
            *self.shared.last_epochs.borrow_mut() = (epochs.oddities(), last);
        }
        self.pass_names(Time::MAX);
        *capability = None;
    }

    /// Passes on the names that are new, for windows from number `from` on.
    fn pass_names(&mut self, from: Time) {
        if !self.new_names.is_empty() {
            self.shared.names.borrow_mut().insert(from, std::mem::take(&mut self.new_names));
        }
    }

    fn take(&mut self, records: &[Record]) {
        for record in records {
            if let Record::UpTo { worker, .. } = record
                && self.heard.len() < self.awaited
            {
                self.heard.insert(*worker);
            }
            if self.names.learn(record) {
                self.new_names.learn(record);
                if self.names.named() > MOST_NAMES {
                    // Names that come again are passed on again, which changes nothing.
                    self.names = Names::default();
                }
            }
            self.long.push(record);
            if let Some(epochs) = &mut self.epochs {
                epochs.push(record);
            }
            self.builder.push(record);
        }
    }

    /// The time up to which the records are complete.
    fn known(&self) -> Timestamp {
        match () {
            () if self.records.is_none() => Timestamp(u64::MAX),
            () if self.heard.len() < self.awaited => Timestamp::ZERO,
            () => self.builder.known(),
        }
    }
}
