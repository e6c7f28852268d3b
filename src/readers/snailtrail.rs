//! SnailTrail's traces: seven MessagePack integers per record, nothing between them.
//!
//! The seven: time in ns since 1970, worker, activity type, event type, correlator, remote worker,
//! operator; the last three are -1 for "none". Format: papers/snailtrail-nsdi18.md#activity-types.
//!
//! Mapping between the two vocabularies:
//! - Buffer management is scheduling, a barrier is processing, input is a source, a checkpoint
//!   (fault tolerance) is serialization.
//! - Waiting is waiting, whether a message ends it or not, unless it is nested in another activity:
//!   then it is an external wait, since it would otherwise count as part of the surrounding activity.
//! - All data messages are one channel, all control messages another, all messages of fault
//!   tolerance a third: the two sides of a message are matched by sender and correlator only, and
//!   need not name the same operator.
//!
//! Invariant: records are sorted by time as far as a buffer of [`REORDER`] records allows; after
//! that, each worker's times never decrease.

use std::collections::{BTreeSet, VecDeque};
use std::io::Read;

use rmp::decode::{NumValueReadError, read_int};

use super::error::{Damage, Oddities, Place};
use super::lanes::{Lanes, MOST_WORKERS, Open};
use super::reader::Reader;
use crate::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
use crate::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// Number of records buffered for sorting.
const REORDER: usize = 4096;
/// The maximum size of an integer, in bytes.
const MOST_RECORD_BYTES: usize = 7 * 9;
/// Maximum number of operators in a file, and upper bound of their numbers.
const MOST_OPERATORS: usize = 1 << 16;
const LARGEST_OPERATOR: u64 = 1 << 30;
/// Smaller numbers are for pseudo operators; operator `n` gets this plus `n`.
const FIRST_OPERATOR: u32 = 4;
const NO_OPERATOR: &str = "no operator";
/// Names of the channels, also used for the pseudo operator at both ends of each.
const CHANNELS: [(&str, MessageKind); 3] = [
    ("data messages", MessageKind::Data),
    ("control messages", MessageKind::Progress),
    ("fault tolerance messages", MessageKind::Progress),
];
const STARTS: u8 = 1;
const ENDS: u8 = 2;
const SENT: u8 = 3;
const RECEIVED: u8 = 4;

/// A record of the file. Ordered by time, then by position in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Raw {
    at: u64,
    byte: u64,
    worker: u32,
    activity: u8,
    event: u8,
    correlator: Option<u64>,
    remote: Option<u32>,
    operator: Option<u32>,
}

/// The kind of an open activity.
#[derive(Debug)]
struct Tag {
    activity: u8,
    operator: Option<u32>,
}

/// Reads a trace.
pub(super) struct Snailtrail<R> {
    source: R,
    /// Bytes of the file, and the position of the first of them in it.
    buffer: Vec<u8>,
    position: u64,
    /// How many of them have been decoded.
    decoded: usize,
    at_end: bool,
    /// Damage that was found; it follows the records before it.
    damage: Option<Damage>,
    origin: u64,
    /// Sorted. Records come almost in order, so that most are added at its end.
    waiting: VecDeque<Raw>,
    lanes: Lanes<Tag>,
    /// Time of the last record; `None` once records were too far out of order for the buffer.
    ordered: Option<u64>,
    named: BTreeSet<u32>,
    since_told: usize,
}

/// Time of the first record, in ns since 1970, of the trace that begins with `head`.
pub(super) fn first_time(head: &[u8]) -> Option<u64> {
    decode(head, 0, true).ok().flatten().map(|(raw, _)| raw.at)
}

/// Whether `head` starts with a record, or at least with its first four integers.
pub(super) fn begins_a_trace(head: &[u8]) -> bool {
    let mut rest = head;
    let mut fields = Vec::new();
    while fields.len() < 7 {
        match read_int::<i128, _>(&mut rest) {
            Ok(field) => fields.push(field),
            Err(NumValueReadError::TypeMismatch(_) | NumValueReadError::OutOfRange) => return false,
            // The file ends within its first record.
            Err(_) => break,
        }
    }
    let within = |at: usize, most: i128| fields.get(at).is_some_and(|field| (1..=most).contains(field));
    within(2, 13) && within(3, 5)
}

/// Decodes the record at the start of `bytes`, which are at byte `position` of the file; returns it
/// and its length. `None` if there are no bytes left, `at_end` of the file.
fn decode(bytes: &[u8], position: u64, at_end: bool) -> Result<Option<(Raw, usize)>, Damage> {
    match decode_sound(bytes, position) {
        Some(sound) => Ok(Some(sound)),
        None => decode_fields(bytes, position, at_end),
    }
}

