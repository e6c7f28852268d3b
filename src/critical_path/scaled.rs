//! Numbers of paths: non-negative numbers with a range that no window exceeds.
//!
//! The number of paths through a window grows exponentially with its messages; 8 workers that
//! exchange messages a hundred times per second have 8^100 per second, which `u64` cannot count and
//! whose products `f64` cannot represent. A number is stored as `mantissa * 2^(256 exponent)`, with
//! the precision of `f64`.

/// A non-negative number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scaled {
    /// 0, or between 2^-256 and 2^256.
    mantissa: f64,
    exponent: i32,
}

/// 2^256 and 2^-256, exactly.
const STEP: f64 = f64::from_bits((1023 + 256) << 52);
const STEP_DOWN: f64 = f64::from_bits((1023 - 256) << 52);

impl Scaled {
    pub(super) const ZERO: Scaled = Scaled { mantissa: 0.0, exponent: 0 };
    pub(super) const ONE: Scaled = Scaled { mantissa: 1.0, exponent: 0 };

    #[inline]
    pub(super) fn is_zero(self) -> bool {
        self.mantissa == 0.0
    }

    /// The sum.
    #[inline]
    pub(super) fn plus(self, other: Scaled) -> Scaled {
        // Most added numbers are zero: messages that are on no path.
        if other.is_zero() {
            return self;
        }
        let mut sum = match self.exponent - other.exponent {
            0 => Scaled { mantissa: self.mantissa + other.mantissa, ..self },
            _ if self.is_zero() => other,
            1 => Scaled { mantissa: self.mantissa + other.mantissa * STEP_DOWN, ..self },
            -1 => Scaled { mantissa: other.mantissa + self.mantissa * STEP_DOWN, ..other },
            // The smaller number is below the precision of the larger one.
            difference => return if difference > 0 { self } else { other },
        };
        if sum.mantissa >= STEP {
            sum = Scaled { mantissa: sum.mantissa * STEP_DOWN, exponent: sum.exponent + 1 };
        }
        sum
    }

    /// The ratio to `whole`, of which it is a part: between 0 and 1. `whole` is not zero.
    #[inline]
    pub(super) fn of(self, whole: Scaled) -> f64 {
        let ratio = self.mantissa / whole.mantissa;
        match whole.exponent - self.exponent {
            0 => ratio,
            1 => ratio * STEP_DOWN,
            _ => 0.0,
        }
    }

    /// Logarithm to the base 2.
    pub(super) fn log2(self) -> f64 {
        self.mantissa.log2() + 256.0 * f64::from(self.exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_far_beyond_f64_and_still_knows_ratios() {
        let mut power = Scaled::ONE;
        for _ in 0..100_000 {
            power = power.plus(power).plus(power).plus(power);
        }
        // x -> 2x -> 3x -> 4x
        assert!((power.log2() - 200_000.0).abs() < 1e-6, "{}", power.log2());
        let double = power.plus(power);
        assert_eq!(power.of(double), 0.5);
        assert_eq!(Scaled::ONE.plus(power), power);
        assert_eq!(Scaled::ONE.of(power), 0.0);
        assert_eq!(Scaled::ZERO.plus(power).plus(Scaled::ZERO), power);
    }
}
