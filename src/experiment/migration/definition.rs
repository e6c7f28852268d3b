//! An experiment on migration, as its file defines it.

use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::NO_MIGRATION;
use super::job::MigrationJob;
use super::run::MigrationRun;
use crate::engine::cluster::Deployment;
use crate::engine::key_count::{Counting, KeyCount};
use crate::engine::nexmark::Query;
use crate::experiment::definition::Scale;
use crate::migration::{Assignment, Strategy};
use crate::rate::Rate;

/// An experiment: every setting under every strategy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrationDefinition {
    /// Name of the figure.
    pub figure: String,
    /// Title of the figure.
    pub title: String,
    /// How it is drawn.
    pub chart: Chart,
    /// Records due per second, of all workers together.
    pub rate: Rate,
    /// Milliseconds between epochs.
    pub tick_ms: u64,
    /// Workers, of all processes together; an instance of Count on each.
    pub workers: u32,
    /// How bins of the count lie at the start; of no account to a query.
    pub layout: Layout,
    /// How they lie after the migration; none is planned when missing. For a query it only says whether one is.
    pub to: Option<Layout>,
    /// Seconds before the migration, once every key has been counted once.
    pub before_s: ScaledSeconds,
    /// Seconds at the start of these that are not judged.
    pub warm_up_s: f64,
    /// Seconds after the migration.
    pub after_s: ScaledSeconds,
    /// Seconds that a migration takes at most; a run in which it takes longer has failed.
    pub most_s: f64,
    /// Milliseconds of a row of the timeline.
    pub window_ms: u64,
    /// Strategies by name, `none` among them where nothing moves.
    pub strategies: Vec<String>,
    /// The settings.
    pub settings: Vec<Setting>,
    /// What the paper reports.
    #[serde(default)]
    pub paper: Vec<PaperPoint>,
    /// What the runs are expected to show.
    #[serde(default)]
    pub expect: Vec<MigrationExpectation>,
}

/// How an experiment is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chart {
    /// Latency over time, a panel a strategy.
    Timeline,
    /// Largest latency against duration, a mark a run.
    Duration,
    /// Percentiles of latency by setting.
    Percentiles,
    /// Resident memory over time, a panel a strategy.
    Memory,
}

/// Which instance owns which bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// The first instance owns all.
    One,
    /// Dealt out in turn.
    Even,
    /// As `even`, but each instance of the upper half has given every second bin of its own to one of the lower half: a quarter of
    /// all. The imbalance of Megaphone's experiments (`papers/megaphone-vldb19.md#setup`).
    Skewed,
    /// Every bin at the next instance of where `even` has it.
    Swapped,
}

/// Seconds by scale.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaledSeconds {
    /// For [`Scale::Quick`].
    pub quick: f64,
    /// For [`Scale::Full`].
    pub full: f64,
}

impl ScaledSeconds {
    /// The time at `scale`.
    pub fn at(&self, scale: Scale) -> Duration {
        Duration::from_secs_f64(match scale {
            Scale::Quick => self.quick,
            Scale::Full => self.full,
        })
    }
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Its name.
    pub label: String,
    /// Bins; a power of two.
    pub bins: u32,
    /// Keys; for a query, events that come before the schedule, of which it keeps what it would otherwise have gathered in time.
    pub keys: ScaledCount,
    /// Processes among which the workers are divided.
    #[serde(default = "one")]
    pub processes: u32,
    /// Whether plain timely counts instead of the elastic operator; nothing migrates then.
    #[serde(default)]
    pub native: bool,
    /// A query of NEXMark instead of the count: its operators on half of the workers at first, on all afterwards.
    pub query: Option<Query>,
}

fn one() -> u32 {
    1
}

/// A number by scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaledCount {
    /// For [`Scale::Quick`].
    pub quick: u64,
    /// For [`Scale::Full`].
    pub full: u64,
}

impl ScaledCount {
    /// The number at `scale`.
    pub fn at(&self, scale: Scale) -> u64 {
        match scale {
            Scale::Quick => self.quick,
            Scale::Full => self.full,
        }
    }
}

/// What a paper reports of one setting and strategy; what it does not say is missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperPoint {
    /// The setting of ours it is beside; of all settings when missing.
    pub setting: Option<String>,
    /// The strategy of ours it is beside; of all strategies when missing.
    pub strategy: Option<String>,
    /// 90 % of the records were not slower, in milliseconds.
    pub ms_p90: Option<f64>,
    /// 99 %.
    pub ms_p99: Option<f64>,
    /// 99.99 %.
    pub ms_p9999: Option<f64>,
    /// The slowest, in milliseconds.
    pub ms_max: Option<f64>,
    /// Duration of the migration or of what it does to latency, in milliseconds.
    pub duration_ms: Option<f64>,
    /// What it says where it prints no number.
    #[serde(default)]
    pub claim: String,
    /// Paper, figure, and how certain the number is.
    pub source: String,
}

