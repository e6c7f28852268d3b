//! The main figure: each policy's run over time, one column per policy.
//!
//! Three rows: the source's offered and achieved rate, the parallelism of each operator, and
//! latency. All columns share the y range of a row and the x range of the figure. Values are means
//! over windows, drawn as steps; where a window recorded nothing, the line is broken.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plotters::style::RGBColor;

use super::axis::Axis;
use super::panel::{Level, Series, Step};
use super::sheet::{Entry, Mark, Row, Sheet};
use super::{PlotError, palette, write_figure};
use crate::experiment::rows::{LatencyRow, TimelineRow};
use crate::policy::registry;

/// One policy's run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Column {
    /// Name of the policy.
    pub policy: String,
    /// Its rows, in any order.
    pub timeline: Vec<TimelineRow>,
    /// Its latency, in any order.
    pub latency: Vec<LatencyRow>,
    /// When plans were carried out, in seconds of the run.
    pub actions_s: Vec<f64>,
    /// Names of the operators whose parallelism is drawn, in the order of the job.
    pub operators: Vec<String>,
}

/// Title, units and footer of a figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labels {
    /// What is shown.
    pub title: String,
    /// Unit of the source's rate, such as `sentences/s`; `records/s` if empty.
    pub rate_unit: String,
    /// The source of the data: revision, machine, scale, capacity.
    pub footer: String,
    /// Operator to the parallelism that the load needs; drawn as a dotted line. May be empty.
    pub needed: BTreeMap<String, u32>,
}

/// Most columns of a figure.
const MOST_COLUMNS: usize = 12;

// Widths of lines in pixels of the PNG.
const WIDE: u32 = 11;
const LINE: u32 = 5;
const NARROW: u32 = 4;

/// Draws `columns` in the order of policies as `<stem>.svg` and `<stem>.png` and gives these two
/// paths.
///
/// A column without rows has panels that say so.
///
/// # Errors
/// [`PlotError::Columns`] without columns or with more than 12; [`PlotError::Write`] and
/// [`PlotError::Draw`] when a file cannot be made. A file that could not be made whole is not
/// there.
pub fn timeline_figure(columns: &[Column], labels: &Labels, stem: &Path) -> Result<Vec<PathBuf>, PlotError> {
    if columns.is_empty() || columns.len() > MOST_COLUMNS {
        return Err(PlotError::Columns { most: MOST_COLUMNS, found: columns.len() });
    }
    let mut columns: Vec<&Column> = columns.iter().collect();
    columns.sort_by_key(|column| registry::rank(&column.policy));
    let sheet = Sheet {
        title: labels.title.clone(),
        footer: labels.footer.clone(),
        headers: columns.iter().map(|column| header(column)).collect(),
        rows: vec![rate_row(&columns, labels), parallelism_row(&columns, labels), latency_row(&columns)],
        actions_s: columns.iter().map(|column| column.actions_s.clone()).collect(),
        migrations_s: Vec::new(),
    };
    write_figure(&sheet.place(), stem)
}

fn header(column: &Column) -> String {
    match column.actions_s.len() {
        0 if column.timeline.is_empty() => column.policy.clone(),
        0 => format!("{} (no action)", column.policy),
        1 => format!("{} (1 action)", column.policy),
        count => format!("{} ({count} actions)", column.policy),
    }
}

fn rate_row(columns: &[&Column], labels: &Labels) -> Row {
    let panel = |column: &&Column| {
        let line = |color, width_px, value| Series { color, width_px, steps: source_steps(&column.timeline, value), shift_px: 0.0 };
        // The offered rate is wide and beneath, so that both are seen where they agree.
        let offered = line(palette::OFFERED, WIDE, |row: &TimelineRow| row.offered_per_s);
        vec![offered, line(palette::ACHIEVED, NARROW, |row: &TimelineRow| row.achieved_per_s)]
    };
    let panels: Vec<Vec<Series>> = columns.iter().map(panel).collect();
    Row {
        label: format!("rate (1000 {})", if labels.rate_unit.is_empty() { "records/s" } else { &labels.rate_unit }),
        height_px: 360.0,
        axis: Axis::from_zero(values(&panels), 4),
        legend: vec![
            entry("offered by the source", Mark::Line(palette::OFFERED, WIDE)),
            entry("achieved", Mark::Line(palette::ACHIEVED, NARROW)),
        ],
        panels,
        levels: Vec::new(),
    }
}

