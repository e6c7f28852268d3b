//! Decodes the records that are almost all of a log, activities and messages: as postcard does, but at once.
//!
//! Invariant: whatever is decoded here, postcard decodes to the same record and length; all else is left to it.

use super::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
use crate::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// Adds the record that `bytes` begin with to `out`, if it is one of the usual ones; gives its length.
#[inline]
pub(super) fn usual_record(bytes: &[u8], out: &mut Vec<Record>) -> Option<usize> {
    let mut rest = Numbers { bytes };
    match rest.short()? {
        0 => out.push(Record::Activity(activity(&mut rest)?)),
        1 => out.push(Record::Sent(message(&mut rest)?)),
        2 => out.push(Record::Received(message(&mut rest)?)),
        4 => out.push(Record::EpochCompleted { at: Timestamp(rest.long()?), worker: WorkerId(rest.short()?), epoch: Epoch(rest.long()?) }),
        11 => out.push(Record::UpTo { worker: WorkerId(rest.short()?), at: Timestamp(rest.long()?) }),
        _ => return None,
    }
    Some(bytes.len() - rest.bytes.len())
}

#[inline]
fn activity(rest: &mut Numbers<'_>) -> Option<Activity> {
    Some(Activity {
        lane: lane(rest)?,
        kind: kind(rest.short()?)?,
        instance: instance(rest)?,
        epoch: Epoch(rest.long()?),
        start: Timestamp(rest.long()?),
        end: Timestamp(rest.long()?),
        records_in: rest.long()?,
        records_out: rest.long()?,
    })
}

#[inline]
fn message(rest: &mut Numbers<'_>) -> Option<Message> {
    Some(Message {
        at: Timestamp(rest.long()?),
        kind: match rest.short()? {
            0 => MessageKind::Data,
            1 => MessageKind::Progress,
            _ => return None,
        },
        channel: ChannelId(rest.short()?),
        sequence: rest.long()?,
        from: WorkerId(rest.short()?),
        from_lane: lane(rest)?,
        to_lane: lane(rest)?,
        epoch: Epoch(rest.long()?),
        records: rest.long()?,
    })
}

#[inline]
fn lane(rest: &mut Numbers<'_>) -> Option<Lane> {
    match rest.short()? {
        0 => Some(Lane::Worker(WorkerId(rest.short()?))),
        1 => Some(Lane::Instance(instance(rest)?)),
        _ => None,
    }
}

#[inline]
fn instance(rest: &mut Numbers<'_>) -> Option<InstanceId> {
    Some(InstanceId { operator: OperatorId(rest.short()?), index: rest.short()? })
}

#[inline]
fn kind(number: u32) -> Option<ActivityKind> {
    Some(match number {
        0 => ActivityKind::Processing,
        1 => ActivityKind::Scheduling,
        2 => ActivityKind::Serialization,
        3 => ActivityKind::Deserialization,
        4 => ActivityKind::ExternalWait,
        5 => ActivityKind::Migration,
        6 => ActivityKind::Source,
        7 => ActivityKind::Sink,
        8 => ActivityKind::Lost,
        9 => ActivityKind::Speculative,
        _ => return None,
    })
}

/// Numbers that follow each other, seven bits a byte, the lowest first.
struct Numbers<'b> {
    bytes: &'b [u8],
}

impl Numbers<'_> {
    /// A number of 32 bits.
    #[inline]
    fn short(&mut self) -> Option<u32> {
        let before = self.bytes.len();
        let number = self.long()?;
        // In more bytes than it needs it is damaged.
        u32::try_from(number).ok().filter(|_| before - self.bytes.len() <= 5)
    }

    /// A number of 64 bits.
    #[inline]
    fn long(&mut self) -> Option<u64> {
        let (&first, rest) = self.bytes.split_first()?;
        if first < 0x80 {
            self.bytes = rest;
            return Some(u64::from(first));
        }
        self.longer()
    }

    /// One of more than one byte, if there are eight bytes left.
    #[inline]
    fn longer(&mut self) -> Option<u64> {
        let word = u64::from_le_bytes(*self.bytes.first_chunk::<8>()?);
        // The highest bit of a byte is set where the number goes on.
        let ends = !word & 0x8080_8080_8080_8080;
        if ends == 0 {
            return self.longest(word);
        }
        // The bits below the end, and those of its own byte.
        let number = sevens(word & (ends ^ (ends - 1)));
        self.bytes = &self.bytes[ends.trailing_zeros() as usize / 8 + 1..];
        Some(number)
    }

    /// One of more than eight bytes, of which `word` are the first.
    fn longest(&mut self, word: u64) -> Option<u64> {
        let ninth = *self.bytes.get(8)?;
        let number = sevens(word) | u64::from(ninth & 0x7f) << 56;
        if ninth < 0x80 {
            self.bytes = &self.bytes[9..];
            return Some(number);
        }
        let tenth = *self.bytes.get(9).filter(|&&tenth| tenth <= 1)?;
        self.bytes = &self.bytes[10..];
        Some(number | u64::from(tenth) << 63)
    }
}

