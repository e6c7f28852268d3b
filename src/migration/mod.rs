//! From a plan to bin moves: new assignments that move little and balance measured load, cut into steps by a strategy.

mod assignment;
mod balance;
mod schedule;
mod strategy;

pub use assignment::{Assignment, Assignments};
pub use balance::rebalance;
pub use schedule::{BinMove, Schedule, Step};
pub use strategy::{Strategy, StrategyError};
