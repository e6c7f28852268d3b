//! Each format, written for the same few windows, and read back by a parser of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
use crate::critical_path::{Participation, WindowSummary, likeliest_path};
use crate::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use crate::pag::{GraphBuilder, GraphConfig};
use crate::time::{Epoch, Timestamp};

/// What the text would break a format with.
const NAME: &str = "map \"a\", <b> \\ ;→";

/// Every 10 µs the first worker maps and sends to the second, which counts on a lane of its own and
/// answers late enough to be awaited.
fn records(rounds: u64) -> Vec<Record> {
    let lanes = [Lane::Worker(WorkerId(0)), Lane::Instance(InstanceId::new(OperatorId(1), 3))];
    let mut records = vec![Record::Operator { operator: OperatorId(0), name: NAME.into() }];
    records.push(Record::Operator { operator: OperatorId(1), name: "count".into() });
    records.push(Record::Channel { channel: ChannelId(0), source: OperatorId(0), target: OperatorId(1) });
    for round in 0..rounds {
        let at = round * 10_000;
        let work = |lane: usize, start: u64, end: u64| {
            Record::Activity(Activity {
                lane: lanes[lane],
                kind: ActivityKind::Processing,
                instance: InstanceId::new(OperatorId(lane as u32), 3 * lane as u32),
                epoch: Epoch(round),
                start: Timestamp(start),
                end: Timestamp(end),
                records_in: 1,
                records_out: 1,
            })
        };
        let message = |from: usize, sent: u64, received: u64| {
            let message = Message {
                at: Timestamp(sent),
                kind: MessageKind::Data,
                channel: ChannelId(from as u32),
                sequence: round,
                from: WorkerId(0),
                from_lane: lanes[from],
                to_lane: lanes[1 - from],
                epoch: Epoch(round),
                records: 1,
            };
            [Record::Sent(message), Record::Received(Message { at: Timestamp(received), ..message })]
        };
        records.push(work(0, at, at + 2_001));
        records.extend(message(0, at + 2_001, at + 2_501));
        records.push(work(1, at + 2_501, at + 9_000));
        records.extend(message(1, at + 9_000, at + 9_990));
    }
    records
}

/// The file that `writer` makes of windows of 50 µs, and what it says of it.
fn written(mut writer: impl Writer, rounds: u64) -> (String, Option<String>) {
    let (mut builder, mut names) = (GraphBuilder::new(GraphConfig::new(Duration::from_micros(50))), Names::default());
    for record in records(rounds) {
        names.learn(&record);
        builder.push(&record);
    }
    let mut out = Vec::new();
    writer.begin(&mut out).unwrap();
    while let Some(graph) = builder.close(Timestamp(u64::MAX)) {
        let participation = Participation::of(&graph);
        let (path, summary) = (likeliest_path(&graph, &participation), WindowSummary::of(&graph, || 0.5));
        assert!(!path.is_empty());
        let view = View { graph: &graph, participation: &participation, path: &path, summary: &summary, names: &names };
        writer.window(&mut out, &view).unwrap();
    }
    let note = writer.finish(&mut out, &names).unwrap();
    (String::from_utf8(out).unwrap(), note)
}

/// From when until when, in ns, and its name.
type Slice = (u64, u64, String);

#[test]
fn trace_events_are_json_with_slices_that_nest_and_arrows_that_meet_them() {
    let (text, _) = written(perfetto::Perfetto::default(), 20);
    let file: Value = serde_json::from_str(&text).unwrap();
    let events = file["traceEvents"].as_array().unwrap();
    let nanoseconds = |value: &Value| (value.as_f64().unwrap() * 1e3).round() as u64;
    let place = |event: &Value| (event["pid"].as_u64().unwrap(), event["tid"].as_u64().unwrap());
    // Slices by thread: none overlaps the next.
    let mut slices: BTreeMap<(u64, u64), Vec<Slice>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["ph"] == "X") {
        let start = nanoseconds(&event["ts"]);
        let name = event["name"].as_str().unwrap().to_owned();
        slices.entry(place(event)).or_default().push((start, start + nanoseconds(&event["dur"]), name));
    }
    for thread in slices.values_mut() {
        thread.sort();
        assert!(thread.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{thread:?}");
    }
    assert_eq!(slices.len(), 3, "two lanes and the critical path");
    let covered: u64 = slices[&(1, 1)].iter().map(|(start, end, _)| end - start).sum();
    assert_eq!(covered, 200_000, "the likeliest paths lead from the first window's start to the last one's end");
    assert!(slices.values().flatten().any(|(start, end, name)| (*start, *end) == (0, 2_001) && *name == format!("{NAME}[0] processing")));
    assert!(slices.values().flatten().any(|(.., name)| name.starts_with("waits for ")));
    // Each arrow has two ends, and a slice at the first.
    let mut arrows: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["ph"] == "s" || event["ph"] == "f") {
        let phase = event["ph"].as_str().unwrap();
        arrows.entry(event["id"].as_u64().unwrap()).or_default().push(phase);
        let at = nanoseconds(&event["ts"]);
        let meets = slices[&place(event)].iter().any(|(start, end, _)| *start <= at && at < *end);
        assert!(meets || phase == "f", "{event}");
    }
    assert!(arrows.len() >= 36 && arrows.values().all(|ends| *ends == ["s", "f"]), "{arrows:?}");
    let named = |what: &str, name: &str| events.iter().any(|event| event["name"] == what && event["args"]["name"] == name);
    assert!(named("process_name", "worker0") && named("process_name", "count") && named("thread_name", "count[3]"));
    assert!(events.iter().any(|event| event["cat"] == "processing,critical"));
}

