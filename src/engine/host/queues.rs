//! How many records wait for each instance, and for which instances sources pause.
//!
//! Shared by all workers of a process: the router adds when it sends, the instance subtracts when it has processed, so that
//! records in flight count and a source never overshoots by what is on the way.
//!
//! Between processes nothing is shared. Each counts what it has added and what it has removed since the start, tells the others
//! these two totals, and takes the sum over all processes for the truth. Totals only grow, so it does not matter how late a report
//! comes or how many are left out, and once everybody has heard everything all agree. Until then a process may have heard of a
//! removal before the addition: it takes such a queue for empty.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use crate::dataflow::QueueMarks;
use crate::time::Timestamp;

/// Queues of all instances of one operator.
#[derive(Debug)]
pub struct Gauges {
    marks: QueueMarks,
    instances: Vec<Gauge>,
    /// Instances of the whole job above their mark.
    pressing: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Gauge {
    here: Totals,
    elsewhere: Totals,
    pressed: AtomicBool,
    since: AtomicU64,
}

/// Records since the start.
#[derive(Debug, Default)]
struct Totals {
    added: AtomicU64,
    removed: AtomicU64,
}

/// The queues of a job in one process: those of every operator, in an order that is the same in every process.
#[derive(Clone, Debug, Default)]
pub struct Board {
    operators: Vec<Arc<Gauges>>,
    pressing: Arc<AtomicUsize>,
}

/// What one process has added to the queue of an instance and removed from it since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Reading {
    operator: u32,
    instance: u32,
    added: u64,
    removed: u64,
}

/// The last readings of one process, by operator and instance: those it told, or those that were heard of it.
#[derive(Debug, Default)]
pub(in crate::engine) struct Heard(BTreeMap<(u32, u32), (u64, u64)>);

impl Gauge {
    fn waiting(&self) -> u64 {
        // What is removed was added before: read in this order, what happens in between cannot make a queue look shorter.
        let removed = [&self.here, &self.elsewhere].map(|totals| totals.removed.load(Ordering::SeqCst));
        let added = [&self.here, &self.elsewhere].map(|totals| totals.added.load(Ordering::SeqCst));
        (added[0] + added[1]).saturating_sub(removed[0] + removed[1])
    }
}

impl Gauges {
    /// Empty queues of an operator with up to `instances` instances; `pressing` is shared by the operators of a job.
    pub fn new(marks: QueueMarks, instances: u32, pressing: Arc<AtomicUsize>) -> Gauges {
        Gauges { marks, instances: (0..instances).map(|_| Gauge::default()).collect(), pressing }
    }

    /// Records that wait for instance `index`.
    pub fn waiting(&self, index: u32) -> u64 {
        self.instances[index as usize].waiting()
    }

    /// Records that have been sent to instance `index` since the start, and that it has processed. Neither ever shrinks, but what is sent
    /// and processed between the two looks may be in one of them only.
    pub(in crate::engine) fn totals(&self, index: u32) -> (u64, u64) {
        let gauge = &self.instances[index as usize];
        let sum = |total: fn(&Totals) -> &AtomicU64| {
            [&gauge.here, &gauge.elsewhere].map(|totals| total(totals).load(Ordering::SeqCst)).iter().sum()
        };
        (sum(|totals| &totals.added), sum(|totals| &totals.removed))
    }

    /// `records` more wait for instance `index`.
    pub fn add(&self, index: u32, records: u64, now: Timestamp) {
        let gauge = &self.instances[index as usize];
        gauge.here.added.fetch_add(records, Ordering::SeqCst);
        self.press(gauge, now);
    }

    /// `records` fewer wait for instance `index`; gives the span of backpressure that ends with it, if one does.
    pub fn remove(&self, index: u32, records: u64, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let gauge = &self.instances[index as usize];
        gauge.here.removed.fetch_add(records, Ordering::SeqCst);
        self.relieve(gauge).then(|| (Timestamp(gauge.since.load(Ordering::SeqCst)), now))
    }

