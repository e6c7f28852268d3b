//! Builds the graphs of consecutive windows from activity records.

// Numbers of lanes are looked up, never walked: the order of the table shows nowhere.
#![allow(clippy::disallowed_types)]

use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::clocks::Clocks;
use super::completions::Completions;
use super::config::GraphConfig;
use super::keys::NONE;
use super::lane::{Lane as LaneState, Rules, Step};
use super::messages::Messages;
use super::progress::Progress;
use super::window::{MessageEdge, WindowGraph};
use crate::activity::{ActivityKind, Lane, Message, MessageKind, Record};
use crate::id::ChannelId;
use crate::time::{Timestamp, Window};

/// Lanes at most; records of further ones are left out and counted.
const MOST_LANES: usize = 1 << 16;

/// The most steps of all lanes that are kept before the history.
const MOST_KEPT_STEPS: usize = 1 << 22;

/// Records of all lanes that are settled together: what they touch fits into a core's own cache.
const RECORDS_PER_SLICE: usize = 4096;

/// Irregularities: what the graph had to leave out or change so far. All zero for a correct log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Oddities {
    /// Records older than what had already been taken for complete.
    pub late_records: u64,
    /// Messages sent under a key that was still in use.
    pub reused_keys: u64,
    /// Messages that could no longer be kept because too many were in flight.
    pub given_up_messages: u64,
    /// Messages received whose sender's side is not in the log.
    pub unmatched_receipts: u64,
    /// Messages left out because they closed a cycle.
    pub cycles: u64,
    /// Records of more lanes than there may be.
    pub lanes_left_out: u64,
    /// Workers whose clocks were corrected.
    pub corrected_clocks: u64,
}

/// The sending side of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentMessage {
    /// Number of the lane that sent it.
    pub from_lane: u32,
    /// When.
    pub at: Timestamp,
    /// By which channel.
    pub channel: ChannelId,
    /// What it carries.
    pub kind: MessageKind,
}

/// Builds the graph of each window from records, once the window is complete.
#[derive(Clone, Debug)]
pub struct GraphBuilder {
    config: GraphConfig,
    lanes: Vec<LaneState>,
    names: Vec<Lane>,
    numbers: FxHashMap<Lane, u32>,
    last: Option<(Lane, u32)>,
    messages: Messages,
    clocks: Clocks,
    /// Start of the next window; nothing before the first record.
    start: Option<u64>,
    /// Time up to which lanes are settled.
    settled: u64,
    /// Approximate number of records that are not settled yet.
    pending: usize,
    /// A graph whose memory the next one takes.
    spare: WindowGraph,
    progress: Progress,
    completions: Completions,
    oddities: Oddities,
    /// Nothing after it is forgotten while there is room.
    keep_from: Timestamp,
    kept_from: Timestamp,
}

impl GraphBuilder {
    /// A builder whose windows begin at whole multiples of their length.
    pub fn new(config: GraphConfig) -> GraphBuilder {
        GraphBuilder {
            config,
            lanes: Vec::new(),
            names: Vec::new(),
            numbers: FxHashMap::default(),
            last: None,
            messages: Messages::default(),
            clocks: Clocks::default(),
            start: None,
            settled: 0,
            pending: 0,
            spare: WindowGraph::default(),
            progress: Progress::default(),
            completions: Completions::default(),
            oddities: Oddities::default(),
            keep_from: Timestamp(u64::MAX),
            kept_from: Timestamp::ZERO,
        }
    }

    /// Keeps the lanes' timelines from `from` on, even where that is before the history, as long as
    /// they do not become too many steps.
    pub fn keep_from(&mut self, from: Timestamp) {
        self.keep_from = from;
    }

    /// Steps that ended before this time may have been forgotten by [`close`](Self::close).
    pub fn kept_from(&self) -> Timestamp {
        self.kept_from
    }

