//! The sheet of a figure: columns of panels under headers, rows of panels under legends, title
//! above, footer below.
//!
//! The layout is computed from measured text widths before anything is drawn, so that no text
//! overlaps or is cut off, whatever the number of columns.

use plotters::prelude::{DrawingBackend, RGBColor};

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Drawn, Point, fitting_em, paragraph, text_width, wrap};
use super::panel::{LINE_HEIGHT, Level, Panel, Series, TEXT_EM, THIN};
use super::{Drawing, palette};

// Sizes in pixels of the PNG. Four columns make it 2400 wide; printed 7 inches wide the smallest
// text is then 6 points.
const LEFT: f64 = 180.0;
const RIGHT: f64 = 46.0;
const PANEL_WIDTH: f64 = 515.0;
const PANEL_GAP: f64 = 38.0;
const HEADER_EM: f64 = 34.0;
const TITLE_EM: f64 = 40.0;
const PADDING: f64 = 24.0;
const SWATCH: f64 = 48.0;
/// The name of a row is written smaller to fit, but not below this part; then it has two lines.
const SMALLEST: f64 = 0.75;

/// A figure's content.
pub struct Sheet {
    /// What is shown.
    pub title: String,
    /// What it rests on.
    pub footer: String,
    /// One a column.
    pub headers: Vec<String>,
    /// From top to bottom.
    pub rows: Vec<Row>,
    /// When plans were carried out, by column.
    pub actions_s: Vec<Vec<f64>>,
    /// When bins moved, by row and column, from second to second; of a sheet that does not show it,
    /// nothing.
    pub migrations_s: Vec<Vec<Vec<(f64, f64)>>>,
}

/// A row of panels: what its columns share, and their lines.
pub struct Row {
    /// Name and unit of the values.
    pub label: String,
    /// Height of the panels.
    pub height_px: f64,
    /// Range of the values.
    pub axis: Axis,
    /// What the colours mean.
    pub legend: Vec<Entry>,
    /// The lines, by column.
    pub panels: Vec<Vec<Series>>,
    /// Values to compare with, the same in every column.
    pub levels: Vec<Level>,
}

/// An entry of a legend.
pub struct Entry {
    /// What it is.
    pub text: String,
    /// How it is drawn.
    pub mark: Mark,
}

/// How something is drawn.
#[derive(Clone, Copy)]
pub enum Mark {
    /// A line of a colour and width.
    Line(RGBColor, u32),
    /// A dotted line of any colour.
    Dotted,
    /// An upright line.
    Upright,
    /// A filled stretch.
    Stretch(RGBColor),
}

/// A sheet with everything placed.
pub struct Placed<'a> {
    sheet: &'a Sheet,
    width: f64,
    height: f64,
    title: Vec<String>,
    footer: Vec<String>,
    time: Axis,
    /// Lines of entries, by row.
    legends: Vec<Vec<Vec<&'a Entry>>>,
}

impl Sheet {
    /// Finds a place for everything.
    pub fn place(&self) -> Placed<'_> {
        let count = self.headers.len() as f64;
        let inner = count * PANEL_WIDTH + (count - 1.0) * PANEL_GAP;
        let width = LEFT + inner + RIGHT;
        let steps = self.rows.iter().flat_map(|row| row.panels.iter().flatten()).flat_map(|series| &series.steps);
        let mut placed = Placed {
            sheet: self,
            width,
            height: 0.0,
            title: wrap(&self.title, TITLE_EM, inner),
            footer: wrap(&self.footer, TEXT_EM, width - 2.0 * PADDING),
            time: Axis::time(steps.map(|step| step.to_s), 4),
            legends: self.rows.iter().map(|row| legend_lines(&row.legend, inner)).collect(),
        };
        let rows = (0..self.rows.len()).map(|row| placed.row_height(row)).sum::<f64>();
        placed.height = placed.rows_top() + rows + placed.below_height();
        placed
    }
}

