//! Measured rates of an operator.

/// Measured rates of one operator in one epoch: sums over its instances, in records per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OperatorRates {
    /// True processing rate.
    pub true_processing: f64,
    /// True output rate; for a source its target rate.
    pub true_output: f64,
    /// Observed processing rate.
    pub observed_processing: f64,
    /// Observed output rate.
    pub observed_output: f64,
}

impl OperatorRates {
    /// Clips the true processing rate to the upper bound, or to the observed rate. The output rate
    /// is reduced by the same ratio: the selectivity does not depend on the rate.
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

/// Rates of one instance in one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct InstanceRates {
    pub(super) rates: OperatorRates,
    /// It had nothing to do, so that its true rates are not known.
    pub(super) is_idle: bool,
}

impl InstanceRates {
    /// Rates over all instances. The true rates of an idle one are taken to be those of the others
    /// on average.
    pub(super) fn sum(instances: &[InstanceRates]) -> OperatorRates {
        let mut sum = OperatorRates::default();
        instances.iter().for_each(|instance| sum.add(&instance.rates));
        let idle = instances.iter().filter(|instance| instance.is_idle).count();
        if 0 < idle && idle < instances.len() {
            let factor = instances.len() as f64 / (instances.len() - idle) as f64;
            sum.true_processing *= factor;
            sum.true_output *= factor;
        }
        sum
    }
}
