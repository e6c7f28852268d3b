//! Queries 0 to 2, which need only the event itself: one operator that maps each event to at most
//! one result.

use timely::dataflow::StreamVec;
use timely::dataflow::operators::vec::Map;

use super::{Answer, Query, QueryParts, q0, q1, q2};
use crate::engine::Time;
use crate::engine::elastic::{BatchStream, ElasticStateless};
use crate::workload::nexmark::Event;

/// The operator of `query`.
pub(super) fn elastic<'s>(query: Query, events: BatchStream<'s, Event>, parts: &QueryParts<'_, 's>) -> BatchStream<'s, Answer> {
    // An operator for each: which query it is would otherwise be asked of each event.
    match query {
        Query::Q0 => each(events, parts, |event| Some(q0::answer(event))),
        Query::Q1 => each(events, parts, q1::answer),
        Query::Q2 => each(events, parts, q2::answer),
        _ => unreachable!("{query} has state"),
    }
}

fn each<'s>(
    events: BatchStream<'s, Event>,
    parts: &QueryParts<'_, 's>,
    answer: impl Fn(Event) -> Option<Answer> + 'static,
) -> BatchStream<'s, Answer> {
    let instances = parts.instances(0);
    events.elastic_flat_map(parts.control(), parts.context, parts.spec(0), instances, move |event, answers| {
        answers.extend(answer(event));
    })
}

/// The same in plain timely.
pub(super) fn plain(query: Query, events: StreamVec<'_, Time, Event>) -> StreamVec<'_, Time, Answer> {
    match query {
        Query::Q0 => events.map(q0::answer),
        Query::Q1 => events.flat_map(q1::answer),
        Query::Q2 => events.flat_map(q2::answer),
        _ => unreachable!("{query} has state"),
    }
}
