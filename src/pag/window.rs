//! The graph of one window, laid out for passes along it.
//!
//! Pieces are in order along each lane; *points* are where messages leave or arrive. Between two points of a lane nothing
//! branches, so the pieces between them form one *segment*: whatever leads through one leads through all of them.

use std::ops::Range;

use super::lane::{Step, StepKind};
use super::messages::{Messages, NONE};
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
    /// Nothing that the log tells of, and no message ended it.
    Gap,
    /// Nothing that the log tells of for a long time: how it ends is not known.
    Silence,
    /// Waiting for a message.
    Wait {
        /// The channel it came by.
        channel: ChannelId,
        /// Number of the lane that sent it, in [`WindowGraph::lanes`].
        from_lane: u32,
    },
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
    /// Points, in order of time. Segments are numbered from `first_segment` on, one more than points.
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
    /// What arrives at points, until it is known from where.
    arrivals: Vec<Arrival>,
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
        self.points.clear();
        self.point_lanes.clear();
        self.blocked.clear();
        self.messages.clear();
        self.order.clear();
        self.arrivals.clear();
    }

    /// Adds lane number `lane`, whose steps are `steps`; the slots of messages that it sends go to `sent`.
    pub(super) fn add_lane<'a>(
        &mut self,
        lane: u32,
        steps: impl Iterator<Item = &'a Step>,
        messages: &mut Messages,
        through_queues: bool,
        sent: &mut Vec<u32>,
    ) {
        let (start, end) = (self.window.start.0, self.window.end.0);
        let (first_piece, first_point, first_segment) = (self.pieces.len(), self.points.len(), self.blocked.len());
        self.blocked.push(false);
        let mut reached = start;
        for step in steps {
            let segment = self.blocked.len() - 1;
            let piece =
                |kind| Piece { start: Timestamp(step.start.max(start)), end: Timestamp(step.end.min(end)), kind, segment: segment as u32 };
            match step.kind {
                // Of no length: nothing leads through it.
                StepKind::Work(_) if step.start == step.end => {}
                StepKind::Work(kind) => {
                    self.pieces.push(piece(PieceKind::Work { kind, instance: step.instance, epoch: step.epoch }));
                }
                StepKind::Gap => self.pieces.push(piece(PieceKind::Gap)),
                StepKind::Wait => {
                    let slot = messages.get(step.slot);
                    self.pieces.push(piece(PieceKind::Wait { channel: slot.channel, from_lane: slot.from_lane }));
                    self.blocked[segment] = true;
                }
                StepKind::Sent => {
                    messages.get_mut(step.slot).point = self.points.len() as u32;
                    sent.push(step.slot);
                    self.point(lane, Point::Sent);
                }
                StepKind::Received { waited } => {
                    let arrival = Arrival { slot: step.slot, at: Timestamp(step.start), open: waited || through_queues };
                    self.point(lane, Point::Received { edge: Some(self.arrivals.len() as u32) });
                    self.arrivals.push(arrival);
                }
            }
            reached = reached.max(step.end.min(end));
        }
        if reached < end {
            let segment = (self.blocked.len() - 1) as u32;
            self.pieces.push(Piece { start: Timestamp(reached), end: Timestamp(end), kind: PieceKind::Silence, segment });
            self.blocked[segment as usize] = true;
        }
        let pieces = first_piece as u32..self.pieces.len() as u32;
        let points = first_point as u32..self.points.len() as u32;
        self.ranges.push(LaneRange { pieces, points, first_segment: first_segment as u32 });
    }

    fn point(&mut self, lane: u32, point: Point) {
        self.points.push(point);
        self.point_lanes.push(lane);
        self.blocked.push(false);
    }

    /// Joins arrivals to the points that sent them, and puts the points into an order in which every edge goes forward. Gives the
    /// number of arrivals whose origin is not known, and of cycles that had to be cut.
    ///
    /// Edges never go back in time, so only messages of no duration can close a cycle; such a message is left out. Lanes are worked
    /// through side by side, so that both sides of a message are met close together.
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
            while let Some(&(lane, target)) = stack.last() {
                let point = cursor[lane as usize];
                if point >= target {
                    on_stack[lane as usize] = false;
                    stack.pop();
                    continue;
                }
                if let Point::Received { edge: Some(arrival) } = self.points[point as usize] {
                    let arrival = self.arrivals[arrival as usize];
                    let slot = messages.get(arrival.slot);
                    let sender = slot.from_lane;
                    let is_known = sender != NONE && slot.sent_at <= arrival.at.0;
                    let is_here = is_known && slot.point != NONE;
                    let mut is_cut = is_known && !is_here && slot.sent_at > self.window.start.0;
                    if is_here && cursor[sender as usize] <= slot.point {
                        if !on_stack[sender as usize] {
                            stack.push((sender, slot.point + 1));
                            on_stack[sender as usize] = true;
                            continue;
                        }
                        cycles += 1;
                        is_cut = true;
                    }
                    let edge = self.messages.len() as u32;
                    self.points[point as usize] = Point::Received { edge: (is_known && !is_cut).then_some(edge) };
                    if !is_known || is_cut {
                        // What the lane waited for is not known after all.
                        let segment = self.segment_before(point);
                        self.blocked[segment as usize] = false;
                    }
                    unmatched += u64::from(!is_known);
                    if is_known {
                        self.messages.push(MessageEdge {
                            from: is_here.then_some(slot.point),
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
                self.order.push(point);
                cursor[lane as usize] += 1;
            }
        }
        (unmatched, cycles)
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

    /// Opens what is silent to paths: for a window in which they would lead nowhere otherwise.
    pub(super) fn open_silence(&mut self) {
        for piece in self.pieces.iter().filter(|piece| piece.kind == PieceKind::Silence) {
            self.blocked[piece.segment as usize] = false;
        }
    }

    /// Whether some path reaches the window's end.
    pub(super) fn has_open_end(&self) -> bool {
        let open = |range: &LaneRange| !self.blocked[(range.first_segment + (range.points.end - range.points.start)) as usize];
        self.ranges.iter().any(open) || self.messages.iter().any(|edge| edge.to.is_none() && !edge.blocked)
    }
}
