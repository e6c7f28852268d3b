//! Flags that configure a policy, shared by all commands that run a job.

use std::time::Duration;

use anyhow::anyhow;
use clap::ValueEnum;
use clap::builder::PossibleValue;

use super::failure::{Failure, usage};
use crate::dataflow::{Configuration, Topology};
use crate::experiment::external::{self, External};
use crate::experiment::policies::{self, Given, POLICIES, PolicyError, Setting};
use crate::policy::{Hold, Needs, PRESETS, Policy, Preset, Scheduled, Scripted, minutes_of_day};
use crate::time::Timestamp;

/// Flags that configure a policy.
#[derive(Debug, clap::Args)]
pub(super) struct PolicyArgs {
    /// Plans of --policy scripted, each applied at the first decision after its time: '4s: count=8,
    /// flatmap=4; 8s: count=rebalance'.
    #[arg(long, value_name = "SCRIPT")]
    plan: Option<String>,
    /// What critical-path is to be good at; parameters given with --set come after it.
    #[arg(long = "for", value_name = "PURPOSE")]
    purpose: Option<Purpose>,
    /// Set a parameter of the policy, such as target_utilisation=0.7. Times are in seconds, as
    /// published, whatever the time factor. May be repeated; an unknown name lists the valid ones.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// A floor of instances by time of day, below which the policy does not go: '06:00 count=20,
    /// enrich=12; 22:00 count=4'. Each holds until the next; an operator that is not named has none.
    #[arg(long, value_name = "SCHEDULE")]
    schedule: Option<String>,
    /// The time of day at which the job's time begins, for --schedule. It passes as many times as
    /// fast as the time factor says. By default midnight; the present time in UTC when a job of
    /// another system is driven.
    #[arg(long, value_name = "HH:MM", requires = "schedule")]
    day_begins: Option<String>,
    /// Program of --policy external, with its arguments. It reads one observation per line and
    /// writes one decision per line.
    #[arg(long, value_name = "COMMAND")]
    external_command: Option<String>,
    /// Timeout in seconds for an answer of the program of --policy external.
    #[arg(long, value_name = "SECONDS", default_value_t = external::DEFAULT_TIMEOUT.as_secs_f64(), allow_hyphen_values = true)]
    external_timeout: f64,
    /// What the program of --policy external receives: metrics, or paths for metrics and the critical
    /// paths of the window's epochs.
    #[arg(long, value_name = "NEEDS", default_value = "metrics")]
    external_needs: ExternalNeeds,
}

/// Help for `--policy` in commands that run a job.
pub(super) fn policy_help() -> String {
    let named = POLICIES.join(", ");
    format!("The policy: {named}; scripted: the plans given by --plan; external: the program given by --external-command")
}

/// A preset of critical-path.
#[derive(Clone, Copy, Debug)]
struct Purpose(&'static Preset);

impl ValueEnum for Purpose {
    fn value_variants<'a>() -> &'a [Purpose] {
        const ALL: [Purpose; PRESETS.len()] = [Purpose(&PRESETS[0]), Purpose(&PRESETS[1]), Purpose(&PRESETS[2])];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self.0.settings {
            [] => self.0.summary.to_owned(),
            settings => format!("{} ({})", self.0.summary, settings.join(", ")),
        };
        Some(PossibleValue::new(self.0.name).help(help))
    }
}

/// The metrics that an external policy receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExternalNeeds {
    #[value(help = "Rates, queues, latency")]
    Metrics,
    #[value(help = "Metrics and critical paths")]
    Paths,
}

impl PolicyArgs {
    /// The flags that decide, by name, as they could be given again; without those of external programs, which may be private.
    pub(super) fn recorded(&self) -> Vec<(&'static str, String)> {
        let plan = self.plan.iter().map(|plan| ("plan", plan.clone()));
        let schedule = self.schedule.iter().map(|schedule| ("schedule", schedule.clone()));
        let begins = self.day_begins.iter().map(|begins| ("day-begins", begins.clone()));
        plan.chain(self.all_settings().map(|setting| ("set", setting))).chain(schedule).chain(begins).collect()
    }

    /// The parameters of the purpose, and those given one by one.
    fn all_settings(&self) -> impl Iterator<Item = String> {
        let preset = self.purpose.iter().flat_map(|purpose| purpose.0.settings).map(|setting| (*setting).to_owned());
        preset.chain(self.settings.iter().cloned())
    }

    /// Takes over the flags of external programs.
    pub(super) fn external_as(&mut self, other: &PolicyArgs) {
        self.external_command.clone_from(&other.external_command);
        (self.external_timeout, self.external_needs) = (other.external_timeout, other.external_needs);
    }

