//! NEXMark's events: persons who sell items in auctions and bid for them. Deterministic by number
//! and seed, so that every generator of a part of the stream produces the same events.
//!
//! The model and its constants are those of Apache Beam's generator
//! (`papers/nexmark.md#generator`), which the engines we compare with use as well. There are three
//! differences, documented where they are: prices, references only to persons and auctions that
//! exist already, and no padding.

mod event;
mod generator;
mod kinds;

pub use event::{Auction, Bid, Event, Person};
pub use generator::{AUCTIONS, FIRST_ID, Generator, GeneratorConfig, ROUND};
pub use kinds::Kinds;
