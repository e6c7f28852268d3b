//! External waits that a user function marks, recorded apart from its work.
//!
//! The calls of a user function for one batch form one stretch of an instance's time:
//! [`begin`](Waits::begin) and [`end`](Waits::end). Each wait divides it: the time before the wait
//! is recorded as work, then the wait. Invariant: the pieces of a stretch follow each other without
//! gap or overlap, so that work and waits add up to the duration of the stretch.
//!
//! An operator that marks no waits pays two stores per batch, and nothing when recording is off.

use std::cell::Cell;
use std::rc::Rc;

use super::clock::Clock;
use super::recorder::Recorder;
use crate::activity::{Activity, ActivityKind, Record};
use crate::time::Timestamp;

/// The current stretch of a worker, if any.
#[derive(Clone, Default)]
pub(in crate::engine) struct Waits(Rc<Cell<Option<Stretch>>>);

#[derive(Clone, Copy)]
struct Stretch {
    /// The activity as which its work is recorded, from its start.
    work: Activity,
    /// End of the part that has been recorded.
    recorded: Timestamp,
    /// Whether it is in a wait.
    waits: bool,
}

impl Waits {
    /// Begins a stretch of calls, described by `work`, at its start.
    pub(in crate::engine) fn begin(&self, work: Activity) {
        self.0.set(Some(Stretch { work, recorded: work.start, waits: false }));
    }

    /// Begins a wait, which is recorded unless it lies outside of a call or within another wait.
    pub(super) fn external<'c>(&'c self, clock: Clock, recorder: &'c Recorder) -> ExternalWait<'c> {
        let start = self.0.get().filter(|stretch| !stretch.waits).map(|stretch| {
            self.0.set(Some(Stretch { waits: true, ..stretch }));
            clock.now()
        });
        ExternalWait { waits: self, clock, recorder, start }
    }

    /// Ends the stretch; returns from when on it is still to be recorded.
    pub(in crate::engine) fn end(&self) -> Option<Timestamp> {
        self.0.take().map(|stretch| stretch.recorded)
    }
}

/// A wait that lasts until this is dropped; see
/// [`Context::external_wait`](super::Context::external_wait).
#[must_use = "the wait ends when this is dropped"]
pub struct ExternalWait<'c> {
    waits: &'c Waits,
    clock: Clock,
    recorder: &'c Recorder,
    /// Nothing if it is not recorded.
    start: Option<Timestamp>,
}

impl Drop for ExternalWait<'_> {
    fn drop(&mut self) {
        let (Some(start), Some(stretch)) = (self.start, self.waits.0.get()) else { return };
        // One that was kept beyond its stretch says nothing of the next.
        if !stretch.waits || start < stretch.work.start {
            return;
        }
        let end = self.clock.now();
        let piece = |kind, start, end| Record::Activity(Activity { kind, start, end, ..stretch.work });
        if stretch.recorded < start {
            self.recorder.log(piece(stretch.work.kind, stretch.recorded, start));
        }
        self.recorder.log(piece(ActivityKind::ExternalWait, start, end));
        self.waits.0.set(Some(Stretch { recorded: end, waits: false, ..stretch }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::super::context::Context;
    use super::super::recorder::{LogBatch, link};
    use super::*;
    use crate::activity::Lane;
    use crate::id::{InstanceId, OperatorId, WorkerId};
    use crate::time::Epoch;

    fn context() -> (Context, Receiver<LogBatch>) {
        let (link, log) = link();
        let recorder = Recorder::new(WorkerId(0), link);
        (Context::new(WorkerId(0), 1, Clock::start(), recorder, channel().0), log)
    }

    fn begin(context: &Context, epoch: u64) -> Timestamp {
        let start = context.clock.now();
        context.waits.begin(Activity {
            lane: Lane::Worker(WorkerId(0)),
            kind: ActivityKind::Processing,
            instance: InstanceId::new(OperatorId(1), 0),
            epoch: Epoch(epoch),
            start,
            end: start,
            records_in: 0,
            records_out: 0,
        });
        start
    }

    /// What was recorded, in order.
    fn recorded(context: &Context, log: &Receiver<LogBatch>) -> Vec<Activity> {
        context.recorder.finish(context.clock.now());
        let records = log.try_iter().flat_map(|batch| batch.records);
        records.filter_map(|record| if let Record::Activity(activity) = record { Some(activity) } else { None }).collect()
    }

    /// Spins until the clock has moved on.
    fn work(context: &Context) {
        let begun = context.clock.now();
        while context.clock.now() <= begun {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn work_and_waits_follow_each_other_without_gap() {
        let (context, log) = context();
        let start = begin(&context, 7);
        for _ in 0..2 {
            work(&context);
            let _wait = context.external_wait();
            // A wait in a wait is part of it.
            drop(context.external_wait());
            work(&context);
        }
        let rest = context.waits.end().unwrap();
        let pieces = recorded(&context, &log);
        let kinds: Vec<ActivityKind> = pieces.iter().map(|piece| piece.kind).collect();
        use ActivityKind::{ExternalWait, Processing};
        assert_eq!(kinds, [Processing, ExternalWait, Processing, ExternalWait]);
        let ends = pieces.iter().map(|piece| piece.end);
        let starts: Vec<Timestamp> = pieces.iter().map(|piece| piece.start).chain([rest]).collect();
        assert_eq!(starts, [start].into_iter().chain(ends).collect::<Vec<_>>());
        assert!(pieces.iter().all(|piece| piece.epoch == Epoch(7) && piece.records_in == 0 && piece.end > piece.start));
    }

    #[test]
    fn a_wait_that_is_kept_says_nothing_of_what_comes_after() {
        let (context, log) = context();
        begin(&context, 1);
        work(&context);
        let kept = context.external_wait();
        context.waits.end();
        work(&context);
        let start = begin(&context, 2);
        drop(kept);
        assert_eq!(context.waits.end(), Some(start));
        assert!(recorded(&context, &log).is_empty());
    }

    #[test]
    fn outside_of_a_function_nothing_is_recorded() {
        let (context, log) = context();
        drop(context.external_wait());
        assert_eq!(context.waits.end(), None);
        assert!(recorded(&context, &log).is_empty());
        // Nor is there anything to be seen where nobody records.
        let alone = Context::alone();
        drop(alone.external_wait());
        assert_eq!(alone.external_wait().start, None::<Timestamp>);
    }
}
