//! The law of `adaptive`: how much may move in the next step, and when, so that latency stays below a goal.
//!
//! *What a step costs.* Records of bins in flight wait until their step has arrived; between processes a worker that writes or reads
//! state does nothing else meanwhile. Both are in proportion to the state that moves, so a step of size `s` is predicted to
//! raise the latency from its baseline `b` to `b + c s`. Two things say how large `c` is, and the larger counts:
//!
//! - what the step before added, the largest latency seen since it was sent less `b`, over its size. A part of it does not depend on
//!   the size (a round of progress); that makes `c` too large while steps are small, and right as they grow;
//! - how much longer than the quickest step it was under way, over how much more it moved, if that was at least as much again: over a
//!   small difference it would tell how exactly times are known. What all steps have in common, such as the horizon by which commands
//!   run ahead of the data, cancels out. This counts for bins that no record hit so far: no record waits longer than its bin is
//!   under way.
//!
//! A larger cost is believed at once, a smaller one by half.
//!
//! *The next size.* `h / c` for the headroom `h = m (g - b)`, the part `m` of what the baseline leaves of the goal `g`. With a cost of
//! `f + c s` of which the law sees only the ratio to `s`, a step to `h s / (f + c s)` approaches the largest allowed size from
//! below: the ratio falls as `s` grows. The rest is for noise: estimates and outcomes that each deviate by 15 % stay below the goal,
//! as long as the baseline is not beyond half of it. A step is never more than twice the one before (the first has one bin, nothing being known), at
//! most half of it if the latency came near the goal, and never less than one bin.
//!
//! *When.* After a step is complete, latency has to come back to near the baseline first: what a step adds must not pile up. If it does not
//! within the patience, the job itself has become slower, and that is the new baseline; if nothing reaches the sink at all, nothing is
//! late. If the baseline alone is beyond the goal, no pace holds it: then one bin moves at a time, without waiting, because what
//! moves is probably what will help. So a migration always ends.

use std::time::Duration;

use crate::migration::Goal;
use crate::time::Timestamp;

/// The largest latency that was seen since the last call, from when a record was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latest {
    /// When the record reached the sink.
    pub at: Timestamp,
    /// How late it was.
    pub latency: Duration,
}

/// Part of what the baseline leaves of the goal that a step is planned to use.
const PLANNED: f64 = 0.6;
/// Latency beyond this part of the goal halves the next step.
const NEAR: f64 = 0.9;
/// Latency is back when no more than this part of what there is between the baseline and the planned latency is left.
const CALM: f64 = 0.5;
/// So long is waited at most for latency to come back, or the goal if that is longer.
const PATIENCE: Duration = Duration::from_millis(100);
/// A step is at most so many times the one before.
const GROWTH: f64 = 2.0;

/// How a step was chosen: predicted latency is the baseline and, for each unit of state, its cost; the next size follows from the goal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// When the step was sent.
    pub at: Timestamp,
    /// Bins that move.
    pub bins: usize,
    /// State that moves, in the unit of the schedule's sizes.
    pub size: f64,
    /// Latency without the step, as far as it is known.
    pub baseline: Duration,
    /// Largest latency that is expected with it.
    pub predicted: Duration,
}

/// The state of the law; times in seconds.
#[derive(Clone, Debug)]
pub(super) struct Adaptive {
    goal: f64,
    patience: Duration,
    baseline: Option<f64>,
    /// Latency that a unit of state adds.
    cost: f64,
    /// Size and time of the quickest step.
    quickest: Option<(f64, f64)>,
    /// The next step is no larger.
    limit: f64,
    stage: Stage,
    choices: Vec<Choice>,
}

/// A step, from when it was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Timestamp,
    size: f64,
    /// Largest latency seen since.
    peak: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Ready,
    UnderWay(Sent),
    /// A step is complete since an instant; the latest latency after that.
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

    /// What latency may be added, in seconds; 0 or less if the goal cannot be held.
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

    /// The largest size of a step that may go now; nothing if none may. Whatever it is, one bin may go.
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

    /// Learns from a step that took from when it was sent to `until`.
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