impl Placed<'_> {
    fn rows_top(&self) -> f64 {
        PADDING + self.title.len() as f64 * TITLE_EM * LINE_HEIGHT + HEADER_EM * LINE_HEIGHT + PADDING * 0.5
    }

    fn legend_height(&self, row: usize) -> f64 {
        self.legends[row].len() as f64 * TEXT_EM * LINE_HEIGHT + PADDING * 0.4
    }

    /// Legend, panels and the space below them.
    fn row_height(&self, row: usize) -> f64 {
        self.legend_height(row) + self.sheet.rows[row].height_px + PADDING
    }

    /// Labels of the time axis and the footer.
    fn below_height(&self) -> f64 {
        (2.0 + self.footer.len() as f64) * TEXT_EM * LINE_HEIGHT + PADDING * 2.0
    }

    fn draw_row<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, row: usize, top: f64) -> Drawn<DB> {
        let content = &self.sheet.rows[row];
        for (line, entries) in self.legends[row].iter().enumerate() {
            draw_legend(canvas, entries, (LEFT, top + (line as f64 + 0.5) * TEXT_EM * LINE_HEIGHT))?;
        }
        let top = top + self.legend_height(row);
        let bottom = top + content.height_px;
        let one_line = fitting_em(&content.label, TEXT_EM, content.height_px) >= TEXT_EM * SMALLEST;
        let lines = if one_line { vec![content.label.clone()] } else { wrap(&content.label, TEXT_EM, content.height_px) };
        for (line, text) in lines.iter().enumerate() {
            let at = (PADDING + TEXT_EM * (0.5 + 1.2 * line as f64), (top + bottom) / 2.0);
            canvas.text(at, text, Anchor::Upward, palette::INK, fitting_em(text, TEXT_EM, content.height_px))?;
        }
        for (column, series) in content.panels.iter().enumerate() {
            let left = LEFT + column as f64 * (PANEL_WIDTH + PANEL_GAP);
            let panel = Panel { left, right: left + PANEL_WIDTH, top, bottom, time: &self.time, axis: &content.axis };
            let migrations = self.sheet.migrations_s.get(row).and_then(|columns| columns.get(column));
            panel.draw_migrations(canvas, migrations.map_or(&[], Vec::as_slice))?;
            panel.draw_grid(canvas)?;
            panel.draw_actions(canvas, &self.sheet.actions_s[column])?;
            if series.iter().any(|series| !series.steps.is_empty()) {
                panel.draw_levels(canvas, &content.levels)?;
                for series in series {
                    panel.draw_series(canvas, series)?;
                }
            } else {
                canvas.text(
                    ((panel.left + panel.right) / 2.0, (top + bottom) / 2.0),
                    "nothing recorded",
                    Anchor::Middle,
                    palette::MUTED,
                    TEXT_EM,
                )?;
            }
            canvas.frame((panel.left, top), (panel.right, bottom), palette::INK, THIN)?;
            if column == 0 {
                panel.draw_value_labels(canvas)?;
            }
            if row + 1 == self.sheet.rows.len() {
                panel.draw_time_labels(canvas)?;
            }
        }
        Ok(())
    }
}

impl Drawing for Placed<'_> {
    fn size_px(&self) -> (u32, u32) {
        (self.width.ceil() as u32, self.height.ceil() as u32)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Drawn<DB> {
        let top = paragraph(canvas, &self.title, (LEFT, PADDING), (TITLE_EM, TITLE_EM * LINE_HEIGHT), palette::INK)?;
        for (column, header) in self.sheet.headers.iter().enumerate() {
            let middle = LEFT + column as f64 * (PANEL_WIDTH + PANEL_GAP) + PANEL_WIDTH / 2.0;
            let em = fitting_em(header, HEADER_EM, PANEL_WIDTH);
            canvas.text((middle, top + HEADER_EM * LINE_HEIGHT / 2.0), header, Anchor::Middle, palette::INK, em)?;
        }
        let mut top = self.rows_top();
        for row in 0..self.sheet.rows.len() {
            self.draw_row(canvas, row, top)?;
            top += self.row_height(row);
        }
        let below = (PADDING, top + TEXT_EM * LINE_HEIGHT * 2.0 + PADDING);
        paragraph(canvas, &self.footer, below, (TEXT_EM, TEXT_EM * LINE_HEIGHT), palette::MUTED).map(|_| ())
    }
}

/// Entries in lines no wider than `width_px`.
pub fn legend_lines(entries: &[Entry], width_px: f64) -> Vec<Vec<&Entry>> {
    let mut lines: Vec<Vec<&Entry>> = Vec::new();
    let mut used = f64::INFINITY;
    for entry in entries {
        let width = entry_width(entry);
        match lines.last_mut() {
            Some(line) if used + width <= width_px => line.push(entry),
            _ => {
                lines.push(vec![entry]);
                used = 0.0;
            }
        }
        used += width;
    }
    lines
}

/// Mark, text and the space after it.
fn entry_width(entry: &Entry) -> f64 {
    SWATCH * 1.25 + text_width(&entry.text, TEXT_EM) + PADDING * 1.5
}

/// Draws a line of entries from `left` on.
pub fn draw_legend<DB: DrawingBackend>(canvas: &Canvas<'_, DB>, entries: &[&Entry], (left, middle): Point) -> Drawn<DB> {
    let mut x = left;
    for entry in entries {
        match entry.mark {
            Mark::Line(color, width_px) => canvas.line(&[(x, middle), (x + SWATCH, middle)], color, width_px)?,
            Mark::Stretch(color) => {
                let half = TEXT_EM * 0.5;
                canvas.filled((x, middle - half), (x + SWATCH, middle + half), color)?;
            }
            Mark::Dotted => canvas.dotted((x, middle), x + SWATCH, palette::MUTED, 4)?,
            Mark::Upright => {
                let half = TEXT_EM * 0.5;
                canvas.line(&[(x + SWATCH / 2.0, middle - half), (x + SWATCH / 2.0, middle + half)], palette::ACTION, THIN)?;
            }
        }
        canvas.text((x + SWATCH * 1.25, middle), &entry.text, Anchor::Start, palette::INK, TEXT_EM)?;
        x += entry_width(entry);
    }
    Ok(())
}