/// The lower seven bits of each byte, put together.
#[inline]
fn sevens(word: u64) -> u64 {
    let word = (word & 0x007f_007f_007f_007f) | (word & 0x7f00_7f00_7f00_7f00) >> 1;
    let word = (word & 0x0000_3fff_0000_3fff) | (word & 0x3fff_0000_3fff_0000) >> 2;
    (word & 0x0000_0000_0fff_ffff) | (word & 0x0fff_ffff_0000_0000) >> 4
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number of a random length.
    fn long(random: &mut fastrand::Rng) -> u64 {
        random.u64(..) >> random.u32(0..64)
    }

    fn short(random: &mut fastrand::Rng) -> u32 {
        random.u32(..) >> random.u32(0..32)
    }

    fn instance(random: &mut fastrand::Rng) -> InstanceId {
        InstanceId::new(OperatorId(short(random)), short(random))
    }

    fn lane(random: &mut fastrand::Rng) -> Lane {
        if random.bool() { Lane::Worker(WorkerId(short(random))) } else { Lane::Instance(instance(random)) }
    }

    fn record(random: &mut fastrand::Rng) -> Record {
        let message = Message {
            at: Timestamp(long(random)),
            kind: if random.bool() { MessageKind::Data } else { MessageKind::Progress },
            channel: ChannelId(short(random)),
            sequence: long(random),
            from: WorkerId(short(random)),
            from_lane: lane(random),
            to_lane: lane(random),
            epoch: if random.bool() { Epoch::UNKNOWN } else { Epoch(long(random)) },
            records: long(random),
        };
        match random.u8(0..5) {
            0 => Record::Sent(message),
            1 => Record::Received(message),
            2 => Record::UpTo { worker: message.from, at: message.at },
            3 => Record::EpochCompleted { at: message.at, worker: message.from, epoch: message.epoch },
            _ => Record::Activity(Activity {
                lane: message.to_lane,
                kind: kind(random.u32(0..10)).unwrap(),
                instance: instance(random),
                epoch: message.epoch,
                start: message.at,
                end: Timestamp(long(random)),
                records_in: message.records,
                records_out: long(random),
            }),
        }
    }

    fn usual(bytes: &[u8]) -> Option<(Record, usize)> {
        let mut out = Vec::new();
        let length = usual_record(bytes, &mut out);
        assert_eq!(out.len(), usize::from(length.is_some()));
        Some((out.pop()?, length?))
    }

    /// Whatever has happened to a record: it is decoded as by postcard, or not at all.
    #[test]
    fn records_are_decoded_as_by_postcard_or_not_at_all() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut usual_ones = 0;
        for _ in 0..100_000 {
            let whole = record(&mut random);
            let mut bytes = postcard::to_stdvec(&whole).unwrap();
            let length = bytes.len();
            bytes.extend((0..random.usize(0..12)).map(|_| random.u8(..)));
            if let Some(found) = usual(&bytes) {
                assert_eq!(found, (whole, length));
                usual_ones += 1;
            }
            for _ in 0..random.usize(1..3) {
                let at = random.usize(0..bytes.len());
                match random.u8(0..4) {
                    0 => bytes[at] = random.u8(..),
                    1 => bytes[at] ^= 0x80,
                    2 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, 0x80),
                }
            }
            if let Some((found, length)) = usual(&bytes) {
                let (expected, rest) = postcard::take_from_bytes::<Record>(&bytes).unwrap();
                assert_eq!((found, length), (expected, bytes.len() - rest.len()));
            }
        }
        assert!(usual_ones > 60_000, "{usual_ones}");
        // Every kind has its number.
        assert!((0..10).all(|number| postcard::to_stdvec(&kind(number)).unwrap() == [1, number as u8]));
        assert_eq!(kind(10), None);
    }
}
