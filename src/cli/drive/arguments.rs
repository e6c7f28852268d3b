//! The arguments of `thalweg drive`, checked before a cluster is asked anything.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::Parser;
use serde_json::Value;

use super::page::PageArgs;
use crate::cli::analyze::length;
use crate::cli::failure::{Failure, usage};
use crate::cli::policy::{PolicyArgs, policy_help};
use crate::dataflow::Topology;
use crate::experiment::environment::Environment;
use crate::flink::{DriveConfig, Graph, Limits, MOST_PARALLELISM, Pace, Prepare};
use crate::policy::{Policy, minutes_of_day};

/// What runs the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Host {
    #[value(help = "A running Flink job, through REST")]
    Flink,
}

/// Let a policy rescale a running Flink job, unchanged, through REST.
///
/// Needs Flink 1.20 or later with the adaptive scheduler. Checkpoints of the job are its epochs: when
/// their barriers came to each subtask says where a record waits. A plan is one request for all
/// vertices, verified by running tasks and rolled back if they do not come. Ctrl-C leaves the job as
/// it is (exit code 130). Credentials come from THALWEG_FLINK_TOKEN, or THALWEG_FLINK_USER and
/// THALWEG_FLINK_PASSWORD, in the environment.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  thalweg drive flink --rest http://localhost:8081 --policy critical-path --advise\n  \
                        thalweg drive flink --rest https://flink.example.org --job orders --policy ds2 --bounds 'count=1..8' --exclude sink\n  \
                        thalweg drive flink --rest http://localhost:8081 --record --out driven && thalweg drive flink --session driven/session.jsonl\n\n\
                        Exit code 0: the job has finished, or as many windows as asked for have passed; 1: the job has failed, or the cluster cannot do what is needed or does not answer; 2: an argument is invalid; 130: Ctrl-C.")]
pub(in crate::cli) struct Args {
    host: Host,
    /// Address of the REST interface, such as http://localhost:8081.
    #[arg(long, value_name = "URL", required_unless_present = "session")]
    pub(super) rest: Option<String>,
    /// Decide again, offline, on a session that --record has saved, with the options that it was recorded with.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rest", "record", "job", "policy", "advise", "trigger"])]
    pub(super) session: Option<PathBuf>,
    /// Id or name of the job [default: the only one that runs]
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    #[arg(long, default_value = "critical-path", help = policy_help())]
    policy: String,
    #[command(flatten)]
    chosen: PolicyArgs,
    /// Change nothing: decide, and say what would be done. Only reads, unless --trigger is given.
    #[arg(long, alias = "dry-run")]
    pub(super) advise: bool,
    /// Allow checkpoints to be triggered: to see a path where the job takes none, and before a rescale.
    #[arg(long)]
    pub(super) trigger: bool,
    /// Length of a window, the time between decisions.
    #[arg(long, value_name = "TIME", default_value = "60s", allow_hyphen_values = true)]
    interval: String,
    /// Time between two looks at the job [default: a twelfth of --interval, from 250ms to 10s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    poll: Option<String>,
    /// Time after a restart of the job in which nothing is measured: it catches up [default: --interval]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    stabilisation: Option<String>,
    /// Longest time that a rescale may take, and that the cluster may not answer.
    #[arg(long, value_name = "TIME", default_value = "5m", allow_hyphen_values = true)]
    restart_timeout: String,
    /// Longest time to wait for one answer.
    #[arg(long, value_name = "TIME", default_value = "20s", allow_hyphen_values = true)]
    timeout: String,
    /// Windows after the start and after each change on which nothing is decided.
    #[arg(long, value_name = "N", default_value_t = 0)]
    warm_up: u32,
    /// Windows in a row that must agree on a change.
    #[arg(long, value_name = "N", default_value_t = 1)]
    agree: u32,
    /// Bounds of a vertex, such as 'count=2..8'. May be repeated; the name as shown, in full, or its id.
    #[arg(long, value_name = "VERTEX=FROM..TO")]
    bounds: Vec<String>,
    /// A vertex that keeps its instances. May be repeated.
    #[arg(long, value_name = "VERTEX")]
    exclude: Vec<String>,
    /// A stretch of the day, in UTC, in which nothing is decided, such as 22:00-06:30. May be repeated.
    #[arg(long, value_name = "FROM-TO")]
    excluded_time: Vec<String>,
    /// The most slots that the job may take [default: its own and those that are free when the driver starts]
    #[arg(long, value_name = "N")]
    slots: Option<u32>,
    /// Give vertices with keys a number of instances that divides their key groups.
    #[arg(long)]
    align: bool,
    /// After the job has ended, wait this long for another one of its name, such as one restarted from a savepoint.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    follow: Option<String>,
    /// End after this number of windows [default: with the job]
    #[arg(long, value_name = "N")]
    windows: Option<u64>,
    /// Factor by which the intervals of policies are shortened: with 6, those that are meant for windows of 60 s
    /// fit windows of 10 s.
    #[arg(long, default_value_t = 1.0, allow_hyphen_values = true)]
    time_factor: f64,
    /// Save every request with its answer, so that the same decisions can be made again offline.
    #[arg(long)]
    pub(super) record: bool,
    /// Output folder [default: a new one in runs/ with --record, otherwise none]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) page: PageArgs,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Parser)]
struct Recorded {
    #[command(flatten)]
    args: Args,
}

/// Shortest and longest window.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(86_400));
/// Looks are at most this far apart unless asked otherwise.
const MOST_POLL: Duration = Duration::from_secs(10);
/// ... and at least this.
const LEAST_POLL: Duration = Duration::from_millis(250);

impl Args {
    pub(super) fn out_needed(&self) -> bool {
        self.record || self.out.is_some()
    }

