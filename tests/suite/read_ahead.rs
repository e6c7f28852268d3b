//! Files whose events come in any order are read ahead for their times: what is read is the same, and the progress of workers is reported in time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::written;
use thalweg::activity::Record;
use thalweg::readers::{self, Oddity};
use thalweg::time::Timestamp;

/// Longer than what is held as a whole.
const BYTES: usize = 9 << 20;

/// The records of a trace, and its oddities.
fn records(trace: readers::Trace) -> (Vec<Record>, Vec<Oddity>) {
    let mut trace = trace;
    let records = trace.by_ref().flat_map(|block| block.unwrap()).collect();
    (records, trace.oddities().into_iter().map(|odd| Oddity { file: PathBuf::new(), ..odd }).collect())
}

/// As they are read ahead, and as they are held to the end of the file.
fn both(file: &Path) -> [(Vec<Record>, Vec<Oddity>); 2] {
    let held = readers::read(vec![(file.to_owned(), Box::new(File::open(file).unwrap()))], None).unwrap();
    [records(readers::open(&[file]).unwrap()), records(held)]
}

/// Whether a record tells how far its trace has been read, or names a worker: such come when they are known.
fn is_told(record: &Record) -> bool {
    matches!(record, Record::UpTo { .. } | Record::WorkerJoined { .. })
}

#[test]
fn what_is_read_ahead_is_read_as_otherwise_and_told_in_time() {
    let folder = tempfile::tempdir().unwrap();
    for (name, write) in written::FORMATS.into_iter().filter(|(name, _)| ["chrome", "jaeger", "otlp"].contains(name)) {
        let file = folder.path().join(name);
        write(&file, BYTES);
        let [(ahead, oddities), (held, others)] = both(&file);
        assert_eq!(oddities, others, "{name}");
        let last = held.iter().map(Record::at).max().unwrap();
        let (mut known, mut reports) = (Timestamp::ZERO, 0);
        for record in &ahead {
            match record {
                Record::UpTo { at, .. } => {
                    reports += usize::from(*at > known);
                    known = known.max(*at);
                }
                Record::Activity(work) => assert!(work.start >= known, "{name}: {work:?} after {known}"),
                record => {
                    assert!(is_told(record) || record.at() >= known || record.at() == Timestamp::ZERO, "{name}: {record:?} after {known}")
                }
            }
        }
        assert!(reports >= 6 && known.0 > last.0 / 10 * 7, "{name}: {reports} reports up to {known} of {last}");
        assert!(!held.iter().any(|record| matches!(record, Record::UpTo { .. })), "{name}");
        let rest = |records: Vec<Record>| records.into_iter().filter(|record| !is_told(record)).collect::<Vec<_>>();
        assert!(rest(ahead) == rest(held), "{name}");
    }
}

#[test]
fn events_that_are_far_out_of_order_hold_back_what_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace");
    let write = written::FORMATS.iter().find(|(name, _)| *name == "chrome").unwrap().1;
    write(&file, BYTES);
    let text = fs::read_to_string(&file).unwrap();
    let early = "{\"ph\":\"X\",\"name\":\"late\",\"pid\":1,\"tid\":0,\"ts\":1000000050,\"dur\":1}";
    fs::write(&file, text.replace("\n]}", &format!(",\n{early}\n]}}"))).unwrap();
    let [(ahead, _), _] = both(&file);
    let known = ahead.iter().filter(|record| matches!(record, Record::UpTo { .. })).map(Record::at).max().unwrap_or_default();
    assert!(
        ahead.iter().all(|record| matches!(record, Record::UpTo { .. }) || !matches!(record, Record::Activity(_)) || record.at() >= known)
    );
}
