//! Over HTTP, with the program itself: what can go wrong on the way, credentials, kills.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use thalweg::flink::{Address, Credentials, HttpLink, Link, LinkError, Request};

use super::fake::Fake;
use super::server::{Fault, Server};

fn thalweg(server: &Server, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
    command.args(["drive", "flink", "--rest", &server.address]).args(words).stdin(Stdio::null());
    for name in ["THALWEG_FLINK_TOKEN", "THALWEG_FLINK_USER", "THALWEG_FLINK_PASSWORD"] {
        command.env_remove(name);
    }
    command
}

fn overloaded() -> Fake {
    Fake { checkpoints_every_ms: Some(200.0), ..Fake::new(900.0, [1.8, 2.6, 0.1]) }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn whatever_is_wrong_with_an_answer_is_said_and_not_waited_for() {
    let server = Server::start(overloaded(), 1.0);
    let mut link = HttpLink::new(Address::read(&server.address).unwrap(), Credentials::default(), Duration::from_millis(400), || false);
    let mut ask = |fault: Fault| {
        server.set(fault);
        link.ask(&Request::get("/jobs/overview"))
    };
    assert_eq!(ask(Fault::None).unwrap().status, 200);
    assert_eq!(ask(Fault::Status(503, "busy".to_owned())).unwrap().status, 503);
    assert!(ask(Fault::Html).unwrap().body.starts_with("<!DOCTYPE"));
    assert_eq!(ask(Fault::Empty).unwrap().body, "");
    assert_eq!(ask(Fault::Redirect), Err(LinkError::Redirected(302)));
    assert_eq!(ask(Fault::NotText), Err(LinkError::NotText));
    assert!(matches!(ask(Fault::Huge), Err(LinkError::TooLarge(_) | LinkError::TimedOut(_))));
    assert!(matches!(ask(Fault::Slow), Err(LinkError::TimedOut(_))));
    assert!(matches!(ask(Fault::Silent), Err(LinkError::TimedOut(_) | LinkError::Unreachable(_))));
    for fault in [Fault::Truncated, Fault::NotHttp] {
        assert!(matches!(ask(fault.clone()), Err(LinkError::Unreachable(_) | LinkError::TimedOut(_))), "{fault:?}");
    }
    assert_eq!(ask(Fault::None).unwrap().status, 200, "and then it goes on");
    let nobody = Address::read("http://127.0.0.1:1").unwrap();
    let error = HttpLink::new(nobody, Credentials::default(), Duration::from_secs(2), || false).ask(&Request::get("/")).unwrap_err();
    assert!(matches!(error, LinkError::Unreachable(_)));
}

#[test]
fn a_cluster_that_is_none_is_an_error_of_one_line() {
    let server = Server::start(overloaded(), 1.0);
    for (fault, code, expected) in [
        (Fault::Html, 1, "HTML"),
        (Fault::Redirect, 2, "redirect"),
        (Fault::Empty, 1, "expected JSON, found nothing"),
        (Fault::Status(401, "{\"errors\":[\"who are you\"]}".to_owned()), 2, "right credential"),
        (Fault::Status(404, "nope".to_owned()), 1, "404"),
        (Fault::Status(500, "{\"errors\":[\"Internal server error.\",\"<Exception on server side:\\nX: y\"]}".to_owned()), 1, "500: X: y"),
        (Fault::Huge, 1, "at most"),
        (Fault::NotText, 1, "UTF-8"),
    ] {
        server.set(fault.clone());
        let output = thalweg(&server, &["--timeout", "5s"]).output().unwrap();
        let said = said(&output);
        assert_eq!(
            (output.status.code(), said.contains(expected), said.contains("panicked")),
            (Some(code), true, false),
            "{fault:?}: {said}"
        );
    }
    let wrong = |words: &[&str], expected: &str| {
        server.set(Fault::None);
        let output = thalweg(&server, words).output().unwrap();
        assert_eq!((output.status.code(), said(&output).contains(expected)), (Some(2), true), "{words:?}: {}", said(&output));
    };
    wrong(&["--job", "orders"], "'pipeline'");
    wrong(&["--job", &"0".repeat(32)], "expected one of");
    wrong(&["--bounds", "cuont=1..2"], "'count'");
    wrong(&["--bounds", "count=65..70"], "at most 64");
    wrong(&["--exclude", "x"], "'count'");
    wrong(&["--policy", "ds3"], "'ds2'");
    wrong(&["--set", "x=1"], "expected a parameter");
    wrong(&["--interval", "0s"], "100ms");
    wrong(&["--interval", "1s", "--poll", "2s"], "half");
    wrong(&["--slots", "0"], "at least 1");
    wrong(&["--excluded-time", "now"], "22:00");
    wrong(&["--time-factor", "NaN"], "found NaN");
    assert!(server.fake(|fake| fake.puts().is_empty()));
}

#[test]
fn no_credential_is_ever_shown() {
    let server = Server::start(overloaded(), 1.0);
    let folder = tempfile::tempdir().unwrap();
    for (number, (fault, set)) in [
        (Fault::None, [("THALWEG_FLINK_TOKEN", "t0psecret"), ("X", "")]),
        (Fault::Echo, [("THALWEG_FLINK_TOKEN", "t0psecret"), ("X", "")]),
        (Fault::Echo, [("THALWEG_FLINK_USER", "admin"), ("THALWEG_FLINK_PASSWORD", "t0psecret")]),
        (Fault::None, [("THALWEG_FLINK_TOKEN", "t0psecret\u{1}"), ("X", "")]),
    ]
    .into_iter()
    .enumerate()
    {
        server.set(fault);
        let out = folder.path().join(number.to_string());
        let words = [
            "--policy",
            "hold",
            "--interval",
            "200ms",
            "--windows",
            "2",
            "--stabilisation",
            "0s",
            "--record",
            "--out",
            out.to_str().unwrap(),
        ];
        let output = thalweg(&server, &words).envs(set).output().unwrap();
        let encoded = "YWRtaW46dDBwc2VjcmV0";
        assert!(!said(&output).contains("t0psecret") && !said(&output).contains(encoded), "{}", said(&output));
        for file in std::fs::read_dir(&out).into_iter().flatten() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            assert!(!text.contains("t0psecret") && !text.contains(encoded) && !text.contains("s3cret"));
        }
    }
    let sent = server.authorizations();
    assert!(sent.iter().any(|header| header.as_deref() == Some("Bearer t0psecret")) && !sent.contains(&None));
    let output = Command::new(env!("CARGO_BIN_EXE_thalweg"))
        .args(["drive", "flink", "--rest", "http://admin:t0psecret@127.0.0.1:1"])
        .output()
        .unwrap();
    assert_eq!((output.status.code(), said(&output).contains("t0psecret")), (Some(2), false));
}

