//! Distributes records in proportion to weights: weighted deficit round robin (Shreedhar and
//! Varghese, SIGCOMM 1995), by batch instead of by record.

use std::cmp::Reverse;

use super::Weights;

/// The deficit of each instance.
///
/// Invariant: the number of records that an instance has received differs from its exact share of
/// all records so far by less than the number of instances, however many batches there were; the
/// deficits sum to 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turns {
    weights: Weights,
    /// By instance, its deficit in records, times the sum of the weights; negative if it has
    /// received more than its share.
    owed: Vec<i64>,
    /// Instances, the largest deficits first.
    order: Vec<usize>,
    /// By instance, its share of the last batch.
    parts: Vec<u64>,
}

impl Turns {
    /// No deficits.
    pub fn new(weights: &Weights) -> Turns {
        let instances = weights.each().len();
        Turns { weights: weights.clone(), owed: vec![0; instances], order: (0..instances).collect(), parts: vec![0; instances] }
    }

    /// How many of `records` records go to each instance.
    pub fn deal(&mut self, records: u64) -> &[u64] {
        let Turns { weights, owed, order, parts } = self;
        let sum: i64 = weights.each().iter().map(|&weight| i64::from(weight)).sum();
        for (owed, &weight) in owed.iter_mut().zip(weights.each()) {
            *owed += records as i64 * i64::from(weight);
        }
        parts.fill(0);
        let mut left = records as i64;
        let mut give = |index: usize, count: i64, owed: &mut [i64]| {
            owed[index] -= count * sum;
            parts[index] += count as u64;
            count
        };
        // Whole records first, then one more for those with the largest remainders.
        order.sort_unstable_by_key(|&index| (Reverse(owed[index]), index));
        for &index in order.iter() {
            let whole = owed[index].max(0) / sum;
            left -= give(index, whole.min(left), owed);
        }
        order.sort_unstable_by_key(|&index| (Reverse(owed[index]), index));
        for &index in order.iter().take(left as usize) {
            give(index, 1, owed);
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slow_instance_gets_its_turn_less_often() {
        let mut turns = Turns::new(&Weights::of(&[1.0, 0.5, 1.0]).unwrap());
        let one_by_one: Vec<usize> = (0..10).map(|_| turns.deal(1).iter().position(|part| *part == 1).unwrap()).collect();
        assert_eq!(one_by_one, [0, 2, 1, 0, 2, 0, 2, 1, 0, 2]);
        assert_eq!(turns.deal(1000), [400, 200, 400]);
    }

    proptest! {
        /// Nothing is lost, and in the long run each has its exact part, whatever the batches are
        /// like.
        #[test]
        fn parts_are_exact_in_the_long_run(
            speeds in prop::collection::vec(0.01f64..1.0, 2..40), batches in prop::collection::vec(prop_oneof![0u64..5, 0u64..5000], 1..200)
        ) {
            let Some(weights) = Weights::of(&speeds) else { return Ok(()) };
            let mut turns = Turns::new(&weights);
            let (mut given, mut all) = (vec![0; speeds.len()], 0);
            for records in batches {
                let parts = turns.deal(records);
                prop_assert_eq!(parts.iter().sum::<u64>(), records);
                given.iter_mut().zip(parts).for_each(|(given, part)| *given += part);
                all += records;
                prop_assert_eq!(turns.owed.iter().sum::<i64>(), 0);
            }
            let sum: u32 = weights.each().iter().sum();
            for (&given, &weight) in given.iter().zip(weights.each()) {
                let exact = all as f64 * f64::from(weight) / f64::from(sum);
                prop_assert!((given as f64 - exact).abs() < speeds.len() as f64, "{} instead of {}", given, exact);
            }
        }
    }
}
