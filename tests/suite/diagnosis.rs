//! The diagnosis at the end of `analyze`: a trace for each cause, of a dataflow and of a batch job, and what is to be done in the words
//! of each.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use thalweg::activity::{Activity, ActivityKind, Lane, LogWriter, Message, MessageKind, Record};
use thalweg::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use thalweg::time::{Epoch, Timestamp};

use crate::spark_kinds::{Log, Task};

const MS: u64 = 1_000_000;
const ROUNDS: u64 = 20;
/// The operators and their numbers.
const OPERATORS: [&str; 3] = ["read", "parse", "write"];

/// A dataflow that works in rounds, each an epoch: a source on worker 0, an operator on workers 1 and up, a sink on worker 0, which begins
/// when all have sent. Times in ms.
#[derive(Clone, Copy)]
pub struct Rounds {
    pub source: u64,
    /// On the way, there and back.
    pub network: u64,
    pub kind: ActivityKind,
    /// Of each worker, with its records.
    pub work: [(u64, u64); 4],
    pub sink: u64,
    pub idle: u64,
    /// Records due and emitted in a round.
    pub schedule: Option<(u64, u64)>,
    /// Of each round, on worker 1.
    pub denied: u64,
    /// A number of rounds, and by how much a worker's work differs in each at most, from a seed.
    pub rounds: u64,
    pub jitter: (u64, u64),
}

pub const EVEN: Rounds = Rounds {
    source: 1,
    network: 0,
    kind: ActivityKind::Processing,
    work: [(40, 100); 4],
    sink: 1,
    idle: 0,
    schedule: None,
    denied: 0,
    rounds: ROUNDS,
    jitter: (0, 0),
};

impl Rounds {
    pub fn records(&self) -> Vec<Record> {
        self.records_from(10 * MS, 0)
    }

    /// From a time on, the first round with a number.
    pub fn records_from(&self, start: u64, first: u64) -> Vec<Record> {
        let names = OPERATORS.iter().zip(0..);
        let mut random = thalweg::sim::Random::new(self.jitter.0);
        let mut records: Vec<Record> =
            names.map(|(name, operator)| Record::Operator { operator: OperatorId(operator), name: (*name).to_owned() }).collect();
        for channel in 0..2 {
            let (source, target) = (OperatorId(channel), OperatorId(channel + 1));
            records.push(Record::Channel { channel: ChannelId(channel), source, target });
        }
        let lane = |worker| Lane::Worker(WorkerId(worker));
        let (mut now, mut denied) = (start, 0);
        for round in first..first + self.rounds {
            let epoch = Epoch(round);
            let due = Timestamp(now);
            records.push(Record::EpochOpened { at: due, source: InstanceId::new(OperatorId(0), 0), epoch, due, records: 1 });
            let mut work = |worker: u32, operator, kind, start, ms: u64, number| {
                records.push(Record::Activity(Activity {
                    lane: lane(worker),
                    kind,
                    instance: InstanceId::new(OperatorId(operator), worker),
                    epoch,
                    start: Timestamp(start),
                    end: Timestamp(start + ms * MS),
                    records_in: number,
                    records_out: 0,
                }));
                start + ms * MS
            };
            let sent = work(0, 0, ActivityKind::Source, now, self.source, 0);
            let mut ends = Vec::new();
            for (worker, (ms, number)) in (1..).zip(self.work) {
                let more = (random.uniform() * self.jitter.1 as f64) as u64;
                ends.push(work(worker, 1, self.kind, sent + self.network * MS, ms + more, number));
            }
            let last = ends.iter().max().unwrap() + self.network * MS;
            let end = work(0, 2, ActivityKind::Sink, last, self.sink, 1);
            let mut message = |channel, from, to, at: u64| {
                let sent = Message {
                    at: Timestamp(at),
                    kind: MessageKind::Data,
                    channel: ChannelId(channel),
                    sequence: 4 * round + u64::from(to),
                    from: WorkerId(from),
                    from_lane: lane(from),
                    to_lane: lane(to),
                    epoch,
                    records: 1,
                };
                records.extend([Record::Sent(sent), Record::Received(Message { at: Timestamp(at + self.network * MS), ..sent })]);
            };
            for (worker, end) in (1..).zip(ends) {
                message(0, 0, worker, sent);
                message(1, worker, 0, end);
            }
            let at = Timestamp(end);
            records.push(Record::EpochCompleted { at, worker: WorkerId(0), epoch });
            if let Some((due, emitted)) = self.schedule {
                records.push(Record::Source {
                    source: InstanceId::new(OperatorId(0), 0),
                    at,
                    due: (round * due) as f64,
                    emitted: round * emitted,
                });
            }
            denied += self.denied * MS;
            let ran = Duration::from_nanos(end - denied.min(end));
            records.push(Record::Core { worker: WorkerId(1), at, ran, denied: Duration::from_nanos(denied) });
            now = end + self.idle * MS;
        }
        records.sort_by_key(Record::at);
        records
    }
}

