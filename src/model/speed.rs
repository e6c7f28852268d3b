//! The speed of each instance of an operator in one window.

use std::time::Duration;

use crate::metrics::{InstanceMetrics, OperatorMetrics};
use crate::stats::lower_median;

/// A rate from less useful time than this share of the window is unreliable.
const LEAST_UTILISATION: f64 = 0.02;
/// An instance below this share of the median is certainly slow, and not part of the spread among
/// normal ones.
const FAR_BELOW: f64 = 0.6;

/// Rates of an operator's instances in a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Speeds {
    /// Records per useful second of a normal instance: the median, which a few slow ones do not
    /// affect.
    pub rate: f64,
    /// Standard error of the median's logarithm, from the spread among instances; 0 if there is
    /// only one.
    pub error: f64,
    /// Speed of each instance relative to a normal one: 1 unless it is known to be slow, which a
    /// single window cannot show ([`RelativeSpeeds`](super::RelativeSpeeds)).
    pub relative: Vec<f64>,
}

/// Work of one instance in a window.
#[derive(Clone, Copy)]
struct Measured {
    /// Records per busy second.
    rate: f64,
    /// Whether it worked long enough for its rate to be reliable.
    sound: bool,
}

impl Measured {
    /// `None` if the instance finished no record.
    fn of(instance: &InstanceMetrics, busy: Duration) -> Option<Measured> {
        let sound = busy.as_secs_f64() >= LEAST_UTILISATION * instance.window.as_secs_f64();
        (instance.processed > 0 && !busy.is_zero()).then(|| Measured { rate: instance.processed as f64 / busy.as_secs_f64(), sound })
    }
}

impl Speeds {
    /// Speeds in a window, counting external waits of an instance as work; `None` if no instance
    /// finished a record.
    pub fn of(metrics: &OperatorMetrics) -> Option<Speeds> {
        Speeds::from_busy(metrics, |instance| instance.useful + instance.external_wait)
    }

    /// As [`of`](Speeds::of), but without external waits.
    pub fn of_own_work(metrics: &OperatorMetrics) -> Option<Speeds> {
        Speeds::from_busy(metrics, |instance| instance.useful)
    }

    fn from_busy(metrics: &OperatorMetrics, busy: impl Fn(&InstanceMetrics) -> Duration) -> Option<Speeds> {
        let measured: Vec<_> = metrics.instances.iter().map(|instance| Measured::of(instance, busy(instance))).collect();
        // Unreliable rates are used only if there are no others.
        let any_sound = measured.iter().flatten().any(|measured| measured.sound);
        let counts = |measured: &&Measured| measured.sound || !any_sound;
        let rates: Vec<f64> = measured.iter().flatten().filter(counts).map(|measured| measured.rate).collect();
        let rate = lower_median(rates.iter().copied())?;
        Some(Speeds { rate, error: error(&rates, rate), relative: vec![1.0; measured.len()] })
    }

    /// The number of normal instances with the same total speed.
    pub fn together(&self) -> f64 {
        self.relative.iter().sum()
    }
}

/// Standard error of the logarithm of `median`, from the spread of the rates that are not far below
/// it.
fn error(rates: &[f64], median: f64) -> f64 {
    let squares: Vec<f64> =
        rates.iter().map(|rate| (rate / median).ln()).filter(|log| *log > FAR_BELOW.ln()).map(|log| log * log).collect();
    let n = squares.len() as f64;
    if squares.len() < 2 { 0.0 } else { (squares.iter().sum::<f64>() / (n - 1.0)).sqrt() / n.sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{InstanceId, OperatorId};

    fn operator(instances: &[(u64, u64)]) -> OperatorMetrics {
        let operator = OperatorId(1);
        let instance = |(index, &(processed, useful_ms)): (u32, &(u64, u64))| InstanceMetrics {
            processed,
            useful: Duration::from_millis(useful_ms),
            ..InstanceMetrics::idle(InstanceId::new(operator, index), Duration::from_secs(1))
        };
        OperatorMetrics { operator, instances: (0..).zip(instances).map(instance).collect(), bins: Vec::new() }
    }

    #[test]
    fn a_slow_instance_does_not_make_the_others_look_slow() {
        let speeds = Speeds::of(&operator(&[(100, 500), (200, 1000), (60, 900), (0, 0), (210, 1000)])).unwrap();
        assert_eq!(speeds.rate, 200.0);
        assert!(speeds.error > 0.0 && speeds.error < 0.05, "{speeds:?}");
        assert_eq!(Speeds { relative: vec![1.0, 0.5, 1.0], ..speeds }.together(), 2.5);
    }

    #[test]
    fn little_work_counts_only_where_there_is_no_other() {
        assert_eq!(Speeds::of(&operator(&[(100, 500), (1, 1)])).unwrap().rate, 200.0);
        assert_eq!(Speeds::of(&operator(&[(1, 1)])).unwrap().rate, 1000.0);
        assert_eq!(Speeds::of(&operator(&[(0, 0), (0, 300)])), None);
    }

    #[test]
    fn waiting_is_work_but_not_its_own() {
        let mut metrics = operator(&[(100, 100)]);
        metrics.instances[0].external_wait = Duration::from_millis(900);
        assert_eq!(Speeds::of_own_work(&metrics).unwrap().rate, 1000.0);
        assert_eq!(Speeds::of(&metrics).unwrap().rate, 100.0);
    }
}
