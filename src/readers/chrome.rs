//! Trace events of Chrome in JSON: what Chrome, Perfetto's viewers, PyTorch, Bazel and `--export
//! perfetto` write; an object with `traceEvents`, or only their array.
//!
//! Mapping to records:
//! - A thread is a worker, named after its process and itself; a slice (`X`, or `B` to `E`) is an
//!   activity of the operator of its name; slices inside of it are what the thread did then.
//! - A flow (`s`, then `t` or `f`) is a message; it is the only thing that says what waited for what.
//!   Messages are received where the flow arrives.
//! - In files that we exported the category of a slice is the kind of its activity; waits are left to
//!   be found again, and the process that repeats the critical path is left out.
//! - Counters, samples, marks and the like are not read.
//!
//! Times are relative to the whole minute of the first event. Events come in any order. Of a file that
//! can be read twice, it is known how early what is still to come may be (`horizon.rs`): no more is held
//! than is out of order, and what is open. Otherwise no window is complete before the end, and memory
//! grows with the number of events.

// Names are looked up, never walked: the order of their tables shows nowhere.
#![allow(clippy::disallowed_types)]

mod event;
mod flow;

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

use rustc_hash::FxHashMap;

use self::event::{Event, event, event_at_hand, text};
use self::flow::Flows;
use super::elements::Elements;
use super::error::{Damage, Oddities, excerpt};
use super::horizon::Horizon;
use super::lanes::MOST_WORKERS;
use super::reader::Reader;
use crate::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
use crate::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// The most names of slices and of flows; further ones are one.
const MOST_NAMED: usize = 1 << 16;
/// The most slices that are open at once on a thread.
const MOST_OPEN: usize = 1 << 12;
/// Longest kept name, in characters.
const MOST_NAME: usize = 200;
/// Longer events are skipped.
const MOST_EVENT_MIB: usize = 4;
const MINUTE: u64 = 60_000_000_000;

/// A thread.
#[derive(Debug)]
struct Thread {
    worker: u32,
    pid: String,
    name: String,
    /// Slices that have begun: operator, kind and start.
    open: Vec<(u32, ActivityKind, u64)>,
}

/// Reads a trace.
pub(super) struct Chrome<R> {
    events: Elements<R>,
    job: Job,
    horizon: Option<Horizon>,
    /// The stretch of the file that is being read.
    stretch: u64,
}

/// What the events so far have told.
#[derive(Default)]
struct Job {
    origin: Option<u64>,
    threads: Vec<Thread>,
    /// Where each thread is: by its process and itself as text, and if both are numbers by these.
    places: BTreeMap<(String, String), usize>,
    numbered: FxHashMap<(u64, u64), usize>,
    processes: BTreeMap<String, String>,
    operators: FxHashMap<String, u32>,
    channels: FxHashMap<String, u32>,
    flows: Flows,
    latest: u64,
    /// Time up to which everything has been told.
    told: u64,
    /// Whether names of threads were learnt that have not been told.
    is_named: bool,
}

type Refused = (String, String);

/// Whether an event is of a kind whose time is read.
fn is_timed(event: &[u8]) -> bool {
    let Some(at) = memchr::memmem::find(event, b"\"ph\"") else { return true };
    let mut value = event[at + 4..].iter().filter(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b':' | b'"'));
    value.next().is_none_or(|kind| b"XBEstf".contains(kind))
}

/// What is known of the times of events before they are read.
///
/// # Errors
/// If the content cannot be read.
pub(super) fn ahead(content: impl Read) -> io::Result<Horizon> {
    Horizon::of_those(content, "\"ts\"", is_timed)
}

impl<R: BufRead> Chrome<R> {
    /// What is to come may be as early as `horizon` says.
    pub(super) fn new(source: R, horizon: Option<Horizon>) -> Chrome<R> {
        Chrome { events: Elements::new(source, &["traceEvents"], "event", MOST_EVENT_MIB), job: Job::default(), horizon, stretch: 0 }
    }

    /// Tells up to when everything is known, once for each stretch of the file.
    fn tell(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) {
        let Some(horizon) = &self.horizon else { return };
        let stretch = Horizon::stretch(self.events.position());
        if stretch > self.stretch {
            self.stretch = stretch;
            if let Some(micros) = horizon.from(stretch) {
                self.job.tell(micros.saturating_mul(1000), out, oddities);
            }
        }
    }

