//! Spans of traces, cut so that each lies within its parent, held until it is known that no earlier one
//! comes; then their lanes and their records.
//!
//! Invariants: lanes are given out in the order in which spans start, over all traces, so that a
//! service has no more lanes than it has spans at a time, in whichever order the traces come; the
//! records of a lane come in order of time, those of one instant in the order of cause and effect;
//! times are relative to the whole second of the first span. A trace is forgotten with those before it
//! once all of its records have been given: memory depends on the spans that are held, some 70 bytes
//! each; records are made for some spans at a time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use super::error::Oddities;
use super::lanes::MOST_WORKERS;
use crate::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
use crate::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// The most operations, channels between them, and services; further ones are one.
const MOST_NAMED: usize = 1 << 16;
/// Longest kept name, in characters.
const MOST_NAME: usize = 200;
/// Number of spans whose records are made at a time.
const BLOCK_SPANS: usize = 1 << 10;
const SECOND: u64 = 1_000_000_000;
/// No lane, no parent.
const NONE: u32 = u32::MAX;

/// What its parent has to do with a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// It waits for its end.
    Waits,
    /// It goes on beside it, or has ended.
    Beside,
}

/// A span in nanoseconds, cut at its parent's edges.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) start: u64,
    pub(super) end: u64,
    relation: Relation,
    kind: ActivityKind,
    operator: u32,
    service: u32,
    /// Its lane, as soon as lanes have been given out.
    worker: u32,
    /// Number of its trace.
    trace: u32,
    /// Its parent among the cuts; none of a root.
    parent: u32,
    /// Its children among the cuts, the last to end first.
    children: (u32, u32),
}

impl Cut {
    fn parent(&self) -> Option<usize> {
        (self.parent != NONE).then_some(self.parent as usize)
    }
}

/// The spans of a file, and what they have in common.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    /// Those that are held, by number; those before have been forgotten.
    cuts: Numbered<Cut>,
    traces: Numbered<Trace>,
    /// Spans without lanes.
    waiting: Vec<u32>,
    /// Spans with lanes in the order in which they start, those that have given their records left out.
    order: VecDeque<u32>,
    /// No span that starts earlier will have a lane given, in ns of the file.
    reached: u64,
    origin: Option<u64>,
    operators: BTreeMap<String, u32>,
    channels: BTreeMap<(u32, u32), u32>,
    services: BTreeMap<String, Service>,
    workers: u32,
}

/// Things with numbers, of which the first ones are forgotten.
#[derive(Debug)]
struct Numbered<T> {
    first: usize,
    held: VecDeque<T>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Numbered { first: 0, held: VecDeque::new() }
    }
}

impl<T> Numbered<T> {
    /// The number that the next one gets.
    fn next(&self) -> usize {
        self.first + self.held.len()
    }

    fn get(&mut self, number: usize) -> &mut T {
        &mut self.held[number - self.first]
    }

    /// Forgets the first `count`.
    fn forget(&mut self, count: usize) {
        self.held.drain(..count);
        self.first += count;
    }
}

/// A trace: its first root and the span that ends last.
#[derive(Clone, Copy, Debug)]
struct Trace {
    first: usize,
    last: usize,
    spans: usize,
    /// How many of them have no lane yet, and how many have not given their records.
    without_lane: usize,
    ungiven: usize,
    /// There are no lanes for some of its spans.
    left_out: bool,
}

/// Lanes of a service.
#[derive(Debug, Default)]
struct Service {
    number: u32,
    count: usize,
    free: BTreeSet<u32>,
    /// Until when the others are busy.
    busy: BinaryHeap<Reverse<(u64, u32)>>,
}

impl Service {
    /// The lane with the lowest number that is free at `start`; times must not decrease.
    fn free_at(&mut self, start: u64) -> Option<u32> {
        while let Some(&Reverse((until, worker))) = self.busy.peek()
            && until <= start
        {
            self.busy.pop();
            self.free.insert(worker);
        }
        self.free.pop_first()
    }
}

impl Cuts {
    /// Number of spans so far.
    pub(super) fn len(&self) -> usize {
        self.cuts.next()
    }

