//! `thalweg reproduce`: runs an experiment from its definition to its figure.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::failure::{Failure, usage};
use super::interrupted::{self, Meanwhile};
use super::plot::draw;
use super::progress::Shown;
use super::stage;
use crate::experiment::bench::{Bench, Benched};
use crate::experiment::definition::Definition;
use crate::experiment::environment::Environment;
use crate::experiment::out_folder::{Fills, OutFolder};
use crate::experiment::scale::Scale;
use crate::experiment::study::{Ask, Host};
use crate::report::{order_table, tables};

/// Reproduce a figure of a paper: run the experiment, plot it, print the paper's numbers beside
/// ours.
///
/// Ctrl-C keeps the rows measured so far (exit code 130); a second Ctrl-C ends the command
/// immediately.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The figure (see --list), or 'all' for every figure and a page that compares claims with
    /// measurements.
    #[arg(required_unless_present_any = ["list", "definition"], conflicts_with = "definition")]
    pub(super) figure: Option<String>,
    /// List the figures that can be reproduced.
    #[arg(long)]
    list: bool,
    /// Run an experiment of your own, defined as in experiments/definitions/.
    #[arg(long, value_name = "FILE")]
    definition: Option<PathBuf>,
    /// A folder with loads over time (.csv, .json), each of which becomes a further case; for figures
    /// about loads, such as days.
    #[arg(long, value_name = "DIR")]
    loads: Option<PathBuf>,
    /// Size of the runs: quick (minutes) or full.
    #[arg(long, default_value_t = Scale::Quick)]
    pub(super) scale: Scale,
    /// Where jobs run: engine, or sim for virtual time [default: as defined]. Cases
    /// defined for both hosts run only with '--scale full', with '--host engine', or when selected
    /// by name.
    #[arg(long)]
    host: Option<Host>,
    /// Run only these (comma-separated): case=NAME, variant=NAME (a policy or a migration strategy),
    /// host=NAME, seed=N. With 'all': only these figures.
    #[arg(long, value_delimiter = ',', value_name = "WHAT")]
    only: Vec<String>,
    /// Run only these policies or other variants (comma-separated) [default: all of the figure]
    #[arg(long, value_delimiter = ',', value_name = "POLICY")]
    policies: Vec<String>,
    /// Run only these cases, settings or queries (comma-separated) [default: all of the figure]
    #[arg(long, value_delimiter = ',', value_name = "CASE")]
    cases: Vec<String>,
    /// Added to every seed: the first sentence of the text, or the seed of the random numbers.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Repeat each run N times with consecutive seeds; report medians.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    repeat: u64,
    /// Output folder [default: a new one in runs/]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(super) json: bool,
    /// Serve a live page of the runs on the engine, one after the other, at ADDR: a port of this machine,
    /// or an address with a port [default: 127.0.0.1:8425]
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "")]
    pub(super) live: Option<String>,
    /// Exit with code 1 if a run fails a check of the experiment's definition.
    #[arg(long)]
    pub(super) check: bool,
}

impl Args {
    /// Whether a job may run on the engine. Runs in virtual time migrate no real state, and are a
    /// third slower with an allocator that returns all freed memory.
    pub(super) fn on_engine(&self) -> bool {
        let (Ok(definition), Ok(ask)) = (self.definition(), self.ask()) else { return false };
        definition.study.trials(&ask).iter().any(|trial| trial.host == Host::Engine)
    }

    /// Whether all figures are asked for.
    pub(super) fn is_all(&self) -> bool {
        !self.list && self.figure.as_deref() == Some("all")
    }

    /// The figures run by 'all'.
    pub(super) fn only_or_all(&self) -> Result<Vec<String>, Failure> {
        let changed = self.loads.is_some() || self.host.is_some() || self.repeat != 1 || self.seed != 0;
        if changed || !self.policies.is_empty() || !self.cases.is_empty() {
            return Err(usage(anyhow!(
                "all: expected no --policies, --cases, --loads, --host, --repeat or --seed: 'all' runs the definitions as they are"
            )));
        }
        if self.live.is_some() {
            return Err(usage(anyhow!("all: expected no --live: each figure is a process of its own")));
        }
        self.only.iter().try_for_each(|figure| Definition::named(figure).map(|_| ()).map_err(usage))?;
        if !self.only.is_empty() {
            return Ok(Definition::names().filter(|name| self.only.iter().any(|only| only == name)).map(str::to_owned).collect());
        }
        let can_run = |name: &&str| match Definition::named(name).map(|definition| definition.study.is_there()) {
            Ok(Err(why)) => {
                eprintln!("thalweg: {name} is left out: {why}");
                false
            }
            _ => true,
        };
        Ok(Definition::names().filter(can_run).map(str::to_owned).collect())
    }

    fn definition(&self) -> Result<Definition, Failure> {
        let definition = self.definition_alone()?;
        match &self.loads {
            Some(folder) => definition.with_loads(folder).map_err(|why| usage(anyhow!("--loads: {why}"))),
            None => Ok(definition),
        }
    }

    fn definition_alone(&self) -> Result<Definition, Failure> {
        let Some(path) = &self.definition else {
            return Definition::named(self.figure.as_deref().unwrap_or_default()).map_err(usage);
        };
        let text = std::fs::read_to_string(path).map_err(|why| usage(anyhow!("{}: expected a definition: {why}", path.display())))?;
        Definition::read(&text, path.parent()).map_err(|why| usage(anyhow!("{}: {why}", path.display())))
    }

