//! One instance: a queue of batches and a server that processes them in order.
//!
//! Invariants: first in, first out, except that records which travel with a bin overtake; within a
//! busy period services follow each other without a gap, so no capacity is lost to the grid of
//! ticks; every record that was enqueued is either waiting or has been taken out once.

use std::collections::VecDeque;

use crate::dataflow::QueueMarks;
use crate::time::Timestamp;

/// Records of one epoch that wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Batch {
    pub(super) epoch: u64,
    pub(super) records: u64,
    /// Service time of its records over the mean.
    pub(super) factor: f64,
}

/// Part of a batch that has been processed; times in ns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Served {
    pub(super) epoch: u64,
    pub(super) records: u64,
    pub(super) start: f64,
    /// When the work was done; after it the instance waited for something outside, until `end`.
    pub(super) worked: f64,
    pub(super) end: f64,
}

/// One instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Instance {
    pub(super) queue: VecDeque<Batch>,
    /// Records in the queue.
    pub(super) waiting: u64,
    /// Records that arrived since the last sample.
    pub(super) arrivals: u64,
    /// Records processed and emitted since the start.
    pub(super) processed: u64,
    pub(super) produced: u64,
    /// Useful time since the last sample of bins, in ns, and records processed in it.
    pub(super) useful: f64,
    /// When the server is free, in ns.
    free_at: f64,
    /// On a shared worker, the part of the first record that is done.
    done: f64,
    /// Part of a record that is still to be emitted.
    carry: f64,
    /// By how much it has had less than its share of the operator's arrivals.
    pub(super) debt: f64,
    /// Its share of the operator's arrivals.
    pub(super) share: f64,
    /// Since when sources pause for it.
    pub(super) pressed: Option<u64>,
    /// Factor on useful times as they are recorded.
    pub(super) noise: f64,
}

impl Instance {
    /// An instance that works from `from` (ns) on.
    pub(super) fn starting(from: f64) -> Instance {
        Instance { free_at: from, noise: 1.0, ..Instance::default() }
    }

    /// Appends records to the queue.
    pub(super) fn enqueue(&mut self, batch: Batch, now: u64) {
        if self.queue.is_empty() {
            self.free_at = self.free_at.max(now as f64);
        }
        self.waiting += batch.records;
        self.arrivals += batch.records;
        match self.queue.back_mut() {
            Some(last) if last.epoch == batch.epoch && last.factor == batch.factor => last.records += batch.records,
            _ => self.queue.push_back(batch),
        }
    }

    /// Inserts records at the head of the queue, in their order.
    pub(super) fn overtake(&mut self, batches: &[Batch], now: u64) {
        if self.queue.is_empty() {
            self.free_at = self.free_at.max(now as f64);
        }
        for &batch in batches.iter().rev() {
            self.waiting += batch.records;
            self.arrivals += batch.records;
            self.queue.push_front(batch);
        }
    }

    /// Takes the part `share` of what waits of epochs before `until` out of the queue, in order.
    pub(super) fn take(&mut self, share: f64, until: u64) -> Vec<Batch> {
        let (mut taken, mut owed) = (Vec::new(), 0.0);
        for batch in self.queue.iter_mut().filter(|batch| batch.epoch < until) {
            owed += batch.records as f64 * share;
            // A part of a record is owed on; rounding must not leave one behind when everything
            // goes.
            let records = ((owed + 1e-6) as u64).min(batch.records);
            owed -= records as f64;
            batch.records -= records;
            self.waiting -= records;
            if records > 0 {
                taken.push(Batch { records, ..*batch });
            }
        }
        self.queue.retain(|batch| batch.records > 0);
        taken
    }

    /// Processes what is complete at `now`, one batch: `work_ns` of work and `wait_ns` of waiting a
    /// record.
    pub(super) fn serve(&mut self, now: u64, work_ns: f64, wait_ns: f64) -> Option<Served> {
        let batch = self.queue.front_mut()?;
        let work = work_ns * batch.factor;
        let each = work + wait_ns;
        let records = match each > 0.0 {
            // What is complete but for the last bits of a sum is complete.
            true => (((now as f64 - self.free_at) / each + 1e-9).max(0.0) as u64).min(batch.records),
            false => batch.records,
        };
        if records == 0 {
            return None;
        }
        let start = if each > 0.0 { self.free_at } else { now as f64 };
        let worked = start + records as f64 * work;
        let end = start + records as f64 * each;
        self.free_at = end;
        self.waiting -= records;
        self.processed += records;
        batch.records -= records;
        let epoch = batch.epoch;
        if batch.records == 0 {
            self.queue.pop_front();
        }
        Some(Served { epoch, records, start, worked, end })
    }

    /// On a shared worker, works on the first batch from `at` until `until` (ns), or until it is
    /// empty: `work_ns` of work and `wait_ns` of waiting a record. What is done of a record stays
    /// done.
    pub(super) fn serve_part(&mut self, (at, until): (f64, f64), work_ns: f64, wait_ns: f64) -> Option<Served> {
        let batch = self.queue.front_mut()?;
        let work = work_ns * batch.factor;
        let each = work + wait_ns;
        let whole = self.done + (until - at) / each;
        let records = ((whole + 1e-9) as u64).min(batch.records);
        let (epoch, is_last) = (batch.epoch, records == batch.records);
        let end = if is_last { (at + (records as f64 - self.done) * each).clamp(at, until) } else { until };
        self.done = if is_last { 0.0 } else { (whole - records as f64).max(0.0) };
        self.waiting -= records;
        self.processed += records;
        batch.records -= records;
        if is_last {
            self.queue.pop_front();
        }
        Some(Served { epoch, records, start: at, worked: at + (end - at) * work / each, end })
    }

