//! `thalweg analyze`: what holds a job back, from what it recorded.
//!
//! One pass over the files: windows are summed up, printed, exported and forgotten as they close. Of a file with damage, what comes before
//! it is analysed and printed; then the damage is named and the exit code is 2.

mod arguments;
mod output;

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};

pub(super) use self::arguments::Args;
use self::arguments::Asked;
use self::output::{Json, notes};
use super::{Failure, usage};
use crate::activity::{Names, Record};
use crate::critical_path::{EpochPaths, EpochSummary, Participation, TraceSummary, WindowSummary, likeliest_path};
use crate::export::{Exporter, View};
use crate::pag::{GraphBuilder, WindowGraph};
use crate::plot::{LaneFigure, LaneLabels};
use crate::readers::Trace;
use crate::report;
use crate::time::Timestamp;

/// Windows of a trace, at most: more are no longer a summary.
const MOST_WINDOWS: u64 = 1_000_000;

pub(super) fn analyze(args: &Args) -> Result<(), Failure> {
    let asked = Asked::of(args)?;
    let mut trace = asked.open()?;
    let mut analysis = Analysis::new(&asked)?;
    let damage = analysis.read(&mut trace)?;
    if analysis.trace.windows() == 0 {
        return Err(damage.map_or_else(|| analysis.nothing(), usage));
    }
    analysis.finish(&trace)?;
    damage.map_or(Ok(()), |damage| Err(usage(damage)))
}

/// Everything that grows while the files are read.
struct Analysis<'a> {
    asked: &'a Asked,
    builder: GraphBuilder,
    names: Names,
    trace: TraceSummary,
    /// Only if they were asked for.
    epochs: Option<(EpochPaths, EpochSummary)>,
    json: Option<Json>,
    exporters: Vec<(String, Exporter)>,
    figure: Option<LaneFigure>,
    bar: ProgressBar,
    /// Nothing that begins later was asked for.
    done: bool,
}

impl<'a> Analysis<'a> {
    fn new(asked: &'a Asked) -> Result<Analysis<'a>, Failure> {
        let create = |(format, path): &(crate::export::Format, std::path::PathBuf)| {
            let name = format!("--export {format}={}", path.display());
            match Exporter::create(*format, path) {
                Ok(exporter) => Ok((name, exporter)),
                Err(why) => Err(usage(anyhow!("{name}: cannot be written: {why}"))),
            }
        };
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("a template of our own"));
        Ok(Analysis {
            asked,
            builder: GraphBuilder::new(asked.graph),
            names: Names::default(),
            trace: TraceSummary::new(asked.by),
            epochs: asked.epochs.then(Default::default),
            json: asked.json.then(Json::default),
            exporters: asked.exports.iter().map(create).collect::<Result<_, _>>()?,
            figure: asked.plot.as_ref().map(|_| LaneFigure::new(asked.stretch())),
            bar,
            done: false,
        })
    }

    /// Reads the trace to its end; gives the first damage.
    fn read(&mut self, trace: &mut Trace) -> Result<Option<anyhow::Error>, Failure> {
        let mut damage = None;
        for block in trace.by_ref() {
            match block {
                Ok(records) => self.records(&records)?,
                // Other files are read on.
                Err(error) => damage = damage.or(Some(anyhow::Error::from(error))),
            }
            if self.done {
                break;
            }
        }
        self.close(Timestamp(u64::MAX))?;
        if !self.done {
            self.walk_epochs(Timestamp(u64::MAX));
        }
        self.bar.finish_and_clear();
        Ok(damage)
    }

    fn records(&mut self, records: &[Record]) -> Result<(), Failure> {
        for record in records {
            self.names.learn(record);
            self.builder.push(record);
            if let Some((paths, _)) = &mut self.epochs {
                paths.push(record);
            }
        }
        if self.trace.windows() == 0 {
            let at = || records.iter().map(Record::at).filter(|&at| at > Timestamp::ZERO);
            let (first, last) = (at().min().unwrap_or_default(), at().max().unwrap_or_default());
            let windows = last.since(first).as_nanos() / self.asked.graph.window.as_nanos().max(1);
            if windows > u128::from(MOST_WINDOWS) {
                return Err(self.too_many());
            }
        }
        self.close(self.builder.known())
    }

