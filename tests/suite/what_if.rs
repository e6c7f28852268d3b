//! `analyze --what-if`: what a change would give, and a curve for each operator, as text, as JSON and as a picture.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::diagnosis::{EVEN, Rounds, write_log};

/// What is printed, what is said of errors, and the exit code.
fn said(folder: &Path, args: &[&str]) -> (String, String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_thalweg")).arg("analyze").args(args).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_log(&folder.path().join("log"), &Rounds { rounds: 100, jitter: (1, 10), ..EVEN }.records());
    folder
}

#[test]
fn what_half_the_work_would_give_is_about_half_where_little_else_is_done() {
    let folder = folder();
    let (printed, errors, code) = said(folder.path(), &["log", "--what-if", "parse=0.5x", "--json"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let found: Value = serde_json::from_str(&printed).unwrap();
    let what_if = &found["what_if"];
    let seconds = |world: &str, when: &str| what_if[world][when].as_f64().unwrap();
    let (before, recorded) = (seconds("as_it_was", "before_s"), seconds("as_it_was", "recorded_s"));
    assert!((before / recorded - 1.0).abs() < 0.01, "{what_if}");
    assert!((0.45..0.6).contains(&(seconds("change", "after_s") / before)), "{what_if}");
    let first = &what_if["curves"][0];
    let gains: Vec<f64> = first["points"].as_array().unwrap().iter().map(|point| point["gain"].as_f64().unwrap()).collect();
    assert!(first["name"] == "parse" && gains.len() == 10 && gains.windows(2).all(|pair| pair[0] <= pair[1]), "{first}");
    assert!(gains[9] <= first["at_most"].as_f64().unwrap() + 0.01, "{first}");
}

#[test]
fn curves_are_printed_and_drawn() {
    let folder = folder();
    let (printed, errors, code) = said(folder.path(), &["log", "--what-if", "parse=2x", "--export", "curves=gains.svg"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(printed.contains("What if parse=2x: the mean latency of 100 epochs") && printed.contains(" longer, 0."), "{printed}");
    assert!(printed.contains("if one operator's work were shorter by:\n\n| operator"), "{printed}");
    let picture = std::fs::read_to_string(folder.path().join("gains.svg")).unwrap();
    assert!(picture.contains("parse (at most") && picture.contains("speed-up of the operator"), "{picture}");
    let (curves, ..) = said(folder.path(), &["log", "--what-if", "curves"]);
    assert!(curves.contains("were shorter by:") && !curves.contains("What if"), "{curves}");
    assert!(!said(folder.path(), &["log"]).0.contains("were shorter by:"));
}

#[test]
fn what_cannot_be_predicted_is_refused() {
    let folder = folder();
    let cases: [(&[&str], &str); 4] = [
        (&["log", "--what-if", "nobody=0.5x"], "--what-if: expected an operator of the trace, found 'nobody'"),
        (&["log", "--what-if", "parse=fast"], "--what-if: expected a factor from 0 to 1000 such as '0.5x', found 'parse=fast'"),
        (&["log", "--what-if", "parse=2", "--compare", "log"], "--what-if: expected without --compare"),
        (&["log", "--export", "curves=gains.pdf"], "--export curves=gains.pdf: expected a name that ends in .svg or .png"),
    ];
    for (args, expected) in cases {
        let (printed, errors, code) = said(folder.path(), args);
        assert!(code == Some(2) && errors.contains(expected) && printed.is_empty(), "{args:?}: {code:?} {errors}{printed}");
    }
}
