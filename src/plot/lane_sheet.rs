//! Layout and drawing of the figure of lanes.

use std::collections::{BTreeMap, BTreeSet};

use plotters::prelude::{DrawingBackend, RGBColor};

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Drawn, Point, fitting_em, paragraph, text_width, wrap};
use super::panel::{LINE_HEIGHT, TEXT_EM, THIN};
use super::sheet::{Entry, Mark, draw_legend, legend_lines};
use super::{Drawing, palette};
use crate::activity::{ActivityKind, Lane, Names};
use crate::critical_path::PathStep;
use crate::id::OperatorId;
use crate::pag::{Piece, PieceKind, WindowGraph};
use crate::time::{Timestamp, Window};

// Sizes in pixels of the PNG.
const WIDTH: f64 = 2400.0;
const PADDING: f64 = 24.0;
const TITLE_EM: f64 = 40.0;
const WIDEST_LABEL: f64 = 420.0;
/// Height of all rows together, if each row is then between the two heights below.
const ROWS_HEIGHT: f64 = 1000.0;
const TALLEST_ROW: f64 = 110.0;
const SHORTEST_ROW: f64 = 34.0;
/// Share of a row that is filled.
const FILLED: f64 = 0.62;
const SWATCH_WIDTH: u32 = 26;
const PATH_WIDTH: u32 = 7;
const HALO_WIDTH: u32 = 13;
/// The most rows: the lanes that work longest are drawn.
const MOST_LANES: usize = 48;
/// The most messages off the path: those longest in flight are drawn.
const MOST_MESSAGES: usize = 1500;
/// Number of operators with their own colour.
const COLOURS: usize = 6;
/// A pixel shows work if work fills at least this share of it.
const LEAST_FILL: f64 = 0.25;

/// Content of a pixel of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fill {
    /// Work of an operator with a colour.
    Operator(usize),
    /// Work of any other.
    Other,
    /// Waiting for something outside the dataflow.
    Outside,
    /// Waiting for a message.
    Wait,
}

const FILLS: usize = COLOURS + 3;

impl Fill {
    fn place(self) -> usize {
        match self {
            Fill::Operator(colour) => colour,
            Fill::Other => COLOURS,
            Fill::Outside => COLOURS + 1,
            Fill::Wait => COLOURS + 2,
        }
    }

    fn at(place: usize) -> Fill {
        match place {
            COLOURS => Fill::Other,
            _ if place == COLOURS + 1 => Fill::Outside,
            _ if place == COLOURS + 2 => Fill::Wait,
            colour => Fill::Operator(colour),
        }
    }

    fn color(self) -> RGBColor {
        match self {
            // Black is the path's.
            Fill::Operator(colour) => palette::operator(if colour < 4 { colour } else { colour + 1 }),
            Fill::Other => palette::ACTION,
            Fill::Outside => palette::OUTSIDE,
            Fill::Wait => palette::WAIT,
        }
    }
}

/// What the figure says beside its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneLabels {
    /// What is shown.
    pub title: String,
    /// What it rests on.
    pub footer: String,
}

/// A run of equal pixels.
struct Run {
    from: usize,
    to: usize,
    fill: Fill,
}

struct Row {
    label: String,
    runs: Vec<Run>,
}

/// From a time and row to a time and row.
type Segment = (Timestamp, usize, Timestamp, usize);

