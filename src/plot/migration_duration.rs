//! Maximum latency during a migration against its duration, both on logarithmic axes: one mark per
//! setting, one line per strategy, one panel per number of processes. The dotted line is the
//! latency without a migration.
//!
//! Marks are medians over seeds; thin lines span the minimum to the maximum latency.

use std::path::{Path, PathBuf};

use plotters::prelude::DrawingBackend;

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Drawn, Point, Title, fitting_em, text_width, wrap};
use super::{Drawing, PlotError, palette, write_figure};
use crate::experiment::migration::{MigrationSummary, NO_MIGRATION, strategy_rank};

// Pixels of the PNG, which is shown at half its size.
const TITLE_EM: f64 = 34.0;
const TEXT_EM: f64 = 26.0;
const LABEL_EM: f64 = 22.0;
const LINE_HEIGHT: f64 = 1.45;
const PADDING: f64 = 28.0;
const LEFT: f64 = 150.0;
const PANEL_WIDTH: f64 = 760.0;
const PANEL_GAP: f64 = 50.0;
const PANEL_HEIGHT: f64 = 620.0;
/// Half the size of a mark.
const MARK: f64 = 9.0;
/// Most panels of a figure.
const MOST_PANELS: usize = 3;

struct Figure<'a> {
    title: Vec<String>,
    footer: Vec<String>,
    /// Numbers of processes, in order, with the summaries for each.
    panels: Vec<(u32, Vec<&'a MigrationSummary>)>,
    duration: Axis,
    latency: Axis,
}

/// Draws `summaries` as `<stem>.svg` and `<stem>.png` and gives these two paths.
///
/// # Errors
/// [`PlotError::Columns`] if there are none, or of more than three numbers of processes;
/// [`PlotError::Write`] and [`PlotError::Draw`] when a file cannot be made.
pub fn migration_duration_figure(
    summaries: &[MigrationSummary],
    title: &str,
    footer: &str,
    stem: &Path,
) -> Result<Vec<PathBuf>, PlotError> {
    let mut processes: Vec<u32> = summaries.iter().map(|summary| summary.processes).collect();
    processes.sort_unstable();
    processes.dedup();
    if processes.is_empty() || processes.len() > MOST_PANELS {
        return Err(PlotError::Columns { most: MOST_PANELS, found: processes.len() });
    }
    let of = |count: u32| (count, summaries.iter().filter(|summary| summary.processes == count).collect());
    let panels: Vec<(u32, Vec<&MigrationSummary>)> = processes.into_iter().map(of).collect();
    let width = LEFT + panels.len() as f64 * (PANEL_WIDTH + PANEL_GAP) - PANEL_GAP;
    let figure = Figure {
        title: wrap(title, TITLE_EM, width),
        footer: wrap(footer, TEXT_EM * 0.9, width),
        duration: Axis::decades(summaries.iter().filter_map(duration_ms)),
        latency: Axis::decades(summaries.iter().filter_map(latency_ms)),
        panels,
    };
    write_figure(&figure, stem)
}

fn duration_ms(summary: &MigrationSummary) -> Option<f64> {
    summary.duration_ns.map(|ns| ns as f64 / 1e6)
}

fn latency_ms(summary: &MigrationSummary) -> Option<f64> {
    summary.migration_ns_max.map(|ns| ns as f64 / 1e6)
}

/// Rectangles that are taken: upper left and lower right.
type Taken = Vec<(Point, Point)>;

