//! Readers: what becomes of real and of written traces of each format, and what becomes of files that are none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::traces::*;
use thalweg::activity::{Activity, ActivityKind, Lane, LogWriter, Message, MessageKind, Record};
use thalweg::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use thalweg::readers::{self, Format, Place, ReadError};
use thalweg::time::{Epoch, Timestamp};

const SPARK: &str = "spark-wordcount-app-20170324182509-0000.jsonl";
const TIMELY: &str = "timely_documented_log.clj";

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file)
}

/// The records of a trace without damage and oddities.
fn whole(outcome: Outcome) -> Vec<Record> {
    assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
    assert_eq!(outcome.oddities, []);
    check_promises(&outcome.records);
    outcome.records
}

fn activities(records: &[Record]) -> impl Iterator<Item = &Activity> {
    records.iter().filter_map(|record| if let Record::Activity(activity) = record { Some(activity) } else { None })
}

fn names(records: &[Record]) -> BTreeMap<OperatorId, String> {
    let name = |record: &Record| if let Record::Operator { operator, name } = record { Some((*operator, name.clone())) } else { None };
    records.iter().filter_map(name).collect()
}

fn odd(outcome: &Outcome) -> Vec<(&str, u64)> {
    outcome.oddities.iter().map(|oddity| (oddity.what.as_str(), oddity.count)).collect()
}

#[test]
fn the_copies_are_the_originals() {
    for file in [SPARK, TIMELY] {
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/snailtrail").join(file);
        match fs::read(&original) {
            Ok(original) => assert!(original == fs::read(data(file)).unwrap(), "{file}"),
            Err(_) => eprintln!("skipped: {} is not there", original.display()),
        }
    }
}

/// Every assertion follows an annotation in the file.
#[test]
fn the_timely_log_reads_as_it_was_explained_by_hand() {
    let trace = readers::open(&[data(TIMELY)]).unwrap();
    assert_eq!(trace.format(), Format::TimelyText);
    let records = whole(drain(trace));

    let names = names(&records);
    let expected = [
        (0, "Dataflow"),
        (1, "Input"),
        (2, "Map"),
        (4, "Arrange"),
        (6, "Reduce"),
        (8, "AsCollection"),
        (10, "InspectBatch"),
        (12, "Probe"),
        (14, "Progress Communication Channel"),
    ];
    assert_eq!(names, expected.map(|(number, name)| (OperatorId(number), name.to_owned())).into());
    let channel = |record: &Record| match *record {
        Record::Channel { channel, source, target } => Some((channel.0, source.0, target.0)),
        _ => None,
    };
    let channels: Vec<_> = records.iter().filter_map(channel).collect();
    assert_eq!(channels, [(3, 1, 2), (5, 2, 4), (7, 4, 6), (9, 6, 8), (11, 8, 10), (13, 10, 12), (14, 0, 0)]);

    let mut seen: Vec<&Activity> = activities(&records).collect();
    seen.sort_by_key(|activity| activity.start);
    let shown: Vec<_> = seen
        .iter()
        .map(|activity| {
            assert_eq!((activity.lane, activity.epoch), (Lane::Worker(WorkerId(1)), Epoch(0)));
            let idle = activity.kind == ActivityKind::Scheduling;
            assert!(idle || activity.kind == ActivityKind::Processing);
            let name = names[&activity.instance.operator].as_str();
            (activity.start.0, name, if idle { "idle" } else { "works" }, activity.records_in, activity.records_out)
        })
        .collect();
    let expected = [
        (6_485_057, "Dataflow", "idle", 0, 0),
        (6_588_900, "Input", "idle", 0, 0),
        (6_649_996, "Map", "works", 1, 1),
        // Two records of worker 0 and one of its own; it gives them out once it knows that the epoch is complete.
        (6_899_824, "Arrange", "works", 3, 0),
        (7_087_426, "Reduce", "idle", 0, 0),
        (7_245_391, "AsCollection", "idle", 0, 0),
        (7_358_676, "InspectBatch", "idle", 0, 0),
        (7_474_340, "Probe", "idle", 0, 0),
        (7_683_499, "Dataflow", "idle", 0, 0),
        (7_870_997, "Map", "idle", 0, 0),
        (7_961_785, "Arrange", "works", 0, 1),
        (8_124_906, "Reduce", "works", 1, 1),
        (8_551_633, "AsCollection", "works", 1, 1),
        (8_656_632, "InspectBatch", "works", 1, 1),
        (8_779_691, "Probe", "works", 1, 0),
        (8_987_087, "Dataflow", "idle", 0, 0),
        (9_116_423, "Reduce", "idle", 0, 0),
        (9_248_172, "AsCollection", "idle", 0, 0),
        (9_311_109, "InspectBatch", "idle", 0, 0),
        (9_389_808, "Probe", "idle", 0, 0),
    ];
    assert_eq!(shown, expected);
    assert_eq!((seen[2].end, seen[0].end), (Timestamp(6_883_828), Timestamp(7_520_391)));

    let messages: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            Record::Sent(m) => Some(("sent", m.at.0, m.kind, m.channel.0, m.from.0, m.sequence, m.records)),
            Record::Received(m) => Some(("received", m.at.0, m.kind, m.channel.0, m.from.0, m.sequence, m.records)),
            _ => None,
        })
        .collect();
    let expected = [
        ("received", 6_917_460, MessageKind::Data, 5, 0, 0, 2),
        ("sent", 7_504_972, MessageKind::Progress, 14, 1, 0, 0),
        ("received", 7_689_996, MessageKind::Progress, 14, 0, 0, 0),
        ("received", 7_696_624, MessageKind::Progress, 14, 1, 0, 0),
        ("sent", 8_811_369, MessageKind::Progress, 14, 1, 1, 0),
        ("received", 8_994_171, MessageKind::Progress, 14, 1, 1, 0),
    ];
    assert_eq!(messages, expected);

    let (at, due, source) = (Timestamp(6_275_699), Timestamp(6_211_704), InstanceId::new(OperatorId(1), 0));
    assert!(records.contains(&Record::EpochOpened { at, source, epoch: Epoch(0), due, records: 1 }));
    assert!(records.contains(&Record::EpochCompleted { at: Timestamp(9_450_518), worker: WorkerId(1), epoch: Epoch(0) }));
    assert_eq!(records.last(), Some(&Record::UpTo { worker: WorkerId(1), at: Timestamp(9_450_518) }));
}