/// Everything that is drawn.
pub(super) struct LaneSheet {
    title: Vec<String>,
    footer: Vec<String>,
    left: f64,
    stretch: Window,
    /// Nanoseconds a unit of the axis, and the unit's name.
    unit: (f64, &'static str),
    axis: Axis,
    row_height: f64,
    rows: Vec<Row>,
    messages: Vec<Segment>,
    path: Vec<Segment>,
    legend: Vec<Entry>,
}

impl LaneSheet {
    /// Lays out `stretch` of `windows`.
    pub(super) fn new(windows: &[(&WindowGraph, &[PathStep])], stretch: Window, names: &Names, labels: LaneLabels) -> LaneSheet {
        let (lanes, lanes_left_out) = chosen_lanes(windows, stretch);
        let row_of: BTreeMap<Lane, usize> = lanes.iter().copied().zip(0..).collect();
        let colours = colours(windows, stretch);
        let left = lanes.iter().map(|lane| text_width(&names.lane(*lane), TEXT_EM)).fold(100.0, f64::max).min(WIDEST_LABEL) + 2.0 * PADDING;
        let width = (WIDTH - left - 2.0 * PADDING) as usize;
        let unit = unit(stretch);
        let value = |at: Timestamp| at.0 as f64 / unit.0;
        let mut sheet = LaneSheet {
            title: wrap(&labels.title, TITLE_EM, WIDTH - 2.0 * PADDING),
            footer: Vec::new(),
            left,
            stretch,
            unit,
            axis: Axis::span(value(stretch.start), value(stretch.end), 6),
            row_height: (ROWS_HEIGHT / lanes.len().max(1) as f64).clamp(SHORTEST_ROW, TALLEST_ROW),
            rows: rows(windows, stretch, names, &lanes, &colours, width),
            messages: Vec::new(),
            path: path(windows, stretch, &row_of),
            legend: Vec::new(),
        };
        let (messages, messages_left_out) = sheet.chosen_messages(windows, &row_of);
        sheet.messages = messages;
        sheet.legend = sheet.legend_of(names, &colours);
        let mut footer = labels.footer;
        for (count, what) in [(lanes_left_out, "less busy lanes"), (messages_left_out, "shorter messages")] {
            if count > 0 {
                footer.push_str(&format!("; {count} {what} not shown"));
            }
        }
        sheet.footer = wrap(&footer, TEXT_EM, WIDTH - 2.0 * PADDING);
        sheet
    }

    /// Messages off the path, without those that would be the same line.
    fn chosen_messages(&self, windows: &[(&WindowGraph, &[PathStep])], row_of: &BTreeMap<Lane, usize>) -> (Vec<Segment>, usize) {
        let mut seen = BTreeSet::new();
        let mut messages = Vec::new();
        for (graph, _) in windows {
            for edge in graph.messages.iter().filter(|edge| !edge.blocked && edge.from_lane != edge.to_lane) {
                let row = |lane: u32| row_of.get(&graph.lanes[lane as usize]).copied();
                let (Some(from), Some(to)) = (row(edge.from_lane), row(edge.to_lane)) else { continue };
                let inside = edge.end > self.stretch.start && edge.start < self.stretch.end;
                if inside && seen.insert((self.x(edge.start) as i64, from, self.x(edge.end) as i64, to)) {
                    messages.push((edge.start, from, edge.end, to));
                }
            }
        }
        messages.sort_by_key(|(start, _, end, _)| std::cmp::Reverse(end.0 - start.0));
        let left_out = messages.len().saturating_sub(MOST_MESSAGES);
        messages.truncate(MOST_MESSAGES);
        (messages, left_out)
    }

    fn legend_of(&self, names: &Names, colours: &[OperatorId]) -> Vec<Entry> {
        let shown: BTreeSet<Fill> = self.rows.iter().flat_map(|row| &row.runs).map(|run| run.fill).collect();
        let text = |fill: Fill| match fill {
            Fill::Operator(colour) => names.operator(colours[colour]),
            Fill::Other => "other operators".to_owned(),
            Fill::Outside => "external wait".to_owned(),
            Fill::Wait => "waiting for a message".to_owned(),
        };
        let mut legend: Vec<Entry> =
            shown.into_iter().map(|fill| Entry { text: text(fill), mark: Mark::Line(fill.color(), SWATCH_WIDTH) }).collect();
        if !self.messages.is_empty() {
            legend.push(Entry { text: "message".into(), mark: Mark::Line(palette::MUTED, THIN) });
        }
        if !self.path.is_empty() {
            legend.push(Entry { text: "most likely critical path".into(), mark: Mark::Line(palette::ACHIEVED, PATH_WIDTH) });
        }
        legend
    }

