//! What a policy did in a recorded run and why, in sentences: what was seen, what was predicted, what was done, what came of it.
//!
//! Takes the rows and the decision log of a run and gives [`Chapter`]s, one a plan and one a stretch of time in which nothing was begun, as
//! data; [`Chapter::text`] tells one. Nothing is looked up elsewhere, so a run can be explained as long as its folder is kept.

mod chapter;
mod span;
#[cfg(test)]
mod tests;
mod text;
mod words;

pub use chapter::{Chapter, Course, Divided, Outcome, Quiet, Rescaled, Speed, Told, Turns, explain};
pub use span::{OperatorSeen, Seen, Span};

use crate::controller::Event;
use crate::experiment::rows::{LatencyRow, TimelineRow};

/// What is recorded of a run.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// Names of all operators, by number.
    pub operators: &'a [String],
    /// Names of those that may be rescaled.
    pub scalable: &'a [String],
    /// A row a window and operator.
    pub timeline: &'a [TimelineRow],
    /// A row a window.
    pub latency: &'a [LatencyRow],
    /// The decision log.
    pub events: &'a [Event],
}
