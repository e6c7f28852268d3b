//! A browser under the control of a test, over a pipe: opens pages, presses keys, clicks, answers what is on the page, and says what it
//! wrote on its console and what it asked for over the network.

use std::io::{Read, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Ended;

/// Longest wait for the browser; a test that waits so long fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// The name of a browser; nothing, and a word, if none is installed.
pub(super) fn name() -> Option<&'static str> {
    let is_there = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(is_there);
    if found.is_none() {
        eprintln!("skipped: no chromium is installed");
    }
    found
}

/// A browser with one page.
pub(super) struct Chromium {
    _child: Ended,
    to: ChildStdin,
    from: Receiver<Value>,
    calls: u64,
    session: Option<String>,
    events: Vec<Value>,
    _profile: TempDir,
}

impl Chromium {
    /// A browser of 1280 by 800; nothing if none is installed.
    pub(super) fn start() -> Option<Chromium> {
        let name = name()?;
        let profile = tempfile::tempdir().unwrap();
        // The browser listens on descriptor 3 and answers on 4.
        let line = format!(
            "exec {name} --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update \
             --hide-scrollbars --remote-debugging-pipe --user-data-dir='{}' about:blank 3<&0 4>&1",
            profile.path().display()
        );
        let mut command = Command::new("sh");
        command.args(["-c", &line]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (to, mut answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (found, from) = mpsc::channel();
        thread::spawn(move || {
            let (mut waiting, mut block) = (Vec::new(), [0; 1 << 16]);
            while let Ok(length) = answers.read(&mut block)
                && length > 0
            {
                waiting.extend_from_slice(&block[..length]);
                // A message ends with a 0.
                while let Some(end) = waiting.iter().position(|byte| *byte == 0) {
                    let message: Vec<u8> = waiting.drain(..=end).collect();
                    let _ = found.send(serde_json::from_slice(&message[..end]).unwrap_or_default());
                }
            }
        });
        let mut browser = Chromium { _child: Ended(child), to, from, calls: 0, session: None, events: Vec::new(), _profile: profile };
        let page = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let session = browser.call("Target.attachToTarget", json!({"targetId": page["targetId"], "flatten": true}));
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        let size = json!({"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": false});
        browser.call("Emulation.setDeviceMetricsOverride", size);
        Some(browser)
    }

    /// Lets the browser do something, and returns its answer.
    pub(super) fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut request = json!({"id": self.calls, "method": method, "params": params});
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{request}\0").as_bytes()).unwrap();
        loop {
            let mut answer = self.from.recv_timeout(PATIENCE).unwrap_or_else(|why| panic!("{method}: the browser does not answer: {why}"));
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }

    /// Opens an address, and waits until it is loaded.
    pub(super) fn open(&mut self, address: &str) {
        // The same page with another end of its address would only be scrolled.
        self.call("Page.navigate", json!({"url": "about:blank"}));
        let found = self.call("Page.navigate", json!({"url": address}));
        assert!(found["errorText"].is_null(), "{address}: {found}");
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'");
    }

    /// What an expression of the page is.
    pub(super) fn value(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut found = self.call("Runtime.evaluate", asked);
        assert!(found["exceptionDetails"].is_null(), "{expression}: {found}");
        found["result"]["value"].take()
    }

    /// The same as text.
    pub(super) fn text(&mut self, expression: &str) -> String {
        self.value(expression).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until something holds on the page.
    pub(super) fn until(&mut self, holds: &str) {
        let wait = format!(
            "(async () => {{ for (const end = Date.now() + 60000; Date.now() < end; await new Promise((go) => setTimeout(go, 20))) \
             if ({holds}) return true; return document.body.innerText.slice(0, 3000); }})()"
        );
        let found = self.value(&wait);
        assert_eq!(found, true, "expected on the page: {holds}");
    }

    /// Presses and releases a key: a character, or the name of a key.
    pub(super) fn press(&mut self, key: &str) {
        let (code, number, text) = match key {
            "Tab" => ("Tab", 9, ""),
            "Enter" => ("Enter", 13, "\r"),
            "Escape" => ("Escape", 27, ""),
            " " => ("Space", 32, " "),
            "End" => ("End", 35, ""),
            "Home" => ("Home", 36, ""),
            "ArrowLeft" => ("ArrowLeft", 37, ""),
            "ArrowRight" => ("ArrowRight", 39, ""),
            other => ("", 0, other),
        };
        let mut pressed = json!({"type": "keyDown", "key": key, "code": code, "windowsVirtualKeyCode": number});
        if !text.is_empty() {
            pressed["text"] = json!(text);
        }
        self.call("Input.dispatchKeyEvent", pressed.clone());
        pressed["type"] = json!("keyUp");
        self.call("Input.dispatchKeyEvent", pressed);
    }

    /// Clicks an element.
    pub(super) fn click(&mut self, element: &str) {
        // Not by its place: a page that is live may move it between two calls.
        self.value(&format!(
            "(() => {{ const found = {element}; found.scrollIntoView({{ block: 'center' }}); found.focus(); found.click(); }})()"
        ));
    }

    /// Writes where the focus is.
    pub(super) fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Whether the system is to be dark.
    pub(super) fn dark(&mut self, is_dark: bool) {
        let wanted = if is_dark { "dark" } else { "light" };
        self.call("Emulation.setEmulatedMedia", json!({"features": [{"name": "prefers-color-scheme", "value": wanted}]}));
    }

    /// What is on the screen: the mean colours of 16 by 10 fields, by line.
    pub(super) fn fields(&mut self) -> Vec<[u8; 3]> {
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let script = format!(
            "(async () => {{ const shot = new Image(); shot.src = 'data:image/png;base64,{}'; await shot.decode(); \
             const canvas = document.createElement('canvas'); canvas.width = shot.width; canvas.height = shot.height; \
             const pen = canvas.getContext('2d'); pen.drawImage(shot, 0, 0); const found = []; \
             const wide = Math.floor(shot.width / 16), high = Math.floor(shot.height / 10); \
             for (let y = 0; y < 10; y++) for (let x = 0; x < 16; x++) {{ const sum = [0, 0, 0], \
             data = pen.getImageData(x * wide, y * high, wide, high).data; \
             for (let at = 0; at < data.length; at += 4) for (let c = 0; c < 3; c++) sum[c] += data[at + c]; \
             found.push(sum.map((all) => Math.round(all / (wide * high)))); }} return found; }})()",
            shot["data"].as_str().unwrap()
        );
        serde_json::from_value(self.value(&script)).unwrap()
    }

    /// What is on the console, and failures that nobody caught, one a line.
    pub(super) fn console(&mut self) -> Vec<String> {
        self.call("Page.getLayoutMetrics", json!({}));
        let is_on_console = |event: &&Value| {
            ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"].iter().any(|kind| event["method"] == *kind)
        };
        self.events.iter().filter(is_on_console).map(|event| event["params"].to_string()).collect()
    }

    /// The addresses that were asked for.
    pub(super) fn requests(&mut self) -> Vec<String> {
        self.call("Page.getLayoutMetrics", json!({}));
        let asked = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        let address = |event: &Value| event["params"]["request"]["url"].as_str().unwrap_or_default().to_owned();
        asked.map(address).filter(|address| address != "about:blank" && !address.starts_with("data:")).collect()
    }
}
