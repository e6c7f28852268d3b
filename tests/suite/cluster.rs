//! Jobs on several processes: real processes on loopback, started by the program, by hand, or by this test.
//!
//! Nothing here depends on how fast the machine is. What must hold: no word is lost, counted twice or miscounted when bins move
//! between processes; the log of all processes is whole and in time; and whatever happens to a process, the run ends, says which
//! one it was, and leaves nothing behind.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thalweg::activity::{ActivityKind, Lane, LogReader, Record};
use thalweg::controller::ControllerConfig;
use thalweg::dataflow::{Capacity, Plan, QueueMarks};
use thalweg::engine::OperatorConfig;
use thalweg::engine::cluster::{Deployment, Launch, Member, free_addresses};
use thalweg::engine::word_count::{COUNT, FLAT_MAP, SINK, SOURCE, WordCount};
use thalweg::engine::{Clock, Context, QueueBoard, RunError, Running, WorkerPart};
use thalweg::experiment::run::{RunResult, RunSpec, run};
use thalweg::id::OperatorId;
use thalweg::migration::Strategy;
use thalweg::policy::Scripted;
use thalweg::rate::Rate;
use thalweg::time::Timestamp;
use thalweg::workload::{RateSchedule, SentenceLength, Text};
use timely::dataflow::operators::Probe;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;

const THALWEG: &str = env!("CARGO_BIN_EXE_thalweg");
/// Longer than anything here lasts on any machine, but for a hang.
const FOR_EVER: Duration = Duration::from_secs(60);

fn on_processes(processes: u32, workers: u32) -> Deployment {
    Deployment::processes(processes, workers).launched(Launch::program(THALWEG, &["process"]))
}

/// One instance of each operator cannot keep up; two of FlatMap and three of Count can.
fn job(deployment: Deployment, duration: Duration) -> WordCount {
    let operator = |limit: f64, high_records: u64| OperatorConfig {
        capacity: Capacity::Limited { rate: Rate::per_second(limit) },
        marks: QueueMarks { high_records, low_records: high_records / 2 },
        instances: 1,
        max_parallelism: 8,
        slow: None,
    };
    WordCount {
        text: Arc::new(Text::liber_primus(SentenceLength::Words(5))),
        first_sentence: 7,
        schedule: RateSchedule::constant(Rate::per_second(2000.0)),
        duration,
        catch_up: 1.1,
        tick: Duration::from_millis(10),
        bins: 16,
        flat_map: operator(1200.0, 300),
        count: operator(4000.0, 1500),
        deployment,
    }
}

/// Runs a job that is scaled up and down; gives its result and the records of all processes.
fn rescaled(deployment: Deployment, strategy: Strategy) -> (RunResult, Vec<Record>) {
    let plans = [
        (Timestamp::from_secs_f64(0.4), Plan::rescale(FLAT_MAP, 3).and(COUNT, 5)),
        (Timestamp::from_secs_f64(0.8), Plan::rescale(FLAT_MAP, 2).and(COUNT, 3)),
    ];
    carried_out(job(deployment, Duration::from_secs(3)), plans.into(), strategy)
}

/// Runs a job under `plans`; gives its result and the records of all processes.
fn carried_out(job: WordCount, plans: Vec<(Timestamp, Plan)>, strategy: Strategy) -> (RunResult, Vec<Record>) {
    let spec = RunSpec {
        job,
        controller: ControllerConfig { policy_interval: Duration::from_millis(200), warm_up_windows: 0, activation_windows: 1, strategy },
        policy: Box::new(Scripted::new(plans)),
        row_window: Duration::from_millis(20),
        needed: BTreeMap::new(),
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("activity.log");
    let result = run(spec, Some(&path), |_| {}).unwrap();
    (result, records(&path))
}

fn records(path: &Path) -> Vec<Record> {
    LogReader::new(BufReader::new(fs::File::open(path).unwrap())).unwrap().flat_map(Result::unwrap).collect()
}

/// What must be the same as in one process.
fn check(result: &RunResult, log: &[Record], sinks: u32) {
    let verdict = result.verdict;
    assert_eq!((verdict.lost, verdict.duplicated, verdict.miscounted, result.dropped_records), (0, 0, 0, 0));
    assert!(verdict.emitted > 0);
    let configurations: Vec<String> = result.configurations.iter().map(|(_, configuration)| configuration.to_string()).collect();
    assert_eq!(configurations, [format!("1/1/1/{sinks}"), format!("1/3/5/{sinks}"), format!("1/2/3/{sinks}")]);

    // Each operator takes in what the one before it gave out, wherever it is.
    let works = log.iter().filter_map(|record| match record {
        Record::Activity(activity) if activity.kind != ActivityKind::Migration => Some(activity),
        _ => None,
    });
    let works: Vec<_> = works.collect();
    let of = |id: OperatorId| works.iter().filter(move |work| work.instance.operator == id);
    let taken = |id: OperatorId| of(id).map(|work| work.records_in).sum::<u64>();
    assert_eq!((taken(SOURCE), taken(FLAT_MAP)), (verdict.emitted, verdict.emitted));
    assert_eq!((taken(COUNT), taken(SINK)), (verdict.results, verdict.results));
    let counting: std::collections::BTreeSet<u32> = of(COUNT).map(|work| work.instance.index).collect();
    assert_eq!(counting.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4], "instances of all processes work");

    // Every message arrives, with what was sent.
    let (mut sent, mut received): (BTreeMap<_, u64>, BTreeMap<_, u64>) = Default::default();
    for record in log {
        match record {
            Record::Sent(m) => *sent.entry((m.channel, m.from, m.sequence, m.epoch)).or_default() += m.records,
            Record::Received(m) => *received.entry((m.channel, m.from, m.sequence, m.epoch)).or_default() += m.records,
            _ => {}
        }
    }
    assert_eq!(sent, received);
}

