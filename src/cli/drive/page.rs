//! A drive on a page and on the terminal: each job that is driven, one after the other.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::browser;
use crate::cli::failure::Failure;
use crate::cli::terminal::{self, Terminal};
use crate::cli::watched::{check_report, page_of, serve};
use crate::controller::Event;
use crate::dataflow::Topology;
use crate::experiment::folder;
use crate::experiment::run::Status;
use crate::flink::Closed;
use crate::live::server::Server;
use crate::live::teller::{Board, Teller};
use crate::live::{About, Model, State, page};
use crate::stats::LatencyHistogram;

/// Flags for watching a drive.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PageArgs {
    /// Serve a live page of the job at ADDR: a port of this machine, or an address with a port [default: 127.0.0.1:8425]
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "")]
    live: Option<String>,
    /// Open the live page in a browser.
    #[arg(long, requires = "live")]
    open: bool,
    /// Show the job on the whole terminal instead of in one line.
    #[arg(long)]
    tui: bool,
    /// Also write the page of the last job to FILE at the end: one HTML file that needs no network.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Who watches a drive.
pub(super) struct Page {
    board: Arc<Board>,
    terminal: Option<Terminal>,
    server: Option<Server>,
    report: Option<PathBuf>,
    about: About,
    /// Tells of the present job, once a window of it has closed.
    teller: Option<Teller>,
}

impl PageArgs {
    /// Begins to show a drive of `policy`, if asked to.
    pub(super) fn begin(&self, policy: &str) -> Result<Option<Page>, Failure> {
        if let Some(file) = &self.report {
            check_report(file)?;
        }
        let on_terminal = self.tui && terminal::is_there();
        if self.live.is_none() && self.report.is_none() && !on_terminal {
            return Ok(None);
        }
        let about = About { title: "No job yet".to_owned(), policy: policy.to_owned(), host: "flink".to_owned(), ..About::default() };
        let nothing = Topology::new(&[], &[]).expect("a topology may be empty");
        let board = Board::new(Model::new(about.clone(), &nothing));
        let (mut server, mut notes) = (None, Vec::new());
        if let Some(asked) = &self.live {
            let started = serve("--live", asked, &board)?;
            notes.push(format!("live page at {}", page_of(&started)));
            eprintln!("thalweg: {}", notes[0]);
            if self.open {
                browser::open(&page_of(&started));
            }
            server = Some(started);
        }
        let terminal = on_terminal.then(|| Terminal::enter(Arc::clone(&board), notes)).transpose()?;
        Ok(Some(Page { board, terminal, server, report: self.report.clone(), about, teller: None }))
    }
}

impl Page {
    /// Whether the drive has the whole terminal.
    pub(super) fn has_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// Another job is driven from now on.
    pub(super) fn attached(&mut self, name: &str) {
        self.teller = None;
        self.about.title = name.to_owned();
    }

    /// A window of the job has closed.
    pub(super) fn closed(&mut self, closed: &Closed<'_>) {
        if self.teller.is_none() {
            self.board.show(Model::new(self.about.clone(), closed.topology));
            // Without a thread to tell it, the page stays as it is.
            self.teller = Teller::start(Arc::clone(&self.board), closed.topology.clone()).ok();
        }
        let overall = LatencyHistogram::default();
        let status =
            Status { now: closed.observation.window.end, observation: closed.observation, events: &[], overall: &overall, migration: None };
        if let Some(teller) = &mut self.teller {
            teller.window(&status);
        }
    }

    /// All that the controller of the job has done so far.
    pub(super) fn decided(&mut self, events: &[Event]) {
        if let Some(teller) = &mut self.teller {
            teller.decided(events);
        }
    }

    /// The drive has ended.
    ///
    /// # Errors
    /// If its page cannot be written.
    pub(super) fn end(self, is_interrupted: bool) -> Result<(), Failure> {
        if let Some(teller) = self.teller {
            teller.end(if is_interrupted { State::Interrupted } else { State::Finished }, &[], [].into());
        }
        drop((self.terminal, self.server));
        if let Some(file) = &self.report {
            folder::write_text(file, &page::frozen(&self.board.story()))?;
            eprintln!("thalweg: report in {}", file.display());
        }
        Ok(())
    }
}
