//! The command as a user calls it: what is wrong gets one line that says so and exit code 2, and nothing is left behind.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use thalweg::engine::nexmark::Query;
use thalweg::experiment::definition::Definition;
use thalweg::experiment::frame;
use thalweg::experiment::policies::POLICIES;

fn thalweg(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_thalweg")).args(args).current_dir(folder).env_remove("RUST_BACKTRACE").output().unwrap()
}

/// The one line that a refused command prints.
fn refused(args: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("empty.txt"), "").unwrap();
    std::fs::write(folder.path().join("latin1.txt"), b"caf\xe9 au lait").unwrap();
    std::fs::write(folder.path().join("signs.txt"), "... !?").unwrap();
    let output = thalweg(folder.path(), args);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{args:?}: {output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{args:?}: one line, found {text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "{args:?} left something behind");
    text.trim_end().to_owned()
}

#[test]
fn what_is_wrong_is_named_in_one_line() {
    let figures = Definition::names().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    for (args, expected) in [
        (&["run", "--text", "none.txt"][..], "--text none.txt: expected a readable file: No such file or directory"),
        (&["run", "--text", "."], "--text .: expected a readable file: Is a directory"),
        (&["run", "--text", "empty.txt"], "--text empty.txt: expected text with at least one word, found none"),
        (&["run", "--text", "signs.txt"], "--text signs.txt: expected text with at least one word, found none"),
        (&["run", "--text", "latin1.txt"], "--text latin1.txt: expected UTF-8, found the byte 0xe9 at position 3"),
        (
            &["run", "--policy", "magic"],
            "--policy: expected one of 'hold', 'oracle', 'threshold', 'dhalion', 'heron', 'ds2', 'flink-autoscaler', 'aws', 'critical-path', found 'magic', also 'scripted' \
             and 'external'",
        ),
        (&["run", "--policy", "oracle", "--limits", "none"], "--policy: 'oracle' requires a job whose required parallelism is known"),
        (
            &["run", "--policy", "threshold", "--set", "target=1"],
            "--set: target=1: expected a parameter, one of scale_down_stabilisation_s",
        ),
        (
            &["reproduce", "nexmark-overhead", "--cases", "q1,q9"],
            "expected cases of nexmark-overhead, among q0, q1, q2, q3, q4, q5, q6, q7, q8, q11, found 'q9'",
        ),
        (
            &["reproduce", "megaphone-fig1", "--cases", "q1"],
            "expected cases of megaphone-fig1, among one process, two processes, found 'q1'",
        ),
        (&["run", "--set", "x"], "--set: expected 'name=value', found 'x'"),
        (&["run", "--policy", "external"], "--policy external: requires '--external-command COMMAND', found none"),
        (&["run", "--schedule", "6 count=2"], "--schedule: expected entries such as '06:00 count=20', separated by ';', each with"),
        (&["run", "--schedule", "06:00 count=2", "--day-begins", "6"], "--day-begins: expected a time of day such as 06:30, found '6'"),
        (&["run", "--for", "latency", "--policy", "ds2"], "--for: requires '--policy critical-path', found 'ds2'"),
        (&["run", "--external-command", "true"], "--external-command: requires '--policy external', found 'critical-path'"),
        (
            &["run", "--policy", "external", "--external-command", "./none"],
            "--external-command: expected a program that starts, found './none'",
        ),
        (
            &["run", "--policy", "external", "--external-command", "'x"],
            "--external-command: expected a program and its arguments, found ''x'",
        ),
        (
            &["run", "--policy", "external", "--external-command", "true", "--external-timeout", "-1"],
            "--external-timeout: expected seconds, from 0.001 to 3600, found -1",
        ),
        (&["run", "--policy", "external", "--external-command", "true", "--set", "x=1"], "--set x=1: policy 'external' has no parameters"),
        (&["run", "--rate", "fast"], "--rate: expected a rate such as"),
        (&["run", "--rate", "-5"], "--rate: expected a rate such as"),
        (&["run", "--rate", "0"], "--rate: expected more than 0 and at most 100000000 sentences/s, found '0'"),
        (&["run", "--rate", "1e12/s"], "--rate: expected more than 0 and at most 100000000 sentences/s"),
        (&["run", "--duration", "0"], "--duration: expected seconds, more than 0 and at most 86400 (a day), found 0"),
        (&["run", "--duration", "NaN"], "--duration: expected seconds"),
        (&["run", "--duration", "soon"], "invalid value 'soon' for '--duration <DURATION>'"),
        (&["run", "--bins", "12"], "--bins: expected a power of two, at most 65536, found 12"),
        (&["run", "--workers", "0"], "--workers: expected 1 to 64 worker threads, found 0"),
        (
            &["run", "--strategy", "slow"],
            "--strategy: expected a migration strategy, one of 'all-at-once', 'fluid', 'batched:N', 'optimized', 'hot-first' and 'adaptive', found 'slow'",
        ),
        (&["run", "--strategy", "batched:0"], "--strategy: expected 'batched:N' with N bins per step, at least 1, found 'batched:0'"),
        (
            &["run", "--strategy", "adaptive", "--goal", "-5ms"],
            "--goal: expected a latency such as 50ms or 1.5s, more than 0 and at most an hour, found '-5ms'",
        ),
        (&["run", "--policy", "scripted"], "--policy scripted: requires '--plan SCRIPT', found none"),
        (&["run", "--plan", "1s: count=2"], "--plan: requires '--policy scripted', found 'critical-path'"),
        (&["run", "--policy", "scripted", "--plan", "1s: sum=2"], "--plan: expected an operator, one of 'flatmap', 'count', found 'sum'"),
        (&["run", "--goal", "50ms"], "--goal: requires '--strategy adaptive', found 'all-at-once'"),
        (&["run", "--start", "count"], "--start: expected instances such as 'flatmap=10,count=20', found 'count'"),
        (&["run", "--start", "count=0"], "--start: expected 1 to 128 instances of 'count', found 0"),
        (&["run", "--start", "sum=1"], "--start: expected an operator, 'flatmap' or 'count', found 'sum'"),
        (&["run", "--straggler", "count=3"], "--straggler: expected one such as 'count:3=0.33' or 'count:3=0.33@10..30', found 'count=3'"),
        (&["run", "--straggler", "count:3=0"], "operator 'count': expected speed from 0.000001 to 1, found 0"),
        (&["run", "--straggler", "count:3=0.5", "--limits", "none"], "straggler of count: expected instances with a limit"),
        (&["run", "--hot-bins", "1"], "--hot-bins: expected bins and their share such as '205:0.5' or '205:0.5:20', found '1'"),
        (&["run", "--hot-bins", "205:2:20"], "operator 'count': expected share from 0 to 1, found 2"),
        (&["run", "--limits", "some"], "--limits: expected 'heron' or 'none', found 'some'"),
        (&["run", "--time-factor", "0"], "--time-factor: expected a factor from 1 to 600, found 0"),
        (&["run", "--catch-up", "0.5"], "--catch-up: expected a factor from 1 to 100, found 0.5"),
        (&["run", "--words", "0"], "--words: expected sentences of at least one word, found 0"),
        (&["run", "--out", "signs.txt"], "--out signs.txt: expected a new or empty folder, found a file"),
        (&["reproduce", "fig0"], &format!("expected a figure, one of {figures}, found 'fig0'")),
        (
            &["reproduce", "snailtrail-fig10", "--policies", "ds2"],
            "expected policies or other variants of snailtrail-fig10, among instance, found 'ds2'",
        ),
        (&["reproduce", "ds2-fig6", "--policies", "x"], "expected policies or other variants of ds2-fig6"),
        (&["reproduce", "loop", "--only", "case"], "--only: expected case=NAME, variant=NAME, host=NAME or seed=N, found 'case'"),
        (&["reproduce", "ds2-fig6", "--scale", "huge"], "expected a scale, 'quick' or 'full', found 'huge'"),
        (&["reproduce"], "the following required arguments were not provided"),
        (&["plot", "nowhere"], "nowhere: expected a run folder"),
        (&["plot", "."], ".: expected a run folder with a run.toml, or folders with one, found none"),
        (&["report", "nowhere"], "nowhere/rows.csv: cannot be read"),
        (&["explain", "nowhere"], "nowhere: expected a run folder: No such file or directory"),
        (&["explain", "."], ".: expected the folder of one run, with a run.toml, found none"),
        (&["explain", ".", "--decision", "x"], "invalid value 'x' for '--decision <N>'"),
        (&["fly"], "unrecognized subcommand 'fly'"),
    ] {
        let line = refused(args);
        assert!(line.starts_with("thalweg: ") && line.contains(expected), "{args:?}\nexpected {expected}\nfound    {line}");
    }
}

