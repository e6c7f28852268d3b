//! An experiment as its file defines it: what all kinds have in common, and the study, which is one
//! of a kind.
//!
//! The files in `experiments/definitions/` are part of the program, so that it runs from anywhere;
//! any other file is as good. Unknown keys are errors.

use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::check::Check;
use super::closed_loop::ClosedLoop;
use super::flink::{FlinkConverge, FlinkPaths};
use super::frame::{Frame, LABELS, Row};
use super::migration::MigrationDefinition;
use super::nexmark_overhead::OverheadDefinition;
use super::order::SameOrder;
use super::overload::OverloadDefinition;
use super::ranking::RankingDefinition;
use super::study::Study;
use super::view::{self, PlotView, TableView};
use super::what_if::WhatIf;
use super::what_if_curves::WhatIfCurves;
use super::window_latency::WindowLatencyDefinition;

/// An experiment.
#[derive(Debug)]
pub struct Definition {
    /// Name of its figure.
    pub figure: String,
    /// Title of its figure.
    pub title: String,
    /// What the paper reports, as rows.
    pub paper: Vec<Row>,
    /// What its rows are expected to show.
    pub check: Vec<Check>,
    /// In which columns variants are expected to have the same order on both hosts.
    pub same_order: Vec<SameOrder>,
    /// Its tables.
    pub tables: Vec<TableView>,
    /// Its figure, if rows are drawn.
    pub plot: Option<PlotView>,
    /// What is run and measured.
    pub study: Box<dyn Study>,
    /// All of it as it is written, with what it takes from others written out.
    pub written: Table,
}

/// What all kinds have in common.
#[derive(Debug, Serialize, Deserialize)]
struct Common {
    figure: String,
    title: String,
    kind: String,
    #[serde(default)]
    paper: Vec<Table>,
    #[serde(default)]
    check: Vec<Check>,
    #[serde(default)]
    same_order: Vec<SameOrder>,
    #[serde(default)]
    tables: Vec<String>,
    #[serde(default)]
    table: Vec<TableView>,
    #[serde(default)]
    plot: Option<String>,
}

/// Its keys; all others are the study's.
const COMMON: [&str; 9] = ["figure", "title", "kind", "paper", "check", "same_order", "tables", "table", "plot"];

/// How the study of a kind is read from the keys that are its own; files it names are looked for in
/// the folder.
type Read = fn(&mut Table, Option<&Path>) -> Result<Box<dyn Study>, String>;

/// The kinds. A new one is a file and a line here.
const KINDS: [(&str, Read); 10] = [
    ("closed-loop", |table, folder| {
        super::closed_loop::write_out(table, folder)?;
        study::<ClosedLoop>(table)
    }),
    ("flink-converge", |table, _| study::<FlinkConverge>(table)),
    ("flink-paths", |table, _| study::<FlinkPaths>(table)),
    ("migration", |table, _| study::<MigrationDefinition>(table)),
    ("nexmark-overhead", |table, _| study::<OverheadDefinition>(table)),
    ("overload", |table, _| study::<OverloadDefinition>(table)),
    ("ranking", |table, _| study::<RankingDefinition>(table)),
    ("what-if", |table, _| study::<WhatIf>(table)),
    ("what-if-curves", |table, _| study::<WhatIfCurves>(table)),
    ("window-latency", |table, _| study::<WindowLatencyDefinition>(table)),
];

fn study<S: Study + for<'d> Deserialize<'d> + 'static>(table: &Table) -> Result<Box<dyn Study>, String> {
    let study: S = table.clone().try_into().map_err(|why: toml::de::Error| why.message().to_owned())?;
    study.check()?;
    Ok(Box::new(study))
}

macro_rules! figures {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../experiments/definitions/", $name, ".toml")))),*]
    };
}

