//! Names of operators, instances, channels and lanes for display.
//!
//! They are learnt from the log; anything without a name is shown by its number. Invariants: a
//! label is one line of printable characters; two operators never have the same label; memory is
//! bounded however many names a log holds.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{ActivityKind, Lane, MessageKind, Record};
use crate::id::{ChannelId, InstanceId, OperatorId, WorkerId};

/// The most operators, channels or workers with names; further ones are shown by their numbers.
const MOST_NAMES: usize = 1 << 16;
/// Longer names are truncated.
const LONGEST_NAME: usize = 60;

/// The names found in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Names {
    operators: BTreeMap<OperatorId, String>,
    channels: BTreeMap<ChannelId, (OperatorId, OperatorId)>,
    workers: BTreeMap<WorkerId, String>,
    /// Number of named operators.
    uses: BTreeMap<String, u32>,
}

impl Names {
    /// Learns from a record that names something; whether it did. A later name for the same number
    /// replaces an earlier one.
    pub fn learn(&mut self, record: &Record) -> bool {
        match record {
            Record::Operator { operator, name } => self.name(*operator, printable(name)),
            Record::Channel { channel, source, target } if self.channels.len() < MOST_NAMES || self.channels.contains_key(channel) => {
                self.channels.insert(*channel, (*source, *target)) != Some((*source, *target))
            }
            Record::WorkerJoined { worker, name, .. } if self.workers.len() < MOST_NAMES || self.workers.contains_key(worker) => {
                let name = printable(name);
                if name.is_empty() {
                    return false;
                }
                self.workers.insert(*worker, name);
                true
            }
            _ => false,
        }
    }

    /// Adds what others learnt since.
    pub fn add(&mut self, since: Names) {
        for (operator, name) in since.operators {
            self.name(operator, name);
        }
        for (channel, ends) in since.channels {
            if self.channels.len() < MOST_NAMES || self.channels.contains_key(&channel) {
                self.channels.insert(channel, ends);
            }
        }
        for (worker, name) in since.workers {
            if self.workers.len() < MOST_NAMES || self.workers.contains_key(&worker) {
                self.workers.insert(worker, name);
            }
        }
    }

    /// Forgets the names of operators and channels that are not kept.
    pub fn forget(&mut self, is_kept: impl Fn(OperatorId) -> bool, is_kept_channel: impl Fn(ChannelId) -> bool) {
        let Names { operators, channels, uses, .. } = self;
        operators.retain(|operator, name| {
            let stays = is_kept(*operator);
            if let (false, Some(of)) = (stays, uses.get_mut(name)) {
                *of -= 1;
            }
            stays
        });
        uses.retain(|_, uses| *uses > 0);
        channels.retain(|channel, _| is_kept_channel(*channel));
    }

    /// Number of operators and channels with names.
    pub fn named(&self) -> usize {
        self.operators.len() + self.channels.len()
    }

    /// The operators with names, and the channels.
    pub fn known(&self) -> (impl Iterator<Item = OperatorId>, impl Iterator<Item = ChannelId>) {
        (self.operators.keys().copied(), self.channels.keys().copied())
    }

    /// Whether nothing has a name.
    pub fn is_empty(&self) -> bool {
        self.operators.is_empty() && self.channels.is_empty() && self.workers.is_empty()
    }

    fn name(&mut self, operator: OperatorId, name: String) -> bool {
        let known = self.operators.get(&operator);
        if name.is_empty() || known == Some(&name) || (known.is_none() && self.operators.len() >= MOST_NAMES) {
            return false;
        }
        if let Some(uses) = known.and_then(|known| self.uses.get_mut(known)) {
            *uses -= 1;
        }
        *self.uses.entry(name.clone()).or_default() += 1;
        self.operators.insert(operator, name);
        true
    }

    /// `count`, or `op7` without a name; `map (op7)` if several operators have this name.
    pub fn operator(&self, operator: OperatorId) -> String {
        match self.operators.get(&operator) {
            Some(name) if self.uses.get(name).is_some_and(|&uses| uses > 1) => format!("{name} ({operator})"),
            Some(name) => name.clone(),
            None => operator.to_string(),
        }
    }

    /// `count[3]`.
    pub fn instance(&self, instance: InstanceId) -> String {
        format!("{}[{}]", self.operator(instance.operator), instance.index)
    }

    /// `flatmap → count`, or `channel7` if its endpoints are unknown.
    pub fn channel(&self, channel: ChannelId) -> String {
        match self.channels.get(&channel) {
            Some((source, target)) => format!("{} → {}", self.operator(*source), self.operator(*target)),
            None => channel.to_string(),
        }
    }

    /// The operators connected by a channel, if the log names them.
    pub fn ends(&self, channel: ChannelId) -> Option<(OperatorId, OperatorId)> {
        self.channels.get(&channel).copied()
    }

    /// The worker's name, `worker0` without one, or the instance to which the lane belongs.
    pub fn lane(&self, lane: Lane) -> String {
        match lane {
            Lane::Worker(worker) => self.workers.get(&worker).cloned().unwrap_or_else(|| worker.to_string()),
            Lane::Instance(instance) => self.instance(instance),
        }
    }
}

