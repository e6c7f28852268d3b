//! How the records of a stateless operator are distributed among instances of different speeds.
//!
//! Weights are integers, so that every router of a job, on whichever host, distributes records
//! exactly alike.

use serde::{Deserialize, Serialize};

/// The weight of the fastest instance: speeds have a resolution of one thousandth.
const FASTEST: f64 = 1000.0;

/// The share of each instance of an operator's records, in integer units, each at least 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights(Vec<u32>);

impl Weights {
    /// Weights in proportion to `speeds`, each more than 0; `None` if all are equal, because
    /// records are then dealt round-robin.
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