    /// What of the definition is asked for.
    fn ask(&self) -> Result<Ask, Failure> {
        let mut ask = Ask {
            cases: self.cases.clone(),
            variants: self.policies.clone(),
            host: self.host,
            seeds: Vec::new(),
            scale: self.scale,
            first_seed: self.seed,
            repeat: self.repeat,
        };
        // A name may have commas itself.
        let whole = self.only.iter().fold(Vec::new(), |mut whole: Vec<String>, part| {
            match whole.last_mut().filter(|_| !part.contains('=')) {
                Some(before) => *before = format!("{before},{part}"),
                None => whole.push(part.clone()),
            }
            whole
        });
        for only in &whole {
            let wrong = || usage(anyhow!("--only: expected case=NAME, variant=NAME, host=NAME or seed=N, found '{only}'"));
            let (what, name) = only.split_once('=').ok_or_else(wrong)?;
            match what {
                "case" => ask.cases.push(name.to_owned()),
                "variant" => ask.variants.push(name.to_owned()),
                "host" => ask.host = Some(name.parse().map_err(|why| usage(anyhow!("--only: {why}")))?),
                "seed" => ask.seeds.push(name.parse().map_err(|_| wrong())?),
                _ => return Err(wrong()),
            }
        }
        Ok(ask)
    }
}

pub(super) fn reproduce(args: &Args) -> Result<(), Failure> {
    if args.list {
        return list(Definition::names(), |name| Definition::title_of(name).unwrap_or_default(), args.json);
    }
    interrupted::listen(Meanwhile::Measures)?;
    let (definition, ask) = (args.definition()?, args.ask()?);
    let trials = Bench::trials(&definition, &ask).map_err(usage)?;
    definition.study.is_there().map_err(|why| usage(anyhow!("{}: {why}", definition.figure)))?;
    stage::open(args.live.as_deref())?;
    let environment = Environment { scale: args.scale.to_string(), ..Environment::here() };
    let figure = definition.figure.as_str();
    let out = out_folder(args.out.as_deref(), &format!("{figure}-{}", args.scale), figure, &environment)?;
    let shown = Shown::of(&trials, |trial| definition.study.runs_alone(trial));
    let bench = Bench { definition: &definition, ask, folder: &out, environment };
    let benched = bench.run(&shown);
    shown.finish();
    let Benched { frame, violations, rows_file } = benched?;
    let figure_files = if definition.plot.is_some() { draw(&out)? } else { Vec::new() };
    let mut hosts: Vec<&str> = trials.iter().map(|trial| trial.host.name()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    if args.json {
        let printed = serde_json::json!({
            "figure": figure,
            "host": hosts.join(" and "),
            "scale": args.scale.to_string(),
            "environment": bench.environment,
            "runs": frame.json(),
            "violations": violations,
            "rows_file": rows_file,
            "figure_files": figure_files,
        });
        println!("{printed}");
    } else {
        let orders: Vec<_> = definition.same_order.iter().flat_map(|same| same.orders(&frame)).collect();
        println!("{}\n", definition.title);
        print!("{}{}", tables(&definition.tables, &frame, &definition.paper), order_table(&orders));
        println!("\nrows    {}", rows_file.display());
        figure_files.iter().for_each(|file| println!("figure  {}", file.display()));
        violations.iter().for_each(|violation| println!("check failed: {violation}"));
    }
    out.finish()?;
    if args.check && !violations.is_empty() {
        return Err(Failure::Run(anyhow!("check failed: {}", violations.join("; "))));
    }
    Ok(())
}

/// Prints names with their titles.
pub(super) fn list<'n>(names: impl Iterator<Item = &'n str>, title: impl Fn(&str) -> String, json: bool) -> Result<(), Failure> {
    let titles: std::collections::BTreeMap<&str, String> = names.map(|name| (name, title(name))).collect();
    if json {
        println!("{}", serde_json::to_string(&titles)?);
    } else {
        let width = titles.keys().map(|name| name.len()).max().unwrap_or_default();
        titles.iter().for_each(|(name, title)| println!("{name:<width$}  {title}"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn refused(line: &[&str]) -> String {
        let line = <Line as clap::Parser>::parse_from(["reproduce"].iter().chain(line));
        let Err(Failure::Usage(error)) = reproduce(&line.args) else { panic!("it is refused") };
        error.to_string()
    }

    #[test]
    fn what_is_not_part_of_a_figure_is_named() {
        for (line, expected) in [
            (&["loop", "--policies", "ds2,ds3"][..], "expected policies or other variants of loop, among oracle, threshold, "),
            (&["loop", "--cases", "under,over"], "expected cases of loop, among under, dynamic,"),
            (&["megaphone-fig1", "--only", "variant=fluid,case=three processes"], "expected cases of megaphone-fig1, among one process, "),
            (&["loop", "--only", "policy=ds2"], "--only: expected case=NAME, variant=NAME, host=NAME or seed=N, found 'policy=ds2'"),
            (
                &["stability", "--cases", "linear, no noise,square"],
                "expected cases of stability, among linear, no noise, exponent 0.85, no noise,",
            ),
            (&["stability", "--only", "case=linear, no noise,variant=best"], "expected policies or other variants of stability, among"),
            (&["loop", "--only", "host=moon"], "--only: expected a host, 'engine' or 'sim', found 'moon'"),
            (&["ds2-skew", "--host", "engine"], "expected a host and seeds of ds2-skew"),
            (&["--definition", "none.toml"], "none.toml: expected a definition: "),
        ] {
            let error = refused(line);
            assert!(error.starts_with(expected), "{error}\n{expected}");
        }
    }
}
