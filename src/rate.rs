//! Records per second as a type.
//!
//! A [`Rate`] is finite and not negative. It parses from the usual notations (`16667`,
//! `1000000/min`, `2.5k/s`); the unit is part of the type, since rates without units are a frequent
//! source of errors.

use std::fmt;
use std::ops::Add;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Records per second; finite and at least 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "RateForm", into = "f64")]
pub struct Rate(f64);

/// A text that is not a rate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("expected a rate such as 16667, 1000000/min or 2.5k/s (records per second unless a unit is given), found '{0}'")]
pub struct RateError(pub String);

impl Rate {
    /// No records at all.
    pub const ZERO: Rate = Rate(0.0);

    /// A rate of `per_second` records per second.
    ///
    /// # Panics
    /// If the value is negative or not finite.
    pub fn per_second(per_second: f64) -> Rate {
        assert!(per_second.is_finite() && per_second >= 0.0, "a rate is finite and not negative: {per_second}");
        Rate(per_second)
    }

    /// A rate of `per_minute` records per minute.
    ///
    /// # Panics
    /// If the value is negative or not finite.
    pub fn per_minute(per_minute: f64) -> Rate {
        Rate::per_second(per_minute / 60.0)
    }

    /// Records per second.
    pub fn as_per_second(self) -> f64 {
        self.0
    }

    /// `records` in `time`; `None` if no time has passed: a rate over no time is undefined, not
    /// infinite.
    pub fn of(records: f64, time: Duration) -> Option<Rate> {
        (!time.is_zero()).then(|| Rate(records / time.as_secs_f64()))
    }
}

impl Add for Rate {
    type Output = Rate;

    fn add(self, other: Rate) -> Rate {
        Rate((self.0 + other.0).min(f64::MAX))
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Rate, RateError> {
        let error = || RateError(text.to_owned());
        let (number, seconds) = match text.trim().split_once('/') {
            None => (text.trim(), 1.0),
            Some((number, "s" | "sec" | "second")) => (number, 1.0),
            Some((number, "min" | "minute")) => (number, 60.0),
            Some((number, "h" | "hour")) => (number, 3600.0),
            Some(_) => return Err(error()),
        };
        let (digits, factor) = match number.trim_end().strip_suffix(['k', 'K']) {
            Some(digits) => (digits, 1e3),
            None => match number.trim_end().strip_suffix('M') {
                Some(digits) => (digits, 1e6),
                None => (number, 1.0),
            },
        };
        let value: f64 = digits.trim().replace('_', "").parse().map_err(|_| error())?;
        let per_second = value * factor / seconds;
        if !per_second.is_finite() || per_second < 0.0 {
            return Err(error());
        }
        Ok(Rate(per_second))
    }
}

/// A rate as written in a file: a number (per second) or a text with a unit.
#[derive(Deserialize)]
#[serde(untagged)]
enum RateForm {
    Number(f64),
    Text(String),
}

impl TryFrom<RateForm> for Rate {
    type Error = RateError;
    fn try_from(form: RateForm) -> Result<Rate, RateError> {
        match form {
            RateForm::Text(text) => text.parse(),
            RateForm::Number(value) if value.is_finite() && value >= 0.0 => Ok(Rate(value)),
            RateForm::Number(value) => Err(RateError(value.to_string())),
        }
    }
}

impl From<Rate> for f64 {
    fn from(rate: Rate) -> f64 {
        rate.0
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 1000.0 { write!(f, "{:.0}/s", self.0) } else { write!(f, "{:.1}/s", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_understood() {
        for (text, per_second) in
            [("16667", 16667.0), ("1000000/min", 1e6 / 60.0), ("2.5k/s", 2500.0), ("1M/h", 1e6 / 3600.0), ("1_000/s", 1000.0)]
        {
            assert_eq!(text.parse::<Rate>().unwrap().as_per_second(), per_second, "{text}");
        }
        for text in ["", "-1", "NaN", "inf", "10/fortnight", "ten", "1e999"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_over_no_time_is_undefined() {
        assert_eq!(Rate::of(5.0, Duration::ZERO), None);
        assert_eq!(Rate::of(5.0, Duration::from_secs(2)), Some(Rate(2.5)));
    }
}
