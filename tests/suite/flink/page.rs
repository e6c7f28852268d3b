//! The live page of a drive.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use super::fake::Fake;
use super::server::Server;

#[test]
fn a_drive_is_shown_while_it_goes_on() {
    let server = Server::start(Fake { checkpoints_every_ms: Some(200.0), ..Fake::new(900.0, [1.8, 2.6, 0.1]) }, 1.0);
    let words = "--policy ds2 --interval 500ms --stabilisation 300ms --windows 5 --time-factor 60 --live 0";
    let mut child = Command::new(env!("CARGO_BIN_EXE_thalweg"))
        .args(["drive", "flink", "--rest", &server.address])
        .args(words.split(' '))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    assert!(lines.read_line(&mut line).unwrap() > 0);
    let at = line.trim_end().trim_end_matches('/').rsplit_once("http://").expect("the address of the page").1.to_owned();
    let mut stream = TcpStream::connect(&at).unwrap();
    stream.write_all(format!("GET /api/news HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes()).unwrap();
    let (mut news, mut rest) = (String::new(), String::new());
    // The stream ends with the drive.
    let _ = stream.read_to_string(&mut news);
    lines.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    assert!(news.matches("\"window\":[").count() >= 3, "{news}");
    assert!(news.contains("\"plan\":\"") && news.contains("\"state\":\"finished\""), "{news}");
}
