//! Flags for the processes of a run: '--processes', '--workers', '--source-partitions', '--hostfile'
//! and '--process'.

use std::path::PathBuf;

use anyhow::anyhow;

use super::failure::{Failure, usage};
use crate::engine::RunError;
use crate::engine::cluster::{Deployment, read_hosts};

/// The most worker threads, of a process and in total.
const MOST_WORKERS: u32 = 64;

/// The flags for processes and workers.
#[derive(Debug, clap::Args)]
pub(super) struct Hosts {
    /// Number of processes, all on this machine unless '--hostfile' is given [default: 1]
    #[arg(long, value_name = "N")]
    pub(super) processes: Option<u32>,
    /// Worker threads per process.
    #[arg(long, default_value_t = 2)]
    pub(super) workers: u32,
    /// Number of workers that emit: each of the first N, of all processes together, emits its share
    /// of the records, with a lag and due times of its own.
    #[arg(long, value_name = "N", default_value_t = 1)]
    source_partitions: u32,
    /// File with the listen address of each process, one 'host:port' per line. Start the same
    /// command on each machine, with its own '--process'.
    #[arg(long, value_name = "FILE")]
    hostfile: Option<PathBuf>,
    /// Line of the host file, counted from 0, that is this process. Process 0 controls the run and
    /// collects the results.
    #[arg(long, value_name = "INDEX", requires = "hostfile")]
    process: Option<u32>,
}

impl Hosts {
    /// The deployment described by the flags, checked.
    pub(super) fn deployment(&self) -> Result<Deployment, Failure> {
        let Hosts { workers, .. } = *self;
        if !(1..=MOST_WORKERS).contains(&workers) {
            return Err(usage(anyhow!("--workers: expected 1 to {MOST_WORKERS} worker threads, found {workers}")));
        }
        let deployment = match &self.hostfile {
            None => Deployment::processes(self.processes.unwrap_or(1), workers),
            Some(path) => {
                let wrong = |why: String| usage(anyhow!("--hostfile {}: {why}", path.display()));
                let text = std::fs::read_to_string(path).map_err(|why| wrong(format!("expected a readable text file: {why}")))?;
                let addresses = read_hosts(&text, self.processes).map_err(|why| wrong(why.to_string()))?;
                let process = self.process.unwrap_or(0);
                if process as usize >= addresses.len() {
                    let most = addresses.len() - 1;
                    return Err(usage(anyhow!("--process: expected a line of the host file, 0 to {most}, found {process}")));
                }
                Deployment::hosts(addresses, process, workers)
            }
        };
        let most = MOST_WORKERS / workers;
        if !(1..=most).contains(&deployment.processes) {
            let found = deployment.processes;
            return Err(usage(anyhow!("--processes: expected 1 to {most} with {workers} worker threads each, found {found}")));
        }
        let (most, found) = (deployment.peers(), self.source_partitions);
        if !(1..=most).contains(&found) {
            return Err(usage(anyhow!("--source-partitions: expected 1 to {most}, at most one for each worker, found {found}")));
        }
        Ok(deployment.with_source_partitions(found))
    }
}

/// Errors caused by the host file or by the other processes' flags are usage errors.
pub(super) fn wrong_hosts(why: RunError) -> Failure {
    match why {
        RunError::Address { .. } => usage(anyhow!("--hostfile: {why}")),
        RunError::Refused(_) => usage(why),
        why => why.into(),
    }
}
