//! The page of an analysis: served while it goes on, written at its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::arguments::{Asked, PageArgs};
use crate::activity::Record;
use crate::cli::browser;
use crate::cli::failure::Failure;
use crate::cli::watched::{check_report, page_of, serve};
use crate::critical_path::WindowSummary;
use crate::experiment::environment::Environment;
use crate::experiment::{folder, interrupt};
use crate::live::server::Server;
use crate::live::teller::Board;
use crate::live::{About, Analyst, Diagnosis, Model, State, page};
use crate::report;

/// How often the page says what the diagnosis would be.
const DIAGNOSES: Duration = Duration::from_millis(200);

/// The page of an analysis.
pub(super) struct Page {
    board: Arc<Board>,
    analyst: Analyst,
    server: Option<Server>,
    report: Option<PathBuf>,
    diagnosed: Option<Instant>,
}

impl Page {
    /// Starts the page if it is asked for. Checks all of its flags, so call it before anything is read.
    pub(super) fn begin(args: &PageArgs, asked: &Asked) -> Result<Option<Page>, Failure> {
        if let Some(file) = &args.report {
            check_report(file)?;
        }
        if args.live.is_none() && args.report.is_none() {
            return Ok(None);
        }
        let environment = Environment::here();
        let about = About {
            title: asked.name(),
            revision: environment.revision,
            machine: environment.machine,
            command: environment.command,
            started_utc: environment.started_utc,
            is_analysis: true,
            ..About::default()
        };
        let board = Board::new(Model::of_operators(about, Vec::new()));
        let server = args.live.as_ref().map(|address| serve("--live", address, &board)).transpose()?;
        if let Some(server) = &server {
            eprintln!("thalweg: live page at {}", page_of(server));
            if args.open {
                browser::open(&page_of(server));
            }
        }
        Ok(Some(Page { analyst: Analyst::new(&board), board, server, report: args.report.clone(), diagnosed: None }))
    }

    pub(super) fn records(&mut self, records: &[Record]) {
        self.analyst.records(records);
    }

    /// Shows a window; whether the diagnosis so far is to be shown, too.
    // What a page shows when says nothing of the trace.
    #[allow(clippy::disallowed_methods)]
    pub(super) fn window(&mut self, summary: &WindowSummary) -> bool {
        self.analyst.window(summary);
        let is_due = self.diagnosed.is_none_or(|at| at.elapsed() >= DIAGNOSES);
        if is_due {
            self.diagnosed = Some(Instant::now());
        }
        is_due
    }

    pub(super) fn diagnosis(&mut self, diagnosis: &report::Diagnosis) {
        self.analyst.diagnosis(Diagnosis { cause: diagnosis.cause.label().to_owned(), text: diagnosis.text.clone() });
    }

    /// The trace has been analysed to its end, or to its damage.
    pub(super) fn end(&mut self, damage: Option<&anyhow::Error>, notes: Vec<String>) {
        let state = if damage.is_some() || interrupt::asked() { State::Interrupted } else { State::Finished };
        let damage = damage.map(|damage| format!("{damage:#}"));
        self.analyst.end(state, damage.into_iter().chain(notes).collect());
    }

    /// Writes the page to its file, if asked to, and serves it until Ctrl-C.
    pub(super) fn stay(self, damage: Option<&anyhow::Error>) -> Result<(), Failure> {
        if let Some(file) = &self.report {
            folder::write_text(file, &page::frozen(&self.board.story()))?;
            eprintln!("thalweg: report in {}", file.display());
        }
        if self.server.is_some() && !interrupt::asked() {
            if let Some(damage) = damage {
                eprintln!("thalweg: {damage:#}");
            }
            eprintln!("thalweg: shows the analysis until Ctrl-C");
            loop {
                // Ctrl-C ends the process.
                std::thread::park();
            }
        }
        Ok(())
    }
}
