//! From the analysis of a trace to those who watch it.
//!
//! Unlike a run, an analysis may wait: it changes what is shown itself, and holds it for as long as it
//! takes to copy a story.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::story::{Diagnosis, State};
use super::teller::{Board, Closes, Telling};
use super::trace_rows::TraceRows;
use crate::activity::Record;
use crate::critical_path::WindowSummary;

/// Windows that a page shows; a trace may have more.
const MOST_WINDOWS: usize = 100_000;

/// Shows the analysis of a trace as it proceeds.
#[derive(Debug)]
pub struct Analyst {
    telling: Telling,
    rows: TraceRows,
    windows: usize,
}

impl Analyst {
    /// Shows an analysis on `board`, whose model knows no operators.
    pub fn new(board: &Arc<Board>) -> Analyst {
        Analyst { telling: Telling::new(board), rows: TraceRows::default(), windows: 0 }
    }

    /// Counts records of the trace; to be called before the windows in which they lie.
    pub fn records(&mut self, records: &[Record]) {
        records.iter().for_each(|record| self.rows.push(record));
    }

    /// Shows a window that was analysed.
    pub fn window(&mut self, summary: &WindowSummary) {
        self.windows += 1;
        if let Some(shape) = self.rows.shape() {
            self.telling.change_all(|model| model.grow(shape.operators, shape.edges, shape.feedback));
        }
        let rows = self.rows.window(summary);
        let windows = self.windows;
        self.telling.change(|model, _| {
            if windows > MOST_WINDOWS {
                if windows == MOST_WINDOWS + 1 {
                    model.note(format!("The trace has more windows than the {MOST_WINDOWS} that are shown."));
                }
                return Closes::default();
            }
            let instances = !rows.instances.is_empty();
            model.analysed(&rows.timeline, &rows.latency, rows.instances, rows.path);
            Closes { window: true, instances }
        });
    }

    /// Shows what the analysis says of the trace so far.
    pub fn diagnosis(&mut self, diagnosis: Diagnosis) {
        self.telling.change(|model, _| {
            model.diagnose(diagnosis);
            Closes::default()
        });
    }

    /// The analysis has ended; `notes` tell what was skipped.
    pub fn end(&mut self, state: State, notes: Vec<String>) {
        self.telling.change(|model, _| {
            notes.into_iter().for_each(|note| model.note(note));
            model.finish(state, BTreeMap::new());
            Closes::default()
        });
    }
}
