//! The imposed service times of a limited instance: a first-in-first-out server without a clock of its own.
//!
//! Invariant: within one busy period the k-th record completes k / rate seconds after the period began, to the nanosecond;
//! errors of rounding or of late wake-ups never add up. So a worker that is woken late releases late but loses no capacity.
//! Where the instance is slow for a time, time counts for that part of itself meanwhile.

use crate::dataflow::Straggler;
use crate::rate::Rate;
use crate::time::Timestamp;

/// When a limited instance completes its records.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    nanoseconds_per_record: f64,
    busy_from: Timestamp,
    served: u64,
    busy: bool,
    /// When it is slow.
    slow: Option<Straggler>,
}

impl Pace {
    /// An idle server of `rate`, which is slow for a time if it is that straggler.
    pub(super) fn new(rate: Rate, slow: Option<Straggler>) -> Pace {
        Pace { nanoseconds_per_record: 1e9 / rate.as_per_second(), busy_from: Timestamp::ZERO, served: 0, busy: false, slow }
    }

    /// The time that the busy period goes on before the server is slow and while it is, in ns.
    fn phases(&self) -> Option<(f64, f64, f64)> {
        let slow = self.slow?;
        let (from, until) = (slow.from.max(self.busy_from), slow.until.max(self.busy_from));
        Some(((from.0 - self.busy_from.0) as f64, until.0.saturating_sub(from.0) as f64, slow.speed))
    }

    /// What the server does in the first `elapsed` ns of the busy period, in ns at full speed.
    fn done_in(&self, elapsed: f64) -> f64 {
        let Some((before, slow, speed)) = self.phases() else { return elapsed };
        elapsed - (1.0 - speed) * (elapsed - before).clamp(0.0, slow)
    }

    /// How long it takes for what is `work` ns at full speed: the inverse of the above.
    fn time_for(&self, work: f64) -> f64 {
        let Some((before, slow, speed)) = self.phases() else { return work };
        let left = work - before;
        if left <= 0.0 { work } else { before + (left / speed).min(slow) + (left - slow * speed).max(0.0) }
    }

    /// There is work since `now`; nothing changes if there already was.
    pub(super) fn work_arrived(&mut self, now: Timestamp) {
        if !self.busy {
            let free_at = self.completion(0);
            *self = Pace { busy_from: now.max(free_at), served: 0, busy: true, ..self.clone() };
        }
    }

    /// The work ran out.
    pub(super) fn work_ran_out(&mut self) {
        self.busy = false;
    }

    /// How many further records are complete at `now`.
    pub(super) fn completed_by(&self, now: Timestamp) -> u64 {
        if !self.busy || now < self.busy_from {
            return 0;
        }
        let all = self.done_in((now.0 - self.busy_from.0) as f64) / self.nanoseconds_per_record + 1e-9;
        (all as u64).saturating_sub(self.served)
    }

    /// When the `ahead`-th record from here is complete (0: the last one that was served).
    pub(super) fn completion(&self, ahead: u64) -> Timestamp {
        Timestamp(self.busy_from.0 + self.time_for((self.served + ahead) as f64 * self.nanoseconds_per_record).round() as u64)
    }

    /// Takes `records` records as served; gives the interval of their service.
    pub(super) fn serve(&mut self, records: u64) -> (Timestamp, Timestamp) {
        let interval = (self.completion(0), self.completion(records));
        self.served += records;
        interval
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_busy_server_completes_at_its_rate_however_late_it_is_asked() {
        let mut pace = Pace::new(Rate::per_second(1000.0), None);
        pace.work_arrived(Timestamp(500));
        assert_eq!(pace.completed_by(Timestamp(1_000_499)), 0);
        assert_eq!(pace.completed_by(Timestamp(1_000_500)), 1);
        assert_eq!(pace.completed_by(Timestamp(7_300_000)), 7);
        assert_eq!(pace.serve(7), (Timestamp(500), Timestamp(7_000_500)));
        assert_eq!(pace.completed_by(Timestamp(7_300_000)), 0);
        pace.work_ran_out();
        pace.work_arrived(Timestamp(7_000_100));
        assert_eq!(pace.serve(1), (Timestamp(7_000_500), Timestamp(8_000_500)), "a server that was free later starts later");
    }

    #[test]
    fn a_server_that_is_slow_for_a_time_does_that_part_meanwhile() {
        let at = |ms: u64| Timestamp(ms * 1_000_000);
        let slow = Straggler { instance: 0, speed: 0.25, from: at(10), until: at(30) };
        let mut pace = Pace::new(Rate::per_second(1000.0), Some(slow));
        pace.work_arrived(at(0));
        // 10 records before, 5 in the slow 20 ms, then again one in a millisecond.
        for (ms, records) in [(9, 9), (10, 10), (13, 10), (14, 11), (30, 15), (31, 16), (50, 35)] {
            assert_eq!(pace.completed_by(at(ms)), records, "{ms} ms");
            if [9, 14, 30, 50].contains(&ms) {
                assert_eq!(pace.completion(records), at(ms), "{records} records");
            }
        }
        // Cut into pieces it is the same, and a busy period that begins meanwhile is as slow.
        assert_eq!((pace.serve(12), pace.serve(8)), ((at(0), at(18)), (at(18), at(35))));
        pace.work_ran_out();
        let mut late = Pace::new(Rate::per_second(1000.0), Some(slow));
        late.work_arrived(at(26));
        assert_eq!((late.completion(1), late.completion(3)), (at(30), at(32)));
        late.work_ran_out();
        let mut after = Pace::new(Rate::per_second(1000.0), Some(slow));
        after.work_arrived(at(40));
        assert_eq!(after.completion(2), at(42));
    }

    proptest! {
        /// However service is cut into pieces, the pieces tile the busy period and their sum is records / rate.
        #[test]
        fn pieces_tile_the_busy_period(
            rate in 0.1f64..1e6, pieces in prop::collection::vec(1u64..1000, 1..50), speed in 0.01f64..1.0, from in 0u64..1000, slow in 0u64..1000
        ) {
            let (from, until) = (Timestamp(from * 1_000_000), Timestamp((from + slow) * 1_000_000));
            let straggler = Straggler { instance: 0, speed, from, until };
            let mut pace = Pace::new(Rate::per_second(rate), (slow > 0).then_some(straggler));
            pace.work_arrived(Timestamp(123));
            let mut last = Timestamp(123);
            for &records in &pieces {
                let (start, end) = pace.serve(records);
                prop_assert_eq!(start, last);
                last = end;
            }
            let exact = pieces.iter().sum::<u64>() as f64 / rate * 1e9;
            let overlap = last.0.min(until.0).saturating_sub(from.0.max(123)) as f64;
            let done = (last.0 - 123) as f64 - (1.0 - speed) * overlap;
            prop_assert!((done - exact).abs() <= 1.0 + exact * 1e-12);
        }
    }
}
