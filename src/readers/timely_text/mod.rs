//! Timely's own log as text, one event per line, as `{:?}` prints it.
//!
//! Timely 0.9 to 0.32 print `(901.2ms, 0, Schedule(ScheduleEvent { id: 4, start_stop: Stop }))`, the
//! later ones without the worker; earlier ones `(901.2ms, 0, Sched { id: 4, start_stop: Stop })`. A
//! label before an event (`LOG1: `) and lines that are no event are skipped, whatever they hold. Where
//! lines do not name the worker, a file is the log of one worker: the one whose messages it shows, or
//! the first (`whose.rs`).
//!
//! Mapping to records:
//! - An activation of an operator is an activity: processing if it received, processed or sent
//!   records meanwhile, otherwise scheduling. An enclosing dataflow is an activity around those of
//!   its operators.
//! - A message between two workers is a message; one within a worker is only counted, in the
//!   records of the activity.
//! - A progress update that is sent or arrives is a message. Its receivers are unknown, so the
//!   sender is recorded in their place.
//! - The texts `begin computation at epoch: 0` and `closed times before: 1` open and complete
//!   epochs. While one epoch is open on a worker, its activity belongs to that epoch.
//! - From where a worker parks to where it goes on, it waits.
//! - The start and end of processing within an activation, and progress updates pushed to an
//!   operator, add no record.
//!
//! Invariant: the name of an operator or channel precedes any record that refers to its number.

mod epochs;
mod limits;
mod line;
mod rest;
#[cfg(test)]
mod tests;
mod whose;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::BufRead;

use self::epochs::Epochs;
use self::limits::{id, room};
use self::line::{End, Event, Line, is_cut_off, is_meant, parse};
use self::rest::Refused;
use self::whose::Whose;
use super::error::{Damage, Oddities, Place, excerpt};
use super::lanes::{Lanes, MOST_WORKERS, Open};
use super::lines::{Line as Text, Lines};
use super::reader::Reader;
use crate::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
use crate::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use crate::time::Timestamp;

/// Longer lines are not events.
const MOST_LINE_BYTES: usize = 64 << 10;
/// Longest kept name of an operator, in characters.
const MOST_NAME: usize = 200;
/// Minimum number of lines between reports of workers' progress.
const TELL_LINES: usize = 64;

/// Whether a line begins as an event does.
pub(super) fn begins_an_event(line: &str) -> bool {
    line::begins_an_event(line)
}

/// An activation in progress.
#[derive(Debug)]
struct Activation {
    operator: u32,
    records_in: u64,
    records_out: u64,
    worked: bool,
}

/// Reads a log.
pub(super) struct TimelyText<R> {
    lines: Lines<R>,
    lanes: Lanes<Activation>,
    epochs: Epochs,
    /// Operators, and whether their names are known.
    operators: BTreeMap<u32, bool>,
    /// Operators by their addresses.
    addresses: BTreeMap<Vec<u64>, u32>,
    whose: Whose,
    /// What ended the file while lines were held.
    damage: Option<Damage>,
    /// Whether an event or a line of the head has been read.
    any: bool,
    /// Since when a worker has been parked.
    parked: BTreeMap<u32, u64>,
    /// Source and target of each channel.
    channels: BTreeMap<u32, (u32, u32)>,
    since_told: usize,
}

impl<R: BufRead> TimelyText<R> {
    pub(super) fn new(source: R) -> TimelyText<R> {
        TimelyText {
            lines: Lines::new(source, MOST_LINE_BYTES),
            lanes: Lanes::new(),
            epochs: Epochs::default(),
            operators: BTreeMap::new(),
            addresses: BTreeMap::new(),
            whose: Whose::default(),
            damage: None,
            any: false,
            parked: BTreeMap::new(),
            channels: BTreeMap::new(),
            since_told: 0,
        }
    }

    fn operator(&mut self, number: u64, name: Option<&str>, out: &mut Vec<Record>) -> Result<u32, Refused> {
        let number = id(number, u64::from(u32::MAX), "an operator")?;
        let known = self.operators.get(&number).copied();
        if known.is_none() {
            room(self.operators.len(), "operators")?;
        }
        // A name may come after the first that is seen of its operator.
        if known.is_none() || (known == Some(false) && name.is_some()) {
            self.operators.insert(number, name.is_some());
            let name = name.map_or_else(|| format!("operator {number}"), |name| name.chars().take(MOST_NAME).collect());
            out.push(Record::Operator { operator: OperatorId(number), name });
        }
        Ok(number)
    }

    fn channel(&mut self, number: u64, source: u32, target: u32, out: &mut Vec<Record>) -> Result<u32, Refused> {
        let number = id(number, u64::from(u32::MAX), "a channel")?;
        if !self.channels.contains_key(&number) {
            room(self.channels.len(), "channels")?;
            self.channels.insert(number, (source, target));
            out.push(Record::Channel { channel: ChannelId(number), source: OperatorId(source), target: OperatorId(target) });
        }
        Ok(number)
    }

