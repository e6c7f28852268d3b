//! When sources were paused, and for whom.
//!
//! Invariant: the spans of an instance are disjoint and in order of time; they are forgotten once no open epoch was due then.

use std::collections::{BTreeMap, VecDeque};

use super::path::{EpochPieceKind, Label, Tiles};
use crate::id::InstanceId;
use crate::time::Timestamp;

/// Spans of one instance at most; of more, the oldest are forgotten.
const MOST_SPANS: usize = 1 << 14;
/// Instances with spans at most; further ones are left out.
const MOST_INSTANCES: usize = 1 << 12;

/// Spans of backpressure by instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Pauses {
    spans: BTreeMap<InstanceId, VecDeque<(u64, u64)>>,
}

impl Pauses {
    /// Sources were paused for `instance` over `[start, end)`. Spans that come in another order than that of time are joined to
    /// the ones they touch or left out.
    pub(super) fn push(&mut self, instance: InstanceId, start: Timestamp, end: Timestamp) {
        if end <= start || (self.spans.len() >= MOST_INSTANCES && !self.spans.contains_key(&instance)) {
            return;
        }
        let spans = self.spans.entry(instance).or_default();
        match spans.back_mut() {
            // A long span is reported in pieces.
            Some(last) if start.0 <= last.1 => last.1 = last.1.max(end.0),
            _ => spans.push_back((start.0, end.0)),
        }
        if spans.len() > MOST_SPANS {
            spans.pop_front();
        }
    }

    /// Forgets what ended before `at`.
    pub(super) fn forget(&mut self, at: u64) {
        self.spans.retain(|_, spans| {
            while spans.front().is_some_and(|span| span.1 <= at) {
                spans.pop_front();
            }
            !spans.is_empty()
        });
    }

    /// The rest of a path, from where its source emitted down to `due`: pauses, each charged to whoever held it longest back, and
    /// between them the source's own delay.
    pub(super) fn tile(&self, tiles: &mut Tiles, due: u64, source: InstanceId) {
        let delay = Label::of(EpochPieceKind::SourceDelay, source);
        while tiles.now() > due {
            let now = tiles.now();
            let before = |spans: &VecDeque<(u64, u64)>| {
                let index = spans.partition_point(|span| span.0 < now).checked_sub(1)?;
                spans.get(index).copied()
            };
            let latest = self.spans.iter().filter_map(|(&instance, spans)| before(spans).map(|span| (instance, span)));
            // Those that cover the instant before now: the earliest start. Otherwise the one that ended last.
            let Some((instance, (start, end))) = latest.max_by_key(|(_, (start, end))| ((*end).min(now), u64::MAX - start)) else { break };
            if end < now {
                tiles.down_to(end, delay);
            }
            tiles.down_to(start, Label::of(EpochPieceKind::Backpressure, instance));
        }
        tiles.down_to(due, delay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::OperatorId;
    use crate::time::Epoch;

    #[test]
    fn the_rest_of_a_path_is_cut_into_pauses_and_the_sources_own_delay() {
        let instance = |index| InstanceId::new(OperatorId(2), index);
        let mut pauses = Pauses::default();
        for (index, start, end) in [(0, 10, 20), (0, 20, 30), (1, 25, 40), (1, 60, 70), (0, 80, 90), (1, 95, 99)] {
            pauses.push(instance(index), Timestamp(start), Timestamp(end));
        }
        let tile = |pauses: &Pauses, due: u64| {
            let (from, until) = (Timestamp(due), Timestamp(85));
            let mut tiles = Tiles::new(Epoch(1), from, until, from);
            pauses.tile(&mut tiles, due, InstanceId::default());
            let pieces = tiles.finish(Default::default()).pieces;
            pieces.into_iter().map(|piece| (piece.kind, piece.instance.unwrap(), piece.start.0)).collect::<Vec<_>>()
        };
        use EpochPieceKind::{Backpressure, SourceDelay};
        let source = InstanceId::default();
        let recent = [(Backpressure, instance(1), 60), (SourceDelay, source, 70), (Backpressure, instance(0), 80)];
        let all = [(SourceDelay, source, 5), (Backpressure, instance(0), 10), (Backpressure, instance(1), 25), (SourceDelay, source, 40)];
        assert_eq!(tile(&pauses, 5), [&all[..], &recent].concat());
        pauses.forget(60);
        assert_eq!(tile(&pauses, 60), recent);
        assert_eq!(pauses.spans[&instance(1)].len(), 2);
    }
}
