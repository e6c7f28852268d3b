//! `thalweg run`: runs a word count or a NEXMark query under a policy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use serde_json::json;

use super::failure::{Failure, usage};
use super::hosts::{Hosts, wrong_hosts};
use super::interrupted::{self, Meanwhile};
use super::live::Live;
use super::outcome::OutcomeArgs;
use super::policy::{PolicyArgs, policy_help};
use super::run_load;
use super::uneven::Uneven;
use super::watched::WatchArgs;
use crate::dataflow::{Configuration, Role, Topology};
use crate::engine::cluster::{Deployment, Member};
use crate::engine::nexmark::{Form, Nexmark, Query};
use crate::engine::word_count::WordCount;
use crate::engine::{EngineJob, Job};
use crate::experiment::environment::Environment;
use crate::experiment::policies;
use crate::experiment::record::{self, Manifest};
use crate::experiment::run::{Needs, RunFailure, RunResult, RunSpec, run_steered};
use crate::experiment::scenario::{Control, EngineForm, NexmarkForm, OperatorForm, RoleForm, Scenario, TextForm};
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
                        thalweg run --duration 120 --live\n  \
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
    nexmark: NexmarkArgs,
    #[arg(long, default_value = "critical-path", help = policy_help())]
    policy: String,
    #[command(flatten)]
    chosen: PolicyArgs,
    /// Offered load in sentences or events: per second, or with a unit, such as 1000000/min or
    /// 2.5k/s [default: 300000/min; 10k/s for a query]
    #[arg(long, allow_hyphen_values = true)]
    rate: Option<String>,
    /// A load over time instead of a constant rate: a CSV or JSON file, all of which passes during
    /// the run with --rate as its mean, or one written out as in scenarios, such as
    /// '{ shape = "trace", file = "ads.csv", speed_up = 600 }'
    #[arg(long, value_name = "LOAD")]
    load: Option<String>,
    /// Length of the run in seconds.
    #[arg(long, default_value_t = 20.0, allow_hyphen_values = true)]
    duration: f64,
    /// Capacity of an instance: heron (FlatMap 100,000 sentences/min, Count 1,000,000 words/min) or none; for a query, none or limits by operator,
    /// such as 'winner=20k/s,average=500/s' [default: heron; none for a query]
    #[arg(long)]
    limits: Option<String>,
    #[command(flatten)]
    uneven: Uneven,
    #[command(flatten)]
    hosts: Hosts,
    /// Number of bins of Count, or of each stateful operator of a query: a power of two.
    #[arg(long, default_value_t = 4096)]
    bins: u32,
    /// How bins move: all-at-once, fluid (one at a time), batched:N (N at a time), optimized (each
    /// instance gives or takes one at a time), hot-first (one at a time, the most used first) or
    /// adaptive (as many as --goal allows).
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
    catch_up: f64,
    /// Index of the first sentence, or the seed of the event stream.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    outcome: OutcomeArgs,
}

/// Help for `--query`.
fn query_help() -> String {
    let all: Vec<String> = Query::ALL.iter().map(|query| format!("{query}: {}", query.summary())).collect();
    format!("Run a query of NEXMark instead of a word count. {}", all.join("; "))
}

/// The flags of a query of NEXMark.
#[derive(Debug, clap::Args)]
struct NexmarkArgs {
    #[arg(long, value_name = "QUERY", allow_hyphen_values = true, help = query_help())]
    query: Option<Query>,
    /// Factor by which window lengths are divided: with 60, an hour takes a minute. Auctions last as long as at
    /// 10,000 events/s, whatever the rate.
    #[arg(long, value_name = "FACTOR", default_value_t = 60.0, requires = "query", allow_hyphen_values = true)]
    dilation: f64,
    /// Run the query in plain timely: nothing is rescaled, and nothing recorded but what source and
    /// sink do.
    #[arg(long, requires = "query", conflicts_with_all = ["policy", "plan", "settings", "external_command", "limits", "start", "straggler", "strategy", "bins"])]
    plain: bool,
}

/// Beyond what the thread of a source emits: a job that falls behind is a result, a number with a few
/// zeros too many is not.
const MOST_RECORDS_PER_SECOND: f64 = 1e8;
/// The longest run: one day.
const MOST_SECONDS: f64 = 86_400.0;

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let deployment = args.hosts.deployment()?;
    if let Some(query) = args.nexmark.query {
        return nexmark(args, query_of(args, query, checked_rate(args, "10k/s")?, &deployment)?, deployment);
    }
    let rate = checked_rate(args, "300000/min")?;
    let text = Arc::new(read_text(args.text.as_deref(), args.words.map_or(SentenceLength::Natural, SentenceLength::Words))?);
    let mut scenario = word_count(args, rate, text.words_per_sentence(), &deployment)?;
    args.uneven.apply(&mut scenario)?;
    apply_load(args, &mut scenario, rate, 1.0)?;
    scenario.check().map_err(|why| usage(anyhow!("{why}")))?;
    let job = scenario.word_count_over(text, args.seed).map_err(|why| usage(anyhow!("{why}")))?;
    let job = WordCount { deployment: deployment.clone(), ..job };
    let text = args.text.as_ref().map_or("liber-primus (lipsum)".to_owned(), |path| path.display().to_string());
    carry_out(args, job, &deployment, Job::WordCount, Described { text, scenario })
}

