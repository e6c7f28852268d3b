//! Small event logs of Spark, each a kind of what goes wrong with a job or with its log: `analyze` gives the right answer, whatever the
//! window.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

const START: u64 = 1_700_000_000_000;

/// An event log; times are in ms since its start.
#[derive(Default)]
pub struct Log(pub String);

/// A task: its number, stage, executor, launch, end and records.
#[derive(Clone, Copy)]
pub struct Task(pub u64, pub u64, pub &'static str, pub u64, pub u64, pub u64);

impl Log {
    pub fn event(mut self, event: &str, mut fields: Value) -> Log {
        let rest = fields.as_object_mut().unwrap();
        let mut line = serde_json::Map::from_iter([("Event".to_owned(), json!(format!("SparkListener{event}")))]);
        line.append(rest);
        let _ = writeln!(self.0, "{}", Value::Object(line));
        self
    }

    /// An application with executors of so many cores each, on hosts of the same number.
    pub fn begin(executors: &[(&str, u32)]) -> Log {
        let log = Log::default().event("LogStart", json!({ "Spark Version": "3.5.1" }));
        let log = log.event("ApplicationStart", json!({ "App Name": "kinds", "App ID": "a-1", "Timestamp": START }));
        executors.iter().fold(log, |log, (name, cores)| log.executor(name, *cores, 0))
    }

    pub fn executor(self, name: &str, cores: u32, at: u64) -> Log {
        let info = json!({ "Host": format!("host{name}"), "Total Cores": cores });
        self.event("ExecutorAdded", json!({ "Timestamp": START + at, "Executor ID": name, "Executor Info": info }))
    }

    pub fn removed(self, name: &str, at: u64) -> Log {
        self.event("ExecutorRemoved", json!({ "Timestamp": START + at, "Executor ID": name, "Removed Reason": "idle" }))
    }

    pub fn job(self, job: u64, at: u64, stages: &[(u64, &str)]) -> Log {
        let infos: Vec<Value> = stages.iter().map(|(stage, name)| json!({ "Stage ID": stage, "Stage Name": name })).collect();
        let ids: Vec<u64> = stages.iter().map(|(stage, _)| *stage).collect();
        self.event("JobStart", json!({ "Job ID": job, "Submission Time": START + at, "Stage Infos": infos, "Stage IDs": ids }))
    }

    pub fn job_ends(self, job: u64, at: u64) -> Log {
        self.event("JobEnd", json!({ "Job ID": job, "Completion Time": START + at, "Job Result": { "Result": "JobSucceeded" } }))
    }

    pub fn stage(self, stage: u64, name: &str, at: u64) -> Log {
        self.event("StageSubmitted", json!({ "Stage Info": { "Stage ID": stage, "Stage Name": name, "Submission Time": START + at } }))
    }

    pub fn stage_ends(self, stage: u64, name: &str, at: u64) -> Log {
        let info = json!({ "Stage ID": stage, "Stage Name": name, "Completion Time": START + at });
        self.event("StageCompleted", json!({ "Stage Info": info }))
    }

    pub fn starts(self, task: Task, more: Value) -> Log {
        let Task(task, stage, executor, launch, ..) = task;
        let mut info = json!({ "Task ID": task, "Launch Time": START + launch, "Executor ID": executor, "Host": format!("host{executor}"), "Finish Time": 0 });
        info.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        self.event("TaskStart", json!({ "Stage ID": stage, "Stage Attempt ID": 0, "Task Info": info }))
    }

    pub fn ends(self, task: Task, reason: &str, more: Value) -> Log {
        let Task(task, stage, executor, launch, finish, records) = task;
        let mut info = json!({ "Task ID": task, "Launch Time": START + launch, "Executor ID": executor, "Finish Time": START + finish });
        info.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        let metrics = json!({
            "Executor Deserialize Time": 2,
            "Executor Run Time": finish - launch - 8,
            "Result Serialization Time": 1,
            "Input Metrics": { "Records Read": records },
        });
        let fields = json!({ "Stage ID": stage, "Task End Reason": { "Reason": reason }, "Task Info": info });
        let mut fields = fields.as_object().unwrap().clone();
        if reason == "Success" {
            fields.insert("Task Metrics".to_owned(), metrics);
        }
        self.event("TaskEnd", Value::Object(fields))
    }

    /// Tasks in the order in which they start, then end.
    pub fn tasks(self, tasks: &[Task]) -> Log {
        let mut events: Vec<(u64, bool, Task)> = tasks.iter().flat_map(|task| [(task.3, true, *task), (task.4, false, *task)]).collect();
        events.sort_by_key(|(at, starts, task)| (*at, *starts, task.0));
        let log = |log: Log, (_, starts, task): &(u64, bool, Task)| {
            if *starts { log.starts(*task, json!({})) } else { log.ends(*task, "Success", json!({})) }
        };
        events.iter().fold(self, log)
    }

    pub fn finish(self, at: u64) -> Log {
        self.event("ApplicationEnd", json!({ "Timestamp": START + at }))
    }
}

fn analyze(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_thalweg")).arg("analyze").args(args).current_dir(folder).output().unwrap()
}

/// What is printed, and the notes; the same ranking, sentences and waits for all windows.
fn answer(log: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("log"), log).unwrap();
    answer_of(folder.path(), "log")
}

