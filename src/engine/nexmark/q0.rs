//! Query 0: passes every event through. Measures the overhead of the engine.

use super::Answer;
use crate::workload::nexmark::Event;

#[inline]
pub(super) fn answer(event: Event) -> Answer {
    Answer::Event(event)
}
