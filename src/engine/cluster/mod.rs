//! Runs a job on several processes, on one or several machines.
//!
//! ```text
//!  process 0                                              process 1
//!  observer, controller ◄─ log, acks ─┐
//!  workers 0, 1                       ├── control ──  records, reports, queues, outcome; clock, stop
//!        ▲                            │                   workers 2, 3
//!        └────────────────── data (timely's own) ─────────────┘
//! ```
//!
//! Process 0 observes and controls the job. On one machine it starts the other processes itself
//! ([`Deployment::processes`]); on several machines they are started by hand, one on each
//! ([`Deployment::hosts`]). Each process has one control connection to process 0 and one data
//! connection to every other process. Migration commands travel in the dataflow, in order with its
//! frontiers. All other communication with process 0 uses the control connections: recording never
//! delays a record of the job, and reporting a failure does not depend on a healthy worker.
//!
//! Invariants: when a process exits, panics or loses its connection, the run ends in all processes
//! with an error that names it; processes that process 0 has started do not outlive it.
//!
//! Any program can run a job on several processes. It starts the job with
//! [`Running::on`](crate::engine::Running::on); where it was itself started as a further process of
//! a job ([`Member::from_environment`]), it serves that job instead. A test starts its own
//! executable with its own name ([`Launch::this_test`]); see `tests/suite/cluster.rs`.

mod children;
mod frame;
mod hosts;
mod hub;
mod member;
mod rendezvous;
mod wire;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

pub use hosts::{HostsError, read_hosts};
pub(in crate::engine) use hub::Hub;
pub use member::Member;
pub(in crate::engine) use wire::{Network, Wire};

/// Environment variable that tells a started process its number and the address of process 0.
const MEMBER: &str = "THALWEG_MEMBER";

/// Where the workers of a job run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Number of processes, at least 1.
    pub processes: u32,
    /// Worker threads of each, at least 1. Worker `w` is in process `w / workers`.
    pub workers: u32,
    source_partitions: u32,
    pinned: bool,
    /// Known to this process only.
    #[serde(skip)]
    members: Members,
}

/// Who the other processes are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Members {
    /// Process 0 starts them.
    Started(Launch),
    /// They are started by hand; this is `process`.
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

    /// `processes` processes of `workers` threads each on this machine. This one is the first; the
    /// others are started as `thalweg process`, which takes this program for `thalweg`: see
    /// [`launched`](Deployment::launched) for others.
    pub fn processes(processes: u32, workers: u32) -> Deployment {
        Deployment {
            processes,
            workers,
            source_partitions: 1,
            pinned: false,
            members: Members::Started(Launch::this_program(&["process"])),
        }
    }

    /// The same, but the other processes are started as `launch` says.
    pub fn launched(self, launch: Launch) -> Deployment {
        Deployment { members: Members::Started(launch), ..self }
    }

    /// One process at each of `addresses` (`host:port`), with `workers` threads each; this one is
    /// `process`.
    ///
    /// # Panics
    /// If there is no address `process`.
    pub fn hosts(addresses: Vec<String>, process: u32, workers: u32) -> Deployment {
        assert!((process as usize) < addresses.len(), "process {process} has an address");
        let processes = addresses.len() as u32;
        Deployment { processes, workers, source_partitions: 1, pinned: false, members: Members::Hosts { addresses, process } }
    }

    /// The same, with sources that have a partition on each of the first `partitions` workers: on at
    /// least one, at most on all.
    pub fn with_source_partitions(self, partitions: u32) -> Deployment {
        Deployment { source_partitions: partitions.clamp(1, self.peers().max(1)), ..self }
    }

    /// On how many workers, the first ones, a source has a partition: 1 unless said otherwise. Jobs
    /// with state before their schedule begins have one in any case.
    pub fn source_partitions(&self) -> u32 {
        self.source_partitions
    }

    /// The same, where each worker stays on a core of its own as long as there are enough: worker `w`
    /// on core `w` of those on which the process may run, where the job does so
    /// ([`stay_on_core`](crate::engine::stay_on_core)).
    pub fn pinned(self) -> Deployment {
        Deployment { pinned: true, ..self }
    }

    /// Whether each worker stays on a core of its own.
    pub fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// Number of workers of all processes.
    pub fn peers(&self) -> u32 {
        self.processes * self.workers
    }

    /// The number of this process, as far as it is known from the host file.
    pub fn process(&self) -> u32 {
        match &self.members {
            Members::Started(_) => 0,
            Members::Hosts { process, .. } => *process,
        }
    }
}

/// `processes` addresses on loopback with ports that were free a moment ago, for a host file on one
/// machine.
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
    /// If the operating system does not provide the path of the program.
    pub fn this_program(arguments: &[&str]) -> Launch {
        Launch::program(std::env::current_exe().expect("a program that runs is somewhere"), arguments)
    }

    /// The program at `path` with `arguments`.
    pub fn program(path: impl Into<PathBuf>, arguments: &[&str]) -> Launch {
        Launch { program: path.into(), arguments: arguments.iter().map(|&argument| argument.to_owned()).collect() }
    }

    /// This test executable, running only the test of this name (with its module path). The test
    /// has to call [`Member::from_environment`] first.
    pub fn this_test(name: &str) -> Launch {
        Launch::this_program(&[name, "--exact", "--nocapture", "--test-threads=1"])
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}
