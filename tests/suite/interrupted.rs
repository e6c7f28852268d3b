//! Ctrl-C: what was measured is kept and says that it was interrupted, exit code 130; the second
//! one ends at once.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use serde_json::Value;

/// A command that is running.
struct Running {
    child: Child,
    told: BufReader<ChildStderr>,
}

impl Running {
    fn start(args: &[&str], out: &Path) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
        let command = command.args(args).arg("--out").arg(out).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary of this package");
        let told = BufReader::new(child.stderr.take().expect("it is a pipe"));
        Running { child, told }
    }

    /// Waits until it says `text`.
    fn says(&mut self, text: &str) {
        let mut all = String::new();
        while self.told.read_line(&mut all).unwrap() > 0 {
            if all.lines().last().is_some_and(|line| line.contains(text)) {
                return;
            }
        }
        panic!("expected '{text}', found {all}");
    }

    fn interrupt(&self) {
        assert!(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap().success());
    }

    /// What else it says, and how it ends.
    fn end(mut self) -> (String, ExitStatus) {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.told, &mut rest).unwrap();
        (rest, self.child.wait().unwrap())
    }
}

fn summary(out: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(out.join("summary.json")).unwrap()).unwrap()
}

/// The files of a run that was interrupted, which commands that read runs take.
fn check_run(out: &Path, seconds: f64) {
    let interrupted_s = summary(out)["interrupted_s"].as_f64().expect("it says so");
    assert!(interrupted_s > 1.0 && interrupted_s < seconds, "{interrupted_s}");
    assert!(std::fs::read_to_string(out.join("interrupted.txt")).unwrap().contains("the results until then"));
    assert!(std::fs::read_to_string(out.join("rows.csv")).unwrap().contains("interrupted after "));
    assert!(std::fs::read_to_string(out.join("timeline.csv")).unwrap().lines().count() > 4);
    assert!(!out.join(".thalweg-unfinished").exists(), "nobody else is to take it for half made");
    for command in ["explain", "report", "plot"] {
        let output = Command::new(env!("CARGO_BIN_EXE_thalweg")).arg(command).arg(out).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let told = text.contains(&format!("The run was interrupted after {interrupted_s:.1} s; nothing was recorded after that."));
        assert_eq!(told, command == "explain", "{text}");
    }
}

const PLAN: &str = "1s: count=2; 2s: count=3";

#[test]
fn a_run_keeps_what_it_measured() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let args = ["run", "--policy", "scripted", "--plan", PLAN, "--time-factor", "60", "--rate", "60k/min", "--duration", "3600"];
    let mut running = Running::start(&args, &out);
    running.says("now running");
    running.interrupt();
    let (rest, status) = running.end();
    assert_eq!(status.code(), Some(130), "{rest}");
    assert!(rest.contains("the results so far are in "), "{rest}");
    check_run(&out, 3600.0);
}

#[test]
fn a_simulation_keeps_what_it_measured() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("simulation");
    let args = ["simulate", "heron-wordcount", "--policy", "scripted", "--plan", PLAN, "--seconds", "80000"];
    let mut running = Running::start(&args, &out);
    running.says("now running");
    running.interrupt();
    let (rest, status) = running.end();
    assert_eq!(status.code(), Some(130), "{rest}");
    check_run(&out, 80_000.0);
}

#[test]
fn a_figure_keeps_the_rows_of_the_runs_before() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("figure");
    let args = ["reproduce", "ds2-fig6", "--host", "sim", "--policies", "ds2", "--repeat", "1000"];
    let mut running = Running::start(&args, &out);
    for _ in 0..3 {
        running.says("now running");
    }
    running.interrupt();
    let (rest, status) = running.end();
    assert_eq!(status.code(), Some(130), "{rest}");
    assert!(out.join("interrupted.txt").is_file());
    let mut rows = csv::Reader::from_path(out.join("rows.csv")).unwrap();
    let error = rows.headers().unwrap().iter().position(|column| column == "error").unwrap();
    let errors: Vec<String> = rows.records().map(|row| row.unwrap()[error].to_owned()).collect();
    assert!(errors.len() > 2 && errors[..2].iter().all(String::is_empty), "{errors:?}");
}

#[test]
fn the_second_time_it_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    // Its policy never answers, so the first time nobody sees it.
    let args = [
        "run",
        "--policy",
        "external",
        "--external-command",
        "sh -c 'read line; echo asked >&2; cat >/dev/null'",
        "--external-timeout",
        "3600",
    ];
    let args = [&args[..], &["--rate", "60k/min", "--duration", "3600", "--time-factor", "60"]].concat();
    let out = folder.path().join("run");
    let mut running = Running::start(&args, &out);
    running.says("asked");
    running.interrupt();
    running.says("press Ctrl-C again to stop immediately");
    running.interrupt();
    let (rest, status) = running.end();
    assert_eq!(status.code(), Some(130), "{rest}");
    assert!(!out.join("summary.json").exists(), "nothing was written any more");
}
