//! A policy that is an external program: the example rescales a job, and whatever a program does wrong is
//! reported and costs the job nothing but its scaling.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use thalweg::dataflow::{Configuration, Plan, Role, Topology};
use thalweg::experiment::external::{External, ProgramError};
use thalweg::id::{InstanceId, OperatorId};
use thalweg::metrics::{InstanceMetrics, OperatorMetrics};
use thalweg::observation::{LatencySummary, Observation};
use thalweg::policy::{Decision, Policy, Reason};
use thalweg::time::{Timestamp, Window};

fn topology() -> Topology {
    Topology::new(&[("source", Role::Source, 1), ("map", Role::Stateless, 8)], &[(0, 1)]).unwrap()
}

fn observation() -> Observation {
    let window = Window { start: Timestamp(0), end: Timestamp(1_000_000_000) };
    let metrics = |id| OperatorMetrics {
        operator: OperatorId(id),
        instances: vec![InstanceMetrics::idle(InstanceId::new(OperatorId(id), 0), window.length())],
        bins: Vec::new(),
    };
    let configuration = Configuration::ones(&topology());
    let (operators, latency) = (vec![metrics(0), metrics(1)], LatencySummary::default());
    Observation { window, configuration, sources: Vec::new(), operators, latency, doubts: Vec::new(), workers: Vec::new(), paths: None }
}

fn start(script: &str, timeout: Duration) -> External {
    External::start(&format!("sh -c '{script}'"), topology(), timeout).unwrap()
}

fn decide(policy: &mut External) -> Decision {
    policy.decide(Timestamp(1_000_000_000), &observation())
}

fn held(policy: &mut External) -> Reason {
    match decide(policy) {
        Decision::Hold(reason) => reason,
        Decision::Rescale(plan, _) => panic!("{plan:?}"),
    }
}

/// More than any machine needs to answer.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn each_line_is_answered_by_one() {
    let mut policy = start(r#"while read line; do echo "{\"rescale\":{\"map\":3},\"reason\":\"three\"}"; done"#, LONG);
    for _ in 0..3 {
        let Decision::Rescale(plan, reason) = decide(&mut policy) else { panic!("it asks for three") };
        assert_eq!((plan, reason.to_string()), (Plan::rescale(OperatorId(1), 3), "external (three)".to_owned()));
    }
}

#[test]
fn a_refusal_is_told_with_the_next_observation() {
    let script = r#"while read line; do case "$line" in *refused*) echo "{\"reason\":\"told\"}";; *) echo "{\"rescale\":{\"map\":99}}";; esac; done"#;
    let mut policy = start(script, LONG);
    let Decision::Rescale(plan, _) = decide(&mut policy) else { panic!("it asks for 99") };
    policy.refused(&plan.apply(&topology(), &Configuration::ones(&topology())).unwrap_err().to_string());
    assert_eq!(held(&mut policy).detail, "told");
    assert!(matches!(decide(&mut policy), Decision::Rescale(..)), "told once");
}

