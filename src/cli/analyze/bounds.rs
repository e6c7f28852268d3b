//! When what is known of operators is merged, and which names are still needed after that.
//!
//! Invariant: a name that is forgotten was known at the merger before, and nothing that is kept refers to it: what was named since may
//! be about to be seen.

use std::collections::BTreeSet;

use crate::activity::Names;
use crate::critical_path::{Entity, Least};
use crate::id::{ChannelId, OperatorId};
use crate::time::Timestamp;

/// With fewer names none is forgotten.
const MOST_NAMES: usize = 1 << 14;
/// What was seen in this time before the last window is kept, in ns.
const RECENT: u64 = 64_000_000_000;

/// What had a name at the last merger.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    operators: BTreeSet<OperatorId>,
    channels: BTreeSet<ChannelId>,
}

/// What is still needed.
pub(super) struct Needed {
    kept: Least,
    before: Bounds,
}

impl Bounds {
    /// Whether there are more names than should be kept.
    pub(super) fn is_crowded(&self, names: &Names) -> bool {
        names.named() > MOST_NAMES.max(2 * (self.operators.len() + self.channels.len()))
    }

    /// From when on everything is kept, if `start` is where the last window began.
    pub(super) fn since(start: Timestamp) -> Timestamp {
        Timestamp(start.0.saturating_sub(RECENT))
    }

    /// What is needed of `names`, if `kept` is what refers to them: also the ends of channels.
    pub(super) fn needed(&mut self, mut kept: Least, names: &Names) -> Needed {
        let ends: Vec<OperatorId> =
            kept.channels.iter().filter_map(|&channel| names.ends(channel)).flat_map(|(source, target)| [source, target]).collect();
        kept.operators.extend(ends);
        let needed = Needed { kept, before: std::mem::take(self) };
        let (operators, channels) = names.known();
        self.operators.extend(operators.filter(|&operator| needed.operator(operator)));
        self.channels.extend(channels.filter(|&channel| needed.channel(channel)));
        needed
    }
}

impl Needed {
    fn operator(&self, operator: OperatorId) -> bool {
        self.kept.operators.contains(&operator) || !self.before.operators.contains(&operator)
    }

    fn channel(&self, channel: ChannelId) -> bool {
        self.kept.channels.contains(&channel) || !self.before.channels.contains(&channel)
    }

    /// Whether an entry of a ranking is.
    pub(super) fn entity(&self, entity: Entity) -> bool {
        match entity {
            Entity::Operator(operator) | Entity::Outside(operator) => self.operator(operator),
            Entity::Instance(instance) => self.operator(instance.operator),
            Entity::Channel(channel) => self.channel(channel),
            Entity::Activity(_) | Entity::Messages(_) | Entity::Lane(_) | Entity::Unknown => true,
        }
    }

    /// Forgets the names that are not.
    pub(super) fn forget(&self, names: &mut Names) {
        names.forget(|operator| self.operator(operator), |channel| self.channel(channel));
    }
}
