//! `thalweg process`: one of the further processes of a job that runs on several.

use super::failure::{Failure, usage};
use crate::engine::cluster::Seat;
use crate::engine::{Job, RunError};

/// Work for a job that another process runs ('run --processes' starts it).
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn process(_: &Args) -> Result<(), Failure> {
    let served = Seat::taken().map(|seat| {
        seat.map(|seat| {
            let job = seat.job::<Job>()?;
            // 'run' tells its user which processes work for it; experiments have many short runs and only say what goes wrong.
            if let Job::WordCount(_) = job {
                super::run::tell_connected(&seat);
            }
            job.serve(seat)
        })
    });
    match served {
        Ok(Some(Ok(()))) => Ok(()),
        // Process 0 says why, and its exit code is the job's.
        Ok(Some(Err(RunError::Stopped(_)))) => Ok(()),
        Ok(Some(Err(why))) | Err(why) => Err(why.into()),
        Ok(None) => Err(usage(anyhow::anyhow!("process: expected to be started by 'thalweg run --processes N', found no such run"))),
    }
}
