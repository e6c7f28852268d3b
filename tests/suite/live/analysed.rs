//! The page of an analysis: what it shows of a trace is what the run that wrote it measured and what `analyze` prints, while the trace is
//! being written and afterwards.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use thalweg::engine::{Analysis, AnalysisConfig, AnalysisResult};
use thalweg::live::teller::{Board, Listener};
use thalweg::live::{About, Analyst, Diagnosis, Model, State};

use super::Ended;
use super::chromium::Chromium;

/// Longest wait for what has to come; a test that waits so long fails.
const PATIENCE: Duration = Duration::from_secs(180);

fn thalweg(folder: &Path, args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
    command.args(args.split(' ')).current_dir(folder).env_remove("RUST_BACKTRACE");
    command
}

/// A folder with a recorded run of ten seconds in `out`: it is recorded once for all tests, which takes longer than they do.
fn recorded() -> &'static Path {
    static RECORDED: OnceLock<TempDir> = OnceLock::new();
    let folder = RECORDED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let args = "simulate heron-wordcount --policy critical-path --seconds 10 --record --out out";
        let output = thalweg(folder.path(), args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        folder
    });
    folder.path()
}

/// Its activity log.
fn log() -> Vec<u8> {
    std::fs::read(recorded().join("out/activity.log")).unwrap()
}

/// A page that asks for the story whenever a message is missing, as `front/data.js` does.
#[derive(Clone, Debug)]
struct Page {
    board: Arc<Board>,
    story: Arc<Mutex<Value>>,
}

impl Listener for Page {
    fn hear(&mut self, message: &Arc<str>) {
        let mut news: Value = serde_json::from_str(message).unwrap();
        let mut story = self.story.lock().unwrap();
        if news["number"].as_u64() != story["number"].as_u64().map(|number| number + 1) {
            *story = serde_json::to_value(self.board.story()).unwrap();
            return;
        }
        story["number"] = news["number"].take();
        story["about"]["state"] = news["state"].take();
        story["diagnosis"] = news["diagnosis"].take();
        if !news["window"].is_null() {
            story["windows"].as_array_mut().unwrap().push(news["window"].take());
        }
        story["paths"].as_array_mut().unwrap().append(news["paths"].as_array_mut().unwrap());
        let from = news["warnings"]["from"].as_u64().unwrap() as usize;
        story["warnings"].as_array_mut().unwrap().truncate(from);
        story["warnings"].as_array_mut().unwrap().append(news["warnings"]["items"].as_array_mut().unwrap());
    }
}

