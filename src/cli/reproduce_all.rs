//! `thalweg reproduce all`: runs every figure, each in its own process, and writes one page about
//! all.
//!
//! Each figure is made in a folder with a temporary name, which is renamed once its rows, its
//! figure and its output are complete. A run that was killed can therefore be resumed: folders with
//! their final name are complete, all others are made again. A figure that fails leaves
//! `failed-<figure>.txt`, and the others continue.
//!
//! The process of a figure ends when its parent does, and holds the folder until then, so that no
//! two runs work in the same folder. Both are file locks, which are released when a process ends,
//! however it ends.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use super::failure::{Failure, usage};
use super::interrupted::{self, Meanwhile};
use super::reproduce::{Args, begin};
use super::watched::write_page;
use super::{memory, report};
use crate::experiment::check;
use crate::experiment::definition::Definition;
use crate::experiment::environment::{COMMAND, Environment};
use crate::experiment::folder::{self, PAGE, PLAN, RESULT, TOOK};
use crate::experiment::frame::{Frame, Recorded};
use crate::experiment::out_folder::{Fills, OutFolder};
use crate::experiment::partial::{partial, whole};
use crate::experiment::record;
use crate::experiment::scale::Scale;
use crate::experiment::steps;
use crate::report::{Page, Section, claims_table, page};

/// How the folder of `all` is marked as begun.
const FILLS: Fills<'static> = Fills { name: "all", figure: "all", kept_with: Some(PLAN) };
/// Environment variable for the process of a figure: the file that its parent has locked.
const WAITS_WITH: &str = "THALWEG_WAITS_WITH";
/// Parent of the output folder, relative to the working directory, unless `--out` is given.
const RECORD: &str = "experiments/record";

/// [`PLAN`].
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Plan {
    scale: Scale,
    figures: Vec<String>,
    environment: Environment,
}

/// [`TOOK`].
#[derive(Serialize, Deserialize)]
struct Took {
    scale: Scale,
    seconds: f64,
}

