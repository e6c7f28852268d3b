//! Rates by operator and instance, and the resulting epochs.

use std::collections::BTreeMap;

use super::content::{Content, Files};
use super::graph::Graph;
use super::operator_rates::OperatorRates;
use crate::readers::ReadError;

/// A row of rates.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) operator: String,
    pub(super) instance: String,
    /// Parallelism of the operator; `None` if the format does not say.
    pub(super) instances: Option<u32>,
    pub(super) time: u64,
    pub(super) rates: OperatorRates,
}

/// The rows of one instance by time, each with its line.
type Series = BTreeMap<u64, (u64, OperatorRates)>;

/// All rows of a file.
#[derive(Debug, Default)]
pub(super) struct Rows {
    operators: BTreeMap<String, BTreeMap<String, Series>>,
    /// Parallelism of each operator, with the first line that says so.
    told: BTreeMap<String, (u32, u64)>,
    /// Where each operator is first named.
    lines: BTreeMap<String, u64>,
}

impl Rows {
    pub(super) fn push(&mut self, content: &Content<'_>, row: Row) -> Result<(), ReadError> {
        self.lines.entry(row.operator.clone()).or_insert(row.line);
        if let Some(instances) = row.instances {
            let &mut (known, line) = self.told.entry(row.operator.clone()).or_insert((instances, row.line));
            if known != instances {
                let expected = format!("{known} instances of '{}', as in line {line}", row.operator);
                return Err(content.wrong(row.line, expected, instances.to_string()));
            }
        }
        let series = self.operators.entry(row.operator).or_default().entry(row.instance).or_default();
        if let Some((line, _)) = series.get(&row.time) {
            let expected = format!("one row per instance and time, as in line {line}");
            return Err(content.wrong(row.line, expected, format!("another one of time {}", row.time)));
        }
        series.insert(row.time, (row.line, row.rates));
        Ok(())
    }

    /// Rates by epoch and operator, operators in the given order, and the number of incomplete
    /// epochs.
    ///
    /// The rows of an instance, ordered by time, are epochs 0, 1, 2, ..., as in the released
    /// program.
    pub(super) fn epochs(self, graph: &Graph, order: &[usize], files: &Files<'_>) -> Result<(Vec<Vec<OperatorRates>>, usize), ReadError> {
        let (content, topology) = (&files.rates, files.topology.path.display());
        for (operator, &line) in &self.lines {
            let Some(place) = graph.place(operator) else {
                return Err(content.wrong(line, format!("an operator of {topology}"), format!("'{operator}'")));
            };
            let node = &graph.nodes[place];
            if let Some(&(told, line)) = self.told.get(operator)
                && told != node.instances
            {
                let expected = format!("{} instances of '{operator}', as in {topology}, line {}", node.instances, node.line);
                return Err(content.wrong(line, expected, told.to_string()));
            }
        }
        let mut columns: Vec<Vec<Vec<OperatorRates>>> = Vec::with_capacity(order.len());
        for &node in order {
            let node = &graph.nodes[node];
            let found = self.operators.get(&node.id);
            let count = found.map_or(0, BTreeMap::len);
            if count as u64 != u64::from(node.instances) {
                let expected = format!("rates of {} instances of '{}' ({topology}, line {})", node.instances, node.id, node.line);
                return Err(content.wrong(content.last_line(), expected, format!("rates of {count} up to the end")));
            }
            // Summed in the order of instance names, so that the result does not depend on the
            // order of rows.
            columns.push(found.into_iter().flatten().map(|(_, series)| series.values().map(|(_, rates)| *rates).collect()).collect());
        }
        let lengths = || columns.iter().flatten().map(Vec::len);
        let (complete, longest) = (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0));
        let sum = |instances: &Vec<Vec<OperatorRates>>, epoch: usize| {
            let mut sum = OperatorRates::default();
            instances.iter().for_each(|series| sum.add(&series[epoch]));
            sum
        };
        let epochs = (0..complete).map(|epoch| columns.iter().map(|instances| sum(instances, epoch)).collect()).collect();
        Ok((epochs, longest - complete))
    }
}
