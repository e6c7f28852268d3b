//! `thalweg simulate`: runs a scenario under a policy in virtual time.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::calibrate::calibrate;
use super::failure::{Failure, usage};
use super::interrupted::{self, Meanwhile};
use super::live::Live;
use super::outcome::OutcomeArgs;
use super::pace::{Pace, Paced};
use super::policy::{PolicyArgs, policy_help};
use super::reproduce::list;
use super::watched::WatchArgs;
use crate::experiment::environment::Environment;
use crate::experiment::record::{Manifest, ROW_WINDOW};
use crate::experiment::run::RunFailure;
use crate::experiment::scenario::Scenario;
use crate::experiment::simulated::{SimulatedSpec, best, needs, simulate_steered};

/// Run a scenario under a policy in virtual time: minutes of a job of any size within a second.
///
/// A scenario defines operator speeds, selectivities and faults. The simulator uses the same
/// controller, policies and migration code as the engine. The same scenario, policy and seed
/// produce the same rows and decisions, byte for byte. Ctrl-C keeps what has been simulated so far
/// (exit code 130).
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  thalweg simulate heron-wordcount --policy dhalion\n  thalweg simulate my-scenario.toml --seed 7 --json\n  \
                        thalweg simulate --list\n  \
                        thalweg simulate heron-wordcount --pace 10x --live\n  \
                        thalweg simulate --calibrate runs/my-run && thalweg simulate runs/my-run/calibrated.toml"
)]
pub(super) struct Args {
    /// A scenario file, or the name of a built-in scenario (see --list).
    #[arg(required_unless_present_any = ["list", "calibrate"])]
    scenario: Option<String>,
    /// Calibrate a scenario from the activity log of a recorded run ('run --record'). It is written
    /// as calibrated.toml to the run's folder, or to --out.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["scenario", "list", "policy", "seed", "seconds", "record", "live", "report", "pace"])]
    calibrate: Option<PathBuf>,
    /// List the built-in scenarios.
    #[arg(long)]
    list: bool,
    #[arg(long, help = format!("{} [default: the scenario's]", policy_help()))]
    policy: Option<String>,
    #[command(flatten)]
    chosen: PolicyArgs,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Length of the run in seconds of virtual time [default: the scenario's]
    #[arg(long, allow_hyphen_values = true)]
    seconds: Option<f64>,
    /// Slow virtual time down to a multiple of real time, such as 10x, to watch it [default: as fast as possible]
    #[arg(long, value_name = "FACTOR", allow_hyphen_values = true)]
    pace: Option<Pace>,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    outcome: OutcomeArgs,
}

pub(super) fn simulate(args: &Args) -> Result<(), Failure> {
    if args.list {
        let title =
            |name: &str| Scenario::text(name).and_then(|text| Scenario::read(text).ok()).map_or(String::new(), |scenario| scenario.title);
        return list(Scenario::names(), title, args.outcome.json);
    }
    if let Some(run) = &args.calibrate {
        return calibrate(run, args.outcome.out.as_deref(), args.outcome.json);
    }
    let asked = args.scenario.as_deref().expect("clap asks for a scenario");
    let mut scenario = read(asked)?;
    if let Some(seconds) = args.seconds {
        scenario.seconds = seconds;
        // A scenario that is valid for one length may be invalid for another.
        let text = toml::to_string(&scenario).map_err(|why| usage(anyhow!("--seconds: {why}")))?;
        scenario = Scenario::read(&text).map_err(|why| usage(anyhow!("--seconds: {}", why.what)))?;
    }
    if let Some(policy) = &args.policy {
        scenario.control.policy.clone_from(policy);
    }
    scenario.can_be_simulated().map_err(|why| usage(anyhow!("{asked}: {why}")))?;
    let scenario = scenario.drawn(args.seed);
    let job = scenario.job();
    let topology = job.topology.clone();
    let best = best(&topology, &needs(&job));
    let policy = args.chosen.policy(&scenario.control.policy, &topology, scenario.control.time_factor, best, true)?;
    let environment = Environment::here();
    let stem = Path::new(asked).file_stem().map_or("scenario".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let name = scenario.control.policy.clone();
    let manifest = Manifest {
        experiment: stem.clone(),
        seed: args.seed,
        environment: environment.clone(),
        ..Manifest::of_scenario(&scenario, &topology, &needs(&job))
    };
    let mut watched = args.watch.begin(&manifest, &topology)?;
    let out = args.outcome.folder(&format!("simulate-{stem}-{name}"), &stem, &environment)?;
    let mut live = (!watched.has_terminal()).then(|| Live::new(&name, &topology, job.duration));
    let spec = SimulatedSpec {
        job,
        seed: args.seed,
        controller: scenario.controller(),
        policy,
        row_window: scenario.row_window().unwrap_or(ROW_WINDOW),
    };
    let activity = args.outcome.activity(&out);
    interrupted::listen(Meanwhile::Measures)?;
    let paced = args.pace.map(Paced::start);
    let result = simulate_steered(spec, watched.commands(), activity.as_deref(), |status| {
        if let Some(paced) = &paced {
            paced.wait(status.observation.window.end);
        }
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
    args.outcome.keep(out, &manifest, result, true, |_| Default::default())?;
    args.watch.report(&folder, &manifest)
}

/// The built-in scenario of that name, or the scenario in that file.
pub(super) fn read(asked: &str) -> Result<Scenario, Failure> {
    let path = Path::new(asked);
    let text = match Scenario::text(asked) {
        Some(text) if !path.is_file() => text.to_owned(),
        _ => std::fs::read_to_string(path).map_err(|why| {
            let known: Vec<String> = Scenario::names().map(|name| format!("'{name}'")).collect();
            usage(anyhow!("{asked}: expected a scenario file or one of {}: {why}", known.join(", ")))
        })?,
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    Scenario::read_in(&text, folder).map_err(|error| usage(anyhow!("{asked}, {error}")))
}