/// What is counted from the records of a run is what the run measured itself.
#[test]
fn an_analysis_shows_what_the_run_measured() {
    let folder = recorded();
    let board = Board::new(Model::of_operators(About { is_analysis: true, ..About::default() }, Vec::new()));
    let story = Arc::new(Mutex::new(serde_json::to_value(board.story()).unwrap()));
    let page = Page { board: Arc::clone(&board), story: Arc::clone(&story) };
    board.listen(Box::new(page));
    let mut analyst = Analyst::new(&board);
    let (analysis, results) = Analysis::start(AnalysisConfig::new(Duration::from_secs(1))).unwrap();
    for block in thalweg::readers::open(&[folder.join("out/activity.log")]).unwrap().by_ref() {
        let block = block.unwrap();
        analyst.records(&block);
        analysis.push(block).unwrap();
    }
    thread::scope(|scope| {
        scope.spawn(|| analysis.finish().unwrap());
        for result in results.iter() {
            if let AnalysisResult::Window(summary) = result {
                analyst.window(&summary);
            }
        }
    });
    analyst.diagnosis(Diagnosis { cause: "none".to_owned(), text: "All is well.".to_owned() });
    analyst.end(State::Finished, vec!["A note.".to_owned()]);

    let whole = serde_json::to_value(board.story()).unwrap();
    let heard = story.lock().unwrap();
    for part in ["windows", "paths", "warnings", "diagnosis", "operators", "edges"] {
        assert_eq!(heard[part], whole[part], "{part} of messages and of the story");
    }
    assert_eq!(whole["about"]["state"], "finished");
    assert_eq!(whole["about"]["notes"], json!(["A note."]));
    let names: Vec<&str> = whole["operators"].as_array().unwrap().iter().map(|operator| operator["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["source", "flatmap", "count", "sink"]);
    let roles: Vec<&str> = whole["operators"].as_array().unwrap().iter().map(|operator| operator["role"].as_str().unwrap()).collect();
    assert_eq!((roles[0], roles[2], roles[3]), ("source", "keyed", "sink"));
    assert_eq!(whole["edges"], json!([[0, 1], [1, 2], [2, 3]]));
    assert_eq!(whole["feedback"], json!([]));

    // By second, of the page and of the run's own rows, which are of half a second.
    let second = |time: f64| (time - 1e-6).floor() as u64;
    let mut shown: BTreeMap<(u64, String), [f64; 3]> = BTreeMap::new();
    let mut lags = BTreeMap::new();
    for window in whole["windows"].as_array().unwrap() {
        let at = second(window[1].as_f64().unwrap());
        lags.insert(at, [window[2].as_f64().unwrap(), window[3].as_f64().unwrap(), window[4].as_f64().unwrap()]);
        for operator in window[10].as_array().unwrap() {
            let name = names[operator[0].as_u64().unwrap() as usize].to_owned();
            shown.insert((at, name), [1, 2, 6].map(|column: usize| operator[column].as_f64().unwrap()));
        }
    }
    let text = std::fs::read_to_string(folder.join("out/timeline.csv")).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let column = |name: &str| header.iter().position(|found| *found == name).unwrap();
    let mut measured: BTreeMap<(u64, String), Vec<[f64; 6]>> = BTreeMap::new();
    for row in lines {
        let number = |name: &str| row[column(name)].parse::<f64>().unwrap_or(0.0);
        let key = (second(number("window_end_s")), row[column("operator")].to_owned());
        let columns = ["parallelism", "utilisation", "processed_per_s", "offered_per_s", "achieved_per_s", "lag_records"];
        measured.entry(key).or_default().push(columns.map(number));
    }
    // From 3 s to 8 s, after the only rescaling.
    for at in 3..8 {
        for name in ["flatmap", "count"] {
            let of = &measured[&(at, name.to_owned())];
            let mean = |column: usize| of.iter().map(|row| row[column]).sum::<f64>() / of.len() as f64;
            let found = shown[&(at, name.to_owned())];
            assert_eq!(found[0], of[0][0], "instances of {name} at {at}");
            assert!((found[1] - mean(1)).abs() < 0.03, "{name} at {at}: {} busy on the page, {} in the run", found[1], mean(1));
            assert!((found[2] / mean(2) - 1.0).abs() < 0.05, "{name} at {at}: {}/s on the page, {}/s in the run", found[2], mean(2));
        }
        let of = &measured[&(at, "source".to_owned())];
        let mean = |column: usize| of.iter().map(|row| row[column]).sum::<f64>() / of.len() as f64;
        for (place, column) in [(0, 3), (1, 4)] {
            assert!((lags[&at][place] / mean(column) - 1.0).abs() < 0.05, "source at {at}: {:?}, {of:?}", lags[&at]);
        }
        let last = of.last().unwrap()[5];
        assert!((lags[&at][2] - last).abs() <= 0.05 * last + 300.0, "lag at {at}: {} on the page, {last} in the run", lags[&at][2]);
    }
}

/// The address in the first line with one.
fn address(lines: &mut impl BufRead) -> String {
    loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).unwrap() > 0, "expected a line with an address, found none");
        if let Some((_, rest)) = line.split_once("http://") {
            return rest.trim_end().trim_end_matches('/').to_owned();
        }
    }
}

