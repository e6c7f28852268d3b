//! The algorithm of `adaptive`: the size and time of the next step, such that latency stays below a
//! goal.
//!
//! *Cost of a step.* Records of bins in flight wait until their step has arrived; between processes
//! a worker that serializes or deserializes state does nothing else meanwhile. Both are
//! proportional to the migrated state, so a step of size `s` is predicted to raise the latency from
//! its baseline `b` to `b + c s`. There are two estimates of `c`, and the larger one counts:
//!
//! - the latency that the previous step added (the maximum since it was sent, minus `b`) over its
//!   size. A part of it does not depend on the size (a round of progress tracking), so `c` is
//!   overestimated while steps are small and becomes accurate as they grow;
//! - how much longer the step was in flight than the fastest one, over how much more it moved, if
//!   that was at least twice as much: with a smaller difference the result would be dominated by
//!   timing errors. What all steps have in common, such as the horizon by which commands run ahead
//!   of the data, cancels out. This estimate matters for bins that no record has hit so far: no
//!   record waits longer than its bin is in flight.
//!
//! An increased cost is adopted immediately, a decreased one by half.
//!
//! *Size of the next step.* `h / c` for the headroom `h = m (g - b)`, a share `m` of the difference
//! between the goal `g` and the baseline. If the true cost is `f + c s`, of which the algorithm
//! sees only the ratio to `s`, steps of size `h s / (f + c s)` approach the largest allowed size
//! from below, since the ratio falls as `s` grows. The remaining share is for noise: estimates and
//! outcomes that each deviate by 15 % stay below the goal, as long as the baseline is at most half
//! of it. A step is never more than twice as large as the previous one (the first has one bin,
//! since nothing is known), at most half as large if the latency came near the goal, and never less
//! than one bin.
//!
//! *Time of the next step.* After a step is complete, the latency has to return to near the
//! baseline first, so that steps do not add up. If it does not within the patience, the job itself
//! has become slower, and that is the new baseline; if nothing reaches the sink at all, nothing is
//! late. If the baseline alone is above the goal, no pace can hold it: then one bin at a time
//! migrates, without waiting, because the migration will probably help. A migration therefore
//! always ends.

use std::time::Duration;

use crate::migration::Goal;
use crate::time::Timestamp;

/// The maximum latency observed since the last call, from the time a record was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latest {
    /// When the record reached the sink.
    pub at: Timestamp,
    /// The latency.
    pub latency: Duration,
}

/// Share of the headroom (goal minus baseline) that a step is planned to use.
const PLANNED: f64 = 0.6;
/// A latency above this share of the goal halves the next step.
const NEAR: f64 = 0.9;
/// The latency has returned when at most this share of the difference between the baseline and the
/// planned latency is left.
const CALM: f64 = 0.5;
/// The longest wait for the latency to return, or the goal if that is longer.
const PATIENCE: Duration = Duration::from_millis(100);
/// The largest factor from one step to the next.
const GROWTH: f64 = 2.0;

/// How a step was chosen: the predicted latency is the baseline plus a cost per unit of state; the
/// size follows from the goal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// When the step was sent.
    pub at: Timestamp,
    /// Number of bins that migrate.
    pub bins: usize,
    /// State that migrates, in the unit of the schedule's sizes.
    pub size: f64,
    /// Latency without the step, as far as known.
    pub baseline: Duration,
    /// Predicted maximum latency during the step.
    pub predicted: Duration,
}

/// State of the algorithm; times in seconds.
#[derive(Clone, Debug)]
pub(super) struct Adaptive {
    goal: f64,
    patience: Duration,
    baseline: Option<f64>,
    /// Latency added per unit of state.
    cost: f64,
    /// Size and duration of the fastest step.
    quickest: Option<(f64, f64)>,
    /// Upper bound on the size of the next step.
    limit: f64,
    stage: Stage,
    choices: Vec<Choice>,
}

/// A step in progress.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Timestamp,
    size: f64,
    /// Maximum latency observed since it was sent.
    peak: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Ready,
    UnderWay(Sent),
    /// No step in progress since this time; the latest latency after that.
    Settling {
        sent: Sent,
        since: Timestamp,
        latest: Option<f64>,
    },
}

