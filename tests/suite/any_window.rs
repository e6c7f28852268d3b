//! What `analyze` says of a whole trace does not depend on `--window`: for random traces, the ranking and every printed number but those
//! that count windows are the same for windows of 0.1 s to 100 s.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::Command;

use thalweg::activity::{Activity, ActivityKind, Lane, LogWriter, Message, MessageKind, Record};
use thalweg::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use thalweg::sim::Random;
use thalweg::time::{Epoch, Timestamp};

const TRACES: u64 = 300;
const MS: f64 = 1e6;

/// A number between `least` and `most`, small ones as likely as large ones.
fn length(random: &mut Random, least: f64, most: f64) -> u64 {
    (least * (most / least).powf(random.uniform())) as u64
}

fn below(random: &mut Random, most: u32) -> u32 {
    ((random.uniform() * f64::from(most)) as u32).min(most - 1)
}

/// Workers that work, wait for each other, and do nothing, each for a millisecond up to minutes.
fn random_trace(seed: u64) -> Vec<Record> {
    let mut random = Random::new(seed);
    let (workers, operators, steps) = (1 + below(&mut random, 4), 1 + below(&mut random, 4), 3 + below(&mut random, 40));
    let longest = 10f64.powf(1.5 + 3.5 * random.uniform()) * MS;
    let mut records: Vec<Record> =
        (0..operators).map(|operator| Record::Operator { operator: OperatorId(operator), name: format!("o{operator}") }).collect();
    let start = length(&mut random, MS, 5000.0 * MS);
    let mut now: Vec<u64> = (0..workers).map(|_| start + length(&mut random, 1.0, 100.0 * MS)).collect();
    let opened = |at: u64, epoch| Record::EpochOpened {
        at: Timestamp(at),
        source: InstanceId::new(OperatorId(0), 0),
        epoch: Epoch(epoch),
        due: Timestamp(at),
        records: 1,
    };
    let (mut epoch, mut sequence) = (0, 0);
    records.push(opened(start, 0));
    for _ in 0..steps {
        let worker = below(&mut random, workers);
        let at = now[worker as usize];
        let lane = |worker| Lane::Worker(WorkerId(worker));
        match below(&mut random, 10) {
            // Nothing, sometimes by everyone.
            0 => now[worker as usize] += length(&mut random, MS, longest),
            1 => {
                let until = now.iter().max().unwrap() + length(&mut random, MS, longest);
                now.fill(until);
            }
            2 if random.uniform() < 0.5 => {
                records.push(Record::EpochCompleted { at: Timestamp(at), worker: WorkerId(worker), epoch: Epoch(epoch) });
                epoch += 1;
                records.push(opened(at, epoch));
            }
            3..=5 => {
                let to = below(&mut random, workers);
                let received = now[to as usize].max(at + length(&mut random, 1000.0, longest / 10.0));
                sequence += 1;
                let sent = Message {
                    at: Timestamp(at),
                    kind: MessageKind::Data,
                    channel: ChannelId(worker),
                    sequence,
                    from: WorkerId(worker),
                    from_lane: lane(worker),
                    to_lane: lane(to),
                    epoch: Epoch(epoch),
                    records: 1,
                };
                records.extend([Record::Sent(sent), Record::Received(Message { at: Timestamp(received), ..sent })]);
                now[to as usize] = received;
            }
            kind => {
                let end = at + length(&mut random, MS, longest);
                records.push(Record::Activity(Activity {
                    lane: lane(worker),
                    kind: if kind == 9 { ActivityKind::ExternalWait } else { ActivityKind::Processing },
                    instance: InstanceId::new(OperatorId(below(&mut random, operators)), worker),
                    epoch: Epoch(epoch),
                    start: Timestamp(at),
                    end: Timestamp(end),
                    records_in: u64::from(below(&mut random, 50)),
                    records_out: 0,
                }));
                now[worker as usize] = end;
            }
        }
        if random.uniform() < 0.3 {
            records.extend((0..workers).map(|worker| Record::UpTo { worker: WorkerId(worker), at: Timestamp(now[worker as usize]) }));
        }
    }
    records
}

/// What is printed, without the numbers of windows: the head line up to its times, and the columns that count windows.
fn without_windows(printed: &str) -> String {
    let line = |line: &str| {
        if let Some((_, span)) = line.split_once(" from ").filter(|_| line.contains(" paths per window")) {
            return span.split(", at most").next().unwrap_or_default().to_owned();
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        // Seven columns, of which the last two count windows.
        let is_ranking = cells.len() == 9 && (cells[6].contains(" of ") || cells[7] == "first in profile");
        let cells = if is_ranking { &cells[..6] } else { &cells[..] };
        // Rules are as long as their columns.
        cells.iter().map(|cell| cell.trim_matches('-')).collect::<Vec<_>>().join("|")
    };
    let lines: Vec<String> = printed.lines().map(line).filter(|line| line.contains(|c: char| c != '|')).collect();
    lines.join("\n")
}

fn analyze(file: &Path, window: &str) -> String {
    let args = ["analyze", file.to_str().unwrap(), "--window", window, "--epochs", "--top", "100"];
    let output = Command::new(env!("CARGO_BIN_EXE_thalweg")).args(args).output().unwrap();
    assert!(output.status.success(), "{window}: {output:?}");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (printed, notes) = (text(output.stdout), text(output.stderr));
    let notes: Vec<&str> = notes.lines().filter(|note| !note.contains("windows have no path")).collect();
    format!("{}\n{}", without_windows(&printed), notes.join("\n"))
}

#[test]
fn what_is_said_of_a_trace_is_the_same_for_every_window() {
    const WINDOWS: [&str; 7] = ["100ms", "250ms", "700ms", "3s", "10s", "33s", "100s"];
    let folder = tempfile::tempdir().unwrap();
    let check = |seed: u64| {
        let path = folder.path().join(seed.to_string());
        let mut writer = LogWriter::new(BufWriter::new(File::create(&path).unwrap())).unwrap();
        random_trace(seed).chunks(7).for_each(|block| writer.append(block).unwrap());
        writer.finish().unwrap();
        let expected = analyze(&path, "1s");
        for offset in [0, 3] {
            let window = WINDOWS[(seed as usize + offset) % WINDOWS.len()];
            let found = analyze(&path, window);
            assert!(found == expected, "seed {seed}, --window {window}:\n{found}\nas opposed to\n{expected}");
        }
    };
    std::thread::scope(|scope| {
        for part in 0..4 {
            scope.spawn(move || (part..TRACES).step_by(4).for_each(check));
        }
    });
}
