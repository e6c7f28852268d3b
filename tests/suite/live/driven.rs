//! The page in a browser that is used: steering, keys, the screen, large jobs, Flink.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::Value;
use thalweg::dataflow::{Role, Topology};
use thalweg::experiment::instance_rows::InstanceRow;
use thalweg::experiment::record;
use thalweg::experiment::rows::{LatencyRow, TimelineRow};
use thalweg::live::server::{Limits, Server};
use thalweg::live::{About, Model, State, page};

use super::chromium::Chromium;
use super::{Ended, Run, very_large};

/// The text of the decisions on the page.
const DECISIONS: &str = "document.querySelector('#decision-list').innerText";

fn thalweg(folder: &Path, args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
    command.args(args.split(' ')).current_dir(folder).env_remove("RUST_BACKTRACE").stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Opens the page of a run of a scenario as a file.
fn open_run(browser: &mut Chromium, folder: &Path, run: &Run) {
    let result = run.simulate(|_| {});
    record::write(folder, &run.manifest, &result).unwrap();
    let file = folder.join("run.html");
    std::fs::write(&file, page::frozen(&Model::of_folder(folder, &run.manifest).unwrap().story())).unwrap();
    browser.open(&format!("file://{}", file.display()));
}

/// Without the token a page has no panel, and neither it nor another site changes anything; with it, what a person asks for becomes a
/// decision.
#[test]
fn the_steering_panel_steers_for_those_who_have_the_token() {
    let Some(mut browser) = Chromium::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let args = "simulate heron-wordcount --policy critical-path --seconds 3600 --pace 4x --live 0 --live-control --out out";
    let mut child = Ended(thalweg(folder.path(), args).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let (page, token) = lines
        .by_ref()
        .find_map(|line| {
            let (page, token) = line.split_once("/#token=")?;
            Some((format!("http{}", page.split_once("http")?.1), token.to_owned()))
        })
        .expect("a line with the token");
    // Somebody has to read what it says.
    std::thread::spawn(move || lines.for_each(drop));
    let steered =
        |browser: &mut Chromium| browser.value("fetch('/api/story').then((answer) => answer.json()).then((story) => story.steered)");

    // Another site.
    let post = |headers: &str| {
        format!(
            "fetch('{page}/api/control', {{ method: 'POST', headers: {{ {headers} }}, body: '{{\"command\":\"pause\"}}' }})\
             .then((answer) => answer.status, () => 'not read')"
        )
    };
    browser.open("data:text/html,<p>another site");
    assert_eq!(browser.value(&post(&format!("'X-Thalweg-Token': '{token}'"))), "not read");
    assert_eq!(browser.value(&post("")), "not read");
    // The same site without the token.
    browser.open(&format!("{page}/"));
    browser.until("document.querySelectorAll('#graph-box .box').length === 4");
    assert_eq!(browser.value("document.querySelector('#steer').hidden"), true);
    assert_eq!(browser.value(&post("")), 401);
    assert_eq!(browser.value(&post("'X-Thalweg-Token': 'guess'")), 401);
    assert_eq!(steered(&mut browser)["paused_by"], Value::Null);
    let before = browser.console().len();

    browser.open(&format!("{page}/#token={token}"));
    browser.until("!document.querySelector('#steer').hidden && document.querySelectorAll('#graph-box .box').length === 4");
    assert_eq!(browser.value("location.href.includes('token')"), false, "who copies the address does not copy the token");
    let button = |text: &str| format!("[...document.querySelectorAll('#steer button')].find((one) => one.textContent === '{text}')");
    let field = |label: &str| {
        format!(
            "[...document.querySelectorAll('#steer label')].find((one) => one.textContent.startsWith('{label}')).querySelector('input')"
        )
    };
    browser.click(&field("Your name"));
    browser.write("anna");
    browser.click(&button("Pause the controller"));
    browser.until(&format!("{DECISIONS}.includes('controller paused') && {}", button("Resume the controller")));
    assert_eq!(steered(&mut browser)["paused_by"], "anna (127.0.0.1)");
    browser.until("document.querySelector('#warning-list').innerText.includes('The controller is paused by anna')");

    browser
        .value("{ const pick = document.querySelector('#steer select'); pick.value = 'count'; pick.dispatchEvent(new Event('change')); }");
    browser.click(&button("Hold"));
    browser.until(&format!("{DECISIONS}.includes('count held') && {}", button("Release")));
    assert_eq!(steered(&mut browser)["held_by"]["count"], "anna (127.0.0.1)");

    browser.click(&field("Plan"));
    browser.write("count=3, flatmap=2");
    browser.press("Enter");
    browser.until(&format!("/count [0-9]+ . 3/.test({DECISIONS})"));
    browser.until("document.querySelector('#headline').innerText.includes('anna (127.0.0.1) asked for it')");
    browser.until(
        "[...document.querySelectorAll('#graph-box .box')].some((box) => /count.*3 instances/.test(box.getAttribute('aria-label')))",
    );

    // What cannot be done is told in words.
    browser.value(&format!("{}.value = ''", field("Plan")));
    browser.click(&field("Plan"));
    browser.write("count=many");
    browser.click(&button("Apply the plan"));
    browser.until("document.querySelector('#steer [role=status]').textContent.startsWith('Refused: plan:')");
    // The browser itself writes that the answer was 400.
    let mut console = browser.console().split_off(before);
    // It also advises how forms are to be written.
    console.retain(|line| !line.contains("\"level\":\"verbose\""));
    assert!(console.iter().all(|line| line.contains("the server responded with a status of 400")) && console.len() == 1, "{console:?}");
    let requests = browser.requests();
    assert!(requests.iter().all(|address| address.starts_with(&page) && !address.contains(&token)), "{requests:?}");
}

/// What has the focus, in short; nothing that cannot be seen has it.
const FOCUS: &str = "(() => { const at = document.activeElement, box = at.getBoundingClientRect(), style = getComputedStyle(at); \
    if (at === document.body) return 'body'; \
    const frame = at.querySelector && at.querySelector('rect.frame'); \
    const marked = (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2) || (frame && parseFloat(getComputedStyle(frame).strokeWidth) >= 4); \
    const seen = box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight; \
    return `${marked ? '' : 'unmarked '}${seen ? '' : 'unseen '}${at.tagName.toLowerCase()} ${at.id || at.getAttribute('aria-label') || at.textContent.trim()}`; })()";

/// All of the page can be reached and used with a keyboard, and one sees where one is.
#[test]
fn a_keyboard_reaches_everything() {
    let Some(mut browser) = Chromium::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    open_run(&mut browser, folder.path(), &Run::of("straggler", "critical-path"));
    let mut walked = Vec::new();
    for _ in 0..80 {
        browser.press("Tab");
        let at = browser.text(FOCUS);
        if at == "body" || walked.first() == Some(&at) {
            break;
        }
        walked.push(at);
    }
    assert!(walked.iter().all(|at| !at.starts_with("un")), "{walked:#?}");
    let mut rest = walked.iter();
    for expected in [
        "a Skip to the decisions",
        "button play",
        "select speed",
        "input seek",
        "button follow",
        "select theme",
        "g source",
        "g count",
        "button 3",
        "canvas Throughput",
        "canvas Latency",
        "canvas Load of instances",
        "select instance-of",
        "button load",
    ] {
        assert!(rest.any(|at| at.starts_with(expected)), "expected {expected} in its place, found {walked:#?}");
    }

    let clock = "document.querySelector('#clock').textContent";
    browser.value("document.querySelector('canvas[aria-label^=Throughput]').focus()");
    assert_eq!(browser.text(clock), "60.0 s of 60.0 s");
    browser.press("ArrowLeft");
    browser.until(&format!("{clock} === '59.5 s of 60.0 s'"));
    browser.press("Home");
    browser.until(&format!("{clock} === '0.0 s of 60.0 s'"));
    browser.press(" ");
    browser.until("document.querySelector('#play').textContent === 'Pause'");
    browser.until(&format!("parseFloat({clock}) > 0"));
    browser.press(" ");
    browser.press("End");
    browser.until(&format!("{clock} === '60.0 s of 60.0 s'"));
    // To decisions, from anywhere.
    browser.value("document.activeElement.blur()");
    let chosen = "document.querySelector('.decision.here button').dataset.decision";
    assert_eq!(browser.text(chosen), "3");
    browser.press("p");
    browser.until(&format!("{chosen} === '2'"));
    browser.press("n");
    browser.until(&format!("{chosen} === '3'"));
    // A box of the graph filters the instances.
    browser.value("document.querySelector('[aria-label^=\"map.\"]').focus()");
    browser.press("Enter");
    browser.until("document.querySelector('#instance-of').value === 'map'");
    assert_eq!(browser.console(), Vec::<String>::new());
}

/// The screens that were looked at: mean colours of 16 by 10 fields.
const SCREENS: [(&str, bool, &str); 2] = [
    ("light", false, include_str!("../../data/live/straggler-light.txt")),
    ("dark", true, include_str!("../../data/live/straggler-dark.txt")),
];

/// By how much two screens differ, on average over fields and colours, of 255. Other fonts make up to 8 of it.
fn difference(a: &[[u8; 3]], b: &[[u8; 3]]) -> f64 {
    let all = a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| f64::from(a.abs_diff(*b)));
    all.sum::<f64>() / (3 * a.len()) as f64
}

/// The screen is as it was when somebody looked at it, but for fonts. To look at it again: THALWEG_SCREENS=1, then the files.
#[test]
fn the_screen_is_as_it_was_looked_at() {
    const MOST: f64 = 6.0;
    let Some(mut browser) = Chromium::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for (name, is_dark, kept) in SCREENS {
        browser.dark(is_dark);
        open_run(&mut browser, folder.path(), &Run::of("straggler", "critical-path"));
        browser.until("document.querySelectorAll('#graph-box .box').length === 4");
        let fields = browser.fields();
        if std::env::var_os("THALWEG_SCREENS").is_some() {
            let lines =
                fields.chunks(16).map(|line| line.iter().map(|[r, g, b]| format!("{r:02x}{g:02x}{b:02x}")).collect::<Vec<_>>().join(" "));
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/live/straggler-{name}.txt"));
            std::fs::write(file, lines.map(|line| line + "\n").collect::<String>()).unwrap();
            found.push(fields);
            continue;
        }
        let field = |word: &str| {
            let number = u32::from_str_radix(word, 16).unwrap();
            [(number >> 16) as u8, (number >> 8) as u8, number as u8]
        };
        let kept: Vec<[u8; 3]> = kept.split_whitespace().map(field).collect();
        assert_eq!((kept.len(), fields.len()), (160, 160), "{name}");
        assert!(difference(&kept, &fields) < MOST, "{name}: {} of 255", difference(&kept, &fields));
        // A page without its graph would not pass.
        browser.value("document.querySelector('#graph').remove()");
        let without = browser.fields();
        assert!(difference(&kept, &without) > MOST, "{name}: {} of 255 without the graph", difference(&kept, &without));
        found.push(fields);
    }
    assert!(difference(&found[0], &found[1]) > 100.0, "light is not dark");
}

/// Ten thousand operators with a hundred instances each, and a thousand instances: what is drawn is bounded, and the page answers.
#[test]
fn large_jobs_do_not_freeze_a_page() {
    let Some(mut browser) = Chromium::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.html");
    std::fs::write(&file, page::frozen(&very_large())).unwrap();
    browser.open(&format!("file://{}", file.display()));
    browser.until("document.querySelector('#headline').innerText.includes('operator-7777 is the busiest operator')");
    let elements = browser.value("document.querySelectorAll('*').length").as_u64().unwrap();
    assert!(elements < 3_000, "{elements} elements");
    browser.value("document.querySelector('canvas').focus()");
    browser.press("ArrowLeft");
    browser.until("document.querySelector('#clock').textContent === '19.0 s of 20.0 s'");

    // Page through a thousand.
    let topology = Topology::new(&[("in", Role::Source, 1), ("wide", Role::Stateless, 999)], &[(0, 1)]).unwrap();
    let mut model = Model::new(About::default(), &topology);
    for window in 0..8 {
        let (window_start_s, window_end_s) = (f64::from(window), f64::from(window + 1));
        let row = |operator: &str| TimelineRow {
            window_start_s,
            window_end_s,
            operator: operator.to_owned(),
            parallelism: 999,
            ..TimelineRow::default()
        };
        let instance = |instance: u32| InstanceRow {
            window_start_s,
            window_end_s,
            operator: "wide".to_owned(),
            instance,
            utilisation: f64::from(instance) / 1_000.0,
            ..InstanceRow::default()
        };
        let latency = LatencyRow { window_start_s, window_end_s, ..LatencyRow::default() };
        model.window(vec![row("in"), row("wide")], latency, (0..999).map(instance).collect());
    }
    model.finish(State::Finished, [].into());
    std::fs::write(&file, page::frozen(&model.story())).unwrap();
    browser.open(&format!("file://{}", file.display()));
    let first = "document.querySelector('#instance-table tbody tr').innerText.split('\\t')[1]";
    browser.until(&format!("{first} === '998' && document.querySelectorAll('#instance-table tbody tr').length === 50"));
    browser.click("document.querySelector('#page-after')");
    browser.until(&format!("{first} === '948' && document.querySelector('#instance-tools').innerText.includes('page 2 of 20')"));
    assert_eq!(browser.console(), Vec::<String>::new());
}

/// A page that is open while a job is rescaled, and nothing else is asked for.
#[test]
fn a_page_shows_a_job_that_is_rescaled() {
    let Some(mut browser) = Chromium::start() else { return };
    let run = Run::of("heron-wordcount", "critical-path").lasting(10.0);
    let (board, mut teller) = run.board();
    let server = Server::start(Arc::clone(&board), "127.0.0.1:0".parse().unwrap(), Limits::default()).unwrap();
    let page = format!("http://{}/", server.address());
    browser.open(&page);
    browser.until("document.querySelector('#headline').innerText.includes('No window has closed yet')");
    let result = run.simulate(|status| teller.window(&status));
    teller.end(State::Finished, &result.events, [].into());
    browser.until("document.querySelector('.state').textContent === 'finished'");
    browser.until(&format!("{DECISIONS}.includes('carried out')"));
    browser.until("[...document.querySelectorAll('#graph-box .box')].some((box) => box.textContent.includes('of path'))");
    assert_eq!(browser.value("document.querySelectorAll('#migration-list tbody tr').length"), result.actions());
    assert_eq!(browser.console(), Vec::<String>::new());
    let requests = browser.requests();
    assert!(requests.len() >= 5 && requests.iter().all(|address| address.starts_with(&page)), "{requests:?}");
}

/// A session with a real Flink cluster, as it was recorded.
#[test]
fn a_page_shows_a_flink_session() {
    let folder = tempfile::tempdir().unwrap();
    let session = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/flink/critical-path.jsonl.gz");
    let mut text = thalweg::readers::content(&session).unwrap();
    std::io::copy(&mut text, &mut std::fs::File::create(folder.path().join("session.jsonl")).unwrap()).unwrap();
    let drive = thalweg(folder.path(), "drive flink --session session.jsonl --report drive.html --out out")
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(drive.status.success(), "{drive:?}");
    let file = folder.path().join("drive.html");
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.contains("\"host\":\"flink\"") && written.contains("\"state\":\"finished\""));
    let Some(mut browser) = Chromium::start() else { return };
    browser.open(&format!("file://{}", file.display()));
    browser.until("document.querySelectorAll('#graph-box .box').length === 6");
    browser.until(&format!("{DECISIONS}.includes('carried out')"));
    browser.until("document.querySelector('#headline').innerText.includes('Last decision')");
    browser.until("[...document.querySelectorAll('#graph-box .box')].some((box) => box.textContent.includes('of path'))");
    assert_eq!(browser.console(), Vec::<String>::new());
    assert!(browser.requests().iter().all(|address| address.starts_with("file://")));
}