/// Decodes a record field by field, which tells what is wrong with it.
fn decode_fields(bytes: &[u8], position: u64, at_end: bool) -> Result<Option<(Raw, usize)>, Damage> {
    if bytes.is_empty() && at_end {
        return Ok(None);
    }
    let mut rest = bytes;
    let mut field = |name: &str, least: i128, most: i128| {
        let byte = position + (bytes.len() - rest.len()) as u64;
        let expected = || format!("{name}: an integer from {least} to {most}");
        let found = match read_int::<i128, _>(&mut rest) {
            Ok(value) if (least..=most).contains(&value) => return Ok((value, byte)),
            Ok(value) => value.to_string(),
            Err(NumValueReadError::TypeMismatch(marker)) => format!("MessagePack {marker:?}"),
            Err(_) => "the end of the file inside of a record".to_owned(),
        };
        Err(Damage::new(Place::Byte(byte), expected(), found))
    };
    let most_worker = i128::from(MOST_WORKERS) - 1;
    let (at, byte) = field("a time", 0, i128::from(u64::MAX))?;
    let (worker, _) = field("a worker", 0, most_worker)?;
    let (activity, _) = field("a type of activity", 1, 13)?;
    let (event, _) = field("a type of event", 1, 5)?;
    let (correlator, _) = field("a correlator", -1, i128::from(u64::MAX))?;
    let (remote, _) = field("a remote worker", -1, most_worker)?;
    let (operator, _) = field("an operator", -1, i128::from(LARGEST_OPERATOR))?;
    let raw = Raw {
        at: at as u64,
        byte,
        worker: worker as u32,
        activity: activity as u8,
        event: event as u8,
        correlator: u64::try_from(correlator).ok(),
        remote: u32::try_from(remote).ok(),
        operator: u32::try_from(operator).ok(),
    };
    Ok(Some((raw, bytes.len() - rest.len())))
}

/// The same for a record as almost all are: whole, in bounds, of integers without a sign or of one
/// byte. `None` for any other, which may be damaged.
fn decode_sound(bytes: &[u8], position: u64) -> Option<(Raw, usize)> {
    let mut read = 0;
    let mut next = || {
        let (value, length) = short_integer(bytes.get(read..)?)?;
        read += length;
        Some(value)
    };
    let (at, worker, activity, event) = (next()?, next()?, next()?, next()?);
    let (correlator, remote, operator) = (next()?, next()?, next()?);
    let most_worker = MOST_WORKERS as i64 - 1;
    let is_sound = at >= 0
        && (0..=most_worker).contains(&worker)
        && (1..=13).contains(&activity)
        && (1..=5).contains(&event)
        && correlator >= -1
        && (-1..=most_worker).contains(&remote)
        && (-1..=LARGEST_OPERATOR as i64).contains(&operator);
    let raw = Raw {
        at: at as u64,
        byte: position,
        worker: worker as u32,
        activity: activity as u8,
        event: event as u8,
        correlator: u64::try_from(correlator).ok(),
        remote: u32::try_from(remote).ok(),
        operator: u32::try_from(operator).ok(),
    };
    is_sound.then_some((raw, read))
}

/// The integer that `bytes` begin with and its length, if it is of one of the usual forms.
#[inline]
fn short_integer(bytes: &[u8]) -> Option<(i64, usize)> {
    match *bytes {
        [small @ 0..=0x7f, ..] => Some((i64::from(small), 1)),
        [negative @ 0xe0..=0xff, ..] => Some((i64::from(negative as i8), 1)),
        [0xcc, a, ..] => Some((i64::from(a), 2)),
        [0xcd, a, b, ..] => Some((i64::from(u16::from_be_bytes([a, b])), 3)),
        [0xce, a, b, c, d, ..] => Some((i64::from(u32::from_be_bytes([a, b, c, d])), 5)),
        [0xcf, a, b, c, d, e, f, g, h, ..] => Some((i64::try_from(u64::from_be_bytes([a, b, c, d, e, f, g, h])).ok()?, 9)),
        _ => None,
    }
}

/// The activity kind for a type; `None` for waiting and for messages.
fn kind(activity: u8) -> Option<ActivityKind> {
    match activity {
        1 => Some(ActivityKind::Source),
        2 | 3 => Some(ActivityKind::Scheduling),
        4 | 5 => Some(ActivityKind::Processing),
        6 | 8 => Some(ActivityKind::Serialization),
        7 => Some(ActivityKind::Deserialization),
        _ => None,
    }
}

