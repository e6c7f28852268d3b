//! A cell for each case and variant: a block for each measure, in it a line for each case and a
//! column for each variant, each cell with its number and shaded by it.
//!
//! Less is better in every block. Shades follow the logarithm of the number and are the same for
//! all cells of a block; what is below nothing has a colour of its own.

use std::path::{Path, PathBuf};

use plotters::prelude::DrawingBackend;
use plotters::style::RGBColor;

use super::canvas::{Anchor, Canvas, Drawn, text_width};
use super::page::{Body, HEADER_EM, LINE_HEIGHT, PADDING, TEXT_EM, write_page};
use super::{PlotError, palette};
use crate::experiment::frame::{Expression, Frame, Row, Take, text};
use crate::experiment::rows::variant_rank;
use crate::experiment::shown::written;
use crate::experiment::view::Measure;

/// Most variants of a figure.
const MOST_VARIANTS: usize = 12;

const CELL_EM: f64 = 22.0;
const CELL_WIDTH: f64 = 90.0;
const CELL_HEIGHT: f64 = 42.0;
const GAP: f64 = 44.0;
/// Blocks are put side by side as far as they take no more, so that numbers stay legible in the
/// column of a page.
const MOST_WIDTH: f64 = 1800.0;
/// Between cells.
const SEAM: f64 = 2.0;
/// The part of a colour in the darkest cell: text stays readable on it.
const DARKEST: f64 = 0.8;

struct Figure<'a> {
    cases: Vec<String>,
    variants: Vec<String>,
    blocks: Vec<Block<'a>>,
    names_width: f64,
    heads_height: f64,
    width: f64,
}

/// A measure of which there is some number.
struct Block<'a> {
    measure: &'a Measure,
    /// By case and variant; nothing where nothing was measured.
    numbers: Vec<Vec<Option<f64>>>,
    left: f64,
    /// Blocks that are above it.
    above: usize,
}

/// Draws the medians over seeds as `<stem>.svg` and `<stem>.png` and gives these two paths.
///
/// # Errors
/// [`PlotError::Columns`] without rows or with more than 12 variants; [`PlotError::Write`] and
/// [`PlotError::Draw`] when a file cannot be made.
pub fn heat_figure(measures: &[Measure], rows: &Frame, (title, footer): (&str, &str), stem: &Path) -> Result<Vec<PathBuf>, PlotError> {
    let mut lines = rows.clone();
    lines.set("line", case_of);
    let cases: Vec<String> = lines.distinct("line").into_iter().map(str::to_owned).collect();
    let mut variants: Vec<String> = lines.distinct("variant").into_iter().map(str::to_owned).collect();
    variants.sort_by_key(|variant| variant_rank(variant));
    if variants.is_empty() || variants.len() > MOST_VARIANTS {
        return Err(PlotError::Columns { most: MOST_VARIANTS, found: variants.len() });
    }
    let groups = lines.per(&["line", "variant"].map(str::to_owned));
    let number = |measure: &Measure, case: &String, variant: &String| {
        let (_, of) = groups.iter().find(|(key, _)| (&key[0], &key[1]) == (case, variant))?;
        Some(Take::Median.of(of.numbers(&Expression(measure.of.clone())))? * measure.times)
    };
    let widest = |names: &[String]| names.iter().map(|name| text_width(name, TEXT_EM)).fold(0.0, f64::max);
    let names_width = widest(&cases) + 16.0;
    let (mut blocks, mut widths): (Vec<Block>, Vec<f64>) = Default::default();
    for measure in measures {
        let of_case = |case: &String| variants.iter().map(|variant| number(measure, case, variant)).collect();
        let numbers: Vec<Vec<Option<f64>>> = cases.iter().map(of_case).collect();
        if numbers.iter().flatten().any(Option::is_some) {
            blocks.push(Block { measure, numbers, left: 0.0, above: 0 });
            widths.push(text_width(&measure.name, HEADER_EM).max(variants.len() as f64 * CELL_WIDTH));
        }
    }
    let (start, mut width) = (PADDING + names_width, 0.0_f64);
    for (block, (left, above, right)) in blocks.iter_mut().zip(places(&widths, start)) {
        (block.left, block.above) = (left, above);
        width = width.max(right + PADDING);
    }
    let heads_height = widest(&variants) + 16.0;
    write_page(&Figure { blocks, names_width, heads_height, width, cases, variants }, title, footer, stem)
}

/// Left end of each block, how many rows of blocks are above it, and its right end. Rows of blocks
/// are about equally long.
fn places(widths: &[f64], start: f64) -> Vec<(f64, usize, f64)> {
    let placed = |most: usize| {
        let (mut left, mut above, mut beside) = (start, 0, 0);
        let place = |width: &f64| {
            if beside > 0 && (beside == most || left + width + PADDING > MOST_WIDTH) {
                (left, above, beside) = (start, above + 1, 0);
            }
            let right = left + width;
            let place = (left, above, right);
            (left, beside) = (right + GAP, beside + 1);
            place
        };
        widths.iter().map(place).collect::<Vec<_>>()
    };
    let rows = placed(widths.len()).last().map_or(1, |(_, above, _)| above + 1);
    placed(widths.len().div_ceil(rows))
}

/// What a line stands for: virtual time goes without saying.
fn case_of(row: &Row) -> String {
    let case = text(row, "case");
    if text(row, "host") == "engine" { format!("{case}, engine") } else { case.to_owned() }
}

/// How dark a number is, 0 to 1, where `most` is the largest of all.
fn shade(number: f64, most: f64, unit: f64) -> f64 {
    if most > 0.0 { (1.0 + number.abs() / unit).ln() / (1.0 + most / unit).ln() } else { 0.0 }
}