fn nexmark(args: &Args, scenario: Scenario, deployment: Deployment) -> Result<(), Failure> {
    scenario.check().map_err(|why| usage(anyhow!("{why}")))?;
    let job = scenario.query(args.seed).map_err(|why| usage(anyhow!("{why}")))?.expect("it is a query");
    let job = Nexmark { deployment: deployment.clone(), ..job };
    let text = format!("nexmark {}", job.query);
    carry_out(args, job, &deployment, |job| Job::Nexmark(Box::new(job)), Described { text, scenario })
}

/// The requested policy, for one process of the job.
fn policy(args: &Args, topology: &Topology, needed: &BTreeMap<OperatorId, u32>, process: u32) -> Result<Box<dyn Policy>, Failure> {
    let best = needed.iter().fold(Configuration::ones(topology), |best, (&id, &instances)| best.with(id, instances));
    let best = if needed.is_empty() { Vec::new() } else { vec![(Timestamp::ZERO, best)] };
    // Only process 0 decides.
    args.chosen.policy(&args.policy, topology, args.time_factor, best, process == 0)
}

/// Description of the job in the run's manifest.
struct Described {
    text: String,
    scenario: Scenario,
}

/// Runs a job, records its results and prints them; in a process other than process 0, serves it.
fn carry_out<J: EngineJob>(
    args: &Args,
    job: J,
    deployment: &Deployment,
    served: impl FnOnce(J) -> Job,
    described: Described,
) -> Result<(), Failure> {
    let (topology, duration) = (job.topology(), job.duration());
    let plain = described.scenario.nexmark.as_ref().is_some_and(|nexmark| nexmark.form == Form::Plain);
    let (needed, strategy) = (described.scenario.needed_at_start(), strategy(args)?);
    let policy: Box<dyn Policy> = if plain { Box::new(Hold) } else { policy(args, &topology, &needed, deployment.process())? };
    if deployment.process() > 0 {
        return serve(deployment, &served(job));
    }
    let policy_name = if plain { "plain" } else { &args.policy };
    let controller = policies::pacing(args.time_factor, strategy);
    let environment = Environment::here();
    let first: Needs = vec![(Timestamp::ZERO, needed.clone())];
    let manifest = Manifest {
        experiment: "run".to_owned(),
        policy: policy_name.to_owned(),
        host: "engine".to_owned(),
        seed: args.seed,
        strategy: strategy.to_string(),
        environment: environment.clone(),
        text: described.text,
        ..Manifest::of_scenario(&described.scenario, &topology, &first)
    };
    let mut watched = args.watch.begin(&manifest, &topology)?;
    let out = args.outcome.folder(&format!("run-{policy_name}"), "run", &environment)?;
    let mut live = (!watched.has_terminal()).then(|| Live::new(policy_name, &topology, duration));
    let spec = RunSpec { job, controller, policy, row_window: record::ROW_WINDOW, needed };
    let activity = args.outcome.activity(&out);
    interrupted::listen(Meanwhile::Measures)?;
    let result = run_steered(spec, watched.commands(), activity.as_deref(), |status| {
        watched.window(&status);
        if let Some(live) = &mut live {
            live.show(status);
        }
    });
    watched.end(&manifest, result.as_ref());
    if let Some(mut live) = live {
        live.finish(result.as_ref().map_or_else(RunFailure::partial, Some));
    }
    let folder = out.to_path_buf();
    // A plain job cannot be rescaled, so there is nothing to draw.
    args.outcome.keep(out, &manifest, result, !plain, |result| {
        let Some(nexmark) = &described.scenario.nexmark else { return Default::default() };
        let rate = emitted_per_second(result);
        let values = [("query", json!(nexmark.query)), ("form", json!(nexmark.form)), ("emitted_per_s", json!(rate))];
        (values.into(), format!("throughput          {rate:.0} events/s read by the query\n"))
    })?;
    args.watch.report(&folder, &manifest)
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

/// The requested rate, after checking all flags that apply to every kind of job.
fn checked_rate(args: &Args, otherwise: &str) -> Result<Rate, Failure> {
    let given = args.rate.as_deref().unwrap_or(otherwise);
    let rate: Rate = given.parse().map_err(|why| usage(anyhow!("--rate: {why}")))?;
    let check = |holds: bool, name: &str, expected: String, found: String| {
        if holds { Ok(()) } else { Err(usage(anyhow!("--{name}: expected {expected}, found {found}"))) }
    };
    let per_second = rate.as_per_second();
    let what = if args.nexmark.query.is_some() { "events" } else { "sentences" };
    let most = format!("more than 0 and at most {MOST_RECORDS_PER_SECOND:.0} {what}/s");
    check(per_second > 0.0 && per_second <= MOST_RECORDS_PER_SECOND, "rate", most, format!("'{given}'"))?;
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

/// An operator of which an instance takes at most `limit`.
fn operator(name: &str, role: RoleForm, input: &str, limit: Option<Rate>, deployment: &Deployment) -> OperatorForm {
    // More instances than workers give a processor nothing.
    let max_parallelism = if limit.is_some() { 128 } else { deployment.peers() };
    OperatorForm { limit, max_parallelism, ..OperatorForm::new(name, role, &[input]) }
}

/// What the flags say of any job, with these operators between its source and its sink.
fn scenario(args: &Args, title: String, rate: Rate, between: Vec<OperatorForm>, deployment: &Deployment) -> Scenario {
    let last = between.last().map_or("source", |operator| operator.name.as_str()).to_owned();
    let source = OperatorForm { rate: Some(rate), ..OperatorForm::new("source", RoleForm::Source, &[]) };
    let operators = std::iter::once(source).chain(between).chain([OperatorForm::new("sink", RoleForm::Sink, &[&last])]).collect();
    Scenario {
        catch_up: args.catch_up,
        control: Control {
            policy: if args.nexmark.plain { "hold".to_owned() } else { args.policy.clone() },
            time_factor: args.time_factor,
            ..Control::default()
        },
        engine: EngineForm {
            text: TextForm::LiberPrimus,
            workers: deployment.workers,
            processes: deployment.processes,
            source_partitions: deployment.source_partitions(),
        },
        ..Scenario::new(title, args.duration, operators)
    }
}

/// The word count that the flags describe, over sentences of as many words.
fn word_count(args: &Args, rate: Rate, words: f64, deployment: &Deployment) -> Result<Scenario, Failure> {
    let [flat_map, count] = match args.limits.as_deref().unwrap_or("heron") {
        "heron" => [Rate::per_minute(1e5), Rate::per_minute(1e6)].map(Some),
        "none" => [None; 2],
        other => return Err(usage(anyhow!("--limits: expected 'heron' or 'none', found '{other}'"))),
    };
    let flat_map = operator("flatmap", RoleForm::Stateless, "source", flat_map, deployment);
    let count = operator("count", RoleForm::Keyed, "flatmap", count, deployment);
    let between = vec![OperatorForm { selectivity: words, ..flat_map }, OperatorForm { bins: args.bins, ..count }];
    Ok(scenario(args, "Word count".to_owned(), rate, between, deployment))
}

/// The query that the flags describe, with `rate` events a second, each checked.
fn query_of(args: &Args, query: Query, rate: Rate, deployment: &Deployment) -> Result<Scenario, Failure> {
    let operators = query.operators(args.bins);
    let names: Vec<&str> = operators.iter().map(|(name, _)| *name).collect();
    let limits = limits(args.limits.as_deref().unwrap_or("none"), &names)?;
    let mut input = "source";
    let between = operators.iter().map(|(name, role)| {
        let role = if matches!(role, Role::Keyed { .. }) { RoleForm::Keyed } else { RoleForm::Stateless };
        let operator = operator(name, role, std::mem::replace(&mut input, name), limits.get(name).copied(), deployment);
        OperatorForm { bins: args.bins, ..operator }
    });
    let between = between.collect();
    // A scenario's source has the events that the query reads.
    let read = Rate::per_second(rate.as_per_second() * query.kinds().share());
    let form = if args.nexmark.plain { Form::Plain } else { Form::Elastic };
    let nexmark = NexmarkForm { query, form, dilation: args.nexmark.dilation, active: None };
    let job = scenario(args, format!("NEXMark {query}"), read, between, deployment);
    let mut scenario = Scenario { nexmark: Some(nexmark), ..job };
    args.uneven.apply(&mut scenario)?;
    apply_load(args, &mut scenario, rate, query.kinds().share())?;
    Ok(scenario)
}

/// Gives the source the load that was asked for, if one was.
fn apply_load(args: &Args, scenario: &mut Scenario, rate: Rate, share: f64) -> Result<(), Failure> {
    let given = args.rate.is_some();
    args.load.as_ref().map_or(Ok(()), |load| run_load::apply(load, scenario, (rate, given), share, MOST_RECORDS_PER_SECOND))
}

/// Limits by operator, of a text such as `winner=20k/s,average=500/s`, or `none`.
fn limits<'a>(text: &'a str, names: &[&'a str]) -> Result<BTreeMap<&'a str, Rate>, Failure> {
    let mut limits = BTreeMap::new();
    if text == "none" {
        return Ok(limits);
    }
    for part in text.split(',').map(str::trim) {
        let wrong = |what: String| usage(anyhow!("--limits: expected 'none' or limits such as '{}=20k/s', {what}", names[0]));
        let (name, rate) = part.split_once('=').ok_or_else(|| wrong(format!("found '{part}'")))?;
        let rate: Rate = rate.trim().parse().map_err(|why| wrong(format!("{why}")))?;
        let Some(name) = names.iter().find(|known| **known == name.trim()) else {
            let all: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
            return Err(wrong(format!("for the operators {}, found '{name}'", all.join(" and "))));
        };
        if rate <= Rate::ZERO || limits.insert(*name, rate).is_some() {
            return Err(wrong(format!("each more than 0 and given once, found '{part}'")));
        }
    }
    Ok(limits)
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
