//! Traces of OpenTelemetry in JSON, as its collector's file exporter and other programs write them:
//! objects with `resourceSpans`, one a line or one in all; what else is in the file is skipped.
//!
//! What a span waited for is inferred (`span_tree.rs`). A span follows from its parent, and may start
//! after it ended, if it consumes what its parent produced; without a parent it follows from the first
//! span of its trace that it links to.
//!
//! Mapping to records:
//! - As for Jaeger: a trace is an epoch, a service's operation an operator; spans of a service that do
//!   not overlap share a lane. The service is that of the resource.
//! - What a client's span does itself, while no span that it waits for runs, is waiting for something
//!   outside: the way there and back, or a service that is not in the trace. What a span with an
//!   error does itself is in vain.
//!
//! Left out and counted: spans without an id, a start or an end, those that come twice, links to
//! other traces.
//!
//! Times are relative to the whole second of the first span. Spans of a trace come in any order. Of a
//! file that can be read twice, it is known where the last span of each trace is, and how early what is
//! still to come may start (`horizon.rs`); traces are put together in the order of their first spans, as
//! soon as the last is read. Otherwise no window is complete before the end of the file. Spans are held
//! until then, some 100 bytes each.

mod document;
#[cfg(test)]
mod tests;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, Read};

use self::document::{CLIENT, CONSUMER, Code, ERROR, Nanos, PRODUCER, ResourceSpans, Span};
use super::cuts::Cuts;
use super::elements::Elements;
use super::error::{Damage, Oddities, excerpt};
use super::horizon::{Horizon, LastPlaces};
use super::reader::Reader;
use super::span_tree::{LinkedSpan, ORPHAN, Parent, take_tree};
use crate::activity::{ActivityKind, Record};

/// Later times are none, in nanoseconds.
const LATEST: u64 = 10_000_000_000_000_000_000;
/// The spans of longer resources are skipped.
const MOST_RESOURCE_MIB: usize = 256;
/// Longest kept name, in characters.
const MOST_NAME: usize = 200;

/// The most different names of services and operations; further ones are one.
const MOST_TEXTS: usize = 1 << 17;
const FURTHER: &str = "further names";

/// A span that is held until its trace is whole.
#[derive(Clone, Copy, Debug)]
struct Held {
    trace: u32,
    id: u64,
    /// 0 if it has none.
    parent: u64,
    /// The first span of its trace that it links to, or 0.
    link: u64,
    start: u64,
    end: u64,
    service: u32,
    name: u32,
    kind: Code,
    is_error: bool,
}

/// Texts with numbers.
#[derive(Debug, Default)]
struct Texts {
    numbers: BTreeMap<String, u32>,
    texts: Vec<String>,
}

impl Texts {
    fn number(&mut self, text: &str) -> u32 {
        let text = text.char_indices().nth(MOST_NAME).map_or(text, |(end, _)| &text[..end]);
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len() as u32;
        if self.texts.len() == MOST_TEXTS && text != FURTHER {
            return self.number(FURTHER);
        } else if self.texts.len() > MOST_TEXTS {
            return number - 1;
        }
        self.numbers.insert(text.to_owned(), number);
        self.texts.push(text.to_owned());
        number
    }
}

type Refused = (String, String);

/// The spans of a file.
#[derive(Debug, Default)]
struct Spans {
    held: Vec<Held>,
    traces: BTreeMap<u128, u32>,
    /// The ids of the traces that are held, those from number `first` on.
    ids: VecDeque<u128>,
    first: u32,
    texts: Texts,
}

impl Spans {
    fn take(&mut self, of: &ResourceSpans<'_>, oddities: &mut Oddities) -> Result<(), Refused> {
        let mut attributes = of.resource.iter().flat_map(|resource| resource.attributes.iter().flatten());
        let named = attributes.find(|attribute| attribute.key == "service.name");
        let service = named.and_then(|attribute| attribute.value.as_ref()?.string.as_deref()).filter(|name| !name.is_empty());
        let service = self.texts.number(service.unwrap_or("unknown service"));
        let mut spans = of.scopes.iter().flatten().flat_map(|scope| scope.spans.iter().flatten());
        spans.try_for_each(|span| self.span(service, span, oddities))?;
        of.nested.iter().flatten().try_for_each(|nested| self.take(nested, oddities))
    }

