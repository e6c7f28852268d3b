//! Latency of every batch that reached a sink, or of every epoch that was completed, kept one by one, so that any stretch of time can be asked
//! for afterwards.
//!
//! A few thousand batches a second, so a run needs a few megabytes. A batch whose epoch was never due (it only built the state up)
//! has no latency.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::activity::{ActivityKind, Record};
use crate::migration::Latest;
use crate::stats::LatencyHistogram;
use crate::time::{Epoch, Timestamp, Window};

/// Arrivals at sinks and when their epochs were due.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    due: BTreeMap<Epoch, Timestamp>,
    arrivals: Vec<Arrival>,
    first_due: Option<Timestamp>,
    /// Records of the epochs that are open, if what counts is when they are complete.
    open: Option<BTreeMap<Epoch, u64>>,
    /// Arrivals that have been looked at by whoever follows the job while it runs.
    taken: usize,
}

#[derive(Clone, Copy, Debug)]
struct Arrival {
    at: Timestamp,
    epoch: Epoch,
    records: u64,
}

/// Latency over a stretch of time, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// Records that arrived.
    pub records: u64,
    /// Half of the records were not slower.
    pub ns_p50: Option<u64>,
    /// 90 %.
    pub ns_p90: Option<u64>,
    /// 99 %.
    pub ns_p99: Option<u64>,
    /// 99.99 %.
    pub ns_p9999: Option<u64>,
    /// The slowest.
    pub ns_max: Option<u64>,
}

impl Latencies {
    /// Those of epochs: what arrives is an epoch with all its records, when it is complete.
    pub fn of_epochs() -> Latencies {
        Latencies { open: Some(BTreeMap::new()), ..Latencies::default() }
    }

    /// Takes what it needs of a record.
    pub fn push(&mut self, record: &Record) {
        match record {
            Record::EpochOpened { epoch, due, records, .. } => {
                if let Some(open) = &mut self.open {
                    *open.entry(*epoch).or_default() += records;
                }
                let earliest = self.due.entry(*epoch).or_insert(*due);
                *earliest = (*earliest).min(*due);
                self.first_due = Some(self.first_due.map_or(*due, |first| first.min(*due)));
            }
            // An epoch that was never due is not open.
            Record::EpochCompleted { at, epoch, .. } => {
                if let Some(records) = self.open.as_mut().and_then(|open| open.remove(epoch)) {
                    self.arrivals.push(Arrival { at: *at, epoch: *epoch, records });
                }
            }
            Record::Activity(activity) if activity.kind == ActivityKind::Sink && self.open.is_none() => {
                self.arrivals.push(Arrival { at: activity.end, epoch: activity.epoch, records: activity.records_in });
            }
            _ => {}
        }
    }

    /// When the first record was due; nothing before any was.
    pub fn first_due(&self) -> Option<Timestamp> {
        self.first_due
    }

    /// The largest latency of what arrived since the last call; what arrived before its epoch is known to be due waits for that.
    pub fn take_latest(&mut self) -> Option<Latest> {
        let (&newest, _) = self.due.last_key_value()?;
        let mut latest: Option<Latest> = None;
        while let Some(arrival) = self.arrivals.get(self.taken).filter(|arrival| arrival.epoch <= newest) {
            self.taken += 1;
            if let Some(due) = self.due.get(&arrival.epoch) {
                let latency = arrival.at.since(*due);
                if latest.is_none_or(|latest| latest.latency < latency) {
                    latest = Some(Latest { at: arrival.at, latency });
                }
            }
        }
        latest
    }

    /// Latency of what arrived in `window`. What was due but did not arrive in it has no latency there.
    pub fn over(&self, window: Window) -> Stretch {
        let mut histogram = LatencyHistogram::default();
        let mut slowest = None;
        for arrival in self.arrivals.iter().filter(|arrival| window.contains(arrival.at)) {
            if let Some(due) = self.due.get(&arrival.epoch) {
                let latency = arrival.at.since(*due);
                histogram.record(latency, arrival.records);
                slowest = slowest.max(Some(latency));
            }
        }
        let at = |quantile| histogram.quantile(quantile).map(nanoseconds);
        Stretch {
            records: histogram.records(),
            ns_p50: at(0.5),
            ns_p90: at(0.9),
            ns_p99: at(0.99),
            ns_p9999: at(0.9999),
            ns_max: slowest.map(nanoseconds),
        }
    }