fn parallelism_row(columns: &[&Column], labels: &Labels) -> Row {
    let mut operators: Vec<&String> = Vec::new();
    for operator in columns.iter().flat_map(|column| &column.operators) {
        if !operators.contains(&operator) {
            operators.push(operator);
        }
    }
    let shift = |position: usize| (position as f64 - (operators.len() as f64 - 1.0) / 2.0) * f64::from(LINE);
    let panel = |column: &&Column| {
        let line = |(position, operator): (usize, &&String)| {
            let rows = column.timeline.iter().filter(|row| row.operator == **operator);
            let steps = sorted(rows.filter_map(|row| step(row.window_start_s, row.window_end_s, f64::from(row.parallelism))));
            Series { color: palette::operator(position), width_px: LINE, steps, shift_px: shift(position) }
        };
        operators.iter().enumerate().map(line).collect()
    };
    let panels: Vec<Vec<Series>> = columns.iter().map(panel).collect();
    let level = |(position, operator): (usize, &&String)| {
        let &needed = labels.needed.get(*operator)?;
        Some(Level { value: f64::from(needed), color: palette::operator(position), shift_px: shift(position) })
    };
    let levels: Vec<Level> = operators.iter().enumerate().filter_map(level).collect();
    let line = |(position, operator): (usize, &&String)| entry(operator, Mark::Line(palette::operator(position), LINE));
    let mut legend: Vec<Entry> = operators.iter().enumerate().map(line).collect();
    if !levels.is_empty() {
        // Of a load that changes only the first is known.
        let changes = columns.iter().any(|column| {
            let offered = source_steps(&column.timeline, |row| row.offered_per_s);
            offered.first().is_some_and(|first| offered.iter().any(|step| (step.value - first.value).abs() > 0.05 * first.value))
        });
        legend.push(entry(if changes { "required at first" } else { "required" }, Mark::Dotted));
    }
    if columns.iter().any(|column| !column.actions_s.is_empty()) {
        legend.push(entry("action", Mark::Upright));
    }
    let axis = Axis::counts(values(&panels).chain(levels.iter().map(|level| level.value)), 5);
    Row { label: "parallelism (instances)".into(), height_px: 400.0, axis, legend, panels, levels }
}

fn latency_row(columns: &[&Column]) -> Row {
    let panel = |column: &&Column| {
        let line = |color: RGBColor, value: fn(&LatencyRow) -> Option<u64>| {
            let seconds = |row: &LatencyRow| value(row).map(|ns| ns as f64 / 1e9);
            let rows = column.latency.iter();
            let steps = sorted(rows.filter_map(|row| step(row.window_start_s, row.window_end_s, seconds(row)?)));
            Series { color, width_px: LINE, steps, shift_px: 0.0 }
        };
        vec![line(palette::P99, |row| row.latency_ns_p99), line(palette::P50, |row| row.latency_ns_p50)]
    };
    let panels: Vec<Vec<Series>> = columns.iter().map(panel).collect();
    Row {
        label: "latency (s)".into(),
        height_px: 360.0,
        axis: Axis::decades(values(&panels)),
        legend: vec![entry("99th percentile", Mark::Line(palette::P99, LINE)), entry("median", Mark::Line(palette::P50, LINE))],
        panels,
        levels: Vec::new(),
    }
}

/// Sum over sources, window by window, in thousands.
fn source_steps(rows: &[TimelineRow], value: fn(&TimelineRow) -> Option<f64>) -> Vec<Step> {
    let mut windows: Vec<Step> = Vec::new();
    let rows = rows.iter().filter_map(|row| step(row.window_start_s, row.window_end_s, value(row)? / 1e3));
    for row in sorted(rows) {
        match windows.last_mut() {
            Some(window) if window.from_s == row.from_s => window.value += row.value,
            _ => windows.push(row),
        }
    }
    means(&windows)
}

/// Steps of a line that a panel has room for: more would be drawn over each other.
const MOST_STEPS: usize = 150;