fn answer_of(folder: &Path, file: &str) -> (String, String) {
    let mut answers = ["100ms", "1s", "10s", "100s"].map(|window| {
        let output = analyze(folder, &[file, "--window", window, "--epochs"]);
        assert!(output.status.success(), "{output:?}");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let printed = text(output.stdout);
        // From the sentences on nothing counts windows.
        let ranking: Vec<String> = printed
            .lines()
            .filter(|line| line.starts_with("| "))
            .map(|line| line.split('|').nth(3).unwrap_or_default().trim().to_owned())
            .collect();
        (
            printed.clone(),
            text(output.stderr),
            ranking,
            printed.split_once("\n\n").and_then(|(_, rest)| rest.split_once("\n\n")).unwrap().1.to_owned(),
        )
    });
    for other in &answers[1..] {
        assert_eq!((&answers[0].1, &answers[0].2, &answers[0].3), (&other.1, &other.2, &other.3));
    }
    let (printed, notes, ..) = std::mem::take(&mut answers[1]);
    (printed, notes)
}

#[track_caller]
fn says(printed: &str, expected: &[&str]) {
    for expected in expected {
        assert!(printed.contains(expected), "expected {expected}\n{printed}");
    }
}

fn cells(printed: &str, first: &str) -> Vec<String> {
    let row = printed.lines().find(|line| line.split('|').any(|cell| cell.trim() == first)).unwrap_or_else(|| panic!("{first}\n{printed}"));
    row.split('|').map(|cell| cell.trim().to_owned()).collect()
}

#[test]
fn a_job_of_minutes_is_explained_from_its_start() {
    let log = Log::begin(&[("1", 1)]).job(0, 0, &[(0, "scan"), (1, "sum")]).stage(0, "scan", 5).tasks(&[Task(0, 0, "1", 10, 300_010, 5)]);
    let log = log.stage_ends(0, "scan", 300_012).stage(1, "sum", 300_015).tasks(&[Task(1, 1, "1", 300_020, 340_020, 5)]);
    let (printed, notes) = answer(&log.stage_ends(1, "sum", 340_021).job_ends(0, 340_025).finish(340_030).0);
    assert_eq!(notes, "");
    says(&printed, &["scan (stage 0): its own work is 88.2 % of the critical paths", "It is a single task"]);
    assert!(!printed.contains("| unknown"), "{printed}");
    // At most what each took.
    let gain = |stage: &str| cells(&printed[printed.find("possible gain").unwrap()..], stage)[6].clone();
    assert_eq!((gain("scan (stage 0)").as_str(), gain("sum (stage 1)").as_str()), ("300.00 s", "39.99 s"));
    let wait = cells(&printed[printed.find("The longest waits").unwrap()..], "300.00 s");
    assert_eq!(wait[1..8], ["driver", "executor 1 on host1", "scan (stage 0) → driver", "scan (stage 0)[1]", "300.00 s", "1", "300.00 s"]);
}

