//! Service time of a record at an operator, and its variation.
//!
//! A batch is what an instance processed of one epoch at once. If service times vary independently,
//! with a coefficient of variation `v`, the mean of a batch of `n` varies with `v / sqrt(n)`: so
//! `v` is estimated from batches of any sizes, weighted by them.

use std::collections::BTreeMap;

use super::measured::{OperatorMeasured, ServiceFit, WaitFit};
use crate::activity::{Activity, ActivityKind};
use crate::id::InstanceId;
use crate::stats::lower_median;
use crate::time::Epoch;

/// Batches that are kept for the median and the spread; of a longer run every second, every fourth
/// and so on.
const MOST_BATCHES: usize = 1 << 18;

/// Samples of an operator so far.
#[derive(Debug)]
pub(super) struct ServiceSamples {
    taken: u64,
    given: u64,
    useful_ns: f64,
    waited_ns: f64,
    waits: u64,
    /// By instance, the batch that may still go on: its epoch, records and useful time.
    open: BTreeMap<InstanceId, (Epoch, u64, f64)>,
    /// Records and useful time of each instance.
    instances: BTreeMap<InstanceId, (u64, f64)>,
    /// Records and useful time of batches.
    batches: Vec<(u64, f64)>,
    all_batches: u64,
    /// One in this many batches is kept.
    stride: u64,
}

impl Default for ServiceSamples {
    fn default() -> ServiceSamples {
        let (open, instances, batches) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        ServiceSamples { taken: 0, given: 0, useful_ns: 0.0, waited_ns: 0.0, waits: 0, open, instances, batches, all_batches: 0, stride: 1 }
    }
}

impl ServiceSamples {
    pub(super) fn take(&mut self, activity: &Activity) {
        let Activity { kind, instance, epoch, start, end, records_in, records_out, .. } = *activity;
        let ns = end.since(start).as_nanos() as f64;
        if kind == ActivityKind::ExternalWait {
            self.waited_ns += ns;
            self.waits = self.waits.saturating_add(records_in);
            return;
        }
        self.taken = self.taken.saturating_add(records_in);
        self.given = self.given.saturating_add(records_out);
        if kind != ActivityKind::Processing {
            return;
        }
        self.useful_ns += ns;
        let (all, sum) = self.instances.entry(instance).or_default();
        (*all, *sum) = (all.saturating_add(records_in), *sum + ns);
        match self.open.get_mut(&instance) {
            Some((of, records, sum)) if *of == epoch => {
                *records = records.saturating_add(records_in);
                *sum += ns;
            }
            _ => {
                if let Some((_, records, sum)) = self.open.insert(instance, (epoch, records_in, ns)) {
                    self.keep(records, sum);
                }
            }
        }
    }

    fn keep(&mut self, records: u64, ns: f64) {
        if records == 0 {
            return;
        }
        if self.all_batches.is_multiple_of(self.stride) {
            self.batches.push((records, ns));
        }
        self.all_batches += 1;
        if self.batches.len() > MOST_BATCHES {
            let mut position = 0u64;
            self.batches.retain(|_| {
                position += 1;
                position % 2 == 1
            });
            self.stride *= 2;
        }
    }

    pub(super) fn finish(mut self) -> OperatorMeasured {
        for (_, records, ns) in std::mem::take(&mut self.open).into_values() {
            self.keep(records, ns);
        }
        // A wait that counts no records of its own is for those that were worked on.
        let records = if self.waits > 0 { self.waits } else { self.taken };
        let wait = (self.waited_ns > 0.0 && records > 0).then(|| WaitFit { mean_s: self.waited_ns / records as f64 / 1e9, records });
        OperatorMeasured { taken: self.taken, given: self.given, service: self.service(), wait, ..OperatorMeasured::default() }
    }

    fn service(&self) -> Option<ServiceFit> {
        let each: Vec<f64> = self.batches.iter().map(|&(records, ns)| ns / records as f64).collect();
        if self.useful_ns <= 0.0 || self.taken == 0 {
            return None;
        }
        let mean = self.useful_ns / self.taken as f64;
        let (mut squares, mut weighted) = (0.0, 0.0);
        for (&(records, _), &of_one) in self.batches.iter().zip(&each) {
            let square = (of_one / mean - 1.0).powi(2);
            squares += square;
            weighted += records as f64 * square;
        }
        let of_instance = |(id, &(records, ns)): (&InstanceId, &(u64, f64))| (id.index, ns / records.max(1) as f64 / mean);
        let slowest = self.instances.iter().map(of_instance).max_by(|one, other| one.1.total_cmp(&other.1))?;
        let free = each.len().saturating_sub(1).max(1) as f64;
        Some(ServiceFit {
            mean_s: mean / 1e9,
            median_s: lower_median(each)? / 1e9,
            batch_variation: (squares / free).sqrt(),
            variation: (weighted / free).sqrt(),
            records: self.taken,
            batches: self.all_batches,
            slowest,
        })
    }
}
