//! The picture of causal profiling: what the speed-up of an operator would give, a line an operator.

use std::path::{Path, PathBuf};

use plotters::prelude::DrawingBackend;

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Drawn, text_width};
use super::page::{Body, HEADER_EM, LINE_HEIGHT, TEXT_EM, page};
use super::{PlotError, palette, write_one};

const LEFT: f64 = 150.0;
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 700.0;
const LINE: u32 = 4;
const THIN: u32 = 2;
const MARK: f64 = 5.0;
/// Space between the panel and the names right of it, and around names.
const GAP: f64 = 26.0;
/// The most lines that have colours of their own.
const MOST: usize = 7;

/// An operator's line.
#[derive(Clone, Debug, PartialEq)]
pub struct GainCurve {
    /// The operator.
    pub name: String,
    /// Its speed-up, 0 to 1, and what part of the latency that takes away.
    pub points: Vec<(f64, f64)>,
    /// The bound on what it could take away.
    pub bound: Option<f64>,
}

/// Draws the first of `curves` as the picture `path`, which ends in `.svg` or `.png`.
///
/// # Errors
/// [`PlotError::Format`] where the name says no format, [`PlotError::Columns`] without curves, and [`PlotError::Write`] and
/// [`PlotError::Draw`] when the file cannot be made.
pub fn curves_figure(curves: &[GainCurve], (title, footer): (&str, &str), path: &Path) -> Result<PathBuf, PlotError> {
    if curves.is_empty() {
        return Err(PlotError::Columns { most: MOST, found: 0 });
    }
    let curves = &curves[..curves.len().min(MOST)];
    let percents =
        || curves.iter().flat_map(|curve| curve.points.iter().map(|(_, gain)| gain * 100.0).chain(curve.bound.map(|b| b * 100.0)));
    let (low, high) = (percents().fold(0.0, f64::min), percents().fold(1.0, f64::max));
    let body = CurvesBody { x: Axis::span(0.0, 100.0, 10), y: Axis::span(low, high, 6), curves };
    write_one(&page(&body, title, footer), path)
}

struct CurvesBody<'a> {
    x: Axis,
    y: Axis,
    curves: &'a [GainCurve],
}

impl CurvesBody<'_> {
    fn label(curve: &GainCurve) -> String {
        match curve.bound {
            Some(bound) => format!("{} (at most {:.0} %)", curve.name, bound * 100.0),
            None => curve.name.clone(),
        }
    }

    /// The heights of names right of the panel: beside the ends of their lines, and none upon another.
    fn name_heights(&self, ends: &[f64], (top, bottom): (f64, f64)) -> Vec<f64> {
        let mut order: Vec<usize> = (0..ends.len()).collect();
        order.sort_by(|&a, &b| ends[a].total_cmp(&ends[b]).then(a.cmp(&b)));
        let step = TEXT_EM * LINE_HEIGHT;
        let mut heights = vec![0.0; ends.len()];
        let mut least = top;
        for &index in &order {
            heights[index] = ends[index].max(least);
            least = heights[index] + step;
        }
        // What has been pushed out below goes up again.
        let mut most = bottom;
        for &index in order.iter().rev() {
            heights[index] = f64::min(heights[index], most);
            most = heights[index] - step;
        }
        heights
    }
}