#[test]
fn one_long_task_is_one_piece_and_no_more_executors_help() {
    let executors = ["1", "2", "3", "4"];
    let log = |records: u64, last: u64| {
        let tasks = (0..).zip(executors).map(|(task, executor)| {
            let (end, records) = if task == 3 { (last, records) } else { (1010, 1000) };
            Task(task, 0, executor, 10, end, records)
        });
        let log = Log::begin(&executors.map(|executor| (executor, 1))).job(0, 0, &[(0, "collect")]).stage(0, "collect", 5);
        log.tasks(&tasks.collect::<Vec<_>>()).stage_ends(0, "collect", last).job_ends(0, last + 5).finish(last + 9).0
    };
    let (printed, _) = answer(&log(1000, 30_010));
    says(
        &printed,
        &[
            "One of its 4 tasks takes 29.99 s, 30.2 times as long as the others",
            "executor 4 on host4 is slow (a straggler)",
            "More executors do not help.",
        ],
    );
    let (printed, _) = answer(&log(30_000, 12_010));
    says(&printed, &["One of its 4 tasks takes 11.99 s", "it has 30.0 times as many records (skew)"]);
    // Longer than the others, but by little: all at once.
    let (printed, _) = answer(&log(1000, 1300));
    says(&printed, &["All its 4 tasks ran at about the same time: more executors do not help; split its input into more partitions"]);
}

#[test]
fn executors_that_come_and_go_are_compared_while_they_were_there() {
    let log = Log::begin(&[("1", 1), ("2", 1), ("3", 1)]).job(0, 0, &[(0, "map")]).stage(0, "map", 5);
    let log = log.tasks(&[Task(0, 0, "1", 10, 1010, 9), Task(1, 0, "2", 10, 1010, 9), Task(2, 0, "3", 10, 1010, 9)]);
    let log = log.removed("1", 1100).removed("2", 1101);
    let log = log.tasks(&[Task(3, 0, "3", 1015, 2015, 9), Task(4, 0, "3", 2020, 3020, 9), Task(5, 0, "3", 3025, 4025, 9)]);
    let (printed, _) = answer(&log.stage_ends(0, "map", 4026).job_ends(0, 4030).finish(4040).0);
    says(
        &printed,
        &[
            "Its 6 tasks are about equally long, and on average 1.5 of them ran at a time: add executors or cores",
            "2 of its cores left before the end.",
        ],
    );
    // One that comes late and then does as much as the other.
    let log = Log::begin(&[("1", 1)]).job(0, 0, &[(0, "map")]).stage(0, "map", 5);
    let first: Vec<Task> = (0..8).map(|n| Task(n, 0, "1", 10 + 1010 * n, 1010 + 1010 * n, 9)).collect();
    let log = log.tasks(&first[..6]).executor("2", 1, 6000);
    let log = log.tasks(&[first[6], Task(8, 0, "2", 6070, 7070, 9), first[7], Task(9, 0, "2", 7080, 8080, 9)]);
    let (printed, _) = answer(&log.stage_ends(0, "map", 8100).job_ends(0, 8105).finish(8110).0);
    says(&printed, &["Its 10 tasks are about equally long", "add executors or cores"]);
}

#[test]
fn time_in_which_nothing_ran_counts_whatever_the_window() {
    let log = Log::begin(&[("1", 1)]).job(0, 0, &[(0, "first")]).stage(0, "first", 5).tasks(&[Task(0, 0, "1", 10, 1010, 9)]);
    let log = log.stage_ends(0, "first", 1011).job_ends(0, 1015).job(1, 99_000, &[(1, "second")]).stage(1, "second", 99_005);
    let log = log.tasks(&[Task(1, 1, "1", 99_010, 100_010, 9)]).stage_ends(1, "second", 100_011);
    let (printed, _) = answer(&log.job_ends(1, 100_015).finish(100_020).0);
    assert_eq!(cells(&printed, "nothing ran")[3], "98.0 %");
    says(&printed, &["nothing ran: 98.0 % of the critical paths hold no recorded activity; 100.0 % of it was waiting for driver."]);
}