/// The index in [`CHANNELS`] for messages of a type.
fn channel(activity: u8) -> Option<u32> {
    match activity {
        10 => Some(0),
        9 => Some(1),
        8 => Some(2),
        _ => None,
    }
}

fn operator(operator: Option<u32>) -> OperatorId {
    OperatorId(operator.map_or(0, |number| FIRST_OPERATOR + number))
}

impl<R: Read> Snailtrail<R> {
    /// Times of the trace are relative to `origin`, in ns since 1970.
    pub(super) fn new(source: R, origin: u64) -> Snailtrail<R> {
        Snailtrail {
            source,
            buffer: Vec::new(),
            position: 0,
            decoded: 0,
            at_end: false,
            damage: None,
            origin,
            waiting: VecDeque::with_capacity(REORDER),
            lanes: Lanes::new(),
            ordered: Some(0),
            named: BTreeSet::new(),
            since_told: 0,
        }
    }

    /// Reads records into the sorting buffer until it is full, the file ends or is damaged.
    fn fill(&mut self) {
        while self.waiting.len() < REORDER && self.damage.is_none() {
            if self.buffer.len() - self.decoded < MOST_RECORD_BYTES && !self.at_end {
                self.buffer.drain(..self.decoded);
                self.position += self.decoded as u64;
                self.decoded = 0;
                match self.source.by_ref().take(64 << 10).read_to_end(&mut self.buffer) {
                    Ok(more) => self.at_end = more == 0,
                    Err(error) => self.damage = Some(Damage::Io(Place::Byte(self.position), error)),
                }
                continue;
            }
            match decode(&self.buffer[self.decoded..], self.position + self.decoded as u64, self.at_end) {
                Ok(Some((raw, length))) => {
                    self.decoded += length;
                    self.sort_in(raw);
                }
                Ok(None) => break,
                Err(damage) => self.damage = Some(damage),
            }
        }
    }

    fn sort_in(&mut self, raw: Raw) {
        match self.waiting.back() {
            Some(last) if *last > raw => {
                let place = self.waiting.partition_point(|before| *before < raw);
                self.waiting.insert(place, raw);
            }
            _ => self.waiting.push_back(raw),
        }
    }

