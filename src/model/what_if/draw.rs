//! Random draws of the re-timing: quick, seeded, and good to within what a prediction of latency can tell.

use std::sync::LazyLock;

/// Steps of the tables; a power of two.
const STEPS: usize = 4096;
/// A variance below this is none.
const LEAST_VARIANCE: f64 = 1e-6;
/// Up to this variance the cube of a normal number is as good as a gamma distribution.
const MOST_OF_CUBE: f64 = 2.0;
/// With a mean of events above this, their number is normal.
const MANY: f64 = 30.0;

/// Quantiles of the standard normal distribution, in the middle of equal parts.
static NORMAL: LazyLock<Vec<f64>> = LazyLock::new(|| normal_quantiles(STEPS));
/// The same of the exponential distribution of mean 1.
static EXPONENTIAL: LazyLock<Vec<f64>> =
    LazyLock::new(|| (0..STEPS).map(|step| -(1.0 - (step as f64 + 0.5) / STEPS as f64).ln()).collect());

/// Draws numbers.
pub(super) struct Draw {
    random: fastrand::Rng,
    normal: &'static [f64],
    exponential: &'static [f64],
    /// What is left until the next event of a Poisson process, in expected events.
    until_next: f64,
}

impl Draw {
    /// Draws of the seed `seed`.
    pub(super) fn new(seed: u64) -> Draw {
        let mut draw = Draw { random: fastrand::Rng::with_seed(seed), normal: &NORMAL, exponential: &EXPONENTIAL, until_next: 0.0 };
        draw.until_next = draw.exponential();
        draw
    }

    /// A number below `most`.
    #[inline]
    pub(super) fn below(&mut self, most: usize) -> usize {
        self.random.usize(..most)
    }

    #[inline]
    fn normal(&mut self) -> f64 {
        self.normal[self.random.u32(..) as usize % STEPS]
    }

    #[inline]
    fn exponential(&mut self) -> f64 {
        self.exponential[self.random.u32(..) as usize % STEPS]
    }

    /// A number of events of which `mean` are expected.
    #[inline]
    pub(super) fn events(&mut self, mean: f64) -> f64 {
        if mean < self.until_next {
            self.until_next -= mean;
            return 0.0;
        }
        self.some_events(mean)
    }

    fn some_events(&mut self, mean: f64) -> f64 {
        if mean > MANY {
            self.until_next = self.exponential();
            return (mean + self.normal() * mean.sqrt()).round().max(0.0);
        }
        let (mut left, mut events) = (mean, 0.0);
        while left >= self.until_next {
            left -= self.until_next;
            events += 1.0;
            self.until_next = self.exponential();
        }
        self.until_next -= left;
        events
    }

    /// A factor of mean 1 and variance `variance`, never negative: a gamma distribution, nearly.
    #[inline]
    pub(super) fn factor(&mut self, variance: f64) -> f64 {
        if variance < LEAST_VARIANCE {
            return 1.0;
        }
        if variance > MOST_OF_CUBE {
            return self.gamma(variance);
        }
        // Wilson and Hilferty, 1931.
        let c = variance / 9.0;
        let root = (1.0 - c + self.normal() * c.sqrt()).max(0.0);
        root * root * root
    }

    /// The same for any variance (Marsaglia and Tsang, 2000).
    fn gamma(&mut self, variance: f64) -> f64 {
        let shape = 1.0 / variance;
        // A shape below 1 is one above it, times a power of a uniform number.
        let (raised, power) =
            if shape < 1.0 { (shape + 1.0, self.random.f64().max(f64::MIN_POSITIVE).powf(1.0 / shape)) } else { (shape, 1.0) };
        let d = raised - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.random.f64().max(f64::MIN_POSITIVE).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v * power / shape;
            }
        }
    }
}

/// Quantiles of the standard normal distribution, in the middle of `count` equal parts; an even number of them.
fn normal_quantiles(count: usize) -> Vec<f64> {
    // Newton's method, each from the one before.
    let mut x: f64 = -3.6;
    let lower = (0..count / 2).map(|part| {
        for _ in 0..6 {
            let slope = (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
            x -= (normal_below(x) - (part as f64 + 0.5) / count as f64) / slope;
        }
        x
    });
    let lower: Vec<f64> = lower.collect();
    lower.iter().copied().chain(lower.iter().rev().map(|x| -x)).collect()
}

/// The probability that a standard normal number is below `x` (Zelen and Severo, 1964): exact to 7 digits.
fn normal_below(x: f64) -> f64 {
    const TERMS: [f64; 5] = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let sum = TERMS.iter().rev().fold(0.0, |sum, term| (sum + term) * t);
    let above = sum * (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
    if x < 0.0 { above } else { 1.0 - above }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_and_variance(draws: impl Iterator<Item = f64>) -> (f64, f64) {
        let draws: Vec<f64> = draws.collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        (mean, draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64)
    }

    #[test]
    fn drawn_factors_have_their_variance() {
        let mut draw = Draw::new(7);
        for variance in [0.1, 0.5, 1.0, 2.0, 4.0] {
            let (mean, spread) = mean_and_variance((0..50_000).map(|_| draw.factor(variance)));
            assert!((mean - 1.0).abs() < 0.05 && (spread / variance - 1.0).abs() < 0.15, "{variance}: {mean} {spread}");
        }
    }

    #[test]
    fn one_in_a_hundred_exponential_times_is_as_long_as_it_should_be() {
        let mut draw = Draw::new(7);
        let mut times: Vec<f64> = (0..100_000).map(|_| draw.factor(1.0)).collect();
        times.sort_by(f64::total_cmp);
        for (quantile, expected) in [(0.5, 0.693), (0.9, 2.303), (0.99, 4.605)] {
            let found = times[(quantile * times.len() as f64) as usize];
            assert!((found / expected - 1.0).abs() < 0.03, "{quantile}: {found} {expected}");
        }
    }

    #[test]
    fn events_are_as_many_as_expected() {
        let mut draw = Draw::new(7);
        for expected in [0.05, 1.0, 12.0, 60.0] {
            let (mean, spread) = mean_and_variance((0..100_000).map(|_| draw.events(expected)));
            assert!((mean / expected - 1.0).abs() < 0.03 && (spread / expected - 1.0).abs() < 0.05, "{expected}: {mean} {spread}");
        }
    }
}
