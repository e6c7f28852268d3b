//! Results that reached the sinks, and their comparison with the expected ones.

use serde::{Deserialize, Serialize};

use super::Answer;
use crate::engine::Time;
use crate::engine::elastic::hash_of;
use crate::engine::jobs::{GroupTally, Verdict, mix};

/// What is wrong shows in the groups of the answers it concerns.
const GROUPS: usize = 4096;

/// Outcome of one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NexmarkTally {
    /// Epochs in which its source emitted, in order, with how many events in each.
    pub emitted: Vec<(Time, u64)>,
    /// Answers that reached its sink, by group.
    pub groups: Vec<GroupTally>,
}

impl NexmarkTally {
    /// Counts a result.
    pub(super) fn add(&mut self, answer: &Answer) {
        if self.groups.is_empty() {
            self.groups.resize(GROUPS, GroupTally::default());
        }
        let hash = mix(hash_of(answer));
        let group = &mut self.groups[hash as usize % GROUPS];
        group.results += 1;
        group.digest = group.digest.wrapping_add(hash);
    }

    /// Counts an event that the source emits in `epoch`, the latest so far.
    pub(super) fn emit(&mut self, epoch: Time) {
        match self.emitted.last_mut() {
            Some((last, events)) if *last == epoch => *events += 1,
            _ => self.emitted.push((epoch, 1)),
        }
    }
}

/// What `tallies` found together against what was `expected`.
pub(super) fn compare(tallies: &[NexmarkTally], expected: &NexmarkTally) -> Verdict {
    let group = |tally: &NexmarkTally, index: usize| tally.groups.get(index).copied().unwrap_or_default();
    let events = tallies.iter().flat_map(|tally| &tally.emitted).map(|(_, events)| events).sum();
    let mut verdict = Verdict { emitted: events, ..Verdict::default() };
    for index in 0..GROUPS {
        let expected = group(expected, index);
        let found = tallies.iter().map(|tally| group(tally, index)).fold(GroupTally::default(), |sum, part| GroupTally {
            results: sum.results + part.results,
            digest: sum.digest.wrapping_add(part.digest),
        });
        verdict.results += expected.results;
        verdict.lost += expected.results.saturating_sub(found.results);
        verdict.duplicated += found.results.saturating_sub(expected.results);
        verdict.miscounted += u64::from(expected.results == found.results && expected.digest != found.digest);
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_missing_doubled_or_wrong_shows() {
        let tally = |prices: &[u64]| {
            let mut tally = NexmarkTally::default();
            prices.iter().for_each(|&price| tally.add(&Answer::Price { auction: 1, price }));
            tally
        };
        let expected = tally(&[1, 2, 3, 3]);
        let verdict = |tallies: &[NexmarkTally]| {
            let Verdict { results, lost, duplicated, miscounted, .. } = compare(tallies, &expected);
            (results, lost, duplicated, miscounted)
        };
        assert_eq!(verdict(&[tally(&[3, 2]), tally(&[1, 3])]), (4, 0, 0, 0));
        assert_eq!(verdict(&[tally(&[3, 2, 1])]), (4, 1, 0, 0));
        assert_eq!(verdict(&[tally(&[3, 2, 1, 3, 3])]), (4, 0, 1, 0));
        // Another answer falls into another group.
        assert_eq!(verdict(&[tally(&[3, 2, 1, 4])]), (4, 1, 1, 0));
        assert_eq!(verdict(&[]), (4, 4, 0, 0));
    }
}