    fn take(&mut self, raw: Raw, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<(), Damage> {
        self.ordered = self.ordered.filter(|&before| before <= raw.at).map(|_| raw.at);
        if raw.at < self.origin {
            oddities.count("records from before the start of the trace, moved to its start");
        }
        let at = self.lanes.see(raw.worker, raw.at.saturating_sub(self.origin), oddities);
        match (raw.event, channel(raw.activity)) {
            (STARTS, _) if !matches!(raw.activity, 9 | 10) => {
                self.name(raw.operator, raw.byte, out)?;
                let tag = Tag { activity: raw.activity, operator: raw.operator };
                let full = |expected| Damage::new(Place::Byte(raw.byte), expected, "one more");
                self.lanes.begin(raw.worker, at, tag).map_err(full)?;
            }
            (ENDS, _) if !matches!(raw.activity, 9 | 10) => {
                let exact = |tag: &Tag| tag.activity == raw.activity && tag.operator == raw.operator;
                let closed = self.lanes.end(raw.worker, exact);
                let closed = closed.or_else(|| self.lanes.end(raw.worker, |tag| tag.activity == raw.activity));
                let Some(mut closed) = closed else {
                    oddities.count("ends of activities that did not begin");
                    return Ok(());
                };
                let matched = closed.pop();
                for open in closed {
                    oddities.count("activities that did not end before the one around them");
                    self.activity(raw.worker, open, at, true, out);
                }
                if let Some(open) = matched {
                    let nested = self.lanes.innermost(raw.worker).is_some();
                    self.activity(raw.worker, open, at, nested, out);
                }
            }
            (SENT | RECEIVED, Some(channel)) => self.message(raw, Timestamp(at), channel, out, oddities),
            _ => oddities.count("events that do not go with their type of activity"),
        }
        Ok(())
    }

    fn activity(&self, worker: u32, open: Open<Tag>, end: u64, nested: bool, out: &mut Vec<Record>) {
        let Some(kind) = kind(open.tag.activity).or(nested.then_some(ActivityKind::ExternalWait)) else {
            out.push(Record::Waited { worker: WorkerId(worker), start: Timestamp(open.start), end: Timestamp(end) });
            return;
        };
        out.push(Record::Activity(Activity {
            lane: Lane::Worker(WorkerId(worker)),
            kind,
            instance: InstanceId::new(operator(open.tag.operator), worker),
            epoch: Epoch::UNKNOWN,
            start: Timestamp(open.start),
            end: Timestamp(end),
            records_in: 0,
            records_out: 0,
        }));
    }

    fn message(&mut self, raw: Raw, at: Timestamp, channel: u32, out: &mut Vec<Record>, oddities: &mut Oddities) {
        let own = WorkerId(raw.worker);
        let from = if raw.event == SENT { Some(own) } else { raw.remote.map(WorkerId) };
        let (Some(sequence), Some(from)) = (raw.correlator, from) else {
            oddities.count("messages without a correlator or a sender");
            return;
        };
        let (name, kind) = CHANNELS[channel as usize];
        let end = OperatorId(1 + channel);
        if self.named.insert(end.0) {
            out.push(Record::Operator { operator: end, name: name.to_owned() });
            out.push(Record::Channel { channel: ChannelId(channel), source: end, target: end });
        }
        let to = if raw.event == SENT { raw.remote.map_or(own, WorkerId) } else { own };
        let message = Message {
            at,
            kind,
            channel: ChannelId(channel),
            sequence,
            from,
            from_lane: Lane::Worker(from),
            to_lane: Lane::Worker(to),
            epoch: Epoch::UNKNOWN,
            records: 0,
        };
        out.push(if raw.event == SENT { Record::Sent(message) } else { Record::Received(message) });
    }

    fn name(&mut self, number: Option<u32>, byte: u64, out: &mut Vec<Record>) -> Result<(), Damage> {
        let operator = operator(number);
        if !self.named.contains(&operator.0) {
            if self.named.len() >= MOST_OPERATORS {
                return Err(Damage::new(Place::Byte(byte), format!("at most {MOST_OPERATORS} operators"), "another"));
            }
            self.named.insert(operator.0);
            let name = number.map_or(NO_OPERATOR.to_owned(), |number| format!("operator {number}"));
            out.push(Record::Operator { operator, name });
        }
        Ok(())
    }
}

impl<R: Read + Send> Reader for Snailtrail<R> {
    fn step(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<bool, Damage> {
        self.fill();
        for _ in 0..REORDER / 4 {
            let Some(raw) = self.waiting.pop_front() else {
                return self.damage.take().map_or(Ok(false), Err);
            };
            self.take(raw, out, oddities)?;
            self.since_told += 1;
        }
        // No more reports than records.
        if self.since_told >= self.lanes.workers() {
            self.since_told = 0;
            self.lanes.tell(self.ordered.map(|at| at.saturating_sub(self.origin)), out);
        }
        Ok(true)
    }

    fn finish(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) {
        let end = self.lanes.latest();
        for (worker, open) in self.lanes.close() {
            oddities.count("activities that did not end before the file");
            self.activity(worker, open, end, false, out);
        }
        self.lanes.tell(Some(end), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is in a record, and wherever it ends.
    #[test]
    fn records_are_decoded_at_once_as_field_by_field() {
        const MOST: u64 = i64::MAX as u64;
        let odd = [-2, -1, 0, 1, 5, 13, 14, 127, 128, 255, 256, 65_535, 65_536, 1 << 30, (1 << 30) + 1, 1 << 32, i128::from(MOST), 1 << 63];
        let usual = [0..=i128::from(MOST), 0..=9, 1..=13, 1..=5, -1..=300, -1..=9, -1..=70_000];
        let mut random = fastrand::Rng::with_seed(1);
        let mut sound = 0;
        for _ in 0..20_000 {
            let mut bytes = Vec::new();
            for usual in usual.clone() {
                let value = if random.u32(0..40) == 0 { odd[random.usize(0..odd.len())] } else { random.i128(usual) };
                match u64::try_from(value) {
                    Ok(value) => drop(rmp::encode::write_uint(&mut bytes, value).unwrap()),
                    Err(_) => drop(rmp::encode::write_sint(&mut bytes, value as i64).unwrap()),
                }
            }
            if random.u32(0..20) == 0 {
                bytes.truncate(random.usize(1..bytes.len()));
            }
            let by_field = decode_fields(&bytes, 7, true);
            match (decode_sound(&bytes, 7), by_field) {
                (Some(found), by_field) => {
                    sound += 1;
                    assert_eq!(Some(found), by_field.unwrap());
                }
                // What needs all bits is left to the other way.
                (None, Ok(Some((raw, _)))) => assert!(raw.at > MOST || raw.correlator > Some(MOST), "{raw:?}"),
                (None, _) => {}
            }
        }
        assert!((5_000..19_000).contains(&sound), "{sound}");
    }
}
