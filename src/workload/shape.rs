//! Shapes of the load: constant, steps, sine, square wave, ramp, spikes, or as a file has it.
//!
//! A [`Shape`] becomes a [`RateSchedule`] for a run of known length. Curves are cut into pieces
//! with the mean rate over each piece, so that the number of records due is exact at the end of
//! each.

use std::f64::consts::TAU;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::load::{LoadError, Trace};
use super::{Phase, RateSchedule, ScheduleError};
use crate::rate::Rate;

/// Pieces per period of a sine, and per ramp.
const PIECES: u32 = 64;
/// The most phases of a schedule.
const MOST_PHASES: f64 = 1e6;

/// From `start_s` until the next step, records are due at `rate`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Seconds since the start of the run.
    pub start_s: f64,
    /// Records per second.
    pub rate: Rate,
}

/// A load over time; times are in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Shape {
    /// A constant rate.
    Constant {
        /// Records per second.
        rate: Rate,
    },
    /// A sequence of rates.
    Steps {
        /// In order, the first at 0.
        steps: Vec<Step>,
    },
    /// A sine around a mean.
    Sine {
        /// The mean.
        mean: Rate,
        /// Half the difference between the lowest and the highest rate; at most the mean.
        amplitude: Rate,
        /// Length of a period.
        period_s: f64,
    },
    /// Alternating high and low rate, high first.
    Square {
        /// The high rate.
        high: Rate,
        /// The low rate.
        low: Rate,
        /// Length of a period.
        period_s: f64,
        /// Share of the period with the high rate, between 0 and 1.
        #[serde(default = "half")]
        high_share: f64,
    },
    /// A linear change from one rate to another, which then stays.
    Ramp {
        /// The initial rate.
        from: Rate,
        /// The final rate.
        to: Rate,
        /// When the change starts.
        start_s: f64,
        /// How long it takes.
        length_s: f64,
    },
    /// A base rate with spikes.
    Spike {
        /// The base rate.
        base: Rate,
        /// The rate of a spike.
        peak: Rate,
        /// When the first spike starts.
        start_s: f64,
        /// How long a spike lasts.
        length_s: f64,
        /// Time from the start of one spike to that of the next; a single spike if absent.
        every_s: Option<f64>,
    },
    /// As a file has it, or as a seed makes it.
    Trace(Box<Trace>),
}

fn half() -> f64 {
    0.5
}