/// The same, where there are too many of them the means of some that follow each other.
fn means(steps: &[Step]) -> Vec<Step> {
    let together = steps.len().div_ceil(MOST_STEPS).max(1);
    let mean = |steps: &[Step]| {
        let length = |step: &Step| step.to_s - step.from_s;
        let (sum, whole) = steps.iter().fold((0.0, 0.0), |(sum, whole), step| (sum + step.value * length(step), whole + length(step)));
        Step { from_s: steps[0].from_s, to_s: steps[steps.len() - 1].to_s, value: sum / whole }
    };
    steps.chunks(together).map(mean).collect()
}

/// A step, unless it has no length or is no number: a file may hold anything.
pub(super) fn step(from_s: f64, to_s: f64, value: f64) -> Option<Step> {
    (from_s.is_finite() && to_s.is_finite() && from_s < to_s && value.is_finite()).then_some(Step { from_s, to_s, value })
}

fn sorted(steps: impl Iterator<Item = Step>) -> Vec<Step> {
    let mut steps: Vec<Step> = steps.collect();
    steps.sort_by(|a, b| a.from_s.total_cmp(&b.from_s));
    steps
}

pub(super) fn values(panels: &[Vec<Series>]) -> impl Iterator<Item = f64> + '_ {
    panels.iter().flatten().flat_map(|series| &series.steps).map(|step| step.value)
}

