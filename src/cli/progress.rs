//! How an experiment goes on, on standard error: a bar for all trials, and a line for the one that
//! has the machine for itself.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::live::Live;
use super::stage;
use crate::dataflow::Topology;
use crate::experiment::run::{RunResult, Status};
use crate::experiment::study::{Progress, Trial};

/// A job of more operators than these has no line: it would not fit.
const MOST_OPERATORS: usize = 8;

/// Shows how trials go on.
pub(super) struct Shown {
    all: ProgressBar,
    /// Lines of jobs that have the machine for themselves, by what tells trials apart.
    live: Mutex<BTreeMap<String, Live>>,
    /// Whether trials run side by side.
    beside: bool,
}

impl Shown {
    /// Of these trials; `alone` says which have the machine for themselves.
    pub(super) fn of(trials: &[Trial], alone: impl Fn(&Trial) -> bool) -> Shown {
        let style = ProgressStyle::with_template("{bar:30} {pos} of {len} {msg}").expect("the template is fixed").progress_chars("=> ");
        let all = ProgressBar::new(trials.len() as u64).with_style(style);
        Shown { all, live: Mutex::default(), beside: !trials.iter().all(alone) }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.all.finish_and_clear();
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Live>> {
        self.live.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Progress for Shown {
    fn part(&self, trial: &Trial, done: f64, message: &str) {
        self.all.set_message(format!("{} under {}: {:.0} %  {message}", trial.case, trial.variant, done.min(1.0) * 100.0));
    }

    fn window(&self, trial: &Trial, (topology, duration): (&Topology, Duration), status: Status<'_>) {
        if !self.beside {
            stage::window(trial, topology, duration, &status);
        }
        if !self.beside && topology.scalable().count() <= MOST_OPERATORS {
            let mut lines = self.lines();
            lines.entry(trial.to_string()).or_insert_with(|| Live::new(&trial.variant, topology, duration)).show(status);
        }
    }

    fn ended(&self, trial: &Trial, result: Option<&RunResult>) {
        stage::ended(trial, result);
        if let Some(mut live) = self.lines().remove(&trial.to_string()) {
            live.finish(result);
        }
        if result.is_none() {
            self.all.set_message(format!("{} under {} ({})", trial.case, trial.variant, trial.host.name()));
            self.all.inc(1);
        }
    }
}
