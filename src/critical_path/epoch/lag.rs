//! The lag of one source and what caused it: a queue of records due but not emitted, with an owner
//! for each part.
//!
//! ```text
//!  due ──► fresh ──(source emits)──► emitted, fresh records first; others leave the queue in order
//!            │                 └─► the rest is attributed to the source itself: its pace
//!            └──(sources pause)──► queue, attributed evenly to the instances that cause the pause
//! ```
//!
//! Records that become due while the source emits at least as fast are not lag of their own: they
//! are late because of the records before them. Therefore only increases of the lag are entered,
//! and only decreases leave, first in, first out.
//!
//! Invariant: the parts add up to due minus emitted, according to the latest sample and the epochs
//! opened since. Memory is bounded: if the queue or its history grows too long, neighbours are
//! merged.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::backpressure::Pauses;
use crate::id::InstanceId;

/// The most parts of the queue; beyond, the two at the front are merged.
const MOST_PARTS: usize = 1 << 10;
/// The most snapshots in the history; beyond, every second one is forgotten.
const MOST_LOOKS: usize = 1 << 11;
/// The most owners in a snapshot: the largest.
const MOST_OWNERS: usize = 64;
/// The most openings and samples that wait until everything before them is known.
const MOST_PENDING: usize = 1 << 16;
/// Fewer records are rounding errors.
const NOTHING: f64 = 1e-6;

/// The cause of a part of a source's lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LagOwner {
    /// An instance because of which the source paused.
    Instance(InstanceId),
    /// The source itself: its pace, or scheduling delay of its host.
    Own,
}

/// Parts by owner, in their order.
pub(super) type Parts = Vec<(LagOwner, f64)>;

/// Adds `records` to the part of `owner`.
pub(super) fn add(parts: &mut Parts, owner: LagOwner, records: f64) {
    match parts.binary_search_by_key(&owner, |(known, _)| *known) {
        Ok(index) => parts[index].1 += records,
        Err(index) => parts.insert(index, (owner, records)),
    }
}

fn total(parts: &Parts) -> f64 {
    parts.iter().map(|(_, records)| records).sum()
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Emitted(u64),
    Sample { due: f64, emitted: u64 },
}

/// Owners of the lag at one time.
#[derive(Clone, Debug)]
struct Look {
    at: u64,
    parts: Parts,
}

/// The lag of one source.
#[derive(Clone, Debug)]
pub(super) struct Lag {
    /// Openings and samples that have not been processed.
    pending: VecDeque<(u64, Event)>,
    sorted: bool,
    /// Everything before this time has been processed; `None` until the first sample.
    at: Option<u64>,
    /// Records due by `at`, and per ns from then on.
    due: f64,
    rate: f64,
    /// Records that became due since the source last emitted or a pause ended, and that time.
    fresh: f64,
    fresh_since: u64,
    /// The oldest first; the owners of an entry leave it together.
    queue: VecDeque<Parts>,
    /// The sum of all entries.
    sums: Parts,
    looks: VecDeque<Look>,
    /// Snapshots are at least this far apart, in ns, except for two at the same time: before and
    /// after an event.
    spacing: u64,
    /// When an epoch was last opened, the due time of its first record, and the usual interval
    /// between two.
    opened: Option<(u64, u64)>,
    tick: u64,
}

impl Default for Lag {
    fn default() -> Lag {
        Lag {
            pending: VecDeque::new(),
            sorted: true,
            at: None,
            due: 0.0,
            rate: 0.0,
            fresh: 0.0,
            fresh_since: 0,
            queue: VecDeque::new(),
            sums: Parts::new(),
            looks: VecDeque::new(),
            spacing: 1,
            opened: None,
            tick: 0,
        }
    }
}

impl Lag {
    /// At `at` the source emitted `records`, the first of them due at `due`. Returns the latest
    /// time at which it should have emitted, by its usual interval; `None` for its first epoch.
    pub(super) fn emitted(&mut self, at: u64, due: u64, records: u64) -> Option<u64> {
        self.push(at, Event::Emitted(records));
        let expected = self.opened.map(|(before, _)| before.saturating_add(self.tick));
        if let Some((before, _)) = self.opened
            && at > before
        {
            // The median of the intervals, followed in small steps: a late epoch is soon followed
            // by the next one.
            let (passed, step) = (at - before, self.tick / 16 + 1);
            self.tick = match self.tick {
                0 => passed,
                tick if passed > tick => (tick + step).min(passed),
                tick => tick.saturating_sub(step).max(passed),
            };
        }
        self.opened = Some((at, due));
        expected
    }

