//! How many records a source emits at a time, so that workers are late with little.
//!
//! A source pauses while a worker is late, but it cannot know beforehand for how long its records
//! keep the workers busy: what an operator makes of a record, and what that costs, is known where
//! it happens, and shows at the source only as the time for which it has to pause. So the size of
//! an emission is learned like the window of a network connection: from the pause that followed
//! the last one how many would have been right, and after each without a pause some more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::time::Timestamp;

/// The size of the first emission.
const FIRST: u64 = 1024;
/// The time from an emission to the end of the pause that follows, as it should be at most.
const AIM: Duration = Duration::from_millis(10);
/// Growth of the size after an emission without a pause, before the first pause and afterwards.
const GROWTH: [f64; 2] = [2.0, 1.25];

/// So long after a worker was late a source that is behind does not wait for its ticks.
const ALERT: Duration = Duration::from_secs(1);

/// What a source has learned of the sizes of emissions.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// Instances of the job whose worker is late.
    late: Arc<AtomicUsize>,
    /// The size of an emission at most.
    limit: f64,
    /// When the last emission was, and its size.
    last: (Timestamp, u64),
    /// Whether it was smaller than it would have been without the limit.
    cut: bool,
    /// Whether a worker was late since.
    was_late: bool,
    /// When one was seen to be late last.
    late_at: Option<Timestamp>,
    /// Whether more waited at the last tick than was emitted.
    behind: bool,
}

impl Pace {
    pub(super) fn new(late: Arc<AtomicUsize>) -> Pace {
        let (limit, last) = (FIRST as f64, (Timestamp::ZERO, 0));
        Pace { late, limit, last, cut: false, was_late: false, late_at: None, behind: false }
    }

    /// Whether more waited at the last tick than was emitted.
    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    /// How many of `waiting` records to emit at `now`, at most; `pauses` says whether there is
    /// anything to pause for.
    pub(super) fn most(&mut self, waiting: u64, pauses: bool, now: Timestamp) -> u64 {
        if pauses {
            if self.late.load(Ordering::SeqCst) > 0 {
                (self.was_late, self.late_at) = (true, Some(now));
            }
            // A queue above its mark takes seconds to be below it: that is looked at tick by tick.
            self.behind = self.was_late && waiting > 0;
            return 0;
        }
        if std::mem::take(&mut self.was_late) {
            let (at, size) = self.last;
            let right = size as f64 * (AIM.as_secs_f64() / now.since(at).as_secs_f64()).min(1.0);
            self.limit = right.max(1.0);
        } else if std::mem::take(&mut self.cut) {
            self.limit *= GROWTH[usize::from(self.late_at.is_some())];
        }
        waiting.min(self.limit as u64)
    }

    /// `size` of `waiting` records were emitted at `now`; `left` of all that are due were not.
    pub(super) fn emitted(&mut self, size: u64, waiting: u64, left: u64, now: Timestamp) {
        self.last = (now, size);
        // If time ran out, more room would change nothing.
        self.cut = size < waiting && size >= self.limit as u64;
        let is_alert = self.late_at.is_some_and(|at| now.since(at) < ALERT);
        self.behind = size < waiting || left > 0 && is_alert;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: f64) -> Timestamp {
        Timestamp::from_secs_f64(ms / 1e3)
    }

    /// Sizes of emissions into a worker that takes so many records in a millisecond and says that
    /// it is late as the engine's do, over so many milliseconds; and the most that waited there.
    fn emissions(rate: f64, waiting: u64, over: u64) -> (Vec<u64>, f64) {
        let late = Arc::new(AtomicUsize::new(0));
        let mut pace = Pace::new(Arc::clone(&late));
        let (mut sizes, mut queue, mut most) = (Vec::new(), 0.0_f64, 0.0_f64);
        for at in 1..over {
            queue = (queue - rate).max(0.0);
            let (was, work) = (late.load(Ordering::SeqCst), queue / rate);
            late.store(usize::from(if was > 0 { work > 5.0 } else { work > 10.0 }), Ordering::SeqCst);
            let size = pace.most(waiting, late.load(Ordering::SeqCst) > 0, ms(at as f64));
            if size > 0 {
                pace.emitted(size, waiting, waiting - size, ms(at as f64));
                sizes.push(size);
                queue += size as f64;
                most = if at > over / 2 { most.max(queue / rate) } else { most };
            }
        }
        (sizes, most)
    }

    #[test]
    fn emissions_become_as_large_as_there_is_time_for() {
        for rate in [0.5, 10.0, 1000.0, 20_000.0] {
            let (sizes, most) = emissions(rate, u64::MAX / 4, 4000);
            assert!(most < 25.0, "{rate} records in a millisecond: {most} ms wait");
            let all: u64 = sizes.iter().sum();
            assert!(all as f64 > 0.95 * rate * 4000.0, "{rate}: the worker is never without work, {all}");
        }
    }

    #[test]
    fn a_source_that_keeps_up_is_not_held_back() {
        let (sizes, _) = emissions(1000.0, 700, 100);
        assert!(sizes.iter().all(|size| *size == 700), "{sizes:?}");
    }

    #[test]
    fn what_is_cut_comes_before_the_next_tick() {
        let mut pace = Pace::new(Arc::default());
        assert!(!pace.is_behind());
        let size = pace.most(10 * FIRST, false, ms(10.0));
        pace.emitted(size, 10 * FIRST, 9 * FIRST, ms(10.0));
        assert!(pace.is_behind() && size == FIRST);
        // All that a tick allows, though more is due: nobody was late.
        pace.emitted(5, 5, 100, ms(11.0));
        assert!(!pace.is_behind());
        pace.late.store(1, Ordering::SeqCst);
        assert_eq!(pace.most(5, true, ms(12.0)), 0);
        pace.late.store(0, Ordering::SeqCst);
        pace.emitted(5, 5, 100, ms(13.0));
        assert!(pace.is_behind());
        pace.emitted(5, 5, 0, ms(14.0));
        assert!(!pace.is_behind());
    }
}
