//! Explains in sentences what a policy did in a recorded run, and why: observations, predictions,
//! actions and outcomes.
//!
//! From the rows and the decision log of a run to [`Chapter`]s, one per plan and one per period
//! without a plan, as data; [`Chapter::text`] returns its text. Nothing else is consulted, so a run
//! can be explained as long as its folder exists.

mod chapter;
mod span;
mod steered;
#[cfg(test)]
mod tests;
mod text;
mod words;

pub use chapter::{Chapter, Course, Divided, Outcome, Quiet, Rescaled, Speed, Told, Turns, explain};
pub use span::{OperatorSeen, Seen, Span};
pub use steered::Asked;
pub use text::Parts;
pub use words::{amount as amount_text, disables, finding as finding_text, meaning as rule_text, piece_text, short as short_reason};

use crate::controller::Event;
use crate::experiment::rows::{LatencyRow, TimelineRow};

/// The records of a run.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// Names of all operators, by number.
    pub operators: &'a [String],
    /// Names of the scalable operators.
    pub scalable: &'a [String],
    /// One row per window and operator.
    pub timeline: &'a [TimelineRow],
    /// One row per window.
    pub latency: &'a [LatencyRow],
    /// The decision log.
    pub events: &'a [Event],
}
