//! Rankings by each measure: one column per run, one block per measure, one bar per ranked entry.
//!
//! A bar is the mean of the judged windows; the thin line spans minimum to maximum. The injected
//! bottleneck has one colour, everything else another. All bars of a measure have the same scale.

use std::path::{Path, PathBuf};

use plotters::prelude::DrawingBackend;

use super::canvas::{Anchor, Canvas, Drawn, Title, fitting_em, text_width, wrap};
use super::{Drawing, PlotError, palette, write_figure};
use crate::experiment::ranking::RankingRow;

/// Most runs of a figure.
const MOST_RUNS: usize = 6;

// Pixels of the PNG, which is shown at half its size.
const TITLE_EM: f64 = 34.0;
const HEADER_EM: f64 = 30.0;
const TEXT_EM: f64 = 24.0;
const LINE_HEIGHT: f64 = 1.45;
const PADDING: f64 = 28.0;
const BARS_WIDTH: f64 = 330.0;
const VALUE_WIDTH: f64 = 84.0;
const GAP: f64 = 40.0;
const BAR: f64 = 22.0;
const BAR_PITCH: f64 = 32.0;

/// A measure: its name and where a row has it.
type Measure = (&'static str, fn(&RankingRow) -> f64);
const MEASURES: [Measure; 4] = [
    ("critical participation", |row| row.participation),
    ("conventional profile", |row| row.profile),
    ("profile per instance", |row| row.profile_per_instance),
    ("one random path", |row| row.path),
];

/// One bar.
struct Bar {
    name: String,
    suspect: bool,
    mean: f64,
    least: f64,
    most: f64,
}

/// One measure of one run.
struct Block {
    hits: usize,
    windows: usize,
    bars: Vec<Bar>,
}

struct Figure {
    title: Vec<String>,
    footer: Vec<String>,
    labels: Vec<String>,
    /// By run, then by measure.
    blocks: Vec<Vec<Block>>,
    measures: Vec<Measure>,
    names_width: f64,
    width: f64,
}

/// Draws recorded rankings as `<stem>.svg` and `<stem>.png` and returns these two paths; with
/// several seeds the first is drawn.
///
/// # Errors
/// [`PlotError::Columns`] without runs or with more than 6; [`PlotError::Write`] and
/// [`PlotError::Draw`] when a file cannot be made.
pub fn ranking_figure(rows: &[RankingRow], title: &str, footer: &str, stem: &Path) -> Result<Vec<PathBuf>, PlotError> {
    let seed = rows.first().map_or(0, |row| row.seed);
    let judged: Vec<&RankingRow> = rows.iter().filter(|row| row.judged && row.seed == seed).collect();
    let runs: Vec<&[&RankingRow]> = judged.chunk_by(|a, b| a.label == b.label).collect();
    if runs.is_empty() || runs.len() > MOST_RUNS {
        return Err(PlotError::Columns { most: MOST_RUNS, found: runs.len() });
    }
    let names_width = judged.iter().map(|row| text_width(&row.name, TEXT_EM)).fold(0.0, f64::max) + 12.0;
    let columns = runs.len() as f64;
    let width = 2.0 * PADDING + names_width + columns * (BARS_WIDTH + VALUE_WIDTH) + (columns - 1.0) * GAP;
    // Where instances are ranked, both profiles are the same.
    let per_instance = judged.iter().any(|row| row.profile != row.profile_per_instance);
    let measures: Vec<Measure> = MEASURES.into_iter().filter(|(name, _)| per_instance || *name != "profile per instance").collect();
    let figure = Figure {
        title: wrap(title, TITLE_EM, width - 2.0 * PADDING),
        footer: wrap(footer, TEXT_EM, width - 2.0 * PADDING),
        labels: runs.iter().map(|run| run[0].label.clone()).collect(),
        blocks: runs.iter().map(|run| measures.iter().map(|(_, measure)| block(run, *measure, &names(&judged))).collect()).collect(),
        measures,
        names_width,
        width,
    };
    write_figure(&figure, stem)
}

/// Everything that is ranked in any run, in order of name.
fn names<'a>(rows: &[&'a RankingRow]) -> Vec<&'a str> {
    let mut names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn block(run: &[&RankingRow], measure: fn(&RankingRow) -> f64, names: &[&str]) -> Block {
    let windows: Vec<&[&RankingRow]> = run.chunk_by(|a, b| a.window_start_s == b.window_start_s).collect();
    let best =
        |rows: &[&RankingRow], suspect: bool| rows.iter().filter(|row| row.suspect == suspect).map(|row| measure(row)).fold(0.0, f64::max);
    let bars = names.iter().map(|name| {
        // What does not appear in a window has no share of it.
        let value = |rows: &&[&RankingRow]| rows.iter().find(|row| row.name == *name).map_or(0.0, |row| measure(row));
        let values: Vec<f64> = windows.iter().map(value).collect();
        Bar {
            name: (*name).to_owned(),
            suspect: run.iter().any(|row| row.name == *name && row.suspect),
            mean: values.iter().sum::<f64>() / values.len() as f64,
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(0.0, f64::max),
        }
    });
    let hits = windows.iter().filter(|rows| best(rows, true) > best(rows, false)).count();
    Block { hits, windows: windows.len(), bars: bars.collect() }
}

