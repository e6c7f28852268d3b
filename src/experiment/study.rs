//! What can be reproduced: a list of trials, and what one trial measures.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::environment::Environment;
use super::frame::{Frame, Row};
use super::run::{RunResult, Status};
use super::scale::Scale;
use crate::dataflow::Topology;

/// Where a trial runs. The numbers of a paper are rows of one more host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Host {
    /// In virtual time.
    #[default]
    Sim,
    /// On the timely engine.
    Engine,
    /// On a real Flink, which runs on this machine.
    Flink,
    /// No job: a part of the program is measured by itself.
    Synthetic,
}

impl Host {
    /// Its name in rows.
    pub fn name(self) -> &'static str {
        match self {
            Host::Sim => "sim",
            Host::Engine => "engine",
            Host::Flink => "flink",
            Host::Synthetic => "synthetic",
        }
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Host, String> {
        let known = [Host::Sim, Host::Engine, Host::Flink, Host::Synthetic].into_iter().find(|host| host.name() == text);
        known.ok_or_else(|| format!("expected a host, 'engine' or 'sim', found '{text}'"))
    }
}

/// One run, by what tells it from others.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The case: a scenario, a setting, a query, a length of window.
    pub case: String,
    /// Instances at the start, where the case has several starts.
    pub start: String,
    /// The variant that is compared with others on it: a policy, a strategy.
    pub variant: String,
    /// Where.
    pub host: Host,
    /// Tells repetitions apart.
    pub seed: u64,
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' under '{}' on {}, seed {}", self.case, self.variant, self.host.name(), self.seed)
    }
}

/// Which trials are asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ask {
    /// Only these cases; all without.
    pub cases: Vec<String>,
    /// Only these variants; all without.
    pub variants: Vec<String>,
    /// Only here.
    pub host: Option<Host>,
    /// Only these seeds; all without.
    pub seeds: Vec<u64>,
    /// How much is run.
    pub scale: Scale,
    /// Added to the first seed of the definition.
    pub first_seed: u64,
    /// Repetitions of everything, with seeds that follow each other; 0 is as good as 1.
    pub repeat: u64,
}

impl Ask {
    /// Whether a trial is asked for, whatever its variant.
    pub fn fits_but_for_variant(&self, trial: &Trial) -> bool {
        let among = |all: &[String], one: &str| all.is_empty() || all.iter().any(|name| name == one);
        among(&self.cases, &trial.case) && (self.seeds.is_empty() || self.seeds.contains(&trial.seed))
    }

    /// Whether a trial is asked for.
    pub fn fits(&self, trial: &Trial) -> bool {
        self.fits_but_for_variant(trial) && (self.variants.is_empty() || self.variants.contains(&trial.variant))
    }

    /// The seeds of something that runs with so many of them, from `first` on.
    pub fn seeds_from(&self, first: u64, many: u64) -> std::ops::Range<u64> {
        let first = first + self.first_seed;
        first..first + many * self.repeat.max(1)
    }
}

/// What a trial needs to know beside what it is.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// Name of the figure.
    pub figure: &'a str,
    /// How much is run.
    pub scale: Scale,
    /// The folder of the experiment, for what is not a row.
    pub folder: &'a Path,
    /// Revision, machine, command.
    pub environment: &'a Environment,
}

/// What a trial measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Rows, without what tells trials apart unless it differs from row to row.
    pub rows: Vec<Row>,
    /// Rows of what happened over time.
    pub series: Vec<Row>,
}

/// Shows how trials go on.
pub trait Progress: Sync {
    /// How far a trial is, 0 to 1.
    fn part(&self, trial: &Trial, done: f64, message: &str);

    /// A window of a job of this length.
    fn window(&self, trial: &Trial, job: (&Topology, Duration), status: Status<'_>);

    /// A job has ended with this result; then, without one, its trial has.
    fn ended(&self, trial: &Trial, result: Option<&RunResult>);
}

/// One kind of experiment.
pub trait Study: Send + Sync + fmt::Debug {
    /// The columns of its rows, beyond what tells trials apart.
    fn columns(&self) -> Vec<&'static str>;

    /// What is run, in order, at this scale on this host. Names of cases, variants and seeds are
    /// chosen among these afterwards.
    fn trials(&self, ask: &Ask) -> Vec<Trial>;

    /// Whether a trial needs the machine for itself.
    fn runs_alone(&self, trial: &Trial) -> bool {
        trial.host != Host::Sim
    }

    /// The variant that runs whoever is asked for, because others are compared with it.
    fn companion(&self) -> Option<&str> {
        None
    }

    /// Runs one and measures it.
    ///
    /// # Errors
    /// When it has no result; its row then has the error.
    fn run(&self, trial: &Trial, at: At<'_>, progress: &dyn Progress) -> anyhow::Result<Measured>;

    /// Fills in columns that compare rows with each other, also in rows that were recorded before
    /// there were these columns.
    fn complete(&self, _: &mut Frame) {}

    /// The file of the series, if there is one.
    fn series(&self) -> Option<&'static str> {
        None
    }

    /// Checks that hold for every experiment of the kind, as definitions write them.
    fn checks(&self) -> &'static str {
        ""
    }

    /// Names of the tables that are printed unless the definition names others.
    fn tables(&self) -> &'static [&'static str];

    /// Whether this machine has what its trials need beside this program.
    ///
    /// # Errors
    /// When it has not; says what was expected and what was found.
    fn is_there(&self) -> Result<(), String> {
        Ok(())
    }

    /// Whether names and numbers in it are what they should be.
    ///
    /// # Errors
    /// When they are not; says what was expected and what was found.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}
