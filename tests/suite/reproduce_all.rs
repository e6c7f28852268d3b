//! `thalweg reproduce all`: taken up where it was killed, it ends with the same rows; nothing half made is taken for whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::stopped::{after_every_step, thalweg, unfinished};
use thalweg::experiment::partial;

const FIGURES: [&str; 2] = ["contune-curve", "ds2-skew"];

fn command(out: &Path) -> Command {
    thalweg(&["reproduce", "all", "--json", "--only", &FIGURES.join(",")], out)
}

/// What does not depend on when a row was made.
fn rows(out: &Path, figures: &[&str]) -> BTreeSet<Vec<String>> {
    let mut rows = BTreeSet::new();
    for figure in figures {
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

/// Checks what a run said and left.
fn check(out: &Path, figures: &[&str], stdout: &[u8]) {
    let told: serde_json::Value = serde_json::from_slice(stdout).unwrap();
    let made: Vec<&str> = told["figures"].as_array().unwrap().iter().map(|one| one["figure"].as_str().unwrap()).collect();
    assert_eq!(made, figures);
    for figure in told["figures"].as_array().unwrap() {
        assert!(figure["error"].is_null() && figure["seconds"].as_f64().unwrap() > 0.0, "{figure}");
        assert!(figure["claims"].as_array().unwrap().iter().all(|claim| claim["verdict"] == "reproduced"), "{figure}");
    }
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(figures.iter().all(|figure| page.contains(&format!("<h2 id=\"{figure}\">"))) && page.contains("</html>"));
    assert!(unfinished(out).is_empty(), "{:?}", unfinished(out));
}

#[test]
fn what_was_killed_goes_on_and_ends_as_if_it_had_not_been() {
    let figures = [FIGURES[1]];
    let args = ["reproduce", "all", "--json", "--only", figures[0]];
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let output = thalweg(&args, &whole).output().unwrap();
    check(&whole, &figures, &output.stdout);
    let steps = after_every_step(&args, |out, stdout| {
        assert_eq!(rows(out, &figures), rows(&whole, &figures));
        check(out, &figures, stdout);
    });
    // Three a file and for a folder with its mark, and one for each end and each name: the plan, a figure's two files, its result and its
    // time, no failure any more, the page.
    assert_eq!(steps, (3 + 3) + (3 + 3 + 3 + 1) + (3 + 3 + 1 + 1) + (3 + 1));
    assert!(!rows(&whole, &figures).is_empty());
}

/// Waits until a figure is being made, or the process has ended; then kills it.
fn kill_at_work(mut child: Child, out: &Path) {
    let is_made = |name: &PathBuf| name.is_dir() && partial::whole(&name.file_name().unwrap().to_string_lossy()).is_some();
    while child.try_wait().unwrap().is_none() && !names(out).iter().any(is_made) {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_is_at_work_for_a_process_that_was_killed_ends_too_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    // Whatever the instant: the process of the figure may be at work or not yet, or all may be over.
    for _ in 0..2 {
        kill_at_work(command(&out).spawn().unwrap(), &out);
    }
    // What a process left that was killed long ago.
    let stale = out.join(format!(".{}.1.partial", FIGURES[1]));
    std::fs::create_dir_all(&stale).unwrap();
    std::fs::write(stale.join("simulated.csv"), "figure,case\nds2-skew,half").unwrap();
    let output = command(&out).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    check(&out, &FIGURES, &output.stdout);
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
    refused(&other, &[], "expected a new or empty folder, found mine.txt");
    assert_eq!(std::fs::read_to_string(other.join("mine.txt")).unwrap(), "mine");
    std::fs::remove_file(other.join("mine.txt")).unwrap();
    std::fs::write(other.join("all.toml"), "mine").unwrap();
    refused(&other, &[], "all.toml, line 1: expected");
    let begun = folder.path().join("begun");
    std::fs::create_dir(&begun).unwrap();
    let environment = "[environment]\nrevision = 'another'\nmachine = ''\ncommand = ''\nstarted_utc = ''\n";
    std::fs::write(begun.join("all.toml"), format!("scale = 'full'\nfigures = ['loop']\n{environment}")).unwrap();
    refused(&begun, &[], "found full of another with loop");
    refused(&folder.path().join("new"), &["--policies", "ds2"], "all: expected no --policies");
    refused(&folder.path().join("new"), &["--only", "fig99"], "found 'fig99'");
}
