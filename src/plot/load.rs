//! A load over time: the values as they are, or what a run gets of them.

use std::path::{Path, PathBuf};

use plotters::prelude::DrawingBackend;

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Drawn};
use super::page::{Body, HEADER_EM, LINE_HEIGHT, TEXT_EM, page};
use super::panel::{Panel, Series, Step};
use super::{PlotError, palette, write_one};

const LEFT: f64 = 190.0;
const RIGHT: f64 = 46.0;
const WIDTH: f64 = 1500.0;
const HEIGHT: f64 = 420.0;
/// Steps of a line that a panel has room for; where there are more, the highest of those drawn as
/// one and the lowest have a line each.
const MOST_STEPS: usize = 700;
const LINE: u32 = 3;

/// Draws values that hold from their second on, the last until `until_s`, as the picture `path`,
/// which ends in `.svg` or `.png`.
///
/// # Errors
/// [`PlotError::Format`] where the name says no format, [`PlotError::Columns`] without values, and
/// [`PlotError::Write`] and [`PlotError::Draw`] when the file cannot be made.
pub fn load_figure(values: &[(f64, f64)], until_s: f64, (title, footer): (&str, &str), path: &Path) -> Result<PathBuf, PlotError> {
    if values.is_empty() {
        return Err(PlotError::Columns { most: 1, found: 0 });
    }
    let unit = Unit::of(until_s);
    let ends = values.iter().skip(1).map(|(at, _)| *at).chain([until_s]);
    let step = |((from, value), to): (&(f64, f64), f64)| Step { from_s: from / unit.seconds, to_s: to / unit.seconds, value: *value };
    let steps: Vec<Step> = values.iter().zip(ends).map(step).filter(|step| step.to_s > step.from_s && step.value.is_finite()).collect();
    let thousands = steps.iter().any(|step| step.value >= 1e4);
    let scale = if thousands { 1e3 } else { 1.0 };
    let of = |take: fn(f64, f64) -> f64| -> Vec<Step> {
        let together = steps.len().div_ceil(MOST_STEPS).max(1);
        let one = |steps: &[Step]| Step {
            from_s: steps[0].from_s,
            to_s: steps[steps.len() - 1].to_s,
            value: steps.iter().map(|step| step.value / scale).reduce(take).unwrap_or_default(),
        };
        steps.chunks(together).map(one).collect()
    };
    let (highest, lowest) = (of(f64::max), of(f64::min));
    let body = LoadBody {
        time: Axis::time([until_s / unit.seconds].into_iter(), 8),
        axis: Axis::from_zero(highest.iter().map(|step| step.value), 5),
        lines: if highest.len() == steps.len() { vec![highest] } else { vec![lowest, highest] },
        name: if thousands { "value (thousands)" } else { "value" },
        unit: unit.name,
    };
    write_one(&page(&body, title, footer), path)
}

/// Of time.
struct Unit {
    seconds: f64,
    name: &'static str,
}

impl Unit {
    fn of(until_s: f64) -> Unit {
        match until_s {
            s if s > 4.0 * 86_400.0 => Unit { seconds: 86_400.0, name: "time (days)" },
            s if s > 4.0 * 3600.0 => Unit { seconds: 3600.0, name: "time (hours)" },
            s if s > 600.0 => Unit { seconds: 60.0, name: "time (minutes)" },
            _ => Unit { seconds: 1.0, name: "time (s)" },
        }
    }
}

struct LoadBody {
    time: Axis,
    axis: Axis,
    lines: Vec<Vec<Step>>,
    name: &'static str,
    unit: &'static str,
}

impl Body for LoadBody {
    fn width(&self) -> f64 {
        LEFT + WIDTH + RIGHT
    }

    fn height(&self) -> f64 {
        HEADER_EM * LINE_HEIGHT + HEIGHT + 3.0 * TEXT_EM * LINE_HEIGHT
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, top: f64) -> Drawn<DB> {
        let top = top + HEADER_EM * LINE_HEIGHT;
        let panel = Panel { left: LEFT, right: LEFT + WIDTH, top, bottom: top + HEIGHT, time: &self.time, axis: &self.axis };
        panel.draw_grid(canvas)?;
        for (index, steps) in self.lines.iter().enumerate() {
            let color = if index + 1 == self.lines.len() { palette::FIRST } else { palette::P50 };
            panel.draw_series(canvas, &Series { color, width_px: LINE, steps: steps.clone(), shift_px: 0.0 })?;
        }
        canvas.frame((panel.left, panel.top), (panel.right, panel.bottom), palette::INK, 2)?;
        panel.draw_value_labels(canvas)?;
        canvas.text((LEFT, top - HEADER_EM * 0.6), self.name, Anchor::Start, palette::INK, TEXT_EM)?;
        panel.draw_time_labels_named(canvas, self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_of_any_length_is_drawn() {
        let folder = tempfile::tempdir().unwrap();
        for (count, name, contains) in [(3, "few.svg", "time (s)"), (100_000, "many.svg", "time (hours)")] {
            let values: Vec<(f64, f64)> = (0..count).map(|n| (f64::from(n), f64::from(n % 7) * 1e4)).collect();
            let path = load_figure(&values, f64::from(count), ("A load", "made"), &folder.path().join(name)).unwrap();
            let text = std::fs::read_to_string(path).unwrap();
            assert!(text.contains(contains) && text.contains("value (thousands)") && text.len() < 400_000, "{}", text.len());
        }
        let wrong =
            |values: &[(f64, f64)], name: &str| load_figure(values, 1.0, ("", ""), &folder.path().join(name)).unwrap_err().to_string();
        assert!(wrong(&[(0.0, 1.0)], "load.gif").ends_with("expected a name that ends in .svg or .png"));
        assert!(wrong(&[], "load.svg").contains("found 0"));
    }
}
