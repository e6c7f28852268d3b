//! One lane's story without overlaps: work, gaps, waits and the points where messages leave and arrive.
//!
//! Records come in any order. Once everything before an instant is known, [`Lane::settle`] turns them into *steps*: each begins
//! where the one before ended. Work inside other work splits it (the inner one is what the lane did). What ended a gap is
//! decided here, once: a gap ended by a message that was not there when the gap began is a wait for that message.

use std::collections::VecDeque;

use super::messages::{Messages, NONE};
use crate::activity::{Activity, ActivityKind};
use crate::id::InstanceId;
use crate::time::Epoch;

/// What a lane did in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// It worked; of no length at a sink.
    Work(ActivityKind),
    /// Nothing that the log tells of.
    Gap,
    /// It waited for the message in the step's slot.
    Wait,
    /// A message left; of no length.
    Sent,
    /// A message was taken; of no length.
    Received {
        /// The lane had been waiting for it.
        waited: bool,
    },
}

/// A step of a lane's story; each begins where the one before ended.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// From when, in ns of the corrected clock.
    pub start: u64,
    /// Until when.
    pub end: u64,
    /// Epoch of the work or of the message; unknown for gaps and waits.
    pub epoch: Epoch,
    /// For which instance the lane worked.
    pub instance: InstanceId,
    /// Number of the message of a wait or a point, for [`GraphBuilder::message`](super::GraphBuilder::message).
    pub slot: u32,
    /// What the lane did.
    pub kind: StepKind,
    /// The work began in an earlier step: a message or other work inside it cut it in two.
    pub goes_on: bool,
}

#[derive(Clone, Copy, Debug)]
struct Work {
    start: u64,
    end: u64,
    epoch: Epoch,
    instance: InstanceId,
    kind: ActivityKind,
    /// Some of it has become a step already.
    shown: bool,
}

#[derive(Clone, Copy, Debug)]
struct Side {
    at: u64,
    epoch: Epoch,
    slot: u32,
    sent: bool,
}

/// One lane.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    works: Pending<Work>,
    sides: Pending<Side>,
    /// The clock by which its records are stamped.
    pub(super) clock: u32,
    /// Work that goes on at `now`; the innermost is last.
    open: Vec<Work>,
    /// Steps reach up to here.
    pub(super) now: u64,
    /// Since when the lane has done nothing, if nothing is open.
    idle_since: u64,
    /// The wait that ended last, until the work that began with it is over: other messages may have ended it as well.
    waited: Option<(u64, u64)>,
    /// Whether the lane has any record yet.
    begun: bool,
    pub(super) steps: VecDeque<Step>,
    /// How many steps before these have been forgotten.
    pub(super) forgotten: u64,
    /// The first step that a window still to come may need.
    pub(super) next: usize,
    /// Records that came after their time had been settled.
    pub(super) late: u64,
}

/// Records that wait until everything before some instant is known; nearly always in order already.
#[derive(Clone, Debug)]
struct Pending<T> {
    items: VecDeque<T>,
    sorted: bool,
    latest: u64,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Pending { items: VecDeque::new(), sorted: true, latest: 0 }
    }
}

impl<T> Pending<T> {
    fn push(&mut self, at: u64, item: T) {
        self.sorted &= at >= self.latest;
        self.latest = self.latest.max(at);
        self.items.push_back(item);
    }

    fn sort(&mut self, key: impl Fn(&T) -> u64) {
        if !self.sorted {
            // Stable: what happened at the same instant keeps the order of the log.
            self.items.make_contiguous().sort_by_key(key);
            self.sorted = true;
        }
    }
}

/// How a gap is told from a wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// A gap at least this long that a message ends is a wait although the message was already on its way.
    pub(super) least_wait: u64,
}

impl Lane {
    /// A lane without records, stamped by `clock`.
    pub(super) fn new(clock: u32) -> Lane {
        Lane { clock, ..Lane::default() }
    }

    pub(super) fn work(&mut self, activity: &Activity) {
        let (start, end) = (activity.start.0, activity.end.0.max(activity.start.0));
        let work = Work { start, end, epoch: activity.epoch, instance: activity.instance, kind: activity.kind, shown: false };
        self.works.push(start, work);
    }

