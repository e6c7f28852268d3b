//! `analyze A --compare B`: what takes longer in the second trace and what is noise; what is on the path of slow epochs only; stacks.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::diagnosis::{EVEN, Rounds, write_log};

fn analyze(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_thalweg")).arg("analyze").args(args).current_dir(folder).output().unwrap()
}

/// What is printed, what is said of errors, and the exit code.
fn said(folder: &Path, args: &[&str]) -> (String, String, Option<i32>) {
    let output = analyze(folder, args);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

const USUAL: Rounds = Rounds { rounds: 200, jitter: (1, 10), ..EVEN };

/// A folder with a trace, another of the same job, one in which `parse` takes longer, and a short one.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, rounds: Rounds| write_log(&folder.path().join(name), &rounds.records());
    write("a", USUAL);
    write("again", Rounds { jitter: (2, 10), ..USUAL });
    write("slow", Rounds { jitter: (3, 10), work: [(48, 100); 4], ..USUAL });
    write("short", Rounds { rounds: 4, ..USUAL });
    std::fs::create_dir(folder.path().join("run")).unwrap();
    std::fs::copy(folder.path().join("slow"), folder.path().join("run/activity.log")).unwrap();
    folder
}

#[test]
fn what_is_slower_is_told_from_noise() {
    let folder = folder();
    let (printed, errors, code) = said(folder.path(), &["a", "--compare", "a"]);
    assert!(code == Some(0) && printed.contains("Nothing differs by more than noise.") && errors.is_empty(), "{printed}{errors}");
    let (printed, _, code) = said(folder.path(), &["a", "--compare", "again"]);
    assert!(code == Some(0) && printed.contains("no more than noise (up to") && !printed.contains("| more "), "{printed}");

    // As a folder of a run.
    let (printed, errors, code) = said(folder.path(), &["a", "--compare", "run"]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("A: a (200 epochs)\nB: run/activity.log (200 epochs)"), "{printed}");
    assert!(printed.contains(": slower.") && printed.contains("\nparse: +8.") && printed.contains("of +8."), "{printed}");
    assert_eq!(errors, "thalweg: run/activity.log: an epoch takes longer than in a, beyond what is noise\n");
    let (printed, _, code) = said(folder.path(), &["run", "--compare", "a"]);
    assert!(code == Some(0) && printed.contains(": faster.") && printed.contains("\nparse: -8."), "{printed}");

    let output = analyze(folder.path(), &["a", "--compare", "slow", "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((found["is_slower"].as_bool(), output.status.code()), (Some(true), Some(1)));
    let first = &found["comparison"]["operators"][0];
    assert_eq!((first["name"].as_str(), first["verdict"].as_str()), (Some("parse"), Some("more")));
    let by = first["after"].as_f64().unwrap() - first["before"].as_f64().unwrap();
    assert!((by / 8e6 - 1.0).abs() < 0.2 && by > first["noise"].as_f64().unwrap(), "{first}");
    // Operators and parts add up to the latency.
    for of in ["operators", "parts"] {
        let sum = |side: &str| found["comparison"][of].as_array().unwrap().iter().map(|part| part[side].as_f64().unwrap()).sum::<f64>();
        for side in ["before", "after"] {
            let whole = found["comparison"]["latency"][side].as_f64().unwrap();
            assert!((sum(side) / whole - 1.0).abs() < 1e-9, "{of} {side}: {} of {whole}", sum(side));
        }
    }
}

#[test]
fn windows_of_one_trace_are_compared_and_few_epochs_are_not_judged() {
    let folder = folder();
    let args = ["a", "--until", "4s", "--compare", "a", "--compare-from", "4s", "--compare-until", "9s"];
    let (printed, _, code) = said(folder.path(), &args);
    assert!(
        code == Some(0) && printed.starts_with("A: a until 4.000 s (") && printed.contains("\nB: a from 4.000 s until 9.000 s ("),
        "{printed}"
    );
    let (printed, _, code) = said(folder.path(), &["a", "--compare", "short"]);
    assert!(code == Some(0) && printed.contains("too few epochs to tell") && printed.contains("| too few |"), "{printed}");
    assert!(!printed.contains("is the largest difference"), "{printed}");
}

#[test]
fn traces_without_epochs_are_compared_by_shares_of_their_critical_paths() {
    let folder = tempfile::tempdir().unwrap();
    for (name, work) in [("a", 40), ("b", 80)] {
        let is_epoch = |record: &thalweg::activity::Record| {
            use thalweg::activity::Record;
            matches!(record, Record::EpochOpened { .. } | Record::EpochCompleted { .. })
        };
        let mut records = Rounds { work: [(work, 100); 4], network: 10, ..USUAL }.records();
        records.retain(|record| !is_epoch(record));
        write_log(&folder.path().join(name), &records);
    }
    let (printed, _, code) = said(folder.path(), &["a", "--compare", "b"]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("share of the critical paths in each second") && printed.contains("\nparse: +1"), "{printed}");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let folder = folder();
    std::fs::write(folder.path().join("damaged"), b"THALWEGA\x04\0\0\0damage, and more of it").unwrap();
    let cases: [(&[&str], &str); 9] = [
        (&["a", "--compare", "slow", "--epochs=p99"], "--epochs=PERCENTILE: expected without --compare"),
        (&["a", "--compare", "nowhere"], "nowhere"),
        (&["a", "--compare", "damaged"], "damaged"),
        (&["a", "--compare", "slow", "--plot", "x.svg"], "--plot: expected without --compare"),
        (&["a", "--compare", "slow", "--export", "dot=x"], "expected 'folded' or 'flame' with --compare, found 'dot'"),
        (&["a", "--compare-from", "1s"], "--compare"),
        (&["a", "--compare", "slow", "--compare-from", "1000s"], "found none"),
        (&["a", "--epochs=p100"], "--epochs: expected a percentile such as 'p99'"),
        (&["a", "--epochs=slow"], "found 'slow'"),
    ];
    for (args, expected) in cases {
        let (printed, errors, code) = said(folder.path(), args);
        assert!(code == Some(2) && errors.contains(expected) && printed.is_empty(), "{args:?}: {code:?} {errors}{printed}");
    }
}

#[test]
fn what_is_on_the_path_of_slow_epochs_only_is_told() {
    let folder = tempfile::tempdir().unwrap();
    // Of two hundred epochs two wait outside.
    let mut records = Rounds { rounds: 198, ..EVEN }.records();
    let end = records.iter().map(thalweg::activity::Record::at).max().unwrap();
    let slow = Rounds { rounds: 2, kind: thalweg::activity::ActivityKind::ExternalWait, work: [(90, 1); 4], ..EVEN };
    records.extend(slow.records_from(end.0, 198));
    write_log(&folder.path().join("log"), &records);
    let (printed, _, code) = said(folder.path(), &["log", "--epochs=p99"]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("The slowest 2 of 200 epochs take 92.0 ms or more"), "{printed}");
    assert!(printed.contains("\nparse: external wait: 89.1 ms more in the slow ones, which take 49.5 ms longer in all."), "{printed}");
    let output = analyze(folder.path(), &["log", "--epochs=p99", "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((found["slow_epochs"]["epochs"].as_u64(), found["slow_epochs"]["from_ns"].as_u64()), (Some(2), Some(92_000_000)));
    assert_eq!(found["slow_epochs"]["parts"][0]["name"], "parse: external wait");
}

#[test]
fn critical_paths_are_written_as_stacks_that_add_up() {
    let folder = folder();
    let (_, errors, code) = said(folder.path(), &["a", "--export", "folded=a.folded", "--export", "flame=a.svg"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let folded = std::fs::read_to_string(folder.path().join("a.folded")).unwrap();
    let time = |line: &str| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
    let sum: f64 = folded.lines().map(time).sum();
    let parse: f64 = folded.lines().filter(|line| line.starts_with("parse;processing;parse[")).map(time).sum();
    // 200 rounds of some 50 ms, of which parse works all but 2.
    assert!((9e6..11e6).contains(&sum) && parse / sum > 0.9, "{folded}");
    let svg = std::fs::read_to_string(folder.path().join("a.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.contains("<title>parse: ") && svg.contains("Critical paths of a<"), "{svg}");

    let args = ["a", "--compare", "slow", "--export", "flame=d.svg", "--export", "folded=d.folded"];
    assert_eq!(said(folder.path(), &args).2, Some(1));
    let svg = std::fs::read_to_string(folder.path().join("d.svg")).unwrap();
    assert!(svg.contains("points</title>") && svg.contains("red where their share is larger than in a"), "{svg}");
    let folded = std::fs::read_to_string(folder.path().join("d.folded")).unwrap();
    assert!(folded.lines().all(|line| line.rsplitn(3, ' ').take(2).all(|number| number.parse::<u64>().is_ok())), "{folded}");
    let (_, errors, code) = said(folder.path(), &["a", "--export", "flame=none/a.svg"]);
    assert!(code == Some(2) && errors.contains("--export flame=none/a.svg: cannot be written"), "{errors}");
}
