//! Traces of Jaeger in JSON: what its user interface and its interface for programs give, an object
//! with `data`, an array of traces.
//!
//! Spans tell when each request was served and by whom it was made, not what waited for what. It is
//! inferred: a span waits for the child that ends last before its own end, before the start of that
//! one for the child that ends last before it, and so on; in between it works itself. Children that
//! overlap with the next by at most a twentieth of their length count as ended before it: clocks
//! differ. Other children run beside it; what sticks out of the parent is cut (as CRISP does).
//!
//! Mapping to records:
//! - A trace is an epoch, from the start of its first root to its end; a service's operation is an
//!   operator. Spans of a service that do not overlap share a lane, the rest get further ones.
//! - A span is the work between its waits; a request and its answer are messages that take no time.
//!
//! Times are relative to the whole second of the first span. One trace is held at a time; traces come
//! in any order, so no window is complete before the end of the file: memory grows with the number of
//! spans.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::BufRead;

use serde::Deserialize;

use super::elements::Elements;
use super::error::{Damage, Oddities, excerpt};
use super::lanes::MOST_WORKERS;
use super::reader::Reader;
use crate::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
use crate::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// The most operations, and channels between them; further ones are one.
const MOST_NAMED: usize = 1 << 16;
/// Longest kept name, in characters.
const MOST_NAME: usize = 200;
/// Later times are none, in microseconds.
const LATEST: u64 = 10_000_000_000_000_000;
/// A child may overlap with the next by this part of its length and still count as ended before it.
const OVERLAP: u64 = 20;

#[derive(Debug, Deserialize)]
struct Trace<'l> {
    #[serde(borrow, default)]
    spans: Vec<Span<'l>>,
    #[serde(borrow, default)]
    processes: BTreeMap<Cow<'l, str>, Process<'l>>,
}

/// A span; times are in microseconds.
#[derive(Debug, Deserialize)]
struct Span<'l> {
    #[serde(rename = "spanID", borrow)]
    id: Cow<'l, str>,
    #[serde(rename = "operationName", borrow, default)]
    operation: Cow<'l, str>,
    #[serde(rename = "startTime")]
    start: u64,
    #[serde(default)]
    duration: u64,
    #[serde(rename = "processID", borrow, default)]
    process: Cow<'l, str>,
    #[serde(rename = "parentSpanID", borrow, default)]
    parent: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    references: Vec<Reference<'l>>,
}

#[derive(Debug, Deserialize)]
struct Reference<'l> {
    #[serde(rename = "spanID", borrow)]
    span: Cow<'l, str>,
}

#[derive(Debug, Deserialize)]
struct Process<'l> {
    #[serde(rename = "serviceName", borrow, default)]
    service: Cow<'l, str>,
}

/// A span in ns of the trace, cut at its parent's edges.
#[derive(Clone, Copy, Debug)]
struct Cut {
    start: u64,
    end: u64,
    operator: u32,
    worker: u32,
}

/// Reads a file.
pub(super) struct Jaeger<R> {
    traces: Elements<R>,
    origin: Option<u64>,
    read: u64,
    messages: u64,
    operators: BTreeMap<String, u32>,
    channels: BTreeMap<(u32, u32), u32>,
    /// Lanes of each service, with the time from which each is free.
    services: BTreeMap<String, Vec<(u32, u64)>>,
    workers: u32,
}

type Refused = (String, String);

impl<R: BufRead> Jaeger<R> {
    pub(super) fn new(source: R) -> Jaeger<R> {
        Jaeger {
            traces: Elements::new(source, &["data"]),
            origin: None,
            read: 0,
            messages: 0,
            operators: BTreeMap::new(),
            channels: BTreeMap::new(),
            services: BTreeMap::new(),
            workers: 0,
        }
    }

