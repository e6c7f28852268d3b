//! Overhead of a feature on NEXMark queries: one bar per query, the throughput with the feature
//! relative to that without it.
//!
//! A bar is the median of pairs of runs; the thin line spans minimum to maximum. At the vertical
//! line both are equally fast.

use std::path::{Path, PathBuf};

use plotters::prelude::DrawingBackend;

use super::canvas::{Anchor, Canvas, Drawn, Title, text_width, wrap};
use super::{Drawing, PlotError, palette, write_figure};
use crate::experiment::nexmark_overhead::OverheadSummary;

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

struct Figure<'a> {
    title: Vec<String>,
    footer: Vec<String>,
    queries: &'a [OverheadSummary],
    left: f64,
    width: f64,
}

/// Draws one bar per query as `<stem>.svg` and `<stem>.png` and returns these two paths.
///
/// # Errors
/// [`PlotError::Columns`] without queries or with more than 30; [`PlotError::Write`] and
/// [`PlotError::Draw`] when a file cannot be made.
pub fn overhead_figure(queries: &[OverheadSummary], title: &str, footer: &str, stem: &Path) -> Result<Vec<PathBuf>, PlotError> {
    if queries.is_empty() || queries.len() > MOST_QUERIES {
        return Err(PlotError::Columns { most: MOST_QUERIES, found: queries.len() });
    }
    let left = PADDING + queries.iter().map(|of| text_width(&of.query, TEXT_EM)).fold(0.0, f64::max) + 12.0;
    let width = left + BARS_WIDTH + VALUE_WIDTH + PADDING;
    let wrapped = |text, em| wrap(text, em, width - 2.0 * PADDING);
    write_figure(&Figure { title: wrapped(title, TITLE_EM), footer: wrapped(footer, TEXT_EM), queries, left, width }, stem)
}

/// The label beside a bar.
fn beside(of: &OverheadSummary) -> String {
    format!("{:.2}: {:.2} of {:.2} million events/s", of.throughput_ratio[0], of.with_per_s / 1e6, of.without_per_s / 1e6)
}

impl Figure<'_> {
    fn top(&self) -> f64 {
        PADDING + (self.title.len() as f64 * TITLE_EM + TEXT_EM) * LINE_HEIGHT
    }

    fn bottom(&self) -> f64 {
        self.top() + self.queries.len() as f64 * BAR_PITCH
    }
}

impl Drawing for Figure<'_> {
    fn size_px(&self) -> (u32, u32) {
        let footer = (self.footer.len() as f64 + 0.5) * TEXT_EM * LINE_HEIGHT;
        (self.width.ceil() as u32, (self.bottom() + footer + PADDING).ceil() as u32)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Drawn<DB> {
        Title { lines: &self.title, em_px: TITLE_EM, line_height: LINE_HEIGHT }.draw(canvas, (PADDING, PADDING))?;
        let (top, bottom) = (self.top(), self.bottom());
        let longest = self.queries.iter().map(|of| of.throughput_ratio[2]).fold(1.0, f64::max);
        let x = |ratio: f64| self.left + ratio / longest * BARS_WIDTH;
        canvas.text(
            (x(1.0), top - TEXT_EM * 0.7),
            &format!("as fast as {}", self.queries[0].without),
            Anchor::End,
            palette::MUTED,
            TEXT_EM,
        )?;
        for (position, of) in self.queries.iter().enumerate() {
            let middle = top + (position as f64 + 0.5) * BAR_PITCH;
            let [median, least, most] = of.throughput_ratio;
            canvas.text((self.left - 12.0, middle), &of.query, Anchor::End, palette::INK, TEXT_EM)?;
            canvas.line(&[(x(0.0), middle), (x(median), middle)], palette::P50, BAR as u32)?;
            canvas.line(&[(x(least), middle), (x(most), middle)], palette::INK, 3)?;
            canvas.text((x(longest) + 16.0, middle), &beside(of), Anchor::Start, palette::INK, TEXT_EM)?;
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
    fn a_query_has_a_bar_with_its_numbers_beside_it() {
        let throughput_ratio = [0.9, 0.8, 1.1];
        let of = OverheadSummary { query: "q4".into(), throughput_ratio, with_per_s: 1.8e6, without_per_s: 2e6, ..Default::default() };
        assert_eq!(beside(&of), "0.90: 1.80 of 2.00 million events/s");
        let folder = tempfile::tempdir().unwrap();
        let files = overhead_figure(&[of], "Overhead", "A footer.", &folder.path().join("overhead")).unwrap();
        assert!(std::fs::read_to_string(&files[0]).unwrap().contains("0.90: 1.80 of 2.00") && files[1].is_file(), "{files:?}");
        assert!(matches!(overhead_figure(&[], "", "", Path::new("none")), Err(PlotError::Columns { found: 0, .. })));
    }
}
