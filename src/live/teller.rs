//! From a run that goes on to those who watch it, without making it wait.
//!
//! The run hands over rows and events through a queue that never fills; a thread of its own makes
//! the story of them and tells what is new.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::model::Model;
use super::news::{News, Tail};
use super::story::{Decision, HeldAt, Migration, QuietSpan, State, Story, Warning};
use crate::controller::Event;
use crate::dataflow::Topology;
use crate::experiment::instance_rows::InstanceRow;
use crate::experiment::rows::{LatencyRow, TimelineRow};
use crate::experiment::run::{Moving, Status};

/// Upper bounds of the buckets of the latency histogram, in milliseconds.
pub const BUCKETS_MS: [u64; 16] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000, 300_000];

/// The latency of all records so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latencies {
    /// For each of [`BUCKETS_MS`], how many records took no longer.
    pub cumulative: Vec<u64>,
    /// Number of records.
    pub records: u64,
    /// All latencies together, in seconds.
    pub sum_s: f64,
}

/// What is known of a run, for several to read.
#[derive(Debug)]
pub struct Board {
    known: Mutex<Known>,
    /// Gets each message, as JSON.
    listener: Mutex<Option<Box<dyn Listener>>>,
}

/// Takes what is new.
pub trait Listener: Send + std::fmt::Debug {
    /// Takes a message, as JSON; never waits.
    fn hear(&mut self, message: &Arc<str>);
}

#[derive(Debug)]
struct Known {
    model: Model,
    number: u64,
    latencies: Option<Latencies>,
}

impl Board {
    /// A board that shows what `model` knows.
    pub fn new(model: Model) -> Arc<Board> {
        Arc::new(Board { known: Mutex::new(Known { model, number: 0, latencies: None }), listener: Mutex::new(None) })
    }

    /// From now on `listener` hears what is new.
    pub fn listen(&self, listener: Box<dyn Listener>) {
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
    }

    /// What is known.
    pub fn story(&self) -> Story {
        let known = self.known();
        Story { number: known.number, ..known.model.story() }
    }

    /// From now on shows another run. Pages notice that a message is missing and ask for the story.
    pub fn show(&self, model: Model) {
        let mut known = self.known();
        *known = Known { model, number: known.number + 1, latencies: None };
    }

    /// The number of the last message.
    pub fn number(&self) -> u64 {
        self.known().number
    }

    /// Calls `read` with the model and the latency of all records.
    pub fn read<T>(&self, read: impl FnOnce(&Model, Option<&Latencies>) -> T) -> T {
        let known = self.known();
        read(&known.model, known.latencies.as_ref())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Whoever panicked with it has left a model that is whole: its calls add one thing each.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, news: &News) {
        let message: Arc<str> = serde_json::to_string(news).unwrap_or_default().into();
        if let Some(listener) = self.listener.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            listener.hear(&message);
        }
    }
}

/// What a run hands over.
enum Message {
    Window(Box<Closed>),
    Events(Vec<Event>),
    End { state: State, events: Vec<Event>, totals: BTreeMap<String, f64> },
}

/// A window that closed, with what happened until then.
struct Closed {
    rows: Vec<TimelineRow>,
    latency: LatencyRow,
    instances: Vec<InstanceRow>,
    events: Vec<Event>,
    moving: Option<Moving>,
    latencies: Latencies,
}

/// Hands over what happens in a run.
#[derive(Debug)]
pub struct Teller {
    topology: Topology,
    /// Events that have been handed over.
    told: usize,
    to: Option<Sender<Message>>,
    thread: Option<JoinHandle<()>>,
}

