//! `thalweg reproduce all`: taken up where it was killed, it ends with the same rows; nothing half made is taken for whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const FIGURES: [&str; 2] = ["contune-curve", "ds2-skew"];

fn command(out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
    command.args(["reproduce", "all", "--json", "--only", &FIGURES.join(","), "--out"]).arg(out);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What does not depend on when a row was made.
fn rows(out: &Path) -> BTreeSet<Vec<String>> {
    let mut rows = BTreeSet::new();
    for figure in FIGURES {
        let mut reader = csv::Reader::from_path(out.join(figure).join("simulated.csv")).unwrap();
        let header = reader.headers().unwrap().clone();
        let kept = ["figure", "case", "start", "policy", "seed", "path", "latency_ns_p99", "achieved_over_offered"];
        for record in reader.records() {
            let record = record.unwrap();
            let cell = |name: &&str| record[header.iter().position(|column| column == *name).unwrap()].to_owned();
            rows.insert(kept.iter().map(cell).collect());
        }
    }
    rows
}

fn names(folder: &Path) -> Vec<PathBuf> {
    folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Waits until what is being made is there, or the process has ended; then kills it.
fn kill_once(mut child: Child, is_there: impl Fn() -> bool) {
    while child.try_wait().unwrap().is_none() && !is_there() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_was_killed_goes_on_and_ends_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().unwrap();
    let (killed, whole) = (folder.path().join("killed"), folder.path().join("whole"));
    let is_partial = |name: &PathBuf| name.to_string_lossy().ends_with(".partial");
    kill_once(command(&killed).spawn().unwrap(), || names(&killed).iter().any(is_partial));
    // The first figure is there, the second is being made.
    kill_once(command(&killed).spawn().unwrap(), || killed.join(FIGURES[0]).is_dir() && names(&killed).iter().any(is_partial));
    // What a process that was killed may have left, and what another one still writes.
    let stale = killed.join(format!(".{}.1.partial", FIGURES[1]));
    std::fs::create_dir_all(&stale).unwrap();
    std::fs::write(stale.join("simulated.csv"), "figure,case\nds2-skew,half").unwrap();

    for out in [&killed, &whole] {
        let output = command(out).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let figures: Vec<&str> = told["figures"].as_array().unwrap().iter().map(|one| one["figure"].as_str().unwrap()).collect();
        assert_eq!(figures, FIGURES);
        for figure in told["figures"].as_array().unwrap() {
            assert!(figure["error"].is_null() && figure["seconds"].as_f64().unwrap() > 0.0, "{figure}");
            assert!(figure["claims"].as_array().unwrap().iter().all(|claim| claim["verdict"] == "reproduced"), "{figure}");
        }
        let page = std::fs::read_to_string(out.join("report.html")).unwrap();
        assert!(FIGURES.iter().all(|figure| page.contains(&format!("<h2 id=\"{figure}\">"))) && page.contains("</html>"));
    }
    assert_eq!(rows(&killed), rows(&whole));
    assert!(rows(&whole).len() > 10 && !names(&killed).iter().any(is_partial));
}

#[test]
fn something_else_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |out: &Path, more: &[&str], expected: &str| {
        let output = command(out).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(expected), "{error}");
    };
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("mine.txt"), "mine").unwrap();
    refused(&other, &[], "expected a new or empty folder");
    assert_eq!(std::fs::read_to_string(other.join("mine.txt")).unwrap(), "mine");
    let begun = folder.path().join("begun");
    std::fs::create_dir(&begun).unwrap();
    let environment = "[environment]\nrevision = 'another'\nmachine = ''\ncommand = ''\nstarted_utc = ''\n";
    std::fs::write(begun.join("all.toml"), format!("scale = 'full'\nfigures = ['loop']\n{environment}")).unwrap();
    refused(&begun, &[], "found what was begun as full of another with loop");
    refused(&folder.path().join("new"), &["--policies", "ds2"], "all: expected no --policies");
    refused(&folder.path().join("new"), &["--only", "fig99"], "found 'fig99'");
}
