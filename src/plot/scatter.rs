//! Marks in a plane: what is upwards on a logarithmic axis, what is to the right on another one or
//! by name.
//!
//! Marks are medians of the seeds, or what a view takes instead; thin lines over them go from the
//! least to the most. What a paper or another program reports is grey.

use std::path::{Path, PathBuf};

use plotters::prelude::{DrawingBackend, RGBColor};

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Drawn, Point, fitting_em, text_width};
use super::page::{Body, LINE_HEIGHT, PADDING, TEXT_EM, write_page};
use super::{PlotError, palette};
use crate::experiment::frame::{Expression, Frame, LABELS, Row, Take, Where, text};
use crate::experiment::rows::{strategy_rank, variant_rank};
use crate::experiment::view::{LineView, Lines, Scatter};

const LABEL_EM: f64 = 22.0;
const LEFT: f64 = 150.0;
const PANEL_GAP: f64 = 50.0;
const PANEL_HEIGHT: f64 = 580.0;
/// Width of the panels together, at least; one panel has no more.
const WIDTH: f64 = 960.0;
const LEAST_PANEL_WIDTH: f64 = 700.0;
/// Half the size of a mark, and of one of very many.
const MARK: f64 = 9.0;
const SMALL_MARK: f64 = 4.0;
/// Most panels of a figure, and most names side by side.
const MOST_PANELS: usize = 3;
const MOST_NAMES: usize = 16;

/// A mark; without a place to the right it is a level.
struct Dot {
    panel: usize,
    x: Option<f64>,
    y: f64,
    least: f64,
    most: f64,
    label: String,
    /// Whether the line goes through it.
    joined: bool,
}

struct Line {
    name: String,
    color: RGBColor,
    dots: Vec<Dot>,
}

struct Figure {
    panels: Vec<String>,
    lines: Vec<Line>,
    x: Axis,
    y: Axis,
    /// Names to the right instead of numbers.
    names: Vec<String>,
    x_name: String,
    y_name: String,
    labels: bool,
    level: Option<f64>,
    /// Half the size of a mark.
    mark: f64,
}

/// Draws rows, and those of a paper, as a view says as `<stem>.svg` and `<stem>.png` and gives
/// these two paths.
///
/// # Errors
/// [`PlotError::Columns`] if there is nothing to draw, or more panels or names than anybody could
/// read; [`PlotError::Write`] and [`PlotError::Draw`] when a file cannot be made.
pub fn scatter_figure(
    view: &Scatter,
    (rows, paper): (&Frame, &Frame),
    (title, footer): (&str, &str),
    stem: &Path,
) -> Result<Vec<PathBuf>, PlotError> {
    let mut panels: Vec<String> = match &view.panels {
        Some(column) => rows.distinct(column).into_iter().map(str::to_owned).collect(),
        None => vec![String::new()],
    };
    panels.sort();
    let names: Vec<String> = if view.x.names { rows.distinct(&view.x.of).into_iter().map(str::to_owned).collect() } else { Vec::new() };
    for (found, most) in [(panels.len(), MOST_PANELS), (names.len(), MOST_NAMES)] {
        if rows.is_empty() || panels.is_empty() || found > most {
            return Err(PlotError::Columns { most, found: if rows.is_empty() { 0 } else { found } });
        }
    }
    let lines = Placing { view, panels: &panels, names: &names }.lines(rows, paper);
    let dots = || lines.iter().flat_map(|line| &line.dots);
    let figure = Figure {
        x: if view.x.names { Axis::span(0.0, 1.0, 1) } else { Axis::decades(dots().filter_map(|dot| dot.x)) },
        y: Axis::decades(dots().flat_map(|dot| [dot.y, dot.least, dot.most])),
        x_name: view.x.name.clone(),
        y_name: view.y.name.clone(),
        labels: view.labels,
        level: view.level,
        mark: if view.every_row { SMALL_MARK } else { MARK },
        panels,
        names,
        lines,
    };
    write_page(&figure, title, footer, stem)
}

/// Where rows are put.
struct Placing<'a> {
    view: &'a Scatter,
    panels: &'a [String],
    names: &'a [String],
}