    /// The operator at a place in a scope; the scope itself stands at its place 0.
    fn placed(&self, mut scope: Vec<u64>, place: u64) -> Option<u32> {
        if place > 0 {
            scope.push(place);
        }
        self.addresses.get(&scope).copied()
    }

    fn event(
        &mut self,
        at: u64,
        worker: Option<u64>,
        event: Event<'_>,
        out: &mut Vec<Record>,
        oddities: &mut Oddities,
    ) -> Result<(), Refused> {
        let worker = id(worker.unwrap_or_else(|| self.whose.worker()), MOST_WORKERS - 1, "a worker")?;
        let at = self.lanes.see(worker, at, oddities);
        match event {
            Event::Operates { operator, address, name } => {
                let operator = self.operator(operator, Some(name), out)?;
                if !self.addresses.contains_key(&address) {
                    room(self.addresses.len(), "addresses")?;
                    self.addresses.insert(address, operator);
                }
            }
            Event::Channels { channel, scope, source, target } => {
                if let (Some(source), Some(target)) = (self.placed(scope.clone(), source), self.placed(scope, target)) {
                    self.channel(channel, source, target, out)?;
                }
            }
            Event::Park { starts: true } => drop(self.parked.insert(worker, at)),
            Event::Park { starts: false } => {
                if let Some(since) = self.parked.remove(&worker) {
                    out.push(Record::Waited { worker: WorkerId(worker), start: Timestamp(since), end: Timestamp(at) });
                }
            }
            Event::Sched { operator, starts: true } => {
                self.epochs.give(worker, self.source(), out);
                let operator = self.operator(operator, None, out)?;
                let activation = Activation { operator, records_in: 0, records_out: 0, worked: false };
                self.lanes.begin(worker, at, activation).map_err(|expected| (expected, "one more".to_owned()))?;
            }
            Event::Sched { operator, starts: false } => {
                let Some(mut closed) = self.lanes.end(worker, |open| u64::from(open.operator) == operator) else {
                    oddities.count("activations that stop but did not start");
                    return Ok(());
                };
                let matched = closed.pop();
                for open in closed {
                    oddities.count("activations that did not stop before the one around them");
                    self.activity(worker, open, at, out);
                }
                if let Some(open) = matched {
                    self.activity(worker, open, at, out);
                }
            }
            Event::Msg { sends, channel, source, target, sequence, length } => {
                self.records(worker, at, sends, length);
                if source != target {
                    let target = id(target, MOST_WORKERS - 1, "a worker")?;
                    if !u32::try_from(channel).is_ok_and(|channel| self.channels.contains_key(&channel)) {
                        oddities.count("messages of channels that the head does not name");
                    }
                    let side = Side { kind: MessageKind::Data, sends, channel, source, sequence, records: length };
                    self.message(worker, at, side, target, out, oddities)?;
                }
            }
            Event::Progress { sends, source, channel, sequence, operator } => {
                let operator = self.operator(operator, None, out)?;
                self.channel(channel, operator, operator, out)?;
                let side = Side { kind: MessageKind::Progress, sends, channel, source, sequence, records: 0 };
                self.message(worker, at, side, worker, out, oddities)?;
            }
            Event::GMsg => {
                if let Some(open) = self.lanes.innermost(worker) {
                    open.tag.worked = true;
                }
            }
            Event::PushProgress => {}
            Event::Text(text) => self.epochs.text(worker, at, text, self.source(), out, oddities)?,
            Event::Other(name) => {
                let name: String = name.chars().take(MOST_NAME).collect();
                oddities.count(format!("events of kind '{name}', which is not read"));
            }
        }
        Ok(())
    }

    /// Counts records for the activation they belong to; those sent outside of any belong to a
    /// source.
    fn records(&mut self, worker: u32, at: u64, sends: bool, length: u64) {
        if let Some(Open { tag: activation, .. }) = self.lanes.innermost(worker) {
            activation.worked = true;
            let count = if sends { &mut activation.records_out } else { &mut activation.records_in };
            *count = count.saturating_add(length);
        } else if sends {
            self.epochs.sent(worker, at, length);
        }
    }

    fn message(
        &mut self,
        worker: u32,
        at: u64,
        side: Side,
        target: u32,
        out: &mut Vec<Record>,
        oddities: &mut Oddities,
    ) -> Result<(), Refused> {
        let from = id(side.source, MOST_WORKERS - 1, "a worker")?;
        if worker != (if side.sends { from } else { target }) {
            oddities.count("messages that another worker sends or receives than the one that logs it");
            return Ok(());
        }
        let message = Message {
            at: Timestamp(at),
            kind: side.kind,
            channel: ChannelId(id(side.channel, u64::from(u32::MAX), "a channel")?),
            sequence: side.sequence,
            from: WorkerId(from),
            from_lane: Lane::Worker(WorkerId(from)),
            to_lane: Lane::Worker(WorkerId(target)),
            epoch: self.epochs.current(worker),
            records: side.records,
        };
        out.push(if side.sends { Record::Sent(message) } else { Record::Received(message) });
        Ok(())
    }

