//! Rates by operator and instance, and the resulting epochs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::align::align;
use super::content::{Content, Files};
use super::graph::Graph;
use super::operator_rates::{InstanceRates, OperatorRates};
use crate::readers::ReadError;

/// The most missing rows that are told.
const MOST_MISSING: usize = 1 << 16;

/// A row that the file does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingRow {
    /// The epoch it should be of.
    pub epoch: usize,
    /// The operator, as the files identify it.
    pub operator: String,
    /// The instance, as the file names it.
    pub instance: String,
}

/// A row of rates.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) operator: String,
    pub(super) instance: String,
    /// Parallelism of the operator; `None` if the format does not say.
    pub(super) instances: Option<u32>,
    pub(super) time: u64,
    pub(super) rates: InstanceRates,
}

/// The rows of one instance by time, each with its line.
type Series = BTreeMap<u64, (u64, InstanceRates)>;

/// The rates of every operator in an epoch, and its number.
pub(super) type EpochRates = (usize, Vec<OperatorRates>);

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

    /// Rates by epoch and operator, operators in the given order, and the rows that are missing.
    ///
    /// The rows of an instance, ordered by time, are epochs 0, 1, 2, ..., as in the released
    /// program, unless rows are missing (`align`).
    pub(super) fn epochs(self, graph: &Graph, order: &[usize], files: &Files<'_>) -> Result<(Vec<EpochRates>, Vec<MissingRow>), ReadError> {
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
        let mut columns: Vec<Vec<(&String, Vec<InstanceRates>)>> = Vec::with_capacity(order.len());
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
            let of = |series: &Series| series.values().map(|(_, rates)| *rates).collect();
            columns.push(found.into_iter().flatten().map(|(name, series)| (name, of(series))).collect());
        }
        let times: Vec<Vec<u64>> = order
            .iter()
            .flat_map(|&node| self.operators.get(&graph.nodes[node].id).into_iter().flatten())
            .map(|(_, series)| series.keys().copied().collect())
            .collect();
        let aligned = align(&times);
        let longest = aligned.iter().flatten().max().map_or(0, |last| last + 1);
        let (mut epochs, mut missing) = (Vec::with_capacity(longest), Vec::new());
        // The next row of each series.
        let mut next = vec![0; aligned.len()];
        for epoch in 0..longest {
            let (mut operators, mut is_complete, mut series) = (Vec::with_capacity(order.len()), true, 0);
            for (&node, instances) in order.iter().zip(&columns) {
                let mut rows = Vec::with_capacity(instances.len());
                for (instance, rates) in instances {
                    let row = next[series];
                    if aligned[series].get(row) == Some(&epoch) {
                        rows.push(rates[row]);
                        next[series] += 1;
                    } else {
                        is_complete = false;
                        if missing.len() < MOST_MISSING {
                            let operator = graph.nodes[node].id.clone();
                            missing.push(MissingRow { epoch, operator, instance: (*instance).clone() });
                        }
                    }
                    series += 1;
                }
                operators.push(InstanceRates::sum(&rows));
            }
            if is_complete {
                epochs.push((epoch, operators));
            }
        }
        Ok((epochs, missing))
    }
}
