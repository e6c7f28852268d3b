//! What migrations did over time: one column per strategy, one row per setting,
//! latency or memory upwards.
//!
//! While bins move the panel is shaded. All panels have one range, so that strategies and settings
//! compare at a glance. Of several seeds the first is drawn.

use std::path::{Path, PathBuf};

use plotters::style::RGBColor;

use super::axis::Axis;
use super::panel::{Series, Step};
use super::sheet::{Entry, Mark, Row, Sheet};
use super::timeline::{entry, step, values};
use super::{PlotError, palette, write_figure};
use crate::experiment::frame::{Expression, Frame, Row as Cells, text};
use crate::experiment::rows::variant_rank;
use crate::experiment::view::Upwards;

/// Most columns of a figure.
const MOST_COLUMNS: usize = 8;
const LINE: u32 = 5;

/// A line of a panel: its name, colour, the column of its values and what these are multiplied
/// with.
type Line = (&'static str, RGBColor, &'static str, f64);

const LATENCY: [Line; 3] = [
    ("largest", palette::MOST, "latency_ns_max", 1e-6),
    ("99th percentile", palette::P99, "latency_ns_p99", 1e-6),
    ("median", palette::P50, "latency_ns_p50", 1e-6),
];
const MEMORY: [Line; 2] = [
    ("first process", palette::FIRST, "memory_bytes", 1.0 / 1_048_576.0),
    ("other process", palette::OTHER, "memory_others_bytes", 1.0 / 1_048_576.0),
];

