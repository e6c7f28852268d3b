//! How evenly the records of an operator can be distributed over a number of instances, some of
//! them slow.
//!
//! A bin belongs to one instance, so with few bins some instances have one more than others. Bins
//! that exceed an instance's share are split when a plan is executed; the topology does not know
//! their number afterwards, but the windows do.

use crate::dataflow::{Operator, Role};
use crate::metrics::OperatorMetrics;
use crate::migration::PARTS_AN_INSTANCE;
use crate::model::Speeds;

/// The bins of an operator in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bins {
    /// Bins that may hold keys; 0 where records are not distributed by key.
    count: u32,
    /// Keys in them; 0 if not counted.
    keys: u64,
}

impl Bins {
    /// The bins of `operator` according to `metrics`.
    pub(super) fn of(operator: &Operator, metrics: &OperatorMetrics) -> Bins {
        let Role::Keyed { bins } = operator.role else { return Bins { count: 0, keys: 0 } };
        let is_split = metrics.bins.iter().any(|load| load.bin.0 >= bins);
        // A bin that was split stays behind, empty.
        let in_use = metrics.bins.iter().filter(|load| load.arrivals > 0 || load.keys > 0).count();
        Bins { count: if is_split { in_use as u32 } else { bins }, keys: metrics.bins.iter().map(|load| load.keys).sum() }
    }

    /// Load of the fullest of `instances` instances over the mean, with bins distributed as evenly as possible. 1 without bins.
    pub(super) fn granularity(self, instances: u32) -> f64 {
        if self.count == 0 {
            return 1.0;
        }
        let (bins, p) = (self.after_splits(instances), u64::from(instances.max(1)));
        (bins.div_ceil(p) * p) as f64 / bins as f64
    }

    /// As [`granularity`](Bins::granularity), with bins distributed by the speed of instances: the load of the fullest for its speed,
    /// relative to divisible bins. Unknown instances have normal speed.
    pub(super) fn granularity_by_speed(self, speeds: Option<&Speeds>, instances: u32) -> f64 {
        let known = speeds.map(|speeds| speeds.relative.iter().copied().take(instances as usize)).into_iter().flatten();
        let slow: Vec<f64> = known.filter(|speed| *speed < 1.0).collect();
        let count = self.after_splits(instances) as f64;
        if slow.is_empty() || count == 0.0 {
            return self.granularity(instances);
        }
        let ordinary = f64::from(instances) - slow.len() as f64;
        // What an instance can take if each is filled for its speed up to a level, and the next level at which one of them can take a bin
        // more.
        let whole = |level: f64, speed: f64| (level * speed + 1e-9).floor();
        let taken = |level: f64| ordinary * whole(level, 1.0) + slow.iter().map(|&speed| whole(level, speed)).sum::<f64>();
        let together = ordinary + slow.iter().sum::<f64>();
        let mut level = count / together;
        while taken(level) < count {
            let next = |speed: f64| (whole(level, speed) + 1.0) / speed;
            let slow_next = slow.iter().map(|&speed| next(speed)).fold(f64::INFINITY, f64::min);
            level = if ordinary > 0.0 { slow_next.min(next(1.0)) } else { slow_next };
        }
        level * together / count
    }

    /// Number of bins once those above an instance's share are split; 0 without bins.
    fn after_splits(self, instances: u32) -> u64 {
        let (mut bins, p) = (u64::from(self.count), u64::from(instances));
        // Without a count of keys, bins are not split.
        while bins < p || bins > u64::from(self.count) && bins < p * u64::from(PARTS_AN_INSTANCE) {
            if bins == 0 || bins * 2 > self.keys {
                break;
            }
            bins *= 2;
        }
        bins
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::activity::BinLoad;
    use crate::dataflow::Topology;
    use crate::id::{BinId, OperatorId};
    use crate::policy::fixture;

    fn bins(listed: &[(u32, u64, u64)]) -> Bins {
        let topology = Topology::new(&[("source", Role::Source, 1), ("count", Role::Keyed { bins: 16 }, 64)], &[(0, 1)]).unwrap();
        let load = |&(bin, arrivals, keys): &(u32, u64, u64)| BinLoad { bin: BinId(bin), arrivals, useful: Duration::ZERO, keys, bytes: 0 };
        let metrics = OperatorMetrics { operator: OperatorId(1), instances: vec![], bins: listed.iter().map(load).collect() };
        Bins::of(topology.operator(OperatorId(1)), &metrics)
    }

    #[test]
    fn a_bin_is_not_divided() {
        let uncounted = bins(&[]);
        assert_eq!([1, 3, 15, 16, 32].map(|p| uncounted.granularity(p)), [1.0, 18.0 / 16.0, 30.0 / 16.0, 1.0, 2.0]);
        assert_eq!(Bins { count: 0, keys: 0 }.granularity(7), 1.0);
    }

    #[test]
    fn what_will_be_split_is_dealt_out_finely_and_what_was_split_counts() {
        let whole: Vec<_> = (0..16).map(|bin| (bin, 10, 1000)).collect();
        // Sixteen bins are too many for one of twenty instances each: they become 128.
        assert_eq!(bins(&whole).granularity(20), 7.0 * 20.0 / 128.0);
        // The old ones are empty then.
        let mut split: Vec<_> = (0..16).map(|bin| (bin, 0, 0)).collect();
        split.extend((16..48).map(|bin| (bin, 5, 500)));
        assert_eq!((bins(&split).granularity(32), bins(&split).granularity(20)), (1.0, 2.0 * 20.0 / 32.0));
        // A key is not split.
        let single: Vec<_> = (0..16).map(|bin| (bin, 10, 1)).collect();
        assert_eq!(bins(&single).granularity(32), 2.0);
    }

    fn speeds(relative: &[f64]) -> Option<Speeds> {
        Some(Speeds { rate: 1.0, error: 0.0, relative: relative.to_vec() })
    }

    #[test]
    fn bins_that_cannot_be_divided_make_an_instance_too_few() {
        let job = fixture::word_count();
        let idle = fixture::idle(&job, &fixture::instances(1, 1), 1.0, 1.0);
        let [stateless, keyed] = [1, 2].map(|index| Bins::of(&job.operators()[index], &idle.operators[index]));
        let of = |relative: &[f64], instances| keyed.granularity_by_speed(speeds(relative).as_ref(), instances);
        // 256 bins: 42 instances have 6 each and one of a third 1 or 2, so that one of them has 7; with one instance more there is room.
        assert!((of(&[1.0, 0.3], 43) - 7.0 * 42.3 / 256.0).abs() < 1e-9);
        assert!((of(&[1.0, 0.3], 44) - 6.0 * 43.3 / 256.0).abs() < 1e-9);
        assert_eq!(of(&[1.0; 4], 43), keyed.granularity(43));
        assert_eq!(stateless.granularity_by_speed(speeds(&[0.5]).as_ref(), 3), 1.0);
        assert!((of(&[0.5, 0.5], 2) - 1.0).abs() < 1e-9, "all of them slow");
    }
}