    pub(super) fn quiet_line(&self) -> bool {
        self.json
    }

    /// The arguments that decide, as they could be given again.
    pub(super) fn recorded(&self) -> Vec<String> {
        let mut all = vec!["flink".to_owned(), "--rest".to_owned(), "http://recorded".to_owned()];
        let mut add = |flag: &str, value: Option<String>| {
            if let Some(value) = value {
                all.push(format!("--{flag}={value}"));
            }
        };
        add("job", self.job.clone());
        add("policy", Some(self.policy.clone()));
        self.chosen.recorded().into_iter().for_each(|(flag, value)| add(flag, Some(value)));
        add("interval", Some(self.interval.clone()));
        add("poll", self.poll.clone());
        add("stabilisation", self.stabilisation.clone());
        add("restart-timeout", Some(self.restart_timeout.clone()));
        add("warm-up", Some(self.warm_up.to_string()));
        add("agree", Some(self.agree.to_string()));
        self.bounds.iter().for_each(|bounds| add("bounds", Some(bounds.clone())));
        self.exclude.iter().for_each(|vertex| add("exclude", Some(vertex.clone())));
        self.excluded_time.iter().for_each(|time| add("excluded-time", Some(time.clone())));
        add("slots", self.slots.map(|slots| slots.to_string()));
        add("follow", self.follow.clone());
        add("windows", self.windows.map(|windows| windows.to_string()));
        add("time-factor", Some(self.time_factor.to_string()));
        for (flag, is_set) in [("advise", self.advise), ("trigger", self.trigger), ("align", self.align)] {
            if is_set {
                all.push(format!("--{flag}"));
            }
        }
        all
    }
}

/// The checked arguments.
pub(super) struct Asked {
    pub(super) args: Args,
    pub(super) config: DriveConfig,
    pub(super) timeout: Duration,
}

impl Asked {
    /// Checks arguments.
    pub(super) fn of(args: &Args) -> Result<Asked, Failure> {
        // Through the same words as a session has, so that a session never means something else.
        let mut own = parse(&args.recorded())?;
        (own.rest, own.record, own.timeout) = (args.rest.clone(), args.record, args.timeout.clone());
        own.chosen.external_as(&args.chosen);
        // The date ends in hours, minutes and seconds.
        own.chosen.day_begins_at(&Environment::here().started_utc[11..16]);
        Asked::checked(own)
    }

