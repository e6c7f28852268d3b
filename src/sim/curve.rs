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
    /// Measured several times: a table of lists. A run with a seed goes by one of the repetitions at
    /// each point, so neither points nor repetitions need agree with each other; without a seed it
    /// goes by their means. After the last point as between the last two, or as at the last one if
    /// that is lower: between two points that noise made, a fall is no trend.
    Measured {
        /// Number of instances and what was measured of all of them together, in records per second.
        points: Vec<(u32, Vec<f64>)>,
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
            CapacityCurve::Measured { points } => {
                let measured = points.iter().all(|(_, all)| !all.is_empty() && all.iter().all(|rate| rate.is_finite() && *rate > 0.0));
                holds(measured, "at each point one rate or more, each of more than 0")?;
                self.without_repetitions().check()
            }
            CapacityCurve::Table { points } => {
                let order = points.windows(2).all(|pair| pair[0].0 < pair[1].0);
                let positive = points.iter().all(|(p, rate)| *p > 0 && rate.is_finite() && *rate > 0.0);
                holds(!points.is_empty() && order && positive, "points by number of instances, from 1, each with a rate of more than 0")
            }
        }
    }

    /// The same with one of the repetitions at each point, drawn from a seed. Where there is just
    /// one, it is as far from the mean as one of those of other points is from theirs.
    pub fn drawn(&self, seed: u64) -> CapacityCurve {
        let CapacityCurve::Measured { points } = self else { return self.clone() };
        let several = points.iter().filter(|(_, all)| all.len() > 1);
        let deviations: Vec<f64> = several.flat_map(|(_, all)| all.iter().map(|one| one / mean(all))).collect();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut draw = |(p, all): &(u32, Vec<f64>)| {
            let rate = match (&all[..], &deviations[..]) {
                ([only], []) => *only,
                ([only], deviations) => only * deviations[random.usize(..deviations.len())],
                _ => all[random.usize(..all.len())],
            };
            (*p, rate)
        };
        CapacityCurve::Table { points: not_falling_on(points.iter().map(&mut draw).collect()) }
    }

    /// The same with the mean of the repetitions at each point.
    pub fn without_repetitions(&self) -> CapacityCurve {
        match self {
            CapacityCurve::Measured { points } => {
                CapacityCurve::Table { points: not_falling_on(points.iter().map(|(p, all)| (*p, mean(all))).collect()) }
            }
            other => other.clone(),
        }
    }

    /// Whether it is in records per second, whatever the operator's limit is.
    pub fn is_absolute(&self) -> bool {
        matches!(self, CapacityCurve::Table { .. } | CapacityCurve::Measured { .. })
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
            CapacityCurve::Measured { .. } => self.without_repetitions().of_one(p),
        }
    }
}

fn mean(all: &[f64]) -> f64 {
    all.iter().sum::<f64>() / all.len().max(1) as f64
}

/// `points` with one more where the last one is below the one before: the same rate for another instance.
fn not_falling_on(mut points: Vec<(u32, f64)>) -> Vec<(u32, f64)> {
    if let [.., (_, before), (last, rate)] = points[..]
        && rate < before
    {
        points.push((last.saturating_add(1), rate));
    }
    points
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

    #[test]
    fn repetitions_are_drawn_and_single_ones_vary_as_the_others_do() {
        let measured = CapacityCurve::Measured { points: vec![(1, vec![8.0, 12.0]), (2, vec![20.0])] };
        assert_eq!((measured.of_one(1), measured.of_one(2)), (10.0, 10.0));
        let drawn = |seed| match measured.drawn(seed) {
            CapacityCurve::Table { points } => (points[0].1, points[1].1),
            other => panic!("{other:?}"),
        };
        let all: std::collections::BTreeSet<(u64, u64)> = (0..50).map(drawn).map(|(one, two)| (one as u64, two as u64)).collect();
        assert_eq!(all.into_iter().collect::<Vec<_>>(), [(8, 16), (8, 24), (12, 16), (12, 24)]);
        assert_eq!(drawn(7), drawn(7));
        let falls = CapacityCurve::Measured { points: vec![(1, vec![10.0]), (34, vec![300.0]), (35, vec![280.0])] };
        assert_eq!((falls.of_one(35) * 35.0, falls.of_one(70) * 70.0), (280.0, 280.0), "not a tenth of it");
        let alone = CapacityCurve::Measured { points: vec![(3, vec![5.0])] };
        assert_eq!(alone.drawn(1), CapacityCurve::Table { points: vec![(3, 5.0)] });
        for wrong in [vec![], vec![(1, vec![])], vec![(1, vec![0.0])], vec![(2, vec![1.0]), (1, vec![1.0])], vec![(1, vec![f64::NAN])]] {
            assert!(CapacityCurve::Measured { points: wrong.clone() }.check().is_err(), "{wrong:?}");
        }
    }
}
