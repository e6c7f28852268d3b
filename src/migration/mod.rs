//! From a plan to bin moves: new assignments that migrate little and balance the measured load, cut
//! into steps by a strategy and paced.

mod assignment;
mod balance;
mod goal;
mod hot;
mod matching;
mod measures;
mod pacing;
mod schedule;
mod shares;
mod spread;
mod strategy;
mod turns;
mod weights;

pub use assignment::{Assignment, Assignments};
pub use balance::{rebalance, rebalance_by_speed};
pub use goal::{Goal, GoalError};
pub use hot::{HotBin, PARTS_AN_INSTANCE, hot_bins, split_hot};
pub use measures::{BinMeasure, Measures};
pub use pacing::{Choice, Latest, Overlap, Pacer, Report};
pub use schedule::{BinMove, Schedule, Step};
pub use strategy::{Strategy, StrategyError};
pub use turns::Turns;
pub use weights::Weights;
