//! Query 2: bids for every 123rd auction.

use super::Answer;
use crate::workload::nexmark::{Bid, Event};

/// Auctions whose number this divides.
const EVERY: u64 = 123;

#[inline]
pub(super) fn answer(event: Event) -> Option<Answer> {
    match event {
        Event::Bid(Bid { auction, price, .. }) => (auction % EVERY == 0).then_some(Answer::Price { auction, price }),
        Event::Person(_) | Event::Auction(_) => None,
    }
}
