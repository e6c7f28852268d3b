//! `thalweg reproduce`: runs an experiment from its definition to its figure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::interrupted::{self, Meanwhile};
use super::live::Live;
use super::plot::draw;
use super::report::tables;
use super::reproduced::{Reproduced, check_policies};
use super::{
    Failure, reproduce_all, reproduce_fidelity, reproduce_latency, reproduce_migration, reproduce_overhead, reproduce_ranking,
    reproduce_simulated, reproduce_suite, usage,
};
use crate::dataflow::Topology;
use crate::experiment::definition::{Definition, PolicyRun, Scale};
use crate::experiment::environment::Environment;
use crate::experiment::figures::Figure;
use crate::experiment::out_folder::{Fills, OutFolder};
use crate::experiment::record::{self, Manifest, Summary};
use crate::experiment::rows::RunRow;
use crate::experiment::run::{RunFailure, RunSpec, run};
use crate::experiment::simulated::{SimulatedSpec, simulate};
use crate::experiment::suite::Cases;
use crate::experiment::{folder, policies};
use crate::id::OperatorId;
use crate::migration::Strategy;
use crate::workload::Text;

/// Reproduce a figure of a paper: run the experiment, plot it, print the paper's numbers beside
/// ours.
///
/// Ctrl-C keeps the rows measured so far (exit code 130); a second Ctrl-C ends the command
/// immediately.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The figure (see --list), or 'all' for every figure and a page that compares claims with
    /// measurements.
    #[arg(required_unless_present = "list")]
    pub(super) figure: Option<String>,
    /// List the figures that can be reproduced.
    #[arg(long)]
    list: bool,
    /// Size of the runs: quick (minutes) or full.
    #[arg(long, default_value_t = Scale::Quick)]
    pub(super) scale: Scale,
    /// Where jobs run: engine, or sim for virtual time (figures that compare policies only)
    /// [default: engine]. A suite runs in virtual time, at full scale also on the engine; with
    /// '--host engine' only its cases that run on both.
    #[arg(long, value_parser = ["engine", "sim"])]
    host: Option<String>,
    /// With 'all': only these figures (comma-separated).
    #[arg(long, value_delimiter = ',', value_name = "FIGURE")]
    only: Vec<String>,
    /// Run only these policies (comma-separated) [default: all of the figure]
    #[arg(long, value_delimiter = ',', value_name = "POLICY")]
    pub(super) policies: Vec<String>,
    /// Run only these cases of a suite, or queries of nexmark-overhead and ds2-fig10
    /// (comma-separated) [default: all]
    #[arg(long, value_delimiter = ',', value_name = "CASE")]
    pub(super) cases: Vec<String>,
    /// Seed: index of the first sentence of the text, or seed of the random numbers.
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Repeat each run N times with consecutive seeds; report medians.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(super) repeat: u64,
    /// Output folder [default: a new one in runs/]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(super) json: bool,
    /// Exit with code 1 if a run fails a check of the experiment's definition.
    #[arg(long)]
    pub(super) check: bool,
}

impl Args {
    /// Whether a job may run on the engine. Runs in virtual time migrate no real state, and are a
    /// third slower with an allocator that returns all freed memory.
    pub(super) fn on_engine(&self) -> bool {
        match self.figure.as_deref().map(Figure::named) {
            None | Some(Ok(Figure::Simulated(_))) => false,
            Some(Ok(Figure::Suite(suite))) => self.which_cases() != Cases::InVirtualTime || suite.is_for_both_hosts(),
            _ => self.host() == "engine",
        }
    }

    /// The figures run by 'all'.
    pub(super) fn only_or_all(&self) -> Result<Vec<String>, Failure> {
        if !self.policies.is_empty() || !self.cases.is_empty() || self.host.is_some() || self.repeat != 1 || self.seed != 0 {
            return Err(usage(anyhow!(
                "all: expected no --policies, --cases, --host, --repeat or --seed: 'all' runs the definitions as they are"
            )));
        }
        self.only.iter().try_for_each(|figure| Figure::named(figure).map(|_| ()).map_err(usage))?;
        let asked = |name: &&str| self.only.is_empty() || self.only.iter().any(|only| only == name);
        Ok(Figure::names().filter(asked).map(str::to_owned).collect())
    }

    /// Where the jobs of a figure of policies run.
    fn host(&self) -> &str {
        self.host.as_deref().unwrap_or("engine")
    }

