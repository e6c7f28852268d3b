//! Which epoch each row of an instance belongs to.
//!
//! The released program takes the n-th row of every instance as epoch n. That holds as long as no
//! row is missing; of one that is, all later rows would count as an epoch too early. Instances
//! report at about the same times, so rows that are closer to each other than half the time between
//! two rows of an instance are one epoch. Where all have as many rows, and their n-th ones lie less
//! than such a time apart, none is missing: instances report one after the other. There, and where
//! times do not tell (one row each, or too irregular), the n-th row is epoch n.

/// The epochs of the rows of each instance, whose times are given in order. Epochs are numbered from
/// 0; those of an instance increase.
pub(super) fn align(times: &[Vec<u64>]) -> Vec<Vec<usize>> {
    by_time(times).unwrap_or_else(|| times.iter().map(|times| (0..times.len()).collect()).collect())
}

fn by_time(times: &[Vec<u64>]) -> Option<Vec<Vec<usize>>> {
    let mut steps: Vec<u64> = times.iter().flat_map(|times| times.windows(2).map(|pair| pair[1] - pair[0])).collect();
    steps.sort_unstable();
    let step = *steps.get(steps.len().checked_sub(1)? / 2)?;
    if none_is_missing(times, step) {
        return None;
    }
    let near = step / 2;
    let mut rows: Vec<(u64, usize)> = (0..).zip(times).flat_map(|(series, times)| times.iter().map(move |&at| (at, series))).collect();
    rows.sort_unstable();
    let mut epochs: Vec<Vec<usize>> = times.iter().map(|times| Vec::with_capacity(times.len())).collect();
    let (mut epoch, mut first) = (0, rows.first()?.0);
    for (at, series) in rows {
        if at - first > near {
            (epoch, first) = (epoch + 1, at);
        }
        if epochs[series].last() == Some(&epoch) {
            // Two rows of one instance in one epoch: the times are too irregular.
            return None;
        }
        epochs[series].push(epoch);
    }
    // Rows of an epoch may lie on both sides of its border.
    let (all, longest) = (epoch + 1, times.iter().map(Vec::len).max()?);
    (all <= longest + longest / 2).then_some(epochs)
}

/// Whether all instances have as many rows, and their n-th ones lie less than `step` apart.
fn none_is_missing(times: &[Vec<u64>], step: u64) -> bool {
    let Some(first) = times.first() else { return true };
    times.iter().all(|times| times.len() == first.len())
        && (0..first.len()).all(|row| {
            let at = times.iter().map(|times| times[row]);
            at.clone().max().zip(at.min()).is_none_or(|(last, first)| last - first < step)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_row_shifts_no_later_one() {
        let (whole, without) = (vec![100, 200, 300, 400], vec![103, 301, 404]);
        assert_eq!(align(&[whole.clone(), without.clone()]), [vec![0, 1, 2, 3], vec![0, 2, 3]]);
        assert_eq!(align(&[without, whole.clone()]), [vec![0, 2, 3], vec![0, 1, 2, 3]]);
        // As many rows, but not of the same epochs; the first and the last.
        assert_eq!(align(&[vec![1, 2, 4], vec![1, 3, 4]]), [vec![0, 1, 3], vec![0, 2, 3]]);
        assert_eq!(align(&[whole, vec![205, 290, 401], vec![99, 199, 305]]), [vec![0, 1, 2, 3], vec![1, 2, 3], vec![0, 1, 2]]);
    }

    #[test]
    fn instances_may_report_more_than_half_a_step_after_each_other() {
        let every_ten = |first: u64| -> Vec<u64> { (0..4).map(|row| first + 10 * row).collect() };
        assert_eq!(align(&[every_ten(0), every_ten(6)]), [[0, 1, 2, 3]; 2]);
        assert_eq!(align(&[every_ten(3), every_ten(9), every_ten(0)]), [[0, 1, 2, 3]; 3]);
        // A whole step: each lacks one row.
        assert_eq!(align(&[every_ten(0), every_ten(10)]), [[0, 1, 2, 3], [1, 2, 3, 4]]);
    }

    #[test]
    fn where_times_do_not_tell_the_nth_row_is_epoch_n() {
        assert_eq!(align(&[vec![10], vec![11], vec![90]]), [[0], [0], [0]]);
        assert_eq!(align(&[vec![10, 20], vec![6, 7, 8]]), [vec![0, 1], vec![0, 1, 2]]);
        assert_eq!(align(&[vec![1, 100, 101, 200, 300], vec![1, 2]]), [vec![0, 1, 2, 3, 4], vec![0, 1]]);
        assert!(align(&[]).is_empty());
    }
}
