//! What a page shows, from a folder and live.

use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use thalweg::controller::{Event, EventKind};
use thalweg::critical_path::EpochPieceKind;
use thalweg::dataflow::Operator;
use thalweg::experiment::instance_rows::InstanceRow;
use thalweg::experiment::record::{self, Summary};
use thalweg::experiment::rows::{LatencyRow, TimelineRow};
use thalweg::live::teller::Listener;
use thalweg::live::{About, Model, State, Story, page, prometheus};
use thalweg::policy::{PathShare, Reason};
use thalweg::time::Timestamp;

use super::{Run, very_large};

fn as_json(story: &Story) -> Value {
    serde_json::to_value(story).unwrap()
}

/// A page that has applied all messages, as `front/data.js` does.
#[derive(Clone, Debug)]
struct Page(Arc<Mutex<Value>>);

impl Listener for Page {
    fn hear(&mut self, message: &Arc<str>) {
        let mut news: Value = serde_json::from_str(message).unwrap();
        let mut story = self.0.lock().unwrap();
        assert_eq!(news["number"].as_u64(), story["number"].as_u64().map(|number| number + 1), "no message is left out");
        story["number"] = news["number"].take();
        story["about"]["state"] = news["state"].take();
        for (list, one) in [("windows", "window"), ("instances", "instances")] {
            if !news[one].is_null() {
                story[list].as_array_mut().unwrap().push(news[one].take());
            }
        }
        story["paths"].as_array_mut().unwrap().append(news["paths"].as_array_mut().unwrap());
        for list in ["decisions", "quiet", "held", "migrations", "warnings"] {
            let items = story[list].as_array_mut().unwrap();
            items.truncate(news[list]["from"].as_u64().unwrap() as usize);
            items.append(news[list]["items"].as_array_mut().unwrap());
        }
        story["goal_ms"] = news["goal_ms"].take();
        story["steered"] = news["steered"].take();
        if !news["totals"].is_null() {
            story["totals"] = news["totals"].take();
        }
        if !news["notes"].is_null() {
            story["about"]["notes"] = news["notes"].take();
        }
    }
}

/// Whoever watched a run, whoever loads its page at the end, and whoever reads its folder see the same.
#[test]
fn a_folder_tells_what_was_told_live() {
    let goal = Run::of("diamond", "critical-path").with("goal_ms=35");
    let others = [("heron-wordcount", "critical-path"), ("hot-bins", "critical-path"), ("skewed", "dhalion"), ("dynamic", "ds2")];
    for run in others.map(|(scenario, policy)| Run::of(scenario, policy)).into_iter().chain([goal]) {
        let scenario = &run.scenario.title;
        let (board, mut teller) = run.board();
        let page = Page(Arc::new(Mutex::new(as_json(&board.story()))));
        board.listen(Box::new(page.clone()));
        let result = run.simulate(|status| teller.window(&status));
        let summary = serde_json::to_value(Summary::of(&run.manifest, &result)).unwrap();
        let totals = summary.as_object().unwrap().iter().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)));
        teller.end(State::Finished, &result.events, totals.collect());

        let folder = tempfile::tempdir().unwrap();
        record::write(folder.path(), &run.manifest, &result).unwrap();
        let read = as_json(&Model::of_folder(folder.path(), &run.manifest).unwrap().story());
        let live = as_json(&board.story());
        let patched = page.0.lock().unwrap().clone();
        assert_eq!(patched["windows"], live["windows"], "{scenario}: what was patched together is what is loaded at once");
        for part in ["about", "operators", "edges", "windows", "paths", "decisions", "quiet", "held", "warnings", "goal_ms"] {
            assert_eq!(live[part], read[part], "{scenario}: {part} of the live page and of the folder");
            assert_eq!(live[part], patched[part], "{scenario}: {part} of messages");
        }
        // Of many windows a folder keeps some; the page always has the last one, too.
        let (kept, shown) = (read["instances"].as_array().unwrap(), live["instances"].as_array().unwrap());
        assert!(shown.starts_with(kept) && shown.len() <= kept.len() + 1, "{scenario}: instances of the live page and of the folder");
        // Messages bring each window; what is loaded at once has fewer of many.
        let brought = patched["instances"].as_array().unwrap();
        assert!(shown.iter().all(|window| brought.contains(window)), "{scenario}: instances of messages");
        // As text the last digit of a number may change.
        let near = |(name, value): (&String, &Value)| (value.as_f64().unwrap() - read["totals"][name].as_f64().unwrap()).abs() < 1e-6;
        assert!(live["totals"].as_object().unwrap().iter().all(near) && live["totals"] == patched["totals"], "{scenario}");
        let kinds: Vec<&Value> = read["warnings"].as_array().unwrap().iter().map(|warning| &warning["kind"]).collect();
        let has_goal = !run.settings.is_empty();
        assert!((read["goal_ms"] == 35.0) == has_goal && kinds.contains(&&json!("goal-missed")) == has_goal, "{scenario}: {kinds:?}");
        assert_eq!(live["migrations"].as_array().unwrap().len(), result.actions());
        assert!(!read["decisions"].as_array().unwrap().is_empty() && !read["instances"].as_array().unwrap().is_empty());
        let started: Vec<f64> = read["decisions"].as_array().unwrap().iter().map(|one| one["at_s"].as_f64().unwrap()).collect();
        assert!(started.is_sorted(), "{started:?}");
    }
}

