//! The cost of changing the configuration: the state that migrates, and for how long the job makes
//! no progress meanwhile.
//!
//! The state is what bins are observed to hold. At least the share by which the parallelism changes
//! has to migrate, and the assignment planner achieves this minimum. The rate at which state
//! migrates, the fixed duration of a migration, and the time until new instances start working are
//! learned from past changes. While bins are in flight, or wait at an instance that has not
//! started, their records wait, queues fill and sources pause: all of that time counts as time
//! without progress.

use crate::dataflow::Configuration;
use crate::observation::Observation;

/// Assumed rate of a migration in bytes per second before any was observed: what serialization
/// leaves of 10 Gbit/s.
const BYTES_PER_S: f64 = 5e8;
/// Assumed size in bytes of a key whose size the host does not report.
const BYTES_PER_KEY: f64 = 100.0;
/// A smaller migration shows the fixed duration, not the rate, in bytes.
const FEW_BYTES: f64 = 16e6;
/// Share of previously observed state that is still assumed to exist: bins without arrivals are not
/// observed.
const KEPT: f64 = 0.98;
/// Weight of a new measurement against earlier ones.
const NEW: f64 = 0.5;

/// What a change costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChangeCost {
    /// Bytes of state that migrate.
    pub bytes: f64,
    /// Seconds in which the job makes no progress.
    pub stall_s: f64,
    /// The part of these seconds that is measured from earlier changes, not assumed.
    pub measured_s: f64,
}

/// Learned costs of changes.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeModel {
    /// Bytes of state by operator.
    state: Vec<f64>,
    bytes_per_s: Option<f64>,
    fixed_s: f64,
    start_s: Option<f64>,
}

impl ChangeModel {
    /// For a job with this many operators, of which nothing is known.
    pub fn new(operators: usize) -> ChangeModel {
        ChangeModel { state: vec![0.0; operators], bytes_per_s: None, fixed_s: 0.0, start_s: None }
    }

    /// Learns how much state there is.
    pub fn observe(&mut self, observation: &Observation) {
        for (state, metrics) in self.state.iter_mut().zip(&observation.operators) {
            let bytes: u64 = metrics.bins.iter().map(|bin| bin.bytes).sum();
            let keys: u64 = metrics.bins.iter().map(|bin| bin.keys).sum();
            let seen = if bytes > 0 { bytes as f64 } else { keys as f64 * BYTES_PER_KEY };
            *state = seen.max(*state * KEPT);
        }
    }

    /// Learns that a migration of `bytes` bytes took `took_s` seconds.
    pub fn migrated(&mut self, bytes: f64, took_s: f64) {
        if !(took_s.is_finite() && took_s > 0.0) {
            return;
        }
        if bytes < FEW_BYTES {
            self.fixed_s += (took_s - self.fixed_s) * NEW;
        } else {
            let rate = bytes / took_s;
            // Rates differ by factors, so their logarithms are averaged.
            self.bytes_per_s = Some(self.bytes_per_s.map_or(rate, |old| (old.ln() * (1.0 - NEW) + rate.ln() * NEW).exp()));
        }
    }

    /// Learns that new instances started working `after_s` seconds after the start of their change.
    pub fn started(&mut self, after_s: f64) {
        let after_s = after_s.max(0.0);
        self.start_s = Some(self.start_s.map_or(after_s, |old| old + (after_s - old) * NEW));
    }

    /// Learns that new instances have not started working after `after_s` seconds.
    pub fn not_started(&mut self, after_s: f64) {
        self.start_s = Some(self.start_s.map_or(after_s, |old| old.max(after_s)));
    }

    /// Seconds until new instances start working; `None` before any were observed.
    pub fn start_s(&self) -> Option<f64> {
        self.start_s
    }

