//! Query 0: every event, as it is. What the engine itself costs.

use timely::dataflow::StreamVec;
use timely::dataflow::operators::vec::Map;

use super::{Answer, Parts};
use crate::engine::{BatchStream, ElasticStateless, Time};
use crate::workload::nexmark::Event;

pub(super) fn elastic<'s>(events: BatchStream<'s, Event>, parts: &Parts<'_, 's>) -> BatchStream<'s, Answer> {
    let instances = parts.instances(0);
    events.elastic_flat_map(parts.control(), parts.context, parts.spec(0), instances, |event, answers| answers.push(Answer::Event(event)))
}

pub(super) fn plain(events: StreamVec<'_, Time, Event>) -> StreamVec<'_, Time, Answer> {
    events.map(Answer::Event)
}
