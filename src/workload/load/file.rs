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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<(f64, f64)>, String> {
        of_with(text.as_bytes(), &Columns::default())
    }

    fn of_with(bytes: &[u8], columns: &Columns) -> Result<Vec<(f64, f64)>, String> {
        of_bytes(bytes, columns).map(|series| series.samples().to_vec()).map_err(|(place, what)| match place {
            Place::File => what,
            Place::Line(line) => format!("line {line}: {what}"),
            Place::Entry(entry) => format!("entry {entry}: {what}"),
        })
    }

    fn named(value: &str) -> Columns {
        Columns { value: Some(Column::Name(value.to_owned())), ..Columns::default() }
    }

    #[test]
    fn whatever_a_load_is_written_as_it_is_read() {
        let expected = Ok(vec![(0.0, 1.0), (60.0, 2.5), (180.0, 0.0)]);
        for text in [
            "time,value\n0,1\n60,2.5\n180,0\n",
            "\u{feff}time;value\r\n0;1\r\n60;2.5\r\n180;0",
            "timestamp|value\n1661724000|1\n1661724060|2.5\n1661724180|0\n",
            "0\t1\n60\t2.5\n180\t0\n",
            "\"time\",\"value\"\n\"2014-04-10 00:00:00\",\"1\"\n\"2014-04-10 00:01:00\",\"2.5\"\n\"2014-04-10 00:03:00\",\"0\"\n",
            "date,messages\n2014-04-10T00:00:00Z,1\n2014-04-10T00:01:00Z,2.5\n\n2014-04-10T00:03:00Z,0e0\n\n",
            "ts,v\n1661724000000,1\n1661724060000,2.5\n1661724180000,0\n",
            "value,time\n1,0\n2.5,60\n0,180\n",
            // A row without a value is a gap.
            "time,value\n0,1\n60,2.5\n120,\n180,0\n",
            "[[0, 1], [60, 2.5], [180, 0]]",
            "[{\"time\": 0, \"value\": 1}, {\"time\": 60, \"value\": 2.5}, {\"time\": 120, \"value\": null}, {\"time\": 180, \"value\": 0}]",
            "{\"time\": 0, \"value\": 1}\n{\"time\": 60, \"value\": 2.5}\n{\"time\": 180, \"value\": 0}\n",
            "{\"time\": [0, 60, 180], \"value\": [1, 2.5, 0], \"unit\": \"1/s\"}",
            "[[\"1970-01-01\", 1], [\"1970-01-01 00:01\", 2.5], [\"1970-01-01 00:03\", 0]]",
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
        let every = Columns { every_s: Some(60.0), ..Columns::default() };
        for text in ["1\n2\n3\n", "value\n1\n2\n3\n", "[1, 2, 3]", "[\"1\", 2, 3]"] {
            assert_eq!(of_with(text.as_bytes(), &every), Ok(vec![(0.0, 1.0), (60.0, 2.0), (120.0, 3.0)]), "{text}");
        }
        let third = "time,a,b\n0,1,10\n1,2,20\n";
        assert_eq!(of_with(third.as_bytes(), &named("b")).unwrap()[1].1, 20.0);
        assert_eq!(of_with(third.as_bytes(), &Columns { value: Some(Column::Number(3)), ..Columns::default() }).unwrap()[1].1, 20.0);
    }

    #[test]
    fn what_is_no_load_is_refused_by_line() {
        for (text, expected) in [
            ("", "expected a load, found an empty file"),
            ("\n \n", "expected a load, found an empty file"),
            ("time,value\n", "expected two values or more, found 0"),
            ("time,value\n0,1\n", "expected two values or more, found 1"),
            ("time,value\n0,1\n1,-2\n", "line 3: expected a value from 0 to 1e15, found -2"),
            ("time,value\n0,1\n1,NaN\n", "line 3: expected a value from 0 to 1e15, found NaN"),
            ("time,value\n0,inf\n1,1\n", "line 2: expected a value from 0 to 1e15, found inf"),
            ("time,value\n0,1\n1,1e300\n", "line 3: expected a value from 0 to 1e15, found 1"),
            ("time,value\n0,1\n\n1,many\n", "line 4: expected a number, found 'many'"),
            ("time,value\n5,1\n4,1\n", "line 3: expected a time after the one before it, found one 1 s earlier"),
            ("time,value\n5,1\n5,1\n", "line 3: expected a time after the one before it, found the same time"),
            ("time,value\n0,1\nlater,1\n", "line 3: expected a time such as 2026-11-30 17:00:00 or 1661724000, found 'later'"),
            ("time,value\n0,1\n1,1,1\n", "line 3: expected 2 cells, found 3"),
            ("time,value\n0,1\n1\n", "line 3: expected 2 cells, found 1"),
            ("0,abc\n1,1\n2,1\n", "line 1: expected a number, found 'abc'"),
            ("1\n2\n", "expected a column of times or every_s, the seconds from one row to the next, found neither"),
            ("time\n2\n3\n", "line 1: expected a column of values beside that of times, found 1 in all"),
            ("[", "line 1: expected JSON: EOF"),
            ("[]", "expected two values or more, found 0"),
            ("{}", "expected an object with a list for each column"),
            ("[[0, 1], [1, \"x\"]]", "entry 2: expected a number, found 'x'"),
            ("[[0, 1], [1]]", "entry 2: expected an entry like the first, found [1]"),
            ("[[0, 1], [1, [2]]]", "entry 2: expected a number or text, found [2]"),
            ("[{\"t\": 0, \"v\": 1}, {\"t\": 1}]", "entry 2: expected 'v', found none"),
            ("[true]", "entry 1: expected a number, a list or an object, found true"),
            ("{\"t\": 0, \"v\": 1}\n{\"t\": 1, \"v\": -1}\n", "line 2: expected a value from 0 to 1e15, found -1"),
            ("{\"t\": [0, 1], \"v\": [1]}", "expected as many times as values, found 2 and 1"),
        ] {
            let found = of(text).unwrap_err();
            assert!(found.starts_with(expected), "{text:?}: {found}");
        }
        let found = of_with(b"time,value\n0,1\n\xff\xfe,1\n", &Columns::default()).unwrap_err();
        assert_eq!(found, "line 3: expected text in UTF-8, found something else");
        for (text, columns, expected) in [
            ("time,a\n0,1\n1,2\n", named("b"), "line 1: expected a column, one of 'time', 'a', found 'b'"),
            ("time,a,a\n0,1,1\n1,2,2\n", named("a"), "line 1: expected one column 'a', found several"),
            ("0,1\n1,2\n", named("a"), "line 1: expected a header with a column 'a', found none"),
            (
                "0,1\n1,2\n",
                Columns { value: Some(Column::Number(0)), ..Columns::default() },
                "line 1: expected a column from 1 to 2, found 0",
            ),
            (
                "0,1\n1,2\n",
                Columns { value: Some(Column::Number(3)), ..Columns::default() },
                "line 1: expected a column from 1 to 2, found 3",
            ),
            (
                "a,b\n0,1\n1,2\n",
                Columns { time: Some(Column::Name("a".into())), ..named("a") },
                "line 1: expected different columns for times and values, found the same",
            ),
        ] {
            let found = of_with(text.as_bytes(), &columns).unwrap_err();
            assert!(found.starts_with(expected), "{text:?}: {found}");
        }
    }

    #[test]
    fn files_that_cannot_be_read_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let found = |path: &Path, columns: &Columns| read(path, columns).unwrap_err().to_string();
        let none = folder.path().join("none.csv");
        assert!(found(&none, &Columns::default()).starts_with(&format!("{}: expected a file with a load: ", none.display())));
        assert!(found(folder.path(), &Columns::default()).ends_with("expected a file with a load, found something else"));
        let both = Columns { every_s: Some(1.0), time: Some(Column::Number(1)), ..Columns::default() };
        assert!(found(&none, &both).ends_with("expected a column of times or every_s, found both"));
        let never = Columns { every_s: Some(f64::NAN), ..Columns::default() };
        assert!(found(&none, &never).ends_with("expected every_s from 0.001 to 1e9, found NaN"));
    }
}
