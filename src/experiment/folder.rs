//! The files of a run folder: their names, writing them whole, and reading them back.
//!
//! Invariant: a file has its final name only once it is complete. It is written beside that name
//! and renamed; if writing fails the half-written file is removed. Readers say which file and line
//! they could not use, what they expected there and what they found.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::partial::partial;
use super::steps;

/// What was asked of the run: definition, revision, machine, seed.
pub const RUN: &str = "run.toml";
/// [`TimelineRow`](super::rows::TimelineRow)s.
pub const TIMELINE: &str = "timeline.csv";
/// [`LatencyRow`](super::rows::LatencyRow)s.
pub const LATENCY: &str = "latency.csv";
/// [`WorkerRow`](super::rows::WorkerRow)s, where instances share workers.
pub const WORKERS: &str = "workers.csv";
/// [`InstanceRow`](super::instance_rows::InstanceRow)s, of evenly spaced windows.
pub const INSTANCES: &str = "instances.csv";
/// The decision log: one [`Event`](crate::controller::Event) a line.
pub const DECISIONS: &str = "decisions.jsonl";
/// What happened while a Flink job was driven.
pub const NEWS: &str = "news.jsonl";
/// Where the time of each of its epochs went.
pub const PATHS: &str = "paths.jsonl";
/// Every request to its cluster, with the answer.
pub const SESSION: &str = "session.jsonl";
/// The results of the run.
pub const SUMMARY: &str = "summary.json";
/// The activity log, when it was asked for.
pub const ACTIVITY: &str = "activity.log";
/// The same until it is whole; what a run that failed has recorded keeps this name.
pub const ACTIVITY_BEGUN: &str = "activity.log.partial";
/// What an experiment measured: a [`Frame`](super::frame::Frame).
pub const ROWS: &str = "rows.csv";
/// The definition of an experiment.
pub const DEFINITION: &str = "definition.toml";
/// Where and how they were made: an [`Environment`](super::environment::Environment).
pub const ENVIRONMENT: &str = "environment.toml";
/// Latency and memory over time of migrations.
pub const MIGRATION_TIMELINE: &str = "migration_timeline.csv";
/// What `reproduce --json` prints, in an experiment's folder.
pub const RESULT: &str = "result.json";

/// Says that the command was interrupted which wrote what is beside it.
pub const INTERRUPTED: &str = "interrupted.txt";

/// What `reproduce all` makes in its folder; written before anything else.
pub const PLAN: &str = "all.toml";
/// The page about all figures.
pub const PAGE: &str = "report.html";
/// The page of a run.
pub const RUN_PAGE: &str = "run.html";
/// How long a figure of `reproduce all` took, in the figure's folder.
pub const TOOK: &str = "took.toml";

/// The file that says why a figure of `reproduce all` failed.
pub fn failed(figure: &str) -> String {
    format!("failed-{figure}.txt")
}

/// Whether a file has such a name.
pub fn is_failed(name: &str) -> bool {
    name.strip_prefix("failed-").is_some_and(|rest| rest.ends_with(".txt"))
}

/// Longest excerpt of a file that an error shows.
const EXCERPT_CHARS: usize = 80;

/// Why a file of a run folder could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The file could not be written; nothing has its name that had not before.
    #[error("{}: cannot be written: {why}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// The file could not be opened or read.
    #[error("{}: cannot be read: {why}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// A line is not what the file should hold.
    #[error("{}, line {line}: expected {expected}, found {found}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What should have stood there.
        expected: String,
        /// What stood there.
        found: String,
    },
}

/// Writes `path` by `fill`, under its final name only once all of it is written.
///
/// # Errors
/// [`FolderError::Write`]; what stood under the name before is still there.
pub fn write_whole(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), FolderError> {
    let partial = partial(path);
    let written = File::create(&partial).and_then(|file| {
        steps::taken();
        let mut file = BufWriter::new(file);
        fill(&mut file)?;
        file.into_inner()?;
        steps::taken();
        rename(&partial, path)
    });
    written.map_err(|why| {
        // It may not even exist; the first error is the one to report.
        let _ = fs::remove_file(&partial);
        FolderError::Write { path: path.to_owned(), why }
    })
}

/// Makes the folder `path`, and those it is in, where they are not there.
///
/// # Errors
/// When it is not there and cannot be made.
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    steps::taken();
    Ok(())
}

/// Gives `from` the name `to`, in one step.
///
/// # Errors
/// When it cannot have that name; then it has its own.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    steps::taken();
    Ok(())
}

/// Writes `rows` under a header of their fields' names. No rows give an empty file, which reads
/// back as no rows.
///
/// # Errors
/// [`FolderError::Write`].
pub fn write_csv<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), FolderError> {
    write_whole(path, |file| {
        let mut writer = csv::Writer::from_writer(file);
        rows.iter().try_for_each(|row| writer.serialize(row)).map_err(io::Error::other)?;
        writer.flush()
    })
}

