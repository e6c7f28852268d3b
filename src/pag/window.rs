//! Graph of one window, laid out for passes over it.
//!
//! Pieces are in order along each lane; *points* are where messages leave or arrive. Between two
//! points of a lane nothing branches, so the pieces between them form one *segment*: a path that
//! leads through one of them leads through all.

use std::ops::Range;

use super::keys::NONE;
use super::lane::{Step, StepKind};
use super::messages::{Messages, Slot};
use crate::activity::{ActivityKind, Lane, MessageKind};
use crate::id::{ChannelId, InstanceId};
use crate::time::{Epoch, Timestamp, Window};

/// What a lane did during a piece of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// Work of an instance.
    Work {
        /// What it was.
        kind: ActivityKind,
        /// For which instance.
        instance: InstanceId,
        /// Of which epoch; may be unknown.
        epoch: Epoch,
    },
    /// Idle time that no message ended.
    Gap,
    /// A long time without records, or a wait that the log states: it is not known what ended it.
    Silence,
    /// Waiting for a message.
    Wait {
        /// The channel it came by.
        channel: ChannelId,
        /// Number of the lane that sent it, in [`WindowGraph::lanes`].
        from_lane: u32,
    },
}

/// A wait that reaches into the window, as long as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Number of the lane that waited.
    pub lane: u32,
    /// Number of the lane that sent the message.
    pub from_lane: u32,
    /// The channel it came by.
    pub channel: ChannelId,
    /// For which instance that lane had worked right before it sent, if it had.
    pub cause: Option<InstanceId>,
    /// From when, possibly before the window.
    pub start: Timestamp,
    /// Until when, possibly after the window.
    pub end: Timestamp,
}

/// A piece of a lane, cut at the window's edges; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// From when.
    pub start: Timestamp,
    /// Until when.
    pub end: Timestamp,
    /// What the lane did.
    pub kind: PieceKind,
    /// Number of its segment.
    pub segment: u32,
}

/// Where a message leaves or arrives at a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Messages leave; several edges may.
    Sent,
    /// A message arrives.
    Received {
        /// Number of its edge; nothing when where it came from is not known.
        edge: Option<u32>,
    },
}

/// A message as far as it lies in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageEdge {
    /// The point that sent it; nothing when it was in flight at the window's start.
    pub from: Option<u32>,
    /// The point that received it; nothing when it is in flight at the window's end.
    pub to: Option<u32>,
    /// Number of the lane that sent it.
    pub from_lane: u32,
    /// Number of the lane that received it; that of the sender while it is in flight.
    pub to_lane: u32,
    /// From when.
    pub start: Timestamp,
    /// Until when.
    pub end: Timestamp,
    /// The channel.
    pub channel: ChannelId,
    /// What it carries.
    pub kind: MessageKind,
    /// No path leads through it: it lay in a queue while its receiver was busy.
    pub blocked: bool,
}

/// The pieces, points and segments of one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneRange {
    /// Pieces, in order of time.
    pub pieces: Range<u32>,
    /// Points, in order of time. Segments are numbered from `first_segment` on, one more than
    /// points.
    pub points: Range<u32>,
    /// The segment before the first point.
    pub first_segment: u32,
}

/// The graph of one window.
#[derive(Clone, Debug, Default)]
pub struct WindowGraph {
    /// The window.
    pub window: Window,
    /// The lanes, by number; a lane keeps its number.
    pub lanes: Vec<Lane>,
    /// Where each lane's parts are.
    pub ranges: Vec<LaneRange>,
    /// Pieces of all lanes.
    pub pieces: Vec<Piece>,
    /// The waits among them.
    pub waits: Vec<Wait>,
    /// Points of all lanes.
    pub points: Vec<Point>,
    /// Lane of each point.
    pub point_lanes: Vec<u32>,
    /// Whether a segment holds a wait or a silence, so that no path leads through it.
    pub blocked: Vec<bool>,
    /// Messages.
    pub messages: Vec<MessageEdge>,
    /// Points in an order in which every edge goes forward.
    pub order: Vec<u32>,
    /// The same order, in runs along one lane: number of the lane, and its points.
    runs: Vec<(u32, Range<u32>)>,
    /// What arrives at points, until it is known from where.
    arrivals: Vec<Arrival>,
    /// Number of each lane's first point among all that the lane ever had.
    first_points: Vec<u32>,
}

/// A message that a lane took, before it is joined to the lane that sent it.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    slot: u32,
    at: Timestamp,
    /// Paths lead through it.
    open: bool,
}

