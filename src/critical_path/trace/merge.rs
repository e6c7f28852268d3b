//! Merges the least of what is over, so that a trace of any length takes the same memory.
//!
//! A job whose operators are stages has ever more of them, each with rows on every lane. Once there are too many rows, those of
//! operators and channels that have not been seen for a while and have the smallest shares become one row a lane and kind of
//! activity: shares of lanes and of kinds of activity stay exact, and what was merged is told ([`Further`]). An operator that comes
//! back after that counts from then on.
//!
//! Invariant: what is left are the rows of what was seen lately, those of the first operators of each ranking, and a fixed number.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Further, Row, Subject, TraceSummary, WaitPattern};
use crate::id::{ChannelId, OperatorId};

/// With fewer rows, or wait patterns, nothing is merged.
const MOST_ROWS: usize = 1 << 16;
const MOST_WAITS: usize = 1 << 14;
/// What any of so many last windows holds is not merged.
const RECENT: u64 = 64;
/// So many operators and channels are never merged: the first by participation, and the first in the profile.
const ALWAYS: usize = 64;

/// Operators and channels that can be merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Least {
    /// The operators.
    pub operators: BTreeSet<OperatorId>,
    /// The channels.
    pub channels: BTreeSet<ChannelId>,
}

/// What is known of an operator or a channel.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    participation: f64,
    ns: u64,
    rows: usize,
    last: u64,
}

impl TraceSummary {
    /// Whether there are so many rows or wait patterns that some should be [merged](Self::merge).
    pub fn is_crowded(&self) -> bool {
        self.has_too_many_rows() || self.has_too_many_waits()
    }

    fn has_too_many_rows(&self) -> bool {
        self.rows.len() > MOST_ROWS.max(2 * self.left.0)
    }

    fn has_too_many_waits(&self) -> bool {
        self.waits.len() > MOST_WAITS.max(2 * self.left.1)
    }

    /// What has not been seen lately and has the smallest shares, as much as leaves half of the rows that there may be; nothing while
    /// there are not too many.
    pub fn least(&self) -> Least {
        if !self.has_too_many_rows() {
            return Least::default();
        }
        let recent = self.windows.saturating_sub(RECENT);
        let (mut operators, mut channels): (BTreeMap<OperatorId, Size>, BTreeMap<ChannelId, Size>) = Default::default();
        let mut others = 0;
        for (&(_, subject), &place) in &self.rows {
            let size = match subject {
                Subject::Work(_, instance) => operators.entry(instance.operator).or_default(),
                Subject::Message(_, channel, _) | Subject::Wait(channel, _) => channels.entry(channel).or_default(),
                Subject::Gap | Subject::Silence | Subject::FurtherWork(_) | Subject::FurtherMessages(_) => {
                    others += 1;
                    continue;
                }
            };
            let sum = self.sums[place as usize];
            size.participation += sum.participation;
            size.ns += sum.ns;
            size.rows += 1;
            size.last = size.last.max(sum.last);
        }
        let lately = |size: &Size| size.last > recent;
        let hot: usize = operators.values().chain(channels.values()).filter(|size| lately(size)).map(|size| size.rows).sum();
        let mut room = (MOST_ROWS / 2).saturating_sub(others + hot);
        operators.retain(|_, size| !lately(size));
        channels.retain(|_, size| !lately(size));
        Least { operators: smallest(operators, &mut room), channels: smallest(channels, &mut room) }
    }

    /// Merges `least`, and forgets the shortest wait patterns where there are too many.
    pub fn merge(&mut self, least: &Least) {
        self.known_ranking.take();
        if self.has_too_many_rows() {
            self.merge_rows(least);
            self.left.0 = self.rows.len();
        }
        if self.has_too_many_waits() {
            self.forget_waits();
        }
    }

