//! What becomes of spans, and of what is wrong with them.

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
    let mut otlp = Otlp::new(document.as_bytes(), None);
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
