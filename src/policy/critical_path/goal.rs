//! The latency goal, by what is predicted from measured paths.
//!
//! *Met* means: in hardly any half second does more than one record in a hundred take longer than the goal. That is stricter than
//! a 99th percentile over a long time where few records come, since a handful of slow ones is one in a hundred then.
//!
//! An instance is added where the slowest records wait longest for one, but only where the measured paths show that they wait there as
//! well: what is predicted alone is no ground for scaling. If the goal would be missed even with every operator at its limit, it
//! is out of reach, and the reason says so.

use super::job_model::JobModel;
use crate::model::{Prediction, Predictor};

/// A goal is judged over times of this length, in seconds.
const JUDGED_S: f64 = 0.5;
/// Part of the records that may take longer.
const SLOWER: f64 = 0.01;
/// Part of the times in which more may, by prediction.
const MOST_MISSED: f64 = 0.02;
/// A latency is aimed at below its goal by so much: what is predicted is not exact...
const MARGIN: f64 = 0.8;
/// ... and by so much before instances are taken away, so that what is taken away need not be given back.
const CERTAIN_MARGIN: f64 = 0.65;
/// A prediction longer than another one by less than this part is no longer.
const NO_LONGER: f64 = 1.02;
/// Where the goal is met all the same, a prediction may be longer by this part: predictions of two configurations differ by about that much
/// by chance.
const HARDLY_LONGER: f64 = 1.06;
/// With a mean of events above this, their number is normal to within what is asked here.
const MANY: f64 = 200.0;

/// What is asked of latency, and what predicts it.
pub(super) struct Goal<'a> {
    pub(super) predictor: &'a Predictor<'a>,
    /// Seconds.
    goal_s: f64,
    /// Records that reach sinks, per second.
    records_per_s: f64,
    /// By operator, whether the slowest epochs were measured to wait for its instances; nothing if that is not asked for.
    pub(super) waited_at: Option<&'a [bool]>,
    /// How much of the goal is aimed at.
    margin: f64,
}

impl<'a> Goal<'a> {
    /// A goal of `goal_s` seconds for `records_per_s` at the sinks, by `predictor`; where epochs were measured to wait is `waited_at`.
    pub(super) fn new(predictor: &'a Predictor<'a>, goal_s: f64, records_per_s: f64, waited_at: &'a [bool]) -> Goal<'a> {
        Goal { predictor, goal_s, records_per_s, waited_at: Some(waited_at), margin: MARGIN }
    }

    /// The same, so that it is certainly met: what may be taken away is no matter of where epochs happened to wait in one window.
    pub(super) fn certain(&self) -> Goal<'a> {
        Goal { waited_at: None, margin: CERTAIN_MARGIN, ..*self }
    }

    /// The same goal, aimed at exactly.
    pub(super) fn without_margin(&self) -> Goal<'a> {
        Goal { margin: 1.0, ..*self }
    }

    /// Whether latency with `after` is certainly within the goal, or no longer than with `before`.
    pub(super) fn allows(&self, job: &JobModel<'_>, before: &[u32], after: &[u32], part: f64) -> bool {
        let Some(prediction) = self.predict(job, after, part) else { return false };
        let now = self.predict(job, before, part);
        let longer = if self.without_margin().is_missed(&prediction) { NO_LONGER } else { HARDLY_LONGER };
        !self.certain().is_missed(&prediction) || now.is_none_or(|now| prediction.is_no_longer_than(&now, longer))
    }

    /// Predicted latency with `instances`; nothing if they would not keep up.
    pub(super) fn predict(&self, job: &JobModel<'_>, instances: &[u32], part: f64) -> Option<Prediction> {
        self.predictor.predict(&job.stations(instances, part))
    }

    /// Part of the times in which the goal would be missed.
    fn missed(&self, prediction: &Prediction) -> f64 {
        let records = (self.records_per_s * JUDGED_S).max(1.0);
        more_than((records * SLOWER).floor(), records * prediction.beyond(self.goal_s * self.margin))
    }

    /// Whether that is too often.
    pub(super) fn is_missed(&self, prediction: &Prediction) -> bool {
        self.missed(prediction) > MOST_MISSED
    }

    /// Whether a prediction meets it.
    pub(super) fn is_met(&self, prediction: Option<&Prediction>) -> bool {
        prediction.is_some_and(|prediction| !self.is_missed(prediction))
    }
}

/// The probability of more than `most` events where `mean` are expected, each by itself.
fn more_than(most: f64, mean: f64) -> f64 {
    if mean > MANY {
        // The logistic function is close enough to the normal distribution's.
        return 1.0 / (1.0 + ((most + 0.5 - mean) / mean.sqrt() * 1.702).exp());
    }
    let (mut term, mut sum, mut events) = ((-mean).exp(), 0.0, 0.0);
    while events <= most {
        sum += term;
        events += 1.0;
        term *= mean / events;
    }
    (1.0 - sum).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_events_are_counted_as_poisson_says() {
        assert!((more_than(0.0, 0.1) - (1.0 - (-0.1f64).exp())).abs() < 1e-12);
        assert!((more_than(1.0, 2.0) - (1.0 - 3.0 * (-2.0f64).exp())).abs() < 1e-12);
        assert!(more_than(300.0, 250.0) < 0.01 && more_than(200.0, 250.0) > 0.99);
        assert_eq!(more_than(5.0, 0.0), 0.0);
    }
}
