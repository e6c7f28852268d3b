//! Both sides of each message, brought together.
//!
//! A message is a *slot* for as long as one of its sides is on a lane, or it is in flight. Sides may come in any order. A key
//! that is used again is a new message. Memory: slots are used again; of messages in flight the newest million are kept.

// Looked up by key, never walked: the order of the table shows nowhere.
#![allow(clippy::disallowed_types)]

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::activity::{Message, MessageKind};
use crate::id::ChannelId;

/// Messages that were sent and not received, at most.
const MOST_IN_FLIGHT: usize = 1 << 20;
/// No slot.
pub(super) const NONE: u32 = u32::MAX;

type Key = (u32, u32, u64);

/// One message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    key: Key,
    /// The sender's lane, `NONE` while only receipts are known.
    pub(super) from_lane: u32,
    /// When it was sent, by the sender's clock.
    stamp: u64,
    /// When it was sent, by the corrected clock.
    pub(super) sent_at: u64,
    /// The sender's side has become a step of its lane.
    pub(super) placed: bool,
    /// When the last lane that waited for it received it.
    pub(super) last_waited: u64,
    pub(super) channel: ChannelId,
    pub(super) kind: MessageKind,
    /// Clock and stamp of the receiver's side that came first.
    receipt: Option<(u32, u64)>,
    /// A receiver's side has become a step of its lane.
    pub(super) taken: bool,
    /// Sides on lanes.
    references: u32,
    /// The sending point in the window that is being built; `NONE` outside.
    pub(super) point: u32,
}

impl Slot {
    /// The receiver's clock and how long the message seemed to travel, in ns by the two clocks, once both sides have come.
    pub(super) fn delay(&self) -> Option<(u32, i64)> {
        let (clock, stamp) = self.receipt.filter(|_| self.from_lane != NONE)?;
        let delay = i128::from(stamp) - i128::from(self.stamp);
        Some((clock, delay.clamp(i64::MIN.into(), i64::MAX.into()) as i64))
    }
}

/// All messages that matter at the moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Messages {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_key: FxHashMap<Key, u32>,
    /// Sent, their side no longer on a lane, not received; oldest first. May hold slots that were received since.
    in_flight: VecDeque<(u32, Key)>,
    /// Keys that were sent twice.
    pub(super) reused: u64,
    /// Messages given up because too many were in flight.
    pub(super) given_up: u64,
}

impl Messages {
    fn slot(&mut self, message: &Message) -> (Key, Option<u32>) {
        let key = (message.channel.0, message.from.0, message.sequence);
        (key, self.by_key.get(&key).copied())
    }

    fn open(&mut self, key: Key, message: &Message) -> u32 {
        let slot = Slot {
            key,
            from_lane: NONE,
            stamp: 0,
            sent_at: 0,
            placed: false,
            last_waited: 0,
            channel: message.channel,
            kind: message.kind,
            receipt: None,
            taken: false,
            references: 1,
            point: NONE,
        };
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = slot;
                index
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        self.by_key.insert(key, index);
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
        (slot.from_lane, slot.stamp) = (lane, message.at.0);
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
        self.slots[index as usize].receipt.get_or_insert((clock, message.at.0));
        index
    }

    /// Corrects what has not been settled yet; `offset` is that of a lane's clock.
    pub(super) fn correct(&mut self, offset: impl Fn(u32) -> i64) {
        for slot in self.slots.iter_mut().filter(|slot| slot.from_lane != NONE && !slot.placed) {
            slot.sent_at = slot.stamp.saturating_add_signed(offset(slot.from_lane));
        }
    }

    pub(super) fn get(&self, index: u32) -> &Slot {
        &self.slots[index as usize]
    }

    pub(super) fn get_mut(&mut self, index: u32) -> &mut Slot {
        &mut self.slots[index as usize]
    }

    /// A side left its lane's memory.
    pub(super) fn release(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.references -= 1;
        if slot.references > 0 {
            return;
        }
        if slot.from_lane != NONE && slot.receipt.is_none() {
            self.in_flight.push_back((index, slot.key));
            while self.in_flight.len() > MOST_IN_FLIGHT {
                let (oldest, key) = self.in_flight.pop_front().expect("more than none");
                let slot = &self.slots[oldest as usize];
                if slot.key == key && slot.references == 0 && slot.receipt.is_none() {
                    self.given_up += 1;
                    self.close(oldest);
                }
            }
        } else {
            self.close(index);
        }
    }

    fn close(&mut self, index: u32) {
        let key = self.slots[index as usize].key;
        if self.by_key.get(&key) == Some(&index) {
            self.by_key.remove(&key);
        }
        self.free.push(index);
    }

    /// Number of slots in use, for the bound on memory.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
