//! Who is to blame for the latency of late: by one epoch where records wait for long, by several where they do not.
//!
//! A barrier meets each queue at one instant. Long queues are told by that. Short ones come and go from one
//! epoch to the next, with whatever else the machine does; what is usual is told by the median of a few
//! epochs, with the time that serving a record takes.

use std::collections::BTreeMap;

use super::barriers::most_blamed;
use super::window::Told;
use crate::stats::median;

/// Waits of an epoch that are shorter than this, all together in ms, may be of the moment.
const SHORT_MS: f64 = 50.0;
/// So many epochs are then looked at together.
const EPOCHS: usize = 5;

/// Who has most of the time of the last of these epochs, which are in order, and how much of it; nothing without any.
pub fn mostly_blamed(told: &[Told]) -> Option<((usize, u32), f64)> {
    let last = told.last()?;
    if last.waits.iter().map(|wait| wait.hop.queue_ms).sum::<f64>() >= SHORT_MS {
        return most_blamed(&last.waits);
    }
    let recent = &told[told.len().saturating_sub(EPOCHS)..];
    // By vertex first: epochs meet now the one, now the other of its subtasks.
    let (mut times, mut of_subtasks) = (BTreeMap::<usize, Vec<f64>>::new(), BTreeMap::<(usize, u32), f64>::new());
    for (number, told) in recent.iter().enumerate() {
        let mut add = |whose: (usize, u32), ms: f64| {
            times.entry(whose.0).or_insert_with(|| vec![0.0; recent.len()])[number] += ms;
            *of_subtasks.entry(whose).or_default() += ms;
        };
        for (wait, service_ms) in told.waits.iter().zip(&told.service_ms) {
            add(wait.blamed, wait.hop.queue_ms);
            add((wait.hop.vertex, wait.hop.subtask), service_ms.unwrap_or(0.0));
        }
    }
    let usual: Vec<(usize, f64)> = times.into_iter().map(|(vertex, times)| (vertex, median(times).unwrap_or(0.0))).collect();
    let all: f64 = usual.iter().map(|(_, ms)| ms).sum();
    let (vertex, most_ms) = usual.into_iter().reduce(|a, b| if b.1 > a.1 { b } else { a })?;
    let subtasks = of_subtasks.into_iter().filter(|((of, _), _)| *of == vertex);
    let (whose, _) = subtasks.reduce(|a, b| if b.1 > a.1 { b } else { a })?;
    (all > 0.0).then_some((whose, most_ms / all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flink::{Hop, Wait};
    use crate::time::Timestamp;

    fn told(queues_ms: [f64; 3]) -> Told {
        let wait = |(vertex, queue_ms)| Wait { hop: Hop { vertex, subtask: 0, queue_ms }, blamed: (vertex, 0) };
        let waits = (0..).zip(queues_ms).map(wait).collect();
        Told {
            checkpoint: Some(1),
            at: Timestamp::ZERO,
            waits,
            service_ms: vec![Some(1.0), None, Some(3.0)],
            alignment_ms: vec![0.0; 3],
            arrived_ms: 0.0,
        }
    }

    #[test]
    fn short_waits_are_judged_by_several_epochs_and_long_ones_at_once() {
        let of = |queues: &[[f64; 3]]| mostly_blamed(&queues.iter().copied().map(told).collect::<Vec<_>>()).map(|(whose, _)| whose.0);
        assert_eq!(of(&[[0.0, 4.0, 9.0], [0.0, 5.0, 8.0], [0.0, 23.0, 9.0]]), Some(2));
        assert_eq!(of(&[[0.0, 4.0, 9.0], [0.0, 5.0, 8.0], [0.0, 230.0, 9.0]]), Some(1));
        // What was long ago does not count.
        assert_eq!(of(&[vec![[0.0, 0.0, 40.0]; 9], vec![[0.0, 20.0, 0.0]; 5]].concat()), Some(1));
        assert_eq!(of(&[[0.0, 2.0, 1.0]]), Some(2));
        // Now one, now another subtask of the last vertex.
        let turns = |subtask| {
            let mut told = told([0.0, 4.0, 9.0]);
            (told.waits[2].hop.subtask, told.waits[2].blamed) = (subtask, (2, subtask));
            told
        };
        let found = mostly_blamed(&[0, 1, 2, 1].map(turns));
        assert_eq!(found.map(|(whose, share)| (whose, (share * 100.0).round())), Some(((2, 1), 71.0)));
        assert_eq!(of(&[]), None);
    }
}
