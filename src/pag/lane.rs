//! Timeline of one lane without overlaps: work, gaps, waits, and the points where messages leave
//! and arrive.
//!
//! Records arrive in any order. Once everything before an instant is known, [`Lane::settle`] turns
//! them into *steps*, each of which begins where the previous one ended. Work nested in other work
//! splits it (the inner one is what the lane did). The cause of a gap's end is decided here, once:
//! a gap ended by a message that was not there when the gap began is a wait for that message.

use std::collections::VecDeque;

use super::clocks::Clocks;
use super::keys::NONE;
use super::messages::{Messages, Slot};
use super::queue::Queue;
use crate::activity::{Activity, ActivityKind};
use crate::id::InstanceId;
use crate::time::Epoch;

/// How much later than its receipt a message may have been sent, by the corrected clocks, in ns.
const MOST_BACKWARD: u64 = 1_000_000_000;

/// What a lane did in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// It worked; of no length at a sink.
    Work(ActivityKind),
    /// Time without records.
    Gap,
    /// It waited for the message in the step's slot; without one, it is only known that it waited.
    Wait,
    /// A message left; of no length.
    Sent,
    /// A message was taken; of no length.
    Received {
        /// The lane had been waiting for it.
        waited: bool,
    },
}

impl StepKind {
    /// Whether a message leaves or arrives there.
    #[inline]
    pub(super) fn is_point(self) -> bool {
        matches!(self, StepKind::Sent | StepKind::Received { .. })
    }
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
    /// Number of the message of a wait or a point, for
    /// [`GraphBuilder::message`](super::GraphBuilder::message).
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
    /// Waits that the log states: `[start, end)`, by the lane's clock.
    stated: VecDeque<(u64, u64)>,
    /// Steps reach up to here.
    pub(super) now: u64,
    /// Since when the lane has done nothing, if nothing is open.
    idle_since: u64,
    /// The wait that ended last, until the work that began with it is over: other messages may have
    /// ended it as well.
    waited: Option<(u64, u64)>,
    /// Start of the window that holds the point before.
    window: u64,
    /// Whether the lane has any record yet.
    begun: bool,
    /// The latest time in any of its records.
    latest: u64,
    /// For which instance the lane worked right before `now`, if it did.
    worked_for: Option<InstanceId>,
    steps: Queue<Step>,
    /// How many steps before these have been forgotten.
    pub(super) forgotten: u64,
    /// The first step that a window still to come may need.
    next: usize,
    /// How many of its steps have been points, and how many of those windows no longer need; both
    /// start over after the last number.
    points: u32,
    pub(super) cut_points: u32,
    /// Records that came after their time had been settled.
    pub(super) late: u64,
}

/// Records that wait until everything before some instant is known; nearly always in order already.
#[derive(Clone, Debug)]
struct Pending<T> {
    items: Queue<T>,
    sorted: bool,
    latest: u64,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Pending { items: Queue::default(), sorted: true, latest: 0 }
    }
}

impl<T> Pending<T> {
    #[inline]
    fn push(&mut self, at: u64, item: T) {
        self.sorted &= at >= self.latest;
        self.latest = self.latest.max(at);
        self.items.push(item);
    }

    fn sort(&mut self, key: impl Fn(&T) -> u64) {
        if !self.sorted {
            // Stable: what happened at the same instant keeps the order of the log.
            self.items.as_mut_slice().sort_by_key(key);
            self.sorted = true;
        }
    }
}

/// How a gap is distinguished from a wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// A gap at least this long that a message ends is a wait although the message was already on
    /// its way.
    pub(super) least_wait: u64,
    /// Length of a window; windows begin at its multiples.
    pub(super) window: u64,
    /// What corrects the lane's clock.
    pub(super) offset: i64,
}

impl Lane {
    /// A lane without records, stamped by `clock`.
    pub(super) fn new(clock: u32) -> Lane {
        Lane { clock, ..Lane::default() }
    }

    pub(super) fn work(&mut self, activity: &Activity) {
        let (start, end) = (activity.start.0, activity.end.0.max(activity.start.0));
        let work = Work { start, end, epoch: activity.epoch, instance: activity.instance, kind: activity.kind, shown: false };
        self.latest = self.latest.max(end);
        self.works.push(start, work);
    }