    /// What is emitted for `records` more records: whole records, so that nothing is lost over
    /// time.
    pub(super) fn give(&mut self, records: u64, selectivity: f64) -> u64 {
        self.carry += records as f64 * selectivity;
        // A sum that misses a whole record by its last bits has it.
        let out = (self.carry + 1e-9).max(0.0) as u64;
        self.carry -= out as f64;
        self.produced += out;
        out
    }

    /// Called when the queue may have grown; returns whether backpressure starts.
    pub(super) fn press(&mut self, marks: QueueMarks, now: u64) -> bool {
        let presses = self.pressed.is_none() && self.waiting > marks.high_records;
        if presses {
            self.pressed = Some(now);
        }
        presses
    }

    /// Called when the queue may have shrunk; returns the span of backpressure that ends, if any.
    pub(super) fn relieve(&mut self, marks: QueueMarks, now: u64) -> Option<(Timestamp, Timestamp)> {
        // An empty queue lifts the pressure whatever the mark.
        let since = self.pressed.filter(|_| self.waiting < marks.low_records.max(1))?;
        self.pressed = None;
        Some((Timestamp(since), Timestamp(now)))
    }

    /// When the work begins that is next, in ns; nothing if nothing waits.
    pub(super) fn next_begins(&self) -> Option<u64> {
        (!self.queue.is_empty()).then_some(self.free_at as u64)
    }

    /// The oldest epoch that waits.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.queue.iter().map(|batch| batch.epoch).min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn batch(epoch: u64, records: u64) -> Batch {
        Batch { epoch, records, factor: 1.0 }
    }

    #[test]
    fn a_busy_server_loses_nothing_to_the_grid() {
        let mut instance = Instance::starting(0.0);
        instance.enqueue(batch(1, 10), 100);
        instance.enqueue(batch(2, 10), 100);
        assert_eq!(instance.serve(129, 30.0, 0.0), None);
        let served = |epoch, records, start: f64, end: f64| Some(Served { epoch, records, start, worked: end, end });
        assert_eq!(instance.serve(200, 30.0, 0.0), served(1, 3, 100.0, 190.0));
        assert_eq!(instance.serve(500, 30.0, 0.0), served(1, 7, 190.0, 400.0));
        assert_eq!(instance.serve(500, 30.0, 0.0), served(2, 3, 400.0, 490.0));
        assert_eq!(instance.serve(500, 30.0, 0.0), None);
        assert_eq!((instance.waiting, instance.oldest()), (7, Some(2)));
    }

    #[test]
    fn a_record_that_is_cut_off_goes_on_where_it_was() {
        let mut instance = Instance::starting(0.0);
        instance.enqueue(batch(1, 3), 0);
        instance.enqueue(batch(2, 1), 0);
        let served = |epoch, records, start: f64, end: f64| Some(Served { epoch, records, start, worked: end, end });
        assert_eq!(instance.serve_part((0.0, 15.0), 10.0, 0.0), served(1, 1, 0.0, 15.0));
        // At half the speed the rest of the second takes ten, and the third twenty.
        assert_eq!(instance.serve_part((20.0, 100.0), 20.0, 0.0), served(1, 2, 20.0, 50.0));
        assert_eq!(instance.serve_part((50.0, 55.0), 10.0, 0.0), served(2, 0, 50.0, 55.0));
        assert_eq!(
            instance.serve_part((55.0, 100.0), 5.0, 5.0),
            Some(Served { epoch: 2, records: 1, start: 55.0, worked: 57.5, end: 60.0 })
        );
        assert_eq!(instance.serve_part((60.0, 100.0), 10.0, 0.0), None);
    }

    proptest! {
        /// In order, nothing lost, nothing twice, whatever is taken out on the way.
        #[test]
        fn what_goes_in_comes_out_once_and_in_order(
            batches in prop::collection::vec(1u64..50, 1..40), tick in 1u64..500, each in 0.0f64..20.0, share in 0.0f64..1.0
        ) {
            let mut instance = Instance::starting(0.0);
            let total: u64 = batches.iter().sum();
            let (mut out, mut last, mut now, mut taken) = (0, 0, 0, 0);
            for (epoch, &records) in (1..).zip(&batches) {
                now += tick;
                instance.enqueue(batch(epoch, records), now);
                if epoch == 20 {
                    taken = instance.take(share, 15).iter().map(|batch| batch.records).sum();
                }
                while let Some(served) = instance.serve(now, each, 0.0) {
                    prop_assert!(served.epoch >= last && served.end <= now as f64 + 1e-3);
                    last = served.epoch;
                    out += served.records;
                }
                let given: u64 = batches[..epoch as usize].iter().sum();
                prop_assert_eq!(given, out + taken + instance.waiting);
            }
            prop_assert_eq!(instance.queue.iter().map(|batch| batch.records).sum::<u64>(), instance.waiting);
            prop_assert_eq!(out + taken + instance.waiting, total);
            prop_assert_eq!(instance.take(1.0, u64::MAX).iter().map(|batch| batch.records).sum::<u64>() + out + taken, total);
        }

        /// Whatever the selectivity, what is emitted is the product, but for part of a record.
        #[test]
        fn selectivity_is_exact_in_the_long_run(parts in prop::collection::vec(0u64..1000, 1..200), selectivity in 0.0f64..30.0) {
            let mut instance = Instance::starting(0.0);
            let out: u64 = parts.iter().map(|&records| instance.give(records, selectivity)).sum();
            let exact = parts.iter().sum::<u64>() as f64 * selectivity;
            prop_assert!((out as f64 - exact).abs() <= 1.0 + exact * 1e-12, "{} of {}", out, exact);
        }
    }
}