impl Figure<'_> {
    fn legend(&self) -> Vec<&str> {
        let mut strategies: Vec<&str> =
            self.panels.iter().flat_map(|(_, summaries)| summaries).map(|summary| summary.strategy.as_str()).collect();
        strategies.sort_by_key(|strategy| (strategy_rank(strategy), *strategy));
        strategies.dedup();
        strategies
    }

    fn top(&self) -> f64 {
        PADDING + self.title.len() as f64 * TITLE_EM * LINE_HEIGHT + TEXT_EM * LINE_HEIGHT * 2.5
    }

    fn left(&self, panel: usize) -> f64 {
        LEFT + panel as f64 * (PANEL_WIDTH + PANEL_GAP)
    }

    fn y(&self, latency_ms: f64) -> f64 {
        self.top() + (1.0 - self.latency.position(latency_ms)) * PANEL_HEIGHT
    }

    fn x(&self, panel: usize, duration_ms: f64) -> f64 {
        self.left(panel) + self.duration.position(duration_ms) * PANEL_WIDTH
    }

    fn draw_grid<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, panel: usize) -> Drawn<DB> {
        let (left, right, top, bottom) = (self.left(panel), self.left(panel) + PANEL_WIDTH, self.top(), self.top() + PANEL_HEIGHT);
        for (&tick, label) in self.latency.ticks.iter().zip(self.latency.labels()) {
            canvas.line(&[(left, self.y(tick)), (right, self.y(tick))], palette::GRID, 2)?;
            if panel == 0 {
                canvas.text((left - 12.0, self.y(tick)), &label, Anchor::End, palette::INK, TEXT_EM)?;
            }
        }
        for (&tick, label) in self.duration.ticks.iter().zip(self.duration.labels()) {
            let x = self.x(panel, tick);
            canvas.line(&[(x, top), (x, bottom)], palette::GRID, 2)?;
            // Within the panel, so that the last label of one does not meet the first of the next.
            let half = text_width(&label, TEXT_EM) / 2.0;
            canvas.text((x.max(left + half).min(right - half), bottom + TEXT_EM), &label, Anchor::Middle, palette::INK, TEXT_EM)?;
        }
        canvas.frame((left, top), (right, bottom), palette::INK, 2)?;
        let header = match self.panels[panel].0 {
            1 => "in one process".to_owned(),
            count => format!("across {count} processes"),
        };
        canvas.text(((left + right) / 2.0, top - TEXT_EM * 0.8), &header, Anchor::Middle, palette::INK, TEXT_EM)?;
        canvas.text(((left + right) / 2.0, bottom + TEXT_EM * 2.4), "duration of the migration (ms)", Anchor::Middle, palette::INK, TEXT_EM)
    }

    fn draw_panel<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, panel: usize) -> Drawn<DB> {
        let summaries = &self.panels[panel].1;
        let mut usual: Vec<f64> = summaries.iter().filter(|one| one.strategy == NO_MIGRATION).filter_map(|one| latency_ms(one)).collect();
        usual.sort_by(f64::total_cmp);
        if let Some(&usual) = usual.get(usual.len() / 2) {
            let left = self.left(panel);
            canvas.dotted((left, self.y(usual)), left + PANEL_WIDTH, palette::MUTED, 4)?;
        }
        let place = |summary: &MigrationSummary| Some((self.x(panel, duration_ms(summary)?), self.y(latency_ms(summary)?)));
        let mut taken: Taken = Vec::new();
        let mut labels: Vec<(Point, &str)> = Vec::new();
        for strategy in self.legend() {
            let color = palette::strategy(strategy_rank(strategy));
            let of_strategy = || summaries.iter().filter(|summary| summary.strategy == strategy);
            let points: Vec<Point> = of_strategy().filter_map(|summary| place(summary)).collect();
            // Piece by piece: where a line turns back sharply, its corner would reach far beyond
            // the point.
            points.windows(2).try_for_each(|pair| canvas.line(pair, color, 2))?;
            for summary in of_strategy() {
                let Some((x, y)) = place(summary) else { continue };
                if let Some((least, most)) = summary.added_ns_range.filter(|_| summary.runs > 1) {
                    let usual = summary.usual_ns_max.unwrap_or_default() as f64;
                    let end = |added: i64| self.y(((usual + added as f64) / 1e6).max(f64::MIN_POSITIVE));
                    canvas.line(&[(x, end(least)), (x, end(most))], color, 2)?;
                }
                canvas.line(&[(x - MARK, y), (x + MARK, y)], color, 2 * MARK as u32)?;
                taken.push(((x - MARK, y - MARK), (x + MARK, y + MARK)));
                labels.push(((x, y), &summary.setting));
            }
        }
        for (at, label) in labels {
            // What stands after a comma is the same in the whole panel, or stands in its header.
            let label = label.split(',').next().unwrap_or_default();
            if let Some(place) = self.free(panel, at, label, &mut taken) {
                canvas.text(place, label, Anchor::Start, palette::MUTED, LABEL_EM)?;
            }
        }
        Ok(())
    }

    /// Where a label beside `at` lies on nothing else: the middle of its left end; nothing if there
    /// is no such place.
    fn free(&self, panel: usize, (x, y): Point, label: &str, taken: &mut Taken) -> Option<Point> {
        let (width, half, gap) = (text_width(label, LABEL_EM), LABEL_EM * 0.6, MARK * 1.6);
        let (left, right) = (self.left(panel), self.left(panel) + PANEL_WIDTH);
        let (top, bottom) = (self.top(), self.top() + PANEL_HEIGHT);
        let beside = [(x + gap, y), (x - gap - width, y)];
        let rows = [1.0, 2.2].into_iter().flat_map(|n| {
            let away = MARK + half * n + 2.0;
            [(x - width / 2.0, y - away), (x - width / 2.0, y + away), (x + gap, y - away), (x + gap, y + away)]
        });
        let place = beside.into_iter().chain(rows).find(|&(start, middle)| {
            let inside = start >= left + 4.0 && start + width <= right - 4.0 && middle - half >= top && middle + half <= bottom;
            let free =
                |&((x0, y0), (x1, y1)): &(Point, Point)| start + width < x0 || x1 < start || middle + half < y0 || y1 < middle - half;
            inside && taken.iter().all(free)
        })?;
        taken.push(((place.0, place.1 - half), (place.0 + width, place.1 + half)));
        Some(place)
    }
}

