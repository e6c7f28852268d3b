//! Drawing primitives of figures: lines and text in pixels, with the same result on a bitmap and as
//! SVG.
//!
//! The font is compiled in, so that a figure needs no font of the machine. An SVG names DejaVu Sans
//! first and any sans serif after it; text was measured in DejaVu Sans, which is wider than the
//! usual substitutes, so theirs fits too.

use std::sync::Once;

use plotters::coord::Shift;
use plotters::element::{PathElement, Rectangle, Text};
use plotters::prelude::{BLACK, DrawingArea, DrawingAreaErrorKind, DrawingBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontFamily, FontStyle, FontTransform, IntoFont, RGBColor, TextStyle, register_font};

/// DejaVu Sans, cut down to Latin-1, Greek, arrows and common signs; its licence is beside it.
static FONT: &[u8] = include_bytes!("DejaVuSans-subset.ttf");
/// Both the name under which plotters finds the font and the list that an SVG shows.
const FAMILY: &str = "DejaVu Sans, sans-serif";

/// Height from ascender to descender of the font, in em: what plotters' bitmap text takes for a
/// size.
const FONT_HEIGHT_EM: f64 = 1.164;
/// What plotters' SVG text divides a size by.
const SVG_SIZE_PER_EM: f64 = 1.24;

/// How far below its point text is put, in em: the point is then the middle of a digit, on both
/// media. Plotters puts SVG text by half a lower-case letter, and bitmap text too high by what it
/// takes a line's height to be.
const SVG_DROP_EM: f64 = 0.06;
const BITMAP_DROP_EM: f64 = 0.22;

/// What a canvas is drawn on: plotters sizes and places text differently on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Pixels.
    Bitmap,
    /// Vector graphics.
    Svg,
}

/// Where text lies relative to its point, which is always the middle of its height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The text begins at the point.
    Start,
    /// The point is the text's middle.
    Middle,
    /// The text ends at the point.
    End,
    /// As `Middle`, read from below to above.
    Upward,
}

/// A point in pixels from the upper left.
pub type Point = (f64, f64);

/// A drawing area with the few things that figures need.
pub struct Canvas<'a, DB: DrawingBackend> {
    area: &'a DrawingArea<DB, Shift>,
    medium: Medium,
}

/// What drawing returns.
pub type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

impl<'a, DB: DrawingBackend> Canvas<'a, DB> {
    /// A canvas over the whole of `area`.
    pub fn new(area: &'a DrawingArea<DB, Shift>, medium: Medium) -> Self {
        load_font();
        Canvas { area, medium }
    }

    /// A line through `points`; nothing with fewer than two different points.
    pub fn line(&self, points: &[Point], color: RGBColor, width_px: u32) -> Drawn<DB> {
        let mut pixels: Vec<(i32, i32)> = points.iter().map(|&point| pixel(point)).collect();
        pixels.dedup();
        // plotters takes the first two points of a wide line for granted.
        if pixels.len() < 2 {
            return Ok(());
        }
        self.area.draw(&PathElement::new(pixels, color.stroke_width(width_px)))
    }

    /// A dotted horizontal line.
    pub fn dotted(&self, from: Point, to_x: f64, color: RGBColor, width_px: u32) -> Drawn<DB> {
        let (dot, period) = (f64::from(width_px), f64::from(width_px) * 3.0);
        let mut x = from.0;
        while x + dot <= to_x {
            self.line(&[(x, from.1), (x + dot, from.1)], color, width_px)?;
            x += period;
        }
        Ok(())
    }

    /// A filled rectangle, up to and without its right and lower edge.
    pub fn filled(&self, upper_left: Point, lower_right: Point, color: RGBColor) -> Drawn<DB> {
        let ((left, top), (right, bottom)) = (pixel(upper_left), pixel(lower_right));
        // On a bitmap, plotters fills the last row and column too.
        let inside = i32::from(self.medium == Medium::Bitmap);
        self.area.draw(&Rectangle::new([(left, top), (right - inside, bottom - inside)], color.filled()))
    }