/// Enough of the DOT language for what we write: names of nodes and edges with attributes, one
/// statement a line.
fn parse_dot(text: &str) -> (BTreeSet<String>, usize) {
    let (mut nodes, mut edges, mut open) = (BTreeSet::new(), 0, 0);
    for line in text.lines().map(str::trim) {
        if line == "}" {
            open -= 1;
            assert!(open >= 0);
        } else if let Some(head) = line.strip_suffix('{') {
            assert!(head.starts_with("digraph ") || (open == 1 && head.starts_with("subgraph cluster_")), "{line}");
            open += 1;
        } else {
            let statement = line.strip_suffix(';').unwrap_or_else(|| panic!("no end: {line}"));
            // Outside strings there are pairs of brackets; strings end.
            let (mut outside, mut inside, mut escaped) = (String::new(), false, false);
            for c in statement.chars() {
                match (inside, escaped, c) {
                    (true, true, _) => escaped = false,
                    (true, false, '\\') => escaped = true,
                    (_, false, '"') => inside = !inside,
                    (false, ..) => outside.push(c),
                    _ => {}
                }
            }
            assert!(!inside && outside.matches('[').count() == outside.matches(']').count(), "{line}");
            let subject = outside.split('[').next().unwrap().trim().to_owned();
            let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if let Some((from, to)) = subject.split_once(" -> ") {
                assert!(is_name(from) && is_name(to), "{line}");
                nodes.extend([from.to_owned(), to.to_owned()]);
                edges += 1;
            } else {
                let names: Vec<&str> = subject.trim_end_matches('=').split('=').collect();
                assert!(names.len() <= 2 && names.into_iter().all(is_name), "{line}");
            }
        }
    }
    assert_eq!(open, 0);
    (nodes, edges)
}

#[test]
fn graphs_are_dot_and_say_what_they_leave_out() {
    let (text, note) = written(dot::Dot::default(), 20);
    let (nodes, edges) = parse_dot(&text);
    assert!(note.is_none() && edges > 80, "{edges}");
    // 4 windows with the ends of two lanes each, and a point for each side of 40 messages.
    assert_eq!(nodes.iter().filter(|node| node.contains('l')).count(), 16);
    assert_eq!(nodes.iter().filter(|node| node.contains('p')).count(), 80);
    assert!(text.contains("color=red") && text.contains("style=dashed"));

    let (text, note) = written(dot::Dot::default(), 1000);
    let (_, edges) = parse_dot(&text);
    assert!(edges <= 4000);
    let note = note.unwrap();
    assert!(note.starts_with("184 windows are left out") && text.contains(&note), "{note}");
}

#[test]
fn rows_hold_what_summaries_hold() {
    let (text, _) = written(rows::Csv::default(), 20);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().iter().collect::<Vec<_>>().join(",");
    let expected = "window_start_ns,window_end_ns,lane,kind,operator,instance,channel,to_lane,participation,ns,path_ns,count";
    assert_eq!(header, expected);
    let rows: Vec<BTreeMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for row in &rows {
        *sums.entry(&row["window_start_ns"]).or_default() += row["participation"].parse::<f64>().unwrap();
    }
    assert_eq!(sums.len(), 4);
    assert!(sums.values().all(|sum| (sum - 1.0).abs() < 1e-9), "{sums:?}");
    assert!(rows.iter().any(|row| row["operator"] == NAME && row["kind"] == "processing" && row["ns"] == "10005" && row["count"] == "5"));

    let (text, _) = written(rows::JsonLines, 20);
    let summaries: Vec<WindowSummary> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ends: Vec<u64> = summaries.iter().map(|summary| summary.window.end.0).collect();
    assert_eq!(ends, [50_000, 100_000, 150_000, 200_000]);
}

#[test]
fn a_file_has_its_name_only_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let count = || std::fs::read_dir(folder.path()).unwrap().count();
    let path = folder.path().join("trace.json");
    let exporter = Exporter::create(Format::Perfetto, &path).unwrap();
    assert!(count() == 1 && !path.exists());
    drop(exporter);
    assert_eq!(count(), 0);
    assert_eq!(Exporter::create(Format::Csv, &path).unwrap().finish(&Names::default()).unwrap(), None);
    assert!(count() == 1 && path.exists());
    assert!(Exporter::create(Format::Csv, folder.path()).is_err());
    assert!(Exporter::create(Format::Csv, &folder.path().join("none/x.csv")).is_err());
}
