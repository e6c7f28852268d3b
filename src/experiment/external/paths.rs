//! The critical paths of a window as a program reads them: names for operators, nanoseconds, `null`
//! for what is not known.
//!
//! Bounded: of each group the 64 largest pieces, and at most [`MOST_ARRIVALS`] arrivals in all.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::activity::ActivityKind;
use crate::critical_path::{Arrival, OperatorTraffic, PathGroup, PathPiece, WindowPaths};
use crate::dataflow::Topology;
use crate::id::{ChannelId, OperatorId};

/// Arrivals in a line, at most: about 200 kB of it. Of a job with many operators runs are shorter.
const MOST_ARRIVALS: usize = 1 << 14;
/// However many operators there are, this much of a run is left.
const SHORTEST_RUN: usize = 4;

/// What operators and channels are called.
struct Names<'a> {
    topology: &'a Topology,
    /// Sender and receiver of each channel that carried records.
    channels: BTreeMap<ChannelId, (OperatorId, OperatorId)>,
}

impl<'a> Names<'a> {
    fn of(&self, operator: OperatorId) -> Option<&'a str> {
        self.topology.operators().get(operator.0 as usize).map(|operator| operator.name.as_str())
    }

    fn ends(&self, channel: Option<ChannelId>) -> Option<(&'a str, &'a str)> {
        let (from, to) = self.channels.get(&channel?)?;
        Some((self.of(*from)?, self.of(*to)?))
    }
}

/// What a program is shown of `paths`.
pub(super) fn seen(topology: &Topology, paths: &WindowPaths) -> Value {
    let channel = |traffic: &OperatorTraffic| {
        let to = traffic.operator;
        traffic.inputs.iter().map(move |input| (input.channel, (input.from, to))).collect::<Vec<_>>()
    };
    let names = Names { topology, channels: paths.traffic.iter().flat_map(channel).collect() };
    let runs: usize = paths.traffic.iter().map(|traffic| traffic.runs.len()).sum();
    let longest = (MOST_ARRIVALS / runs.max(1)).max(SHORTEST_RUN);
    json!({
        "all": group(&names, &paths.all),
        "slowest": group(&names, &paths.slowest),
        "migrating": group(&names, &paths.migrating),
        "open_epochs": paths.open_epochs,
        "oldest_open_ns": paths.oldest_open_ns,
        "left_out": paths.left_out,
        "traffic": paths.traffic.iter().filter_map(|one| traffic(&names, one, longest)).collect::<Vec<_>>(),
    })
}

fn group(names: &Names<'_>, group: &PathGroup) -> Value {
    let gains = group.gains_ns.iter().filter_map(|(operator, ns)| Some((names.of(*operator)?, ns)));
    let slack = group.slack.iter().filter_map(|slack| {
        let seen = json!({ "mean_ns": slack.mean_ns, "least_ns": slack.least_ns, "epochs": slack.epochs });
        Some((names.of(slack.operator)?, seen))
    });
    json!({
        "epochs": group.epochs,
        "records": group.records,
        "latency_ns": group.latency_ns,
        "pieces": group.pieces.iter().map(|one| piece(names, one)).collect::<Vec<_>>(),
        "gains_ns": gains.collect::<BTreeMap<_, _>>(),
        "slack": slack.collect::<BTreeMap<_, _>>(),
    })
}

fn piece(names: &Names<'_>, piece: &PathPiece) -> Value {
    let ends = names.ends(piece.part.channel);
    json!({
        "kind": piece.part.kind,
        "operator": piece.part.operator.and_then(|operator| names.of(operator)),
        "behind": piece.part.behind.and_then(|operator| names.of(operator)),
        "doing": piece.part.doing.map(activity),
        "from": ends.map(|(from, _)| from),
        "to": ends.map(|(_, to)| to),
        "mean_ns": piece.mean_ns,
        "share": piece.share,
        "epochs": piece.epochs,
        "worst_instance": piece.worst.map(|(index, _)| index),
        "worst_share": piece.worst.map(|(_, share)| share),
    })
}

fn activity(kind: ActivityKind) -> &'static str {
    match kind {
        ActivityKind::Processing => "processing",
        ActivityKind::Scheduling => "scheduling",
        ActivityKind::Serialization => "serialization",
        ActivityKind::Deserialization => "deserialization",
        ActivityKind::ExternalWait => "external-wait",
        ActivityKind::Migration => "migration",
        ActivityKind::Source => "source",
        ActivityKind::Sink => "sink",
        ActivityKind::Lost => "lost",
        ActivityKind::Speculative => "speculative",
    }
}

