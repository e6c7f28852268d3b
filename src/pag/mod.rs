//! The program activity graph: what a job did in a window, and what waited for what.
//!
//! ```text
//!  records ─► messages (both sides of each are matched)
//!          └► lanes    (work without overlaps, gaps, and which message ended each wait)  ─► window: the graph of [start, end)
//! ```
//!
//! Nodes are points on lanes; edges are pieces of work, gaps and messages, each as long as the time
//! between its ends, so that every path from the window's start to its end is as long as the
//! window. A gap that a message ended is a *wait*: no path leads through it. Work and messages that
//! cross a window's edge are cut there and go on in the next window, so a lane that is silent
//! because it is busy is never lost.
//!
//! Built after SnailTrail (`papers/snailtrail-nsdi18.md#graph`) with the differences told there.
//! Invariants, whatever the input: no edge goes back in time, no cycle, no panic; what had to be
//! left out is counted in [`Oddities`].

mod builder;
mod clocks;
mod completions;
mod config;
mod free_list;
mod keys;
mod lane;
mod messages;
mod progress;
mod queue;
mod window;

pub use builder::{GraphBuilder, Oddities, SentMessage};
pub use config::GraphConfig;
pub use lane::{Step, StepKind};
pub use window::{LaneRange, MessageEdge, Piece, PieceKind, Point, Wait, WindowGraph};