/// The diagnosis, as text and as JSON have it.
fn diagnosed(file: &Path) -> (String, String) {
    let run = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_thalweg")).arg("analyze").arg(file).args(more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = run(&[]);
    let last = text.trim_end().rsplit_once("\nDiagnosis: ").unwrap_or_else(|| panic!("{text}")).1.to_owned();
    assert!(!last.contains('\n'), "{last}");
    let (label, sentences) = last.split_once(": ").unwrap();
    let found: Value = serde_json::from_str(&run(&["--json", "--window", "10s"])).unwrap();
    assert_eq!(found["diagnosis"]["text"], json!(sentences));
    let share = found["diagnosis"]["share"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&share), "{share}");
    (label.to_owned(), sentences.to_owned())
}

#[track_caller]
fn check_file(file: &Path, label: &str, says: &[&str]) {
    let (found, text) = diagnosed(file);
    assert_eq!(found, label, "{text}");
    says.iter().for_each(|part| assert!(text.contains(part), "{part:?} in {text:?}"));
}

pub fn write_log(path: &Path, records: &[Record]) {
    let mut writer = LogWriter::new(std::fs::File::create(path).unwrap()).unwrap();
    records.chunks(1000).for_each(|block| writer.append(block).unwrap());
    writer.finish().unwrap();
}

#[track_caller]
fn dataflow(rounds: Rounds, label: &str, says: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    write_log(&path, &rounds.records());
    check_file(&path, label, says);
}

#[track_caller]
fn batch(log: &str, label: &str, says: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    std::fs::write(&path, log).unwrap();
    check_file(&path, label, says);
}

#[test]
fn nothing_ran() {
    dataflow(Rounds { idle: 400, ..EVEN }, "nothing ran", &["90.", "waiting for worker0", "waited for its input"]);
    let behind = Rounds { idle: 400, schedule: Some((100, 50)), ..EVEN };
    dataflow(behind, "nothing ran", &["though records were due", "outside of the log"]);
}

#[test]
fn source_bound() {
    let slow = Rounds { source: 60, work: [(20, 100); 4], ..EVEN };
    dataflow(slow, "source-bound", &["own work is 74.", "other operators do not help"]);
    // Nobody is busy, and yet not all is emitted.
    let starved = Rounds { source: 20, network: 10, work: [(25, 100); 4], sink: 20, schedule: Some((100, 80)), ..EVEN };
    dataflow(starved, "source-bound", &["did not emit 20.0 % of what was due", "what feeds the sources"]);
}

#[test]
fn external() {
    dataflow(Rounds { kind: ActivityKind::ExternalWait, ..EVEN }, "external", &["parse waits outside (95.", "fewer requests"]);
}

#[test]
fn network() {
    dataflow(Rounds { network: 50, work: [(10, 100); 4], ..EVEN }, "network", &["channel read → parse (44.", "share a process"]);
}

#[test]
fn skew() {
    dataflow(
        Rounds { work: [(80, 800), (10, 100), (10, 100), (10, 100)], ..EVEN },
        "skew",
        &["'parse'", "times as many records as the others (skew)"],
    );
}

#[test]
fn straggler() {
    let slow = Rounds { work: [(10, 100), (10, 100), (80, 100), (10, 100)], ..EVEN };
    dataflow(slow, "straggler", &["parse[3] alone", "8.0 times as long", "check its machine"]);
}

#[test]
fn under_provisioned() {
    dataflow(EVEN, "under-provisioned", &["'parse' is 95.", "on its 4 instances", "does not say what was due", "add instances"]);
    let behind = Rounds { schedule: Some((100, 60)), ..EVEN };
    dataflow(behind, "under-provisioned", &["40.0 % of the records that were due had not been emitted"]);
}

const BALANCED: Rounds = Rounds { source: 20, network: 10, work: [(25, 100); 4], sink: 20, ..EVEN };

#[test]
fn scheduling_or_host() {
    dataflow(Rounds { kind: ActivityKind::Scheduling, ..EVEN }, "scheduling or host", &["(scheduling 95.", "larger batches"]);
    dataflow(Rounds { denied: 30, ..BALANCED }, "scheduling or host", &["worker 1", "35.3 % of the time", "too few"]);
}

#[test]
fn over_provisioned() {
    let idle = Rounds { work: [(5, 100); 4], idle: 100, schedule: Some((100, 100)), ..EVEN };
    dataflow(idle, "over-provisioned", &["'parse' is busy 4.", "on 4 instances (1 would do)"]);
}

#[test]
fn none_of_them() {
    dataflow(BALANCED, "none stands out", &["no cause of the list holds", "The largest part of the critical paths is 'parse'"]);
}

