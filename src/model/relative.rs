//! The relative speed of each instance of an operator, learned over windows.
//!
//! For each instance this tracks the logarithm of its rate over the normal rate, the median of the
//! instances that are not slow. The standard error of its mean over windows follows from how much
//! such logarithms vary from one window to the next, whatever the cause: noise of the machine, or
//! few records of unequal length. An instance is slow if its mean is several standard errors below
//! the others and the difference is large enough to matter: a large difference is detected
//! immediately, a small one after enough windows. A speed is forgotten by the same rule.
//!
//! A mean over many windows is slow to follow a change. It therefore restarts where the last few
//! windows differ from those before them by more than noise (a change-point test), and immediately
//! if two in a row deviate far to the same side. A single such window is an outlier and is ignored.
//!
//! Invariants: an instance that is idle or of which nothing is known keeps its state; if fewer than
//! [`LEAST_TO_COMPARE`] instances worked, it is impossible to say which of them is slow.

use std::collections::VecDeque;

use super::Speeds;
use crate::metrics::{InstanceMetrics, OperatorMetrics};
use crate::stats::median;

/// With two rates it is impossible to say which one is slow.
const LEAST_TO_COMPARE: usize = 3;
/// Less useful time than this share of the window is too little to judge by...
const LEAST_UTILISATION: f64 = 0.02;
/// ... unless this many records were processed in it, so that an instance with little load can
/// still be seen to have recovered.
const LEAST_RECORDS: u64 = 50;
/// Number of standard errors below the others at which an instance counts as slow: with dozens of
/// instances over hundreds of windows, smaller deviations occur by chance.
const SIGNIFICANT: f64 = 4.5;
/// An instance above this share of the normal speed is not treated as slow: it lacks less than a
/// twentieth.
const SLOW: f64 = 0.955;
/// A slow instance counts as slow until it is above this share: hysteresis, so that it does not
/// oscillate at the limit.
const RECOVERED: f64 = 0.97;
/// Minimum number of windows before an instance may count as slow.
const LEAST_WINDOWS: usize = 2;
/// Maximum number of windows in a mean.
const MEMORY: usize = 30;
/// Minimum and maximum number of recent windows that are compared with those before them.
const LATEST: std::ops::RangeInclusive<usize> = 3..=12;
/// Number of standard errors by which they differ if the speed has changed. A false detection only
/// costs windows to average over.
const CHANGED: f64 = 4.0;
/// Windows over which the noise is averaged.
const NOISE_MEMORY: f64 = 10.0;
/// Number of standard deviations from the mean beyond which a window belongs to another speed, or
/// is an outlier.
const APART: f64 = 4.0;
/// Noise that is always present: a batch that spans the end of a window counts in only one of them.
const LEAST_NOISE: f64 = 0.005;
/// Median of squares of a normal distribution over their mean.
const MEDIAN_SQUARE: f64 = 0.455;
/// Variance of the median over that of the mean, of a normal distribution.
const MEDIAN_VARIANCE: f64 = 1.57;

/// State of the instances of one operator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RelativeSpeeds {
    tracks: Vec<Track>,
    /// Variance of the logarithm of an instance's relative rate in a window, and the number of
    /// windows it is averaged over.
    noise: f64,
    windows: f64,
}

/// State of one instance.
#[derive(Clone, Debug, Default, PartialEq)]
struct Track {
    /// Logarithms of its relative rate in the windows with its current speed, the latest last.
    logs: VecDeque<f64>,
    /// The logarithm in the last window in which it worked.
    last: Option<f64>,
    /// The logarithm of the last window, if it was far from the mean.
    apart: Option<f64>,
    slow: bool,
}

/// One instance in one window.
#[derive(Clone, Copy)]
struct Seen {
    log_rate: f64,
    records: f64,
}

impl Seen {
    /// `None` if the instance did too little.
    fn of(instance: &InstanceMetrics) -> Option<Seen> {
        let busy_s = (instance.useful + instance.external_wait).as_secs_f64();
        let enough = busy_s >= LEAST_UTILISATION * instance.window.as_secs_f64() || instance.processed >= LEAST_RECORDS;
        let records = instance.processed as f64;
        (instance.processed > 0 && busy_s > 0.0 && enough).then(|| Seen { log_rate: (records / busy_s).ln(), records })
    }
}

