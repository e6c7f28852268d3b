//! A job on several processes, of one machine or of several.
//!
//! ```text
//!  process 0                                              process 1
//!  observer, controller ◄─ log, acks ─┐
//!  workers 0, 1                       ├── control ──  records, reports, queues, outcome; clock, stop
//!        ▲                            │                   workers 2, 3
//!        └────────────────── data (timely's own) ─────────────┘
//! ```
//!
//! Process 0 observes and controls. It starts the others itself on one machine ([`Deployment::processes`]), or they are started by
//! hand, one a machine ([`Deployment::hosts`]). Each process has one control connection to process 0 and one data connection to
//! every other process. Commands of a migration travel in the dataflow, in order with its frontiers. Everything else that
//! process 0 has to know travels on the control connections, apart from the dataflow: so recording never stands in the way of a
//! record, and word of a failure needs no worker to be well.
//!
//! What always holds: a process that ends, panics or is no longer connected ends the run everywhere, with an error that names it;
//! processes that were started do not outlive the one that started them.
//!
//! Any program can run a job on several processes: it starts the job with [`Running::on`](crate::engine::host::Running::on), and where it was
//! itself started as another process of one ([`Seat::taken`]) it serves that job instead of doing what it does otherwise. A test
//! does so by starting its own executable with its own name ([`Launch::this_test`]); `tests/suite/cluster.rs` shows it.

mod children;
mod frame;
mod hosts;
mod hub;
mod meeting;
mod seat;
mod wire;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

pub use hosts::{HostsError, read_hosts};
pub(in crate::engine) use hub::Hub;
pub use seat::Seat;
pub(in crate::engine) use wire::{Network, Wire};

/// Where a process finds which one it is and whom to ask, if another one has started it.
const SEAT: &str = "THALWEG_SEAT";

/// Where the workers of a job run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Number of processes, at least 1.
    pub processes: u32,
    /// Worker threads of each, at least 1. Worker `w` is in process `w / workers`.
    pub workers: u32,
    /// Only the process itself knows how it came to be.
    #[serde(skip)]
    members: Members,
}

/// Who the other processes are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Members {
    /// Process 0 starts them.
    Started(Launch),
    /// They are there or will come; this is `process`.
    Hosts { addresses: Vec<String>, process: u32 },
}

/// How another process of a job is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<String>,
}

impl Deployment {
    /// Worker threads of this process only.
    pub fn threads(workers: u32) -> Deployment {
        Deployment::processes(1, workers)
    }

    /// `processes` processes of `workers` threads each on this machine. This one is the first; the others are started as
    /// `thalweg process`, which takes this program for `thalweg`: see [`launched`](Deployment::launched) for others.
    pub fn processes(processes: u32, workers: u32) -> Deployment {
        Deployment { processes, workers, members: Members::Started(Launch::this_program(&["process"])) }
    }

    /// The same, but the other processes are started as `launch` says.
    pub fn launched(self, launch: Launch) -> Deployment {
        Deployment { members: Members::Started(launch), ..self }
    }

    /// One process at each of `addresses` (`host:port`), with `workers` threads each; this one is `process`.
    ///
    /// # Panics
    /// If there is no address `process`.
    pub fn hosts(addresses: Vec<String>, process: u32, workers: u32) -> Deployment {
        assert!((process as usize) < addresses.len(), "process {process} has an address");
        Deployment { processes: addresses.len() as u32, workers, members: Members::Hosts { addresses, process } }
    }

    /// Number of workers of all processes.
    pub fn peers(&self) -> u32 {
        self.processes * self.workers
    }

    /// Which of its processes this is, as far as it was told at its making.
    pub fn process(&self) -> u32 {
        match &self.members {
            Members::Started(_) => 0,
            Members::Hosts { process, .. } => *process,
        }
    }
}

/// `processes` addresses on loopback with ports that were free a moment ago, for a host file on one machine.
///
/// # Errors
/// When the system has no free port.
pub fn free_addresses(processes: u32) -> std::io::Result<Vec<String>> {
    // All at once, so that no port is given twice.
    let listeners = (0..processes).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<Vec<_>>>()?;
    listeners.iter().map(|listener| listener.local_addr().map(|address| address.to_string())).collect()
}

impl Default for Members {
    fn default() -> Members {
        Members::Started(Launch::this_program(&["process"]))
    }
}

impl Launch {
    /// This program with `arguments`.
    ///
    /// # Panics
    /// If the system does not tell where the program is.
    pub fn this_program(arguments: &[&str]) -> Launch {
        Launch::program(std::env::current_exe().expect("a program that runs is somewhere"), arguments)
    }

    /// The program at `path` with `arguments`.
    pub fn program(path: impl Into<PathBuf>, arguments: &[&str]) -> Launch {
        Launch { program: path.into(), arguments: arguments.iter().map(|&argument| argument.to_owned()).collect() }
    }

    /// This test executable, running no test but the one of this name (with the modules it is in). The test is to ask
    /// [`Seat::taken`] first.
    pub fn this_test(name: &str) -> Launch {
        Launch::this_program(&[name, "--exact", "--nocapture", "--test-threads=1"])
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}
