//! Random jobs with random migrations, run on the engine and by a sequential model.

mod case;
mod job;
mod model;
mod owners;
mod run;

pub use case::{Case, case};
pub use model::sequential;
pub use owners::check_owners;
pub use run::{Wire, elastic};

use thalweg::engine::Time;
use thalweg::id::OperatorId;

/// The stateless operator before the keyed one.
pub const MAP: OperatorId = OperatorId(1);
/// The keyed operator.
pub const KEYED: OperatorId = OperatorId(2);
/// Most instances of each.
pub const INSTANCES: u32 = 6;
/// Keys are below it.
pub const KEYS: u16 = 50;

/// What a record says beside its key: the epoch it was sent in, and something random.
pub type Value = (Time, u8);

/// A result: its epoch, the key, and what the operator says.
pub type Output = (Time, u16, [u64; 4]);

/// What the keyed operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Counts.
    StateMachine,
    /// Counts, sets timers, forgets.
    Unary,
    /// Joins two streams.
    Binary,
    /// Counts by windows of 5.
    Tumbling,
    /// Counts by windows of 6, one every 4.
    Sliding,
    /// Counts by sessions that end after a silence of 3.
    Session,
}

/// Windows wait so long for late events.
pub const LATENESS: u64 = 3;

/// When an event happened that is sent in an epoch: most of them earlier, some so much that they are late.
pub fn event_time(&(sent, random): &Value) -> u64 {
    (sent + u64::from(random >> 6)).saturating_sub(u64::from(random % 12))
}