/// Names and definitions of all figures, which are part of the program.
const FIGURES: [(&str, &str); 40] = figures![
    "beyondmr-fig2",
    "contune-curve",
    "contune-jobs",
    "days",
    "debs24",
    "demeter",
    "ds2-fig10",
    "ds2-fig6",
    "ds2-fig7",
    "ds2-skew",
    "ds2-table4",
    "ds2-table4-measured",
    "flink-converge",
    "flink-external",
    "flink-paths",
    "flink-skew",
    "loop",
    "loop-scale",
    "loop-skew",
    "loop-under",
    "megaphone-fig1",
    "megaphone-fig13",
    "megaphone-fig16",
    "megaphone-fig17",
    "megaphone-fig18",
    "megaphone-fig20",
    "megaphone-nexmark",
    "nexmark-converge",
    "nexmark-overhead",
    "overload",
    "real-nexmark",
    "real-shared",
    "sim-fidelity",
    "snailtrail-fig10",
    "snailtrail-fig11",
    "snailtrail-table2",
    "stability",
    "stragglers-real",
    "what-if",
    "what-if-curves",
];

/// Why there is no definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// No figure has that name.
    #[error("expected a figure, one of {}, found '{found}'", FIGURES.map(|(name, _)| format!("'{name}'")).join(", "))]
    Unknown {
        /// The name that was given.
        found: String,
    },
    /// It is no definition.
    #[error("{0}")]
    Wrong(String),
}

impl Definition {
    /// The definition of the figure of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(figure: &str) -> Result<Definition, DefinitionError> {
        let found = FIGURES.iter().find(|(name, _)| *name == figure);
        let (_, text) = found.ok_or_else(|| DefinitionError::Unknown { found: figure.to_owned() })?;
        Definition::read(text, None)
    }

    /// Names of all figures.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FIGURES.iter().map(|(name, _)| *name)
    }

    /// Title of a figure, without reading all of its definition.
    pub fn title_of(figure: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Titled {
            title: String,
        }
        let (_, text) = FIGURES.iter().find(|(name, _)| *name == figure)?;
        toml::from_str::<Titled>(text).ok().map(|titled| titled.title)
    }

    /// Reads a definition; scenario files that it names are looked for in `folder`.
    ///
    /// # Errors
    /// When it is none; says what was expected and what was found.
    pub fn read(text: &str, folder: Option<&Path>) -> Result<Definition, DefinitionError> {
        Definition::try_read(text, folder).map_err(DefinitionError::Wrong)
    }

    /// The same with a further case for each load in `folder`, where its study takes loads.
    ///
    /// # Errors
    /// When it does not, or the folder has none.
    pub fn with_loads(&self, folder: &Path) -> Result<Definition, DefinitionError> {
        let mut written = self.written.clone();
        super::closed_loop::add_loads(&mut written, folder).map_err(DefinitionError::Wrong)?;
        let text = toml::to_string(&written).map_err(|why| DefinitionError::Wrong(why.to_string()))?;
        Definition::read(&text, None)
    }

    fn try_read(text: &str, folder: Option<&Path>) -> Result<Definition, String> {
        let whole: Table = toml::from_str(text).map_err(|why| why.to_string())?;
        let (common, mut own): (Table, Table) = whole.into_iter().partition(|(key, _)| COMMON.contains(&key.as_str()));
        let wrong = |why: toml::de::Error| why.message().to_owned();
        let known: Common = common.clone().try_into().map_err(wrong)?;
        let kind = KINDS.iter().find(|(name, _)| *name == known.kind);
        let names = KINDS.map(|(name, _)| format!("'{name}'")).join(", ");
        let (_, read) = kind.ok_or_else(|| format!("kind: expected one of {names}, found '{}'", known.kind))?;
        let study = read(&mut own, folder)?;
        let mut tables = known.table;
        let named: Vec<&str> = match known.tables.is_empty() && tables.is_empty() {
            true => study.tables().to_vec(),
            false => known.tables.iter().map(String::as_str).collect(),
        };
        for (index, name) in named.into_iter().enumerate() {
            tables.insert(index, view::table(name)?);
        }
        let mut check: Vec<Check> = all_checks(study.checks());
        check.extend(known.check);
        let definition = Definition {
            figure: known.figure,
            title: known.title,
            paper: known.paper.iter().map(paper_row).collect(),
            check,
            same_order: known.same_order,
            tables,
            plot: known.plot.as_deref().map(view::plot).transpose()?,
            study,
            written: common.into_iter().chain(own).collect(),
        };
        definition.check_columns()?;
        Ok(definition)
    }

    /// Checks and tables name no other columns than there are.
    fn check_columns(&self) -> Result<(), String> {
        let own = self.study.columns();
        let is_known = |column: &str| own.contains(&column) || LABELS.contains(&column) || ["seed", "error"].contains(&column);
        let of_checks = self.check.iter().flat_map(Check::columns).map(|column| ("check", column));
        let of_orders = self.same_order.iter().flat_map(SameOrder::columns).map(|column| ("same_order", column));
        let of_tables = self.tables.iter().flat_map(TableView::columns).map(|column| ("table", column));
        let of_plot = self.plot.iter().flat_map(PlotView::columns).map(|column| ("plot", column));
        match of_checks.chain(of_orders).chain(of_tables).chain(of_plot).find(|(_, column)| !is_known(column)) {
            Some((place, column)) => Err(format!("{place}: expected a column, one of {}, found '{column}'", own.join(", "))),
            None => Ok(()),
        }
    }

    /// Fills in what compares rows with each other.
    pub fn complete(&self, frame: &mut Frame) {
        self.study.complete(frame);
    }

    /// What is not as expected of these rows, a sentence each.
    pub fn violations(&self, frame: &Frame) -> Vec<String> {
        let orders = self.same_order.iter().flat_map(|same| same.orders(frame));
        let checks = self.check.iter().flat_map(|check| check.violations(frame));
        checks.chain(orders.flat_map(|order| order.violations())).collect()
    }
}

