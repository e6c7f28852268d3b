//! The page in a real browser, where there is one.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use thalweg::experiment::record;
use thalweg::live::server::{Limits, Server};
use thalweg::live::{Model, State, page};

use super::{Run, very_large};

/// A browser that is to show `address`; nothing if none is installed.
fn browser(address: &str, profile: &Path) -> Option<Command> {
    let is_there = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    let name = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(is_there)?;
    let mut command = Command::new(name);
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
        ])
        .args(["--enable-logging=stderr", "--log-level=0", "--virtual-time-budget=4000", "--window-size=1280,800", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(address);
    Some(command)
}

/// What a browser showed in the end, and what it said on its console.
fn shown(Output { stdout, stderr, .. }: Output) -> (String, String) {
    let console =
        String::from_utf8_lossy(&stderr).lines().filter(|line| line.contains("CONSOLE")).map(|line| format!("{line}\n")).collect();
    (String::from_utf8_lossy(&stdout).into_owned(), console)
}

/// The same of a file; nothing without a browser.
fn shown_file(file: &Path) -> Option<(String, String)> {
    let profile = tempfile::tempdir().unwrap();
    let found = browser(&format!("file://{}", file.display()), profile.path()).map(|mut command| shown(command.output().unwrap()));
    if found.is_none() {
        eprintln!("skipped: no chromium is installed");
    }
    found
}

#[test]
fn a_browser_shows_the_bottleneck_and_the_last_decision() {
    let folder = tempfile::tempdir().unwrap();
    for (scenario, policy, expected) in [
        ("heron-wordcount", "critical-path", &["is the bottleneck", "Last decision, 2.0 s", "of path", "carried out"][..]),
        ("hot-bins", "critical-path", &["is the bottleneck", "Last decision", "Hot bin"]),
        ("skewed", "ds2", &["is the busiest operator", "This policy does not look at critical paths"]),
    ] {
        let run = Run::of(scenario, policy);
        let result = run.simulate(|_| {});
        let out = folder.path().join(scenario);
        std::fs::create_dir(&out).unwrap();
        record::write(&out, &run.manifest, &result).unwrap();
        let mut story = Model::of_folder(&out, &run.manifest).unwrap().story();
        let file = out.join("run.html");
        std::fs::write(&file, page::frozen(&story)).unwrap();
        let Some((dom, console)) = shown_file(&file) else { return };
        assert_eq!(console, "", "{scenario}: nothing on the console");
        for part in expected {
            assert!(dom.contains(part), "{scenario}: expected {part} on the page");
        }
        assert!(dom.contains("id=\"problem\" class=\"problem\" role=\"alert\" hidden"), "{scenario}: no problem is shown");

        // Names of the worst kind are text.
        let nasty = "</script><img src=x onerror=\"document.title='owned'\">";
        story.operators.iter_mut().for_each(|operator| operator.name = nasty.to_owned());
        story.about.title = nasty.to_owned();
        story.decisions.iter_mut().for_each(|decision| decision.plan = nasty.to_owned());
        std::fs::write(&file, page::frozen(&story)).unwrap();
        let (dom, console) = shown_file(&file).unwrap();
        assert_eq!(console, "", "{scenario}: nothing on the console");
        assert!(!dom.contains("<img") && !dom.contains("<title>owned"), "{scenario}: a name is never markup");
    }
}

/// A page of ten thousand operators draws the busiest, and the browser goes on.
#[test]
fn a_browser_shows_a_very_large_job() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.html");
    std::fs::write(&file, page::frozen(&very_large())).unwrap();
    let Some((dom, console)) = shown_file(&file) else { return };
    assert_eq!(console, "", "nothing on the console");
    assert!(dom.contains("operator-7777 is the busiest operator") && dom.contains("9940 operators less busy not drawn"), "{}", dom.len());
}

/// Passes connections on to a server, and says what is asked for.
fn between(server: SocketAddr) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, (to, asked)) = (listener.local_addr().unwrap(), mpsc::channel());
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let to = to.clone();
            thread::spawn(move || {
                let Ok(onward) = TcpStream::connect(server) else { return };
                let (mut back, mut answers) = (client.try_clone().unwrap(), onward.try_clone().unwrap());
                let (mut client, mut onward) = (client, onward);
                let mut head = [0; 16 * 1024];
                let length = client.read(&mut head).unwrap_or(0);
                // A browser opens connections that it may need.
                if length == 0 {
                    return;
                }
                let line = String::from_utf8_lossy(&head[..length]).lines().next().unwrap_or_default().to_owned();
                if onward.write_all(&head[..length]).is_err() {
                    return;
                }
                let _ = std::io::copy(&mut answers, &mut back);
                let _ = back.shutdown(Shutdown::Both);
                let _ = to.send(line);
            });
        }
    });
    (address, asked)
}

/// A page that is open while a job runs hears of every window and decision, asks nobody else, and
/// says when the job has ended.
#[test]
fn a_browser_follows_a_job() {
    let run = Run::of("heron-wordcount", "critical-path").lasting(10.0);
    let (board, mut teller) = run.board();
    let server = Server::start(Arc::clone(&board), "127.0.0.1:0".parse().unwrap(), Limits::default()).unwrap();
    let (address, asked) = between(server.address());
    let profile = tempfile::tempdir().unwrap();
    let Some(mut command) = browser(&format!("http://{address}/"), profile.path()) else {
        eprintln!("skipped: no chromium is installed");
        return;
    };
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Only once the page has all that there was is there something new.
    let mut seen = Vec::new();
    while seen.last().is_none_or(|line: &String| !line.starts_with("GET /api/story ")) {
        seen.push(asked.recv_timeout(Duration::from_secs(120)).expect("the browser asks for the story"));
    }
    let result = run.simulate(|status| teller.window(&status));
    teller.end(State::Finished, &result.events, [].into());
    drop(server);
    let (dom, console) = shown(child.wait_with_output().unwrap());
    let harmless = |line: &str| line.contains("ERR_CONNECTION_REFUSED") || line.contains("ERR_EMPTY_RESPONSE");
    assert!(console.lines().all(harmless), "{console}");
    for part in ["Last decision, 2.0 s", "10.0 s of 10.0 s", "class=\"state finished\"", "carried out"] {
        assert!(dom.contains(part), "expected {part} on the page, found {}", dom.len());
    }
    seen.extend(asked.try_iter());
    let expected = ["/ ", "/live.css ", "/live.js ", "/api/news ", "/api/story "];
    assert!(seen.iter().all(|line| expected.iter().any(|path| line.starts_with(&format!("GET {path}")))), "{seen:?}");
}
