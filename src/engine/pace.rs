//! The imposed service times of a limited instance: a first-in-first-out server without a clock of its own.
//!
//! Invariant: within one busy period the k-th record completes k / rate seconds after the period began, to the nanosecond;
//! errors of rounding or of late wake-ups never add up. So a worker that is woken late releases late but loses no capacity.

use crate::rate::Rate;
use crate::time::Timestamp;

/// When a limited instance completes its records.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    nanoseconds_per_record: f64,
    busy_from: Timestamp,
    served: u64,
    busy: bool,
}

impl Pace {
    /// An idle server of `rate`.
    pub(super) fn new(rate: Rate) -> Pace {
        Pace { nanoseconds_per_record: 1e9 / rate.as_per_second(), busy_from: Timestamp::ZERO, served: 0, busy: false }
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
        let all = (now.0 - self.busy_from.0) as f64 / self.nanoseconds_per_record + 1e-9;
        (all as u64).saturating_sub(self.served)
    }

    /// When the `ahead`-th record from here is complete (0: the last one that was served).
    pub(super) fn completion(&self, ahead: u64) -> Timestamp {
        Timestamp(self.busy_from.0 + ((self.served + ahead) as f64 * self.nanoseconds_per_record).round() as u64)
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
        let mut pace = Pace::new(Rate::per_second(1000.0));
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

    proptest! {
        /// However service is cut into pieces, the pieces tile the busy period and their sum is records / rate.
        #[test]
        fn pieces_tile_the_busy_period(rate in 0.1f64..1e6, pieces in prop::collection::vec(1u64..1000, 1..50)) {
            let mut pace = Pace::new(Rate::per_second(rate));
            pace.work_arrived(Timestamp(123));
            let mut last = Timestamp(123);
            for &records in &pieces {
                let (start, end) = pace.serve(records);
                prop_assert_eq!(start, last);
                last = end;
            }
            let exact = pieces.iter().sum::<u64>() as f64 / rate * 1e9;
            prop_assert!((last.0 as f64 - 123.0 - exact).abs() <= 1.0 + exact * 1e-12);
        }
    }
}
