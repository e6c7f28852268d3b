//! `--tui`: what is drawn on a terminal, and that the terminal is given back.

use std::path::Path;
use std::process::{Command, Stdio};

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// What a shell command writes to a terminal of its own; nothing where `script` is not installed.
fn on_a_terminal(folder: &Path, command: &str, no_color: &str) -> Option<String> {
    if Command::new("script").arg("--version").output().is_err() {
        eprintln!("skipped: 'script' is not installed");
        return None;
    }
    let mut script = Command::new("script");
    script.args(["-qec", command, "/dev/null"]).current_dir(folder).stdin(Stdio::null());
    script.env("TERM", "xterm").env("NO_COLOR", no_color).env("SHELL", "/bin/sh");
    Some(String::from_utf8_lossy(&script.output().unwrap().stdout).into_owned())
}

fn thalweg(args: &str) -> String {
    format!("{} {args}", env!("CARGO_BIN_EXE_thalweg"))
}

#[test]
fn the_essentials_are_drawn_and_the_terminal_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let run = |out: &str| thalweg(&format!("simulate heron-wordcount --policy critical-path --seconds 20 --pace 8x --tui --out {out}"));
    let Some(shown) = on_a_terminal(folder.path(), &run("coloured"), "") else { return };
    let (_, drawn) = shown.split_once(ENTER).expect("a screen of its own");
    let (drawn, after) = drawn.split_once(LEAVE).expect("which is left");
    for part in
        ["critical-path: Heron", "throughput", "p99", "no goal", "last decision", "Too few instances", "flatmap", "of 20.0 s", "\x1b[31m"]
    {
        assert!(drawn.contains(part), "expected {part}, found {drawn}");
    }
    assert!(after.contains("folder  ") && !after.contains("\x1b["), "the results follow: {after}");
    let plain = on_a_terminal(folder.path(), &run("plain"), "1").unwrap();
    assert!(plain.contains(ENTER) && !plain.contains("\x1b[3") && !plain.contains("\x1b[1m"), "{plain}");
}

#[test]
fn signals_give_the_terminal_back() {
    let folder = tempfile::tempdir().unwrap();
    for (signal, part) in [("INT", "interrupted, saving the results so far"), ("TERM", "")] {
        let run = thalweg(&format!("simulate heron-wordcount --pace 1x --tui --out {signal}"));
        let Some(shown) = on_a_terminal(folder.path(), &format!("timeout --foreground -s {signal} 3 {run}"), "") else { return };
        let (drawn, after) = shown.rsplit_once(LEAVE).expect("the screen is left");
        assert!(drawn.contains(ENTER) && after.contains(part) && !after.contains("\x1b["), "{signal}: {after}");
    }
}

#[test]
fn without_a_terminal_there_are_the_usual_lines() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["simulate", "heron-wordcount", "--policy", "ds2", "--tui", "--out", "out"];
    let output = Command::new(env!("CARGO_BIN_EXE_thalweg")).args(args).current_dir(folder.path()).output().unwrap();
    let lines = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && lines.contains("count 1 -> 20") && !lines.contains('\x1b'), "{lines}");
}