/// Writes `values` as JSON, one a line.
///
/// # Errors
/// [`FolderError::Write`].
pub fn write_jsonl<T: Serialize>(path: &Path, values: &[T]) -> Result<(), FolderError> {
    write_whole(path, |file| {
        values.iter().try_for_each(|value| {
            serde_json::to_writer(&mut *file, value)?;
            file.write_all(b"\n")
        })
    })
}

/// Writes `text` as it is.
///
/// # Errors
/// [`FolderError::Write`].
pub fn write_text(path: &Path, text: &str) -> Result<(), FolderError> {
    write_whole(path, |file| file.write_all(text.as_bytes()))
}

/// Reads the rows of a file with a header. Columns are found by name, so their order and further
/// columns do not matter.
///
/// # Errors
/// [`FolderError::Read`]; [`FolderError::Line`] at the first row that does not fit.
pub fn read_csv<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, FolderError> {
    let mut reader = csv::Reader::from_reader(open(path)?);
    let headers = reader.headers().map_err(|error| csv_error(path, error))?.clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| csv_error(path, error))?;
        rows.push(record.deserialize(Some(&headers)).map_err(|error| row_error(path, &headers, &record, error))?);
    }
    Ok(rows)
}

/// The names of columns, and rows of cells by these names.
pub type Table = (Vec<String>, Vec<BTreeMap<String, String>>);

/// Reads the header and the rows of a file, by their columns.
///
/// # Errors
/// [`FolderError::Read`]; [`FolderError::Line`] at the first row that is not as long as the header.
pub fn read_table(path: &Path) -> Result<Table, FolderError> {
    let mut reader = csv::Reader::from_reader(open(path)?);
    let columns: Vec<String> = reader.headers().map_err(|error| csv_error(path, error))?.iter().map(str::to_owned).collect();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| csv_error(path, error))?;
        rows.push(columns.iter().cloned().zip(record.iter().map(str::to_owned)).collect());
    }
    Ok((columns, rows))
}

/// Writes rows of cells under a header.
///
/// # Errors
/// [`FolderError::Write`].
pub fn write_table(path: &Path, header: &[String], rows: impl Iterator<Item = Vec<String>>) -> Result<(), FolderError> {
    write_whole(path, |file| {
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(header).map_err(io::Error::other)?;
        for row in rows {
            writer.write_record(row).map_err(io::Error::other)?;
        }
        writer.flush()
    })
}

/// Reads a file of JSON values, one a line; empty lines are skipped.
///
/// # Errors
/// [`FolderError::Read`]; [`FolderError::Line`] at the first line that does not fit.
pub fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, FolderError> {
    let mut values = Vec::new();
    for (index, line) in open(path)?.lines().enumerate() {
        let line = line.map_err(|why| FolderError::Read { path: path.to_owned(), why })?;
        if line.trim().is_empty() {
            continue;
        }
        let value = serde_json::from_str(&line).map_err(|error| FolderError::Line {
            path: path.to_owned(),
            line: index as u64 + 1,
            expected: format!("one JSON {} ({error})", short_name::<T>()),
            found: excerpt(&line),
        })?;
        values.push(value);
    }
    Ok(values)
}

/// Reads a file that is one JSON value.
///
/// # Errors
/// When it cannot be read or is not what it should be; the error names the file and the place.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, FolderError> {
    let text = fs::read_to_string(path).map_err(|why| FolderError::Read { path: path.to_owned(), why })?;
    serde_json::from_str(&text).map_err(|error| {
        let found = excerpt(text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default());
        FolderError::Line {
            path: path.to_owned(),
            line: error.line() as u64,
            expected: format!("a JSON {} ({error})", short_name::<T>()),
            found,
        }
    })
}

/// Reads a TOML file of a run folder.
///
/// # Errors
/// When it cannot be read or is not what it should be; the error names the file and the place.
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, FolderError> {
    let text = fs::read_to_string(path).map_err(|why| FolderError::Read { path: path.to_owned(), why })?;
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        let before = error.span().map_or("", |span| &text[..span.start.min(text.len())]);
        let line = before.lines().count().max(1) as u64;
        let found = text.lines().nth(line as usize - 1).unwrap_or_default().to_owned();
        FolderError::Line { path: path.to_owned(), line, expected: error.message().to_owned(), found }
    })
}

fn open(path: &Path) -> Result<BufReader<File>, FolderError> {
    File::open(path).map(BufReader::new).map_err(|why| FolderError::Read { path: path.to_owned(), why })
}

/// An error of the file's shape: rows of unequal length, bytes that are no text, or reading itself.
fn csv_error(path: &Path, error: csv::Error) -> FolderError {
    let line = error.position().map_or(1, csv::Position::line);
    let at = |expected: String, found: String| FolderError::Line { path: path.to_owned(), line, expected, found };
    match error.into_kind() {
        csv::ErrorKind::Io(why) => FolderError::Read { path: path.to_owned(), why },
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            at(format!("{expected_len} fields as in the header"), format!("{len} fields"))
        }
        csv::ErrorKind::Utf8 { err, .. } => at("text in UTF-8".into(), err.to_string()),
        other => at("a row".into(), format!("{other:?}")),
    }
}

