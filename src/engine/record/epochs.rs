//! Open epochs of the recorded dataflows, derived from changes in timely's progress tracking.
//!
//! An epoch is open in a dataflow from the first *pointstamp* at it (a message or a capability, at
//! any port, of any worker) until no pointstamp at it or before it is left. Counts are kept by
//! port: a message may be reported as consumed before it is reported as sent, so counts of
//! different ports must not cancel each other out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use timely::order::Product;

use crate::time::{Epoch, Timestamp};

/// Timestamp of a dataflow from which its epoch can be derived.
///
/// The mapping must keep the order: when `a.less_equal(&b)`, the epoch of `a` is not after that of
/// `b`. What has no epoch counts as before all epochs. For a timestamp type of your own, `impl
/// AsEpoch for MyTime {}` records without epochs.
pub trait AsEpoch {
    /// The epoch, if there is one.
    fn epoch(&self) -> Option<Epoch> {
        None
    }
}

macro_rules! epoch_of_integers {
    ($($integer:ty)*) => { $(
        /// The number itself; negative numbers are before all epochs.
        impl AsEpoch for $integer {
            fn epoch(&self) -> Option<Epoch> {
                u64::try_from(*self).ok().map(Epoch)
            }
        }
    )* };
}

epoch_of_integers!(u32 u64 usize i32 i64 isize);

/// Nanoseconds.
impl AsEpoch for Duration {
    fn epoch(&self) -> Option<Epoch> {
        u64::try_from(self.as_nanos()).ok().map(Epoch)
    }
}

/// A dataflow without time has no epochs.
impl AsEpoch for () {}

/// Rounds within an epoch are part of it.
impl<T: AsEpoch, U> AsEpoch for Product<T, U> {
    fn epoch(&self) -> Option<Epoch> {
        self.outer.epoch()
    }
}

/// An epoch that has just been opened or completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// A dataflow, by its number, was the first to open it.
    Opened(u32, Epoch),
    /// The last of the dataflows that opened it has passed it.
    Completed(Epoch),
}

/// A port of a dataflow's operators; the first says whether it is an output.
pub(super) type Place = (bool, usize, usize);

/// Epochs of all recorded dataflows.
#[derive(Default)]
pub(super) struct Epochs {
    dataflows: BTreeMap<u32, Pointstamps>,
    /// How many dataflows have each open epoch open.
    open: BTreeMap<Epoch, usize>,
    /// A dataflow of which half a change may have been seen, and when.
    unsettled: Option<(u32, Timestamp)>,
}

#[derive(Default)]
struct Pointstamps {
    counts: BTreeMap<(Option<Epoch>, Place), i64>,
    open: BTreeSet<Epoch>,
    touched: BTreeSet<Epoch>,
}

impl Epochs {
    /// Takes changes of a dataflow's pointstamps, of inputs if `outputs` is false. Timely logs one
    /// change in two parts, inputs first; only both together are consistent, so turns are emitted
    /// when the second part or something else comes.
    pub(super) fn change(
        &mut self,
        at: Timestamp,
        dataflow: u32,
        outputs: bool,
        changes: impl Iterator<Item = (Place, Option<Epoch>, i64)>,
        give: &mut impl FnMut(Timestamp, Turn),
    ) {
        if self.unsettled.is_some_and(|(other, _)| other != dataflow || !outputs) {
            self.settle(give);
        }
        let pointstamps = self.dataflows.entry(dataflow).or_default();
        for (place, epoch, difference) in changes {
            let count = pointstamps.counts.entry((epoch, place)).or_default();
            *count += difference;
            if *count == 0 {
                pointstamps.counts.remove(&(epoch, place));
            } else {
                pointstamps.touched.extend(epoch);
            }
        }
        self.unsettled = Some((dataflow, at));
        if outputs {
            self.settle(give);
        }
    }

