//! The results of the analysis so far: printed as they are found or summarized at the end.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};

use super::arguments::Asked;
use super::output::{Json, notes};
use crate::activity::{Names, Record};
use crate::cli::failure::{Failure, usage};
use crate::critical_path::{EpochOddities, EpochSummary, Pieces, TraceSummary, WindowSummary};
use crate::engine::{AnalysisResult, QueryChange};
use crate::pag::Oddities;
use crate::readers::{Format, Trace};
use crate::report::{self, Analysed, Division};

/// The most windows of a trace.
pub(super) const MOST_WINDOWS: u64 = 1_000_000;
/// The most windows of a second in which anything happened: a third of a year.
const MOST_SECONDS: u64 = 10_000_000;

/// The results collected so far.
pub(super) struct Findings<'a> {
    asked: &'a Asked,
    /// Names as of the last window of each analysis: of the whole trace, and of the windows.
    names: Names,
    window_names: Names,
    /// The whole trace.
    whole: TraceSummary,
    /// The windows that were asked for.
    windows: TraceSummary,
    pieces: Pieces,
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
            window_names: Names::default(),
            whole: TraceSummary::new(asked.by),
            windows: TraceSummary::new(asked.by),
            pieces: Pieces::new(asked.selected()),
            epochs: EpochSummary::default(),
            oddities: Default::default(),
            json: asked.json.then(Json::default),
            watched: false,
            bar,
        }
    }

    pub(super) fn windows(&self) -> u64 {
        self.whole.windows()
    }

    /// Counts the pieces of work among `records`.
    pub(super) fn count(&mut self, records: &[Record]) {
        records.iter().for_each(|record| self.pieces.push(record));
    }

    /// Takes a result of the analysis of the whole trace.
    pub(super) fn take_of_whole(&mut self, result: AnalysisResult) -> Result<(), Failure> {
        match result {
            AnalysisResult::Window(summary) => {
                if self.whole.windows() == MOST_SECONDS {
                    return Err(usage(anyhow!(
                        "expected at most {MOST_SECONDS} s with anything in them, found more: select a part with --from and --until"
                    )));
                }
                self.whole.push(&summary);
                if self.asked.is_one_analysis() {
                    self.window(&summary)?;
                }
            }
            AnalysisResult::Epoch(path) => {
                if self.asked.selected().contains(path.completed) {
                    self.epochs.add(&path);
                }
            }
            AnalysisResult::End { oddities, epoch_oddities, dropped_records: _ } => self.oddities = (oddities, epoch_oddities),
            AnalysisResult::Names(names) => {
                if self.asked.is_one_analysis() {
                    self.window_names.clone_from(&names);
                }
                self.names = names;
            }
            AnalysisResult::Query(change) => self.change(&change)?,
        }
        Ok(())
    }

    /// Takes a result of the analysis of the windows that were asked for.
    pub(super) fn take_of_windows(&mut self, result: AnalysisResult) -> Result<(), Failure> {
        match result {
            AnalysisResult::Window(summary) => self.window(&summary),
            AnalysisResult::Names(names) => {
                self.window_names = names;
                Ok(())
            }
            AnalysisResult::Query(change) => self.change(&change),
            AnalysisResult::Epoch(_) | AnalysisResult::End { .. } => Ok(()),
        }
    }

    fn window(&mut self, summary: &WindowSummary) -> Result<(), Failure> {
        if self.windows.windows() == MOST_WINDOWS {
            return Err(too_many(self.asked));
        }
        let ranking = self.windows.push(summary);
        self.bar.set_message(format!("{} windows, up to {}", self.windows.windows(), summary.window.end));
        self.bar.tick();
        match &mut self.json {
            Some(json) => Ok(json.window(summary, &ranking, &self.window_names).context("standard output")?),
            None => Ok(()),
        }
    }

    fn change(&mut self, change: &QueryChange) -> Result<(), Failure> {
        let subject = change.subject.label(&self.window_names);
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
        for note in notes(&oddities, epoch_oddities, trace, &self.windows) {
            eprintln!("note: {note}");
        }
        if let Some(json) = self.json.take() {
            let epochs = epoch_oddities.map(|oddities| (&self.epochs, oddities));
            let watched = !self.asked.watch.is_empty();
            let summaries = (&self.whole, &self.windows);
            return Ok(json.finish(summaries, epochs, watched, &self.names, &oddities, trace).context("standard output")?);
        }
        print(&self.text(trace.format()))
    }

    /// The result as text.
    fn text(&self, format: Format) -> String {
        let (span, top) = (self.whole.span(), self.asked.top);
        let division = if format == Format::Spark { Division::Tasks } else { Division::Keys };
        let analysed = Analysed { trace: &self.whole, pieces: &self.pieces, names: &self.names, division };
        let windows = match self.windows.windows() {
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
            self.windows.log2_paths(),
            report::ranking(&self.whole, &self.windows, &self.names, top),
            report::explanation(&analysed)
        );
        let waits = report::waits(&self.whole, &self.names, top);
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
