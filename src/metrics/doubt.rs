//! What makes a window no ground for a decision: records that are missing, came twice, or say what cannot be.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{InstanceId, OperatorId};

/// A reason to doubt what was seen in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// A source told nothing: what is offered is not known.
    SourceUnseen(OperatorId),
    /// A source told a number that is none, is negative, or counts backwards.
    SourceImpossible(OperatorId),
    /// The same sample of a queue came twice, so everything may have been counted twice.
    SeenTwice(OperatorId),
    /// An instance was busy for more than twice the window: its clock jumped, or its work was counted twice.
    TooBusy(InstanceId),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::SourceUnseen(operator) => write!(f, "source {operator} told nothing"),
            Doubt::SourceImpossible(operator) => write!(f, "source {operator} told what cannot be"),
            Doubt::SeenTwice(operator) => write!(f, "records of {operator} came twice"),
            Doubt::TooBusy(instance) => write!(f, "{instance} was busy for more than twice the window"),
        }
    }
}
