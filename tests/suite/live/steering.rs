//! Steering a run: what was asked for takes effect, is logged with who asked, and is the same when it is simulated again; what
//! may not be asked for has no effect.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::Value;
use thalweg::controller::{Command as Asked, Event, EventKind, Request};
use thalweg::dataflow::Plan;
use thalweg::experiment::commands::{Commander, Commands, Unheard};
use thalweg::experiment::policies::{Given, policy_with};
use thalweg::experiment::record::ROW_WINDOW;
use thalweg::experiment::run::{RunResult, Status};
use thalweg::experiment::simulated::{SimulatedSpec, simulate_steered};
use thalweg::id::OperatorId;
use thalweg::live::server::{Control, Limits, Server};
use thalweg::live::teller::Board;
use thalweg::live::{Model, State, folder};

use super::{Ended, Run};

/// Simulates `run` with requests from `commands`.
fn steered(run: &Run, commands: Commands, show: impl FnMut(Status<'_>)) -> RunResult {
    let job = run.scenario.job();
    let given = Given { settings: run.settings.clone(), best: Vec::new() };
    let policy = policy_with(&run.scenario.control.policy, &job.topology, run.scenario.control.time_factor, &given).unwrap();
    let spec = SimulatedSpec { job, seed: 1, controller: run.scenario.controller(), policy, row_window: ROW_WINDOW };
    simulate_steered(spec, commands, None, show).unwrap()
}

/// Asks for what is due by the number of windows that have closed.
fn asking(to: Commander, mut requests: Vec<(usize, Asked)>) -> impl FnMut(Status<'_>) {
    let mut windows = 0;
    requests.reverse();
    move |_| {
        windows += 1;
        while requests.last().is_some_and(|(at, _)| *at <= windows) {
            let (_, command) = requests.pop().unwrap();
            to.ask(Request { who: "anna".to_owned(), command }).unwrap();
        }
    }
}

fn requests(events: &[Event]) -> Vec<(f64, &Request, Option<&String>)> {
    events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Steered { request, refused } => Some((event.at.as_secs_f64(), request, refused.as_ref())),
            _ => None,
        })
        .collect()
}

fn plans(events: &[Event]) -> Vec<(f64, String, Plan)> {
    let plan = |event: &Event| match &event.kind {
        EventKind::Rescaling { plan, reason, .. } => Some((event.at.as_secs_f64(), reason.rule.clone(), plan.clone())),
        _ => None,
    };
    events.iter().filter_map(plan).collect()
}

#[test]
fn a_paused_controller_starts_no_plan_of_the_policy_until_it_is_resumed() {
    let run = Run::of("heron-wordcount", "ds2").lasting(30.0);
    let (to, commands) = Commands::channel();
    let result = steered(&run, commands, asking(to.clone(), vec![(1, Asked::Pause), (30, Asked::Resume)]));
    assert_eq!(requests(&result.events).len(), 2);
    let resumed_s = requests(&result.events)[1].0;
    assert!(plans(&result.events).iter().all(|(at, ..)| *at > resumed_s) && !plans(&result.events).is_empty());
    let withheld = result.events.iter().filter(|event| matches!(event.kind, EventKind::Withheld { .. })).count();
    assert!(withheld > 3, "what the policy asks for is logged, found {withheld}");
    assert!(result.events.windows(2).all(|pair| pair[0].at <= pair[1].at), "in order of time");
    assert_eq!(to.ask(Request { who: String::new(), command: Asked::Pause }), Err(Unheard::Ended));
}

#[test]
fn an_operator_that_is_held_stays_as_it_is() {
    let run = Run::of("heron-wordcount", "ds2").lasting(30.0);
    let count = OperatorId(2);
    let (to, commands) = Commands::channel();
    let result = steered(&run, commands, asking(to, vec![(1, Asked::Hold { operator: count }), (40, Asked::Release { operator: count })]));
    let released_s = requests(&result.events)[1].0;
    let (before, after): (Vec<_>, Vec<_>) = plans(&result.events).into_iter().partition(|(at, ..)| *at < released_s);
    assert!(!before.is_empty() && before.iter().all(|(_, _, plan)| !plan.changes(count)), "{before:?}");
    assert!(after.iter().any(|(_, _, plan)| plan.changes(count)), "{after:?}");
}

