//! Results of the queries.

use serde::{Deserialize, Serialize};

use crate::workload::nexmark::{Bid, Event};

/// An answer of any query. The larger ones are kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Answer {
    /// An event as it came (query 0).
    Event(Event),
    /// A bid in another currency (query 1), or one of the highest (query 7).
    Bid(Bid),
    /// A bid for a chosen auction (query 2).
    Price {
        /// The auction.
        auction: u64,
        /// Price of the bid.
        price: u64,
    },
    /// An auction of a person nearby (query 3).
    Offer(Box<Offer>),
    /// A mean price (queries 4 and 6).
    Average {
        /// The category or the seller.
        of: u64,
        /// End of the window, or when the last of the auctions closed.
        until: u64,
        /// The mean, rounded.
        price: u64,
    },
    /// An auction with the most bids (query 5).
    Hot {
        /// End of the window.
        until: u64,
        /// The auction.
        auction: u64,
        /// Its bids in the window.
        bids: u64,
    },
    /// An auction of a new person (query 8).
    Welcome(Box<Welcome>),
    /// Bids of a person while active (query 11).
    Session {
        /// The person.
        bidder: u64,
        /// First bid.
        from: u64,
        /// End of the silence after the last.
        until: u64,
        /// How many.
        bids: u64,
    },
}

/// An auction of a person nearby.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Offer {
    /// Name of the seller.
    pub name: String,
    /// Town of the seller.
    pub city: String,
    /// State of the seller.
    pub state: String,
    /// The auction.
    pub auction: u64,
}

/// An auction of a new person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Welcome {
    /// The person.
    pub person: u64,
    /// Name of the person.
    pub name: String,
    /// Reserve of the auction.
    pub reserve: u64,
}