#[test]
fn what_is_missing_from_a_folder_is_said_and_what_is_damaged_is_named() {
    let run = Run::of("heron-wordcount", "ds2");
    let result = run.simulate(|_| {});
    let written = || {
        let folder = tempfile::tempdir().unwrap();
        record::write(folder.path(), &run.manifest, &result).unwrap();
        folder
    };
    let folder = written();
    fs::remove_file(folder.path().join("instances.csv")).unwrap();
    fs::remove_file(folder.path().join("summary.json")).unwrap();
    let mut manifest = run.manifest.clone();
    manifest.scenario = None;
    let story = as_json(&Model::of_folder(folder.path(), &manifest).unwrap().story());
    assert_eq!(story["about"]["notes"].as_array().unwrap().len(), 2, "{}", story["about"]["notes"]);
    assert_eq!(story["edges"], json!([[0, 1], [1, 2], [2, 3]]), "operators in a chain");
    manifest.operators.truncate(1);
    assert!(Model::of_folder(folder.path(), &manifest).is_ok(), "rows of unknown operators are ignored");
    manifest.operators.clear();
    assert!(Model::of_folder(folder.path(), &manifest).is_ok());

    for (file, damage, expected) in [
        ("timeline.csv", "window_start_s,window_end_s\n1,x\n", "timeline.csv, line 2: expected"),
        ("latency.csv", "a,b\n1\n", "latency.csv, line 2: expected 2 fields"),
        ("instances.csv", "window_start_s\n1\n", "instances.csv, line 2: expected a column for every field"),
        ("decisions.jsonl", "{}\n", "decisions.jsonl, line 1: expected one JSON Event"),
        ("summary.json", "[1,", "summary.json, line 1: expected a JSON"),
    ] {
        let folder = written();
        fs::write(folder.path().join(file), damage).unwrap();
        let error = Model::of_folder(folder.path(), &run.manifest).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    for (file, harmless) in
        [("timeline.csv", ""), ("latency.csv", ""), ("decisions.jsonl", "\n\n"), ("instances.csv", ""), ("summary.json", "{}")]
    {
        let folder = written();
        fs::write(folder.path().join(file), harmless).unwrap();
        let story = Model::of_folder(folder.path(), &run.manifest).unwrap().story();
        assert!(page::frozen(&story).contains("id=\"story\""), "{file}");
    }
    // Figures that are none.
    let folder = written();
    let text = fs::read_to_string(folder.path().join("timeline.csv")).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let nasty = rows.replace(",0.0,", ",NaN,").replace(",1.0,", ",inf,");
    fs::write(folder.path().join("timeline.csv"), format!("{header}\n{nasty}")).unwrap();
    let story = serde_json::to_string(&Model::of_folder(folder.path(), &run.manifest).unwrap().story()).unwrap();
    serde_json::from_str::<Value>(&story).expect("JSON has no such numbers");
}

/// Another program reads what `/metrics` says, at every stage of a run.
#[test]
fn metrics_are_as_prometheus_wants_them() {
    let mut run = Run::of("heron-wordcount", "critical-path");
    run.manifest.policy = "quoted \" back\\slash \n line".to_owned();
    let (board, mut teller) = run.board();
    let read = |text: String| {
        let lines = text.lines().map(|line| Ok(line.to_owned()));
        prometheus_parse::Scrape::parse(lines).expect("the text format")
    };
    assert!(read(board.read(prometheus::text)).samples.len() >= 2, "before the first window");
    let result = run.simulate(|status| teller.window(&status));
    teller.end(State::Finished, &result.events, [("records".to_owned(), 1.0)].into());
    let text = board.read(prometheus::text);
    let scrape = read(text.clone());
    let value = |name: &str, operator: &str| {
        let found = scrape.samples.iter().find(|sample| sample.metric == name && sample.labels.get("operator").unwrap_or("") == operator);
        match found.unwrap_or_else(|| panic!("expected {name} of {operator}, found none")).value {
            prometheus_parse::Value::Gauge(value) | prometheus_parse::Value::Counter(value) => value,
            ref other => panic!("{name}: {other:?}"),
        }
    };
    assert_eq!(value("thalweg_instances", "count"), f64::from(result.last_configuration().iter().nth(2).unwrap().1));
    assert_eq!(value("thalweg_recommended_parallelism", "count"), value("thalweg_instances", "count"));
    assert_eq!(value("thalweg_run_running", ""), 0.0);
    assert!(value("thalweg_critical_path_share_ratio", "count") > 0.0);
    let histogram = scrape.samples.iter().find_map(|sample| match &sample.value {
        prometheus_parse::Value::Histogram(buckets) if sample.metric == "thalweg_latency_seconds" => Some(buckets),
        _ => None,
    });
    let buckets = histogram.expect("a histogram");
    assert!(buckets.len() == 17 && buckets.is_sorted_by(|a, b| a.less_than < b.less_than && a.count <= b.count), "{buckets:?}");
    let records: u64 = result.latency.iter().map(|row| row.records).sum();
    assert_eq!(buckets.last().unwrap().count, records as f64);
    // Every metric is announced once, with its kind, before its samples; names are as they should be.
    let mut announced = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().unwrap();
            assert!(!announced.contains(&name), "{name} twice");
            assert_eq!(name.ends_with("_total"), rest.ends_with(" counter"), "{rest}");
            announced.push(name);
        } else if !line.starts_with('#') {
            assert!(announced.last().is_some_and(|name| line.starts_with(name)), "{line}");
        }
    }
}

