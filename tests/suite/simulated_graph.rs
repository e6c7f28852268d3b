//! What a simulated job records is as good as an engine's for the activity graph: `thalweg simulate --record`, then `thalweg analyze`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use thalweg::activity::{ActivityKind, Record};
use thalweg::critical_path::{EpochOddities, EpochPaths, EpochPieceKind};
use thalweg::experiment::scenario::Scenario;
use thalweg::pag::{GraphBuilder, GraphConfig, Oddities};
use thalweg::sim::Simulation;
use thalweg::time::Timestamp;

fn scenario(name: &str, seconds: f64) -> Scenario {
    Scenario { seconds, ..Scenario::read(Scenario::text(name).unwrap()).unwrap() }
}

/// Everything that a scenario records, with or without what the graph needs.
fn records(scenario: &Scenario, with_graph: bool) -> Vec<Record> {
    let mut simulation = Simulation::new(&scenario.job(), 1);
    if with_graph {
        simulation = simulation.recording_graph();
    }
    let mut records = Vec::new();
    while simulation.advance(&mut records) {}
    records
}

fn thalweg(folder: &Path, args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_thalweg")).args(args).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What `analyze` says of what a run of a scenario recorded.
fn analysed(scenario: &str, seconds: &str, further: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    thalweg(folder.path(), &["simulate", scenario, "--policy", "hold", "--seconds", seconds, "--record", "--out", "run", "--json"]);
    thalweg(folder.path(), &[&["analyze", "run/activity.log", "--epochs", "--json"], further].concat())
}

/// What holds of the log of a sound host: nothing odd, participations that sum to one, and latency that is explained as a whole.
fn is_sound(analysis: &Value) {
    let oddities = analysis["oddities"]["graph"].as_object().unwrap();
    assert!(oddities.values().all(|count| count == 0), "{oddities:?}");
    assert_eq!(analysis["oddities"]["windows_without_path"], 0);
    for window in analysis["windows"].as_array().unwrap() {
        assert!((window["participation_sum"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{window}");
    }
    let latency = &analysis["epoch_latency"];
    let (epochs, mean) = (latency["epochs"].as_f64().unwrap(), latency["mean_ns"].as_f64().unwrap());
    let parts = analysis["epochs"].as_array().unwrap().iter();
    let sum: f64 = parts.map(|part| part["mean_ns"].as_f64().unwrap()).sum();
    assert!(epochs > 50.0 && (sum / mean - 1.0).abs() < 1e-9, "{sum} of {mean} ns");
}

#[test]
fn the_limiting_operator_is_ranked_first() {
    // With one instance each, Count does with 833 sentences a second and FlatMap with 1667.
    let analysis = analysed("heron-wordcount", "20", &[]);
    is_sound(&analysis);
    assert_eq!(analysis["ranking"][0]["name"], "count");
    assert!(analysis["ranking"][0]["participation"].as_f64().unwrap() > 0.5, "{}", analysis["ranking"]);
}

#[test]
fn the_straggling_instance_is_named() {
    let during = analysed("straggler", "50", &["--by", "instance", "--from", "35s", "--until", "49s"]);
    is_sound(&during);
    assert_eq!(during["ranking"][0]["name"], "count[3]");
    assert!(during["ranking"][0]["participation"].as_f64().unwrap() > 0.5, "{}", during["ranking"]);
    // Before it straggles it is one of ten.
    let before = analysed("straggler", "25", &["--by", "instance"]);
    let straggler = before["ranking"].as_array().unwrap().iter().find(|entry| entry["name"] == "count[3]").unwrap();
    assert!(straggler["participation"].as_f64().unwrap() < 0.2, "{straggler}");
}

/// Through joins, delays, external waits and migrations: each epoch's pieces tile its latency, and none of it is unexplained.
#[test]
fn every_epoch_of_every_scenario_is_explained_to_the_nanosecond() {
    for name in Scenario::names() {
        let mut scenario = scenario(name, 20.0);
        scenario.delay_ms = 3.0;
        let records = records(&scenario, true);
        let config = GraphConfig { history: Duration::from_secs(10), ..GraphConfig::new(Duration::from_secs(1)) };
        let (mut graph, mut epochs) = (GraphBuilder::new(config), EpochPaths::default());
        let (mut paths, mut opened) = (Vec::new(), 0);
        let mut close = |graph: &mut GraphBuilder, epochs: &mut EpochPaths, known| {
            while let Some(window) = graph.close(known) {
                paths.extend(epochs.walk(graph, window.window.end));
            }
        };
        for record in &records {
            opened += usize::from(matches!(record, Record::EpochOpened { .. }));
            graph.push(record);
            epochs.push(record);
            let known = graph.known();
            close(&mut graph, &mut epochs, known);
        }
        close(&mut graph, &mut epochs, Timestamp(u64::MAX));
        assert_eq!((graph.oddities(), epochs.oddities()), (Oddities::default(), EpochOddities::default()), "{name}");
        assert!(paths.len() > 50 && paths.len() <= opened, "{name}: {} of {opened}", paths.len());
        for path in &paths {
            assert_eq!(path.latency(), path.pieces.iter().map(|piece| piece.length()).sum(), "{name}");
            let unknown = path.pieces.iter().filter(|piece| piece.kind == EpochPieceKind::Unknown);
            assert_eq!(unknown.count(), 0, "{name}: {path:?}");
        }
    }
}

/// Each record that an instance takes was sent by somebody, and recording the graph changes nothing else.
#[test]
fn messages_add_up_and_change_nothing() {
    for name in Scenario::names() {
        let scenario = scenario(name, 5.0);
        let (plain, all) = (records(&scenario, false), records(&scenario, true));
        let (mut sent, mut received, mut sunk) = (0, 0, 0);
        for record in &all {
            match record {
                Record::Sent(message) => sent += message.records,
                Record::Received(message) => received += message.records,
                Record::Activity(activity) if activity.kind == ActivityKind::Sink => sunk += activity.records_in,
                _ => {}
            }
        }
        assert!(sunk > 0 && received == sent, "{name}: {sent} records sent, {received} received");
        let of_graph = |record: &Record| {
            use Record::{Channel, EpochCompleted, Operator, Received, Sent, UpTo};
            matches!(record, Sent(_) | Received(_) | EpochCompleted { .. } | UpTo { .. } | Operator { .. } | Channel { .. })
        };
        let others: Vec<Record> = all.into_iter().filter(|record| !of_graph(record)).collect();
        assert!(others == plain, "{name}");
    }
}