/// An error of a row's meaning: a column that is not there or a field that is not of its column's
/// type.
fn row_error(path: &Path, headers: &csv::StringRecord, record: &csv::StringRecord, error: csv::Error) -> FolderError {
    use csv::DeserializeErrorKind as Kind;
    let line = record.position().map_or(1, csv::Position::line);
    let csv::ErrorKind::Deserialize { err, .. } = error.kind() else {
        return csv_error(path, error);
    };
    let column = err.field().map(|field| field as usize);
    let kind = match err.kind() {
        Kind::ParseBool(_) => "true or false".to_owned(),
        Kind::ParseInt(_) => "a whole number in range".to_owned(),
        Kind::ParseFloat(_) => "a number".to_owned(),
        other => format!("a column for every field ({other})"),
    };
    let (expected, found) = match column.and_then(|column| Some((headers.get(column)?, record.get(column)?))) {
        Some((name, field)) => (format!("{kind} in column '{name}'"), format!("'{}'", excerpt(field))),
        None => (kind, format!("columns {}", headers.iter().collect::<Vec<_>>().join(", "))),
    };
    FolderError::Line { path: path.to_owned(), line, expected, found }
}

fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn short_name<T>() -> &'static str {
    std::any::type_name::<T>().rsplit("::").next().unwrap_or("value")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::{Event, EventKind};
    use crate::experiment::rows::{LatencyRow, TimelineRow};
    use crate::policy::Reason;
    use crate::time::Timestamp;

    #[test]
    fn what_was_written_is_read_back_and_nothing_else_is_left_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let source = TimelineRow {
            operator: "source, \"quoted\"".into(),
            offered_per_s: Some(1e6 / 60.0),
            achieved_per_s: Some(0.1),
            ..TimelineRow::default()
        };
        let rows = [source, TimelineRow { operator: "count".into(), extrapolated: true, ..TimelineRow::default() }];
        let path = folder.path().join(TIMELINE);
        write_csv(&path, &rows).unwrap();
        assert_eq!(read_csv::<TimelineRow>(&path).unwrap(), rows);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("window_start_s,window_end_s,operator,parallelism,offered_per_s,achieved_per_s,lag_records,"));
        assert!(text.contains("count,0,,,,0.0,0.0,,"), "{text}");

        // Rows that were written before a column was added read back without it.
        let older: String = text.lines().map(|line| format!("{}\n", line.rsplit_once(',').unwrap().0)).collect();
        assert!(text.lines().next().unwrap().ends_with(",extrapolated,wait_share"));
        fs::write(&path, older).unwrap();
        assert_eq!(read_csv::<TimelineRow>(&path).unwrap(), rows);

        write_csv::<LatencyRow>(&folder.path().join(LATENCY), &[]).unwrap();
        assert_eq!(read_csv::<LatencyRow>(&folder.path().join(LATENCY)).unwrap(), []);

        let events = [Event { at: Timestamp(5), kind: EventKind::Held { reason: Reason::new("null-policy").with("load", 0.5) } }];
        write_jsonl(&folder.path().join(DECISIONS), &events).unwrap();
        assert_eq!(read_jsonl::<Event>(&folder.path().join(DECISIONS)).unwrap(), events);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SUMMARY);
        write_text(&path, "old").unwrap();
        let failed = write_whole(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), format!("{}: cannot be written: disk full", path.display()));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(matches!(write_text(&folder.path().join("none/x"), ""), Err(FolderError::Write { .. })));
    }

    #[test]
    fn errors_name_file_line_what_was_expected_and_what_was_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LATENCY);
        let header = "window_start_s,window_end_s,records,latency_ns_p50,latency_ns_p99,latency_ns_max\n";
        for (text, message) in [
            (format!("{header}0,1,5,,,\n1,2,many,,,\n"), "line 3: expected a whole number in range in column 'records', found 'many'"),
            (format!("{header}0,1,5\n"), "line 2: expected 6 fields as in the header, found 3 fields"),
            (
                "window_start_s\n1\n".into(),
                "line 2: expected a column for every field (missing field `window_end_s`), found columns window_start_s",
            ),
        ] {
            fs::write(&path, text).unwrap();
            let error = read_csv::<LatencyRow>(&path).unwrap_err().to_string();
            assert_eq!(error, format!("{}, {message}", path.display()));
        }
        let path = folder.path().join(DECISIONS);
        fs::write(&path, "\n{\"at\":5}\n").unwrap();
        let error = read_jsonl::<Event>(&path).unwrap_err().to_string();
        assert!(error.contains("line 2: expected one JSON Event (missing field `event`") && error.ends_with("found {\"at\":5}"), "{error}");
        assert!(matches!(read_csv::<LatencyRow>(&folder.path().join(ROWS)), Err(FolderError::Read { .. })));
    }
}
