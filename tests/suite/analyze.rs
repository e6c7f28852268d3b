//! `thalweg analyze` as a user calls it: a known bottleneck is named, sums hold, and whatever is wrong gets a line and exit code 2.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use thalweg::activity::{Activity, ActivityKind, Lane, LogWriter, Message, MessageKind, Record};
use thalweg::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use thalweg::time::{Epoch, Timestamp};

fn thalweg(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_thalweg")).args(args).current_dir(folder).env_remove("RUST_BACKTRACE").output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn json(folder: &Path, args: &[&str]) -> Value {
    let output = thalweg(folder, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

const MS: u64 = 1_000_000;

/// A map on worker 0 feeds three instances of count, each on a lane of its own, and waits for all before it goes on. The first has
/// eight times the work of its siblings: a round of 10 ms is 1 ms of map and 8 ms of count[0]. It feeds three auditors, too, which work
/// for 15 ms together and for whom nobody waits.
fn records(rounds: u64) -> Vec<Record> {
    let named = |operator, name: &str| Record::Operator { operator: OperatorId(operator), name: name.into() };
    let mut records = vec![named(0, "map"), named(1, "count"), named(2, "audit")];
    records.push(Record::Channel { channel: ChannelId(1), source: OperatorId(0), target: OperatorId(1) });
    records.push(Record::Channel { channel: ChannelId(2), source: OperatorId(1), target: OperatorId(0) });
    records.push(Record::Channel { channel: ChannelId(3), source: OperatorId(0), target: OperatorId(2) });
    let lane = |instance| Lane::Instance(InstanceId::new(OperatorId(1), instance));
    let work = |lane, operator, instance, start, end| {
        Record::Activity(Activity {
            lane,
            kind: ActivityKind::Processing,
            instance: InstanceId::new(OperatorId(operator), instance),
            epoch: Epoch(0),
            start: Timestamp(start),
            end: Timestamp(end),
            records_in: 1,
            records_out: 1,
        })
    };
    let message = |at, channel, sequence, from_lane, to_lane| Message {
        at: Timestamp(at),
        kind: MessageKind::Data,
        channel: ChannelId(channel),
        sequence,
        from: WorkerId(0),
        from_lane,
        to_lane,
        epoch: Epoch(0),
        records: 1,
    };
    let worker = Lane::Worker(WorkerId(0));
    for round in 0..rounds {
        let start = round * 10 * MS;
        records.push(work(worker, 0, 0, start, start + MS));
        for instance in 0..3 {
            let begin = start + MS + MS / 2;
            let end = begin + if instance == 0 { 8 * MS } else { MS };
            let sequence = round * 3 + u64::from(instance);
            let auditor = Lane::Worker(WorkerId(1 + instance));
            for (channel, to) in [(1, lane(instance)), (3, auditor)] {
                let there = message(start + MS, channel, sequence, worker, to);
                records.extend([Record::Sent(there), Record::Received(Message { at: Timestamp(begin), ..there })]);
            }
            records.push(work(lane(instance), 1, instance, begin, end));
            records.push(work(auditor, 2, instance, begin, begin + 5 * MS));
            let back = message(end, 2, sequence, lane(instance), worker);
            records.extend([Record::Sent(back), Record::Received(Message { at: Timestamp(end + MS / 2 - 1), ..back })]);
        }
        records.push(Record::UpTo { worker: WorkerId(0), at: Timestamp(start + 10 * MS) });
    }
    records
}

fn write_log(path: &Path, records: &[Record]) {
    let mut writer = LogWriter::new(BufWriter::new(File::create(path).unwrap())).unwrap();
    records.chunks(100).for_each(|block| writer.append(block).unwrap());
    writer.finish().unwrap();
}

#[test]
fn a_known_bottleneck_is_named_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    write_log(&folder.path().join("a.log"), &records(500));
    let output = thalweg(folder.path(), &["analyze", "a.log"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let printed = text(&output.stdout);
    assert!(printed.starts_with("a.log: 5 windows of 1s from 0.000 s to 5.000 s"), "{printed}");
    let row = printed.lines().find(|line| line.starts_with("| 1 ")).unwrap();
    assert!(row.contains("| count ") && row.contains("| 5 of 5 ") && row.contains("| 0 of 5 "), "{row}");
    for expected in [
        "of it is count[0] alone, one of 3 instances: its activities take 8.0 times as long as those of the others",
        "A conventional profile would rank audit first",
    ] {
        assert!(printed.contains(expected), "{expected}\n{printed}");
    }
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let wait = ["worker0", "count[0]", "count → map", "count[0]", "3.50 s", "500", "7.0 ms"];
    assert!(printed.lines().any(|line| cells(line).get(1..8).is_some_and(|cells| cells == wait)), "{printed}");
    let printed = json(folder.path(), &["analyze", "a.log", "--by", "instance", "--json"]);
    let first = &printed["ranking"][0];
    assert_eq!((&first["name"], &first["entity"]["instance"]["index"]), (&Value::from("count[0]"), &Value::from(0)));
    // Only together are the auditors busier than this instance.
    assert_eq!(first["first_in_windows"], serde_json::json!({ "participation": 5, "profile": 5, "path": 5 }));
    let wait = &printed["waits"][0];
    assert!(wait["ns"].as_u64().unwrap() > 0 && wait["count"].as_u64().unwrap() > 0, "{wait}");
    assert_eq!(printed["oddities"]["graph"]["unmatched_receipts"], 0);
    for (by, first) in [("worker", "count[0]"), ("activity", "processing"), ("channel", "channel map → count")] {
        let printed = json(folder.path(), &["analyze", "a.log", "--by", by, "--json"]);
        assert_eq!(printed["ranking"][0]["name"], first, "{by}");
        assert!(thalweg(folder.path(), &["analyze", "a.log", "--by", by]).status.success());
    }
}

#[test]
fn participations_sum_to_one_in_windows_of_any_length() {
    let folder = tempfile::tempdir().unwrap();
    write_log(&folder.path().join("a.log"), &records(1000));
    for (window, windows) in [("0.1s", 100), ("300ms", 34), ("1s", 10), ("10s", 1)] {
        for further in [&[][..], &["--through-queues"]] {
            let args = [&["analyze", "a.log", "--json", "--window", window], further].concat();
            let printed = json(folder.path(), &args);
            let found = printed["windows"].as_array().unwrap();
            assert_eq!(found.len(), windows, "{window}");
            for window in found {
                let listed: f64 = window["ranking"].as_array().unwrap().iter().map(|entry| entry["participation"].as_f64().unwrap()).sum();
                assert!((window["participation_sum"].as_f64().unwrap() - 1.0).abs() < 1e-9 && (listed - 1.0).abs() < 1e-9, "{window}");
                assert!(window["start_ns"].as_u64() < window["end_ns"].as_u64() && window["log2_paths"].is_number());
            }
            let whole: f64 = printed["ranking"].as_array().unwrap().iter().map(|entry| entry["participation"].as_f64().unwrap()).sum();
            assert!((whole - 1.0).abs() < 1e-9);
        }
    }
    let part = json(folder.path(), &["analyze", "a.log", "--json", "--from", "2s", "--until", "4500ms"]);
    let starts: Vec<u64> = part["windows"].as_array().unwrap().iter().map(|window| window["start_ns"].as_u64().unwrap()).collect();
    assert_eq!(starts, [2_000 * MS, 3_000 * MS, 4_000 * MS]);
}

#[test]
fn exports_and_figure_are_written_whole() {
    let folder = tempfile::tempdir().unwrap();
    write_log(&folder.path().join("a.log"), &records(300));
    let exports = ["perfetto=p.json", "dot=g.dot", "csv=r.csv", "json=s.jsonl"];
    let mut args = vec!["analyze", "a.log", "--window", "100ms", "--plot", "lanes.svg"];
    args.extend(exports.iter().flat_map(|export| ["--export", export]));
    let output = thalweg(folder.path(), &args);
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stderr).contains("windows are left out: a graph has at most 16 windows"), "{}", text(&output.stderr));
    let mut files: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files.join(" "), "a.log g.dot lanes.svg p.json r.csv s.jsonl");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let events: Value = serde_json::from_str(&read("p.json")).unwrap();
    assert!(events["traceEvents"].as_array().unwrap().len() > 3000);
    assert_eq!(read("s.jsonl").lines().count(), 30);
    assert!(read("r.csv").lines().count() > 30 * 5 && read("g.dot").starts_with("digraph"));
    assert!(read("lanes.svg").contains("count[0]"));
    let before = read("p.json");
    assert!(thalweg(folder.path(), &args).status.success());
    assert_eq!(read("p.json"), before, "the same trace gives the same bytes");
}

