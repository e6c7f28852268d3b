//! A small real Flink on this machine, by the scripts of `scripts/flink`, which are part of the
//! program.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;

use crate::experiment::{folder, interrupt};
use crate::flink::{Address, Credentials, HttpLink};

macro_rules! scripts {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../scripts/flink/", $name)))),*]
    };
}

/// The scripts, by their names.
const SCRIPTS: [(&str, &str); 13] = scripts![
    "cluster",
    "flink.py",
    "jobs/Count.java",
    "jobs/Hops.java",
    "jobs/Item.java",
    "jobs/Job.java",
    "jobs/Join.java",
    "jobs/Load.java",
    "jobs/Meter.java",
    "jobs/Options.java",
    "jobs/Schedule.java",
    "jobs/Step.java",
    "jobs/Work.java",
];
/// The longest that one request may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A folder of this process, which ends with this value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Folder> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("thalweg-flink-{}-{number}", std::process::id()));
        // What an earlier process of this number has left.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Folder(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The scripts in a folder of their own.
struct Scripts {
    folder: Folder,
}

impl Scripts {
    fn new() -> anyhow::Result<Scripts> {
        let folder = Folder::new()?;
        std::fs::create_dir(folder.path().join("jobs"))?;
        for (name, text) in SCRIPTS {
            folder::write_text(&folder.path().join(name), text)?;
        }
        Ok(Scripts { folder })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("python3");
        command.arg(self.folder.path().join("cluster")).args(words).stdin(Stdio::null());
        command
    }

    /// What a command prints.
    fn output(&self, words: &[&str]) -> anyhow::Result<String> {
        let output = self.command(words).output().context("expected Python 3.9 or later as 'python3'")?;
        if !output.status.success() {
            bail!("{}", last_line(&String::from_utf8_lossy(&output.stderr)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn last_line(text: &str) -> String {
    text.trim().lines().last().unwrap_or("expected a cluster of Flink, its script failed without a word").to_owned()
}

/// Whether Java and Python are there.
///
/// # Errors
/// When one is not; says what was expected and what was found.
pub fn is_there() -> Result<(), String> {
    let check = Scripts::new().and_then(|scripts| scripts.output(&["check"]));
    check.map(drop).map_err(|why| format!("a real Flink is needed: {why:#}"))
}

/// A running cluster, which ends with this value.
pub struct Cluster {
    scripts: Scripts,
    run: Folder,
    process: Child,
    rest: String,
}

impl Cluster {
    /// Starts one, with these lines of Flink's configuration beside those of the scripts.
    ///
    /// # Errors
    /// When it does not start; says why.
    pub fn start(settings: &[String]) -> anyhow::Result<Cluster> {
        let scripts = Scripts::new()?;
        let run = Folder::new()?;
        let errors = run.path().join("errors");
        let mut command = scripts.command(&["start"]);
        command.arg(run.path()).args(settings.iter().flat_map(|line| ["-D", line.as_str()]));
        command.stdout(Stdio::piped()).stderr(std::fs::File::create(&errors)?);
        let mut process = command.spawn().context("expected Python 3.9 or later as 'python3'")?;
        let mut line = String::new();
        let stdout = process.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line)?;
        // Dropped, it ends the process in any case.
        let mut cluster = Cluster { scripts, run, process, rest: String::new() };
        let told: Value = serde_json::from_str(&line).map_err(|_| anyhow!("{}", said(&errors)))?;
        cluster.rest = told["rest"].as_str().context("expected the address of the cluster")?.to_owned();
        Ok(cluster)
    }

    /// A file of the job's sink.
    pub fn file(&self, name: &str) -> PathBuf {
        self.run.path().join(name)
    }

    /// Starts a job with `NAME=VALUE` arguments: its id.
    ///
    /// # Errors
    /// When it does not start.
    pub fn submit(&self, arguments: &[String]) -> anyhow::Result<String> {
        let words: Vec<&str> = ["submit", self.folder()].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        let told: Value = serde_json::from_str(&self.scripts.output(&words)?).context("expected the id of the job")?;
        Ok(told["job"].as_str().context("expected the id of the job")?.to_owned())
    }

    /// Ends a job.
    ///
    /// # Errors
    /// When it does not end.
    pub fn cancel(&self, job: &str) -> anyhow::Result<()> {
        self.scripts.output(&["cancel", self.folder(), job]).map(drop)
    }

    /// A link to it.
    ///
    /// # Errors
    /// When its address is none.
    pub fn link(&self) -> anyhow::Result<HttpLink> {
        Ok(HttpLink::new(Address::read(&self.rest)?, Credentials::default(), TIMEOUT, interrupt::asked))
    }

    fn folder(&self) -> &str {
        self.run.path().to_str().unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let stopped = self.scripts.output(&["stop", self.folder()]);
        // Its processes end with it, however it ends.
        if stopped.is_err() {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

fn said(errors: &Path) -> String {
    last_line(&std::fs::read_to_string(errors).unwrap_or_default())
}
