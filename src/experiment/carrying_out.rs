//! A plan that is being carried out: what the engine reports goes to the pacer, what the pacer sends goes to the engine.

use std::time::Duration;

use crate::engine::{Ack, Running};
use crate::migration::{Choice, Latest, Overlap, Pacer, Report, Schedule, Step, Strategy};

/// Inside one process a bin moves as a pointer, so steps overlap up to so many bins. Between processes state is written and read, and
/// steps that overlap would be one large step.
const OVERLAP: Overlap = Overlap::Bins(128);

/// A schedule that is being carried out on the engine.
pub(super) struct CarryingOut {
    pacer: Pacer,
}

impl CarryingOut {
    /// Begins with `schedule`, cut by `strategy`; `baseline` is the largest latency of late.
    pub(super) fn begin<O: Send>(schedule: Schedule, strategy: Strategy, baseline: Option<Duration>, running: &Running<O>) -> CarryingOut {
        let overlap = if running.in_one_process() { OVERLAP } else { Overlap::None };
        CarryingOut { pacer: Pacer::new(schedule, strategy, overlap, running.peers(), baseline) }
    }

    /// Takes reports and the largest latency since the last call, and sends what is to be sent; says whether all is done.
    pub(super) fn advance<O: Send>(&mut self, running: &Running<O>, latest: Option<Latest>) -> bool {
        let reports = running.acks.try_iter().map(|ack| match ack {
            Ack::Installed(operator, bins) => Report::Installed(operator, bins),
            Ack::Rerouted(operator) => Report::Rerouted(operator),
        });
        for step in self.pacer.advance(running.clock().now(), reports, latest) {
            running.apply(step);
        }
        self.pacer.is_complete()
    }

    /// Steps that are complete. Once the job has ended these are all that the engine took up: it finishes what it has begun.
    pub(super) fn complete(&self) -> &[Step] {
        self.pacer.complete()
    }

    /// How the sizes of steps were chosen.
    pub(super) fn choices(&self) -> &[Choice] {
        self.pacer.choices()
    }
}
