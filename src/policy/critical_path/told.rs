//! The measured path that accompanies a decision.

use std::collections::BTreeMap;

use crate::critical_path::{EpochPieceKind, PathPiece, WindowPaths};
use crate::dataflow::Topology;
use crate::id::{ChannelId, OperatorId};
use crate::policy::PathShare;

/// At most this many pieces are reported.
const MOST_PIECES: usize = 6;
/// Pieces below this share of the latency are not reported.
const LEAST_SHARE: f64 = 0.01;

/// Kind, the operator it is attributed to, and the one that waited for that.
type Piece = (EpochPieceKind, Option<OperatorId>, Option<OperatorId>);

/// The largest pieces of the slowest epochs' latency, by kind and operator; `waits_s` is the predicted queueing time by operator, if there
/// is a prediction.
pub(super) fn path(topology: &Topology, paths: &WindowPaths, waits_s: Option<&[f64]>) -> Vec<PathShare> {
    let mut channels: BTreeMap<ChannelId, OperatorId> = BTreeMap::new();
    for traffic in &paths.traffic {
        channels.extend(traffic.inputs.iter().map(|input| (input.channel, traffic.operator)));
    }
    let whose = |piece: &PathPiece| piece.part.charged().or(piece.part.channel.and_then(|channel| channels.get(&channel).copied()));
    // Who waited, where another operator had the worker.
    let waiting =
        |piece: &PathPiece| piece.part.operator.filter(|_| piece.part.behind.is_some_and(|behind| Some(behind) != piece.part.operator));
    let mut sums: BTreeMap<Piece, (f64, f64)> = BTreeMap::new();
    for piece in &paths.slowest.pieces {
        let sum = sums.entry((piece.part.kind, whose(piece), waiting(piece))).or_default();
        *sum = (sum.0 + piece.share, sum.1 + piece.mean_ns);
    }
    let mut pieces: Vec<_> = sums.into_iter().filter(|(_, (share, _))| *share >= LEAST_SHARE).collect();
    pieces.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    let name = |operator: Option<OperatorId>| operator.map_or(String::new(), |id| topology.operator(id).name.clone());
    let told = |((kind, operator, waiting), (share, mean_ns)): (_, (f64, f64))| PathShare {
        kind,
        operator: name(operator),
        waiting: name(waiting),
        share,
        mean_ms: mean_ns / 1e6,
        predicted_ms: operator.filter(|_| kind == EpochPieceKind::Queueing).and_then(|id| Some(waits_s?.get(id.0 as usize)? * 1e3)),
    };
    pieces.into_iter().take(MOST_PIECES).map(told).collect()
}
