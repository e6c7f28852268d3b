//! Rows with named columns: what a study records, and what checks, tables and figures read.
//!
//! Every row has the labels `case`, `variant`, `host` and `seed`, an `error` if it failed, and the
//! columns of its study. A cell is text as the file has it; it is empty where nothing was measured.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::environment::Environment;
use super::folder::{self, FolderError};
use crate::stats::median;

/// A row, by the names of its columns.
pub type Row = BTreeMap<String, String>;

/// Which rows: all of these columns have one of these values. `!x` is anything but `x`, `x*` what
/// begins with `x`.
pub type Where = BTreeMap<String, Values>;

/// Columns that tell rows from each other; they are text even if they look like numbers.
pub const LABELS: [&str; 7] = ["case", "start", "variant", "host", "with", "without", "name"];

/// Values of which a column has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// This one.
    One(String),
    /// Any of these.
    Any(Vec<String>),
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Values::One(value) => f.write_str(value),
            Values::Any(values) => f.write_str(&values.join(" or ")),
        }
    }
}

/// Recorded rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// Names of the columns, in the order of the file.
    columns: Vec<String>,
    rows: Vec<Row>,
}

/// A cell that can be written.
pub trait Cell {
    /// As the file has it.
    fn cell(&self) -> String;
}

macro_rules! cells {
    ($($kind:ty),*) => { $(impl Cell for $kind {
        fn cell(&self) -> String {
            self.to_string()
        }
    })* };
}
cells!(u32, u64, i64, usize, f64, bool, str, String);

impl<T: Cell> Cell for Option<T> {
    fn cell(&self) -> String {
        self.as_ref().map_or(String::new(), Cell::cell)
    }
}

impl<T: Cell + ?Sized> Cell for &T {
    fn cell(&self) -> String {
        (*self).cell()
    }
}

/// A row of these cells.
pub fn row<const N: usize>(cells: [(&str, &dyn Cell); N]) -> Row {
    cells.into_iter().map(|(column, cell)| (column.to_owned(), cell.cell())).collect()
}

/// How several numbers become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Take {
    /// The median; of an even number the mean of the middle two.
    #[default]
    Median,
    /// The mean; of `true` and `false` the share of `true`.
    Mean,
    /// The sum.
    Sum,
    /// The smallest.
    Least,
    /// The largest.
    Most,
    /// The largest over the smallest.
    Spread,
    /// The 90th percentile: the smallest number that 90 % do not exceed.
    P90,
    /// The 99th percentile: the smallest number that 99 % do not exceed.
    P99,
}

impl Take {
    /// The number; none without numbers, and no spread over 0.
    pub fn of(self, mut numbers: Vec<f64>) -> Option<f64> {
        numbers.sort_unstable_by(f64::total_cmp);
        let (least, most) = (*numbers.first()?, *numbers.last()?);
        let quantile = |share: f64| numbers[((numbers.len() as f64 * share).ceil() as usize).max(1) - 1];
        match self {
            Take::P90 => Some(quantile(0.9)),
            Take::P99 => Some(quantile(0.99)),
            Take::Median => median(numbers),
            Take::Mean => Some(numbers.iter().sum::<f64>() / numbers.len() as f64),
            Take::Sum => Some(numbers.iter().sum()),
            Take::Least => Some(least),
            Take::Most => Some(most),
            Take::Spread => (least > 0.0).then(|| most / least),
        }
    }
}

/// A column, or columns multiplied, divided and added from left to right:
/// `with_per_s/without_per_s`. `final_configuration.count` is the number that follows `count=` in a
/// column of text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Expression(pub String);

const SIGNS: [char; 3] = ['*', '/', '+'];

impl Expression {
    /// Its columns, each with the sign before it.
    fn terms(&self) -> impl Iterator<Item = (char, &str)> {
        let mut sign = '*';
        self.0.split_inclusive(SIGNS).map(move |part| {
            let name = part.trim_end_matches(SIGNS);
            (std::mem::replace(&mut sign, part.chars().next_back().unwrap_or('*')), name)
        })
    }