    /// Processes a record.
    pub fn push(&mut self, record: &Record) {
        self.pending += 1;
        match record {
            Record::Activity(activity) => {
                if let Some(lane) = self.lane(activity.lane) {
                    self.lanes[lane as usize].work(activity);
                }
                if activity.kind == ActivityKind::Sink {
                    self.completions.sunk(activity);
                }
            }
            Record::Sent(message) => {
                if let Some(lane) = self.lane(message.from_lane) {
                    self.lanes[lane as usize].clock = message.from.0;
                    let slot = self.messages.sent(message, lane, self.clocks.offset(message.from.0));
                    self.lanes[lane as usize].side(message.at.0, message.epoch, slot, true);
                    self.observe_clocks(message, slot);
                }
            }
            Record::Received(message) => {
                if let Some(lane) = self.lane(message.to_lane) {
                    if let Lane::Worker(worker) = message.to_lane {
                        self.lanes[lane as usize].clock = worker.0;
                    }
                    let slot = self.messages.received(message, self.lanes[lane as usize].clock);
                    self.lanes[lane as usize].side(message.at.0, message.epoch, slot, false);
                    self.observe_clocks(message, slot);
                }
            }
            Record::Waited { worker, start, end } => {
                if let Some(lane) = self.lane(Lane::Worker(*worker)) {
                    self.lanes[lane as usize].waited(start.0, end.0);
                }
            }
            Record::UpTo { worker, at } => self.progress.told(*worker, *at),
            Record::WorkerLeft { worker, at } => self.progress.left(*worker, *at),
            Record::WorkerJoined { worker, .. } => self.progress.joined(*worker),
            Record::EpochCompleted { at, worker, epoch } => self.completions.completed(*at, *worker, *epoch),
            _ => {}
        }
    }

    /// Word that an epoch is complete leaves the lane that took its last record at a sink. Hosts do
    /// not log it, and what a source does next may wait for it.
    fn infer_completions(&mut self, before: u64) {
        for (mut sent, received) in self.completions.take(Timestamp(before)) {
            // The sink's lane may have been settled further than that since; what it says is no
            // late record.
            if let Some(lane) = self.lane_number(sent.from_lane) {
                let lane = &self.lanes[lane as usize];
                sent.at = sent.at.max(Timestamp(lane.now.saturating_add_signed(-self.clocks.offset(lane.clock))));
            }
            self.push(&Record::Sent(sent));
            self.push(&Record::Received(received));
        }
    }

    fn observe_clocks(&mut self, message: &Message, slot: u32) {
        if let Some((to, delay)) = self.messages.delay(slot) {
            self.clocks.observe(message.from.0, to, delay);
            self.messages.is_backward |= delay < 0;
        }
    }

    fn lane(&mut self, lane: Lane) -> Option<u32> {
        if let Some((last, number)) = self.last
            && last == lane
        {
            return Some(number);
        }
        let number = match self.numbers.get(&lane) {
            Some(&number) => number,
            None if self.lanes.len() >= MOST_LANES => {
                self.oddities.lanes_left_out += 1;
                return None;
            }
            None => {
                let number = self.lanes.len() as u32;
                let clock = if let Lane::Worker(worker) = lane { worker.0 } else { 0 };
                self.lanes.push(LaneState::new(clock));
                self.names.push(lane);
                self.numbers.insert(lane, number);
                number
            }
        };
        self.last = Some((lane, number));
        Some(number)
    }

    /// The instant before which everything is known by the corrected clocks, as far as the workers
    /// that are known of have said; zero when none has. It may go back when clocks turn out to
    /// differ.
    pub fn known(&self) -> Timestamp {
        self.progress.known(&self.clocks)
    }

    /// The lanes, by number.
    pub fn lanes(&self) -> &[Lane] {
        &self.names
    }

    /// The number of a lane, if any record named it.
    pub fn lane_number(&self, lane: Lane) -> Option<u32> {
        self.numbers.get(&lane).copied()
    }

    /// What lane number `lane` did, as far as it is settled and still kept, in order of time. After
    /// [`close`](Self::close) gave a window, everything up to its end and the lookahead is settled.
    ///
    /// # Panics
    /// If there is no such lane.
    pub fn story(&self, lane: u32) -> &[Step] {
        self.lanes[lane as usize].steps()
    }

    /// How many steps of lane number `lane` came before those of its [`story`](Self::story) and
    /// have been forgotten.
    ///
    /// # Panics
    /// If there is no such lane.
    pub fn forgotten(&self, lane: u32) -> u64 {
        self.lanes[lane as usize].forgotten
    }

    /// Who sent the message of a step in a story, and when; nothing if that is not known, or the step
    /// has no message.
    pub fn message(&self, step: &Step) -> Option<SentMessage> {
        if step.slot == NONE {
            return None;
        }
        let slot = self.messages.get(step.slot);
        let sent = SentMessage { from_lane: slot.from_lane, at: Timestamp(slot.sent_at), channel: slot.channel, kind: slot.kind };
        (slot.from_lane != NONE && slot.sent_at <= step.end).then_some(sent)
    }

    /// Irregularities so far.
    pub fn oddities(&self) -> Oddities {
        Oddities {
            late_records: self.lanes.iter().map(|lane| lane.late).sum(),
            reused_keys: self.messages.reused,
            given_up_messages: self.messages.given_up,
            corrected_clocks: self.clocks.corrected(),
            ..self.oddities
        }
    }