pub(super) fn reproduce_all(args: &Args) -> Result<(), Failure> {
    interrupted::listen(Meanwhile::Waits)?;
    let environment = Environment::here();
    let figures = args.only_or_all()?;
    let (out, plan) = take_up(args, &environment, figures)?;
    let waits = File::open(out.join(PLAN))?;
    // Without locks a figure's process does not notice that this one has ended, and runs on in
    // vain.
    let _ = waits.lock();
    let all = plan.figures.len() as u64;
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len}, {elapsed} so far  {msg}").expect("the template is fixed");
    let bar = ProgressBar::new(all).with_style(style.progress_chars("=> "));
    bar.enable_steady_tick(Duration::from_secs(1));
    let mut expected = Expected::of(&out, plan.scale);
    for (index, figure) in plan.figures.iter().enumerate() {
        if !out.join(figure).is_dir() {
            bar.set_message(expected.left(&plan.figures[index..], &out, figure));
            interrupted::check()?;
            if let Some(seconds) = make(&out, figure, plan.scale, &bar)? {
                expected.seconds.insert(figure.clone(), seconds);
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let sections: Vec<Section> = plan.figures.iter().map(|figure| section(&out, figure, plan.scale)).collect::<Result<_, _>>()?;
    let report = out.join(PAGE);
    let scale = plan.scale.to_string();
    folder::write_text(&report, &page(&Page { environment: &plan.environment, scale: &scale, sections: &sections }))?;
    let failed: Vec<&str> = sections.iter().filter(|section| section.error.is_some()).map(|section| section.figure.as_str()).collect();
    if args.json {
        println!("{}", serde_json::json!({ "folder": &*out, "report": report, "environment": plan.environment, "figures": sections }));
    } else {
        print!("{}", claims_table(&sections));
        println!("\nreport  {}", report.display());
    }
    if !failed.is_empty() {
        let why =
            format!("{} failed: {}; rerun the same command to retry", failed.join(", "), out.join(folder::failed("<figure>")).display());
        return Err(Failure::Run(anyhow!(why)));
    }
    let page = out.join(PAGE);
    out.finish()?;
    let violations: usize = sections.iter().map(|section| section.violations.len()).sum();
    if args.check && violations > 0 {
        return Err(Failure::Run(anyhow!("{violations} checks failed: {}", page.display())));
    }
    Ok(())
}

/// The output folder and its plan: a new one, or the one of an interrupted run with the same plan.
fn take_up(args: &Args, environment: &Environment, figures: Vec<String>) -> Result<(OutFolder, Plan), Failure> {
    let fits = |plan: &Plan| plan.scale == args.scale && plan.environment.revision == environment.revision && plan.figures == figures;
    let out = match &args.out {
        Some(out) => out.clone(),
        None => {
            let revision = format!("-{}", environment.revision);
            let all = fs::read_dir(RECORD).into_iter().flatten().flatten().map(|entry| entry.path());
            let mut old: Vec<PathBuf> = all.filter(|path| path.to_string_lossy().ends_with(&revision)).collect();
            old.retain(|path| begun(path).is_ok_and(|plan| plan.is_some_and(|plan| fits(&plan))));
            old.sort();
            let date = environment.started_utc.split('T').next().unwrap_or_default();
            let base = Path::new(RECORD).join(format!("{date}{revision}"));
            let later = (2..).map(|n| base.with_file_name(format!("{date}-{n}{revision}")));
            let new = || std::iter::once(base.clone()).chain(later).find(|out| OutFolder::is_free(out));
            old.pop().or_else(new).unwrap_or_else(|| base.clone())
        }
    };
    let check = |plan: &Plan| {
        if fits(plan) {
            return Ok(());
        }
        let (scale, revision, figures) = (plan.scale, &plan.environment.revision, plan.figures.join(", "));
        let found = format!("{scale} of {revision} with {figures}");
        Err(usage(anyhow!("--out {}: expected the folder of an interrupted run of this command, found {found}", out.display())))
    };
    // Checked before anything in the folder is touched.
    begun(&out)?.as_ref().map_or(Ok(()), check)?;
    let held = begin(&out, FILLS)?;
    if let Some(plan) = begun(&out)? {
        check(&plan)?;
        return Ok((held, plan));
    }
    let plan = Plan { scale: args.scale, figures, environment: environment.clone() };
    folder::write_text(&held.join(PLAN), &toml::to_string(&plan).context("the plan as TOML")?)?;
    Ok((held, plan))
}

/// The plan of the run in `out`, if it has been written.
fn begun(out: &Path) -> Result<Option<Plan>, Failure> {
    let plan = out.join(PLAN);
    if plan.is_file() { record::read_toml(&plan).map(Some).map_err(usage) } else { Ok(None) }
}

/// Called in the process of a figure: ends it when its parent ends, since nothing would rename its
/// folder then.
pub(super) fn end_with_who_waits() {
    let Some(plan) = std::env::var_os(WAITS_WITH) else { return };
    std::thread::spawn(move || {
        // The lock is granted once the parent is gone.
        if File::open(plan).is_ok_and(|plan| plan.lock_shared().is_ok()) {
            std::process::exit(1);
        }
    });
}

/// Makes a figure in a child process; returns how long it took, or `None` if it failed, which is
/// then recorded in a file.
fn make(out: &OutFolder, figure: &str, scale: Scale, bar: &ProgressBar) -> Result<Option<f64>, Failure> {
    let is_stale = |entry: &fs::DirEntry| whole(&entry.file_name().to_string_lossy()).as_deref() == Some(figure);
    for stale in out.read_dir()?.flatten().filter(is_stale) {
        fs::remove_dir_all(stale.path()).with_context(|| format!("{}: cannot remove an incomplete folder", stale.path().display()))?;
        steps::taken();
    }
    let partial = partial(&out.join(figure));
    let failed = out.join(folder::failed(figure));
    let begun = bar.elapsed();
    let mut command = Command::new(std::env::current_exe().context("where this program is")?);
    command.args(["reproduce", figure, "--json", "--scale", &scale.to_string(), "--out"]).arg(&partial);
    command.env(COMMAND, format!("thalweg reproduce {figure} --scale {scale}")).env(WAITS_WITH, out.join(PLAN));
    memory::decides_itself(&mut command);
    let output = command.stdin(Stdio::from(out.share()?)).output().context("a process for the figure")?;
    let seconds = (bar.elapsed() - begun).as_secs_f64();
    let told = String::from_utf8_lossy(&output.stdout);
    let whole = output.status.success() && serde_json::from_str::<serde_json::Value>(&told).is_ok();
    if !whole {
        // What it kept stays as it is, until the figure is made again.
        interrupted::check()?;
        let why = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = why.lines().rev().take(20).collect();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        folder::write_text(&failed, &format!("thalweg reproduce {figure} --scale {scale}: {}\n{last}\n", output.status))?;
        // The folder is incomplete; the error has been recorded.
        let _ = fs::remove_dir_all(&partial);
        steps::taken();
        return Ok(None);
    }
    folder::write_text(&partial.join(RESULT), &told.replace(&format!("{}/", partial.display()), ""))?;
    folder::write_text(&partial.join(TOOK), &toml::to_string(&Took { scale, seconds }).context("a time as TOML")?)?;
    folder::rename(&partial, &out.join(figure)).with_context(|| format!("{}: cannot be renamed", partial.display()))?;
    let _ = fs::remove_file(failed);
    steps::taken();
    Ok(Some(seconds))
}

/// Expected durations of figures, from this folder and its siblings.
struct Expected {
    seconds: BTreeMap<String, f64>,
}

impl Expected {
    fn of(out: &Path, scale: Scale) -> Expected {
        let mut seconds = BTreeMap::new();
        let beside = out.parent().and_then(|parent| parent.read_dir().ok()).into_iter().flatten().flatten().map(|entry| entry.path());
        for folder in beside.chain([out.to_owned()]) {
            for figure in folder.read_dir().into_iter().flatten().flatten() {
                let took: Option<Took> = record::read_toml(&figure.path().join(TOOK)).ok();
                if let Some(took) = took.filter(|took| took.scale == scale) {
                    seconds.insert(figure.file_name().to_string_lossy().into_owned(), took.seconds);
                }
            }
        }
        Expected { seconds }
    }

    /// The figure in progress, and the estimated time for all that remain.
    fn left(&self, figures: &[String], out: &Path, figure: &str) -> String {
        let mean = self.seconds.values().sum::<f64>() / self.seconds.len().max(1) as f64;
        if self.seconds.is_empty() {
            return figure.to_owned();
        }
        let left = figures.iter().filter(|figure| !out.join(figure).is_dir());
        let left: f64 = left.map(|figure| self.seconds.get(figure).copied().unwrap_or(mean)).sum();
        format!("{figure}, about {} left", HumanDuration(Duration::from_secs_f64(left)))
    }
}

/// The section of the page on a figure.
fn section(out: &Path, figure: &str, scale: Scale) -> Result<Section, Failure> {
    #[derive(Deserialize)]
    struct Printed {
        host: String,
        violations: Vec<String>,
        environment: Environment,
    }
    let folder = out.join(figure);
    let definition = Definition::named(figure).map_err(usage)?;
    let mut rows = Recorded::read(&folder).map_or_else(|_| Frame::default(), |recorded| recorded.frame);
    definition.complete(&mut rows);
    let claims = check::claims().into_iter().filter(|claim| claim.figure == figure);
    let claims = claims.map(|claim| claim.judge(&rows, &definition.check)).collect();
    let recorded: Vec<Printed> = folder::read_jsonl(&folder.join(RESULT)).unwrap_or_default();
    let recorded = recorded.into_iter().next();
    let mut drawings: Vec<PathBuf> = folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    drawings.retain(|path| path.extension().is_some_and(|kind| kind == "svg"));
    drawings.sort();
    let took: Option<Took> = record::read_toml(&folder.join(TOOK)).ok();
    Ok(Section {
        figure: figure.to_owned(),
        title: definition.title,
        host: recorded.as_ref().map_or(String::new(), |recorded| recorded.host.clone()),
        machine: recorded.as_ref().map_or(String::new(), |recorded| recorded.environment.machine.clone()),
        command: format!("thalweg reproduce {figure} --scale {scale}"),
        claims,
        table: if recorded.is_some() { report::table_of(&folder).unwrap_or_default() } else { String::new() },
        drawings: drawings.iter().filter_map(|path| fs::read_to_string(path).ok()).collect(),
        runs: run_pages(out, &folder),
        violations: recorded.map(|recorded| recorded.violations).unwrap_or_default(),
        error: fs::read_to_string(out.join(folder::failed(figure))).ok().filter(|_| !folder.is_dir()),
        seconds: took.map(|took| took.seconds),
    })
}

/// The pages of the runs in the folder of a figure, which are made where they are missing: name and address, relative to `out`.
fn run_pages(out: &Path, folder: &Path) -> Vec<(String, String)> {
    let mut pages = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(run) = left.pop() {
        if run.join(folder::RUN).is_file() {
            let page = run.join(folder::RUN_PAGE);
            let made = page.is_file()
                || record::read_toml(&run.join(folder::RUN)).is_ok_and(|manifest| write_page(&run, &manifest, &page).is_ok());
            if let (true, Ok(name), Ok(address)) = (made, run.strip_prefix(folder), page.strip_prefix(out)) {
                pages.push((name.display().to_string(), address.display().to_string()));
            }
        } else {
            let below = run.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
            left.extend(below.filter(|path| path.is_dir() && !path.is_symlink()));
        }
    }
    pages.sort();
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_a_figure_get_pages_and_links() {
        let out = tempfile::tempdir().unwrap();
        let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/record/ds2-fig6/seed-0");
        for variant in ["ds2", "hold"] {
            let run = out.path().join("ds2-fig6/seed-0").join(variant);
            fs::create_dir_all(&run).unwrap();
            for file in recorded.join(variant).read_dir().unwrap().flatten() {
                fs::copy(file.path(), run.join(file.file_name())).unwrap();
            }
        }
        let pages = run_pages(out.path(), &out.path().join("ds2-fig6"));
        let expected = ["ds2", "hold"].map(|variant| (format!("seed-0/{variant}"), format!("ds2-fig6/seed-0/{variant}/run.html")));
        assert_eq!(pages, expected);
        assert!(pages.iter().all(|(_, address)| out.path().join(address).is_file()));
    }
}