    fn right(&self) -> f64 {
        WIDTH - 2.0 * PADDING
    }

    fn x(&self, at: Timestamp) -> f64 {
        self.left + self.axis.position(at.0 as f64 / self.unit.0) * (self.right() - self.left)
    }

    fn legend(&self) -> Vec<Vec<&Entry>> {
        legend_lines(&self.legend, WIDTH - 2.0 * PADDING)
    }

    fn rows_top(&self) -> f64 {
        PADDING + self.title.len() as f64 * TITLE_EM * LINE_HEIGHT + self.legend().len() as f64 * TEXT_EM * LINE_HEIGHT + PADDING
    }

    fn rows_bottom(&self) -> f64 {
        self.rows_top() + self.rows.len().max(1) as f64 * self.row_height
    }

    fn y(&self, row: usize) -> f64 {
        self.rows_top() + (row as f64 + 0.5) * self.row_height
    }

    /// A segment as a line, cut at the edges of the stretch.
    fn line_of(&self, &(start, from, end, to): &Segment) -> [Point; 2] {
        let (y_from, y_to) = (self.y(from), self.y(to));
        let height = |at: Timestamp| match (end.0 - start.0) as f64 {
            0.0 => y_from,
            length => y_from + (y_to - y_from) * (at.0 - start.0) as f64 / length,
        };
        let (first, last) = (start.max(self.stretch.start), end.min(self.stretch.end));
        [
            (self.x(first), if first == start { y_from } else { height(first) }),
            (self.x(last), if last == end { y_to } else { height(last) }),
        ]
    }

    fn draw_rows<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Drawn<DB> {
        let (top, bottom) = (self.rows_top(), self.rows_bottom());
        for &tick in &self.axis.ticks {
            let x = self.left + self.axis.position(tick) * (self.right() - self.left);
            canvas.line(&[(x, top), (x, bottom)], palette::GRID, THIN)?;
        }
        let half = self.row_height * FILLED / 2.0;
        for (number, row) in self.rows.iter().enumerate() {
            let y = self.y(number);
            let em = fitting_em(&row.label, TEXT_EM, self.left - 1.5 * PADDING).min(self.row_height * 0.8);
            canvas.text((self.left - PADDING * 0.5, y), &row.label, Anchor::End, palette::INK, em)?;
            for run in &row.runs {
                // Waits are low, so that they do not look like work.
                let half = if run.fill == Fill::Wait { half * 0.5 } else { half };
                let (from, to) = (self.left + run.from as f64, self.left + run.to as f64);
                canvas.filled((from, y - half), (to, y + half), run.fill.color())?;
            }
        }
        if self.rows.is_empty() {
            canvas.text(((self.left + self.right()) / 2.0, self.y(0)), "nothing recorded", Anchor::Middle, palette::MUTED, TEXT_EM)?;
        }
        canvas.frame((self.left, top), (self.right(), bottom), palette::INK, THIN)
    }

