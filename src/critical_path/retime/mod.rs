//! What would it give: a whole trace timed again, with parts of the job cheaper or dearer.
//!
//! ```text
//!  records ─► GraphBuilder (lanes' stories) ─► Script: events, each after what it depends on ─┬─► World, as it was
//!                                                                                            ├─► World, with a change
//!                                                                                            └─► ...
//! ```
//!
//! Each event happens as soon as what it depends on has happened: work when its input is there and its lane is free, a message when
//! the work is done that made it. Work takes its time in the trace times a factor; how long messages, releases and what happens
//! outside take stays the same, and so does what sources are to emit and which lane does what. Where all messages leave on a grid of
//! time, as those of a host that polls, they do so in a changed world, too. Gains are over the world without a change, which is timed
//! again as well.
//!
//! Memory is bounded by what is open, for each world. Invariants: the same records give the same results; nothing happens before what
//! it depends on; a lane does one thing at a time.
//!
//! Unlike [`Gains`](super::Gains), which bound what one operator could gain in the order of the log, this predicts: other operators'
//! queues become shorter or longer with what reaches them.
// papers/snailtrail-nsdi18.md#epoch-slack

mod change;
mod curves;
mod epochs;
mod lane_time;
mod retimer;
mod script;
#[cfg(test)]
mod tests;
mod world;

pub use change::Change;
pub use curves::{Curve, Forecast, Predicted};
pub use retimer::{RetimedEpoch, Retimer};