/// Every way to fail, with what is told of it; after that the program is gone.
#[test]
fn a_program_that_fails_is_given_up_and_named() {
    for (script, timeout, rule, expected) in [
        (
            "exec sleep 1000",
            Duration::from_millis(50),
            "external-timed-out",
            "expected an answer within 0.1 s, found none; the job goes on unscaled",
        ),
        ("read line; exec sleep 1000", Duration::from_millis(200), "external-timed-out", "found none"),
        ("exit 3", LONG, "external-ended", "expected an answer, found that the program had ended (exit status: 3)"),
        ("read line; exit 0", LONG, "external-ended", "had ended (exit status: 0)"),
        ("read line; printf half", LONG, "external-ended", "had ended (exit status: 0)"),
        ("read line; kill -9 $$", LONG, "external-ended", "had ended (signal: 9"),
        (
            "read line; echo hello",
            LONG,
            "external-nonsense",
            "expected a decision such as {\"rescale\": {\"map\": 2}} or {}, found \"hello\"",
        ),
        ("read line; echo", LONG, "external-nonsense", "found \"\""),
        (r#"read line; echo "{\"rescale\":{\"maps\":2}}""#, LONG, "external-nonsense", "one of 'map', found 'maps'"),
        (
            "read line; exec cat /dev/zero",
            LONG,
            "external-nonsense",
            "expected an answer of at most 1048576 bytes that ends with a line feed",
        ),
    ] {
        let mut policy = start(script, timeout);
        let reason = held(&mut policy);
        assert_eq!(reason.rule, rule, "{script}: {reason}");
        assert!(reason.detail.contains(expected), "{script}: {reason}");
        let reason = held(&mut policy);
        assert_eq!((reason.rule.as_str(), reason.detail.as_str()), ("external-gone", ""));
    }
}

#[test]
fn what_is_no_program_is_refused_at_once() {
    let start = |command: &str| External::start(command, topology(), LONG).map(|_| ()).unwrap_err();
    assert!(matches!(start(""), ProgramError::Command(_)));
    assert!(matches!(start("'half"), ProgramError::Command(_)));
    assert!(start("./no/such/program --x").to_string().starts_with("expected a program that starts, found './no/such/program': "));
}

#[test]
fn a_program_ends_with_its_policy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ended");
    let mut policy = start(&format!(r#"while read line; do echo "{{}}"; done; touch "{}""#, file.display()), LONG);
    held(&mut policy);
    drop(policy);
    assert!(file.exists(), "it saw the end of its input and had the time to end by itself");
}

fn run(command: &str, seconds: &str, more: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().unwrap();
    let out = out.path().join("run");
    let args =
        ["run", "--policy", "external", "--external-command", command, "--duration", seconds, "--time-factor", "60", "--rate", "200k/min"];
    let mut program = Command::new(env!("CARGO_BIN_EXE_thalweg"));
    program.current_dir(root).args(args).args(more).args(["--json", "--out"]).arg(&out).output().expect("the binary of this package")
}

#[test]
fn the_example_rescales_a_running_job() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: python3 is not there");
        return;
    }
    let output = run("python3 examples/external_policy.py", "6", &[]);
    assert!(output.status.success(), "{output:?}");
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let summary = &printed["summary"];
    assert_eq!((summary["policy"].as_str(), &summary["records_lost"]), (Some("external"), &Value::from(0)), "{summary}");
    assert!(summary["actions"].as_u64().unwrap() >= 1, "{summary} {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_run_whose_program_fails_goes_on_and_says_so() {
    let output = run("sh -c 'read line; echo nonsense'", "3", &[]);
    assert!(output.status.success(), "{output:?}");
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["summary"]["actions"], 0);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("disables its policy (external-nonsense): expected a decision such as"), "{told}");
}

/// The reasons of a simulated run that the example decided, with more arguments.
fn reasons(more: &[&str]) -> Vec<(String, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let args = ["simulate", "heron-wordcount", "--policy", "external", "--external-command", "python3 examples/external_policy.py"];
    let mut program = Command::new(env!("CARGO_BIN_EXE_thalweg"));
    let output = program.current_dir(root).args(args).args(more).arg("--out").arg(&out).output().expect("the binary of this package");
    assert!(output.status.success(), "{output:?}");
    let log = std::fs::read_to_string(out.join("decisions.jsonl")).unwrap();
    let events = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let reason = |event: Value| {
        let (_, kind) = event["event"].as_object()?.iter().next()?;
        let reason = kind.get("reason")?;
        Some((reason["detail"].as_str()?.to_owned(), reason["values"].clone()))
    };
    events.filter_map(reason).collect()
}

#[test]
fn who_asks_for_paths_sees_them_and_who_does_not_decides_as_ever() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: python3 is not there");
        return;
    }
    let (with, without) = (reasons(&["--external-needs", "paths"]), reasons(&[]));
    assert!(without.iter().all(|(detail, _)| !detail.contains("slowest epochs")), "{without:?}");
    assert!(!with.is_empty() && with.iter().all(|(detail, _)| detail.contains("slowest epochs: ")), "{with:?}");
    // An overloaded job: sources wait for whom the path names, and an operator before it has no slack.
    let (detail, values) = &with[0];
    assert!(detail.contains("backpressure at ") || detail.contains("queueing at "), "{with:?}");
    assert!(values["latency_ms"].as_f64().unwrap() > 0.0 && values["slack_ms_count"].is_number(), "{values}");
}

#[test]
fn needs_are_those_of_an_external_policy() {
    let args = ["simulate", "heron-wordcount", "--policy", "ds2", "--external-needs", "paths"];
    let output = Command::new(env!("CARGO_BIN_EXE_thalweg")).args(args).output().expect("the binary of this package");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("--external-needs: requires '--policy external', found 'ds2'"), "{told}");
}
