//! `thalweg reproduce`: an experiment from its definition to its figure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::live::Live;
use super::plot::draw;
use super::{Failure, usage};
use crate::experiment::definition::{Definition, FIGURES, Scale};
use crate::experiment::environment::Environment;
use crate::experiment::record::{self, Manifest, Summary};
use crate::experiment::rows::RunRow;
use crate::experiment::run::{RunSpec, run};
use crate::experiment::{folder, policies};
use crate::migration::Strategy;
use crate::report;
use crate::workload::Text;

/// Reproduce a figure of a paper: run the experiment, draw it, print the paper's numbers beside ours.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The figure; see --list.
    #[arg(required_unless_present = "list")]
    figure: Option<String>,
    /// List the figures that can be reproduced.
    #[arg(long)]
    list: bool,
    /// How long to run: quick (minutes) or full.
    #[arg(long, default_value_t = Scale::Quick)]
    scale: Scale,
    /// Run only these policies (comma-separated); all of the figure by default.
    #[arg(long, value_delimiter = ',', value_name = "POLICY")]
    policies: Vec<String>,
    /// Index of the first sentence of the text: another seed, another sample.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder for rows and figures; a new one below runs/ by default.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Fail when a run does not show what the experiment's definition expects.
    #[arg(long)]
    check: bool,
}

/// What `reproduce --json` prints.
#[derive(serde::Serialize)]
struct Reproduced {
    figure: String,
    host: &'static str,
    scale: String,
    time_factor: f64,
    environment: Environment,
    runs: Vec<Summary>,
    violations: Vec<String>,
    rows_file: PathBuf,
    figure_files: Vec<PathBuf>,
}

pub(super) fn reproduce(args: &Args) -> Result<(), Failure> {
    if args.list {
        return list(args);
    }
    let figure = args.figure.as_deref().expect("clap asks for a figure");
    let definition = Definition::named(figure).map_err(usage)?;
    for policy in &args.policies {
        if !definition.runs.iter().any(|run| run.policy == *policy) {
            let known: Vec<_> = definition.runs.iter().map(|run| format!("'{}'", run.policy)).collect();
            return Err(usage(anyhow!("--policies: expected policies of {figure}, among {}, found '{policy}'", known.join(", "))));
        }
    }
    let environment = Environment::here();
    let out = out_folder(args.out.as_deref(), &format!("{figure}-{}", args.scale), &environment)?;
    let rows_file = out.join(folder::ROWS);
    let text = Arc::new(Text::liber_primus(definition.job.sentence_length()));
    let needed = definition.job.needed(&text);
    let topology = definition.job.word_count(Arc::clone(&text), args.seed, Duration::ZERO).topology();
    let needed_by_name: BTreeMap<String, u32> =
        needed.iter().map(|(&id, &instances)| (topology.operator(id).name.clone(), instances)).collect();
    let mut rows: Vec<RunRow> = Vec::new();
    let mut summaries = Vec::new();
    let asked = definition.runs.iter().filter(|run| args.policies.is_empty() || args.policies.contains(&run.policy));
    for policy_run in asked {
        let duration = policy_run.seconds.at(args.scale);
        let job = definition.job.word_count(Arc::clone(&text), args.seed, duration);
        let policy = policies::policy(&policy_run.policy, &topology, definition.time_factor).map_err(usage)?;
        let controller = policies::pacing(definition.time_factor, Strategy::AllAtOnce);
        let manifest = Manifest {
            experiment: figure.to_owned(),
            policy: policy_run.policy.clone(),
            host: "engine".to_owned(),
            scale: args.scale.to_string(),
            seed: args.seed,
            seconds: duration.as_secs_f64(),
            time_factor: definition.time_factor,
            strategy: controller.strategy.to_string(),
            environment: Environment::here(),
            text: "liber-primus (lipsum)".to_owned(),
            operators: topology.scalable().map(|operator| operator.name.clone()).collect(),
            needed: needed_by_name.clone(),
            job: definition.job.clone(),
        };
        let mut live = Live::new(&policy_run.policy, &topology, duration);
        let spec = RunSpec { job, controller, policy, row_window: record::ROW_WINDOW, needed: needed.clone() };
        let result = run(spec, None, |status| live.show(status));
        live.finish();
        rows.push(record::row(&manifest, &topology, result.as_ref()));
        folder::write_csv(&rows_file, &rows)?;
        let result = result.with_context(|| format!("the run of '{}' failed", policy_run.policy))?;
        let run_folder = out.join(&policy_run.policy);
        std::fs::create_dir(&run_folder).with_context(|| run_folder.display().to_string())?;
        record::write(&run_folder, &manifest, &result)?;
        summaries.push(Summary::of(&policy_run.policy, &result));
    }
    folder::write_text(&out.join(record::DEFINITION), &toml::to_string(&definition).context("the definition as TOML")?)?;
    let figure_files = draw(&out)?;
    let expected = |summary: &Summary| definition.expect.iter().find(|expect| expect.policy == summary.policy).cloned();
    let violated = |summary: &Summary| expected(summary).map_or(Vec::new(), |expect| expect.violations(summary, &needed_by_name));
    let violations: Vec<String> = summaries.iter().flat_map(violated).collect();
    if args.json {
        let reproduced = Reproduced {
            figure: figure.to_owned(),
            host: "engine",
            scale: args.scale.to_string(),
            time_factor: definition.time_factor,
            environment,
            runs: summaries,
            violations: violations.clone(),
            rows_file,
            figure_files,
        };
        println!("{}", serde_json::to_string(&reproduced)?);
    } else {
        println!("{}\n", definition.title);
        print!("{}", report::comparison(&rows, &definition.paper, definition.time_factor));
        println!("\nrows    {}", rows_file.display());
        figure_files.iter().for_each(|file| println!("figure  {}", file.display()));
        violations.iter().for_each(|violation| println!("not as expected: {violation}"));
    }
    if args.check && !violations.is_empty() {
        return Err(Failure::Run(anyhow!("not as expected: {}", violations.join("; "))));
    }
    Ok(())
}

fn list(args: &Args) -> Result<(), Failure> {
    let titles: BTreeMap<&str, String> =
        FIGURES.iter().map(|(name, _)| (*name, Definition::named(name).map_or(String::new(), |definition| definition.title))).collect();
    if args.json {
        println!("{}", serde_json::to_string(&titles)?);
    } else {
        titles.iter().for_each(|(name, title)| println!("{name:<12} {title}"));
    }
    Ok(())
}

/// The folder a command writes to: the one that was asked for, which must be new or empty, or a new one below `runs/`.
pub(super) fn out_folder(asked: Option<&Path>, name: &str, environment: &Environment) -> Result<PathBuf, Failure> {
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
    let used = out.is_file() || out.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    if used {
        return Err(usage(anyhow!("--out {}: expected a new or empty folder, found something there", out.display())));
    }
    std::fs::create_dir_all(&out).map_err(|why| usage(anyhow!("--out {}: cannot be made: {why}", out.display())))?;
    Ok(out)
}
