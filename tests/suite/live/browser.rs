//! The page in a real browser, where there is one.

use std::path::Path;
use std::process::{Command, Output};

use thalweg::experiment::record;
use thalweg::live::{Model, page};

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