impl Drawing for Figure<'_> {
    fn size_px(&self) -> (u32, u32) {
        let width = self.left(self.panels.len()) - PANEL_GAP + PADDING * 2.0;
        let height = self.top() + PANEL_HEIGHT + TEXT_EM * 4.0 + self.footer.len() as f64 * TEXT_EM * LINE_HEIGHT + PADDING;
        (width.ceil() as u32, height.ceil() as u32)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Drawn<DB> {
        let title = Title { lines: &self.title, em_px: TITLE_EM, line_height: LINE_HEIGHT };
        let top = title.draw(canvas, (PADDING, PADDING))?;
        let (strategies, middle) = (self.legend(), top + TEXT_EM * LINE_HEIGHT * 0.5);
        let room = self.left(self.panels.len()) - PANEL_GAP - PADDING;
        let width = |em: f64| strategies.iter().map(|strategy| text_width(strategy, em) + MARK * 4.0 + PADDING).sum::<f64>();
        let em = if width(TEXT_EM) <= room { TEXT_EM } else { TEXT_EM * room / width(TEXT_EM) };
        let mut x = PADDING;
        for strategy in strategies {
            if strategy == NO_MIGRATION {
                canvas.dotted((x, middle), x + MARK * 3.0, palette::MUTED, 4)?;
            } else {
                let color = palette::strategy(strategy_rank(strategy));
                canvas.line(&[(x + MARK, middle), (x + MARK * 3.0, middle)], color, 2 * MARK as u32)?;
            }
            canvas.text((x + MARK * 4.0, middle), strategy, Anchor::Start, palette::INK, em)?;
            x += text_width(strategy, em) + MARK * 4.0 + PADDING;
        }
        for panel in 0..self.panels.len() {
            self.draw_grid(canvas, panel)?;
            self.draw_panel(canvas, panel)?;
        }
        let (label, middle) = ("max latency (ms)", self.top() + PANEL_HEIGHT / 2.0);
        let em = fitting_em(label, TEXT_EM, PANEL_HEIGHT);
        canvas.text((PADDING + TEXT_EM * 0.5, middle), label, Anchor::Upward, palette::INK, em)?;
        let mut middle = self.top() + PANEL_HEIGHT + TEXT_EM * 4.0;
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

    #[test]
    fn a_mark_a_setting_and_a_panel_a_number_of_processes() {
        let mut summaries = Vec::new();
        for processes in [1, 2] {
            for (strategy, latency) in [("fluid", 2), ("none", 1), ("all-at-once", 300)] {
                summaries.extend([4u32, 8, 12].map(|exponent| MigrationSummary {
                    setting: format!("2^{exponent} bins, {processes}"),
                    strategy: strategy.into(),
                    processes,
                    runs: 3,
                    duration_ns: (strategy != "none").then_some(u64::from(exponent) * 10_000_000),
                    migration_ns_max: Some(latency * 1_000_000),
                    usual_ns_max: Some(1_000_000),
                    added_ns_range: Some((-2_000_000, 3_000_000)),
                    ..MigrationSummary::default()
                }));
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let paths = migration_duration_figure(&summaries, "a title", "a footer", &folder.path().join("figure")).unwrap();
        let svg = std::fs::read_to_string(&paths[0]).unwrap();
        assert!(svg.contains("in one process") && svg.contains("across 2 processes") && svg.contains("duration of the migration (ms)"));
        assert!(svg.contains("2^12 bins") && !svg.contains("bins, 2"));
        assert!(matches!(migration_duration_figure(&[], "", "", Path::new("never")), Err(PlotError::Columns { found: 0, .. })));
    }
}
