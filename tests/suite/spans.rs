//! Traces of spans: the critical paths of Jaeger's are those that one finds by hand, and those of OpenTelemetry's are the same.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// Time of each operation on the critical path, in microseconds.
fn critical(file: &Path) -> Vec<(String, u64)> {
    let output = Command::new(env!("CARGO_BIN_EXE_thalweg")).args(["analyze", "--json", "--epochs"]).arg(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let total = found["epoch_latency"]["mean_ns"].as_f64().unwrap() / 1000.0;
    let micros = |entry: &Value| (entry["participation"].as_f64().unwrap() * total).round() as u64;
    let named = |entry: &Value| (entry["name"].as_str().unwrap().to_owned(), micros(entry));
    let mut times: Vec<(String, u64)> = found["ranking"].as_array().unwrap().iter().map(named).filter(|(_, time)| *time > 0).collect();
    // The epoch says the same.
    let parts = found["epochs"].as_array().unwrap().iter().map(|part| part["mean_ns"].as_f64().unwrap() / 1000.0).sum::<f64>();
    assert!((parts - total).abs() < 1.0, "{found}");
    times.sort();
    times
}

#[track_caller]
fn check(file: &Path, expected: &[(&str, u64)]) {
    let expected: Vec<(String, u64)> = expected.iter().map(|(name, time)| ((*name).to_owned(), *time)).collect();
    assert_eq!(critical(file), expected, "{}", file.display());
    let document = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let otlp = folder.path().join("otlp.json");
    std::fs::write(&otlp, open_telemetry(&document)).unwrap();
    assert_eq!(critical(&otlp), expected, "{} as OpenTelemetry has it", file.display());
}

/// The same traces as OpenTelemetry has them, a span a line, the last one first: one that follows from another links to it.
fn open_telemetry(jaeger: &Value) -> String {
    let mut lines = Vec::new();
    for (trace, of) in (1..).zip(jaeger["data"].as_array().unwrap()) {
        let spans = of["spans"].as_array().unwrap();
        let id = |of: &Value| spans.iter().position(|span| span["spanID"] == *of).map(|number| format!("{:016x}", number + 1));
        for span in spans {
            let references = span["references"].as_array().into_iter().flatten();
            let named = |kind: &str| {
                references.clone().filter(|to| (to["refType"] == "FOLLOWS_FROM") == (kind == "link")).find_map(|to| id(&to["spanID"]))
            };
            let trace = format!("{trace:032x}");
            let link = named("link").map(|span| json!({ "traceId": trace, "spanId": span }));
            // A second later: a span that starts at 0 has no start.
            let start = 1_000_000 + span["startTime"].as_u64().unwrap();
            let service = &of["processes"][span["processID"].as_str().unwrap()]["serviceName"];
            let nanos = |micros: u64| format!("{}000", micros);
            let span = json!({
                "traceId": trace, "spanId": id(&span["spanID"]), "parentSpanId": named("parent"), "name": span["operationName"],
                "startTimeUnixNano": nanos(start), "endTimeUnixNano": nanos(start + span["duration"].as_u64().unwrap()),
                "links": link.into_iter().collect::<Vec<_>>(),
            });
            let resource = json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": service } }] });
            lines.push(json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "spans": [span] }] }] }).to_string());
        }
    }
    lines.reverse();
    lines.join("\n")
}

/// A span: its name, parent, start and length.
fn trace(spans: &[(&str, &str, u64, u64)]) -> Value {
    let span = |&(name, parent, start, duration): &(&str, &str, u64, u64)| {
        let references = if parent.is_empty() { json!([]) } else { json!([{ "refType": "CHILD_OF", "spanID": parent }]) };
        json!({ "spanID": name, "operationName": name, "processID": "p", "startTime": start, "duration": duration, "references": references })
    };
    json!({ "traceID": "t", "processes": { "p": { "serviceName": "s" } }, "spans": spans.iter().map(span).collect::<Vec<_>>() })
}

