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
//! Times are relative to the whole second of the first span. Spans of a trace come in any order, so
//! that no window is complete before the end of the file; spans are held, some 100 bytes each.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::cuts::Cuts;
use super::elements::Elements;
use super::error::{Damage, Oddities, excerpt};
use super::reader::Reader;
use super::span_tree::{LinkedSpan, ORPHAN, Parent, take_tree};
use crate::activity::{ActivityKind, Record};

/// Later times are none, in nanoseconds.
const LATEST: u64 = 10_000_000_000_000_000_000;
/// The spans of longer resources are skipped.
const MOST_RESOURCE_MIB: usize = 256;
/// Longest kept name, in characters.
const MOST_NAME: usize = 200;

/// The spans of a resource, or a whole document in a list of documents.
#[derive(Debug, Deserialize)]
struct ResourceSpans<'l> {
    #[serde(borrow, default)]
    resource: Option<Resource<'l>>,
    #[serde(rename = "scopeSpans", alias = "scope_spans", alias = "instrumentationLibrarySpans", borrow, default)]
    scopes: Option<Vec<ScopeSpans<'l>>>,
    #[serde(rename = "resourceSpans", alias = "resource_spans", borrow, default)]
    nested: Option<Vec<ResourceSpans<'l>>>,
}

#[derive(Debug, Default, Deserialize)]
struct Resource<'l> {
    #[serde(borrow, default)]
    attributes: Option<Vec<Attribute<'l>>>,
}

#[derive(Debug, Deserialize)]
struct Attribute<'l> {
    #[serde(borrow, default)]
    key: Cow<'l, str>,
    #[serde(borrow, default)]
    value: Option<AttributeValue<'l>>,
}

#[derive(Debug, Deserialize)]
struct AttributeValue<'l> {
    #[serde(rename = "stringValue", alias = "string_value", borrow, default)]
    string: Option<Cow<'l, str>>,
}

#[derive(Debug, Deserialize)]
struct ScopeSpans<'l> {
    #[serde(borrow, default)]
    spans: Option<Vec<Span<'l>>>,
}

#[derive(Debug, Deserialize)]
struct Span<'l> {
    #[serde(rename = "traceId", alias = "trace_id", borrow, default)]
    trace: Cow<'l, str>,
    #[serde(rename = "spanId", alias = "span_id", borrow, default)]
    id: Cow<'l, str>,
    #[serde(rename = "parentSpanId", alias = "parent_span_id", borrow, default)]
    parent: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    name: Cow<'l, str>,
    #[serde(default)]
    kind: Code,
    #[serde(rename = "startTimeUnixNano", alias = "start_time_unix_nano", default)]
    start: Nanos,
    #[serde(rename = "endTimeUnixNano", alias = "end_time_unix_nano", default)]
    end: Nanos,
    #[serde(borrow, default)]
    links: Option<Vec<Link<'l>>>,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Debug, Deserialize)]
struct Link<'l> {
    #[serde(rename = "traceId", alias = "trace_id", borrow, default)]
    trace: Cow<'l, str>,
    #[serde(rename = "spanId", alias = "span_id", borrow, default)]
    span: Cow<'l, str>,
}

#[derive(Debug, Deserialize)]
struct Status {
    #[serde(default)]
    code: Code,
}

/// Nanoseconds since 1970, which JSON has as a string, since they are too long for its numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Nanos(u64);

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Nanos, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Nanos;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("nanoseconds since 1970")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Nanos, E> {
                Ok(Nanos(number))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Nanos, E> {
                text.parse().map(Nanos).map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// A value of an enumeration, which JSON has as its number or as its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Code(u64);

/// Kinds of spans.
const CLIENT: Code = Code(3);
const PRODUCER: Code = Code(4);
const CONSUMER: Code = Code(5);
/// How a span ended.
const ERROR: Code = Code(2);

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Code, D::Error> {
        struct Value;
        impl Visitor<'_> for Value {
            type Value = Code;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a name")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Code, E> {
                Ok(Code(number))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Code, E> {
                Ok(match name {
                    "SPAN_KIND_CLIENT" => CLIENT,
                    "SPAN_KIND_PRODUCER" => PRODUCER,
                    "SPAN_KIND_CONSUMER" => CONSUMER,
                    "STATUS_CODE_ERROR" => ERROR,
                    // None of those that matter.
                    _ => Code(0),
                })
            }
        }
        deserializer.deserialize_any(Value)
    }
}