    fn merge_rows(&mut self, least: &Least) {
        self.at_hand.clear();
        let (rows, sums) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.sums));
        for ((lane, subject), place) in rows {
            let subject = match subject {
                Subject::Work(kind, instance) if least.operators.contains(&instance.operator) => Subject::FurtherWork(kind),
                Subject::Message(kind, channel, _) if least.channels.contains(&channel) => Subject::FurtherMessages(kind),
                // It is part of no measure.
                Subject::Wait(channel, _) if least.channels.contains(&channel) => continue,
                subject => subject,
            };
            let TraceSummary { rows, sums: merged, .. } = self;
            let to = *rows.entry((lane, subject)).or_insert_with(|| {
                merged.push(Default::default());
                merged.len() as u32 - 1
            });
            let (from, to) = (sums[place as usize], &mut merged[to as usize]);
            to.participation += from.participation;
            to.ns += from.ns;
            to.path_ns += from.path_ns;
            to.count += from.count;
            to.last = to.last.max(from.last);
        }
        self.further.operators += least.operators.len() as u64;
        self.further.channels += least.channels.len() as u64;
    }

    /// Forgets the shortest wait patterns that have not been seen lately.
    fn forget_waits(&mut self) {
        let recent = self.windows.saturating_sub(RECENT);
        let mut over: Vec<_> =
            self.waits.iter().filter(|(_, waited)| waited.last <= recent).map(|(key, waited)| (waited.ns, *key)).collect();
        over.sort_unstable_by_key(|&(ns, key)| (Reverse(ns), key));
        let lately = self.waits.len() - over.len();
        for (ns, key) in over.into_iter().skip((MOST_WAITS / 2).saturating_sub(lately).max(ALWAYS)) {
            self.waits.remove(&key);
            self.further.waits += 1;
            self.further.waits_ns = self.further.waits_ns.saturating_add(ns);
        }
        self.left.1 = self.waits.len();
    }

    /// What is no longer kept apart.
    pub fn further(&self) -> Further {
        let is_further = |row: &Row| matches!(row.subject, Subject::FurtherWork(_) | Subject::FurtherMessages(_));
        Further { participation: self.rows().filter(is_further).map(|row| row.participation).sum(), ..self.further }
    }

    /// The operators and channels that are kept apart, in rows or as part of wait patterns.
    pub fn kept(&self) -> Least {
        let mut kept = Least::default();
        for &(_, subject) in self.rows.keys() {
            match subject {
                Subject::Work(_, instance) => drop(kept.operators.insert(instance.operator)),
                Subject::Message(_, channel, _) | Subject::Wait(channel, _) => drop(kept.channels.insert(channel)),
                Subject::Gap | Subject::Silence | Subject::FurtherWork(_) | Subject::FurtherMessages(_) => {}
            }
        }
        for WaitPattern { channel, cause, .. } in self.waits() {
            kept.channels.insert(channel);
            kept.operators.extend(cause.map(|cause| cause.operator));
        }
        kept
    }
}

