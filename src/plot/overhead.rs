//! What elastic operators cost: a bar a query, as long as its throughput is a part of plain timely's.
//!
//! A bar is the median of the pairs of runs; the thin line over it goes from the lower to the upper quartile. At the upright line both
//! forms are equally fast.

use std::path::{Path, PathBuf};

use plotters::prelude::DrawingBackend;

use super::canvas::{Anchor, Canvas, Drawn, Title, text_width, wrap};
use super::{Drawing, PlotError, palette, write_figure};
use crate::experiment::nexmark_overhead::OverheadRow;

/// Most queries of a figure.
const MOST_QUERIES: usize = 30;

// Pixels of the PNG, which is shown at half its size.
const TITLE_EM: f64 = 34.0;
const TEXT_EM: f64 = 24.0;
const LINE_HEIGHT: f64 = 1.45;
const PADDING: f64 = 28.0;
const BARS_WIDTH: f64 = 760.0;
const VALUE_WIDTH: f64 = 480.0;
const BAR: f64 = 26.0;
const BAR_PITCH: f64 = 44.0;

/// One query.
struct Bar {
    query: String,
    /// Lower quartile, median, upper quartile of elastic over plain.
    ratios: [f64; 3],
    text: String,
}

struct Figure {
    title: Vec<String>,
    footer: Vec<String>,
    bars: Vec<Bar>,
    left: f64,
    width: f64,
}

/// Draws recorded pairs of runs as `<stem>.svg` and `<stem>.png` and gives these two paths.
///
/// # Errors
/// [`PlotError::Columns`] without queries or with more than 30; [`PlotError::Write`] and [`PlotError::Draw`] when a file cannot be made.
pub fn overhead_figure(rows: &[OverheadRow], title: &str, footer: &str, stem: &Path) -> Result<Vec<PathBuf>, PlotError> {
    let bars: Vec<Bar> = rows.chunk_by(|one, next| one.query == next.query).filter_map(bar).collect();
    if bars.is_empty() || bars.len() > MOST_QUERIES {
        return Err(PlotError::Columns { most: MOST_QUERIES, found: bars.len() });
    }
    let left = PADDING + bars.iter().map(|bar| text_width(&bar.query, TEXT_EM)).fold(0.0, f64::max) + 12.0;
    let width = left + BARS_WIDTH + VALUE_WIDTH + PADDING;
    let wrapped = |text, em| wrap(text, em, width - 2.0 * PADDING);
    write_figure(&Figure { title: wrapped(title, TITLE_EM), footer: wrapped(footer, TEXT_EM), bars, left, width }, stem)
}

/// The pairs of a query that were as fast as they could be; nothing if there are none.
fn bar(rows: &[OverheadRow]) -> Option<Bar> {
    let fast = || rows.iter().filter(|row| row.due_per_s.is_none());
    let ratios = quartiles(fast().map(|row| row.elastic_per_s / row.plain_per_s))?;
    let [_, elastic, _] = quartiles(fast().map(|row| row.elastic_per_s / 1e6))?;
    let [_, plain, _] = quartiles(fast().map(|row| row.plain_per_s / 1e6))?;
    let text = format!("{:.2}: {elastic:.2} of {plain:.2} million events/s", ratios[1]);
    Some(Bar { query: rows[0].query.clone(), ratios, text })
}

/// Lower quartile, median and upper quartile of some values: those of the ranks that are nearest.
fn quartiles(values: impl Iterator<Item = f64>) -> Option<[f64; 3]> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    Some([1, 2, 3].map(|quarter| sorted[(last * quarter + 2) / 4]))
}

impl Figure {
    fn top(&self) -> f64 {
        PADDING + (self.title.len() as f64 * TITLE_EM + TEXT_EM) * LINE_HEIGHT
    }

    fn bottom(&self) -> f64 {
        self.top() + self.bars.len() as f64 * BAR_PITCH
    }
}

impl Drawing for Figure {
    fn size_px(&self) -> (u32, u32) {
        let footer = (self.footer.len() as f64 + 0.5) * TEXT_EM * LINE_HEIGHT;
        (self.width.ceil() as u32, (self.bottom() + footer + PADDING).ceil() as u32)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Drawn<DB> {
        Title { lines: &self.title, em_px: TITLE_EM, line_height: LINE_HEIGHT }.draw(canvas, (PADDING, PADDING))?;
        let (top, bottom) = (self.top(), self.bottom());
        let longest = self.bars.iter().map(|bar| bar.ratios[2]).fold(1.0, f64::max);
        let x = |ratio: f64| self.left + ratio / longest * BARS_WIDTH;
        canvas.text((x(1.0), top - TEXT_EM * 0.7), "as fast as plain timely", Anchor::End, palette::MUTED, TEXT_EM)?;
        for (position, bar) in self.bars.iter().enumerate() {
            let middle = top + (position as f64 + 0.5) * BAR_PITCH;
            let [lower, median, upper] = bar.ratios;
            canvas.text((self.left - 12.0, middle), &bar.query, Anchor::End, palette::INK, TEXT_EM)?;
            canvas.line(&[(x(0.0), middle), (x(median), middle)], palette::P50, BAR as u32)?;
            canvas.line(&[(x(lower), middle), (x(upper), middle)], palette::INK, 3)?;
            canvas.text((x(longest) + 16.0, middle), &bar.text, Anchor::Start, palette::INK, TEXT_EM)?;
        }
        for ratio in [0.0, 1.0] {
            canvas.line(&[(x(ratio), top), (x(ratio), bottom)], palette::MUTED, 2)?;
        }
        for (line, text) in self.footer.iter().enumerate() {
            canvas.text((PADDING, bottom + (line as f64 + 1.0) * TEXT_EM * LINE_HEIGHT), text, Anchor::Start, palette::MUTED, TEXT_EM)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_the_median_of_the_pairs_between_their_quartiles() {
        assert_eq!(quartiles([5.0, 1.0, 4.0, 2.0, 3.0].into_iter()), Some([2.0, 3.0, 4.0]));
        assert_eq!(quartiles([2.0].into_iter()), Some([2.0; 3]));
        assert_eq!(quartiles(std::iter::empty()), None);
        let row =
            |due_per_s, elastic_per_s| OverheadRow { query: "q4".into(), due_per_s, elastic_per_s, plain_per_s: 2e6, ..Default::default() };
        let bar = bar(&[row(None, 1.8e6), row(Some(1e6), 1e6)]).unwrap();
        assert_eq!((bar.ratios, bar.text.as_str()), ([0.9; 3], "0.90: 1.80 of 2.00 million events/s"));
        let folder = tempfile::tempdir().unwrap();
        let files = overhead_figure(&[row(None, 1.8e6)], "Overhead", "A footer.", &folder.path().join("overhead")).unwrap();
        assert!(files.len() == 2 && files.iter().all(|file| file.is_file()), "{files:?}");
        assert!(matches!(overhead_figure(&[], "", "", Path::new("none")), Err(PlotError::Columns { found: 0, .. })));
    }
}
