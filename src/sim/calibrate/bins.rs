//! Size of the state, and the cost of moving it.

use std::collections::BTreeMap;

use crate::activity::{Activity, BinLoad};
use crate::id::{BinId, OperatorId};

/// State of an operator at the end of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StateFit {
    /// Keys.
    pub keys: u64,
    /// Bytes.
    pub bytes: u64,
    /// Bins that were seen.
    pub bins: u64,
    /// Share of all arrivals that the most used bin has.
    pub largest_share: f64,
}

/// Cost of moving bins: a fixed time per step and previous owner, and a time per bin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MoveFit {
    /// Fixed seconds per step; the mean of all steps where they do not differ in size.
    pub fixed_s: f64,
    /// Bins per second on top of it; nothing where steps do not differ in size or larger ones do
    /// not take longer.
    pub bins_per_s: Option<f64>,
    /// The same in bytes of state, by what a bin held on average when it was last looked at.
    pub bytes_per_s: Option<f64>,
    /// Steps, counted at each instance that gave bins away.
    pub steps: u64,
    /// Bins that moved.
    pub bins: u64,
}

/// Bins so far.
#[derive(Debug, Default)]
pub(super) struct MoveSamples {
    /// Keys and bytes of each bin when last looked at, and its arrivals of the whole run.
    bins: BTreeMap<(OperatorId, BinId), (u64, u64, u64)>,
    /// Bins, bytes by what a bin of the operator held then, and seconds of each step.
    steps: Vec<(f64, f64, f64)>,
    /// Bins and bytes of operators.
    sums: BTreeMap<OperatorId, (u64, u64)>,
}

impl MoveSamples {
    pub(super) fn sample(&mut self, operator: OperatorId, loads: &[BinLoad]) {
        let (count, sum) = self.sums.entry(operator).or_default();
        for load in loads {
            let bin = self.bins.entry((operator, load.bin)).or_insert_with(|| {
                *count += 1;
                (0, 0, 0)
            });
            *sum = sum.saturating_sub(bin.1).saturating_add(load.bytes);
            *bin = (load.keys, load.bytes, bin.2.saturating_add(load.arrivals));
        }
    }

    pub(super) fn moved(&mut self, activity: &Activity) {
        let (bins, bytes) = self.sums.get(&activity.instance.operator).copied().unwrap_or_default();
        let moved = activity.records_in as f64;
        let seconds = activity.end.since(activity.start).as_secs_f64();
        self.steps.push((moved, moved * bytes as f64 / (bins as f64).max(1.0), seconds));
    }

    pub(super) fn finish(self) -> (BTreeMap<OperatorId, StateFit>, Option<MoveFit>) {
        let mut states: BTreeMap<OperatorId, (StateFit, u64, u64)> = BTreeMap::new();
        for (&(operator, _), &(keys, bytes, arrivals)) in &self.bins {
            let none = (StateFit { keys: 0, bytes: 0, bins: 0, largest_share: 0.0 }, 0, 0);
            let (state, most, all) = states.entry(operator).or_insert(none);
            state.keys = state.keys.saturating_add(keys);
            state.bytes = state.bytes.saturating_add(bytes);
            state.bins += 1;
            *most = arrivals.max(*most);
            *all = all.saturating_add(arrivals);
        }
        let share = |(state, most, all): (StateFit, u64, u64)| StateFit { largest_share: most as f64 / (all as f64).max(1.0), ..state };
        (states.into_iter().map(|(operator, state)| (operator, share(state))).collect(), self.moves())
    }

    fn moves(&self) -> Option<MoveFit> {
        // A log that only says when bins moved does not say how long it took.
        if self.steps.iter().all(|(.., seconds)| *seconds == 0.0) {
            return None;
        }
        let line = |of: fn(&(f64, f64, f64)) -> f64| line(self.steps.iter().map(|step| (of(step), step.2)));
        let mean = self.steps.iter().map(|step| step.2).sum::<f64>() / self.steps.len() as f64;
        let by_bins = line(|step| step.0);
        Some(MoveFit {
            fixed_s: by_bins.map_or(mean, |(fixed, _)| fixed),
            bins_per_s: by_bins.map(|(_, each)| 1.0 / each),
            bytes_per_s: line(|step| step.1).map(|(_, each)| 1.0 / each),
            steps: self.steps.len() as u64,
            bins: self.steps.iter().map(|step| step.0).sum::<f64>() as u64,
        })
    }
}

/// The line with the least squares of differences: what is there at 0, at least 0, and by how much
/// it rises; nothing if it does not.
fn line(points: impl Iterator<Item = (f64, f64)> + Clone) -> Option<(f64, f64)> {
    let n = points.clone().count() as f64;
    let (mean_x, mean_y) = (points.clone().map(|(x, _)| x).sum::<f64>() / n, points.clone().map(|(_, y)| y).sum::<f64>() / n);
    let (mut squares, mut products) = (0.0, 0.0);
    for (x, y) in points {
        squares += (x - mean_x).powi(2);
        products += (x - mean_x) * (y - mean_y);
    }
    let rise = products / squares;
    if !(rise.is_finite() && rise > 0.0) {
        return None;
    }
    let fixed = mean_y - rise * mean_x;
    // No step takes less than nothing: then the line goes through 0.
    if fixed < 0.0 { Some((0.0, mean_y / mean_x)) } else { Some((fixed, rise)) }
}