    fn operator(&mut self, name: String, out: &mut Vec<Record>) -> u32 {
        let is_room = self.operators.len() < MOST_NAMED || self.operators.contains_key(&name);
        let name = if is_room { name } else { "further operations".to_owned() };
        let next = self.operators.len() as u32;
        *self.operators.entry(name).or_insert_with_key(|name| {
            out.push(Record::Operator { operator: OperatorId(next), name: name.clone() });
            next
        })
    }

    /// The channel from one operator to another.
    fn channel(&mut self, from: u32, to: u32, out: &mut Vec<Record>) -> u32 {
        if self.channels.len() >= MOST_NAMED && !self.channels.contains_key(&(from, to)) {
            return u32::MAX;
        }
        let next = self.channels.len() as u32;
        *self.channels.entry((from, to)).or_insert_with(|| {
            out.push(Record::Channel { channel: ChannelId(next), source: OperatorId(from), target: OperatorId(to) });
            next
        })
    }

    /// A lane of a service that is free at `start`, until `end`.
    fn lane(&mut self, service: &str, start: u64, end: u64, out: &mut Vec<Record>) -> Result<u32, Refused> {
        let lanes = self.services.entry(service.to_owned()).or_default();
        if let Some((worker, free_at)) = lanes.iter_mut().find(|(_, free_at)| *free_at <= start) {
            *free_at = end;
            return Ok(*worker);
        }
        if u64::from(self.workers) >= MOST_WORKERS {
            return Err((format!("at most {MOST_WORKERS} spans at a time"), "one more".to_owned()));
        }
        let name = if lanes.is_empty() { service.to_owned() } else { format!("{service} ({})", lanes.len() + 1) };
        out.push(Record::WorkerJoined { worker: WorkerId(self.workers), at: Timestamp::ZERO, name });
        lanes.push((self.workers, end));
        self.workers += 1;
        Ok(self.workers - 1)
    }

