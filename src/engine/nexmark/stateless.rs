//! Queries 0 to 2, which need nothing but the event itself: one operator that gives each event's answer, if it has one.

use timely::dataflow::StreamVec;
use timely::dataflow::operators::vec::Map;

use super::{Answer, Parts, Query, q0, q1, q2};
use crate::engine::{BatchStream, ElasticStateless, Time};
use crate::workload::nexmark::Event;

#[inline]
fn answer(query: Query, event: Event) -> Option<Answer> {
    match query {
        Query::Q0 => Some(q0::answer(event)),
        Query::Q1 => q1::answer(event),
        Query::Q2 => q2::answer(event),
        _ => unreachable!("{query} has state"),
    }
}

/// The operator of `query`.
pub(super) fn elastic<'s>(query: Query, events: BatchStream<'s, Event>, parts: &Parts<'_, 's>) -> BatchStream<'s, Answer> {
    let instances = parts.instances(0);
    events.elastic_flat_map(parts.control(), parts.context, parts.spec(0), instances, move |event, answers| {
        answers.extend(answer(query, event));
    })
}

/// The same in plain timely.
pub(super) fn plain(query: Query, events: StreamVec<'_, Time, Event>) -> StreamVec<'_, Time, Answer> {
    events.flat_map(move |event| answer(query, event))
}