    /// The arguments with which a session was recorded.
    pub(super) fn of_session(options: &Value) -> Result<Asked, Failure> {
        let wrong = || usage(anyhow!("expected the options of the driver as a list of texts, found something else"));
        let list = options.as_array().ok_or_else(wrong)?;
        let texts: Vec<String> = list.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Option<_>>().ok_or_else(wrong)?;
        let own = parse(&texts)?;
        if own.policy == "external" {
            return Err(usage(anyhow!("a session of an external program cannot be decided again: a file must not start programs")));
        }
        Asked::checked(own)
    }

    fn checked(args: Args) -> Result<Asked, Failure> {
        let interval = length("interval", &args.interval)?;
        if !(INTERVALS.0..=INTERVALS.1).contains(&interval) {
            return Err(usage(anyhow!("--interval: expected 100ms to 24h, found '{}'", args.interval)));
        }
        let poll = match &args.poll {
            Some(text) => length("poll", text)?,
            None => (interval / 12).clamp(LEAST_POLL, MOST_POLL).min(interval / 2),
        };
        if poll.is_zero() || poll > interval / 2 {
            return Err(usage(anyhow!(
                "--poll: expected more than 0 and at most half of --interval, found '{}'",
                args.poll.as_deref().unwrap_or("")
            )));
        }
        let settle = args.stabilisation.as_deref().map_or(Ok(interval), |text| length("stabilisation", text))?;
        let rescale_timeout = length("restart-timeout", &args.restart_timeout)?;
        let timeout = length("timeout", &args.timeout)?;
        for (flag, time) in [("restart-timeout", rescale_timeout), ("timeout", timeout)] {
            if !(Duration::from_millis(100)..=INTERVALS.1).contains(&time) {
                return Err(usage(anyhow!("--{flag}: expected 100ms to 24h, found {} s", time.as_secs_f64())));
            }
        }
        if !(args.time_factor.is_finite() && (0.001..=1e6).contains(&args.time_factor)) {
            return Err(usage(anyhow!("--time-factor: expected 0.001 to 1000000, found {}", args.time_factor)));
        }
        for (flag, value) in [("slots", args.slots), ("agree", Some(args.agree))] {
            if value == Some(0) {
                return Err(usage(anyhow!("--{flag}: expected at least 1, found 0")));
            }
        }
        if args.windows == Some(0) {
            return Err(usage(anyhow!("--windows: expected at least 1, found 0")));
        }
        let config = DriveConfig {
            job: args.job.clone(),
            pace: Pace { interval, poll, settle },
            warm_up_windows: args.warm_up,
            activation_windows: args.agree,
            rescale_timeout,
            advise: args.advise,
            excluded: args.excluded_time.iter().map(|text| excluded(text)).collect::<Result<_, _>>()?,
            patience: rescale_timeout,
            follow: args.follow.as_deref().map_or(Ok(Duration::ZERO), |text| length("follow", text))?,
            windows: args.windows,
            needs_scheduler: true,
        };
        args.bounds.iter().try_for_each(|text| bounds(text).map(drop))?;
        Ok(Asked { args, config, timeout })
    }

    pub(super) fn policy(&self) -> &str {
        &self.args.policy
    }

    /// What prepares the policy once the job is known.
    pub(super) fn prepare(&self) -> impl Prepare + '_ {
        Preparing { args: &self.args }
    }
}

fn parse(words: &[String]) -> Result<Args, Failure> {
    let words = ["thalweg drive".to_owned()].into_iter().chain(words.iter().cloned());
    let parsed = Recorded::try_parse_from(words).map_err(|why| {
        let text = why.to_string();
        usage(anyhow!("{}", text.lines().next().unwrap_or_default().trim_start_matches("error: ")))
    })?;
    Ok(parsed.args)
}

/// Reads `22:00-06:30` as minutes.
fn excluded(text: &str) -> Result<(u32, u32), Failure> {
    let read = text.split_once('-').and_then(|(from, until)| Some((minutes_of_day(from)?, minutes_of_day(until)?)));
    let read = read.filter(|(from, until)| from != until);
    read.ok_or_else(|| usage(anyhow!("--excluded-time: expected a stretch of the day in UTC such as 22:00-06:30, found '{text}'")))
}

