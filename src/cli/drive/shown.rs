//! What is shown and kept of a drive: a live line and a line for each thing that happens on standard error, files in the folder.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};

use super::page::Page;
use crate::cli::failure::Failure;
use crate::controller::{Event, EventKind};
use crate::dataflow::Topology;
use crate::experiment::{folder, interrupt};
use crate::flink::{Closed, Listener, News, Told, What, mostly_blamed, text_of};

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) job: String,
    pub(super) windows: u64,
    pub(super) epochs: u64,
    pub(super) rescales: u64,
    pub(super) failed: u64,
    pub(super) advised: u64,
    pub(super) configuration: String,
}

/// Shows and keeps.
pub(super) struct Shown {
    bar: ProgressBar,
    policy: String,
    files: Option<Files>,
    written: usize,
    failed: Option<io::Error>,
    page: Option<Page>,
    pub(super) told: Counted,
}

struct Files {
    news: File,
    decisions: File,
    paths: File,
}

impl Shown {
    /// Of `policy`, in the folder `out`, for those who watch `page`.
    pub(super) fn new(policy: &str, out: Option<&Path>, is_quiet: bool, page: Option<Page>) -> Result<Shown, Failure> {
        let create = |out: &Path, name: &str| {
            let path = out.join(name);
            File::create_new(&path).with_context(|| path.display().to_string())
        };
        let files = |out: &Path| {
            let (news, decisions) = (create(out, folder::NEWS)?, create(out, folder::DECISIONS)?);
            anyhow::Ok(Files { news, decisions, paths: create(out, folder::PATHS)? })
        };
        let bar =
            if is_quiet || page.as_ref().is_some_and(Page::has_terminal) { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        bar.set_style(ProgressStyle::with_template("{prefix:>8} {spinner} {wide_msg}").expect("a template of our own"));
        bar.set_prefix(policy.to_owned());
        bar.enable_steady_tick(Duration::from_millis(500));
        let (files, told) = (out.map(files).transpose()?, Counted::default());
        Ok(Shown { bar, policy: policy.to_owned(), files, written: 0, failed: None, page, told })
    }

    /// Ends the line.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        self.page.take().map_or(Ok(()), |page| page.end(interrupt::asked()))?;
        match self.failed.take() {
            Some(why) => Err(anyhow::Error::from(why).context("the files of this drive cannot be written").into()),
            None => Ok(()),
        }
    }

    fn line(&self, at_s: f64, text: &str) {
        if self.page.as_ref().is_some_and(Page::has_terminal) {
            return;
        }
        let line = format!("{:>8} {at_s:>7.1} s  {text}", self.policy);
        if self.bar.is_hidden() { eprintln!("{line}") } else { self.bar.println(line) }
    }

    fn keep<T: Serialize>(&mut self, which: fn(&mut Files) -> &mut File, value: &T) {
        if let (None, Some(files)) = (&self.failed, &mut self.files) {
            let line = serde_json::to_string(value).map_err(io::Error::from);
            self.failed = line.and_then(|line| writeln!(which(files), "{line}")).err();
        }
    }
}

impl Listener for Shown {
    fn news(&mut self, news: &News) {
        let told = &mut self.told;
        match &news.what {
            What::Attached { job, name, configuration, .. } => {
                (told.job, told.configuration) = (format!("{name} ({job})"), configuration.clone());
                self.written = 0;
                if let Some(page) = &mut self.page {
                    page.attached(name);
                }
            }
            What::Reached { configuration, .. } => (told.rescales, told.configuration) = (told.rescales + 1, configuration.clone()),
            What::Running { configuration, .. } => told.configuration.clone_from(configuration),
            What::NotReached { .. } => told.failed += 1,
            What::Advises { .. } => told.advised += 1,
            _ => {}
        }
        self.line(news.at.as_secs_f64(), &news.what.to_string());
        self.keep(|files| &mut files.news, news);
    }

