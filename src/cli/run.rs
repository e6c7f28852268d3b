//! `thalweg run`: runs a word count or a NEXMark query under a policy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;

use super::hosts::Hosts;
use super::interrupted::{self, Meanwhile};
use super::live::Live;
use super::plot::draw;
use super::policy::{PolicyArgs, policy_help};
use super::reproduce::out_folder;
use super::run_nexmark::{self, NexmarkArgs};
use super::uneven::Uneven;
use super::{Failure, usage};
use crate::dataflow::Configuration;
use crate::engine::cluster::{Deployment, Member};
use crate::engine::nexmark::{Form, Nexmark};
use crate::engine::word_count::WordCount;
use crate::engine::{EngineJob, Job, RunError};
use crate::experiment::definition::{JobDefinition, OperatorDefinition};
use crate::experiment::environment::Environment;
use crate::experiment::nexmark::NexmarkDefinition;
use crate::experiment::record::{self, Manifest, Summary};
use crate::experiment::run::{RunFailure, RunResult, RunSpec, run as run_job};
use crate::experiment::{folder, policies};
use crate::id::OperatorId;
use crate::migration::Strategy;
use crate::policy::{Hold, Policy};
use crate::rate::Rate;
use crate::time::Timestamp;
use crate::workload::{SentenceLength, Text};

/// Run a word count on your text, or a NEXMark query, under a policy and watch it rescale.
///
/// The source replays the sentences of the text in a loop at a fixed rate, whether or not the job
/// keeps up. FlatMap splits them into words and Count counts the words. By default an instance of
/// FlatMap is limited to 100,000 sentences/min and an instance of Count to 1,000,000 words/min, so
/// that dozens of instances fit on a few cores; with '--limits none' instances run as fast as the
/// processor allows, at most one per worker. At the end the counts are compared with a sequential
/// count.
///
/// With '--query' the job is a NEXMark query over generated persons, auctions and bids in the ratio
/// 1 : 3 : 46; the source emits only the kinds of event that the query reads. Instances are not
/// limited unless '--limits' says so. At the end the results are compared with those of plain
/// timely on one worker for the same events.
///
/// Ctrl-C ends the run and keeps what has been measured so far (exit code 130); a second Ctrl-C
/// ends it immediately.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  thalweg run --policy ds2\n  thalweg run --text book.txt --policy dhalion --rate 300k/min --duration 60\n  \
                        thalweg run --policy ds2 --limits none --workers 2 --rate 50k/s --json\n  \
                        thalweg run --policy dhalion --strategy adaptive --goal 50ms\n  \
                        thalweg run --policy ds2 --start flatmap=4,count=7 --straggler count:3=0.33@10\n  \
                        thalweg run --policy ds2 --processes 2 --workers 1\n  \
                        thalweg run --query q5 --rate 200k --dilation 600 --policy critical-path\n  \
                        thalweg run --query q4 --limits winner=20k,average=5k --rate 60k --policy ds2\n  \
                        thalweg run --query q7 --rate 1000k --plain\n  \
                        thalweg run --policy threshold --set target_utilisation=0.6 --duration 60\n  \
                        thalweg run --policy external --external-command 'python3 examples/external_policy.py'"
)]
pub(super) struct Args {
    /// UTF-8 text file [default: Cicero's Liber Primus]
    #[arg(long, value_name = "FILE", conflicts_with = "query")]
    text: Option<PathBuf>,
    /// Cut the text into sentences of exactly N words [default: sentences as in the text]
    #[arg(long, value_name = "N", conflicts_with = "query")]
    words: Option<usize>,
    #[command(flatten)]
    pub(super) nexmark: NexmarkArgs,
    #[arg(long, default_value = "critical-path", help = policy_help())]
    policy: String,
    #[command(flatten)]
    chosen: PolicyArgs,
    /// Offered load in sentences or events: per second, or with a unit, such as 1000000/min or
    /// 2.5k/s [default: 300000/min; 10k/s for a query]
    #[arg(long, allow_hyphen_values = true)]
    pub(super) rate: Option<String>,
    /// Length of the run, in seconds.
    #[arg(long, default_value_t = 20.0, allow_hyphen_values = true)]
    duration: f64,
    /// Capacity of an instance: heron (see above) or none; for a query, none or limits by operator,
    /// such as 'winner=20k/s,average=500/s' [default: heron; none for a query]
    #[arg(long)]
    pub(super) limits: Option<String>,
    #[command(flatten)]
    pub(super) uneven: Uneven,
    #[command(flatten)]
    hosts: Hosts,
    /// Number of bins of Count, or of each stateful operator of a query: a power of two.
    #[arg(long, default_value_t = 4096)]
    pub(super) bins: u32,
    /// Migration strategy: all-at-once, fluid (one bin per step), batched:N (N bins per step),
    /// optimized (at most one bin to and from each instance per step), hot-first (one bin per step,
    /// the most loaded first) or adaptive (as many as --goal allows).
    #[arg(long, default_value = "all-at-once")]
    strategy: String,
    /// Latency goal during a migration for --strategy adaptive, such as 50ms [default: 100ms]
    #[arg(long, value_name = "LATENCY", allow_hyphen_values = true)]
    goal: Option<String>,
    /// Factor by which the intervals of policies are shortened: with 30, a policy interval of 60 s
    /// is 2 s.
    #[arg(long, default_value_t = 30.0, allow_hyphen_values = true)]
    time_factor: f64,
    /// Factor by which the source may exceed its rate to drain its lag.
    #[arg(long, default_value_t = 1.1, allow_hyphen_values = true)]
    pub(super) catch_up: f64,
    /// Seed: index of the first sentence, or seed of the event generator.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Output folder [default: a new one in runs/]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Also save the activity log.
    #[arg(long)]
    record: bool,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// The most that a source emits on one thread; above it the source would be the bottleneck.
const MOST_SENTENCES_PER_SECOND: f64 = 5e6;
/// The longest run: one day.
const MOST_SECONDS: f64 = 86_400.0;

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let deployment = args.hosts.deployment()?;
    if let Some(query) = args.nexmark.query {
        return nexmark(args, run_nexmark::definition(args, query, checked_rate(args, "10k/s")?, &deployment)?, deployment);
    }
    let mut definition = definition(args, &deployment)?;
    args.uneven.apply(&mut definition)?;
    let length = definition.sentence_length();
    let text = Arc::new(read_text(args.text.as_deref(), length)?);
    definition.check(&text).map_err(|why| usage(anyhow!("{why}")))?;
    let duration = Duration::from_secs_f64(args.duration);
    let job = WordCount { deployment, ..definition.word_count(Arc::clone(&text), args.seed, duration) };
    let needed = definition.needed(&text);
    let strategy = strategy(args)?;
    let policy = policy(args, &job, &needed, job.deployment.process())?;
    if job.deployment.process() > 0 {
        return serve(&job.deployment, &Job::WordCount(job.clone()));
    }
    let text = args.text.as_ref().map_or("liber-primus (lipsum)".to_owned(), |path| path.display().to_string());
    carry_out(args, job, policy, strategy, needed, Described { text, job: Some(definition), nexmark: None })
}