#[test]
fn a_plan_by_hand_is_carried_out_and_a_wrong_one_is_refused() {
    let run = Run::of("heron-wordcount", "hold").lasting(20.0);
    let apply = |instances| Asked::Apply { plan: Plan::rescale(OperatorId(2), instances) };
    let (to, commands) = Commands::channel();
    let asked = vec![(3, Asked::Pause), (5, apply(7)), (12, apply(7)), (20, apply(100_000)), (24, Asked::Goal { goal_ms: 50.0 })];
    let result = steered(&run, commands, asking(to, asked));
    let begun = plans(&result.events);
    assert_eq!(begun.len(), 1, "{begun:?}");
    assert_eq!((begun[0].1.as_str(), &begun[0].2), ("by-hand", &Plan::rescale(OperatorId(2), 7)));
    assert_eq!(result.configurations.last().unwrap().1.parallelism(OperatorId(2)), 7);
    assert_eq!(result.events.iter().filter(|event| matches!(event.kind, EventKind::Refused { .. })).count(), 2);
    let goal = requests(&result.events)[4].2;
    assert_eq!(goal.map(String::as_str), Some("policy 'hold' has no latency goal"));
    assert_eq!((result.verdict.lost, result.verdict.duplicated), (0, 0));
}

#[test]
fn another_goal_is_what_the_policy_decides_for() {
    let run = Run::of("heron-wordcount", "critical-path").lasting(30.0);
    let (to, commands) = Commands::channel();
    let result = steered(&run, commands, asking(to, vec![(30, Asked::Goal { goal_ms: 40.0 })]));
    let asked_s = requests(&result.events)[0].0;
    let goals = result.events.iter().filter_map(|event| Some((event.at.as_secs_f64(), *event.kind.reason()?.values.get("goal ms")?)));
    let goals: Vec<(f64, f64)> = goals.collect();
    assert!(!goals.is_empty() && goals.iter().all(|(at, goal)| *at > asked_s && *goal == 40.0), "{goals:?}");
}

/// The requests in a decision log, at their times, give the same run again.
#[test]
fn a_steered_run_can_be_simulated_again_from_its_log() {
    let run = Run::of("heron-wordcount", "critical-path").lasting(30.0);
    let apply = Asked::Apply { plan: Plan::rescale(OperatorId(1), 3).and(OperatorId(2), 9) };
    let hold = Asked::Hold { operator: OperatorId(1) };
    let (to, commands) = Commands::channel();
    let asked = vec![(2, hold), (9, Asked::Goal { goal_ms: 80.0 }), (17, apply), (25, Asked::Pause), (40, Asked::Resume)];
    let first = steered(&run, commands, asking(to, asked));
    assert_eq!(requests(&first.events).len(), 5);
    let again = steered(&run, Commands::recorded(&first.events), |_| {});
    assert_eq!(again.events, first.events);
    assert_eq!(again.timeline, first.timeline);
}

