//! The input files of DS2's released program: a dataflow, and the rates that were measured of it.
//!
//! Takes the contents of files; gives the dataflow and, by epoch, the rates of each operator summed over its instances. The formats are
//! those of the released program (`papers/ds2-osdi18.md#files`): tables for Flink and Heron, lines of a log for timely. Invariants: every
//! rate is finite and not negative, every operator of the dataflow has rates in every epoch that is given out; whatever else is found is an
//! error that names file, line, what was expected and what was found. Nothing is guessed.

mod content;
mod graph;
mod operator_rates;
mod rates;
mod table;
mod worker_log;

pub use content::{Content, Files};
pub use operator_rates::OperatorRates;

use graph::Graph;
use rates::Rows;

use super::ReadError;
use crate::dataflow::Topology;

/// Which system's files they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum System {
    /// Flink: tables.
    #[default]
    Flink,
    /// Heron: the same tables.
    Heron,
    /// Timely: lines of its log.
    Timely,
}

/// A dataflow and what was measured of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The dataflow. An operator's name here is its identifier in the files. Operators without inputs are sources; there is no limit on
    /// parallelism.
    pub topology: Topology,
    /// Names of operators in the files, by operator; the identifier where they have no other.
    pub names: Vec<String>,
    /// Instances of each operator.
    pub instances: Vec<u32>,
    /// Rates of each operator, by epoch.
    pub epochs: Vec<Vec<OperatorRates>>,
    /// Epochs at the end that some instance has no rates of any more; they are left out.
    pub incomplete_epochs: usize,
}

/// Reads the files of a case.
///
/// # Errors
/// When a file is not what it should be, or files do not fit together.
pub fn read(system: System, files: &Files<'_>) -> Result<Measured, ReadError> {
    let (graph, rows) = match system {
        System::Flink | System::Heron => (table::topology(&files.topology)?, table::rates(&files.rates)?),
        System::Timely => (worker_log::topology(&files.topology)?, worker_log::rates(&files.rates)?),
    };
    measured(&graph, rows, files)
}

fn measured(graph: &Graph, rows: Rows, files: &Files<'_>) -> Result<Measured, ReadError> {
    let (topology, order) = graph.topology(&files.topology)?;
    let (mut epochs, incomplete_epochs) = rows.epochs(graph, &order, files)?;
    let instances: Vec<u32> = order.iter().map(|&node| graph.nodes[node].instances).collect();
    let place = |id: &str| topology.named(id).map(|operator| operator.id.0 as usize);
    if let Some(content) = &files.source_rates {
        for given in table::given_rates(content)? {
            let source = place(&given.operator).filter(|&place| topology.operators()[place].role == crate::dataflow::Role::Source);
            let source = source.ok_or_else(|| {
                let expected = format!("a source of {}", files.topology.path.display());
                content.wrong(given.line, expected, format!("'{}'", given.operator))
            })?;
            for epoch in &mut epochs {
                let rates = &mut epoch[source];
                rates.true_output = match given.rate {
                    Some(rate) => content.within_range(given.line, rate * f64::from(instances[source]))?,
                    None => rates.observed_output,
                };
            }
        }
    }
    if let Some(content) = &files.operator_rates {
        for given in table::given_rates(content)? {
            let operator = place(&given.operator).ok_or_else(|| {
                let expected = format!("an operator of {}", files.topology.path.display());
                content.wrong(given.line, expected, format!("'{}'", given.operator))
            })?;
            let most = match given.rate {
                Some(rate) => Some(content.within_range(given.line, rate * f64::from(instances[operator]))?),
                None => None,
            };
            for epoch in &mut epochs {
                epoch[operator].limit(most);
            }
        }
    }
    let names = order.iter().map(|&node| graph.nodes[node].name.clone()).collect();
    Ok(Measured { topology, names, instances, epochs, incomplete_epochs })
}

#[cfg(test)]
mod tests;