#[test]
fn two_processes_count_every_word_once_all_at_once() {
    let (result, log) = rescaled(on_processes(2, 1), Strategy::AllAtOnce);
    check(&result, &log, 2);
}

#[test]
fn two_processes_count_every_word_once_bin_by_bin() {
    let (result, log) = rescaled(on_processes(2, 1), Strategy::Fluid);
    check(&result, &log, 2);
}

/// A worker that is overloaded is scheduled rarely: if each bin waited for a turn of its own, they would take as long as the backlog.
#[test]
fn bins_with_little_state_travel_many_at_a_time() {
    let bins = 2048;
    let job = WordCount { bins, ..job(on_processes(2, 1), Duration::from_secs(2)) };
    let (result, log) = carried_out(job, vec![(Timestamp::from_secs_f64(0.4), Plan::rescale(COUNT, 2))], Strategy::AllAtOnce);
    assert_eq!((result.verdict.lost, result.verdict.duplicated, result.verdict.miscounted), (0, 0, 0));
    let of = |kind| {
        log.iter().filter_map(move |record| match record {
            Record::Activity(activity) if activity.kind == kind => Some(activity),
            _ => None,
        })
    };
    let moved: u64 = of(ActivityKind::Migration).map(|activity| activity.records_in).sum();
    let turns = of(ActivityKind::Serialization).count();
    assert!(moved >= u64::from(bins) / 2 - 1 && turns > 0 && turns < bins as usize / 16, "{moved} bins in {turns} turns");
}

#[test]
fn two_processes_of_two_workers_count_every_word_once_all_at_once() {
    let (result, log) = rescaled(on_processes(2, 2), Strategy::AllAtOnce);
    check(&result, &log, 4);
}

#[test]
fn two_processes_of_two_workers_count_every_word_once_bin_by_bin() {
    let (result, log) = rescaled(on_processes(2, 2), Strategy::Fluid);
    check(&result, &log, 4);
}

/// The clocks of one machine's processes agree so well that no message is received before it was sent.
#[test]
fn no_message_is_received_before_it_was_sent() {
    let mut job = job(on_processes(3, 1), Duration::from_secs(1));
    (job.flat_map.instances, job.count.instances) = (3, 3);
    let running = job.start().unwrap();
    let (error, pids) = (running.clock_error(), running.process_ids());
    let mut sent = BTreeMap::new();
    let mut received = Vec::new();
    for record in running.log.iter().flat_map(|batch| batch.records) {
        match record {
            Record::Sent(m) => drop(sent.insert((m.channel, m.from, m.sequence), m.at)),
            Record::Received(m) => received.push(m),
            _ => {}
        }
    }
    let verdict = job.verify(&running.join().unwrap());
    assert_eq!((verdict.lost, verdict.duplicated, verdict.miscounted), (0, 0, 0));
    assert_eq!(pids.len(), 2);
    // A question and its answer take an instant, and on a busy machine as long as others keep the processor.
    assert!(error < FOR_EVER, "clocks are set to within {error:?}");
    // Of the messages from one process to another (each is one worker here): by how much was one seen too early at most?
    let taken_by = |lane: Lane| match lane {
        Lane::Worker(worker) => worker.0,
        Lane::Instance(instance) => instance.index % 3,
    };
    let far = received.iter().filter(|m| taken_by(m.to_lane) != m.from.0);
    let on_the_way = far.map(|m| m.at.0 as i64 - sent[&(m.channel, m.from, m.sequence)].0 as i64).min().unwrap();
    assert!(on_the_way >= -(error.as_nanos() as i64), "received {} ns before it was sent, clocks are set to within {error:?}", -on_the_way);
    println!("clocks are set to within {error:?}; the quickest message took {on_the_way} ns");
}

