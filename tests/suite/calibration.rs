//! A run of known numbers, recorded and calibrated on: the numbers come back.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use thalweg::experiment::calibration::calibrate;
use thalweg::experiment::scenario::{Input, OperatorForm, Scenario};
use thalweg::sim::ServiceTimes;
use thalweg::time::Timestamp;

/// Everything that a log tells: rates that change, shares, unlike selectivities, service times that vary, waits, state.
const TRUTH: &str = r#"
title = "The truth"
seconds = 60

[control]
policy = "hold"

[[operators]]
name = "orders"
role = "source"
load = { shape = "steps", steps = [{ start_s = 0, rate = "4k/s" }, { start_s = 20.05, rate = "7k/s" }, { start_s = 40, rate = "5k/s" }] }

[[operators]]
name = "parse"
role = "stateless"
inputs = ["orders"]
limit = "3k/s"
instances = 4
service = { distribution = "log-normal", variation = 0.7 }

[[operators]]
name = "cheap"
role = "stateless"
inputs = [{ from = "parse", share = 0.8 }]
limit = "9k/s"
instances = 2
selectivity = 2.5

[[operators]]
name = "expensive"
role = "stateless"
inputs = [{ from = "parse", share = 0.2 }]
limit = "800/s"
instances = 4
external_wait_ms = 0.5

[[operators]]
name = "join"
role = "keyed"
inputs = ["cheap", "expensive"]
limit = "5k/s"
instances = 8
selectivity = 0.25
bins = 64
keys = 6400
bytes_per_key = 48
max_parallelism = 16

[[operators]]
name = "sink"
role = "sink"
inputs = ["join"]
"#;

fn thalweg(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_thalweg")).args(arguments).output().expect("the program starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary folder has a plain name")
}

fn near(what: &str, found: f64, expected: f64, most: f64) {
    assert!((found / expected - 1.0).abs() <= most, "{what}: {found}, not {expected}");
}

fn shares(form: &OperatorForm) -> Vec<f64> {
    let share = |input: &Input| match input {
        Input::All(_) => 1.0,
        Input::Part(place) => place.share,
    };
    form.inputs.iter().map(share).collect()
}

#[test]
fn what_was_simulated_is_what_is_fitted() {
    let folder = tempfile::tempdir().unwrap();
    let (file, run) = (folder.path().join("truth.toml"), folder.path().join("run"));
    fs::write(&file, TRUTH).unwrap();
    let simulated = thalweg(&["simulate", text(&file), "--record", "--out", text(&run)]);
    assert!(simulated.status.success(), "{}", String::from_utf8_lossy(&simulated.stderr));
    let calibrated = thalweg(&["simulate", "--calibrate", text(&run), "--json"]);
    assert!(calibrated.status.success(), "{}", String::from_utf8_lossy(&calibrated.stderr));
    let told: serde_json::Value = serde_json::from_slice(&calibrated.stdout).unwrap();
    let path = run.join("calibrated.toml");
    assert_eq!(told["scenario"], text(&path));
    assert!(told["fitted"].as_array().unwrap().iter().all(|fit| fit["samples"].as_u64().unwrap() > 0), "{told}");
    assert!(told["assumed"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().starts_with("capacity: linear")), "{told}");

    let truth = Scenario::read(TRUTH).unwrap();
    let found = Scenario::read(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!((found.seconds, found.tick_ms, &found.control), (truth.seconds, truth.tick_ms, &truth.control));
    assert_eq!(found.operators.len(), truth.operators.len());
    for (found, truth) in found.operators.iter().zip(&truth.operators) {
        let name = &truth.name;
        assert_eq!((&found.name, found.role, found.instances, found.bins), (name, truth.role, truth.instances, truth.bins));
        assert_eq!(found.limit.is_some(), truth.limit.is_some(), "{name}");
        if let (Some(found), Some(truth)) = (found.limit, truth.limit) {
            near(name, found.as_per_second(), truth.as_per_second(), 0.02);
        }
        near(name, found.selectivity, truth.selectivity, 0.02);
        shares(found).into_iter().zip(shares(truth)).for_each(|(found, truth)| near(name, found, truth, 0.02));
        near(name, 1.0 + found.external_wait_ms, 1.0 + truth.external_wait_ms, 0.005);
        if name == "join" {
            near(name, found.keys as f64, truth.keys as f64, 0.0);
            near(name, found.bytes_per_key as f64, truth.bytes_per_key as f64, 0.0);
        }
        match (found.service, truth.service) {
            (ServiceTimes::LogNormal { variation: found }, ServiceTimes::LogNormal { variation: truth }) => near(name, found, truth, 0.05),
            (found, truth) => assert_eq!(found, truth, "{name}"),
        }
    }
    // The load is the same at any time, also where it changes between two looks.
    let due =
        |scenario: &Scenario, seconds: f64| scenario.job().models[0].schedule.as_ref().unwrap().due(Timestamp::from_secs_f64(seconds));
    for seconds in [1.0, 20.0, 20.05, 20.1, 33.3, 40.0, 59.9] {
        near("due", due(&found, seconds), due(&truth, seconds), 1e-6);
    }
    // What was written runs.
    let again = thalweg(&["simulate", text(&path), "--out", text(&folder.path().join("again"))]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
}

#[test]
fn what_is_no_recorded_run_is_refused_by_name_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (file, run) = (folder.path().join("truth.toml"), folder.path().join("run"));
    fs::write(&file, TRUTH.replace("seconds = 60", "seconds = 41")).unwrap();
    let refused = |run: &Path| {
        let told = thalweg(&["simulate", "--calibrate", text(run)]);
        assert_eq!(told.status.code(), Some(2));
        assert!(!run.join("calibrated.toml").exists());
        String::from_utf8(told.stderr).unwrap()
    };
    assert!(refused(folder.path()).contains("run.toml: cannot be read"));
    assert!(thalweg(&["simulate", text(&file), "--record", "--out", text(&run)]).status.success());
    let log = run.join("activity.log");
    let whole = fs::read(&log).unwrap();
    fs::write(&log, &whole[..whole.len() - 5]).unwrap();
    let error = refused(&run);
    assert!(error.contains("activity.log: expected a whole activity log, found the log is cut off"), "{error}");
    fs::write(&log, &whole[..12]).unwrap();
    assert!(refused(&run).contains("activity.log: expected work of operators, found none in 0 records"));
    fs::remove_file(&log).unwrap();
    assert!(refused(&run).contains("activity.log: expected the activity log of a run"));
    let manifest = fs::read_to_string(run.join("run.toml")).unwrap();
    fs::write(run.join("run.toml"), manifest.replace("seconds = 41.0", "seconds = -1.0")).unwrap();
    assert!(refused(&run).contains("run.toml: expected seconds, more than 0, found -1"));
    let error = calibrate(&run).unwrap_err().to_string();
    assert!(error.contains("run.toml: expected"), "{error}");
}
