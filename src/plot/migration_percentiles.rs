//! Latency percentiles by setting, without a migration: the overhead of an elastic operator. The
//! paper's numbers are drawn beneath in grey.

use std::path::{Path, PathBuf};

use plotters::prelude::{DrawingBackend, RGBColor};

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Drawn, Point, Title, fitting_em, text_width, wrap};
use super::{Drawing, PlotError, palette, write_figure};
use crate::experiment::migration::MigrationSummary;

// Pixels of the PNG, which is shown at half its size.
const TITLE_EM: f64 = 34.0;
const TEXT_EM: f64 = 26.0;
const LINE_HEIGHT: f64 = 1.45;
const PADDING: f64 = 28.0;
const LEFT: f64 = 150.0;
const PANEL_WIDTH: f64 = 1000.0;
const PANEL_HEIGHT: f64 = 560.0;
/// Half the size of a mark.
const MARK: f64 = 9.0;

/// A percentile: its name, its colour, ours and the paper's in milliseconds.
type Percentile = (&'static str, RGBColor, fn(&MigrationSummary) -> Option<f64>, fn(&MigrationSummary) -> Option<f64>);

/// From the fastest to the slowest.
const PERCENTILES: [Percentile; 4] = [
    ("90 %", palette::P50, |one| ms(one.overall_ns_p90), |one| one.paper.iter().find_map(|point| point.ms_p90)),
    ("99 %", RGBColor(0x00, 0x72, 0xB2), |one| ms(one.overall_ns_p99), |one| one.paper.iter().find_map(|point| point.ms_p99)),
    ("99.99 %", palette::P99, |one| ms(one.overall_ns_p9999), |one| one.paper.iter().find_map(|point| point.ms_p9999)),
    ("largest", RGBColor(0xD5, 0x5E, 0x00), |one| ms(one.overall_ns_max), |one| one.paper.iter().find_map(|point| point.ms_max)),
];

fn ms(ns: Option<u64>) -> Option<f64> {
    ns.map(|ns| ns as f64 / 1e6)
}

struct Figure<'a> {
    title: Vec<String>,
    footer: Vec<String>,
    summaries: &'a [MigrationSummary],
    latency: Axis,
}

/// Draws `summaries`, a column each, as `<stem>.svg` and `<stem>.png` and gives these two paths.
///
/// # Errors
/// [`PlotError::Columns`] without any or with more than 16; [`PlotError::Write`] and
/// [`PlotError::Draw`] when a file cannot be made.
pub fn migration_percentiles_figure(
    summaries: &[MigrationSummary],
    title: &str,
    footer: &str,
    stem: &Path,
) -> Result<Vec<PathBuf>, PlotError> {
    if summaries.is_empty() || summaries.len() > 16 {
        return Err(PlotError::Columns { most: 16, found: summaries.len() });
    }
    let values = summaries.iter().flat_map(|one| PERCENTILES.iter().flat_map(move |(_, _, ours, paper)| [ours(one), paper(one)]));
    let figure = Figure {
        title: wrap(title, TITLE_EM, LEFT + PANEL_WIDTH),
        footer: wrap(footer, TEXT_EM * 0.9, LEFT + PANEL_WIDTH),
        summaries,
        latency: Axis::decades(values.flatten()),
    };
    write_figure(&figure, stem)
}

impl Figure<'_> {
    fn top(&self) -> f64 {
        PADDING + self.title.len() as f64 * TITLE_EM * LINE_HEIGHT + TEXT_EM * LINE_HEIGHT * 1.5
    }

    fn place(&self, column: usize, latency_ms: f64) -> Point {
        let x = LEFT + (column as f64 + 0.5) / self.summaries.len() as f64 * PANEL_WIDTH;
        (x, self.top() + (1.0 - self.latency.position(latency_ms)) * PANEL_HEIGHT)
    }

    fn draw_grid<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Drawn<DB> {
        let (top, bottom, right) = (self.top(), self.top() + PANEL_HEIGHT, LEFT + PANEL_WIDTH);
        for (&tick, label) in self.latency.ticks.iter().zip(self.latency.labels()) {
            let y = self.place(0, tick).1;
            canvas.line(&[(LEFT, y), (right, y)], palette::GRID, 2)?;
            canvas.text((LEFT - 12.0, y), &label, Anchor::End, palette::INK, TEXT_EM)?;
        }
        let room = PANEL_WIDTH / self.summaries.len() as f64 - 10.0;
        let em = self.summaries.iter().map(|one| fitting_em(&one.setting, TEXT_EM, room)).fold(TEXT_EM, f64::min);
        for (column, summary) in self.summaries.iter().enumerate() {
            canvas.text((self.place(column, 1.0).0, bottom + TEXT_EM), &summary.setting, Anchor::Middle, palette::INK, em)?;
        }
        canvas.frame((LEFT, top), (right, bottom), palette::INK, 2)?;
        canvas.text((PADDING + TEXT_EM * 0.5, (top + bottom) / 2.0), "latency (ms)", Anchor::Upward, palette::INK, TEXT_EM)
    }

    /// A line through the columns that are alike; what has no bins stands for itself.
    fn draw_line<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        (color, width_px, mark): (RGBColor, u32, f64),
        value: fn(&MigrationSummary) -> Option<f64>,
    ) -> Drawn<DB> {
        let point = |(column, one): (usize, &MigrationSummary)| Some((one.bins > 0, self.place(column, value(one)?)));
        let points: Vec<(bool, Point)> = self.summaries.iter().enumerate().filter_map(point).collect();
        let with_bins: Vec<Point> = points.iter().filter(|(bins, _)| *bins).map(|(_, at)| *at).collect();
        canvas.line(&with_bins, color, width_px)?;
        points.iter().try_for_each(|&(_, (x, y))| canvas.line(&[(x - mark, y), (x + mark, y)], color, 2 * mark as u32))
    }
}

