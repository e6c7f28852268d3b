//! Processes that compute beside the workers of a job: a scenario's workers lose a part of their
//! cores on the engine as they do in virtual time.
//!
//! Each is this program once more, on the core of one worker, which has to stay there as well. It
//! takes its share of the core's time if the worker leaves it so much, as it does of half: the
//! system divides a core evenly. It ends when it is told to when it is started, or with the run.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use crate::sim::LostCore;

/// The most that a process gets of a core whose worker always has something to do.
pub const MOST_SHARE: f64 = 0.5;

/// Running processes; they end when this is dropped.
#[derive(Debug, Default)]
pub struct Rivals(Vec<Child>);

impl Rivals {
    /// Starts a process for each of these losses, for a run of this length that begins now.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn start(lost: &[LostCore], length: Duration) -> anyhow::Result<Rivals> {
        let mut rivals = Rivals::default();
        for LostCore { worker, share, from_s, until_s } in lost {
            let program = std::env::current_exe().context("a program that runs is somewhere")?;
            let until_s = until_s.unwrap_or(f64::INFINITY).min(length.as_secs_f64());
            let numbers = [("--core", worker.to_string()), ("--share", share.to_string()), ("--from", from_s.to_string())];
            let mut command = Command::new(program);
            command.arg("rival").args(numbers.iter().flat_map(|(name, number)| [*name, number.as_str()]));
            command.args(["--until", &until_s.to_string()]).stdin(Stdio::null()).stdout(Stdio::null());
            rivals.0.push(command.spawn().context("a process that computes beside the job")?);
        }
        Ok(rivals)
    }
}

impl Drop for Rivals {
    fn drop(&mut self) {
        for rival in &mut self.0 {
            // It may have ended.
            let _ = rival.kill();
            let _ = rival.wait();
        }
    }
}