/// What is expected of the medians of all seeds; every part that is given has to hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrationExpectation {
    /// Of this setting; of all when missing.
    pub setting: Option<String>,
    /// Of settings with so many processes; of all when missing.
    pub processes: Option<u32>,
    /// Of this strategy; of all that move something when missing.
    pub strategy: Option<String>,
    /// Most milliseconds that the migration adds to the largest latency.
    pub most_added_ms: Option<f64>,
    /// Most milliseconds of latency during the migration.
    pub most_max_ms: Option<f64>,
    /// Least milliseconds of it: what other strategies are there to avoid.
    pub least_max_ms: Option<f64>,
    /// The largest latency is at least so many times that of the strategy `than` in the same setting.
    pub least_times: Option<f64>,
    /// See `least_times`.
    pub than: Option<String>,
    /// The largest latency of one setting is at most so many times that of another.
    pub most_spread: Option<f64>,
    /// Most resident memory that the migration adds to all processes together, as a share of the state that it moves.
    pub most_memory_of_moved: Option<f64>,
    /// Most resident memory that the migration adds to all processes together, in the state that one of its steps moves.
    pub most_memory_of_step: Option<f64>,
    /// The 99th percentile of latency is at most so many times that of the setting `against`.
    pub most_times_p99: Option<f64>,
    /// See `most_times_p99`.
    pub against: Option<String>,
}

impl Layout {
    /// Owners of `bins` bins among `instances` instances.
    pub fn assignment(self, bins: u32, instances: u32) -> Assignment {
        let even = |bin: u32| bin % instances;
        let owner = |bin: u32| match self {
            Layout::One => 0,
            Layout::Even => even(bin),
            Layout::Skewed => {
                let half = instances / 2;
                let gives = even(bin) >= instances - half && (bin / instances) % 2 == 1;
                if gives { even(bin) - (instances - half) } else { even(bin) }
            }
            Layout::Swapped => even(bin + 1),
        };
        Assignment::of((0..bins).map(owner).collect())
    }
}

impl MigrationDefinition {
    /// The run of `setting` under `strategy`.
    ///
    /// # Errors
    /// When no strategy has that name.
    pub fn run(&self, setting: &Setting, strategy: &str, scale: Scale, seed: u64) -> anyhow::Result<MigrationRun> {
        let (before, after) = (self.before_s.at(scale), self.after_s.at(scale));
        let layout = |layout: Layout| layout.assignment(setting.bins, self.workers);
        let count = KeyCount {
            keys: setting.keys.at(scale),
            first: layout(self.layout),
            instances: self.workers,
            rate: self.rate,
            duration: before + after + Duration::from_secs_f64(self.most_s),
            tick: Duration::from_millis(self.tick_ms),
            deployment: Deployment::processes(setting.processes, self.workers / setting.processes),
            counting: if setting.native { Counting::Native } else { Counting::Elastic },
            seed,
        };
        let job = match setting.query {
            Some(query) => MigrationJob::query(query, setting.bins, &count),
            None => MigrationJob::KeyCount(count),
        };
        let to = self.to.map(|to| match &job {
            MigrationJob::KeyCount(_) => job.counted(&layout(to)),
            MigrationJob::Query(_) => job.everywhere(),
        });
        let strategy = match strategy {
            NO_MIGRATION => None,
            name => Some(name.parse::<Strategy>().with_context(|| format!("strategies of {}", self.figure))?),
        };
        let (warm_up, window) = (Duration::from_secs_f64(self.warm_up_s), Duration::from_millis(self.window_ms));
        Ok(MigrationRun { job, strategy, to, warm_up, before, after, window })
    }

    /// Settings and strategies of all runs, in order.
    pub fn runs(&self) -> impl Iterator<Item = (&Setting, &str)> {
        let strategies = |setting: &Setting| if setting.native { &self.strategies[..1] } else { &self.strategies[..] };
        self.settings.iter().flat_map(move |setting| strategies(setting).iter().map(move |strategy| (setting, strategy.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_move_what_they_say() {
        let moved = |from: Layout, to: Layout, instances| {
            let (from, to) = (from.assignment(64, instances), to.assignment(64, instances));
            from.moves_to(&to).count()
        };
        assert_eq!(moved(Layout::One, Layout::Even, 2), 32, "half of all bins");
        assert_eq!(moved(Layout::Even, Layout::Swapped, 2), 64, "all bins");
        for instances in [2, 4] {
            assert_eq!(moved(Layout::Even, Layout::Skewed, instances), 16, "half of the bins of half of the instances");
        }
        assert_eq!(moved(Layout::Even, Layout::Skewed, 1), 0);
        assert_eq!(Layout::Skewed.assignment(8, 2).owners(), [0, 1, 0, 0, 0, 1, 0, 0]);
    }
}
