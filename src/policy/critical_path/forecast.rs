//! Extrapolates a rising load to the time when the next decision takes effect.
//!
//! A load that rises from window to window will keep rising until the next decision has been
//! executed, and a measurement is the mean of a window that is over. Only a rise over several
//! consecutive windows counts: a step, a spike or an oscillating load has no slope.

use std::collections::VecDeque;
use std::time::Duration;

use super::cost_benefit::STALL;
use crate::time::Window;

/// Consecutive rises that make a slope.
const RISES: usize = 3;
/// A rise is at least this share of the offered load.
const LEAST_RISE: f64 = 0.005;
/// Consecutive falls after which the load is not expected to return to where it was before the last few windows.
const LONG_FALL: usize = 5;
/// The extrapolation adds at most this share of the offered load.
const MOST_AHEAD: f64 = 0.4;
/// Instances that are added should last for this many windows beyond the next decision, ...
const LASTING: f64 = 2.0;
/// ... longer where a change stalls the job for at least this share of a window, ...
const LEAST_STALL: f64 = 0.2;
/// ... but no longer than the load has been rising, and only if that is at least this many stalls: a rise shorter than a change says
/// nothing about the load after it.
const LONG: f64 = 3.0;
/// The part of that time for which it can be expected to rise further.
const FURTHER: f64 = 0.6;

/// Offered load of a window, by operator, in records per second.
#[derive(Clone, Debug)]
pub(super) struct OfferedLoad {
    pub(super) window: Window,
    pub(super) rates: Vec<f64>,
}

impl OfferedLoad {
    fn middle_s(&self) -> f64 {
        self.window.start.as_secs_f64() + self.window.length().as_secs_f64() / 2.0
    }
}

/// Expected load, by operator, in records per second.
pub(super) struct Forecast {
    /// When the next decision has been executed.
    pub(super) soon: Vec<f64>,
    /// A few windows later.
    pub(super) later: Vec<f64>,
    /// Whether the load is rising.
    pub(super) rises: bool,
    /// Whether it has been rising for so long that it can be expected to rise beyond the stall of a change.
    pub(super) outlasts: bool,
}

/// Extrapolates from `recent` windows, the oldest first, where a plan takes `delay` to execute and stalls the job for `stall_s` seconds.
///
/// Where a stall is a considerable part of a window, fewer and larger changes are better, as in the economic order quantity: instances
/// added early cost half of the rise times the time they are early, a stall costs [`STALL`] times its seconds of all instances, and the
/// sum is least for plans that last sqrt(2 STALL stall / (slope / rate)) seconds.
pub(super) fn forecast(recent: &VecDeque<OfferedLoad>, delay: Duration, stall_s: f64) -> Forecast {
    let Some(last) = recent.back() else { return Forecast { soon: Vec::new(), later: Vec::new(), rises: false, outlasts: false } };
    let length_s = last.window.length().as_secs_f64();
    let soon_s = length_s * 1.5 + delay.as_secs_f64();
    let slopes: Vec<f64> = (0..last.rates.len()).map(|operator| slope(recent, operator)).collect();
    let at = |seconds: f64| {
        let rates = last.rates.iter().zip(&slopes).map(|(rate, slope)| rate + (slope * seconds).min(rate * MOST_AHEAD));
        rates.collect()
    };
    let (rate, slope): (f64, f64) = (last.rates.iter().sum(), slopes.iter().sum());
    let (mut lasting_s, risen_s) = (length_s * LASTING, risen_s(recent));
    let outlasts = slope > 0.0 && risen_s >= LONG * stall_s;
    if outlasts && stall_s > length_s * LEAST_STALL {
        let worth_s = (2.0 * STALL * stall_s * rate / slope).sqrt();
        lasting_s = lasting_s.max(worth_s.min(risen_s * FURTHER));
    }
    Forecast { soon: at(soon_s), later: at(soon_s + lasting_s), rises: slope > 0.0, outlasts }
}

/// Seconds for which the load has been rising from window to window.
fn risen_s(recent: &VecDeque<OfferedLoad>) -> f64 {
    let sum = |offered: &OfferedLoad| offered.rates.iter().sum::<f64>();
    let rising = recent.iter().rev().zip(recent.iter().rev().skip(1)).take_while(|(after, before)| sum(after) > sum(before));
    rising.map(|(after, before)| after.middle_s() - before.middle_s()).sum()
}

