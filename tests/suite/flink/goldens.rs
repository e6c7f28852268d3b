//! What was decided on real jobs, decided again offline: sessions that `scripts/flink/demo --quick` recorded on Flink 2.3.0.
//!
//! A driver that asks in another order than the recorded one did cannot be given these answers: run the demo
//! again, copy `ds2/session.jsonl` and `critical-path/session.jsonl` of its folder here (`gzip -9n`), and read
//! the snapshots that `INSTA_UPDATE=always` writes.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::Command;

/// What `thalweg drive flink --session` tells, and the plans of its decision log.
fn decided(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/flink").join(format!("{name}.jsonl.gz"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let session = folder.path().join("session.jsonl");
    fs::write(&session, text).unwrap();
    let out = folder.path().join("out");
    let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
    command.args(["drive", "flink", "--session"]).arg(&session).arg("--out").arg(&out);
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    let decisions = fs::read_to_string(out.join("decisions.jsonl")).unwrap();
    let rule = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let (kind, what) = event["event"].as_object().unwrap().iter().next().map(|(kind, what)| (kind.clone(), what.clone())).unwrap();
        format!(
            "{:.1} s  {kind} {} {}",
            event["at"].as_f64().unwrap() / 1e9,
            what["reason"]["rule"].as_str().unwrap_or(""),
            what["plan"]["rescales"]
        )
    };
    told + &decisions.lines().map(rule).collect::<Vec<_>>().join("\n")
}

#[test]
fn ds2_decides_on_a_recorded_job_as_it_did() {
    insta::assert_snapshot!(decided("ds2"));
}

#[test]
fn critical_path_decides_on_a_recorded_job_as_it_did() {
    insta::assert_snapshot!(decided("critical-path"));
}
