//! `thalweg decide` against the answers of the released DS2 program, value for value, and what it makes of wrong files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ds2").join(file)
}

fn decide(args: &[&str]) -> Output {
    // Arguments that are files of the data are given with their path.
    let given = |arg: &&str| if data(arg).is_file() { data(arg).into_os_string() } else { arg.into() };
    Command::new(env!("CARGO_BIN_EXE_thalweg")).arg("decide").args(args.iter().map(given)).output().expect("the binary of this package")
}

fn json(args: &[&str]) -> Value {
    let output = decide(&[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON on standard output")
}

fn near(found: &Value, expected: &Value, what: &str) {
    let (found, expected) = (found.as_f64().expect(what), expected.as_f64().expect(what));
    assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{what}: {found} for {expected}");
}

/// Compares every value of the released program's answer with ours; gives how many there were.
fn equals(args: &[&str], expected: &str) -> usize {
    let found = json(args);
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(data(expected)).unwrap()).unwrap();
    let mut values = 0;
    for (operator, epochs) in expected.as_object().unwrap() {
        for (epoch, answer) in epochs.as_object().unwrap() {
            let ours = &found["epochs"][epoch.parse::<usize>().unwrap()];
            assert_eq!(ours["epoch"].to_string(), *epoch);
            for (field, value) in answer.as_object().unwrap() {
                let of = &ours["operators"][operator];
                let what = format!("{operator}, epoch {epoch}, {field}");
                match field.as_str() {
                    "pi" | "pi_adj" => assert_eq!(of["parallelism"], *value, "{what}"),
                    "target" => near(&of["target_rate"], value, &what),
                    "true_proc" => near(&of["true_processing_rate"], value, &what),
                    "ceil" => assert_eq!(ours["workers"], *value, "{what}"),
                    "sum" => near(&ours["workers_demand"], value, &what),
                    other => panic!("{other} in {what}"),
                }
                values += 1;
            }
        }
    }
    values
}

const FLINK: [&str; 4] = ["--topology", "flink_wordcount_topology.csv", "--rates", "flink_rates.log"];
const ELEVEN: [&str; 4] = ["--topology", "flink_wordcount_topology.csv", "--rates", "flink_11epochs.log"];
const HERON: [&str; 6] = ["--system", "heron", "--topology", "heron_1_1_1_topology.csv", "--rates", "heron_1_1_1_rates.csv"];

#[test]
fn the_copies_are_the_originals() {
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/ds2");
    if !original.is_dir() {
        eprintln!("skipped: {} is not there", original.display());
        return;
    }
    for entry in data("").read_dir().unwrap().chain(data("expected").read_dir().unwrap()) {
        let path = entry.unwrap().path();
        let original = original.join(path.strip_prefix(data("")).unwrap());
        if path.is_file() && path.file_name().is_some_and(|name| name != "README.md") {
            assert!(std::fs::read(&path).unwrap() == std::fs::read(&original).unwrap(), "{}", path.display());
        }
    }
}

#[test]
fn the_released_programs_answers_are_given_value_for_value() {
    assert_eq!(equals(&FLINK, "expected/flink_offline_verbose.canon.json"), 22);
    let source = ["--source-rates", "src1m.csv"];
    assert_eq!(equals(&[&ELEVEN[..], &source].concat(), "expected/flink_11epochs_src1m.canon.json"), 99);
    let limits = ["--source-rates", "heron_src.csv", "--operator-rates", "heron_ops.csv"];
    assert_eq!(equals(&[&HERON[..], &limits].concat(), "expected/heron_paper_1_1_1.canon.json"), 9);
}

/// FlatMap's and Count's instances in each epoch.
fn instances(args: &[&str]) -> Vec<(u64, u64)> {
    let found = json(args);
    let of = |epoch: &Value, operator: &str| epoch["operators"][operator]["parallelism"].as_u64().unwrap();
    let epochs = found["epochs"].as_array().unwrap();
    epochs.iter().map(|epoch| (of(epoch, "Splitter FlatMap"), of(epoch, "Count -> Latency Sink"))).collect()
}

/// What the released program was seen to answer to the same files under other options.
// papers/ds2-osdi18.md#files
#[test]
fn the_other_options_give_what_the_released_program_gives() {
    let with = |more: &[&str]| instances(&[&FLINK[..], more].concat());
    assert_eq!(with(&[]), [(1, 1), (1, 1)]);
    assert_eq!(with(&["--scaling-factor", "0.1"]), [(1, 1), (2, 1)]);
    assert_eq!(with(&["--scaling-factor", "0.5"]), [(2, 1), (2, 2)]);
    assert_eq!(with(&["--target-rate-ratio", "1.0"]), [(2, 2), (2, 2)]);
    assert_eq!(with(&["--target-rate-ratio", "1.2"]), [(2, 2), (2, 2)]);
    let folder = tempfile::tempdir().unwrap();
    let given = |rate: &str| {
        let file = folder.path().join(rate);
        std::fs::write(&file, format!("Source: Custom Source,{rate}\n")).unwrap();
        instances(&[&ELEVEN[..], &["--source-rates", file.to_str().unwrap()]].concat())
    };
    let own = instances(&ELEVEN);
    assert_eq!(own.iter().filter(|epoch| epoch.0 == 2).count(), 3);
    assert!(own.iter().all(|epoch| epoch.0 <= 2 && epoch.1 == 1));
    assert_eq!(given("80000"), vec![(1, 1); 11]);
    let bounds = |epochs: &[(u64, u64)]| {
        let of = |pick: fn(&(u64, u64)) -> u64| (epochs.iter().map(pick).min().unwrap(), epochs.iter().map(pick).max().unwrap());
        (of(|epoch| epoch.0), of(|epoch| epoch.1))
    };
    assert_eq!(bounds(&given("1000000")), ((8, 11), (5, 7)));
    assert_eq!(bounds(&given("2000000")), ((16, 22), (10, 13)));
    assert!(given("-1").iter().all(|epoch| *epoch == (1, 1)));
}

#[test]
fn without_json_there_is_a_table() {
    let output = decide(&[&HERON[..], &["--source-rates", "heron_src.csv"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("| 0     | flatmap  | 1         | 10      | 10.000 |"), "{text}");
    assert!(text.ends_with("epoch 0: 30 workers if operators share them\n"), "{text}");
}

#[test]
fn other_policies_see_each_epoch_as_a_window() {
    // FlatMap is busy for a third of the time: one of two would do.
    let args = ["--policy", "threshold", "--set", "scale_down_stabilisation_s=0"];
    assert_eq!(instances(&[&FLINK[..], &args].concat()), [(1, 1), (1, 1)]);
    let found = json(&[&FLINK[..], &["--policy", "flink-autoscaler"]].concat());
    assert_eq!(found["epochs"][0]["reason"]["rule"], "collecting-metrics");
    assert_eq!(instances(&[&FLINK[..], &["--policy", "hold"]].concat()), [(2, 1), (2, 1)]);
}

#[test]
fn what_is_wrong_ends_with_2_and_one_line_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (empty, cyclic) = (written("empty", b""), written("cyclic", b"a,a,1,b,b,1\r\nb,b,1,a,a,1\r\n"));
    let flink = |more: &[&'static str]| [&FLINK[..], more].concat();
    for (args, expected) in [
        (vec!["--topology", "nowhere", "--rates", "flink_rates.log"], "--topology nowhere: expected a readable file"),
        (vec!["--topology", "flink_wordcount_topology.csv", "--rates", &empty], "empty, line 1: expected rates as"),
        (vec!["--topology", &cyclic, "--rates", "flink_rates.log"], "cyclic, line 1: expected edges that lead away from the sources"),
        (
            vec!["--topology", "flink_wordcount_topology.csv", "--rates", "heron_1_1_1_rates.csv"],
            "heron_1_1_1_rates.csv, line 3: expected an operator",
        ),
        (flink(&["--system", "storm"]), "--system: expected 'flink', 'heron' or 'timely', found 'storm'"),
        (flink(&["--policy", "magic"]), "--policy magic: expected one of 'hold', "),
        (flink(&["--policy", "dhalion"]), "--policy: expected a policy that decides from rates: the files hold no backpressure"),
        (flink(&["--policy", "heron", "--set", "x=1"]), "without which every job looks healthy to it, found 'heron'"),
        (flink(&["--policy", "oracle"]), "--policy oracle: 'oracle' requires a job whose required parallelism is known"),
        (flink(&["--target-rate-ratio", "0.5"]), "--target-rate-ratio: expected a ratio of at least 1, found 0.5"),
        (flink(&["--scaling-factor", "-1"]), "--scaling-factor: expected a fraction from 0 to 1000, found -1"),
        (flink(&["--window", "NaN"]), "--window: expected seconds from 0.001 to 86400, found NaN"),
        (flink(&["--set", "x=1"]), "--set: expected '--target-rate-ratio' and '--scaling-factor' with '--policy ds2', found x=1"),
        (flink(&["--policy", "threshold", "--scaling-factor", "1"]), "--policy: expected 'ds2' (no other policy has"),
        (vec!["--rates", "flink_rates.log"], "the following required arguments were not provided"),
    ] {
        let output = decide(&args);
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {line}");
        assert!(line.starts_with("thalweg: ") && line.contains(expected) && line.trim_end().lines().count() == 1, "{args:?}: {line}");
    }
}