impl Figure {
    fn top(&self) -> f64 {
        PADDING + self.title.len() as f64 * TITLE_EM * LINE_HEIGHT + HEADER_EM * LINE_HEIGHT
    }

    fn block_height(&self) -> f64 {
        TEXT_EM * LINE_HEIGHT * 1.3 + self.blocks[0][0].bars.len() as f64 * BAR_PITCH + PADDING
    }

    fn left(&self, column: usize) -> f64 {
        PADDING + self.names_width + column as f64 * (BARS_WIDTH + VALUE_WIDTH + GAP)
    }

    fn draw_block<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, column: usize, measure: usize, top: f64) -> Drawn<DB> {
        let block = &self.blocks[column][measure];
        let largest = self.blocks.iter().flat_map(|run| &run[measure].bars).map(|bar| bar.most).fold(f64::MIN_POSITIVE, f64::max);
        let left = self.left(column);
        let hits = format!("suspect first in {} of {} windows", block.hits, block.windows);
        let text = if column == 0 { format!("{}: {hits}", self.measures[measure].0) } else { hits };
        let head = top + TEXT_EM * LINE_HEIGHT * 0.5;
        let (x, room) = if column == 0 { (PADDING, self.names_width + BARS_WIDTH + VALUE_WIDTH) } else { (left, BARS_WIDTH + VALUE_WIDTH) };
        canvas.text((x, head), &text, Anchor::Start, palette::INK, fitting_em(&text, TEXT_EM, room))?;
        let first = top + TEXT_EM * LINE_HEIGHT * 1.3;
        let bottom = first + block.bars.len() as f64 * BAR_PITCH;
        canvas.line(&[(left, first), (left, bottom)], palette::MUTED, 2)?;
        for (position, bar) in block.bars.iter().enumerate() {
            let middle = first + (position as f64 + 0.5) * BAR_PITCH;
            let x = |value: f64| left + value / largest * BARS_WIDTH;
            let color = if bar.suspect { palette::operator(1) } else { palette::OFFERED };
            if column == 0 {
                canvas.text((left - 12.0, middle), &bar.name, Anchor::End, palette::INK, TEXT_EM)?;
            }
            canvas.line(&[(left + 1.0, middle), (x(bar.mean), middle)], color, BAR as u32)?;
            canvas.line(&[(x(bar.least), middle), (x(bar.most), middle)], palette::INK, 2)?;
            let value = format!("{:.1} %", bar.mean * 100.0);
            canvas.text((x(bar.most) + 10.0, middle), &value, Anchor::Start, palette::INK, TEXT_EM * 0.85)?;
        }
        Ok(())
    }
}

impl Drawing for Figure {
    fn size_px(&self) -> (u32, u32) {
        let footer = self.footer.len() as f64 * TEXT_EM * LINE_HEIGHT;
        let height = self.top() + self.measures.len() as f64 * self.block_height() + footer + PADDING;
        (self.width.ceil() as u32, height.ceil() as u32)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Drawn<DB> {
        let title = Title { lines: &self.title, em_px: TITLE_EM, line_height: LINE_HEIGHT };
        let top = title.draw(canvas, (PADDING, PADDING))?;
        for (column, label) in self.labels.iter().enumerate() {
            canvas.text((self.left(column), top + HEADER_EM * LINE_HEIGHT / 2.0), label, Anchor::Start, palette::INK, HEADER_EM)?;
        }
        for measure in 0..self.measures.len() {
            for column in 0..self.blocks.len() {
                self.draw_block(canvas, column, measure, self.top() + measure as f64 * self.block_height())?;
            }
        }
        let mut middle = self.top() + self.measures.len() as f64 * self.block_height() + TEXT_EM * LINE_HEIGHT * 0.5;
        for line in &self.footer {
            canvas.text((PADDING, middle), line, Anchor::Start, palette::MUTED, TEXT_EM)?;
            middle += TEXT_EM * LINE_HEIGHT;
        }
        Ok(())
    }
}