    fn draw_axis<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Drawn<DB> {
        let middle = self.rows_bottom() + TEXT_EM * 0.9;
        for (&tick, label) in self.axis.ticks.iter().zip(self.axis.labels()) {
            let half = text_width(&label, TEXT_EM) / 2.0;
            let x = (self.left + self.axis.position(tick) * (self.right() - self.left)).clamp(self.left + half, self.right() - half);
            canvas.text((x, middle), &label, Anchor::Middle, palette::INK, TEXT_EM)?;
        }
        let at = ((self.left + self.right()) / 2.0, middle + TEXT_EM * LINE_HEIGHT);
        canvas.text(at, &format!("time since the start of the run ({})", self.unit.1), Anchor::Middle, palette::INK, TEXT_EM)
    }
}

impl Drawing for LaneSheet {
    fn size_px(&self) -> (u32, u32) {
        let below = (3.0 + self.footer.len() as f64) * TEXT_EM * LINE_HEIGHT + PADDING;
        (WIDTH as u32, (self.rows_bottom() + below).ceil() as u32)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> Drawn<DB> {
        let mut top = paragraph(canvas, &self.title, (PADDING, PADDING), (TITLE_EM, TITLE_EM * LINE_HEIGHT), palette::INK)?;
        for entries in self.legend() {
            draw_legend(canvas, &entries, (PADDING, top + TEXT_EM * LINE_HEIGHT / 2.0))?;
            top += TEXT_EM * LINE_HEIGHT;
        }
        self.draw_rows(canvas)?;
        for message in &self.messages {
            canvas.line(&self.line_of(message), palette::MUTED, THIN)?;
        }
        for (width, color) in [(HALO_WIDTH, palette::PAPER), (PATH_WIDTH, palette::ACHIEVED)] {
            for segment in &self.path {
                canvas.line(&self.line_of(segment), color, width)?;
            }
        }
        self.draw_axis(canvas)?;
        let below = (PADDING, self.rows_bottom() + TEXT_EM * LINE_HEIGHT * 2.5);
        paragraph(canvas, &self.footer, below, (TEXT_EM, TEXT_EM * LINE_HEIGHT), palette::MUTED).map(|_| ())
    }
}

/// The pieces of all windows that reach into `stretch`, with their lanes.
fn pieces<'a>(windows: &'a [(&WindowGraph, &[PathStep])], stretch: Window) -> impl Iterator<Item = (Lane, &'a Piece)> {
    let of_window = |(graph, _): &'a (&WindowGraph, &[PathStep])| {
        let lanes = graph.lanes.iter().zip(&graph.ranges);
        lanes.flat_map(|(lane, range)| {
            graph.pieces[range.pieces.start as usize..range.pieces.end as usize].iter().map(|piece| (*lane, piece))
        })
    };
    windows.iter().flat_map(of_window).filter(move |(_, piece)| piece.end > stretch.start && piece.start < stretch.end)
}

/// The lanes that get a row, in their order, and how many get none.
fn chosen_lanes(windows: &[(&WindowGraph, &[PathStep])], stretch: Window) -> (Vec<Lane>, usize) {
    let mut busy: BTreeMap<Lane, u128> = BTreeMap::new();
    for (lane, piece) in pieces(windows, stretch) {
        let work = matches!(piece.kind, PieceKind::Work { .. });
        let busy = busy.entry(lane).or_default();
        *busy += if work { stretch.overlap(piece.start, piece.end).as_nanos() } else { 0 };
    }
    let mut lanes: Vec<(u128, Lane)> = busy.into_iter().map(|(lane, ns)| (ns, lane)).collect();
    lanes.sort_by_key(|&(ns, lane)| (std::cmp::Reverse(ns), lane));
    let left_out = lanes.len().saturating_sub(MOST_LANES);
    lanes.truncate(MOST_LANES);
    let mut lanes: Vec<Lane> = lanes.into_iter().map(|(_, lane)| lane).collect();
    lanes.sort_unstable();
    (lanes, left_out)
}

/// The operators with a colour: those that work longest, in their order.
fn colours(windows: &[(&WindowGraph, &[PathStep])], stretch: Window) -> Vec<OperatorId> {
    let mut busy: BTreeMap<OperatorId, u128> = BTreeMap::new();
    for (_, piece) in pieces(windows, stretch) {
        if let PieceKind::Work { instance, .. } = piece.kind {
            *busy.entry(instance.operator).or_default() += stretch.overlap(piece.start, piece.end).as_nanos();
        }
    }
    let mut operators: Vec<(u128, OperatorId)> = busy.into_iter().map(|(operator, ns)| (ns, operator)).collect();
    operators.sort_by_key(|&(ns, operator)| (std::cmp::Reverse(ns), operator));
    operators.truncate(COLOURS);
    let mut operators: Vec<OperatorId> = operators.into_iter().map(|(_, operator)| operator).collect();
    operators.sort_unstable();
    operators
}

