//! Medians.

/// The median; for an even number of values the mean of the middle two. `None` without values.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let values = sorted(values);
    let (lower, upper) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some((values[lower] + values[upper]) / 2.0)
}

/// The lower median, which is one of the values; for an even number of values the lower of the
/// middle two. `None` without values.
pub fn lower_median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let values = sorted(values);
    Some(values[values.len().checked_sub(1)? / 2])
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!((median([]), lower_median([])), (None, None));
        assert_eq!((median([3.0, 1.0, 100.0]), lower_median([3.0, 1.0, 100.0])), (Some(3.0), Some(3.0)));
        assert_eq!((median([4.0, 1.0, 2.0, 100.0]), lower_median([4.0, 1.0, 2.0, 100.0])), (Some(3.0), Some(2.0)));
    }
}
