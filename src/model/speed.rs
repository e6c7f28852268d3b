//! How fast the instances of one operator are, each by itself.

use crate::metrics::OperatorMetrics;

/// A rate from less useful time than this part of the window says little.
const LEAST_UTILISATION: f64 = 0.02;
/// An instance below this part of the others' rate is slow; what lies above is noise.
const SLOW: f64 = 0.6;
/// One rate of two cannot be told from the other.
const LEAST_TO_COMPARE: usize = 3;

/// Rates of an operator's instances in a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Speeds {
    /// Records per useful second of an ordinary instance: the median, which a few slow ones do not move.
    pub rate: f64,
    /// Standard error of the median's logarithm from the spread between instances; 0 where there is one alone.
    pub error: f64,
    /// Each instance's speed over the ordinary one's: 1 unless it is slow.
    pub relative: Vec<f64>,
}

impl Speeds {
    /// Speeds in a window; nothing where no instance finished a record.
    ///
    /// An instance that waits for something outside is as slow as its waits make it only where `with_waits` says so.
    pub fn of(metrics: &OperatorMetrics, with_waits: bool) -> Option<Speeds> {
        let rates: Vec<Option<f64>> = metrics
            .instances
            .iter()
            .map(|instance| {
                let busy = if with_waits { instance.useful + instance.external_wait } else { instance.useful };
                let enough = busy.as_secs_f64() >= LEAST_UTILISATION * instance.window.as_secs_f64();
                (instance.processed > 0 && !busy.is_zero()).then(|| (instance.processed as f64 / busy.as_secs_f64(), enough))
            })
            .map(|rate| rate.map(|(rate, enough)| if enough { rate } else { -rate }))
            .collect();
        // Rates of little work stand in only where there are no others.
        let sound: Vec<f64> = rates.iter().flatten().copied().filter(|rate| *rate > 0.0).collect();
        let known: Vec<f64> = if sound.is_empty() { rates.iter().flatten().map(|rate| -rate).collect() } else { sound };
        let rate = median(&known)?;
        let logs: Vec<f64> = known.iter().map(|known| (known / rate).ln()).filter(|log| *log > SLOW.ln()).collect();
        let n = logs.len() as f64;
        let error = if logs.len() < 2 { 0.0 } else { (logs.iter().map(|log| log * log).sum::<f64>() / (n - 1.0)).sqrt() / n.sqrt() };
        let slow = |own: &Option<f64>| match own {
            Some(own) if *own > 0.0 && known.len() >= LEAST_TO_COMPARE && *own < rate * SLOW => own / rate,
            _ => 1.0,
        };
        Some(Speeds { rate, error, relative: rates.iter().map(slow).collect() })
    }

    /// Ordinary instances to which all of them together come.
    pub fn together(&self) -> f64 {
        self.relative.iter().sum()
    }
}

/// The middle of some numbers; nothing without any.
pub fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    let middle = sorted.len().checked_sub(1)? / 2;
    let (_, median, _) = sorted.select_nth_unstable_by(middle, f64::total_cmp);
    Some(*median)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::{InstanceId, OperatorId};
    use crate::metrics::InstanceMetrics;

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
        let speeds = Speeds::of(&operator(&[(100, 500), (200, 1000), (60, 900), (0, 0), (210, 1000)]), false).unwrap();
        assert_eq!(speeds.rate, 200.0);
        assert_eq!(speeds.relative, [1.0, 1.0, (60.0 / 0.9) / 200.0, 1.0, 1.0]);
        assert!((4.3..4.4).contains(&speeds.together()) && speeds.error > 0.0 && speeds.error < 0.05, "{speeds:?}");
    }

    #[test]
    fn little_work_counts_only_where_there_is_no_other() {
        assert_eq!(Speeds::of(&operator(&[(100, 500), (1, 1)]), false).unwrap().rate, 200.0);
        assert_eq!(Speeds::of(&operator(&[(1, 1)]), false).unwrap().rate, 1000.0);
        assert_eq!(Speeds::of(&operator(&[(0, 0), (0, 300)]), false), None);
        // Of two nobody knows which is the slow one.
        assert_eq!(Speeds::of(&operator(&[(100, 1000), (10, 1000)]), false).unwrap().relative, [1.0, 1.0]);
    }

    #[test]
    fn waiting_is_no_work_unless_it_is_asked_for() {
        let mut metrics = operator(&[(100, 100)]);
        metrics.instances[0].external_wait = Duration::from_millis(900);
        assert_eq!(Speeds::of(&metrics, false).unwrap().rate, 1000.0);
        assert_eq!(Speeds::of(&metrics, true).unwrap().rate, 100.0);
    }
}
