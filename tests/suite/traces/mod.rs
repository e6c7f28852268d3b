//! What the tests of readers share: a writer of SnailTrail's format, and what must hold of any trace.
#![allow(dead_code)] // Each test binary uses a part of it.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;

use thalweg::activity::{Lane, Record};
use thalweg::readers::{self, Format, Oddity, ReadError, Trace};

/// Everything that came out of a trace.
pub struct Outcome {
    pub records: Vec<Record>,
    pub errors: Vec<ReadError>,
    pub oddities: Vec<Oddity>,
}

/// Reads a trace to its end.
pub fn drain(mut trace: Trace) -> Outcome {
    let (mut records, mut errors) = (Vec::new(), Vec::new());
    for block in trace.by_ref() {
        match block {
            Ok(block) => records.extend(block),
            Err(error) => errors.push(error),
        }
    }
    Outcome { records, errors, oddities: trace.oddities() }
}

/// Reads one file that is only in memory.
pub fn read_bytes(bytes: Vec<u8>, format: Option<Format>) -> Result<Outcome, ReadError> {
    readers::read(vec![(PathBuf::from("bytes"), Box::new(Cursor::new(bytes)))], format).map(drain)
}

/// No record of a worker comes after the worker was reported to be past it; no activity ends before it begins.
pub fn check_promises(records: &[Record]) {
    let mut told = BTreeMap::new();
    for record in records {
        let worker = match record {
            Record::UpTo { worker, at } => {
                let before = told.insert(*worker, *at);
                assert!(before <= Some(*at), "{record:?} takes back {before:?}");
                continue;
            }
            Record::Activity(activity) => {
                assert!(activity.start <= activity.end, "{record:?}");
                activity.lane
            }
            Record::Sent(message) => Lane::Worker(message.from),
            Record::Received(message) => message.to_lane,
            Record::EpochCompleted { worker, .. } => Lane::Worker(*worker),
            _ => continue,
        };
        let Lane::Worker(worker) = worker else { panic!("foreign traces have workers only: {record:?}") };
        assert!(told.get(&worker).is_none_or(|&told| told <= record.at()), "{record:?} after {:?}", told[&worker]);
        if let Record::Activity(activity) = record {
            assert!(told.get(&worker).is_none_or(|&told| told <= activity.start), "{record:?} after {:?}", told[&worker]);
        }
    }
}

/// Types of activity and of events, as SnailTrail numbers them.
pub const BUFFER: i64 = 2;
pub const PROCESSING: i64 = 4;
pub const CONTROL: i64 = 9;
pub const DATA: i64 = 10;
pub const WAITING: i64 = 12;
pub const START: i64 = 1;
pub const END: i64 = 2;
pub const SENT: i64 = 3;
pub const RECEIVED: i64 = 4;

/// Writes traces of SnailTrail.
#[derive(Default)]
pub struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    /// Time, worker, type of activity, type of event, correlator, remote worker, operator; -1 for none of the last three.
    pub fn record(&mut self, fields: [i64; 7]) -> &mut Writer {
        for field in fields {
            rmp::encode::write_sint(&mut self.bytes, field).unwrap();
        }
        self
    }

    pub fn start(&mut self, at: i64, worker: i64, activity: i64, operator: i64) -> &mut Writer {
        self.record([at, worker, activity, START, -1, -1, operator])
    }

    pub fn end(&mut self, at: i64, worker: i64, activity: i64, operator: i64) -> &mut Writer {
        self.record([at, worker, activity, END, -1, -1, operator])
    }

    pub fn sent(&mut self, at: i64, from: i64, to: i64, correlator: i64) -> &mut Writer {
        self.record([at, from, DATA, SENT, correlator, to, -1])
    }

    pub fn received(&mut self, at: i64, to: i64, from: i64, correlator: i64) -> &mut Writer {
        self.record([at, to, DATA, RECEIVED, correlator, from, -1])
    }

    /// `rounds` in which every worker works for a while and then tells all others, as in SnailTrail's own tests.
    pub fn pyramids(rounds: i64, workers: i64, length: i64) -> Writer {
        let mut writer = Writer::default();
        for round in 0..rounds {
            let begin = round * length;
            (0..workers).for_each(|worker| _ = writer.start(begin, worker, PROCESSING, worker));
            (0..workers).for_each(|worker| _ = writer.end(begin + length / 2, worker, PROCESSING, worker));
            for from in 0..workers {
                writer.record([begin + length / 2, from, DATA, SENT, round, -1, -1]);
            }
            for from in 0..workers {
                (0..workers).filter(|&to| to != from).for_each(|to| _ = writer.received(begin + length - 1, to, from, round));
            }
        }
        writer
    }
}
