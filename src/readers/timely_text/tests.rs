//! Logs that do not name the worker, that end early, or that a program has printed into.

use std::collections::BTreeSet;

use super::*;

/// The records and oddities of a log, and the damage that ended it.
fn read(log: &[u8]) -> (Vec<Record>, Vec<(String, u64)>, Option<Damage>) {
    let (mut reader, mut out, mut oddities) = (TimelyText::new(log), Vec::new(), Oddities::default());
    let damage = loop {
        match reader.step(&mut out, &mut oddities) {
            Ok(true) => {}
            end => break end.err(),
        }
    };
    reader.finish(&mut out, &mut oddities);
    let oddities = oddities.iter().map(|(what, count)| (what.to_owned(), count)).collect();
    (out, oddities, damage)
}

fn event(at: u64, event: &str) -> String {
    format!("({at}ms, {event})\n")
}

fn schedule(at: u64, what: &str) -> String {
    event(at, &format!("Schedule(ScheduleEvent {{ id: 4, start_stop: {what} }})"))
}

fn sent(at: u64, source: u64) -> String {
    event(at, &format!("Messages(MessagesEvent {{ is_send: true, channel: 1, source: {source}, target: 0, seq_no: 0, record_count: 5 }})"))
}

fn activities(records: &[Record]) -> Vec<(Lane, u64, u64)> {
    let of = |record: &Record| if let Record::Activity(a) = record { Some((a.lane, a.start.0, a.end.0)) } else { None };
    records.iter().filter_map(of).collect()
}

fn workers_told(records: &[Record]) -> BTreeSet<u32> {
    records.iter().filter_map(|record| if let Record::UpTo { worker, .. } = record { Some(worker.0) } else { None }).collect()
}

#[test]
fn what_precedes_the_first_message_belongs_to_its_worker_too() {
    // More lines than after which progress is told.
    let before: String = (1..100).map(|at| schedule(at, if at % 2 == 1 { "Start" } else { "Stop" })).collect();
    let log = format!("{before}{}{}", sent(100, 1), schedule(101, "Stop"));
    let (records, oddities, damage) = read(log.as_bytes());
    assert!(damage.is_none());
    assert_eq!(oddities, [("messages of channels that the head does not name".to_owned(), 1)]);
    let found = activities(&records);
    assert_eq!((found.len(), found[49]), (50, (Lane::Worker(WorkerId(1)), 99_000_000, 101_000_000)));
    assert!(found.iter().all(|(lane, ..)| *lane == Lane::Worker(WorkerId(1))));
    assert_eq!(workers_told(&records), [1].into());
}

#[test]
fn without_a_message_it_is_the_log_of_the_first_worker() {
    let log = format!("{}{}", schedule(1, "Start"), schedule(3, "Stop"));
    let (records, oddities, damage) = read(log.as_bytes());
    assert!(oddities.is_empty() && damage.is_none());
    assert_eq!(activities(&records), [(Lane::Worker(WorkerId(0)), 1_000_000, 3_000_000)]);
    // What precedes damage is read too, and the damage has its place.
    let (records, _, damage) = read(format!("{log}{}", schedule(4, "Halt")).as_bytes());
    assert_eq!(activities(&records).len(), 1);
    assert!(matches!(damage, Some(Damage::Content { place: Place::Line(3), .. })), "{damage:?}");
    // No more is held than fits.
    let many = log.repeat((16 << 20) / 128);
    let (records, oddities, _) = read(format!("{many}{}", sent(9, 1)).as_bytes());
    assert_eq!(oddities[0].0, "messages of channels that the head does not name");
    assert!(oddities.iter().any(|(what, count)| what.starts_with("no message in the first 16 MiB") && *count == 1), "{oddities:?}");
    assert_eq!(workers_told(&records), [0].into());
}

#[test]
fn whatever_a_program_prints_is_skipped() {
    let (start, stop) = (schedule(1, "Start"), schedule(3, "Stop"));
    let long = format!("(1, {{{}}})\n", "x".repeat(MOST_LINE_BYTES));
    let log = [start.as_bytes(), b"((1, Point { x: 2 }), 0, 1)\n", long.as_bytes(), b"\xff\xfe (1ms\n", stop.as_bytes()].concat();
    let (records, oddities, damage) = read(&log);
    assert!(damage.is_none(), "{damage:?}");
    let expected = [("lines of more than 64 KiB, skipped", 1), ("lines that are no event, skipped", 2)];
    assert_eq!(oddities, expected.map(|(what, count)| (what.to_owned(), count)));
    assert_eq!(activities(&records).len(), 1);
    // An event is damaged.
    let log = [start.as_bytes(), b"(2ms, Schedule(ScheduleEvent { id: \xff })\n"].concat();
    assert!(matches!(read(&log).2, Some(Damage::Content { place: Place::Line(2), .. })));
}

#[test]
fn a_last_line_that_is_unfinished_is_a_running_job() {
    let (start, stop) = (schedule(1, "Start"), schedule(3, "Stop"));
    for cut in 1..stop.len() - 1 {
        let (records, oddities, damage) = read(format!("{start}{}", &stop[..cut]).as_bytes());
        assert!(damage.is_none(), "{damage:?}");
        let expected =
            [("activations that did not stop before the file ended", 1), ("the last line is unfinished: it was still being written", 1)];
        assert_eq!(oddities, expected.map(|(what, count)| (what.to_owned(), count)), "{cut}");
        assert_eq!(activities(&records).len(), 1);
    }
    // It is whole, and wrong.
    assert!(read(format!("{start}{}", schedule(3, "Halt").trim_end()).as_bytes()).2.is_some());
}