#[test]
fn the_spark_log_becomes_stages_on_cores_held_together_by_the_driver() {
    let trace = readers::open(&[data(SPARK)]).unwrap();
    assert_eq!(trace.format(), Format::Spark);
    let outcome = drain(trace);
    assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
    check_promises(&outcome.records);
    let records = outcome.records;
    let expected = [
        (0, "driver"),
        (1, "repartition at <console>:24 (stage 0)"),
        (2, "map at <console>:26 (stage 1)"),
        (3, "collect at <console>:26 (stage 2)"),
    ];
    assert_eq!(names(&records), expected.map(|(number, name)| (OperatorId(number), name.to_owned())).into());

    // Two executors of two cores, and the driver.
    let lanes: BTreeSet<Lane> = activities(&records).map(|activity| activity.lane).collect();
    assert_eq!(lanes, (0..5).map(|worker| Lane::Worker(WorkerId(worker))).collect());
    for lane in lanes {
        let mut on: Vec<_> = activities(&records).filter(|activity| activity.lane == lane).map(|a| (a.start, a.end)).collect();
        on.sort_unstable();
        assert!(on.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{lane:?} overlaps: {on:?}");
    }

    // Eighteen tasks: each launched, each answered, each with its sending side before the receiving one.
    let key = |m: &Message| (m.channel, m.from, m.sequence);
    let mut sent = BTreeMap::new();
    let mut received = BTreeMap::new();
    for record in &records {
        match record {
            Record::Sent(m) => assert!(sent.insert(key(m), m.at).is_none()),
            Record::Received(m) => assert!(received.insert(key(m), m.at).is_none()),
            _ => {}
        }
    }
    assert_eq!((sent.len(), received.len()), (36, 36));
    for (key, at) in &received {
        assert!(sent[key] <= *at, "{key:?}");
    }
    // Records of the shuffle: 104 go into it in stage 0.
    let sum = |stage, of: fn(&Activity) -> u64| -> u64 {
        activities(&records).filter(|activity| activity.instance.operator == OperatorId(stage)).map(of).sum()
    };
    assert_eq!((sum(1, |a| a.records_in), sum(1, |a| a.records_out)), (104, 104));
    assert_eq!((sum(2, |a| a.records_in), sum(2, |a| a.records_out)), (104, sum(3, |a| a.records_in)));
    // The first task of the log, 279 ms after the first job's second: 864 ms, of which 326 deserialize, 468 run, 1 serializes.
    let first: Vec<_> = activities(&records).filter(|a| a.instance == InstanceId::new(OperatorId(1), 3)).collect();
    assert_eq!(
        first.iter().map(|a| a.kind).collect::<Vec<_>>(),
        [ActivityKind::Deserialization, ActivityKind::Processing, ActivityKind::Serialization]
    );
    let at = |nanoseconds: u64| Timestamp(nanoseconds);
    assert_eq!((first[0].start, first[0].end), (at(302_000_000), at(628_000_000)));
    assert_eq!(first[2].end - first[1].start.since(Timestamp::ZERO), at(469_000_000));

    // The barrier: the last result of stage 0 arrives at 1150 ms; the driver schedules stage 1, and launches it at 1168 ms.
    let barrier = activities(&records).find(|a| a.lane == Lane::Worker(WorkerId(0)) && a.end == at(1_168_000_000)).unwrap();
    assert_eq!((barrier.start, barrier.kind), (at(1_150_000_000), ActivityKind::Scheduling));
    assert_eq!(received[&(ChannelId(1), WorkerId(1), 1)], at(1_150_000_000));

    let due = at(235_000_000);
    assert!(records.contains(&Record::EpochOpened {
        at: due,
        source: InstanceId::new(OperatorId(0), 0),
        epoch: Epoch(0),
        due,
        records: 1
    }));
    assert!(records.contains(&Record::EpochCompleted { at: at(1_679_000_000), worker: WorkerId(0), epoch: Epoch(0) }));
}

/// What the callbacks of timely's own example print, in the versions from 0.9 to 0.32.
#[test]
fn timelys_events_are_read_as_every_version_prints_them() {
    let events = |prefix: &str, worker: &str, length: &str| {
        let line = |at: &str, event: &str| format!("{prefix}({at}, {worker}{event})\n");
        [
            "some other line of the program\n".to_owned(),
            line("10µs", r#"Operates(OperatesEvent { id: 3, addr: [0, 1], name: "Input" })"#),
            line("11µs", r#"Operates(OperatesEvent { id: 4, addr: [0, 2], name: "Map" })"#),
            line("12µs", "Channels(ChannelsEvent { id: 1, scope_addr: [0], source: (1, 0), target: (2, 0) })"),
            line("1.0ms", "Schedule(ScheduleEvent { id: 4, start_stop: Start })"),
            line("2ms", &format!("Messages(MessagesEvent {{ is_send: false, channel: 1, source: 0, target: 0, seq_no: 0, {length}: 5 }})")),
            line("901.2ms", "Schedule(ScheduleEvent { id: 4, start_stop: Stop })"),
            line("901.3ms", "Park(Park(None))"),
            line("950ms", "Park(Unpark)"),
            format!("{prefix}Flush 950ms\n"),
        ]
        .concat()
    };
    for (prefix, worker, length) in [("", "0, ", "length"), ("LOG1: ", "", "record_count"), ("worker 0: ", "0, ", "record_count")] {
        let outcome = read_bytes(events(prefix, worker, length).into_bytes(), None).unwrap();
        assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
        assert_eq!(odd(&outcome), [("lines that are no event, skipped", 2)]);
        let records = outcome.records;
        check_promises(&records);
        let named = |number| names(&records).get(&OperatorId(number)).cloned();
        assert_eq!((named(3).as_deref(), named(4).as_deref()), (Some("Input"), Some("Map")));
        assert!(records.contains(&Record::Channel { channel: ChannelId(1), source: OperatorId(3), target: OperatorId(4) }));
        let expected = Activity { records_in: 5, ..activity(0, 4, ActivityKind::Processing, 1_000_000, 901_200_000) };
        assert_eq!(activities(&records).copied().collect::<Vec<_>>(), [expected]);
        assert!(records.contains(&Record::Waited { worker: WorkerId(0), start: Timestamp(901_300_000), end: Timestamp(950_000_000) }));
    }
    let broken = events("", "", "length").replace("start_stop: Stop", "start_stop: Halt");
    let error = read_bytes(broken.into_bytes(), None).unwrap().errors[0].to_string();
    assert_eq!(error, "bytes, line 7: expected 'Start' or 'Stop', found \"Halt }))\"");
    // The first message tells whose log it is.
    let log = "(1ms, Messages(MessagesEvent { is_send: true, channel: 1, source: 2, target: 0, seq_no: 0, record_count: 5 }))\n";
    let outcome = read_bytes(log.into(), None).unwrap();
    assert!(
        outcome.records.iter().any(|record| matches!(record, Record::Sent(message) if message.from == WorkerId(2))),
        "{:?}",
        outcome.records
    );
}

#[test]
fn the_small_logs_of_timely_give_the_right_answer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/traces/timely");
    for file in ["timely_debug.txt", "timely_debug_today.txt"] {
        let Ok(bytes) = fs::read(folder.join(file)) else {
            eprintln!("skipped: {file} is not there");
            continue;
        };
        let records = whole(read_bytes(bytes, None).unwrap());
        assert_eq!(
            activities(&records).copied().collect::<Vec<_>>(),
            [activity(0, 4, ActivityKind::Scheduling, 1_000_000, 901_200_000)],
            "{file}"
        );
    }
}

fn activity(worker: u32, operator: u32, kind: ActivityKind, start: u64, end: u64) -> Activity {
    Activity {
        lane: Lane::Worker(WorkerId(worker)),
        kind,
        instance: InstanceId::new(OperatorId(operator), worker),
        epoch: Epoch::UNKNOWN,
        start: Timestamp(start),
        end: Timestamp(end),
        records_in: 0,
        records_out: 0,
    }
}

#[test]
fn pyramids_of_snailtrail_read_back() {
    let (rounds, workers) = (300, 5);
    let outcome = read_bytes(Writer::pyramids(rounds, workers, 1000).bytes, None).unwrap();
    let records = whole(outcome);
    let mut expected = Vec::new();
    for round in 0..rounds as u64 {
        for worker in 0..workers as u32 {
            expected.push(activity(worker, 4 + worker, ActivityKind::Processing, round * 1000, round * 1000 + 500));
        }
    }
    assert_eq!(activities(&records).copied().collect::<Vec<_>>(), expected);
    let sent = records.iter().filter(|record| matches!(record, Record::Sent(_))).count() as i64;
    let received = records.iter().filter(|record| matches!(record, Record::Received(_))).count() as i64;
    assert_eq!((sent, received), (rounds * workers, rounds * workers * (workers - 1)));
    assert_eq!(names(&records)[&OperatorId(7)], "operator 3");
}

#[test]
fn a_straggler_that_is_silent_holds_its_windows_open() {
    let mut writer = Writer::default();
    writer.start(100, 1, PROCESSING, 7);
    for n in 0..10_000 {
        writer.start(200 + 10 * n, 0, BUFFER, -1).end(205 + 10 * n, 0, BUFFER, -1);
    }
    writer.end(150_000, 1, PROCESSING, 7);
    let records = whole(read_bytes(writer.bytes, Some(Format::Snailtrail)).unwrap());
    let told = |worker| {
        let told = |record: &Record| matches!(record, Record::UpTo { worker: w, .. } if *w == WorkerId(worker)).then(|| record.at().0);
        records.iter().filter_map(told).collect::<Vec<_>>()
    };
    assert_eq!(told(1), [100, 150_000]);
    assert!(told(0).len() > 5, "the other worker is reported as it goes: {:?}", told(0));
    assert!(activities(&records).any(|seen| *seen == activity(1, 11, ActivityKind::Processing, 100, 150_000)));
}

#[test]
fn what_does_not_nest_is_counted_and_kept() {
    let mut writer = Writer::default();
    writer.start(0, 0, PROCESSING, 1).start(10, 0, WAITING, -1).end(20, 0, WAITING, -1).start(30, 0, BUFFER, -1);
    writer.end(40, 0, PROCESSING, 1).end(50, 0, PROCESSING, 1).start(60, 0, WAITING, -1).end(70, 0, WAITING, -1);
    writer.sent(75, 0, 1, 5).sent(76, 0, 1, 5).received(80, 0, 1, 5).record([81, 0, CONTROL, SENT, -1, 1, -1]);
    writer.record([82, 0, PROCESSING, SENT, 1, 1, 1]).start(90, 0, PROCESSING, 2).record([100, 1, CONTROL, RECEIVED, 3, 0, -1]);
    let outcome = read_bytes(writer.bytes, None).unwrap();
    assert!(outcome.errors.is_empty());
    check_promises(&outcome.records);
    // A wait inside of an activity is part of it; one between activities is a gap.
    let expected = [
        activity(0, 0, ActivityKind::ExternalWait, 10, 20),
        activity(0, 0, ActivityKind::Scheduling, 30, 40),
        activity(0, 5, ActivityKind::Processing, 0, 40),
        activity(0, 6, ActivityKind::Processing, 90, 100),
    ];
    assert_eq!(activities(&outcome.records).copied().collect::<Vec<_>>(), expected);
    assert_eq!(
        odd(&outcome),
        [
            ("activities that did not end before the file", 1),
            ("activities that did not end before the one around them", 1),
            ("ends of activities that did not begin", 1),
            ("events that do not go with their type of activity", 1),
            ("messages without a correlator or a sender", 1),
        ]
    );
}

#[test]
fn records_slightly_out_of_order_are_put_in_order() {
    let mut writer = Writer::default();
    writer.end(30, 0, PROCESSING, 1).start(10, 0, PROCESSING, 1).end(60, 0, BUFFER, 1).start(40, 0, BUFFER, 1);
    let records = whole(read_bytes(writer.bytes, None).unwrap());
    let expected = [activity(0, 5, ActivityKind::Processing, 10, 30), activity(0, 5, ActivityKind::Scheduling, 40, 60)];
    assert_eq!(activities(&records).copied().collect::<Vec<_>>(), expected);
}

#[test]
fn every_encoding_of_an_integer_is_read_and_nothing_else() {
    // The time 100 and then -1 in all their encodings.
    let times: [&[u8]; 9] = [
        &[100],
        &[0xcc, 100],
        &[0xcd, 0, 100],
        &[0xce, 0, 0, 0, 100],
        &[0xcf, 0, 0, 0, 0, 0, 0, 0, 100],
        &[0xd0, 100],
        &[0xd1, 0, 100],
        &[0xd2, 0, 0, 0, 100],
        &[0xd3, 0, 0, 0, 0, 0, 0, 0, 100],
    ];
    let nones: [&[u8]; 5] = [
        &[0xff],
        &[0xd0, 0xff],
        &[0xd1, 0xff, 0xff],
        &[0xd2, 0xff, 0xff, 0xff, 0xff],
        &[0xd3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ];
    for (time, none) in times.iter().flat_map(|time| nones.iter().map(move |none| (time, none))) {
        let mut bytes = Vec::new();
        for event in [START, END] {
            bytes.extend_from_slice(time);
            bytes.extend([0, PROCESSING as u8, event as u8]);
            (0..3).for_each(|_| bytes.extend_from_slice(none));
        }
        let records = whole(read_bytes(bytes, None).unwrap());
        assert_eq!(activities(&records).copied().collect::<Vec<_>>(), [activity(0, 0, ActivityKind::Processing, 100, 100)]);
    }
    let mut writer = Writer::default();
    writer.start(1, 0, PROCESSING, 3).end(2, 0, PROCESSING, 3);
    let sound = writer.bytes.clone();
    let damage = |bytes: Vec<u8>| {
        let outcome = read_bytes(bytes, Some(Format::Snailtrail)).unwrap();
        assert_eq!((activities(&outcome.records).count(), outcome.errors.len()), (1, 1), "{:?}", outcome.errors);
        outcome.errors[0].to_string()
    };
    let with = |more: &[u8]| damage([&sound, more].concat());
    assert_eq!(with(&[3, 0, 14]), "bytes, byte 16: expected a type of activity: an integer from 1 to 13, found 14");
    assert_eq!(with(&[3, 0xa1, b'x']), "bytes, byte 15: expected a worker: an integer from 0 to 65535, found MessagePack FixStr(1)");
    let inside =
        "bytes, byte 18: expected a correlator: an integer from -1 to 18446744073709551615, found the end of the file inside of a record";
    assert_eq!(with(&[3, 0, 4, 1]), inside);
    assert_eq!(with(&[0xff]), "bytes, byte 14: expected a time: an integer from 0 to 18446744073709551615, found -1");
}

fn temporary(files: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let write = |(name, bytes): &(&str, Vec<u8>)| {
        fs::write(folder.path().join(name), bytes).unwrap();
        folder.path().join(name)
    };
    let paths = files.iter().map(write).collect();
    (folder, paths)
}

#[test]
fn traces_of_several_files_share_their_clock() {
    let second = 1_490_376_317_000_000_000;
    let (mut first, mut other) = (Writer::default(), Writer::default());
    first.start(second + 900, 0, PROCESSING, 1).end(second + 950, 0, PROCESSING, 1);
    other.start(second + 500, 1, PROCESSING, 1).end(second + 990, 1, PROCESSING, 1);
    let (_folder, paths) = temporary(&[("0", first.bytes), ("1", other.bytes)]);
    let records = whole(drain(readers::open(&paths).unwrap()));
    let expected = [activity(0, 5, ActivityKind::Processing, 900, 950), activity(1, 5, ActivityKind::Processing, 500, 990)];
    assert_eq!(activities(&records).copied().collect::<Vec<_>>(), expected);
}

/// A log of `worker` with a block for each of `times`.
fn log(worker: u32, times: impl Iterator<Item = u64>) -> Vec<u8> {
    let mut writer = LogWriter::new(Vec::new()).unwrap();
    for at in times {
        let done = Record::Activity(activity(worker, 0, ActivityKind::Processing, at, at + 1));
        let mut block = vec![done; 5000];
        block.push(Record::UpTo { worker: WorkerId(worker), at: Timestamp(at + 1) });
        writer.append(&block).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn several_logs_are_read_side_by_side_and_damage_ends_one_of_them() {
    let (slow, fast) = (log(0, (0..20).map(|n| n * 100)), log(1, (0..200).map(|n| n * 10)));
    let cut = slow.len() - 10;
    let (_folder, paths) = temporary(&[("slow", slow[..cut].to_vec()), ("fast", fast)]);
    let mut reached = [0, 0];
    let (mut furthest_apart, mut blocks, mut error) = (0, 0, None);
    for block in readers::open(&paths).unwrap() {
        match block {
            Ok(block) => {
                assert!(block.len() <= 2 * 4096, "{}", block.len());
                blocks += 1;
                for record in &block {
                    if let Record::UpTo { worker, at } = record {
                        reached[worker.0 as usize] = at.0;
                    }
                }
                if error.is_none() {
                    furthest_apart = furthest_apart.max(reached[0].abs_diff(reached[1]));
                }
            }
            Err(found) => assert!(error.replace(found).is_none()),
        }
    }
    assert!(blocks > 100 && furthest_apart <= 200, "{blocks} blocks, {furthest_apart} ns apart");
    assert_eq!(reached, [1801, 1991], "the slow one was cut in its last block, the fast one was read to its end");
    let Some(ReadError::Damaged { file, place: Place::Byte(byte), .. }) = error else { panic!("{error:?}") };
    assert!(file.ends_with("slow") && byte < cut as u64);
}

#[test]
fn what_is_no_trace_is_named() {
    let text = fs::read(data(TIMELY)).unwrap();
    let spark = fs::read(data(SPARK)).unwrap();
    let empty: &[PathBuf] = &[];
    assert_eq!(readers::open(empty).unwrap_err().to_string(), "expected at least one trace, found none");
    let (folder, paths) = temporary(&[
        ("empty", vec![]),
        ("letter", b"Dear reader,\n".to_vec()),
        ("json", b"{\"a\": 1}\n".to_vec()),
        ("timely", text),
        ("spark", spark.clone()),
        ("again", spark),
        ("magic", b"THALWEGA\x09\0\0\0".to_vec()),
        ("blank", b"\n\n".to_vec()),
    ]);
    let refused = |which: &[usize]| {
        let paths: Vec<&PathBuf> = which.iter().map(|&which| &paths[which]).collect();
        let error = readers::open(&paths).unwrap_err().to_string();
        error.strip_prefix(&format!("{}/", folder.path().display())).unwrap_or(&error).to_owned()
    };
    let known = "an activity log, a SnailTrail trace, a Spark event log, a timely log as text, a Chrome trace, a Jaeger trace or an OpenTelemetry trace";
    assert_eq!(refused(&[0]), "empty, byte 0: expected a trace, found an empty file");
    assert_eq!(refused(&[1]), format!("letter, byte 0: expected {known}, found \"Dear reader,\\n\""));
    assert_eq!(refused(&[2]), format!("json, byte 0: expected {known}, found \"{{\\\"a\\\": 1}}\\n\""));
    assert_eq!(refused(&[7]), format!("blank, byte 0: expected {known}, found \"\\n\\n\""));
    assert_eq!(refused(&[3, 4]), "spark, byte 0: expected a timely log as text, as the file before, found a Spark event log");
    assert_eq!(refused(&[4, 5]), "again, byte 0: expected one Spark event log, for each is an application of its own, found another");
    assert!(readers::open(&[folder.path()]).unwrap_err().to_string().ends_with("byte 0: expected a trace, found a folder"));
    let missing = readers::open(&[folder.path().join("nothing")]).unwrap_err();
    assert!(matches!(&missing, ReadError::Io { file, .. } if file.ends_with("nothing")), "{missing}");
    let version = drain(readers::open(&[&paths[6]]).unwrap()).errors.remove(0).to_string();
    assert!(version.ends_with("magic, byte 8: expected version 4 of the activity log, found version 9"), "{version}");
    let forced = drain(readers::open_as(&[&paths[1]], Format::Spark).unwrap()).errors.remove(0).to_string();
    assert!(forced.contains("letter, line 1: expected a JSON object with an Event, found \"Dear reader,\""), "{forced}");
}

#[test]
fn lines_that_do_not_hold_are_named_by_number_after_what_came_before() {
    let spark = fs::read_to_string(data(SPARK)).unwrap();
    let lines: Vec<&str> = spark.lines().collect();
    let mut damaged = lines[..20].to_vec();
    damaged.push("{\"Event\":\"SparkListenerTaskEnd\",\"Stage ID\":0}");
    let outcome = read_bytes(damaged.join("\n").into_bytes(), None).unwrap();
    let error = outcome.errors[0].to_string();
    assert!(error.starts_with("bytes, line 21: expected SparkListenerTaskEnd, found "), "{error}");
    assert!(error.contains("missing field `Task Info`"), "{error}");
    check_promises(&outcome.records);
    assert!(activities(&outcome.records).count() > 5);
    let running = odd(&outcome).into_iter().find(|(what, _)| *what == "tasks that did not end before the log");
    assert!(running.is_some(), "{:?}", outcome.oddities);

    let text = "(1ms, 0, Sched { id: 3, start_stop: Start })\n(2ms, 0, Sched { id: 3, start_stop: Halt })\n";
    let outcome = read_bytes(text.into(), None).unwrap();
    assert_eq!(outcome.errors[0].to_string(), "bytes, line 2: expected 'Start' or 'Stop', found \"Halt })\"");
    assert_eq!(odd(&outcome), [("activations that did not stop before the file ended", 1)]);
    assert_eq!(names(&outcome.records)[&OperatorId(3)], "operator 3");
}
