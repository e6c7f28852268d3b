//! Compares what sources report to have emitted with the emissions that were recorded.
//!
//! A source's counters keep counting whatever records are lost, so between two of its samples the
//! recorded emissions must add up to the difference of the counters, to the record. Samples arrive
//! at a regular interval, which is learned; the share of the expected samples that arrived is the
//! share of the window that was observed.
//!
//! The records of a source arrive in the order in which it wrote them, late ones included. A
//! duplicated sample is counted once. Each partition of a source has an account of its own.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{SourceMetrics, SourceSample};
use crate::activity::{ActivityKind, Record};
use crate::id::{InstanceId, OperatorId};
use crate::rate::Rate;
use crate::time::{Timestamp, Window};

/// Number of intervals between samples from which the sampling interval is learned.
const REMEMBERED: usize = 64;
/// A sample is missing after this many intervals without one: late ones arrive sooner.
const MISSED_AFTER: f64 = 1.5;
/// Intervals count as equal within this factor: hosts that check the clock only now and then take a
/// sample after one or two such checks.
const ALIKE: f64 = 2.5;
/// A smaller missing share of what was emitted is ignored: it hardly affects the metrics.
const NEGLIGIBLE: f64 = 0.03;

/// Counters and emissions of all sources.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    accounts: BTreeMap<InstanceId, Account>,
    /// The last intervals between samples of the same source, in seconds.
    intervals: VecDeque<f64>,
}

/// The state of one partition of a source.
#[derive(Clone, Debug, Default)]
struct Account {
    last: Option<SourceSample>,
    /// Records of the emissions recorded since then.
    seen: u64,
    tally: Tally,
}

/// One partition in the open window.
#[derive(Clone, Debug, Default)]
struct Tally {
    /// Number of samples, without duplicates.
    samples: u64,
    /// Records emitted according to its counters, as far as they concern the window.
    emitted: u64,
    /// Those of them without a recorded emission.
    missing: u64,
    /// Time between consecutive samples, without intervals in which samples are missing...
    covered: Duration,
    /// ... the records that became due in it...
    due: f64,
    /// ... and those that were emitted.
    achieved: u64,
}

/// What the ledger says about a window.
#[derive(Clone, Debug, Default)]
pub struct Balance {
    /// Share of the window covered by samples; 0 to 1.
    sampled: f64,
    /// Share of what the sources emitted whose emissions were recorded; 0 to 1.
    emissions: f64,
    /// The silence that indicates missing samples; `None` while the sampling interval is unknown.
    silence: Option<Duration>,
    /// Rates of each source over the observed parts.
    rates: BTreeMap<OperatorId, (Rate, Rate)>,
}

impl Ledger {
    /// Adds a record of a window that starts at `start`, or of an earlier one.
    pub fn take(&mut self, record: &Record, start: Timestamp) {
        match record {
            Record::Activity(activity) if activity.kind == ActivityKind::Source => {
                let account = self.accounts.entry(activity.instance).or_default();
                if account.last.is_none_or(|last| activity.end > last.at) {
                    account.seen += activity.records_out;
                }
            }
            Record::Source { source, at, due, emitted } if due.is_finite() && *due >= 0.0 => {
                // Where only one partition has samples, they are those of all instances (Flink).
                if source.index == 0 {
                    let all = InstanceId::new(source.operator, 1)..=InstanceId::new(source.operator, u32::MAX);
                    let without = self.accounts.range_mut(all).filter(|(_, account)| account.last.is_none());
                    let seen: u64 = without.map(|(_, account)| std::mem::take(&mut account.seen)).sum();
                    self.accounts.entry(*source).or_default().seen += seen;
                }
                self.sample(*source, SourceSample { at: *at, due: *due, emitted: *emitted }, start);
            }
            _ => {}
        }
    }

    fn sample(&mut self, source: InstanceId, sample: SourceSample, start: Timestamp) {
        let longest = self.longest();
        let account = self.accounts.entry(source).or_default();
        let Some(last) = account.last else {
            (account.last, account.seen) = (Some(sample), 0);
            account.tally.samples += u64::from(sample.at >= start);
            return;
        };
        if sample.at <= last.at {
            // A duplicate, and so is everything that was duplicated between the two.
            account.seen = if sample.at == last.at { 0 } else { account.seen };
            return;
        }
        let interval = sample.at.since(last.at);
        let (emitted, seen) = (sample.emitted.saturating_sub(last.emitted), std::mem::take(&mut account.seen));
        account.last = Some(sample);
        if emitted == seen {
            // With nothing missing in between they are consecutive.
            self.intervals.push_back(interval.as_secs_f64());
        }
        if self.intervals.len() > REMEMBERED {
            self.intervals.pop_front();
        }
        if sample.at < start {
            return;
        }
        let (tally, is_gap) = (&mut account.tally, longest.is_some_and(|longest| interval > longest));
        tally.samples += 1;
        if !is_gap {
            tally.covered += interval;
            tally.due += sample.due - last.due;
            tally.achieved += emitted;
        }
        // What is missing from a gap that started before the window may be missing from the window.
        if last.at >= start || !is_gap {
            tally.emitted += emitted;
            tally.missing += emitted.saturating_sub(seen);
        }
    }