    /// The cost of changing from `before` to `after`; new instances are assumed to take
    /// `unseen_start_s` seconds if none were observed yet.
    pub fn cost(&self, before: &Configuration, after: &Configuration, unseen_start_s: f64) -> ChangeCost {
        let (mut bytes, mut starts) = (0.0, false);
        for (id, now) in after.iter() {
            let was = before.parallelism(id);
            let most = f64::from(now.max(was).max(1));
            bytes += self.state[id.0 as usize] * f64::from(now.abs_diff(was)) / most;
            starts |= now > was;
        }
        let moving_s = |bytes_per_s: f64| self.fixed_s + bytes / bytes_per_s;
        let starting_s = |unseen_s: f64| if starts { self.start_s.unwrap_or(unseen_s) } else { 0.0 };
        ChangeCost {
            bytes,
            stall_s: moving_s(self.bytes_per_s.unwrap_or(BYTES_PER_S)).max(starting_s(unseen_start_s)),
            measured_s: moving_s(self.bytes_per_s.unwrap_or(f64::INFINITY)).max(starting_s(0.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::BinLoad;
    use crate::dataflow::{Role, Topology};
    use crate::id::{BinId, OperatorId};
    use crate::metrics::{InstanceMetrics, OperatorMetrics};
    use crate::observation::LatencySummary;
    use crate::time::{Timestamp, Window};

    const COUNT: OperatorId = OperatorId(1);

    fn topology() -> Topology {
        let operators = [("source", Role::Source, 1), ("count", Role::Keyed { bins: 4 }, 64), ("sink", Role::Sink, 1)];
        Topology::new(&operators, &[(0, 1), (1, 2)]).unwrap()
    }

    fn with(instances: u32) -> Configuration {
        Configuration::ones(&topology()).with(COUNT, instances)
    }

    /// A window in which each of four bins of Count has this many keys and bytes.
    fn seen(keys: u64, bytes: u64) -> Observation {
        let window = Window { start: Timestamp::ZERO, end: Timestamp::from_secs_f64(1.0) };
        let bin = |bin| BinLoad { bin: BinId(bin), arrivals: 1, useful: Default::default(), keys, bytes };
        let operator = |operator: &crate::dataflow::Operator| OperatorMetrics {
            operator: operator.id,
            instances: vec![InstanceMetrics::idle(crate::id::InstanceId::new(operator.id, 0), window.length())],
            bins: if operator.id == COUNT { (0..4).map(bin).collect() } else { Vec::new() },
        };
        Observation {
            window,
            configuration: with(1),
            sources: Vec::new(),
            operators: topology().operators().iter().map(operator).collect(),
            latency: LatencySummary::default(),
            doubts: Vec::new(),
            workers: Vec::new(),
            paths: None,
        }
    }

    #[test]
    fn the_part_by_which_the_number_changes_moves() {
        let mut model = ChangeModel::new(3);
        assert_eq!(model.cost(&with(4), &with(8), 0.0), ChangeCost::default());
        model.observe(&seen(10, 1_000_000_000));
        assert_eq!(model.cost(&with(4), &with(8), 0.0), ChangeCost { bytes: 2e9, stall_s: 4.0, measured_s: 0.0 });
        assert_eq!(model.cost(&with(8), &with(6), 0.0), ChangeCost { bytes: 1e9, stall_s: 2.0, measured_s: 0.0 });
        // A move at a fifth of what was supposed, then one of hardly anything.
        model.migrated(2e9, 20.0);
        model.migrated(1e3, 0.2);
        let cost = model.cost(&with(4), &with(8), 0.0);
        assert_eq!((cost.stall_s, cost.measured_s), (20.1, 20.1));
        // State that was not observed in a window still exists.
        model.observe(&seen(0, 0));
        assert!((1.9e9..2e9).contains(&model.cost(&with(4), &with(8), 0.0).bytes));
    }

    #[test]
    fn keys_stand_in_for_bytes() {
        let mut model = ChangeModel::new(3);
        model.observe(&seen(1_000_000, 0));
        assert_eq!(model.cost(&with(1), &with(2), 0.0).bytes, 2e8);
    }

    #[test]
    fn only_new_instances_have_to_start() {
        let mut model = ChangeModel::new(3);
        assert_eq!((model.cost(&with(1), &with(2), 3.0).stall_s, model.cost(&with(2), &with(1), 3.0).stall_s), (3.0, 0.0));
        model.not_started(5.0);
        assert_eq!(model.start_s(), Some(5.0));
        model.started(8.0);
        assert_eq!((model.cost(&with(1), &with(2), 3.0).stall_s, model.cost(&with(2), &with(1), 3.0).stall_s), (6.5, 0.0));
    }
}
