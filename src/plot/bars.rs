//! Horizontal bars: a column of the figure for each group, a block for each measure, a bar for each
//! name.
//!
//! The thin line over a bar goes from the least to the most. All bars of one measure have one
//! scale.

use std::path::{Path, PathBuf};

use plotters::prelude::DrawingBackend;

use super::canvas::{Anchor, Canvas, Drawn, fitting_em, text_width};
use super::page::{Body, HEADER_EM, LINE_HEIGHT, PADDING, TEXT_EM, write_page};
use super::{PlotError, palette};
use crate::experiment::frame::{Expression, Frame, text};
use crate::experiment::shown::{filled, joined, shown, written};
use crate::experiment::view::{Bars, Measure, Show};

/// Most columns of a figure.
const MOST_COLUMNS: usize = 6;

const BARS_WIDTH: f64 = 330.0;
const GAP: f64 = 40.0;
const BAR: f64 = 22.0;
const BAR_PITCH: f64 = 34.0;

/// One bar.
struct Bar {
    name: String,
    coloured: bool,
    value: f64,
    least: f64,
    most: f64,
    beside: String,
}

/// One measure of one column.
struct Block {
    head: String,
    bars: Vec<Bar>,
}

struct Figure {
    columns: Vec<String>,
    /// By column, then by measure.
    blocks: Vec<Vec<Block>>,
    level: Option<(f64, String)>,
    names_width: f64,
    /// Of what stands beside bars.
    beside_width: f64,
}

/// Draws rows as a view says as `<stem>.svg` and `<stem>.png` and gives these two paths; of several
/// seeds of windows the first.
///
/// # Errors
/// [`PlotError::Columns`] without rows or with more than 6 columns; [`PlotError::Write`] and
/// [`PlotError::Draw`] when a file cannot be made.
pub fn bars_figure(view: &Bars, rows: &Frame, (title, footer): (&str, &str), stem: &Path) -> Result<Vec<PathBuf>, PlotError> {
    let mut rows = rows.only(&view.only);
    if rows.has("window_start_s") {
        let seed = rows.distinct("seed").first().map_or(String::new(), |seed| (*seed).to_owned());
        rows = rows.filter(|row| text(row, "seed") == seed);
    }
    let groups = rows.per(std::slice::from_ref(&view.columns));
    if groups.is_empty() || groups.len() > MOST_COLUMNS {
        return Err(PlotError::Columns { most: MOST_COLUMNS, found: groups.len() });
    }
    let mut names: Vec<&str> = rows.distinct(&view.bars);
    if rows.has("window_start_s") {
        names.sort_unstable();
    }
    let measures = measures(view, &rows);
    let blocks: Vec<Vec<Block>> =
        groups.iter().map(|(_, group)| measures.iter().map(|measure| block(view, measure, group, &names)).collect()).collect();
    let widest = |texts: &mut dyn Iterator<Item = &str>, em: f64| texts.map(|text| text_width(text, em)).fold(0.0, f64::max);
    let beside = &mut blocks.iter().flatten().flat_map(|block| &block.bars).map(|bar| bar.beside.as_str());
    let figure = Figure {
        columns: if groups.len() > 1 { groups.iter().map(|(key, _)| key[0].clone()).collect() } else { vec![String::new()] },
        level: view.level.as_ref().map(|(value, name)| (*value, filled(name, &rows))),
        names_width: widest(&mut names.iter().copied(), TEXT_EM) + 12.0,
        beside_width: widest(beside, TEXT_EM * 0.85) + 20.0,
        blocks,
    };
    write_page(&figure, title, footer, stem)
}

/// The measures; one that is the same as another in every row is left out.
fn measures<'v>(view: &'v Bars, rows: &Frame) -> Vec<&'v Measure> {
    let numbers = |measure: &Measure| rows.numbers(&Expression(measure.of.clone()));
    let mut kept: Vec<&Measure> = Vec::new();
    for measure in &view.measures {
        if kept.iter().all(|other| numbers(other) != numbers(measure)) {
            kept.push(measure);
        }
    }
    kept
}