/// Each arrival of a run as its gap in ns and its records.
fn traffic(names: &Names<'_>, traffic: &OperatorTraffic, longest: usize) -> Option<Value> {
    let inputs = traffic.inputs.iter().filter_map(|input| Some(json!({ "from": names.of(input.from)?, "records": input.records })));
    let arrivals = |run: &Vec<Arrival>| run.iter().take(longest).map(|arrival| (arrival.gap_ns, arrival.records)).collect::<Vec<_>>();
    Some(json!({
        "operator": names.of(traffic.operator)?,
        "inputs": inputs.collect::<Vec<_>>(),
        "runs": traffic.runs.iter().map(arrivals).collect::<Vec<_>>(),
        "dispersion": traffic.dispersion,
        "service_ns": traffic.service_ns,
        "service_variation": traffic.service_variation,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::critical_path::{EpochPart, EpochPieceKind, InputTraffic, OperatorSlack};
    use crate::dataflow::Role;

    #[test]
    fn every_operator_has_its_name_and_the_line_is_bounded() {
        const OPERATORS: u32 = 100;
        let named: Vec<String> = (0..OPERATORS).map(|number| format!("op{number}")).collect();
        let listed: Vec<(&str, Role, u32)> =
            named.iter().enumerate().map(|(at, name)| (name.as_str(), if at == 0 { Role::Source } else { Role::Stateless }, 4)).collect();
        let edges: Vec<(u32, u32)> = (1..OPERATORS).map(|to| (to - 1, to)).collect();
        let topology = Topology::new(&listed, &edges).unwrap();
        let part = |kind, operator, behind, channel| EpochPart {
            kind,
            operator,
            behind,
            doing: behind.map(|_| ActivityKind::ExternalWait),
            channel,
        };
        let piece = |part| PathPiece { part, mean_ns: 2e6, share: 0.5, epochs: 3, worst: Some((2, 0.75)) };
        let (one, two) = (Some(OperatorId(1)), Some(OperatorId(2)));
        let group = PathGroup {
            epochs: 3,
            records: 30,
            latency_ns: 4e6,
            pieces: vec![
                piece(part(EpochPieceKind::Queueing, two, one, None)),
                piece(part(EpochPieceKind::Network, None, None, Some(ChannelId(7)))),
            ],
            gains_ns: vec![(OperatorId(1), 1e6)],
            slack: vec![OperatorSlack { operator: OperatorId(2), mean_ns: 5.5, least_ns: 5, epochs: 2 }],
        };
        let traffic = |operator| OperatorTraffic {
            operator,
            runs: vec![vec![Arrival { gap_ns: u64::MAX / 4, records: 123_456 }; 64]; 8],
            inputs: vec![InputTraffic { from: OperatorId(0), channel: ChannelId(6 + operator.0), records: 9 }],
            dispersion: None,
            service_ns: Some(250.0),
            service_variation: None,
        };
        let paths = WindowPaths {
            all: group.clone(),
            slowest: group,
            open_epochs: 4,
            oldest_open_ns: 1_000,
            traffic: (1..OPERATORS).map(|id| traffic(OperatorId(id))).collect(),
            ..WindowPaths::default()
        };
        let text = serde_json::to_string(&seen(&topology, &paths)).unwrap();
        assert!(text.len() < 1 << 20, "{} bytes", text.len());
        let seen: serde_json::Value = serde_json::from_str(&text).unwrap();
        let pieces = &seen["slowest"]["pieces"];
        assert_eq!((&pieces[0]["kind"], &pieces[0]["operator"]), (&"queueing".into(), &"op2".into()));
        assert_eq!((&pieces[0]["behind"], &pieces[0]["doing"]), (&"op1".into(), &"external-wait".into()));
        assert_eq!((&pieces[0]["worst_instance"], &pieces[0]["worst_share"]), (&2.into(), &0.75.into()));
        assert_eq!((&pieces[1]["from"], &pieces[1]["to"]), (&"op0".into(), &"op1".into()));
        assert_eq!((&seen["all"]["gains_ns"]["op1"], &seen["all"]["slack"]["op2"]["least_ns"]), (&1e6.into(), &5.into()));
        assert_eq!(seen["migrating"]["epochs"], 0);
        let traffic = &seen["traffic"][0];
        assert_eq!((&traffic["operator"], &traffic["inputs"][0]["from"]), (&"op1".into(), &"op0".into()));
        assert_eq!(traffic["runs"][0].as_array().unwrap().len(), MOST_ARRIVALS / (8 * 99));
        assert!(traffic["dispersion"].is_null());
    }
}