    /// At `at` these numbers of records were due and emitted since the start.
    pub(super) fn sample(&mut self, at: u64, due: f64, emitted: u64) {
        if due.is_finite() && due >= 0.0 {
            self.push(at, Event::Sample { due, emitted });
        }
    }

    fn push(&mut self, at: u64, event: Event) {
        self.sorted &= self.pending.back().is_none_or(|(last, _)| *last <= at);
        self.pending.push_back((at, event));
        if self.pending.len() > MOST_PENDING {
            self.pending.pop_front();
        }
    }

    /// Due time of the first record of the epoch that was opened last; those of later ones are due
    /// later.
    pub(super) fn last_due(&self) -> u64 {
        self.opened.map_or(0, |(_, due)| due)
    }

    /// Processes what happened until `until`, up to which `pauses` are merged.
    pub(super) fn advance(&mut self, until: u64, pauses: &Pauses) {
        if !std::mem::replace(&mut self.sorted, true) {
            // A stable sort: simultaneous events keep the order of the log.
            self.pending.make_contiguous().sort_by_key(|(at, _)| *at);
        }
        self.find_rate();
        while let Some((at, event)) = self.pending.front().copied().filter(|(at, _)| *at <= until) {
            self.pending.pop_front();
            self.pass(at, pauses);
            match event {
                Event::Emitted(records) => self.leave(records as f64, at),
                Event::Sample { due, emitted } => {
                    self.correct(at, due, emitted);
                    self.find_rate();
                }
            }
            self.look();
        }
        self.pass(until, pauses);
    }

    /// Records become due evenly until the next sample.
    fn find_rate(&mut self) {
        let Some(now) = self.at else { return };
        let next = self.pending.iter().find_map(|&(at, event)| match event {
            Event::Sample { due, .. } if at > now => Some((at, due)),
            _ => None,
        });
        if let Some((at, due)) = next {
            self.rate = ((due - self.due) / (at - now) as f64).max(0.0);
        }
    }

    /// Advances time to `until`.
    fn pass(&mut self, until: u64, pauses: &Pauses) {
        let Some(from) = self.at.filter(|at| *at < until) else { return };
        let mut now = from;
        for pause in pauses.within(from, until) {
            let (start, end) = (pause.start.max(now), pause.end.min(until));
            self.become_due(start - now);
            let owners: Vec<LagOwner> = pause.instances.iter().map(|&instance| LagOwner::Instance(instance)).collect();
            self.at = Some(start);
            self.look();
            self.hold(&owners, start);
            self.look();
            let held = self.rate * (end - start) as f64;
            self.due += held;
            self.enter(&owners, held);
            (now, self.fresh_since, self.at) = (end, end, Some(end));
            self.look();
        }
        self.become_due(until - now);
        self.at = Some(until);
    }

    fn become_due(&mut self, ns: u64) {
        let due = self.rate * ns as f64;
        (self.fresh, self.due) = (self.fresh + due, self.due + due);
    }

    /// A pause starts: it delays what the source would have emitted next. What it should have
    /// emitted before was late already.
    fn hold(&mut self, owners: &[LagOwner], at: u64) {
        let fresh = std::mem::take(&mut self.fresh);
        if fresh > 0.0 {
            // It emits at about its usual interval.
            let (waited, usual) = (at.saturating_sub(self.fresh_since) as f64, 1.5 * self.tick as f64);
            let held = if self.tick == 0 || waited <= usual { fresh } else { fresh * usual / waited };
            self.enter(&[LagOwner::Own], fresh - held);
            self.enter(owners, held);
        }
    }

    /// Enters lag with `owners`, evenly.
    fn enter(&mut self, owners: &[LagOwner], records: f64) {
        if records <= 0.0 {
            return;
        }
        let each = records / owners.len() as f64;
        owners.iter().for_each(|&owner| add(&mut self.sums, owner, each));
        match self.queue.back_mut() {
            Some(last) if last.len() == owners.len() && last.iter().zip(owners).all(|(part, owner)| part.0 == *owner) => {
                last.iter_mut().for_each(|(_, sum)| *sum += each);
            }
            _ => self.queue.push_back(owners.iter().map(|&owner| (owner, each)).collect()),
        }
        if self.queue.len() > MOST_PARTS
            && let (Some(front), Some(next)) = (self.queue.pop_front(), self.queue.front_mut())
        {
            front.into_iter().for_each(|(owner, records)| add(next, owner, records));
        }
    }

