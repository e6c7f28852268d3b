//! Traces of Jaeger in JSON: what its user interface and its interface for programs give, an object
//! with `data`, an array of traces.
//!
//! Spans tell when each request was served and by whom it was made, not what waited for what;
//! `span_tree.rs` infers it.
//!
//! Mapping to records:
//! - A trace is an epoch, from the start of its first root to the end of its last one, or of the last
//!   span that follows from another and starts after that one ended; a service's operation is an
//!   operator. Spans of a service that do not overlap share a lane, the rest get further ones.
//! - A span is the work between its waits; a request and its answer are messages that take no time,
//!   but for the request of a span that starts after the one it follows from.
//!
//! Times are relative to the whole second of the first span. The text of one trace is held at a time,
//! then only its spans: traces come in any order. Of a file that can be read twice, it is known how early
//! what is still to come may start (`horizon.rs`), and no more spans are held than are out of order;
//! otherwise all are, and no window is complete before the end.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::BufRead;

use serde::Deserialize;

use super::cuts::Cuts;
use super::elements::Elements;
use super::error::{Damage, Oddities, excerpt};
use super::horizon::Horizon;
use super::reader::Reader;
use super::span_tree::{LinkedSpan, ORPHAN, Parent, take_tree};
use crate::activity::{ActivityKind, Record};

/// Later times are none, in microseconds.
const LATEST: u64 = 10_000_000_000_000_000;
const NANOS: u64 = 1000;
/// Longer traces are skipped.
const MOST_TRACE_MIB: usize = 256;

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
    #[serde(rename = "refType", borrow, default)]
    kind: Cow<'l, str>,
    #[serde(rename = "spanID", borrow)]
    span: Cow<'l, str>,
}

#[derive(Debug, Deserialize)]
struct Process<'l> {
    #[serde(rename = "serviceName", borrow, default)]
    service: Cow<'l, str>,
}

impl<'l> Span<'l> {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.duration)
    }

    /// The spans that it names as its parent, the likeliest first, each with whether it only follows
    /// from it.
    fn parents<'s>(&'s self) -> impl Iterator<Item = (&'s Cow<'l, str>, bool)> {
        let is_child = |reference: &&Reference<'l>| reference.kind != "FOLLOWS_FROM";
        let of = |reference: &'s Reference<'l>| &reference.span;
        let first = self.references.iter().filter(is_child).map(of).chain(&self.parent).map(|parent| (parent, false));
        let further = self.references.iter().filter(move |reference| !is_child(reference)).map(of).map(|parent| (parent, true));
        first.chain(further).filter(|(parent, _)| !parent.is_empty())
    }
}

/// Reads a file.
pub(super) struct Jaeger<R> {
    traces: Elements<R>,
    cuts: Cuts,
    horizon: Option<Horizon>,
    /// The stretch of the file that is being read, and whether it has not been told up to when records have been given since it began.
    stretch: u64,
    is_to_tell: bool,
    /// Whether the file has been read to its end or its damage: then come the records.
    is_read: bool,
    damage: Option<Damage>,
}

type Refused = (String, String);

impl<R: BufRead> Jaeger<R> {
    /// Spans that are still to come start as early as `horizon` says.
    pub(super) fn new(source: R, horizon: Option<Horizon>) -> Jaeger<R> {
        let traces = Elements::new(source, &["data"], "trace", MOST_TRACE_MIB);
        let (mut cuts, horizon) = (Cuts::default(), horizon.filter(|horizon| horizon.first() > 0));
        if let Some(horizon) = &horizon {
            cuts.begin(NANOS.saturating_mul(horizon.first()));
        }
        Jaeger { traces, cuts, horizon, stretch: 0, is_to_tell: false, is_read: false, damage: None }
    }

    /// Gives lanes to the spans before which no further one starts, once for each stretch of the file.
    fn give_lanes(&mut self, out: &mut Vec<Record>) {
        let Some(horizon) = &self.horizon else { return };
        let stretch = Horizon::stretch(self.traces.position());
        if stretch > self.stretch
            && let Some(micros) = horizon.from(stretch)
        {
            (self.stretch, self.is_to_tell) = (stretch, true);
            self.cuts.give_lanes(NANOS.saturating_mul(micros).min(NANOS * LATEST), out);
        }
    }

