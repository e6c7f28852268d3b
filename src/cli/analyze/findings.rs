//! The results of the analysis so far: printed as they are found or summarized at the end.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};

use super::arguments::Asked;
use super::bounds::Bounds;
use super::output::{Json, Printed, notes};
use super::page::Page;
use super::pictures::cannot_write;
use crate::activity::{Names, Record};
use crate::cli::failure::{Failure, usage};
use crate::critical_path::{
    CountedWindows, Curve, Entry, EpochOddities, EpochPart, EpochSummary, Forecast, Pieces, Slowest, Supply, TraceSummary, WindowSummary,
};
use crate::engine::{AnalysisResult, QueryChange};
use crate::export::{Stacks, write_stacks};
use crate::pag::Oddities;
use crate::plot::{GainCurve, curves_figure};
use crate::readers::{Format, Trace};
use crate::report::{self, Analysed, Division, Merged, Observed, Side};
use crate::time::Timestamp;

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
    windows: CountedWindows,
    pieces: Pieces,
    supply: Supply,
    epochs: EpochSummary,
    /// Epochs one by one, if some are asked for.
    slowest: Slowest,
    /// What changes would give, if that is asked for.
    forecast: Option<Forecast>,
    /// What is compared with another trace, if there is one.
    observed: Observed,
    oddities: (Oddities, EpochOddities),
    merged: Merged,
    bounds: Bounds,
    json: Option<Json>,
    watched: bool,
    bar: ProgressBar,
    /// The page that shows them, if there is one.
    page: Option<Page>,
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
            windows: CountedWindows::default(),
            pieces: Pieces::new(asked.selected()),
            supply: Supply::new(asked.selected()),
            epochs: EpochSummary::default(),
            slowest: Slowest::default(),
            forecast: asked.what_if.clone().map(Forecast::new),
            observed: Observed::default(),
            oddities: Default::default(),
            merged: Merged::default(),
            bounds: Bounds::default(),
            json: (asked.json && !asked.is_compared).then(Json::default),
            watched: false,
            bar,
            page: None,
        }
    }

    /// The same, shown on a page.
    pub(super) fn shown_on(self, page: Option<Page>) -> Findings<'a> {
        Findings { page, ..self }
    }

    /// Expects anything at all in the selected time. If there is nothing, notes say what was skipped:
    /// it may be all there was.
    pub(super) fn expect_any(&self, trace: &Trace, damage: Option<&anyhow::Error>) -> Result<(), Failure> {
        if self.whole.windows() > 0 {
            return Ok(());
        }
        for oddity in trace.oddities() {
            eprintln!("note: {}: {} ({})", oddity.file.display(), oddity.what, oddity.count);
        }
        let nothing = || anyhow!("{}: expected activities or messages in the selected time, found none", self.asked.files_text());
        Err(usage(damage.map_or_else(nothing, |damage| anyhow!("{damage:#}"))))
    }

    /// The trace as one of two.
    pub(super) fn side(&self) -> Side<'_> {
        Side { observed: &self.observed, names: &self.names }
    }

    /// The critical paths of the trace.
    pub(super) fn stacks(&self) -> Stacks {
        Stacks::of(&self.whole, &self.names)
    }

    /// Counts the pieces of work among `records`, and what the job was given.
    pub(super) fn count(&mut self, records: &[Record]) {
        if let Some(page) = &mut self.page {
            page.records(records);
        }
        for record in records {
            self.pieces.push(record);
            self.supply.push(record);
        }
        if let Some(forecast) = &mut self.forecast {
            let selected = self.asked.selected();
            let is_name = |record: &Record| matches!(record, Record::Operator { .. } | Record::Channel { .. });
            forecast.push(records.iter().filter(|&record| is_name(record) || selected.contains(record.at())));
        }
    }

    /// Takes the end of the trace.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        let Some(forecast) = &mut self.forecast else { return Ok(()) };
        forecast.end();
        match forecast.unknown().first() {
            Some(name) => Err(usage(anyhow!("--what-if: expected an operator of the trace, found '{name}'"))),
            None => Ok(()),
        }
    }

    /// Draws what each operator's speed-up would give.
    fn draw_curves(&self, forecast: &Forecast) -> Result<(), Failure> {
        let drawn = |curve: Curve| GainCurve {
            name: self.names.operator(curve.operator),
            bound: report::bound(&self.epochs, curve.operator),
            points: curve.points,
        };
        let curves: Vec<GainCurve> = forecast.curves().into_iter().map(drawn).collect();
        let what = if forecast.epochs() == 0 { "The time".to_owned() } else { format!("The mean latency of {} epochs", forecast.epochs()) };
        let title = format!("{what} of {}, if one operator were faster", self.asked.name());
        for path in &self.asked.curves {
            curves_figure(&curves, (&title, "Predicted by thalweg analyze --what-if; a short line at the right is the bound."), path)
                .map_err(usage)?;
        }
        Ok(())
    }

    fn analysed(&self, format: Format) -> Analysed<'_> {
        let division = match format {
            Format::Spark => Division::Tasks,
            Format::Jaeger | Format::Otlp | Format::Chrome => Division::Calls,
            Format::ActivityLog | Format::Snailtrail | Format::TimelyText => Division::Keys,
        };
        Analysed { trace: &self.whole, pieces: &self.pieces, supply: &self.supply, merged: &self.merged, names: &self.names, division }
    }

    /// Takes a result of the analysis of the whole trace.
    pub(super) fn take_of_whole(&mut self, result: AnalysisResult, format: Format) -> Result<(), Failure> {
        match result {
            AnalysisResult::Window(summary) => {
                if self.whole.windows() == MOST_SECONDS {
                    return Err(usage(anyhow!(
                        "expected at most {MOST_SECONDS} s with anything in them, found more: select a part with --from and --until"
                    )));
                }
                self.whole.push(&summary);
                self.merge(summary.window.start, format);
                if self.page.as_mut().is_some_and(|page| page.window(&summary)) {
                    self.diagnose(format);
                }
                if !self.asked.is_compared && !self.asked.is_one_analysis() {
                    return Ok(());
                }
                let ranking = summary.ranking(self.asked.by);
                if self.asked.is_compared {
                    self.observed.seconds.push(ranking.iter().map(|entry| (entry.entity, entry.participation)));
                }
                if self.asked.is_one_analysis() {
                    self.window(&summary, &ranking)?;
                }
            }
            AnalysisResult::Epoch(path) => {
                if self.asked.selected().contains(path.completed) {
                    self.epochs.add(&path);
                    if self.asked.slow.is_some() {
                        self.slowest.add(&path);
                    }
                    if self.asked.is_compared {
                        let parts = path.pieces.iter().map(|piece| (Some(EpochPart::of(piece)), (piece.end.0 - piece.start.0) as f64));
                        self.observed.epochs.push(parts.chain([(None, path.latency().as_nanos() as f64)]));
                    }
                }
            }
            AnalysisResult::End { oddities, epoch_oddities, dropped_records: _ } => self.oddities = (oddities, epoch_oddities),
            AnalysisResult::Names(names) => {
                if self.asked.is_one_analysis() {
                    self.window_names.add(names.clone());
                }
                self.names.add(names);
            }
            AnalysisResult::Query(change) => self.change(&change)?,
        }
        Ok(())
    }

    /// Merges what is long over and small, once there is too much of it; the last window began at `start`.
    fn merge(&mut self, start: Timestamp, format: Format) {
        if !self.whole.is_crowded() && !self.pieces.is_crowded() && !self.bounds.is_crowded(&self.names) {
            return;
        }
        let least = self.whole.least();
        let mut merged = std::mem::take(&mut self.merged);
        report::merge(&self.analysed(format), &least.operators, &mut merged);
        self.merged = merged;
        self.whole.merge(&least);
        let mut kept = self.whole.kept();
        self.pieces.merge(&kept.operators, Bounds::since(start));
        for (operators, channels) in [self.epochs.named(), self.slowest.named()] {
            kept.operators.extend(operators);
            kept.channels.extend(channels);
        }
        let needed = self.bounds.needed(kept, &self.names);
        self.windows.forget(|&entity| needed.entity(entity));
        // Two traces are compared by names, and what is predicted is of every operator.
        if !self.asked.is_compared && self.forecast.is_none() {
            needed.forget(&mut self.names);
            needed.forget(&mut self.window_names);
        }
    }

    /// Shows on the page, if there is one, what the diagnosis would be now.
    fn diagnose(&mut self, format: Format) {
        // It takes a while where there are many stages.
        if self.page.is_none() {
            return;
        }
        let diagnosis = report::diagnosis(&self.analysed(format));
        if let Some(page) = &mut self.page {
            page.diagnosis(&diagnosis);
        }
    }

    /// Takes a result of the analysis of the windows that were asked for.
    pub(super) fn take_of_windows(&mut self, result: AnalysisResult) -> Result<(), Failure> {
        match result {
            AnalysisResult::Window(summary) => self.window(&summary, &summary.ranking(self.asked.by)),
            AnalysisResult::Names(names) => {
                self.window_names.add(names);
                Ok(())
            }
            AnalysisResult::Query(change) => self.change(&change),
            AnalysisResult::Epoch(_) | AnalysisResult::End { .. } => Ok(()),
        }
    }

    fn window(&mut self, summary: &WindowSummary, ranking: &[Entry]) -> Result<(), Failure> {
        if self.windows.windows() == MOST_WINDOWS {
            return Err(too_many(self.asked));
        }
        self.windows.push(summary, ranking);
        self.bar.set_message(format!("{} windows, up to {}", self.windows.windows(), summary.window.end));
        self.bar.tick();
        match &mut self.json {
            Some(json) => Ok(json.window(summary, ranking, &self.window_names).context("standard output")?),
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

    /// Tells what was skipped or corrected.
    pub(super) fn note(&self, trace: &Trace) {
        self.bar.finish_and_clear();
        self.notes(trace).iter().for_each(|note| eprintln!("note: {note}"));
    }

    fn notes(&self, trace: &Trace) -> Vec<String> {
        let (oddities, epoch_oddities) = &self.oddities;
        let mut notes = notes(oddities, self.asked.epochs.then_some(*epoch_oddities), trace, &self.windows);
        let further = self.whole.further();
        if further.operators + further.channels > 0 {
            notes.push(report::merged(&further));
        }
        if further.waits > 0 {
            notes.push(format!("of the waits, {}", report::forgotten_waits(&further)));
        }
        notes
    }

    /// Prints the result; returns the page, which shows it.
    pub(super) fn finish(mut self, trace: &Trace, damage: Option<&anyhow::Error>) -> Result<Option<Page>, Failure> {
        self.note(trace);
        self.diagnose(trace.format());
        let mut page = self.page.take();
        if let Some(page) = &mut page {
            page.end(damage, self.notes(trace));
        }
        for (format, path) in &self.asked.stacks {
            let name = format!("--export {format}={}", path.display());
            let title = format!("Critical paths of {}", self.asked.name());
            write_stacks(*format, path, &title, &self.stacks(), None).map_err(|why| cannot_write(&name, &why))?;
        }
        if let Some(forecast) = &self.forecast {
            self.draw_curves(forecast)?;
        }
        if let Some(json) = self.json.take() {
            let diagnosis = report::diagnosis(&self.analysed(trace.format()));
            let slow = self.asked.slow.and_then(|quantile| Some((quantile, self.slowest.above(quantile)?)));
            let printed = Printed {
                whole: &self.whole,
                windows: &self.windows,
                epochs: self.asked.epochs.then_some((&self.epochs, self.oddities.1)),
                slow: slow.as_ref(),
                forecast: self.forecast.as_ref(),
                bounds: &self.epochs,
                is_watched: !self.asked.watch.is_empty(),
                diagnosis: &diagnosis,
                names: &self.names,
                oddities: &self.oddities.0,
                trace,
            };
            json.finish(&printed).context("standard output")?;
            return Ok(page);
        }
        print(&self.text(trace.format()))?;
        Ok(page)
    }

    /// The result as text.
    fn text(&self, format: Format) -> String {
        let (span, top) = (self.whole.span(), self.asked.top);
        let analysed = self.analysed(format);
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
        if let Some(slow) = self.asked.slow.and_then(|quantile| self.slowest.above(quantile)) {
            let _ = write!(text, "\n{}", report::slow_epochs(&self.epochs, &slow, &self.names, top));
        }
        if let Some(forecast) = &self.forecast {
            let change = self.asked.what_if.as_ref().and_then(Option::as_ref);
            let _ = write!(text, "\n{}", report::what_if(forecast, change, &self.epochs, &self.names, top));
        }
        let diagnosis = report::diagnosis(&analysed);
        let _ = writeln!(text, "\nDiagnosis: {}: {}", diagnosis.cause.label(), diagnosis.text);
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
