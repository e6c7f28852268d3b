//! A trace goes in record by record, and its epochs come out with their latencies in every world.

use std::time::Duration;

use super::change::Change;
use super::script::Script;
use super::world::World;
use crate::activity::{Names, Record};
use crate::id::OperatorId;
use crate::pag::{GraphBuilder, GraphConfig};
use crate::time::{Epoch, Timestamp};

/// The most operators that have a curve: those that work first.
const MOST_CURVES: usize = 64;
/// Stories are settled in windows of this length; results depend on it only where one activity is cut by several.
const WINDOW: Duration = Duration::from_secs(1);

/// A completed epoch in all worlds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetimedEpoch {
    /// The epoch.
    pub epoch: Epoch,
    /// When its earliest record was due.
    pub due: Timestamp,
    /// Records of it.
    pub records: u64,
    /// Its latency in the trace, in ns.
    pub recorded_ns: u64,
    /// Its latency in the worlds that there were, in ns.
    ns: Vec<u64>,
}

impl RetimedEpoch {
    /// Its latency in ns in a world: number 0 is that without a change.
    pub fn ns(&self, world: usize) -> u64 {
        // Nothing was changed in a world before it came to be.
        self.ns.get(world).copied().unwrap_or(self.ns[0])
    }
}

/// Times a trace again.
///
/// ```
/// use thalweg::critical_path::{Change, Retimer};
///
/// # let records: Vec<thalweg::activity::Record> = Vec::new();
/// let mut retimer = Retimer::new(vec!["count=0.5x".parse()?]);
/// for record in &records {
///     retimer.push(record);
///     retimer.advance(false);
/// }
/// retimer.advance(true);
/// for epoch in retimer.epochs() {
///     println!("{} ns would have been {}", epoch.ns(0), epoch.ns(1));
/// }
/// # Ok::<(), String>(())
/// ```
pub struct Retimer {
    graph: GraphBuilder,
    script: Script,
    names: Names,
    /// The first without a change, then those that were asked for, then the curves' in the order of their operators.
    worlds: Vec<World>,
    asked: usize,
    /// Factors of a curve's points.
    points: Vec<f64>,
    curves: Vec<OperatorId>,
    /// Operators without a curve because there are too many.
    left_out: u64,
    seen: usize,
    epochs: Vec<RetimedEpoch>,
    latencies: Vec<Vec<u64>>,
}

impl Retimer {
    /// A world for each of `changes`, beside that without one.
    pub fn new(changes: Vec<Change>) -> Retimer {
        let worlds: Vec<World> = std::iter::once(Change::default()).chain(changes).map(World::new).collect();
        Retimer {
            graph: GraphBuilder::new(GraphConfig { history: 2 * WINDOW, ..GraphConfig::new(WINDOW) }),
            script: Script::default(),
            names: Names::default(),
            asked: worlds.len(),
            worlds,
            points: Vec::new(),
            curves: Vec::new(),
            left_out: 0,
            seen: 0,
            epochs: Vec::new(),
            latencies: Vec::new(),
        }
    }

    /// Also worlds for each operator, in which its work costs these factors of what it costs.
    pub fn with_curves(self, factors: &[f64]) -> Retimer {
        Retimer { points: factors.to_vec(), ..self }
    }

    /// Adds a record.
    #[inline]
    pub fn push(&mut self, record: &Record) {
        self.names.learn(record);
        self.script.hear(record);
        self.graph.push(record);
    }

    /// Goes on as far as the records allow; to the end of the trace if there is none to come.
    pub fn advance(&mut self, is_end: bool) {
        let known = |graph: &GraphBuilder| if is_end { Timestamp(u64::MAX) } else { graph.known() };
        while let Some(window) = self.graph.pass(known(&self.graph), Timestamp(u64::MAX)) {
            self.script.advance(&self.graph, window.end.0);
            self.play();
        }
        if is_end {
            self.script.advance(&self.graph, u64::MAX);
            self.play();
        }
    }

    fn play(&mut self) {
        let new = self.script.instances[self.seen..].iter().map(|instance| instance.operator);
        for operator in new.filter(|_| !self.points.is_empty()) {
            if self.curves.contains(&operator) {
                continue;
            }
            if self.curves.len() == MOST_CURVES {
                self.left_out += 1;
                continue;
            }
            self.curves.push(operator);
            let name = self.names.operator(operator);
            for &factor in &self.points {
                self.worlds.push(self.worlds[0].with(Change::of(&name, factor)));
            }
        }
        self.seen = self.script.instances.len();
        let sizes = self.script.sizes();
        self.latencies.resize_with(self.worlds.len(), Vec::new);
        for (world, latencies) in self.worlds.iter_mut().zip(&mut self.latencies) {
            latencies.clear();
            world.grow(sizes, &self.script.instances, &self.names);
            world.play(&self.script.events, &self.script.lists, latencies);
        }
        for (index, done) in self.script.done.iter().enumerate() {
            self.epochs.push(RetimedEpoch {
                epoch: done.epoch,
                due: Timestamp(done.due),
                records: done.records,
                recorded_ns: done.ns,
                ns: self.latencies.iter().map(|latencies| latencies[index]).collect(),
            });
        }
        self.script.clear();
    }

    /// Epochs that have completed since this was last called, in order of completion.
    pub fn epochs(&mut self) -> Vec<RetimedEpoch> {
        std::mem::take(&mut self.epochs)
    }

    /// How long the trace took from its first event to its last, in the trace and in a world, in ns.
    pub fn length_ns(&self, world: usize) -> (u64, u64) {
        let (first, last) = self.script.span.unwrap_or_default();
        (last - first, self.worlds[world].latest.saturating_sub(first))
    }

    /// How many worlds there are.
    pub(super) fn worlds(&self) -> usize {
        self.worlds.len()
    }

    /// How many of them were there from the start.
    pub(super) fn asked(&self) -> usize {
        self.asked
    }

    /// Factors of the points of curves.
    pub(super) fn points(&self) -> &[f64] {
        &self.points
    }

    /// Operators that have curves, in the order of their worlds.
    pub(super) fn curves(&self) -> &[OperatorId] {
        &self.curves
    }

    /// Operators that have none because there are too many.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Operators that changes name and the trace does not have.
    pub(super) fn unknown(&self) -> Vec<String> {
        let known: Vec<String> = self.script.instances.iter().map(|one| self.names.operator(one.operator)).collect();
        let asked = self.worlds[1..self.asked].iter().flat_map(|world| world.change.operators());
        asked.filter(|name| !known.iter().any(|known| known == name)).map(str::to_owned).collect()
    }
}
