//! How the records of a stateless operator are divided among instances that are not equally fast.
//!
//! Weights are whole numbers, so that every router of a job, on whichever host, divides exactly and alike.

use serde::{Deserialize, Serialize};

/// The weight of the fastest instance: speeds count to the thousandth.
const FASTEST: f64 = 1000.0;

/// By instance, its part of an operator's records in whole numbers of any unit, each at least 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights(Vec<u32>);

impl Weights {
    /// Weights in proportion to `speeds`, each more than 0; nothing where all are the same, because then instances take equal turns.
    ///
    /// ```
    /// use thalweg::migration::Weights;
    ///
    /// assert_eq!(Weights::of(&[1.0, 0.3]).unwrap().each(), [1000, 300]);
    /// assert_eq!(Weights::of(&[0.5, 0.5]), None);
    /// ```
    pub fn of(speeds: &[f64]) -> Option<Weights> {
        let fastest = speeds.iter().copied().fold(0.0, f64::max);
        let weights: Vec<u32> = speeds.iter().map(|speed| (speed / fastest * FASTEST).round().max(1.0) as u32).collect();
        weights.iter().any(|weight| *weight != weights[0]).then_some(Weights(weights))
    }

    /// By instance.
    pub fn each(&self) -> &[u32] {
        &self.0
    }
}