    /// What the largest latency of a stretch of `length` is when nothing happens: the median over all stretches of that length that
    /// fit into `window`, side by side from its end; over all of the window when none fits.
    pub fn usual_max(&self, window: Window, length: Duration) -> Option<u64> {
        let count = if length.is_zero() { 0 } else { window.length().as_nanos() / length.as_nanos() };
        let stretches = (1..=count as u64).map(|n| {
            let start = Timestamp(window.end.0 - n * length.as_nanos() as u64);
            Window { start, end: start + length }
        });
        let mut maxima: Vec<u64> = stretches.filter_map(|stretch| self.max(stretch)).collect();
        if maxima.is_empty() {
            return self.max(window);
        }
        maxima.sort_unstable();
        Some(maxima[maxima.len() / 2])
    }

    fn max(&self, window: Window) -> Option<u64> {
        let inside = self.arrivals.iter().filter(|arrival| window.contains(arrival.at));
        inside.filter_map(|arrival| Some(nanoseconds(arrival.at.since(*self.due.get(&arrival.epoch)?)))).max()
    }
}

fn nanoseconds(latency: Duration) -> u64 {
    latency.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::{Activity, Lane};
    use crate::id::{InstanceId, OperatorId, WorkerId};

    fn millis(n: u64) -> Timestamp {
        Timestamp(n * 1_000_000)
    }

    fn opened(n: u64) -> Record {
        Record::EpochOpened { at: millis(n), source: InstanceId::new(OperatorId(0), 0), epoch: Epoch(n), due: millis(n), records: 10 }
    }

    fn arrived(epoch: u64, at: Timestamp) -> Record {
        Record::Activity(Activity {
            lane: Lane::Worker(WorkerId(0)),
            kind: ActivityKind::Sink,
            instance: InstanceId::new(OperatorId(2), 0),
            epoch: Epoch(epoch),
            start: at,
            end: at,
            records_in: 10,
            records_out: 0,
        })
    }

    #[test]
    fn latency_counts_from_the_due_time_whichever_side_is_known_first() {
        let mut latencies = Latencies::default();
        // Epoch 1 was never due. The arrival of 3 is known before its opening.
        for record in [opened(2), arrived(1, millis(500)), arrived(2, millis(5)), arrived(3, millis(40))] {
            latencies.push(&record);
        }
        assert_eq!(latencies.take_latest(), Some(Latest { at: millis(5), latency: Duration::from_millis(3) }));
        assert_eq!(latencies.take_latest(), None);
        latencies.push(&opened(3));
        assert_eq!(latencies.take_latest(), Some(Latest { at: millis(40), latency: Duration::from_millis(37) }));
        let stretch = latencies.over(Window { start: millis(0), end: millis(1000) });
        assert_eq!((stretch.records, stretch.ns_max, latencies.first_due()), (20, Some(37_000_000), Some(millis(2))));
        assert_eq!(latencies.over(Window { start: millis(0), end: millis(40) }).ns_max, Some(3_000_000));
        assert_eq!(latencies.over(Window { start: millis(600), end: millis(1000) }), Stretch::default());
    }

    #[test]
    fn the_usual_maximum_is_the_median_of_stretches() {
        let mut latencies = Latencies::default();
        for n in 0..100 {
            latencies.push(&opened(n));
            // One stall among many calm epochs.
            latencies.push(&arrived(n, millis(n + if n == 55 { 30 } else { 1 })));
        }
        let all = Window { start: millis(0), end: millis(100) };
        assert_eq!(latencies.usual_max(all, Duration::from_millis(10)), Some(1_000_000));
        assert_eq!(latencies.usual_max(all, Duration::from_millis(300)), Some(30_000_000));
        assert_eq!(latencies.usual_max(all, Duration::ZERO), Some(30_000_000));
    }
}
