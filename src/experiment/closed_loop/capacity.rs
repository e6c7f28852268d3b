//! Loads in capacities: the capacity of the job on the machine at hand is measured, and the load is a
//! multiple of it.
//!
//! What a job on real processors does in a second differs from machine to machine, and from hour to
//! hour on a machine that is shared. A load written in records would ask one for nothing and
//! another for what it can never do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;

use super::case::{Case, Run, Variant};
use super::measures::KeepingUp;
use super::probe::Probe;
use crate::experiment::scenario::Scenario;
use crate::experiment::study::{Progress, Trial};
use crate::rate::Rate;
use crate::workload::Shape;

/// Of what is due, a probe that measures a capacity does no more than this.
const SATURATED: f64 = 0.9;
/// A load that is far beyond the capacity makes some jobs slower than one that is a little beyond:
/// the state of NEXMark's queries grows with the rate. So a probe with more than so many times the
/// capacity that it finds is repeated...
const TOO_FAR: f64 = 2.0;
/// ... with so many times that capacity, ...
const BEYOND: f64 = 1.5;
/// ... at most until there were so many.
const PROBES: u32 = 4;

/// Capacities, in records per second, that were measured in this process, by case, start, host and
/// seed: all variants get the same load.
#[derive(Clone, Debug, Default)]
pub struct Capacities(Arc<Mutex<BTreeMap<Key, f64>>>);

/// A case, its start, the host and a seed.
type Key = (String, String, &'static str, u64);

/// What was measured is no part of a definition.
impl PartialEq for Capacities {
    fn eq(&self, _: &Capacities) -> bool {
        true
    }
}

impl Capacities {
    /// The capacity of a trial's case; `None` where its load is in records.
    ///
    /// # Errors
    /// If the probe fails, or the job does all that is due in it.
    pub(super) fn of(&self, case: &Case, trial: &Trial, progress: &dyn Progress) -> anyhow::Result<Option<f64>> {
        let Some(probe) = case.in_capacities else { return Ok(None) };
        let key = (case.name.clone(), trial.start.clone(), trial.host.name(), trial.seed);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&capacity) = known.get(&key) {
            return Ok(Some(capacity));
        }
        let capacity = measure(case, probe, trial, progress).with_context(|| format!("the capacity of '{}'", case.name))?;
        known.insert(key, capacity);
        Ok(Some(capacity))
    }
}

fn measure(case: &Case, probe: Probe, trial: &Trial, progress: &dyn Progress) -> anyhow::Result<f64> {
    let variant = Variant::hold();
    let run = Run { case, variant: &variant, trial };
    let mut scenario = Scenario { seconds: probe.seconds, ..run.as_it_starts() };
    let mut rate = probe.rate.as_per_second();
    let mut probes = 0;
    loop {
        probes += 1;
        for load in scenario.operators.iter_mut().filter_map(|form| form.load.as_mut()) {
            *load = Shape::Constant { rate: Rate::per_second(rate) };
        }
        progress.part(trial, 0.0, "measuring the capacity");
        let (result, _) = run.run(&scenario, &())?;
        let achieved = KeepingUp::of(&result).achieved_at_end.unwrap_or(0.0);
        anyhow::ensure!(
            achieved > 0.0 && (probes > 1 || achieved < SATURATED),
            "expected a probe of which the job does less than {SATURATED}, found {achieved:.3} of {rate} records/s done"
        );
        let capacity = achieved * rate;
        if achieved < SATURATED && rate <= TOO_FAR * capacity || probes == PROBES {
            return Ok(capacity);
        }
        rate = BEYOND * capacity;
    }
}