    /// Which cases of a suite are run.
    pub(super) fn which_cases(&self) -> Cases {
        match (self.host.as_deref(), self.scale) {
            (Some("engine"), _) => Cases::OnBothHosts,
            (None, Scale::Full) => Cases::All,
            _ => Cases::InVirtualTime,
        }
    }
}

/// An experiment that is being run.
struct Experiment<'a> {
    args: &'a Args,
    definition: Definition,
    text: Arc<Text>,
    topology: Topology,
    needed: BTreeMap<OperatorId, u32>,
    needed_by_name: BTreeMap<String, u32>,
}

pub(super) fn reproduce(args: &Args) -> Result<(), Failure> {
    reproduce_all::end_with_who_waits();
    if args.list {
        return list(args);
    }
    let figure = args.figure.as_deref().expect("clap asks for a figure");
    if figure == "all" {
        return reproduce_all::reproduce_all(args);
    }
    interrupted::listen(Meanwhile::Measures)?;
    if !args.only.is_empty() {
        return Err(usage(anyhow!("--only: requires 'all', found {figure}")));
    }
    let definition = match Figure::named(figure).map_err(usage)? {
        Figure::Suite(definition) => return reproduce_suite::reproduce(args, &definition),
        other if !args.cases.is_empty() && !matches!(other, Figure::Overhead(_)) => {
            return Err(usage(anyhow!("--cases: {figure} has none ({})", other.title())));
        }
        Figure::Policies(definition) => *definition,
        Figure::Simulated(definition) => return reproduce_simulated::reproduce(args, &definition),
        other if !args.policies.is_empty() => return Err(usage(anyhow!("--policies: {figure} has none ({})", other.title()))),
        other if args.host() == "sim" => return Err(usage(anyhow!("--host sim: {figure} runs on the engine alone ({})", other.title()))),
        Figure::Migration(definition) => return reproduce_migration::reproduce(args, &definition),
        Figure::Ranking(definition) => return reproduce_ranking::reproduce(args, &definition),
        Figure::Overhead(definition) => return reproduce_overhead::reproduce(args, &definition),
        Figure::Fidelity(definition) => return reproduce_fidelity::reproduce(args, &definition),
        Figure::WindowLatency(definition) => return reproduce_latency::reproduce(args, &definition),
    };
    let known: Vec<&str> = definition.runs.iter().map(|run| run.policy.as_str()).collect();
    check_policies(args, figure, &known)?;
    let environment = Environment::here();
    let out = out_folder(args.out.as_deref(), &format!("{figure}-{}", args.scale), figure, &environment)?;
    let experiment = Experiment::new(args, definition);
    let definition = &experiment.definition;
    let rows_file = out.join(folder::ROWS);
    let (mut rows, mut runs, mut figure_files) = (Vec::new(), Vec::new(), Vec::new());
    for seed in (args.seed..).take(args.repeat as usize) {
        let out = if args.repeat == 1 { out.to_path_buf() } else { out.join(format!("seed-{seed}")) };
        folder::create_dir_all(&out).with_context(|| out.display().to_string())?;
        folder::write_text(&out.join(record::DEFINITION), &toml::to_string(definition).context("the definition as TOML")?)?;
        for policy_run in definition.runs.iter().filter(|run| args.policies.is_empty() || args.policies.contains(&run.policy)) {
            runs.push(experiment.run(policy_run, seed, &out, |row| {
                rows.push(row);
                Ok(folder::write_csv(&rows_file, &rows)?)
            })?);
        }
        figure_files.extend(draw(&out)?);
    }
    let violations: Vec<String> = runs.iter().flat_map(|summary| experiment.violations(summary)).collect();
    let reproduced = Reproduced {
        figure,
        host: args.host(),
        scale: args.scale.to_string(),
        time_factor: Some(definition.time_factor),
        environment,
        runs,
        violations,
        rows_file,
        figure_files,
        folder: out,
    };
    reproduced.tell(args, &definition.title, || tables(&rows, &definition.paper, definition.time_factor))
}

