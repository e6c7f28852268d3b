//! Query 1: converts the price of every bid to another currency, at 89 to 100, rounded down.

use super::Answer;
use crate::workload::nexmark::{Bid, Event};

#[inline]
pub(super) fn answer(event: Event) -> Option<Answer> {
    let Event::Bid(bid) = event else { return None };
    Some(Answer::Bid(Bid { price: bid.price * 89 / 100, ..bid }))
}
