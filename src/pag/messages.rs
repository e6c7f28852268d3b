//! Matches the two sides of each message.
//!
//! A message is a *slot* for as long as one of its sides is on a lane or it is in flight. The sides
//! may arrive in any order. A key that is used again is a new message. Memory: slots are reused; of
//! the messages in flight, the newest million are kept.

use std::collections::VecDeque;

use super::free_list::FreeList;
use super::keys::{Key, Keys, NONE};
use crate::activity::{Message, MessageKind};
use crate::id::{ChannelId, InstanceId};

/// Messages that were sent and not received, at most.
const MOST_IN_FLIGHT: usize = 1 << 20;
/// One message, as far as every pass over lanes needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// The sender's lane, `NONE` while only receipts are known.
    pub(super) from_lane: u32,
    /// When it was sent, by the corrected clock.
    pub(super) sent_at: u64,
    /// The sender's side has become a step of its lane.
    pub(super) placed: bool,
    /// When the last lane that waited for it received it.
    pub(super) last_waited: u64,
    pub(super) channel: ChannelId,
    pub(super) kind: MessageKind,
    /// For which instance the sender had worked right before, once it is placed.
    pub(super) cause: Option<InstanceId>,
    /// A receiver's side has come.
    received: bool,
    /// Sides on lanes.
    references: u32,
    /// Number of the sender's point among all of its lane, once it is placed; starts over after the
    /// last number.
    pub(super) number: u32,
    /// It is in `in_flight`.
    lingers: bool,
    /// It is in `crossing`.
    pub(super) crosses: bool,
}

/// Further fields of a message, as its sides recorded them.
#[derive(Clone, Copy, Debug)]
struct Sides {
    key: Key,
    /// When it was sent, by the sender's clock.
    sent: u64,
    /// The earliest stamp of a receiver's side, and its clock.
    receiver: u32,
    received: u64,
}

/// All messages that are currently needed.
#[derive(Clone, Debug, Default)]
pub(super) struct Messages {
    slots: Vec<Slot>,
    /// As many as slots.
    sides: Vec<Sides>,
    free_list: FreeList,
    keys: Keys,
    /// Those of which one side is missing and the other no longer on a lane; oldest first. May hold
    /// slots that are whole since.
    in_flight: VecDeque<(u32, Key)>,
    /// Those that some lane waits for in a later window than that in which they were sent, until
    /// that window has been built; their receipts keep their slots.
    pub(super) crossing: Vec<u32>,
    /// Keys that were sent twice.
    pub(super) reused: u64,
    /// Messages given up because too many were in flight.
    pub(super) given_up: u64,
    /// Some message was received before it was sent, even by the corrected clocks.
    pub(super) is_backward: bool,
}

impl Messages {
    fn slot(&mut self, message: &Message) -> (Key, Option<u32>) {
        let key = (message.channel.0, message.from.0, message.sequence);
        (key, self.keys.get(key))
    }

    fn open(&mut self, key: Key, message: &Message) -> u32 {
        let sides = Sides { key, sent: 0, receiver: 0, received: 0 };
        let slot = Slot {
            from_lane: NONE,
            sent_at: 0,
            placed: false,
            last_waited: 0,
            channel: message.channel,
            kind: message.kind,
            cause: None,
            received: false,
            references: 1,
            number: 0,
            crosses: false,
            lingers: false,
        };
        let index = match self.free_list.take(self.slots.len()) {
            Some(index) => {
                self.slots[index as usize] = slot;
                self.sides[index as usize] = sides;
                index
            }
            None => {
                self.slots.push(slot);
                self.sides.push(sides);
                (self.slots.len() - 1) as u32
            }
        };
        self.keys.insert(key, index);
        index
    }

