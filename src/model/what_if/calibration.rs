//! What the model is off by, learned from the present configuration.
//!
//! Two numbers: what every record takes more than predicted (ticks, hops that are no piece of a path), from the medians; and by how
//! much the tail is longer or shorter, from what lies between the median and the 99th percentile. A window of few records says
//! little of a percentile, so both are means over windows that fade, and are drawn towards "nothing off" while there are few.

/// What a new window adds.
const NEW: f64 = 0.2;
/// Windows' worth of trust in the model as it is.
const PRIOR_WINDOWS: f64 = 4.0;
/// The tail is at least and at most so many times as long as predicted: a short time without slow records proves little.
const FACTOR: (f64, f64) = (0.8, 3.0);
/// Differences below this are the grid of ticks and clocks, in seconds.
const GRAIN_S: f64 = 0.002;
/// A percentile of fewer records than this says nothing.
const LEAST_RECORDS: u64 = 50;
/// Standard deviation of measured over predicted, as a logarithm, before anything was compared.
const PRIOR_ERROR: f64 = 0.2;

/// What was learned.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Calibration {
    windows: f64,
    more_s: f64,
    log_factor: f64,
    /// Mean square of the logarithm of measured over predicted, calibrated.
    square: f64,
}

impl Calibration {
    /// Learns that (median, 99th percentile) were `measured` where they had been `predicted`, in seconds, for `records` records.
    pub(super) fn observe(&mut self, predicted: (f64, f64), measured: (f64, f64), records: u64) {
        if records < LEAST_RECORDS || !(measured.0.is_finite() && measured.1 >= measured.0) {
            return;
        }
        let error = (measured.1.max(GRAIN_S) / self.calibrated(predicted.1, predicted.0).max(GRAIN_S)).ln();
        let tail = (measured.1 - measured.0 + GRAIN_S) / (predicted.1 - predicted.0 + GRAIN_S);
        let log_factor = tail.clamp(FACTOR.0, FACTOR.1).ln();
        self.windows += 1.0;
        let weight = NEW.max(1.0 / self.windows);
        self.more_s += weight * (measured.0 - predicted.0 - self.more_s);
        self.log_factor += weight * (log_factor - self.log_factor);
        self.square += weight * (error * error - self.square);
    }

    /// How far the present is trusted over the model, 0 to 1.
    fn trust(&self) -> f64 {
        self.windows / (self.windows + PRIOR_WINDOWS)
    }

    fn calibrated(&self, latency_s: f64, median_s: f64) -> f64 {
        self.calibrated_by(self.factor(), latency_s, median_s)
    }

    /// By how much the tail is longer.
    fn factor(&self) -> f64 {
        (self.log_factor * self.trust()).exp()
    }

    fn calibrated_by(&self, factor: f64, latency_s: f64, median_s: f64) -> f64 {
        let beyond = (latency_s - median_s).max(0.0);
        (latency_s + self.more_s + (factor - 1.0) * beyond).max(0.0)
    }

    /// Latencies, of which half are at most `median_s`, as the present says they should be.
    pub(super) fn apply(&self, latencies_s: &mut [f32], median_s: f64) {
        let factor = self.factor();
        for latency_s in latencies_s {
            *latency_s = self.calibrated_by(factor, f64::from(*latency_s), median_s) as f32;
        }
    }

    /// Standard deviation of the logarithm of measured over predicted that is to be expected.
    pub(super) fn error(&self) -> f64 {
        let trust = self.trust();
        ((1.0 - trust) * PRIOR_ERROR * PRIOR_ERROR + trust * self.square).sqrt()
    }
}
