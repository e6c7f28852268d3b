//! Writes the lanes' stories as events, each after those it depends on.
//!
//! Work depends on what its lane had of the same epoch before: inputs and earlier work. Where epochs do not tell, it depends on the
//! lane's last work and on the message that it waited for. A message depends on the work that made it. What comes from outside, by
//! the schedule of a source, does not depend on the job.

// Looked up by key.
#![allow(clippy::disallowed_types)]

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::epochs::OpenEpochs;
use super::world::{Event, NONE, Ready, Sizes};
use crate::activity::{ActivityKind, Lane, MessageKind, Record};
use crate::id::{ChannelId, InstanceId, OperatorId};
use crate::pag::{GraphBuilder, SentMessage, Step, StepKind};
use crate::time::Epoch;

/// A grid is believed in after so many messages, if it is no finer than this, in ns.
const GRID_MESSAGES: u32 = 64;
const FINEST_GRID: u64 = 100_000;

/// A lane as far as it has been written.
#[derive(Clone, Copy, Debug)]
struct Written {
    /// Steps of its story that have been written.
    steps: u64,
    is_worker: bool,
    /// The mark of what belongs to no epoch.
    mark: u32,
    /// Time without work since its last work, and since its last work or input, that no message ended.
    gap: u64,
    lag: u64,
    /// What it waited for last, and has not worked since, tells no epoch.
    awaited: bool,
    /// When its last work ended.
    worked: u64,
}

/// A completion that has been heard of.
#[derive(Clone, Copy, Debug)]
struct Completion {
    epoch: Epoch,
    at: u64,
}

/// An epoch whose completion has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) epoch: Epoch,
    pub(super) due: u64,
    pub(super) records: u64,
    pub(super) ns: u64,
}

/// The events that have been written and not been played.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// Each with the grid of its time.
    pub(super) events: Vec<(Event, u64)>,
    /// Marks of the epochs that complete.
    pub(super) lists: Vec<u32>,
    /// These epochs.
    pub(super) done: Vec<Done>,
    /// Instances by the numbers that events have of them.
    pub(super) instances: Vec<InstanceId>,
    /// The first and the last instant of the trace.
    pub(super) span: Option<(u64, u64)>,
    pub(super) epochs: OpenEpochs,
    lanes: Vec<Written>,
    numbers: FxHashMap<InstanceId, u32>,
    /// By slot, when its message was sent.
    sent: Vec<u64>,
    /// By channel, the shortest time of a message that was waited for.
    quickest: FxHashMap<ChannelId, u64>,
    completions: Vec<Completion>,
    /// The latest end of an epoch that has completed.
    reached: u64,
    /// The epoch that completed last, and whether some have completed before earlier ones.
    last_done: Option<Epoch>,
    is_unordered: bool,
    /// Greatest common divisor of the times at which messages left, and how many there were.
    grid: (u64, u32),
    /// By source and partition, when it last opened an epoch, and the usual time between two.
    ticks: BTreeMap<InstanceId, (u64, u64)>,
    /// Operators that have emitted by a schedule.
    sources: FxHashSet<OperatorId>,
}

impl Script {
    /// Hears of openings and completions of epochs.
    pub(super) fn hear(&mut self, record: &Record) {
        match *record {
            Record::EpochOpened { at, source, epoch, due, records } => {
                let (last, tick) = self.ticks.entry(source).or_insert((at.0, 0));
                let passed = at.0.saturating_sub(*last);
                if passed > 0 {
                    // A low quantile, followed in small steps: pauses are longer than the source's own pace.
                    let step = *tick / 64 + 1;
                    *tick = match *tick {
                        0 => passed,
                        tick if passed > tick => (tick + step).min(passed),
                        tick => tick.saturating_sub(8 * step).max(passed),
                    };
                    *last = at.0;
                }
                let open = self.epochs.epoch(epoch);
                open.opened.push((source, at.0, due.0));
                open.records += records;
            }
            Record::Activity(ref activity) if activity.kind == ActivityKind::Source => {
                self.sources.insert(activity.instance.operator);
            }
            Record::EpochCompleted { at, epoch, .. } => self.completions.push(Completion { epoch, at: at.0 }),
            _ => {}
        }
    }