    /// Adds a span of a service's operation, in nanoseconds, and what it does itself; its number.
    pub(super) fn add(
        &mut self,
        (service, operation): (&str, &str),
        kind: ActivityKind,
        (start, end): (u64, u64),
        relation: Relation,
        out: &mut Vec<Record>,
    ) -> usize {
        let service: String = service.chars().take(MOST_NAME).collect();
        let operation: String = operation.chars().take(MOST_NAME).collect();
        let operator = numbered(&mut self.operators, format!("{service} {operation}"), "further operations", |operator, name| {
            out.push(Record::Operator { operator: OperatorId(operator), name: name.to_owned() });
        });
        let service = self.service(service);
        let trace = self.traces.next() as u32;
        self.cuts.held.push_back(Cut {
            start,
            end,
            relation,
            kind,
            operator,
            service,
            worker: NONE,
            trace,
            parent: NONE,
            children: (0, 0),
        });
        self.len() - 1
    }

    /// The number of a service.
    fn service(&mut self, name: String) -> u32 {
        let number = self.services.len() as u32;
        let is_room = self.services.len() < MOST_NAMED || self.services.contains_key(&name);
        let name = if is_room { name } else { "further services".to_owned() };
        self.services.entry(name).or_insert_with(|| Service { number, ..Service::default() }).number
    }

    /// A span.
    pub(super) fn get(&self, number: usize) -> Cut {
        self.cuts.held[number - self.cuts.first]
    }

    /// Spans from number `since` on are the children of `parent`.
    pub(super) fn adopt(&mut self, parent: usize, since: usize) {
        let end = self.len();
        self.cuts.get(parent).children = (since as u32, end as u32);
        (since..end).for_each(|child| self.cuts.get(child).parent = parent as u32);
    }

    /// Ends the trace whose spans are those from number `first` on, its first root.
    pub(super) fn end(&mut self, first: usize) {
        let end = self.len();
        // Parents come before their children: of the spans that end last it is the outermost.
        let last = (first..end).rev().max_by_key(|&number| self.get(number).end).unwrap_or(first);
        let spans = end - first;
        self.traces.held.push_back(Trace { first, last, spans, without_lane: spans, ungiven: spans, left_out: false });
        self.waiting.extend(first as u32..end as u32);
    }

    /// The whole second that times are relative to is that of `first`, in ns: no span starts before.
    pub(super) fn begin(&mut self, first: u64) {
        self.origin = Some(first - first % SECOND);
    }

    /// Gives lanes to the spans that start before `least`, in the order in which they start: no other will.
    pub(super) fn give_lanes(&mut self, least: u64, out: &mut Vec<Record>) {
        let starts = |cuts: &Cuts, number: u32| cuts.get(number as usize).start;
        if self.origin.is_none() {
            self.begin(self.waiting.iter().map(|&number| starts(self, number)).min().unwrap_or_default());
        }
        self.reached = least;
        let waiting = std::mem::take(&mut self.waiting);
        let (mut ready, waiting) =
            waiting.into_iter().partition::<Vec<u32>, _>(|&number| least == u64::MAX || starts(self, number) < least);
        self.waiting = waiting;
        ready.sort_unstable_by_key(|&number| {
            let Cut { start, end, .. } = self.get(number as usize);
            (start, end, number)
        });
        let mut services: BTreeMap<u32, (&str, &mut Service)> = BTreeMap::new();
        services.extend(self.services.iter_mut().map(|(name, service)| (service.number, (name.as_str(), service))));
        for &number in &ready {
            let cut = self.cuts.get(number as usize);
            let trace = self.traces.get(cut.trace as usize);
            trace.without_lane -= 1;
            let Some((name, service)) = services.get_mut(&cut.service) else { continue };
            let worker = match service.free_at(cut.start) {
                Some(worker) => worker,
                None if u64::from(self.workers) >= MOST_WORKERS => {
                    trace.left_out = true;
                    continue;
                }
                None => {
                    let worker = self.workers;
                    self.workers += 1;
                    service.count += 1;
                    let name = if service.count == 1 { (*name).to_owned() } else { format!("{name} ({})", service.count) };
                    out.push(Record::WorkerJoined { worker: WorkerId(worker), at: Timestamp::ZERO, name });
                    worker
                }
            };
            cut.worker = worker;
            service.busy.push(Reverse((cut.end, worker)));
        }
        self.order.extend(ready);
    }