/// Reduces a name to one line that fits into a table.
fn printable(name: &str) -> String {
    let line: String = name.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

impl fmt::Display for ActivityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ActivityKind::Processing => "processing",
            ActivityKind::Scheduling => "scheduling",
            ActivityKind::Serialization => "serialization",
            ActivityKind::Deserialization => "deserialization",
            ActivityKind::ExternalWait => "external wait",
            ActivityKind::Migration => "migration",
            ActivityKind::Source => "source",
            ActivityKind::Sink => "sink",
            ActivityKind::Lost => "lost work",
            ActivityKind::Speculative => "speculative work",
        })
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MessageKind::Data => "data message",
            MessageKind::Progress => "progress message",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn operator(number: u32, name: &str) -> Record {
        Record::Operator { operator: OperatorId(number), name: name.to_owned() }
    }

    #[test]
    fn what_has_a_name_goes_by_it_and_the_rest_by_number() {
        let mut names = Names::default();
        names.learn(&operator(1, "flatmap"));
        names.learn(&operator(2, "count"));
        names.learn(&Record::Channel { channel: ChannelId(2), source: OperatorId(1), target: OperatorId(2) });
        assert_eq!(names.operator(OperatorId(2)), "count");
        assert_eq!(names.operator(OperatorId(7)), "op7");
        assert_eq!(names.instance(InstanceId::new(OperatorId(2), 3)), "count[3]");
        assert_eq!(names.channel(ChannelId(2)), "flatmap → count");
        assert_eq!(names.channel(ChannelId(3)), "channel3");
        assert_eq!(names.lane(Lane::Worker(WorkerId(1))), "worker1");
        names.learn(&Record::WorkerJoined { worker: WorkerId(1), at: Timestamp(9), name: "executor 1 on host1".into() });
        assert_eq!(names.lane(Lane::Worker(WorkerId(1))), "executor 1 on host1");
        assert_eq!(names.lane(Lane::Instance(InstanceId::new(OperatorId(7), 0))), "op7[0]");
    }

    #[test]
    fn what_was_learnt_bit_by_bit_adds_up_to_the_whole() {
        let channel = |number, target| Record::Channel { channel: ChannelId(number), source: OperatorId(1), target: OperatorId(target) };
        let joined = |name: &str| Record::WorkerJoined { worker: WorkerId(1), at: Timestamp(9), name: name.to_owned() };
        let records = [
            operator(1, "Map"),
            operator(2, "Map"),
            channel(1, 2),
            operator(2, "\u{1}Filter"),
            joined("one"),
            channel(1, 3),
            joined("two"),
            operator(3, "Map"),
        ];
        let (mut whole, mut sum) = (Names::default(), Names::default());
        for record in &records {
            let mut since = Names::default();
            assert!(since.is_empty() && whole.learn(record) && since.learn(record) && !since.is_empty());
            sum.add(since);
            assert_eq!(sum, whole);
        }
        assert!(!whole.learn(&operator(3, "Map")) && !whole.learn(&channel(1, 3)) && !whole.learn(&joined("")));
        assert_eq!(sum.operator(OperatorId(2)), " Filter");
        assert_eq!(sum.operator(OperatorId(3)), "Map (op3)");
    }

    #[test]
    fn names_that_are_not_kept_are_forgotten_and_free_their_text() {
        let mut names = Names::default();
        let channel = |number, source| Record::Channel { channel: ChannelId(number), source: OperatorId(source), target: OperatorId(2) };
        [operator(1, "Map"), operator(2, "Map"), operator(3, "Filter"), channel(1, 1), channel(2, 3)].iter().for_each(|record| {
            names.learn(record);
        });
        names.forget(|operator| operator.0 > 1, |channel| channel.0 > 1);
        assert_eq!(names.named(), 3);
        assert_eq!((names.operator(OperatorId(1)), names.operator(OperatorId(2))), ("op1".into(), "Map".into()));
        assert_eq!((names.ends(ChannelId(1)), names.channel(ChannelId(2))), (None, "Filter → Map".into()));
    }

    #[test]
    fn equal_names_are_told_apart_and_odd_ones_made_printable() {
        let mut names = Names::default();
        names.learn(&operator(1, "Map"));
        names.learn(&operator(2, "Map"));
        names.learn(&operator(3, "a\u{1b}[31m\nb"));
        names.learn(&operator(4, &"x".repeat(1000)));
        assert_eq!((names.operator(OperatorId(1)), names.operator(OperatorId(2))), ("Map (op1)".into(), "Map (op2)".into()));
        assert_eq!(names.operator(OperatorId(3)), "a [31m b");
        assert_eq!(names.operator(OperatorId(4)).chars().count(), LONGEST_NAME + 1);
        names.learn(&operator(2, "Filter"));
        assert_eq!((names.operator(OperatorId(1)), names.operator(OperatorId(2))), ("Map".into(), "Filter".into()));
    }
}