fn story(at: &str) -> Value {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(format!("GET /api/story HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// Writes a little of `rest` after the other: what was read is shown once more arrives.
fn feed(input: &mut impl Write, rest: &mut &[u8]) {
    let (some, others) = rest.split_at(rest.len().min(64));
    input.write_all(some).unwrap();
    *rest = others;
}

/// The story, once it is as expected; a page that never shows it fails by name.
#[allow(clippy::disallowed_methods)]
fn until(at: &str, what: &str, mut holds: impl FnMut(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = story(at);
        if holds(&found) {
            return found;
        }
        assert!(Instant::now() < end, "expected {what}, found {} windows, {}", windows(&found), found["diagnosis"]);
        thread::yield_now();
    }
}

fn windows(story: &Value) -> usize {
    story["windows"].as_array().unwrap().len()
}

/// Half a trace on standard input: the page shows its windows and a diagnosis so far; the rest of it: the last diagnosis is the one that
/// is printed, and the page stays.
#[test]
fn a_page_follows_a_trace_on_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let log = log();
    let mut command = thalweg(folder.path(), "analyze - --json --live 0");
    let mut child = Ended(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stderr.take().unwrap());
    let at = address(&mut lines);
    let first = story(&at);
    assert_eq!((windows(&first), &first["about"]["is_analysis"], &first["about"]["state"]), (0, &json!(true), &json!("running")));
    let mut input = child.0.stdin.take().unwrap();
    input.write_all(&log[..log.len() / 2]).unwrap();
    let mut rest = &log[log.len() / 2..];
    let half = until(&at, "a window and a diagnosis so far", |story| {
        feed(&mut input, &mut rest);
        windows(story) > 0 && !story["diagnosis"].is_null()
    });
    assert_eq!(half["about"]["state"], "running");
    assert_eq!(half["operators"].as_array().unwrap().len(), 4);
    input.write_all(rest).unwrap();
    drop(input);
    let whole = until(&at, "the end", |story| story["about"]["state"] == "finished");
    let printed: Value = serde_json::Deserializer::from_reader(child.0.stdout.take().unwrap()).into_iter().next().unwrap().unwrap();
    assert_eq!(whole["diagnosis"]["text"], printed["diagnosis"]["text"]);
    assert_eq!(windows(&whole), printed["windows"].as_array().unwrap().len());
    assert!(windows(&half) < windows(&whole));
    let shares = whole["paths"].as_array().unwrap().iter().map(|path| path["parts"][0]["share"].as_f64().unwrap());
    assert!(shares.clone().all(|share| share > 0.0 && share <= 1.0), "{:?}", shares.collect::<Vec<_>>());
    assert_eq!(child.0.try_wait().unwrap(), None, "the page stays until Ctrl-C");
    assert!(BufReader::new(lines).lines().map_while(Result::ok).any(|line| line.ends_with("shows the analysis until Ctrl-C")));
}

/// A file that grows is followed until Ctrl-C, which prints the analysis of all that there was.
#[test]
#[cfg(unix)]
fn a_file_that_grows_is_followed_until_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let log = log();
    std::fs::create_dir(folder.path().join("growing")).unwrap();
    let mut file = File::create(folder.path().join("growing/activity.log.partial")).unwrap();
    file.write_all(&log[..log.len() / 2]).unwrap();
    let mut command = thalweg(folder.path(), "analyze growing --follow --live 0 --report page.html");
    let mut child = Ended(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stderr.take().unwrap());
    let at = address(&mut lines);
    // All but the end of the last block, as in the file of a job that goes on.
    let mut rest = &log[log.len() / 2..log.len() - 10];
    let half = windows(&until(&at, "a window", |story| {
        feed(&mut file, &mut rest);
        windows(story) > 0
    }));
    until(&at, "more windows", |story| {
        feed(&mut file, &mut rest);
        windows(story) > half
    });
    file.write_all(rest).unwrap();
    assert_eq!(story(&at)["about"]["state"], "running");
    let asked = Command::new("kill").args(["-INT", &child.0.id().to_string()]).status().unwrap();
    assert!(asked.success());
    let mut printed = String::new();
    child.0.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    let mut told = String::new();
    lines.read_to_string(&mut told).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(130), "{told}");
    assert!(printed.contains("Diagnosis: ") && !told.contains("expected a whole block"), "{printed}\n{told}");
    let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(page.contains("<title>Analysis of growing/activity.log.partial</title>"), "{}", page.len());
}

/// A damaged trace: its page has what was before the damage, and the damage.
#[test]
fn the_page_of_a_damaged_trace_tells_of_the_damage() {
    let folder = tempfile::tempdir().unwrap();
    let log = log();
    std::fs::write(folder.path().join("cut.log"), &log[..log.len() * 3 / 4]).unwrap();
    let output = thalweg(folder.path(), "analyze cut.log --report cut.html").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let page = std::fs::read_to_string(folder.path().join("cut.html")).unwrap();
    assert!(page.contains("\"state\":\"interrupted\"") && page.contains("found the end of the file inside of it"), "{}", page.len());
}

#[test]
fn what_is_wrong_with_a_page_of_an_analysis_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (args, expected) in [
        ("analyze a.log --live here", "--live: expected a port or an address with a port"),
        ("analyze a.log --report none/page.html", "none: expected a folder that exists for the report, found none"),
        ("analyze a.log --live 0 --compare b.log", "cannot be used with"),
        ("analyze a.log --follow --compare b.log", "cannot be used with"),
        ("analyze a.log --open", "--live"),
        ("analyze a.log --follow", "a.log: No such file"),
        ("analyze --live 0", "required arguments were not provided"),
    ] {
        let output = thalweg(folder.path(), args).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1), "{args}: {text}");
        assert!(text.contains(expected), "{args}: expected {expected}, found {text}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_browser_shows_an_analysis() {
    let Some(mut browser) = Chromium::start() else { return };
    let folder = recorded();
    let output = thalweg(folder, "analyze out --report page.html --json").output().unwrap();
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    browser.open(&format!("file://{}", folder.join("page.html").display()));
    browser.until("document.querySelectorAll('#graph-box .box').length === 4");
    let diagnosis = browser.text("document.querySelector('#diagnosis').textContent");
    assert!(diagnosis.starts_with("Diagnosis: ") && diagnosis.ends_with(printed["diagnosis"]["text"].as_str().unwrap()), "{diagnosis}");
    assert_eq!(browser.text("document.title"), "Analysis of out/activity.log");
    for hidden in ["decisions", "migrations"] {
        assert_eq!(browser.value(&format!("document.querySelector('#{hidden}').hidden")), true, "{hidden}");
    }
    browser.until("document.querySelector('#path-box').innerText.includes('work of')");
    browser.until(
        "document.querySelectorAll('#charts canvas').length === 5 && document.querySelectorAll('#instance-table tbody tr').length > 4",
    );
    assert_eq!(browser.console(), Vec::<String>::new());
}
