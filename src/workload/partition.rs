//! A source's part of a schedule, where several emit it together.
//!
//! Record `i` of the schedule belongs to partition `i mod n`. So every partition has its part of any
//! time, however short, and its own due times. Invariant: the records of all partitions are those
//! of the schedule, each once, and what is due at all of them together is what is due by it.

use crate::time::Timestamp;
use crate::workload::RateSchedule;

/// One of several partitions of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    index: u32,
    of: u32,
}

impl Partition {
    /// The only partition.
    pub const WHOLE: Partition = Partition { index: 0, of: 1 };

    /// Partition `index` of `of`.
    ///
    /// # Panics
    /// If there is none of that number.
    pub fn new(index: u32, of: u32) -> Partition {
        assert!(index < of, "expected a partition below {of}, found {index}");
        Partition { index, of }
    }

    /// Its number.
    pub fn index(self) -> u32 {
        self.index
    }

    /// Its share of the records.
    pub fn share(self) -> f64 {
        1.0 / f64::from(self.of)
    }

    /// The number in the schedule of its own record `n`, both counted from 0.
    pub fn nth(self, n: u64) -> u64 {
        n * u64::from(self.of) + u64::from(self.index)
    }

    /// Number of its records due by `at`, with a fraction for the last one.
    pub fn due(self, schedule: &RateSchedule, at: Timestamp) -> f64 {
        let due = schedule.due(at);
        if self.of == 1 {
            return due;
        }
        let (of, index, whole) = (u64::from(self.of), u64::from(self.index), due as u64);
        let own = whole.saturating_add(of - 1 - index) / of;
        // The record that is due in part is that of one partition.
        own as f64 + if whole % of == index { due.fract() } else { 0.0 }
    }

    /// When its `n`-th record (counted from 1) is due; `None` if it never is.
    pub fn time_of(self, schedule: &RateSchedule, n: u64) -> Option<Timestamp> {
        schedule.time_of(self.nth(n.checked_sub(1)?) + 1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::rate::Rate;
    use crate::workload::Phase;

    proptest! {
        /// At any instant what is due at the partitions adds up to what is due by the schedule, and
        /// each of its records is the next one of one partition, due when it is.
        #[test]
        fn partitions_together_are_the_schedule(
            rates in prop::collection::vec(0.0f64..5000.0, 1..5),
            of in 1u32..9,
            at in prop::collection::vec(0.0f64..8.0, 1..20),
        ) {
            let phases = rates.iter().zip(0..).map(|(rate, second)| Phase { start: Duration::from_secs(second), rate: Rate::per_second(*rate) });
            let schedule = RateSchedule::new(phases.collect()).unwrap();
            let partitions: Vec<Partition> = (0..of).map(|index| Partition::new(index, of)).collect();
            for at in at.into_iter().map(Timestamp::from_secs_f64) {
                let due: f64 = partitions.iter().map(|partition| partition.due(&schedule, at)).sum();
                prop_assert!((due - schedule.due(at)).abs() < 1e-6, "{due} due, not {}", schedule.due(at));
                let whole: u64 = partitions.iter().map(|partition| partition.due(&schedule, at) as u64).sum();
                prop_assert_eq!(whole, schedule.due(at) as u64);
                // What is due of each of them, as numbers of the schedule.
                let mut all: Vec<u64> = Vec::new();
                for partition in &partitions {
                    let own = partition.due(&schedule, at) as u64;
                    all.extend((0..own).map(|n| partition.nth(n)));
                    for n in own.saturating_sub(2)..own + 2 {
                        prop_assert_eq!(partition.time_of(&schedule, n + 1), schedule.time_of(partition.nth(n) + 1));
                    }
                }
                all.sort_unstable();
                prop_assert!(all.into_iter().eq(0..whole));
            }
        }
    }

    #[test]
    fn the_only_partition_is_the_schedule() {
        let schedule = RateSchedule::constant(Rate::per_second(0.3));
        let at = Timestamp::from_secs_f64(7.7);
        assert_eq!(Partition::WHOLE.due(&schedule, at), schedule.due(at));
        assert_eq!((Partition::WHOLE.nth(5), Partition::WHOLE.time_of(&schedule, 2)), (5, schedule.time_of(2)));
        assert_eq!(Partition::WHOLE.time_of(&schedule, 0), None);
    }
}
