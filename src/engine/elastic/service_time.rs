//! Imposed service times of a limited instance: a first-in-first-out server in virtual time.
//!
//! Invariant: within one busy period the k-th record completes k / rate seconds after the period
//! began, to the nanosecond; errors of rounding and late wake-ups do not accumulate. A worker that
//! wakes up late therefore releases results late, but loses no capacity. While an instance is
//! slowed down, elapsed time counts only in part. Random service times depend only on how many
//! records were served before.

use crate::dataflow::Straggler;
use crate::rate::Rate;
use crate::time::Timestamp;

/// When a limited instance completes its records.
#[derive(Clone, Debug)]
pub(super) struct ServiceTime {
    nanoseconds_per_record: f64,
    busy_from: Timestamp,
    served: u64,
    busy: bool,
    /// When it is slow.
    slow: Option<Straggler>,
    /// How service times vary, if they do.
    varying: Option<Varying>,
}

/// Exponential service times, each drawn from its number.
#[derive(Clone, Debug)]
struct Varying {
    seed: u64,
    /// Records served before this busy period.
    before: u64,
    /// Work of those served in it, in ns.
    done: f64,
}

impl Varying {
    /// Service time of the `n`-th record of all, over the mean.
    fn factor(&self, n: u64) -> f64 {
        // Seeds that are close together give numbers that are not.
        let mut random = fastrand::Rng::with_seed(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n.wrapping_mul(0xd1b5_4a32_d192_ed03));
        -(1.0 - random.f64()).ln()
    }
}

impl ServiceTime {
    /// An idle server of `rate`, which is slow for a time if it is that straggler.
    pub(super) fn new(rate: Rate, slow: Option<Straggler>) -> ServiceTime {
        let nanoseconds_per_record = 1e9 / rate.as_per_second();
        ServiceTime { nanoseconds_per_record, busy_from: Timestamp::ZERO, served: 0, busy: false, slow, varying: None }
    }

    /// The same with service times that vary exponentially around those of `rate`.
    pub(super) fn exponential(rate: Rate, slow: Option<Straggler>, seed: u64) -> ServiceTime {
        ServiceTime { varying: Some(Varying { seed, before: 0, done: 0.0 }), ..ServiceTime::new(rate, slow) }
    }

    /// Work of all that was served in this busy period and `ahead` more, in ns.
    fn work(&self, ahead: u64) -> f64 {
        match &self.varying {
            None => (self.served + ahead) as f64 * self.nanoseconds_per_record,
            Some(varying) => {
                let next = varying.before + self.served;
                varying.done + (next..next + ahead).map(|n| varying.factor(n)).sum::<f64>() * self.nanoseconds_per_record
            }
        }
    }

    /// The parts of the busy period before the server is slow and while it is, in ns, and its speed
    /// then.
    fn phases(&self) -> Option<(f64, f64, f64)> {
        let slow = self.slow?;
        let (from, until) = (slow.from.max(self.busy_from), slow.until.max(self.busy_from));
        Some(((from.0 - self.busy_from.0) as f64, until.0.saturating_sub(from.0) as f64, slow.speed))
    }

    /// Work that the server does in the first `elapsed` ns of the busy period, in ns at full speed.
    fn done_in(&self, elapsed: f64) -> f64 {
        let Some((before, slow, speed)) = self.phases() else { return elapsed };
        elapsed - (1.0 - speed) * (elapsed - before).clamp(0.0, slow)
    }

    /// How long `work` ns at full speed take: the inverse of the above.
    fn time_for(&self, work: f64) -> f64 {
        let Some((before, slow, speed)) = self.phases() else { return work };
        let left = work - before;
        if left <= 0.0 { work } else { before + (left / speed).min(slow) + (left - slow * speed).max(0.0) }
    }

    /// Called when work arrives at `now`; starts a busy period if the server was idle.
    pub(super) fn work_arrived(&mut self, now: Timestamp) {
        if !self.busy {
            let free_at = self.completion(0);
            let varying = self.varying.take();
            let varying = varying.map(|varying| Varying { before: varying.before + self.served, done: 0.0, ..varying });
            *self = ServiceTime { busy_from: now.max(free_at), served: 0, busy: true, varying, ..*self };
        }
    }

    /// Called when the queue has become empty; ends the busy period.
    pub(super) fn work_ran_out(&mut self) {
        self.busy = false;
    }

    /// How many further records are complete at `now`.
    pub(super) fn completed_by(&self, now: Timestamp) -> u64 {
        if !self.busy || now < self.busy_from {
            return 0;
        }
        let done = self.done_in((now.0 - self.busy_from.0) as f64) / self.nanoseconds_per_record + 1e-9;
        let Some(varying) = &self.varying else { return (done as u64).saturating_sub(self.served) };
        let next = varying.before + self.served;
        let mut work = varying.done / self.nanoseconds_per_record;
        (next..)
            .take_while(|n| {
                work += varying.factor(*n);
                work <= done
            })
            .count() as u64
    }

    /// When the `ahead`-th record from here is complete (0: the last one that was served).
    pub(super) fn completion(&self, ahead: u64) -> Timestamp {
        Timestamp(self.busy_from.0 + self.time_for(self.work(ahead)).round() as u64)
    }

