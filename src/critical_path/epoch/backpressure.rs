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