    /// Takes the next event if it is at hand as a whole and as almost all are: then its end need not
    /// be looked for.
    fn take_at_hand(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<bool, Damage> {
        let Chrome { events, job, .. } = self;
        let Some((bytes, place)) = events.peek()? else { return Ok(false) };
        let Some((event, length)) = event_at_hand(bytes) else { return Ok(false) };
        let taken = job.take(&event, out, oddities).map_err(|(expected, found)| Damage::new(place, expected, found));
        events.pass(length);
        taken.map(|()| true)
    }
}

impl Job {
    /// A time of the trace in ns, from microseconds.
    fn at(&mut self, micros: f64, oddities: &mut Oddities) -> Result<u64, Refused> {
        if !(0.0..1e16).contains(&micros) {
            return Err(("a time in microseconds from 0 to 1e16".to_owned(), micros.to_string()));
        }
        // Whole microseconds apart, so that those of today keep their decimals; rounded without a call of a library.
        let whole = micros as u64;
        let more = (micros - whole as f64) * 1000.0;
        let ns = whole * 1000 + more as u64 + u64::from(more - (more as u64) as f64 >= 0.5);
        let origin = *self.origin.get_or_insert(ns - ns % MINUTE);
        if ns < origin {
            oddities.count("events from before the minute of the first, moved to its start");
        }
        let at = ns.saturating_sub(origin);
        self.latest = self.latest.max(at);
        Ok(at)
    }

    fn operator(&mut self, name: &str, out: &mut Vec<Record>) -> u32 {
        let name = shortened(name);
        if let Some(&operator) = self.operators.get(name) {
            return operator;
        }
        let next = self.operators.len() as u32;
        let name = if self.operators.len() < MOST_NAMED { name } else { "further names" };
        *self.operators.entry(name.to_owned()).or_insert_with_key(|name| {
            out.push(Record::Operator { operator: OperatorId(next), name: name.clone() });
            next
        })
    }

    /// The thread of an event.
    fn thread(&mut self, event: &Event<'_>) -> Result<&mut Thread, Refused> {
        let numbers = event.pid.as_u64().zip(event.tid.as_u64());
        let known = numbers.and_then(|numbers| self.numbered.get(&numbers).copied());
        let place = match known {
            Some(place) => place,
            None => self.place(event)?,
        };
        if let (Some(numbers), None) = (numbers, known) {
            self.numbered.insert(numbers, place);
        }
        Ok(&mut self.threads[place])
    }

    /// Where an event's thread is; a new one is added.
    fn place(&mut self, event: &Event<'_>) -> Result<usize, Refused> {
        let key = (text(&event.pid), text(&event.tid));
        if let Some(&place) = self.places.get(&key) {
            return Ok(place);
        }
        let next = self.threads.len();
        if next as u64 >= MOST_WORKERS {
            return Err((format!("at most {MOST_WORKERS} threads"), "one more".to_owned()));
        }
        self.is_named = true;
        self.threads.push(Thread { worker: next as u32, pid: key.0.clone(), name: format!("thread {}", key.1), open: Vec::new() });
        self.places.insert(key, next);
        Ok(next)
    }

    fn take(&mut self, event: &Event<'_>, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<(), Refused> {
        match event.ph.as_ref() {
            "X" => {
                let start = self.at(event.ts, oddities)?;
                let end = self.at(event.ts + event.dur.max(0.0), oddities)?;
                let operator = self.operator(&event.name, out);
                let worker = self.thread(event)?.worker;
                self.slice(worker, operator, kind(&event.cat), start, end, out);
            }
            "B" => {
                let (start, operator, kind) = (self.at(event.ts, oddities)?, self.operator(&event.name, out), kind(&event.cat));
                let open = &mut self.thread(event)?.open;
                if open.len() >= MOST_OPEN {
                    return Err((format!("at most {MOST_OPEN} open slices of a thread"), "one more".to_owned()));
                }
                open.push((operator, kind.unwrap_or(ActivityKind::Processing), start));
            }
            "E" => {
                let end = self.at(event.ts, oddities)?;
                let thread = self.thread(event)?;
                let worker = thread.worker;
                match thread.open.pop() {
                    Some((operator, kind, start)) => self.slice(worker, operator, Some(kind), start, end, out),
                    None => oddities.count("ends of slices that did not begin"),
                }
            }
            "s" => self.sent(event, out, oddities)?,
            "t" | "f" => self.received(event, out, oddities)?,
            "M" => self.named(event)?,
            _ => oddities.count("events of kinds that are not read"),
        }
        Ok(())
    }

