//! Trace events of Chrome, for <https://ui.perfetto.dev>.
//!
//! A process is a worker, or an operator whose instances have their own lanes; a thread is a lane;
//! a slice is an activity or a wait; an arrow is a message. The most likely critical path is a
//! separate process at the top, one slice after the other, and its slices on the lanes have the
//! category `critical`. Times are in microseconds with nanoseconds as decimals. Gaps are left
//! white.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::View;
use super::path_slices::{Slice, path_slices};
use super::writer::Writer;
use crate::activity::{Lane, Names};
use crate::pag::PieceKind;
use crate::time::Epoch;

/// Number of the process for the critical path.
const PATH_PROCESS: u64 = 1;
/// Number of the first worker's process.
const FIRST_WORKER: u64 = 2;
/// Number of the first operator's process, after any number of workers.
const FIRST_OPERATOR: u64 = 1 << 33;

/// Writes trace events.
#[derive(Default)]
pub(super) struct Perfetto {
    /// Numbers of the lanes that have an event.
    lanes: BTreeMap<Lane, u64>,
    /// Number of arrows so far.
    arrows: u64,
    /// Messages that cross the end of a window.
    without_arrow: u64,
    has_events: bool,
}

impl Perfetto {
    fn event(&mut self, out: &mut dyn Write, event: &Value) -> io::Result<()> {
        out.write_all(if self.has_events { b",\n" } else { b"\n" })?;
        self.has_events = true;
        serde_json::to_writer(out, event)?;
        Ok(())
    }

    /// Process and thread of a lane.
    fn place(&mut self, lane: Lane) -> (u64, u64) {
        let next = self.lanes.len() as u64 + 1;
        (process(lane), *self.lanes.entry(lane).or_insert(next))
    }

    fn path(&mut self, out: &mut dyn Write, view: &View<'_>) -> io::Result<()> {
        for Slice { start, end, label, lane } in path_slices(view) {
            let args = json!({ "lane": view.names.lane(lane) });
            let event = json!({ "ph": "X", "name": label, "cat": "critical", "pid": PATH_PROCESS, "tid": 1,
                "ts": micros(start.0), "dur": micros(end.0 - start.0), "args": args });
            self.event(out, &event)?;
        }
        Ok(())
    }
}

impl Writer for Perfetto {
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")
    }

    fn window(&mut self, out: &mut dyn Write, view: &View<'_>) -> io::Result<()> {
        let (pieces_on_path, messages_on_path) = view.on_path();
        self.path(out, view)?;
        for (lane, range) in view.graph.lanes.iter().zip(&view.graph.ranges) {
            for number in range.pieces.clone() {
                let piece = &view.graph.pieces[number as usize];
                let mut args = json!({ "participation": view.participation.segments[piece.segment as usize] });
                let category = match piece.kind {
                    PieceKind::Gap | PieceKind::Silence => continue,
                    PieceKind::Wait { .. } => "wait".to_owned(),
                    PieceKind::Work { kind, epoch, .. } => {
                        if epoch != Epoch::UNKNOWN {
                            args["epoch"] = json!(epoch.0);
                        }
                        kind.to_string()
                    }
                };
                let category = if pieces_on_path[number as usize] { format!("{category},critical") } else { category };
                let (pid, tid) = self.place(*lane);
                let event = json!({ "ph": "X", "name": view.piece_label(piece), "cat": category, "pid": pid, "tid": tid,
                    "ts": micros(piece.start.0), "dur": micros(piece.end.0 - piece.start.0), "args": args });
                self.event(out, &event)?;
            }
        }
        for (number, edge) in view.graph.messages.iter().enumerate() {
            let (Some(from), Some(_)) = (edge.from, edge.to) else {
                self.without_arrow += 1;
                continue;
            };
            self.arrows += 1;
            let category = match (messages_on_path[number], edge.blocked) {
                (true, _) => "message,critical",
                (false, true) => "message,queued",
                (false, false) => "message",
            };
            // An arrow belongs to the slice that contains its end: the work before that point, not
            // after it.
            let sent = match view.graph.piece_before(from) {
                Some(piece) if view.graph.pieces[piece as usize].end == edge.start => edge.start.0 - 1,
                _ => edge.start.0,
            };
            let args = json!({ "participation": view.participation.messages[number] });
            for (phase, lane, at) in [("s", edge.from_lane, sent), ("f", edge.to_lane, edge.end.0)] {
                let (pid, tid) = self.place(view.lane(lane));
                let mut event = json!({ "ph": phase, "name": view.message_label(edge), "cat": category, "id": self.arrows,
                    "pid": pid, "tid": tid, "ts": micros(at), "args": args });
                if phase == "f" {
                    event["bp"] = json!("e");
                }
                self.event(out, &event)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write, names: &Names) -> io::Result<Option<String>> {
        let mut named = vec![
            json!({ "ph": "M", "name": "process_name", "pid": PATH_PROCESS, "args": { "name": "critical path" } }),
            json!({ "ph": "M", "name": "process_sort_index", "pid": PATH_PROCESS, "args": { "sort_index": -1 } }),
            json!({ "ph": "M", "name": "thread_name", "pid": PATH_PROCESS, "tid": 1, "args": { "name": "most likely path of each window" } }),
        ];
        for (lane, tid) in &self.lanes {
            let pid = process(*lane);
            let of = match lane {
                Lane::Worker(worker) => worker.to_string(),
                Lane::Instance(instance) => names.operator(instance.operator),
            };
            named.push(json!({ "ph": "M", "name": "process_name", "pid": pid, "args": { "name": of } }));
            named.push(json!({ "ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": { "name": names.lane(*lane) } }));
        }
        for event in &named {
            self.event(out, event)?;
        }
        out.write_all(b"\n]}\n")?;
        let crossing = self.without_arrow;
        Ok((crossing > 0).then(|| format!("{crossing} messages that cross the edge of a window have no arrow")))
    }
}

fn process(lane: Lane) -> u64 {
    match lane {
        Lane::Worker(worker) => FIRST_WORKER + u64::from(worker.0),
        Lane::Instance(instance) => FIRST_OPERATOR + u64::from(instance.operator.0),
    }
}

/// Microseconds, exact to the nanosecond for the first hundred days.
fn micros(ns: u64) -> f64 {
    ns as f64 / 1e3
}