    /// Its value in a row; none where a column is empty or a divisor 0.
    pub fn of(&self, row: &Row) -> Option<f64> {
        self.terms().try_fold(1.0, |value, (sign, name)| {
            let number = number(row, name)?;
            match sign {
                '+' => Some(value + number),
                '/' => (number != 0.0).then(|| value / number),
                _ => Some(value * number),
            }
        })
    }

    /// The columns that it names.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.terms().map(|(_, name)| name.split('.').next().unwrap_or(name))
    }
}

fn number(row: &Row, name: &str) -> Option<f64> {
    let (column, key) = name.split_once('.').map_or((name, None), |(column, key)| (column, Some(key)));
    let text = row.get(column)?.as_str();
    let text = match key {
        None => text,
        Some(key) => text.split(' ').find_map(|part| part.strip_prefix(key)?.strip_prefix('='))?,
    };
    match text {
        "true" => Some(1.0),
        "false" => Some(0.0),
        text => text.parse().ok(),
    }
}

/// The text of a cell; empty where the row has no such column.
pub fn text<'r>(row: &'r Row, column: &str) -> &'r str {
    row.get(column).map_or("", String::as_str)
}

/// Whether a row is one of those.
pub fn fits(row: &Row, which: &Where) -> bool {
    let one = |have: &str, wanted: &String| match (wanted.strip_prefix('!'), wanted.strip_suffix('*')) {
        (Some(not), _) => have != not,
        (_, Some(begin)) => have.starts_with(begin),
        _ => have == wanted,
    };
    which.iter().all(|(column, wanted)| match wanted {
        Values::One(wanted) => one(text(row, column), wanted),
        Values::Any(wanted) => wanted.iter().any(|wanted| one(text(row, column), wanted)),
    })
}

impl Frame {
    /// Of rows; their columns come in this order, others after them.
    pub fn new(columns: &[&str], rows: Vec<Row>) -> Frame {
        let mut all: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
        for column in rows.iter().flat_map(Row::keys) {
            if !all.contains(column) {
                all.push(column.clone());
            }
        }
        Frame { columns: all, rows }
    }

    /// Reads a file of rows. Those written under older names of columns are given today's.
    ///
    /// # Errors
    /// When it cannot be read, or its rows are not as long as its header.
    pub fn read(path: &Path) -> Result<Frame, FolderError> {
        let (columns, rows) = folder::read_table(path)?;
        let mut frame = Frame { columns, rows };
        if !frame.columns.iter().any(|column| column == "variant") {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            frame.rename(OLD_NAMES.iter().find(|(name, _)| *name == file).map_or(&[], |(_, names)| *names));
        }
        Ok(frame)
    }

    fn rename(&mut self, names: &[(&str, &str)]) {
        for (old, new) in names {
            self.columns.iter_mut().filter(|column| column == old).for_each(|column| (*new).clone_into(column));
            for row in &mut self.rows {
                if let Some(cell) = row.remove(*old) {
                    row.insert((*new).to_owned(), cell);
                }
            }
        }
    }

