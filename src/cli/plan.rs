//! `thalweg plan`: the smallest configuration for a rate and a latency.

use std::path::Path;

use anyhow::anyhow;

use super::failure::{Failure, usage};
use super::simulate;
use crate::experiment::calibration::calibrate;
use crate::experiment::folder;
use crate::experiment::plan::{Ask, LatencyGoal, PlanError, Planned, plan as planned};
use crate::experiment::record::{Manifest, read_toml};
use crate::experiment::scenario::Scenario;
use crate::rate::Rate;

/// Find the smallest configuration that keeps a latency at a rate, by simulating the job.
///
/// The job is a scenario, a run that was recorded ('run --record'), which is calibrated first, or a
/// simulated run. Below the plan: what other rates would need. The exit code is 1 if no
/// configuration within the bounds and the budget keeps the goal.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  thalweg plan heron-wordcount --rate 2000000/min --goal p99=400ms\n  thalweg plan runs/my-run --rate 50k/s --goal p99=400ms --budget 40"
)]
pub(super) struct Args {
    /// A scenario (a file or a built-in name) or the folder of a run.
    job: String,
    /// The rate of all sources together, such as 50k/s.
    #[arg(long, allow_hyphen_values = true)]
    rate: String,
    /// The latency to keep, such as p99=400ms; p50 and max are known too.
    #[arg(long, value_name = "LATENCY", allow_hyphen_values = true)]
    goal: String,
    /// The most instances of all operators together.
    #[arg(long, value_name = "N")]
    budget: Option<u32>,
    /// How many runs each configuration is judged by.
    #[arg(long, default_value_t = 5, value_name = "N")]
    seeds: u64,
    /// Length of each of them in seconds of virtual time.
    #[arg(long, default_value_t = 30.0, allow_hyphen_values = true)]
    seconds: f64,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Parts of the rate for which the table has a line.
const PARTS: [f64; 4] = [0.5, 1.0, 1.5, 2.0];

pub(super) fn plan(args: &Args) -> Result<(), Failure> {
    let rate: Rate = args.rate.parse().map_err(|why| usage(anyhow!("--rate: {why}")))?;
    let goal: LatencyGoal = args.goal.parse().map_err(|why| usage(anyhow!("--goal: {why}")))?;
    let scenario = job(&args.job)?;
    let ask = Ask { rate, goal, budget: args.budget, seeds: args.seeds, seconds: args.seconds };
    let of = |part: f64| {
        let ask = Ask { rate: Rate::per_second(rate.as_per_second() * part), ..ask.clone() };
        planned(&scenario, &ask).map_err(|why| match why {
            PlanError::Wrong(what) => usage(anyhow!("{}: {what}", args.job)),
            PlanError::Run(failure) => Failure::Run(failure.into()),
        })
    };
    let lines = PARTS.into_iter().map(of).collect::<Result<Vec<Planned>, Failure>>()?;
    let found = &lines[1];
    if args.json {
        println!("{}", serde_json::json!({ "job": args.job, "goal": goal, "budget": args.budget, "plan": found, "rates": lines }));
    } else {
        tell(found, &lines, &args.goal);
    }
    if found.is_enough() {
        return Ok(());
    }
    let within = args.budget.map_or("its bounds".to_owned(), |budget| format!("a budget of {budget}"));
    Err(Failure::Run(anyhow!("no configuration within {within} was found that keeps {} at {}", args.goal, rate)))
}

/// The scenario of that name or file, or the one that a run tells.
fn job(asked: &str) -> Result<Scenario, Failure> {
    let run = Path::new(asked);
    if !run.is_dir() {
        return simulate::read(asked);
    }
    if run.join(folder::ACTIVITY).is_file() {
        return Ok(calibrate(run).map_err(usage)?.scenario);
    }
    let manifest: Manifest = read_toml(&run.join(folder::RUN)).map_err(usage)?;
    let of_simulation = manifest.scenario.filter(|_| manifest.host == "sim");
    let scenario = of_simulation.ok_or_else(|| usage(anyhow!("{asked}: expected a run with its activity ('run --record'), found none")))?;
    scenario.check().map_err(|why| usage(anyhow!("{asked}: {why}")))?;
    Ok(scenario)
}

fn tell(found: &Planned, lines: &[Planned], goal: &str) {
    let milliseconds = |ms: Option<f64>| ms.map_or("does not keep up".to_owned(), |ms| format!("{ms:.1} ms"));
    let written = |one: &Planned| one.configuration.iter().map(|(name, count)| format!("{name}={count}")).collect::<Vec<_>>().join(" ");
    let range = found.p99_ms_range.map_or(String::new(), |(least, most)| format!(" ({least:.1} to {most:.1})"));
    println!("configuration       {}", written(found));
    println!("instances           {}", found.instances);
    println!("latency             p50 {}, p99 {}{range}", milliseconds(found.p50_ms), milliseconds(found.p99_ms));
    println!("confidence          {} of {} runs kept {goal}", found.met, found.runs);
    println!("\n{:>9}  {:>12}  {:>18}  {:>6}  configuration", "instances", "rate", "p99", "kept");
    for line in lines {
        let rate = Rate::per_second(line.rate_per_s).to_string();
        let kept = format!("{}/{}", line.met, line.runs);
        println!("{:>9}  {rate:>12}  {:>18}  {kept:>6}  {}", line.instances, milliseconds(line.p99_ms), written(line));
    }
}
