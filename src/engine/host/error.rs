//! Why a job failed.

/// The job failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// Worker threads could not be started.
    #[error("cannot start {0} workers: {1}")]
    Start(u32, String),
    /// A worker ended with a panic.
    #[error("a worker stopped: {0}")]
    Worker(String),
    /// Another process failed.
    #[error("process {process} {why}")]
    Process {
        /// Its number.
        process: u32,
        /// What happened to it, as the rest of a sentence that begins with its name.
        why: String,
    },
    /// A process cannot listen at its address.
    #[error("expected an address of this machine with a free port, found {address}: {why}")]
    Address {
        /// The address.
        address: String,
        /// Error of the operating system.
        why: String,
    },
    /// Processes that were started by hand have different jobs.
    #[error("{0}")]
    Refused(String),
    /// The processes cannot be connected.
    #[error("the processes cannot be connected: {0}")]
    Network(String),
    /// Process 0 says that the job failed.
    #[error("process 0 stopped the job: {0}")]
    Stopped(String),
    /// The handle of the job was dropped.
    #[error("the job was given up")]
    Abandoned,
}

impl RunError {
    pub(in crate::engine) fn network(why: impl ToString) -> RunError {
        RunError::Network(why.to_string())
    }
}
