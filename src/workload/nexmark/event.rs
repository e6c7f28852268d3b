//! The events of the auction site: persons, auctions and bids.

use serde::{Deserialize, Serialize};

/// A person registers.
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

/// An auction opens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Auction {
    /// Number, from [`FIRST_ID`](super::FIRST_ID) on.
    pub id: u64,
    /// Name of the item.
    pub item: String,
    /// Initial price, in cents.
    pub initial_bid: u64,
    /// Reserve price, in cents.
    pub reserve: u64,
    /// When, in milliseconds of event time.
    pub at: u64,
    /// When the auction closes, in milliseconds of event time; after `at`.
    pub expires: u64,
    /// The seller.
    pub seller: u64,
    /// The category, one of five.
    pub category: u64,
}

/// A bid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bid {
    /// The auction.
    pub auction: u64,
    /// The bidder.
    pub bidder: u64,
    /// Price in cents.
    pub price: u64,
    /// When, in milliseconds of event time.
    pub at: u64,
}

/// One event. Nearly all are bids, so the larger variants are boxed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Event {
    /// A person registers.
    Person(Box<Person>),
    /// An auction opens.
    Auction(Box<Auction>),
    /// A bid.
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