/// ```text
///  root  |----------------------------------------| 0-100
///  a        |--------|                              10-40, before b
///  b                   |----------------|           45-90
///  c                     |-----|                    50-60, below b
///  beside              |---|                        42-55: b ends later
///  async                              |-----------| 95-130, cut at 100
/// ```
#[test]
fn a_span_waits_for_the_child_that_ends_last() {
    let spans = [
        ("root", "", 0, 100),
        ("a", "root", 10, 30),
        ("b", "root", 45, 45),
        ("c", "b", 50, 10),
        ("beside", "root", 42, 13),
        ("async", "root", 95, 35),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    std::fs::write(&path, json!({ "data": [trace(&spans)] }).to_string()).unwrap();
    check(&path, &[("s a", 30), ("s async", 5), ("s b", 35), ("s c", 10), ("s root", 20)]);
}

/// ```text
///  root  |----------------|                       0-100
///  send      |---|                                40-50
///  take                       |--------|          150-200, follows from send
/// ```
#[test]
fn a_span_that_follows_from_another_is_on_the_path_when_it_ends_last() {
    let mut trace = trace(&[("root", "", 0, 100), ("send", "root", 40, 10), ("take", "send", 150, 50)]);
    trace["spans"][2]["references"][0]["refType"] = json!("FOLLOWS_FROM");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    std::fs::write(&path, json!({ "data": [trace] }).to_string()).unwrap();
    check(&path, &[("channel s send → s take", 100), ("s root", 40), ("s send", 10), ("s take", 50)]);
}

/// The later trace comes first, and begins on its lanes where the earlier one ends.
#[test]
fn traces_that_come_in_any_order_have_paths_without_gaps() {
    let of = |start| trace(&[("root", "", start, 100), ("a", "root", start, 60), ("b", "root", start + 60, 40)]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    std::fs::write(&path, json!({ "data": [of(1_000_100), of(1_000_000)] }).to_string()).unwrap();
    check(&path, &[("s a", 60), ("s b", 40)]);
}

/// Worked out by hand from the spans; they are those that CRISP expects, but for the two files in which children overlap: there the
/// overlap counts for the later one alone.
#[test]
fn the_small_traces_of_jaeger_have_the_paths_that_one_finds_by_hand() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/traces/jaeger");
    if !folder.is_dir() {
        eprintln!("skipped: {} is not there", folder.display());
        return;
    }
    let cases: [(&str, &[(&str, u64)]); 13] = [
        ("1", &[("S1 O1", 100)]),
        ("3", &[("S2 O2", 100)]),
        ("4", &[("S1 O1", 50), ("S2 O2", 40), ("S3 O3", 10)]),
        ("5", &[("S1 O1", 40), ("S2 O2", 60)]),
        ("9", &[("S1 O1", 70), ("S4 O4", 30)]),
        ("10", &[("S1 O1", 402), ("S2 O2", 199), ("S3 O3", 99), ("S4 O4", 300)]),
        ("12", &[("S1 O1", 40), ("S2 O2", 40), ("S4 O4", 20)]),
        ("14", &[("S1 O1", 35), ("S2 O2", 20), ("S4 O4", 25)]),
        ("16", &[("S1 O1", 50), ("S2 O2", 10), ("S4 O4", 10), ("S5 O5", 10), ("S6 O6", 20), ("S7 O7", 10)]),
        (
            "18",
            &[
                ("S1 O1", 50),
                ("S2 O2", 70),
                ("S3 O3", 10),
                ("S4 O4", 10),
                ("S5 O5", 10),
                ("S6 O6", 40),
                ("S7 O7", 30),
                ("S8 O8", 20),
                ("S9 O9", 10),
            ],
        ),
        ("20", &[("S1 O1", 10), ("S2 O2", 195), ("S3 O3", 95), ("S4 O4", 300)]),
        ("22", &[("S1 O1", 150), ("S2 O2", 150)]),
        ("24", &[("S1 O1", 100), ("S2 O2", 300), ("S3 O3", 300)]),
    ];
    for (file, expected) in cases {
        check(&folder.join(format!("{file}.json")), expected);
    }
}
