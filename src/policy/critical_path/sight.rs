//! What one window shows of one operator, as far as causes can be told from it.

use super::bins::Bins;
use super::slow::granularity_by_speed;
use crate::dataflow::Operator;
use crate::metrics::{InstanceMetrics, OperatorMetrics};
use crate::model::Speeds;

/// From this part of its busy time on, an operator that waits for something outside is bounded by that...
const MOSTLY_WAITING: f64 = 0.5;
/// ... and from this part on, if its own work would leave it time enough.
const OFTEN_WAITING: f64 = 0.1;
/// What is enough but for so much is enough.
const NEARLY: f64 = 1.05;

/// An operator in a window.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    /// Instances it has.
    pub(super) instances: u32,
    /// How fast they are; nothing where none finished a record.
    pub(super) speeds: Option<Speeds>,
    /// Whether it is bounded by something outside, and not by its own work.
    pub(super) waits: bool,
    /// Part of its busy time in which it waited for something outside.
    pub(super) waiting_share: f64,
    /// Busy part of the window, waits included: the mean over its instances.
    pub(super) busy: f64,
    /// How much more the worst instance has to do, for its speed, than if it were spread by speed as evenly as bins can be: 1 is even.
    pub(super) imbalance: f64,
    /// The instance with the worst ratio of load to speed.
    pub(super) worst: u32,
    /// Share of the operator's arrivals that its hottest bin gets; 0 without bins.
    pub(super) hottest_bin: f64,
    /// Whether sources were paused for it.
    pub(super) pressed: bool,
    /// Its bins.
    pub(super) bins: Bins,
    /// Instances to which it may go to see what it waits for, if it is the time for that.
    pub(super) probe: Option<u32>,
}

impl Sight {
    /// The operator in this window, which has to process `demand` records per second if that is known, with how fast its instances are.
    ///
    /// Whether more instances would wait as long as these, or share what is outside with them, cannot be seen from here. So an operator whose own work
    /// would not hold it up is taken to be bounded from outside.
    pub(super) fn of(operator: &Operator, metrics: &OperatorMetrics, instances: u32, demand: Option<f64>, speeds: Option<Speeds>) -> Sight {
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
        let granularity = granularity_by_speed(bins, speeds.as_ref(), instances);
        let hottest = metrics.bins.iter().map(|bin| bin.arrivals).max().unwrap_or(0);
        Sight {
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

    /// Ordinary instances that are missing because some are slow.
    pub(super) fn missing(&self) -> f64 {
        self.speeds.as_ref().map_or(0.0, |speeds| speeds.relative.len() as f64 - speeds.together())
    }

    /// The speed of the instance that has most to do for it, beside an ordinary one: 1 unless it is slow.
    pub(super) fn speed_of_worst(&self) -> f64 {
        self.speeds.as_ref().and_then(|speeds| speeds.relative.get(self.worst as usize).copied()).unwrap_or(1.0)
    }

    /// Whether an instance has been slow.
    pub(super) fn has_slow(&self) -> bool {
        self.missing() > 0.0
    }
}

/// The worst ratio of an instance's part of the arrivals to its part of the speed, and whose it is.
fn imbalance(operator: &Operator, metrics: &OperatorMetrics, speeds: Option<&Speeds>, instances: u32) -> (f64, u32) {
    let Some(speeds) = speeds else { return (1.0, 0) };
    let together = speeds.together().max(f64::MIN_POSITIVE);
    let arrivals: u64 = metrics.instances.iter().take(instances as usize).map(|instance| instance.arrivals).sum();
    let even = 1.0 / f64::from(instances.max(1));
    if !operator.is_keyed() && together == speeds.relative.len() as f64 {
        // Nobody is slow: who got more was to get more.
        return (1.0, 0);
    }
    // What instances that take turns had of a turn that is not over says nothing.
    let turn = if operator.is_keyed() { 0 } else { 1 };
    let ratio = |(index, (relative, instance)): (u32, (&f64, &InstanceMetrics))| {
        let share = if arrivals > 0 { instance.arrivals.saturating_sub(turn) as f64 / arrivals as f64 } else { even };
        (share * together / relative, index)
    };
    let ratios = (0..).zip(speeds.relative.iter().zip(&metrics.instances)).map(ratio);
    ratios.reduce(|a, b| if b.0 > a.0 { b } else { a }).unwrap_or((1.0, 0))
}
