//! Simulation of jobs in virtual time, and synthetic activity logs.
//!
//! - [`Simulation`]: a host like the engine. It runs a [`Job`] whose operators are described by
//!   numbers, emits the same activity records and obeys the same migration steps, so that
//!   everything from the observer to the pacer works on it unchanged.
//! - [`ExchangeLog`]: workers that work and then exchange messages, for any number of rounds. For
//!   tests of speed and memory.
//! - [`Flow`]: random dataflows with one known [`Cause`] of slowness. For tests of precision.
//! - [`calibrate`]: derives the parameters of a model from the log of a run.
//!
//! The same parameters give the same records on every machine and with every version of this
//! crate's dependencies.

pub mod calibrate;
mod curve;
mod disturbed;
mod edge;
mod exchange_log;
mod flow;
mod graph;
mod host;
mod instance;
mod job;
mod migrate;
mod motion;
mod node;
mod random;
mod service;
mod shared;
mod skew;
mod source;
mod station;
mod tick_context;
mod workers;

pub use curve::{CapacityCurve, CurveError};
pub use exchange_log::ExchangeLog;
pub use flow::{Cause, CauseKind, Flow};
pub use host::{Fate, Simulation};
pub use job::{Disturbance, Job, MoveModel, OperatorModel};
pub use node::Account;
pub use random::Random;
pub use service::ServiceTimes;
pub use skew::Skew;
pub use workers::{LostCore, WorkersModel};
