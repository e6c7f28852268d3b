//! Reasons not to trust a window's metrics: missing, duplicated or impossible samples.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{InstanceId, OperatorId};

/// A reason not to trust the metrics of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricIssue {
    /// A source told nothing: what is offered is not known.
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

impl MetricIssue {
    /// Whether nothing may be decided on the window.
    pub fn forbids(&self) -> bool {
        !matches!(self, MetricIssue::Mended(_))
    }

    /// Whether the problem is that too few or too many records arrived, so that sums can be scaled.
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

impl fmt::Display for MetricIssue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_names(|operator| operator.to_string()))
    }
}
