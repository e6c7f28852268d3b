//! Logs of jobs that never ran, with the truth about them at hand: the records a host would emit, from a seed.
//!
//! - [`Meetings`]: workers that work and then exchange messages, round after round, for as long as one likes. For speed and memory.
//! - [`Flow`]: random dataflows with one [`Cause`] of slowness that is known. For precision.
//!
//! The same parameters give the same records on every machine and in every version of this crate's dependencies.

mod flow;
mod meetings;
mod random;

pub use flow::{Cause, CauseKind, Flow};
pub use meetings::Meetings;
pub use random::Random;
