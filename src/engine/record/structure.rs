//! Structure of a recorded dataflow: which operators are scopes, and which operators a channel
//! connects.
//!
//! Timely names the ends of a channel inside a scope, and a scope's boundary is such an end.
//! Channels are followed through boundaries to the operators that send and receive. Everything
//! about a dataflow is known when the dataflow's own operator is announced, which comes last and
//! before anything of it runs; until then its parts are kept.

use std::collections::{BTreeMap, BTreeSet};

use timely::logging::{ChannelsEvent, OperatesEvent};

/// An operator's address: its index in each scope around it, outermost first.
type Address = Vec<usize>;

/// An end of a channel in a scope: the operator's index, or 0 for the scope's boundary, and the
/// port.
type End = (usize, usize);

/// Parts of dataflows that are being built.
#[derive(Default)]
pub(super) struct Structure {
    operators: BTreeMap<Address, usize>,
    channels: Vec<ChannelsEvent>,
}

/// A dataflow whose parts are all known.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Dataflow {
    /// Operators that contain others.
    pub(super) scopes: Vec<usize>,
    /// The channels.
    pub(super) channels: Vec<RecordedChannel>,
}

/// A channel, or a piece of one between two boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordedChannel {
    /// Its number.
    pub(super) id: usize,
    /// The operators that send and receive, if the channel ends at one that receives.
    pub(super) ends: Option<(usize, usize)>,
    /// Whether it is the first to leave an operator's output: what an operator emits is counted
    /// there and only there.
    pub(super) counts_out: bool,
}

impl Structure {
    /// Registers a channel.
    pub(super) fn channel(&mut self, channel: ChannelsEvent) {
        self.channels.push(channel);
    }

    /// Registers an operator; returns the dataflow if this was its last part.
    pub(super) fn operator(&mut self, operator: &OperatesEvent) -> Option<Dataflow> {
        self.operators.insert(operator.addr.clone(), operator.id);
        match operator.addr[..] {
            [root] => Some(self.complete(root)),
            _ => None,
        }
    }

    fn complete(&mut self, root: usize) -> Dataflow {
        let of_root = |address: &[usize]| address.first() == Some(&root);
        let operators: BTreeMap<Address, usize> =
            self.operators.iter().filter(|(a, _)| of_root(a)).map(|(a, &id)| (a.clone(), id)).collect();
        self.operators.retain(|address, _| !of_root(address));
        let (mut channels, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.channels).into_iter().partition(|channel| of_root(&channel.scope_addr));
        self.channels = others;
        channels.sort_by_key(|channel| channel.id);
        let scopes: BTreeSet<&[usize]> = operators.keys().filter_map(|address| address.split_last()).map(|(_, scope)| scope).collect();
        let into: BTreeMap<(&[usize], End), End> =
            channels.iter().map(|channel| ((&channel.scope_addr[..], channel.target), channel.source)).collect();

        // The operator at an end inside a scope, unless it is a boundary.
        let operator = |scope: &[usize], node: usize| {
            let address = [scope, &[node]].concat();
            if node == 0 || scopes.contains(&address[..]) { None } else { operators.get(&address).copied() }
        };
        let sender = |channel: &ChannelsEvent| {
            let (mut scope, (mut node, mut port)) = (channel.scope_addr.clone(), channel.source);
            // A way through boundaries uses each channel at most once.
            for _ in 0..=channels.len() {
                if let Some(id) = operator(&scope, node) {
                    return Some(id);
                }
                let target = if node == 0 {
                    // From the boundary's inside to its outside.
                    (scope.pop()?, port)
                } else {
                    scope.push(node);
                    (0, port)
                };
                (node, port) = *into.get(&(&scope[..], target))?;
            }
            None
        };
        let mut outputs = BTreeSet::new();
        let resolved = channels.iter().map(|channel| {
            let receiver = operator(&channel.scope_addr, channel.target.0);
            let first = operator(&channel.scope_addr, channel.source.0).is_some_and(|sender| outputs.insert((sender, channel.source.1)));
            RecordedChannel { id: channel.id, ends: receiver.and_then(|to| sender(channel).map(|from| (from, to))), counts_out: first }
        });
        Dataflow { channels: resolved.collect(), scopes: scopes.iter().filter_map(|&scope| operators.get(scope).copied()).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(channels: &[(usize, &[usize], End, End)], operators: &[(usize, &[usize])]) -> Dataflow {
        let mut structure = Structure::default();
        for &(id, scope, source, target) in channels {
            structure.channel(ChannelsEvent { id, scope_addr: scope.to_vec(), source, target, typ: String::new() });
        }
        let (last, before) = operators.split_last().unwrap();
        let event = |&(id, addr): &(usize, &[usize])| OperatesEvent { id, addr: addr.to_vec(), name: String::new() };
        assert!(before.iter().all(|operator| structure.operator(&event(operator)).is_none()));
        structure.operator(&event(last)).unwrap()
    }

    /// Count (node 3) → loop scope (node 4) with Concat (2) → Filter (6) in it → Inspect (node 5).
    #[test]
    fn a_channel_is_followed_through_boundaries() {
        let dataflow = built(
            &[
                (8, &[0], (3, 0), (4, 0)),
                (10, &[0, 4], (0, 0), (2, 0)),
                (20, &[0, 4], (2, 0), (6, 0)),
                (21, &[0, 4], (6, 0), (0, 0)),
                (23, &[0], (4, 0), (5, 0)),
            ],
            &[(9, &[0, 4, 2]), (19, &[0, 4, 6]), (4, &[0, 3]), (6, &[0, 4]), (22, &[0, 5]), (1, &[0])],
        );
        assert_eq!(dataflow.scopes, [1, 6]);
        let ends: Vec<_> = dataflow.channels.iter().map(|channel| (channel.id, channel.ends, channel.counts_out)).collect();
        assert_eq!(
            ends,
            [(8, None, true), (10, Some((4, 9)), false), (20, Some((9, 19)), true), (21, None, true), (23, Some((19, 22)), false)]
        );
    }

    #[test]
    fn an_output_with_two_channels_is_counted_once() {
        let dataflow =
            built(&[(5, &[0], (1, 0), (2, 0)), (6, &[0], (1, 0), (3, 0))], &[(2, &[0, 1]), (3, &[0, 2]), (4, &[0, 3]), (1, &[0])]);
        assert_eq!(dataflow.channels.iter().map(|channel| channel.counts_out).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn channels_that_make_no_sense_have_no_ends() {
        let dataflow = built(&[(5, &[0, 1], (0, 0), (2, 0)), (6, &[0], (1, 0), (1, 0))], &[(3, &[0, 1, 2]), (2, &[0, 1]), (1, &[0])]);
        assert!(dataflow.channels.iter().all(|channel| channel.ends.is_none()), "{dataflow:?}");
    }
}