impl RelativeSpeeds {
    /// Learns from a window of an operator with `instances` instances; returns `speeds`, measured
    /// in it, combined with the learned state of each instance.
    pub fn observe(&mut self, metrics: &OperatorMetrics, instances: u32, speeds: Speeds) -> Speeds {
        let present = &metrics.instances[..metrics.instances.len().min(instances as usize)];
        // An instance that was removed starts without history when it returns.
        self.tracks.truncate(present.len());
        self.tracks.resize(present.len(), Track::default());
        let seen: Vec<Option<Seen>> = present.iter().map(Seen::of).collect();
        if seen.iter().flatten().count() >= LEAST_TO_COMPARE {
            self.learn(&seen);
        }
        Speeds { relative: self.tracks.iter().map(Track::relative).collect(), ..speeds }
    }

    fn learn(&mut self, seen: &[Option<Seen>]) {
        let ordinary = self.ordinary(seen);
        let usual = median(seen.iter().flatten().map(|seen| seen.records)).unwrap_or(1.0);
        let logs: Vec<Option<f64>> = seen.iter().map(|seen| seen.map(|seen| seen.log_rate - ordinary)).collect();
        let noise = self.learn_noise(&logs, usual);
        let among = logs.iter().flatten().count() as f64;
        for ((track, log), seen) in self.tracks.iter_mut().zip(logs).zip(seen) {
            let (Some(log), Some(seen)) = (log, seen) else { continue };
            // Fewer records mean more noise.
            let deviation = (noise * (usual / seen.records).max(1.0)).sqrt();
            track.take(log, deviation);
            track.judge(deviation, among);
        }
    }

    /// The logarithm of the normal rate. Slow instances are excluded as long as they are a
    /// minority: the median of the rest is more accurate than that of all.
    fn ordinary(&self, seen: &[Option<Seen>]) -> f64 {
        let all = || self.tracks.iter().zip(seen).filter_map(|(track, seen)| seen.map(|seen| (track.slow, seen.log_rate)));
        let slow = all().filter(|(slow, _)| *slow).count();
        let leaves_out = slow * 2 < all().count();
        median(all().filter(|(slow, _)| !(leaves_out && *slow)).map(|(_, log_rate)| log_rate)).unwrap_or(0.0)
    }

    /// Learns how much logarithms differ from those of the previous window; returns the variance to
    /// use for this window.
    fn learn_noise(&mut self, logs: &[Option<f64>], records: f64) -> f64 {
        let squares: Vec<f64> = self
            .tracks
            .iter()
            .zip(logs)
            .filter_map(|(track, log)| Some((track.last?, (*log)?)))
            .map(|(last, log)| (log - last).powi(2))
            .collect();
        let least = LEAST_NOISE.powi(2) + records.powi(-2);
        let n = squares.len() as f64;
        if squares.len() < LEAST_TO_COMPARE {
            return self.noise.max(least);
        }
        // If the speed of an instance changes in this window that is not noise: its difference is
        // clipped to the level of noise.
        let most = APART.powi(2) * median(squares.iter().copied()).unwrap_or(0.0) / MEDIAN_SQUARE;
        // A difference has the variance of two values; because they sum to about 0 there is one
        // degree of freedom less.
        let now = squares.iter().map(|square| square.min(most)).sum::<f64>() / (n - 1.0) / 2.0;
        self.windows = (self.windows + 1.0).min(NOISE_MEMORY);
        self.noise += (now - self.noise) / self.windows;
        self.noise.max(now).max(least)
    }
}

impl Track {
    fn mean(&self) -> f64 {
        self.logs.iter().sum::<f64>() / self.logs.len().max(1) as f64
    }

    /// Adds the logarithm of a window with the standard deviation `deviation`.
    fn take(&mut self, log: f64, deviation: f64) {
        self.last = Some(log);
        let (mean, windows) = (self.mean(), self.logs.len() as f64);
        let off = log - mean;
        if windows > 0.0 && off.abs() > APART * deviation * (1.0 + 1.0 / windows).sqrt() {
            let Some(before) = self.apart.take().filter(|before| (before - mean) * off > 0.0) else {
                self.apart = Some(log);
                return;
            };
            self.logs.clear();
            self.logs.push_back(before);
        }
        self.apart = None;
        self.logs.push_back(log);
        if self.logs.len() > MEMORY {
            self.logs.pop_front();
        }
        if let Some(latest) = self.changed(deviation) {
            self.logs.drain(..self.logs.len() - latest);
        }
    }