    pub(super) fn side(&mut self, at: u64, epoch: Epoch, slot: u32, sent: bool) {
        self.sides.push(at, Side { at, epoch, slot, sent });
    }

    /// When, from `start` on, the lane next does or takes or waits for something, as far as is known.
    pub(super) fn upcoming(&self, start: u64) -> Option<u64> {
        let step = self.steps.range(self.next..).find(|step| step.kind != StepKind::Gap).map(|step| step.start.max(start));
        step.or_else(|| self.is_busy().then_some(self.now)).or_else(|| self.earliest())
    }

    /// The steps that reach into `[start, end)`, which only moves forward; those before are not asked for again.
    pub(super) fn cut(&mut self, start: u64, end: u64) -> impl Iterator<Item = &Step> {
        while self.steps.get(self.next).is_some_and(|step| step.start < start && step.end <= start) {
            self.next += 1;
        }
        let from = self.next;
        while self.steps.get(self.next).is_some_and(|step| step.start < end && step.end <= end) {
            self.next += 1;
        }
        self.steps.range(from..).take_while(move |step| step.start < end)
    }

    /// The earliest record that is not settled.
    pub(super) fn earliest(&self) -> Option<u64> {
        let works = if self.works.sorted { self.works.items.front() } else { self.works.items.iter().min_by_key(|work| work.start) };
        let sides = if self.sides.sorted { self.sides.items.front() } else { self.sides.items.iter().min_by_key(|side| side.at) };
        works.map(|work| work.start).into_iter().chain(sides.map(|side| side.at)).min()
    }

    /// Whether work goes on where the steps end.
    fn is_busy(&self) -> bool {
        !self.open.is_empty()
    }

    /// Records that are not settled.
    pub(super) fn pending(&self) -> usize {
        self.works.items.len() + self.sides.items.len()
    }

    /// Turns everything before `until` into steps; nothing of before may still come. Work that goes on at `until` is told up to
    /// there only if `all`. `offset` corrects the clock, `first` is where the lane's story begins if it has not begun.
    pub(super) fn settle(&mut self, until: u64, all: bool, offset: i64, first: u64, rules: Rules, messages: &mut Messages) {
        self.works.sort(|work| work.start);
        self.sides.sort(|side| side.at);
        let correct = |at: u64| at.saturating_add_signed(offset);
        if !self.begun {
            if self.works.items.is_empty() && self.sides.items.is_empty() {
                return;
            }
            (self.begun, self.now, self.idle_since) = (true, first, first);
        }
        loop {
            let work = self.works.items.front().map(|work| correct(work.start)).filter(|&at| at < until);
            let side = self.sides.items.front().map(|side| correct(side.at)).filter(|&at| at < until);
            let open = self.open.last().map(|open| open.end);
            let soonest = work.unwrap_or(u64::MAX).min(side.unwrap_or(u64::MAX));
            if let Some(end) = open
                && end <= soonest.min(until)
            {
                self.advance(end);
                self.open.pop();
                (self.idle_since, self.waited) = (self.now, None);
            } else if side.is_some_and(|side| work.is_none_or(|work| side <= work)) {
                let mut side = self.sides.items.pop_front().expect("just seen");
                side.at = correct(side.at);
                self.place(side, rules, messages);
            } else if work.is_some() {
                let mut work = self.works.items.pop_front().expect("just seen");
                (work.start, work.end) = (correct(work.start), correct(work.end));
                self.begin(work, correct, rules, messages);
            } else {
                break;
            }
        }
        if all && self.is_busy() {
            self.advance(until);
        }
    }

    /// Adds what the lane has been doing up to `at`.
    fn advance(&mut self, at: u64) {
        let Some(work) = self.open.last_mut() else { return };
        if at > self.now {
            let (kind, goes_on) = (StepKind::Work(work.kind), work.shown);
            work.shown = true;
            self.steps.push_back(Step { start: self.now, end: at, epoch: work.epoch, instance: work.instance, slot: NONE, kind, goes_on });
            self.now = at;
        }
    }

