//! What was measured of an operator.

/// What was measured of one operator in one epoch: sums over its instances, in records per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OperatorRates {
    /// True processing rate.
    pub true_processing: f64,
    /// True output rate; of a source the rate at which it is to emit.
    pub true_output: f64,
    /// Observed processing rate.
    pub observed_processing: f64,
    /// Observed output rate.
    pub observed_output: f64,
}

impl OperatorRates {
    /// Takes the true rates down to what the operator is known not to exceed, or to what was observed. Both of them in the same ratio: what
    /// comes out of a record does not depend on how fast it goes in.
    pub(super) fn limit(&mut self, most: Option<f64>) {
        let processing = most.map_or(self.observed_processing, |most| most.min(self.true_processing));
        if self.true_processing > 0.0 {
            self.true_output *= processing / self.true_processing;
        }
        self.true_processing = processing;
    }

    pub(super) fn add(&mut self, other: &OperatorRates) {
        self.true_processing += other.true_processing;
        self.true_output += other.true_output;
        self.observed_processing += other.observed_processing;
        self.observed_output += other.observed_output;
    }
}
