//! Query 1: every bid, its price in another currency: 89 of 100, rounded down.

use timely::dataflow::StreamVec;
use timely::dataflow::operators::vec::Map;

use super::{Answer, Parts};
use crate::engine::{BatchStream, ElasticStateless, Time};
use crate::workload::nexmark::{Bid, Event};

pub(super) fn elastic<'s>(events: BatchStream<'s, Event>, parts: &Parts<'_, 's>) -> BatchStream<'s, Answer> {
    let instances = parts.instances(0);
    events.elastic_flat_map(parts.control(), parts.context, parts.spec(0), instances, |event, answers| answers.extend(answer(event)))
}

pub(super) fn plain(events: StreamVec<'_, Time, Event>) -> StreamVec<'_, Time, Answer> {
    events.flat_map(answer)
}

#[inline]
fn answer(event: Event) -> Option<Answer> {
    let Event::Bid(bid) = event else { return None };
    Some(Answer::Bid(Bid { price: bid.price * 89 / 100, ..bid }))
}
