//! An experiment on migration, as its file defines it.

use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::NO_MIGRATION;
use super::job::MigrationJob;
use super::rows;
use super::run::MigrationRun;
use crate::engine::cluster::Deployment;
use crate::engine::key_count::{Counting, KeyCount};
use crate::engine::nexmark::Query;
use crate::experiment::folder;
use crate::experiment::scale::{Scale, Scaled};
use crate::experiment::study::{Ask, At, Host, Measured, Progress, Study, Trial};
use crate::migration::{Assignment, Strategy};
use crate::rate::Rate;

/// An experiment: every setting under every strategy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrationDefinition {
    /// Records due per second, of all workers together.
    pub rate: Rate,
    /// Milliseconds between epochs.
    pub tick_ms: u64,
    /// Workers, of all processes together; an instance of Count on each.
    pub workers: u32,
    /// How bins of the count lie at the start; of no account to a query.
    pub layout: Layout,
    /// How they lie after the migration; none is planned when missing. For a query it only says
    /// whether one is.
    pub to: Option<Layout>,
    /// Seconds before the migration, once every key has been counted once.
    pub before_s: Scaled<f64>,
    /// Seconds at the start of these that are not judged.
    pub warm_up_s: f64,
    /// Seconds after the migration.
    pub after_s: Scaled<f64>,
    /// Seconds that a migration takes at most; a run in which it takes longer has failed.
    pub most_s: f64,
    /// Milliseconds of a row of the timeline.
    pub window_ms: u64,
    /// Strategies by name, `none` among them where nothing moves.
    pub strategies: Vec<String>,
    /// The settings.
    pub settings: Vec<Setting>,
}

/// Which instance owns which bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// The first instance owns all.
    One,
    /// Dealt out in turn.
    Even,
    /// As `even`, but each instance of the upper half has given every second bin of its own to one
    /// of the lower half: a quarter of all. The imbalance of Megaphone's experiments
    /// (`papers/megaphone-vldb19.md#setup`).
    Skewed,
    /// Every bin at the next instance of where `even` has it.
    Swapped,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Its name.
    pub label: String,
    /// Bins; a power of two.
    pub bins: u32,
    /// Keys; for a query, events that come before the schedule, of which it keeps what it would
    /// otherwise have gathered in time.
    pub keys: Scaled<u64>,
    /// Processes among which the workers are divided.
    #[serde(default = "one")]
    pub processes: u32,
    /// Whether plain timely counts instead of the elastic operator; nothing migrates then.
    #[serde(default)]
    pub native: bool,
    /// A query of NEXMark instead of the count: its operators on half of the workers at first, on
    /// all afterwards.
    pub query: Option<Query>,
}

fn one() -> u32 {
    1
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
    pub fn run_of(&self, setting: &Setting, strategy: &str, scale: Scale, seed: u64) -> anyhow::Result<MigrationRun> {
        let [before, after] = [self.before_s, self.after_s].map(|seconds| Duration::from_secs_f64(seconds.at(scale)));
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
            name => Some(name.parse::<Strategy>().context("strategies")?),
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

/// Every record counted once.
const CHECKS: &str = r#"
[[check]]
column = "error"
is = ""

[[check]]
column = "records_lost+records_duplicated+groups_miscounted"
at_most = 0
"#;

impl Study for MigrationDefinition {
    fn columns(&self) -> Vec<&'static str> {
        rows::COLUMNS.to_vec()
    }

    fn trials(&self, ask: &Ask) -> Vec<Trial> {
        let trial = |seed, (setting, strategy): (&Setting, &str)| Trial {
            case: setting.label.clone(),
            start: String::new(),
            variant: strategy.to_owned(),
            host: Host::Engine,
            seed,
        };
        ask.seeds_from(0, 1).flat_map(|seed| self.runs().map(move |run| trial(seed, run))).collect()
    }

    fn run(&self, trial: &Trial, at: At<'_>, progress: &dyn Progress) -> anyhow::Result<Measured> {
        let setting = self.settings.iter().find(|setting| setting.label == trial.case).expect("trials are of the study");
        let run = self.run_of(setting, &trial.variant, at.scale, trial.seed)?;
        progress.part(trial, 0.0, "state is built up");
        let length = (run.before + run.after).as_secs_f64();
        let migrated = run.run(|elapsed| {
            let elapsed = elapsed.as_secs_f64();
            progress.part(trial, elapsed / length, &format!("{elapsed:.1} s"));
        })?;
        Ok(Measured { rows: vec![run.row(&migrated)], series: run.timeline(&migrated) })
    }

    fn series(&self) -> Option<&'static str> {
        Some(folder::MIGRATION_TIMELINE)
    }

    fn checks(&self) -> &'static str {
        CHECKS
    }

    fn tables(&self) -> &'static [&'static str] {
        &["migration"]
    }

    fn check(&self) -> Result<(), String> {
        for (setting, strategy) in self.runs() {
            self.run_of(setting, strategy, Scale::Quick, 0).map_err(|why| format!("{}: {why:#}", setting.label))?;
        }
        Ok(())
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
