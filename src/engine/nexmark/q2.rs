//! Query 2: bids for every 123rd auction.

use timely::dataflow::StreamVec;
use timely::dataflow::operators::vec::Map;

use super::{Answer, Parts};
use crate::engine::{BatchStream, ElasticStateless, Time};
use crate::workload::nexmark::{Bid, Event};

/// Auctions whose number this divides.
const EVERY: u64 = 123;

pub(super) fn elastic<'s>(events: BatchStream<'s, Event>, parts: &Parts<'_, 's>) -> BatchStream<'s, Answer> {
    let instances = parts.instances(0);
    events.elastic_flat_map(parts.control(), parts.context, parts.spec(0), instances, |event, answers| answers.extend(answer(event)))
}

pub(super) fn plain(events: StreamVec<'_, Time, Event>) -> StreamVec<'_, Time, Answer> {
    events.flat_map(answer)
}

#[inline]
fn answer(event: Event) -> Option<Answer> {
    match event {
        Event::Bid(Bid { auction, price, .. }) if auction % EVERY == 0 => Some(Answer::Price { auction, price }),
        _ => None,
    }
}