impl Placing<'_> {
    fn lines(&self, rows: &Frame, paper: &Frame) -> Vec<Line> {
        match &self.view.lines {
            Lines::Variants => {
                let mut variants = rows.distinct("variant");
                variants.sort_by_key(|variant| (variant_rank(variant), *variant));
                let y = LineView { name: String::new(), of: self.view.y.of.clone(), only: Where::new(), take: Take::Median, color: 0 };
                let line = |variant: &&str| Line {
                    name: (*variant).to_owned(),
                    color: palette::strategy(strategy_rank(variant)),
                    dots: self.dots(&rows.filter(|row| text(row, "variant") == *variant), &y),
                };
                variants.iter().map(line).collect()
            }
            Lines::Of(views) => {
                let ours =
                    views.iter().map(|of| Line { name: of.name.clone(), color: palette::operator(of.color), dots: self.dots(rows, of) });
                let reported = paper.distinct("program").first().map_or("the paper's (other machines)", |program| program).to_owned();
                let theirs = views.iter().map(|of| Line { name: reported.clone(), color: palette::OFFERED, dots: self.dots(paper, of) });
                // What is measured lies upon what is reported.
                theirs.filter(|line| !line.dots.is_empty()).chain(ours).collect()
            }
        }
    }

    /// A mark for each case, or each place to the right.
    fn dots(&self, rows: &Frame, of: &LineView) -> Vec<Dot> {
        let per = if self.view.every_row {
            LABELS.iter().chain(&["seed"]).map(|label| (*label).to_owned()).collect()
        } else if self.view.x.of.is_empty() || matches!(self.view.lines, Lines::Variants) {
            vec!["case".to_owned()]
        } else {
            vec![self.view.x.of.clone()]
        };
        let (x, y) = (Expression(self.view.x.of.clone()), Expression(of.of.clone()));
        let dot = |(key, group): &(Vec<String>, Frame)| {
            let first = group.rows().first()?;
            let panel =
                self.view.panels.as_ref().map_or(Some(0), |column| self.panels.iter().position(|panel| panel == text(first, column)));
            let ys: Vec<f64> = group.numbers(&y).into_iter().map(|y| y * self.view.y.times).collect();
            let place = if self.view.x.names {
                let column = self.names.iter().position(|name| *name == key[0])?;
                Some((column as f64 + 0.5) / self.names.len() as f64)
            } else {
                Take::Median.of(group.numbers(&x)).map(|x| x * self.view.x.times)
            };
            Some(Dot {
                panel: panel?,
                x: place,
                y: of.take.of(ys.clone())?,
                least: Take::Least.of(ys.clone()).filter(|_| self.view.labels).unwrap_or(of.take.of(ys.clone())?),
                most: Take::Most.of(ys.clone()).filter(|_| self.view.labels).unwrap_or(of.take.of(ys)?),
                // What stands after a comma is the same in the whole panel, or stands in its
                // header.
                label: text(first, "case").split(',').next().unwrap_or_default().to_owned(),
                joined: !self.view.every_row && is_joined(first),
            })
        };
        rows.only(&of.only).per(&per).iter().filter_map(dot).collect()
    }
}

/// What has no bins stands for itself.
fn is_joined(row: &Row) -> bool {
    text(row, "bins") != "0"
}

/// Rectangles that are taken: upper left and lower right.
type Taken = Vec<(Point, Point)>;

impl Figure {
    fn panel_width(&self) -> f64 {
        if self.panels.len() == 1 { WIDTH } else { LEAST_PANEL_WIDTH }
    }

    fn left(&self, panel: usize) -> f64 {
        LEFT + panel as f64 * (self.panel_width() + PANEL_GAP)
    }

    fn room(&self) -> f64 {
        self.left(self.panels.len()) - PANEL_GAP - LEFT
    }

    /// Lines of the legend, each once.
    fn legend(&self) -> Vec<Vec<&Line>> {
        let (mut lines, mut x): (Vec<Vec<&Line>>, f64) = (vec![Vec::new()], 0.0);
        let mut known: Vec<&str> = Vec::new();
        for line in self.lines.iter().filter(|line| !line.dots.is_empty()) {
            if known.contains(&line.name.as_str()) {
                continue;
            }
            known.push(&line.name);
            let width = MARK * 4.0 + text_width(&line.name, TEXT_EM) + PADDING;
            if x > 0.0 && x + width > self.room() {
                lines.push(Vec::new());
                x = 0.0;
            }
            x += width;
            lines.last_mut().expect("there is a line").push(line);
        }
        lines
    }