/// The one line of a refused command, after which nothing is left behind.
fn refused(folder: &Path, args: &[&str]) -> String {
    let before = fs::read_dir(folder).unwrap().count();
    let output = thalweg(folder, &[&["analyze"], args].concat());
    assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{args:?}: {output:?}");
    assert_eq!(text(&output.stderr).lines().count(), 1, "{args:?}: {output:?}");
    assert_eq!(fs::read_dir(folder).unwrap().count(), before, "{args:?} left something behind");
    text(&output.stderr).trim_end().to_owned()
}

#[test]
fn what_is_wrong_is_named_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_log(&path("a.log"), &records(200));
    write_log(&path("names.log"), &records(0));
    fs::write(path("empty.log"), "").unwrap();
    fs::write(path("other.log"), "hello, this is no trace\n").unwrap();
    let mut version = fs::read(path("a.log")).unwrap();
    version[8] = 77;
    fs::write(path("version.log"), version).unwrap();
    for (args, expected) in [
        (&["none.log"][..], "none.log"),
        (&["."], "found a folder"),
        (&["empty.log"], "found an empty file"),
        (&["other.log"], "other.log, byte 0: expected an activity log"),
        (&["version.log"], "found version 77"),
        (&["names.log"], "names.log: expected activities or messages in the selected time, found none"),
        (&["a.log", "--from", "1h"], "expected activities or messages in the selected time, found none"),
        (&["a.log", "--window", "0"], "--window: expected a length of time such as 500ms, 1s or 2m, found '0'"),
        (&["a.log", "--window", "0s"], "--window: expected more than 0, found '0s'"),
        (&["a.log", "--window", "-1s"], "--window: expected a length of time"),
        (&["a.log", "--window", "9999999999h"], "--window: expected a length of time"),
        (&["a.log", "--window", "1us"], "--window 1us: expected at most 1000000 windows, found more; choose longer ones"),
        (&["a.log", "--window", "1us", "--json"], "--window 1us: expected at most 1000000 windows"),
        (&["a.log", "--lookahead", "soon"], "--lookahead: expected a length of time"),
        (&["a.log", "--from", "2s", "--until", "1s"], "--until: expected more than --from (2.000 s), found 1.000 s"),
        (&["a.log", "--by", "colour"], "--by: expected one of 'operator'"),
        (&["a.log", "--top", "0"], "--top: expected at least 1, found 0"),
        (&["a.log", "--workers", "0"], "--workers: expected 1 to 64, found 0"),
        (
            &["a.log", "--watch", "participation colour > 1%"],
            "--watch: in 'participation colour > 1%': expected 'operator', 'instance' or 'channel', found 'colour'",
        ),
        (&["a.log", "--watch", ""], "expected 'participation', 'epoch', 'message', 'activity' or 'wait', found the end"),
        (&["a.log", "--format", "csv"], "--format: expected one of 'thalweg'"),
        (
            &["a.log", "--export", "pdf=x"],
            "--export: expected a format, one of 'perfetto', 'dot', 'csv', 'json', 'folded', 'flame' and 'overlay', found 'pdf'",
        ),
        (&["a.log", "--export", "perfetto"], "--export: expected FORMAT=FILE such as perfetto=trace.json, found 'perfetto'"),
        (&["a.log", "--export", "csv=none/x.csv"], "--export csv=none/x.csv: cannot be written: No such file"),
        (&["a.log", "--export", "csv=ok.csv", "--export", "json=."], "--export json=.: cannot be written"),
        (&["a.log", "--export", "csv=x", "--export", "json=x"], "x: expected a different file for each"),
        (&["a.log", "--export", "csv=./a.log"], "./a.log: expected an output file, found the name of an input trace"),
        (&["a.log", "--plot", "lanes.pdf"], "--plot lanes.pdf: expected a name that ends in .svg or .png"),
        (&["a.log", "--plot", "none/lanes.svg"], "--plot none/lanes.svg: expected a file in a folder that exists"),
        (&[], "the following required arguments were not provided"),
    ] {
        let line = refused(folder.path(), args);
        assert!(line.starts_with("thalweg: ") && line.contains(expected), "{args:?}\nexpected {expected}\nfound    {line}");
    }
}

