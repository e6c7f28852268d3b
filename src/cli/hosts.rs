//! Where a run's processes are: '--processes', '--workers', '--hostfile' and '--process'.

use std::path::PathBuf;

use anyhow::anyhow;

use super::failure::{Failure, usage};
use crate::engine::cluster::{Deployment, read_hosts};

/// Most worker threads, of a process and of all together.
const MOST_WORKERS: u32 = 64;

/// The flags.
#[derive(Debug, clap::Args)]
pub(super) struct Hosts {
    /// Processes, started on this machine unless '--hostfile' says where they are; 1 by default.
    #[arg(long, value_name = "N")]
    pub(super) processes: Option<u32>,
    /// Worker threads of each process.
    #[arg(long, default_value_t = 2)]
    pub(super) workers: u32,
    /// Where each process takes connections, 'host:port', one a line. Start the same command on each machine, with its '--process'.
    #[arg(long, value_name = "FILE")]
    hostfile: Option<PathBuf>,
    /// Which line of the host file, from 0, is this process; process 0 controls the run and has its results.
    #[arg(long, value_name = "INDEX", requires = "hostfile")]
    process: Option<u32>,
}

impl Hosts {
    /// What the flags say, checked.
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
                    return Err(usage(anyhow!("--process: expected 0 to {most}, a line of the host file, found {process}")));
                }
                Deployment::hosts(addresses, process, workers)
            }
        };
        let most = MOST_WORKERS / workers;
        if !(1..=most).contains(&deployment.processes) {
            let found = deployment.processes;
            return Err(usage(anyhow!("--processes: expected 1 to {most} of {workers} worker threads each, found {found}")));
        }
        Ok(deployment)
    }
}
