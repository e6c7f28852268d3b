//! Watching a run: the live page while it goes on, and the page as a file.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;

use super::browser;
use super::failure::{Failure, usage};
use super::terminal::{self, Terminal};
use crate::dataflow::Topology;
use crate::experiment::commands::Commands;
use crate::experiment::folder as files;
use crate::experiment::record::{Manifest, Summary};
use crate::experiment::run::{Ending, RunFailure, RunResult, Status};
use crate::live::server::{Control, Limits, Server};
use crate::live::teller::{Board, Teller};
use crate::live::{Model, State, folder, page};

/// Where the page is served unless another address is given, and any free port if this one is taken.
pub(super) const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8425);

/// Flags for watching a run.
#[derive(Debug, clap::Args)]
pub(super) struct WatchArgs {
    /// Serve a live page of the run at ADDR: a port of this machine, or an address with a port
    /// [default: 127.0.0.1:8425]
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "")]
    live: Option<String>,
    /// Open the live page in a browser.
    #[arg(long, requires = "live")]
    open: bool,
    /// Let those who have a token, which is printed once, steer the run through the live page: pause the controller, hold an
    /// operator, apply a plan, change the latency goal.
    #[arg(long, requires = "live")]
    live_control: bool,
    /// Show the run on the whole terminal instead of in one line: rates, latency, operators, the last decision, warnings. Without
    /// a terminal, the usual lines.
    #[arg(long)]
    tui: bool,
    /// Also write the page with the data of the run to FILE: one HTML file that needs no network.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// A run that is watched, or not.
#[derive(Default)]
pub(super) struct Watched {
    terminal: Option<Terminal>,
    teller: Option<Teller>,
    server: Option<Server>,
    commands: Commands,
}

impl WatchArgs {
    /// Starts the server if asked to. Checks all flags, so call it before anything is written.
    pub(super) fn begin(&self, manifest: &Manifest, topology: &Topology) -> Result<Watched, Failure> {
        if let Some(file) = &self.report {
            check_report(file)?;
        }
        let on_terminal = self.tui && terminal::is_there();
        if self.live.is_none() && !on_terminal {
            return Ok(Watched::default());
        }
        let board = Board::new(Model::new(folder::about(manifest, State::Running), topology));
        let mut watched = Watched { teller: Some(Teller::start(Arc::clone(&board), topology.clone())?), ..Watched::default() };
        let mut notes = Vec::new();
        if let Some(asked) = &self.live {
            notes = watched.serve(asked, &board, self.live_control.then_some(topology))?;
            notes.iter().for_each(|note| eprintln!("thalweg: {note}"));
            if let (true, Some(server)) = (self.open, &watched.server) {
                browser::open(&page_of(server));
            }
        }
        if on_terminal {
            watched.terminal = Some(Terminal::enter(board, notes)?);
        }
        Ok(watched)
    }

    /// Writes the page of the run in `run` to its file, if asked to.
    pub(super) fn report(&self, run: &Path, manifest: &Manifest) -> Result<(), Failure> {
        let Some(file) = &self.report else { return Ok(()) };
        write_page(run, manifest, file)?;
        eprintln!("thalweg: report in {}", file.display());
        Ok(())
    }
}

impl Watched {
    /// Where the run gets its requests from; the first call has them.
    pub(super) fn commands(&mut self) -> Commands {
        std::mem::take(&mut self.commands)
    }

    /// Starts the server at the address `asked`; the run of `steerable` can be steered. What to say about it.
    fn serve(&mut self, asked: &str, board: &Arc<Board>, steerable: Option<&Topology>) -> Result<Vec<String>, Failure> {
        let mut control = None;
        if let Some(topology) = steerable {
            let (to, commands) = Commands::channel();
            (control, self.commands) = (Some(Control::new(topology.clone(), to)?), commands);
        }
        let server = serve_steering("--live", asked, board, control.clone())?;
        let page = page_of(&server);
        self.server = Some(server);
        // Behind '#', a browser does not send it.
        let steered = control.map(|control| format!("steer the run at {page}#token={}", control.token()));
        Ok(std::iter::once(format!("live page at {page}")).chain(steered).collect())
    }

