//! Winning bids: each auction that sells, with its price, when it closes; shared by queries 4 and
//! 6.
//!
//! The price is the highest of all bids from the auction's opening until its expiry that reach the
//! reserve. Without such a bid nothing is sold. The result is emitted at the first multiple of the
//! grid at or after the expiry.

// Tables are only looked up.
#![allow(clippy::disallowed_types)]

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Operator;

use super::plain::{Notifications, share_of};
use super::{QueryParts, Spans};
use crate::engine::Time;
use crate::engine::elastic::{BatchStream, ElasticUnary, KeyBy, Session};
use crate::time::Epoch;
use crate::workload::nexmark::Event;

/// An auction that sold.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Won {
    pub(super) auction: u64,
    pub(super) seller: u64,
    pub(super) category: u64,
    pub(super) price: u64,
    /// When it expired.
    pub(super) at: u64,
}

/// An auction that is open.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Sale {
    seller: u64,
    category: u64,
    reserve: u64,
    at: u64,
    expires: u64,
    /// Highest price so far; 0 if there is none.
    best: u64,
}

/// A bid without what does not matter.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Price {
    price: u64,
    at: u64,
}

impl Sale {
    #[inline]
    fn bid(&mut self, bid: Price) {
        if bid.price > self.best && bid.price >= self.reserve && (self.at..self.expires).contains(&bid.at) {
            self.best = bid.price;
        }
    }

    fn won(&self, auction: u64) -> Option<Won> {
        let &Sale { seller, category, expires, best, .. } = self;
        (best > 0).then_some(Won { auction, seller, category, price: best, at: expires })
    }
}

/// What concerns an auction.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Lot {
    Sale(Sale),
    Bid(Price),
}

/// An event with the auction that it concerns.
#[inline]
fn lot(event: Event) -> (u64, Lot) {
    match event {
        Event::Bid(bid) => (bid.auction, Lot::Bid(Price { price: bid.price, at: bid.at })),
        Event::Auction(auction) => {
            let (seller, category, reserve) = (auction.seller, auction.category, auction.reserve);
            (auction.id, Lot::Sale(Sale { seller, category, reserve, at: auction.at, expires: auction.expires, best: 0 }))
        }
        Event::Person(_) => unreachable!("the query reads no people"),
    }
}

/// What an elastic operator knows of an auction.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
enum AuctionState {
    #[default]
    Nothing,
    /// The highest bid of the present epoch, which comes before the auction or after its end. All
    /// bids of an epoch are made at one time, so no other can count if this one does not.
    Stray(Price),
    Open(Sale),
}

/// As the first operator of a query.
pub(super) fn elastic<'s>(events: BatchStream<'s, Event>, parts: &QueryParts<'_, 's>) -> BatchStream<'s, Won> {
    let spans = parts.spans;
    events.key_by(lot).elastic_unary(
        parts.control(),
        parts.context,
        parts.spec(0),
        &parts.first(0),
        move |_: &u64, lot, known: &mut AuctionState, session: &mut Session<'_, Won>| match (lot, &mut *known) {
            (Lot::Bid(bid), AuctionState::Open(sale)) => sale.bid(bid),
            (Lot::Bid(bid), AuctionState::Stray(best)) => best.price = best.price.max(bid.price),
            (Lot::Bid(bid), AuctionState::Nothing) => {
                // An auction is there in the epoch of its first bid; if it does not come by then,
                // it has been.
                session.notify_at(Epoch(session.epoch().0 + 1));
                *known = AuctionState::Stray(bid);
            }
            (Lot::Sale(mut sale), before) => {
                if let AuctionState::Stray(bid) = before {
                    sale.bid(*bid);
                }
                session.notify_at(Epoch(spans.on_grid(sale.expires)));
                *known = AuctionState::Open(sale);
            }
        },
        move |&auction, known, session| match known {
            AuctionState::Open(sale) if spans.on_grid(sale.expires) > session.epoch().0 => {}
            AuctionState::Open(sale) => {
                sale.won(auction).into_iter().for_each(|won| session.give(won));
                session.forget();
            }
            AuctionState::Stray(_) | AuctionState::Nothing => session.forget(),
        },
    )
}

/// The same in plain timely.
pub(super) fn plain(events: StreamVec<'_, Time, Event>, spans: Spans) -> StreamVec<'_, Time, Won> {
    let by_auction = Exchange::new(|event: &Event| match event {
        Event::Bid(bid) => share_of(&bid.auction),
        Event::Auction(auction) => share_of(&auction.id),
        Event::Person(person) => share_of(&person.id),
    });
    events.unary_frontier::<CapacityContainerBuilder<Vec<Won>>, _, _, _>(by_auction, "Winner", |_, _| {
        let mut sales: FxHashMap<u64, Sale> = FxHashMap::default();
        let mut due: Notifications<Vec<u64>> = Notifications::new();
        // Bids that came before the auction or after its end, by time.
        let mut stray: BTreeMap<Time, Vec<(u64, Price)>> = BTreeMap::new();
        move |(input, frontier), output| {
            input.for_each(|cap, events| {
                for event in events.drain(..) {
                    match lot(event) {
                        (auction, Lot::Bid(bid)) => match sales.get_mut(&auction) {
                            Some(sale) => sale.bid(bid),
                            None => stray.entry(bid.at).or_default().push((auction, bid)),
                        },
                        (auction, Lot::Sale(sale)) => {
                            due.at(spans.on_grid(sale.expires), &cap).push(auction);
                            sales.insert(auction, sale);
                        }
                    }
                }
            });
            while let Some(first) = stray.first_entry().filter(|first| !frontier.less_equal(first.key())) {
                for (auction, bid) in first.remove() {
                    if let Some(sale) = sales.get_mut(&auction) {
                        sale.bid(bid);
                    }
                }
            }
            while let Some((cap, closing)) = due.next(frontier) {
                let won = closing.into_iter().filter_map(|auction| sales.remove(&auction).and_then(|sale| sale.won(auction)));
                output.session(&cap).give_iterator(won);
            }
        }
    })
}
