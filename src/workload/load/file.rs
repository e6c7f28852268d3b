//! A file as a series: how its rows are put together.

use std::path::Path;

use super::columns::{Columns, RawRow, Wrong};
use super::error::{LoadError, Place};
use super::series::Series;
use super::times::Times;
use super::{csv, json};

/// The largest file that is read.
const MOST_BYTES: u64 = 256 << 20;

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

#[cfg(test)]
mod tests {
    use super::super::columns::Column;
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
        let objects = b"[{\"time\": 0, \"b\": 10, \"a\": 1}, {\"time\": 1, \"b\": 20, \"a\": 2}]";
        assert_eq!(of_with(objects, &named("b")).unwrap()[1].1, 20.0);
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
            ("[{\"t\": 0, \"b\": 1, \"a\": 2}]", "entry 1: expected the name of the column of values, as it may be any of 'a', 'b'"),
            ("{\"t\": [0, 1], \"b\": [1, 2], \"a\": [1, 2]}", "expected the name of the column of values, as it may be any of 'a', 'b'"),
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
