//! Why a job failed.

/// The job ended badly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// Worker threads could not be started.
    #[error("cannot start {0} workers: {1}")]
    Start(u32, String),
    /// A worker ended with a panic.
    #[error("a worker stopped: {0}")]
    Worker(String),
    /// Something is wrong with another process.
    #[error("process {process} {why}")]
    Process {
        /// Its number.
        process: u32,
        /// What is wrong with it, in words that follow its name.
        why: String,
    },
    /// A process cannot take connections at its address.
    #[error("expected an address of this machine with a free port, found {address}: {why}")]
    Address {
        /// The address.
        address: String,
        /// What the system says.
        why: String,
    },
    /// Processes that were started by hand do not fit together.
    #[error("{0}")]
    Refused(String),
    /// The processes do not come together.
    #[error("the processes cannot be connected: {0}")]
    Network(String),
    /// Process 0 says that the job failed.
    #[error("process 0 stopped the job: {0}")]
    Stopped(String),
    /// Nobody waited for the job.
    #[error("the job was given up")]
    Abandoned,
}

impl RunError {
    pub(in crate::engine) fn network(why: impl ToString) -> RunError {
        RunError::Network(why.to_string())
    }
}
