//! Jobs in virtual time, and logs of jobs that never ran.
//!
//! - [`Simulation`]: a host like the engine. It runs a [`Job`] whose operators are described by numbers, emits the same activity records
//!   and obeys the same migration steps, so that everything from the observer to the pacer works on it unchanged.
//! - [`Meetings`]: workers that work and then exchange messages, round after round, for as long as one likes. For speed and memory.
//! - [`Flow`]: random dataflows with one [`Cause`] of slowness that is known. For precision.
//! - [`calibrate`]: from the log of a run to the numbers of a model of it.
//!
//! The same parameters give the same records on every machine and in every version of this crate's dependencies.

pub mod calibrate;
mod curve;
mod disturbed;
mod flow;
mod graph;
mod host;
mod instance;
mod job;
mod meetings;
mod migrate;
mod motion;
mod random;
mod service;
mod skew;
mod source;
mod station;
mod surroundings;

pub use curve::{CapacityCurve, CurveError};
pub use flow::{Cause, CauseKind, Flow};
pub use host::{Account, Fate, Simulation};
pub use job::{Disturbance, Job, MoveModel, OperatorModel};
pub use meetings::Meetings;
pub use random::Random;
pub use service::ServiceTimes;
pub use skew::Skew;
