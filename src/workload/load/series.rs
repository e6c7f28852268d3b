//! Values at times.

/// The longest series, in seconds: a hundred years.
pub(super) const LONGEST_S: f64 = 100.0 * 366.0 * 86_400.0;
/// The highest value.
const HIGHEST: f64 = 1e15;

/// Values at times, in order; two or more.
///
/// Invariants: times are in seconds from 0 on and grow; values are finite and at least 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    samples: Vec<(f64, f64)>,
    spacing_s: f64,
}

impl Series {
    /// A series of values at times in seconds, which may begin at any time; `Err` has the position
    /// of the sample that is wrong, and what is.
    ///
    /// # Errors
    /// When there are fewer than two samples, times do not grow, or a number is not in its range.
    pub fn new(mut samples: Vec<(f64, f64)>) -> Result<Series, (usize, String)> {
        if samples.len() < 2 {
            return Err((0, format!("expected two values or more, found {}", samples.len())));
        }
        for (index, &(at, value)) in samples.iter().enumerate() {
            if !(0.0..=HIGHEST).contains(&value) {
                return Err((index, format!("expected a value from 0 to {HIGHEST:e}, found {value}")));
            }
            if !at.is_finite() {
                return Err((index, format!("expected a time, found {at}")));
            }
            let before = index.checked_sub(1).map(|before| samples[before].0);
            if before == Some(at) {
                return Err((index, "expected a time after the one before it, found the same time".to_owned()));
            }
            if let Some(before) = before.filter(|before| *before > at) {
                return Err((index, format!("expected a time after the one before it, found one {} s earlier", before - at)));
            }
        }
        let first = samples[0].0;
        samples.iter_mut().for_each(|(at, _)| *at -= first);
        let last = samples.len() - 1;
        if samples[last].0 > LONGEST_S {
            return Err((last, format!("expected a load of at most 100 years, found {:.3e} s", samples[last].0)));
        }
        let mut spacings: Vec<f64> = samples.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        let middle = spacings.len() / 2;
        let (_, &mut spacing_s, _) = spacings.select_nth_unstable_by(middle, f64::total_cmp);
        // Times that differ by less than a float of their size can tell.
        if let Some(index) = spacings.iter().position(|spacing| *spacing <= 0.0) {
            return Err((index + 1, "expected a time after the one before it, found one that is too near".to_owned()));
        }
        Ok(Series { samples, spacing_s })
    }

    /// Times in seconds, the first 0, with their values.
    pub fn samples(&self) -> &[(f64, f64)] {
        &self.samples
    }

    /// The usual time from one value to the next, in seconds: the median.
    pub fn spacing_s(&self) -> f64 {
        self.spacing_s
    }

    /// Seconds from the first value until the last one has held for the usual spacing.
    pub fn length_s(&self) -> f64 {
        self.samples[self.samples.len() - 1].0 + self.spacing_s
    }

    /// How many times lie further apart than one and a half times the usual spacing.
    pub fn gaps(&self) -> usize {
        self.samples.windows(2).filter(|pair| pair[1].0 - pair[0].0 > 1.5 * self.spacing_s).count()
    }

    /// The lowest value.
    pub fn lowest(&self) -> f64 {
        self.samples.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min)
    }

    /// The highest value.
    pub fn highest(&self) -> f64 {
        self.samples.iter().map(|(_, value)| *value).fold(0.0, f64::max)
    }

    /// The mean over time, if each value holds until the next.
    pub fn mean(&self) -> f64 {
        let ends = self.samples.iter().skip(1).map(|(at, _)| *at).chain([self.length_s()]);
        let area: f64 = self.samples.iter().zip(ends).map(|((at, value), end)| value * (end - at)).sum();
        area / self.length_s()
    }

    /// The mean over time, if values lie on straight lines between the samples and the last one holds.
    pub(super) fn mean_of_lines(&self) -> f64 {
        let lines = self.samples.windows(2).map(|pair| (pair[0].1 + pair[1].1) / 2.0 * (pair[1].0 - pair[0].0));
        let last = self.samples[self.samples.len() - 1].1 * self.spacing_s;
        (lines.sum::<f64>() + last) / self.length_s()
    }

    /// The samples from `from_s` on, at times from there. The first is the value that holds then, or
    /// the one on the line from it to the next. Nothing if fewer than two are left.
    pub(super) fn from(&self, from_s: f64, on_line: bool) -> Option<Series> {
        let first = self.samples.partition_point(|(at, _)| *at <= from_s).checked_sub(1)?;
        let mut rest: Vec<(f64, f64)> = self.samples[first..].iter().map(|(at, value)| ((at - from_s).max(0.0), *value)).collect();
        if let (true, [(from, value), (to, next), ..]) = (on_line, &self.samples[first..]) {
            rest[0].1 = value + (next - value) * (from_s - from) / (to - from);
        }
        Series::new(rest).ok().map(|series| Series { spacing_s: self.spacing_s, ..series })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_in_order_and_begins_at_0() {
        let series = Series::new(vec![(10.0, 1.0), (20.0, 3.0), (50.0, 0.0), (60.0, 5.0)]).unwrap();
        assert_eq!(series.samples()[2], (40.0, 0.0));
        assert_eq!((series.spacing_s(), series.length_s(), series.gaps()), (10.0, 60.0, 1));
        assert_eq!((series.lowest(), series.highest(), series.mean()), (0.0, 5.0, (10.0 + 90.0 + 50.0) / 60.0));
        assert_eq!(series.mean_of_lines(), (20.0 + 45.0 + 25.0 + 50.0) / 60.0);
        let later = series.from(15.0, false).unwrap();
        assert_eq!(later.samples(), [(0.0, 3.0), (25.0, 0.0), (35.0, 5.0)]);
        assert_eq!(series.from(25.0, true).unwrap().samples(), [(0.0, 1.5), (15.0, 0.0), (25.0, 5.0)]);
        assert_eq!((series.from(50.0, false), series.from(50.0, true), series.from(-1.0, false)), (None, None, None));
    }

    #[test]
    fn what_is_no_series_is_refused_by_position() {
        let refused = |samples: &[(f64, f64)]| Series::new(samples.to_vec()).unwrap_err();
        assert_eq!(refused(&[]), (0, "expected two values or more, found 0".to_owned()));
        assert_eq!(refused(&[(0.0, 1.0)]).1, "expected two values or more, found 1");
        for (samples, position, what) in [
            (&[(0.0, 1.0), (1.0, -1.0)], 1, "found -1"),
            (&[(0.0, f64::NAN), (1.0, 1.0)], 0, "found NaN"),
            (&[(0.0, 1.0), (1.0, 1e16)], 1, "found 10000000000000000"),
            (&[(0.0, 1.0), (f64::INFINITY, 1.0)], 1, "found inf"),
            (&[(5.0, 1.0), (5.0, 1.0)], 1, "found the same time"),
            (&[(5.0, 1.0), (3.0, 1.0)], 1, "found one 2 s earlier"),
            (&[(0.0, 1.0), (1e10, 1.0)], 1, "found 1.000e10 s"),
        ] {
            let (index, found) = refused(samples);
            assert!(index == position && found.contains(what), "{found}");
        }
    }
}
