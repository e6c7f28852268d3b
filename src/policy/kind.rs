//! How a policy describes itself to the registry.

use super::Policy;
use super::settings::{Given, PolicyError};
use crate::dataflow::Topology;

/// Creates a policy for a job, with all times divided by a factor.
pub type Make = fn(&Topology, f64, &Given) -> Result<Box<dyn Policy>, PolicyError>;

/// Metadata of a policy for commands, figures and explanations.
#[derive(Debug)]
pub struct PolicyKind {
    /// Its name on the command line and in rows.
    pub name: &'static str,
    /// Its description in help.
    pub summary: &'static str,
    /// The rules that its reasons can name, each with its meaning as the end of a sentence.
    pub rules: &'static [(&'static str, &'static str)],
    /// Creates it for a job, with all times divided by the given factor.
    pub make: Make,
}