    /// Writes the rows under a header.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), FolderError> {
        let cells = |row: &Row| -> Vec<String> { self.columns.iter().map(|column| text(row, column).to_owned()).collect() };
        folder::write_table(path, &self.columns, self.rows.iter().map(cells))
    }

    /// Names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether it has such a column.
    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|known| known == column)
    }

    /// Sets a column of every row.
    pub fn set(&mut self, column: &str, cell: impl Fn(&Row) -> String) {
        if !self.has(column) {
            self.columns.push(column.to_owned());
        }
        for row in &mut self.rows {
            let cell = cell(row);
            row.insert(column.to_owned(), cell);
        }
    }

    /// Adds the rows of another frame.
    pub fn extend(&mut self, other: Frame) {
        for column in other.columns {
            if !self.has(&column) {
                self.columns.push(column);
            }
        }
        self.rows.extend(other.rows);
    }

    /// The rows that fit.
    pub fn only(&self, which: &Where) -> Frame {
        self.filter(|row| fits(row, which))
    }

    /// The rows for which it holds.
    pub fn filter(&self, holds: impl Fn(&Row) -> bool) -> Frame {
        Frame { columns: self.columns.clone(), rows: self.rows.iter().filter(|row| holds(row)).cloned().collect() }
    }

    /// Groups with the same values in these columns, in order of first appearance.
    pub fn per(&self, columns: &[String]) -> Vec<(Vec<String>, Frame)> {
        let mut groups: Vec<(Vec<String>, Frame)> = Vec::new();
        let mut known: BTreeMap<Vec<String>, usize> = BTreeMap::new();
        for row in &self.rows {
            let key: Vec<String> = columns.iter().map(|column| text(row, column).to_owned()).collect();
            let index = *known.entry(key.clone()).or_insert_with(|| {
                groups.push((key, Frame { columns: self.columns.clone(), rows: Vec::new() }));
                groups.len() - 1
            });
            groups[index].1.rows.push(row.clone());
        }
        groups
    }

    /// The values of an expression, where there are any.
    pub fn numbers(&self, of: &Expression) -> Vec<f64> {
        self.rows.iter().filter_map(|row| of.of(row)).collect()
    }

    /// What is taken of a column.
    pub fn take(&self, column: &str, take: Take) -> Option<f64> {
        take.of(self.numbers(&Expression(column.to_owned())))
    }

    /// The cells of a column, of those that are the same one.
    pub fn distinct(&self, column: &str) -> Vec<&str> {
        let mut cells: Vec<&str> = Vec::new();
        for cell in self.rows.iter().map(|row| text(row, column)).filter(|cell| !cell.is_empty()) {
            if !cells.contains(&cell) {
                cells.push(cell);
            }
        }
        cells
    }

    /// The rows as JSON: numbers, `true` and `false` as such, and nothing where a cell is empty.
    pub fn json(&self) -> serde_json::Value {
        let value = |column: &str, cell: &str| match cell {
            "" => serde_json::Value::Null,
            text if LABELS.contains(&column) => text.into(),
            text => match serde_json::from_str(text) {
                Ok(value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => value,
                _ => text.into(),
            },
        };
        let object = |row: &Row| self.columns.iter().map(|column| (column.clone(), value(column, text(row, column)))).collect();
        self.rows.iter().map(|row| serde_json::Value::Object(object(row))).collect()
    }
}

/// Names that files of rows had, with the columns that had other names in them.
const OLD_NAMES: [(&str, &[(&str, &str)]); 9] = [
    ("rows.csv", &[("policy", "variant"), ("settle_s", "settled_s")]),
    ("suite.csv", &[("scenario", "case"), ("policy", "variant")]),
    ("simulated.csv", &[("policy", "variant")]),
    ("migrations.csv", &[("setting", "case"), ("strategy", "variant")]),
    ("migration_timeline.csv", &[("setting", "case"), ("strategy", "variant")]),
    ("nexmark_overhead.csv", &[("query", "case"), ("with", "variant")]),
    ("rankings.csv", &[("label", "case")]),
    ("window_latency.csv", &[]),
    ("fidelity.csv", &[]),
];

/// Names of files of rows, today's first.
pub fn files() -> impl Iterator<Item = &'static str> {
    OLD_NAMES.iter().map(|(name, _)| *name).filter(|name| *name != folder::MIGRATION_TIMELINE)
}

/// The rows of an experiment with what is known of where they were made.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The file of the rows.
    pub path: PathBuf,
    /// The rows.
    pub frame: Frame,
    /// Where and how they were made, as far as that is recorded.
    pub environment: Environment,
}

