//! Chrome's traces: the critical path laid over a copy of the file, and that of a trace of PyTorch beside the one that is expected of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

fn run(args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_thalweg")).arg("analyze").args(args).arg("--json").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Events of a document of Chrome.
fn events(document: &Value) -> &[Value] {
    document.as_array().or_else(|| document["traceEvents"].as_array()).unwrap()
}

/// Stretches of time in ns, sorted, without overlaps.
fn union(mut stretches: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    stretches.sort_unstable();
    let mut all: Vec<(u64, u64)> = Vec::new();
    for (start, end) in stretches {
        match all.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => all.push((start, end)),
        }
    }
    all
}

fn length(of: &[(u64, u64)]) -> u64 {
    of.iter().map(|(start, end)| end - start).sum()
}

fn common(a: &[(u64, u64)], b: &[(u64, u64)]) -> u64 {
    let (mut a, mut b, mut sum) = (a.iter().peekable(), b.iter().peekable(), 0);
    while let (Some(&&(from_a, to_a)), Some(&&(from_b, to_b))) = (a.peek(), b.peek()) {
        sum += to_a.min(to_b).saturating_sub(from_a.max(from_b));
        if to_a < to_b {
            a.next()
        } else {
            b.next()
        };
    }
    sum
}

fn nanos(micros: &Value) -> u64 {
    (micros.as_f64().unwrap() * 1000.0).round() as u64
}

/// Slices of a process by what `lane` says of them.
fn by_lane(events: &[Value], lane: impl Fn(&Value) -> Option<String>) -> BTreeMap<String, Vec<(u64, u64)>> {
    let mut lanes: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["ph"] == "X") {
        if let Some(lane) = lane(event) {
            let start = nanos(&event["ts"]);
            lanes.entry(lane).or_default().push((start, start + nanos(&event["dur"])));
        }
    }
    lanes.into_iter().map(|(lane, slices)| (lane, union(slices))).collect()
}

/// The critical path that is laid over a trace, by lane.
fn laid_over(file: &Path) -> (Value, BTreeMap<String, Vec<(u64, u64)>>) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.json");
    run(&[file.to_str().unwrap(), "--window", "100s", "--export", &format!("overlay={}", copy.display())]);
    let copy: Value = serde_json::from_slice(&std::fs::read(copy).unwrap()).unwrap();
    let lanes = by_lane(events(&copy), |event| (event["cat"] == "critical").then(|| event["args"]["lane"].as_str().unwrap().to_owned()));
    (copy, lanes)
}

#[test]
fn the_critical_path_is_laid_over_a_copy_that_is_the_same_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace.json");
    let slice = |name: &str, tid: u64, ts: u64, dur: u64| json!({ "ph": "X", "name": name, "pid": 1, "tid": tid, "ts": ts, "dur": dur });
    let flow = |ph: &str, tid: u64, ts: u64| json!({ "ph": ph, "name": "go", "id": 7, "pid": 1, "tid": tid, "ts": ts });
    let now = 1_694_039_968_956_739u64;
    let list = [
        slice("load", 1, now, 100),
        flow("s", 1, now + 100),
        flow("f", 2, now + 130),
        slice("idle work", 1, now + 100, 50),
        slice("use", 2, now + 130, 400),
    ];
    let original = json!({ "otherData": { "a": [1] }, "traceEvents": list });
    std::fs::write(&file, original.to_string()).unwrap();
    let (mut copy, lanes) = laid_over(&file);
    let stretch = |from: u64, to: u64| vec![((now + from) * 1000, (now + to) * 1000)];
    // What a number of floating point keeps of these times.
    let near = |found: &[(u64, u64)], expected: &[(u64, u64)]| length(expected) - common(found, expected) <= 1000;
    assert_eq!(lanes.len(), 2, "{lanes:?}");
    assert!(near(&lanes["thread 2"], &stretch(130, 530)), "{lanes:?}");
    assert!(near(&lanes["thread 1"], &stretch(0, 130)), "{lanes:?}");
    let kept: Vec<Value> = events(&copy).iter().filter(|event| event["cat"] != "critical").cloned().collect();
    copy["traceEvents"] = Value::from(kept);
    assert_eq!(copy, original);

    let refused = |args: &[&str], expected: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_thalweg")).arg("analyze").args(args).current_dir(folder.path()).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && errors.contains(expected), "{errors}");
    };
    std::fs::write(folder.path().join("jaeger.json"), r#"{"data":[{"traceID":"t","spans":[]}]}"#).unwrap();
    refused(
        &["jaeger.json", "--export", "overlay=x.json"],
        "--export overlay: expected one file with a Chrome trace, found a Jaeger trace",
    );
    refused(&["trace.json", "--export", "overlay=trace.json"], "expected an output file, found the name of an input trace");
    refused(&["trace.json", "--export", "overlay=no/x.json"], "--export overlay=no/x.json: cannot be written");
}

/// Of the time of the events that are marked as critical, and of ours: what they have in common. The rest is the processor's time between
/// its operations, which that list leaves to no event, and copies that the accelerator makes meanwhile, which our path leaves to the
/// thread that waits for them.
#[test]
fn the_path_of_a_trace_of_pytorch_is_the_one_that_is_expected_of_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/traces/chrome");
    if !folder.is_dir() {
        eprintln!("skipped: {} is not there", folder.display());
        return;
    }
    let expected = std::fs::File::open(folder.join("simple_add_critical_path_expected.json.gz")).unwrap();
    let expected: Value = serde_json::from_reader(std::io::BufReader::new(GzDecoder::new(expected))).unwrap();
    let lane_of = |event: &Value| match event["tid"].as_u64()? {
        7 => Some("stream 7".to_owned()),
        493_459 => Some("thread 493459".to_owned()),
        _ => None,
    };
    let expected = by_lane(events(&expected), |event| if event["args"]["critical"] == 1 { lane_of(event) } else { None });
    let (_, ours) = laid_over(&folder.join("simple_add.json.gz"));
    let (mut both, mut of_expected, mut of_ours) = (0, 0, 0);
    for (lane, stretches) in &expected {
        let same = ours.iter().filter(|(name, _)| name.contains(lane.as_str())).flat_map(|(_, stretches)| stretches.clone());
        both += common(stretches, &union(same.collect()));
        of_expected += length(stretches);
    }
    ours.values().for_each(|stretches| of_ours += length(stretches));
    let (recall, precision) = (both as f64 / of_expected as f64, both as f64 / of_ours as f64);
    println!("{recall:.4} of the expected critical time is ours, {precision:.4} of ours is expected");
    assert!(recall >= 0.9 && precision >= 0.9, "{recall} {precision}");
}
