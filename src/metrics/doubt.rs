//! Reasons not to trust a window's metrics: missing, duplicated or impossible samples.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{InstanceId, OperatorId};

/// A reason not to trust the metrics of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// A source sent no samples: the offered load is unknown.
    SourceUnseen(OperatorId),
    /// A source sent a sample that is not a number, is negative, or decreases.
    SourceImpossible(OperatorId),
    /// A queue sample arrived twice, so all records may have been counted twice.
    SeenTwice(OperatorId),
    /// An instance was busy for more than twice the window: its clock jumped, or its work was
    /// counted twice.
    TooBusy(InstanceId),
    /// Records of a part of the window are missing; the percentage that arrived.
    Incomplete(u32),
    /// Some records are missing, and sums are scaled up to the whole window; the percentage that
    /// arrived. The sums are as reliable as those of a correspondingly shorter window.
    Mended(u32),
}

impl Doubt {
    /// Whether no decision may be based on the window.
    pub fn forbids(&self) -> bool {
        !matches!(self, Doubt::Mended(_))
    }

    /// Whether the problem is that too few or too many records arrived, so that sums can be scaled.
    pub fn is_a_matter_of_scale(&self) -> bool {
        matches!(self, Doubt::Incomplete(_) | Doubt::SeenTwice(_) | Doubt::TooBusy(_))
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::SourceUnseen(operator) => write!(f, "no samples from source {operator}"),
            Doubt::SourceImpossible(operator) => write!(f, "impossible sample from source {operator}"),
            Doubt::SeenTwice(operator) => write!(f, "duplicated records of {operator}"),
            Doubt::TooBusy(instance) => write!(f, "{instance} was busy for more than twice the window"),
            Doubt::Incomplete(percent) => write!(f, "only {percent} % of the records arrived"),
            Doubt::Mended(percent) => write!(f, "{percent} % of the records arrived; sums are scaled up accordingly"),
        }
    }
}