/// The dashboard and the page about it name metrics that exist.
#[test]
fn the_dashboard_and_the_documentation_name_what_there_is() {
    let run = Run::of("heron-wordcount", "critical-path");
    let (board, mut teller) = run.board();
    let result = run.simulate(|status| teller.window(&status));
    teller.end(State::Finished, &result.events, [].into());
    let text = board.read(prometheus::text);
    let mut known: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    // Without a goal there is none.
    known.push("thalweg_latency_goal_seconds");
    let named = |text: &str| -> Vec<String> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words = text.match_indices("thalweg_").map(|(at, _)| text[at..].chars().take_while(|c| is_part(*c)).collect::<String>());
        words.map(|word| word.trim_end_matches("_bucket").to_owned()).collect()
    };
    let dashboard = include_str!("../../../docs/grafana-dashboard.json");
    serde_json::from_str::<Value>(dashboard).expect("JSON");
    let documentation = include_str!("../../../docs/live.md");
    for word in named(dashboard).into_iter().chain(named(documentation)) {
        assert!(known.contains(&word.as_str()), "{word} is no metric");
    }
    let documented = named(documentation);
    for metric in known {
        assert!(documented.iter().any(|word| word == metric), "{metric} is not documented");
    }
}

/// Ten thousand operators with a hundred instances each: the page gets the busiest, and says so.
#[test]
fn a_very_large_job_has_a_small_story() {
    let story = very_large();
    let window = &story.windows[0];
    assert!(window.operators.len() == 200 && window.left_out == 9_800 && window.operators.iter().any(|at| at.operator == 7_777));
    assert_eq!(story.about.notes.len(), 2);
    let size = page::frozen(&story).len();
    assert!(size < 5_000_000, "{size} bytes");
}

/// An hour of a usual job.
#[test]
fn an_hour_fits_in_five_megabytes() {
    let topology = Run::of("diamond", "hold").scenario.job().topology;
    let mut model = Model::new(About::default(), &topology);
    for window in 0..7_200u32 {
        let (window_start_s, window_end_s) = (f64::from(window) / 2.0, f64::from(window + 1) / 2.0);
        let noise = f64::from(window.wrapping_mul(2_654_435_761) >> 8) / 1e3;
        let row = |operator: &Operator| TimelineRow {
            window_start_s,
            window_end_s,
            operator: operator.name.clone(),
            parallelism: 16,
            offered_per_s: Some(noise),
            utilisation: noise % 1.0,
            queue_records: window.into(),
            true_processing_per_s: Some(noise),
            ..TimelineRow::default()
        };
        let instance = |number: u32| InstanceRow {
            window_start_s,
            window_end_s,
            operator: topology.operators()[1].name.clone(),
            instance: number,
            utilisation: noise % 1.0,
            ..InstanceRow::default()
        };
        let latency = LatencyRow { window_start_s, window_end_s, records: 5, latency_ns_p99: Some(noise as u64), ..LatencyRow::default() };
        model.window(topology.operators().iter().map(row).collect(), latency, (0..64).map(instance).collect());
        if window % 4 == 0 {
            let path = (0..6).map(|_| PathShare {
                kind: EpochPieceKind::Queueing,
                operator: "expensive".to_owned(),
                waiting: String::new(),
                share: noise % 1.0,
                mean_ms: noise,
                predicted_ms: None,
            });
            let reason = Reason { path: path.collect(), ..Reason::new("hold") };
            model.event(Event { at: Timestamp((window_end_s * 1e9) as u64), kind: EventKind::Held { reason } });
        }
    }
    model.finish(State::Finished, [].into());
    let story = model.story();
    let size = page::frozen(&story).len();
    assert!(size < 5_000_000, "{size} bytes");
    assert!(story.windows_combined > 1 && story.windows.last().unwrap().end_s == 3_600.0);
}