    /// How many of the last windows have another speed than those before them, if any.
    fn changed(&self, deviation: f64) -> Option<usize> {
        let (all, sum) = (self.logs.len(), self.logs.iter().sum::<f64>());
        let (mut found, mut largest, mut latest) = (None, CHANGED * deviation, 0.0);
        for (log, count) in self.logs.iter().rev().zip(1..).take_while(|(_, count)| count < &all && count <= LATEST.end()) {
            latest += log;
            let (late, early) = (count as f64, (all - count) as f64);
            // In standard deviations of one window.
            let off = (latest / late - (sum - latest) / early).abs() / (1.0 / late + 1.0 / early).sqrt();
            if LATEST.contains(&count) && off > largest {
                (found, largest) = (Some(count), off);
            }
        }
        found
    }

    /// Decides whether the instance is slow, compared with `among` instances that worked.
    fn judge(&mut self, deviation: f64, among: f64) {
        let (mean, windows) = (self.mean(), self.logs.len());
        let error = deviation * (1.0 / windows as f64 * (1.0 + MEDIAN_VARIANCE / among)).sqrt();
        let least_off = if self.slow { SIGNIFICANT / 2.0 } else { SIGNIFICANT } * error;
        let limit = if self.slow { RECOVERED } else { SLOW };
        self.slow = windows >= LEAST_WINDOWS && mean < limit.ln() && -mean > least_off;
    }

