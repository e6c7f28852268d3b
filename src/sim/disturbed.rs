//! Disturbed metrics: records of a period that are lost, late or duplicated.

use std::time::Duration;

use super::Random;
use super::job::Disturbance;
use crate::activity::Record;

/// Fate of the records of one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordFate {
    Kept,
    Lost,
    Late,
    Doubled,
}

/// Between the host and its observer.
#[derive(Clone, Debug)]
pub(super) struct Disturbed {
    disturbance: Disturbance,
    random: Random,
    fate: RecordFate,
    period: Option<u64>,
    late: Vec<Record>,
    dropped: u64,
}

impl Disturbed {
    pub(super) fn new(disturbance: Disturbance, seed: u64) -> Disturbed {
        // Apart from the job's own numbers: what is lost does not change what happens.
        let random = Random::new(seed ^ 0x6c6f_7374);
        Disturbed { disturbance, random, fate: RecordFate::Kept, period: None, late: Vec::new(), dropped: 0 }
    }

    /// Disturbs the records from `first` on, which were recorded from `from` until `until` (ns).
    pub(super) fn disturb(&mut self, from: u64, until: u64, first: usize, records: &mut Vec<Record>) {
        let Disturbance { lost, late, duplicated, period_s, .. } = self.disturbance;
        if lost + late + duplicated <= 0.0 {
            return;
        }
        debug_assert!(from < until);
        let period = from / (Duration::from_secs_f64(period_s).as_nanos() as u64).max(1);
        if self.period != Some(period) {
            self.period = Some(period);
            let draw = self.random.uniform();
            let was = std::mem::replace(&mut self.fate, RecordFate::Kept);
            self.fate = match draw {
                draw if draw < lost => RecordFate::Lost,
                draw if draw < lost + late => RecordFate::Late,
                draw if draw < lost + late + duplicated => RecordFate::Doubled,
                _ => RecordFate::Kept,
            };
            // What was late by a period comes now, unless this period is late too.
            if was == RecordFate::Late && self.fate != RecordFate::Late {
                let now = records.split_off(first);
                records.append(&mut self.late);
                records.extend(now);
                return;
            }
        }
        match self.fate {
            RecordFate::Kept => {}
            RecordFate::Lost => {
                self.dropped += (records.len() - first) as u64;
                records.truncate(first);
            }
            RecordFate::Late => self.late.extend(records.drain(first..)),
            RecordFate::Doubled => {
                let again = records[first..].to_vec();
                records.extend(again);
            }
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}