fn block(view: &Bars, measure: &Measure, group: &Frame, names: &[&str]) -> Block {
    let windows = group.distinct("window_start_s").len();
    let bar = |name: &&str| {
        let of_name = group.filter(|row| text(row, &view.bars) == *name);
        let mut numbers = of_name.numbers(&Expression(measure.of.clone()));
        // What does not appear in a window has no share of it.
        numbers.resize(numbers.len().max(windows), 0.0);
        let value = view.take.of(numbers.clone()).unwrap_or(0.0);
        let parts: Vec<_> = view.beside.iter().map(|part| shown(part, &of_name, &[], false)).collect();
        Bar {
            name: (*name).to_owned(),
            coloured: view.coloured.is_empty() || of_name.rows().iter().any(|row| text(row, &view.coloured) == "true"),
            value,
            least: numbers.iter().copied().fold(f64::INFINITY, f64::min),
            most: numbers.iter().copied().fold(0.0, f64::max),
            beside: if parts.is_empty() { label(measure.show, value) } else { joined(&view.join, &parts) },
        }
    };
    let is_true = |row: &crate::experiment::frame::Row, column: &str| text(row, column) == "true";
    let hits = group.rows().iter().filter(|row| is_true(row, &measure.hit) && is_true(row, &view.coloured)).count();
    let head =
        if measure.hit.is_empty() { measure.name.clone() } else { format!("{}: first in {hits} of {windows} windows", measure.name) };
    Block { head, bars: names.iter().map(bar).collect() }
}

/// What stands beside a bar: a share, unless its measure is written in another way.
fn label(show: Show, value: f64) -> String {
    written(if show == Show::Plain { Show::Percent } else { show }, value)
}

impl Figure {
    fn heads_height(&self) -> f64 {
        if self.columns.len() > 1 { HEADER_EM * LINE_HEIGHT } else { 0.0 }
    }

    fn block_height(&self) -> f64 {
        TEXT_EM * LINE_HEIGHT * 1.3 + self.blocks[0][0].bars.len() as f64 * BAR_PITCH + PADDING
    }

    /// The width of bars: alone a column has more room.
    fn bars_width(&self) -> f64 {
        if self.columns.len() > 1 { BARS_WIDTH } else { 2.0 * BARS_WIDTH }
    }

    fn left(&self, column: usize) -> f64 {
        PADDING + self.names_width + column as f64 * (self.bars_width() + self.beside_width + GAP)
    }

    fn draw_block<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, column: usize, measure: usize, top: f64) -> Drawn<DB> {
        let block = &self.blocks[column][measure];
        let level = self.level.as_ref().map_or(0.0, |(value, _)| *value);
        let largest =
            self.blocks.iter().flat_map(|run| &run[measure].bars).map(|bar| bar.most).fold(level.max(f64::MIN_POSITIVE), f64::max);
        let left = self.left(column);
        let x = |value: f64| left + value / largest * self.bars_width();
        let head = top + TEXT_EM * LINE_HEIGHT * 0.5;
        let (start, room) = if column == 0 { (PADDING, self.names_width) } else { (left, 0.0) };
        let em = fitting_em(&block.head, TEXT_EM, room + self.bars_width() + self.beside_width);
        canvas.text((start, head), &block.head, Anchor::Start, palette::INK, em)?;
        let first = top + TEXT_EM * LINE_HEIGHT * 1.3;
        let bottom = first + block.bars.len() as f64 * BAR_PITCH;
        for (position, bar) in block.bars.iter().enumerate() {
            let middle = first + (position as f64 + 0.5) * BAR_PITCH;
            let color = if bar.coloured { palette::operator(1) } else { palette::OFFERED };
            if column == 0 {
                canvas.text((left - 12.0, middle), &bar.name, Anchor::End, palette::INK, TEXT_EM)?;
            }
            canvas.line(&[(left + 1.0, middle), (x(bar.value), middle)], color, BAR as u32)?;
            canvas.line(&[(x(bar.least), middle), (x(bar.most), middle)], palette::INK, 2)?;
            canvas.text((x(bar.most) + 10.0, middle), &bar.beside, Anchor::Start, palette::INK, TEXT_EM * 0.85)?;
        }
        canvas.line(&[(left, first), (left, bottom)], palette::MUTED, 2)?;
        if let Some((value, name)) = &self.level {
            canvas.line(&[(x(*value), first), (x(*value), bottom)], palette::MUTED, 2)?;
            canvas.text((x(*value), bottom + TEXT_EM * 0.6), name, Anchor::End, palette::MUTED, TEXT_EM * 0.85)?;
        }
        Ok(())
    }
}