#[test]
fn a_run_leaves_a_folder_that_can_be_drawn_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("text.txt"), "Ο ποταμός ρέει. The river flows; der Fluß fließt! 川は流れる。").unwrap();
    let args =
        ["run", "--text", "text.txt", "--policy", "hold", "--rate", "500", "--duration", "1.5", "--out", "out", "--record", "--json"];
    let output = thalweg(folder.path(), &args);
    assert!(output.status.success(), "{output:?}");
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (field, expected) in [("records_lost", 0), ("records_duplicated", 0), ("words_miscounted", 0), ("actions", 0)] {
        assert_eq!(printed["summary"][field], expected, "{field}");
    }
    assert!(printed["summary"]["records"].as_u64().unwrap() > 0);
    let out = folder.path().join("out");
    let mut files: Vec<_> = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let expected =
        "activity.log decisions.jsonl instances.csv latency.csv rows.csv run.png run.svg run.toml summary.json timeline.csv workers.csv";
    assert_eq!(files.join(" "), expected);

    let log = std::fs::File::open(out.join("activity.log")).unwrap();
    let records: usize = thalweg::activity::LogReader::new(std::io::BufReader::new(log)).unwrap().map(|block| block.unwrap().len()).sum();
    assert!(records > 0);

    let reported = String::from_utf8(thalweg(folder.path(), &["report", "out"]).stdout).unwrap();
    assert!(reported.contains("| hold "), "{reported}");

    let before = std::fs::read(out.join("run.svg")).unwrap();
    std::fs::remove_file(out.join("run.svg")).unwrap();
    let drawn = thalweg(folder.path(), &["plot", "out"]);
    assert!(drawn.status.success(), "{drawn:?}");
    assert_eq!(std::fs::read(out.join("run.svg")).unwrap(), before, "the same rows give the same figure");

    std::fs::write(out.join("timeline.csv"), "window_start_s,window_end_s\n1,x\n").unwrap();
    let damaged = thalweg(folder.path(), &["plot", "out"]);
    assert_eq!(damaged.status.code(), Some(2));
    let error = String::from_utf8(damaged.stderr).unwrap();
    assert!(error.contains("timeline.csv, line 2: expected"), "{error}");
}