#[test]
fn a_second_end_is_no_second_run() {
    let log = |again: bool| {
        let first = [Task(0, 0, "1", 10, 1010, 9), Task(1, 0, "2", 10, 2010, 9)];
        let log = Log::begin(&[("1", 1), ("2", 1)]).job(0, 0, &[(0, "map")]).stage(0, "map", 5);
        let log = log.starts(first[0], json!({})).starts(first[1], json!({})).ends(first[0], "Success", json!({})).removed("1", 1500);
        let log = if again { log.ends(first[0], "Resubmitted", json!({ "Failed": true })) } else { log };
        let log = log.ends(first[1], "Success", json!({})).tasks(&[Task(2, 0, "2", 2015, 3015, 9)]);
        log.stage_ends(0, "map", 3016).job_ends(0, 3020).finish(3030).0
    };
    let ((with, notes), (without, nothing)) = (answer(&log(true)), answer(&log(false)));
    assert_eq!(with, without);
    assert!(
        notes.contains("further ends of tasks that had ended, such as those of tasks that are to run again (1)") && nothing.is_empty(),
        "{notes}"
    );
}

#[test]
fn what_has_no_end_ends_with_what_encloses_it() {
    // The end of task 1 is missing: it ends with its stage. That of task 3 is missing: it ends with its executor.
    let log = Log::begin(&[("1", 1), ("2", 1)]).job(0, 0, &[(0, "map"), (1, "sum")]).stage(0, "map", 5);
    let log = log.starts(Task(1, 0, "2", 10, 0, 0), json!({})).tasks(&[Task(0, 0, "1", 10, 1010, 9)]).stage_ends(0, "map", 2010);
    let log = log.stage(1, "sum", 2015).starts(Task(3, 1, "2", 2020, 0, 0), json!({})).removed("2", 2520);
    let log = log.tasks(&[Task(2, 1, "1", 2020, 30_020, 9)]).stage_ends(1, "sum", 30_021).job_ends(0, 30_025).finish(30_030);
    let (printed, notes) = answer(&log.0);
    assert!(notes.contains("tasks without an end, taken to end with their stage, job or executor (2)"), "{notes}");
    // 1 s and 2 s of map, 28 s of sum and half a second in vain, of 30.025 s.
    assert_eq!(cells(&printed, "map (stage 0)")[4], "10.0 %");
    assert_eq!(cells(&printed, "sum (stage 1)")[4], "94.9 %");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("log"), log.0).unwrap();
    let output = analyze(folder.path(), &["log", "--by", "activity"]);
    assert_eq!(cells(std::str::from_utf8(&output.stdout).unwrap(), "lost work")[4], "1.7 %");
}

#[test]
fn failed_killed_and_speculative_work_is_a_kind_of_its_own() {
    let slow = Task(0, 0, "1", 10, 4010, 9);
    let log = Log::begin(&[("1", 1), ("2", 1)]).job(0, 0, &[(0, "map")]).stage(0, "map", 5).starts(slow, json!({}));
    let copy = Task(1, 0, "2", 1010, 4010, 9);
    let log = log.starts(copy, json!({ "Speculative": true })).ends(copy, "Success", json!({ "Speculative": true }));
    let log = log.ends(slow, "TaskKilled", json!({ "Killed": true }));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("log"), log.stage_ends(0, "map", 4011).job_ends(0, 4015).finish(4020).0).unwrap();
    let output = analyze(folder.path(), &["log", "--by", "activity"]);
    let printed = std::str::from_utf8(&output.stdout).unwrap();
    let profile = |kind| cells(printed, kind)[4].clone();
    assert_eq!((profile("lost work").as_str(), profile("speculative work").as_str()), ("99.6 %", "74.5 %"));
}

#[test]
fn a_name_that_was_given_early_is_kept() {
    // The submission of the stage is missing, and its completion has no name.
    let log = Log::begin(&[("1", 1)]).job(0, 0, &[(0, "given early")]).tasks(&[Task(0, 0, "1", 10, 1010, 9)]).stage_ends(0, "", 1011);
    let (printed, _) = answer(&log.job_ends(0, 1015).finish(1020).0);
    assert!(cells(&printed, "given early (stage 0)")[3].starts_with("98."), "{printed}");
    // It comes only after the first task has.
    let log = Log::begin(&[("1", 1)]).job(0, 0, &[(0, "")]).starts(Task(0, 0, "1", 10, 0, 0), json!({})).stage(0, "given late", 11);
    let (printed, _) = answer(&log.ends(Task(0, 0, "1", 10, 1010, 9), "Success", json!({})).job_ends(0, 1015).finish(1020).0);
    assert!(cells(&printed, "given late (stage 0)")[3].starts_with("98."), "{printed}");
}