    /// Mean interval between samples, in seconds; `None` before two have arrived. Intervals much
    /// longer than most contain a gap.
    fn pace_s(&self) -> Option<f64> {
        let mut space = [0.0; REMEMBERED + 1];
        let intervals = &mut space[..self.intervals.len()];
        intervals.iter_mut().zip(&self.intervals).for_each(|(copy, interval)| *copy = *interval);
        if !intervals.is_sorted() {
            intervals.sort_unstable_by(f64::total_cmp);
        }
        let longest = intervals.get(intervals.len() / 4)? * ALIKE;
        let alike = &intervals[..intervals.partition_point(|interval| *interval <= longest)];
        Some(alike.iter().sum::<f64>() / alike.len() as f64)
    }

    /// The longest interval between two samples with none missing.
    fn longest(&self) -> Option<Duration> {
        self.pace_s().map(|pace_s| Duration::from_secs_f64(pace_s * MISSED_AFTER))
    }

    /// The summary of `window`, all records of which have been added; starts the next window.
    pub fn close(&mut self, window: Window) -> Balance {
        let expected = self.pace_s().map_or(0.0, |pace_s| window.length().as_secs_f64() / pace_s);
        let mut balance = Balance { sampled: 1.0, emissions: 1.0, silence: self.longest(), rates: BTreeMap::new() };
        let mut most = 0;
        for (&source, account) in &mut self.accounts {
            let tally = std::mem::take(&mut account.tally);
            most = most.max(tally.samples);
            if tally.emitted > 0 {
                balance.emissions = balance.emissions.min(1.0 - tally.missing as f64 / tally.emitted as f64);
            }
            let rate = |records: f64| Rate::of(records.max(0.0), tally.covered);
            if let (Some(offered), Some(achieved)) = (rate(tally.due), rate(tally.achieved as f64)) {
                let sum = balance.rates.entry(source.operator).or_default();
                *sum = (sum.0 + offered, sum.1 + achieved);
            }
        }
        if expected > 0.0 {
            balance.sampled = (most as f64 / expected).min(1.0);
        }
        balance
    }
}

impl Balance {
    /// The silence that indicates missing samples; `None` while the sampling interval is unknown.
    pub fn silence(&self) -> Option<Duration> {
        self.silence
    }

    /// The share of the window that was observed, 0 to 1, if it is incomplete; `was_silent` says
    /// whether there was such a silence.
    ///
    /// Missing emissions prove that records were lost, and so does silence. The samples say how
    /// much was lost, otherwise the emissions do.
    pub fn seen(&self, was_silent: bool) -> Option<f64> {
        let is_lossy = was_silent || self.emissions < 1.0 - NEGLIGIBLE;
        let part = if self.sampled < 1.0 - NEGLIGIBLE { self.sampled } else { self.emissions };
        (is_lossy && part < 1.0 - NEGLIGIBLE).then_some(part)
    }