pub(super) fn entry(text: &str, mark: Mark) -> Entry {
    Entry { text: text.to_owned(), mark }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn many_steps_are_drawn_as_the_means_of_some() {
        let steps = |count: u32| -> Vec<Step> {
            (0..count).map(|n| Step { from_s: f64::from(n), to_s: f64::from(n + 1), value: f64::from(n % 2) }).collect()
        };
        assert_eq!(means(&steps(150)), steps(150));
        let drawn = means(&steps(601));
        assert_eq!((drawn.len(), drawn[0].to_s, drawn[0].value), (121, 5.0, 0.4));
        assert_eq!((drawn[120].from_s, drawn[120].to_s, drawn[120].value), (600.0, 601.0, 0.0));
        assert!(means(&[]).is_empty());
    }

    /// A run of 600 s in which the load of 16667/s needs 10 and 20 instances and `plan` says when
    /// there are how many.
    fn column(policy: &str, plan: &[(f64, u32, u32)]) -> Column {
        let mut column = Column { policy: policy.into(), operators: vec!["flatmap".into(), "count".into()], ..Column::default() };
        let mut backlog = 0.0;
        for window in 0..60 {
            let (start, end) = (f64::from(window) * 10.0, f64::from(window) * 10.0 + 10.0);
            let &(_, flatmap, count) = plan.iter().rfind(|(from, ..)| *from <= start).unwrap_or(&(0.0, 1, 1));
            let capacity = f64::from(flatmap.min(count / 2).max(1)) * 1700.0;
            let achieved = capacity.min(16667.0 + backlog / 10.0);
            backlog = (backlog + (16667.0 - achieved) * 10.0).max(0.0);
            let row = |operator: &str, parallelism| TimelineRow {
                window_start_s: start,
                window_end_s: end,
                operator: operator.into(),
                parallelism,
                ..TimelineRow::default()
            };
            let source = TimelineRow { offered_per_s: Some(16667.0), achieved_per_s: Some(achieved), ..row("source", 1) };
            column.timeline.extend([source, row("flatmap", flatmap), row("count", count)]);
            let wobble = 1.0 + 0.3 * f64::from(window * 7 % 5);
            let p50 = (0.012 * wobble + backlog / 16667.0) * 1e9;
            column.latency.push(LatencyRow {
                window_start_s: start,
                window_end_s: end,
                records: 1,
                latency_ns_p50: Some(p50 as u64),
                latency_ns_p99: Some((p50 * 1.2 + 4e7 * wobble) as u64),
                latency_ns_max: None,
            });
        }
        column.actions_s = plan.iter().skip(1).map(|(at, ..)| *at).collect();
        column
    }

    fn four() -> Vec<Column> {
        vec![
            column("ds2", &[(0.0, 1, 1), (60.0, 10, 20)]),
            column("heron", &[(0.0, 1, 1), (60.0, 2, 1), (120.0, 4, 1), (180.0, 4, 2), (240.0, 8, 8), (300.0, 12, 24)]),
            column("dhalion", &[(0.0, 1, 1), (60.0, 5, 1), (150.0, 5, 8), (240.0, 9, 8), (330.0, 9, 20), (420.0, 12, 20), (500.0, 12, 25)]),
            column("hold", &[(0.0, 1, 1)]),
        ]
    }

    fn labels() -> Labels {
        Labels {
            title: "DS2 fig. 6: word count from (1, 1), 1 M sentences/min offered".into(),
            rate_unit: "sentences/s".into(),
            footer: "thalweg 9077080 · 2 cores, Linux 6.1 · scale quick (time ×1/20) · capacity Limited: instances are rate-limited                      servers, not processor speed · seed 7 · thalweg reproduce ds2-fig6 --scale quick"
                .into(),
            needed: BTreeMap::from([("flatmap".into(), 10), ("count".into(), 20)]),
        }
    }

    /// Draws in a folder that goes away; copies go where `THALWEG_FIGURES` says, so that a person
    /// can look.
    fn draw(name: &str, columns: &[Column], labels: &Labels) -> Vec<(String, Vec<u8>)> {
        let folder = tempfile::tempdir().unwrap();
        let paths = timeline_figure(columns, labels, &folder.path().join(name)).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), paths.len(), "nothing else is left in the folder");
        let read = |path: &PathBuf| {
            let name = path.file_name().unwrap();
            if let Some(kept) = std::env::var_os("THALWEG_FIGURES") {
                fs::copy(path, Path::new(&kept).join(name)).unwrap();
            }
            (name.to_string_lossy().into_owned(), fs::read(path).unwrap())
        };
        paths.iter().map(read).collect()
    }

    #[test]
    fn a_figure_is_drawn_twice_with_policies_in_their_order() {
        let files = draw("fig6-policies", &four(), &labels());
        assert_eq!((files[0].0.as_str(), files[1].0.as_str()), ("fig6-policies.svg", "fig6-policies.png"));
        let svg = String::from_utf8(files[0].1.clone()).unwrap();
        let place = |text: &str| svg.find(text).unwrap_or_else(|| panic!("{text} is not in the figure"));
        assert!(place("hold (no action)") < place("dhalion (6 actions)"));
        assert!(place("dhalion (6 actions)") < place("heron (5 actions)") && place("heron (5 actions)") < place("ds2 (1 action)"));
        assert!(svg.starts_with("<svg width=\"1200\"") && svg.contains("font-family=\"DejaVu Sans, sans-serif\""), "{}", &svg[..200]);
        assert!(files[1].1.starts_with(b"\x89PNG"));
        assert_eq!(draw("fig6-policies", &four(), &labels()), files, "the same rows give the same bytes");
    }

    #[test]
    fn little_or_broken_data_gives_a_figure_and_no_panic() {
        let nothing = Column { policy: "hold".into(), ..Column::default() };
        let mut single = column("ds2", &[(0.0, 1, 1)]);
        single.timeline.truncate(3);
        single.latency.truncate(1);
        let mut broken = column("dhalion", &[(0.0, 3, 3)]);
        broken.timeline[0].achieved_per_s = Some(f64::NAN);
        broken.timeline[1].window_end_s = f64::INFINITY;
        broken.timeline[5].window_end_s = broken.timeline[5].window_start_s;
        broken.latency.drain(10..20);
        broken.latency[30].latency_ns_p50 = Some(0);
        broken.actions_s = vec![f64::NAN, 1e9, -5.0];
        draw("single", std::slice::from_ref(&single), &labels());
        draw("nothing", std::slice::from_ref(&nothing), &Labels::default());
        draw("mixed", &[nothing, single, broken], &labels());
    }

    #[test]
    fn no_policy_and_too_many_are_refused() {
        let refused = timeline_figure(&[], &labels(), Path::new("never")).unwrap_err().to_string();
        assert_eq!(refused, "expected 1 to 12 runs to draw, found 0");
        assert!(matches!(timeline_figure(&vec![Column::default(); 13], &labels(), Path::new("never")), Err(PlotError::Columns { .. })));
        let nowhere = timeline_figure(&four(), &labels(), Path::new("/nowhere/figure")).unwrap_err();
        assert!(matches!(nowhere, PlotError::Write { ref path, .. } if path == Path::new("/nowhere/figure.svg")), "{nowhere}");
    }
}