#[test]
fn what_comes_before_damage_is_analysed_and_then_the_damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.log");
    write_log(&path, &records(500));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() * 7 / 10]).unwrap();
    let output = thalweg(folder.path(), &["analyze", "cut.log", "--json", "--export", "csv=r.csv"]);
    assert_eq!(output.status.code(), Some(2));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["ranking"][0]["name"], "count");
    assert!((3..=4).contains(&printed["windows"].as_array().unwrap().len()));
    let error = text(&output.stderr).lines().last().unwrap();
    assert!(error.starts_with("thalweg: cut.log") && error.contains("found the end of the file inside of it"), "{error}");
    assert!(folder.path().join("r.csv").exists());
    // Nothing but the head: only the damage is told.
    fs::write(&path, &whole[..40]).unwrap();
    let line = refused(folder.path(), &["cut.log", "--json"]);
    assert!(line.contains("found the end of the file inside of it"), "{line}");
}

#[test]
fn a_run_of_the_engine_can_be_analysed() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["run", "--policy", "hold", "--rate", "200000/min", "--words", "5", "--duration", "2", "--out", "out", "--record", "--json"];
    assert!(thalweg(folder.path(), &args).status.success());
    let args =
        ["analyze", "out/activity.log", "--window", "500ms", "--json", "--plot", "lanes.png", "--epochs", "--export", "perfetto=p.json"];
    let printed = json(folder.path(), &args);
    let windows = printed["windows"].as_array().unwrap();
    assert!(windows.len() >= 3, "{}", windows.len());
    for window in windows {
        assert!((window["participation_sum"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{window}");
    }
    // One instance of FlatMap takes in half of what is offered, one of Count twice what FlatMap gives it.
    let first = |measure: &str| {
        let ranking = printed["ranking"].as_array().unwrap();
        ranking.iter().max_by_key(|entry| entry["first_in_windows"][measure].as_u64()).unwrap()["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(first("participation"), "flatmap", "{}", printed["ranking"]);
    assert_eq!(printed["oddities"]["graph"]["cycles"], 0);
    assert!(printed["epoch_latency"]["epochs"].as_u64().unwrap() > 10, "{}", printed["epoch_latency"]);
    let shares: f64 = printed["epochs"].as_array().unwrap().iter().map(|part| part["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
    let text = text(&thalweg(folder.path(), &["analyze", "out/activity.log", "--epochs"]).stdout).to_owned();
    assert!(text.contains("flatmap: queueing behind its other epochs"), "{text}");
    assert!(fs::read(folder.path().join("lanes.png")).unwrap().starts_with(b"\x89PNG"));
    let events: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("p.json")).unwrap()).unwrap();
    assert!(!events["traceEvents"].as_array().unwrap().is_empty());
}

#[test]
fn results_are_the_same_for_any_number_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    // A name that comes late holds from the same window on, however far the reader is ahead.
    let mut records = records(500);
    let late = records.len() / 2;
    records.insert(late, Record::Operator { operator: OperatorId(1), name: "tally".into() });
    write_log(&folder.path().join("a.log"), &records);
    for further in [
        &["--json", "--epochs", "--watch", "wait > 300ms over 2 windows"][..],
        &["--watch", "participation operator > 60%", "--by", "instance"],
        &["--json", "--from", "1500ms", "--until", "3s", "--export", "csv=r.csv"],
    ] {
        let printed = |workers: &str| {
            let output = thalweg(folder.path(), &[&["analyze", "a.log", "--window", "100ms", "--workers", workers], further].concat());
            assert!(output.status.success(), "{output:?}");
            output.stdout
        };
        let one = printed("1");
        assert!(text(&one).contains("tally"));
        for workers in ["2", "3"] {
            assert_eq!(text(&one), text(&printed(workers)), "{workers} workers, {further:?}");
        }
    }
}

/// The job whose first count stops after 300 of 500 rounds of 10 ms; from then on only map and audit work.
fn until_count_is_fast() -> Vec<Record> {
    let slow = |instance: InstanceId| instance.operator == OperatorId(1);
    let mut records = records(500);
    for record in &mut records {
        if let Record::Activity(activity) = record
            && slow(activity.instance)
            && activity.start >= Timestamp(3_000 * MS)
        {
            activity.end = Timestamp(activity.start.0 + 1);
        }
    }
    records
}

#[test]
fn what_is_watched_appears_and_vanishes_by_name() {
    let folder = tempfile::tempdir().unwrap();
    write_log(&folder.path().join("a.log"), &until_count_is_fast());
    let query = "participation operator > 60% over 2 windows";
    let output = thalweg(folder.path(), &["analyze", "a.log", "--watch", query, "--watch", "activity > 7ms"]);
    assert!(output.status.success(), "{output:?}");
    let lines: Vec<&str> = text(&output.stdout).lines().take_while(|line| !line.is_empty()).collect();
    let expected = [
        "0.000 s appeared: count (activity > 7ms over 1 window)",
        "1.000 s appeared: count (participation operator > 60% over 2 windows)",
        "3.000 s vanished: count (participation operator > 60% over 2 windows)",
        "3.000 s vanished: count (activity > 7ms over 1 window)",
    ];
    assert_eq!(lines, expected);
    assert!(text(&output.stdout).contains("\n\na.log: 5 windows of 1s"));
    let printed = json(folder.path(), &["analyze", "a.log", "--json", "--watch", query]);
    let finding = |start: u64, appeared: bool| {
        serde_json::json!({
            "window_start_ns": start * 1000 * MS, "window_end_ns": (start + 1) * 1000 * MS, "query": query, "subject": "count", "appeared": appeared
        })
    };
    assert_eq!(printed["findings"], serde_json::json!([finding(1, true), finding(3, false)]));
    assert_eq!(json(folder.path(), &["analyze", "a.log", "--json"]).get("findings"), None);
}

#[test]
fn the_most_that_could_be_gained_stands_beside_what_an_epoch_took() {
    let folder = tempfile::tempdir().unwrap();
    let worker = WorkerId(0);
    let mut records = vec![Record::Operator { operator: OperatorId(0), name: "map".into() }];
    for epoch in 0..100 {
        let due = Timestamp(epoch * 10 * MS);
        let (start, end) = (Timestamp(due.0 + MS), Timestamp(due.0 + 5 * MS));
        records.push(Record::EpochOpened { at: due, source: InstanceId::new(OperatorId(9), 0), epoch: Epoch(epoch), due, records: 1 });
        records.push(Record::Activity(Activity {
            lane: Lane::Worker(worker),
            kind: ActivityKind::Processing,
            instance: InstanceId::new(OperatorId(0), 0),
            epoch: Epoch(epoch),
            start,
            end,
            records_in: 1,
            records_out: 0,
        }));
        records.push(Record::EpochCompleted { at: end, worker, epoch: Epoch(epoch) });
        records.push(Record::UpTo { worker, at: Timestamp((epoch + 1) * 10 * MS) });
    }
    write_log(&folder.path().join("a.log"), &records);
    let printed = json(folder.path(), &["analyze", "a.log", "--json", "--epochs"]);
    let map = &printed["epoch_operators"].as_array().unwrap().iter().find(|operator| operator["name"] == "map").unwrap();
    // No less than its work, no more than the whole latency.
    let gain = map["gain_mean_ns"].as_f64().unwrap() / MS as f64;
    assert_eq!(map["work_mean_ns"].as_f64(), Some(4.0 * MS as f64));
    assert!((4.0..=5.0).contains(&gain), "{gain}");
    let output = thalweg(folder.path(), &["analyze", "a.log", "--epochs"]);
    let printed = text(&output.stdout);
    assert!(printed.contains("| possible gain, at most |"), "{printed}");
    let row = printed.lines().filter(|line| line.starts_with("| map ")).find(|line| line.matches('|').count() == 8);
    let cell = row.and_then(|row| row.split('|').nth(6)).map(str::trim);
    assert_eq!(cell, Some(&*format!("{gain:.1} ms")), "{printed}");
    assert!(printed.contains(&format!("an epoch would complete at most {gain:.1} ms sooner on average.")), "{printed}");
}

#[test]
fn a_log_that_does_not_say_how_far_it_has_come_is_analysed_at_its_end_with_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let silent = |rounds| records(rounds).into_iter().filter(|record| !matches!(record, Record::UpTo { .. })).collect::<Vec<_>>();
    for (rounds, noted) in [(500, false), (12_000, true)] {
        write_log(&folder.path().join("a.log"), &silent(rounds));
        let output = thalweg(folder.path(), &["analyze", "a.log"]);
        assert!(output.status.success() && text(&output.stdout).contains("| 1 | count"), "{output:?}");
        assert_eq!(text(&output.stderr).contains("all records stay in memory"), noted, "{rounds} rounds");
    }
}

/// The second log tells of its first second only after the first has told of all five.
#[test]
fn of_several_files_none_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let of = |worker: u32| {
        let work = |start: u64| {
            Record::Activity(Activity {
                lane: Lane::Worker(WorkerId(worker)),
                kind: ActivityKind::Processing,
                instance: InstanceId::new(OperatorId(worker), worker),
                epoch: Epoch(0),
                start: Timestamp(start),
                end: Timestamp(start + 5 * MS),
                records_in: 1,
                records_out: 1,
            })
        };
        let rounds = (0..500)
            .flat_map(|round| [work(round * 10 * MS), Record::UpTo { worker: WorkerId(worker), at: Timestamp((round + 1) * 10 * MS) }]);
        rounds.collect::<Vec<_>>()
    };
    write_log(&folder.path().join("a.log"), &of(0));
    write_log(&folder.path().join("b.log"), &of(1));
    let printed = json(folder.path(), &["analyze", "a.log", "b.log", "--json", "--export", "csv=r.csv"]);
    assert_eq!(printed["windows"].as_array().unwrap().len(), 5);
    assert_eq!(printed["oddities"]["graph"]["late_records"], 0);
}