    /// Where panels begin below the top.
    fn panels_top(&self) -> f64 {
        (self.legend().len() as f64 + 1.5) * TEXT_EM * LINE_HEIGHT
    }

    fn place(&self, panel: usize, top: f64, (x, y): Point) -> Point {
        (self.left(panel) + self.x.position(x) * self.panel_width(), top + (1.0 - self.y.position(y)) * PANEL_HEIGHT)
    }

    fn draw_legend<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, top: f64) -> Drawn<DB> {
        for (row, lines) in self.legend().into_iter().enumerate() {
            let (mut x, middle) = (LEFT, top + (row as f64 + 0.5) * TEXT_EM * LINE_HEIGHT);
            for line in lines {
                if line.dots.iter().all(|dot| dot.x.is_none()) {
                    canvas.dotted((x, middle), x + MARK * 3.0, palette::MUTED, 4)?;
                } else {
                    canvas.line(&[(x + MARK, middle), (x + MARK * 3.0, middle)], line.color, 2 * MARK as u32)?;
                }
                canvas.text(
                    (x + MARK * 4.0, middle),
                    &line.name,
                    Anchor::Start,
                    palette::INK,
                    fitting_em(&line.name, TEXT_EM, self.room()),
                )?;
                x += MARK * 4.0 + text_width(&line.name, TEXT_EM) + PADDING;
            }
        }
        Ok(())
    }

    fn draw_grid<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, panel: usize, top: f64) -> Drawn<DB> {
        let (left, right, bottom) = (self.left(panel), self.left(panel) + self.panel_width(), top + PANEL_HEIGHT);
        for (&tick, label) in self.y.ticks.iter().zip(self.y.labels()) {
            let y = self.place(panel, top, (1.0, tick)).1;
            canvas.line(&[(left, y), (right, y)], palette::GRID, 2)?;
            if panel == 0 {
                canvas.text((left - 12.0, y), &label, Anchor::End, palette::INK, TEXT_EM)?;
            }
        }
        for (&tick, label) in self.x.ticks.iter().zip(self.x.labels()).filter(|_| self.names.is_empty()) {
            let x = self.place(panel, top, (tick, 1.0)).0;
            canvas.line(&[(x, top), (x, bottom)], palette::GRID, 2)?;
            // Within the panel, so that the last label of one does not meet the first of the next.
            let half = text_width(&label, TEXT_EM) / 2.0;
            canvas.text((x.max(left + half).min(right - half), bottom + TEXT_EM), &label, Anchor::Middle, palette::INK, TEXT_EM)?;
        }
        let room = self.panel_width() / self.names.len().max(1) as f64 - 10.0;
        let em = self.names.iter().map(|name| fitting_em(name, TEXT_EM, room)).fold(TEXT_EM, f64::min);
        for (column, name) in self.names.iter().enumerate() {
            let x = left + (column as f64 + 0.5) / self.names.len() as f64 * self.panel_width();
            canvas.text((x, bottom + TEXT_EM), name, Anchor::Middle, palette::INK, em)?;
        }
        canvas.frame((left, top), (right, bottom), palette::INK, 2)?;
        let head = match self.panels[panel].as_str() {
            "" => String::new(),
            "1" => "in one process".to_owned(),
            "sim" => "in virtual time".to_owned(),
            "engine" => "on the engine".to_owned(),
            count => format!("across {count} processes"),
        };
        canvas.text(((left + right) / 2.0, top - TEXT_EM * 0.8), &head, Anchor::Middle, palette::INK, TEXT_EM)?;
        canvas.text(((left + right) / 2.0, bottom + TEXT_EM * 2.4), &self.x_name, Anchor::Middle, palette::INK, TEXT_EM)
    }

    fn draw_level<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, (panel, top): (usize, f64), level: f64) -> Drawn<DB> {
        let y = self.place(panel, top, (1.0, level)).1;
        canvas.dotted((self.left(panel), y), self.left(panel) + self.panel_width(), palette::MUTED, 4)
    }

    fn draw_panel<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, panel: usize, top: f64) -> Drawn<DB> {
        let (mut taken, mut labels): (Taken, Vec<(Point, &str)>) = Default::default();
        for line in &self.lines {
            let dots: Vec<&Dot> = line.dots.iter().filter(|dot| dot.panel == panel).collect();
            let levels: Vec<f64> = dots.iter().filter(|dot| dot.x.is_none()).map(|dot| dot.y).collect();
            Take::Median.of(levels).map_or(Ok(()), |level| self.draw_level(canvas, (panel, top), level))?;
            let points = || dots.iter().filter_map(|dot| Some((*dot, self.place(panel, top, (dot.x?, dot.y)))));
            let joined: Vec<Point> = points().filter(|(dot, _)| dot.joined).map(|(_, at)| at).collect();
            // Piece by piece: where a line turns back sharply, its corner would reach far beyond
            // the point.
            joined.windows(2).try_for_each(|pair| canvas.line(pair, line.color, 2))?;
            for (dot, (x, y)) in points() {
                let end = |value: f64| (x, self.place(panel, top, (1.0, value.max(f64::MIN_POSITIVE))).1);
                canvas.line(&[end(dot.least), end(dot.most)], line.color, 2)?;
                canvas.line(&[(x - self.mark, y), (x + self.mark, y)], line.color, 2 * self.mark as u32)?;
                taken.push(((x - MARK, y - MARK), (x + MARK, y + MARK)));
                labels.push(((x, y), &dot.label));
            }
        }
        self.level.map_or(Ok(()), |level| self.draw_level(canvas, (panel, top), level))?;
        for (at, label) in labels.into_iter().filter(|_| self.labels) {
            if let Some(place) = self.free((panel, top), at, label, &mut taken) {
                canvas.text(place, label, Anchor::Start, palette::MUTED, LABEL_EM)?;
            }
        }
        Ok(())
    }

    /// Where a label beside `at` lies on nothing else: the middle of its left end; nothing if there
    /// is no such place.
    fn free(&self, (panel, top): (usize, f64), (x, y): Point, label: &str, taken: &mut Taken) -> Option<Point> {
        let (width, half, gap) = (text_width(label, LABEL_EM), LABEL_EM * 0.6, MARK * 1.6);
        let (left, right, bottom) = (self.left(panel), self.left(panel) + self.panel_width(), top + PANEL_HEIGHT);
        let beside = [(x + gap, y), (x - gap - width, y)];
        let rows = [1.0, 2.2].into_iter().flat_map(|n| {
            let away = MARK + half * n + 2.0;
            [(x - width / 2.0, y - away), (x - width / 2.0, y + away), (x + gap, y - away), (x + gap, y + away)]
        });
        let place = beside.into_iter().chain(rows).find(|&(start, middle)| {
            let inside = start >= left + 4.0 && start + width <= right - 4.0 && middle - half >= top && middle + half <= bottom;
            let free =
                |&((x0, y0), (x1, y1)): &(Point, Point)| start + width < x0 || x1 < start || middle + half < y0 || y1 < middle - half;
            inside && taken.iter().all(free)
        })?;
        taken.push(((place.0, place.1 - half), (place.0 + width, place.1 + half)));
        Some(place)
    }
}