    fn closed(&mut self, closed: &Closed<'_>) {
        let observation = closed.observation;
        if let Some(page) = &mut self.page {
            page.closed(closed);
        }
        self.told.windows += 1;
        self.told.epochs += closed.told.iter().filter(|told| told.checkpoint.is_some()).count() as u64;
        self.told.configuration = text_of(closed.topology, &observation.configuration);
        let sum = |of: fn(&crate::metrics::SourceMetrics) -> f64| observation.sources.iter().map(of).sum::<f64>();
        let (achieved, offered) = (sum(|of| of.achieved.as_per_second()), sum(|of| of.offered.as_per_second()));
        let latency = observation.latency.ns_p50.map_or("-".to_owned(), |ns| format!("{:.0} ms", ns as f64 / 1e6));
        self.bar.set_message(format!(
            "{:.0} s  {}  {achieved:.0} of {offered:.0}/s  lag {:.0}  slowest way {latency}  {}",
            observation.window.end.as_secs_f64(),
            self.told.configuration,
            sum(|of| of.lag_records),
            whose(closed.topology, closed.told),
        ));
        let paths: Vec<Value> = closed.told.iter().map(|told| path(closed.topology, told)).collect();
        paths.iter().for_each(|path| self.keep(|files| &mut files.paths, path));
    }

    fn decided(&mut self, topology: &Topology, events: &[Event]) {
        for event in &events[self.written.min(events.len())..] {
            let text = |configuration| text_of(topology, configuration);
            let line = match &event.kind {
                EventKind::Doubted { doubts } => {
                    let names = |id| topology.operator(id).name.clone();
                    let doubts: Vec<String> = doubts.iter().map(|doubt| doubt.with_names(names)).collect();
                    Some(format!("no decision on this window (unreliable metrics): {}", doubts.join(", ")))
                }
                EventKind::BackingOff { failures, until } => {
                    Some(format!("no new plan before {:.1} s ({failures} failed in a row)", until.as_secs_f64()))
                }
                EventKind::Interrupted { configuration, .. } => Some(format!("the plan is given up: {}", text(configuration))),
                EventKind::Held { reason } if reason.rule.starts_with("external-") && !reason.detail.is_empty() => {
                    Some(format!("disables its policy ({}): {}", reason.rule, reason.detail))
                }
                _ => None,
            };
            if let Some(line) = line {
                self.line(event.at.as_secs_f64(), &line);
            }
            self.keep(|files| &mut files.decisions, event);
        }
        self.written = events.len();
        if let Some(page) = &mut self.page {
            page.decided(events);
        }
    }
}

/// Who is to blame for the latency of the last epochs, as the end of a line.
fn whose(topology: &Topology, told: &[Told]) -> String {
    mostly_blamed(told).map_or(String::new(), |((vertex, subtask), share)| {
        format!("{:.0} % of it for {}[{subtask}]", share * 100.0, topology.operators()[vertex].name)
    })
}

/// One epoch, for a file.
pub(in crate::cli) fn path(topology: &Topology, told: &Told) -> Value {
    let name = |vertex: usize| topology.operators().get(vertex).map_or("", |operator| operator.name.as_str());
    let hop = |(wait, service_ms): (&crate::flink::Wait, &Option<f64>)| {
        json!({
            "vertex": name(wait.hop.vertex), "subtask": wait.hop.subtask, "waits_ms": wait.hop.queue_ms, "service_ms": service_ms,
            "waits_for": format!("{}[{}]", name(wait.blamed.0), wait.blamed.1),
        })
    };
    let alignment: serde_json::Map<String, Value> = told
        .alignment_ms
        .iter()
        .enumerate()
        .filter(|(_, ms)| **ms > 0.0)
        .map(|(vertex, ms)| (name(vertex).to_owned(), json!(ms)))
        .collect();
    json!({
        "checkpoint": told.checkpoint, "at_s": told.at.as_secs_f64(), "latency_ms": told.latency_ms(),
        "path": told.waits.iter().zip(&told.service_ms).map(hop).collect::<Vec<_>>(), "alignment_ms": alignment,
    })
}
