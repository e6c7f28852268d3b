//! Runs the trials of an experiment and keeps what they measure.
//!
//! Trials in virtual time run side by side, the others one after the other; rows are in the order
//! of trials. After each trial that has the machine for itself the rows so far are written, so that
//! little is lost when something fails.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use rayon::prelude::*;

use super::definition::Definition;
use super::environment::Environment;
use super::frame::{Frame, Row};
use super::record::DEFINITION;
use super::run::{RunResult, Status};
use super::study::{Ask, At, Measured, Progress, Trial};
use super::{folder, interrupt};
use crate::dataflow::Topology;

/// Columns that every row has, before those of its study.
const LABELS: [&str; 6] = ["case", "start", "variant", "host", "seed", "error"];

/// An experiment that is run.
#[derive(Clone, Debug)]
pub struct Bench<'a> {
    /// Its definition.
    pub definition: &'a Definition,
    /// What of it is run.
    pub ask: Ask,
    /// The folder for its files.
    pub folder: &'a Path,
    /// Revision, machine, command.
    pub environment: Environment,
}

/// What came of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Benched {
    /// Its rows.
    pub frame: Frame,
    /// What was expected and is not so, a sentence each.
    pub violations: Vec<String>,
    /// The file of the rows.
    pub rows_file: PathBuf,
}

/// What is asked for is not in the definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {what} of {figure}, among {}, found '{found}'", known.join(", "))]
pub struct UnknownName {
    what: &'static str,
    figure: String,
    known: Vec<String>,
    found: String,
}

impl<'a> Bench<'a> {
    /// Run by this process on this machine.
    pub fn here(definition: &'a Definition, ask: Ask, folder: &'a Path) -> Bench<'a> {
        let environment = Environment { scale: ask.scale.to_string(), ..Environment::here() };
        Bench { definition, ask, folder, environment }
    }

    /// What is run, in order: what is asked for, and what that is compared with.
    ///
    /// # Errors
    /// When a name is asked for that there is not, or nothing is left.
    pub fn trials(definition: &Definition, ask: &Ask) -> Result<Vec<Trial>, UnknownName> {
        let all = definition.study.trials(ask);
        let each = |of: fn(&Trial) -> &String| {
            all.iter().map(of).fold(Vec::new(), |mut names: Vec<String>, name| {
                if !names.contains(name) {
                    names.push(name.clone());
                }
                names
            })
        };
        let check = |what, known: Vec<String>, asked: &[String]| match asked.iter().find(|name| !known.contains(name)) {
            Some(found) => Err(UnknownName { what, figure: definition.figure.clone(), known, found: found.clone() }),
            None => Ok(()),
        };
        let (cases, variants) = (each(|trial| &trial.case), each(|trial| &trial.variant));
        let ask = Ask { cases: whole_names(&ask.cases, &cases), variants: whole_names(&ask.variants, &variants), ..ask.clone() };
        check("cases", cases, &ask.cases)?;
        check("policies or other variants", variants, &ask.variants)?;
        let companion = definition.study.companion();
        let runs = |trial: &Trial| ask.fits(trial) || ask.fits_but_for_variant(trial) && companion == Some(trial.variant.as_str());
        let trials: Vec<Trial> = all.into_iter().filter(runs).collect();
        if trials.is_empty() {
            let found = ask.host.map_or(format!("{:?}", ask.seeds), |host| host.name().to_owned());
            return Err(UnknownName { what: "a host and seeds", figure: definition.figure.clone(), known: Vec::new(), found });
        }
        Ok(trials)
    }

    /// Runs all of them and writes rows, definition and environment into the folder.
    ///
    /// # Errors
    /// When a name is asked for that there is not, a trial fails, or a file cannot be written. Rows
    /// so far, the failed one with its error among them, are then written.
    pub fn run(&self, progress: &dyn Progress) -> anyhow::Result<Benched> {
        let Bench { definition, folder, .. } = self;
        let trials = Bench::trials(definition, &self.ask)?;
        folder::write_text(&folder.join(DEFINITION), &toml::to_string(&definition.written).context("the definition as TOML")?)?;
        folder::write_text(&folder.join(folder::ENVIRONMENT), &toml::to_string(&self.environment).context("the environment as TOML")?)?;
        let alone = |trial: &Trial| definition.study.runs_alone(trial);
        let beside: Vec<Option<_>> = trials.par_iter().map(|trial| (!alone(trial)).then(|| self.one(trial, progress))).collect();
        let (mut kept, mut failed) = (Kept { rows: Vec::new(), series: Vec::new() }, None);
        for (trial, measured) in trials.iter().zip(beside) {
            let beside = measured.is_some();
            // What ran beside others is there, whatever became of them; nothing more is begun after
            // a failure.
            let measured = match measured {
                Some(measured) => measured,
                None if failed.is_some() => continue,
                None => self.one(trial, progress),
            };
            match measured {
                Err(why) if beside && interrupt::asked() => failed = failed.or(Some(why)),
                measured => failed = failed.or(kept.take(trial, measured).err()),
            }
            if !beside {
                self.write(&kept)?;
                failed = failed.or_else(|| interrupt::asked().then(|| anyhow!("interrupted")));
            }
        }
        if let Some(why) = failed {
            self.write(&kept)?;
            return Err(why);
        }
        let mut frame = self.frame(&kept.rows);
        definition.complete(&mut frame);
        let asked =
            frame.filter(|row| self.ask.variants.is_empty() || self.ask.variants.iter().any(|name| row.get("variant") == Some(name)));
        let (rows_file, violations) = (folder.join(folder::ROWS), definition.violations(&frame));
        asked.write(&rows_file)?;
        Ok(Benched { frame: asked, violations, rows_file })
    }

    fn one(&self, trial: &Trial, progress: &dyn Progress) -> anyhow::Result<Measured> {
        let seeds = self.ask.repeat > 1;
        let folder = if seeds { self.folder.join(format!("seed-{}", trial.seed)) } else { self.folder.to_owned() };
        let at = At { figure: &self.definition.figure, scale: self.ask.scale, folder: &folder, environment: &self.environment };
        let measured = self.definition.study.run(trial, at, progress);
        progress.ended(trial, None);
        measured
    }

    fn frame(&self, rows: &[Row]) -> Frame {
        let columns: Vec<&str> = LABELS.into_iter().chain(self.definition.study.columns()).collect();
        Frame::new(&columns, rows.to_vec())
    }

    fn write(&self, kept: &Kept) -> anyhow::Result<()> {
        self.frame(&kept.rows).write(&self.folder.join(folder::ROWS))?;
        if let Some(name) = self.definition.study.series() {
            Frame::new(&["case", "variant", "seed"], kept.series.clone()).write(&self.folder.join(name))?;
        }
        Ok(())
    }
}