    fn span(&mut self, service: u32, span: &Span<'_>, oddities: &mut Oddities) -> Result<(), Refused> {
        let (trace, id) = (hexadecimal(&span.trace, 32)?, hexadecimal(&span.id, 16)? as u64);
        let parent = hexadecimal(span.parent.as_deref().unwrap_or_default(), 16)? as u64;
        if trace == 0 || id == 0 {
            oddities.count("spans without an id, left out");
            return Ok(());
        }
        let (Nanos(start), Nanos(end)) = (span.start, span.end);
        if start > LATEST || end > LATEST {
            return Err((format!("times of at most {LATEST} nanoseconds"), format!("{start} to {end}")));
        }
        if start == 0 || end == 0 {
            oddities.count("spans without a start or an end, left out");
            return Ok(());
        }
        if end < start {
            oddities.count("spans that end before they start, whose end is taken to be their start");
        }
        let mut link = 0;
        for to in span.links.iter().flatten() {
            let (of, to) = (hexadecimal(&to.trace, 32)?, hexadecimal(&to.span, 16)? as u64);
            if of != trace {
                oddities.count("links to spans of other traces, not followed");
            } else if link == 0 && to != id {
                link = to;
            }
        }
        let (next, ids) = (self.first + self.traces.len() as u32, &mut self.ids);
        let trace = *self.traces.entry(trace).or_insert_with_key(|id| {
            ids.push_back(*id);
            next
        });
        let name = self.texts.number(&span.name);
        let is_error = span.status.as_ref().is_some_and(|status| status.code == ERROR);
        self.held.push(Held { trace, id, parent, link, start, end: end.max(start), service, name, kind: span.kind, is_error });
        Ok(())
    }

    /// Adds the spans of the first traces, as long as `is_whole` holds of their ids, and forgets them.
    fn give_whole(&mut self, is_whole: impl Fn(u128) -> bool, cuts: &mut Cuts, out: &mut Vec<Record>, oddities: &mut Oddities) {
        let whole = self.ids.iter().take_while(|&&id| is_whole(id)).count();
        if whole == 0 {
            return;
        }
        self.held.sort_by_key(|span| span.trace);
        let (end, mut from) = (self.first + whole as u32, 0);
        while self.held.get(from).is_some_and(|span| span.trace < end) {
            from += self.give(from, cuts, out, oddities);
        }
        self.held.drain(..from);
        for id in self.ids.drain(..whole) {
            self.traces.remove(&id);
        }
        self.first = end;
    }

    /// The spans of the trace that begins with span number `from`, once they lie in the order of
    /// traces.
    fn trace(&self, from: usize) -> &[Held] {
        let rest = &self.held[from..];
        let trace = rest.first().map(|span| span.trace);
        &rest[..rest.partition_point(|span| Some(span.trace) <= trace)]
    }

    /// Adds the spans of a trace; their number.
    fn give(&self, from: usize, cuts: &mut Cuts, out: &mut Vec<Record>, oddities: &mut Oddities) -> usize {
        let trace = self.trace(from);
        let mut numbers: BTreeMap<u64, usize> = BTreeMap::new();
        let mut spans: Vec<Held> = Vec::with_capacity(trace.len());
        for span in trace {
            match numbers.entry(span.id) {
                Entry::Occupied(_) => oddities.count("spans that come twice, the second left out"),
                Entry::Vacant(free) => {
                    free.insert(spans.len());
                    spans.push(*span);
                }
            }
        }
        let linked = |(number, span): (usize, &Held)| {
            let known = |id: u64| numbers.get(&id).copied().filter(|&parent| parent != number);
            let consumes = |parent: usize| span.kind == CONSUMER && spans[parent].kind == PRODUCER;
            let by_parent = known(span.parent).map(|parent| Parent { number: parent, follows: consumes(parent) });
            let parent = by_parent.or_else(|| known(span.link).map(|parent| Parent { number: parent, follows: true }));
            if parent.is_none() && span.parent != 0 {
                oddities.count(ORPHAN);
            }
            let kind = match span.kind {
                _ if span.is_error => ActivityKind::Lost,
                CLIENT => ActivityKind::ExternalWait,
                _ => ActivityKind::Processing,
            };
            LinkedSpan { start: span.start, end: span.end, kind, parent }
        };
        let linked: Vec<LinkedSpan> = spans.iter().enumerate().map(linked).collect();
        let text = |number: u32| self.texts.texts[number as usize].as_str();
        let name = |number: usize| (text(spans[number].service), text(spans[number].name));
        take_tree(&linked, &name, cuts, out, oddities);
        trace.len()
    }
}