fn nexmark(args: &Args, definition: NexmarkDefinition, deployment: Deployment) -> Result<(), Failure> {
    let duration = Duration::from_secs_f64(args.duration);
    let job = Nexmark { deployment, ..definition.job(args.seed, duration) };
    let needed = if definition.form == Form::Plain { BTreeMap::new() } else { definition.needed() };
    let strategy = strategy(args)?;
    let policy = match definition.form {
        Form::Elastic => policy(args, &job, &needed, job.deployment.process())?,
        Form::Plain => Box::new(Hold),
    };
    if job.deployment.process() > 0 {
        return serve(&job.deployment, &Job::Nexmark(Box::new(job.clone())));
    }
    let text = format!("nexmark {}", definition.query);
    carry_out(args, job, policy, strategy, needed, Described { text, job: None, nexmark: Some(definition) })
}

/// The requested policy, for one process of the job.
fn policy(args: &Args, job: &impl EngineJob, needed: &BTreeMap<OperatorId, u32>, process: u32) -> Result<Box<dyn Policy>, Failure> {
    let topology = job.topology();
    let best = needed.iter().fold(Configuration::ones(&topology), |best, (&id, &instances)| best.with(id, instances));
    let best = if needed.is_empty() { Vec::new() } else { vec![(Timestamp::ZERO, best)] };
    // Only process 0 decides.
    args.chosen.policy(&args.policy, &topology, args.time_factor, best, process == 0)
}

/// Description of the job in the run's manifest.
struct Described {
    text: String,
    job: Option<JobDefinition>,
    nexmark: Option<NexmarkDefinition>,
}