    /// The records of the next spans of traces whose spans all have lanes; false if there is none.
    pub(super) fn give(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) -> bool {
        let mut any = false;
        for _ in 0..BLOCK_SPANS {
            let Some(&number) = self.order.front() else { break };
            let (number, span) = (number as usize, self.get(number as usize));
            let trace = self.traces.get(span.trace as usize);
            if trace.without_lane > 0 {
                break;
            }
            trace.ungiven -= 1;
            let Trace { first, last, left_out, .. } = *trace;
            any = true;
            self.order.pop_front();
            if left_out && number == first {
                oddities.count(format!("traces with more than {MOST_WORKERS} spans at a time, left out"));
            }
            if left_out {
                continue;
            }
            let epoch = Epoch(u64::from(span.trace));
            if number == first {
                let (at, source) = (self.at(span.start), InstanceId::new(OperatorId(span.operator), 0));
                out.push(Record::EpochOpened { at, source, epoch, due: at, records: 1 });
            }
            self.span(number, out);
            if number == last {
                out.push(Record::EpochCompleted { at: self.at(span.end), worker: WorkerId(span.worker), epoch });
            }
        }
        while let Some(Trace { spans, ungiven: 0, .. }) = self.traces.held.front() {
            self.cuts.forget(*spans);
            self.traces.forget(1);
        }
        any
    }

    /// Tells up to when all records have been given.
    pub(super) fn tell(&self, out: &mut Vec<Record>) {
        let next = self.order.front().map_or(self.reached, |&number| self.get(number as usize).start.min(self.reached));
        let at = Timestamp(next.saturating_sub(self.origin.unwrap_or_default()));
        out.extend((0..self.workers).map(|worker| Record::UpTo { worker: WorkerId(worker), at }));
    }

    /// The time of the trace that is `nanos` in the file.
    fn at(&self, nanos: u64) -> Timestamp {
        Timestamp(nanos.saturating_sub(self.origin.unwrap_or_default()))
    }

    /// What a span's lane does for it, in order of time.
    fn span(&mut self, number: usize, out: &mut Vec<Record>) {
        let span = self.get(number);
        if let Some(parent) = span.parent() {
            let request = self.request(parent, number, out);
            out.push(Record::Received(Message { at: self.at(span.start), ..request }));
        }
        let mut since = span.start;
        for child in (span.children.0..span.children.1).rev() {
            let child = child as usize;
            let Cut { start, end, relation, .. } = self.get(child);
            if relation == Relation::Waits {
                self.work(span, since, start, out);
                since = end;
            }
            let request = self.request(number, child, out);
            out.push(Record::Sent(request));
            if relation == Relation::Waits {
                let answer = self.answer(number, child, out);
                out.push(Record::Received(answer));
            }
        }
        self.work(span, since, span.end, out);
        if let (Some(parent), Relation::Waits) = (span.parent(), span.relation) {
            let answer = self.answer(parent, number, out);
            out.push(Record::Sent(answer));
        }
    }

    /// What a span sends to its child when that starts, or at its own end if that was before.
    fn request(&mut self, parent: usize, child: usize, out: &mut Vec<Record>) -> Message {
        let at = self.get(child).start.min(self.get(parent).end);
        self.message(parent, child, 2 * child as u64, at, out)
    }

    /// What a span's child sends to it at its end.
    fn answer(&mut self, parent: usize, child: usize, out: &mut Vec<Record>) -> Message {
        self.message(child, parent, 2 * child as u64 + 1, self.get(child).end, out)
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

    fn message(&mut self, from: usize, to: usize, sequence: u64, at: u64, out: &mut Vec<Record>) -> Message {
        let (from, to) = (self.get(from), self.get(to));
        Message {
            at: self.at(at),
            kind: MessageKind::Data,
            channel: ChannelId(self.channel(from.operator, to.operator, out)),
            sequence,
            from: WorkerId(from.worker),
            from_lane: Lane::Worker(WorkerId(from.worker)),
            to_lane: Lane::Worker(WorkerId(to.worker)),
            epoch: Epoch(u64::from(from.trace)),
            records: 1,
        }
    }

    /// A span works itself.
    fn work(&self, span: Cut, start: u64, end: u64, out: &mut Vec<Record>) {
        if start < end {
            out.push(Record::Activity(Activity {
                lane: Lane::Worker(WorkerId(span.worker)),
                kind: span.kind,
                instance: InstanceId::new(OperatorId(span.operator), span.worker),
                epoch: Epoch(u64::from(span.trace)),
                start: self.at(start),
                end: self.at(end),
                records_in: 0,
                records_out: 0,
            }));
        }
    }
}

/// The number of a name; `further` is the name of those for which there is no room. New ones are told.
fn numbered(numbers: &mut BTreeMap<String, u32>, name: String, further: &str, tell: impl FnOnce(u32, &str)) -> u32 {
    let is_room = numbers.len() < MOST_NAMED || numbers.contains_key(&name);
    let name = if is_room { name } else { further.to_owned() };
    let next = numbers.len() as u32;
    *numbers.entry(name).or_insert_with_key(|name| {
        tell(next, name);
        next
    })
}
