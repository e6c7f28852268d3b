//! A suite on one sheet: one block per measure, with one line per case and one column per policy;
//! each cell shows its number and is shaded by it.
//!
//! Less is better in every block. Shades follow the logarithm of the number, on the same scale
//! within a block; negative numbers have their own colour.

use std::path::{Path, PathBuf};

use plotters::prelude::DrawingBackend;
use plotters::style::RGBColor;

use super::canvas::{Anchor, Canvas, Drawn, Title, text_width, wrap};
use super::{Drawing, PlotError, palette, write_figure};
use crate::experiment::suite::{Column, SuiteRow};
use crate::policy::registry;
use crate::stats::median;

/// Most policies of a figure.
const MOST_POLICIES: usize = 12;

// Pixels of the PNG, which is shown at half its size.
const TITLE_EM: f64 = 34.0;
const HEADER_EM: f64 = 27.0;
const TEXT_EM: f64 = 24.0;
const CELL_EM: f64 = 22.0;
const LINE_HEIGHT: f64 = 1.45;
const PADDING: f64 = 28.0;
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

/// A measure: its name, where a row has it, how it is written, and from where on a number is dark
/// enough to be told from nothing.
struct Measure {
    name: &'static str,
    column: Column,
    written: fn(f64) -> String,
    unit: f64,
}

const MEASURES: [Measure; 4] = [
    Measure { name: "actions", column: Column::Actions, written: count, unit: 1.0 },
    Measure { name: "seconds behind the load", column: Column::BehindS, written: count, unit: 1.0 },
    Measure { name: "instance-seconds over the oracle", column: Column::ExcessInstanceS, written: count, unit: 50.0 },
    Measure { name: "latency p99", column: Column::LatencyP99Ms, written: milliseconds, unit: 50.0 },
];

struct Figure {
    title: Vec<String>,
    footer: Vec<String>,
    cases: Vec<String>,
    policies: Vec<String>,
    blocks: Vec<Block>,
    names_width: f64,
    heads_height: f64,
    width: f64,
}

/// A measure of which there is some number.
struct Block {
    measure: &'static Measure,
    /// By case and policy; nothing where nothing was measured.
    numbers: Vec<Vec<Option<f64>>>,
    left: f64,
    /// Blocks that are above it.
    above: usize,
}

/// Draws the medians over seeds of a suite as `<stem>.svg` and `<stem>.png` and gives these two
/// paths.
///
/// # Errors
/// [`PlotError::Columns`] without rows or with more than 12 policies; [`PlotError::Write`] and
/// [`PlotError::Draw`] when a file cannot be made.
pub fn suite_figure(rows: &[SuiteRow], title: &str, footer: &str, stem: &Path) -> Result<Vec<PathBuf>, PlotError> {
    let cases = each_once(rows.iter().map(case_of));
    let mut policies = each_once(rows.iter().map(|row| row.policy.clone()));
    policies.sort_by_key(|policy| registry::rank(policy));
    if policies.is_empty() || policies.len() > MOST_POLICIES {
        return Err(PlotError::Columns { most: MOST_POLICIES, found: policies.len() });
    }
    let number = |measure: &Measure, case: &String, policy: &String| {
        let of = rows.iter().filter(|row| case_of(row) == *case && row.policy == *policy);
        median(of.filter_map(|row| measure.column.of(row)))
    };
    let numbers = |measure: &Measure| -> Vec<Vec<Option<f64>>> {
        cases.iter().map(|case| policies.iter().map(|policy| number(measure, case, policy)).collect()).collect()
    };
    let widest = |names: &[String]| names.iter().map(|name| text_width(name, TEXT_EM)).fold(0.0, f64::max);
    let names_width = widest(&cases) + 16.0;
    let (mut blocks, mut above, mut width): (Vec<Block>, usize, f64) = (Vec::new(), 0, 0.0);
    let start = PADDING + names_width;
    let mut left = start;
    for measure in &MEASURES {
        let numbers = numbers(measure);
        if numbers.iter().flatten().any(Option::is_some) {
            let of_block = text_width(measure.name, HEADER_EM).max(policies.len() as f64 * CELL_WIDTH);
            if left > start && left + of_block + PADDING > MOST_WIDTH {
                (left, above) = (start, above + 1);
            }
            blocks.push(Block { measure, numbers, left, above });
            width = width.max(left + of_block + PADDING);
            left += of_block + GAP;
        }
    }
    let figure = Figure {
        title: wrap(title, TITLE_EM, width - 2.0 * PADDING),
        footer: wrap(footer, TEXT_EM, width - 2.0 * PADDING),
        blocks,
        names_width,
        heads_height: widest(&policies) + 16.0,
        width,
        cases,
        policies,
    };
    write_figure(&figure, stem)
}

/// What a line stands for: virtual time goes without saying.
fn case_of(row: &SuiteRow) -> String {
    if row.host == "engine" { format!("{}, engine", row.scenario) } else { row.scenario.clone() }
}

/// In order of first appearance.
fn each_once(names: impl Iterator<Item = String>) -> Vec<String> {
    names.fold(Vec::new(), |mut all, name| {
        if !all.contains(&name) {
            all.push(name);
        }
        all
    })
}