    /// Serves `records` records; returns the interval of their service.
    pub(super) fn serve(&mut self, records: u64) -> (Timestamp, Timestamp) {
        let (done, interval) = (self.work(records), (self.completion(0), self.completion(records)));
        self.served += records;
        if let Some(varying) = &mut self.varying {
            varying.done = done;
        }
        interval
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_busy_server_completes_at_its_rate_however_late_it_is_asked() {
        let mut service = ServiceTime::new(Rate::per_second(1000.0), None);
        service.work_arrived(Timestamp(500));
        assert_eq!(service.completed_by(Timestamp(1_000_499)), 0);
        assert_eq!(service.completed_by(Timestamp(1_000_500)), 1);
        assert_eq!(service.completed_by(Timestamp(7_300_000)), 7);
        assert_eq!(service.serve(7), (Timestamp(500), Timestamp(7_000_500)));
        assert_eq!(service.completed_by(Timestamp(7_300_000)), 0);
        service.work_ran_out();
        service.work_arrived(Timestamp(7_000_100));
        assert_eq!(service.serve(1), (Timestamp(7_000_500), Timestamp(8_000_500)), "a server that was free later starts later");
    }

    #[test]
    fn a_server_that_is_slow_for_a_time_does_that_part_meanwhile() {
        let at = |ms: u64| Timestamp(ms * 1_000_000);
        let slow = Straggler { instance: 0, speed: 0.25, from: at(10), until: at(30) };
        let mut service = ServiceTime::new(Rate::per_second(1000.0), Some(slow));
        service.work_arrived(at(0));
        // 10 records before, 5 in the slow 20 ms, then again one in a millisecond.
        for (ms, records) in [(9, 9), (10, 10), (13, 10), (14, 11), (30, 15), (31, 16), (50, 35)] {
            assert_eq!(service.completed_by(at(ms)), records, "{ms} ms");
            if [9, 14, 30, 50].contains(&ms) {
                assert_eq!(service.completion(records), at(ms), "{records} records");
            }
        }
        // Cut into pieces it is the same, and a busy period that begins meanwhile is as slow.
        assert_eq!((service.serve(12), service.serve(8)), ((at(0), at(18)), (at(18), at(35))));
        service.work_ran_out();
        let mut late = ServiceTime::new(Rate::per_second(1000.0), Some(slow));
        late.work_arrived(at(26));
        assert_eq!((late.completion(1), late.completion(3)), (at(30), at(32)));
        late.work_ran_out();
        let mut after = ServiceTime::new(Rate::per_second(1000.0), Some(slow));
        after.work_arrived(at(40));
        assert_eq!(after.completion(2), at(42));
    }

    #[test]
    fn exponential_times_have_their_mean_and_their_spread() {
        let mut service = ServiceTime::exponential(Rate::per_second(1000.0), None, 7);
        service.work_arrived(Timestamp(0));
        let times: Vec<f64> =
            (0..20_000).map(|_| service.serve(1)).map(|(from, until): (Timestamp, Timestamp)| until.since(from).as_secs_f64()).collect();
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        let variance = times.iter().map(|time| (time / mean - 1.0).powi(2)).sum::<f64>() / times.len() as f64;
        assert!((0.98e-3..1.02e-3).contains(&mean), "{mean}");
        assert!((0.95..1.05).contains(&variance), "{variance}");
        // Those of several instances are different ones.
        let first = |seed| ServiceTime::exponential(Rate::per_second(1000.0), None, seed).completion(1);
        assert_eq!((0..100).map(first).collect::<std::collections::BTreeSet<_>>().len(), 100);
    }

    proptest! {
        /// What is complete at an instant does not depend on when it was looked at before, or on
        /// pauses at which nothing was waiting.
        #[test]
        fn exponential_times_are_those_of_the_records(looks in prop::collection::vec(1u64..5_000_000, 1..60)) {
            let mut looked = ServiceTime::exponential(Rate::per_second(1000.0), None, 3);
            let never = looked.clone();
            looked.work_arrived(Timestamp(0));
            let mut once = never;
            once.work_arrived(Timestamp(0));
            let (mut now, mut served) = (Timestamp(0), 0);
            for look in looks {
                now = Timestamp(now.0 + look);
                let complete = looked.completed_by(now);
                looked.serve(complete);
                served += complete;
                prop_assert_eq!(served, once.completed_by(now));
                prop_assert!(once.completion(served) <= Timestamp(now.0 + 1) && looked.completion(1) >= now);
            }
            looked.work_ran_out();
            let free = looked.completion(0);
            looked.work_arrived(now);
            let (time, expected) = (looked.completion(1).since(now.max(free)), once.completion(served + 1).since(once.completion(served)));
            prop_assert!(time.abs_diff(expected) <= Duration::from_nanos(2), "{:?} and {:?}", time, expected);
        }

        /// However service is cut into pieces, the pieces tile the busy period and their sum is
        /// records / rate.
        #[test]
        fn pieces_tile_the_busy_period(
            rate in 0.1f64..1e6, pieces in prop::collection::vec(1u64..1000, 1..50), speed in 0.01f64..1.0, from in 0u64..1000, slow in 0u64..1000
        ) {
            let (from, until) = (Timestamp(from * 1_000_000), Timestamp((from + slow) * 1_000_000));
            let straggler = Straggler { instance: 0, speed, from, until };
            let mut service = ServiceTime::new(Rate::per_second(rate), (slow > 0).then_some(straggler));
            service.work_arrived(Timestamp(123));
            let mut last = Timestamp(123);
            for &records in &pieces {
                let (start, end) = service.serve(records);
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
