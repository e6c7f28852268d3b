//! The results of the analysis so far: printed as they are found or summarized at the end.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};

use super::arguments::Asked;
use super::output::{Json, notes};
use crate::activity::Names;
use crate::cli::failure::{Failure, usage};
use crate::critical_path::{EpochOddities, EpochSummary, TraceSummary, WindowSummary};
use crate::engine::{AnalysisResult, QueryChange};
use crate::pag::Oddities;
use crate::readers::Trace;
use crate::report;

/// The most windows of a trace.
pub(super) const MOST_WINDOWS: u64 = 1_000_000;

/// The results collected so far.
pub(super) struct Findings<'a> {
    asked: &'a Asked,
    names: Names,
    trace: TraceSummary,
    epochs: EpochSummary,
    oddities: (Oddities, EpochOddities),
    json: Option<Json>,
    watched: bool,
    bar: ProgressBar,
}

impl<'a> Findings<'a> {
    pub(super) fn new(asked: &'a Asked) -> Findings<'a> {
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("a template of our own"));
        Findings {
            asked,
            names: Names::default(),
            trace: TraceSummary::new(asked.by),
            epochs: EpochSummary::default(),
            oddities: Default::default(),
            json: asked.json.then(Json::default),
            watched: false,
            bar,
        }
    }

    pub(super) fn windows(&self) -> u64 {
        self.trace.windows()
    }

    pub(super) fn take(&mut self, result: AnalysisResult) -> Result<(), Failure> {
        match result {
            AnalysisResult::Names(names) => self.names = names,
            AnalysisResult::Window(summary) => self.window(&summary)?,
            AnalysisResult::Epoch(path) => {
                if self.asked.from <= path.completed && path.completed < self.asked.until {
                    self.epochs.add(&path);
                }
            }
            AnalysisResult::Query(change) => self.change(&change)?,
            AnalysisResult::End { oddities, epoch_oddities, dropped_records: _ } => self.oddities = (oddities, epoch_oddities),
        }
        Ok(())
    }

    fn window(&mut self, summary: &WindowSummary) -> Result<(), Failure> {
        if self.trace.windows() == MOST_WINDOWS {
            return Err(too_many(self.asked));
        }
        let ranking = self.trace.push(summary);
        self.bar.set_message(format!("{} windows, up to {}", self.trace.windows(), summary.window.end));
        self.bar.tick();
        match &mut self.json {
            Some(json) => Ok(json.window(summary, &ranking, &self.names).context("standard output")?),
            None => Ok(()),
        }
    }

    fn change(&mut self, change: &QueryChange) -> Result<(), Failure> {
        let subject = change.subject.label(&self.names);
        if let Some(json) = &mut self.json {
            json.change(change, subject);
            return Ok(());
        }
        self.watched = true;
        let verb = if change.appeared { "appeared" } else { "vanished" };
        self.bar.suspend(|| print(&format!("{} {verb}: {subject} ({})\n", change.window.start, change.query)))
    }

    /// Prints the result.
    pub(super) fn finish(mut self, trace: &Trace) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        let (oddities, epoch_oddities) = self.oddities;
        let epoch_oddities = self.asked.epochs.then_some(epoch_oddities);
        for note in notes(&oddities, epoch_oddities, trace, &self.trace) {
            eprintln!("note: {note}");
        }
        if let Some(json) = self.json.take() {
            let epochs = epoch_oddities.map(|oddities| (&self.epochs, oddities));
            let watched = !self.asked.watch.is_empty();
            return Ok(json.finish(&self.trace, epochs, watched, &self.names, &oddities, trace).context("standard output")?);
        }
        print(&self.text())
    }

    /// The result as text.
    fn text(&self) -> String {
        let (span, top) = (self.trace.span(), self.asked.top);
        let windows = match self.trace.windows() {
            1 => "1 window".to_owned(),
            windows => format!("{windows} windows"),
        };
        let mut text = format!(
            "{}{}: {windows} of {} from {} to {}, at most 2^{:.0} paths per window\n\n{}\n{}\n",
            if self.watched { "\n" } else { "" },
            self.asked.files_text(),
            self.asked.window_text,
            span.start,
            span.end,
            self.trace.log2_paths(),
            report::ranking(&self.trace, &self.names, top),
            report::explanation(&self.trace, &self.names)
        );
        let waits = report::waits(&self.trace, &self.names, top);
        if !waits.is_empty() {
            let _ = write!(text, "\nThe longest waits:\n\n{waits}");
        }
        if self.asked.epochs {
            let _ = write!(text, "\n{}", report::epochs(&self.epochs, &self.names, top));
        }
        text
    }
}

pub(super) fn too_many(asked: &Asked) -> Failure {
    usage(anyhow!("--window {}: expected at most {MOST_WINDOWS} windows, found more; choose longer ones", asked.window_text))
}

/// Prints to standard output; a closed pipe is no error.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(anyhow!("standard output: {error}").into()),
        _ => Ok(()),
    }
}