    /// Reads a trace; false at the end of the file.
    fn read(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<bool, Damage> {
        let Some((element, place)) = self.traces.next(oddities)? else { return Ok(false) };
        let trace: Trace<'_> = serde_json::from_slice(element)
            .map_err(|error| Damage::new(place, "a trace with spans", format!("{} ({error})", excerpt(element))))?;
        trace.take(&mut self.cuts, out, oddities).map_err(|(expected, found)| Damage::new(place, expected, found))?;
        Ok(true)
    }
}

impl Trace<'_> {
    /// Adds its spans.
    fn take(&self, cuts: &mut Cuts, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<(), Refused> {
        if let Some(span) = self.spans.iter().find(|span| span.end() > LATEST) {
            return Err((format!("times of at most {LATEST} microseconds"), format!("{} + {}", span.start, span.duration)));
        }
        let numbers: BTreeMap<&str, usize> = self.spans.iter().enumerate().map(|(number, span)| (span.id.as_ref(), number)).collect();
        let linked = |(number, span): (usize, &Span<'_>)| {
            let known = |(parent, follows): (&Cow<'_, str>, bool)| Some(Parent { number: *numbers.get(parent.as_ref())?, follows });
            let parent = span.parents().filter_map(known).find(|parent| parent.number != number);
            if parent.is_none() && span.parents().next().is_some() {
                oddities.count(ORPHAN);
            }
            LinkedSpan { start: NANOS * span.start, end: NANOS * span.end(), kind: ActivityKind::Processing, parent }
        };
        let spans: Vec<LinkedSpan> = self.spans.iter().enumerate().map(linked).collect();
        let name = |number: usize| {
            let span = &self.spans[number];
            let service = self.processes.get(&span.process).map_or(span.process.as_ref(), |process| process.service.as_ref());
            (service, span.operation.as_ref())
        };
        take_tree(&spans, &name, cuts, out, oddities);
        Ok(())
    }
}

impl<R: BufRead + Send> Reader for Jaeger<R> {
    fn step(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<bool, Damage> {
        if self.is_read {
            return if self.cuts.give(out, oddities) { Ok(true) } else { self.damage.take().map_or(Ok(false), Err) };
        }
        if self.is_to_tell {
            self.is_to_tell = self.cuts.give(out, oddities);
            if !self.is_to_tell {
                self.cuts.tell(out);
            }
            return Ok(true);
        }
        match self.read(out, oddities) {
            Ok(true) => self.give_lanes(out),
            end => {
                (self.is_read, self.damage) = (true, end.err());
                self.cuts.give_lanes(u64::MAX, out);
            }
        }
        Ok(true)
    }

    fn finish(&mut self, _: &mut Vec<Record>, _: &mut Oddities) {}
}

#[cfg(test)]
mod tests {
    use super::super::span_tree::OUTSIDE;
    use super::*;
    use crate::activity::Lane;

    /// A span of a service: its name, parents, start and length.
    fn span(service: &str, name: &str, references: &[(&str, &str)], start: u64, duration: u64) -> String {
        let reference = |(kind, span): &(&str, &str)| format!(r#"{{"refType":"{kind}","traceID":"t","spanID":"{span}"}}"#);
        let references: Vec<String> = references.iter().map(reference).collect();
        format!(
            r#"{{"spanID":"{name}","operationName":"{name}","processID":"{service}","startTime":{start},"duration":{duration},"references":[{}]}}"#,
            references.join(",")
        )
    }

    /// Names of workers; operator, worker, epoch and microseconds of work; ends of epochs in microseconds; oddities.
    #[derive(Debug, Default)]
    struct Found {
        workers: Vec<String>,
        work: Vec<(String, u32, u64, u64, u64)>,
        ends: Vec<u64>,
        oddities: Vec<(String, u64)>,
        damage: Option<Damage>,
    }

    fn read(traces: &[&[String]]) -> Found {
        let traces: Vec<String> = traces.iter().map(|spans| format!("{{\"spans\":[{}]}}", spans.join(","))).collect();
        let document = format!("{{\"data\":[{}]}}", traces.join(",\n"));
        let (mut records, mut oddities, mut found) = (Vec::new(), Oddities::default(), Found::default());
        let mut jaeger = Jaeger::new(document.as_bytes(), None);
        found.damage = loop {
            match jaeger.step(&mut records, &mut oddities) {
                Ok(true) => {}
                end => break end.err(),
            }
        };
        let mut operators = Vec::new();
        for record in records {
            match record {
                Record::Operator { name, .. } => operators.push(name),
                Record::WorkerJoined { name, .. } => found.workers.push(name),
                Record::Activity(work) => {
                    let Lane::Worker(worker) = work.lane else { panic!("{work:?}") };
                    let name = operators[work.instance.operator.0 as usize].clone();
                    found.work.push((name, worker.0, work.epoch.0, work.start.0 / 1000, work.end.0 / 1000));
                }
                Record::EpochCompleted { at, .. } => found.ends.push(at.0 / 1000),
                _ => {}
            }
        }
        found.work.sort();
        found.oddities = oddities.iter().map(|(what, count)| (what.to_owned(), count)).collect();
        found
    }

    fn works(expected: &[(&str, u32, u64, u64, u64)]) -> Vec<(String, u32, u64, u64, u64)> {
        expected.iter().map(|&(name, worker, epoch, start, end)| (name.to_owned(), worker, epoch, start, end)).collect()
    }

    #[test]
    fn times_are_relative_to_the_earliest_trace_wherever_it_is_and_services_keep_their_lanes() {
        let at = |start| [span("s", "a", &[], start, 50)];
        let found = read(&[&at(7_000_100), &at(2_000_300), &at(2_000_320), &at(2_000_350)]);
        assert_eq!(
            found.work,
            works(&[("s a", 0, 0, 5_000_100, 5_000_150), ("s a", 0, 1, 300, 350), ("s a", 0, 3, 350, 400), ("s a", 1, 2, 320, 370)])
        );
        assert_eq!(found.workers, ["s", "s (2)"]);
        assert_eq!(found.oddities, []);
    }

    #[test]
    fn sequential_calls_of_a_service_share_a_lane() {
        let child = [("CHILD_OF", "root")];
        let calls = [span("db", "a", &child, 10, 20), span("db", "b", &child, 40, 20), span("db", "c", &child, 60, 20)];
        let found = read(&[&[&[span("web", "root", &[], 0, 100)], &calls[..]].concat()]);
        assert_eq!(found.workers, ["web", "db"]);
        let of_web = [("web root", 0, 0, 0, 10), ("web root", 0, 0, 30, 40), ("web root", 0, 0, 80, 100)];
        assert_eq!(found.work, works(&[&[("db a", 1, 0, 10, 30), ("db b", 1, 0, 40, 60), ("db c", 1, 0, 60, 80)], &of_web[..]].concat()));
    }

    #[test]
    fn a_span_that_follows_from_one_that_ended_is_kept_and_ends_the_epoch() {
        let found = read(&[&[
            span("s", "root", &[], 0, 100),
            span("q", "send", &[("CHILD_OF", "root")], 40, 0),
            span("q", "take", &[("FOLLOWS_FROM", "send")], 150, 50),
            span("q", "late", &[("CHILD_OF", "root")], 150, 50),
        ]]);
        assert_eq!(found.work, works(&[("q take", 1, 0, 150, 200), ("s root", 0, 0, 0, 100)]));
        assert_eq!(found.ends, [200]);
        assert_eq!(found.oddities, [(OUTSIDE.to_owned(), 1)]);
    }

    #[test]
    fn the_parent_is_the_first_reference_in_the_trace_and_rather_one_that_waits() {
        let found = read(&[&[
            span("s", "root", &[], 0, 100),
            span("t", "a", &[("FOLLOWS_FROM", "elsewhere"), ("FOLLOWS_FROM", "root"), ("CHILD_OF", "root")], 10, 20),
            span("u", "b", &[("FOLLOWS_FROM", "root"), ("CHILD_OF", "a")], 15, 10),
        ]]);
        let of_root = [("s root", 0, 0, 0, 10), ("s root", 0, 0, 30, 100)];
        assert_eq!(found.work, works(&[&of_root[..], &[("t a", 1, 0, 10, 15), ("t a", 1, 0, 25, 30), ("u b", 2, 0, 15, 25)]].concat()));
        assert_eq!(found.oddities, []);
    }

    #[test]
    fn spans_that_are_left_out_are_counted() {
        let found = read(&[
            &[
                span("s", "root", &[], 100, 100),
                span("s", "x", &[("CHILD_OF", "y")], 110, 10),
                span("s", "y", &[("CHILD_OF", "x")], 110, 10),
                span("s", "below", &[("CHILD_OF", "y")], 110, 10),
                span("s", "early", &[("CHILD_OF", "root")], 10, 20),
                span("s", "of early", &[("CHILD_OF", "early")], 10, 20),
                span("s", "instant", &[("CHILD_OF", "root")], 150, 0),
            ],
            &[span("s", "x", &[("CHILD_OF", "y")], 110, 10), span("s", "y", &[("CHILD_OF", "x")], 110, 10)],
        ]);
        assert_eq!(found.work, works(&[("s root", 0, 0, 100, 200)]));
        let expected = [
            (OUTSIDE, 2),
            ("spans that are their own ancestors, and those below them, left out", 5),
            ("spans that took no time, left out", 1),
            ("traces without a root", 1),
        ];
        assert_eq!(found.oddities, expected.map(|(what, count)| (what.to_owned(), count)));
    }

    #[test]
    fn a_trace_of_more_than_four_mebibytes_is_read_and_damage_comes_after_what_was_before_it() {
        let long: Vec<String> = (0..50_000).map(|n| span("s", &format!("{n}"), &[("CHILD_OF", "0")], n, 1)).collect();
        let found = read(&[&long, &["3".to_owned()]]);
        assert_eq!((found.work.len(), found.ends.len()), (1, 1), "{:?}", found.oddities);
        let Some(Damage::Content { expected, .. }) = found.damage else { panic!("{:?}", found.damage) };
        assert_eq!(expected, "a trace with spans");
    }
}
