//! What the measured paths of a window show: who waited, for which operator, and for how long.

use std::collections::BTreeMap;

use crate::critical_path::{EpochPieceKind, PathGroup, PathPiece, WindowPaths};
use crate::dataflow::{Operator, Topology};
use crate::id::{ChannelId, OperatorId};
use crate::policy::PathShare;

/// Waiting at an operator below this part of the slowest epochs' latency is none.
const LEAST_SHARE: f64 = 0.03;
/// At most this many pieces are reported.
const MOST_PIECES: usize = 6;
/// Pieces below this share of the latency are not reported.
const LEAST_REPORTED: f64 = 0.01;

/// By operator, whether the slowest epochs of a window waited for its instances.
pub(super) fn waited_at(topology: &Topology, paths: &WindowPaths) -> Vec<bool> {
    let waits = |operator: &Operator| {
        let at = |piece: &PathPiece| {
            let kind = piece.part.kind;
            let queue =
                kind == EpochPieceKind::Queueing && (piece.part.operator == Some(operator.id) || piece.part.behind == Some(operator.id));
            queue || kind == EpochPieceKind::Backpressure && piece.part.operator == Some(operator.id)
        };
        [&paths.all, &paths.slowest].iter().any(|group| group.share(at) >= LEAST_SHARE)
    };
    topology.operators().iter().map(waits).collect()
}

/// The operator that the largest part of a group's latency is charged to.
pub(super) fn charged(group: &PathGroup) -> Option<OperatorId> {
    let mut sums: BTreeMap<OperatorId, f64> = BTreeMap::new();
    for piece in &group.pieces {
        if let Some(operator) = piece.part.charged().filter(|_| piece.part.kind != EpochPieceKind::SourceDelay) {
            *sums.entry(operator).or_default() += piece.mean_ns;
        }
    }
    sums.into_iter().reduce(|a, b| if b.1 > a.1 { b } else { a }).map(|(operator, _)| operator)
}

/// Part of the latency in which sources were paused for each operator; what their lag makes of it later is not counted.
pub(super) fn paused_for(topology: &Topology, group: &PathGroup) -> Vec<f64> {
    let lag = group.share(|piece| piece.part.kind == EpochPieceKind::SourceDelay);
    let paused = |operator: &Operator| {
        let paused = |piece: &PathPiece| piece.part.kind == EpochPieceKind::Backpressure && piece.part.operator == Some(operator.id);
        group.share(paused) / (1.0 - lag).max(0.01)
    };
    topology.operators().iter().map(paused).collect()
}

/// Kind, the operator it is attributed to, and the one that waited for that.
type Piece = (EpochPieceKind, Option<OperatorId>, Option<OperatorId>);

/// The largest pieces of the slowest epochs' latency, by kind and operator; `waits_s` is the predicted queueing time by operator, if there
/// is a prediction.
pub(super) fn slowest_path(topology: &Topology, paths: &WindowPaths, waits_s: Option<&[f64]>) -> Vec<PathShare> {
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
    let mut pieces: Vec<_> = sums.into_iter().filter(|(_, (share, _))| *share >= LEAST_REPORTED).collect();
    pieces.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    let name = |operator: Option<OperatorId>| operator.map_or(String::new(), |id| topology.operator(id).name.clone());
    let share_of = |((kind, operator, waiting), (share, mean_ns)): (_, (f64, f64))| PathShare {
        kind,
        operator: name(operator),
        waiting: name(waiting),
        share,
        mean_ms: mean_ns / 1e6,
        predicted_ms: operator.filter(|_| kind == EpochPieceKind::Queueing).and_then(|id| Some(waits_s?.get(id.0 as usize)? * 1e3)),
    };
    pieces.into_iter().take(MOST_PIECES).map(share_of).collect()
}
