//! The commands that show a run: what they refuse, and what they serve and write.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use serde_json::Value;

use super::Ended;

fn thalweg(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
    command.args(args).current_dir(folder).env_remove("RUST_BACKTRACE");
    command
}

#[test]
fn what_is_wrong_is_named_in_one_line_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (args, expected) in [
        (
            &["simulate", "heron-wordcount", "--live", "here"][..],
            "--live: expected a port or an address with a port, such as 8425, 127.0.0.1:8425 or [::1]:8425, found 'here'",
        ),
        (&["simulate", "heron-wordcount", "--live", "192.0.2.1:80"], "--live: 192.0.2.1:80 cannot be served: "),
        (&["simulate", "heron-wordcount", "--live", &taken], "cannot be served: "),
        (&["simulate", "--live", "heron-wordcount"], "required arguments were not provided"),
        (&["simulate", "heron-wordcount", "--pace", "fast"], "such as 10x, found 'fast'"),
        (&["simulate", "heron-wordcount", "--pace", "-1x"], "such as 10x, found '-1x'"),
        (&["simulate", "heron-wordcount", "--report", "none/run.html"], "none: expected a folder that exists for the report, found none"),
        (&["simulate", "heron-wordcount", "--report", "empty"], "empty: expected the name of a file for the report, found a folder"),
        (&["run", "--report", ".."], "..: expected the name of a file for the report, found a folder"),
        (&["run", "--duration", "1", "--live", "99999"], "--live: expected a port"),
        (&["view", "none"], "none: expected a run folder"),
        (&["view", "empty"], "empty: expected the folder of one run, with a run.toml, found none"),
        (&["view", "empty", "--address", "x"], "empty: expected the folder of one run"),
        (&["report", "--html", "empty"], "empty: expected the folder of one run, with a run.toml, found none"),
        (&["report", "empty", "--out", "x.html"], "--html"),
        (&["report", "--html", "--json", "empty"], "cannot be used with"),
    ] {
        let output = thalweg(folder.path(), args).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len(), text.lines().count()), (Some(2), 0, 1), "{args:?}: {text}");
        assert!(text.contains(expected), "{args:?}: expected {expected}, found {text}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{args:?} left something behind");
    }
}

/// The address in the first line with one.
fn address(lines: impl Read) -> (String, impl BufRead) {
    let mut lines = BufReader::new(lines);
    loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).unwrap() > 0, "expected a line with an address, found none");
        if let Some((_, rest)) = line.split_once("http://") {
            return (rest.trim_end().trim_end_matches('/').to_owned(), lines);
        }
    }
}