impl Body for CurvesBody<'_> {
    fn width(&self) -> f64 {
        let names = self.curves.iter().map(|curve| text_width(&Self::label(curve), TEXT_EM)).fold(0.0, f64::max);
        LEFT + WIDTH + 2.0 * GAP + names + GAP
    }

    fn height(&self) -> f64 {
        HEADER_EM * LINE_HEIGHT + HEIGHT + 4.0 * TEXT_EM * LINE_HEIGHT
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, top: f64) -> Drawn<DB> {
        let top = top + HEADER_EM * LINE_HEIGHT;
        let (right, bottom) = (LEFT + WIDTH, top + HEIGHT);
        let x = |percent: f64| LEFT + self.x.position(percent) * WIDTH;
        let y = |percent: f64| bottom - self.y.position(percent) * HEIGHT;
        for (&tick, label) in self.y.ticks.iter().zip(self.y.labels()) {
            canvas.line(&[(LEFT, y(tick)), (right, y(tick))], palette::GRID, THIN)?;
            canvas.text((LEFT - 16.0, y(tick)), &format!("{label} %"), Anchor::End, palette::INK, TEXT_EM)?;
        }
        for (&tick, label) in self.x.ticks.iter().zip(self.x.labels()) {
            canvas.line(&[(x(tick), top), (x(tick), bottom)], palette::GRID, THIN)?;
            canvas.text((x(tick), bottom + TEXT_EM), &format!("{label} %"), Anchor::Middle, palette::INK, TEXT_EM)?;
        }
        canvas.line(&[(LEFT, y(0.0)), (right, y(0.0))], palette::MUTED, THIN)?;
        let gain = |curve: &GainCurve| curve.points.last().map_or(0.0, |(_, gain)| *gain) * 100.0;
        let ends: Vec<f64> = self.curves.iter().map(|curve| y(gain(curve))).collect();
        let heights = self.name_heights(&ends, (top, bottom));
        // The greatest gain on top of the others.
        for (index, curve) in self.curves.iter().enumerate().rev() {
            let color = palette::operator(index);
            if let Some(bound) = curve.bound {
                let at = y(bound * 100.0);
                canvas.line(&[(right - 2.0 * GAP, at), (right, at)], color, THIN)?;
            }
            let points: Vec<(f64, f64)> = std::iter::once((0.0, 0.0))
                .chain(curve.points.iter().copied())
                .map(|(at, gain)| (x(at * 100.0), y(gain * 100.0)))
                .collect();
            canvas.line(&points, color, LINE)?;
            for (across, down) in points {
                canvas.filled((across - MARK, down - MARK), (across + MARK, down + MARK), color)?;
            }
            canvas.line(&[(right, ends[index]), (right + GAP, heights[index])], color, THIN)?;
            canvas.text((right + 1.4 * GAP, heights[index]), &Self::label(curve), Anchor::Start, color, TEXT_EM)?;
        }
        canvas.frame((LEFT, top), (right, bottom), palette::INK, THIN)?;
        canvas.text((LEFT, top - HEADER_EM * 0.7), "shorter by (predicted)", Anchor::Start, palette::INK, TEXT_EM)?;
        let below = bottom + TEXT_EM * (1.0 + LINE_HEIGHT);
        canvas.text(
            ((LEFT + right) / 2.0, below),
            "speed-up of the operator: its work is shorter by",
            Anchor::Middle,
            palette::INK,
            TEXT_EM,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_has_a_line_and_a_name_that_is_upon_no_other() {
        let curve = |name: &str, most: f64, bound| GainCurve {
            name: name.to_owned(),
            points: (1..=10).map(|tenth| (f64::from(tenth) / 10.0, most * f64::from(tenth) / 10.0)).collect(),
            bound,
        };
        let curves =
            [curve("count", 0.6, Some(0.7)), curve("map", 0.01, None), curve("filter", 0.009, Some(0.01)), curve("join", -0.1, None)];
        let folder = tempfile::tempdir().unwrap();
        let path = curves_figure(&curves, ("Curves", "made"), &folder.path().join("curves.svg")).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert!(
            ["count (at most 70 %)", "map", "filter (at most 1 %)", "join", "speed-up"].iter().all(|name| text.contains(name)),
            "{text}"
        );
        let body = CurvesBody { x: Axis::span(0.0, 100.0, 10), y: Axis::span(-10.0, 70.0, 6), curves: &curves };
        let mut heights = body.name_heights(&[0.0, 95.0, 96.0, 100.0], (0.0, 100.0));
        heights.sort_by(f64::total_cmp);
        assert!(heights.windows(2).all(|pair| pair[1] - pair[0] >= TEXT_EM), "{heights:?}");
        assert!(curves_figure(&[], ("", ""), &folder.path().join("none.svg")).unwrap_err().to_string().contains("found 0"));
    }
}
