//! Random numbers that are the same on every machine and in every version.
//!
//! The generator is SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). It is implemented here because
//! the published crates reserve the right to change their sequences between minor versions, which
//! would change the results of every recorded seed.

use std::time::Duration;

/// A generator.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator of `seed`.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A whole number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A normally distributed number with mean 0 and variance 1 (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// A number in `[low, high)`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// A number in `[low, high)` whose logarithm is uniform; both are positive.
    pub fn log_uniform(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// A duration whose logarithm is uniform.
    pub fn duration(&mut self, low: Duration, high: Duration) -> Duration {
        Durations::between(low, high).draw(self)
    }
}

/// Durations whose logarithms are uniform: what [`Random::duration`] draws, many times between the
/// same ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Durations {
    /// Logarithms of the ends, in ns.
    low: f64,
    high: f64,
}

impl Durations {
    /// Those in `[low, high)`.
    pub(super) fn between(low: Duration, high: Duration) -> Durations {
        Durations { low: (low.as_nanos() as f64).ln(), high: (high.as_nanos() as f64).ln() }
    }

    pub(super) fn draw(self, random: &mut Random) -> Duration {
        Duration::from_nanos(random.between(self.low, self.high).exp() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_published_sequence() {
        let mut random = Random::new(1_234_567);
        // The first outputs of the reference implementation for this seed.
        assert_eq!(
            [random.next(), random.next(), random.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn numbers_stay_in_their_ranges_and_fill_them() {
        let mut random = Random::new(1);
        let numbers: Vec<f64> = (0..10_000).map(|_| random.log_uniform(10.0, 1e6)).collect();
        assert!(numbers.iter().all(|number| (10.0..1e6).contains(number)));
        let small = numbers.iter().filter(|&&number| number < 3162.3).count();
        assert!((4_700..5_300).contains(&small), "{small}");
        assert_eq!(random.below(0), 0);
        assert_eq!((0..1000).map(|_| random.below(7)).max(), Some(6));
    }
}
