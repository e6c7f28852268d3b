//! Queue lengths of all instances, and backpressure: for which instances the sources pause.
//!
//! All workers of a process share them. The router adds when it sends and the instance subtracts
//! when it has processed, so that records in flight count and a source does not overshoot by what
//! is in transit.
//!
//! Processes share no memory. Each counts what it has added and removed since the start, reports
//! these two totals to the others, and sums them over all processes. Totals only grow, so late or
//! lost reports do no harm, and all processes agree once everything has been reported. Until then a
//! process may learn of a removal before the corresponding addition; it treats such a queue as
//! empty.
//!
//! An instance of capacity `Cpu` also holds the sources back when its worker has too much work
//! before it ([`Backlog`](super::backlog::Backlog)), however few records that is. Its worker says
//! so, and its process reports it with the totals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use crate::dataflow::QueueMarks;
use crate::time::Timestamp;

/// Queues of all instances of one operator.
#[derive(Debug)]
pub struct QueueMeters {
    marks: QueueMarks,
    instances: Vec<QueueMeter>,
    /// Instances of the whole job above their mark.
    pressing: Arc<AtomicUsize>,
    /// Instances of the whole job whose worker is late.
    late: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct QueueMeter {
    here: Totals,
    elsewhere: Totals,
    /// Whether its worker is late, if it is in this process.
    late_here: AtomicBool,
    /// How many other processes say that it is: at most the one of its worker.
    late_elsewhere: AtomicUsize,
    pressed: AtomicBool,
    since: AtomicU64,
}

/// Records since the start.
#[derive(Debug, Default)]
struct Totals {
    added: AtomicU64,
    removed: AtomicU64,
}

/// The queues of a job in one process: those of every operator, in an order that is the same in
/// every process.
#[derive(Clone, Debug, Default)]
pub struct QueueBoard {
    operators: Vec<Arc<QueueMeters>>,
    pressing: Arc<AtomicUsize>,
    late: Arc<AtomicUsize>,
}

/// What one process has added to the queue of an instance and removed from it since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Reading {
    operator: u32,
    instance: u32,
    added: u64,
    removed: u64,
    /// Whether the process has its worker and that is late.
    late: bool,
}

/// Totals of one process by operator and instance, as it last reported them, and whether the worker
/// was late.
#[derive(Debug, Default)]
pub(in crate::engine) struct ReportedTotals(BTreeMap<(u32, u32), (u64, u64, bool)>);

impl QueueMeter {
    fn waiting(&self) -> u64 {
        // What is removed was added before: read in this order, what happens in between cannot make
        // a queue look shorter.
        let removed = [&self.here, &self.elsewhere].map(|totals| totals.removed.load(Ordering::SeqCst));
        let added = [&self.here, &self.elsewhere].map(|totals| totals.added.load(Ordering::SeqCst));
        (added[0] + added[1]).saturating_sub(removed[0] + removed[1])
    }

    fn is_late(&self) -> bool {
        self.late_here.load(Ordering::SeqCst) || self.late_elsewhere.load(Ordering::SeqCst) > 0
    }
}

impl QueueMeters {
    /// Empty queues of an operator with up to `instances` instances; `pressing` is shared by the
    /// operators of a job.
    pub fn new(marks: QueueMarks, instances: u32, pressing: Arc<AtomicUsize>) -> QueueMeters {
        QueueMeters { marks, instances: (0..instances).map(|_| QueueMeter::default()).collect(), pressing, late: Arc::default() }
    }

    /// How many instances there may be.
    pub(in crate::engine) fn instances(&self) -> u32 {
        self.instances.len() as u32
    }

    /// Records that wait for instance `index`.
    pub fn waiting(&self, index: u32) -> u64 {
        self.instances[index as usize].waiting()
    }

    /// Records that have been sent to instance `index` since the start, and that it has processed.
    /// Neither ever shrinks, but what is sent and processed between the two reads may be in one of
    /// them only.
    pub(in crate::engine) fn totals(&self, index: u32) -> (u64, u64) {
        let meter = &self.instances[index as usize];
        let sum = |total: fn(&Totals) -> &AtomicU64| {
            [&meter.here, &meter.elsewhere].map(|totals| total(totals).load(Ordering::SeqCst)).iter().sum()
        };
        (sum(|totals| &totals.added), sum(|totals| &totals.removed))
    }

    /// `records` more wait for instance `index`.
    pub fn add(&self, index: u32, records: u64, now: Timestamp) {
        let meter = &self.instances[index as usize];
        meter.here.added.fetch_add(records, Ordering::SeqCst);
        self.press(meter, now);
    }