#[test]
fn help_names_every_policy_every_query_and_every_file_of_rows() {
    let empty = tempfile::tempdir().unwrap();
    let help = |command: &str| {
        let output = thalweg(empty.path(), &["help", command]);
        assert!(output.status.success(), "{output:?}");
        // Lines are broken to fit.
        String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for command in ["run", "simulate"] {
        let help = help(command);
        assert!(help.contains(&format!("The policy: {}; scripted: the plans given by --plan", POLICIES.join(", "))), "{help}");
    }
    let run = help("run");
    // What a command does is told at length, not only in the line of the list of commands.
    assert!(run.contains("FlatMap splits them into words"), "{run}");
    for query in Query::ALL {
        assert!(run.contains(&format!("{query}: {}", query.summary())), "{query}: {run}");
    }
    let decide = help("decide");
    // Not those that cannot decide from rates alone.
    let expected: Vec<&str> = POLICIES.into_iter().filter(|name| !["ds2", "oracle", "dhalion", "heron"].contains(name)).collect();
    assert!(decide.contains(&format!("The policy: ds2, or one of {}", expected.join(", "))), "{decide}");
    let report = help("report");
    for file in frame::files() {
        assert!(report.contains(file), "{file}: {report}");
    }
}

#[test]
fn figures_are_listed_and_shells_completed() {
    let folder = tempfile::tempdir().unwrap();
    let text = |args: &[&str]| String::from_utf8(thalweg(folder.path(), args).stdout).unwrap();
    assert!(text(&["reproduce", "--list"]).contains("\nds2-fig6"));
    assert!(text(&["completions", "bash"]).contains("_thalweg"));
    let help = text(&["run", "--help"]);
    assert!(help.contains("Examples:") && help.contains("--policy"), "{help}");
    assert!(text(&["--version"]).starts_with("thalweg 0.1.0 ("));
}

#[test]
fn a_run_is_explained_from_its_folder_and_what_is_wrong_with_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |args: &[&str]| thalweg(folder.path(), args);
    let simulated = at(&["simulate", "heron-wordcount", "--policy", "ds2", "--seconds", "10", "--out", "out"]);
    assert!(simulated.status.success(), "{simulated:?}");

    let told = at(&["explain", "out"]);
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(
        text.starts_with("heron-wordcount under ds2 (host sim, seed 0), 10 s: one plan.\n\n1. At 2.0 s: flatmap 1 → 10, count 1 → 20\n"),
        "{text}"
    );
    for heading in ["   Observed ", "   Why ", "   Action ", "   Outcome ", "no action taken.\n"] {
        assert!(text.contains(heading), "{heading}: {text}");
    }
    let one: Value = serde_json::from_slice(&at(&["explain", "out", "--decision", "1", "--json"]).stdout).unwrap();
    assert_eq!(one["chapters"].as_array().unwrap().len(), 1);
    assert_eq!((&one["chapters"][0]["decision"], &one["chapters"][0]["rescaled"][1]["after"]), (&Value::from(1), &Value::from(20)));
    assert!(text.contains(one["chapters"][0]["text"].as_str().unwrap()));

    let refused = |args: &[&str], expected: &str| {
        let output = at(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && output.stdout.is_empty() && error.contains(expected), "{args:?}: {error}");
    };
    refused(&["explain", "out", "--decision", "2"], "--decision: expected 1 to 1, found 2");
    refused(&["explain", "out", "--decision", "0"], "--decision: expected 1 to 1, found 0");
    refused(&["explain", "."], "expected the folder of one run, with a run.toml, found folders with one: out");
    let decisions = folder.path().join("out/decisions.jsonl");
    let log = std::fs::read_to_string(&decisions).unwrap();
    std::fs::write(&decisions, &log[..log.len() - 5]).unwrap();
    refused(&["explain", "out"], &format!("out/decisions.jsonl, line {}: expected one JSON Event", log.lines().count()));
    std::fs::remove_file(&decisions).unwrap();
    refused(&["explain", "out"], "out/decisions.jsonl: cannot be read: No such file");
    std::fs::write(folder.path().join("out/run.toml"), "policy = 3\n").unwrap();
    refused(&["explain", "out"], "out/run.toml, line 1: expected");
}