/// Slope of a source's rate in records per second per second; 0 where it does not rise steadily.
fn slope(recent: &VecDeque<OfferedLoad>, source: usize) -> f64 {
    let steps: Vec<(f64, f64)> = recent
        .iter()
        .zip(recent.iter().skip(1))
        .skip((recent.len().max(1) - 1).saturating_sub(RISES))
        .map(|(before, after)| {
            let (rise, seconds) = (after.rates[source] - before.rates[source], after.middle_s() - before.middle_s());
            if rise > LEAST_RISE * before.rates[source] && seconds > 0.0 { (rise, seconds) } else { (0.0, 1.0) }
        })
        .collect();
    if steps.len() < RISES || steps.iter().any(|(rise, _)| *rise == 0.0) {
        return 0.0;
    }
    let (rise, seconds) = steps.iter().fold((0.0, 0.0), |sum, step| (sum.0 + step.0, sum.1 + step.1));
    // A rise that levels off ends soon: the last step bounds the slope.
    (rise / seconds).min(steps[steps.len() - 1].0 / steps[steps.len() - 1].1)
}

/// The recent windows whose load can be expected to return soon: all of them, or the last few where the load has been falling for long.
pub(super) fn representative(recent: &VecDeque<OfferedLoad>) -> usize {
    let sums = || recent.iter().rev().map(|offered| offered.rates.iter().sum::<f64>());
    let falling = sums().zip(sums().skip(1)).take_while(|(after, before)| *after < before * (1.0 - LEAST_RISE)).count();
    if falling >= LONG_FALL { RISES.min(recent.len()) } else { recent.len() }
}

/// Whether the offered load was the same in all recent windows.
pub(super) fn is_steady(recent: &VecDeque<OfferedLoad>) -> bool {
    let sums = || recent.iter().map(|offered| offered.rates.iter().sum::<f64>());
    let (least, most) = (sums().fold(f64::INFINITY, f64::min), sums().fold(0.0, f64::max));
    most - least <= most * LEAST_RISE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn recent(rates: &[f64]) -> VecDeque<OfferedLoad> {
        let window = |n: usize| Window::starting(Timestamp::from_secs_f64(n as f64 * 2.0), Duration::from_secs(2));
        rates.iter().enumerate().map(|(n, rate)| OfferedLoad { window: window(n), rates: vec![*rate] }).collect()
    }

    #[test]
    fn a_steady_rise_goes_on_and_nothing_else_does() {
        let rising = forecast(&recent(&[50.0, 100.0, 110.0, 120.0, 130.0]), Duration::from_secs(1), 0.0);
        // Five a second, for three seconds and one; then for two windows more, and never beyond two fifths.
        assert_eq!((rising.soon, rising.later, rising.rises), (vec![150.0], vec![170.0], true));
        for rates in [&[100.0, 100.0, 150.0, 200.0, 200.0][..], &[90.0, 80.0, 70.0, 90.0, 80.0, 70.0, 90.0], &[100.0, 110.0, 120.0], &[]] {
            assert!(!forecast(&recent(rates), Duration::ZERO, 0.0).rises, "{rates:?}");
        }
        let levels = forecast(&recent(&[100.0, 120.0, 140.0, 142.0]), Duration::ZERO, 0.0);
        assert_eq!(levels.soon, [145.0]);
    }

    #[test]
    fn a_plan_lasts_longer_where_its_stall_is_long_and_the_rise_longer() {
        let rates: Vec<f64> = (0..10).map(|n| 100.0 + 10.0 * f64::from(n)).collect();
        let later = |stall_s| {
            let forecast = forecast(&recent(&rates), Duration::ZERO, stall_s);
            (forecast.later[0], forecast.outlasts)
        };
        // Five more per second: for seven seconds, and for three and three fifths of the rise.
        assert_eq!(later(0.1), (225.0, true));
        assert_eq!(later(1.0), (190.0 + 5.0 * (3.0 + 18.0 * FURTHER), true));
        // A rise of 18 s says nothing about the load after a stall of seven.
        assert_eq!(later(7.0), (225.0, false));
    }

    #[test]
    fn after_a_long_fall_only_the_last_windows_may_return() {
        let falls = |windows: u32| recent(&(0..=windows).map(|n| 100.0 - 5.0 * f64::from(n)).collect::<Vec<_>>());
        assert_eq!((representative(&falls(4)), representative(&falls(5)), representative(&falls(9))), (5, RISES, RISES));
        // A window that does not fall ends it, and so does a fall that is hardly one.
        for rates in [&[100.0, 90.0, 80.0, 70.0, 60.0, 50.0, 50.0][..], &[100.0, 99.9, 99.8, 99.7, 99.6, 99.5, 99.4], &[]] {
            assert_eq!(representative(&recent(rates)), rates.len(), "{rates:?}");
        }
    }

    #[test]
    fn the_same_all_the_time_is_steady() {
        assert!(is_steady(&recent(&[100.0, 100.2, 100.0])) && !is_steady(&recent(&[100.0, 102.0])));
    }
}
