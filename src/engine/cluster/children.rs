//! Child processes of process 0; none outlives it, and all of them are waited for.

use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use super::{Launch, MEMBER};
use crate::engine::host::{Clock, RunError};

/// A process whose connection is closed has this long to end before it is ended.
const PATIENCE: Duration = Duration::from_secs(2);
/// Polling interval for a process that is about to exit.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Started processes, from number 1 on; none if they were started elsewhere.
#[derive(Debug, Default)]
pub(super) struct Children {
    children: Mutex<Vec<Child>>,
}

impl Children {
    /// Starts processes 1 to `processes` (without it), each with the address to connect to.
    pub(super) fn start(launch: &Launch, processes: u32, address: &str, token: u64) -> Result<Children, RunError> {
        if let Ok(member) = std::env::var(MEMBER) {
            // It would start processes that start processes.
            let why = format!("was to take its member ({MEMBER}={member}), but starts processes of its own");
            return Err(RunError::Process { process: 0, why });
        }
        let started = Children::default();
        for process in 1..processes {
            let mut command = launch.command();
            // Standard output is for the results of process 0.
            command.env(MEMBER, format!("{address} {process} {token}")).stdin(Stdio::null()).stdout(Stdio::null());
            let why = |why| RunError::Process { process, why: format!("cannot be started as {}: {why}", launch.program.display()) };
            started.lock().push(command.spawn().map_err(why)?);
        }
        Ok(started)
    }

    /// Their process ids.
    pub(super) fn ids(&self) -> Vec<u32> {
        self.lock().iter().map(Child::id).collect()
    }

    /// An error if one of them has ended.
    pub(super) fn check(&self) -> Result<(), RunError> {
        for (index, child) in self.lock().iter_mut().enumerate() {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(RunError::Process { process: index as u32 + 1, why: format!("(pid {}) ended: {status}", child.id()) });
            }
        }
        Ok(())
    }

    /// What happened to a process that has closed its connection, as text.
    pub(super) fn ending(&self, process: u32) -> String {
        let clock = Clock::start();
        loop {
            let mut children = self.lock();
            let Some(child) = children.get_mut(process as usize - 1) else { return "is no longer connected".to_owned() };
            match child.try_wait() {
                Ok(Some(status)) => return format!("(pid {}) ended: {status}", child.id()),
                Ok(None) if clock.now().since(Default::default()) < PATIENCE => {}
                _ => return format!("(pid {}) closed its connection", child.id()),
            }
            drop(children);
            // The system closes the connections of a process a moment before it tells how the
            // process ended.
            std::thread::park_timeout(POLL_INTERVAL);
        }
    }

    /// Waits until all have ended by themselves; ends those that do not.
    pub(super) fn wait(&self) {
        let started = self.ids().len() as u32;
        for process in 1..=started {
            self.ending(process);
        }
        self.end();
    }

    /// Ends those that are still there, and waits for them.
    pub(super) fn end(&self) {
        for mut child in self.lock().drain(..) {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Child>> {
        self.children.lock().expect("nobody panics with the children in hand")
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.end();
    }
}