/// The program, with its standard error kept.
fn thalweg(arguments: &[&str]) -> Command {
    let mut command = Command::new(THALWEG);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = thalweg(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_run_on_two_processes_leaves_what_a_run_on_one_does_and_can_be_analysed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let arguments = ["run", "--processes", "2", "--workers", "1", "--policy", "ds2", "--duration", "4", "--record", "--json", "--out"];
    let (code, stdout, stderr) = output(&[&arguments[..], &[out.to_str().unwrap()]].concat());
    assert_eq!(code, Some(0), "{stderr}");
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let summary = &json["summary"];
    for count in ["records_lost", "records_duplicated", "words_miscounted", "dropped_records"] {
        assert_eq!(summary[count], 0, "{count}: {summary}");
    }
    // Once, unless the machine is so busy that it looks like less.
    assert!(summary["actions"].as_u64().unwrap() >= 1, "{summary}");
    for file in ["run.toml", "timeline.csv", "latency.csv", "decisions.jsonl", "summary.json", "rows.csv"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let log = out.join("activity.log");
    let (code, stdout, stderr) = output(&["analyze", log.to_str().unwrap(), "--by", "worker"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("worker0") && stdout.contains("worker1"), "{stdout}");
}

/// A run on two processes that would go on for ever, and the process id of process 1.
struct Endless {
    run: Child,
    stderr: BufReader<ChildStderr>,
    other: String,
    _folder: tempfile::TempDir,
    out: PathBuf,
}

impl Endless {
    fn start() -> Endless {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run");
        let arguments = ["run", "--processes", "2", "--workers", "1", "--policy", "hold", "--duration", "86400", "--record", "--out"];
        let mut run = thalweg(&[&arguments[..], &[out.to_str().unwrap()]].concat()).spawn().unwrap();
        let mut stderr = BufReader::new(run.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("process 1 is connected, pid ") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "the run ended");
        }
        let other = line.trim().rsplit(' ').next().unwrap().to_owned();
        Endless { run, stderr, other, _folder: folder, out }
    }

    /// What both processes still say until both have ended.
    fn last_words(&mut self) -> String {
        let mut words = String::new();
        self.stderr.read_to_string(&mut words).unwrap();
        words
    }
}

fn kill(pid: &str) {
    assert!(Command::new("kill").args(["-KILL", pid]).status().unwrap().success());
}

#[test]
fn a_killed_process_ends_the_run_with_an_error_that_names_it() {
    let clock = Clock::start();
    let mut endless = Endless::start();
    kill(&endless.other);
    let words = endless.last_words();
    assert_eq!(endless.run.wait().unwrap().code(), Some(1), "{words}");
    let why = format!("thalweg: process 1 (pid {}) ended: signal: 9 (SIGKILL)\n", endless.other);
    assert!(words.ends_with(&why), "{words}");
    assert!(!words.contains("panicked"), "{words}");
    assert!(!endless.out.join("activity.log").exists() && !endless.out.join("summary.json").exists());
    assert!(clock.now() < Timestamp::ZERO + FOR_EVER);
}

#[test]
fn a_process_does_not_outlive_the_one_that_started_it() {
    let mut endless = Endless::start();
    kill(&endless.run.id().to_string());
    // Ends only when the other process has closed it too.
    let words = endless.last_words();
    assert!(words.contains("process 0 is no longer connected"), "{words}");
    assert_eq!(endless.run.wait().unwrap().code(), None);
}

#[test]
fn a_job_that_is_given_up_leaves_no_process() {
    let running = job(on_processes(2, 1), Duration::from_secs(86_400)).start().unwrap();
    let pid = running.process_ids()[0];
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    drop(running);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_bad_host_file_is_an_error_that_names_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hosts");
    let path = file.to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let hosts = |text: &str, further: &[&str]| {
        fs::write(&file, text).unwrap();
        let (code, stdout, stderr) = output(&[&["run", "--policy", "hold", "--workers", "1", "--hostfile", path], further].concat());
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        stderr.replace(path, "HOSTS")
    };
    let out = folder.path().join("run");
    let out = ["--out", out.to_str().unwrap()];
    assert_eq!(hosts("localhost:2101\nlocalhost\n", &out), "thalweg: --hostfile HOSTS: line 2: expected host:port, found 'localhost'\n");
    let few = hosts("a:1\n", &["--processes", "2"]);
    assert_eq!(few, "thalweg: --hostfile HOSTS: line 2: expected host:port for each of 2 processes, found the end of the file\n");
    let which = hosts("a:1\nb:1\n", &["--process", "2"]);
    assert_eq!(which, "thalweg: --process: expected a line of the host file, 0 to 1, found 2\n");
    let used = hosts(&format!("{address}\nlocalhost:1\n"), &out);
    assert!(used.contains(&format!("expected an address of this machine with a free port, found {address}: ")), "{used}");
    let (code, _, stderr) = output(&["run", "--process", "1"]);
    assert_eq!(code, Some(2), "{stderr}");
    let (code, _, stderr) = output(&["run", "--hostfile", "/nowhere"]);
    assert!(code == Some(2) && stderr.contains("--hostfile /nowhere: expected a readable text file"), "{stderr}");
    let (code, _, stderr) = output(&["run", "--processes", "0"]);
    assert_eq!((code, stderr.as_str()), (Some(2), "thalweg: --processes: expected 1 to 32 with 2 worker threads each, found 0\n"));
    let (code, _, stderr) = output(&["process"]);
    assert!(code == Some(2) && stderr.contains("expected to be started by"), "{stderr}");
}

#[test]
fn processes_of_a_host_file_are_started_by_hand_with_the_same_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hosts");
    fs::write(&file, free_addresses(2).unwrap().join("\n")).unwrap();
    let start = |process: &str, seed: &str, out: &str| {
        let out = folder.path().join(out);
        let arguments = ["run", "--workers", "1", "--policy", "hold", "--duration", "1", "--json", "--seed", seed, "--process", process];
        let places = ["--hostfile", file.to_str().unwrap(), "--out", out.to_str().unwrap()];
        thalweg(&[&arguments[..], &places].concat()).spawn().unwrap()
    };
    let (other, first) = (start("1", "0", "same"), start("0", "0", "same"));
    let (first, other) = (first.wait_with_output().unwrap(), other.wait_with_output().unwrap());
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((first.status.code(), other.status.code()), (Some(0), Some(0)), "{}{}", said(&first), said(&other));
    assert!(other.stdout.is_empty());
    let json: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(json["summary"]["records_lost"], 0);

    let (other, first) = (start("1", "1", "other"), start("0", "0", "other"));
    for output in [first.wait_with_output().unwrap(), other.wait_with_output().unwrap()] {
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("process 1 was started for another job: expected the arguments of process 0"), "{said}");
    }
}