    fn slice(&self, worker: u32, operator: u32, kind: Option<ActivityKind>, start: u64, end: u64, out: &mut Vec<Record>) {
        let Some(kind) = kind else { return };
        out.push(Record::Activity(Activity {
            lane: Lane::Worker(WorkerId(worker)),
            kind,
            instance: InstanceId::new(OperatorId(operator), worker),
            epoch: Epoch::UNKNOWN,
            start: Timestamp(start),
            end: Timestamp(end.max(start)),
            records_in: 0,
            records_out: 0,
        }));
    }

    /// The channel of flows with a name that was not seen before.
    fn channel(&mut self, name: &str, out: &mut Vec<Record>) -> u32 {
        let (next, is_room) = (self.channels.len() as u32, self.channels.len() < MOST_NAMED);
        let name = if is_room { name } else { "further flows" };
        if let Some(&channel) = self.channels.get(name) {
            return channel;
        }
        self.channels.insert(name.to_owned(), next);
        let ends = OperatorId(self.operator(name, out));
        out.push(Record::Channel { channel: ChannelId(next), source: ends, target: ends });
        next
    }

    /// The channel of a flow's event.
    fn channel_of(&mut self, event: &Event<'_>, out: &mut Vec<Record>) -> u32 {
        let name = if event.name.is_empty() { event.cat.as_ref() } else { event.name.as_ref() };
        let name = shortened(name);
        match self.channels.get(name) {
            Some(&channel) => channel,
            None => self.channel(name, out),
        }
    }

    fn sent(&mut self, event: &Event<'_>, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<(), Refused> {
        let at = self.at(event.ts, oddities)?;
        let worker = self.thread(event)?.worker;
        let channel = self.channel_of(event, out);
        let (number, receipts) = self.flows.sent((channel, &event.id), worker, at, oddities);
        out.push(Record::Sent(side(channel, number, worker, worker, at)));
        out.extend(receipts.into_iter().map(|(to, at)| Record::Received(side(channel, number, worker, to, at))));
        Ok(())
    }

    fn received(&mut self, event: &Event<'_>, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<(), Refused> {
        let at = self.at(event.ts, oddities)?;
        let worker = self.thread(event)?.worker;
        let channel = self.channel_of(event, out);
        let known = self.flows.received((channel, &event.id), worker, at, event.ph == "f", oddities);
        out.extend(known.map(|(number, from)| Record::Received(side(channel, number, from, worker, at))));
        Ok(())
    }

    /// Tells that nothing which is still to come of the file is earlier than `least`, in ns; what began before and has not ended may be.
    fn tell(&mut self, least: u64, out: &mut Vec<Record>, oddities: &mut Oddities) {
        let Some(origin) = self.origin else { return };
        let least = least.saturating_sub(origin);
        let received = self.flows.pass(least, oddities);
        let open = self.threads.iter().filter_map(|thread| thread.open.first()).map(|&(_, _, start)| start).min();
        let up_to = least.min(self.latest).min(received.unwrap_or(u64::MAX)).min(open.unwrap_or(u64::MAX));
        if up_to <= self.told {
            return;
        }
        self.told = up_to;
        if std::mem::take(&mut self.is_named) {
            self.names(out);
        }
        out.extend(self.threads.iter().map(|thread| Record::UpTo { worker: WorkerId(thread.worker), at: Timestamp(up_to) }));
    }

    fn named(&mut self, event: &Event<'_>) -> Result<(), Refused> {
        let name: String = text(&event.args.name).chars().take(MOST_NAME).collect();
        match event.name.as_ref() {
            "process_name" if self.processes.len() < MOST_NAMED => drop(self.processes.insert(text(&event.pid), name)),
            "thread_name" => self.thread(event)?.name = name,
            _ => return Ok(()),
        }
        self.is_named = true;
        Ok(())
    }