    /// Whether the run has the whole terminal, so that nothing else is to be written there.
    pub(super) fn has_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// A window of the run has closed.
    pub(super) fn window(&mut self, status: &Status<'_>) {
        if let Some(teller) = &mut self.teller {
            teller.window(status);
        }
    }

    /// The run has ended: tells those who watch and ends the server.
    pub(super) fn end(self, manifest: &Manifest, result: Result<&RunResult, &RunFailure>) {
        let Some(teller) = self.teller else { return };
        match result.ok().or_else(|| result.err().and_then(RunFailure::partial)) {
            Some(result) => {
                let state = if result.ending == Ending::Complete { State::Finished } else { State::Interrupted };
                let summary = serde_json::to_value(Summary::of(manifest, result)).unwrap_or_default();
                let totals = summary.as_object().into_iter().flatten().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)));
                teller.end(state, &result.events, totals.collect());
            }
            None => teller.end(State::Interrupted, &[], BTreeMap::new()),
        }
        drop((self.terminal, self.server));
    }
}

/// The address of a server's page.
pub(super) fn page_of(server: &Server) -> String {
    format!("http://{}/", server.address())
}

/// Starts a server at the address that `flag` gives; at the usual one if it is empty.
pub(super) fn serve(flag: &str, asked: &str, board: &Arc<Board>) -> Result<Server, Failure> {
    serve_steering(flag, asked, board, None)
}

/// The same; with `control`, the run can be steered.
fn serve_steering(flag: &str, asked: &str, board: &Arc<Board>, control: Option<Arc<Control>>) -> Result<Server, Failure> {
    let limits = Limits::default();
    let start = |address| Server::steering(Arc::clone(board), address, limits, control.clone());
    if asked.is_empty() {
        let any = SocketAddr::new(ADDRESS.ip(), 0);
        return start(ADDRESS).or_else(|_| start(any)).map_err(|why| usage(anyhow!("{flag}: {ADDRESS} cannot be served: {why}")));
    }
    let address = address(asked).ok_or_else(|| {
        usage(anyhow!("{flag}: expected a port or an address with a port, such as 8425, 127.0.0.1:8425 or [::1]:8425, found '{asked}'"))
    })?;
    start(address).map_err(|why| usage(anyhow!("{flag}: {address} cannot be served: {why}")))
}

/// The address that a text gives.
fn address(text: &str) -> Option<SocketAddr> {
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse::<u16>().map_err(|_| ()).and_then(|number| if port.starts_with('+') { Err(()) } else { Ok(number) }) {
        return Some(SocketAddr::new(ADDRESS.ip(), port));
    }
    let text = text.replacen("localhost:", "127.0.0.1:", usize::from(text.starts_with("localhost:")));
    text.parse().ok()
}

/// Whether a report can be written to `file`.
pub(super) fn check_report(file: &Path) -> Result<(), Failure> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if file.is_dir() || file.file_name().is_none() {
        return Err(usage(anyhow!("{}: expected the name of a file for the report, found a folder", file.display())));
    }
    if !parent.is_dir() {
        return Err(usage(anyhow!("{}: expected a folder that exists for the report, found none", parent.display())));
    }
    Ok(())
}

/// Writes the page of the run in `run` to `file`.
pub(super) fn write_page(run: &Path, manifest: &Manifest, file: &Path) -> Result<(), Failure> {
    let story = Model::of_folder(run, manifest).map_err(usage)?.story();
    Ok(files::write_text(file, &page::frozen(&story))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_ports_or_addresses_with_ports() {
        for (text, expected) in [
            ("8080", "127.0.0.1:8080"),
            (":0", "127.0.0.1:0"),
            ("localhost:99", "127.0.0.1:99"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(address(text).map(|found| found.to_string()).as_deref(), Some(expected), "{text}");
        }
        for text in ["heron-wordcount", "65536", "-1", "+80", "127.0.0.1", "::1:80", "http://127.0.0.1:80", ":", " 80", "evil.example:80"] {
            assert_eq!(address(text), None, "{text}");
        }
    }
}
