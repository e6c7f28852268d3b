//! The flags that say more of a policy than its name, wherever a job runs.

use std::time::Duration;

use anyhow::anyhow;

use super::failure::{Failure, usage};
use crate::dataflow::{Configuration, Topology};
use crate::experiment::external::{self, External};
use crate::experiment::policies::{self, Given, POLICIES, PolicyError, Setting};
use crate::policy::{Hold, Needs, Policy, Scripted};
use crate::time::Timestamp;

/// What a policy is given beside its name.
#[derive(Debug, clap::Args)]
pub(super) struct PolicyArgs {
    /// Plans for --policy scripted, each taken up at the first decision after its time: '4s: count=8, flatmap=4; 8s: count=rebalance'.
    #[arg(long, value_name = "SCRIPT")]
    plan: Option<String>,
    /// Set a parameter of the policy, such as target_utilisation=0.7; times in seconds as published, whatever the time factor. May be
    /// given several times; a wrong name lists the right ones.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// The program of --policy external, with its arguments: it reads an observation a line and answers with a decision a line.
    #[arg(long, value_name = "COMMAND")]
    external_command: Option<String>,
    /// Seconds that the program of --policy external has for an answer.
    #[arg(long, value_name = "SECONDS", default_value_t = external::DEFAULT_TIMEOUT.as_secs_f64(), allow_hyphen_values = true)]
    external_timeout: f64,
    /// What the program of --policy external is shown: metrics, or paths, which are the same and the critical paths of the window's epochs.
    #[arg(long, value_name = "NEEDS", default_value = "metrics")]
    external_needs: ExternalNeeds,
}

/// What `--policy` takes where a job runs, as help says it.
pub(super) fn policy_help() -> String {
    let named = POLICIES.join(", ");
    format!("The policy: {named}; scripted, which follows --plan; or external, a program of yours that --external-command names")
}

/// What an external policy goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ExternalNeeds {
    #[value(help = "Rates, queues, latency")]
    Metrics,
    #[value(help = "Those, and critical paths")]
    Paths,
}

impl PolicyArgs {
    /// The policy called `name`, with what it follows: a script, a program, or the `best` configurations. A process that does not decide
    /// starts no program.
    pub(super) fn policy(
        &self,
        name: &str,
        topology: &Topology,
        time_factor: f64,
        best: Vec<(Timestamp, Configuration)>,
        decides: bool,
    ) -> Result<Box<dyn Policy>, Failure> {
        let only = |flag: &str, of: &str| usage(anyhow!("{flag}: expected '--policy {of}', which alone follows it, found '{name}'"));
        let settings = settings(&self.settings)?;
        if self.plan.is_some() && name != "scripted" {
            return Err(only("--plan", "scripted"));
        }
        if self.external_command.is_some() && name != "external" {
            return Err(only("--external-command", "external"));
        }
        if let ("scripted" | "external", Some(setting)) = (name, settings.first()) {
            return Err(usage(anyhow!("--set {setting}: expected no parameter: '{name}' has none")));
        }
        if self.external_needs != ExternalNeeds::Metrics && name != "external" {
            return Err(only("--external-needs", "external"));
        }
        match (name, &self.plan, &self.external_command) {
            ("scripted", Some(script), _) => Ok(Box::new(Scripted::read(script, topology).map_err(|why| usage(anyhow!("--plan: {why}")))?)),
            ("scripted", None, _) => Err(usage(anyhow!("--policy scripted: expected '--plan SCRIPT' with what it is to do, found none"))),
            ("external", _, Some(command)) => self.external(command, topology, decides),
            ("external", _, None) => {
                Err(usage(anyhow!("--policy external: expected '--external-command COMMAND' with the program that decides, found none")))
            }
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

/// Parameters as they were given.
pub(super) fn settings(given: &[String]) -> Result<Vec<Setting>, Failure> {
    given.iter().map(|text| text.parse().map_err(|why| usage(anyhow!("--set: {why}")))).collect()
}