/// A dataflow of this test's own, to be run on processes that are this very test.
#[derive(Serialize, Deserialize)]
struct Echo {
    /// What each worker finds is this much more than its number.
    more: u64,
    /// The worker that panics.
    panics: Option<u32>,
}

impl Echo {
    /// Runs the job from test `name` of this file, or serves it if that is what this process is for.
    fn run(&self, name: &str) -> Option<Result<Vec<u64>, RunError>> {
        let board = QueueBoard::new();
        if let Some(member) = Member::from_environment().unwrap() {
            let job: Echo = member.job().unwrap();
            let _ = member.serve(&board, move |worker, context| job.build(worker, context));
            return None;
        }
        let deployment = Deployment::processes(2, 2).launched(Launch::this_test(&format!("cluster::{name}")));
        let job = Echo { ..*self };
        let running = Running::on(&deployment, self, &board, move |worker, context| job.build(worker, context)).unwrap();
        Some(running.join())
    }

    fn build(&self, worker: &mut Worker, context: &Context) -> WorkerPart<u64> {
        let (mut control, probe) = (InputHandleVec::new(), ProbeHandle::new());
        worker.dataflow(|scope| {
            control.to_stream(scope).broadcast().probe_with(&probe);
        });
        let (index, panics, more) = (context.worker.0, self.panics, self.more);
        assert_eq!(context.local, index / 2 * 2..index / 2 * 2 + 2);
        // One that never ends by itself if a worker is to panic.
        let source = move || {
            assert_ne!(panics, Some(index), "on purpose");
            panics.is_some()
        };
        let found = move || u64::from(index) + more;
        WorkerPart { source: Some(Box::new(source)), open_epochs: Rc::default(), control, probe, outcome: Box::new(found) }
    }
}

#[test]
fn a_test_runs_on_processes_that_are_itself() {
    let found = Echo { more: 10, panics: None }.run("a_test_runs_on_processes_that_are_itself");
    assert!(found.is_none_or(|found| found == Ok(vec![10, 11, 12, 13])));
}

#[test]
fn a_panic_in_another_process_ends_the_run_with_an_error_that_names_it() {
    let found = Echo { more: 0, panics: Some(3) }.run("a_panic_in_another_process_ends_the_run_with_an_error_that_names_it");
    let Some(found) = found else { return };
    let RunError::Process { process: 1, why } = found.unwrap_err() else { panic!("process 1 panicked") };
    assert!(why.contains("on purpose"), "{why}");
}

#[test]
fn a_panic_in_process_0_ends_the_others() {
    let found = Echo { more: 0, panics: Some(1) }.run("a_panic_in_process_0_ends_the_others");
    assert!(found.is_none_or(|found| matches!(found, Err(RunError::Worker(why)) if why.contains("on purpose"))));
}