/// Draws recorded runs as `<stem>.svg` and `<stem>.png` and gives these two paths.
///
/// # Errors
/// [`PlotError::Columns`] without strategies or with more than 8; [`PlotError::Write`] and
/// [`PlotError::Draw`] when a file cannot be made.
pub fn migrations_figure(
    (rows, timeline): (&Frame, &Frame),
    upwards: Upwards,
    (title, footer): (&str, &str),
    stem: &Path,
) -> Result<Vec<PathBuf>, PlotError> {
    let (label, lines): (&str, &[Line]) = match upwards {
        Upwards::Latency => ("latency (ms)", &LATENCY),
        Upwards::Memory => ("memory (MiB)", &MEMORY),
    };
    let seed = rows.distinct("seed").first().map_or(String::new(), |seed| (*seed).to_owned());
    let of_seed = |frame: &Frame| frame.filter(|row| text(row, "seed") == seed);
    let (rows, timeline) = (of_seed(rows), of_seed(timeline));
    let mut strategies: Vec<&str> = rows.distinct("variant");
    strategies.sort_by_key(|strategy| (variant_rank(strategy), *strategy));
    if strategies.is_empty() || strategies.len() > MOST_COLUMNS {
        return Err(PlotError::Columns { most: MOST_COLUMNS, found: strategies.len() });
    }
    let settings = rows.distinct("case");
    let of_run =
        |frame: &Frame, setting: &str, strategy: &str| frame.filter(|row| text(row, "case") == setting && text(row, "variant") == strategy);
    let number = |row: &Cells, column: &str| Expression(column.to_owned()).of(row);
    let panel = |setting: &str, strategy: &str| -> Vec<Series> {
        let windows = of_run(&timeline, setting, strategy);
        let line = |&(_, color, column, times): &Line| {
            let of_window = |row: &Cells| step(number(row, "window_start_s")?, number(row, "window_end_s")?, number(row, column)? * times);
            let mut steps: Vec<Step> = windows.rows().iter().filter_map(of_window).collect();
            steps.sort_by(|a, b| a.from_s.total_cmp(&b.from_s));
            Series { color, width_px: LINE, steps, shift_px: 0.0 }
        };
        lines.iter().map(line).collect()
    };
    let panels: Vec<Vec<Vec<Series>>> =
        settings.iter().map(|setting| strategies.iter().map(|strategy| panel(setting, strategy)).collect()).collect();
    let all = panels.iter().flat_map(|row| values(row));
    let axis = if upwards == Upwards::Latency { Axis::decades(all) } else { Axis::from_zero(all, 4) };
    let drawn = |line: usize| panels.iter().flatten().any(|panel| !panel[line].steps.is_empty());
    let named = lines.iter().enumerate().filter(|(line, _)| drawn(*line));
    let mut legend: Vec<Entry> = named.map(|(_, (name, color, ..))| entry(name, Mark::Line(*color, LINE))).collect();
    legend.push(entry("while bins move", Mark::Stretch(palette::MIGRATING)));
    let span = |setting: &&str, strategy: &&str| -> Vec<(f64, f64)> {
        let runs = of_run(&rows, setting, strategy).filter(|row| !text(row, "duration_ns").is_empty());
        runs.rows().iter().filter_map(|row| Some((number(row, "migration_start_s")?, number(row, "migration_end_s")?))).collect()
    };
    let migrations_s = settings.iter().map(|setting| strategies.iter().map(|strategy| span(setting, strategy)).collect()).collect();
    let mut legend = Some(legend);
    let sheet_row = |(setting, panels): (&&str, Vec<Vec<Series>>)| Row {
        label: format!("{setting}: {label}"),
        height_px: 400.0,
        axis: axis.clone(),
        legend: legend.take().unwrap_or_default(),
        panels,
        levels: Vec::new(),
    };
    let sheet = Sheet {
        title: title.to_owned(),
        footer: footer.to_owned(),
        headers: strategies.iter().map(|strategy| (*strategy).to_owned()).collect(),
        actions_s: vec![Vec::new(); strategies.len()],
        migrations_s,
        rows: settings.iter().zip(panels).map(sheet_row).collect(),
    };
    write_figure(&sheet.place(), stem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::frame::row;

    #[test]
    fn a_column_a_strategy_and_a_row_a_setting() {
        let (mut rows, mut timeline) = (Vec::new(), Vec::new());
        for setting in ["one process", "two processes"] {
            for (strategy, worst) in [("fluid", 3_u64), ("all-at-once", 400), ("none", 0)] {
                let labels = row([("case", &setting), ("variant", &strategy), ("seed", &0_u64)]);
                let span =
                    row([("migration_start_s", &1.0), ("migration_end_s", &1.4), ("duration_ns", &(worst > 0).then_some(400_000_000_u64))]);
                rows.push(labels.clone().into_iter().chain(span).collect());
                timeline.extend((0..60).map(|n| {
                    let window = row([
                        ("window_start_s", &(f64::from(n) * 0.05)),
                        ("window_end_s", &(f64::from(n + 1) * 0.05)),
                        ("latency_ns_p50", &300_000_u64),
                        ("latency_ns_max", &(1_000_000 * (1 + if (20..28).contains(&n) { worst } else { 0 }))),
                        ("memory_bytes", &(1_u64 << 30)),
                    ]);
                    labels.clone().into_iter().chain(window).collect()
                }));
            }
        }
        let (rows, timeline) = (Frame::new(&[], rows), Frame::new(&[], timeline));
        let folder = tempfile::tempdir().unwrap();
        let draw = |upwards, name: &str| {
            let paths = migrations_figure((&rows, &timeline), upwards, ("a title", "a footer"), &folder.path().join(name)).unwrap();
            std::fs::read_to_string(&paths[0]).unwrap()
        };
        let svg = draw(Upwards::Latency, "latency");
        let place = |text: &str| svg.find(text).unwrap_or_else(|| panic!("{text} is not in the figure"));
        assert!(place("none") < place("all-at-once") && place("all-at-once") < place("fluid"));
        assert!(place("one process: latency (ms)") < place("two processes: latency (ms)"));
        assert_eq!(svg.matches("#FBEFD6").count(), 1 + 2 * 2, "one in the legend, one in each panel in which something moved");
        let svg = draw(Upwards::Memory, "memory");
        assert!(svg.contains("first process") && !svg.contains("other process"));
        let none = Frame::default();
        let nothing = migrations_figure((&none, &none), Upwards::Memory, ("", ""), Path::new("never")).unwrap_err();
        assert!(matches!(nothing, PlotError::Columns { found: 0, .. }));
    }
}