impl Body for Figure {
    fn width(&self) -> f64 {
        LEFT + self.room() + PADDING
    }

    fn height(&self) -> f64 {
        self.panels_top() + PANEL_HEIGHT + TEXT_EM * if self.x_name.is_empty() { 2.0 } else { 3.4 }
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, top: f64) -> Drawn<DB> {
        self.draw_legend(canvas, top)?;
        let panels = top + self.panels_top();
        for panel in 0..self.panels.len() {
            self.draw_grid(canvas, panel, panels)?;
            self.draw_panel(canvas, panel, panels)?;
        }
        let em = fitting_em(&self.y_name, TEXT_EM, PANEL_HEIGHT);
        canvas.text((PADDING + TEXT_EM * 0.5, panels + PANEL_HEIGHT / 2.0), &self.y_name, Anchor::Upward, palette::INK, em)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::frame::row;
    use crate::experiment::view::{PlotView, plot};

    fn draw(name: &str, rows: Vec<Row>, paper: Vec<Row>) -> Result<String, PlotError> {
        let Ok(PlotView::Scatter(view)) = plot(name) else { panic!("{name} has marks") };
        let folder = tempfile::tempdir().unwrap();
        let frames = (&Frame::new(&[], rows), &Frame::new(&[], paper));
        let files = scatter_figure(&view, frames, ("a title", "a footer"), &folder.path().join("figure"))?;
        Ok(std::fs::read_to_string(&files[0]).unwrap())
    }

    #[test]
    fn a_mark_for_each_setting_and_a_panel_for_each_number_of_processes() {
        let mut rows = Vec::new();
        for processes in [1_u32, 2] {
            for (strategy, latency) in [("fluid", 2_u64), ("none", 1), ("all-at-once", 300)] {
                for exponent in [4_u64, 8, 12] {
                    for noise in [1, 2, 3] {
                        rows.push(row([
                            ("case", &format!("2^{exponent} bins, {processes}")),
                            ("variant", &strategy),
                            ("processes", &processes),
                            ("duration_ns", &(strategy != "none").then_some(exponent * 10_000_000)),
                            ("migration_ns_max", &(latency * noise * 1_000_000)),
                        ]));
                    }
                }
            }
        }
        let svg = draw("duration", rows, Vec::new()).unwrap();
        assert!(svg.contains("in one process") && svg.contains("across 2 processes") && svg.contains("duration of the migration (ms)"));
        assert!(svg.contains("2^12 bins") && !svg.contains("bins, 2"));
        assert!(matches!(draw("duration", Vec::new(), Vec::new()), Err(PlotError::Columns { found: 0, .. })));
    }

    #[test]
    fn a_column_for_each_setting_with_the_papers_numbers_beneath() {
        let ours = |case: &str, bins: u32| {
            row([("case", &case), ("bins", &bins), ("overall_ns_p90", &300_000_u64), ("overall_ns_max", &3_000_000_u64)])
        };
        let paper = |case: &str| row([("case", &case), ("overall_ns_p90", &1_640_000_u64)]);
        let svg = draw("percentiles", vec![ours("native", 0), ours("2^4 bins", 16)], vec![paper("native")]).unwrap();
        assert!(svg.find("native") < svg.find("2^4 bins") && svg.contains("other machines"));
        assert!(!draw("percentiles", vec![ours("native", 0)], Vec::new()).unwrap().contains("other machines"));
    }

    #[test]
    fn every_row_has_a_mark_where_the_view_says_so() {
        let row_of = |host: &str, variant: &str, seed: u64, ratio: f64| {
            let labels: [(&str, &dyn crate::experiment::frame::Cell); 4] =
                [("case", &"fewer"), ("host", &host), ("variant", &variant), ("seed", &seed)];
            let numbers = row([("measured_ns_p99", &(seed * 10_000_000)), ("predicted_over_measured", &ratio)]);
            row(labels).into_iter().chain(numbers).collect::<Row>()
        };
        let rows = |many: u64| (1..=many).flat_map(|seed| [row_of("sim", "paths", seed, 1.1), row_of("sim", "formula", seed, 4.0)]);
        let svg = |rows: Vec<Row>| draw("predictions", rows, Vec::new()).unwrap();
        let few = svg(rows(3).collect());
        assert!(few.contains("in virtual time") && few.contains("what-if model") && few.contains("formula of a single queue"));
        let marks = |svg: &str| svg.matches("<polyline").count() + svg.matches("<line").count();
        assert!(marks(&svg(rows(9).collect())) >= marks(&few) + 12);
        assert!(svg(rows(1).chain([row_of("engine", "paths", 2, 0.9)]).collect()).contains("on the engine"));
    }

    #[test]
    fn another_programs_time_is_named() {
        let ours = |window_s: u32| row([("case", &format!("{window_s} s")), ("window_s", &window_s), ("latency_ns", &5_000_000_u64)]);
        let other = row([("program", &"another program"), ("window_s", &1_u32), ("latency_ns", &12_900_000_u64)]);
        let svg = draw("window-latency", vec![ours(1), ours(2)], vec![other]).unwrap();
        assert!(svg.contains("another program") && svg.contains("Thalweg, median") && svg.contains("length of the window (s)"));
    }
}