    /// Lets the schedule's day begin at `time`, `HH:MM`, unless that was said.
    pub(super) fn day_begins_at(&mut self, time: &str) {
        if self.schedule.is_some() && self.day_begins.is_none() {
            self.day_begins = Some(time.to_owned());
        }
    }

    /// Builds the policy called `name`, with its schedule around it. A process that does not decide
    /// does not start an external program.
    pub(super) fn policy(
        &self,
        name: &str,
        topology: &Topology,
        time_factor: f64,
        best: Vec<(Timestamp, Configuration)>,
        decides: bool,
    ) -> Result<Box<dyn Policy>, Failure> {
        let policy = self.unscheduled(name, topology, time_factor, best, decides)?;
        let Some(schedule) = &self.schedule else { return Ok(policy) };
        let begins = self.day_begins.as_deref().unwrap_or("00:00");
        let begins_min =
            minutes_of_day(begins).ok_or_else(|| usage(anyhow!("--day-begins: expected a time of day such as 06:30, found '{begins}'")))?;
        let scheduled = Scheduled::read(schedule, topology, begins_min, time_factor, policy);
        Ok(Box::new(scheduled.map_err(|why| usage(anyhow!("--schedule: {why}")))?))
    }

    /// Builds the policy called `name` with its script, program or the `best` configurations (for
    /// the oracle). A process that does not decide does not start the program.
    fn unscheduled(
        &self,
        name: &str,
        topology: &Topology,
        time_factor: f64,
        best: Vec<(Timestamp, Configuration)>,
        decides: bool,
    ) -> Result<Box<dyn Policy>, Failure> {
        let only = |flag: &str, of: &str| usage(anyhow!("{flag}: requires '--policy {of}', found '{name}'"));
        let all: Vec<String> = self.all_settings().collect();
        let settings = settings(&all)?;
        if self.purpose.is_some() && name != "critical-path" {
            return Err(only("--for", "critical-path"));
        }
        if self.plan.is_some() && name != "scripted" {
            return Err(only("--plan", "scripted"));
        }
        if self.external_command.is_some() && name != "external" {
            return Err(only("--external-command", "external"));
        }
        if let ("scripted" | "external", Some(setting)) = (name, settings.first()) {
            return Err(usage(anyhow!("--set {setting}: policy '{name}' has no parameters")));
        }
        if self.external_needs != ExternalNeeds::Metrics && name != "external" {
            return Err(only("--external-needs", "external"));
        }
        match (name, &self.plan, &self.external_command) {
            ("scripted", Some(script), _) => Ok(Box::new(Scripted::read(script, topology).map_err(|why| usage(anyhow!("--plan: {why}")))?)),
            ("scripted", None, _) => Err(usage(anyhow!("--policy scripted: requires '--plan SCRIPT', found none"))),
            ("external", _, Some(command)) => self.external(command, topology, decides),
            ("external", _, None) => Err(usage(anyhow!("--policy external: requires '--external-command COMMAND', found none"))),
            (name, ..) => policies::policy_with(name, topology, time_factor, &Given { settings, best }).map_err(|why| {
                let flag = if matches!(why, PolicyError::Setting { .. }) { "--set" } else { "--policy" };
                let known = if matches!(why, PolicyError::Unknown { .. }) { ", also 'scripted' and 'external'" } else { "" };
                usage(anyhow!("{flag}: {why}{known}"))
            }),
        }
    }

    fn external(&self, command: &str, topology: &Topology, decides: bool) -> Result<Box<dyn Policy>, Failure> {
        let seconds = self.external_timeout;
        if !(0.001..=3600.0).contains(&seconds) {
            return Err(usage(anyhow!("--external-timeout: expected seconds, from 0.001 to 3600, found {seconds}")));
        }
        if !decides {
            return Ok(Box::new(Hold));
        }
        let started = External::start(command, topology.clone(), Duration::from_secs_f64(seconds));
        let needs = match self.external_needs {
            ExternalNeeds::Metrics => Needs::Metrics,
            ExternalNeeds::Paths => Needs::Paths,
        };
        Ok(Box::new(started.map_err(|why| usage(anyhow!("--external-command: {why}")))?.needing(needs)))
    }
}

/// Parses the parameters given with `--set`.
pub(super) fn settings(given: &[String]) -> Result<Vec<Setting>, Failure> {
    given.iter().map(|text| text.parse().map_err(|why| usage(anyhow!("--set: {why}")))).collect()
}