impl WindowGraph {
    /// Makes an empty graph of it that keeps its memory.
    pub(super) fn clear(&mut self, window: Window, lanes: &[Lane]) {
        self.window = window;
        self.lanes.clear();
        self.lanes.extend_from_slice(lanes);
        self.ranges.clear();
        self.pieces.clear();
        self.waits.clear();
        self.points.clear();
        self.point_lanes.clear();
        self.blocked.clear();
        self.messages.clear();
        self.order.clear();
        self.runs.clear();
        self.arrivals.clear();
        self.first_points.clear();
    }

    /// Adds lane number `lane`, whose steps are `steps`; the first point among them is number
    /// `number_of_first` of the lane. Returns the number of points.
    pub(super) fn add_lane(&mut self, lane: u32, steps: &[Step], number_of_first: u32, messages: &Messages, through_queues: bool) -> u32 {
        let (start, end) = (self.window.start.0, self.window.end.0);
        let (first_piece, first_point, first_segment) = (self.pieces.len(), self.points.len(), self.blocked.len());
        // As many segments as there may be.
        self.blocked.resize(first_segment + steps.len() + 1, false);
        let mut segment = first_segment;
        let mut reached = start;
        for step in steps {
            let piece =
                |kind| Piece { start: Timestamp(step.start.max(start)), end: Timestamp(step.end.min(end)), kind, segment: segment as u32 };
            match step.kind {
                // Of no length: nothing leads through it.
                StepKind::Work(_) if step.start == step.end => {}
                StepKind::Work(kind) => {
                    self.pieces.push(piece(PieceKind::Work { kind, instance: step.instance, epoch: step.epoch }));
                }
                StepKind::Gap => self.pieces.push(piece(PieceKind::Gap)),
                StepKind::Wait if step.slot == NONE => {
                    self.pieces.push(piece(PieceKind::Silence));
                    self.blocked[segment] = true;
                }
                StepKind::Wait => {
                    let slot = messages.get(step.slot);
                    let Slot { channel, from_lane, cause, .. } = *slot;
                    self.pieces.push(piece(PieceKind::Wait { channel, from_lane }));
                    self.waits.push(Wait { lane, from_lane, channel, cause, start: Timestamp(step.start), end: Timestamp(step.end) });
                    self.blocked[segment] = true;
                }
                StepKind::Sent => {
                    self.points.push(Point::Sent);
                    segment += 1;
                }
                StepKind::Received { waited } => {
                    self.points.push(Point::Received { edge: Some(self.arrivals.len() as u32) });
                    self.arrivals.push(Arrival { slot: step.slot, at: Timestamp(step.start), open: waited || through_queues });
                    segment += 1;
                }
            }
            reached = reached.max(step.end.min(end));
        }
        if reached < end {
            self.pieces.push(Piece { start: Timestamp(reached), end: Timestamp(end), kind: PieceKind::Silence, segment: segment as u32 });
            self.blocked[segment] = true;
        }
        self.blocked.truncate(segment + 1);
        self.point_lanes.resize(self.points.len(), lane);
        let pieces = first_piece as u32..self.pieces.len() as u32;
        let points = first_point as u32..self.points.len() as u32;
        self.ranges.push(LaneRange { pieces, points: points.clone(), first_segment: first_segment as u32 });
        self.first_points.push(number_of_first);
        points.end - points.start
    }

    /// The point that sent the message in `slot`, if it lies in the window.
    pub(super) fn sender(&self, slot: &Slot) -> Option<u32> {
        let is_here = slot.placed && self.window.contains(Timestamp(slot.sent_at));
        let from = slot.from_lane as usize;
        is_here.then(|| self.ranges[from].points.start + slot.number.wrapping_sub(self.first_points[from]))
    }

