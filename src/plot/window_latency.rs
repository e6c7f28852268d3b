//! Latency of the analysis by window length, both on logarithmic axes.

use std::path::{Path, PathBuf};

use plotters::prelude::{DrawingBackend, RGBColor};

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Drawn, Point, Title, fitting_em, text_width, wrap};
use super::{Drawing, PlotError, palette, write_figure};
use crate::experiment::window_latency::{Reference, WindowLatencySummary};

// Pixels of the PNG, which is shown at half its size.
const TITLE_EM: f64 = 34.0;
const TEXT_EM: f64 = 26.0;
const LINE_HEIGHT: f64 = 1.45;
const PADDING: f64 = 28.0;
const LEFT: f64 = 150.0;
const PANEL_WIDTH: f64 = 950.0;
const PANEL_HEIGHT: f64 = 520.0;
/// Half the size of a mark.
const MARK: f64 = 9.0;

struct Figure<'a> {
    title: Vec<String>,
    footer: Vec<String>,
    summaries: &'a [WindowLatencySummary],
    references: &'a [Reference],
    window: Axis,
    latency: Axis,
}

/// Draws `summaries` as `<stem>.svg` and `<stem>.png` and gives these two paths.
///
/// # Errors
/// [`PlotError::Write`] and [`PlotError::Draw`] when a file cannot be made.
pub fn window_latency_figure(
    summaries: &[WindowLatencySummary],
    references: &[Reference],
    title: &str,
    footer: &str,
    stem: &Path,
) -> Result<Vec<PathBuf>, PlotError> {
    let latencies = summaries.iter().flat_map(|summary| [summary.latency_ns_p50, summary.latency_ns_p99]).flatten();
    let latencies = latencies.map(|ns| ns as f64 / 1e6).chain(references.iter().map(|reference| reference.latency_ms));
    let windows = summaries.iter().map(|summary| f64::from(summary.window_s));
    let width = LEFT + PANEL_WIDTH;
    let figure = Figure {
        title: wrap(title, TITLE_EM, width),
        footer: wrap(footer, TEXT_EM * 0.9, width),
        summaries,
        references,
        window: Axis::decades(windows),
        latency: Axis::decades(latencies),
    };
    write_figure(&figure, stem)
}

impl Figure<'_> {
    fn top(&self) -> f64 {
        PADDING + self.title.len() as f64 * TITLE_EM * LINE_HEIGHT + TEXT_EM * LINE_HEIGHT * 2.0
    }

    fn place(&self, window_s: f64, latency_ms: f64) -> Point {
        (LEFT + self.window.position(window_s) * PANEL_WIDTH, self.top() + (1.0 - self.latency.position(latency_ms)) * PANEL_HEIGHT)
    }

    fn draw_grid<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Drawn<DB> {
        let (top, bottom, right) = (self.top(), self.top() + PANEL_HEIGHT, LEFT + PANEL_WIDTH);
        for (&tick, label) in self.latency.ticks.iter().zip(self.latency.labels()) {
            let y = self.place(1.0, tick).1;
            canvas.line(&[(LEFT, y), (right, y)], palette::GRID, 2)?;
            canvas.text((LEFT - 12.0, y), &label, Anchor::End, palette::INK, TEXT_EM)?;
        }
        // The lengths that were measured are the ticks.
        for summary in self.summaries {
            let x = self.place(f64::from(summary.window_s), 1.0).0;
            canvas.line(&[(x, top), (x, bottom)], palette::GRID, 2)?;
            canvas.text((x, bottom + TEXT_EM), &summary.window_s.to_string(), Anchor::Middle, palette::INK, TEXT_EM)?;
        }
        canvas.frame((LEFT, top), (right, bottom), palette::INK, 2)?;
        canvas.text((PADDING + TEXT_EM * 0.5, (top + bottom) / 2.0), "analysis latency (ms)", Anchor::Upward, palette::INK, TEXT_EM)?;
        let under = bottom + TEXT_EM * 2.4;
        canvas.text(((LEFT + right) / 2.0, under), "window length (s)", Anchor::Middle, palette::INK, TEXT_EM)
    }

    fn draw_line<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        color: RGBColor,
        value: impl Fn(&WindowLatencySummary) -> Option<u64>,
    ) -> Drawn<DB> {
        let point = |summary: &WindowLatencySummary| Some(self.place(f64::from(summary.window_s), value(summary)? as f64 / 1e6));
        let points: Vec<Point> = self.summaries.iter().filter_map(point).collect();
        canvas.line(&points, color, 4)?;
        points.iter().try_for_each(|&at| mark(canvas, at, color))
    }
}

fn mark<DB: DrawingBackend>(canvas: &Canvas<'_, DB>, (x, y): Point, color: RGBColor) -> Drawn<DB> {
    canvas.line(&[(x - MARK, y), (x + MARK, y)], color, 2 * MARK as u32)
}

impl Drawing for Figure<'_> {
    fn size_px(&self) -> (u32, u32) {
        let footer = self.footer.len() as f64 * TEXT_EM * LINE_HEIGHT;
        let height = self.top() + PANEL_HEIGHT + TEXT_EM * 4.0 + footer + PADDING;
        ((LEFT + PANEL_WIDTH + PADDING * 2.0).ceil() as u32, height.ceil() as u32)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Drawn<DB> {
        let title = Title { lines: &self.title, em_px: TITLE_EM, line_height: LINE_HEIGHT };
        let top = title.draw(canvas, (PADDING, PADDING))?;
        let mut legend = vec![("ours, median".to_owned(), palette::operator(0)), ("ours, 99th percentile".to_owned(), palette::P99)];
        legend.extend(self.references.iter().map(|reference| {
            let text = format!("{} ({} records per window)", reference.program, reference.records);
            (text, palette::operator(1))
        }));
        let (mut x, mut middle) = (LEFT, top + TEXT_EM * LINE_HEIGHT * 0.5);
        for (text, color) in legend {
            let em = fitting_em(&text, TEXT_EM, PANEL_WIDTH - MARK * 4.0);
            let width = MARK * 4.0 + text_width(&text, em) + PADDING;
            if x > LEFT && x + width > LEFT + PANEL_WIDTH + PADDING {
                (x, middle) = (LEFT, middle + TEXT_EM * LINE_HEIGHT);
            }
            mark(canvas, (x + MARK, middle), color)?;
            canvas.text((x + MARK * 4.0, middle), &text, Anchor::Start, palette::INK, em)?;
            x += width;
        }
        self.draw_grid(canvas)?;
        self.draw_line(canvas, palette::P99, |summary| summary.latency_ns_p99)?;
        self.draw_line(canvas, palette::operator(0), |summary| summary.latency_ns_p50)?;
        for reference in self.references {
            mark(canvas, self.place(reference.window_s, reference.latency_ms), palette::operator(1))?;
        }
        let mut middle = self.top() + PANEL_HEIGHT + TEXT_EM * 4.0;
        for line in &self.footer {
            canvas.text((PADDING, middle), line, Anchor::Start, palette::MUTED, TEXT_EM * 0.9)?;
            middle += TEXT_EM * LINE_HEIGHT;
        }
        Ok(())
    }
}
