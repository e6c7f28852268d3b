//! What makes a window no ground for a decision: records that are missing, came twice, or say what cannot be.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{InstanceId, OperatorId};

/// A reason to doubt what was seen in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricIssue {
    /// A source told nothing: what is offered is not known.
    SourceUnseen(OperatorId),
    /// A source told a number that is none, is negative, or counts backwards.
    SourceImpossible(OperatorId),
    /// The same sample of a queue came twice, so everything may have been counted twice.
    SeenTwice(OperatorId),
    /// An instance was busy for more than twice the window: its clock jumped, or its work was counted twice.
    TooBusy(InstanceId),
    /// Records of a part of the window are missing; so many in a hundred came.
    Incomplete(u32),
    /// So many in a hundred records came, and sums are scaled to what that makes of the whole window: they can be relied on like those of a
    /// shorter window.
    Mended(u32),
}

impl MetricIssue {
    /// Whether nothing may be decided on the window.
    pub fn forbids(&self) -> bool {
        !matches!(self, MetricIssue::Mended(_))
    }

    /// Whether what is wrong is that too few or too many records came, so that sums can be scaled.
    pub fn is_a_matter_of_scale(&self) -> bool {
        matches!(self, MetricIssue::Incomplete(_) | MetricIssue::SeenTwice(_) | MetricIssue::TooBusy(_))
    }
}

impl MetricIssue {
    /// What it says, with the names that `name` gives operators.
    pub fn with_names(&self, name: impl Fn(OperatorId) -> String) -> String {
        match *self {
            MetricIssue::SourceUnseen(operator) => format!("no samples from source {}", name(operator)),
            MetricIssue::SourceImpossible(operator) => format!("impossible sample from source {}", name(operator)),
            MetricIssue::SeenTwice(operator) => format!("duplicate records from {}", name(operator)),
            MetricIssue::TooBusy(InstanceId { operator, index }) => {
                format!("{}[{index}] was busy for more than twice the window", name(operator))
            }
            MetricIssue::Incomplete(percent) => format!("only {percent} % of the records arrived"),
            MetricIssue::Mended(percent) => format!("{percent} % of the records arrived; sums are scaled up accordingly"),
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_names(|operator| operator.to_string()))
    }
}
