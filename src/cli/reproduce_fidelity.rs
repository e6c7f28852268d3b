//! `thalweg reproduce` for experiments that compare one run on both hosts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use super::live::Live;
use super::reproduce::{Args, out_folder};
use super::reproduced::Reproduced;
use super::{Failure, usage};
use crate::experiment::environment::Environment;
use crate::experiment::fidelity::{FidelityDefinition, FidelityRow};
use crate::experiment::record::{self, DEFINITION, Manifest, Summary};
use crate::experiment::run::{RunSpec, run};
use crate::experiment::simulated::{SimulatedSpec, simulate};
use crate::experiment::{folder, policies};
use crate::migration::Strategy;
use crate::report::fidelity_table;
use crate::workload::Text;

pub(super) fn reproduce(args: &Args, definition: &FidelityDefinition) -> Result<(), Failure> {
    let environment = Environment::here();
    let out = out_folder(args.out.as_deref(), &format!("{}-{}", definition.figure, args.scale), &definition.figure, &environment)?;
    let rows_file = out.join(folder::FIDELITY);
    let (revision, machine) = (environment.revision.clone(), environment.machine.clone());
    let like = FidelityRow { revision, machine, ..FidelityRow::default() };
    let text = Arc::new(Text::liber_primus(definition.job.sentence_length()));
    let mut rows: Vec<FidelityRow> = Vec::new();
    for seed in (args.seed..).take(args.repeat as usize) {
        let out = if args.repeat == 1 { out.to_path_buf() } else { out.join(format!("seed-{seed}")) };
        let engine = on("engine", args, definition, &text, seed, &out)?;
        let sim = on("sim", args, definition, &text, seed, &out)?;
        rows.extend(definition.rows(seed, &engine, &sim, &like));
        folder::write_csv(&rows_file, &rows)?;
    }
    folder::write_text(&out.join(DEFINITION), &toml::to_string(definition).context("the definition as TOML")?)?;
    let reproduced = Reproduced {
        figure: &definition.figure,
        host: "engine and sim",
        scale: args.scale.to_string(),
        time_factor: Some(definition.time_factor),
        environment,
        violations: definition.violations(&rows),
        runs: rows.clone(),
        rows_file,
        figure_files: Vec::new(),
        folder: out,
    };
    reproduced.tell(args, &definition.title, || fidelity_table(&rows))
}

/// Runs the job on one host and writes its folder into `out`.
fn on(host: &str, args: &Args, definition: &FidelityDefinition, text: &Arc<Text>, seed: u64, out: &Path) -> Result<Summary, Failure> {
    let duration = definition.seconds.at(args.scale);
    let job = definition.job.word_count(Arc::clone(text), seed, duration);
    let topology = job.topology();
    let needed = definition.job.needed(text);
    let policy = policies::policy(&definition.policy, &topology, definition.time_factor).map_err(usage)?;
    let controller = policies::pacing(definition.time_factor, Strategy::AllAtOnce);
    let (operators, scalable) = Manifest::names(&topology);
    let simulated = host == "sim";
    let scenario = simulated.then(|| definition.job.scenario(&definition.title, text.words_per_sentence(), duration));
    let manifest = Manifest {
        experiment: definition.figure.clone(),
        policy: definition.policy.clone(),
        host: host.to_owned(),
        scale: args.scale.to_string(),
        seed,
        seconds: duration.as_secs_f64(),
        time_factor: definition.time_factor,
        strategy: controller.strategy.to_string(),
        environment: Environment::here(),
        text: "liber-primus (lipsum)".to_owned(),
        operators,
        scalable,
        needed: needed.iter().map(|(&id, &instances)| (topology.operator(id).name.clone(), instances)).collect::<BTreeMap<_, _>>(),
        job: (!simulated).then(|| definition.job.clone()),
        nexmark: None,
        scenario: scenario.clone(),
    };
    let mut live = Live::new(host, &topology, duration);
    let row_window = record::ROW_WINDOW;
    let result = match scenario {
        Some(scenario) => {
            let spec = SimulatedSpec { job: scenario.job(), seed, controller, policy, row_window };
            simulate(spec, None, |status| live.show(status))
        }
        None => run(RunSpec { job, controller, policy, row_window, needed }, None, |status| live.show(status)),
    };
    live.finish(result.as_ref());
    let result = result.with_context(|| format!("the run on host '{host}' failed"))?;
    let folder = out.join(host);
    folder::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    record::write(&folder, &manifest, &result)?;
    Ok(Summary::of(&manifest, &result))
}
