//! How much more will be offered by the time that what is decided now is in place.
//!
//! A load that rises from window to window rises on until the next decision has been carried out, and what was measured is the mean of a window that is
//! over. Only a rise that several windows show one after the other counts: a step, a spike or a load that goes up and down has no slope.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Window;

/// Rises from one window to the next that make a slope.
const RISES: usize = 3;
/// A rise is at least this part of what was offered.
const LEAST_RISE: f64 = 0.005;
/// More than this part of what is offered is never added.
const MOST_AHEAD: f64 = 0.4;
/// Once instances are added they are to last for so many windows longer than until the next decision.
const LASTING: f64 = 2.0;

/// What was offered in a window, by operator, in records per second.
#[derive(Clone, Debug)]
pub(super) struct Offered {
    pub(super) window: Window,
    pub(super) rates: Vec<f64>,
}

impl Offered {
    fn middle_s(&self) -> f64 {
        self.window.start.as_secs_f64() + self.window.length().as_secs_f64() / 2.0
    }
}

/// What will be offered, by operator, in records per second.
pub(super) struct Ahead {
    /// When the next decision has been carried out.
    pub(super) soon: Vec<f64>,
    /// A few windows later.
    pub(super) later: Vec<f64>,
    /// Whether that is more than now.
    pub(super) rises: bool,
}

/// Looks ahead from `recent` windows, the oldest first, where a plan takes `delay` to be carried out.
pub(super) fn ahead(recent: &VecDeque<Offered>, delay: Duration) -> Ahead {
    let Some(last) = recent.back() else { return Ahead { soon: Vec::new(), later: Vec::new(), rises: false } };
    let length_s = last.window.length().as_secs_f64();
    let soon_s = length_s * 1.5 + delay.as_secs_f64();
    let slopes: Vec<f64> = (0..last.rates.len()).map(|operator| slope(recent, operator)).collect();
    let at = |seconds: f64| {
        let rates = last.rates.iter().zip(&slopes).map(|(rate, slope)| rate + (slope * seconds).min(rate * MOST_AHEAD));
        rates.collect()
    };
    Ahead { soon: at(soon_s), later: at(soon_s + length_s * LASTING), rises: slopes.iter().any(|slope| *slope > 0.0) }
}

/// Records per second by which the rate of a source rises each second; 0 where it does not rise steadily.
fn slope(recent: &VecDeque<Offered>, source: usize) -> f64 {
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
    // A rise that levels out is over soon.
    (rise / seconds).min(steps[steps.len() - 1].0 / steps[steps.len() - 1].1)
}

/// Whether recent windows were offered the same.
pub(super) fn is_steady(recent: &VecDeque<Offered>) -> bool {
    let sums = || recent.iter().map(|offered| offered.rates.iter().sum::<f64>());
    let (least, most) = (sums().fold(f64::INFINITY, f64::min), sums().fold(0.0, f64::max));
    most - least <= most * LEAST_RISE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn recent(rates: &[f64]) -> VecDeque<Offered> {
        let window = |n: usize| Window::starting(Timestamp::from_secs_f64(n as f64 * 2.0), Duration::from_secs(2));
        rates.iter().enumerate().map(|(n, rate)| Offered { window: window(n), rates: vec![*rate] }).collect()
    }

    #[test]
    fn a_steady_rise_goes_on_and_nothing_else_does() {
        let rising = ahead(&recent(&[50.0, 100.0, 110.0, 120.0, 130.0]), Duration::from_secs(1));
        // Five a second, for three seconds and one; then for two windows more, and never beyond two fifths.
        assert_eq!((rising.soon, rising.later, rising.rises), (vec![150.0], vec![170.0], true));
        for rates in [&[100.0, 100.0, 150.0, 200.0, 200.0][..], &[90.0, 80.0, 70.0, 90.0, 80.0, 70.0, 90.0], &[100.0, 110.0, 120.0], &[]] {
            assert!(!ahead(&recent(rates), Duration::ZERO).rises, "{rates:?}");
        }
        let levels = ahead(&recent(&[100.0, 120.0, 140.0, 142.0]), Duration::ZERO);
        assert_eq!(levels.soon, [145.0]);
    }

    #[test]
    fn the_same_all_the_time_is_steady() {
        assert!(is_steady(&recent(&[100.0, 100.2, 100.0])) && !is_steady(&recent(&[100.0, 102.0])));
    }
}