fn send(to: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    let _ = stream.write_all(request.as_bytes());
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn post(to: SocketAddr, headers: &str, body: &str) -> String {
    send(to, &format!("POST /api/control HTTP/1.1\r\nHost: {to}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()))
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or("none")
}

/// A server of a run that listens to nobody yet, with the other end of its requests.
fn served() -> (Server, SocketAddr, Arc<Control>, Commands) {
    let run = Run::of("heron-wordcount", "hold");
    let topology = run.scenario.job().topology;
    let board = Board::new(Model::new(folder::about(&run.manifest, State::Running), &topology));
    let (to, commands) = Commands::channel();
    let control = Control::new(topology, to).unwrap();
    let server = Server::steering(board, "127.0.0.1:0".parse().unwrap(), Limits::default(), Some(Arc::clone(&control))).unwrap();
    let address = server.address();
    (server, address, control, commands)
}

#[test]
fn who_may_not_steer_has_no_effect() {
    let (server, at, control, commands) = served();
    let token = format!("X-Thalweg-Token: {}\r\n", control.token());
    let pause = r#"{"command":"pause"}"#;
    for (headers, body, expected) in [
        (String::new(), pause, "401"),
        ("X-Thalweg-Token: \r\n".to_owned(), pause, "401"),
        (format!("X-Thalweg-Token: {}x\r\n", control.token()), pause, "401"),
        (format!("X-Thalweg-Token: {}\r\n", "0".repeat(32)), pause, "401"),
        (format!("{token}Origin: http://evil.example\r\n"), pause, "403"),
        (format!("{token}Origin: null\r\n"), pause, "403"),
        (token.clone(), "", "400"),
        (token.clone(), "pause", "400"),
        (token.clone(), r#"{"command":"stop"}"#, "400"),
        (token.clone(), r#"{"command":"hold","operator":"counts"}"#, "400"),
        (token.clone(), r#"{"command":"hold","operator":"source"}"#, "400"),
        (token.clone(), r#"{"command":"apply","plan":"count"}"#, "400"),
        (token.clone(), r#"{"command":"goal","goal_ms":-1}"#, "400"),
        (token.clone(), r#"{"command":"pause","more":1}"#, "400"),
        (token.clone(), &"x".repeat(5000), "413"),
    ] {
        let found = post(at, &headers, body);
        assert_eq!(status(&found), expected, "{headers:?} {body}: {found}");
        assert!(!found.contains(control.token()), "the token is never told");
    }
    for path in ["/", "/api", "/api/story", "/api/control", "/live.js"] {
        assert!(!send(at, &format!("GET {path} HTTP/1.1\r\nHost: {at}\r\n\r\n")).contains(control.token()), "{path}");
    }
    // A browser asks beforehand whether a page of another site may send the header; nothing says that it may.
    let asked = send(at, &format!("OPTIONS /api/control HTTP/1.1\r\nHost: {at}\r\nOrigin: http://evil.example\r\n\r\n"));
    assert_eq!(status(&asked), "403");
    // A run that takes up what was asked for finds nothing.
    drop(server);
    let result = steered(&Run::of("heron-wordcount", "hold").lasting(5.0), commands, |_| {});
    assert!(requests(&result.events).is_empty());
}

#[test]
fn twenty_requests_a_second_are_too_many() {
    let (_server, at, control, _commands) = served();
    let token = format!("X-Thalweg-Token: {}\r\n", control.token());
    let count = |headers: &str, body: &str, expected: &str| {
        let found: Vec<String> = (0..20).map(|_| post(at, headers, body)).collect();
        let passed = found.iter().filter(|answer| status(answer) == expected).count();
        assert!(found.iter().all(|answer| [expected, "429"].contains(&status(answer))), "{found:?}");
        assert!((10..20).contains(&passed), "expected 10 and what comes back meanwhile, found {passed}");
    };
    // Those who guess do not keep the owner out.
    count("X-Thalweg-Token: guess\r\n", r#"{"command":"pause"}"#, "401");
    count(&token, r#"{"command":"pause"}"#, "202");
}

/// All commands over HTTP, against a program that simulates at a pace.
#[test]
fn a_running_program_is_steered_and_its_folder_tells_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
        command.current_dir(folder.path()).env_remove("RUST_BACKTRACE");
        command
    };
    let args = "simulate heron-wordcount --policy critical-path --seconds 60 --pace 8x --live 0 --live-control --out out";
    let mut child = Ended(program().args(args.split(' ')).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = std::io::BufReader::new(child.0.stderr.take().unwrap());
    let (at, token) = loop {
        let mut line = String::new();
        assert!(std::io::BufRead::read_line(&mut lines, &mut line).unwrap() > 0, "expected a line with a token");
        if let Some((page, token)) = line.trim_end().split_once("/#token=") {
            break (page.rsplit_once("//").unwrap().1.parse::<SocketAddr>().unwrap(), token.to_owned());
        }
    };
    let headers = format!("X-Thalweg-Token: {token}\r\nOrigin: http://{at}\r\n");
    for body in [
        r#"{"command":"pause","who":"anna"}"#,
        r#"{"command":"apply","plan":"count=3, flatmap=2","who":"anna"}"#,
        r#"{"command":"hold","operator":"count","who":"anna"}"#,
        r#"{"command":"goal","goal_ms":70,"who":"anna"}"#,
        r#"{"command":"release","operator":"count"}"#,
        r#"{"command":"resume","who":"anna\u0007"}"#,
    ] {
        let found = post(at, &headers, body);
        assert_eq!(status(&found), "202", "{body}: {found}");
    }
    assert_eq!(status(&post(at, "", r#"{"command":"pause"}"#)), "401");
    let mut told = String::new();
    std::io::Read::read_to_string(&mut lines, &mut told).unwrap();
    assert!(child.0.wait().unwrap().success(), "{told}");
    assert!(told.contains("pause, asked for by anna (127.0.0.1)"), "{told}");

    let log = std::fs::read_to_string(folder.path().join("out/decisions.jsonl")).unwrap();
    let events: Vec<Event> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(requests(&events).len(), 6, "{log}");
    assert!(!log.contains(&token), "the token is not recorded");
    let by_hand = plans(&events).into_iter().find(|(_, rule, _)| rule == "by-hand").expect("the plan was carried out");
    assert_eq!(by_hand.2, Plan::rescale(OperatorId(1), 2).and(OperatorId(2), 3));

    let explained = String::from_utf8(program().args(["explain", "out"]).output().unwrap().stdout).unwrap();
    for part in
        ["controller paused", "count held", "count released", "latency goal 70 ms", "controller resumed", "Asked for by anna (127.0.0.1)."]
    {
        assert!(explained.contains(part), "expected {part}, found {explained}");
    }
    let page = program().args(["report", "--html", "out"]).output().unwrap();
    assert!(page.status.success(), "{page:?}");
    let page = std::fs::read_to_string(folder.path().join("out/run.html")).unwrap();
    assert!(page.contains("controller paused") && page.contains("anna (127.0.0.1) asked for it"));
    let story = &page[page.find("id=\"story\">").unwrap() + 11..];
    let story: Value = serde_json::from_str(&story[..story.find("</script>").unwrap()]).unwrap();
    assert_eq!(story["steered"]["paused_by"], Value::Null);
}

/// The same of a job on the engine: the plan is carried out between two windows, and nothing is lost.
#[test]
fn a_job_on_the_engine_is_steered() {
    let folder = tempfile::tempdir().unwrap();
    let args = "run --policy hold --rate 2000/s --duration 5 --live 0 --live-control --json --out out";
    let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
    command.args(args.split(' ')).current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Ended(command.spawn().unwrap());
    let mut lines = std::io::BufReader::new(child.0.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("/#token=") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut lines, &mut line).unwrap() > 0, "expected a line with a token");
    }
    let (page, token) = line.trim_end().split_once("/#token=").unwrap();
    let at: SocketAddr = page.rsplit_once("//").unwrap().1.parse().unwrap();
    let found = post(at, &format!("X-Thalweg-Token: {token}\r\n"), r#"{"command":"apply","plan":"count=3, flatmap=2","who":"ben"}"#);
    assert_eq!(status(&found), "202", "{found}");
    let mut told = String::new();
    lines.read_to_string(&mut told).unwrap();
    let mut printed = String::new();
    child.0.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert!(child.0.wait().unwrap().success(), "{told}");
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&printed["summary"]["records_lost"], &printed["summary"]["words_miscounted"]), (&0.into(), &0.into()), "{told}");
    let log = std::fs::read_to_string(folder.path().join("out/decisions.jsonl")).unwrap();
    let events: Vec<Event> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let begun = plans(&events);
    assert_eq!(begun.len(), 1, "{log}");
    assert_eq!((begun[0].1.as_str(), &begun[0].2), ("by-hand", &Plan::rescale(OperatorId(1), 2).and(OperatorId(2), 3)));
}

#[test]
fn steering_is_off_by_default() {
    let (board, _teller) = Run::of("heron-wordcount", "hold").board();
    let server = Server::start(board, "127.0.0.1:0".parse().unwrap(), Limits::default()).unwrap();
    let at = server.address();
    assert_eq!(status(&post(at, "X-Thalweg-Token: x\r\n", r#"{"command":"pause"}"#)), "405");
    assert_eq!(status(&send(at, &format!("GET /api/control HTTP/1.1\r\nHost: {at}\r\n\r\n"))), "404");
}