/// Rows of `width` pixels over `stretch`.
fn rows(
    windows: &[(&WindowGraph, &[PathStep])],
    stretch: Window,
    names: &Names,
    lanes: &[Lane],
    colours: &[OperatorId],
    width: usize,
) -> Vec<Row> {
    let length = stretch.length().as_nanos().max(1) as f64;
    // How much of each pixel is filled by what.
    let mut fills: BTreeMap<Lane, Vec<[f64; FILLS]>> = lanes.iter().map(|lane| (*lane, vec![[0.0; FILLS]; width])).collect();
    for (lane, piece) in pieces(windows, stretch) {
        let Some(pixels) = fills.get_mut(&lane) else { continue };
        let fill = match piece.kind {
            PieceKind::Gap | PieceKind::Silence => continue,
            PieceKind::Wait { .. } => Fill::Wait,
            PieceKind::Work { kind: ActivityKind::ExternalWait, .. } => Fill::Outside,
            PieceKind::Work { instance, .. } => colours.binary_search(&instance.operator).map_or(Fill::Other, Fill::Operator),
        };
        let pixel = |at: Timestamp| at.since(stretch.start).as_nanos() as f64 / length * width as f64;
        let (from, to) = (pixel(piece.start), pixel(piece.end.min(stretch.end)));
        for (place, filled) in pixels.iter_mut().enumerate().take(to.ceil() as usize).skip(from as usize) {
            filled[fill.place()] += (to.min(place as f64 + 1.0) - from.max(place as f64)).max(0.0);
        }
    }
    fills.into_iter().map(|(lane, pixels)| Row { label: names.lane(lane), runs: runs(&pixels) }).collect()
}

fn runs(pixels: &[[f64; FILLS]]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (place, filled) in pixels.iter().enumerate() {
        let most = |range: std::ops::Range<usize>| range.max_by(|&a, &b| filled[a].total_cmp(&filled[b]));
        // Work counts more than waits: short work between long waits shall be seen.
        let work = most(0..COLOURS + 2).filter(|&fill| filled[fill] >= LEAST_FILL);
        let wait = Some(Fill::Wait.place()).filter(|&fill| filled[fill] >= LEAST_FILL);
        let Some(fill) = work.or(wait).map(Fill::at) else { continue };
        match runs.last_mut() {
            Some(last) if last.to == place && last.fill == fill => last.to += 1,
            _ => runs.push(Run { from: place, to: place + 1, fill }),
        }
    }
    runs
}

/// The likeliest paths, as far as they lie in `stretch` and on lanes with a row; what follows on
/// one lane is one segment.
fn path(windows: &[(&WindowGraph, &[PathStep])], stretch: Window, row_of: &BTreeMap<Lane, usize>) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    for (graph, steps) in windows {
        let row = |lane: usize| row_of.get(&graph.lanes[lane]).copied();
        for step in *steps {
            let (start, end, from, to) = match *step {
                PathStep::Piece(number) => {
                    let piece = &graph.pieces[number as usize];
                    let lane = graph.ranges.partition_point(|range| range.pieces.end <= number);
                    (piece.start, piece.end, row(lane), row(lane))
                }
                PathStep::Message(number) => {
                    let edge = &graph.messages[number as usize];
                    (edge.start, edge.end, row(edge.from_lane as usize), row(edge.to_lane as usize))
                }
            };
            let (Some(from), Some(to)) = (from, to) else { continue };
            if end < stretch.start || start > stretch.end {
                continue;
            }
            match segments.last_mut() {
                Some((_, last_from, last_end, last_to)) if *last_end == start && *last_from == from && *last_to == from && from == to => {
                    *last_end = end;
                }
                _ => segments.push((start, from, end, to)),
            }
        }
    }
    segments
}

/// The unit in which times of `stretch` have few digits.
fn unit(stretch: Window) -> (f64, &'static str) {
    match stretch.length().as_nanos() {
        0..20_000 => (1e3, "µs"),
        20_000..2_000_000_000 => (1e6, "ms"),
        _ => (1e9, "s"),
    }
}