    /// The source emitted `records` at `at`.
    fn leave(&mut self, records: f64, at: u64) {
        let fresh = std::mem::take(&mut self.fresh);
        self.fresh_since = at;
        if records >= fresh { self.take_out(records - fresh) } else { self.enter(&[LagOwner::Own], fresh - records) }
    }

    /// Removes records from the queue, the oldest first.
    fn take_out(&mut self, records: f64) {
        let mut left = records;
        while left > 0.0
            && let Some(front) = self.queue.front_mut()
        {
            let sum = total(front);
            let part = if left < sum { left / sum } else { 1.0 };
            for (owner, records) in front.iter_mut() {
                add(&mut self.sums, *owner, -*records * part);
                *records -= *records * part;
            }
            if part < 1.0 {
                // Rounding errors must not be removed again and again.
                break;
            }
            self.queue.pop_front();
            left -= sum;
        }
        if self.queue.is_empty() {
            self.sums.clear();
        }
    }

    /// Adjusts the lag to a sample: openings may be missing in the log, and between samples the
    /// rate is only a mean.
    fn correct(&mut self, at: u64, due: f64, emitted: u64) {
        let (lag, known) = ((due - emitted as f64).max(0.0), self.fresh + total(&self.sums));
        if self.at.is_none() {
            self.fresh_since = at;
        }
        (self.at, self.due) = (Some(self.at.unwrap_or(at)), due);
        if lag >= known {
            self.fresh += lag - known;
        } else {
            self.take_out(known - lag);
            self.fresh = (lag - total(&self.sums)).max(0.0);
        }
    }

    /// The current owners of the lag; what the source has had no time to emit is its own.
    pub(super) fn parts(&self) -> Parts {
        let mut parts = self.sums.clone();
        add(&mut parts, LagOwner::Own, self.fresh);
        parts.retain(|(_, records)| *records > NOTHING);
        parts
    }

    /// The time up to which the lag is known; `None` without a sample.
    pub(super) fn at(&self) -> Option<u64> {
        self.at
    }

    /// Takes a snapshot of the current owners.
    fn look(&mut self) {
        let Some(at) = self.at else { return };
        match self.looks.back() {
            // Of one time, the first snapshot and the last are kept.
            Some(last) if last.at == at && self.looks.iter().rev().nth(1).is_some_and(|before| before.at == at) => {
                self.looks.pop_back();
            }
            Some(last) if last.at == at => {}
            Some(last) if at < last.at.saturating_add(self.spacing) => return,
            _ => {}
        }
        let mut parts = self.parts();
        if parts.len() > MOST_OWNERS {
            parts.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            parts.truncate(MOST_OWNERS);
            parts.sort_unstable_by_key(|(owner, _)| *owner);
        }
        self.looks.push_back(Look { at, parts });
        if self.looks.len() > MOST_LOOKS {
            let mut index = 0;
            self.looks.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            let span = at - self.looks[0].at;
            self.spacing = (2 * (span / MOST_LOOKS as u64)).max(1);
        }
    }

    /// The owners of the lag at `at`: of the records ahead of those that became due then. Nothing
    /// is known before the first sample.
    pub(super) fn owners(&self, at: u64) -> Parts {
        let next = self.looks.partition_point(|look| look.at <= at);
        let Some(before) = next.checked_sub(1).and_then(|index| self.looks.get(index)) else { return Parts::new() };
        let Some(after) = self.looks.get(next) else { return before.parts.clone() };
        let weight = (at - before.at) as f64 / (after.at - before.at) as f64;
        let mut parts: Parts = before.parts.iter().map(|&(owner, records)| (owner, records * (1.0 - weight))).collect();
        after.parts.iter().for_each(|&(owner, records)| add(&mut parts, owner, records * weight));
        parts
    }

    /// Forgets owners before `at`.
    pub(super) fn forget(&mut self, at: u64) {
        while self.looks.get(1).is_some_and(|next| next.at <= at) {
            self.looks.pop_front();
        }
        if self.looks.len() < MOST_LOOKS / 4 {
            self.spacing = (self.spacing / 2).max(1);
        }
    }
}
