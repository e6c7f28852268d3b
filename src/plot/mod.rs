//! Figures, drawn from recorded rows only.
//!
//! Each figure is written as SVG and as PNG of the same drawing. It looks the same on every
//! machine: the font is compiled in, the palette is one, and so is the order of policies.

mod axis;
mod bars;
mod canvas;
mod curves;
mod heat;
mod lane_sheet;
mod lanes;
mod load;
mod migrations;
mod page;
mod palette;
mod panel;
mod scatter;
mod sheet;
mod timeline;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::{BitMapBackend, DrawingArea, DrawingBackend, IntoDrawingArea, SVGBackend, WHITE};

use crate::experiment::folder::rename;
use crate::experiment::partial::partial_of_same_kind;
use crate::experiment::steps;
use canvas::{Canvas, Drawn, Medium};

pub use bars::bars_figure;
pub use curves::{GainCurve, curves_figure};
pub use heat::heat_figure;
pub use lane_sheet::LaneLabels;
pub use lanes::LaneFigure;
pub use load::load_figure;
pub use migrations::migrations_figure;
pub use scatter::scatter_figure;
pub use timeline::{Column, Labels, timeline_figure};

/// Why a figure could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// No columns, or more than fit legibly.
    #[error("expected 1 to {most} runs to draw, found {found}")]
    Columns {
        /// Most columns of a figure.
        most: usize,
        /// Columns given.
        found: usize,
    },
    /// The drawing library reported an error.
    #[error("{}: cannot be drawn: {why}", path.display())]
    Draw {
        /// The file.
        path: PathBuf,
        /// What the library said.
        why: String,
    },
    /// The name of a file says no format.
    #[error("{}: expected a name that ends in .svg or .png", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A drawing of a known size, in pixels of the PNG.
trait Drawing {
    /// Width and height.
    fn size_px(&self) -> (u32, u32);

    /// Draws it.
    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Drawn<DB>;
}

/// Pixels of the PNG to a unit of the SVG: sharp on a dense screen and in print, while both have
/// the same shown size.
const PIXELS_PER_UNIT: u32 = 2;

/// Writes `drawing` as `<stem>.svg` and `<stem>.png`, each under its name only once it is whole.
fn write_figure(drawing: &impl Drawing, stem: &Path) -> Result<Vec<PathBuf>, PlotError> {
    Ok(vec![write_svg(drawing, stem)?, write_png(drawing, stem)?])
}

/// Writes `drawing` as `path`, in the format that its extension says, under its name only once it
/// is whole.
fn write_one(drawing: &impl Drawing, path: &Path) -> Result<PathBuf, PlotError> {
    let stem = path.with_extension("");
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg") => write_svg(drawing, &stem),
        Some("png") => write_png(drawing, &stem),
        _ => Err(PlotError::Format { path: path.to_owned() }),
    }
}

fn write_svg(drawing: &impl Drawing, stem: &Path) -> Result<PathBuf, PlotError> {
    let size = drawing.size_px();
    write_whole(stem, "svg", |partial, path| {
        let mut text = String::new();
        draw_on(SVGBackend::with_string(&mut text, size).into_drawing_area(), Medium::Svg, drawing, path)?;
        fs::write(partial, scaled_svg(&text, size)).map_err(|source| PlotError::Write { path: path.to_owned(), source })
    })
}

fn write_png(drawing: &impl Drawing, stem: &Path) -> Result<PathBuf, PlotError> {
    let size = drawing.size_px();
    write_whole(stem, "png", |partial, path| draw_on(BitMapBackend::new(partial, size).into_drawing_area(), Medium::Bitmap, drawing, path))
}

fn draw_on<DB: DrawingBackend>(area: DrawingArea<DB, Shift>, medium: Medium, drawing: &impl Drawing, path: &Path) -> Result<(), PlotError> {
    let drawn = area.fill(&WHITE).and_then(|()| drawing.draw(&Canvas::new(&area, medium))).and_then(|()| area.present());
    drawn.map_err(|error| PlotError::Draw { path: path.to_owned(), why: error.to_string() })
}

/// The SVG at its shown size, with round corners: plotters knows neither a scale nor line joins.
fn scaled_svg(text: &str, (width, height): (u32, u32)) -> String {
    let head = format!("<svg width=\"{width}\" height=\"{height}\"");
    let scaled = format!(
        "<svg width=\"{}\" height=\"{}\" stroke-linejoin=\"round\" stroke-linecap=\"butt\"",
        width / PIXELS_PER_UNIT,
        height / PIXELS_PER_UNIT
    );
    text.replacen(&head, &scaled, 1)
}

/// Makes `<stem>.<extension>` by `fill`, which writes to a name beside it with the same extension,
/// since plotters takes the format from it.
fn write_whole(stem: &Path, extension: &str, fill: impl FnOnce(&Path, &Path) -> Result<(), PlotError>) -> Result<PathBuf, PlotError> {
    let name = stem.file_name().unwrap_or_default().to_string_lossy();
    let path = stem.with_file_name(format!("{name}.{extension}"));
    let partial = partial_of_same_kind(&path);
    let renamed = |()| {
        steps::taken();
        rename(&partial, &path).map_err(|source| PlotError::Write { path: path.clone(), source })
    };
    match fill(&partial, &path).and_then(renamed) {
        Ok(()) => Ok(path),
        Err(error) => {
            // It may not even exist; the first error is the one to report.
            let _ = fs::remove_file(&partial);
            Err(error)
        }
    }
}