    fn activity(&self, worker: u32, open: Open<Activation>, end: u64, out: &mut Vec<Record>) {
        let Activation { operator, records_in, records_out, worked } = open.tag;
        out.push(Record::Activity(Activity {
            lane: Lane::Worker(WorkerId(worker)),
            kind: if worked { ActivityKind::Processing } else { ActivityKind::Scheduling },
            instance: InstanceId::new(OperatorId(operator), worker),
            epoch: self.epochs.current(worker),
            start: Timestamp(open.start),
            end: Timestamp(end),
            records_in,
            records_out,
        }));
    }

    /// What the epochs' records come from. Timely numbers what a program builds in the order in which
    /// it is built: the first channel comes from an input.
    fn source(&self) -> OperatorId {
        OperatorId(self.channels.values().next().map_or(0, |&(source, _)| source))
    }

    fn tell(&mut self, out: &mut Vec<Record>) {
        self.epochs.give_all(self.source(), out);
        self.lanes.tell(None, out);
    }

    /// Reads a line; false at the end of the file.
    fn read(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<bool, Damage> {
        let line = match self.lines.next()? {
            None => return Ok(false),
            Some(Text::Whole(line)) => line.to_owned(),
            Some(Text::TooLong) => {
                oddities.count("lines of more than 64 KiB, skipped");
                return Ok(true);
            }
        };
        let text = String::from_utf8_lossy(&line);
        let parsed = match &text {
            Cow::Borrowed(text) => parse(text),
            Cow::Owned(text) if is_meant(text) => Err(("text in UTF-8".to_owned(), excerpt(&line))),
            Cow::Owned(_) => Ok(Line::Foreign),
        };
        let may_be_cut_off = self.any && !self.lines.is_ended() && matches!(parsed, Err(_) | Ok(Line::Foreign));
        if may_be_cut_off && is_cut_off(&text, parsed.as_ref().err()) {
            oddities.count("the last line is unfinished: it was still being written");
            return Ok(true);
        }
        self.take(self.lines.place(), &text, parsed, out, oddities)?;
        Ok(true)
    }

    fn take(
        &mut self,
        place: Place,
        line: &str,
        parsed: Result<Line<'_>, Refused>,
        out: &mut Vec<Record>,
        oddities: &mut Oddities,
    ) -> Result<(), Damage> {
        let refused = |(expected, found): Refused| Damage::new(place, expected, found);
        let parsed = parsed.map_err(refused)?;
        self.any |= !matches!(parsed, Line::Nothing | Line::Foreign);
        match parsed {
            Line::Nothing => {}
            Line::Foreign => oddities.count("lines that are no event, skipped"),
            Line::Operator(End { operator, name }) => {
                self.operator(operator, Some(name), out).map_err(refused)?;
            }
            Line::Channel { channel, source, target } => {
                let from = self.operator(source.operator, Some(source.name), out).map_err(refused)?;
                let to = self.operator(target.operator, Some(target.name), out).map_err(refused)?;
                self.channel(channel, from, to, out).map_err(refused)?;
            }
            Line::Event { worker: None, event, .. } if self.whose.holds(place, line, &event, oddities) => return Ok(()),
            Line::Event { at, worker, event } => self.event(at, worker, event, out, oddities).map_err(refused)?,
        }
        self.since_told += 1;
        if self.since_told >= self.lanes.workers().max(TELL_LINES) {
            self.since_told = 0;
            self.tell(out);
        }
        Ok(())
    }
}

/// One side of a message, as it is logged.
struct Side {
    kind: MessageKind,
    sends: bool,
    channel: u64,
    source: u64,
    sequence: u64,
    records: u64,
}

impl<R: BufRead + Send> Reader for TimelyText<R> {
    fn step(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<bool, Damage> {
        if let Some((place, line)) = self.whose.next() {
            self.take(place, &line, parse(&line), out, oddities)?;
            return Ok(true);
        }
        if let Some(damage) = self.damage.take() {
            return Err(damage);
        }
        match self.read(out, oddities) {
            Err(damage) if self.whose.give_up() => {
                self.damage = Some(damage);
                Ok(true)
            }
            Ok(false) if self.whose.give_up() => Ok(true),
            read => read,
        }
    }

    fn finish(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) {
        let end = self.lanes.latest();
        for (worker, open) in self.lanes.close() {
            oddities.count("activations that did not stop before the file ended");
            self.activity(worker, open, end, out);
        }
        self.tell(out);
        self.lanes.tell(Some(end), out);
    }
}