impl Drawing for Figure<'_> {
    fn size_px(&self) -> (u32, u32) {
        let height = self.top() + PANEL_HEIGHT + TEXT_EM * 2.5 + self.footer.len() as f64 * TEXT_EM * LINE_HEIGHT + PADDING;
        ((LEFT + PANEL_WIDTH + PADDING * 2.0).ceil() as u32, height.ceil() as u32)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Drawn<DB> {
        let title = Title { lines: &self.title, em_px: TITLE_EM, line_height: LINE_HEIGHT };
        let top = title.draw(canvas, (PADDING, PADDING))?;
        let mut legend: Vec<(&str, RGBColor)> = PERCENTILES.iter().map(|(name, color, ..)| (*name, *color)).collect();
        if self.summaries.iter().any(|one| !one.paper.is_empty()) {
            legend.push(("paper (other machines)", palette::OFFERED));
        }
        let (mut x, middle) = (LEFT, top + TEXT_EM * LINE_HEIGHT * 0.5);
        for (text, color) in legend {
            canvas.line(&[(x, middle), (x + MARK * 2.0, middle)], color, 2 * MARK as u32)?;
            canvas.text((x + MARK * 3.0, middle), text, Anchor::Start, palette::INK, TEXT_EM)?;
            x += MARK * 3.0 + text_width(text, TEXT_EM) + PADDING;
        }
        self.draw_grid(canvas)?;
        for (_, _, _, paper) in PERCENTILES {
            self.draw_line(canvas, (palette::OFFERED, 3, MARK * 0.7), paper)?;
        }
        // Of marks that lie upon each other the lower one is larger.
        for ((_, color, ours, _), mark) in PERCENTILES.into_iter().zip([MARK * 1.6, MARK * 1.3, MARK, MARK * 0.7]) {
            self.draw_line(canvas, (color, 4, mark), ours)?;
        }
        let mut middle = self.top() + PANEL_HEIGHT + TEXT_EM * 2.5 + TEXT_EM * LINE_HEIGHT * 0.5;
        for line in &self.footer {
            canvas.text((PADDING, middle), line, Anchor::Start, palette::MUTED, TEXT_EM * 0.9)?;
            middle += TEXT_EM * LINE_HEIGHT;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::migration::PaperPoint;

    #[test]
    fn a_column_a_setting_with_the_papers_numbers_beneath() {
        let one = |setting: &str, bins, paper: Option<f64>| MigrationSummary {
            setting: setting.into(),
            bins,
            overall_ns_p90: Some(300_000),
            overall_ns_max: Some(3_000_000),
            paper: paper.map(|ms| PaperPoint { ms_p90: Some(ms), ..PaperPoint::default() }).into_iter().collect(),
            ..MigrationSummary::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let draw = |summaries: &[MigrationSummary]| {
            let paths = migration_percentiles_figure(summaries, "a title", "a footer", &folder.path().join("figure")).unwrap();
            std::fs::read_to_string(&paths[0]).unwrap()
        };
        let svg = draw(&[one("native", 0, Some(1.64)), one("2^4 bins", 16, Some(4.46)), one("2^8 bins", 256, None)]);
        assert!(svg.find("native") < svg.find("2^4 bins") && svg.contains("other machines"));
        assert!(!draw(&[one("native", 0, None)]).contains("other machines"));
        assert!(migration_percentiles_figure(&[], "", "", Path::new("never")).is_err());
    }
}