    /// `records` fewer wait for instance `index`; returns the span of backpressure that ends with
    /// it, if one does.
    pub fn remove(&self, index: u32, records: u64, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let meter = &self.instances[index as usize];
        meter.here.removed.fetch_add(records, Ordering::SeqCst);
        self.relieve(meter).then(|| (Timestamp(meter.since.load(Ordering::SeqCst)), now))
    }

    /// The worker of instance `index` is `late` from now on, or no longer; returns the span of
    /// backpressure that ends with it, if one does. Where no queue ever holds sources back, no
    /// worker does.
    pub(in crate::engine) fn set_late(&self, index: u32, late: bool, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let meter = &self.instances[index as usize];
        if self.marks == QueueMarks::NEVER || meter.late_here.swap(late, Ordering::SeqCst) == late {
            return None;
        }
        if late {
            self.late.fetch_add(1, Ordering::SeqCst);
            self.press(meter, now);
            return None;
        }
        self.late.fetch_sub(1, Ordering::SeqCst);
        self.relieve(meter).then(|| (Timestamp(meter.since.load(Ordering::SeqCst)), now))
    }

    /// Called when a queue may have grown or a worker may be late; starts backpressure then and
    /// above the high mark.
    fn press(&self, meter: &QueueMeter, now: Timestamp) {
        if meter.waiting() <= self.marks.high_records && !meter.is_late() || meter.pressed.load(Ordering::SeqCst) {
            return;
        }
        // Before the flag, so that the worker that releases it finds this span's beginning and not
        // the last one's.
        meter.since.store(now.0, Ordering::SeqCst);
        if !meter.pressed.swap(true, Ordering::SeqCst) {
            self.pressing.fetch_add(1, Ordering::SeqCst);
            // The instance may have emptied its queue between the two: then nobody else would
            // release it.
            self.relieve(meter);
        }
    }

    /// Called when a queue may have shrunk; returns whether backpressure was released.
    fn relieve(&self, meter: &QueueMeter) -> bool {
        // An empty queue lifts the pressure whatever the mark.
        let low = meter.waiting() < self.marks.low_records.max(1) && !meter.is_late();
        let lifted = low && meter.pressed.swap(false, Ordering::SeqCst);
        if lifted {
            self.pressing.fetch_sub(1, Ordering::SeqCst);
        }
        lifted
    }

    /// The part of a running span of backpressure of instance `index` up to `now`, so that a long
    /// span is seen while it lasts.
    pub fn cut(&self, index: u32, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let meter = &self.instances[index as usize];
        if !meter.pressed.load(Ordering::SeqCst) {
            return None;
        }
        // It may have begun on another worker since `now` was read.
        let since = Timestamp(meter.since.fetch_max(now.0, Ordering::SeqCst));
        (since < now).then_some((since, now))
    }
}

impl QueueBoard {
    /// A board without queues.
    pub fn new() -> QueueBoard {
        QueueBoard::default()
    }

    /// Adds the queues of an operator with up to `instances` instances.
    pub fn operator(&mut self, marks: QueueMarks, instances: u32) -> Arc<QueueMeters> {
        let queues = QueueMeters::new(marks, instances, Arc::clone(&self.pressing));
        let queues = Arc::new(QueueMeters { late: Arc::clone(&self.late), ..queues });
        self.operators.push(Arc::clone(&queues));
        queues
    }