    fn relative(&self) -> f64 {
        if self.slow { self.mean().exp() } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::id::{InstanceId, OperatorId};

    /// Windows of a second in which every instance processes `records` records at 1000 a busy
    /// second, times the speed of its own and noise with the standard deviation `noise`.
    struct Bench {
        speeds: RelativeSpeeds,
        random: u64,
        records: u64,
        noise: f64,
    }

    impl Bench {
        fn new(seed: u64, records: u64, noise: f64) -> Bench {
            Bench { speeds: RelativeSpeeds::default(), random: seed, records, noise }
        }

        /// A number of about a normal distribution: the sum of twelve of an even one.
        fn normal(&mut self) -> f64 {
            let mut even = || {
                // Numerical Recipes' generator; its high bits are good enough for noise.
                self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (self.random >> 11) as f64 / (1u64 << 53) as f64
            };
            (0..12).map(|_| even()).sum::<f64>() - 6.0
        }

        /// What is known after `windows` windows more in which instances had these speeds; 0 stands
        /// idle.
        fn after(&mut self, windows: u32, speeds: &[f64]) -> Vec<f64> {
            let mut known = Vec::new();
            for _ in 0..windows {
                let operator = OperatorId(1);
                let instance = |(index, &speed): (u32, &f64)| {
                    let idle = InstanceMetrics::idle(InstanceId::new(operator, index), Duration::from_secs(1));
                    let rate = 1000.0 * speed * (self.noise * self.normal()).exp();
                    let useful = Duration::from_secs_f64(self.records as f64 / rate.max(1.0));
                    if speed > 0.0 { InstanceMetrics { processed: self.records, useful, ..idle } } else { idle }
                };
                let instances: Vec<_> = (0..).zip(speeds).map(instance).collect();
                let metrics = OperatorMetrics { operator, instances, bins: Vec::new() };
                let measured = Speeds::of(&metrics).expect("some worked");
                known = self.speeds.observe(&metrics, speeds.len() as u32, measured).relative;
            }
            known
        }

        /// The first of `most` windows after which instance 0 counts as slow.
        fn seen_after(&mut self, most: u32, speeds: &[f64]) -> Option<u32> {
            (1..=most).find(|_| self.after(1, speeds)[0] < 1.0)
        }
    }

    /// `count` instances, the first ones slow.
    fn with(slow: &[f64], count: usize) -> Vec<f64> {
        let mut speeds = slow.to_vec();
        speeds.resize(count, 1.0);
        speeds
    }

    #[test]
    fn without_noise_a_slow_instance_is_seen_in_two_windows_and_its_recovery_too() {
        for speed in [0.1, 0.65, 0.8, 0.94] {
            for count in [3, 4, 10, 40] {
                let mut bench = Bench::new(1, 500, 0.0);
                bench.after(20, &with(&[], count));
                assert_eq!(bench.seen_after(5, &with(&[speed], count)), Some(2), "{speed} of {count}");
                let known = bench.after(20, &with(&[speed], count));
                assert!((known[0] / speed - 1.0).abs() < 0.01 && known[1..].iter().all(|speed| *speed == 1.0), "{known:?}");
                assert_eq!(bench.after(2, &with(&[], count)), with(&[], count), "{speed} of {count}");
            }
        }
        let mut bench = Bench::new(1, 500, 0.0);
        assert_eq!(bench.after(50, &with(&[0.97], 10))[0], 1.0, "what hardly matters is not told apart");
        assert_eq!(bench.after(50, &[1.0, 0.3]), [1.0, 1.0], "of two nobody knows which is the slow one");
    }

    #[test]
    fn noise_makes_nobody_slow() {
        let mut wrong = 0;
        for seed in 0..60 {
            for (count, noise) in [(3, 0.14), (4, 0.1), (10, 0.14), (40, 0.07), (40, 0.14), (40, 0.3)] {
                let mut bench = Bench::new(seed, 500, noise);
                let speeds = with(&[], count);
                wrong += usize::from((0..200).any(|_| bench.after(1, &speeds).iter().any(|speed| *speed < 1.0)));
            }
        }
        // 360 runs of 200 windows each, of up to 40 instances.
        assert!(wrong <= 6, "{wrong} runs with a slow instance that is none");
    }

    #[test]
    fn the_smaller_the_difference_in_noise_the_more_windows_it_takes() {
        for (speed, noise, most) in [(0.65, 0.07, 4), (0.65, 0.14, 6), (0.8, 0.07, 6), (0.8, 0.14, 15), (0.9, 0.07, 18)] {
            let mut seen: Vec<u32> = Vec::new();
            for seed in 0..40 {
                let mut bench = Bench::new(seed, 500, noise);
                bench.after(20, &with(&[], 10));
                seen.push(bench.seen_after(100, &with(&[speed], 10)).unwrap_or(100));
                let known = bench.after(40, &with(&[speed], 10))[0];
                assert!((known / speed - 1.0).abs() < 0.2, "{known} for {speed}");
            }
            seen.sort_unstable();
            assert!(seen[20] <= most && seen[39] < 100, "{speed} at {noise}: {seen:?}");
        }
    }

    #[test]
    fn several_slow_ones_and_one_that_comes_and_goes() {
        let mut bench = Bench::new(3, 500, 0.05);
        let known = bench.after(40, &with(&[0.7, 0.7, 0.5], 8));
        for (known, speed) in known.iter().zip(with(&[0.7, 0.7, 0.5], 8)) {
            assert!((known / speed - 1.0).abs() < 0.05, "{known} for {speed}");
        }
        for _ in 0..5 {
            assert_eq!(bench.after(8, &with(&[], 8)), with(&[], 8));
            assert!(bench.after(8, &with(&[0.6], 8))[0] < 0.7);
        }
    }

    #[test]
    fn who_stands_idle_counts_as_before_and_who_was_taken_away_is_forgotten() {
        let mut bench = Bench::new(1, 500, 0.0);
        let known = bench.after(20, &with(&[0.5], 5))[0];
        assert!((known - 0.5).abs() < 0.01);
        assert_eq!(bench.after(10, &with(&[0.0], 5))[0], known);
        let mut bench = Bench::new(1, 500, 0.0);
        assert!(bench.after(20, &[1.0, 1.0, 1.0, 1.0, 0.5])[4] < 1.0);
        bench.after(1, &[1.0; 4]);
        assert_eq!(bench.after(1, &[1.0, 1.0, 1.0, 1.0, 0.5])[4], 1.0, "not seen often enough");
    }

    proptest! {
        /// Whatever is seen, speeds are parts of the ordinary one, and none is nothing.
        #[test]
        fn a_speed_is_a_part(windows in prop::collection::vec(prop::collection::vec((0u64..2000, 0u64..1500), 0..7), 1..40)) {
            let mut speeds = RelativeSpeeds::default();
            for instances in windows {
                let operator = OperatorId(1);
                let instance = |(index, &(processed, useful_ms)): (u32, &(u64, u64))| InstanceMetrics {
                    processed,
                    useful: Duration::from_millis(useful_ms),
                    ..InstanceMetrics::idle(InstanceId::new(operator, index), Duration::from_secs(1))
                };
                let metrics = OperatorMetrics { operator, instances: (0..).zip(&instances).map(instance).collect(), bins: Vec::new() };
                let Some(measured) = Speeds::of(&metrics) else { continue };
                let known = speeds.observe(&metrics, instances.len() as u32, measured);
                prop_assert_eq!(known.relative.len(), instances.len());
                prop_assert!(known.relative.iter().all(|speed| *speed > 0.0 && *speed <= 1.0), "{:?}", known);
            }
        }
    }
}
