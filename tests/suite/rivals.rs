//! Processes that take a part of a worker's core, as `stragglers-real` has them.
//!
//! Nothing here depends on how fast the machine is.

use std::fs;
use std::process::Command;

use thalweg::experiment::definition::Definition;
use thalweg::experiment::frame::Recorded;

fn thalweg(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_thalweg")).args(args).env_remove("RUST_BACKTRACE").output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// The recorded experiment, but short, and with two policies.
fn short() -> String {
    let text = include_str!("../../experiments/definitions/stragglers-real.toml");
    let policies = text.split_once("policies = [").unwrap().1.split_once("\n]").unwrap().0;
    let text = text.replace(policies, "\n    { name = \"hold\" },\n    { name = \"critical-path\" },");
    let text = text.replace("seconds = 6", "seconds = 4").replace("seconds = 30", "seconds = 4").replace("from_s = 8", "from_s = 1");
    let text = text.replace("times = 12", "times = 1");
    text.split_once("\n[[check]]").unwrap().0.to_owned()
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_beside_a_worker_comes_and_goes_with_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("short.toml"), folder.path().join("out"));
    fs::write(&file, short()).unwrap();
    let (code, errors) = thalweg(&["reproduce", "--definition", file.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{errors}");
    let recorded = Recorded::read(&out).unwrap();
    assert_eq!(recorded.frame.rows().len(), 4);
    for row in recorded.frame.rows() {
        assert_eq!(row.get("error").map_or("", String::as_str), "", "{row:?}");
        for wrong in ["records_lost", "records_duplicated", "records_miscounted"] {
            assert_eq!(row[wrong], "0", "{row:?}");
        }
        // One at the time at which the core is lost.
        assert_eq!(row["load_changes"], "1", "{row:?}");
    }
}

#[test]
fn a_worker_loses_at_most_half_of_its_core_to_a_process() {
    let text = short().replace("share = 0.5", "share = 0.9");
    let definition = Definition::read(&text, None).unwrap();
    let mut written = definition.written;
    let scenario = written.remove("cases").unwrap()[0]["scenario"].clone();
    let scenario: thalweg::experiment::scenario::Scenario = scenario.try_into().unwrap();
    let error = scenario.work_chain(1).unwrap_err();
    assert_eq!(error, "worker 0: expected to lose at most 0.5 of a core, as a process gets beside a busy worker, found 0.9");
}

#[test]
fn what_is_no_time_or_share_is_refused() {
    for args in [["0", "1.5", "0", "1"], ["0", "0.5", "0", "inf"], ["0", "0.5", "NaN", "1"], ["0", "-1", "0", "1"]] {
        let [core, share, from, until] = args;
        let share = format!("--share={share}");
        let (code, errors) = thalweg(&["rival", "--core", core, &share, "--from", from, "--until", until]);
        assert_eq!(code, Some(2), "{errors}");
        assert!(errors.contains("expected a share up to 1 and times in seconds"), "{errors}");
    }
}