fn get(at: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn a_run_is_served_while_it_goes_on_and_afterwards_and_written_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "simulate",
        "heron-wordcount",
        "--policy",
        "ds2",
        "--seconds",
        "20",
        "--pace",
        "4x",
        "--live",
        "0",
        "--report",
        "live.html",
        "--out",
        "out",
    ];
    let mut child = Ended(thalweg(folder.path(), &args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let (at, mut rest) = address(child.0.stderr.take().unwrap());
    let story: Value = serde_json::from_str(&get(&at, "/api/story")).unwrap();
    assert_eq!((&story["about"]["state"], &story["about"]["policy"]), (&Value::from("running"), &Value::from("ds2")));
    assert!(get(&at, "/metrics").contains("thalweg_run_running 1\n"));
    // The stream ends with the run.
    let news = get(&at, "/api/news");
    assert!(news.contains("\"state\":\"finished\""), "{}", news.len());
    let mut told = String::new();
    rest.read_to_string(&mut told).unwrap();
    assert!(child.0.wait().unwrap().success(), "{told}");

    let written = std::fs::read_to_string(folder.path().join("live.html")).unwrap();
    assert!(written.starts_with("<!DOCTYPE html>") && written.contains("\"state\":\"finished\""));
    let again = thalweg(folder.path(), &["report", "--html", "out"]).output().unwrap();
    assert!(again.status.success(), "{again:?}");
    assert_eq!(String::from_utf8(again.stdout).unwrap(), "out/run.html\n");
    assert_eq!(std::fs::read_to_string(folder.path().join("out/run.html")).unwrap(), written, "the same folder gives the same file");

    let mut view =
        Ended(thalweg(folder.path(), &["view", "out", "--address", "0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let (at, _rest) = address(view.0.stdout.take().unwrap());
    let story: Value = serde_json::from_str(&get(&at, "/api/story")).unwrap();
    assert_eq!(story["about"]["state"], "finished");
    assert_eq!(story["decisions"].as_array().unwrap().len(), 1);
}

/// A real job on the engine, with somebody who watches it.
#[test]
fn a_job_on_the_engine_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["run", "--policy", "ds2", "--rate", "2000/s", "--duration", "5", "--live", "0", "--out", "out", "--json"];
    let mut child = Ended(thalweg(folder.path(), &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let (at, mut rest) = address(child.0.stderr.take().unwrap());
    let news = get(&at, "/api/news");
    assert!(news.contains("\"state\":\"finished\"") && news.contains("\"window\":["), "{}", news.len());
    let mut printed = String::new();
    child.0.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    let _ = rest.read_to_string(&mut String::new());
    assert!(child.0.wait().unwrap().success());
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["summary"]["records_lost"], 0);
    assert_eq!(printed["summary"]["words_miscounted"], 0);
}

/// Ten thousand clients that ask for what is new and read nothing: 64 are served, the others turned away; the run decides and measures
/// the same, needs little more memory, and no more descriptors than those of the 64.
#[test]
#[cfg(target_os = "linux")]
fn ten_thousand_stalled_clients_change_nothing_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let simulate = |out: &str, more: &[&str]| {
        let args = ["simulate", "heron-wordcount", "--policy", "critical-path", "--seconds", "60", "--out", out];
        let mut command = thalweg(folder.path(), &args);
        command.args(more).stdout(Stdio::null()).stderr(Stdio::piped());
        Ended(command.spawn().unwrap())
    };
    let largest_kb = |child: &Ended| -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.0.id())).unwrap();
        // There is none of a process that has ended.
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
        line.trim_end_matches("kB").trim().parse().unwrap()
    };
    assert!(simulate("alone", &[]).0.wait().unwrap().success());

    let mut child = simulate("watched", &["--pace", "4x", "--live", "0"]);
    let (at, mut rest) = address(child.0.stderr.take().unwrap());
    let before_kb = largest_kb(&child);
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", child.0.id())).map_or(0, Iterator::count);
    let before = descriptors();
    let mut stalled = Vec::new();
    for number in 0..10_000 {
        let mut stream = TcpStream::connect(&at).unwrap();
        let _ = stream.write_all(format!("GET /api/news HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes());
        if number < 64 {
            stalled.push(stream);
        } else {
            // A connection that is turned away may be reset.
            assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)), "connection {number} is one too many");
        }
        if number % 500 == 499 {
            // The run has files of its own open now and then, and some connections are about to be closed. At first the 64 are
            // served; later they may have been dropped.
            let found = descriptors();
            assert!(found <= before + 64 + 16, "{before} descriptors before, and then {found}");
            assert!(number > 500 || found >= before + 56, "{before} descriptors before, and then {found}");
        }
    }
    let (ended, is_over) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let _ = rest.read_to_string(&mut String::new());
        drop(ended);
    });
    // As long as it goes on, its size is looked at.
    let mut after_kb = before_kb;
    while is_over.recv_timeout(Duration::from_millis(50)) == Err(RecvTimeoutError::Timeout) {
        after_kb = after_kb.max(largest_kb(&child));
    }
    drop(stalled);
    assert!(child.0.wait().unwrap().success());
    assert!(after_kb < before_kb + 64 * 1024, "at most 64 MB for clients and the run, found {before_kb} kB and then {after_kb} kB");
    let of = |out: &str, file: &str| std::fs::read_to_string(folder.path().join(out).join(file)).unwrap();
    for file in ["decisions.jsonl", "timeline.csv", "latency.csv"] {
        assert!(of("alone", file) == of("watched", file), "{file} is the same");
    }
}