    pub(super) fn side(&mut self, at: u64, epoch: Epoch, slot: u32, sent: bool) {
        self.latest = self.latest.max(at);
        self.sides.push(at, Side { at, epoch, slot, sent });
    }

    /// The log says that the lane waited over `[start, end)`.
    pub(super) fn waited(&mut self, start: u64, end: u64) {
        self.latest = self.latest.max(end);
        let place = self.stated.partition_point(|&(known, _)| known <= start);
        self.stated.insert(place, (start, end));
    }

    /// What the lane did, as far as it is settled and still kept.
    pub(super) fn steps(&self) -> &[Step] {
        self.steps.as_slice()
    }

    /// The latest time in any of its records, settled or not, by its own clock.
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    /// When, from `start` on, the lane next does or takes or waits for something, as far as is
    /// known.
    pub(super) fn upcoming(&self, start: u64) -> Option<u64> {
        let step = self.steps()[self.next..].iter().find(|step| step.kind != StepKind::Gap).map(|step| step.start.max(start));
        step.or_else(|| self.is_busy().then_some(self.now)).or_else(|| self.earliest())
    }

    /// When, from `start` on, the lane next works, sends or takes something, as far as is known;
    /// `offset` corrects its clock.
    pub(super) fn active_from(&self, start: u64, offset: i64) -> Option<u64> {
        let is_active = |step: &&Step| matches!(step.kind, StepKind::Work(_)) || step.kind.is_point();
        let step = self.steps()[self.next..].iter().find(is_active).map(|step| step.start.max(start));
        let settled = step.or_else(|| self.is_busy().then_some(self.now));
        settled.or_else(|| self.earliest().map(|at| at.saturating_add_signed(offset).max(self.now)))
    }

    /// The steps that reach into `[start, end)`, which only moves forward, and the number of the
    /// first point among them; those before are not asked for again. The caller adds the number of
    /// points among them to `cut_points`; what crosses `end` is none.
    pub(super) fn cut(&mut self, start: u64, end: u64) -> (&[Step], u32) {
        let ahead = &self.steps.as_slice()[self.next..];
        // Steps follow each other, so those that a window still needs are the last ones.
        let first = ahead.partition_point(|step| step.start < start && step.end <= start);
        let inside = ahead.partition_point(|step| step.start < end);
        let over = ahead.partition_point(|step| step.start < end && step.end <= end);
        self.cut_points = self.cut_points.wrapping_add(ahead[..first].iter().filter(|step| step.kind.is_point()).count() as u32);
        let (from, to) = (self.next + first, self.next + inside);
        self.next += over;
        (&self.steps.as_slice()[from..to], self.cut_points)
    }

    /// As [`cut`](Self::cut) for a window that ends at `end`, where nobody reads the steps: no window needs those before it again.
    pub(super) fn pass(&mut self, end: u64) {
        self.next += self.steps.as_slice()[self.next..].partition_point(|step| step.start < end && step.end <= end);
    }

    /// The earliest record that is not settled.
    pub(super) fn earliest(&self) -> Option<u64> {
        let (works, sides) = (self.works.items.as_slice(), self.sides.items.as_slice());
        let works = if self.works.sorted { works.first() } else { works.iter().min_by_key(|work| work.start) };
        let sides = if self.sides.sorted { sides.first() } else { sides.iter().min_by_key(|side| side.at) };
        works.map(|work| work.start).into_iter().chain(sides.map(|side| side.at)).min()
    }

    /// Whether work goes on where the steps end.
    pub(super) fn is_busy(&self) -> bool {
        !self.open.is_empty()
    }

    /// Records that are not settled.
    pub(super) fn pending(&self) -> usize {
        self.works.items.as_slice().len() + self.sides.items.as_slice().len()
    }

