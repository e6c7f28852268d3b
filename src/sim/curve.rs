//! Total capacity of an operator as a function of its number of instances.

use serde::{Deserialize, Serialize};

/// Rate of `p` instances over that of one alone.
// papers/ds2-osdi18.md#properties
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "curve", rename_all = "kebab-case", deny_unknown_fields)]
pub enum CapacityCurve {
    /// `p`: linear scaling, which DS2 assumes.
    #[default]
    Linear,
    /// `p^exponent`; an exponent below 1 is less than linear.
    Power {
        /// More than 0 and at most 2.
        exponent: f64,
    },
    /// `p / (1 + contention (p - 1) + coherence p (p - 1))`, the universal scalability law (Gunther
    /// 1993).
    Universal {
        /// Part of the work that cannot be done in parallel, 0 to 1.
        contention: f64,
        /// What each pair of instances costs, 0 to 1.
        coherence: f64,
    },
    /// Measured: records per second of all instances together, by their number, in order. Between
    /// two points straight, before the first in proportion, after the last as between the last two.
    Table {
        /// Number of instances and their rate together.
        points: Vec<(u32, f64)>,
    },
}

/// Error of an invalid curve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct CurveError(&'static str);

impl CapacityCurve {
    /// Checks the numbers.
    ///
    /// # Errors
    /// When they are out of range; the error says what was expected.
    pub fn check(&self) -> Result<(), CurveError> {
        let holds = |holds: bool, expected| if holds { Ok(()) } else { Err(CurveError(expected)) };
        match self {
            CapacityCurve::Linear => Ok(()),
            CapacityCurve::Power { exponent } => holds(*exponent > 0.0 && *exponent <= 2.0, "an exponent of more than 0 and at most 2"),
            CapacityCurve::Universal { contention, coherence } => {
                let unit = 0.0..=1.0;
                holds(unit.contains(contention) && unit.contains(coherence), "contention and coherence from 0 to 1")
            }
            CapacityCurve::Table { points } => {
                let order = points.windows(2).all(|pair| pair[0].0 < pair[1].0);
                let positive = points.iter().all(|(p, rate)| *p > 0 && rate.is_finite() && *rate > 0.0);
                holds(!points.is_empty() && order && positive, "points by number of instances, from 1, each with a rate of more than 0")
            }
        }
    }

    /// Rate of one of `p` instances over that of one alone; for a table over 1 record per second,
    /// whatever the operator's limit is.
    ///
    /// # Panics
    /// If there is no instance.
    pub fn of_one(&self, p: u32) -> f64 {
        assert!(p > 0, "an operator has an instance");
        let n = f64::from(p);
        match self {
            CapacityCurve::Linear => 1.0,
            CapacityCurve::Power { exponent } => n.powf(exponent - 1.0),
            CapacityCurve::Universal { contention, coherence } => 1.0 / (1.0 + contention * (n - 1.0) + coherence * n * (n - 1.0)),
            CapacityCurve::Table { points } => table(points, n) / n,
        }
    }
}

/// Rate of all of `n` instances by measured points.
fn table(points: &[(u32, f64)], n: f64) -> f64 {
    let (first, rate) = points[0];
    if n <= f64::from(first) || points.len() == 1 {
        return rate * n / f64::from(first);
    }
    let after = points.partition_point(|(p, _)| f64::from(*p) < n).min(points.len() - 1);
    let ((p0, r0), (p1, r1)) = (points[after - 1], points[after]);
    let along = (n - f64::from(p0)) / (f64::from(p1) - f64::from(p0));
    // What a falling end would lead to is not known: no less than a tenth of the last point.
    (r0 + along * (r1 - r0)).max(r1 / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_what_they_say() {
        let all = |curve: &CapacityCurve, p: u32| curve.of_one(p) * f64::from(p);
        assert_eq!(all(&CapacityCurve::Linear, 7), 7.0);
        assert!((all(&CapacityCurve::Power { exponent: 0.5 }, 16) - 4.0).abs() < 1e-12);
        let universal = CapacityCurve::Universal { contention: 0.1, coherence: 0.01 };
        assert!((all(&universal, 5) - 5.0 / (1.0 + 0.4 + 0.2)).abs() < 1e-12);
        let table = CapacityCurve::Table { points: vec![(2, 20.0), (4, 30.0), (8, 40.0)] };
        assert_eq!([1, 2, 3, 4, 6, 12].map(|p| all(&table, p).round()), [10.0, 20.0, 25.0, 30.0, 35.0, 50.0]);
        assert!(CapacityCurve::Table { points: vec![(2, 1.0), (2, 1.0)] }.check().is_err());
        assert!(CapacityCurve::Power { exponent: f64::NAN }.check().is_err());
    }
}
