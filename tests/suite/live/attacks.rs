//! Clients that mean harm, or read nothing: they are turned away or dropped, and the run goes on.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use thalweg::live::State;
use thalweg::live::server::{Limits, Server};
use thalweg::live::teller::Board;

use super::Run;

/// Longest wait for what has to come; a test that waits so long fails.
const PATIENCE: Duration = Duration::from_secs(60);

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that comes back, until the server closes; what was sent may not be read to its end.
fn answer(to: SocketAddr, request: &[u8]) -> String {
    let mut stream = connect(to);
    let _ = stream.write_all(request);
    rest(&mut stream)
}

fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut block = [0; 4096];
    loop {
        match stream.read(&mut block) {
            Ok(0) => break,
            Ok(length) => text.extend_from_slice(&block[..length]),
            // The server closed while there was something left to read for it.
            Err(why) if matches!(why.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => break,
            Err(why) => panic!("the server neither answers nor closes: {why}"),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn get(to: SocketAddr, path: &str) -> String {
    answer(to, format!("GET {path} HTTP/1.1\r\nHost: {to}\r\n\r\n").as_bytes())
}

fn status(answer: &str) -> &str {
    answer.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).unwrap_or("none")
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

fn start(board: &Arc<Board>, limits: Limits) -> (Server, SocketAddr) {
    let server = Server::start(Arc::clone(board), "127.0.0.1:0".parse().unwrap(), limits).unwrap();
    let address = server.address();
    (server, address)
}

#[test]
fn everything_that_there_is_is_served() {
    let run = Run::of("heron-wordcount", "critical-path");
    let (board, mut teller) = run.board();
    let (_server, at) = start(&board, Limits::default());
    let result = run.simulate(|status| teller.window(&status));
    teller.end(State::Finished, &result.events, [].into());
    for (path, kind, part) in [
        ("/", "text/html", "<script src=\"/live.js\">"),
        ("/?x=../../etc", "text/html", "<script"),
        ("/live.js", "text/javascript", "use strict"),
        ("/live.css", "text/css", "--idle"),
        ("/api", "application/json", "/api/story"),
        ("/metrics", "text/plain; version=0.0.4", "thalweg_instances{operator=\"count\"}"),
    ] {
        let found = get(at, path);
        assert_eq!(status(&found), "200", "{path}");
        let lower = found.to_lowercase();
        for header in [
            &format!("content-type: {kind}"),
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'none'",
            "cache-control: no-store",
        ] {
            assert!(lower.contains(header), "{path}: expected {header}, found {found}");
        }
        assert!(body(&found).contains(part), "{path}");
    }
    let story: Value = serde_json::from_str(body(&get(at, "/api/story"))).unwrap();
    assert_eq!(story["version"], 1);
    assert_eq!(story["windows"].as_array().unwrap().len(), result.latency.len());
    let head = answer(at, format!("HEAD /api/story HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes());
    assert!(status(&head) == "200" && body(&head).is_empty(), "{head}");
}

#[test]
fn what_is_wrong_is_refused_and_the_next_is_served() {
    let (board, _teller) = Run::of("heron-wordcount", "hold").board();
    let (_server, at) = start(&board, Limits::default());
    let with = |head: &str| answer(at, head.as_bytes());
    for (request, expected) in [
        // Names that are not ours: a page of another site that had its name point here.
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(), "403"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "403"),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), "403"),
        (format!("GET / HTTP/1.1\r\nHost: {at}\r\nHost: evil.example\r\n\r\n"), "403"),
        (format!("GET http://evil.example/ HTTP/1.1\r\nHost: {at}\r\n\r\n"), "403"),
        ("GET / HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n".to_owned(), "403"),
        (format!("GET /api/story HTTP/1.1\r\nHost: {at}\r\nOrigin: http://evil.example\r\n\r\n"), "403"),
        (format!("GET /api/story HTTP/1.1\r\nHost: {at}\r\nOrigin: null\r\n\r\n"), "403"),
        (format!("POST /api/story HTTP/1.1\r\nHost: {at}\r\nOrigin: http://evil.example\r\nContent-Length: 2\r\n\r\n{{}}"), "403"),
        // Nothing can be changed.
        (format!("POST /api/story HTTP/1.1\r\nHost: {at}\r\nContent-Length: 2\r\n\r\n{{}}"), "405"),
        (format!("DELETE / HTTP/1.1\r\nHost: {at}\r\n\r\n"), "405"),
        (format!("OPTIONS * HTTP/1.1\r\nHost: {at}\r\n\r\n"), "405"),
        // No file is read.
        (format!("GET /../Cargo.toml HTTP/1.1\r\nHost: {at}\r\n\r\n"), "404"),
        (format!("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: {at}\r\n\r\n"), "404"),
        (format!("GET //etc/passwd HTTP/1.1\r\nHost: {at}\r\n\r\n"), "404"),
        (format!("GET /live.js/../../Cargo.toml HTTP/1.1\r\nHost: {at}\r\n\r\n"), "404"),
        (format!("GET /live.js%00 HTTP/1.1\r\nHost: {at}\r\n\r\n"), "404"),
        // What is no request.
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), "400"),
        (format!("GET /\u{0} HTTP/1.1\r\nHost: {at}\r\n\r\n"), "400"),
        ("\r\n\r\n\r\nxx\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\nHost: {at}\r\nno colon\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\nHost: {at}\r\nX: {}\r\n\r\n", "x".repeat(1_000_000)), "431"),
        (format!("GET /{} HTTP/1.1\r\nHost: {at}\r\n\r\n", "x".repeat(1_000_000)), "414|431"),
        (format!("GET / HTTP/1.1\r\nHost: {at}\r\n{}\r\n", "A: b\r\n".repeat(2_000)), "431"),
    ] {
        let found = with(&request);
        // A server that closes while much is still to come may have its answer thrown away.
        let turned_away = found.is_empty() && request.len() > 10_000;
        let shown = &request[..request.len().min(80)];
        assert!(turned_away || expected.contains(status(&found)), "{shown:?}: expected {expected}, found {found}");
        assert_eq!(status(&get(at, "/api")), "200", "after {shown:?}");
    }
}

