//! The events of NEXMark: people who offer things in auctions and bid for them. Deterministic by number and seed, so that whoever
//! makes a share of the stream makes the same events.
//!
//! The model and its constants are those of Apache Beam's generator (`papers/nexmark.md#generator`), which the engines that this
//! field compares use too. Three things differ, and are said where they are: prices, whoever and whatever an event names exists
//! already, and events carry no padding.

mod event;
mod generator;
mod kinds;

pub use event::{Auction, Bid, Event, Person};
pub use generator::{AUCTIONS, FIRST_ID, Generator, GeneratorConfig, ROUND};
pub use kinds::Kinds;