impl Body for Figure {
    fn width(&self) -> f64 {
        self.left(self.columns.len()) - GAP + PADDING
    }

    fn height(&self) -> f64 {
        self.heads_height() + self.blocks[0].len() as f64 * self.block_height()
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, top: f64) -> Drawn<DB> {
        for (column, name) in self.columns.iter().enumerate() {
            canvas.text((self.left(column), top + HEADER_EM * LINE_HEIGHT / 2.0), name, Anchor::Start, palette::INK, HEADER_EM)?;
            for measure in 0..self.blocks[column].len() {
                self.draw_block(canvas, column, measure, top + self.heads_height() + measure as f64 * self.block_height())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::frame::row;
    use crate::experiment::view::{PlotView, plot};

    fn draw(name: &str, rows: &Frame) -> Result<String, PlotError> {
        let Ok(PlotView::Bars(view)) = plot(name) else { panic!("{name} has bars") };
        let folder = tempfile::tempdir().unwrap();
        let files = bars_figure(&view, rows, ("A title", "A footer."), &folder.path().join("bars"))?;
        assert!(files[1].is_file());
        Ok(std::fs::read_to_string(&files[0]).unwrap())
    }

    #[test]
    fn a_query_has_a_bar_with_its_numbers_beside_it() {
        let line = |with: f64| {
            row([("case", &"q4"), ("variant", &"elastic"), ("without", &"plain timely"), ("with_per_s", &with), ("without_per_s", &2e6)])
        };
        let svg = draw("throughput", &Frame::new(&[], vec![line(1.8e6), line(1.6e6), line(2.2e6)])).unwrap();
        assert!(svg.contains("0.90: 1.80 of 2.00 million events/s") && svg.contains("as fast as plain timely"), "{svg}");
        assert!(matches!(draw("throughput", &Frame::default()), Err(PlotError::Columns { found: 0, .. })));
    }

    #[test]
    fn what_should_be_found_is_counted_and_what_is_the_same_is_left_out() {
        let line = |case: &str, window: u32, name: &str, share: f64, first: bool| {
            let suspect = name == "count[0]";
            row([
                ("case", &case),
                ("window_start_s", &window),
                ("judged", &true),
                ("name", &name),
                ("suspect", &suspect),
                ("participation", &share),
                ("profile", &(share / 2.0)),
                ("profile_per_instance", &(share / 2.0)),
                ("path", &share),
                ("first_by_participation", &first),
            ])
        };
        let rows = ["30", "50"].into_iter().flat_map(|case| {
            [
                line(case, 1, "count[0]", 0.4, true),
                line(case, 1, "map[0]", 0.2, false),
                line(case, 2, "count[0]", 0.1, false),
                line(case, 2, "map[0]", 0.3, true),
            ]
        });
        let svg = draw("ranking", &Frame::new(&[], rows.collect())).unwrap();
        assert!(svg.contains("critical participation: first in 1 of 2 windows") && svg.contains("25.0 %"), "{svg}");
        assert!(!svg.contains("profile per instance"), "{svg}");
    }
}
