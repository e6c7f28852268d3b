//! Drives a source from the worker loop: first builds up state as fast as the job takes it, then
//! follows the schedule until it ends or is stopped.
//!
//! Where a source has several partitions, each has to look at the clock at every tick, whatever its
//! worker has to do: an epoch is complete only after all of them have gone past it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use timely::ExchangeData;
use timely::scheduling::Activator;
use timely::worker::Worker;

use super::source::OpenLoop;
use crate::engine::host::{Clock, Context};
use crate::time::Timestamp;

/// Records of one epoch before the schedule begins.
const PRELOAD_RECORDS: u64 = 1 << 16;
/// Such epochs that may be incomplete at a time.
const PRELOAD_EPOCHS: usize = 2;

/// What the worker loop polls: returns whether the source is still open.
pub(in crate::engine) type Poll = Box<dyn FnMut() -> bool>;

/// What drives `source` on a worker with one of `partitions` partitions, and how many records it has
/// emitted; nothing on the other workers, whose inputs end at once.
pub(in crate::engine) fn partition<D: ExchangeData + Clone>(
    mut source: OpenLoop<D>,
    partitions: u32,
    (worker, dataflow): (&Worker, usize),
    context: &Context,
) -> (Option<Poll>, Rc<Cell<u64>>) {
    let emitted = Rc::new(Cell::new(0));
    if context.worker.0 >= partitions {
        return (None, emitted);
    }
    let (report, clock) = (Rc::clone(&emitted), context.clock);
    let mut wake = (partitions > 1).then(|| Wake::new(worker, dataflow));
    let poll = move || {
        if let Some(wake) = &mut wake {
            wake.arm_for(&source, clock.now());
        }
        let open = source.poll();
        report.set(source.emitted());
        open
    };
    (Some(Box::new(poll)), emitted)
}

/// A source with a preload phase before its schedule.
pub(in crate::engine) struct SourceDriver<D: ExchangeData + Clone> {
    source: OpenLoop<D>,
    wake: Wake,
    clock: Clock,
    /// Records that are still to be emitted before the schedule begins.
    before: u64,
    begun: bool,
    stop: Arc<AtomicBool>,
}

impl<D: ExchangeData + Clone> SourceDriver<D> {
    /// `source` emits `before` records before its schedule begins; `dataflow` is the number of its
    /// dataflow on `worker`.
    pub(in crate::engine) fn new(
        source: OpenLoop<D>,
        before: u64,
        stop: &Arc<AtomicBool>,
        (worker, dataflow): (&Worker, usize),
        context: &Context,
    ) -> SourceDriver<D> {
        let wake = Wake::new(worker, dataflow);
        SourceDriver { source, wake, clock: context.clock, before, begun: before == 0, stop: Arc::clone(stop) }
    }

    /// Emits what is due by now, in either phase; returns whether the source is still open.
    pub(in crate::engine) fn poll(&mut self) -> bool {
        self.wake.arm_for(&self.source, self.clock.now());
        if !self.begun {
            let open = self.source.open_epochs().borrow().len();
            let records = self.before.min(PRELOAD_RECORDS);
            if records > 0 {
                if open < PRELOAD_EPOCHS && self.source.preload(records) {
                    self.before -= records;
                }
            } else if open == 0 {
                self.begun = true;
                self.source.begin();
            }
            return true;
        }
        if self.stop.load(Ordering::SeqCst) {
            self.source.end();
        }
        self.source.poll()
    }
}

/// A source that is behind is polled this often: as soon as no worker is late any more.
const BEHIND: Duration = Duration::from_millis(1);

/// Wakes the worker at the next tick, or sooner if the source is behind: otherwise it would park
/// until another worker has something for it.
struct Wake {
    activator: Activator,
    armed: Timestamp,
}

impl Wake {
    fn new(worker: &Worker, dataflow: usize) -> Wake {
        Wake { activator: worker.activator_for(Rc::new([dataflow])), armed: Timestamp::ZERO }
    }

    /// Wakes it when `source` is to be polled again.
    fn arm_for<D: ExchangeData + Clone>(&mut self, source: &OpenLoop<D>, now: Timestamp) {
        let tick = source.tick();
        self.arm(now, if source.is_behind() { tick.min(BEHIND) } else { tick });
    }

    fn arm(&mut self, now: Timestamp, tick: Duration) {
        let next = Timestamp((now.0 + 1).next_multiple_of(tick.as_nanos() as u64));
        if self.armed <= now || next < self.armed {
            self.armed = next;
            self.activator.activate_after(self.armed.since(now));
        }
    }
}
