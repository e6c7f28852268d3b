//! The jobs whose state is moved by plan: a count of keys, and NEXMark's queries.

use std::time::Duration;

use super::latency::Latencies;
use crate::dataflow::{Capacity, Configuration, QueueMarks, Role, Topology};
use crate::engine::EngineJob;
use crate::engine::OperatorConfig;
use crate::engine::cluster::Deployment;
use crate::engine::key_count::{COUNT, Counting, KeyCount};
use crate::engine::nexmark::{Form, Nexmark, Query};
use crate::migration::{Assignment, Assignments};
use crate::rate::Rate;
use crate::workload::RateSchedule;
use crate::workload::nexmark::{AUCTIONS, GeneratorConfig, ROUND};

/// A job with its state at the beginning.
#[derive(Clone, Debug)]
pub enum MigrationJob {
    /// Counts by key, each key there at the beginning.
    KeyCount(KeyCount),
    /// A query, with what it knows after some events.
    Query(Box<Nexmark>),
}

/// How many instances operators have, and which of them owns which bin.
pub type Placement = (Configuration, Assignments);

impl MigrationJob {
    /// `query` at work where and as long as `count` would be, its operators on half of the workers at first. As many events as `count` has keys
    /// come before its schedule; nearly all auctions among them are still open when it begins, and all people active.
    pub(super) fn query(query: Query, bins: u32, count: &KeyCount) -> MigrationJob {
        let workers = count.deployment.peers();
        // A queue that holds a source back would hide what a migration does to latency.
        let config = OperatorConfig {
            capacity: Capacity::Cpu,
            marks: QueueMarks::NEVER,
            instances: (workers / 2).max(1),
            max_parallelism: workers,
            slow: None,
        };
        let rate = Rate::per_second(count.rate.as_per_second() / query.kinds().share());
        let rounds = (count.keys as f64 / query.kinds().share() / ROUND as f64) as u64;
        let generator = GeneratorConfig {
            auctions_in_flight: (AUCTIONS * rounds).max(1),
            active_people: rounds.max(1),
            ..GeneratorConfig::at_rate(count.seed, rate)
        };
        MigrationJob::Query(Box::new(Nexmark {
            query,
            form: Form::Elastic,
            generator,
            rounds_before: 0,
            before: count.keys,
            schedule: RateSchedule::constant(count.rate),
            duration: count.duration,
            // What became due while the worker was busy is emitted at once.
            catch_up: 1000.0,
            tick: count.tick,
            // Windows so long that none ends before the job does.
            dilation: 1e-3,
            bins,
            operators: vec![config; query.operators(bins).len()],
            deployment: count.deployment.clone(),
        }))
    }

    pub(super) fn topology(&self) -> Topology {
        match self {
            MigrationJob::KeyCount(job) => job.topology(),
            MigrationJob::Query(job) => job.topology(),
        }
    }

    /// Where it runs.
    pub fn deployment(&self) -> &Deployment {
        match self {
            MigrationJob::KeyCount(job) => &job.deployment,
            MigrationJob::Query(job) => &job.deployment,
        }
    }

    /// The same, to be changed.
    pub fn deployment_mut(&mut self) -> &mut Deployment {
        match self {
            MigrationJob::KeyCount(job) => &mut job.deployment,
            MigrationJob::Query(job) => &mut job.deployment,
        }
    }

    /// How long its schedule lasts at most.
    pub fn duration(&self) -> Duration {
        match self {
            MigrationJob::KeyCount(job) => job.duration,
            MigrationJob::Query(job) => job.duration,
        }
    }

    /// Records due per second.
    pub(super) fn rate(&self) -> Rate {
        match self {
            MigrationJob::KeyCount(job) => job.rate,
            MigrationJob::Query(job) => job.schedule.highest(),
        }
    }

    /// Keys, or events before the schedule.
    pub fn keys(&self) -> u64 {
        match self {
            MigrationJob::KeyCount(job) => job.keys,
            MigrationJob::Query(job) => job.before,
        }
    }

    /// Bins of each operator with state; 0 where there are none.
    pub(super) fn bins(&self) -> u32 {
        match self {
            MigrationJob::KeyCount(job) if job.counting == Counting::Native => 0,
            MigrationJob::KeyCount(job) => job.first.owners().len() as u32,
            MigrationJob::Query(job) => job.bins,
        }
    }

    /// A query's answers are few, and wait for each other: what counts is when an epoch is complete.
    pub(super) fn latencies(&self) -> Latencies {
        match self {
            MigrationJob::KeyCount(_) => Latencies::default(),
            MigrationJob::Query(_) => Latencies::of_epochs(),
        }
    }

    /// Where everything is at first.
    pub(super) fn first(&self) -> Placement {
        match self {
            MigrationJob::KeyCount(job) => self.counted(&job.first),
            MigrationJob::Query(job) => {
                let configuration = job.configuration();
                let assignments = Assignment::initial(&job.topology(), &configuration);
                (configuration, assignments)
            }
        }
    }

    /// With bins of the count as `owned`.
    pub(super) fn counted(&self, owned: &Assignment) -> Placement {
        let topology = self.topology();
        let configuration = Configuration::ones(&topology).with(COUNT, self.deployment().peers());
        (configuration, Assignments::from([(COUNT, owned.clone())]))
    }

    /// With as many instances as there are workers of each operator between source and sink, and bins dealt out to them in turn.
    pub(super) fn everywhere(&self) -> Placement {
        let topology = self.topology();
        let workers = self.deployment().peers();
        let between = topology.operators().iter().filter(|operator| matches!(operator.role, Role::Keyed { .. } | Role::Stateless));
        let configuration = between.fold(self.first().0, |all, operator| all.with(operator.id, workers));
        let assignments = Assignment::initial(&topology, &configuration);
        (configuration, assignments)
    }
}
