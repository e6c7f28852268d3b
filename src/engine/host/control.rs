//! Commands that change the routing at a logical time, and acknowledgements of their execution.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;

use crate::engine::Time;
use crate::id::{BinId, OperatorId, WorkerId};
use crate::migration::{Step, Weights};

/// Change of one operator at the logical time at which the command is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The operator.
    pub operator: OperatorId,
    /// Number of instances of a stateless operator from now on.
    pub parallelism: Option<u32>,
    /// Weights of the instances, where they do not share records equally.
    pub weights: Option<Weights>,
    /// The worker of each instance from now on. A bin follows its owner to another worker only with
    /// a move, be it from the owner to itself.
    pub places: Option<Vec<WorkerId>>,
    /// Bins of a keyed operator with their new owners.
    pub moves: Vec<(BinId, u32)>,
    /// Bins of a keyed operator that are split in two, one after the other. None of the operator's
    /// bins may be migrating then, so such a step is issued when all earlier ones are complete, and
    /// moves none of them.
    pub splits: Vec<BinId>,
}

impl Command {
    /// A command that changes nothing about `operator` yet.
    pub fn new(operator: OperatorId) -> Command {
        Command { operator, parallelism: None, weights: None, places: None, moves: Vec::new(), splits: Vec::new() }
    }
}

/// Commands, the same on every worker.
pub type ControlStream<'s> = StreamVec<'s, Time, Command>;

/// Part of a step is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ack {
    /// Number of bins of the operator that have been installed at their new owners or split.
    Installed(OperatorId, usize),
    /// One worker's router of the stateless operator routes to the new instances.
    Rerouted(OperatorId),
}

/// The commands of a step, one per operator.
pub fn commands_of(step: &Step) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for (&operator, &instances) in &step.parallelism {
        commands.push(Command { parallelism: Some(instances), weights: step.weights.get(&operator).cloned(), ..Command::new(operator) });
    }
    for one in &step.moves {
        match commands.iter_mut().find(|command| command.operator == one.operator) {
            Some(command) => command.moves.push((one.bin, one.to)),
            None => commands.push(Command { moves: vec![(one.bin, one.to)], ..Command::new(one.operator) }),
        }
    }
    for &(operator, bin) in &step.splits {
        match commands.iter_mut().find(|command| command.operator == operator) {
            Some(command) => command.splits.push(bin),
            None => commands.push(Command { splits: vec![bin], ..Command::new(operator) }),
        }
    }
    for (&operator, places) in &step.placement {
        match commands.iter_mut().find(|command| command.operator == operator) {
            Some(command) => command.places = Some(places.clone()),
            None => commands.push(Command { places: Some(places.clone()), ..Command::new(operator) }),
        }
    }
    commands
}

/// Progress of the steps that have been sent: what has not been acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    bins: usize,
    routers: usize,
}

impl Progress {
    /// Registers a step that is sent to `peers` workers.
    pub fn send(&mut self, step: &Step, peers: u32) {
        self.bins += step.moves.len() + step.splits.len();
        self.routers += step.parallelism.len() * peers as usize;
    }

    /// Applies an acknowledgement.
    ///
    /// # Panics
    /// If more is acknowledged than was sent.
    pub fn report(&mut self, ack: Ack) {
        let (left, done) = match ack {
            Ack::Installed(_, bins) => (&mut self.bins, bins),
            Ack::Rerouted(_) => (&mut self.routers, 1),
        };
        *left = left.checked_sub(done).expect("no more is carried out than was asked for");
    }

    /// Bins in transit.
    pub fn bins(&self) -> usize {
        self.bins
    }

    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.bins == 0 && self.routers == 0
    }
}

/// Versions of a value by the logical time from which each holds.
///
/// Late data with an old time still arrives after a new version is known, so versions are kept
/// until the data frontier has passed the time of the next one.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Versions<V> {
    versions: VecDeque<(Time, V)>,
}

impl<V> Versions<V> {
    /// `value` holds from the beginning.
    pub(in crate::engine) fn new(value: V) -> Versions<V> {
        Versions { versions: VecDeque::from([(0, value)]) }
    }

    /// The value that holds at `time`.
    pub(in crate::engine) fn at(&self, time: Time) -> &V {
        let version = self.versions.iter().rev().find(|(from, _)| *from <= time);
        &version.expect("versions are retired only when no older time can come").1
    }

    /// The newest value.
    pub(in crate::engine) fn newest(&self) -> &V {
        &self.versions.back().expect("there is always a version").1
    }

    /// `value` holds from `time`, which is not before any version known.
    pub(in crate::engine) fn push(&mut self, time: Time, value: V) {
        self.versions.push_back((time, value));
    }

    /// No time before `low` will be asked for.
    pub(in crate::engine) fn retire(&mut self, low: Option<Time>) {
        while self.versions.len() > 1 && low.is_none_or(|low| self.versions[1].0 <= low) {
            self.versions.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_record_is_routed_by_the_table_of_its_time() {
        let mut versions = Versions::new('a');
        versions.push(10, 'b');
        versions.push(20, 'c');
        assert_eq!([0, 9, 10, 19, 20].map(|time| *versions.at(time)), ['a', 'a', 'b', 'b', 'c']);
        versions.retire(Some(12));
        assert_eq!(*versions.at(12), 'b');
        versions.retire(None);
        assert_eq!((*versions.newest(), versions.versions.len()), ('c', 1));
    }
}