    /// Forgets what has been played.
    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.lists.clear();
        self.done.clear();
    }

    pub(super) fn sizes(&self) -> Sizes {
        Sizes { lanes: self.lanes.len(), marks: self.epochs.marks(), messages: self.sent.len() }
    }

    fn grid(&self) -> u64 {
        if self.grid.1 >= GRID_MESSAGES && self.grid.0 >= FINEST_GRID { self.grid.0 } else { 1 }
    }

    fn write(&mut self, event: Event) {
        let grid = self.grid();
        self.events.push((event, grid));
    }

    /// Writes what is settled, and completions until `until`.
    pub(super) fn advance(&mut self, graph: &GraphBuilder, until: u64) {
        for lane in self.lanes.len()..graph.lanes().len() {
            let is_worker = matches!(graph.lanes()[lane], Lane::Worker(_));
            let mark = self.epochs.new_mark();
            self.write(Event::Reset { mark });
            self.lanes.push(Written { steps: 0, is_worker, mark, gap: 0, lag: 0, awaited: false, worked: 0 });
        }
        // Lane by lane, each until a message that has not been written; once around without any progress means that messages
        // contradict each other, or that their beginning is missing.
        let (mut moved, mut is_forced) = (true, false);
        while moved || !is_forced {
            is_forced = !moved;
            moved = false;
            for lane in 0..self.lanes.len() as u32 {
                moved |= self.follow(graph, lane, is_forced);
            }
        }
        self.complete(until);
    }

    /// Writes steps of a lane; returns whether there were any.
    fn follow(&mut self, graph: &GraphBuilder, lane: u32, is_forced: bool) -> bool {
        let (story, forgotten) = (graph.story(lane), graph.forgotten(lane));
        let first = usize::try_from(self.lanes[lane as usize].steps.saturating_sub(forgotten)).unwrap_or(usize::MAX).min(story.len());
        let mut next = first;
        let mut is_forced = is_forced;
        while let Some(step) = story.get(next) {
            if matches!(step.kind, StepKind::Received { .. }) {
                let message = graph.message(step).map(|sent| (sent, self.is_written(step.slot, sent.at.0)));
                match message {
                    Some((_, false)) if !is_forced => break,
                    Some((sent, true)) => self.received(lane, step, Some(&sent)),
                    // One that is forced may free others.
                    Some((_, false)) => {
                        is_forced = false;
                        self.received(lane, step, None);
                    }
                    None => self.received(lane, step, None),
                }
            } else {
                self.step(graph, lane, step, &story[next + 1..]);
            }
            next += 1;
        }
        self.lanes[lane as usize].steps = forgotten + next as u64;
        next > first
    }

    fn is_written(&self, slot: u32, at: u64) -> bool {
        self.sent.get(slot as usize) == Some(&at)
    }

    fn step(&mut self, graph: &GraphBuilder, lane: u32, step: &Step, later: &[Step]) {
        let span = self.span.get_or_insert((step.start, step.end));
        *span = (span.0.min(step.start), span.1);
        if !matches!(step.kind, StepKind::Gap | StepKind::Wait) {
            span.1 = span.1.max(step.end);
        }
        let length = step.end - step.start;
        match step.kind {
            StepKind::Gap => self.idle(lane, length),
            StepKind::Wait if graph.message(step).is_none() => self.idle(lane, length),
            StepKind::Wait => {}
            StepKind::Work(kind) => self.worked(lane, step, kind),
            StepKind::Sent => {
                let goes_on = later
                    .iter()
                    .find(|step| matches!(step.kind, StepKind::Work(_)))
                    .is_some_and(|next| next.goes_on && next.epoch == step.epoch);
                self.left(lane, step, goes_on);
            }
            StepKind::Received { .. } => unreachable!("handled before"),
        }
    }

    fn idle(&mut self, lane: u32, ns: u64) {
        let lane = &mut self.lanes[lane as usize];
        lane.gap += ns;
        lane.lag += ns;
    }

    /// The mark of a lane for an epoch; its own where that is unknown.
    fn mark(&mut self, lane: u32, epoch: Epoch) -> u32 {
        if epoch == Epoch::UNKNOWN {
            return self.lanes[lane as usize].mark;
        }
        let (mark, is_new) = self.epochs.mark(lane, epoch);
        if is_new {
            self.write(Event::Reset { mark });
        }
        mark
    }

    fn worked(&mut self, lane: u32, step: &Step, kind: ActivityKind) {
        let mark = self.mark(lane, step.epoch);
        let Written { gap, lag, awaited, mark: own, .. } = self.lanes[lane as usize];
        let (is_known, mut ns) = (step.epoch != Epoch::UNKNOWN, step.end - step.start);
        let mut is_first = false;
        let ready = if step.goes_on {
            Ready::GoesOn
        } else if kind == ActivityKind::Source && is_known {
            Ready::At(self.emitted(step.epoch, step.start, step.instance.index))
        } else if kind == ActivityKind::ExternalWait && self.has_opened(step.instance.operator) {
            // A source waits until something is due.
            ns = 0;
            Ready::At(step.end)
        } else if is_known && self.epochs.recorded(mark).is_any() {
            Ready::Input { lag, also: if awaited { own } else { NONE } }
        } else {
            is_first = is_known;
            Ready::After { gap, also: own }
        };
        let instance = self.number(step.instance);
        let scales = !matches!(kind, ActivityKind::ExternalWait | ActivityKind::Scheduling | ActivityKind::Migration);
        self.write(Event::Work { lane, mark, instance, ns, ready, scales });
        if is_first {
            self.begins(mark, step.epoch, step.start);
        }
        let recorded = self.epochs.recorded(mark);
        if !step.goes_on {
            recorded.before = recorded.work;
        }
        recorded.work = step.end;
        if is_known {
            let open = self.epochs.epoch(step.epoch);
            open.end = open.end.max(step.end);
        }
        let lane = &mut self.lanes[lane as usize];
        (lane.gap, lane.lag, lane.awaited, lane.worked) = (0, 0, false, step.end);
    }

    /// An epoch that no source emits begins here.
    fn begins(&mut self, mark: u32, epoch: Epoch, at: u64) {
        let open = self.epochs.epoch(epoch);
        if open.late.is_empty() && open.marks.first() == Some(&mark) && open.end == 0 {
            self.write(Event::Begins { mark, at });
        }
    }

    /// Whether the operator is a source that has opened an epoch.
    fn has_opened(&self, operator: OperatorId) -> bool {
        let all = InstanceId::new(operator, 0)..=InstanceId::new(operator, u32::MAX);
        self.ticks.range(all).next().is_some()
    }

    /// When a partition of a source emits what it emitted of an epoch at `at`, if nothing holds it back.
    fn emitted(&mut self, epoch: Epoch, at: u64, partition: u32) -> u64 {
        let grid = self.grid();
        let Script { ticks, sources, epochs, .. } = self;
        let open = epochs.epoch(epoch);
        let known = open.late.iter().find(|(known, _)| *known == partition).map(|(_, late)| *late);
        let late = known.unwrap_or_else(|| {
            let opened = || open.opened.iter().filter(|(source, ..)| sources.contains(&source.operator));
            let own = opened().filter(|(source, ..)| source.index == partition).min_by_key(|(.., due)| *due);
            let first = own.or_else(|| opened().min_by_key(|(.., due)| *due));
            let on_time = first.map_or(at, |(source, _, due)| match grid {
                1 => due + ticks.get(source).map_or(0, |(_, tick)| *tick),
                _ => due.next_multiple_of(grid),
            });
            at - on_time.min(at)
        });
        if known.is_none() {
            open.late.push((partition, late));
        }
        at - late.min(at)
    }

    fn number(&mut self, instance: InstanceId) -> u32 {
        let next = self.instances.len() as u32;
        let number = *self.numbers.entry(instance).or_insert(next);
        if number == next {
            self.instances.push(instance);
        }
        number
    }

    /// Before a message of which the lane has nothing yet, a source has emitted: its work stands behind the message at the same instant.
    fn source_emits(&mut self, lane: u32, mark: u32, step: &Step) {
        if step.epoch == Epoch::UNKNOWN || self.epochs.recorded(mark).is_any() {
            return;
        }
        let opened = self.epochs.epoch(step.epoch).opened.clone();
        let Some(&(source, ..)) = opened.iter().find(|(source, ..)| self.sources.contains(&source.operator)) else { return };
        let ready = Ready::At(self.emitted(step.epoch, step.end, source.index));
        let instance = self.number(source);
        self.write(Event::Work { lane, mark, instance, ns: 0, ready, scales: false });
        self.epochs.recorded(mark).work = step.end;
    }

    /// A message leaves; `goes_on` if work goes on that it is not from, on a lane whose results are released for it.
    fn left(&mut self, lane: u32, step: &Step, goes_on: bool) {
        let Written { is_worker, worked, .. } = self.lanes[lane as usize];
        let mark = self.mark(lane, step.epoch);
        self.source_emits(lane, mark, step);
        let recorded = *self.epochs.recorded(mark);
        let before = goes_on && !is_worker;
        let work = if before { recorded.before } else { recorded.work };
        let made = match (work, recorded.receipt) {
            (0, 0) => worked,
            (0, receipt) => receipt,
            (work, _) => work,
        };
        self.grid = (gcd(self.grid.0, step.end), self.grid.1.saturating_add(1));
        let grid = self.grid();
        let made = if grid > 1 { made.next_multiple_of(grid) } else { made };
        let delay = step.end.saturating_sub(made);
        let slot = step.slot as usize;
        if self.sent.len() <= slot {
            self.sent.resize(slot + 1, u64::MAX);
        }
        self.sent[slot] = step.end;
        let is_first = step.epoch != Epoch::UNKNOWN && !recorded.is_any();
        self.write(Event::Sent { message: step.slot, lane, mark, delay, before });
        if is_first {
            self.begins(mark, step.epoch, step.end);
        }
    }

    fn received(&mut self, lane: u32, step: &Step, sent: Option<&SentMessage>) {
        let Written { is_worker, mark: own, .. } = self.lanes[lane as usize];
        let waited = step.kind == StepKind::Received { waited: true };
        let transit = sent.map(|sent| {
            let took = step.end - sent.at.0;
            let quickest = self.quickest.entry(sent.channel).or_insert(took);
            if waited || !is_worker {
                *quickest = took.min(*quickest);
                return took;
            }
            // It lay there while the worker was busy, for nobody knows how long.
            took.min(*quickest)
        });
        let tells_epoch = step.epoch != Epoch::UNKNOWN && sent.is_none_or(|sent| sent.kind == MessageKind::Data);
        let mark = if tells_epoch { self.mark(lane, step.epoch) } else { own };
        let message = if transit.is_some() { step.slot } else { NONE };
        let is_first = tells_epoch && !self.epochs.recorded(mark).is_any();
        self.write(Event::Received { message, mark, transit, at: step.end });
        if is_first {
            self.begins(mark, step.epoch, step.end);
        }
        if tells_epoch {
            let open = self.epochs.epoch(step.epoch);
            open.end = open.end.max(step.end);
            if waited && is_worker {
                // Work may not tell its epoch.
                self.write(Event::Received { message, mark: own, transit, at: step.end });
            }
        }
        self.epochs.recorded(mark).receipt = step.end;
        let lane = &mut self.lanes[lane as usize];
        lane.lag = 0;
        if waited {
            (lane.gap, lane.awaited) = (0, !tells_epoch);
        }
    }

    fn complete(&mut self, until: u64) {
        let (mut ready, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.completions).into_iter().partition(|completion| completion.at <= until);
        self.completions = waiting;
        ready.sort_by_key(|completion| (completion.at, completion.epoch));
        for Completion { epoch, at } in ready {
            let Some(open) = self.epochs.close(epoch) else { continue };
            let own = open.end.min(at);
            self.reached = self.reached.max(own);
            let Some(due) = open.due() else { continue };
            if open.marks.is_empty() {
                continue;
            }
            // With those before it, if that is when it was complete, as where epochs complete by a frontier.
            self.is_unordered |= self.last_done.is_some_and(|last| last > epoch);
            self.last_done = Some(epoch);
            let in_order = !self.is_unordered && self.reached <= at;
            let grid = self.grid();
            let end = if in_order { self.reached } else { own };
            let delay = at.saturating_sub(if grid > 1 { end.next_multiple_of(grid) } else { end });
            let first = self.lists.len() as u32;
            self.lists.extend(&open.marks);
            self.write(Event::Completes { first, last: self.lists.len() as u32, in_order, delay, due });
            self.done.push(Done { epoch, due, records: open.records, ns: at.saturating_sub(due) });
        }
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}