    /// Moves what the lane sent, as far as it is not settled, to before its first receipt: no message
    /// arrives before it was sent, whatever the clocks say. What is sent long after `until` is looked
    /// at later.
    pub(super) fn hasten(&mut self, until: u64, clocks: &Clocks, messages: &mut Messages) {
        let (offset, sorted) = (clocks.offset(self.clock), self.sides.sorted);
        let last = until.saturating_add(MOST_BACKWARD).saturating_add_signed(-offset);
        let sides = self.sides.items.as_mut_slice().iter_mut().take_while(|side| !sorted || side.at <= last);
        for side in sides.filter(|side| side.sent) {
            let Some((clock, received)) = messages.receipt(side.slot) else { continue };
            let received = received.saturating_add_signed(clocks.offset(clock));
            if received < side.at.saturating_add_signed(offset) {
                side.at = received.saturating_add_signed(-offset);
                messages.get_mut(side.slot).sent_at = received;
                self.sides.sorted = false;
            }
        }
    }

    /// Turns everything before `until` into steps; nothing earlier may still arrive. Work that
    /// continues at `until` is included up to there only if `all`. `offset` corrects the clock,
    /// `first` is where the lane's story begins if it has not begun.
    pub(super) fn settle(&mut self, until: u64, all: bool, offset: i64, first: u64, rules: Rules, messages: &mut Messages) {
        let rules = Rules { offset, ..rules };
        self.works.sort(|work| work.start);
        self.sides.sort(|side| side.at);
        let correct = |at: u64| at.saturating_add_signed(offset);
        if !self.begun {
            if self.pending() == 0 {
                return;
            }
            (self.begun, self.now, self.idle_since) = (true, first, first);
        }
        'works: loop {
            // What is not before `until` is as good as none.
            let next_work = self.works.items.as_slice().first().copied();
            let work_at = next_work.map_or(u64::MAX, |work| correct(work.start));
            loop {
                let next_side = self.sides.items.as_slice().first().copied();
                let side_at = next_side.map_or(u64::MAX, |side| correct(side.at));
                let soonest = work_at.min(side_at).min(until);
                if let Some(open) = self.open.last()
                    && open.end <= soonest
                {
                    self.advance(open.end);
                    self.open.pop();
                    (self.idle_since, self.waited) = (self.now, None);
                } else if soonest == until {
                    break 'works;
                } else if side_at <= work_at
                    && let Some(side) = next_side
                {
                    self.sides.items.skip(1);
                    self.place(Side { at: side_at, ..side }, rules, messages);
                } else {
                    break;
                }
            }
            if let Some(work) = next_work {
                self.works.items.skip(1);
                self.begin(Work { start: work_at, end: correct(work.end), ..work }, correct, rules, messages);
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
            self.steps.push(Step { start: self.now, end: at, epoch: work.epoch, instance: work.instance, slot: NONE, kind, goes_on });
            (self.now, self.worked_for) = (at, Some(work.instance));
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
            let first = self.sides.items.as_slice().first().filter(|side| !side.sent && correct(side.at) <= work.end);
            let cause = first.copied().filter(|side| ends_wait(messages.get(side.slot), start, self.idle_since, rules));
            if let Some(side) = cause {
                self.sides.items.skip(1);
                self.place(Side { at: start, ..side }, rules, messages);
            } else {
                self.idle(start, rules.offset);
            }
        }
        if work.end > start {
            if self.is_busy() {
                self.waited = None;
            }
            self.open.push(work);
        } else {
            // Of no length, as at a sink: nothing to lead a path through, but an event of its
            // epoch.
            let kind = StepKind::Work(work.kind);
            let (epoch, instance) = (work.epoch, work.instance);
            self.steps.push(Step { start, end: start, epoch, instance, slot: NONE, kind, goes_on: false });
            if !self.is_busy() {
                self.idle_since = start;
            }
        }
    }