/// What was measured so far.
struct Kept {
    rows: Vec<Row>,
    series: Vec<Row>,
}

impl Kept {
    /// Adds what a trial measured, or why it failed.
    fn take(&mut self, trial: &Trial, measured: anyhow::Result<Measured>) -> anyhow::Result<()> {
        let (measured, failed) = match measured {
            Ok(measured) => (measured, None),
            Err(why) => (Measured { rows: vec![Row::new()], series: Vec::new() }, Some(why)),
        };
        let error = failed.as_ref().map_or(String::new(), |why| format!("{why:#}"));
        let labels = || {
            let host = trial.host.name().to_owned();
            let labels = [trial.case.clone(), trial.start.clone(), trial.variant.clone(), host, trial.seed.to_string(), error.clone()];
            LABELS.iter().map(|label| (*label).to_owned()).zip(labels)
        };
        // What a study says itself counts.
        self.rows.extend(measured.rows.into_iter().map(|row| labels().chain(row).collect::<Row>()));
        let of_series = || labels().filter(|(label, _)| ["case", "variant", "seed"].contains(&label.as_str()));
        self.series.extend(measured.series.into_iter().map(|row| of_series().chain(row).collect::<Row>()));
        failed.map_or(Ok(()), |why| Err(why.context(anyhow!("{trial} failed"))))
    }
}

/// Nobody looks.
impl Progress for () {
    fn part(&self, _: &Trial, _: f64, _: &str) {}

    fn window(&self, _: &Trial, _: (&Topology, std::time::Duration), _: Status<'_>) {}

    fn ended(&self, _: &Trial, _: Option<&RunResult>) {}
}

/// The names in a list that was cut at its commas: a name may have some itself.
fn whole_names(cut: &[String], known: &[String]) -> Vec<String> {
    let (mut names, mut rest) = (Vec::new(), cut);
    while !rest.is_empty() {
        let is_known = |parts: &usize| known.contains(&rest[..*parts].join(","));
        let parts = (1..=rest.len()).rev().find(is_known).unwrap_or(1);
        names.push(rest[..parts].join(","));
        rest = &rest[parts..];
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_commas_are_found_in_a_list() {
        let known = ["linear, no noise", "linear", "square", "a,b"].map(str::to_owned);
        let cut = |list: &str| list.split(',').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(whole_names(&cut("linear, no noise,square,linear"), &known), ["linear, no noise", "square", "linear"]);
        assert_eq!(whole_names(&cut("a,b,a,c"), &known), ["a,b", "a", "c"]);
        assert!(whole_names(&[], &known).is_empty());
    }
}