#[test]
fn damage_that_does_not_matter_is_counted_and_an_unfinished_log_is_a_running_job() {
    let log = Log::begin(&[("1", 1), ("2", 1)]).job(0, 0, &[(0, "map")]).stage(0, "map", 5).starts(Task(1, 0, "2", 10, 0, 0), json!({}));
    let log = log.tasks(&[Task(0, 0, "1", 10, 1010, 9)]).0;
    let (before, after) = log.split_at(log.find("{\"Event\":\"SparkListenerStageSubmitted").unwrap());
    let noise = "{\"Event\":\"SparkListenerSQLExecutionStart\",\"plan\":{\"a\u{0}\nWARN something else wrote this\n";
    let (printed, notes) = answer(&format!("{before}{noise}{after}{}", "{\"Event\":\"SparkListenerTaskEnd\",\"Stage"));
    for expected in [
        "damaged lines of events that are not read, skipped (1)",
        "lines that hold no event, skipped (1)",
        "the last line is unfinished: it was still being written (1)",
        "the log ends before the application does: it was still running (1)",
        "tasks that did not end before the log (1)",
    ] {
        assert!(notes.contains(expected), "{expected}\n{notes}");
    }
    assert!(cells(&printed, "map (stage 0)")[3].starts_with("98."), "{printed}");
}

#[test]
fn the_oldest_logs_give_no_times_of_jobs() {
    let log = Log::default().event("ApplicationStart", json!({ "App Name": "small", "Timestamp": START - 5_000_000 }));
    let log = log.event("JobStart", json!({ "Job ID": 0, "Stage Infos": [], "Stage IDs": [0] })).stage(0, "count", 10);
    let log = log.tasks(&[Task(0, 0, "<driver>", 20, 520, 9)]).stage_ends(0, "count", 525);
    let log = log.event("JobEnd", json!({ "Job ID": 0, "Job Result": { "Result": "JobSucceeded" } })).finish(530);
    let (printed, notes) = answer(&log.0);
    assert_eq!(notes, "");
    says(&printed, &["from 0.010 s to 0.525 s", "Latency of 1 epochs: mean 515.0 ms"]);
}

fn small() -> String {
    let log = Log::begin(&[("1", 1)]).job(0, 0, &[(0, "map")]).stage(0, "map", 5).tasks(&[Task(0, 0, "1", 10, 2010, 9)]);
    log.stage_ends(0, "map", 2011).job_ends(0, 2015).finish(2020).0
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest)
}

