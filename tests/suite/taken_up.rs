//! What a command began and was killed at is taken up by the same command, whatever the step it was killed after; what anybody else
//! wrote there is not touched.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::stopped::{after_every_step, thalweg};
use thalweg::experiment::out_folder::BEGUN;

const SIMULATE: [&str; 6] = ["simulate", "heron-wordcount", "--seconds", "10", "--record", "--json"];

/// Every file below a folder, by its path from there; without what says when and where a run was made.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in folder.read_dir().unwrap().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            found.extend(files(&entry.path()).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            let says_when = ["run.toml", "rows.csv", "heron-wordcount.svg", "heron-wordcount.png"].contains(&name.as_str());
            found.insert(name, if says_when { Vec::new() } else { fs::read(entry.path()).unwrap() });
        }
    }
    found
}

fn run(args: &[&str], out: &Path) -> BTreeMap<String, Vec<u8>> {
    let output = thalweg(args, out).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    files(out)
}

fn refused(args: &[&str], out: &Path, expected: &str) {
    let before = files(out);
    let output = thalweg(args, out).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && error.contains(expected), "expected {expected}\nfound    {error}");
    assert_eq!(files(out), before, "what was refused is left as it was");
}

#[test]
fn a_simulation_that_was_killed_ends_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().unwrap();
    let whole = run(&SIMULATE, &folder.path().join("whole"));
    let steps = after_every_step(&SIMULATE, |out, _| assert_eq!(files(out), whole));
    // The folder with its mark, three a file (the log, rows, six of the run), two a figure, and the mark's end.
    assert_eq!(steps, 3 + 3 * 8 + 2 * 2 + 1);
}

#[test]
fn a_figure_that_was_killed_ends_as_if_it_had_not_been() {
    let args = ["reproduce", "ds2-skew", "--policies", "ds2", "--json"];
    let names = |out: &Path| files(out).into_keys().collect::<Vec<_>>();
    let steps = after_every_step(&args, |out, _| assert_eq!(names(out), ["definition.toml", "environment.toml", "rows.csv"]));
    assert_eq!(steps, 3 + 3 * 3 + 1);
}

#[test]
fn a_run_that_was_killed_is_taken_up_and_one_that_is_whole_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let args = ["run", "--policy", "hold", "--rate", "500", "--duration", "0.5", "--record", "--json"];
    let names: Vec<String> = run(&args, &out).into_keys().collect();
    refused(&args, &out, "expected a new or empty folder, found activity.log");
    // Killed before its last step, and while it recorded.
    fs::write(out.join(BEGUN), "run-hold").unwrap();
    fs::write(out.join("activity.log.partial"), "half").unwrap();
    fs::write(out.join(".summary.json.7.partial"), "half").unwrap();
    assert_eq!(run(&args, &out).into_keys().collect::<Vec<_>>(), names);
}

#[test]
fn what_somebody_else_wrote_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    fs::create_dir_all(out.join("ds2")).unwrap();
    fs::write(out.join(BEGUN), "simulate-heron-wordcount-ds2").unwrap();
    fs::write(out.join("timeline.csv"), "").unwrap();
    let args = [&SIMULATE[..], &["--policy", "ds2"]].concat();
    for name in ["notes.txt", "ds2/photo.png", ".timeline.csv.mine.partial", "heron-wordcount.svg.bak"] {
        fs::write(out.join(name), "mine").unwrap();
        refused(&args, &out, &format!("expected a new or empty folder, found {name}"));
        fs::remove_file(out.join(name)).unwrap();
    }
    std::os::unix::fs::symlink(folder.path(), out.join("rows.csv")).unwrap();
    let output = thalweg(&args, &out).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("found rows.csv"), "{output:?}");
    fs::remove_file(out.join("rows.csv")).unwrap();
    refused(&[&SIMULATE[..], &["--policy", "hold"]].concat(), &out, "found an unfinished one of 'simulate-heron-wordcount-ds2'");
    assert!(run(&args, &out).contains_key("summary.json"));

    // Without its mark a folder is somebody else's as soon as something in it is whole.
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join(".rows.csv.7.partial"), "half").unwrap();
    fs::write(other.join("timeline.csv"), "mine").unwrap();
    refused(&args, &other, "found timeline.csv");
    fs::remove_file(other.join("timeline.csv")).unwrap();
    assert!(!run(&args, &other).contains_key(".rows.csv.7.partial"));
}

#[test]
fn a_process_that_is_about_to_end_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let holder = fs::File::create(out.join(BEGUN)).unwrap();
    holder.lock().unwrap();
    let waiting = thalweg(&SIMULATE, &out).spawn().unwrap();
    drop(holder);
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