    /// The rates of a source over the observed part of the window only, instead of those between
    /// the last samples of two windows.
    pub fn over_what_was_seen(&self, source: SourceMetrics) -> SourceMetrics {
        match self.rates.get(&source.operator) {
            Some(&(offered, achieved)) => SourceMetrics { offered, achieved, ..source },
            None => source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::{Activity, Lane};
    use crate::id::WorkerId;
    use crate::time::Epoch;

    const SOURCE: OperatorId = OperatorId(0);

    fn ms(ms: u64) -> Timestamp {
        Timestamp(ms * 1_000_000)
    }

    fn window(start_ms: u64) -> Window {
        Window::starting(ms(start_ms), Duration::from_secs(1))
    }

    /// What a source that emits a record every 10 ms records until `until_ms`: an emission each,
    /// and a sample every 100 ms.
    fn recorded(until_ms: u64) -> Vec<Record> {
        let mut records = Vec::new();
        for at in (10..=until_ms).step_by(10) {
            let emission = Activity {
                lane: Lane::Worker(WorkerId(0)),
                kind: ActivityKind::Source,
                instance: InstanceId::new(SOURCE, 0),
                epoch: Epoch(at),
                start: ms(at),
                end: ms(at),
                records_in: 1,
                records_out: 1,
            };
            records.push(Record::Activity(emission));
            if at % 100 == 0 {
                records.push(Record::Source { source: InstanceId::new(SOURCE, 0), at: ms(at), due: at as f64 / 10.0, emitted: at / 10 });
            }
        }
        records
    }

    /// The part of the third second that was seen, if those records arrive for which `arrives`
    /// holds; with silence if that is said.
    fn seen(was_silent: bool, arrives: impl Fn(u64) -> bool) -> Option<f64> {
        let mut ledger = Ledger::default();
        let (mut start, mut part) = (0, None);
        for record in recorded(3000) {
            let at = record.at().0 / 1_000_000;
            if at >= start + 1000 {
                part = ledger.close(window(start)).seen(was_silent);
                start += 1000;
            }
            if arrives(at) {
                ledger.take(&record, ms(start));
            }
        }
        assert_eq!(start, 3000);
        part.map(|part| (part * 1000.0).round() / 1000.0)
    }

    #[test]
    fn what_is_missing_of_the_window_is_told_to_the_sample() {
        assert_eq!(seen(false, |_| true), None);
        assert_eq!(seen(true, |_| true), None, "silence with every sample there is none that matters");
        assert_eq!(seen(false, |at| !(2200..2500).contains(&at)), Some(0.7));
        // What was missing right before the window is no matter of the window.
        assert_eq!(seen(false, |at| !(1500..2000).contains(&at)), None);
        // Nothing comes after the gap, so no counter tells of it; silence does.
        assert_eq!((seen(false, |at| at < 2700), seen(true, |at| at < 2700)), (None, Some(0.7)));
        // Samples came, emissions did not.
        let part = seen(false, |at| at % 100 == 0 || !(2000..2550).contains(&at)).unwrap();
        assert!((0.4..0.6).contains(&part), "{part}");
        assert_eq!(seen(false, |at| at % 1000 != 990), None, "hardly anything is missing");
    }

    #[test]
    fn records_that_come_twice_or_late_are_no_loss() {
        let mut ledger = Ledger::default();
        for record in recorded(1000) {
            ledger.take(&record, ms(0));
            ledger.take(&record, ms(0));
        }
        assert_eq!(ledger.close(window(0)).seen(false), None);
        // All of a second comes when the next window is open already.
        recorded(2500).iter().filter(|record| record.at() > ms(1000)).for_each(|record| ledger.take(record, ms(2000)));
        let balance = ledger.close(Window::starting(ms(2000), Duration::from_millis(500)));
        assert_eq!(balance.seen(true), None);
    }

    #[test]
    fn a_window_after_a_loss_has_its_own_rates() {
        let mut ledger = Ledger::default();
        recorded(1000).iter().for_each(|record| ledger.take(record, ms(0)));
        ledger.close(window(0));
        recorded(3000).iter().filter(|record| record.at() >= ms(2000)).for_each(|record| ledger.take(record, ms(2000)));
        let balance = ledger.close(window(2000));
        let stale = SourceMetrics { operator: SOURCE, offered: Rate::per_second(1.0), achieved: Rate::per_second(1.0), lag_records: 5.0 };
        let own = balance.over_what_was_seen(stale);
        let rounded = |rate: Rate| rate.as_per_second().round();
        assert_eq!((rounded(own.offered), rounded(own.achieved), own.lag_records), (100.0, 100.0, 5.0));
    }

    #[test]
    fn each_partition_has_an_account_and_rates_are_those_of_all() {
        let other = |record: Record| match record {
            Record::Activity(activity) => Record::Activity(Activity { instance: InstanceId::new(SOURCE, 1), ..activity }),
            Record::Source { at, due, emitted, .. } => Record::Source { source: InstanceId::new(SOURCE, 1), at, due, emitted },
            record => record,
        };
        let balance = |arrives: fn(u64) -> bool| {
            let mut ledger = Ledger::default();
            for record in recorded(1000) {
                ledger.take(&record, ms(0));
                if arrives(record.at().0 / 1_000_000) {
                    ledger.take(&other(record), ms(0));
                }
            }
            ledger.close(window(0))
        };
        let whole = balance(|_| true);
        let none = SourceMetrics { operator: SOURCE, offered: Rate::ZERO, achieved: Rate::ZERO, lag_records: 0.0 };
        let rates = whole.over_what_was_seen(none);
        assert_eq!((whole.seen(false), rates.offered.as_per_second(), rates.achieved.as_per_second()), (None, 200.0, 200.0));
        // What is missing of one of them is missing of the source.
        let part = balance(|at| !(300..700).contains(&at)).seen(false).unwrap();
        assert!((0.5..0.7).contains(&part), "{part}");
    }
}