/// A span that is held until the end of the file.
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
    texts: Texts,
}

impl Spans {
    fn take(&mut self, of: &ResourceSpans<'_>, oddities: &mut Oddities) -> Result<(), Refused> {
        let mut attributes = of.resource.iter().flat_map(|resource| resource.attributes.iter().flatten());
        let named = attributes.find(|attribute| attribute.key == "service.name");
        let service = named.and_then(|attribute| attribute.value.as_ref()?.string.as_deref()).filter(|name| !name.is_empty());
        let service = self.texts.number(service.unwrap_or("unknown service"));
        let spans = of.scopes.iter().flatten().flat_map(|scope| scope.spans.iter().flatten());
        spans.map(|span| self.span(service, span, oddities)).collect::<Result<(), _>>()?;
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
        let next = self.traces.len() as u32;
        let trace = *self.traces.entry(trace).or_insert(next);
        let name = self.texts.number(&span.name);
        let is_error = span.status.as_ref().is_some_and(|status| status.code == ERROR);
        self.held.push(Held { trace, id, parent, link, start, end: end.max(start), service, name, kind: span.kind, is_error });
        Ok(())
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
            if numbers.contains_key(&span.id) {
                oddities.count("spans that come twice, the second left out");
            } else {
                numbers.insert(span.id, spans.len());
                spans.push(*span);
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
    stage: Stage,
    damage: Option<Damage>,
}

impl<R: BufRead> Otlp<R> {
    pub(super) fn new(source: R) -> Otlp<R> {
        let resources = Elements::new(source, &["resourceSpans", "resource_spans"], "resource", MOST_RESOURCE_MIB);
        Otlp { resources, spans: Spans::default(), cuts: Cuts::default(), stage: Stage::Reading, damage: None }
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
        match self.stage {
            Stage::Reading => match self.read(oddities) {
                Ok(true) => {}
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
                self.cuts.give_lanes(out);
                self.stage = Stage::Records;
            }
            Stage::Records => return if self.cuts.give(out, oddities) { Ok(true) } else { self.damage.take().map_or(Ok(false), Err) },
        }
        Ok(true)
    }

    fn finish(&mut self, _: &mut Vec<Record>, _: &mut Oddities) {}
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::span_tree::OUTSIDE;
    use super::*;
    use crate::activity::Lane;

    /// A span of trace 1: its number, parent, start and end in nanoseconds after the first second.
    fn span(id: u64, parent: u64, start: u64, end: u64) -> Value {
        let parent = if parent == 0 { String::new() } else { format!("{parent:016x}") };
        let at = |nanos: u64| (1_000_000_000 + nanos).to_string();
        json!({ "traceId": format!("{:032X}", 1), "spanId": format!("{id:016x}"), "parentSpanId": parent, "name": format!("n{id}"),
                "kind": 1, "startTimeUnixNano": at(start), "endTimeUnixNano": at(end) })
    }

    fn with(mut span: Value, key: &str, value: Value) -> Value {
        span[key] = value;
        span
    }

    fn resource(service: &str, spans: &[Value]) -> Value {
        let name =
            json!([{ "key": "host.name", "value": { "intValue": "3" } }, { "key": "service.name", "value": { "stringValue": service } }]);
        json!({ "resource": { "attributes": name }, "scopeSpans": [{ "scope": {}, "spans": spans }] })
    }

    fn lines(resources: &[Value]) -> String {
        resources.iter().map(|resource| format!("{}\n", json!({ "resourceSpans": [resource] }))).collect()
    }

    type Work = (String, ActivityKind, u64, u64, u64);

    /// Operator, kind, epoch and nanoseconds of work; oddities; damage.
    fn read(document: &str) -> (Vec<Work>, Vec<(String, u64)>, Option<String>) {
        let (mut records, mut oddities) = (Vec::new(), Oddities::default());
        let mut otlp = Otlp::new(document.as_bytes());
        let damage = loop {
            match otlp.step(&mut records, &mut oddities) {
                Ok(true) => {}
                end => break end.err(),
            }
        };
        let (mut operators, mut found) = (Vec::new(), Vec::new());
        for record in records {
            match record {
                Record::Operator { name, .. } => operators.push(name),
                Record::Activity(work) => {
                    assert!(matches!(work.lane, Lane::Worker(_)), "{work:?}");
                    let name = operators[work.instance.operator.0 as usize].clone();
                    found.push((name, work.kind, work.epoch.0, work.start.0, work.end.0));
                }
                _ => {}
            }
        }
        found.sort();
        let damage = damage.map(|damage| match damage {
            Damage::Content { place, expected, found } => format!("{place}: {expected}; {found}"),
            Damage::Io(place, error) => format!("{place}: {error}"),
        });
        (found, oddities.iter().map(|(what, count)| (what.to_owned(), count)).collect(), damage)
    }

    fn works(expected: &[(&str, ActivityKind, u64, u64)]) -> Vec<Work> {
        expected.iter().map(|&(name, kind, start, end)| (name.to_owned(), kind, 0, start, end)).collect()
    }

    use ActivityKind::{ExternalWait, Lost, Processing};

    #[test]
    fn a_trace_is_put_together_from_lines_in_any_order_to_the_nanosecond() {
        let resources = [resource("b", &[span(2, 1, 101, 303)]), resource("a", &[span(1, 0, 0, 1007)])];
        let expected = works(&[("a n1", Processing, 0, 101), ("a n1", Processing, 303, 1007), ("b n2", Processing, 101, 303)]);
        assert_eq!(read(&lines(&resources)), (expected.clone(), vec![], None));
        // One document, or a list of them, with names of fields as protocol buffers have them.
        let one = json!({ "resourceSpans": resources }).to_string();
        assert_eq!(read(&one).0, expected);
        assert_eq!(read(&format!("[{one}]")).0, expected);
        let other = one.replace("resourceSpans", "resource_spans").replace("startTimeUnixNano", "start_time_unix_nano");
        assert_eq!(read(&other.replace("\"parentSpanId\":\"\"", "\"parent_span_id\":null")).0, expected);
        // Other signals in the same file, numbers instead of strings.
        let numbers = one.replace("\"1000000303\"", "1000000303").replace("\"kind\":1", "\"kind\":\"SPAN_KIND_INTERNAL\"");
        assert_eq!(read(&format!("{{\"resourceLogs\":[{{\"spans\":[{{}}]}}]}}\n{numbers}")).0, expected);
    }

    #[test]
    fn clients_wait_outside_errors_are_in_vain_and_consumers_follow() {
        for (client, error) in [(json!(3), json!(2)), (json!("SPAN_KIND_CLIENT"), json!("STATUS_CODE_ERROR"))] {
            let spans = [
                span(1, 0, 0, 100),
                with(span(2, 1, 10, 50), "kind", client),
                span(3, 2, 20, 40),
                with(span(4, 1, 60, 80), "status", json!({ "code": error })),
            ];
            let expected = [
                ("s n1", Processing, 0, 10),
                ("s n1", Processing, 50, 60),
                ("s n1", Processing, 80, 100),
                ("s n2", ExternalWait, 10, 20),
                ("s n2", ExternalWait, 40, 50),
                ("s n3", Processing, 20, 40),
                ("s n4", Lost, 60, 80),
            ];
            assert_eq!(read(&lines(&[resource("s", &spans)])), (works(&expected), vec![], None));
        }
        let send = with(span(1, 0, 0, 10), "kind", json!(4));
        let take = with(span(2, 1, 50, 70), "kind", json!(5));
        let expected = works(&[("s n1", Processing, 0, 10), ("s n2", Processing, 50, 70)]);
        assert_eq!(read(&lines(&[resource("s", &[send.clone(), take])])), (expected.clone(), vec![], None));
        // As a link.
        let link = |trace: u64, span: u64| json!({ "traceId": format!("{trace:032x}"), "spanId": format!("{span:016x}") });
        let take = with(span(2, 0, 50, 70), "links", json!([link(9, 1), link(1, 1)]));
        let odd = vec![("links to spans of other traces, not followed".to_owned(), 1)];
        assert_eq!(read(&lines(&[resource("s", &[send, take])])), (expected, odd, None));
        // What is no consumer cannot begin after its parent's end.
        let late = span(2, 1, 50, 70);
        assert_eq!(read(&lines(&[resource("s", &[span(1, 0, 0, 10), late])])).1, [(OUTSIDE.to_owned(), 1)]);
    }

    #[test]
    fn what_cannot_be_used_is_counted_or_is_damage_that_names_its_line() {
        let odd = [
            span(1, 0, 0, 100),
            span(1, 0, 0, 100),
            with(span(2, 1, 10, 50), "endTimeUnixNano", json!("0")),
            with(span(3, 1, 10, 50), "spanId", json!("")),
            with(span(4, 1, 10, 50), "traceId", json!("00000000000000000000000000000000")),
            span(5, 1, 50, 10),
            span(6, 77, 20, 30),
        ];
        let (found, oddities, damage) = read(&lines(&[resource("", &odd)]));
        assert_eq!(found, works(&[("unknown service n1", Processing, 0, 100), ("unknown service n6", Processing, 20, 30)]));
        let expected = [
            ("spans that come twice, the second left out", 1),
            ("spans that end before they start, whose end is taken to be their start", 1),
            ("spans that took no time, left out", 1),
            ("spans whose parent is not in their trace", 1),
            ("spans without a start or an end, left out", 1),
            ("spans without an id, left out", 2),
        ];
        assert_eq!((oddities, damage), (expected.map(|(what, count)| (what.to_owned(), count)).to_vec(), None));
        let bad = [
            ("spanId", json!("xyz"), "an id of at most 16 hexadecimal digits; \"xyz\""),
            ("traceId", json!("+1"), "an id of at most 32 hexadecimal digits; \"+1\""),
            ("spanId", json!("00000000000000001"), "an id of at most 16 hexadecimal digits; \"00000000000000001\""),
            ("startTimeUnixNano", json!("10000000000000000001"), "times of at most 10000000000000000000 nanoseconds; "),
            ("startTimeUnixNano", json!("-1"), "nanoseconds since 1970"),
            ("endTimeUnixNano", json!(1.5), "nanoseconds since 1970"),
            ("endTimeUnixNano", json!("99999999999999999999"), "nanoseconds since 1970"),
            ("links", json!([3]), "the spans of a resource"),
        ];
        for (key, value, expected) in bad {
            let second = resource("s", &[with(span(2, 1, 0, 1), key, value)]);
            let (found, _, damage) = read(&lines(&[resource("s", &[span(1, 0, 0, 100)]), second]));
            assert_eq!(found.len(), 1, "what is before the damage is given");
            assert!(damage.as_ref().is_some_and(|damage| damage.starts_with("line 2: ") && damage.contains(expected)), "{key}: {damage:?}");
        }
        let whole = lines(&[resource("s", &[span(1, 0, 0, 100)]), resource("s", &[span(2, 1, 0, 10)])]);
        let (found, oddities, damage) = read(&whole[..whole.len() - 40]);
        assert_eq!((found.len(), damage), (1, None));
        assert_eq!(oddities, [("the last resource is unfinished: it was still being written".to_owned(), 1)]);
        assert_eq!(read("{\"resourceSpans\":[]}"), (vec![], vec![], None));
        assert_eq!(read("{\"resourceSpans\":null}"), (vec![], vec![], None));
    }
}
