//! `thalweg reproduce` for experiments in virtual time.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use super::Failure;
use super::plot::draw;
use super::reproduce::{Args, out_folder};
use super::reproduced::{check_policies, runs_bar};
use crate::experiment::environment::Environment;
use crate::experiment::folder;
use crate::experiment::record::{self, DEFINITION, Manifest};
use crate::experiment::run::RunResult;
use crate::experiment::scenario::Scenario;
use crate::experiment::simulated_figure::{Drawn, Outcome, Run, SimulatedDefinition, SimulatedRow};
use crate::report::simulated_table;

/// What `reproduce --json` prints.
#[derive(serde::Serialize)]
struct Reproduced<'a> {
    figure: &'a str,
    host: &'static str,
    scale: String,
    environment: Environment,
    runs: Vec<SimulatedRow>,
    violations: Vec<String>,
    rows_file: PathBuf,
    figure_files: Vec<PathBuf>,
}

pub(super) fn reproduce(args: &Args, definition: &SimulatedDefinition) -> Result<(), Failure> {
    let known: Vec<&str> = definition.policies.iter().map(|choice| choice.name.as_str()).collect();
    check_policies(args, &definition.figure, &known)?;
    let environment = Environment::here();
    let out = out_folder(args.out.as_deref(), &format!("{}-{}", definition.figure, args.scale), &environment)?;
    let rows_file = out.join(folder::SIMULATED);
    // Seeds that follow each other are a repetition here: the definition says how many make a result.
    let runs: Vec<Run> = (0..args.repeat)
        .flat_map(|repeat| definition.runs(args.scale, args.seed + repeat * definition.most_seeds(args.scale), &args.policies))
        .collect();
    let bar = runs_bar(runs.len());
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(runs.len());
    for run in &runs {
        bar.set_message(format!("{} under {}", run.case.label, run.policy.name));
        let (outcome, scenario, result) = run.run().with_context(|| format!("'{}' under '{}'", run.case.label, run.policy.name))?;
        if definition.drawn == Drawn::Timeline && run.case == &definition.cases[0] && run.start == 0 && run.seed == args.seed {
            keep(&out.join(&run.policy.name), args, run, &scenario, &result)?;
        }
        outcomes.push(outcome);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let rows: Vec<SimulatedRow> = outcomes.iter().map(|outcome| outcome.row.clone()).collect();
    folder::write_csv(&rows_file, &rows)?;
    folder::write_text(&out.join(DEFINITION), &toml::to_string(definition).context("the definition as TOML")?)?;
    let figure_files = if definition.drawn == Drawn::Timeline { draw(&out)? } else { Vec::new() };
    let violations: Vec<String> = definition.expect.iter().flat_map(|expected| expected.violations(&outcomes)).collect();
    if args.json {
        let (figure, scale, violations) = (definition.figure.as_str(), args.scale.to_string(), violations.clone());
        let reproduced = Reproduced { figure, host: "sim", scale, environment, runs: rows, violations, rows_file, figure_files };
        println!("{}", serde_json::to_string(&reproduced)?);
    } else {
        println!("{}\n", definition.title);
        print!("{}", simulated_table(&rows));
        println!("\nrows    {}", rows_file.display());
        figure_files.iter().for_each(|file| println!("figure  {}", file.display()));
        violations.iter().for_each(|violation| println!("not as expected: {violation}"));
    }
    if args.check && !violations.is_empty() {
        return Err(Failure::Run(anyhow!("not as expected: {}", violations.join("; "))));
    }
    Ok(())
}

/// Writes the folder of a run, as `simulate` does.
fn keep(folder: &Path, args: &Args, run: &Run<'_>, scenario: &Scenario, result: &RunResult) -> Result<(), Failure> {
    let topology = &result.topology;
    let (operators, scalable) = Manifest::names(topology);
    let needed = result.needed.first().into_iter().flat_map(|(_, needed)| needed);
    let manifest = Manifest {
        experiment: run.figure.to_owned(),
        policy: run.policy.name.clone(),
        host: "sim".to_owned(),
        scale: args.scale.to_string(),
        seed: run.seed,
        seconds: scenario.seconds,
        time_factor: scenario.control.time_factor,
        strategy: scenario.control.strategy.to_string(),
        environment: Environment::here(),
        text: "-".to_owned(),
        operators,
        scalable,
        needed: needed.map(|(&id, &instances)| (topology.operator(id).name.clone(), instances)).collect(),
        job: None,
        nexmark: None,
        scenario: Some(scenario.clone()),
    };
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    record::write(folder, &manifest, result)?;
    Ok(())
}