    /// Takes note that a queue may have grown.
    fn press(&self, gauge: &Gauge, now: Timestamp) {
        if gauge.waiting() <= self.marks.high_records || gauge.pressed.load(Ordering::SeqCst) {
            return;
        }
        // Before the flag, so that whoever lifts the pressure finds this span's beginning and not the last one's.
        gauge.since.store(now.0, Ordering::SeqCst);
        if !gauge.pressed.swap(true, Ordering::SeqCst) {
            self.pressing.fetch_add(1, Ordering::SeqCst);
            // The instance may have emptied its queue between the two: then nobody else would ever lift the pressure.
            self.relieve(gauge);
        }
    }

    /// Takes note that a queue may have shrunk; says whether that lifted the pressure.
    fn relieve(&self, gauge: &Gauge) -> bool {
        // An empty queue lifts the pressure whatever the mark.
        let lifted = gauge.waiting() < self.marks.low_records.max(1) && gauge.pressed.swap(false, Ordering::SeqCst);
        if lifted {
            self.pressing.fetch_sub(1, Ordering::SeqCst);
        }
        lifted
    }

    /// The part of a running span of backpressure of instance `index` up to `now`, so that a long span is seen while it lasts.
    pub fn cut(&self, index: u32, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let gauge = &self.instances[index as usize];
        if !gauge.pressed.load(Ordering::SeqCst) {
            return None;
        }
        // It may have begun on another worker since `now` was read.
        let since = Timestamp(gauge.since.fetch_max(now.0, Ordering::SeqCst));
        (since < now).then_some((since, now))
    }
}

impl Board {
    /// A board without queues.
    pub fn new() -> Board {
        Board::default()
    }

    /// Adds the queues of an operator with up to `instances` instances.
    pub fn operator(&mut self, marks: QueueMarks, instances: u32) -> Arc<Gauges> {
        let gauges = Arc::new(Gauges::new(marks, instances, Arc::clone(&self.pressing)));
        self.operators.push(Arc::clone(&gauges));
        gauges
    }