    /// Joins arrivals to the points that sent them, and puts the points into an order in which
    /// every edge goes forward. Returns the number of arrivals whose origin is not known, and of
    /// cycles that had to be cut.
    ///
    /// Edges never go back in time, so only messages of no duration can close a cycle; such a
    /// message is left out. Lanes are worked through side by side, so that both sides of a message
    /// are met close together.
    pub(super) fn connect(&mut self, messages: &Messages) -> (u64, u64) {
        let (mut unmatched, mut cycles) = (0, 0);
        let mut cursor: Vec<u32> = self.ranges.iter().map(|range| range.points.start).collect();
        let mut on_stack = vec![false; self.ranges.len()];
        // Lanes that are being worked through, each up to a point that the one below it waits for.
        let mut stack: Vec<(u32, u32)> = Vec::new();
        self.order.reserve(self.points.len());
        self.messages.reserve(self.arrivals.len());
        for root in 0..self.ranges.len() as u32 {
            stack.push((root, self.ranges[root as usize].points.end));
            on_stack[root as usize] = true;
            'lanes: while let Some(&(lane, target)) = stack.last() {
                let first = cursor[lane as usize];
                for point in first..target {
                    let Point::Received { edge: Some(arrival) } = self.points[point as usize] else { continue };
                    let arrival = self.arrivals[arrival as usize];
                    let slot = messages.get(arrival.slot);
                    let sender = slot.from_lane;
                    let is_known = sender != NONE && slot.sent_at <= arrival.at.0;
                    let from = if is_known { self.sender(slot) } else { None };
                    let mut is_cut = is_known && from.is_none() && slot.sent_at > self.window.start.0;
                    if let Some(from) = from {
                        // Points of this lane before this one are in order already, whatever its
                        // cursor says.
                        let is_open = if sender == lane { from >= point } else { from >= cursor[sender as usize] };
                        if is_open && !on_stack[sender as usize] {
                            self.run(lane, first..point);
                            cursor[lane as usize] = point;
                            stack.push((sender, from + 1));
                            on_stack[sender as usize] = true;
                            continue 'lanes;
                        }
                        cycles += u64::from(is_open);
                        is_cut = is_open;
                    }
                    let edge = self.messages.len() as u32;
                    self.points[point as usize] = Point::Received { edge: (is_known && !is_cut).then_some(edge) };
                    if !is_known || is_cut {
                        // What the lane waited for is not known after all.
                        let segment = self.segment_before(point);
                        self.blocked[segment as usize] = false;
                    }
                    unmatched += u64::from(sender == NONE);
                    if is_known {
                        self.messages.push(MessageEdge {
                            from,
                            to: Some(point),
                            from_lane: sender,
                            to_lane: lane,
                            start: Timestamp(slot.sent_at).max(self.window.start),
                            end: arrival.at,
                            channel: slot.channel,
                            kind: slot.kind,
                            blocked: is_cut || !arrival.open,
                        });
                    }
                }
                if first < target {
                    self.run(lane, first..target);
                    cursor[lane as usize] = target;
                }
                on_stack[lane as usize] = false;
                stack.pop();
            }
        }
        (unmatched, cycles)
    }

    /// Puts points of a lane next in order.
    fn run(&mut self, lane: u32, points: Range<u32>) {
        self.order.extend(points.clone());
        self.runs.push((lane, points));
    }

    /// The points in their order, in runs along one lane: number of the lane, and its points.
    pub fn runs(&self) -> &[(u32, Range<u32>)] {
        &self.runs
    }

    /// The segment before a point: each lane before it has one segment more than points.
    pub fn segment_before(&self, point: u32) -> u32 {
        point + self.point_lanes[point as usize]
    }

    /// The piece that ends at or holds a point; nothing at the very start of the window.
    pub fn piece_before(&self, point: u32) -> Option<u32> {
        let (pieces, segment) = (self.ranges[self.point_lanes[point as usize] as usize].pieces.clone(), self.segment_before(point));
        let before = self.pieces[pieces.start as usize..pieces.end as usize].partition_point(|piece| piece.segment <= segment) as u32;
        before.checked_sub(1).map(|index| pieces.start + index)
    }

    /// Lets paths lead through silence, for a window that no path would cross otherwise.
    pub(super) fn open_silence(&mut self) {
        for piece in self.pieces.iter().filter(|piece| piece.kind == PieceKind::Silence) {
            self.blocked[piece.segment as usize] = false;
        }
    }

    /// Lets paths lead through the silence of the lanes that were active last, for a window that no
    /// path would cross otherwise.
    pub(super) fn open_last_silence(&mut self) {
        let silences = || self.pieces.iter().filter(|piece| piece.kind == PieceKind::Silence);
        let last = silences().map(|piece| piece.start).max();
        for piece in silences().filter(|piece| Some(piece.start) == last) {
            self.blocked[piece.segment as usize] = false;
        }
    }

    /// Whether some path reaches the window's end.
    pub(super) fn has_open_end(&self) -> bool {
        let open = |range: &LaneRange| !self.blocked[(range.first_segment + (range.points.end - range.points.start)) as usize];
        self.ranges.iter().any(open) || self.messages.iter().any(|edge| edge.to.is_none() && !edge.blocked)
    }
}
