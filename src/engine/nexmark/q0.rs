//! Query 0: every event, as it is. What the engine itself costs.

use super::Answer;
use crate::workload::nexmark::Event;

#[inline]
pub(super) fn answer(event: Event) -> Answer {
    Answer::Event(event)
}