    /// How many instances of the job are above their mark: sources pause unless none is.
    pub fn pressing(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.pressing)
    }

    /// What this process has to tell since it told `told`.
    pub(in crate::engine) fn news(&self, told: &mut Heard) -> Vec<Reading> {
        let mut news = Vec::new();
        for (operator, gauges) in (0..).zip(&self.operators) {
            for (instance, gauge) in (0..).zip(&gauges.instances) {
                let removed = gauge.here.removed.load(Ordering::SeqCst);
                let added = gauge.here.added.load(Ordering::SeqCst);
                if (added, removed) != (0, 0) && told.0.insert((operator, instance), (added, removed)) != Some((added, removed)) {
                    news.push(Reading { operator, instance, added, removed });
                }
            }
        }
        news
    }

    /// Takes in what another process tells, of which `heard` was known. Readings of one process come in the order they were made.
    pub(in crate::engine) fn learn(&self, readings: &[Reading], heard: &mut Heard, now: Timestamp) {
        for reading in readings {
            // A process of the same job has the same queues.
            let gauges = &self.operators[reading.operator as usize];
            let gauge = &gauges.instances[reading.instance as usize];
            let before = heard.0.insert((reading.operator, reading.instance), (reading.added, reading.removed)).unwrap_or_default();
            gauge.elsewhere.removed.fetch_add(reading.removed - before.1, Ordering::SeqCst);
            gauge.elsewhere.added.fetch_add(reading.added - before.0, Ordering::SeqCst);
            gauges.press(gauge, now);
            gauges.relieve(gauge);
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
        let gauges = Gauges::new(QueueMarks { high_records: 10, low_records: 5 }, 2, pressing.clone());
        let paused = || pressing.load(Ordering::SeqCst);
        gauges.add(1, 10, Timestamp(1));
        assert_eq!(paused(), 0);
        gauges.add(1, 1, Timestamp(2));
        assert_eq!((paused(), gauges.waiting(1)), (1, 11));
        assert_eq!(gauges.cut(1, Timestamp(1)), None);
        assert_eq!(gauges.cut(1, Timestamp(4)), Some((Timestamp(2), Timestamp(4))));
        assert_eq!(gauges.remove(1, 6, Timestamp(5)), None);
        assert_eq!(gauges.remove(1, 1, Timestamp(6)), Some((Timestamp(4), Timestamp(6))));
        assert_eq!((paused(), gauges.waiting(1)), (0, 4));
    }

    const PROCESSES: usize = 3;
    const INSTANCES: u32 = 4;

    /// One thing that happens in a process.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Add(u32, u64),
        /// A part, in hundredths, of what has really been added to the queue and is not yet removed; at the host of the instance.
        Remove(u32, u64),
        /// Tells its news to everybody.
        Tell,
        /// Hears the next that another has told.
        Hear(usize),
    }

    fn step() -> impl Strategy<Value = (usize, Step)> {
        let step = prop_oneof![
            (0..INSTANCES, 1u64..30).prop_map(|(instance, records)| Step::Add(instance, records)),
            (0..INSTANCES, 1u64..=100).prop_map(|(instance, part)| Step::Remove(instance, part)),
            Just(Step::Tell),
            (0..PROCESSES).prop_map(Step::Hear),
        ];
        (0..PROCESSES, step)
    }

    /// Processes with the reports that are under way between them.
    struct World {
        boards: Vec<(Board, Arc<Gauges>)>,
        told: Vec<Heard>,
        /// By receiver and sender.
        heard: Vec<Vec<Heard>>,
        under_way: Vec<Vec<VecDeque<Vec<Reading>>>>,
        really: Vec<u64>,
    }

    impl World {
        fn new(marks: QueueMarks) -> World {
            let board = |_| {
                let mut board = Board::new();
                let gauges = board.operator(marks, INSTANCES);
                (board, gauges)
            };
            World {
                boards: (0..PROCESSES).map(board).collect(),
                told: (0..PROCESSES).map(|_| Heard::default()).collect(),
                heard: (0..PROCESSES).map(|_| (0..PROCESSES).map(|_| Heard::default()).collect()).collect(),
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
                Step::Tell => {
                    let news = self.boards[process].0.news(&mut self.told[process]);
                    (0..PROCESSES).filter(|&to| to != process).for_each(|to| self.under_way[to][process].push_back(news.clone()));
                }
                Step::Hear(from) => {
                    if let Some(news) = self.under_way[process][from].pop_front() {
                        self.boards[process].0.learn(&news, &mut self.heard[process][from], now);
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
        /// Whatever happens in whatever order: no queue is ever taken for longer than all that was ever added, all agree with the
        /// truth once everything has been told, and when the queues are empty no source is paused anywhere.
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
                    let gauges = &world.boards[process].1;
                    let pressed = gauges.instances.iter().filter(|gauge| gauge.pressed.load(Ordering::SeqCst)).count();
                    prop_assert_eq!(world.pressing(process), pressed);
                    prop_assert!((0..INSTANCES).all(|instance| gauges.waiting(instance) <= added));
                }
            }
            world.settle();
            for process in 0..PROCESSES {
                let waiting: Vec<u64> = (0..INSTANCES).map(|instance| world.boards[process].1.waiting(instance)).collect();
                prop_assert_eq!(&waiting, &world.really);
                let above = waiting.iter().filter(|&&waiting| waiting > high).count();
                prop_assert!(world.pressing(process) >= above);
            }
            (0..INSTANCES).for_each(|instance| world.take(0, Step::Remove(instance, 100)));
            world.settle();
            for process in 0..PROCESSES {
                prop_assert_eq!(world.pressing(process), 0);
            }
        }
    }
}