impl Recorded {
    /// Reads what is recorded in a folder.
    ///
    /// # Errors
    /// When there are no rows, or they cannot be read.
    pub fn read(folder: &Path) -> Result<Recorded, FolderError> {
        let known = files().map(|name| folder.join(name)).find(|path| path.is_file());
        let path = known.unwrap_or_else(|| folder.join(folder::ROWS));
        let frame = Frame::read(&path)?;
        let environment = folder.join(folder::ENVIRONMENT);
        let environment = if environment.is_file() {
            folder::read_toml(&environment)?
        } else {
            // Rows carried it themselves.
            let first = |column: &str| frame.rows().first().map_or(String::new(), |row| text(row, column).to_owned());
            let (revision, machine, command, scale) = (first("revision"), first("machine"), first("command"), first("scale"));
            Environment { revision, machine, command, started_utc: first("started_utc"), scale }
        };
        Ok(Recorded { path, frame, environment })
    }

    /// The name of the experiment, as its rows or its definition have it.
    pub fn figure(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Named {
            figure: String,
        }
        let definition = self.path.with_file_name(folder::DEFINITION);
        let named = folder::read_toml::<Named>(&definition).ok().map(|named| named.figure);
        let of_row = |column: &str| self.frame.distinct(column).first().map(|name| (*name).to_owned());
        named.or_else(|| of_row("experiment")).or_else(|| of_row("figure"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        let rows = [("a", "ds2", "1", "flatmap=10 count=20"), ("a", "ds2", "3", "flatmap=11 count=20"), ("b", "hold", "", "")];
        let row = |(case, variant, actions, last): (&str, &str, &str, &str)| {
            row([("case", &case), ("variant", &variant), ("actions", &actions), ("final_configuration", &last)])
        };
        Frame::new(&["case", "variant", "actions"], rows.into_iter().map(row).collect())
    }

    #[test]
    fn rows_are_chosen_grouped_and_counted_by_their_columns() {
        let frame = frame();
        let which = |text: &str| frame.only(&toml::from_str(text).unwrap()).rows().len();
        assert_eq!((which("case = 'a'"), which("case = ['a', 'b']"), which("variant = '!ds2'"), which("variant = 'd*'")), (2, 3, 1, 2));
        let groups = frame.per(&["case".to_owned()]);
        assert_eq!(groups.iter().map(|(key, group)| (key[0].as_str(), group.rows().len())).collect::<Vec<_>>(), [("a", 2), ("b", 1)]);
        let numbers = |text: &str| frame.numbers(&Expression(text.to_owned()));
        assert_eq!((numbers("actions"), numbers("final_configuration.flatmap/actions")), (vec![1.0, 3.0], vec![10.0, 11.0 / 3.0]));
        assert_eq!((numbers("final_configuration.map"), numbers("actions+actions")), (vec![], vec![2.0, 6.0]));
        let of = |take: Take| take.of(vec![4.0, 1.0, 3.0, 8.0]);
        let takes = [Take::Median, Take::Mean, Take::Sum, Take::Least, Take::Most, Take::Spread, Take::P99].map(of);
        assert_eq!(takes, [3.5, 4.0, 16.0, 1.0, 8.0, 8.0, 8.0].map(Some));
        let tenths: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        assert_eq!((Take::P90.of(tenths.clone()), Take::P99.of(tenths)), (Some(18.0), Some(20.0)));
        assert_eq!((Take::Median.of(Vec::new()), Take::Spread.of(vec![0.0, 1.0])), (None, None));
    }

    #[test]
    fn what_is_written_is_read_and_older_names_are_todays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        frame().write(&path).unwrap();
        assert_eq!(Frame::read(&path).unwrap(), frame());
        let old = folder.path().join("suite.csv");
        std::fs::write(&old, "scenario,policy,seed\nunder,ds2,1\n").unwrap();
        let recorded = Frame::read(&old).unwrap();
        assert_eq!(recorded.columns(), ["case", "variant", "seed"]);
        assert_eq!(recorded.json().to_string(), r#"[{"case":"under","seed":1,"variant":"ds2"}]"#);
        std::fs::write(&old, "scenario,policy\nunder\n").unwrap();
        assert!(Frame::read(&old).unwrap_err().to_string().contains("line 2: expected 2 fields as in the header, found 1"));
    }
}