    fn begin(&mut self, work: Work, correct: impl Fn(u64) -> u64, rules: Rules, messages: &mut Messages) {
        self.late += u64::from(work.start < self.now);
        let start = work.start.max(self.now);
        if start > work.start && start >= work.end {
            return;
        }
        if self.is_busy() {
            self.advance(start);
        } else if start > self.now {
            // Work that begins by taking a message out of its channel began because of it.
            let first = self.sides.items.front().filter(|side| !side.sent && correct(side.at) <= work.end);
            let cause = first.copied().filter(|side| ends_wait(side.slot, start, self.idle_since, rules, messages));
            if let Some(side) = cause {
                self.sides.items.pop_front();
                self.place(Side { at: start, ..side }, rules, messages);
            } else {
                self.gap(start, StepKind::Gap, NONE);
            }
        }
        if work.end > start {
            if self.is_busy() {
                self.waited = None;
            }
            self.open.push(work);
        } else {
            // Of no length, as at a sink: nothing to lead a path through, but an event of its epoch.
            let kind = StepKind::Work(work.kind);
            let (epoch, instance) = (work.epoch, work.instance);
            self.steps.push_back(Step { start, end: start, epoch, instance, slot: NONE, kind, goes_on: false });
            if !self.is_busy() {
                self.idle_since = start;
            }
        }
    }

    fn place(&mut self, side: Side, rules: Rules, messages: &mut Messages) {
        self.late += u64::from(side.at < self.now);
        let at = side.at.max(self.now);
        let mut waited = false;
        if self.is_busy() {
            self.advance(at);
            // It was there when the work began that took it out of its channel, and came while the lane was waiting.
            let (from, sent_at) = (messages.get(side.slot).from_lane, messages.get(side.slot).sent_at);
            waited = !side.sent && from != NONE && self.waited.is_some_and(|(since, until)| since < sent_at && sent_at <= until);
        } else {
            let joins = self.waited.filter(|(_, until)| at - until < rules.least_wait && at - self.idle_since < rules.least_wait);
            if side.sent {
                self.gap(at, StepKind::Gap, NONE);
                self.waited = None;
            } else if joins.is_some_and(|(since, _)| ends_wait(side.slot, at, since, rules, messages)) {
                waited = true;
                self.gap(at, StepKind::Gap, NONE);
            } else if ends_wait(side.slot, at, self.idle_since, rules, messages) {
                waited = true;
                self.waited = Some((self.idle_since, at));
                self.gap(at, StepKind::Wait, side.slot);
            } else {
                self.gap(at, StepKind::Gap, NONE);
            }
            self.idle_since = at;
        }
        let slot = messages.get_mut(side.slot);
        let kind = if side.sent {
            slot.sent_at = at;
            slot.placed = true;
            StepKind::Sent
        } else {
            slot.taken = true;
            if waited {
                slot.last_waited = slot.last_waited.max(at);
            }
            StepKind::Received { waited }
        };
        let instance = InstanceId::default();
        self.steps.push_back(Step { start: at, end: at, epoch: side.epoch, instance, slot: side.slot, kind, goes_on: false });
    }

    fn gap(&mut self, at: u64, kind: StepKind, slot: u32) {
        if at > self.now {
            let (epoch, instance) = (Epoch::UNKNOWN, InstanceId::default());
            self.steps.push_back(Step { start: self.now, end: at, epoch, instance, slot, kind, goes_on: false });
            self.now = at;
        }
    }

    /// Forgets steps that ended before `horizon` and that no window needs any more.
    pub(super) fn forget(&mut self, horizon: u64, messages: &mut Messages) {
        while self.next > 0 && self.steps.front().is_some_and(|step| step.end < horizon) {
            let step = self.steps.pop_front().expect("just seen");
            self.next -= 1;
            self.forgotten += 1;
            if matches!(step.kind, StepKind::Sent | StepKind::Received { .. }) {
                messages.release(step.slot);
            }
        }
    }
}

/// Whether the message in `slot`, received at `at`, is what a lane idle since `idle_since` had been waiting for.
fn ends_wait(slot: u32, at: u64, idle_since: u64, rules: Rules, messages: &Messages) -> bool {
    let slot = messages.get(slot);
    let known = slot.from_lane != NONE && slot.sent_at <= at;
    known && at > idle_since && (slot.sent_at > idle_since || at - idle_since >= rules.least_wait)
}
