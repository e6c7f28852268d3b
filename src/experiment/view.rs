//! What is shown of rows, as data: which rows and columns a table has, and what a figure draws.
//!
//! `experiments/views.toml` has those that several experiments share, by name; a definition may
//! have tables of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::frame::{Expression, Take, Where};

const VIEWS: &str = include_str!("../../experiments/views.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Views {
    tables: BTreeMap<String, TableView>,
    plots: BTreeMap<String, PlotView>,
}

fn named<V: Clone>(what: &str, views: &BTreeMap<String, V>, name: &str) -> Result<V, String> {
    let names = || views.keys().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    views.get(name).cloned().ok_or_else(|| format!("expected a {what}, one of {}, found '{name}'", names()))
}

/// The table of that name.
///
/// # Errors
/// When there is none.
pub fn table(name: &str) -> Result<TableView, String> {
    named("table", &toml::from_str::<Views>(VIEWS).expect("views are tested").tables, name)
}

/// The plot of that name.
///
/// # Errors
/// When there is none.
pub fn plot(name: &str) -> Result<PlotView, String> {
    named("plot", &toml::from_str::<Views>(VIEWS).expect("views are tested").plots, name)
}

/// A table: a line for each group of rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableView {
    /// The rows.
    #[serde(default, rename = "where")]
    pub only: Where,
    /// Columns whose values make the groups.
    pub per: Vec<String>,
    /// The order of lines.
    #[serde(default)]
    pub order: Order,
    /// Columns of the table.
    pub columns: Vec<ColumnView>,
    /// What the paper reports is listed below, with these numbers of its rows, in milliseconds:
    /// name and column.
    #[serde(default)]
    pub paper: Option<Vec<(String, String)>>,
    /// What is said below; see [`filled`](super::shown::filled).
    #[serde(default)]
    pub foot: String,
    /// Nothing is printed where no row fits.
    #[serde(default)]
    pub optional: bool,
}

/// The order of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Of the rows.
    #[default]
    AsRecorded,
    /// By case as recorded, in it by variant in the order of all tables and figures.
    Variant,
    /// By the number that the first column of the groups has.
    Number,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnView {
    /// Its heading.
    pub head: String,
    /// What its cells show.
    pub parts: Vec<Part>,
    /// How parts are put together.
    #[serde(default)]
    pub join: Join,
}

/// How parts of a cell are put together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Join {
    /// With slashes between them; `-` where there is none.
    #[default]
    Slash,
    /// The same, without those that there are none of.
    Present,
    /// The first that there is.
    First,
    /// As this text says, each in place of `{}`.
    Text(String),
}

/// A part of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The expression.
    #[serde(default)]
    pub of: String,
    /// Of these rows of the group only.
    #[serde(default, rename = "where")]
    pub only: Where,
    /// What is taken of the group's numbers.
    #[serde(default)]
    pub take: Take,
    /// How a number is written.
    #[serde(default)]
    pub show: Show,
    /// What a number is multiplied with.
    #[serde(default = "one")]
    pub times: f64,
    /// The least and the most are shown too.
    #[serde(default)]
    pub range: Range,
    /// What is shown of text; none of numbers.
    #[serde(default)]
    pub text: Option<Text>,
    /// The paper's number instead of ours.
    #[serde(default)]
    pub paper: bool,
    /// 0 is as good as nothing.
    #[serde(default)]
    pub nonzero: bool,
    /// The seed stands behind, if there are several.
    #[serde(default)]
    pub seed: bool,
}

fn one() -> f64 {
    1.0
}

/// When the least and the most are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Range {
    /// Never.
    #[default]
    No,
    /// In brackets, where they differ as they are written.
    Differing,
    /// In brackets, of more than one number.
    Always,
    /// Instead of what is taken, where they differ.
    Instead,
}

/// What is shown of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Text {
    /// The first row's.
    First,
    /// That of the only row; nothing of several.
    Alone,
    /// All that there are, sorted.
    Distinct,
    /// What most rows have, and how many if not all.
    Mode,
    /// How many rows there are.
    Rows,
    /// How many different ones there are.
    Kinds,
    /// Of one row yes or no, of several how many have `true`.
    Yes,
    /// Which `name` has the most of the number, in the mean over windows, and how much in percent.
    Leader,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Show {
    /// With as many digits as it has.
    #[default]
    Plain,
    /// Without decimals.
    Whole,
    /// Without decimals, cut off.
    Floor,
    /// One decimal.
    One,
    /// Two decimals.
    Two,
    /// Three decimals.
    Three,
    /// With its sign, without decimals.
    Signed,
    /// A share in percent.
    Percent,
    /// Seconds.
    Seconds,
    /// Seconds without decimals.
    WholeSeconds,
    /// Nanoseconds in the unit in which they have digits before their point.
    Latency,
    /// Nanoseconds as milliseconds with two decimals.
    Milliseconds,
    /// Nanoseconds as milliseconds with their sign.
    SignedMilliseconds,
    /// Bytes in the unit in which they have digits before their point.
    Bytes,
    /// Bytes in MiB.
    Mebibytes,
    /// Millions of keys.
    MillionKeys,
    /// Bins.
    Bins,
    /// Short enough for a cell of a figure.
    Short,
    /// Milliseconds, short enough for a cell of a figure.
    ShortMilliseconds,
}

impl TableView {
    /// The columns of rows that it names.
    pub fn columns(&self) -> Vec<String> {
        let parts = self.columns.iter().flat_map(|column| &column.parts);
        let of_parts = parts.flat_map(|part| columns(&part.of).into_iter().chain(part.only.keys().cloned()));
        of_parts.chain(self.per.iter().cloned()).chain(self.only.keys().cloned()).collect()
    }
}