    fn close(&mut self, known: Timestamp) -> Result<(), Failure> {
        while !self.done
            && let Some(graph) = self.builder.close(known)
        {
            let end = graph.window.end;
            self.window(graph)?;
            self.walk_epochs(end);
        }
        Ok(())
    }

    /// Adds the epochs that were completed by `until`, up to which everything is settled.
    fn walk_epochs(&mut self, until: Timestamp) {
        let Some((paths, summary)) = &mut self.epochs else { return };
        let asked = |at: Timestamp| self.asked.from <= at && at < self.asked.until;
        paths.walk(&self.builder, until).iter().filter(|path| asked(path.completed)).for_each(|path| summary.add(path));
    }

    fn window(&mut self, graph: WindowGraph) -> Result<(), Failure> {
        self.done = graph.window.start >= self.asked.until;
        if self.done || graph.window.end <= self.asked.from {
            return Ok(());
        }
        if self.trace.windows() == MOST_WINDOWS {
            return Err(self.too_many());
        }
        let summary = WindowSummary::of(&graph, uniform(graph.window.start.0));
        let ranking = self.trace.push(&summary);
        self.bar.set_message(format!("{} windows, up to {}", self.trace.windows(), graph.window.end));
        self.bar.tick();
        if let Some(json) = &mut self.json {
            json.window(&summary, &ranking, &self.names).context("standard output")?;
        }
        if self.exporters.is_empty() && self.figure.is_none() {
            return Ok(());
        }
        let participation = Participation::of(&graph);
        let path = likeliest_path(&graph, &participation);
        let view = View { graph: &graph, participation: &participation, path: &path, summary: &summary, names: &self.names };
        for (name, exporter) in &mut self.exporters {
            exporter.window(&view).map_err(|why| cannot_write(name, &why))?;
        }
        if let Some(figure) = &mut self.figure {
            figure.offer(graph, path, summary.log2_paths);
        }
        Ok(())
    }

    /// Prints the result and gives the files their names.
    fn finish(&mut self, trace: &Trace) -> Result<(), Failure> {
        let oddities = self.builder.oddities();
        for note in notes(&oddities, self.epochs.as_ref().map(|(paths, _)| paths.oddities()), trace, &self.trace) {
            eprintln!("note: {note}");
        }
        for (name, exporter) in self.exporters.drain(..) {
            let note = exporter.finish(&self.names).map_err(|why| cannot_write(&name, &why))?;
            note.into_iter().for_each(|note| eprintln!("note: {name}: {note}"));
        }
        if let (Some(figure), Some(path)) = (self.figure.take(), &self.asked.plot) {
            let footer = format!("thalweg analyze {}, windows of {}", self.asked.files_text(), self.asked.window_text);
            let labels = LaneLabels { title: "What each lane did, and the likeliest critical path".to_owned(), footer };
            figure.draw(&self.names, &labels, path).map_err(usage)?;
        }
        if let Some(json) = self.json.take() {
            let epochs = self.epochs.as_ref().map(|(paths, summary)| (summary, paths.oddities()));
            return Ok(json.finish(&self.trace, epochs, &self.names, &oddities, trace).context("standard output")?);
        }
        print(&self.text())
    }

    /// The result for people.
    fn text(&self) -> String {
        let (span, top) = (self.trace.span(), self.asked.top);
        let windows = match self.trace.windows() {
            1 => "1 window".to_owned(),
            windows => format!("{windows} windows"),
        };
        let mut text = format!(
            "{}: {windows} of {} from {} to {}, up to 2^{:.0} paths in a window\n\n{}\n{}\n",
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
        if let Some((_, summary)) = &self.epochs {
            let _ = write!(text, "\n{}", report::epochs(summary, &self.names, top));
        }
        text
    }

    fn too_many(&self) -> Failure {
        usage(anyhow!("--window {}: expected at most {MOST_WINDOWS} windows, found more; choose longer ones", self.asked.window_text))
    }

    fn nothing(&self) -> Failure {
        let files = self.asked.files_text();
        usage(anyhow!("{files}: expected work or messages in the time that was asked for, found none"))
    }
}

/// To standard output; whoever closed it has read enough.
fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(anyhow!("standard output: {error}").into()),
        _ => Ok(()),
    }
}

fn cannot_write(name: &str, why: &io::Error) -> Failure {
    usage(anyhow!("{name}: cannot be written: {why}"))
}

/// Numbers in [0, 1) by SplitMix64: the same for a window whatever else is analysed.
fn uniform(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}