    /// Names the threads.
    fn names(&self, out: &mut Vec<Record>) {
        for &place in self.places.values() {
            let thread = &self.threads[place];
            let process = self.processes.get(&thread.pid).filter(|name| !name.is_empty() && **name != thread.name);
            let name = process.map_or_else(|| thread.name.clone(), |process| format!("{process}, {}", thread.name));
            out.push(Record::WorkerJoined { worker: WorkerId(thread.worker), at: Timestamp::ZERO, name });
        }
    }

    fn finish(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) {
        let latest = self.latest;
        self.names(out);
        let mut unended = Vec::new();
        for &place in self.places.values() {
            let thread = &mut self.threads[place];
            unended.extend(thread.open.drain(..).map(|(operator, kind, start)| (thread.worker, operator, kind, start)));
        }
        for (worker, operator, kind, start) in unended {
            oddities.count("slices that did not end before the file");
            self.slice(worker, operator, Some(kind), start, latest, out);
        }
        self.flows.close(oddities);
    }
}

fn side(channel: u32, number: u64, from: u32, to: u32, at: u64) -> Message {
    Message {
        at: Timestamp(at),
        kind: MessageKind::Data,
        channel: ChannelId(channel),
        sequence: number,
        from: WorkerId(from),
        from_lane: Lane::Worker(WorkerId(from)),
        to_lane: Lane::Worker(WorkerId(to)),
        epoch: Epoch::UNKNOWN,
        records: 1,
    }
}

/// A name, or as much of it as is kept.
fn shortened(name: &str) -> &str {
    if name.len() <= MOST_NAME {
        return name;
    }
    name.char_indices().nth(MOST_NAME).map_or(name, |(end, _)| &name[..end])
}

/// The kind of activity of a slice of this category: in files that we exported its name; nothing for
/// slices that are no activity.
fn kind(category: &str) -> Option<ActivityKind> {
    Some(match category.split(',').next().unwrap_or_default() {
        // The critical path in files that we exported, and the whole in those of PyTorch.
        "wait" | "critical" | "Trace" => return None,
        "scheduling" => ActivityKind::Scheduling,
        "serialization" => ActivityKind::Serialization,
        "deserialization" => ActivityKind::Deserialization,
        "external wait" => ActivityKind::ExternalWait,
        "migration" => ActivityKind::Migration,
        "source" => ActivityKind::Source,
        "sink" => ActivityKind::Sink,
        "lost work" => ActivityKind::Lost,
        "speculative work" => ActivityKind::Speculative,
        _ => ActivityKind::Processing,
    })
}

impl<R: BufRead + Send> Reader for Chrome<R> {
    fn step(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<bool, Damage> {
        self.tell(out, oddities);
        if self.take_at_hand(out, oddities)? {
            return Ok(true);
        }
        let Chrome { events, job, .. } = self;
        let Some((element, place)) = events.next(oddities)? else { return Ok(false) };
        let event = event(element).map_err(|error| Damage::new(place, "a trace event", format!("{} ({error})", excerpt(element))))?;
        job.take(&event, out, oddities).map_err(|(expected, found)| Damage::new(place, expected, found))?;
        Ok(true)
    }

    fn origin(&self) -> u64 {
        self.job.origin.unwrap_or_default()
    }

    fn finish(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) {
        self.job.finish(out, oddities);
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn read(document: &str) -> (Vec<Record>, Oddities, Option<Damage>) {
        read_by(1 << 13, document)
    }

    /// With `buffer` bytes at hand at most.
    fn read_by(buffer: usize, document: &str) -> (Vec<Record>, Oddities, Option<Damage>) {
        let (mut records, mut oddities) = (Vec::new(), Oddities::default());
        let mut chrome = Chrome::new(BufReader::with_capacity(buffer, document.as_bytes()), None);
        let damage = loop {
            match chrome.step(&mut records, &mut oddities) {
                Ok(true) => {}
                Ok(false) => break None,
                Err(damage) => break Some(damage),
            }
        };
        chrome.finish(&mut records, &mut oddities);
        (records, oddities, damage)
    }

    #[test]
    fn threads_slices_and_flows_become_workers_activities_and_messages() {
        let document = r#"{"schemaVersion": 1, "traceEvents": [
            {"ph": "M", "name": "process_name", "pid": 7, "args": {"name": "python"}},
            {"ph": "M", "name": "thread_name", "pid": 7, "tid": "main", "args": {"name": "main thread"}},
            {"ph": "f", "name": "go", "id": 1, "pid": 7, "tid": 9, "ts": 120000030.5, "bp": "e"},
            {"ph": "X", "name": "load", "cat": "cpu_op", "pid": 7, "tid": "main", "ts": 120000010.25, "dur": 10},
            {"ph": "s", "name": "go", "id": 1, "pid": 7, "tid": "main", "ts": 120000020},
            {"ph": "B", "name": "run", "pid": 7, "tid": 9, "ts": 120000030.5}, {"ph": "E", "pid": 7, "tid": 9, "ts": 120000035},
            {"ph": "X", "name": "load", "cat": "wait", "pid": 7, "tid": 9, "ts": 120000020, "dur": 10},
            {"ph": "i", "name": "mark", "pid": 7, "tid": 9, "ts": 120000021}]}"#;
        let (records, oddities, damage) = read(document);
        assert!(damage.is_none());
        // However much of an event is at hand at once.
        assert!([3, 100, 200].iter().all(|&buffer| read_by(buffer, document).0 == records));
        assert_eq!(oddities.iter().collect::<Vec<_>>(), [("events of kinds that are not read", 1)]);
        let slices: Vec<_> = records
            .iter()
            .filter_map(|record| match record {
                Record::Activity(slice) => Some((slice.lane, slice.instance.operator.0, slice.start.0, slice.end.0)),
                _ => None,
            })
            .collect();
        let lane = |worker| Lane::Worker(WorkerId(worker));
        // "go" is the first operator: the flow came first.
        assert_eq!(slices, [(lane(0), 1, 10_250, 20_250), (lane(1), 2, 30_500, 35_000)]);
        assert!(records.contains(&Record::Sent(side(0, 1, 0, 0, 20_000))) && records.contains(&Record::Received(side(0, 1, 0, 1, 30_500))));
        let named = |worker, name: &str| Record::WorkerJoined { worker: WorkerId(worker), at: Timestamp::ZERO, name: name.to_owned() };
        assert!(records.contains(&named(0, "python, main thread")) && records.contains(&named(1, "python, thread 9")), "{records:?}");
    }

