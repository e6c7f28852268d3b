//! One panel: step lines over time within a frame.

use plotters::prelude::{DrawingBackend, RGBColor};

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Drawn, Point, fitting_em, text_width};
use super::palette;

/// From one line of text to the next, in em.
pub const LINE_HEIGHT: f64 = 1.4;
/// Size of all text but titles and headers.
pub const TEXT_EM: f64 = 30.0;
/// Width of frames and of lines to read by.
pub const THIN: u32 = 2;
/// Windows further apart than this have something unrecorded between them; less is rounding.
const GAP_S: f64 = 1e-6;
/// Width of a dotted line, so also the length of its dots.
const LEVEL_WIDTH_PX: u32 = 4;
/// Least width of a shaded stretch.
const LEAST_SPAN_PX: f64 = 6.0;
/// Room for labels left of a panel, beside the name of the axis.
const LABEL_WIDTH_PX: f64 = 100.0;
/// Length of the small line at a labelled value, in pixels.
const TICK: f64 = 9.0;

/// A line of a panel: values over stretches of time, ascending.
pub struct Series {
    /// Colour.
    pub color: RGBColor,
    /// Width.
    pub width_px: u32,
    /// The values.
    pub steps: Vec<Step>,
    /// Lines that would lie upon each other are moved apart, downwards by so much.
    pub shift_px: f64,
}

/// A value that held from one second to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Start of the window.
    pub from_s: f64,
    /// End of the window; later than its start.
    pub to_s: f64,
    /// The value.
    pub value: f64,
}

/// A value to compare with, all along the panel.
#[derive(Clone, Copy)]
pub struct Level {
    /// The value.
    pub value: f64,
    /// Colour of its dotted line.
    pub color: RGBColor,
    /// As [`Series::shift_px`].
    pub shift_px: f64,
}

/// A panel's place, in pixels, and its axes.
pub struct Panel<'a> {
    /// Left edge.
    pub left: f64,
    /// Right edge.
    pub right: f64,
    /// Upper edge.
    pub top: f64,
    /// Lower edge.
    pub bottom: f64,
    /// Time, to the right.
    pub time: &'a Axis,
    /// Values, upwards.
    pub axis: &'a Axis,
}

impl Panel<'_> {
    fn x(&self, seconds: f64) -> f64 {
        self.left + self.time.position(seconds) * (self.right - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - self.axis.position(value) * (self.bottom - self.top)
    }

    /// Faint lines at the labelled values.
    pub fn draw_grid<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Drawn<DB> {
        for &tick in &self.axis.ticks {
            canvas.line(&[(self.left, self.y(tick)), (self.right, self.y(tick))], palette::GRID, THIN)?;
        }
        for &tick in &self.time.ticks {
            canvas.line(&[(self.x(tick), self.top), (self.x(tick), self.bottom)], palette::GRID, THIN)?;
        }
        Ok(())
    }

    /// Shades the spans of migrations; even the shortest is visible.
    pub fn draw_migrations<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, spans_s: &[(f64, f64)]) -> Drawn<DB> {
        for &(from_s, to_s) in spans_s.iter().filter(|(from_s, _)| self.time.contains(*from_s)) {
            let (left, right) = (self.x(from_s), self.x(to_s).max(self.x(from_s) + LEAST_SPAN_PX));
            canvas.filled((left, self.top), (right, self.bottom), palette::MIGRATING)?;
        }
        Ok(())
    }

    /// Upright lines when plans were carried out.
    pub fn draw_actions<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, actions_s: &[f64]) -> Drawn<DB> {
        for &at in actions_s.iter().filter(|&&at| self.time.contains(at)) {
            canvas.line(&[(self.x(at), self.top), (self.x(at), self.bottom)], palette::ACTION, THIN)?;
        }
        Ok(())
    }

    /// Dotted lines at values to compare with.
    pub fn draw_levels<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, levels: &[Level]) -> Drawn<DB> {
        for level in levels {
            canvas.dotted((self.left, self.y(level.value) + level.shift_px), self.right, level.color, LEVEL_WIDTH_PX)?;
        }
        Ok(())
    }

    /// A line through steps, broken where windows are missing.
    pub fn draw_series<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, series: &Series) -> Drawn<DB> {
        let mut points: Vec<Point> = Vec::new();
        let mut drawn_to_s = f64::NEG_INFINITY;
        for step in &series.steps {
            if step.from_s > drawn_to_s + GAP_S {
                canvas.line(&points, series.color, series.width_px)?;
                points.clear();
            }
            let y = self.y(step.value) + series.shift_px;
            match points.last_mut() {
                // Many points on one straight would make the ends of a bitmap's wide line crooked.
                Some(last) if last.1 == y => last.0 = self.x(step.to_s),
                _ => points.extend([(self.x(step.from_s), y), (self.x(step.to_s), y)]),
            }
            drawn_to_s = step.to_s;
        }
        canvas.line(&points, series.color, series.width_px)
    }

    /// Labels left of the panel.
    pub fn draw_value_labels<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Drawn<DB> {
        let labels = self.axis.labels();
        // One size for all labels: that at which the longest fits.
        let em = labels.iter().map(|label| fitting_em(label, TEXT_EM, LABEL_WIDTH_PX)).fold(TEXT_EM, f64::min);
        for (&tick, label) in self.axis.ticks.iter().zip(&labels) {
            canvas.line(&[(self.left - TICK, self.y(tick)), (self.left, self.y(tick))], palette::INK, THIN)?;
            canvas.text((self.left - TICK * 2.0, self.y(tick)), label, Anchor::End, palette::INK, em)?;
        }
        Ok(())
    }

    /// Labels below the panel, with the name of the axis in seconds.
    pub fn draw_time_labels<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Drawn<DB> {
        self.draw_time_labels_named(canvas, "time (s)")
    }

    /// The same with another name of the axis.
    pub fn draw_time_labels_named<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, name: &str) -> Drawn<DB> {
        let middle = self.bottom + TICK * 2.0 + TEXT_EM * 0.6;
        for (&tick, label) in self.time.ticks.iter().zip(self.time.labels()) {
            canvas.line(&[(self.x(tick), self.bottom), (self.x(tick), self.bottom + TICK)], palette::INK, THIN)?;
            // Within the panel, so that the last label of one does not meet the first of the next.
            let half = text_width(&label, TEXT_EM) / 2.0;
            let x = self.x(tick).max(self.left + half).min(self.right - half);
            canvas.text((x, middle), &label, Anchor::Middle, palette::INK, TEXT_EM)?;
        }
        let at = ((self.left + self.right) / 2.0, middle + TEXT_EM * LINE_HEIGHT);
        canvas.text(at, name, Anchor::Middle, palette::INK, TEXT_EM)
    }
}