    /// The sending side on lane `lane`, whose clock is corrected by `offset`.
    pub(super) fn sent(&mut self, message: &Message, lane: u32, offset: i64) -> u32 {
        let index = match self.slot(message) {
            (_, Some(index)) if self.slots[index as usize].from_lane == NONE => {
                self.slots[index as usize].references += 1;
                index
            }
            (key, Some(_)) => {
                self.reused += 1;
                self.open(key, message)
            }
            (key, None) => self.open(key, message),
        };
        let slot = &mut self.slots[index as usize];
        slot.from_lane = lane;
        self.sides[index as usize].sent = message.at.0;
        slot.sent_at = message.at.0.saturating_add_signed(offset);
        index
    }

    /// A receiving side, stamped by `clock`.
    pub(super) fn received(&mut self, message: &Message, clock: u32) -> u32 {
        let index = match self.slot(message) {
            (_, Some(index)) => {
                self.slots[index as usize].references += 1;
                index
            }
            (key, None) => self.open(key, message),
        };
        let is_first = !std::mem::replace(&mut self.slots[index as usize].received, true);
        let sides = &mut self.sides[index as usize];
        if is_first || message.at.0 < sides.received {
            (sides.receiver, sides.received) = (clock, message.at.0);
        }
        index
    }

    /// The receiver's clock and how long the message in a slot seemed to travel, in ns by the two
    /// clocks, once both sides have come.
    pub(super) fn delay(&self, index: u32) -> Option<(u32, i64)> {
        let (slot, sides) = (&self.slots[index as usize], &self.sides[index as usize]);
        if slot.from_lane == NONE || !slot.received {
            return None;
        }
        let delay = i128::from(sides.received) - i128::from(sides.sent);
        Some((sides.receiver, delay.clamp(i64::MIN.into(), i64::MAX.into()) as i64))
    }

    /// The earliest receipt of the message in a slot: its clock and its stamp.
    pub(super) fn receipt(&self, index: u32) -> Option<(u32, u64)> {
        let sides = &self.sides[index as usize];
        self.slots[index as usize].received.then_some((sides.receiver, sides.received))
    }

    /// Corrects what has not been settled yet; `offset` is that of a lane's clock.
    pub(super) fn correct(&mut self, offset: impl Fn(u32) -> i64) {
        let unsettled = |(slot, _): &(&mut Slot, _)| slot.from_lane != NONE && !slot.placed;
        for (slot, sides) in self.slots.iter_mut().zip(&self.sides).filter(unsettled) {
            slot.sent_at = sides.sent.saturating_add_signed(offset(slot.from_lane));
        }
    }

    pub(super) fn get(&self, index: u32) -> &Slot {
        &self.slots[index as usize]
    }

    pub(super) fn get_mut(&mut self, index: u32) -> &mut Slot {
        &mut self.slots[index as usize]
    }

    /// A lane waits for the message in a slot in a later window than that in which it was sent.
    pub(super) fn crosses(&mut self, index: u32) {
        if !std::mem::replace(&mut self.slots[index as usize].crosses, true) {
            self.crossing.push(index);
        }
    }

    /// Nobody builds the windows that messages cross into.
    pub(super) fn forget_crossing(&mut self) {
        for index in self.crossing.drain(..) {
            self.slots[index as usize].crosses = false;
        }
    }

    /// A side left its lane's memory.
    pub(super) fn release(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.references -= 1;
        if slot.references > 0 {
            return;
        }
        // A receipt may come before its sender's side, where that one's clock is ahead.
        if slot.from_lane == NONE || !slot.received {
            if !std::mem::replace(&mut slot.lingers, true) {
                self.in_flight.push_back((index, self.sides[index as usize].key));
            }
            while self.in_flight.len() > MOST_IN_FLIGHT {
                let (oldest, key) = self.in_flight.pop_front().expect("more than none");
                let slot = &self.slots[oldest as usize];
                if self.sides[oldest as usize].key == key && slot.references == 0 && slot.lingers {
                    self.given_up += 1;
                    self.close(oldest);
                }
            }
        } else {
            self.close(index);
        }
    }

    fn close(&mut self, index: u32) {
        self.keys.remove(self.sides[index as usize].key, index);
        let slot = &mut self.slots[index as usize];
        slot.lingers = false;
        self.free_list.free(index);
    }
}