/// Reads `count=2..8`.
fn bounds(text: &str) -> Result<(String, u32, u32), Failure> {
    let read = text.rsplit_once('=').and_then(|(name, range)| {
        let (from, to) = range.split_once("..")?;
        Some((name.trim().to_owned(), from.trim().parse::<u32>().ok()?, to.trim().trim_start_matches('=').parse::<u32>().ok()?))
    });
    let read = read.filter(|(name, from, to)| !name.is_empty() && *from >= 1 && from <= to && *to <= MOST_PARALLELISM);
    read.ok_or_else(|| {
        usage(anyhow!("--bounds: expected a vertex with bounds from 1 to {MOST_PARALLELISM} such as count=2..8, found '{text}'"))
    })
}

struct Preparing<'a> {
    args: &'a Args,
}

impl Prepare for Preparing<'_> {
    fn limits(&mut self, graph: &Graph, slots: Option<u32>) -> anyhow::Result<Limits> {
        let vertex = |flag: &str, name: &str| {
            let known: Vec<String> = graph.nodes.iter().map(|node| format!("'{}'", node.name)).collect();
            graph.named(name).ok_or_else(|| anyhow!("--{flag}: expected one of the vertices {}, found '{name}'", known.join(", ")))
        };
        let mut limits = Limits { slots: self.args.slots.or(slots), align: self.args.align, ..Limits::of(graph) };
        for text in &self.args.bounds {
            let (name, from, to) = bounds(text).map_err(|failure| match failure {
                Failure::Usage(why) | Failure::Run(why) => why,
            })?;
            let vertex = vertex("bounds", &name)?;
            let most = graph.nodes[vertex].max_parallelism;
            if from > most {
                return Err(anyhow!("--bounds: '{name}' can have at most {most} instances (its maximum parallelism), found {from}"));
            }
            limits.bounds[vertex] = (from, to.min(most));
        }
        for name in &self.args.exclude {
            limits.excluded[vertex("exclude", name)?] = true;
        }
        Ok(limits)
    }

    fn policy(&mut self, topology: &Topology) -> anyhow::Result<Box<dyn Policy>> {
        let made = self.args.chosen.policy(&self.args.policy, topology, self.args.time_factor, Vec::new(), true);
        made.map_err(|failure| match failure {
            Failure::Usage(why) | Failure::Run(why) => why,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_means_the_same_again() {
        let words = [
            "flink",
            "--rest",
            "http://x",
            "--job",
            "a b",
            "--policy",
            "ds2",
            "--set",
            "target_rate_ratio=1.2",
            "--interval",
            "10s",
            "--bounds",
            "c=1..3",
            "--exclude",
            "sink",
            "--excluded-time",
            "22:00-06:30",
            "--slots",
            "4",
            "--align",
            "--advise",
            "--time-factor",
            "6",
            "--windows",
            "3",
            "--schedule",
            "06:00 count=3; 22:00",
            "--day-begins",
            "05:30",
        ];
        let args = parse(&words.map(str::to_owned)).unwrap_or_else(|_| panic!("these are arguments"));
        let again = parse(&args.recorded()).unwrap_or_else(|_| panic!("and these"));
        assert_eq!(args.recorded(), again.recorded());
        let asked = Asked::of(&args).unwrap_or_else(|_| panic!("they are right"));
        assert_eq!((asked.config.excluded.as_slice(), asked.config.advise, asked.config.windows), (&[(1320, 390)][..], true, Some(3)));
    }

    #[test]
    fn bounds_and_times_are_read_or_refused() {
        assert_eq!(bounds("a=b=2..8").ok(), Some(("a=b".to_owned(), 2, 8)));
        for text in ["", "a", "a=", "=1..2", "a=0..2", "a=3..2", "a=1..99999", "a=-1..2", "a=1", "a=1..x", "a=1.5..2"] {
            assert!(bounds(text).is_err(), "{text}");
        }
        for text in ["", "22:00", "22-6", "25:00-26:00", "10:60-11:00", "10:00-10:00", "-1:00-2:00"] {
            assert!(excluded(text).is_err(), "{text}");
        }
    }
}
