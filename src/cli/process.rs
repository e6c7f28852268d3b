//! `thalweg process`: a worker process, other than process 0, of a job that runs in several
//! processes.

use super::{Failure, usage};
use crate::engine::cluster::Member;
use crate::engine::{Job, RunError};

/// Serve as a worker process of a job ('run --processes' starts it).
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn process(_: &Args) -> Result<(), Failure> {
    let served = Member::from_environment().map(|member| {
        member.map(|member| {
            let job = member.job::<Job>()?;
            // 'run' reports which processes are connected; experiments have many short runs and
            // report only errors.
            if let Job::WordCount(_) = job {
                super::run::tell_connected(&member);
            }
            job.serve(member)
        })
    });
    match served {
        Ok(Some(Ok(()))) => Ok(()),
        // Process 0 reports the error, and its exit code is the job's.
        Ok(Some(Err(RunError::Stopped(_)))) => Ok(()),
        Ok(Some(Err(why))) | Err(why) => Err(why.into()),
        Ok(None) => {
            Err(usage(anyhow::anyhow!("process: expected to be started by 'thalweg run --processes N', found no such parent process")))
        }
    }
}