fn lz4(text: &str) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_spark_4_writes_by_default_is_the_same_log() {
    let folder = tempfile::tempdir().unwrap();
    let (text, path) = (small(), |name: &str| folder.path().join(name));
    std::fs::write(path("log"), &text).unwrap();
    std::fs::write(path("log.zstd"), zstd(&text)).unwrap();
    std::fs::write(path("log.gz"), gzip(&text)).unwrap();
    std::fs::write(path("log.lz4"), lz4(&text)).unwrap();
    let (first, second) = text.split_at(text.find("{\"Event\":\"SparkListenerTaskStart").unwrap());
    std::fs::create_dir(path("eventlog_v2_a-1")).unwrap();
    std::fs::write(path("eventlog_v2_a-1/appstatus_a-1"), "").unwrap();
    std::fs::write(path("eventlog_v2_a-1/events_1_a-1.zstd"), zstd(first)).unwrap();
    std::fs::write(path("eventlog_v2_a-1/events_2_a-1.zstd"), zstd(second)).unwrap();
    let (expected, _) = answer_of(folder.path(), "log");
    for file in ["log.zstd", "log.gz", "log.lz4", "eventlog_v2_a-1"] {
        let (printed, notes) = answer_of(folder.path(), file);
        assert_eq!((printed.replacen(file, "log", 1), notes.as_str()), (expected.clone(), ""), "{file}");
    }
    // One that is still being written ends there.
    let cut = zstd(&text);
    std::fs::write(path("cut.zstd"), &cut[..cut.len() - 9]).unwrap();
    let output = analyze(folder.path(), &["cut.zstd"]);
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(0) || notes.contains("expected"), "{notes}");
    // A folder that holds no log, and standard input.
    std::fs::create_dir(path("empty")).unwrap();
    let output = analyze(folder.path(), &["empty"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("expected a trace, found a folder"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_thalweg"))
        .args(["analyze", "-", "--epochs"])
        .stdin(std::fs::File::open(path("log.gz")).unwrap())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut printed).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(printed.replacen("standard input", "log", 1), expected);
}

#[test]
fn files_of_a_rolled_log_that_are_missing_cut_off_or_damaged_are_named() {
    let tasks: Vec<Task> = (0..200).map(|task| Task(task, 0, "1", 10 + 10 * task, 20 + 10 * task, 9)).collect();
    let text = Log::begin(&[("1", 1)]).job(0, 0, &[(0, "map")]).stage(0, "map", 5).tasks(&tasks).job_ends(0, 2015).finish(2020).0;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let of = |lines: &[&str]| lines.concat();
    let (first, second, last) = (of(&lines[..50]), of(&lines[50..lines.len() - 9]), of(&lines[lines.len() - 9..]));
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join("eventlog_v2_a-1").join(name);
    std::fs::create_dir(path("")).unwrap();
    std::fs::write(path("events_1_a-1"), first).unwrap();
    let packed = gzip(&second);
    std::fs::write(path("events_2_a-1.gz"), &packed[..packed.len() / 2]).unwrap();
    std::fs::write(path("events_5_a-1"), &last).unwrap();
    let (_, notes) = answer_of(folder.path(), "eventlog_v2_a-1");
    says(
        &notes,
        &[
            "files events_3_… to events_4_… of the log are missing (1)",
            "events_2_a-1.gz: the compressed data ends too early, though further files follow: the rest of it is missing (1)",
            "events_2_a-1.gz: the last line does not end, though further files follow (1)",
        ],
    );
    // The last one was being written.
    let packed = gzip(&last);
    std::fs::write(path("events_5_a-1"), &packed[..packed.len() - 12]).unwrap();
    let notes = answer_of(folder.path(), "eventlog_v2_a-1").1;
    says(&notes, &["events_5_a-1: the compressed data ends too early: it was still being written (1)"]);
    // Damage is in a file, at a line of its own.
    std::fs::write(path("events_5_a-1"), last.replacen("\"Task ID\":", "\"Task\":", 2)).unwrap();
    let output = analyze(folder.path(), &["eventlog_v2_a-1"]);
    assert_eq!(output.status.code(), Some(2));
    let line = 1 + last.lines().position(|line| line.contains("Task ID")).unwrap();
    says(&String::from_utf8(output.stderr).unwrap(), &[&format!("eventlog_v2_a-1/events_5_a-1, line {line}: expected ")]);
    std::fs::remove_file(path("events_5_a-1")).unwrap();
    std::fs::create_dir(path("events_5_a-1")).unwrap();
    let output = analyze(folder.path(), &["eventlog_v2_a-1"]);
    says(&String::from_utf8(output.stderr).unwrap(), &["eventlog_v2_a-1/events_5_a-1, line 1: "]);
}

/// The files that others made to show the kinds, where they are there.
#[test]
fn the_small_files_of_each_kind_give_the_right_answer() {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/traces/spark");
    if !folder.is_dir() {
        eprintln!("skipped: {} is not there", folder.display());
        return;
    }
    for (file, expected) in [
        ("job_of_minutes.jsonl", "its own work is 88.2 % of the critical paths"),
        ("one_long_task.jsonl", "One of its 4 tasks takes 29.99 s, 30.3 times as long as the others"),
        ("executors_come_and_go.jsonl", "on average 1.5 of them ran at a time: add executors or cores"),
        ("spark_1_2.jsonl", "count at Jobs.scala:2 (stage 0): its own work is 96.3 %"),
    ] {
        says(&answer_of(&folder, file).0, &[expected]);
    }
    let plain = answer_of(&folder, "one_long_task.jsonl").0.replace("one_long_task.jsonl", "");
    for file in ["one_long_task.zstd", "eventlog_v2_a-1"] {
        assert_eq!(answer_of(&folder, file).0.replace(file, ""), plain);
    }
    let (with, without) = (answer_of(&folder, "resubmitted.jsonl").0, answer_of(&folder, "resubmitted_without.jsonl").0);
    assert_eq!(with.replace("resubmitted.jsonl", "resubmitted_without.jsonl"), without);
}
