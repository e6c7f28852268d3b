//! Periods of backpressure on the sources, and the instances that caused them.
//!
//! Spans arrive per instance, late and in pieces. [`Pauses::merge`] combines them into one
//! timeline: spans during which the same instances backpressure the sources. Invariant: spans are
//! disjoint and in order of time; they are forgotten once no open epoch was due then.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::id::InstanceId;
use crate::time::Timestamp;

/// The most spans of one instance that are not merged; beyond, the oldest are forgotten.
const MOST_SPANS: usize = 1 << 14;
/// The most instances with spans that are not merged; further ones are ignored.
const MOST_INSTANCES: usize = 1 << 12;
/// The most spans of the timeline; beyond, the oldest are forgotten.
const MOST_STRETCHES: usize = 1 << 14;
/// The most instances that share a span: if more are above their marks at once, no single one is to
/// blame.
const MOST_SHARING: usize = 64;

/// A stretch of time in which sources were paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) start: u64,
    pub(super) end: u64,
    /// The instances that caused it, in order; never empty.
    pub(super) instances: Vec<InstanceId>,
}

/// The pauses of all sources: any instance above its mark pauses all sources.
#[derive(Clone, Debug, Default)]
pub(super) struct Pauses {
    /// Spans that are not merged yet; per instance disjoint and in order of time.
    spans: BTreeMap<InstanceId, VecDeque<(u64, u64)>>,
    timeline: VecDeque<Pause>,
    /// The end of the timeline.
    merged: u64,
}

impl Pauses {
    /// Sources were paused because of `instance` over `[start, end)`. Spans out of order are joined
    /// to those they touch, otherwise ignored, as are spans before the end of the timeline.
    pub(super) fn push(&mut self, instance: InstanceId, start: Timestamp, end: Timestamp) {
        let start = start.0.max(self.merged);
        if end.0 <= start || (self.spans.len() >= MOST_INSTANCES && !self.spans.contains_key(&instance)) {
            return;
        }
        let spans = self.spans.entry(instance).or_default();
        match spans.back_mut() {
            // A long span is reported in pieces.
            Some(last) if start <= last.1 => last.1 = last.1.max(end.0),
            _ => spans.push_back((start, end.0)),
        }
        if spans.len() > MOST_SPANS {
            spans.pop_front();
        }
    }

    /// Merges everything before `until` into the timeline; earlier spans that arrive later are
    /// ignored.
    pub(super) fn merge(&mut self, until: u64) {
        let mut edges: Vec<(u64, bool, InstanceId)> = Vec::new();
        for (&instance, spans) in &mut self.spans {
            while let Some(span) = spans.front_mut().filter(|span| span.0 < until) {
                edges.extend([(span.0, true, instance), (span.1.min(until), false, instance)]);
                if span.1 > until {
                    span.0 = until;
                    break;
                }
                spans.pop_front();
            }
        }
        self.spans.retain(|_, spans| !spans.is_empty());
        self.merged = self.merged.max(until);
        edges.sort_unstable();
        let (mut holding, mut since) = (BTreeSet::new(), 0);
        for (at, begins, instance) in edges {
            if at > since && !holding.is_empty() {
                self.add(Pause { start: since, end: at, instances: holding.iter().copied().take(MOST_SHARING).collect() });
            }
            since = at;
            if begins {
                holding.insert(instance)
            } else {
                holding.remove(&instance)
            };
        }
    }

    fn add(&mut self, pause: Pause) {
        match self.timeline.back_mut() {
            Some(last) if last.end == pause.start && last.instances == pause.instances => last.end = pause.end,
            _ => self.timeline.push_back(pause),
        }
        if self.timeline.len() > MOST_STRETCHES {
            self.timeline.pop_front();
        }
    }

    /// Forgets spans that ended before `at`.
    pub(super) fn forget(&mut self, at: u64) {
        while self.timeline.front().is_some_and(|pause| pause.end <= at) {
            self.timeline.pop_front();
        }
    }

    /// The spans that overlap `[from, until)`, as far as they are merged.
    pub(super) fn within(&self, from: u64, until: u64) -> impl DoubleEndedIterator<Item = &Pause> {
        let first = self.timeline.partition_point(|pause| pause.end <= from);
        let end = self.timeline.partition_point(|pause| pause.start < until);
        self.timeline.range(first.min(end)..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::OperatorId;

    fn drawn(pauses: &Pauses) -> Vec<String> {
        let of = |pause: &Pause| {
            let instances: Vec<String> = pause.instances.iter().map(|instance| instance.index.to_string()).collect();
            format!("{}-{} {}", pause.start, pause.end, instances.join("+"))
        };
        pauses.timeline.iter().map(of).collect()
    }

    #[test]
    fn spans_of_instances_become_one_timeline_however_they_come_in_pieces() {
        let mut pauses = Pauses::default();
        let push = |pauses: &mut Pauses, index, start, end| {
            pauses.push(InstanceId::new(OperatorId(2), index), Timestamp(start), Timestamp(end));
        };
        for (index, start, end) in [(0, 10, 20), (0, 20, 30), (1, 25, 40), (1, 60, 70)] {
            push(&mut pauses, index, start, end);
        }
        pauses.merge(65);
        assert_eq!(drawn(&pauses), ["10-25 0", "25-30 0+1", "30-40 1", "60-65 1"]);
        // The part already merged does not change any more.
        push(&mut pauses, 0, 40, 66);
        push(&mut pauses, 0, 80, 90);
        pauses.merge(100);
        assert_eq!(drawn(&pauses), ["10-25 0", "25-30 0+1", "30-40 1", "60-65 1", "65-66 0+1", "66-70 1", "80-90 0"]);
        assert_eq!(pauses.within(28, 66).map(|pause| pause.start).collect::<Vec<_>>(), [25, 30, 60, 65]);
        pauses.forget(40);
        assert_eq!(drawn(&pauses), ["60-65 1", "65-66 0+1", "66-70 1", "80-90 0"]);
        assert!(pauses.spans.is_empty());
    }
}