    /// The graph of the next window in which anything happens, if the window with its lookahead
    /// lies before `known`, up to which no record is missing; `Timestamp(u64::MAX)` at the end of
    /// the log.
    pub fn close(&mut self, known: Timestamp) -> Option<WindowGraph> {
        let window = self.next_window(known)?;
        Some(self.build(window))
    }

    /// As [`close`](Self::close), but only settles the lanes' stories and builds no graph: for whoever reads stories alone, which
    /// takes a fraction of the time. Of the stories in the history nothing before `needed_from` is kept. A builder is used by one of
    /// the two ways throughout.
    pub fn pass(&mut self, known: Timestamp, needed_from: Timestamp) -> Option<Window> {
        let window = self.next_window(known)?;
        self.lanes.iter_mut().for_each(|lane| lane.pass(window.end.0));
        self.messages.forget_crossing();
        let horizon = needed_from.min(window.start).max(window.end - self.config.history);
        for lane in &mut self.lanes {
            lane.forget(horizon.0, &mut self.messages);
        }
        Some(window)
    }

    /// A time of a lane's records by the corrected clock.
    fn corrected(&self, lane: &LaneState, at: u64) -> u64 {
        at.saturating_add_signed(self.clocks.offset(lane.clock))
    }

    /// When the first window begins.
    fn first(&self, length: u64) -> Option<u64> {
        let first = |lane: &LaneState| lane.earliest().map(|at| self.corrected(lane, at));
        let first = self.lanes.iter().filter_map(first).min()?;
        Some(match self.config.covers {
            Some(_) => first,
            None => first - first % length,
        })
    }

    /// The latest time in any record, by the corrected clocks.
    fn last(&self) -> u64 {
        self.lanes.iter().map(|lane| self.corrected(lane, lane.latest())).max().unwrap_or(0)
    }

    /// The next record after what is settled, if nobody is at work there.
    fn quiet_until(&self) -> Option<u64> {
        if self.lanes.iter().any(LaneState::is_busy) {
            return None;
        }
        self.lanes.iter().filter_map(|lane| lane.earliest().map(|at| self.corrected(lane, at))).min()
    }

    /// The next window, its lanes settled.
    fn next_window(&mut self, known: Timestamp) -> Option<Window> {
        let nanoseconds = |length: Duration| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        let (length, lookahead) = (nanoseconds(self.config.window), nanoseconds(self.config.lookahead));
        let rules = Rules { least_wait: nanoseconds(self.config.least_wait), window: length, offset: 0 };
        if known == Timestamp::ZERO {
            // Where the first window would begin takes a look at all records that are not settled.
            return None;
        }
        loop {
            let start = match self.start {
                Some(start) => start,
                None => self.first(length)?,
            };
            let mut end = (start - start % length).checked_add(length)?;
            if let Some(covers) = self.config.covers {
                end = cut(end, start, covers);
            }
            let needed = end.saturating_add(lookahead);
            if needed > known.0 {
                return None;
            }
            self.infer_completions(needed);
            if self.clocks.solve() {
                let (clocks, lanes) = (&self.clocks, &self.lanes);
                self.messages.correct(|lane| clocks.offset(lanes[lane as usize].clock));
                // By the corrected clocks less may be known.
                if known.0 != u64::MAX && !self.progress.is_empty() && needed > self.known().0 {
                    return None;
                }
                if self.start.is_none() {
                    // By the corrected clocks it may begin elsewhere.
                    continue;
                }
            }
            let Some(covers) = self.config.covers else {
                self.settle(start, needed, rules);
                let next = self.lanes.iter().filter_map(|lane| lane.upcoming(start)).min()?;
                if next < end {
                    self.start = Some(end);
                    return Some(Window { start: Timestamp(start), end: Timestamp(end) });
                }
                self.start = Some(next - next % length);
                continue;
            };
            let (last, is_end) = (self.last(), known.0 == u64::MAX);
            if last <= start || (last < end && !is_end) {
                // It is not known yet whether the log ends there.
                return None;
            }
            self.settle(start, needed, rules);
            self.start = Some(start);
            if let Some(next) = self.quiet_until().filter(|&next| next > needed) {
                // Nothing happens for a while; what that while was spent on is known when it ends.
                let needed = next.saturating_add(length).saturating_add(lookahead);
                if needed > known.0 {
                    return None;
                }
                self.infer_completions(needed);
                self.settle(start, needed, rules);
            }
            let active = |lane: &LaneState| lane.active_from(start, self.clocks.offset(lane.clock));
            let next = self.lanes.iter().filter_map(active).min().unwrap_or(last).min(last);
            end = cut((next - next % length).max(end), start, covers).min(last);
            self.start = Some(end);
            return Some(Window { start: Timestamp(start), end: Timestamp(end) });
        }
    }