fn count(number: f64) -> String {
    // Adding 0 takes the sign from what rounds to nothing.
    match number.abs() {
        size if size >= 9_950.0 => format!("{:.0}k", number / 1e3),
        size if size >= 999.5 => format!("{:.1}k", number / 1e3),
        size if size >= 9.95 || size.fract() < 0.05 => format!("{:.0}", number.round() + 0.0),
        _ => format!("{number:.1}"),
    }
}

fn milliseconds(ms: f64) -> String {
    match ms {
        _ if ms >= 9_950.0 => format!("{:.0} s", ms / 1e3),
        _ if ms >= 999.5 => format!("{:.1} s", ms / 1e3),
        _ => format!("{ms:.0} ms"),
    }
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

impl Figure {
    /// Top of the cells of a block, given the number of blocks above it.
    fn top(&self, above: usize) -> f64 {
        let heads = HEADER_EM * LINE_HEIGHT + self.heads_height;
        PADDING + self.title.len() as f64 * TITLE_EM * LINE_HEIGHT + heads + above as f64 * (heads + self.cells_height() + GAP)
    }

    fn cells_height(&self) -> f64 {
        self.cases.len() as f64 * CELL_HEIGHT
    }

    /// Where the cells of the last blocks end.
    fn bottom(&self) -> f64 {
        self.top(self.blocks.last().map_or(0, |block| block.above)) + self.cells_height()
    }

    fn draw_names<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, top: f64) -> Drawn<DB> {
        for (line, case) in self.cases.iter().enumerate() {
            let middle = top + line as f64 * CELL_HEIGHT + (CELL_HEIGHT - SEAM) / 2.0;
            canvas.text((PADDING + self.names_width - 16.0, middle), case, Anchor::End, palette::INK, TEXT_EM)?;
        }
        Ok(())
    }

    fn draw_block<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, block: &Block) -> Drawn<DB> {
        let Block { measure, numbers, left, above } = block;
        let top = self.top(*above);
        let head = top - self.heads_height - HEADER_EM * LINE_HEIGHT / 2.0;
        canvas.text((*left, head), measure.name, Anchor::Start, palette::INK, HEADER_EM)?;
        for (column, policy) in self.policies.iter().enumerate() {
            // Text that is read upwards is put by its middle.
            let at = (left + (column as f64 + 0.5) * CELL_WIDTH, top - 10.0 - text_width(policy, TEXT_EM) / 2.0);
            canvas.text(at, policy, Anchor::Upward, palette::INK, TEXT_EM)?;
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
                canvas.text(middle, &(measure.written)(number), Anchor::Middle, palette::INK, CELL_EM)?;
            }
        }
        Ok(())
    }
}

impl Drawing for Figure {
    fn size_px(&self) -> (u32, u32) {
        let footer = self.footer.len() as f64 * TEXT_EM * LINE_HEIGHT;
        let height = self.bottom() + footer + 2.0 * PADDING;
        (self.width.ceil() as u32, height.ceil() as u32)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Drawn<DB> {
        let title = Title { lines: &self.title, em_px: TITLE_EM, line_height: LINE_HEIGHT };
        title.draw(canvas, (PADDING, PADDING))?;
        for block in &self.blocks {
            if block.left == PADDING + self.names_width {
                self.draw_names(canvas, self.top(block.above))?;
            }
            self.draw_block(canvas, block)?;
        }
        let mut middle = self.bottom() + PADDING + TEXT_EM * LINE_HEIGHT * 0.5;
        for line in &self.footer {
            canvas.text((PADDING, middle), line, Anchor::Start, palette::MUTED, TEXT_EM)?;
            middle += TEXT_EM * LINE_HEIGHT;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_larger_ones_darker() {
        let counts = [0.0, -0.01, 1.5, 2.0, 42.4, -950.0, 1234.0, 12_345.0].map(count);
        assert_eq!(counts, ["0", "0", "1.5", "2", "42", "-950", "1.2k", "12k"]);
        assert_eq!([3.2, 999.7, 45_000.0].map(milliseconds), ["3 ms", "1.0 s", "45 s"]);
        assert_eq!((shade(0.0, 9.0, 1.0), shade(-9.0, 9.0, 1.0), shade(0.0, 0.0, 1.0)), (0.0, 1.0, 0.0));
        assert!(shade(1.0, 9.0, 1.0) < shade(2.0, 9.0, 1.0));
    }

    #[test]
    fn every_case_and_policy_has_a_cell() {
        let folder = tempfile::tempdir().unwrap();
        let row = |scenario: &str, policy: &str, actions| SuiteRow {
            scenario: scenario.into(),
            policy: policy.into(),
            actions,
            behind_s: 3.0,
            excess_instance_s: Some(-7.0),
            ..SuiteRow::default()
        };
        let rows = [row("under", "ds2", 17), row("under", "oracle", 1), row("trim", "ds2", 3)];
        let files = suite_figure(&rows, "A suite", "Foot", &folder.path().join("suite")).unwrap();
        let svg = std::fs::read_to_string(&files[0]).unwrap();
        for text in ["under", "trim", "oracle", "ds2", "17", "-7", "seconds behind the load", "Foot"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(files[1].is_file());
        // Of the latency nothing was measured.
        assert!(!svg.contains("latency p99"));
        assert!(suite_figure(&[], "", "", &folder.path().join("none")).is_err());
    }
}