impl Adaptive {
    pub(super) fn new(goal: Goal, baseline: Option<Duration>) -> Adaptive {
        Adaptive {
            goal: goal.latency().as_secs_f64(),
            patience: PATIENCE.max(goal.latency()),
            baseline: baseline.map(|latency| latency.as_secs_f64()),
            cost: 0.0,
            quickest: None,
            limit: 0.0,
            stage: Stage::Ready,
            choices: Vec::new(),
        }
    }

    pub(super) fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// Latency that may be added, in seconds; 0 or less if the goal cannot be held.
    fn headroom(&self) -> f64 {
        PLANNED * (self.goal - self.baseline.unwrap_or(0.0))
    }

    pub(super) fn saw(&mut self, seen: Latest) {
        let latency = seen.latency.as_secs_f64();
        self.baseline.get_or_insert(latency);
        match &mut self.stage {
            Stage::Ready => {}
            Stage::UnderWay(sent) => sent.saw(seen.at, latency),
            Stage::Settling { sent, since, latest } => {
                sent.saw(seen.at, latency);
                if seen.at >= *since {
                    *latest = Some(latency);
                }
            }
        }
    }

    pub(super) fn sent(&mut self, now: Timestamp, bins: usize, size: f64) {
        let baseline = self.baseline.unwrap_or(0.0);
        let predicted = Duration::from_secs_f64(baseline + self.cost * size);
        self.choices.push(Choice { at: now, bins, size, baseline: Duration::from_secs_f64(baseline), predicted });
        self.stage = Stage::UnderWay(Sent { at: now, size, peak: None });
    }

    pub(super) fn completed(&mut self, now: Timestamp) {
        if let Stage::UnderWay(sent) = self.stage {
            self.stage = Stage::Settling { sent, since: now, latest: None };
        }
    }

    /// The largest size of a step that may be sent now; `None` if none may. One bin may always be
    /// sent then.
    pub(super) fn allowed(&mut self, now: Timestamp) -> Option<f64> {
        match self.stage {
            Stage::Ready => {}
            Stage::UnderWay(_) => return None,
            Stage::Settling { sent, since, latest } => {
                let headroom = self.headroom();
                let calm = latest.is_some_and(|latency| latency <= self.baseline.unwrap_or(0.0) + CALM * headroom.max(0.0));
                let beyond = headroom <= 0.0 && latest.is_some();
                if !calm && !beyond && now.since(since) < self.patience {
                    return None;
                }
                self.learn(sent, since);
                if let (Some(baseline), Some(latest)) = (&mut self.baseline, latest) {
                    *baseline = if calm { (*baseline + latest) / 2.0 } else { latest };
                }
                self.stage = Stage::Ready;
            }
        }
        let headroom = self.headroom();
        Some(if headroom <= 0.0 { 0.0 } else { self.limit.min(headroom / self.cost) })
    }

    /// Learns from a step that lasted until `until`.
    fn learn(&mut self, sent: Sent, until: Timestamp) {
        let took = until.since(sent.at).as_secs_f64();
        let added = sent.peak.map_or(0.0, |peak| (peak - self.baseline.unwrap_or(0.0)).max(0.0));
        if sent.size > 0.0 {
            let slower = match self.quickest {
                Some((size, time)) if sent.size >= GROWTH * size => (took - time) / (sent.size - size),
                _ => 0.0,
            };
            let cost = (added / sent.size).max(slower);
            self.cost = if cost > self.cost { cost } else { (cost + self.cost) / 2.0 };
            if self.quickest.is_none_or(|(_, time)| took < time) {
                self.quickest = Some((sent.size, took));
            }
        }
        let near = sent.peak.is_some_and(|peak| peak > NEAR * self.goal);
        self.limit = if near { sent.size / 2.0 } else { sent.size * GROWTH };
    }
}

impl Sent {
    fn saw(&mut self, at: Timestamp, latency: f64) {
        if at >= self.at {
            self.peak = Some(self.peak.map_or(latency, |peak| peak.max(latency)));
        }
    }
}