/// Between paper and a colour.
fn mixed(color: RGBColor, part: f64) -> RGBColor {
    let mix = |paper: u8, color: u8| (f64::from(paper) + (f64::from(color) - f64::from(paper)) * part).round() as u8;
    RGBColor(mix(palette::PAPER.0, color.0), mix(palette::PAPER.1, color.1), mix(palette::PAPER.2, color.2))
}

impl Figure<'_> {
    /// How far below the top the cells of a block begin that has so many above it.
    fn cells(&self, above: usize) -> f64 {
        let heads = HEADER_EM * LINE_HEIGHT + self.heads_height;
        heads + above as f64 * (heads + self.cells_height() + GAP)
    }

    fn cells_height(&self) -> f64 {
        self.cases.len() as f64 * CELL_HEIGHT
    }

    fn draw_names<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, top: f64) -> Drawn<DB> {
        for (line, case) in self.cases.iter().enumerate() {
            let middle = top + line as f64 * CELL_HEIGHT + (CELL_HEIGHT - SEAM) / 2.0;
            canvas.text((PADDING + self.names_width - 16.0, middle), case, Anchor::End, palette::INK, TEXT_EM)?;
        }
        Ok(())
    }

    fn draw_block<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, block: &Block<'_>, top: f64) -> Drawn<DB> {
        let Block { measure, numbers, left, .. } = block;
        let head = top - self.heads_height - HEADER_EM * LINE_HEIGHT / 2.0;
        canvas.text((*left, head), &measure.name, Anchor::Start, palette::INK, HEADER_EM)?;
        for (column, variant) in self.variants.iter().enumerate() {
            // Text that is read upwards is put by its middle.
            let at = (left + (column as f64 + 0.5) * CELL_WIDTH, top - 10.0 - text_width(variant, TEXT_EM) / 2.0);
            canvas.text(at, variant, Anchor::Upward, palette::INK, TEXT_EM)?;
        }
        let most = numbers.iter().flatten().flatten().copied().map(f64::abs).fold(0.0, f64::max);
        for (line, of_case) in numbers.iter().enumerate() {
            for (column, number) in of_case.iter().enumerate() {
                let (x, y) = (left + column as f64 * CELL_WIDTH, top + line as f64 * CELL_HEIGHT);
                let middle = (x + (CELL_WIDTH - SEAM) / 2.0, y + (CELL_HEIGHT - SEAM) / 2.0);
                let Some(number) = *number else {
                    canvas.text(middle, "-", Anchor::Middle, palette::MUTED, CELL_EM)?;
                    continue;
                };
                let color = if number < 0.0 { palette::operator(0) } else { palette::operator(1) };
                let color = mixed(color, shade(number, most, measure.unit) * DARKEST);
                canvas.filled((x, y), (x + CELL_WIDTH - SEAM, y + CELL_HEIGHT - SEAM), color)?;
                canvas.text(middle, &written(measure.show, number), Anchor::Middle, palette::INK, CELL_EM)?;
            }
        }
        Ok(())
    }
}

impl Body for Figure<'_> {
    fn width(&self) -> f64 {
        self.width
    }

    fn height(&self) -> f64 {
        self.cells(self.blocks.last().map_or(0, |block| block.above)) + self.cells_height()
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, top: f64) -> Drawn<DB> {
        for block in &self.blocks {
            let cells = top + self.cells(block.above);
            if block.left == PADDING + self.names_width {
                self.draw_names(canvas, cells)?;
            }
            self.draw_block(canvas, block, cells)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::frame::row;
    use crate::experiment::view::{PlotView, plot};

    #[test]
    fn larger_numbers_are_darker() {
        assert_eq!((shade(0.0, 9.0, 1.0), shade(-9.0, 9.0, 1.0), shade(0.0, 0.0, 1.0)), (0.0, 1.0, 0.0));
        assert!(shade(1.0, 9.0, 1.0) < shade(2.0, 9.0, 1.0));
    }

    #[test]
    fn no_block_stands_alone_below_others() {
        let above = |blocks: usize, width: f64| places(&vec![width; blocks], 300.0).iter().map(|place| place.1).collect::<Vec<_>>();
        assert_eq!(above(4, 400.0), [0, 0, 1, 1]);
        assert_eq!(above(4, 300.0), [0; 4]);
        assert_eq!(above(3, 800.0), [0, 1, 2]);
        assert_eq!(places(&[100.0, 50.0], 300.0), [(300.0, 0, 400.0), (400.0 + GAP, 0, 450.0 + GAP)]);
    }

    #[test]
    fn every_case_and_variant_has_a_cell() {
        let Ok(PlotView::Heat { measures, .. }) = plot("costs") else { panic!("costs are shaded") };
        let folder = tempfile::tempdir().unwrap();
        let line = |case: &str, variant: &str, actions: u32| {
            row([("case", &case), ("variant", &variant), ("actions", &actions), ("behind_s", &3.0), ("excess_instance_s", &-7.0)])
        };
        let rows = Frame::new(&[], vec![line("under", "ds2", 17), line("under", "oracle", 1), line("trim", "ds2", 3)]);
        let files = heat_figure(&measures, &rows, ("A suite", "Foot"), &folder.path().join("suite")).unwrap();
        let svg = std::fs::read_to_string(&files[0]).unwrap();
        for text in ["under", "trim", "oracle", "ds2", "17", "-7", "seconds behind the load", "Foot"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(files[1].is_file());
        // Of the latency nothing was measured.
        assert!(!svg.contains("latency p99"));
        assert!(heat_figure(&measures, &Frame::default(), ("", ""), &folder.path().join("none")).is_err());
    }
}
