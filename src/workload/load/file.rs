//! A file as a series: which columns are read, and how its rows are put together.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{LoadError, Place};
use super::series::Series;
use super::times::Times;
use super::{csv, json};

/// The largest file that is read.
const MOST_BYTES: u64 = 256 << 20;

/// A column: its name in the header, or its number from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Column {
    /// Number from 1.
    Number(usize),
    /// Name in the header.
    Name(String),
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Column::Number(number) => write!(f, "{number}"),
            Column::Name(name) => write!(f, "'{name}'"),
        }
    }
}

/// Which columns of a file are read. Without a name for them the time is the column named as one is
/// wont to be, or the first of several; the value is the first that is not the time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// The values.
    pub value: Option<Column>,
    /// Their times.
    pub time: Option<Column>,
    /// Seconds from one row to the next, of a file without times.
    pub every_s: Option<f64>,
}

/// A row as it is written: its place, its time if the file has one, and its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RawRow {
    pub(super) place: Place,
    pub(super) time: Option<String>,
    pub(super) value: String,
}

/// Something wrong somewhere in a file.
pub(super) type Wrong = (Place, String);

/// Names that columns of times have.
const TIMES: [&str; 8] = ["time", "timestamp", "date", "datetime", "ts", "t", "ds", "epoch"];

/// Reads a load: CSV with any usual separator, with a header or without, or JSON. A row without a
/// value is a gap.
///
/// # Errors
/// When the file cannot be read or is no load; says where.
pub fn read(file: &Path, columns: &Columns) -> Result<Series, LoadError> {
    let whole = |what: String| LoadError::of_file(file, what);
    if let Some(every_s) = columns.every_s.filter(|every_s| !(1e-3..=1e9).contains(every_s)) {
        return Err(whole(format!("expected every_s from 0.001 to 1e9, found {every_s}")));
    }
    if columns.every_s.is_some() && columns.time.is_some() {
        return Err(whole("expected a column of times or every_s, found both".to_owned()));
    }
    let unreadable = |why: std::io::Error| whole(format!("expected a file with a load: {why}"));
    let about = std::fs::metadata(file).map_err(unreadable)?;
    if !about.is_file() {
        return Err(whole("expected a file with a load, found something else".to_owned()));
    }
    if about.len() > MOST_BYTES {
        return Err(whole(format!("expected at most {MOST_BYTES} bytes, found {}", about.len())));
    }
    let bytes = std::fs::read(file).map_err(unreadable)?;
    of_bytes(&bytes, columns).map_err(|(place, what)| LoadError { file: file.to_owned(), place, what })
}

/// The series in these bytes.
pub(super) fn of_bytes(bytes: &[u8], columns: &Columns) -> Result<Series, Wrong> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|why| {
        let line = 1 + bytes[..why.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() as u64;
        (Place::Line(line), "expected text in UTF-8, found something else".to_owned())
    })?;
    let rows = match text.trim_start().chars().next() {
        None => return Err((Place::File, "expected a load, found an empty file".to_owned())),
        Some('[' | '{') => json::rows(text, columns)?,
        Some(_) => csv::rows(text, columns)?,
    };
    together(rows, columns.every_s)
}

/// The series of these rows.
fn together(rows: Vec<RawRow>, every_s: Option<f64>) -> Result<Series, Wrong> {
    let (mut samples, mut places, mut times) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()), Times::default());
    for (index, row) in rows.into_iter().enumerate() {
        let wrong = |what: String| (row.place, what);
        let at = match (&row.time, every_s) {
            (_, Some(every_s)) => index as f64 * every_s,
            (Some(time), None) => times.take(time.trim()).map_err(wrong)?,
            (None, None) => {
                let what = "expected a column of times or every_s, the seconds from one row to the next, found neither";
                return Err((Place::File, what.to_owned()));
            }
        };
        let cell = row.value.trim();
        if cell.is_empty() {
            continue;
        }
        let value = cell.parse::<f64>().map_err(|_| wrong(format!("expected a number, found '{cell}'")))?;
        samples.push((at, value));
        places.push(row.place);
    }
    let count = samples.len();
    Series::new(samples).map_err(|(index, what)| {
        let place = if count < 2 { Place::File } else { places.get(index).copied().unwrap_or(Place::File) };
        (place, what)
    })
}

/// Positions of the value and of the time among the names of columns, which are `None` without a
/// header; `count` of them.
pub(super) fn positions(names: Option<&[String]>, count: usize, columns: &Columns) -> Result<(usize, Option<usize>), String> {
    let shown = |names: &[String]| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let position = |column: &Column| match (column, names) {
        (Column::Number(number), _) if (1..=count).contains(number) => Ok(number - 1),
        (Column::Number(number), _) => Err(format!("expected a column from 1 to {count}, found {number}")),
        (Column::Name(name), None) => Err(format!("expected a header with a column '{name}', found none: name columns by numbers from 1")),
        (Column::Name(name), Some(names)) => {
            let mut found = names.iter().enumerate().filter(|(_, known)| *known == name).map(|(index, _)| index);
            match (found.next(), found.next()) {
                (Some(index), None) => Ok(index),
                (Some(_), Some(_)) => Err(format!("expected one column '{name}', found several")),
                (None, _) => Err(format!("expected a column, one of {}, found '{name}'", shown(names))),
            }
        }
    };
    let value = columns.value.as_ref().map(position).transpose()?;
    let time = match (&columns.time, columns.every_s) {
        (Some(column), _) => Some(position(column)?),
        (None, Some(_)) => None,
        (None, None) => {
            let is_time = |name: &String| TIMES.contains(&name.to_lowercase().as_str());
            let named = names.and_then(|names| names.iter().position(is_time)).filter(|index| Some(*index) != value);
            named.or_else(|| (0..count).find(|index| Some(*index) != value).filter(|_| count > 1))
        }
    };
    // Columns of times are no values, also where they are not read.
    let is_time = |index: usize| names.is_some_and(|names| TIMES.contains(&names[index].to_lowercase().as_str()));
    let value = value.or_else(|| (0..count).find(|&index| Some(index) != time && !is_time(index)));
    match (value, time) {
        (Some(value), Some(time)) if value == time => Err("expected different columns for times and values, found the same".to_owned()),
        (Some(value), time) => Ok((value, time)),
        (None, _) => Err(format!("expected a column of values beside that of times, found {count} in all")),
    }
}