    /// Number of instances of the job that are above their mark; sources pause unless it is 0.
    pub fn pressing(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.pressing)
    }

    /// Number of instances of the job whose worker is late: they are among those for which sources
    /// pause.
    pub fn late(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.late)
    }

    /// Totals of this process that differ from those in `sent`, which is updated.
    pub(in crate::engine) fn changes_since(&self, sent: &mut ReportedTotals) -> Vec<Reading> {
        let mut changes = Vec::new();
        for (operator, queues) in (0..).zip(&self.operators) {
            for (instance, meter) in (0..).zip(&queues.instances) {
                let removed = meter.here.removed.load(Ordering::SeqCst);
                let added = meter.here.added.load(Ordering::SeqCst);
                let late = meter.late_here.load(Ordering::SeqCst);
                let totals = (added, removed, late);
                if sent.0.insert((operator, instance), totals).unwrap_or_default() != totals {
                    changes.push(Reading { operator, instance, added, removed, late });
                }
            }
        }
        changes
    }

    /// Applies totals that another process reported; `received` has its previous ones. Reports of
    /// one process arrive in order.
    pub(in crate::engine) fn apply_report(&self, readings: &[Reading], received: &mut ReportedTotals, now: Timestamp) {
        for reading in readings {
            // A process of the same job has the same queues.
            let queues = &self.operators[reading.operator as usize];
            let meter = &queues.instances[reading.instance as usize];
            let told = (reading.added, reading.removed, reading.late);
            let before = received.0.insert((reading.operator, reading.instance), told).unwrap_or_default();
            meter.elsewhere.removed.fetch_add(reading.removed - before.1, Ordering::SeqCst);
            meter.elsewhere.added.fetch_add(reading.added - before.0, Ordering::SeqCst);
            match (before.2, reading.late) {
                (false, true) => [&meter.late_elsewhere, &queues.late].map(|count| count.fetch_add(1, Ordering::SeqCst)),
                (true, false) => [&meter.late_elsewhere, &queues.late].map(|count| count.fetch_sub(1, Ordering::SeqCst)),
                _ => [0; 2],
            };
            queues.press(meter, now);
            queues.relieve(meter);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sources_pause_above_the_high_mark_until_below_the_low_one() {
        let pressing = Arc::new(AtomicUsize::new(0));
        let queues = QueueMeters::new(QueueMarks { high_records: 10, low_records: 5 }, 2, pressing.clone());
        let paused = || pressing.load(Ordering::SeqCst);
        queues.add(1, 10, Timestamp(1));
        assert_eq!(paused(), 0);
        queues.add(1, 1, Timestamp(2));
        assert_eq!((paused(), queues.waiting(1)), (1, 11));
        assert_eq!(queues.cut(1, Timestamp(1)), None);
        assert_eq!(queues.cut(1, Timestamp(4)), Some((Timestamp(2), Timestamp(4))));
        assert_eq!(queues.remove(1, 6, Timestamp(5)), None);
        assert_eq!(queues.remove(1, 1, Timestamp(6)), Some((Timestamp(4), Timestamp(6))));
        assert_eq!((paused(), queues.waiting(1)), (0, 4));
    }

    #[test]
    fn sources_pause_for_a_worker_that_is_late_unless_they_never_do() {
        let pressing = Arc::new(AtomicUsize::new(0));
        let queues = QueueMeters::new(QueueMarks { high_records: 10, low_records: 5 }, 1, pressing.clone());
        let paused = || pressing.load(Ordering::SeqCst);
        queues.add(0, 1, Timestamp(1));
        assert_eq!((queues.set_late(0, true, Timestamp(2)), paused()), (None, 1));
        assert_eq!((queues.set_late(0, true, Timestamp(3)), paused()), (None, 1), "it is said again");
        assert_eq!((queues.remove(0, 1, Timestamp(4)), paused()), (None, 1), "an empty queue of a worker that is late");
        assert_eq!((queues.set_late(0, false, Timestamp(5)), paused()), (Some((Timestamp(2), Timestamp(5))), 0));
        // Of the two reasons the last counts.
        queues.set_late(0, true, Timestamp(6));
        queues.add(0, 11, Timestamp(7));
        assert_eq!((queues.set_late(0, false, Timestamp(8)), paused()), (None, 1));
        assert_eq!((queues.remove(0, 7, Timestamp(9)), paused()), (Some((Timestamp(6), Timestamp(9))), 0));
        let never = QueueMeters::new(QueueMarks::NEVER, 1, pressing.clone());
        assert_eq!((never.set_late(0, true, Timestamp(10)), paused()), (None, 0));
    }

    const PROCESSES: usize = 3;
    const INSTANCES: u32 = 4;

    /// One thing that happens in a process.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Add(u32, u64),
        /// A part, in hundredths, of what has really been added to the queue and is not yet
        /// removed; at the host of the instance.
        Remove(u32, u64),
        /// The worker of the instance is late, or no longer; at its host.
        Late(u32, bool),
        /// Reports its changes to all others.
        Tell,
        /// Receives the next report of another.
        Hear(usize),
    }

    fn step() -> impl Strategy<Value = (usize, Step)> {
        let step = prop_oneof![
            (0..INSTANCES, 1u64..30).prop_map(|(instance, records)| Step::Add(instance, records)),
            (0..INSTANCES, 1u64..=100).prop_map(|(instance, part)| Step::Remove(instance, part)),
            (0..INSTANCES, any::<bool>()).prop_map(|(instance, late)| Step::Late(instance, late)),
            Just(Step::Tell),
            (0..PROCESSES).prop_map(Step::Hear),
        ];
        (0..PROCESSES, step)
    }

    /// Processes with the reports in transit between them.
    struct World {
        boards: Vec<(QueueBoard, Arc<QueueMeters>)>,
        sent: Vec<ReportedTotals>,
        /// By receiver and sender.
        received: Vec<Vec<ReportedTotals>>,
        under_way: Vec<Vec<VecDeque<Vec<Reading>>>>,
        really: Vec<u64>,
    }

    impl World {
        fn new(marks: QueueMarks) -> World {
            let board = |_| {
                let mut board = QueueBoard::new();
                let queues = board.operator(marks, INSTANCES);
                (board, queues)
            };
            World {
                boards: (0..PROCESSES).map(board).collect(),
                sent: (0..PROCESSES).map(|_| ReportedTotals::default()).collect(),
                received: (0..PROCESSES).map(|_| (0..PROCESSES).map(|_| ReportedTotals::default()).collect()).collect(),
                under_way: vec![vec![VecDeque::new(); PROCESSES]; PROCESSES],
                really: vec![0; INSTANCES as usize],
            }
        }

        fn take(&mut self, process: usize, step: Step) {
            let now = Timestamp::ZERO;
            match step {
                Step::Add(instance, records) => {
                    self.boards[process].1.add(instance, records, now);
                    self.really[instance as usize] += records;
                }
                Step::Remove(instance, part) => {
                    let records = (self.really[instance as usize] * part).div_ceil(100);
                    self.boards[instance as usize % PROCESSES].1.remove(instance, records, now);
                    self.really[instance as usize] -= records;
                }
                Step::Late(instance, late) => {
                    self.boards[instance as usize % PROCESSES].1.set_late(instance, late, now);
                }
                Step::Tell => {
                    let changes = self.boards[process].0.changes_since(&mut self.sent[process]);
                    (0..PROCESSES).filter(|&to| to != process).for_each(|to| self.under_way[to][process].push_back(changes.clone()));
                }
                Step::Hear(from) => {
                    if let Some(changes) = self.under_way[process][from].pop_front() {
                        self.boards[process].0.apply_report(&changes, &mut self.received[process][from], now);
                    }
                }
            }
        }

        fn settle(&mut self) {
            (0..PROCESSES).for_each(|process| self.take(process, Step::Tell));
            for process in 0..PROCESSES {
                for from in 0..PROCESSES {
                    while !self.under_way[process][from].is_empty() {
                        self.take(process, Step::Hear(from));
                    }
                }
            }
        }

        fn pressing(&self, process: usize) -> usize {
            self.boards[process].0.pressing.load(Ordering::SeqCst)
        }
    }

    proptest! {
        /// Whatever happens in whatever order: no queue is ever taken for longer than all that was
        /// ever added, all agree with the truth once everything has been sent, and when the queues
        /// are empty no source is paused anywhere.
        #[test]
        fn processes_agree_in_the_end_and_pause_no_source_for_ever(
            high in 0u64..50,
            low in 0u64..50,
            steps in prop::collection::vec(step(), 0..120),
        ) {
            let mut world = World::new(QueueMarks { high_records: high, low_records: low.min(high) });
            let mut added = 0;
            for &(process, step) in &steps {
                world.take(process, step);
                added += if let Step::Add(_, records) = step { records } else { 0 };
                for process in 0..PROCESSES {
                    let queues = &world.boards[process].1;
                    let pressed = queues.instances.iter().filter(|meter| meter.pressed.load(Ordering::SeqCst)).count();
                    prop_assert_eq!(world.pressing(process), pressed);
                    prop_assert!((0..INSTANCES).all(|instance| queues.waiting(instance) <= added));
                }
            }
            world.settle();
            for process in 0..PROCESSES {
                let waiting: Vec<u64> = (0..INSTANCES).map(|instance| world.boards[process].1.waiting(instance)).collect();
                prop_assert_eq!(&waiting, &world.really);
                let above = waiting.iter().filter(|&&waiting| waiting > high).count();
                prop_assert!(world.pressing(process) >= above);
            }
            for instance in 0..INSTANCES {
                world.take(0, Step::Remove(instance, 100));
                world.take(0, Step::Late(instance, false));
            }
            world.settle();
            for process in 0..PROCESSES {
                prop_assert_eq!((world.pressing(process), world.boards[process].0.late.load(Ordering::SeqCst)), (0, 0));
            }
        }
    }
}