/// Runs a job, records its results and prints them.
fn carry_out<J: EngineJob>(
    args: &Args,
    job: J,
    policy: Box<dyn Policy>,
    strategy: Strategy,
    needed: BTreeMap<OperatorId, u32>,
    described: Described,
) -> Result<(), Failure> {
    let (topology, duration) = (job.topology(), job.duration());
    let plain = described.nexmark.as_ref().is_some_and(|definition| definition.form == Form::Plain);
    let policy_name = if plain { "plain" } else { &args.policy };
    let controller = policies::pacing(args.time_factor, strategy);
    let environment = Environment::here();
    let out = out_folder(args.out.as_deref(), &format!("run-{policy_name}"), "run", &environment)?;
    let (operators, scalable) = Manifest::names(&topology);
    let manifest = Manifest {
        experiment: "run".to_owned(),
        policy: policy_name.to_owned(),
        host: "engine".to_owned(),
        scale: "-".to_owned(),
        seed: args.seed,
        seconds: args.duration,
        time_factor: args.time_factor,
        strategy: strategy.to_string(),
        environment,
        text: described.text,
        operators,
        scalable,
        needed: needed.iter().map(|(&id, &instances)| (topology.operator(id).name.clone(), instances)).collect(),
        job: described.job,
        nexmark: described.nexmark,
        scenario: None,
    };
    let mut live = Live::new(policy_name, &topology, duration);
    let spec = RunSpec { job, controller, policy, row_window: record::ROW_WINDOW, needed };
    let activity = args.record.then(|| out.join(folder::ACTIVITY));
    interrupted::listen(Meanwhile::Measures)?;
    let result = run_job(spec, activity.as_deref(), |status| live.show(status));
    live.finish(result.as_ref());
    folder::write_csv(&out.join(folder::ROWS), &[record::row(&manifest, &topology, result.as_ref())])?;
    let result = match result {
        Err(RunFailure::Interrupted(partial)) => *partial,
        Err(RunFailure::Engine(why)) => return Err(wrong_hosts(why)),
        result => result?,
    };
    record::write(&out, &manifest, &result)?;
    // A plain job cannot be rescaled, so there is nothing to draw.
    let figure_files = if plain || result.timeline.is_empty() { Vec::new() } else { draw(&out)? };
    let summary = Summary::of(&manifest, &result);
    let throughput = manifest.nexmark.as_ref().map(|_| emitted_per_second(&result));
    if args.json {
        let mut printed = serde_json::json!({ "run": &*out, "summary": summary, "figure_files": figure_files });
        if let Some(nexmark) = &manifest.nexmark {
            printed["query"] = serde_json::json!(nexmark.query);
            printed["form"] = serde_json::json!(nexmark.form);
            printed["emitted_per_s"] = serde_json::json!(throughput);
        }
        println!("{printed}");
    } else {
        print!("{summary}");
        throughput.into_iter().for_each(|rate| println!("throughput          {rate:.0} events/s read by the query"));
        println!("folder              {}", out.display());
        figure_files.iter().for_each(|file| println!("figure              {}", file.display()));
    }
    Ok(out.finish()?)
}

/// Events per second that the source emitted, over the whole run.
fn emitted_per_second(result: &RunResult) -> f64 {
    result.verdict.emitted as f64 / result.duration.as_secs_f64()
}

/// The migration strategy, with its latency goal if it has one.
fn strategy(args: &Args) -> Result<Strategy, Failure> {
    let strategy: Strategy = args.strategy.parse().map_err(|why| usage(anyhow!("--strategy: {why}")))?;
    let Some(goal) = &args.goal else { return Ok(strategy) };
    let goal = goal.parse().map_err(|why| usage(anyhow!("--goal: {why}")))?;
    match strategy {
        Strategy::Adaptive(_) => Ok(Strategy::Adaptive(goal)),
        other => Err(usage(anyhow!("--goal: requires '--strategy adaptive', found '{other}'"))),
    }
}

/// Serves as a process of the job other than process 0; prints no results.
fn serve(deployment: &Deployment, job: &Job) -> Result<(), Failure> {
    let member = Member::of(deployment, job).map_err(wrong_hosts)?.expect("process 0 has no member");
    tell_connected(&member);
    job.serve(member).map_err(wrong_hosts)
}