    /// Settles all lanes up to `until`: a slice of time after the other, so that both sides of a
    /// message are met close together.
    fn settle(&mut self, first: u64, until: u64, rules: Rules) {
        if self.messages.is_backward {
            // Clocks that contradict each other cannot be corrected altogether.
            for lane in &mut self.lanes {
                lane.hasten(until, &self.clocks, &mut self.messages);
            }
        }
        for instant in slices(self.settled.max(first), until, self.pending / (RECORDS_PER_SLICE + self.lanes.len())) {
            for lane in &mut self.lanes {
                let offset = self.clocks.offset(lane.clock);
                lane.settle(instant, instant == until, offset, first, rules, &mut self.messages);
            }
        }
        self.settled = self.settled.max(until);
        self.pending = self.lanes.iter().map(LaneState::pending).sum();
    }

    /// Takes back a graph that is no longer needed; the next one takes its memory.
    pub fn recycle(&mut self, graph: WindowGraph) {
        self.spare = graph;
    }

    fn build(&mut self, window: Window) -> WindowGraph {
        let mut graph = std::mem::take(&mut self.spare);
        graph.clear(window, &self.names);
        for (number, lane) in (0..).zip(&mut self.lanes) {
            let (steps, first_point) = lane.cut(window.start.0, window.end.0);
            let points = graph.add_lane(number, steps, first_point, &self.messages, self.config.through_queues);
            lane.cut_points = lane.cut_points.wrapping_add(points);
        }
        let (unmatched, cycles) = graph.connect(&self.messages);
        self.oddities.unmatched_receipts += unmatched;
        self.oddities.cycles += cycles;
        self.in_flight(&mut graph);
        if !graph.has_open_end() {
            match self.config.covers {
                Some(_) => graph.open_last_silence(),
                None => graph.open_silence(),
            }
        }
        let history = window.end - self.config.history;
        self.forget(history.min(self.keep_from), graph.points.len());
        while self.kept_from < history && self.lanes.iter().map(|lane| lane.steps().len()).sum::<usize>() > MOST_KEPT_STEPS {
            let half = self.kept_from + history.since(self.kept_from) / 2;
            self.forget(half.max(self.kept_from + Duration::from_nanos(1)), graph.points.len());
        }
        graph
    }

    /// Forgets steps that ended before `horizon`; there are about `points` points among them.
    fn forget(&mut self, horizon: Timestamp, points: usize) {
        let horizon = horizon.max(self.kept_from);
        for instant in slices(self.kept_from.0, horizon.0, points / (RECORDS_PER_SLICE + self.lanes.len())) {
            for lane in &mut self.lanes {
                lane.forget(instant, &mut self.messages);
            }
        }
        self.kept_from = horizon;
    }

    /// Adds messages that leave the window in flight; those that nobody waits for after it cross no
    /// further window.
    fn in_flight(&mut self, graph: &mut WindowGraph) {
        let (start, end) = (graph.window.start, graph.window.end);
        let mut crossing = std::mem::take(&mut self.messages.crossing);
        crossing.retain(|&index| {
            let slot = self.messages.get_mut(index);
            slot.crosses = slot.last_waited >= end.0;
            slot.crosses
        });
        // The longest on their way first.
        let (length, messages) = (end.0 - start.0, &self.messages);
        let order = |&index: &u32| {
            let slot = messages.get(index);
            (slot.sent_at / length, slot.from_lane, slot.sent_at, slot.number)
        };
        crossing.sort_unstable_by_key(order);
        for slot in crossing.iter().map(|&index| messages.get(index)).take_while(|slot| slot.sent_at < end.0) {
            graph.messages.push(MessageEdge {
                from: graph.sender(slot),
                to: None,
                from_lane: slot.from_lane,
                to_lane: slot.from_lane,
                start: Timestamp(slot.sent_at).max(start),
                end,
                channel: slot.channel,
                kind: slot.kind,
                blocked: false,
            });
        }
        self.messages.crossing = crossing;
    }
}

/// Where a window from `start` to `end` is cut by an edge of `covers`.
fn cut(end: u64, start: u64, covers: Window) -> u64 {
    let edges = [covers.start.0, covers.end.0];
    edges.into_iter().filter(|edge| (start + 1..end).contains(edge)).min().unwrap_or(end)
}

/// Cuts `[start, end)` into `more` + 1 slices; returns their ends, the last of which is `end`.
fn slices(start: u64, end: u64, more: usize) -> impl Iterator<Item = u64> {
    let length = (end.saturating_sub(start) / (more as u64 + 1)).max(1);
    let between =
        (0..more as u64).map_while(move |index| Some(start.saturating_add(length * (index + 1))).filter(|&instant| instant < end));
    between.chain(std::iter::once(end))
}
