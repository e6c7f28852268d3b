//! Why a command did not do what was asked, which decides its exit code.

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// What was asked for is wrong: exit code 2.
    Usage(anyhow::Error),
    /// It was right and failed: exit code 1.
    Run(anyhow::Error),
}

/// Marks an error as one of what was asked for.
pub(super) fn usage(error: impl Into<anyhow::Error>) -> Failure {
    Failure::Usage(error.into())
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Run(error.into())
    }
}
