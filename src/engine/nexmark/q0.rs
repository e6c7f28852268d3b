//! Query 0: passes every event through. Measures the overhead of the engine.

use timely::dataflow::StreamVec;
use timely::dataflow::operators::vec::Map;

use super::kind::QueryKind;
use super::stateless::flat_map;
use super::{Answer, QueryParts, Spans};
use crate::dataflow::Role;
use crate::engine::Time;
use crate::engine::elastic::BatchStream;
use crate::workload::nexmark::{Event, Kinds};

/// The query in the registry.
pub(super) const KIND: QueryKind =
    QueryKind { summary: "all events", reads: Kinds::All, operators: |_| vec![("pass", Role::Stateless)], elastic, plain };

#[inline]
fn answer(event: Event) -> Answer {
    Answer::Event(event)
}

fn elastic<'s>(events: BatchStream<'s, Event>, parts: &QueryParts<'_, 's>) -> BatchStream<'s, Answer> {
    flat_map(events, parts, |event| Some(answer(event)))
}

fn plain(events: StreamVec<'_, Time, Event>, _: Spans) -> StreamVec<'_, Time, Answer> {
    events.map(answer)
}