    /// The outline of a rectangle, side by side: an SVG rectangle of plotters has no width of its
    /// stroke, and a bitmap line that closes has a hole where it meets itself.
    pub fn frame(&self, (left, top): Point, (right, bottom): Point, color: RGBColor, width_px: u32) -> Drawn<DB> {
        let half = f64::from(width_px) / 2.0;
        self.line(&[(left - half, top), (right + half, top)], color, width_px)?;
        self.line(&[(left - half, bottom), (right + half, bottom)], color, width_px)?;
        self.line(&[(left, top), (left, bottom)], color, width_px)?;
        self.line(&[(right, top), (right, bottom)], color, width_px)
    }

    /// One line of text.
    pub fn text(&self, at: Point, text: &str, anchor: Anchor, color: RGBColor, em_px: f64) -> Drawn<DB> {
        let (size, drop) = match self.medium {
            Medium::Bitmap => (em_px * FONT_HEIGHT_EM, em_px * BITMAP_DROP_EM),
            Medium::Svg => (em_px * SVG_SIZE_PER_EM, em_px * SVG_DROP_EM),
        };
        // Below a text that is read upwards is to its right.
        let at = if anchor == Anchor::Upward { (at.0 + drop, at.1) } else { (at.0, at.1 + drop) };
        let h_pos = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle | Anchor::Upward => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let mut font = (FontFamily::Name(FAMILY), size, FontStyle::Normal).into_font();
        if anchor == Anchor::Upward {
            font = font.transform(FontTransform::Rotate270);
        }
        let style = TextStyle::from(font).color(&color).pos(Pos::new(h_pos, VPos::Center));
        self.area.draw(&Text::new(text, pixel(at), style))
    }
}

/// Draws lines below each other, as [`wrap`] gives them, from a point on the left; gives where they
/// end below. A line is `height` pixels high.
pub fn paragraph<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    lines: &[String],
    (left, top): Point,
    (em_px, height): (f64, f64),
    color: RGBColor,
) -> Result<f64, DrawingAreaErrorKind<DB::ErrorType>> {
    let mut bottom = top;
    for line in lines {
        canvas.text((left, bottom + height / 2.0), line, Anchor::Start, color, em_px)?;
        bottom += height;
    }
    Ok(bottom)
}

/// Width of a line of text.
pub fn text_width(text: &str, em_px: f64) -> f64 {
    load_font();
    let font = (FontFamily::Name(FAMILY), em_px * FONT_HEIGHT_EM, FontStyle::Normal).into_font();
    f64::from(font.color(&BLACK).font.box_size(text).expect("the font is compiled in").0)
}

/// The largest size up to `em_px` at which `text` is no wider than `width_px`.
pub fn fitting_em(text: &str, em_px: f64, width_px: f64) -> f64 {
    let width = text_width(text, em_px);
    if width <= width_px { em_px } else { em_px * width_px / width }
}

/// `text` in lines no wider than `width_px`, broken at spaces; a longer word has a line for itself.
pub fn wrap(text: &str, em_px: f64, width_px: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line} {word}"), em_px) <= width_px => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn pixel((x, y): Point) -> (i32, i32) {
    (x.round() as i32, y.round() as i32)
}

fn load_font() {
    static LOADED: Once = Once::new();
    LOADED.call_once(|| {
        if register_font(FAMILY, FontStyle::Normal, FONT).is_err() {
            unreachable!("the font is compiled in and a test draws with it");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_measured_and_broken_without_any_font_of_the_machine() {
        let (narrow, wide) = (text_width("iii", 100.0), text_width("mmm", 100.0));
        assert!((80.0..90.0).contains(&narrow) && (285.0..295.0).contains(&wide), "{narrow} {wide}");
        assert_eq!(wrap("one two three", 10.0, text_width("one two", 10.0)), ["one two", "three"]);
        assert_eq!(wrap("", 10.0, 100.0), Vec::<String>::new());
        assert!((fitting_em("mmm", 100.0, wide / 2.0) - 50.0).abs() < 1e-9);
    }
}