/// Reports that a process other than 0 has connected, with its pid, so that an operator can find
/// it.
pub(super) fn tell_connected(member: &Member) {
    eprintln!("thalweg: process {} is connected, pid {}", member.process(), std::process::id());
}

/// Errors caused by the host file or by the other processes' flags are usage errors.
fn wrong_hosts(why: RunError) -> Failure {
    match why {
        RunError::Address { .. } => usage(anyhow!("--hostfile: {why}")),
        RunError::Refused(_) => usage(why),
        why => why.into(),
    }
}

/// The requested rate, after checking all flags that apply to every kind of job.
fn checked_rate(args: &Args, otherwise: &str) -> Result<Rate, Failure> {
    let given = args.rate.as_deref().unwrap_or(otherwise);
    let rate: Rate = given.parse().map_err(|why| usage(anyhow!("--rate: {why}")))?;
    let check = |holds: bool, name: &str, expected: String, found: String| {
        if holds { Ok(()) } else { Err(usage(anyhow!("--{name}: expected {expected}, found {found}"))) }
    };
    let per_second = rate.as_per_second();
    let what = if args.nexmark.query.is_some() { "events" } else { "sentences" };
    let most = format!("more than 0 and at most {MOST_SENTENCES_PER_SECOND:.0} {what}/s (one source thread)");
    check(per_second > 0.0 && per_second <= MOST_SENTENCES_PER_SECOND, "rate", most, format!("'{given}'"))?;
    let seconds = args.duration;
    check(
        seconds > 0.0 && seconds <= MOST_SECONDS,
        "duration",
        "seconds, more than 0 and at most 86400 (a day)".into(),
        seconds.to_string(),
    )?;
    let factor = args.time_factor;
    check((1.0..=600.0).contains(&factor), "time-factor", "a factor from 1 to 600".into(), factor.to_string())?;
    check((1.0..=100.0).contains(&args.catch_up), "catch-up", "a factor from 1 to 100".into(), args.catch_up.to_string())?;
    let bins_fit = args.bins.is_power_of_two() && args.bins <= 1 << 16;
    check(bins_fit, "bins", "a power of two, at most 65536".into(), args.bins.to_string())?;
    check(args.words != Some(0), "words", "sentences of at least one word".into(), "0".into())?;
    Ok(rate)
}

/// An operator whose instances process at most `limit` each.
pub(super) fn operator(limit: Option<Rate>, deployment: &Deployment) -> OperatorDefinition {
    OperatorDefinition {
        limit,
        instances: 1,
        // Without limits, more instances than workers do not use more of the processor.
        max_parallelism: if limit.is_some() { 128 } else { deployment.peers() },
        queue_high_s: 0.5,
        queue_low_s: 0.48,
        straggler: None,
    }
}

/// The word count described by the flags, all of them checked.
fn definition(args: &Args, deployment: &Deployment) -> Result<JobDefinition, Failure> {
    let rate = checked_rate(args, "300000/min")?;
    let limits = match args.limits.as_deref().unwrap_or("heron") {
        "heron" => Some((Rate::per_minute(1e5), Rate::per_minute(1e6))),
        "none" => None,
        other => return Err(usage(anyhow!("--limits: expected 'heron' or 'none', found '{other}'"))),
    };
    Ok(JobDefinition {
        words_per_sentence: args.words,
        source_rate: rate,
        tick_ms: 10,
        catch_up: args.catch_up,
        bins: args.bins,
        processes: deployment.processes,
        workers: deployment.workers,
        hot_bins: None,
        flatmap: operator(limits.map(|(flat_map, _)| flat_map), deployment),
        count: operator(limits.map(|(_, count)| count), deployment),
    })
}

fn read_text(path: Option<&Path>, length: SentenceLength) -> Result<Text, Failure> {
    let Some(path) = path else { return Ok(Text::liber_primus(length)) };
    let wrong = |why: String| usage(anyhow!("--text {}: {why}", path.display()));
    let bytes = std::fs::read(path).map_err(|why| wrong(format!("expected a readable file: {why}")))?;
    let text = String::from_utf8(bytes).map_err(|why| {
        let at = why.utf8_error().valid_up_to();
        wrong(format!("expected UTF-8, found the byte 0x{:02x} at position {at}", why.as_bytes()[at]))
    })?;
    Text::new(&text, length).map_err(|why| wrong(why.to_string()))
}
