//! Sessions recorded on a real Flink 2.3.0, where they are there: paths and rates against the truth that its sink counted.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use thalweg::flink::{
    Allowed, Answer, Arrival, Barriers, DriveConfig, Graph, Hex, Link, LinkError, Node, Pace, Request, Ship, Told, blame, mostly_blamed,
};
use thalweg::time::Timestamp;

use super::virtual_time::{config, driven, named};

/// A file of the sessions; `None`, and a word, where it is not there.
fn session(name: &str) -> Option<String> {
    let places = [PathBuf::from("/work/shared"), PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared")];
    let found = places.iter().find_map(|place| fs::read_to_string(place.join("flink/sessions").join(name)).ok());
    if found.is_none() {
        eprintln!("skipped: no recorded session {name}");
    }
    found
}

/// The graph of a situation: vertices in topological order.
fn graph(inputs: &serde_json::Map<String, Value>) -> Graph {
    let mut names: Vec<&String> = Vec::new();
    while names.len() < inputs.len() {
        let is_ready = |name: &&String| {
            !names.contains(name) && inputs[*name].as_array().unwrap().iter().all(|from| names.iter().any(|known| *known == from))
        };
        let ready: Vec<&String> = inputs.keys().filter(is_ready).collect();
        names.extend(ready);
    }
    let node = |name: &&String| Node {
        id: Hex::read(&"0".repeat(32)).unwrap(),
        full_name: (*name).clone(),
        name: (*name).clone(),
        max_parallelism: 64,
        group: String::new(),
        inputs: inputs[*name]
            .as_array()
            .unwrap()
            .iter()
            .map(|from| (names.iter().position(|known| *known == from).unwrap(), Ship::Any))
            .collect(),
    };
    Graph { nodes: names.iter().map(node).collect() }
}

#[test]
fn barriers_name_the_slow_subtask_and_their_queues_are_the_truth() {
    let Some(text) = session("situations.jsonl") else { return };
    let mut situations = 0;
    for line in text.lines() {
        let situation: Value = serde_json::from_str(line).unwrap();
        let graph = graph(situation["inputs"].as_object().unwrap());
        let name = situation["situation"].as_str().unwrap();
        let number = |vertex: &str| graph.nodes.iter().position(|node| node.name == vertex).unwrap();
        let of = |vertex: usize, subtask: u32| &situation["subtasks"][&graph.nodes[vertex].name][subtask.to_string()];
        let blocked = |vertex: usize, subtask: u32| of(vertex, subtask)["backpressured"].as_f64().unwrap_or(0.0);
        let rate: f64 = graph
            .sources()
            .flat_map(|source| {
                situation["subtasks"][&graph.nodes[source].name]
                    .as_object()
                    .unwrap()
                    .values()
                    .map(|of| of["per_s"].as_f64().unwrap_or(0.0))
                    .collect::<Vec<_>>()
            })
            .sum();
        let source_ms = 1000.0 * situation["pending_records"].as_f64().unwrap_or(0.0) / rate.max(1e-9);
        let (mut named, mut epochs, mut queues) = (0, Vec::new(), BTreeMap::<usize, Vec<f64>>::new());
        for epoch in situation["epochs"].as_array().unwrap() {
            let arrivals = |node: &Node| {
                let of: BTreeMap<u32, Arrival> = epoch[&node.name]
                    .as_object()
                    .unwrap()
                    .iter()
                    .map(|(subtask, times)| {
                        let first_ms = times[0].as_u64().unwrap();
                        (subtask.parse().unwrap(), Arrival { first_ms, last_ms: first_ms + times[1].as_u64().unwrap() })
                    })
                    .collect();
                of.into_values().collect::<Vec<_>>()
            };
            let barriers = Barriers {
                checkpoint: 0,
                triggered_ms: 0,
                arrivals: graph.nodes.iter().map(arrivals).collect(),
                state_bytes: 0,
                sync_ms: 0,
                async_ms: 0,
            };
            let path = barriers.critical_path(&graph);
            // The terms add up to the barrier's whole way.
            let last = barriers.arrivals.iter().flatten().map(|arrival| arrival.last_ms).max().unwrap();
            // ... to the 1 ms in which each is given: a barrier may seem to come before it was sent.
            let sum: f64 = path.iter().map(|hop| hop.queue_ms).sum();
            assert!((sum - last as f64).abs() <= 3.0, "{name}: {sum} of {last}");
            for vertex in 0..graph.nodes.len() {
                queues.entry(vertex).or_default().push(barriers.queues_ms(&graph, vertex).into_iter().fold(0.0, f64::max));
            }
            let waits = blame(&path, source_ms, blocked);
            let service_ms = path.iter().map(|hop| of(hop.vertex, hop.subtask)["service_ms"].as_f64()).collect();
            epochs.push(Told {
                checkpoint: None,
                at: Timestamp::ZERO,
                waits,
                service_ms,
                alignment_ms: vec![0.0; graph.nodes.len()],
                arrived_ms: 0.0,
            });
            let ((vertex, subtask), _) = mostly_blamed(&epochs).unwrap();
            let (whole, who) = (graph.nodes[vertex].name.as_str(), format!("{}[{subtask}]", graph.nodes[vertex].name));
            // Where a vertex as a whole is slow, no subtask is named.
            named += u32::from(situation["to_blame"].as_str().is_some_and(|blamed| blamed == who || blamed == whole));
        }
        situations += 1;
        if situation["to_blame"].is_string() {
            println!("{name}: {named} of {} epochs name {}", epochs.len(), situation["to_blame"]);
            assert!(f64::from(named) >= 0.9 * epochs.len() as f64, "{name}: {named} of {}", epochs.len());
        }
        for (hop, truth) in situation["truth_mean_ms"].as_object().unwrap() {
            let (Some(vertex), Some(truth)) = (hop.strip_suffix(".queue"), truth.as_f64()) else { continue };
            // With several subtasks the truth is a mean over all, and a barrier's the slowest.
            if truth > 100.0
                && graph.nodes.iter().any(|node| node.name == vertex)
                && queues[&number(vertex)].len() > 2
                && of(number(vertex), 1).is_null()
                && vertex != "sink"
            {
                let found = queues[&number(vertex)].iter().sum::<f64>() / queues[&number(vertex)].len() as f64;
                println!("{name}: {vertex} {found:.0} ms by barriers, {truth:.0} ms in truth");
                assert!((found / truth - 1.0).abs() < 0.15, "{name}: {vertex} {found:.0} against {truth:.0}");
            }
        }
    }
    assert!(situations >= 10);
}

/// Plays a session that the kit recorded: each path gives what it last gave by then, metrics by name.
struct Played {
    lines: Vec<(u64, Value)>,
    next: usize,
    paths: BTreeMap<String, (u16, Value)>,
    metrics: BTreeMap<(String, String), Value>,
    now: Timestamp,
}

impl Played {
    fn new(text: &str) -> Played {
        let line = |line: &str| {
            let value: Value = serde_json::from_str(&line.replace("JOB", super::fake::JOB)).unwrap();
            (value["ms"].as_u64().unwrap_or(0), value)
        };
        let mut played = Played {
            lines: text.lines().skip(1).map(line).collect(),
            next: 0,
            paths: BTreeMap::new(),
            metrics: BTreeMap::new(),
            now: Timestamp::ZERO,
        };
        played.go_on(Timestamp(1_000_000_000));
        played
    }

    fn go_on(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
        while let Some((_, line)) = self.lines.get(self.next).filter(|(ms, _)| *ms <= self.now.0 / 1_000_000) {
            self.next += 1;
            let Some(path) = line["get"].as_str() else { continue };
            let (bare, _) = path.split_once('?').unwrap_or((path, ""));
            if bare.ends_with("/metrics") {
                for metric in line["body"].as_array().unwrap() {
                    self.metrics.insert((bare.to_owned(), metric["id"].as_str().unwrap().to_owned()), metric.clone());
                }
            }
            self.paths.insert(path.to_owned(), (line["status"].as_u64().unwrap() as u16, line["body"].clone()));
        }
    }
}

impl Link for Played {
    fn ask(&mut self, request: &Request) -> Result<Answer, LinkError> {
        let path = request.path.as_str();
        let (status, body) = match path.split_once("?get=") {
            Some((bare, names)) => {
                let of = |name: &str| self.metrics.get(&(bare.to_owned(), name.to_owned())).cloned();
                (200, Value::from(names.split(',').filter_map(of).collect::<Vec<_>>()))
            }
            None if path == "/jobs/overview" => {
                (200, serde_json::json!({"jobs": [{"jid": super::fake::JOB, "name": "pipeline", "state": "RUNNING", "start-time": 0}]}))
            }
            None => self.paths.get(path).cloned().unwrap_or((404, serde_json::json!({"errors": ["not recorded"]}))),
        };
        Ok(Answer { status, body: body.to_string(), at: self.now })
    }

    fn wait(&mut self, at: Timestamp) -> Option<Timestamp> {
        if self.next >= self.lines.len() {
            return None;
        }
        self.go_on(at);
        Some(self.now)
    }
}

#[test]
fn a_real_job_is_seen_as_its_sink_saw_it() {
    let Some(text) = session("autoscale.jsonl") else { return };
    let second = Duration::from_secs(1);
    let config = DriveConfig { pace: Pace { interval: 4 * second, poll: second, settle: 2 * second }, advise: true, ..config() };
    let (ended, heard) = driven(&mut Played::new(&text), Allowed::default(), &config, &mut named("ds2"));
    ended.unwrap();
    let lines = heard.lines();
    println!("{lines}");
    // Recorded rescales are seen as others' requests.
    assert!(lines.contains("split=2 count=3"), "{lines}");
    let of = |from: f64, until: f64| {
        heard.observations.iter().filter(move |of| of.window.start.as_secs_f64() >= from && of.window.end.as_secs_f64() <= until)
    };
    let overloaded: Vec<_> = of(8.0, 17.5).collect();
    assert!(!overloaded.is_empty(), "{lines}");
    for observation in overloaded {
        // 900 records a second are due, 2 ms each: count does 500.
        let count = observation.operators.iter().max_by(|a, b| a.utilisation().total_cmp(&b.utilisation())).unwrap();
        assert!((count.true_processing_rate().unwrap().as_per_second() - 480.0).abs() < 30.0, "{count:?}");
        assert!(count.utilisation() > 0.9);
    }
    let advice: Vec<&str> = lines.lines().filter(|line| line.contains("advises")).collect();
    assert!(
        advice.iter().any(|line| line.contains("split=2 count=2") || line.contains("split=1 count=2") || line.contains("count=3")),
        "{lines}"
    );
    assert!(heard.told.len() > 10);
}
