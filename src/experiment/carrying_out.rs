//! A plan that is being carried out: what the host reports goes to the pacer, what the pacer sends goes to the host.

use std::time::Duration;

use crate::engine::{Ack, Running};
use crate::migration::{Choice, Latest, Overlap, Pacer, Report, Schedule, Step, Strategy};
use crate::sim::{Fate, Simulation};
use crate::time::Timestamp;

/// Inside one process a bin moves as a pointer, so steps overlap up to so many bins. Between processes state is written and read, and
/// steps that overlap would be one large step.
const OVERLAP: Overlap = Overlap::Bins(128);

/// What carries steps out.
pub(super) trait Host {
    /// Time of the run.
    fn now(&self) -> Timestamp;
    /// Whether steps may overlap.
    fn overlap(&self) -> Overlap;
    /// Reports that follow a change of a stateless operator.
    fn routers(&self) -> u32;
    /// What has been carried out since the last call.
    fn reports(&mut self) -> Vec<Report>;
    /// Carries a step out.
    fn apply(&mut self, step: Step);
    /// What becomes of the action that begins now, where that is known beforehand.
    fn fate(&mut self) -> Fate {
        Fate::Whole
    }
}

impl<O: Send> Host for Running<O> {
    fn now(&self) -> Timestamp {
        self.clock().now()
    }

    fn overlap(&self) -> Overlap {
        if self.in_one_process() { OVERLAP } else { Overlap::None }
    }

    fn routers(&self) -> u32 {
        self.peers()
    }

    fn reports(&mut self) -> Vec<Report> {
        let report = |ack| match ack {
            Ack::Installed(operator, bins) => Report::Installed(operator, bins),
            Ack::Rerouted(operator) => Report::Rerouted(operator),
        };
        self.acks.try_iter().map(report).collect()
    }

    fn apply(&mut self, step: Step) {
        Running::apply(self, step);
    }
}

impl Host for Simulation {
    fn now(&self) -> Timestamp {
        Simulation::now(self)
    }

    fn overlap(&self) -> Overlap {
        if self.moves_pointers() { OVERLAP } else { Overlap::None }
    }

    fn routers(&self) -> u32 {
        1
    }

    fn reports(&mut self) -> Vec<Report> {
        Simulation::reports(self)
    }

    fn apply(&mut self, step: Step) {
        Simulation::apply(self, step);
    }

    fn fate(&mut self) -> Fate {
        self.action()
    }
}

/// A schedule that is being carried out.
pub(super) struct CarryingOut {
    pacer: Pacer,
    fails: bool,
}

impl CarryingOut {
    /// Begins with `schedule`, cut by `strategy`; `baseline` is the largest latency of late.
    pub(super) fn begin(mut schedule: Schedule, strategy: Strategy, baseline: Option<Duration>, host: &mut impl Host) -> CarryingOut {
        let fate = host.fate();
        if let Fate::Fails(part) = fate {
            let steps = (schedule.steps.len() as f64 * part) as usize;
            schedule.steps.truncate(steps);
            schedule.sizes.truncate(steps);
        }
        let pacer = Pacer::new(schedule, strategy, host.overlap(), host.routers(), baseline);
        CarryingOut { pacer, fails: fate != Fate::Whole }
    }

    /// Takes reports and the largest latency since the last call, and sends what is to be sent; says whether all is done.
    pub(super) fn advance(&mut self, host: &mut impl Host, latest: Option<Latest>) -> bool {
        let reports = host.reports();
        for step in self.pacer.advance(host.now(), reports, latest) {
            host.apply(step);
        }
        self.pacer.is_complete()
    }

    /// Whether the host gives up after these steps.
    pub(super) fn failed(&self) -> bool {
        self.fails
    }

    /// Steps that are complete. Once the job has ended these are all that the host took up: it finishes what it has begun.
    pub(super) fn complete(&self) -> &[Step] {
        self.pacer.complete()
    }

    /// How the sizes of steps were chosen.
    pub(super) fn choices(&self) -> &[Choice] {
        self.pacer.choices()
    }
}