/// All but the largest, of which as many stay as there is room for, or as always do.
fn smallest<K: Copy + Ord>(sizes: BTreeMap<K, Size>, room: &mut usize) -> BTreeSet<K> {
    let mut sizes: Vec<(K, Size)> = sizes.into_iter().collect();
    sizes.sort_by_key(|&(key, size)| (Reverse(size.ns), key));
    let in_profile: BTreeSet<K> = sizes.iter().take(ALWAYS).map(|(key, _)| *key).collect();
    sizes.sort_by(|a, b| b.1.participation.total_cmp(&a.1.participation).then(b.1.ns.cmp(&a.1.ns)).then(a.0.cmp(&b.0)));
    let mut smallest = BTreeSet::new();
    for (place, (key, size)) in sizes.into_iter().enumerate() {
        if place < ALWAYS || in_profile.contains(&key) || size.rows <= *room {
            *room = room.saturating_sub(size.rows);
        } else {
            // What is smaller goes, too: of all that is merged nothing is larger than what stays.
            *room = 0;
            smallest.insert(key);
        }
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::{ActivityKind, Lane, MessageKind};
    use crate::critical_path::{By, Entity, WindowSummary};
    use crate::id::{InstanceId, WorkerId};
    use crate::time::{Timestamp, Window};

    const LANES: u32 = 40;

    /// A trace whose operators are stages, one a window, that share `windows` windows with a driver. The stage of window 7 is large.
    fn stages(windows: u32) -> (TraceSummary, usize) {
        let (mut trace, mut most) = (TraceSummary::new(By::Operator), 0);
        for window in 0..windows {
            let (start, end) = (Timestamp(u64::from(window) * 1000), Timestamp(u64::from(window) * 1000 + 1000));
            let work = |lane: u32, operator: u32, share| {
                let (lane, instance) = (Lane::Worker(WorkerId(lane)), InstanceId::new(OperatorId(operator), lane));
                Row {
                    lane,
                    subject: Subject::Work(ActivityKind::Processing, instance),
                    participation: share,
                    ns: 100,
                    path_ns: 50,
                    count: 1,
                }
            };
            let stage = 1 + window;
            let share = if window == 7 { 0.8 } else { 0.2 + 0.4 * f64::from(window % 5) / 5.0 };
            let mut rows = vec![work(0, 0, 1.0 - share)];
            for lane in 1..=LANES {
                rows.push(work(lane, stage, share / f64::from(LANES)));
                let message = Subject::Message(MessageKind::Data, ChannelId(stage), Lane::Worker(WorkerId(0)));
                rows.push(Row { lane: Lane::Worker(WorkerId(lane)), subject: message, participation: 0.0, ns: 5, path_ns: 0, count: 1 });
            }
            let wait = |lane| WaitPattern {
                lane: Lane::Worker(WorkerId(lane)),
                channel: ChannelId(stage),
                from: Lane::Worker(WorkerId(0)),
                cause: None,
                count: 1,
                whole_ns: 10 + u64::from(stage),
                ns: 10,
            };
            let waits = (1..=LANES).map(wait).collect();
            trace.push(&WindowSummary { window: Window { start, end }, participation_sum: 1.0, log2_paths: Some(1.0), rows, waits });
            if trace.is_crowded() {
                let least = trace.least();
                trace.merge(&least);
            }
            most = most.max(trace.rows.len() + trace.waits.len());
        }
        (trace, most)
    }

    #[test]
    fn a_trace_ten_times_as_long_has_no_more_rows_and_the_largest_operators_stay() {
        let ((_, few), (trace, many)) = (stages(2_000), stages(20_000));
        // A merger leaves a little more than half of the rows: what is never merged comes on top.
        assert!(many <= 5 * MOST_ROWS / 4 + MOST_WAITS + 3 * LANES as usize && many < few + few / 10, "{few} and {many}");
        let ranking = trace.ranking(By::Operator);
        let first: Vec<Entity> = ranking.iter().take(2).map(|entry| entry.entity).collect();
        assert_eq!(first, [Entity::Operator(OperatorId(0)), Entity::Operator(OperatorId(8))]);
        assert!(ranking.len() >= 2 * ALWAYS);
        let further = trace.further();
        let kept: f64 = ranking.iter().map(|entry| entry.participation).sum();
        assert!((kept + further.participation - 1.0).abs() < 1e-9, "{kept} and {further:?}");
        let operators = ranking.iter().filter(|entry| matches!(entry.entity, Entity::Operator(_))).count() as u64;
        assert_eq!(operators + further.operators, 20_001);
        assert_eq!(trace.waits().len() as u64 + further.waits, 20_000 * u64::from(LANES));
        // Lanes and kinds of activity are exact.
        let busy: f64 = trace.ranking(By::Worker).iter().map(|entry| entry.profile).sum();
        assert!((busy - 0.1 * f64::from(LANES + 1)).abs() < 1e-9, "{busy}");
        assert_eq!(
            trace.ranking(By::Activity).iter().map(|entry| entry.entity).take(1).collect::<Vec<_>>(),
            [Entity::Activity(ActivityKind::Processing)]
        );
    }

    #[test]
    fn what_was_seen_lately_is_not_merged_however_much_it_is() {
        let (trace, _) = stages(u32::try_from(RECENT).unwrap() / 2);
        assert!(!trace.is_crowded() && trace.least() == Least::default());
        assert_eq!(trace.further(), Further::default());
    }
}
