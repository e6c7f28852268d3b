//! A page with one drawing: its title above, what it rests on below.

use std::path::{Path, PathBuf};

use plotters::prelude::DrawingBackend;

use super::canvas::{Canvas, Drawn, paragraph, wrap};
use super::{Drawing, PlotError, palette, write_figure};

// Pixels of the PNG, which is shown at half its size.
const TITLE_EM: f64 = 34.0;
/// Size of text.
pub const TEXT_EM: f64 = 24.0;
/// Size of headings.
pub const HEADER_EM: f64 = 28.0;
/// Height of a line, in em.
pub const LINE_HEIGHT: f64 = 1.45;
/// Around everything.
pub const PADDING: f64 = 28.0;

/// What a page shows.
pub trait Body {
    /// Its width, padding included.
    fn width(&self) -> f64;

    /// Its height.
    fn height(&self) -> f64;

    /// Draws it from `top` on.
    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, top: f64) -> Drawn<DB>;
}

struct Page<'a, B> {
    title: Vec<String>,
    footer: Vec<String>,
    body: &'a B,
}

/// Writes `<stem>.svg` and `<stem>.png` and gives these two paths.
///
/// # Errors
/// [`PlotError::Write`] and [`PlotError::Draw`] when a file cannot be made.
pub fn write_page(body: &impl Body, title: &str, footer: &str, stem: &Path) -> Result<Vec<PathBuf>, PlotError> {
    write_figure(&page(body, title, footer), stem)
}

/// The page as a drawing.
pub(super) fn page<'a, B: Body>(body: &'a B, title: &str, footer: &str) -> impl Drawing + use<'a, B> {
    let room = body.width() - 2.0 * PADDING;
    Page { title: wrap(title, TITLE_EM, room), footer: wrap(footer, TEXT_EM, room), body }
}

impl<B: Body> Page<'_, B> {
    fn top(&self) -> f64 {
        PADDING + self.title.len() as f64 * TITLE_EM * LINE_HEIGHT
    }
}

impl<B: Body> Drawing for Page<'_, B> {
    fn size_px(&self) -> (u32, u32) {
        let footer = self.footer.len() as f64 * TEXT_EM * LINE_HEIGHT;
        (self.body.width().ceil() as u32, (self.top() + self.body.height() + footer + 2.0 * PADDING).ceil() as u32)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Drawn<DB> {
        paragraph(canvas, &self.title, (PADDING, PADDING), (TITLE_EM, TITLE_EM * LINE_HEIGHT), palette::INK)?;
        self.body.draw(canvas, self.top())?;
        let below = (PADDING, self.top() + self.body.height() + PADDING);
        paragraph(canvas, &self.footer, below, (TEXT_EM, TEXT_EM * LINE_HEIGHT), palette::MUTED).map(|_| ())
    }
}
