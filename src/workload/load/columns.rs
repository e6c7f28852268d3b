//! Which columns of a file are read, and what a row of it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::Place;

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

/// Refuses names in no order of their own where more than one may be the values' and none was asked
/// for.
pub(super) fn only_one(names: &[String], columns: &Columns) -> Result<(), String> {
    let is_time =
        |name: &String| TIMES.contains(&name.to_lowercase().as_str()) || matches!(&columns.time, Some(Column::Name(time)) if time == name);
    let values: Vec<String> = names.iter().filter(|name| !is_time(name)).map(|name| format!("'{name}'")).collect();
    if columns.value.is_none() && values.len() > 1 {
        return Err(format!("expected the name of the column of values, as it may be any of {}", values.join(", ")));
    }
    Ok(())
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
