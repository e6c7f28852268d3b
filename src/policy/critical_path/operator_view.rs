//! What one window shows of one operator: its instances' speeds, waits, utilisation and imbalance.

use super::bins::Bins;
use crate::dataflow::Operator;
use crate::metrics::{InstanceMetrics, OperatorMetrics};
use crate::model::Speeds;

/// Share of the busy time from which external waits bound an operator...
const MOSTLY_WAITING: f64 = 0.5;
/// ... and the share from which they do if its own work leaves it enough time.
const OFTEN_WAITING: f64 = 0.1;
/// Tolerance of "enough".
const NEARLY: f64 = 1.05;

/// An operator in a window.
#[derive(Clone, Debug)]
pub(super) struct OperatorView {
    /// Instances it has.
    pub(super) instances: u32,
    /// Their speeds; nothing where none finished a record.
    pub(super) speeds: Option<Speeds>,
    /// Whether external waits bound it, not its own work.
    pub(super) waits: bool,
    /// External waits as a share of its busy time.
    pub(super) waiting_share: f64,
    /// Busy share of the window, external waits included: mean over its instances.
    pub(super) busy: f64,
    /// Load of the worst instance for its speed, relative to the most even distribution that bins allow: 1 is even.
    pub(super) imbalance: f64,
    /// The instance with the worst ratio of load to speed.
    pub(super) worst: u32,
    /// The hottest bin's share of the arrivals; 0 without bins.
    pub(super) hottest_bin: f64,
    /// Whether it backpressured the sources.
    pub(super) pressed: bool,
    /// Its bins.
    pub(super) bins: Bins,
    /// Instances to probe its external waits with, if a probe is due.
    pub(super) probe: Option<u32>,
}

impl OperatorView {
    /// The operator in this window, at a demand in records per second if it is known, with the speeds of its instances.
    ///
    /// Whether more instances would wait independently or share an external limit cannot be seen from one window. So an operator whose own
    /// work would not hold it up is taken to be bounded externally.
    pub(super) fn of(
        operator: &Operator,
        metrics: &OperatorMetrics,
        instances: u32,
        demand: Option<f64>,
        speeds: Option<Speeds>,
    ) -> OperatorView {
        let present = &metrics.instances[..metrics.instances.len().min(instances as usize)];
        let seconds =
            |part: fn(&InstanceMetrics) -> std::time::Duration| present.iter().map(|instance| part(instance).as_secs_f64()).sum::<f64>();
        let (useful, waiting) = (seconds(|instance| instance.useful), seconds(|instance| instance.external_wait));
        let waiting_share = if waiting > 0.0 { waiting / (useful + waiting) } else { 0.0 };
        let own = || Speeds::of_own_work(metrics).map(|speeds| speeds.rate * f64::from(instances));
        let is_enough = |demand: f64| own().is_some_and(|own| demand <= own * NEARLY);
        let waits = waiting_share > MOSTLY_WAITING || waiting_share > OFTEN_WAITING && demand.is_some_and(is_enough);
        let window = present.first().map_or(0.0, |instance| instance.window.as_secs_f64());
        let available = window * present.len() as f64;
        let busy = if available > 0.0 { ((useful + waiting) / available).min(1.0) } else { 0.0 };
        let (uneven, worst) = imbalance(operator, metrics, speeds.as_ref(), instances);
        let arrivals: u64 = metrics.bins.iter().map(|bin| bin.arrivals).sum();
        let bins = Bins::of(operator, metrics);
        let granularity = bins.granularity_by_speed(speeds.as_ref(), instances);
        let hottest = metrics.bins.iter().map(|bin| bin.arrivals).max().unwrap_or(0);
        OperatorView {
            instances,
            speeds,
            waits,
            waiting_share,
            busy,
            imbalance: (uneven / granularity).max(1.0),
            worst,
            hottest_bin: if arrivals > 0 { hottest as f64 / arrivals as f64 } else { 0.0 },
            bins,
            probe: None,
            pressed: present.iter().any(|instance| !instance.backpressure.is_zero()),
        }
    }

    /// Capacity missing because of stragglers, in normal instances.
    pub(super) fn missing(&self) -> f64 {
        self.speeds.as_ref().map_or(0.0, |speeds| speeds.relative.len() as f64 - speeds.together())
    }

    /// Relative speed of the instance with the most load for its speed: 1 unless it is a straggler.
    pub(super) fn speed_of_worst(&self) -> f64 {
        self.speeds.as_ref().and_then(|speeds| speeds.relative.get(self.worst as usize).copied()).unwrap_or(1.0)
    }

    /// Whether it has a straggler.
    pub(super) fn has_slow(&self) -> bool {
        self.missing() > 0.0
    }
}

/// The highest ratio of an instance's share of arrivals to its share of speed, and the instance.
fn imbalance(operator: &Operator, metrics: &OperatorMetrics, speeds: Option<&Speeds>, instances: u32) -> (f64, u32) {
    let Some(speeds) = speeds else { return (1.0, 0) };
    let together = speeds.together().max(f64::MIN_POSITIVE);
    let arrivals: u64 = metrics.instances.iter().take(instances as usize).map(|instance| instance.arrivals).sum();
    let even = 1.0 / f64::from(instances.max(1));
    if !operator.is_keyed() && together == speeds.relative.len() as f64 {
        // No straggler: unequal shares are as intended.
        return (1.0, 0);
    }
    // The unfinished turn of round-robin is not counted.
    let turn = if operator.is_keyed() { 0 } else { 1 };
    let ratio = |(index, (relative, instance)): (u32, (&f64, &InstanceMetrics))| {
        let share = if arrivals > 0 { instance.arrivals.saturating_sub(turn) as f64 / arrivals as f64 } else { even };
        (share * together / relative, index)
    };
    let ratios = (0..).zip(speeds.relative.iter().zip(&metrics.instances)).map(ratio);
    ratios.reduce(|a, b| if b.0 > a.0 { b } else { a }).unwrap_or((1.0, 0))
}
