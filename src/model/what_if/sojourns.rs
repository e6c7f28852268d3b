//! How long records stay at an operator: a distribution, counted in buckets and kept as quantiles.

/// Buckets by factor of two: each is 1.6 % wide at most, and tells the mean of what is in it.
const BUCKETS: u32 = 64;
/// Bits of a number's fraction that do not tell the bucket.
const BITS: u32 = f32::MANTISSA_DIGITS - 1 - BUCKETS.trailing_zeros();
/// Times from this part of a record's mean time on are told apart...
const LEAST: f32 = 1.0 / 64.0;
/// ... up to so many times it.
const MOST: f32 = (1u32 << 21) as f32;

/// How long records stay at an operator, as quantiles in seconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sojourns {
    /// A power of two of them.
    quantiles_s: Vec<f32>,
}

impl Sojourns {
    /// Where all stay for `seconds`.
    pub(super) fn all(seconds: f64) -> Sojourns {
        Sojourns { quantiles_s: vec![seconds as f32] }
    }

    /// The time at the quantile `stratum / 65536`, in seconds.
    #[inline]
    pub(super) fn at(&self, stratum: u16) -> f64 {
        f64::from(self.quantiles_s[(stratum as usize * self.quantiles_s.len()) >> 16])
    }
}

/// Times of records, counted.
#[derive(Clone, Debug)]
pub(super) struct Times {
    /// What times are multiplied by: one over a record's mean time.
    per_s: f64,
    /// Weight and weighted sum of the times in each bucket.
    buckets: Vec<(f64, f64)>,
}

fn bucket(times: f32) -> usize {
    let bits = |times: f32| times.to_bits() >> BITS;
    (bits(times.clamp(LEAST, MOST)) - bits(LEAST)) as usize
}

impl Times {
    /// None yet; a record takes about `unit_s` seconds.
    pub(super) fn new(unit_s: f64) -> Times {
        Times { per_s: 1.0 / unit_s.max(1e-30), buckets: vec![(0.0, 0.0); bucket(MOST) + 1] }
    }

    /// Counts `seconds` with the weight `weight`.
    #[inline]
    pub(super) fn add(&mut self, seconds: f64, weight: f64) {
        let sum = &mut self.buckets[bucket((seconds * self.per_s) as f32)];
        *sum = (sum.0 + weight, sum.1 + weight * seconds);
    }

    /// Adds those of `other`, which together weigh `weight` then.
    pub(super) fn add_all(&mut self, other: &Times, weight: f64) {
        let all: f64 = other.buckets.iter().map(|(weight, _)| weight).sum();
        if all > 0.0 {
            let factor = weight / all;
            self.buckets.iter_mut().zip(&other.buckets).for_each(|(sum, more)| {
                *sum = (sum.0 + factor * more.0, sum.1 + factor * more.1);
            });
        }
    }

    /// Their `quantiles` quantiles; nothing without any.
    pub(super) fn sojourns(&self, quantiles: usize) -> Option<Sojourns> {
        let all: f64 = self.buckets.iter().map(|(weight, _)| weight).sum();
        let mut quantiles_s = Vec::with_capacity(quantiles);
        let (step, mut sum) = (all / quantiles as f64, 0.0);
        for (weight, weighted) in self.buckets.iter().filter(|(weight, _)| *weight > 0.0) {
            sum += weight;
            let mean = (weighted / weight) as f32;
            while quantiles_s.len() < quantiles && (quantiles_s.len() as f64 + 0.5) * step <= sum {
                quantiles_s.push(mean);
            }
        }
        let last = *quantiles_s.last()?;
        quantiles_s.resize(quantiles, last);
        Some(Sojourns { quantiles_s })
    }
}