impl<'a> Experiment<'a> {
    fn new(args: &'a Args, definition: Definition) -> Experiment<'a> {
        let text = Arc::new(Text::liber_primus(definition.job.sentence_length()));
        let topology = definition.job.word_count(Arc::clone(&text), 0, Duration::ZERO).topology();
        let needed = definition.job.needed(&text);
        let needed_by_name = needed.iter().map(|(&id, &instances)| (topology.operator(id).name.clone(), instances)).collect();
        Experiment { args, definition, text, topology, needed, needed_by_name }
    }

    /// Runs one policy and writes its folder into `out`; `keep` takes the row of the run, whether
    /// it has a result or failed.
    fn run(
        &self,
        policy_run: &PolicyRun,
        seed: u64,
        out: &Path,
        keep: impl FnOnce(RunRow) -> Result<(), Failure>,
    ) -> Result<Summary, Failure> {
        let Experiment { args, definition, topology, .. } = self;
        let name = &policy_run.policy;
        let duration = policy_run.seconds.at(args.scale);
        let policy = policies::policy(name, topology, definition.time_factor).map_err(usage)?;
        let controller = policies::pacing(definition.time_factor, Strategy::AllAtOnce);
        let (operators, scalable) = Manifest::names(topology);
        let manifest = Manifest {
            experiment: definition.figure.clone(),
            policy: name.clone(),
            host: args.host().to_owned(),
            scale: args.scale.to_string(),
            seed,
            seconds: duration.as_secs_f64(),
            time_factor: definition.time_factor,
            strategy: controller.strategy.to_string(),
            environment: Environment::here(),
            text: "liber-primus (lipsum)".to_owned(),
            operators,
            scalable,
            needed: self.needed_by_name.clone(),
            job: Some(definition.job.clone()),
            nexmark: None,
            scenario: None,
        };
        let mut live = Live::new(name, topology, duration);
        let row_window = record::ROW_WINDOW;
        let result = if args.host() == "sim" {
            let job = definition.job.scenario(&definition.title, self.text.words_per_sentence(), duration).job();
            simulate(SimulatedSpec { job, seed, controller, policy, row_window }, None, |status| live.show(status))
        } else {
            let job = definition.job.word_count(Arc::clone(&self.text), seed, duration);
            let spec = RunSpec { job, controller, policy, row_window, needed: self.needed.clone() };
            run(spec, None, |status| live.show(status))
        };
        live.finish(result.as_ref());
        keep(record::row(&manifest, topology, result.as_ref()))?;
        if let Some(measured) = result.as_ref().map_or_else(RunFailure::partial, Some) {
            let run_folder = out.join(name);
            folder::create_dir_all(&run_folder).with_context(|| run_folder.display().to_string())?;
            record::write(&run_folder, &manifest, measured)?;
        }
        let result = result.with_context(|| format!("the run of '{name}' failed"))?;
        Ok(Summary::of(&manifest, &result))
    }

    fn violations(&self, summary: &Summary) -> Vec<String> {
        let expected = self.definition.expect.iter().filter(|expectation| expectation.policy == summary.policy);
        expected.flat_map(|expectation| expectation.violations(summary, &self.needed_by_name)).collect()
    }
}

fn list(args: &Args) -> Result<(), Failure> {
    let title = |name| Figure::named(name).map_or(String::new(), |figure| figure.title().to_owned());
    let titles: BTreeMap<&str, String> = Figure::names().map(|name| (name, title(name))).collect();
    if args.json {
        println!("{}", serde_json::to_string(&titles)?);
    } else {
        titles.iter().for_each(|(name, title)| println!("{name:<16} {title}"));
    }
    Ok(())
}

/// The folder a command writes to: the one that was asked for, which must be new, empty, or half
/// made by the same command, or a new one below `runs/`. `figure` is the stem of the figures that
/// are drawn into it.
pub(super) fn out_folder(asked: Option<&Path>, name: &str, figure: &str, environment: &Environment) -> Result<OutFolder, Failure> {
    let compact: String = environment.started_utc.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let out = match asked {
        Some(out) => out.to_owned(),
        None => {
            let base = Path::new("runs").join(format!("{name}-{compact}"));
            // Two runs may begin within a second.
            let later = (2..).map(|n| base.with_file_name(format!("{name}-{compact}-{n}")));
            std::iter::once(base.clone()).chain(later).find(|out| !out.exists()).unwrap_or(base)
        }
    };
    begin(&out, Fills { name, figure, kept_with: None })
}

/// Begins the folder `out`.
pub(super) fn begin(out: &Path, fills: Fills<'_>) -> Result<OutFolder, Failure> {
    let begun = OutFolder::begin(out, fills).map_err(|why| usage(anyhow!("--out {}: {why}", out.display())))?;
    interrupted::fills(out);
    Ok(begun)
}
