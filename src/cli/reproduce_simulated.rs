//! `thalweg reproduce` for experiments in virtual time.

use std::path::Path;
use std::sync::Mutex;

use anyhow::Context as _;
use rayon::prelude::*;

use super::Failure;
use super::plot::draw;
use super::reproduce::{Args, out_folder};
use super::reproduced::{Reproduced, check_policies, runs_bar};
use crate::experiment::environment::Environment;
use crate::experiment::record::{self, DEFINITION, Manifest};
use crate::experiment::run::RunResult;
use crate::experiment::scenario::Scenario;
use crate::experiment::simulated_figure::{Drawn, Outcome, Run, SimulatedDefinition, SimulatedRow};
use crate::experiment::{folder, interrupt};
use crate::report::simulated_table;

pub(super) fn reproduce(args: &Args, definition: &SimulatedDefinition) -> Result<(), Failure> {
    let known: Vec<&str> = definition.policies.iter().map(|choice| choice.name.as_str()).collect();
    check_policies(args, &definition.figure, &known)?;
    let environment = Environment::here();
    let out = out_folder(args.out.as_deref(), &format!("{}-{}", definition.figure, args.scale), &definition.figure, &environment)?;
    let rows_file = out.join(folder::SIMULATED);
    // Seeds that follow each other are a repetition here: the definition says how many make a
    // result.
    let runs: Vec<Run> = (0..args.repeat)
        .flat_map(|repeat| definition.runs(args.scale, args.seed + repeat * definition.most_seeds(args.scale), &args.policies))
        .collect();
    let bar = runs_bar(runs.len());
    let drawn =
        |run: &Run| definition.drawn == Drawn::Timeline && run.case == &definition.cases[0] && run.start == 0 && run.seed == args.seed;
    // What there is if somebody interrupts them.
    let measured: Mutex<Vec<SimulatedRow>> = Mutex::default();
    let one = |run: &Run| {
        let (outcome, scenario, result) = run.run().with_context(|| format!("'{}' under '{}'", run.case.label, run.policy.name))?;
        if drawn(run) {
            keep(&out.join(&run.policy.name), args, run, &scenario, &result)?;
        }
        bar.set_message(format!("{} under {}", run.case.label, run.policy.name));
        bar.inc(1);
        measured.lock().expect("nobody panics with it").push(outcome.row.clone());
        Ok(outcome)
    };
    // Runs side by side would wait for each other, and take that for time of their decisions.
    let outcomes: Result<Vec<Outcome>, Failure> =
        if definition.times_decisions() { runs.iter().map(one).collect() } else { runs.par_iter().map(one).collect() };
    if interrupt::asked() {
        folder::write_csv(&rows_file, &measured.into_inner().expect("nobody panics with it"))?;
    }
    let outcomes = outcomes?;
    bar.finish_and_clear();
    let rows: Vec<SimulatedRow> = outcomes.iter().map(|outcome| outcome.row.clone()).collect();
    folder::write_csv(&rows_file, &rows)?;
    folder::write_text(&out.join(DEFINITION), &toml::to_string(definition).context("the definition as TOML")?)?;
    let figure_files = if definition.drawn == Drawn::Timeline { draw(&out)? } else { Vec::new() };
    let violations: Vec<String> = definition.expect.iter().flat_map(|expected| expected.violations(&outcomes)).collect();
    let table = simulated_table(&rows);
    let reproduced = Reproduced {
        figure: &definition.figure,
        host: "sim",
        scale: args.scale.to_string(),
        time_factor: None,
        environment,
        runs: rows,
        violations,
        rows_file,
        figure_files,
        folder: out,
    };
    reproduced.tell(args, &definition.title, || table)
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
    folder::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    record::write(folder, &manifest, result)?;
    Ok(())
}
