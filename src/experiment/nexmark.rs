//! A query of NEXMark as a file or a command line defines it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::job::OperatorDefinition;
use crate::engine::cluster::Deployment;
use crate::engine::nexmark::{Form, Nexmark, Query};
use crate::id::OperatorId;
use crate::rate::Rate;
use crate::workload::nexmark::GeneratorConfig;

/// A query as a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NexmarkDefinition {
    /// The query.
    pub query: Query,
    /// Of what it is built.
    #[serde(default)]
    pub form: Form,
    /// Events due per second, those included that the query does not read.
    pub source_rate: Rate,
    /// By what window lengths are divided.
    pub dilation: f64,
    /// Milliseconds between epochs.
    pub tick_ms: u64,
    /// How many times the scheduled rate the source may emit when behind.
    pub catch_up: f64,
    /// Bins of each operator with state.
    pub bins: u32,
    /// Processes, all on this machine unless the run says where they are.
    pub processes: u32,
    /// Worker threads of each.
    pub workers: u32,
    /// Its operators by name.
    pub operators: BTreeMap<String, OperatorDefinition>,
}

/// Longest time an hour may take, in hours, and shortest.
const DILATIONS: std::ops::RangeInclusive<f64> = 1.0..=100_000.0;

impl NexmarkDefinition {
    /// Whether it can be run.
    ///
    /// # Errors
    /// When it cannot; the error says what was expected.
    pub fn check(&self) -> Result<(), String> {
        let (first, last) = (DILATIONS.start(), DILATIONS.end());
        if !DILATIONS.contains(&self.dilation) {
            return Err(format!("dilation: expected a factor from {first} to {last}, found {}", self.dilation));
        }
        let names: Vec<&str> = self.query.operators(self.bins).into_iter().map(|(name, _)| name).collect();
        if let Some(unknown) = self.operators.keys().find(|name| !names.contains(&name.as_str())) {
            return Err(format!("operators: expected those of {}, {}, found '{unknown}'", self.query, names.join(" and ")));
        }
        for name in names {
            let Some(operator) = self.operators.get(name) else {
                return Err(format!("operators: expected '{name}' of {} among them, found none", self.query));
            };
            let Some(straggler) = &operator.straggler else { continue };
            straggler.straggler().map_err(|why| format!("straggler of {name}: {why}"))?;
            if operator.limit.is_none() {
                return Err(format!("straggler of {name}: expected instances with a limit, of which one may be slower"));
            }
        }
        Ok(())
    }

    /// The job with the events of `seed`, emitting for `duration`.
    ///
    /// # Panics
    /// If the job does not pass its [check](NexmarkDefinition::check).
    pub fn job(&self, seed: u64, duration: Duration) -> Nexmark {
        self.check().unwrap_or_else(|why| panic!("{why}"));
        let config = |(name, _): (&str, _)| self.operators[name].config();
        Nexmark {
            query: self.query,
            form: self.form,
            generator: GeneratorConfig::at_rate(seed, self.source_rate),
            rounds_before: 0,
            before: 0,
            rate: self.source_rate,
            duration,
            catch_up: self.catch_up,
            tick: Duration::from_millis(self.tick_ms),
            dilation: self.dilation,
            bins: self.bins,
            operators: self.query.operators(self.bins).into_iter().map(config).collect(),
            deployment: Deployment::processes(self.processes, self.workers),
        }
    }

    /// Instances that the operators need for the source's rate: of a query of one limited operator. How much the first of two gives the
    /// second is known from its events only, so of others nothing is said.
    pub fn needed(&self) -> BTreeMap<OperatorId, u32> {
        let names = self.query.operators(self.bins);
        let [(only, _)] = names[..] else { return BTreeMap::new() };
        let Some(limit) = self.operators[only].limit else { return BTreeMap::new() };
        let demand = self.source_rate.as_per_second() * self.query.kinds().share();
        // A millionth of an instance is rounding, not demand.
        let instances = (demand / limit.as_per_second() * (1.0 - 1e-6)).ceil();
        BTreeMap::from([(OperatorId(1), (instances as u32).max(1))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "query = 'q4'\nsource_rate = '5k/s'\ndilation = 10\ntick_ms = 10\ncatch_up = 1.1\nbins = 64\nprocesses = 1\nworkers = 2\n\
                        [operators]\nwinner = { limit = '2k/s', instances = 2, max_parallelism = 8, queue_high_s = 0.5, queue_low_s = 0.4 }\n\
                        average = { instances = 1, max_parallelism = 2, queue_high_s = 0.5, queue_low_s = 0.4 }\n";

    #[test]
    fn a_query_is_read_with_the_operators_it_has_and_no_others() {
        let definition: NexmarkDefinition = toml::from_str(TEXT).unwrap();
        let job = definition.job(3, Duration::from_secs(1));
        assert_eq!((job.operators.len(), job.operators[0].instances, job.spans().average_slide), (2, 2, 500));
        assert_eq!(definition.needed(), BTreeMap::new());
        for (from, to, expected) in [
            ("winner", "win", "operators: expected those of q4, winner and average, found 'win'"),
            ("average = ", "#", "operators: expected 'average' of q4 among them, found none"),
            ("dilation = 10", "dilation = 0.5", "dilation: expected a factor from 1 to 100000, found 0.5"),
        ] {
            let definition: NexmarkDefinition = toml::from_str(&TEXT.replace(from, to)).unwrap();
            assert_eq!(definition.check().unwrap_err(), expected);
        }
    }

    #[test]
    fn one_limited_operator_needs_what_the_query_reads() {
        let text = "query = 'q11'\nsource_rate = '50k/s'\ndilation = 10\ntick_ms = 10\ncatch_up = 1.1\nbins = 64\nprocesses = 1\nworkers = 2\n\
                    [operators]\nsessions = { limit = '10k/s', instances = 1, max_parallelism = 8, queue_high_s = 0.5, queue_low_s = 0.4 }\n";
        let definition: NexmarkDefinition = toml::from_str(text).unwrap();
        // 46 of 50 events are bids.
        assert_eq!(definition.needed(), BTreeMap::from([(OperatorId(1), 5)]));
    }
}
