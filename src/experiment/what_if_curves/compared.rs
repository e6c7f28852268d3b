//! A change of one operator's cost, predicted from the record of a run and done.

use std::collections::BTreeMap;
use std::time::Duration;

use super::job::Job;
use crate::activity::Record;
use crate::critical_path::{Change, RetimedEpoch, Retimer};
use crate::time::Timestamp;

/// What is due in the first part of a run, in seconds, is not compared.
const WARM_UP_S: f64 = 1.0;

/// Latencies of a run: when each epoch was due, its records, and how long it took, in ns.
pub(super) type Latencies = Vec<(Timestamp, u64, u64)>;

/// The epochs of a record, timed again for each change of the job.
pub(super) fn retimed(records: &[Record], job: &Job) -> Vec<RetimedEpoch> {
    let mut retimer = Retimer::new(job.changes.iter().map(|(operator, cost)| Change::of(operator, *cost)).collect());
    for block in records.chunks(4096) {
        block.iter().for_each(|record| retimer.push(record));
        retimer.advance(false);
    }
    retimer.advance(true);
    retimer.epochs()
}

/// Latencies of the epochs that completed, each as it was when the first worker saw it complete.
pub(super) fn latencies(records: &[Record]) -> Latencies {
    let mut open = BTreeMap::new();
    let mut found = Latencies::new();
    for record in records {
        match *record {
            Record::EpochOpened { epoch, due, records, .. } => {
                open.insert(epoch, (due, records));
            }
            Record::EpochCompleted { epoch, at, .. } => {
                if let Some((due, records)) = open.remove(&epoch) {
                    found.push((due, records, at.since(due).as_nanos() as u64));
                }
            }
            _ => {}
        }
    }
    found
}

/// A change, predicted from one record and done in several runs.
pub(super) struct Compared {
    pub(super) operator: String,
    pub(super) cost: f64,
    /// Mean latencies in ms, by run: without the change and with it.
    runs: Vec<(f64, f64)>,
    /// Those of the record, timed again without the change and with it.
    pub(super) retimed: f64,
    pub(super) predicted: f64,
    pub(super) records: u64,
}

/// What is compared: the record timed again, and the number of the world of the change.
pub(super) type World<'a> = (&'a [RetimedEpoch], usize);

impl Compared {
    /// Of runs without the change and with it; nothing if no epoch can be compared.
    pub(super) fn of(operator: &str, cost: f64, runs: &[(&Latencies, Latencies)], (retimed, world): World<'_>) -> Option<Compared> {
        let last = |latencies: &Latencies| latencies.iter().map(|(due, ..)| *due).max();
        let lasts: Option<Vec<Timestamp>> = runs.iter().flat_map(|(before, after)| [last(before), last(after)]).collect();
        let span = Timestamp::ZERO + Duration::from_secs_f64(WARM_UP_S)..=lasts?.into_iter().min()?;
        let mean = |epochs: &mut dyn Iterator<Item = (Timestamp, u64, u64)>| {
            let (mut sum, mut all) = (0.0, 0);
            for (due, records, ns) in epochs {
                if span.contains(&due) {
                    sum += records as f64 * ns as f64;
                    all += records;
                }
            }
            (all > 0).then(|| (sum / all as f64 / 1e6, all))
        };
        let of_world = |world: usize| mean(&mut retimed.iter().map(|epoch| (epoch.due, epoch.records, epoch.ns(world))));
        let of_run =
            |(before, after): &(&Latencies, Latencies)| Some((mean(&mut before.iter().copied())?.0, mean(&mut after.iter().copied())?.0));
        Some(Compared {
            operator: operator.to_owned(),
            cost,
            runs: runs.iter().map(of_run).collect::<Option<Vec<_>>>()?,
            retimed: of_world(0)?.0,
            predicted: of_world(world)?.0,
            records: of_world(0)?.1,
        })
    }

    /// Mean latencies over all runs, in ms: without the change and with it.
    pub(super) fn measured(&self) -> (f64, f64) {
        let many = self.runs.len() as f64;
        (self.runs.iter().map(|(before, _)| before).sum::<f64>() / many, self.runs.iter().map(|(_, after)| after).sum::<f64>() / many)
    }

    /// How many times as fast: measured and predicted.
    pub(super) fn speedups(&self) -> (f64, f64) {
        let (before, after) = self.measured();
        (before / after, self.retimed / self.predicted)
    }

    /// The part of the latency that the change was predicted to take away.
    pub(super) fn predicted_gain(&self) -> f64 {
        1.0 - self.predicted / self.retimed
    }

    /// The part that it takes away, over all runs.
    pub(super) fn measured_gain(&self) -> f64 {
        let (before, after) = self.measured();
        1.0 - after / before
    }

    /// By how much more it takes away than `other`, and the standard error of that, which is 0 of a single run.
    pub(super) fn beyond(&self, other: &Compared) -> (f64, f64) {
        let (mean, _) = self.measured();
        let more: Vec<f64> = self.runs.iter().zip(&other.runs).map(|((_, after), (_, other))| (other - after) / mean).collect();
        let many = more.len() as f64;
        let middle = more.iter().sum::<f64>() / many;
        let squares = more.iter().map(|one| (one - middle).powi(2)).sum::<f64>();
        (middle, if many > 1.0 { (squares / (many - 1.0) / many).sqrt() } else { 0.0 })
    }
}
