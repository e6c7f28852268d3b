//! The page in a real browser, where there is one.

use std::path::Path;
use std::process::{Command, Output};

use thalweg::experiment::record;
use thalweg::live::{Model, page};

use super::{Run, very_large};

/// What the browser shows of a file, and what it says on its console; nothing without a browser.
fn shown(file: &Path) -> Option<(String, String)> {
    let browser =
        ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| Command::new(name).arg("--version").output().is_ok())?;
    let profile = tempfile::tempdir().unwrap();
    let Output { stdout, stderr, .. } = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
        ])
        .args(["--enable-logging=stderr", "--log-level=0", "--virtual-time-budget=4000", "--window-size=1280,800", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .unwrap();
    let console =
        String::from_utf8_lossy(&stderr).lines().filter(|line| line.contains("CONSOLE")).map(|line| format!("{line}\n")).collect();
    Some((String::from_utf8_lossy(&stdout).into_owned(), console))
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
        let Some((dom, console)) = shown(&file) else {
            eprintln!("skipped: no chromium is installed");
            return;
        };
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
        let (dom, console) = shown(&file).unwrap();
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
    let Some((dom, console)) = shown(&file) else {
        eprintln!("skipped: no chromium is installed");
        return;
    };
    assert_eq!(console, "", "nothing on the console");
    assert!(dom.contains("operator-7777 is the busiest operator") && dom.contains("9940 operators less busy not drawn"), "{}", dom.len());
}