/// Clients that send their headers for ever, or never begin.
#[test]
fn slow_requests_are_dropped() {
    let (board, _teller) = Run::of("heron-wordcount", "hold").board();
    let (_server, at) = start(&board, Limits { header_time: Duration::from_secs(1), ..Limits::default() });
    let mut slow: Vec<TcpStream> = (0..20).map(|_| connect(at)).collect();
    for (number, stream) in slow.iter_mut().enumerate() {
        stream.write_all(&b"GET / HTTP/1.1\r\nHost: 127"[..number]).unwrap();
    }
    for stream in &mut slow {
        let left = rest(stream);
        assert_ne!(status(&left), "200", "{left}");
    }
    assert_eq!(status(&get(at, "/")), "200");
}

/// No more connections than there may be; when one ends, another is served.
#[test]
fn connections_beyond_the_limit_are_closed() {
    let (board, _teller) = Run::of("heron-wordcount", "hold").board();
    let (_server, at) = start(&board, Limits { connections: 8, ..Limits::default() });
    let listen = || {
        let mut stream = connect(at);
        stream.write_all(format!("GET /api/news HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes()).unwrap();
        let mut greeting = [0; 16];
        stream.read_exact(&mut greeting).map(|()| stream)
    };
    let mut held: Vec<TcpStream> = (0..8).map(|_| listen().unwrap()).collect();
    for _ in 0..1_000 {
        assert_eq!(get(at, "/"), "", "one too many is closed without a word");
    }
    held.pop();
    let again = (0..100_000).find(|_| status(&get(at, "/api")) == "200");
    assert!(again.is_some(), "a place that is free is given away");
}

/// Clients that listen and never read: the run is told to its end as if they were not there, they are
/// dropped, and a client that reads hears everything.
#[test]
fn readers_that_stall_hold_nobody_up() {
    let run = Run::of("heron-wordcount", "ds2").lasting(10.0);
    let (board, mut teller) = run.board();
    let limits = Limits { stall_time: Duration::from_millis(500), ..Limits::default() };
    let (server, at) = start(&board, limits);
    let ask = format!("GET /api/news HTTP/1.1\r\nHost: {at}\r\n\r\n");
    let stalled: Vec<TcpStream> = (0..limits.connections - 2)
        .map(|_| {
            let mut stream = connect(at);
            stream.write_all(ask.as_bytes()).unwrap();
            stream
        })
        .collect();
    // A hundred times as much as there is.
    let result = run.simulate(|status| (0..100).for_each(|_| teller.window(&status)));
    teller.end(State::Finished, &result.events, [].into());
    let story: Value = serde_json::from_str(body(&get(at, "/api/story"))).unwrap();
    assert_eq!(story["about"]["state"], "finished");
    assert_eq!(status(&get(at, "/")), "200");
    // The server does not wait for them either.
    drop(server);
    for mut stream in stalled {
        let left = rest(&mut stream);
        assert!(left.len() < 16 * 1024 * 1024, "what waits for a client is bounded, found {} bytes", left.len());
    }
}

/// A server that ends while somebody listens: the stream ends, and so does the server.
#[test]
fn a_server_ends_with_its_streams() {
    let (board, mut teller) = Run::of("heron-wordcount", "hold").board();
    let (server, at) = start(&board, Limits::default());
    let mut stream = connect(at);
    stream.write_all(format!("GET /api/news HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes()).unwrap();
    let mut greeting = [0; 16];
    stream.read_exact(&mut greeting).unwrap();
    Run::of("heron-wordcount", "hold").lasting(10.0).simulate(|status| teller.window(&status));
    teller.end(State::Finished, &[], [].into());
    drop(server);
    let heard = rest(&mut stream);
    assert!(heard.contains("\"state\":\"finished\"") && heard.matches("data: {\"number\"").count() == 21, "{}", heard.len());
    assert!(TcpStream::connect(at).is_err(), "nobody listens any more");
}