    #[test]
    fn what_is_not_needed_of_an_event_may_be_anything() {
        let (records, oddities, damage) = read(
            r#"[{"ph": "X", "name": null, "cat": 3, "args": "__stripped__", "pid": 1, "tid": 1, "ts": 1, "dur": 2},
            {"ph": 3}, {"ph": "i", "ts": "now"}, {"name": "no kind"}, {}]"#,
        );
        assert!(damage.is_none(), "{damage:?}");
        assert_eq!(oddities.iter().map(|(_, count)| count).sum::<u64>(), 4);
        assert_eq!(records.iter().filter(|record| matches!(record, Record::Activity(_))).count(), 1);
    }

    #[test]
    fn what_is_no_event_is_damage_with_its_line() {
        let damage_by = |buffer, document: &str| match read_by(buffer, document).2 {
            Some(Damage::Content { place, expected, .. }) => format!("{place}: {expected}"),
            other => panic!("{other:?}"),
        };
        let damage = |document: &str| {
            let found = damage_by(1 << 13, document);
            assert_eq!(damage_by(5, document), found);
            found
        };
        assert_eq!(damage("[\n{\"ph\": \"X\", \"ts\": \"now\"}]"), "line 2: a trace event");
        assert_eq!(damage("[{\"ph\": \"X\", \"ts\": -1}]"), "line 1: a time in microseconds from 0 to 1e16");
        assert_eq!(damage("[{\"ph\": \"X\", \"ts\": 1, \"dur\": 1e300}]"), "line 1: a time in microseconds from 0 to 1e16");
    }
}