fn columns(of: &str) -> Vec<String> {
    if of.is_empty() { Vec::new() } else { Expression(of.to_owned()).columns().map(str::to_owned).collect() }
}

/// A figure, by its shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PlotView {
    /// Runs over time, a column each: rate, parallelism, latency.
    Runs {
        /// What is said below.
        #[serde(default)]
        foot: String,
    },
    /// Migrations over time, a column each variant and a row each case.
    Migrations {
        /// What is drawn upwards.
        upwards: Upwards,
        /// What is said below.
        foot: String,
    },
    /// A cell for each case and variant, shaded by its number.
    Heat {
        /// A block each.
        measures: Vec<Measure>,
        /// What is said below.
        foot: String,
    },
    /// Horizontal bars.
    Bars(Bars),
    /// Marks in a plane, on logarithmic axes.
    Scatter(Scatter),
}

/// What is drawn of migrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upwards {
    /// Latency, on a logarithmic axis: the largest, 99th percentile, median.
    Latency,
    /// Resident memory of each process.
    Memory,
}

/// A number of every cell or bar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// What it is called.
    pub name: String,
    /// The expression.
    pub of: String,
    /// What it is multiplied with.
    #[serde(default = "one")]
    pub times: f64,
    /// How it is written.
    #[serde(default)]
    pub show: Show,
    /// From where on a number is dark enough to be told from nothing.
    #[serde(default = "one")]
    pub unit: f64,
    /// A column that says where it is as it should be.
    #[serde(default)]
    pub hit: String,
}

/// Horizontal bars: a bar for each name, a block for each measure, a column for each group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bars {
    /// The rows.
    #[serde(default, rename = "where")]
    pub only: Where,
    /// The column whose values make the columns of the figure.
    pub columns: String,
    /// The column whose values have a bar each.
    pub bars: String,
    /// What bars are as long as; the thin line goes from the least to the most.
    pub take: Take,
    /// A block each.
    pub measures: Vec<Measure>,
    /// A column that says which bars are coloured.
    #[serde(default)]
    pub coloured: String,
    /// A value with a name, at which a line is drawn.
    #[serde(default)]
    pub level: Option<(f64, String)>,
    /// What stands beside a bar; its number without.
    #[serde(default)]
    pub beside: Vec<Part>,
    /// How that is put together.
    #[serde(default)]
    pub join: Join,
    /// What is said below.
    pub foot: String,
}

/// Marks in a plane, on logarithmic axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scatter {
    /// What is to the right, or the column whose values are side by side.
    pub x: Axis,
    /// What is upwards.
    pub y: Axis,
    /// The column whose values make panels.
    #[serde(default)]
    pub panels: Option<String>,
    /// Lines.
    pub lines: Lines,
    /// Whether marks have the names of their cases.
    #[serde(default)]
    pub labels: bool,
    /// Every row has a mark of its own, without lines between them.
    #[serde(default)]
    pub every_row: bool,
    /// A value upwards at which a line is drawn.
    #[serde(default)]
    pub level: Option<f64>,
    /// What is said below.
    pub foot: String,
}

/// An axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// The expression.
    #[serde(default)]
    pub of: String,
    /// What it is multiplied with.
    #[serde(default = "one")]
    pub times: f64,
    /// What stands at it.
    #[serde(default)]
    pub name: String,
    /// Values are names side by side, not numbers.
    #[serde(default)]
    pub names: bool,
}

/// What makes lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lines {
    /// A line for each variant, in the colours of strategies; `none` is a level.
    Variants,
    /// A line each.
    Of(Vec<LineView>),
}

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineView {
    /// What it is called.
    pub name: String,
    /// The expression.
    pub of: String,
    /// Of these rows only.
    #[serde(default, rename = "where")]
    pub only: Where,
    /// What is taken of rows with the same place to the right.
    #[serde(default)]
    pub take: Take,
    /// Which of the colours.
    pub color: usize,
}

impl PlotView {
    /// The columns of rows that it names.
    pub fn columns(&self) -> Vec<String> {
        let of_measures = |measures: &[Measure]| -> Vec<String> {
            measures.iter().flat_map(|measure| [columns(&measure.of), columns(&measure.hit)].concat()).collect()
        };
        match self {
            PlotView::Runs { .. } | PlotView::Migrations { .. } => Vec::new(),
            PlotView::Heat { measures, .. } => of_measures(measures),
            PlotView::Bars(bars) => {
                let beside = bars.beside.iter().flat_map(|part| columns(&part.of).into_iter().chain(part.only.keys().cloned()));
                let more = bars.only.keys().cloned().chain([bars.columns.clone(), bars.bars.clone()]).chain(columns(&bars.coloured));
                of_measures(&bars.measures).into_iter().chain(beside).chain(more).collect()
            }
            PlotView::Scatter(scatter) => {
                let lines = match &scatter.lines {
                    Lines::Variants => Vec::new(),
                    Lines::Of(lines) => {
                        lines.iter().flat_map(|line| columns(&line.of).into_iter().chain(line.only.keys().cloned())).collect()
                    }
                };
                [columns(&scatter.x.of), columns(&scatter.y.of), lines, scatter.panels.iter().cloned().collect()].concat()
            }
        }
    }

    /// What is said below.
    pub fn foot(&self) -> &str {
        match self {
            PlotView::Runs { foot } | PlotView::Migrations { foot, .. } | PlotView::Heat { foot, .. } => foot,
            PlotView::Bars(bars) => &bars.foot,
            PlotView::Scatter(scatter) => &scatter.foot,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_that_is_none_is_named_with_those_there_are() {
        assert!(table("costs").is_ok() && plot("costs").is_ok());
        assert!(table("cost").unwrap_err().starts_with("expected a table, one of 'beside-paper', "));
    }
}