    fn place(&mut self, side: Side, rules: Rules, messages: &mut Messages) {
        self.late += u64::from(side.at < self.now);
        let at = side.at.max(self.now);
        let slot = messages.get_mut(side.slot);
        let mut waited = false;
        if self.is_busy() {
            self.advance(at);
            // It was there when the work began that took it out of its channel, and came while the
            // lane was waiting.
            let sent = (!side.sent && slot.from_lane != NONE).then_some(slot.sent_at);
            waited = sent.is_some_and(|sent| self.waited.is_some_and(|(since, until)| since < sent && sent <= until));
        } else {
            let mut kind = StepKind::Gap;
            if side.sent {
                self.waited = None;
            } else {
                let joins = self.waited.filter(|(_, until)| at - until < rules.least_wait && at - self.idle_since < rules.least_wait);
                if joins.is_some_and(|(since, _)| ends_wait(slot, at, since, rules)) {
                    waited = true;
                } else if ends_wait(slot, at, self.idle_since, rules) {
                    (waited, kind) = (true, StepKind::Wait);
                    self.waited = Some((self.idle_since, at));
                }
            }
            if kind == StepKind::Wait {
                self.gap(at, kind, side.slot);
                while self.stated.front().is_some_and(|&(_, end)| end.saturating_add_signed(rules.offset) <= at) {
                    self.stated.pop_front();
                }
            } else {
                self.idle(at, rules.offset);
            }
            self.idle_since = at;
        }
        if at - self.window >= rules.window {
            self.window = at - at % rules.window;
        }
        let (kind, crosses);
        if side.sent {
            (slot.sent_at, slot.placed, slot.number, slot.cause) = (at, true, self.points, self.worked_for);
            (kind, crosses) = (StepKind::Sent, slot.last_waited.saturating_sub(self.window) >= rules.window);
        } else {
            if waited {
                slot.last_waited = slot.last_waited.max(at);
            }
            (kind, crosses) = (StepKind::Received { waited }, waited && slot.placed && slot.sent_at < self.window);
        }
        if crosses {
            messages.crosses(side.slot);
        }
        self.points = self.points.wrapping_add(1);
        let instance = InstanceId::default();
        self.steps.push(Step { start: at, end: at, epoch: side.epoch, instance, slot: side.slot, kind, goes_on: false });
    }

    /// Adds a gap up to `at` that no message ended; the parts of it in which the log says that the
    /// lane waited, as waits for nobody in particular. `offset` corrects the clock.
    fn idle(&mut self, at: u64, offset: i64) {
        while let Some(&(start, end)) = self.stated.front() {
            let (start, end) = (start.saturating_add_signed(offset), end.saturating_add_signed(offset));
            if start >= at {
                break;
            }
            self.gap(start.min(at), StepKind::Gap, NONE);
            self.gap(end.min(at), StepKind::Wait, NONE);
            if end > at {
                break;
            }
            self.stated.pop_front();
        }
        self.gap(at, StepKind::Gap, NONE);
    }

    fn gap(&mut self, at: u64, kind: StepKind, slot: u32) {
        if at > self.now {
            let (epoch, instance) = (Epoch::UNKNOWN, InstanceId::default());
            self.steps.push(Step { start: self.now, end: at, epoch, instance, slot, kind, goes_on: false });
            (self.now, self.worked_for) = (at, None);
        }
    }

    /// Gives back the memory of a lane that has nothing: its worker may have left.
    fn rest(&mut self) {
        self.steps.free();
        self.works.items.free();
        self.sides.items.free();
    }

    /// Forgets steps that ended before `horizon` and that no window needs any more.
    pub(super) fn forget(&mut self, horizon: u64, messages: &mut Messages) {
        let mut count = 0;
        for step in self.steps.as_slice()[..self.next].iter().take_while(|step| step.end < horizon) {
            if step.kind.is_point() {
                messages.release(step.slot);
            }
            count += 1;
        }
        if count == 0 && self.steps.as_slice().is_empty() && self.pending() == 0 {
            self.rest();
        }
        self.steps.skip(count);
        self.next -= count;
        self.forgotten += count as u64;
    }
}

/// Whether the message in `slot`, received at `at`, is what a lane idle since `idle_since` had been
/// waiting for.
fn ends_wait(slot: &Slot, at: u64, idle_since: u64, rules: Rules) -> bool {
    let known = slot.from_lane != NONE && slot.sent_at <= at;
    known && at > idle_since && (slot.sent_at > idle_since || at - idle_since >= rules.least_wait)
}