    /// Emits the turns of what has been taken, because nothing that belongs to it can come any
    /// more.
    pub(super) fn settle(&mut self, give: &mut impl FnMut(Timestamp, Turn)) {
        let Some((dataflow, at)) = self.unsettled.take() else { return };
        let Some(pointstamps) = self.dataflows.get_mut(&dataflow) else { return };
        for epoch in std::mem::take(&mut pointstamps.touched) {
            let first = (Some(epoch), (false, 0, 0));
            let last = (Some(epoch), (true, usize::MAX, usize::MAX));
            let is_there = pointstamps.counts.range(first..=last).any(|(_, &count)| count > 0);
            if is_there && pointstamps.open.insert(epoch) {
                let holders = self.open.entry(epoch).or_default();
                *holders += 1;
                if *holders == 1 {
                    give(at, Turn::Opened(dataflow, epoch));
                }
            }
        }
        let frontier = pointstamps.counts.iter().find(|(_, count)| **count > 0).map(|(&(epoch, _), _)| epoch);
        while let Some(&epoch) = pointstamps.open.first() {
            if frontier.is_some_and(|frontier| frontier <= Some(epoch)) {
                break;
            }
            pointstamps.open.pop_first();
            if let Some(holders) = self.open.get_mut(&epoch) {
                *holders -= 1;
                if *holders == 0 {
                    self.open.remove(&epoch);
                    give(at, Turn::Completed(epoch));
                }
            }
        }
        if frontier.is_none() && pointstamps.counts.is_empty() {
            self.dataflows.remove(&dataflow);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: Place = (false, 1, 0);
    const OUTPUT: Place = (true, 2, 0);

    type Change = (Place, i64, i64);

    /// Changes of a dataflow's outputs, or inputs, one after the other; returns the turns.
    fn turns(changes: &[(u32, bool, &[Change])]) -> Vec<Turn> {
        let (mut epochs, mut turns) = (Epochs::default(), Vec::new());
        for (at, &(dataflow, outputs, changes)) in (0..).zip(changes) {
            let changes = changes.iter().map(|&(place, time, difference)| (place, time.epoch(), difference));
            epochs.change(Timestamp(at), dataflow, outputs, changes, &mut |_, turn| turns.push(turn));
        }
        epochs.settle(&mut |_, turn| turns.push(turn));
        turns
    }

    fn opened(dataflow: u32, epoch: u64) -> Turn {
        Turn::Opened(dataflow, Epoch(epoch))
    }

    fn completed(epoch: u64) -> Turn {
        Turn::Completed(Epoch(epoch))
    }

    #[test]
    fn a_message_that_becomes_a_capability_keeps_its_epoch_open() {
        let found = turns(&[
            (7, true, &[(OUTPUT, 0, 1)]),
            (7, false, &[(INPUT, 0, 1)]),
            (7, true, &[(OUTPUT, 0, -1), (OUTPUT, 1, 1)]),
            // Taken in, and a capability for later kept: two parts of one change.
            (7, false, &[(INPUT, 0, -1)]),
            (7, true, &[((true, 3, 0), 0, 1)]),
            (7, true, &[((true, 3, 0), 0, -1)]),
            (7, true, &[(OUTPUT, 1, -1)]),
        ]);
        assert_eq!(found, [opened(7, 0), opened(7, 1), completed(0), completed(1)]);
    }

    #[test]
    fn word_of_taking_may_overtake_word_of_sending() {
        let found = turns(&[
            (7, true, &[(OUTPUT, 0, 1)]),
            (7, false, &[(INPUT, 0, -1)]),
            (7, false, &[(INPUT, 0, 1)]),
            (7, false, &[((false, 4, 0), 0, 1)]),
            (7, true, &[(OUTPUT, 0, -1)]),
            (7, false, &[((false, 4, 0), 0, -1)]),
        ]);
        assert_eq!(found, [opened(7, 0), completed(0)]);
    }

    #[test]
    fn an_epoch_of_two_dataflows_is_complete_when_both_have_passed_it() {
        let found = turns(&[
            (7, true, &[(OUTPUT, 3, 1)]),
            (9, true, &[(OUTPUT, 3, 1)]),
            (7, true, &[(OUTPUT, 3, -1), (OUTPUT, 5, 1)]),
            (9, true, &[(OUTPUT, 3, -1)]),
            (7, true, &[(OUTPUT, 5, -1)]),
        ]);
        assert_eq!(found, [opened(7, 3), opened(7, 5), completed(3), completed(5)]);
    }

    #[test]
    fn what_has_no_epoch_is_before_all_epochs() {
        let found = turns(&[(7, true, &[(OUTPUT, -4, 1), (OUTPUT, 2, 1)]), (7, true, &[(OUTPUT, 2, -1)]), (7, true, &[(OUTPUT, -4, -1)])]);
        assert_eq!(found, [opened(7, 2), completed(2)]);
    }
}