impl Teller {
    /// Begins to tell `board` of a run of `topology`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(board: Arc<Board>, topology: Topology) -> std::io::Result<Teller> {
        let (to, from) = mpsc::channel();
        let thread = std::thread::Builder::new().name("live".to_owned()).spawn(move || keep(&board, &from))?;
        Ok(Teller { topology, told: 0, to: Some(to), thread: Some(thread) })
    }

    /// A window of the run has closed.
    pub fn window(&mut self, status: &Status<'_>) {
        let bounds = BUCKETS_MS.map(Duration::from_millis);
        let closed = Closed {
            rows: TimelineRow::of(&self.topology, status.observation),
            latency: LatencyRow::of(status.observation),
            instances: InstanceRow::of(&self.topology, status.observation),
            events: status.events.get(self.told..).unwrap_or_default().to_vec(),
            moving: status.migration,
            latencies: Latencies {
                cumulative: status.overall.cumulative(&bounds),
                records: status.overall.records(),
                sum_s: status.overall.sum().as_secs_f64(),
            },
        };
        self.told = self.told.max(status.events.len());
        self.hand_over(Message::Window(Box::new(closed)));
    }

    /// The controller has done something between two windows; `events` are all so far.
    pub fn decided(&mut self, events: &[Event]) {
        let new = events.get(self.told..).unwrap_or_default().to_vec();
        self.told = self.told.max(events.len());
        if !new.is_empty() {
            self.hand_over(Message::Events(new));
        }
    }

    /// The run has ended; `events` are all of it. Returns once everybody has been told.
    pub fn end(mut self, state: State, events: &[Event], totals: BTreeMap<String, f64>) {
        let events = events.get(self.told..).unwrap_or_default().to_vec();
        self.hand_over(Message::End { state, events, totals });
    }

    fn hand_over(&mut self, message: Message) {
        if let Some(to) = &self.to {
            // If the thread is gone the page stays as it is; the run goes on.
            let _ = to.send(message);
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.to = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the last message said.
#[derive(Debug, Default)]
struct Sent {
    paths: usize,
    decisions: Vec<Decision>,
    quiet: Vec<QuietSpan>,
    held: Vec<HeldAt>,
    migrations: Vec<Migration>,
    warnings: Vec<Warning>,
    notes: Vec<String>,
}

/// Keeps the board until the run has ended.
fn keep(board: &Arc<Board>, from: &Receiver<Message>) {
    let mut telling = Telling::new(board);
    for message in from {
        telling.change(|model, latencies| match message {
            Message::Window(closed) => {
                let explains = !closed.events.is_empty();
                let has_instances = !closed.instances.is_empty();
                let at_s = closed.latency.window_end_s;
                closed.events.into_iter().for_each(|event| model.event(event));
                if let Some(moving) = closed.moving {
                    model.moving(at_s, moving);
                }
                model.window(closed.rows, closed.latency, closed.instances);
                *latencies = Some(closed.latencies);
                if explains {
                    model.explain();
                }
                Closes { window: true, instances: has_instances }
            }
            Message::Events(events) => {
                events.into_iter().for_each(|event| model.event(event));
                model.explain();
                Closes::default()
            }
            Message::End { state, events, totals } => {
                events.into_iter().for_each(|event| model.event(event));
                model.finish(state, totals);
                Closes::default()
            }
        });
    }
}

/// What a change of a model closes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Closes {
    /// A window.
    pub(super) window: bool,
    /// And it has figures of instances.
    pub(super) instances: bool,
}

/// Changes what a board shows, and tells what is new.
#[derive(Debug)]
pub(super) struct Telling {
    board: Arc<Board>,
    sent: Sent,
}

impl Telling {
    pub(super) fn new(board: &Arc<Board>) -> Telling {
        Telling { board: Arc::clone(board), sent: Sent::default() }
    }

    /// Changes the model, and tells of it.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Model, &mut Option<Latencies>) -> Closes) {
        let news = {
            let known = &mut *self.board.known();
            known.number += 1;
            let closes = change(&mut known.model, &mut known.latencies);
            let window = known.model.last_window().filter(|_| closes.window).cloned();
            let instances = known.model.last_instances().filter(|_| closes.instances).cloned();
            news(known, &mut self.sent, window, instances)
        };
        self.board.tell(&news);
    }

    /// Changes what no message tells of: pages notice that one is missing and ask for the story.
    pub(super) fn change_all(&mut self, change: impl FnOnce(&mut Model)) {
        let known = &mut *self.board.known();
        known.number += 1;
        change(&mut known.model);
    }
}

/// What is new since the last message.
fn news(known: &Known, sent: &mut Sent, window: Option<super::story::Window>, instances: Option<super::story::Instances>) -> News {
    let model = &known.model;
    let now = Sent {
        paths: model.paths().len(),
        decisions: model.decisions().to_vec(),
        quiet: model.quiet().to_vec(),
        held: model.held().to_vec(),
        migrations: model.migrations(),
        warnings: model.warnings(),
        notes: model.about().notes,
    };
    let news = News {
        number: known.number,
        state: model.state(),
        window,
        instances,
        paths: model.paths()[sent.paths.min(now.paths)..].to_vec(),
        goal_ms: model.goal_ms(),
        decisions: Tail::between(&sent.decisions, &now.decisions),
        quiet: Tail::between(&sent.quiet, &now.quiet),
        held: Tail::between(&sent.held, &now.held),
        migrations: Tail::between(&sent.migrations, &now.migrations),
        warnings: Tail::between(&sent.warnings, &now.warnings),
        steered: model.steered(),
        totals: (model.state() != State::Running).then(|| model.totals().clone()),
        notes: (now.notes != sent.notes).then(|| now.notes.clone()),
        diagnosis: model.diagnosis().cloned(),
    };
    *sent = now;
    news
}
