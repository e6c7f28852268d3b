//! Queries that need only the event itself: one operator that maps each event to at most one
//! result.

use super::{Answer, QueryParts};
use crate::engine::elastic::{BatchStream, ElasticStateless};
use crate::workload::nexmark::Event;

/// The operator; `answer` gives the result of an event. It is built for each query, so that no
/// event is asked which query it is for.
pub(super) fn flat_map<'s>(
    events: BatchStream<'s, Event>,
    parts: &QueryParts<'_, 's>,
    answer: impl Fn(Event) -> Option<Answer> + 'static,
) -> BatchStream<'s, Answer> {
    let instances = parts.instances(0);
    events.elastic_flat_map(parts.control(), parts.context, parts.spec(0), instances, move |event, answers| {
        answers.extend(answer(event));
    })
}