/// A stage of a job whose tasks are of so many ms and records each, as many at a time as there are cores.
fn stage(executors: &[(&'static str, u32)], tasks: &[(u64, u64)]) -> String {
    let cores: Vec<&str> = executors.iter().flat_map(|(name, cores)| (0..*cores).map(|_| *name)).collect();
    let mut free = vec![10; cores.len()];
    let mut next = |(number, (ms, records)): (u64, &(u64, u64))| {
        let core = (0..cores.len()).min_by_key(|core| free[*core]).unwrap();
        let start = free[core];
        free[core] += ms + 1;
        Task(number, 0, cores[core], start, start + ms, *records)
    };
    let tasks: Vec<Task> = (0..).zip(tasks).map(&mut next).collect();
    let end = tasks.iter().map(|task| task.4).max().unwrap();
    let log = Log::begin(executors).job(0, 0, &[(0, "map")]).stage(0, "map", 5).tasks(&tasks);
    log.stage_ends(0, "map", end).job_ends(0, end + 2).finish(end + 5).0
}

#[test]
fn a_batch_job_in_which_nothing_ran() {
    let once = |log: Log, job: u64, at: u64| {
        let log = log.job(job, at, &[(job, "map")]).stage(job, "map", at + 5).tasks(&[Task(job, job, "1", at + 10, at + 1010, 9)]);
        log.stage_ends(job, "map", at + 1011).job_ends(job, at + 1015)
    };
    let log = once(once(Log::begin(&[("1", 1)]), 0, 0), 1, 20_000).finish(21_020).0;
    batch(&log, "nothing ran", &["neither a task nor the driver", "its own program between jobs"]);
}

#[test]
fn a_batch_job_that_waits_for_its_shuffle() {
    let log = stage(&[("1", 2)], &[(2000, 9); 2]);
    let fetched = "\"Result Serialization Time\":1,\"Shuffle Read Metrics\":{\"Fetch Wait Time\":1500,\"Records Read\":9}";
    let log = log.replace("\"Result Serialization Time\":1", fetched);
    batch(&log, "network", &["shuffled data", "map (stage 0) waits outside (7", "Shuffle less"]);
}

#[test]
fn a_batch_job_with_skew_or_a_straggler() {
    let mut tasks = [(500, 100); 8];
    tasks[5] = (9000, 2000);
    batch(&stage(&[("1", 4), ("2", 4)], &tasks), "skew", &["'map (stage 0)'", "20.0 times as many records", "split its partition"]);
    tasks[5] = (9000, 110);
    batch(&stage(&[("1", 4), ("2", 4)], &tasks), "straggler", &["about as many records", "host2"]);
}

#[test]
fn a_batch_job_with_too_few_cores() {
    let log = stage(&[("1", 2)], &[(1000, 100); 32]);
    batch(&log, "under-provisioned", &["more tasks to run than cores", "Its 32 tasks", "add executors"]);
}

/// No stage alone is a third of it.
#[test]
fn a_batch_job_of_many_stages_with_too_few_cores() {
    let mut log = Log::begin(&[("1", 2)]);
    let mut at = 0;
    for stage in 0..30 {
        let tasks: Vec<Task> =
            (0..8).map(|task| Task(8 * stage + task, stage, "1", at + 10 + 200 * (task / 2), at + 200 + 200 * (task / 2), 9)).collect();
        log = log.job(stage, at, &[(stage, "map")]).stage(stage, "map", at + 5).tasks(&tasks).stage_ends(stage, "map", at + 805);
        log = log.job_ends(stage, at + 808);
        at += 810;
    }
    batch(&log.finish(at).0, "under-provisioned", &["more tasks to run than cores", "Its 8 tasks"]);
}

#[test]
fn a_batch_job_that_waits_for_its_driver() {
    let log = Log::begin(&[("1", 1)]).job(0, 0, &[(0, "map")]).stage(0, "map", 9000).tasks(&[Task(0, 0, "1", 9010, 10_010, 9)]);
    let log = log.stage_ends(0, "map", 10_011).job_ends(0, 10_015).finish(10_020).0;
    batch(&log, "scheduling or host", &["are overhead (scheduling ", "The driver", "fewer and larger"]);
}

#[test]
fn a_batch_job_with_idle_executors() {
    let first: Vec<Task> = (0..8).map(|task| Task(task, 0, if task < 4 { "1" } else { "2" }, 10, 1010, 100)).collect();
    let log = Log::begin(&[("1", 4), ("2", 4)]).job(0, 0, &[(0, "map"), (1, "collect")]).stage(0, "map", 5).tasks(&first);
    let log = log.stage_ends(0, "map", 1011).stage(1, "collect", 1012).tasks(&[Task(8, 1, "1", 1020, 21_020, 9)]);
    let log = log.stage_ends(1, "collect", 21_021).job_ends(0, 21_022).finish(21_030).0;
    batch(&log, "over-provisioned", &["cores were busy 1", "fewer executors would do"]);
}
