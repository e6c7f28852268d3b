//! Summaries as rows: CSV for data frames, and complete summaries as JSON lines.

use std::io::{self, Write};

use serde::Serialize;

use super::View;
use super::writer::Writer;
use crate::activity::Names;
use crate::critical_path::Subject;

/// A row of the CSV. Columns are in the order of the fields; values that do not apply are empty.
#[derive(Clone, Debug, Default, Serialize)]
struct CsvRow {
    window_start_ns: u64,
    window_end_ns: u64,
    lane: String,
    kind: String,
    operator: Option<String>,
    instance: Option<u32>,
    channel: Option<String>,
    to_lane: Option<String>,
    participation: f64,
    ns: u64,
    path_ns: u64,
    count: u64,
}

/// Writes [`CsvRow`]s.
#[derive(Default)]
pub(super) struct Csv {
    has_header: bool,
}

impl Writer for Csv {
    fn begin(&mut self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn window(&mut self, out: &mut dyn Write, view: &View<'_>) -> io::Result<()> {
        let mut writer = csv::WriterBuilder::new().has_headers(!self.has_header).from_writer(out);
        for row in &view.summary.rows {
            let mut line = CsvRow {
                window_start_ns: view.summary.window.start.0,
                window_end_ns: view.summary.window.end.0,
                lane: view.names.lane(row.lane),
                participation: row.participation,
                ns: row.ns,
                path_ns: row.path_ns,
                count: row.count,
                ..CsvRow::default()
            };
            match row.subject {
                Subject::Work(kind, instance) => {
                    line.kind = kind.to_string();
                    line.operator = Some(view.names.operator(instance.operator));
                    line.instance = Some(instance.index);
                }
                Subject::Message(kind, channel, to) => {
                    line.kind = kind.to_string();
                    line.channel = Some(view.names.channel(channel));
                    line.to_lane = Some(view.names.lane(to));
                }
                Subject::FurtherWork(kind) => line.kind = kind.to_string(),
                Subject::FurtherMessages(kind) => line.kind = kind.to_string(),
                Subject::Gap => line.kind = "gap".to_owned(),
                Subject::Silence => line.kind = "silence".to_owned(),
                Subject::Wait(channel, from) => {
                    line.kind = "wait".to_owned();
                    line.channel = Some(view.names.channel(channel));
                    // The message that ended the wait went in the opposite direction to the row:
                    // from there to this lane.
                    (line.lane, line.to_lane) = (view.names.lane(from), Some(view.names.lane(row.lane)));
                }
            }
            writer.serialize(line).map_err(io::Error::other)?;
            self.has_header = true;
        }
        writer.flush()
    }

    fn finish(&mut self, _out: &mut dyn Write, _names: &Names) -> io::Result<Option<String>> {
        Ok(None)
    }
}

/// Writes each [`WindowSummary`](crate::critical_path::WindowSummary) as a line of JSON.
pub(super) struct JsonLines;

impl Writer for JsonLines {
    fn begin(&mut self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn window(&mut self, out: &mut dyn Write, view: &View<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut *out, view.summary)?;
        out.write_all(b"\n")
    }

    fn finish(&mut self, _out: &mut dyn Write, _names: &Names) -> io::Result<Option<String>> {
        Ok(None)
    }
}
