//! Query 2: bids for every 123rd auction.

use timely::dataflow::StreamVec;
use timely::dataflow::operators::vec::Map;

use super::kind::QueryKind;
use super::stateless::flat_map;
use super::{Answer, QueryParts, Spans};
use crate::dataflow::Role;
use crate::engine::Time;
use crate::engine::elastic::BatchStream;
use crate::workload::nexmark::{Bid, Event, Kinds};

/// The query in the registry.
pub(super) const KIND: QueryKind = QueryKind {
    summary: "bids for every 123rd auction",
    reads: Kinds::Bids,
    operators: |_| vec![("filter", Role::Stateless)],
    elastic,
    plain,
};

/// Auctions whose number this divides.
const EVERY: u64 = 123;

#[inline]
fn answer(event: Event) -> Option<Answer> {
    match event {
        Event::Bid(Bid { auction, price, .. }) => (auction % EVERY == 0).then_some(Answer::Price { auction, price }),
        Event::Person(_) | Event::Auction(_) => None,
    }
}

fn elastic<'s>(events: BatchStream<'s, Event>, parts: &QueryParts<'_, 's>) -> BatchStream<'s, Answer> {
    flat_map(events, parts, answer)
}

fn plain(events: StreamVec<'_, Time, Event>, _: Spans) -> StreamVec<'_, Time, Answer> {
    events.flat_map(answer)
}