#[test]
fn a_drive_over_http_rescales_is_recorded_and_decides_the_same_offline() {
    let server = Server::start(overloaded(), 1.0);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("driven");
    let words = [
        "--policy",
        "ds2",
        "--interval",
        "500ms",
        "--stabilisation",
        "300ms",
        "--windows",
        "5",
        "--time-factor",
        "60",
        "--record",
        "--out",
        out.to_str().unwrap(),
    ];
    let output = thalweg(&server, &words).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let puts = server.fake(|fake| fake.puts().len());
    assert!((1..=3).contains(&puts), "{}", said(&output));
    let (decisions, session) = (std::fs::read_to_string(out.join("decisions.jsonl")).unwrap(), out.join("session.jsonl"));
    assert!(decisions.contains("rescaling"));
    let again = folder.path().join("again");
    let replayed = Command::new(env!("CARGO_BIN_EXE_thalweg"))
        .args(["drive", "flink", "--session", session.to_str().unwrap(), "--out", again.to_str().unwrap(), "--json"])
        .output()
        .unwrap();
    assert!(replayed.status.success(), "{}", said(&replayed));
    assert_eq!(std::fs::read_to_string(again.join("decisions.jsonl")).unwrap(), decisions);
    // A session that is cut, or is none, is an error that names the line.
    let whole = std::fs::read_to_string(&session).unwrap();
    for (text, expected) in [
        ("", "line 1"),
        ("{}\n", "line 1"),
        (&whole[..whole.len() - 9], "line"),
        ("{\"thalweg_flink_session\":1,\"options\":[\"flink\",\"--policy=external\",\"--rest=x\"]}\n", "external"),
    ] {
        let path = folder.path().join("cut.jsonl");
        std::fs::write(&path, text).unwrap();
        let output =
            Command::new(env!("CARGO_BIN_EXE_thalweg")).args(["drive", "flink", "--session", path.to_str().unwrap()]).output().unwrap();
        assert_eq!((output.status.code(), said(&output).contains(expected)), (Some(2), true), "{expected}: {}", said(&output));
    }
}

#[test]
fn analyze_reads_alone_and_names_the_bottleneck() {
    let server = {
        let mut fake = Fake::new(900.0, [0.4, 2.6, 0.1]);
        fake.advance(fake.now_ms + 5000.0);
        Server::start(fake, 1.0)
    };
    let output =
        Command::new(env!("CARGO_BIN_EXE_thalweg")).args(["analyze", "--flink", &server.address, "--for", "1500ms"]).output().unwrap();
    let said = said(&output);
    assert!(output.status.success() && said.contains("for 'count'"), "{said}");
    assert!(server.fake(|fake| fake.log.iter().all(|logged| logged.method == "GET")));
}

#[test]
fn a_process_that_is_killed_leaves_the_job_and_another_goes_on() {
    let mut random = fastrand::Rng::with_seed(9);
    for _ in 0..4 {
        let server = Server::start(overloaded(), 1.0);
        let words = ["--policy", "ds2", "--interval", "300ms", "--stabilisation", "200ms", "--time-factor", "60"];
        let mut first = thalweg(&server, &words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Killed at a request, not at a time: wherever the machine is slow.
        let at = random.usize(5..120);
        while server.fake(|fake| fake.log.len()) < at && first.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        first.kill().unwrap();
        first.wait().unwrap();
        let output = thalweg(&server, &[&words[..], &["--windows", "6"]].concat()).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let puts: Vec<String> = server.fake(|fake| fake.puts().iter().map(|body| (*body).to_owned()).collect());
        assert!(!puts.is_empty() && puts.windows(2).all(|pair| pair[0] != pair[1]), "{puts:?} {}", said(&output));
        assert_eq!(server.fake(|fake| fake.state.clone()), "RUNNING");
    }
}
