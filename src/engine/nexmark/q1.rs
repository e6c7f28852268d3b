//! Query 1: converts the price of every bid to another currency, at 89 to 100, rounded down.

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
    summary: "bids with prices in another currency",
    reads: Kinds::Bids,
    operators: |_| vec![("convert", Role::Stateless)],
    elastic,
    plain,
};

#[inline]
fn answer(event: Event) -> Option<Answer> {
    let Event::Bid(bid) = event else { return None };
    Some(Answer::Bid(Bid { price: bid.price * 89 / 100, ..bid }))
}

fn elastic<'s>(events: BatchStream<'s, Event>, parts: &QueryParts<'_, 's>) -> BatchStream<'s, Answer> {
    flat_map(events, parts, answer)
}

fn plain(events: StreamVec<'_, Time, Event>, _: Spans) -> StreamVec<'_, Time, Answer> {
    events.flat_map(answer)
}
