//! What happens in an auction house.

use serde::{Deserialize, Serialize};

/// Somebody registers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Person {
    /// Number, from [`FIRST_ID`](super::FIRST_ID) on.
    pub id: u64,
    /// First and last name.
    pub name: String,
    /// Mail address.
    pub email: String,
    /// Four groups of four digits.
    pub credit_card: String,
    /// Town.
    pub city: String,
    /// State, two letters.
    pub state: String,
    /// When, in milliseconds of event time.
    pub at: u64,
}

/// Something is offered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Auction {
    /// Number, from [`FIRST_ID`](super::FIRST_ID) on.
    pub id: u64,
    /// What is offered.
    pub item: String,
    /// Price at the beginning, in cents.
    pub initial_bid: u64,
    /// Below this price nothing is sold, in cents.
    pub reserve: u64,
    /// When, in milliseconds of event time.
    pub at: u64,
    /// From when on no bid counts, in milliseconds of event time; after `at`.
    pub expires: u64,
    /// The person who offers it.
    pub seller: u64,
    /// One of five.
    pub category: u64,
}

/// Somebody bids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bid {
    /// The auction.
    pub auction: u64,
    /// The person who bids.
    pub bidder: u64,
    /// Price in cents.
    pub price: u64,
    /// When, in milliseconds of event time.
    pub at: u64,
}

/// One of these. Nearly all are bids, so the larger ones are kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Event {
    /// Somebody registers.
    Person(Box<Person>),
    /// Something is offered.
    Auction(Box<Auction>),
    /// Somebody bids.
    Bid(Bid),
}

impl Event {
    /// When it happens, in milliseconds of event time.
    pub fn at(&self) -> u64 {
        match self {
            Event::Person(person) => person.at,
            Event::Auction(auction) => auction.at,
            Event::Bid(bid) => bid.at,
        }
    }
}
