//! Latency or memory over time during migrations: one column per strategy, one row per setting.
//!
//! Panels are shaded during a migration. All panels have the same range, so that strategies and
//! settings can be compared. With several seeds the first is drawn.

use std::path::{Path, PathBuf};

use plotters::style::RGBColor;

use super::axis::Axis;
use super::panel::{Series, Step};
use super::sheet::{Entry, Mark, Row, Sheet};
use super::timeline::{entry, step, values};
use super::{PlotError, palette, write_figure};
use crate::experiment::migration::{MigrationRow, MigrationTimelineRow, strategy_rank};

/// Most columns of a figure.
const MOST_COLUMNS: usize = 8;
const LINE: u32 = 5;

/// The quantity on the vertical axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upwards {
    /// Latency, on a logarithmic axis: the largest, 99th percentile, median.
    Latency,
    /// Resident memory of each process.
    Memory,
}

/// A line of a panel: its name, colour, and where a row has it.
type Line = (&'static str, RGBColor, fn(&MigrationTimelineRow) -> Option<f64>);

impl Upwards {
    fn label(self) -> &'static str {
        match self {
            Upwards::Latency => "latency (ms)",
            Upwards::Memory => "memory (MiB)",
        }
    }

    fn lines(self) -> Vec<Line> {
        match self {
            Upwards::Latency => vec![
                ("largest", palette::operator(1), |row| row.latency_ns_max.map(milliseconds)),
                ("99th percentile", palette::P99, |row| row.latency_ns_p99.map(milliseconds)),
                ("median", palette::P50, |row| row.latency_ns_p50.map(milliseconds)),
            ],
            Upwards::Memory => vec![
                ("first process", palette::operator(0), |row| row.memory_bytes.map(mebibytes)),
                ("other process", palette::operator(2), |row| row.memory_others_bytes.map(mebibytes)),
            ],
        }
    }

    fn axis(self, values: impl Iterator<Item = f64>) -> Axis {
        match self {
            Upwards::Latency => Axis::decades(values),
            Upwards::Memory => Axis::from_zero(values, 4),
        }
    }
}

fn milliseconds(ns: u64) -> f64 {
    ns as f64 / 1e6
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Draws recorded runs as `<stem>.svg` and `<stem>.png` and gives these two paths.
///
/// # Errors
/// [`PlotError::Columns`] without strategies or with more than 8; [`PlotError::Write`] and
/// [`PlotError::Draw`] when a file cannot be made.
pub fn migration_timeline_figure(
    rows: &[MigrationRow],
    timeline: &[MigrationTimelineRow],
    upwards: Upwards,
    title: &str,
    footer: &str,
    stem: &Path,
) -> Result<Vec<PathBuf>, PlotError> {
    let seed = rows.first().map_or(0, |row| row.seed);
    let rows: Vec<&MigrationRow> = rows.iter().filter(|row| row.seed == seed).collect();
    let mut strategies: Vec<&str> = rows.iter().map(|row| row.strategy.as_str()).collect();
    strategies.sort_by_key(|strategy| (strategy_rank(strategy), *strategy));
    strategies.dedup();
    if strategies.is_empty() || strategies.len() > MOST_COLUMNS {
        return Err(PlotError::Columns { most: MOST_COLUMNS, found: strategies.len() });
    }
    let mut settings: Vec<&str> = Vec::new();
    for row in &rows {
        if !settings.contains(&row.setting.as_str()) {
            settings.push(&row.setting);
        }
    }
    let panel = |setting: &str, strategy: &str| -> Vec<Series> {
        let of_run = || timeline.iter().filter(|row| row.seed == seed && row.setting == setting && row.strategy == strategy);
        let line = |(_, color, value): Line| {
            let mut steps: Vec<Step> = of_run().filter_map(|row| step(row.window_start_s, row.window_end_s, value(row)?)).collect();
            steps.sort_by(|a, b| a.from_s.total_cmp(&b.from_s));
            Series { color, width_px: LINE, steps, shift_px: 0.0 }
        };
        upwards.lines().into_iter().map(line).collect()
    };
    let panels: Vec<Vec<Vec<Series>>> =
        settings.iter().map(|setting| strategies.iter().map(|strategy| panel(setting, strategy)).collect()).collect();
    let axis = upwards.axis(panels.iter().flat_map(|row| values(row)));
    let drawn = |line: usize| panels.iter().flatten().any(|panel| !panel[line].steps.is_empty());
    let named = upwards.lines().into_iter().enumerate().filter(|(line, _)| drawn(*line));
    let mut legend: Vec<Entry> = named.map(|(_, (name, color, _))| entry(name, Mark::Line(color, LINE))).collect();
    legend.push(entry("migration in progress", Mark::Stretch(palette::MIGRATING)));
    let span = |setting: &&str, strategy: &&str| -> Vec<(f64, f64)> {
        let of_run = rows.iter().filter(|row| row.setting == **setting && row.strategy == **strategy && row.duration_ns.is_some());
        of_run.filter_map(|row| Some((row.migration_start_s?, row.migration_end_s?))).collect()
    };
    let migrations_s = settings.iter().map(|setting| strategies.iter().map(|strategy| span(setting, strategy)).collect()).collect();
    let mut legend = Some(legend);
    let sheet_row = |(setting, panels): (&&str, Vec<Vec<Series>>)| Row {
        label: format!("{setting}: {}", upwards.label()),
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

    #[test]
    fn a_column_a_strategy_and_a_row_a_setting() {
        let mut rows = Vec::new();
        let mut timeline = Vec::new();
        for setting in ["one process", "two processes"] {
            for (strategy, worst) in [("fluid", 3), ("all-at-once", 400), ("none", 0)] {
                let (setting, strategy) = (setting.to_owned(), strategy.to_owned());
                rows.push(MigrationRow {
                    setting: setting.clone(),
                    strategy: strategy.clone(),
                    migration_start_s: Some(1.0),
                    migration_end_s: Some(1.4),
                    duration_ns: (worst > 0).then_some(400_000_000),
                    ..MigrationRow::default()
                });
                timeline.extend((0..60).map(|n| MigrationTimelineRow {
                    setting: setting.clone(),
                    strategy: strategy.clone(),
                    window_start_s: f64::from(n) * 0.05,
                    window_end_s: f64::from(n + 1) * 0.05,
                    latency_ns_p50: Some(300_000),
                    latency_ns_max: Some(1_000_000 * (1 + if (20..28).contains(&n) { worst } else { 0 })),
                    memory_bytes: Some(1 << 30),
                    ..MigrationTimelineRow::default()
                }));
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let draw = |upwards, name: &str| {
            let paths = migration_timeline_figure(&rows, &timeline, upwards, "a title", "a footer", &folder.path().join(name)).unwrap();
            std::fs::read_to_string(&paths[0]).unwrap()
        };
        let svg = draw(Upwards::Latency, "latency");
        let place = |text: &str| svg.find(text).unwrap_or_else(|| panic!("{text} is not in the figure"));
        assert!(place("none") < place("all-at-once") && place("all-at-once") < place("fluid"));
        assert!(place("one process: latency (ms)") < place("two processes: latency (ms)"));
        assert_eq!(svg.matches("#FBEFD6").count(), 1 + 2 * 2, "one in the legend, one in each panel in which something moved");
        let svg = draw(Upwards::Memory, "memory");
        assert!(svg.contains("first process") && !svg.contains("other process"));
        let nothing = migration_timeline_figure(&[], &[], Upwards::Memory, "", "", Path::new("never")).unwrap_err();
        assert!(matches!(nothing, PlotError::Columns { found: 0, .. }));
    }
}
