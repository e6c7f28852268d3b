//! Numbers and names of the operators and channels that stand for stages.

use crate::id::{ChannelId, OperatorId};

/// Longest kept name of a stage, in characters.
const MOST_NAME: usize = 200;

/// The channels of a stage, in the order of their numbers.
#[derive(Clone, Copy)]
pub(super) enum Channel {
    Launch,
    Result,
    Fetch,
}

/// The operator of a stage; the driver is the first.
pub(super) fn operator(stage: u64) -> OperatorId {
    OperatorId(1 + stage as u32)
}

/// A channel of a stage.
pub(super) fn channel(stage: u64, which: Channel) -> ChannelId {
    ChannelId(3 * stage as u32 + which as u32)
}

/// The name of a stage's operator: names of stages alone are not unique.
pub(super) fn stage_name(stage: u64, name: &str) -> String {
    let name: String = name.chars().take(MOST_NAME).collect();
    if name.is_empty() { format!("stage {stage}") } else { format!("{name} (stage {stage})") }
}