    fn take(&mut self, trace: &Trace<'_>, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<(), Refused> {
        let numbers: BTreeMap<&str, usize> = trace.spans.iter().enumerate().map(|(number, span)| (span.id.as_ref(), number)).collect();
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); trace.spans.len()];
        let mut roots = Vec::new();
        for (number, span) in trace.spans.iter().enumerate() {
            if span.start.saturating_add(span.duration) > LATEST {
                return Err((format!("times of at most {LATEST} microseconds"), format!("{} + {}", span.start, span.duration)));
            }
            let named =
                span.references.first().map(|reference| &reference.span).or(span.parent.as_ref()).filter(|parent| !parent.is_empty());
            match named.map(|parent| numbers.get(parent.as_ref()).filter(|&&parent| parent != number)) {
                Some(Some(&parent)) => children[parent].push(number),
                Some(None) => {
                    oddities.count("spans whose parent is not in their trace");
                    roots.push(number);
                }
                None => roots.push(number),
            }
        }
        let Some(first) = roots.iter().map(|&root| trace.spans[root].start).min() else {
            oddities.count("traces without a root");
            return Ok(());
        };
        let origin = *self.origin.get_or_insert(first - first % 1_000_000);
        let ns = |micros: u64| micros.saturating_sub(origin) * 1000;
        let epoch = Epoch(self.read);
        self.read += 1;
        roots.sort_by_key(|&root| trace.spans[root].start);
        let (mut source, mut last) = (None, None);
        for root in roots {
            let span = &trace.spans[root];
            let (start, end) = (ns(span.start), ns(span.start + span.duration));
            let cut = self.cut(trace, root, start, end, out)?;
            last = last.max(Some((end, cut.worker)));
            if source.is_none() {
                source = Some(cut.operator);
                let (at, source) = (Timestamp(start), OperatorId(cut.operator));
                out.push(Record::EpochOpened { at, source, epoch, due: at, records: 1 });
            }
            self.spans(trace, &children, (root, cut), epoch, &ns, out)?;
        }
        if let Some((at, worker)) = last {
            out.push(Record::EpochCompleted { at: Timestamp(at), worker: WorkerId(worker), epoch });
        }
        Ok(())
    }

    /// Span number `number` between `start` and `end`, on a lane of its own.
    fn cut(&mut self, trace: &Trace<'_>, number: usize, start: u64, end: u64, out: &mut Vec<Record>) -> Result<Cut, Refused> {
        let span = &trace.spans[number];
        let service = trace.processes.get(&span.process).map_or(span.process.as_ref(), |process| process.service.as_ref());
        let service: String = service.chars().take(MOST_NAME).collect();
        let operation: String = span.operation.chars().take(MOST_NAME).collect();
        let worker = self.lane(&service, start, end, out)?;
        let operator = self.operator(format!("{service} {operation}"), out);
        Ok(Cut { start, end, operator, worker })
    }

    /// The records of a span and of all below it.
    fn spans(
        &mut self,
        trace: &Trace<'_>,
        children: &[Vec<usize>],
        root: (usize, Cut),
        epoch: Epoch,
        ns: &impl Fn(u64) -> u64,
        out: &mut Vec<Record>,
    ) -> Result<(), Refused> {
        let mut stack = vec![root];
        while let Some((number, parent)) = stack.pop() {
            // The last to end first.
            let mut below: Vec<(u64, u64, usize)> = Vec::new();
            for &child in &children[number] {
                let span = &trace.spans[child];
                let (start, end) = (ns(span.start).max(parent.start), ns(span.start + span.duration).min(parent.end));
                // What lies outside of its parent is not waited for.
                if start < end {
                    below.push((end, start, child));
                }
            }
            below.sort_unstable_by(|a, b| b.cmp(a));
            let (mut until, mut any) = (parent.end, false);
            for (end, start, child) in below {
                let waits = end <= until || (any && end - until <= (end - start) / OVERLAP);
                let end = if waits { end.min(until) } else { end };
                if start >= end {
                    continue;
                }
                let cut = self.cut(trace, child, start, end, out)?;
                self.message(parent, cut, start, epoch, out);
                if waits {
                    self.message(cut, parent, end, epoch, out);
                    work(parent, end, until, epoch, out);
                    (until, any) = (start, true);
                }
                stack.push((child, cut));
            }
            work(parent, parent.start, until, epoch, out);
        }
        Ok(())
    }

    fn message(&mut self, from: Cut, to: Cut, at: u64, epoch: Epoch, out: &mut Vec<Record>) {
        self.messages += 1;
        let message = Message {
            at: Timestamp(at),
            kind: MessageKind::Data,
            channel: ChannelId(self.channel(from.operator, to.operator, out)),
            sequence: self.messages,
            from: WorkerId(from.worker),
            from_lane: Lane::Worker(WorkerId(from.worker)),
            to_lane: Lane::Worker(WorkerId(to.worker)),
            epoch,
            records: 1,
        };
        out.extend([Record::Sent(message), Record::Received(message)]);
    }
}

/// A span works itself.
fn work(span: Cut, start: u64, end: u64, epoch: Epoch, out: &mut Vec<Record>) {
    if start < end {
        out.push(Record::Activity(Activity {
            lane: Lane::Worker(WorkerId(span.worker)),
            kind: ActivityKind::Processing,
            instance: InstanceId::new(OperatorId(span.operator), span.worker),
            epoch,
            start: Timestamp(start),
            end: Timestamp(end),
            records_in: 0,
            records_out: 0,
        }));
    }
}

impl<R: BufRead + Send> Reader for Jaeger<R> {
    fn step(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<bool, Damage> {
        let Some(element) = self.traces.next(oddities)? else { return Ok(false) };
        if element.is_empty() {
            return Ok(true);
        }
        let element = element.to_vec();
        let place = self.traces.place();
        let trace: Trace<'_> = serde_json::from_slice(&element)
            .map_err(|error| Damage::new(place, "a trace with spans", format!("{} ({error})", excerpt(&element))))?;
        self.take(&trace, out, oddities).map_err(|(expected, found)| Damage::new(place, expected, found))?;
        Ok(true)
    }

    fn finish(&mut self, _: &mut Vec<Record>, _: &mut Oddities) {}
}
