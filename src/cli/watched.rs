//! Watching a run: the live page while it goes on, and the page as a file.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;

use super::failure::{Failure, usage};
use crate::dataflow::Topology;
use crate::experiment::folder as files;
use crate::experiment::record::{Manifest, Summary};
use crate::experiment::run::{Ending, RunFailure, RunResult, Status};
use crate::live::server::{Limits, Server};
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
    /// Also write the page with the data of the run to FILE: one HTML file that needs no network.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// A run that is watched, or not.
pub(super) struct Watched {
    teller: Option<Teller>,
    server: Option<Server>,
}

impl WatchArgs {
    /// Starts the server if asked to. Checks all flags, so call it before anything is written.
    pub(super) fn begin(&self, manifest: &Manifest, topology: &Topology) -> Result<Watched, Failure> {
        if let Some(file) = &self.report {
            check_report(file)?;
        }
        let Some(asked) = &self.live else { return Ok(Watched { teller: None, server: None }) };
        let board = Board::new(Model::new(folder::about(manifest, State::Running), topology));
        let server = serve("--live", asked, &board)?;
        let teller = Teller::start(board, topology.clone())?;
        eprintln!("thalweg: live page at http://{}/", server.address());
        Ok(Watched { teller: Some(teller), server: Some(server) })
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
        drop(self.server);
    }
}

/// Starts a server at the address that `flag` gives; at the usual one if it is empty.
pub(super) fn serve(flag: &str, asked: &str, board: &Arc<Board>) -> Result<Server, Failure> {
    let limits = Limits::default();
    if asked.is_empty() {
        let any = SocketAddr::new(ADDRESS.ip(), 0);
        let started = Server::start(Arc::clone(board), ADDRESS, limits).or_else(|_| Server::start(Arc::clone(board), any, limits));
        return started.map_err(|why| usage(anyhow!("{flag}: {ADDRESS} cannot be served: {why}")));
    }
    let address = address(asked).ok_or_else(|| {
        usage(anyhow!("{flag}: expected a port or an address with a port, such as 8425, 127.0.0.1:8425 or [::1]:8425, found '{asked}'"))
    })?;
    Server::start(Arc::clone(board), address, limits).map_err(|why| usage(anyhow!("{flag}: {address} cannot be served: {why}")))
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
