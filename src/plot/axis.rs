//! Axes: the range of a panel, the positions of values, and the labels.
//!
//! Every constructor returns a finite, non-empty range, whatever the data, so that no division by
//! zero can follow.

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spread {
    Linear,
    /// By the logarithm of the value.
    Log,
}

/// An axis from `low` to `high`.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    low: f64,
    high: f64,
    spread: Spread,
    /// Labelled values, ascending.
    pub ticks: Vec<f64>,
}

/// Room above the largest value, as a share of it.
const HEADROOM: f64 = 0.06;
/// The most decades of a logarithmic axis below its largest value.
const MOST_DECADES: i32 = 6;

impl Axis {
    /// From 0 to a little above the largest of `values`, with about `ticks` labels.
    pub fn from_zero(values: impl Iterator<Item = f64>, ticks: u32) -> Axis {
        Axis::up_to(largest(values) * (1.0 + HEADROOM), ticks, 0.0)
    }

    /// The same for counts: all labels are whole numbers.
    pub fn counts(values: impl Iterator<Item = f64>, ticks: u32) -> Axis {
        Axis::up_to(largest(values) * (1.0 + HEADROOM), ticks, 1.0)
    }

    /// From 0 to exactly the largest of `values`: for time, which has nothing beyond the end.
    pub fn time(values: impl Iterator<Item = f64>, ticks: u32) -> Axis {
        Axis::up_to(largest(values), ticks, 0.0)
    }

    /// From exactly `low` to exactly `high`, with about `ticks` labels; a little more than nothing
    /// if they are the same.
    pub fn span(low: f64, high: f64, ticks: u32) -> Axis {
        let high = if high > low { high } else { low + low.abs().max(1.0) * 1e-6 };
        let step = round_step((high - low) / f64::from(ticks.max(1)));
        let first = (low / step).ceil() as i64;
        let ticks = (first..).map(|tick| tick as f64 * step).take_while(|&tick| tick <= high).take(100).collect();
        Axis { low, high, spread: Spread::Linear, ticks }
    }

    /// Whole decades around the positive ones of `values`, labelled at each power of ten.
    pub fn decades(values: impl Iterator<Item = f64>) -> Axis {
        let positive = values.filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) = positive.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if high > 0.0 { (low, high) } else { (0.1, 1.0) };
        let last = high.log10().ceil() as i32;
        let first = (low.log10().floor() as i32).clamp(last - MOST_DECADES, last - 1);
        let ticks = (first..=last).map(|exponent| 10f64.powi(exponent)).collect();
        Axis { low: 10f64.powi(first), high: 10f64.powi(last), spread: Spread::Log, ticks }
    }

    fn up_to(high: f64, ticks: u32, least_step: f64) -> Axis {
        let high = if high > 0.0 { high } else { 1.0 };
        let step = round_step(high / f64::from(ticks.max(1))).max(least_step);
        let count = (high / step * (1.0 + 1e-9)).floor() as u32;
        Axis { low: 0.0, high, spread: Spread::Linear, ticks: (0..=count).map(|tick| f64::from(tick) * step).collect() }
    }

    /// The position of `value`: 0 at the low end, 1 at the high end; values beyond an end are
    /// placed there.
    pub fn position(&self, value: f64) -> f64 {
        let share = match self.spread {
            Spread::Linear => (value - self.low) / (self.high - self.low),
            Spread::Log => (value.max(self.low) / self.low).log10() / (self.high / self.low).log10(),
        };
        share.clamp(0.0, 1.0)
    }

    /// Whether `value` lies between the ends.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// The labels of all ticks, with the decimals that the finest of them needs.
    pub fn labels(&self) -> Vec<String> {
        let step = self.ticks.get(1).map_or(1.0, |second| second - self.ticks[0]);
        let decimals = (0..=9).find(|&decimals| is_whole(step * 10f64.powi(decimals))).unwrap_or(9) as usize;
        let label = |&tick: &f64| match self.spread {
            Spread::Linear => format!("{tick:.decimals$}"),
            Spread::Log => decade(tick),
        };
        self.ticks.iter().map(label).collect()
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is not much less than `raw`.
fn round_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= raw * 0.8);
    factor.unwrap_or(10.0) * power
}

/// A power of ten, with an exponent where its zeros would have to be counted.
fn decade(value: f64) -> String {
    let exponent = value.log10().round() as i32;
    if (-3..=4).contains(&exponent) {
        return value.to_string();
    }
    let digits = exponent.to_string();
    let raised = digits.chars().map(|digit| match digit {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        other => char::from_u32('⁰' as u32 + other as u32 - '0' as u32).unwrap_or(other),
    });
    format!("10{}", raised.collect::<String>())
}

fn is_whole(value: f64) -> bool {
    (value - value.round()).abs() < 1e-6
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.filter(|value| value.is_finite()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_lie_within() {
        let axis = Axis::from_zero([16.7].into_iter(), 4);
        assert_eq!(axis.labels(), ["0", "5", "10", "15"]);
        assert_eq!(Axis::time([600.0].into_iter(), 4).labels(), ["0", "200", "400", "600"]);
        assert_eq!(Axis::from_zero([0.9].into_iter(), 4).labels(), ["0.0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(Axis::counts([2.0].into_iter(), 5).labels(), ["0", "1", "2"]);
        assert_eq!(Axis::counts([36.0].into_iter(), 5).labels(), ["0", "10", "20", "30"]);
        assert_eq!(Axis::decades([0.004, 30.0].into_iter()).labels(), ["0.001", "0.01", "0.1", "1", "10", "100"]);
        assert_eq!(Axis::decades([0.0, 2e-9, 2e-5].into_iter()).labels(), ["10⁻⁹", "10⁻⁸", "10⁻⁷", "10⁻⁶", "10⁻⁵", "10⁻⁴"]);
        assert_eq!(Axis::span(12.31, 12.58, 5).labels(), ["12.35", "12.40", "12.45", "12.50", "12.55"]);
        assert_eq!(Axis::span(5.0, 5.0, 5).position(5.0), 0.0);
        assert_eq!(axis.position(0.0), 0.0);
        assert_eq!(axis.position(1e9), 1.0);
        assert_eq!(Axis::decades([0.1, 10.0].into_iter()).position(1.0), 0.5);
    }

    #[test]
    fn whatever_the_data_an_axis_has_a_range() {
        for values in [vec![], vec![0.0], vec![f64::NAN, f64::INFINITY, -3.0], vec![1e-300], vec![1e300], vec![1.0]] {
            for axis in [
                Axis::from_zero(values.iter().copied(), 4),
                Axis::counts(values.iter().copied(), 4),
                Axis::time(values.iter().copied(), 4),
                Axis::decades(values.iter().copied()),
            ] {
                assert!(axis.low.is_finite() && axis.high.is_finite() && axis.low < axis.high, "{values:?}: {axis:?}");
                assert!(axis.ticks.len() < 20 && axis.labels().len() == axis.ticks.len(), "{values:?}: {axis:?}");
                assert!((0.0..=1.0).contains(&axis.position(0.5)), "{values:?}: {axis:?}");
            }
        }
    }
}
