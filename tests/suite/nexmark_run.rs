//! `thalweg run --query`, as a user calls it: every query under a plan that rescales it, the plain form beside it, and what is refused.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use thalweg::engine::nexmark::Query;

fn run(folder: &Path, args: &[&str]) -> Output {
    let thalweg = env!("CARGO_BIN_EXE_thalweg");
    Command::new(thalweg).arg("run").args(args).current_dir(folder).env_remove("RUST_BACKTRACE").output().unwrap()
}

fn summary(args: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let out = folder.path().join(printed["run"].as_str().unwrap());
    let manifest = std::fs::read_to_string(out.join("run.toml")).unwrap();
    assert!(manifest.contains("[scenario.nexmark]") && !manifest.contains("[job]"), "{manifest}");
    printed
}

/// What reached the sink is what plain timely gives, and all that was due was emitted.
fn check(query: Query, printed: &Value, least: u64) {
    let summary = &printed["summary"];
    for wrong in ["records_lost", "records_duplicated", "words_miscounted", "dropped_records"] {
        assert_eq!(summary[wrong], 0, "{query}: {printed}");
    }
    assert!(summary["records"].as_u64().unwrap() >= least, "{query}: {printed}");
    assert!(summary["latency_ns_p50"].as_u64().unwrap() > 0, "{query}: {printed}");
    assert!(printed["emitted_per_s"].as_f64().unwrap() > 0.0, "{query}: {printed}");
    assert_eq!(printed["query"], query.to_string());
}

#[test]
fn every_query_gives_what_plain_timely_gives_while_it_is_rescaled() {
    for query in Query::ALL {
        let name = query.to_string();
        let operators: Vec<&str> = query.operators(64).into_iter().map(|(name, _)| name).collect();
        let to = |instances: u32| operators.iter().map(|name| format!("{name}={instances}")).collect::<Vec<_>>().join(", ");
        let plan = format!("0.4s: {}; 1s: {}", to(2), to(1));
        let args = ["--query", &name, "--rate", "5k", "--duration", "2", "--dilation", "100", "--bins", "64", "--json"];
        let policy = ["--policy", "scripted", "--plan", &plan, "--time-factor", "600", "--strategy", "batched:8"];
        let printed = summary(&[&args[..], &policy[..]].concat());
        check(query, &printed, 4);
        assert_eq!(printed["summary"]["actions"], 2, "{query}: {printed}");
    }
}

#[test]
fn plain_timely_runs_the_same_queries() {
    for query in [Query::Q2, Query::Q4, Query::Q11] {
        let args = ["--query", &query.to_string(), "--rate", "5k", "--duration", "1", "--dilation", "100", "--plain", "--json"];
        let printed = summary(&args);
        check(query, &printed, 1);
        assert_eq!((&printed["form"], &printed["summary"]["policy"]), (&Value::from("plain"), &Value::from("plain")));
    }
}

#[test]
fn a_limited_operator_is_given_the_instances_it_needs() {
    // Bids are 46 of 50 events: 1840 a second. Not query 11: three of four bids are one person's, and no instance is enough for that.
    let args = ["--query", "q1", "--rate", "2k", "--limits", "convert=700", "--policy", "ds2", "--duration", "4", "--json"];
    let printed = summary(&[&args[..], &["--time-factor", "120"]].concat());
    check(Query::Q1, &printed, 1000);
    assert_eq!(printed["summary"]["final"]["convert"], 3, "{printed}");
}

#[test]
fn what_is_wrong_with_a_query_is_named_in_one_line() {
    for (args, expected) in [
        (&["--query", "q9"][..], "expected a query, one of q0, q1, q2, q3, q4, q5, q6, q7, q8, q11, found 'q9'"),
        (&["--query", "q5", "--text", "x.txt"], "cannot be used with"),
        (&["--query", "q5", "--words", "5"], "cannot be used with"),
        (&["--query", "q5", "--hot-bins", "5:0.5"], "cannot be used with"),
        (&["--plain"], "--query <QUERY>"),
        (&["--dilation", "5"], "--query <QUERY>"),
        (&["--query", "q5", "--plain", "--policy", "ds2"], "cannot be used with"),
        (&["--query", "q5", "--plain", "--limits", "count=5"], "cannot be used with"),
        (&["--query", "q5", "--dilation", "0"], "dilation: expected a factor from 1 to 100000, found 0"),
        (&["--query", "q5", "--rate", "600M"], "--rate: expected more than 0 and at most 100000000 events/s"),
        (&["--query", "q5", "--limits", "heron"], "--limits: expected 'none' or limits such as 'count=20k/s', found 'heron'"),
        (&["--query", "q4", "--limits", "count=5k"], "for the operators 'winner' and 'average', found 'count'"),
        (&["--query", "q4", "--limits", "winner=x"], "--limits: expected 'none' or limits such as 'winner=20k/s', expected a rate such as"),
        (&["--query", "q4", "--limits", "winner=0"], "each more than 0 and given once, found 'winner=0'"),
        (&["--query", "q4", "--limits", "winner=1,winner=2"], "each more than 0 and given once, found 'winner=2'"),
        (&["--query", "q4", "--start", "count=2"], "--start: expected an operator, 'winner' or 'average', found 'count'"),
        (&["--query", "q4", "--start", "winner=3"], "--start: expected 1 to 2 instances of 'winner', found 3"),
        (&["--query", "q4", "--straggler", "winner:0=0.5"], "straggler of winner: expected instances with a limit"),
        (&["--query", "q4", "--policy", "oracle"], "--policy: 'oracle' requires a job whose required parallelism is known"),
        (
            &["--query", "q3", "--policy", "scripted", "--plan", "1s: count=2"],
            "expected an operator, one of 'filter', 'join', found 'count'",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = run(folder.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(expected), "{args:?}: {text}");
        assert_eq!((text.lines().count(), output.stdout.len()), (1, 0), "{args:?}: {text}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{args:?} left something behind");
    }
}
