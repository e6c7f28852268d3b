//! How many records wait for each instance, and for which instances sources pause.
//!
//! Shared by all workers of a process: the router adds when it sends, the instance subtracts when it has processed, so that
//! records in flight count and a source never overshoots by what is on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

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
    waiting: AtomicU64,
    pressed: AtomicBool,
    since: AtomicU64,
}

impl Gauges {
    /// Empty queues of an operator with up to `instances` instances; `pressing` is shared by the operators of a job.
    pub fn new(marks: QueueMarks, instances: u32, pressing: Arc<AtomicUsize>) -> Gauges {
        Gauges { marks, instances: (0..instances).map(|_| Gauge::default()).collect(), pressing }
    }

    /// Records that wait for instance `index`.
    pub fn waiting(&self, index: u32) -> u64 {
        self.instances[index as usize].waiting.load(Ordering::SeqCst)
    }

    /// `records` more wait for instance `index`.
    pub fn add(&self, index: u32, records: u64, now: Timestamp) {
        let gauge = &self.instances[index as usize];
        let waiting = gauge.waiting.fetch_add(records, Ordering::SeqCst) + records;
        if waiting <= self.marks.high_records || gauge.pressed.load(Ordering::SeqCst) {
            return;
        }
        // Before the flag, so that whoever lifts the pressure finds this span's beginning and not the last one's.
        gauge.since.store(now.0, Ordering::SeqCst);
        if !gauge.pressed.swap(true, Ordering::SeqCst) {
            self.pressing.fetch_add(1, Ordering::SeqCst);
            // The instance may have emptied its queue between the two: then nobody else would ever lift the pressure.
            if gauge.waiting.load(Ordering::SeqCst) < self.marks.low_records.max(1) && gauge.pressed.swap(false, Ordering::SeqCst) {
                self.pressing.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }

    /// `records` fewer wait for instance `index`; gives the span of backpressure that ends with it, if one does.
    pub fn remove(&self, index: u32, records: u64, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let gauge = &self.instances[index as usize];
        let waiting = gauge.waiting.fetch_sub(records, Ordering::SeqCst) - records;
        // An empty queue lifts the pressure whatever the mark.
        if waiting < self.marks.low_records.max(1) && gauge.pressed.swap(false, Ordering::SeqCst) {
            self.pressing.fetch_sub(1, Ordering::SeqCst);
            return Some((Timestamp(gauge.since.load(Ordering::SeqCst)), now));
        }
        None
    }

    /// The part of a running span of backpressure of instance `index` up to `now`, so that a long span is seen while it lasts.
    pub fn cut(&self, index: u32, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let gauge = &self.instances[index as usize];
        if !gauge.pressed.load(Ordering::SeqCst) {
            return None;
        }
        let since = Timestamp(gauge.since.swap(now.0, Ordering::SeqCst));
        (since < now).then_some((since, now))
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(gauges.cut(1, Timestamp(4)), Some((Timestamp(2), Timestamp(4))));
        assert_eq!(gauges.remove(1, 6, Timestamp(5)), None);
        assert_eq!(gauges.remove(1, 1, Timestamp(6)), Some((Timestamp(4), Timestamp(6))));
        assert_eq!((paused(), gauges.waiting(1)), (0, 4));
    }
}