/// Why a shape cannot become a schedule.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ShapeError {
    /// A parameter is out of range.
    #[error("expected {field} {expected}, found {found}")]
    Field {
        /// Its name.
        field: &'static str,
        /// The valid range.
        expected: &'static str,
        /// The value.
        found: f64,
    },
    /// Steps out of order.
    #[error(transparent)]
    Steps(#[from] ScheduleError),
    /// There is no load in the file, or it does not fit.
    #[error("load: {0}")]
    Load(#[from] LoadError),
    /// Too many pieces.
    #[error("expected at most {MOST_PHASES} changes of the rate within the run, found {0:.0}: lengthen the period")]
    TooMany(f64),
}

/// Checks a parameter and returns it.
fn check(field: &'static str, expected: &'static str, found: f64, holds: bool) -> Result<f64, ShapeError> {
    if holds && found.is_finite() { Ok(found) } else { Err(ShapeError::Field { field, expected, found }) }
}

fn length(field: &'static str, seconds: f64) -> Result<f64, ShapeError> {
    check(field, "of at least 0.001 s and at most 1e9 s", seconds, (1e-3..=1e9).contains(&seconds))
}

fn instant(field: &'static str, seconds: f64) -> Result<f64, ShapeError> {
    check(field, "of at least 0 and at most 1e9 s", seconds, (0.0..=1e9).contains(&seconds))
}

impl Shape {
    /// The schedule of a run that lasts `until`.
    ///
    /// # Errors
    /// If a parameter is out of range or steps are not in order.
    ///
    /// ```
    /// use std::time::Duration;
    /// use thalweg::rate::Rate;
    /// use thalweg::time::Timestamp;
    /// use thalweg::workload::Shape;
    ///
    /// let rate = Rate::per_second;
    /// let sine = Shape::Sine { mean: rate(100.0), amplitude: rate(50.0), period_s: 10.0 };
    /// let schedule = sine.schedule(Duration::from_secs(20)).unwrap();
    /// assert!((schedule.due(Timestamp::from_secs_f64(20.0)) - 2000.0).abs() < 1e-6);
    /// ```
    pub fn schedule(&self, until: Duration) -> Result<RateSchedule, ShapeError> {
        let until = until.as_secs_f64();
        let many = |pieces: f64| if pieces <= MOST_PHASES { Ok(()) } else { Err(ShapeError::TooMany(pieces)) };
        let mut pieces: Vec<(f64, f64)> = Vec::new();
        match *self {
            Shape::Constant { rate } => pieces.push((0.0, rate.as_per_second())),
            Shape::Steps { ref steps } => {
                for step in steps {
                    pieces.push((instant("start_s", step.start_s)?, step.rate.as_per_second()));
                }
            }
            Shape::Sine { mean, amplitude, period_s } => {
                let (mean, amplitude) = (mean.as_per_second(), amplitude.as_per_second());
                let period = length("period_s", period_s)?;
                check("amplitude", "of at most the mean", amplitude, amplitude <= mean)?;
                let count = (until / period * f64::from(PIECES)).ceil();
                many(count)?;
                for piece in 0..count.max(1.0) as u64 {
                    let angle = |piece: u64| TAU * (piece % u64::from(PIECES)) as f64 / f64::from(PIECES);
                    // The mean over the piece: the difference of the integral -cos.
                    let mean_sine = (angle(piece).cos() - (angle(piece) + TAU / f64::from(PIECES)).cos()) * f64::from(PIECES) / TAU;
                    pieces.push((piece as f64 * period / f64::from(PIECES), (mean + amplitude * mean_sine).max(0.0)));
                }
            }
            Shape::Square { high, low, period_s, high_share } => {
                let period = length("period_s", period_s)?;
                check("high_share", "between 0 and 1", high_share, 0.0 < high_share && high_share < 1.0)?;
                let count = (until / period).ceil();
                many(2.0 * count)?;
                for turn in 0..count.max(1.0) as u64 {
                    pieces.push((turn as f64 * period, high.as_per_second()));
                    pieces.push(((turn as f64 + high_share) * period, low.as_per_second()));
                }
            }
            Shape::Ramp { from, to, start_s, length_s } => {
                let (start, length) = (instant("start_s", start_s)?, length("length_s", length_s)?);
                let (from, to) = (from.as_per_second(), to.as_per_second());
                if start > 0.0 {
                    pieces.push((0.0, from));
                }
                for piece in 0..PIECES {
                    let part = |offset: f64| (f64::from(piece) + offset) / f64::from(PIECES);
                    pieces.push((start + part(0.0) * length, from + part(0.5) * (to - from)));
                }
                pieces.push((start + length, to));
            }
            Shape::Trace(ref trace) => pieces = trace.rates(until, MOST_PHASES)?,
            Shape::Spike { base, peak, start_s, length_s, every_s } => {
                let (start, length) = (instant("start_s", start_s)?, length("length_s", length_s)?);
                let every = check("every_s", "of more than length_s", every_s.unwrap_or(2e9), every_s.is_none_or(|every| every > length))?;
                let count = ((until - start) / every).ceil().max(1.0);
                many(2.0 * count)?;
                if start > 0.0 {
                    pieces.push((0.0, base.as_per_second()));
                }
                for spike in 0..count as u64 {
                    let begins = start + spike as f64 * every;
                    pieces.push((begins, peak.as_per_second()));
                    pieces.push((begins + length, base.as_per_second()));
                }
            }
        }
        let phase = |(start, rate): (f64, f64)| Phase { start: Duration::from_secs_f64(start), rate: Rate::per_second(rate) };
        Ok(RateSchedule::new(pieces.into_iter().map(phase).collect())?)
    }

    /// The same over time, at so many times the rate.
    pub fn times(&self, factor: f64) -> Shape {
        let by = |rate: Rate| Rate::per_second(rate.as_per_second() * factor);
        match *self {
            Shape::Constant { rate } => Shape::Constant { rate: by(rate) },
            Shape::Steps { ref steps } => Shape::Steps { steps: steps.iter().map(|step| Step { rate: by(step.rate), ..*step }).collect() },
            Shape::Sine { mean, amplitude, period_s } => Shape::Sine { mean: by(mean), amplitude: by(amplitude), period_s },
            Shape::Square { high, low, period_s, high_share } => Shape::Square { high: by(high), low: by(low), period_s, high_share },
            Shape::Ramp { from, to, start_s, length_s } => Shape::Ramp { from: by(from), to: by(to), start_s, length_s },
            Shape::Spike { base, peak, start_s, length_s, every_s } => {
                Shape::Spike { base: by(base), peak: by(peak), start_s, length_s, every_s }
            }
            Shape::Trace(ref trace) => Shape::Trace(Box::new(trace.times(factor))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn due(shape: &Shape, seconds: f64) -> f64 {
        shape.schedule(Duration::from_secs(100)).unwrap().due(Timestamp::from_secs_f64(seconds))
    }

    #[test]
    fn shapes_are_what_they_say() {
        let rate = Rate::per_second;
        let square = Shape::Square { high: rate(30.0), low: rate(10.0), period_s: 10.0, high_share: 0.5 };
        assert_eq!([due(&square, 5.0), due(&square, 10.0), due(&square, 100.0)], [150.0, 200.0, 2000.0]);
        let ramp = Shape::Ramp { from: rate(0.0), to: rate(100.0), start_s: 10.0, length_s: 20.0 };
        assert!((due(&ramp, 20.0) - 250.0).abs() < 1e-9 && (due(&ramp, 40.0) - 2000.0).abs() < 1e-6);
        let spike = Shape::Spike { base: rate(1.0), peak: rate(11.0), start_s: 5.0, length_s: 2.0, every_s: Some(10.0) };
        assert_eq!([due(&spike, 5.0), due(&spike, 7.0), due(&spike, 20.0)], [5.0, 27.0, 60.0]);
        let steps = Shape::Steps { steps: vec![Step { start_s: 0.0, rate: rate(2.0) }, Step { start_s: 3.0, rate: rate(4.0) }] };
        assert_eq!(due(&steps, 4.0), 10.0);
    }

    #[test]
    fn every_shape_has_so_many_times_its_rate() {
        let (rate, at) = (Rate::per_second, [1.0, 6.0, 21.0, 100.0]);
        let steps = vec![Step { start_s: 0.0, rate: rate(2.0) }, Step { start_s: 3.0, rate: rate(4.0) }];
        let shapes = [
            Shape::Constant { rate: rate(7.0) },
            Shape::Steps { steps },
            Shape::Sine { mean: rate(9.0), amplitude: rate(5.0), period_s: 20.0 },
            Shape::Square { high: rate(30.0), low: rate(10.0), period_s: 10.0, high_share: 0.3 },
            Shape::Ramp { from: rate(1.0), to: rate(100.0), start_s: 10.0, length_s: 20.0 },
            Shape::Spike { base: rate(1.0), peak: rate(11.0), start_s: 5.0, length_s: 2.0, every_s: Some(10.0) },
        ];
        for shape in shapes {
            for at in at {
                let (once, more) = (due(&shape, at), due(&shape.times(2.5), at));
                assert!((more - 2.5 * once).abs() < 1e-6 * more, "{shape:?} at {at} s: {once}, {more}");
            }
        }
    }

    #[test]
    fn what_is_no_load_is_refused_by_name() {
        let rate = Rate::per_second;
        let refused = |shape: Shape| shape.schedule(Duration::from_secs(1_000_000)).unwrap_err().to_string();
        assert_eq!(
            refused(Shape::Sine { mean: rate(1.0), amplitude: rate(2.0), period_s: 1.0 }),
            "expected amplitude of at most the mean, found 2"
        );
        assert!(refused(Shape::Sine { mean: rate(1.0), amplitude: rate(1.0), period_s: f64::NAN }).contains("found NaN"));
        assert!(
            refused(Shape::Square { high: rate(1.0), low: rate(0.0), period_s: 0.1, high_share: 0.5 }).contains("at most 1000000 changes")
        );
        assert!(refused(Shape::Steps { steps: vec![] }).contains("first phase to start at 0"));
    }
}
