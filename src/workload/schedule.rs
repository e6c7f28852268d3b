//! The schedule of due records: a rate for each phase of the run.
//!
//! Open loop: the schedule does not depend on the progress of the job. Invariant: `due` counts
//! without accumulated rounding, and `time_of(n)` is the first instant at which `due` reaches `n`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rate::Rate;
use crate::time::Timestamp;

/// From `start` until the next phase starts, records are due at `rate`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Time since the start of the run.
    pub start: Duration,
    /// Records per second.
    pub rate: Rate,
}

/// A rate for each phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Phase>", into = "Vec<Phase>")]
pub struct RateSchedule {
    phases: Vec<Phase>,
    /// Records due before each phase starts, cached because a schedule of many phases is queried
    /// often.
    before: Vec<f64>,
    /// Starts of phases in seconds.
    starts_s: Vec<f64>,
}

/// Why phases do not form a schedule.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// The first phase does not start at 0.
    #[error("expected the first phase to start at 0 s, found {0:?}")]
    FirstPhase(Option<Duration>),
    /// Phases are not in order.
    #[error("expected phases in the order of their starts, found {0:?} after {1:?}")]
    Order(Duration, Duration),
}

impl RateSchedule {
    /// A constant rate.
    pub fn constant(rate: Rate) -> RateSchedule {
        RateSchedule { phases: vec![Phase { start: Duration::ZERO, rate }], before: vec![0.0], starts_s: vec![0.0] }
    }

    /// Phases in order, the first at 0.
    ///
    /// # Errors
    /// If they are not.
    pub fn new(phases: Vec<Phase>) -> Result<RateSchedule, ScheduleError> {
        match phases.first() {
            Some(first) if first.start.is_zero() => {}
            first => return Err(ScheduleError::FirstPhase(first.map(|phase| phase.start))),
        }
        for pair in phases.windows(2) {
            if pair[1].start <= pair[0].start {
                return Err(ScheduleError::Order(pair[1].start, pair[0].start));
            }
        }
        let mut due = 0.0;
        let mut before = vec![due];
        for pair in phases.windows(2) {
            due += pair[0].rate.as_per_second() * (pair[1].start.as_secs_f64() - pair[0].start.as_secs_f64());
            before.push(due);
        }
        let starts_s = phases.iter().map(|phase| phase.start.as_secs_f64()).collect();
        Ok(RateSchedule { phases, before, starts_s })
    }

    /// The phases.
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// Rate at `at`.
    pub fn rate(&self, at: Timestamp) -> Rate {
        self.phases[self.phase(at)].rate
    }

    /// The highest rate of all phases.
    pub fn highest(&self) -> Rate {
        let rates = self.phases.iter().map(|phase| phase.rate.as_per_second());
        Rate::per_second(rates.fold(0.0, f64::max))
    }

    /// Position of the phase at `at`.
    fn phase(&self, at: Timestamp) -> usize {
        let at = at.as_secs_f64();
        self.starts_s.partition_point(|start| *start <= at).saturating_sub(1)
    }

    /// Number of records due by `at`, with a fraction for the last one.
    pub fn due(&self, at: Timestamp) -> f64 {
        let phase = self.phase(at);
        self.before[phase] + (at.as_secs_f64() - self.starts_s[phase]) * self.phases[phase].rate.as_per_second()
    }

    /// When the `n`-th record (counted from 1) is due; `None` if it never is.
    pub fn time_of(&self, n: u64) -> Option<Timestamp> {
        let n = n as f64;
        // The last phase before whose end that many are due: where the next one starts, `before`
        // equals `due`.
        let phase = self.before.partition_point(|&before| before < n).saturating_sub(1);
        let Phase { start, rate } = self.phases[phase];
        let more = n - self.before[phase];
        if more > 0.0 && rate == Rate::ZERO {
            return None;
        }
        let after = if more > 0.0 { more / rate.as_per_second() } else { 0.0 };
        Some(Timestamp::from_secs_f64(start.as_secs_f64() + after))
    }
}

impl TryFrom<Vec<Phase>> for RateSchedule {
    type Error = ScheduleError;
    fn try_from(phases: Vec<Phase>) -> Result<RateSchedule, ScheduleError> {
        RateSchedule::new(phases)
    }
}

impl From<RateSchedule> for Vec<Phase> {
    fn from(schedule: RateSchedule) -> Vec<Phase> {
        schedule.phases
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_add_up() {
        let phase = |start, rate| Phase { start: Duration::from_secs(start), rate: Rate::per_second(rate) };
        let schedule = RateSchedule::new(vec![phase(0, 10.0), phase(2, 0.0), phase(3, 5.0)]).unwrap();
        let due = |seconds| schedule.due(Timestamp::from_secs_f64(seconds));
        assert_eq!([due(0.0), due(1.5), due(2.0), due(2.9), due(4.0)], [0.0, 15.0, 20.0, 20.0, 25.0]);
        assert_eq!(schedule.time_of(15), Some(Timestamp::from_secs_f64(1.5)));
        assert_eq!(schedule.time_of(21), Some(Timestamp::from_secs_f64(3.2)));
        assert_eq!(RateSchedule::constant(Rate::ZERO).time_of(1), None);
        assert!(RateSchedule::new(vec![phase(1, 1.0)]).is_err());
        assert!(RateSchedule::new(vec![phase(0, 1.0), phase(0, 1.0)]).is_err());
    }

    #[test]
    fn a_record_that_is_due_has_a_time_also_at_the_edge_of_a_phase() {
        let phase = |start, rate| Phase { start: Duration::from_secs_f64(start), rate: Rate::per_second(rate) };
        // 17.2 * 1.5 + 13.6 * 2 is 53 in floating point, 53 - 17.2 * 1.5 is more than 13.6 * 2.
        let schedule = RateSchedule::new(vec![phase(0.0, 17.2), phase(1.5, 13.6), phase(3.5, 0.0)]).unwrap();
        let end = Timestamp::from_secs_f64(3.5);
        assert_eq!((schedule.due(end), schedule.time_of(53)), (53.0, Some(end)));
    }
}