/// The study of a figure with policies in closed loop, for tests and examples.
///
/// # Panics
/// If the figure is of another kind.
pub fn closed_loop(figure: &str) -> ClosedLoop {
    let mut written = Definition::named(figure).expect("a figure").written;
    COMMON.iter().for_each(|key| drop(written.remove(*key)));
    written.try_into().expect("a figure of policies")
}

fn all_checks(text: &str) -> Vec<Check> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        check: Vec<Check>,
    }
    toml::from_str::<File>(text).expect("checks of kinds are tested").check
}

fn paper_row(table: &Table) -> Row {
    let cell = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let host = ("host".to_owned(), "paper".to_owned());
    table.iter().map(|(column, value)| (column.clone(), cell(value))).chain([host]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::scale::Scale;
    use crate::experiment::study::Ask;

    #[test]
    fn every_figure_is_defined_under_its_name() {
        for name in Definition::names() {
            let definition = Definition::named(name).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert_eq!((definition.figure.as_str(), Definition::title_of(name)), (name, Some(definition.title.clone())));
            let trials = definition.study.trials(&Ask { scale: Scale::Full, ..Ask::default() });
            let labels = |of: fn(&super::super::study::Trial) -> &str| trials.iter().map(of).collect::<Vec<_>>();
            let (cases, variants) = (labels(|trial| &trial.case), labels(|trial| &trial.variant));
            for check in &definition.check {
                let is_known = |column: &str, known: &[&str]| {
                    let rows: Vec<Row> = known.iter().map(|value| Row::from([(column.to_owned(), (*value).to_owned())])).collect();
                    let wanted = check.only.get(column).or(check.over.get(column)).cloned();
                    wanted.is_none_or(|wanted| {
                        rows.iter().any(|row| super::super::frame::fits(row, &[(column.to_owned(), wanted.clone())].into()))
                    })
                };
                assert!(is_known("case", &cases) && is_known("variant", &variants), "{name}: {check:?}");
            }
        }
        let error = Definition::named("fig0").unwrap_err().to_string();
        assert!(
            error.starts_with("expected a figure, one of 'beyondmr-fig2', 'contune-curve', 'contune-jobs', ")
                && error.ends_with(", found 'fig0'"),
            "{error}"
        );
    }

    #[test]
    fn what_is_wrong_with_a_definition_is_named() {
        let text = include_str!("../../experiments/definitions/nexmark-overhead.toml");
        for (from, to, expected) in [
            ("kind = \"nexmark-overhead\"", "kind = \"overhead\"", "kind: expected one of 'closed-loop', "),
            ("workers = 2", "workers = 2\nworker = 1", "unknown field `worker`"),
            ("column = \"with_per_s/without_per_s\"", "column = \"with_per_min\"", "check: expected a column, one of due_per_s, "),
            ("plot = \"throughput\"", "plot = \"throughout\"", "expected a plot, one of "),
        ] {
            assert!(text.contains(from), "{from}");
            let error = Definition::read(&text.replace(from, to), None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