/// The number that at most `most` hexadecimal digits stand for; 0 if there are none.
fn hexadecimal(text: &str, most: usize) -> Result<u128, Refused> {
    let is_id = text.len() <= most && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = if text.is_empty() { Some(0) } else { u128::from_str_radix(text, 16).ok() };
    number.filter(|_| is_id).ok_or_else(|| (format!("an id of at most {most} hexadecimal digits"), excerpt(text.as_bytes())))
}

/// How far a file has been read.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Its spans are being collected.
    Reading,
    /// The traces from this span on are being put together.
    Traces(usize),
    /// Records are being given.
    Records,
}

/// Reads a file.
pub(super) struct Otlp<R> {
    resources: Elements<R>,
    spans: Spans,
    cuts: Cuts,
    ahead: Option<Ahead>,
    /// The stretch of the file that is being read, and whether it has not been told up to when records have been given since it began.
    stretch: u64,
    is_to_tell: bool,
    stage: Stage,
    damage: Option<Damage>,
}

/// What is known of a file before it is read.
pub(super) struct Ahead {
    horizon: Horizon,
    last: LastPlaces,
}

impl Ahead {
    /// Looks ahead for the starts of spans and their traces.
    ///
    /// # Errors
    /// If the content cannot be read.
    pub(super) fn of(content: impl Read) -> io::Result<Ahead> {
        let (horizon, last) = Horizon::with_last(content, ["\"startTimeUnixNano\"", "\"traceId\""])?;
        Ok(Ahead { horizon, last })
    }
}

impl<R: BufRead> Otlp<R> {
    /// What is known `ahead` of reading it.
    pub(super) fn new(source: R, ahead: Option<Ahead>) -> Otlp<R> {
        let resources = Elements::new(source, &["resourceSpans", "resource_spans"], "resource", MOST_RESOURCE_MIB);
        let (mut cuts, ahead) = (Cuts::default(), ahead.filter(|ahead| (1..=LATEST).contains(&ahead.horizon.first())));
        if let Some(ahead) = &ahead {
            cuts.begin(ahead.horizon.first());
        }
        let spans = Spans::default();
        Otlp { resources, spans, cuts, ahead, stretch: 0, is_to_tell: false, stage: Stage::Reading, damage: None }
    }

    /// Puts together the traces that are whole, and gives lanes to the spans before which no further one starts, once for each stretch
    /// of the file.
    fn advance(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) {
        let Otlp { spans, cuts, ahead: Some(ahead), .. } = self else { return };
        let stretch = Horizon::stretch(self.resources.position());
        if stretch > self.stretch
            && let Some(least) = ahead.horizon.from(stretch)
        {
            (self.stretch, self.is_to_tell) = (stretch, true);
            spans.give_whole(|id| ahead.last.of(id).is_some_and(|last| last < stretch), cuts, out, oddities);
            let held = spans.held.iter().map(|span| span.start).min().unwrap_or(u64::MAX);
            cuts.give_lanes(least.min(held).min(LATEST), out);
        }
    }

    /// Reads the spans of a resource; false at the end of the file.
    fn read(&mut self, oddities: &mut Oddities) -> Result<bool, Damage> {
        let Some((element, place)) = self.resources.next(oddities)? else { return Ok(false) };
        let resource: ResourceSpans<'_> = serde_json::from_slice(element)
            .map_err(|error| Damage::new(place, "the spans of a resource", format!("{} ({error})", excerpt(element))))?;
        self.spans.take(&resource, oddities).map_err(|(expected, found)| Damage::new(place, expected, found))?;
        Ok(true)
    }
}

impl<R: BufRead + Send> Reader for Otlp<R> {
    fn step(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<bool, Damage> {
        if self.is_to_tell {
            self.is_to_tell = self.cuts.give(out, oddities);
            if !self.is_to_tell {
                self.cuts.tell(out);
            }
            return Ok(true);
        }
        match self.stage {
            Stage::Reading => match self.read(oddities) {
                Ok(true) => self.advance(out, oddities),
                end => {
                    self.damage = end.err();
                    self.spans.held.sort_by_key(|span| span.trace);
                    self.stage = Stage::Traces(0);
                }
            },
            Stage::Traces(from) if from < self.spans.held.len() => {
                self.stage = Stage::Traces(from + self.spans.give(from, &mut self.cuts, out, oddities));
            }
            Stage::Traces(_) => {
                self.spans = Spans::default();
                self.cuts.give_lanes(u64::MAX, out);
                self.stage = Stage::Records;
            }
            Stage::Records => return if self.cuts.give(out, oddities) { Ok(true) } else { self.damage.take().map_or(Ok(false), Err) },
        }
        Ok(true)
    }

    fn finish(&mut self, _: &mut Vec<Record>, _: &mut Oddities) {}
}
